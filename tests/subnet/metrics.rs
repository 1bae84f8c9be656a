//! What Prometheus reads of a miner and a validator that run.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::net::{Net, PATIENCE, free_ports, of_window};
use crate::process::{Process, eventually, run};

/// The page, as a scraper asks for it.
fn scrape(address: &str) -> String {
    let mut connection = TcpStream::connect(address).expect("somebody who listens");
    connection.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    connection.write_all(format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).expect("a request");
    let mut page = String::new();
    connection.read_to_string(&mut page).expect("an answer");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    page
}

fn value(page: &str, name: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name}\n{page}")).parse().expect("a number")
}

#[test]
fn the_pages_of_a_miner_and_a_validator_agree_with_their_events() {
    let net = Net::start(&["--block-time", "400ms", "--window-length", "16", "--max-groups", "4"]);
    let [mine, validate, _] = free_ports().map(|port| format!("127.0.0.1:{port}"));
    let mut validator = net.party("validate", &["--metrics-addr", &validate]);
    let mut miner = net.party("mine", &["--metrics-addr", &mine]);
    miner.event("a window", PATIENCE, |e| e["event"] == "window_begun");
    // Whoever asks and then neither writes nor reads costs no window.
    let _silent = TcpStream::connect(&mine).expect("a miner who listens");
    let valid = |event: &Value| event["event"] == "judged" && event["outcome"] == "valid";
    let window = validator.event("a valid window", PATIENCE, valid)["window"].as_u64().expect("a block");
    validator.event("its end", PATIENCE, |e| of_window(e, "window_judged", window));
    validator.event("weights", PATIENCE, |e| of_window(e, "weights_set", window));
    // What is printed has been counted before.
    let checked = |validator: &Process| {
        let checked = |e: &Value| e["checked"].as_u64().expect("a number");
        (validator.all("judged").iter().map(checked).sum::<u64>() * 4) as f64
    };
    let published = |miner: &Process| miner.all("window_published").len() as f64;
    let (least_checked, least_published) = (checked(&validator), published(&miner));
    let page = scrape(&validate);
    let rollouts = value(&page, "validation_total_rollouts_processed");
    assert!(least_checked > 0.0 && rollouts >= least_checked, "{least_checked}\n{page}");
    assert!(value(&page, "validation_valid_rollouts") > 0.0, "{page}");
    assert_eq!(value(&page, "weights_stats_max"), 1.0, "{page}");
    eventually("all checked", PATIENCE, || (checked(&validator) >= rollouts).then_some(()), || validator.story());
    let page = scrape(&mine);
    let uploads = value(&page, "mining_successful_uploads");
    assert!(least_published > 0.0 && uploads >= least_published, "{least_published}\n{page}");
    assert!(value(&page, "mining_rollouts_per_second") > 0.0, "{page}");
    eventually("all published", PATIENCE, || (published(&miner) >= uploads).then_some(()), || miner.story());
    miner.interrupt();
    assert_eq!(miner.wait(PATIENCE).code(), Some(0), "{}", miner.story());
}

#[test]
fn an_address_of_metrics_that_is_taken_ends_both_at_once() {
    let home = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for command in ["mine", "validate"] {
        let ended = run(home.path(), &[command, "--metrics-addr", &address], PATIENCE);
        let line = ended.line(1);
        assert!(line.contains(&format!("--metrics-addr {address}: Address already in use")), "{line}");
    }
    let line = run(home.path(), &["mine", "--metrics-addr", "9100"], PATIENCE);
    assert_eq!(line.code, Some(2), "{}", line.stderr);
    assert!(line.stderr.contains("--metrics-addr"), "{}", line.stderr);
}
