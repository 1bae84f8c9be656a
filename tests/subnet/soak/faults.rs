//! What is done to the network and its parties. Cards are dealt from a shuffled deck that holds every kind, so that a
//! round leaves none out.

use std::collections::BTreeSet;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use super::facts::{BEACON, BUCKET, CHAIN, NETWORK, Name, WINDOW};
use super::stage::{PARTS, Stage, mortals};
use crate::link::Way;
use crate::net::{PATIENCE, text};
use crate::process::eventually;
use crate::random::{Random, now_ms};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Card {
    KillNetwork,
    KillMiner,
    KillValidator,
    KillAll,
    MissWindow,
    CutChain,
    CutBeacon,
    CutBucket,
    FillMiner,
    FillValidator,
    FillNetwork,
    ClockAhead,
    ClockBehind,
}

/// Sizes that no file can grow beyond on a full disk: nothing can be begun, or a file is cut in the middle.
const FULL_AT_BYTES: [u64; 3] = [0, 4096, 16_384];

impl Card {
    pub const ALL: [Self; 13] = [
        Self::KillNetwork,
        Self::KillMiner,
        Self::KillValidator,
        Self::KillAll,
        Self::MissWindow,
        Self::CutChain,
        Self::CutBeacon,
        Self::CutBucket,
        Self::FillMiner,
        Self::FillValidator,
        Self::FillNetwork,
        Self::ClockAhead,
        Self::ClockBehind,
    ];

    pub fn name(self) -> Name {
        match self {
            Self::KillNetwork => "network killed",
            Self::KillMiner => "miner killed",
            Self::KillValidator => "validator killed",
            Self::KillAll => "network and all mortals killed",
            Self::MissWindow => "miner away for a window",
            Self::CutChain => "chain out of reach",
            Self::CutBeacon => "beacon out of reach",
            Self::CutBucket => "bucket out of reach",
            Self::FillMiner => "miner's disk full",
            Self::FillValidator => "validator's disk full",
            Self::FillNetwork => "network's disk full",
            Self::ClockAhead => "clock ahead",
            Self::ClockBehind => "clock behind",
        }
    }

    /// Does it, and makes it good again.
    pub fn play(self, stage: &mut Stage, random: &mut Random) {
        stage.check_alive();
        println!("block {}: {}", stage.net.best(&stage.subnet), self.name());
        match self {
            Self::KillNetwork => kill(stage, &[NETWORK], away(random)),
            Self::KillMiner => kill(stage, &[random_of(random, "mine")], away(random)),
            Self::KillValidator => kill(stage, &[random_of(random, "validate")], away(random)),
            Self::KillAll => {
                let all = [&[NETWORK][..], &mortals("mine"), &mortals("validate")].concat();
                kill(stage, &all, away(random));
            }
            Self::MissWindow => miss_window(stage, random),
            Self::CutChain => cut(stage, random, CHAIN),
            Self::CutBeacon => cut(stage, random, BEACON),
            Self::CutBucket => cut(stage, random, BUCKET),
            Self::FillMiner => fill(stage, random, "mine"),
            Self::FillValidator => fill(stage, random, "validate"),
            Self::FillNetwork => fill_network(stage, random),
            Self::ClockAhead => set_clock(stage, random, 1),
            Self::ClockBehind => set_clock(stage, random, -1),
        }
        *stage.faults.entry(self.name()).or_default() += 1;
    }
}

fn random_of(random: &mut Random, command: &str) -> Name {
    random.one_of(&mortals(command))
}

fn away(random: &mut Random) -> Duration {
    random.ms(0, 1500)
}

fn kill(stage: &mut Stage, victims: &[Name], away: Duration) {
    let mut victims: BTreeSet<Name> = victims.iter().copied().collect();
    if victims.contains(NETWORK) {
        victims.extend(stage.starting());
    }
    let from_ms = now_ms();
    victims.iter().for_each(|key| stage.end(key));
    sleep(away);
    stage.restart(&victims);
    stage.was_away(victims, from_ms);
}

/// Keeps a miner away for the whole of the window after this one.
fn miss_window(stage: &mut Stage, random: &mut Random) {
    let (key, from_ms) = (random_of(random, "mine"), now_ms());
    stage.end(key);
    let next = stage.window() + 2 * WINDOW;
    stage.net.reach(&stage.subnet, next);
    stage.begin(key);
    stage.was_away([key], from_ms);
}

/// Nobody reaches a service that runs on. One whom that does not keep from starting may be killed meanwhile.
fn cut(stage: &mut Stage, random: &mut Random, service: Name) {
    let from_ms = now_ms();
    let lost = if service == CHAIN { stage.starting() } else { BTreeSet::new() };
    lost.iter().for_each(|key| stage.end(key));
    stage.cut(service, random.one_of(&[Way::Reset, Way::Silent]));
    sleep(random.ms(300, 2500));
    if service != CHAIN && random.below(2) == 0 {
        let command = random.one_of(&["mine", "validate"]);
        kill(stage, &[random_of(random, command)], away(random));
    }
    sleep(random.ms(300, 2000));
    stage.cut(service, Way::Open);
    stage.was_away([service], from_ms);
    stage.restart(&lost);
    stage.was_away(lost, from_ms);
}

/// From now on no file of a process grows beyond this: `unlimited`, or a number of bytes.
fn may_grow_to(stage: &mut Stage, key: Name, bytes: &str) {
    let (id, limit) = (stage.process(key).id().to_string(), format!("--fsize={bytes}:"));
    let limited = Command::new("prlimit").args(["--pid", &id, &limit]).status().expect("prlimit");
    assert!(limited.success(), "prlimit --pid {id} {limit}");
}

/// No block can be written and no object, until there is room again: the network goes on by itself.
fn fill_network(stage: &mut Stage, random: &mut Random) {
    let (from_ms, lost) = (now_ms(), stage.starting());
    lost.iter().for_each(|key| stage.end(key));
    let best = stage.net.best(&stage.subnet);
    let failed = |stage: &mut Stage| stage.process(NETWORK).told().matches("no block was made").count();
    let before = failed(stage);
    may_grow_to(stage, NETWORK, "0");
    eventually("a block that is not made", PATIENCE, || (failed(stage) > before).then_some(()), String::new);
    sleep(random.ms(500, 2000));
    may_grow_to(stage, NETWORK, "unlimited");
    // One block may have been on its way when the disk was filled.
    stage.net.reach(&stage.subnet, best + 2);
    stage.restart(&lost);
    stage.was_away(lost.into_iter().chain([NETWORK]), from_ms);
}

/// No file of a party grows any more, until it has found that out and ended; then there is room again.
fn fill(stage: &mut Stage, random: &mut Random, command: &str) {
    let (key, from_ms) = (random_of(random, command), now_ms());
    // Also on a machine so busy that no group is finished for some windows.
    let last = stage.net.best(&stage.subnet) + 12 * WINDOW;
    let full_at = random.one_of(&FULL_AT_BYTES).to_string();
    may_grow_to(stage, key, &full_at);
    while stage.party(key).is_running() {
        let best = stage.net.best(&stage.subnet);
        assert!(best <= last, "{key} wrote nothing until block {best}\n{}", stage.party(key).story());
        sleep(Duration::from_millis(100));
    }
    let place = text(&stage.data(key));
    let party = stage.party(key);
    let (code, told) = (party.wait(Duration::from_secs(10)).code(), party.told());
    let line = told.lines().find(|line| line.starts_with("grail: ")).unwrap_or_default();
    let is_told = line.contains(&place) && line.contains("File too large");
    assert!(code == Some(1) && is_told, "a full disk: {code:?} {line}\n{}", party.story());
    stage.end(key);
    stage.begin(key);
    stage.was_away([key], from_ms);
}

/// A party's clock is set by an hour or so, and right again after a while. It may start with the wrong one.
fn set_clock(stage: &mut Stage, random: &mut Random, direction: i64) {
    let part = &PARTS[random.below(PARTS.len() as u64) as usize];
    let from_ms = now_ms();
    let minutes = 20 + random.below(100) as i64;
    stage.set_clock(part.key, direction * minutes * 60_000);
    sleep(random.ms(500, 2000));
    if !part.steady && random.below(2) == 0 {
        kill(stage, &[part.key], away(random));
    }
    sleep(random.ms(1000, 5000));
    stage.set_clock(part.key, 0);
    stage.was_away([part.key], from_ms);
}
