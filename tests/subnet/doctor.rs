//! `grail doctor` on the local network: whole, and with each part broken in turn. A broken part is told by its own check
//! with what to do, checks that need it are skipped, everything else stays well, and no secret is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Parser;
use grail::beacon::Clock;
use grail::commands::doctor::{CHECKS, Status, examine};
use grail::flags::{Cli, Command};
use grail::subnet::local::{MINER, development_key};
use grail_localnet::bucket::Access;
use serde_json::Value;

use crate::net::{Net, PATIENCE, bucket_variables, free_ports, runtime, text};
use crate::process::{Process, eventually};
use crate::trouble::SmallDisk;

const SIZES: [&str; 4] = ["--block-time", "500ms", "--window-length", "20"];

/// What a run found.
struct Found {
    code: Option<i32>,
    checks: BTreeMap<String, Value>,
    output: String,
}

impl Found {
    fn with(&self, status: &str) -> BTreeSet<&str> {
        self.checks.iter().filter(|(_, check)| check["status"] == status).map(|(name, _)| name.as_str()).collect()
    }
}

fn run(net: &Net, flags: &[String], variables: &[(&str, String)]) -> Found {
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut process = Process::start_with(net.home(), &flags, variables);
    let code = process.wait(PATIENCE).code();
    let printed = process.printed().join("\n");
    let told: Value = serde_json::from_str(&printed).unwrap_or_else(|e| panic!("{e}: {}", process.story()));
    let checks = told["checks"].as_array().expect("checks");
    let checks: BTreeMap<String, Value> =
        checks.iter().map(|check| (check["check"].as_str().expect("a name").to_owned(), check.clone())).collect();
    assert_eq!(checks.keys().map(String::as_str).collect::<BTreeSet<_>>(), CHECKS.into_iter().collect());
    assert_eq!(told["ok"], code == Some(0), "{printed}");
    Found { code, checks, output: process.story() }
}

/// Flags and variables by which everything of a local network is found as on a real one.
fn remote(net: &Net, key: &str) -> (BTreeMap<&'static str, String>, BTreeMap<&'static str, String>) {
    let at = net.description();
    let access = Access::derive(&at.secret, &development_key(MINER).account());
    let flags = BTreeMap::from([
        ("--network", at.chain.clone()),
        ("--parameters", text(&net.localnet_folder().join("network.json"))),
        ("--beacon-relay", at.beacon.clone()),
        ("--buckets-endpoint", at.bucket.clone()),
        ("--block-time", "500ms".to_owned()),
        ("--data", text(&net.home().join("remote"))),
        ("--memory", "1GiB".to_owned()),
        ("--threads", "1".to_owned()),
        ("--uri", key.to_owned()),
    ]);
    let variables = BTreeMap::from(bucket_variables(access, at.bucket));
    (flags, variables)
}

/// A part that is broken, by one flag or variable.
struct Break {
    by: &'static str,
    value: String,
    failed: &'static [&'static str],
    skipped: &'static [&'static str],
    /// In the advice of the first that failed.
    advice: &'static str,
}

fn breaks(net: &Net) -> Vec<Break> {
    let dead = free_ports()[0];
    let file = net.home().join("file");
    std::fs::write(&file, "").expect("a file");
    let none: &[&str] = &[];
    let row = |by, value: &str, failed, skipped, advice| Break { by, value: value.to_owned(), failed, skipped, advice };
    vec![
        row("--uri", "//Nobody", &["registration"], none, "register"),
        row("--role", "validate", &["registration"], none, "stake"),
        row("--model", "nowhere", &["model"], &["device", "model digest"], "--model"),
        row("--model", "tests/vectors/tiny-qwen3/tied-2l", &["model digest"], none, "sat-tiny"),
        row("--device", "cuda:99", &["device"], none, "--device cpu"),
        row("--data", &text(&file), &["disk"], none, "--data"),
        row("--parameters", &text(&file), &["parameters"], &CHECKS[5..], "--parameters"),
        row("--netuid", "7", &["parameters"], &CHECKS[5..], "--netuid"),
        row("--network", &format!("ws://127.0.0.1:{dead}/hush"), &["chain"], &["clock", "registration"], "--network"),
        row("--beacon-relay", &format!("http://127.0.0.1:{dead}"), &["beacon"], none, "--beacon-relay"),
        row("R2_WRITE_SECRET_ACCESS_KEY", "hush", &["bucket write"], &CHECKS[11..], "R2_WRITE_ACCESS_KEY_ID"),
        row("R2_WRITE_ACCESS_KEY_ID", "", &["bucket write"], &CHECKS[11..], ".env.example"),
        row(
            "R2_ENDPOINT_URL",
            &format!("http://127.0.0.1:{dead}"),
            &["bucket write"],
            &CHECKS[11..],
            "R2_ENDPOINT_URL",
        ),
        row(
            "R2_READ_SECRET_ACCESS_KEY",
            "hush",
            &["bucket read", "bucket list"],
            &["read key"],
            "R2_READ_ACCESS_KEY_ID",
        ),
    ]
}

#[test]
fn every_broken_part_is_told_with_what_to_do_and_a_whole_network_is_whole() {
    let net = Net::start(&SIZES);
    let subnet = net.subnet();
    net.settle(&subnet, &development_key(MINER));
    let registered = || (run_remote(&net, None).code == Some(0)).then_some(());
    eventually("a whole network", PATIENCE, registered, || run_remote(&net, None).output);
    for broken in breaks(&net) {
        let found = run_remote(&net, Some(&broken));
        let by = format!("{} {}: {}", broken.by, broken.value, found.output);
        assert_eq!(found.code, Some(1), "{by}");
        assert_eq!(found.with("failed"), broken.failed.iter().copied().collect(), "{by}");
        assert_eq!(found.with("skipped"), broken.skipped.iter().copied().collect(), "{by}");
        let advice = found.checks[broken.failed[0]]["advice"].as_str().expect("advice");
        assert!(advice.contains(broken.advice), "{by}");
    }
    // A wallet that is not there excludes a key's text.
    let (mut flags, variables) = remote(&net, MINER);
    flags.remove("--uri");
    flags.extend([("--hotkey", "none".to_owned()), ("--wallet-path", text(&net.home().join("wallets")))]);
    let found = run(&net, &line(&flags), &variables.into_iter().collect::<Vec<_>>());
    assert_eq!((found.with("failed"), found.with("skipped")), (["wallet"].into(), ["registration"].into()));
    a_small_disk(&net);
}

fn a_small_disk(net: &Net) {
    let place = net.home().join("small");
    let Some(_disk) = SmallDisk::mount(&place, "1m") else {
        eprintln!("SKIPPED, a part of every_broken_part: this user may not mount a tmpfs");
        return;
    };
    let found =
        run_remote(net, Some(&Break { by: "--data", value: text(&place), failed: &[], skipped: &[], advice: "" }));
    assert_eq!((found.code, found.with("failed")), (Some(1), ["disk"].into()), "{}", found.output);
    assert!(found.checks["disk"]["found"].as_str().is_some_and(|found| found.contains("a window may need")));
}

fn line(flags: &BTreeMap<&'static str, String>) -> Vec<String> {
    let flags = flags.iter().flat_map(|(flag, value)| [(*flag).to_owned(), value.clone()]);
    ["doctor".to_owned(), "--json".to_owned()].into_iter().chain(flags).collect()
}

/// With one thing broken, or none.
fn run_remote(net: &Net, broken: Option<&Break>) -> Found {
    let (mut flags, mut variables) = remote(net, MINER);
    if let Some(broken) = broken {
        let of = if broken.by.starts_with("--") { &mut flags } else { &mut variables };
        of.insert(broken.by, broken.value.clone());
    }
    let found =
        run(net, &line(&flags), &variables.iter().map(|(&name, value)| (name, value.clone())).collect::<Vec<_>>());
    for secret in ["R2_WRITE_SECRET_ACCESS_KEY", "R2_READ_SECRET_ACCESS_KEY"].map(|name| &variables[name]) {
        assert!(!found.output.contains(secret.as_str()), "{secret} is shown");
    }
    assert!(found.checks.values().all(|check| !check.to_string().contains("hush")), "{}", found.output);
    found
}

#[test]
fn a_local_network_is_looked_at_and_neither_started_nor_joined() {
    let mut net = Net::planned(&SIZES);
    let data = text(&net.data());
    let doctor = |role: &str| {
        ["doctor", "--json", "--data", &data, "--role", role, "--threads", "1", "--memory", "1GiB"].map(str::to_owned)
    };
    let found = run(&net, &doctor("mine"), &[]);
    assert_eq!((found.code, found.with("failed")), (Some(1), ["parameters"].into()), "{}", found.output);
    assert!(found.checks["parameters"]["advice"].as_str().is_some_and(|advice| advice.contains("grail localnet")));
    assert!(!net.localnet_folder().exists());
    net.serve();
    let found = run(&net, &doctor("validate"), &[]);
    assert_eq!((found.code, found.with("ok").len()), (Some(0), CHECKS.len()), "{}", found.output);
    // Its bucket is there only after it was registered, which doctor leaves to the miner.
    let found = run(&net, &doctor("mine"), &[]);
    assert!(found.code == Some(1) && found.with("failed").contains("registration"), "{}", found.output);
    // What was killed leaves its description behind.
    net.kill();
    let found = run(&net, &doctor("validate"), &[]);
    assert_eq!(found.with("failed"), ["chain", "beacon", "bucket write"].into(), "{}", found.output);
}

#[test]
fn a_clock_that_is_wrong_is_told_and_nothing_else() {
    let net = Net::start(&SIZES);
    let data = text(&net.data());
    let words = ["grail", "doctor", "--data", &data, "--role", "validate", "--threads", "1", "--memory", "1GiB"];
    let Command::Doctor(flags) = Cli::try_parse_from(words).expect("flags").command else { panic!("another command") };
    let hour_ms = Duration::from_secs(3600).as_millis() as i64;
    for (ahead_ms, says) in [(0, ""), (hour_ms, "ahead"), (-hour_ms, "behind")] {
        let machine = Clock::system();
        let clock = Clock::from_fn(move || machine.now_ms().saturating_add_signed(ahead_ms));
        let report = runtime().block_on(examine(&flags, &clock));
        let failed: Vec<&str> =
            report.checks().iter().filter(|check| check.status != Status::Ok).map(|check| check.check).collect();
        assert_eq!(failed, if ahead_ms == 0 { vec![] } else { vec!["clock"] }, "{:?}", report.checks());
        let clock = report.check("clock").expect("it was looked at");
        assert!(clock.found.contains(says) && clock.advice.is_some() == (ahead_ms != 0), "{clock:?}");
    }
}
