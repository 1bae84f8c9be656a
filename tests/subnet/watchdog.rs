//! A miner and a validator that hang end themselves, and lose nothing by it; one that waits for others does not.
//!
//! They hang for real: where they open a file of their own there is a pipe with nobody at its other end, and the system
//! keeps whoever opens it.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use grail::miner::folder as mine_folder;
use grail::subnet::local::{MINER, VALIDATOR, development_key};
use grail::validator::folder as validate_folder;
use grail_protocol::ss58;

use crate::net::{Net, PATIENCE, account, of_window, text};
use crate::process::{Process, eventually, grail};

const SIZES: [&str; 10] = [
    "--block-time",
    "500ms",
    "--window-length",
    "12",
    "--max-groups",
    "2",
    "--rollouts-per-problem",
    "2",
    "--max-new-tokens",
    "80",
];
const WINDOW: u64 = 12;
/// Of the programs here; the look that finds a hang comes within as much and a third.
const TIMEOUT: &str = "3s";
/// Looks of the watchdog that more than its timeout has passed after: it looks three times in one.
const LOOKS: usize = 7;

fn pipe(at: &Path) {
    fs::create_dir_all(at.parent().expect("a folder")).expect("a folder");
    assert!(Command::new("mkfifo").arg(at).status().expect("mkfifo").success());
}

/// The line that a program which hangs ends with.
fn hung(process: &mut Process) -> String {
    assert_eq!(process.wait(PATIENCE).code(), Some(4), "{}", process.story());
    let told = process.told();
    let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("grail: ")).collect();
    let [line] = lines[..] else { panic!("one line, not {told}") };
    line.to_owned()
}

#[test]
fn a_miner_that_hangs_ends_itself_and_goes_on_when_it_is_started_again() {
    let net = Net::start(&SIZES);
    let (subnet, address) = (net.subnet(), ss58::encode(&account(MINER)));
    net.settle(&subnet, &development_key(MINER));
    let work = mine_folder(&net.data(), net.network().network().id(), &address);
    // One window to work in, and one that it cannot open the journal of.
    let first = net.window(&subnet) + WINDOW;
    let blocked = work.join((first + WINDOW).to_string()).join("groups.jsonl");
    pipe(&blocked);
    net.reach(&subnet, first);
    let mut miner = net.party("mine", &["--watchdog", TIMEOUT]);
    let line = hung(&mut miner);
    assert!(line.starts_with("grail: hung: mining made no progress for 3 s"), "{line}");
    assert!(line.contains(&format!("window {}", first + WINDOW)), "{line}");
    fs::remove_file(&blocked).expect("the pipe");
    let mut miner = net.party("mine", &["--watchdog", TIMEOUT]);
    let next = miner.event("a window after it", PATIENCE, |e| e["event"] == "window_published");
    assert!(next["window"].as_u64() > Some(first), "{}", miner.story());
    // What was made before the hang is where it has to be, whoever of the two brought it there.
    assert!(net.file(&account(MINER), first).is_some(), "{}", miner.story());
}

#[test]
fn a_validator_that_hangs_ends_itself_and_judges_the_window_when_it_is_started_again() {
    let net = Net::start(&SIZES);
    let subnet = net.subnet();
    let (who, own) = (ss58::encode(&account(MINER)), ss58::encode(&account(VALIDATOR)));
    let folder = validate_folder(&net.data(), net.network().network().id(), &own);
    net.settle(&subnet, &development_key(MINER));
    let window = net.window(&subnet) + WINDOW;
    let mut validator = net.party("validate", &["--watchdog", TIMEOUT]);
    let mut miner = net.party("mine", &[]);
    // Where a file goes that it fetches.
    let blocked = folder.join("fetched").join(window.to_string()).join(format!("{who}.json.gz"));
    pipe(&blocked);
    miner.event("a file", PATIENCE, |e| of_window(e, "window_published", window));
    let line = hung(&mut validator);
    assert!(line.contains(&format!("hung: fetching the file of {who} made no progress for 3 s")), "{line}");
    assert!(validator.all("window_judged").iter().all(|e| e["window"] != window), "{}", validator.story());
    fs::remove_file(&blocked).expect("the pipe");
    let mut validator = net.party("validate", &["--watchdog", TIMEOUT]);
    let judged = validator.event("its verdict", PATIENCE, |e| of_window(e, "judged", window) && e["uid"] != 0);
    assert_eq!(judged["outcome"], "valid", "{}", validator.story());
}

/// Looks that found nothing so far.
fn looks(process: &Process) -> usize {
    process.told().matches("every part of the program gets on").count()
}

fn seen_well(process: &mut Process) {
    let before = looks(process);
    let more = || (looks(process) >= before + LOOKS).then_some(());
    eventually("looks of the watchdog", PATIENCE, more, || process.story());
    assert!(process.is_running(), "{}", process.story());
}

#[test]
fn whoever_waits_for_a_chain_that_stands_still_or_is_away_does_not_hang() {
    // Blocks so seldom that none comes.
    let mut net = Net::start(&["--block-time", "20m", "--window-length", "4"]);
    let flags = |command| [command, "-vv", "--watchdog", TIMEOUT];
    let mut parties = ["mine", "validate"].map(|command| {
        let own = if command == "mine" { ["--uri", VALIDATOR] } else { ["--uri", "//Validator"] };
        net.party(command, &[&flags(command)[1..], &own[..]].concat())
    });
    for party in &mut parties {
        seen_well(party);
        assert!(!party.told().contains("the chain is away"), "{}", party.story());
    }
    net.kill();
    for party in &mut parties {
        let away = || party.told().contains("the chain is away; waiting").then_some(());
        eventually("an outage", PATIENCE, away, || party.story());
        seen_well(party);
        party.interrupt();
        assert_eq!(party.wait(PATIENCE).code(), Some(0), "{}", party.story());
    }
}

/// What a service manager hears: `NOTIFY_SOCKET` of systemd.
#[test]
fn a_service_manager_hears_that_it_is_up_that_it_is_well_and_that_it_stops() {
    let net = Net::start(&SIZES);
    let path = net.home().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let hear = || {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).expect("a message in time");
        String::from_utf8(buffer[..length].to_vec()).expect("text").trim().to_owned()
    };
    let data = text(&net.data());
    let flags = ["mine", "--data", &data, "--json", "--threads", "1", "--memory", "1GiB"];
    for (own, asked, well) in [("10m", Some("400000"), true), ("off", Some("400000"), true), ("1s", None, false)] {
        let mut variables = vec![("NOTIFY_SOCKET", text(&path))];
        variables.extend(asked.map(|microseconds| ("WATCHDOG_USEC", microseconds.to_owned())));
        let more = ["--watchdog", own, "-vv"];
        let mut miner = Process::start_with(net.home(), &[&flags[..], &more].concat(), &variables);
        assert_eq!(hear(), "READY=1");
        match well {
            true => assert_eq!((hear().as_str(), hear().as_str()), ("WATCHDOG=1", "WATCHDOG=1")),
            // It is watched, and nobody asked to hear of that.
            false => seen_well(&mut miner),
        }
        miner.interrupt();
        let mut last = hear();
        while well && last == "WATCHDOG=1" {
            last = hear();
        }
        assert_eq!(last, "STOPPING=1");
        assert_eq!(miner.wait(PATIENCE).code(), Some(0), "{}", miner.story());
        socket.set_nonblocking(true).expect("a socket");
        while socket.recv(&mut [0; 256]).is_ok() {}
        socket.set_nonblocking(false).expect("a socket");
    }
}

#[test]
fn a_time_of_no_use_is_refused_with_what_is_expected() {
    let home = tempfile::tempdir().expect("a folder");
    for command in ["mine", "validate"] {
        let refused = grail(home.path(), &[command, "--watchdog", "0s"]).output().expect("the binary");
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && told.contains("--watchdog") && told.contains("or off"), "{told}");
    }
}
