//! What a soak has seen, as plain data: the judges look at nothing else.

use std::collections::{BTreeMap, BTreeSet};

use grail_protocol::verify::{Outcome, ReasonKind};

/// A party by its development key, or one of the things below.
pub type Name = &'static str;

/// The process that serves chain, beacon and buckets.
pub const NETWORK: Name = "network";
/// Its services, each of which may be out of reach while the others are not.
pub const CHAIN: Name = "chain";
pub const BEACON: Name = "beacon";
pub const BUCKET: Name = "bucket";
/// This machine, which may stand still or work for others.
pub const MACHINE: Name = "machine";

/// Blocks per window.
pub const WINDOW: u64 = 16;
/// Windows that weights count.
pub const COUNTED_WINDOWS: u64 = 12;

/// A window of the soak.
#[derive(Debug, Clone)]
pub struct Window {
    pub start: u64,
    /// Time of its first block.
    pub begun_ms: u64,
    /// Time of the block in its middle: whoever is back by then still has time for a group, a root and a file.
    pub middle_ms: u64,
    /// From then on no file of it is in time: some blocks after its challenge is known.
    pub over_ms: u64,
}

/// When something was not there or not right, in Unix milliseconds.
#[derive(Debug, Clone)]
pub struct Outage {
    pub who: Name,
    pub from_ms: u64,
    pub to_ms: u64,
}

/// A window file in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// SHA-256 in hex.
    pub hash: String,
    /// Groups in it, of which every rollout is there.
    pub groups: u64,
}

/// A root that was on chain when its window ended, and what there is of it.
#[derive(Debug, Clone)]
pub struct Rooted {
    /// SHA-256 of the file, in hex.
    pub root: String,
    /// What the miner's bucket has.
    pub bucket: Option<Stored>,
    /// Most groups that the miner ever said it had on disk.
    pub told_groups: u64,
}

/// A validator's record of a miner's window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub outcome: Outcome,
    pub reason: Option<ReasonKind>,
    pub groups: u64,
    pub checked: u64,
    pub distinct: u64,
}

/// Weights that came on chain.
#[derive(Debug, Clone)]
pub struct Weights {
    pub validator: Name,
    /// The first block that has them.
    pub block: u64,
    pub shown: BTreeMap<Name, u16>,
}

/// Resident memory of a process that was never killed: the least of a window at either time.
#[derive(Debug, Clone)]
pub struct Resident {
    pub who: Name,
    pub first_kib: u64,
    pub last_kib: u64,
}

/// Validator, first block of the window, miner.
pub type About = (Name, u64, Name);

/// Everything.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub miners: Vec<Name>,
    pub validators: Vec<Name>,
    /// Parties that are never killed.
    pub steady: Vec<Name>,
    pub windows: Vec<Window>,
    pub outages: Vec<Outage>,
    /// How often each kind of fault was made.
    pub faults: BTreeMap<Name, u64>,
    /// Every root that any block had, by miner and window.
    pub roots: BTreeMap<(Name, u64), BTreeSet<String>>,
    pub rooted: BTreeMap<(Name, u64), Rooted>,
    /// Records of all copies of a validator's database and of its bucket; those that are the same stand once.
    pub records: BTreeMap<About, Vec<Verdict>>,
    /// Every time that a validator said that it had judged a window.
    pub judged: Vec<(Name, u64)>,
    /// Windows that a validator said it had not seen.
    pub unseen: Vec<(Name, u64)>,
    pub weights: Vec<Weights>,
    pub resident: Vec<Resident>,
}

/// Longest pause between two attempts of a party: after it, it has noticed that an outage is over.
const NOTICED_MS: u64 = 2000;

impl Facts {
    /// Whether any of these was not there at some time between two.
    pub fn disturbed(&self, who: &[Name], from_ms: u64, to_ms: u64) -> bool {
        let touches = |o: &Outage| o.from_ms <= to_ms && o.to_ms + NOTICED_MS >= from_ms;
        self.outages.iter().any(|outage| who.contains(&outage.who) && touches(outage))
    }

    /// Whether a miner may have missed a window without any fault of the program: something was away in its second half,
    /// or until its files were late.
    pub fn may_miss(&self, miner: Name, window: &Window) -> bool {
        self.disturbed(&[miner, NETWORK, CHAIN, BEACON, BUCKET, MACHINE], window.middle_ms, window.over_ms)
    }

    /// Whether nothing but the machine excuses that.
    pub fn blames_machine(&self, miner: Name, window: &Window) -> bool {
        let soak = [miner, NETWORK, CHAIN, BEACON, BUCKET];
        self.may_miss(miner, window) && !self.disturbed(&soak, window.middle_ms, window.over_ms)
    }

    /// Seconds in which the machine stood still or worked for others.
    pub fn machine_away_s(&self) -> f64 {
        let mut spans: Vec<_> =
            self.outages.iter().filter(|o| o.who == MACHINE).map(|o| (o.from_ms, o.to_ms)).collect();
        spans.sort_unstable();
        let (mut away_ms, mut until) = (0, 0);
        for (from, to) in spans {
            away_ms += to.saturating_sub(from.max(until));
            until = until.max(to);
        }
        away_ms as f64 / 1000.0
    }

    /// Whether a validator may have been unable to look at a window's files: its own trouble and that of its bucket,
    /// until two windows later, when it has judged it.
    pub fn may_not_see(&self, validator: Name, window: &Window) -> bool {
        let judged_ms = window.over_ms + 2 * (window.over_ms - window.begun_ms);
        self.disturbed(&[validator, NETWORK, BUCKET, MACHINE], window.begun_ms, judged_ms)
    }

    /// The record, if there is exactly one.
    pub fn verdict(&self, about: About) -> Option<&Verdict> {
        match self.records.get(&about).map(Vec::as_slice) {
            Some([verdict]) => Some(verdict),
            _ => None,
        }
    }
}
