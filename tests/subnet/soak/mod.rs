//! The soak: a network, three miners and two validators under every kind of fault for as long as one likes, and what
//! must hold afterwards.
//!
//!     cargo test --release --test subnet soak -- --ignored --nocapture
//!
//! `SOAK_SECONDS` (120) of blocks, `SOAK_SEED`, and `SOAK_REPORT`, a file for the report as JSON. Faults come one after
//! the other from a shuffled deck (`faults`): processes are killed, services go out of the parties' reach behind links
//! that the test cuts, files cannot grow, clocks are set. One miner and one validator are never killed and their disks
//! never full, as a full disk ends a program: they meet everything else, and carry the claim about memory, which a
//! process has only as long as it lives.
//!
//! A window may be missed only if something that its miner needs was away while the window lasted; every other one has
//! to be valid. No judge looks at anything but `facts`, and `controls` holds each to refusing facts that are tampered with.

mod busy;
mod controls;
mod facts;
mod faults;
mod gather;
mod judges;
mod report;
mod skew;
mod stage;
mod watch;

use std::thread::sleep;

use crate::net::of_window;
use crate::random::{Random, now_ms, seed};
use facts::WINDOW;
use faults::Card;
use gather::{Span, gather};
use judges::JUDGES;
use report::Run;
use stage::{BLOCK_MS, PARTS, Stage, keys};

const USUAL_SEED: u64 = 20_261_129;
const USUAL_SECONDS: u64 = 120;
/// Shorter ones have not a window for each kind of fault.
const LEAST_SECONDS: u64 = 100;
/// When memory is first looked at; earlier in a short run.
const SETTLED_SECONDS: u64 = 300;
/// Windows that the chain may make until everybody has told something at the start, and the last verdicts at the end.
const START_WINDOWS: u64 = 10;
const END_WINDOWS: u64 = 6;

#[test]
#[ignore = "takes minutes: run by .ci/run, or by hand"]
fn a_soak_loses_nothing_pays_nothing_twice_and_punishes_nobody_honest() {
    let (seconds, seed) = (seed("SOAK_SECONDS", USUAL_SECONDS), seed("SOAK_SEED", USUAL_SEED));
    assert!(seconds >= LEAST_SECONDS, "SOAK_SECONDS: {seconds}; expected at least {LEAST_SECONDS}");
    let run = Run { seed, seconds };
    println!("SOAK_SEED={seed} SOAK_SECONDS={seconds}");
    let mut stage = Stage::new();
    let span = soak(&mut stage, &run);
    let facts = gather(&stage, &span);
    println!("\n{}", report::text(&facts, &run));
    if let Some(path) = std::env::var_os("SOAK_REPORT") {
        let text = format!("{:#}\n", report::json(&facts, &run));
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("SOAK_REPORT {}: {error}", path.display()));
    }
    let wrong: Vec<String> = JUDGES.iter().flat_map(|(_, judge)| judge(&facts)).collect();
    assert!(wrong.is_empty(), "SOAK_SEED={seed}\n{}", wrong.join("\n"));
}

/// Plays cards until enough blocks are made and a whole deck is played, lets everybody finish, and ends all parties.
fn soak(stage: &mut Stage, run: &Run) -> Span {
    let mut random = Random(run.seed);
    let everybody: Vec<_> = PARTS.iter().map(|part| part.key).collect();
    stage.told("a first word", &everybody, START_WINDOWS, |_| true);
    stage.told("a first verdict", &keys("validate"), START_WINDOWS, |e| e["event"] == "window_judged");
    let (first, begun_ms) = (stage.window() + WINDOW, now_ms());
    let least = first + run.seconds * 1000 / BLOCK_MS / WINDOW * WINDOW;
    let mut deck = random.shuffled(Card::ALL);
    let mut rounds = 0;
    let last = loop {
        sleep(random.ms(2000, 7000));
        stage.check_alive();
        let window = stage.window();
        if rounds > 0 && window >= least {
            break window;
        }
        let card = deck.pop_front().expect("a deck is never empty");
        if deck.is_empty() {
            rounds += 1;
            deck = random.shuffled(Card::ALL);
        }
        card.play(stage, &mut random);
    };
    // All are up again. What has a root gets its file, and the validators their verdicts.
    let judged = |e: &serde_json::Value| of_window(e, "window_judged", last + WINDOW);
    stage.told("the last windows", &keys("validate"), END_WINDOWS, judged);
    let last_memory_ms = now_ms();
    stage.end_all();
    let settled_ms = (SETTLED_SECONDS * 1000).min((last_memory_ms - begun_ms) / 4);
    Span { first, last, first_memory_ms: begun_ms + settled_ms, last_memory_ms }
}
