//! SIGTERM, which is how a service manager stops a program: it ends in order, loses nothing, and does not wait for what
//! may take long; a second one ends it where it stands.

use std::time::{Duration, Instant};

use grail::subnet::local::{MINER, VALIDATOR, development_key};
use grail::validator::{Book, folder};
use grail_protocol::ss58;
use grail_protocol::window_root::WindowRoot;

use crate::net::{Net, PATIENCE, account, of_window};

const SIZES: [&str; 10] = [
    "--block-time",
    "500ms",
    "--window-length",
    "16",
    "--max-groups",
    "2",
    "--rollouts-per-problem",
    "2",
    "--max-new-tokens",
    "80",
];
const WINDOW: u64 = 16;
/// Well below the 20 seconds that what is on its way may take.
const AT_ONCE: Duration = Duration::from_secs(10);

#[test]
fn a_validator_that_is_terminated_ends_with_0_and_judges_every_window_once() {
    let net = Net::start(&SIZES);
    let own = account(VALIDATOR);
    let mut miner = net.party("mine", &[]);
    let mut validator = net.party("validate", &[]);
    let first = validator.event("a verdict", PATIENCE, |e| e["event"] == "window_judged");
    let first = first["window"].as_u64().expect("a block");
    // In the middle of what it does next.
    let published = |e: &serde_json::Value| e["event"] == "window_published" && e["window"].as_u64() > Some(first);
    let window = miner.event("the next file", PATIENCE, published)["window"].as_u64().expect("a block");
    validator.terminate();
    let asked = Instant::now();
    assert_eq!(validator.wait(PATIENCE).code(), Some(0), "{}", validator.story());
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    let before = validator.all("window_judged");
    let mut validator = net.party("validate", &[]);
    validator.event("the window it was stopped in", PATIENCE, |e| of_window(e, "window_judged", window));
    validator.terminate();
    assert_eq!(validator.wait(PATIENCE).code(), Some(0), "{}", validator.story());
    let mut judged: Vec<u64> =
        before.iter().chain(&validator.all("window_judged")).map(|e| e["window"].as_u64().expect("a block")).collect();
    let all = judged.clone();
    judged.dedup();
    assert_eq!(judged, all, "a window was judged twice");
    assert!(judged.windows(2).all(|pair| pair[1] == pair[0] + WINDOW), "{judged:?}");
    let place = folder(&net.data(), net.network().network().id(), &ss58::encode(&own)).join("book.redb");
    let book = Book::open(&place, net.network().network().id()).expect("the database");
    for window in judged {
        assert!(book.records(window).expect("the database").is_some_and(|r| !r.is_empty()), "window {window}");
    }
}

#[test]
fn a_miner_that_is_terminated_twice_ends_where_it_stands_and_the_next_start_publishes() {
    let mut net = Net::start(&SIZES);
    net.settle(&net.subnet(), &development_key(MINER));
    let mut miner = net.party("mine", &["--batch", "1"]);
    let begun = miner.event("a window", PATIENCE, |e| e["event"] == "window_begun");
    let window = begun["window"].as_u64().expect("a block");
    // The file is made without a network, and cannot get out.
    net.kill();
    miner.event("the file", PATIENCE, |e| of_window(e, "window_closed", window));
    miner.terminate();
    let told = || miner.told().contains("once more ends the program at once").then_some(());
    crate::process::eventually("the first one is heard", PATIENCE, told, || miner.story());
    assert!(miner.is_running(), "nothing was on its way: {}", miner.story());
    miner.terminate();
    let asked = Instant::now();
    assert_eq!(miner.wait(PATIENCE).code(), Some(130), "{}", miner.story());
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    assert!(miner.all("window_published").is_empty());

    net.serve();
    let mut miner = net.party("mine", &["--batch", "1"]);
    miner.event("root and file", PATIENCE, |e| of_window(e, "window_published", window));
    let stored = net.file(&account(MINER), window).expect("its file");
    let committed = net.commitment(&net.subnet(), window + WINDOW - 1, &account(MINER)).expect("a commitment");
    assert_eq!(committed.raw(1), Some(&WindowRoot::of_file(window, &stored).to_bytes()[..]));
    miner.terminate();
    assert_eq!(miner.wait(PATIENCE).code(), Some(0), "{}", miner.story());
}
