//! What goes wrong around a miner: the network away, one relay or all of them dead, a disk that is full, folders and
//! ports that cannot be used, Ctrl-C in the middle of a window. Each ends in a clear line or is waited for.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use grail::miner::folder;
use grail::subnet::local::{MINER, development_key};
use grail_localnet::bucket::Access;
use grail_protocol::AccountId;
use grail_protocol::ss58;
use grail_protocol::window_root::WindowRoot;

use crate::net::{Net, PATIENCE, account, bucket_variables, free_ports, of_window, text};
use crate::process::{Process, eventually, run};
use crate::workshop::{Workshop, deterministic};

const SIZES: [&str; 8] =
    ["--block-time", "500ms", "--window-length", "24", "--max-groups", "8", "--rollouts-per-problem", "2"];
const WINDOW: u64 = 24;

/// Where a miner keeps its work.
fn work_of(net: &Net, miner: &AccountId) -> PathBuf {
    folder(&net.data(), net.network().network().id(), &ss58::encode(miner))
}

/// Groups that a miner has on disk in a window.
fn groups_on_disk(net: &Net, miner: &AccountId, window: u64) -> usize {
    let lines = fs::read(work_of(net, miner).join(window.to_string()).join("groups.jsonl")).unwrap_or_default();
    lines.iter().filter(|&&byte| byte == b'\n').count()
}

fn begun(miner: &mut Process) -> u64 {
    let begun = miner.event("a window", PATIENCE, |e| e["event"] == "window_begun");
    begun["window"].as_u64().expect("a block")
}

#[test]
fn a_network_that_goes_away_in_a_window_costs_no_window() {
    let mut net = Net::start(&SIZES);
    let mut miner = net.party("mine", &["--batch", "1"]);
    let window = begun(&mut miner);
    let who = account(MINER);
    let one = || (groups_on_disk(&net, &who, window) > 0).then_some(());
    eventually("a group", PATIENCE, one, || miner.story());
    net.kill();
    // The work needs no network, and ends while there is none.
    let closed = miner.event("the file", PATIENCE, |e| of_window(e, "window_closed", window));
    assert!(miner.all("window_published").is_empty(), "{}", miner.story());
    net.serve();
    miner.event("root and file", PATIENCE, |e| of_window(e, "window_published", window));
    assert!(miner.all("window_missed").is_empty() || miner.all("window_missed")[0]["window"] != window);
    let subnet = net.subnet();
    let file = net.file(&who, window).expect("the file");
    let committed = net.commitment(&subnet, window + WINDOW - 1, &who).expect("a commitment");
    assert_eq!(committed.raw(1), Some(&WindowRoot::of_file(window, &file).to_bytes()[..]));
    assert!(closed["groups"].as_u64() > Some(0));
    assert!(miner.told().contains("the chain is away; waiting"), "{}", miner.story());
    // And it goes on with the window after that.
    miner.event("another window", PATIENCE, |e| e["event"] == "window_begun" && e["window"].as_u64() > Some(window));
}

#[test]
fn a_disk_that_takes_no_note_keeps_no_file_back() {
    let mut net = Net::start(&SIZES);
    let mut miner = net.party("mine", &["--batch", "1"]);
    let (window, who) = (begun(&mut miner), account(MINER));
    let one = || (groups_on_disk(&net, &who, window) > 0).then_some(());
    eventually("a group", PATIENCE, one, || miner.story());
    net.kill();
    miner.event("the file", PATIENCE, |e| of_window(e, "window_closed", window));
    // From here on no stage can be written: what is written first is a folder.
    fs::create_dir(work_of(&net, &who).join(window.to_string()).join("stage.new")).expect("a folder");
    net.serve();
    let over =
        |e: &serde_json::Value| of_window(e, "window_published", window) || of_window(e, "window_missed", window);
    let told = miner.event("the end of the window", PATIENCE, over);
    assert_eq!(told["event"], "window_published", "{}", miner.story());
    let file = net.file(&who, window).expect("the file");
    let committed = net.commitment(&net.subnet(), window + WINDOW - 1, &who).expect("a commitment");
    assert_eq!(committed.raw(1), Some(&WindowRoot::of_file(window, &file).to_bytes()[..]));
    assert!(miner.told().contains("is not noted"), "{}", miner.story());
}

/// Flags and variables of a miner that finds everything by addresses, as on a real network.
fn remote(net: &Net, key: &str, relays: &str) -> Process {
    let (at, signer) = (net.description(), development_key(key));
    let access = Access::derive(&at.secret, &signer.account());
    let parameters = text(&net.localnet_folder().join("network.json"));
    let data = text(&net.home().join("remote"));
    let flags = ["mine", "--network", &at.chain, "--parameters", &parameters, "--beacon-relay", relays];
    let more = ["--block-time", "500ms", "--data", &data, "--json", "--threads", "1", "--uri", key];
    let variables = bucket_variables(access, at.bucket);
    Process::start_with(net.home(), &[&flags[..], &more].concat(), &variables)
}

#[test]
fn without_a_beacon_there_is_no_window_and_one_relay_of_two_is_enough() {
    let net = Net::start(&["--block-time", "400ms", "--window-length", "12", "--max-groups", "1"]);
    let (subnet, alive) = (net.subnet(), net.description().beacon);
    let dead = format!("http://127.0.0.1:{}", free_ports()[0]);
    let names = ["//NoRelay", "//OneRelay"];
    names.iter().for_each(|name| drop(net.settle(&subnet, &development_key(name))));
    let mut none = remote(&net, names[0], &dead);
    let missed = |e: &serde_json::Value| {
        e["event"] == "window_missed" && e["why"].as_str().is_some_and(|why| why.starts_with("too late: beacon: "))
    };
    let first = none.event("a missed window", PATIENCE, missed);
    let why = first["why"].as_str().expect("words");
    assert!(why.contains("no relay gave round") && why.contains(&dead), "{why}");
    // It goes on: the next window is missed in the same way, by the same process.
    none.event("another", PATIENCE, |e| missed(e) && e["window"] != first["window"]);
    assert!(none.all("window_begun").is_empty());
    drop(none);
    let mut one = remote(&net, names[1], &format!("{dead},{alive}"));
    let published = one.event("a window", PATIENCE, |e| e["event"] == "window_published");
    let window = published["window"].as_u64().expect("a block");
    assert!(net.file(&account(names[1]), window).is_some());
}

/// A small file system of its own; gone when dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where this user may not mount one.
    pub fn mount(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(at).expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at).stderr(Stdio::null());
        let mounted = mount.status().is_ok_and(|status| status.success());
        mounted.then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_ends_a_miner_with_the_path_and_the_reason() {
    let net = Net::start(&SIZES);
    let place = net.data().join("mine");
    let Some(_disk) = SmallDisk::mount(&place, "48k") else {
        eprintln!("SKIPPED: a_full_disk_ends_a_miner_with_the_path_and_the_reason: this user may not mount a tmpfs");
        return;
    };
    let mut miner = net.party("mine", &["--batch", "1"]);
    assert_eq!(miner.wait(PATIENCE).code(), Some(1), "{}", miner.story());
    let told = miner.told();
    let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("grail: ")).collect();
    let [line] = lines[..] else { panic!("one line, not {told}") };
    assert!(line.contains(&text(&place)) && line.contains("No space left on device"), "{line}");
    // Nothing half-made went out.
    assert!(miner.all("window_published").is_empty());
    assert_eq!(net.keys(&account(MINER), "grail/"), Vec::<String>::new());
}

#[test]
fn a_data_folder_that_is_none_is_named() {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("file");
    fs::write(&file, "").expect("a file");
    for command in ["localnet", "mine", "validate"] {
        let ended = run(home.path(), &[command, "--data", &text(&file)], PATIENCE);
        let line = ended.line(1);
        assert!(line.contains(&text(&file)) && line.contains("Not a directory"), "{command}: {line}");
    }
    // Nobody but root is kept out by modes, and root is not.
    let closed = home.path().join("closed");
    fs::create_dir(&closed).expect("a folder");
    let mode = |bits| fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(bits)).expect("ours");
    mode(0o000);
    if fs::read_dir(&closed).is_ok() {
        eprintln!("SKIPPED, a part of a_data_folder_that_is_none_is_named: this user may read every folder");
    } else {
        let ended = run(home.path(), &["localnet", "--data", &text(&closed)], PATIENCE);
        let line = ended.line(1);
        assert!(line.contains(&text(&closed)) && line.contains("Permission denied"), "{line}");
    }
    mode(0o700);
}

#[test]
fn a_port_that_is_taken_is_named_with_the_flag_that_takes_another() {
    let net = Net::planned(&[]);
    for (place, flag) in ["--chain-port", "--beacon-port", "--bucket-port"].into_iter().enumerate() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let mut flags = net.flags();
        let value = flags.iter().position(|f| f == flag).expect("a flag") + 1;
        flags[value] = port.to_string();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let ended = run(net.home(), &flags, PATIENCE);
        let line = ended.line(1);
        assert!(line.contains(&port.to_string()) && line.contains(flag), "{place}: {line}");
        assert!(line.contains("takes any that is free") && line.contains("in use"), "{line}");
    }
}

#[test]
fn a_network_is_served_once_and_keeps_its_sizes() {
    let mut net = Net::start(&SIZES);
    let flags = net.flags();
    let with = |more: &[&str]| {
        let flags = flags.iter().map(String::as_str).filter(|flag| *flag != "--json");
        let flags: Vec<&str> = flags.chain(more.iter().copied()).collect();
        run(net.home(), &flags[..flags.len()], PATIENCE)
    };
    let second = with(&[]);
    let line = second.line(1);
    assert!(line.contains(&text(&net.localnet_folder())) && line.contains("another process serves"), "{line}");
    net.kill();
    let data = text(&net.data());
    for (flag, other) in [
        ("--block-time", "2s"),
        ("--window-length", "30"),
        ("--max-groups", "3"),
        ("--max-new-tokens", "9"),
        ("--rollouts-per-problem", "3"),
        ("--validator", "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"),
    ] {
        let ports = ["--chain-port", "0", "--beacon-port", "0", "--bucket-port", "0"];
        let ended = run(net.home(), &[&["localnet", "--data", &data, flag, other][..], &ports].concat(), PATIENCE);
        let line = ended.line(2);
        assert!(line.starts_with(&format!("grail: {flag}: {}", &other[..1])), "{line}");
    }
    // Control: with its own sizes it comes back.
    net.serve();
}

#[test]
fn another_subnet_than_the_parameters_is_refused_with_both_numbers() {
    let net = Net::start(&SIZES);
    let data = text(&net.data());
    for command in ["mine", "validate"] {
        let ended = run(net.home(), &[command, "--data", &data, "--netuid", "7", "--memory", "1GiB"], PATIENCE);
        let line = ended.line(2);
        assert!(line.starts_with("grail: --netuid: 7, the network's parameters say 81"), "{command}: {line}");
    }
    // Control: 81 is what is asked for where nothing is.
    let mut miner = net.party("mine", &["--batch", "1"]);
    begun(&mut miner);
}

#[test]
fn ctrl_c_in_a_window_publishes_nothing_and_the_next_start_goes_on() {
    let sizes = ["--block-time", "500ms", "--window-length", "32", "--max-groups", "12", "--rollouts-per-problem", "2"];
    let net = Net::start(&sizes);
    let (who, subnet) = (account(MINER), net.subnet());
    // The first window that begins with it: all of it is left.
    net.settle(&subnet, &development_key(MINER));
    net.reach(&subnet, 32);
    let mut miner = net.party("mine", &["--batch", "1"]);
    let window = begun(&mut miner);
    let some = || (groups_on_disk(&net, &who, window) >= 2).then_some(());
    eventually("two groups", PATIENCE, some, || miner.story());
    miner.interrupt();
    let asked = Instant::now();
    assert_eq!(miner.wait(PATIENCE).code(), Some(0), "{}", miner.story());
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    let before = groups_on_disk(&net, &who, window) as u64;
    assert!((2..12).contains(&before), "{before} groups: nothing was interrupted");
    for name in ["window_closed", "window_published", "window_missed"] {
        assert!(miner.all(name).iter().all(|e| e["window"] != window), "{}", miner.story());
    }
    // No root is on its way: the next block has none, and there is no file.
    let head = net.reach(&subnet, net.best(&subnet) + 1).number;
    let committed = net.commitment(&subnet, head, &who).expect("the credentials");
    assert_eq!((committed.raw(1), net.file(&who, window)), (None, None));

    let mut miner = net.party("mine", &["--windows", "1", "--batch", "1"]);
    let resumed = miner.event("the same window", PATIENCE, |e| e["event"] == "window_begun");
    assert_eq!((resumed["window"].as_u64(), resumed["groups"].as_u64()), (Some(window), Some(before)));
    assert_eq!(miner.wait(PATIENCE).code(), Some(0), "{}", miner.story());
    assert_eq!(miner.all("window_published").len(), 1, "{}", miner.story());
    // Progress tells what is on disk.
    assert!(miner.all("working").iter().any(|e| e["groups"].as_u64() > Some(before)), "{}", miner.story());
    let stored = net.file(&who, window).expect("its file");
    let committed = net.commitment(&subnet, window + 31, &who).expect("a commitment");
    assert_eq!(committed.raw(1), Some(&WindowRoot::of_file(window, &stored).to_bytes()[..]));
    let mut workshop = Workshop::open(&net.network());
    let file = workshop.read(&stored);
    let groups = file.inferences.len() as u64 / 2;
    assert!(groups > before);
    let whole = workshop.file(&net.head(&subnet, window), &development_key(MINER), groups);
    assert!(deterministic(&file) == deterministic(&whole), "other rollouts than those of one run");
}
