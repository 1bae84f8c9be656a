//! What must hold after a soak. Each judge gives what it found wrong, one line a finding; nothing wrong is an empty list.

use std::collections::BTreeMap;

use grail_protocol::verify::{Outcome, ReasonKind};

use super::facts::{COUNTED_WINDOWS, Facts, Name, Verdict, WINDOW, Weights, Window};
use super::faults::Card;

/// Of so many windows, one may be missed because the machine worked for others.
const MACHINE_AT_MOST: usize = 5;
/// Weights of a window come on chain before so many windows are over.
const STALE_WINDOWS: u64 = 6;

pub type Judge = fn(&Facts) -> Vec<String>;

/// A claim in the words of the report, and its judge.
pub const JUDGES: [(&str, Judge); 5] = [
    ("no rollout lost after its root was on chain", nothing_lost),
    ("no window paid twice", paid_once),
    ("no honest miner punished", nobody_punished),
    ("resident memory at most 1.1 times the first", memory_kept),
    ("every kind of fault was made", every_fault_made),
];

/// A root's file is in the miner's bucket, however late, is the one of the root, and holds every group that the miner had
/// on disk.
pub fn nothing_lost(facts: &Facts) -> Vec<String> {
    let mut wrong = Vec::new();
    for ((miner, window), rooted) in &facts.rooted {
        match &rooted.bucket {
            None => wrong.push(format!("{miner}, window {window}: a root on chain and no file in the bucket")),
            Some(stored) if stored.hash != rooted.root => {
                wrong.push(format!("{miner}, window {window}: the root is {}, the file {}", rooted.root, stored.hash));
            }
            Some(stored) if stored.groups < rooted.told_groups => {
                let (has, told) = (stored.groups, rooted.told_groups);
                wrong.push(format!("{miner}, window {window}: {told} groups were on disk, the file has {has}"));
            }
            Some(_) => {}
        }
    }
    let rooted = |miner: &Name| facts.rooted.keys().any(|(of, _)| of == miner);
    let none = facts.miners.iter().filter(|miner| !rooted(miner));
    wrong.extend(none.map(|miner| format!("{miner}: no root ever came on chain, which tells nothing")));
    wrong
}

/// A window has one root and one record, which is made once; no file counts for two; and every weight on chain is what
/// the records of the last twelve windows give, each counted once.
pub fn paid_once(facts: &Facts) -> Vec<String> {
    let mut wrong = Vec::new();
    for ((miner, window), roots) in &facts.roots {
        if roots.len() > 1 {
            wrong.push(format!("{miner}, window {window}: {} roots were on chain", roots.len()));
        }
    }
    let mut files = BTreeMap::new();
    for ((miner, window), rooted) in &facts.rooted {
        if let Some((other, before)) = files.insert(&rooted.root, (miner, window)) {
            wrong.push(format!("{miner}, window {window}: the file of {other}, window {before}"));
        }
    }
    for ((validator, window, miner), records) in &facts.records {
        if records.len() != 1 {
            wrong.push(format!("{validator}, window {window}, {miner}: {} different records", records.len()));
        }
    }
    let mut times = BTreeMap::<_, u64>::new();
    for judged in &facts.judged {
        *times.entry(judged).or_default() += 1;
    }
    let twice = times.iter().filter(|(_, times)| **times > 1);
    wrong.extend(
        twice.map(|((validator, window), times)| format!("{validator}, window {window}: judged {times} times")),
    );
    for validator in &facts.validators {
        wrong.extend(weights_follow(facts, validator));
    }
    wrong
}

/// Weights on chain, one after the other, are those of windows in their order.
fn weights_follow(facts: &Facts, validator: Name) -> Vec<String> {
    let (mut wrong, mut newest, mut seen) = (Vec::new(), 0, 0);
    let mut judged: Vec<u64> = facts.records.keys().filter(|(of, ..)| *of == validator).map(|about| about.1).collect();
    judged.dedup();
    for weights in facts.weights.iter().filter(|weights| weights.validator == validator) {
        let counts = |window: u64| window + WINDOW <= weights.block && weights.block <= window + STALE_WINDOWS * WINDOW;
        let mut could_count = judged.iter().copied().filter(|&window| window >= newest && counts(window));
        match could_count.find(|&window| agree(&expected(facts, validator, window), weights)) {
            Some(window) => newest = window,
            None => wrong.push(format!(
                "{validator}, block {}: no window from {newest} on gives the weights {:?}",
                weights.block, weights.shown
            )),
        }
        seen += 1;
    }
    if seen == 0 {
        wrong.push(format!("{validator}: no weights ever came on chain, which tells nothing"));
    }
    wrong
}

/// The weights of a window by DESIGN 4.15, computed here anew: distinct successes of twelve windows to the power of 1.4,
/// of 65535 for the largest.
fn expected(facts: &Facts, validator: Name, window: u64) -> BTreeMap<Name, u16> {
    let oldest = window.saturating_sub((COUNTED_WINDOWS - 1) * WINDOW);
    let mut work = BTreeMap::<Name, f64>::new();
    for ((of, start, miner), records) in &facts.records {
        let counts = *of == validator && (oldest..=window).contains(start);
        for record in records.iter().filter(|record| counts && record.outcome == Outcome::Valid) {
            *work.entry(miner).or_default() += record.groups as f64 / record.checked as f64 * record.distinct as f64;
        }
    }
    let most = work.values().copied().fold(f64::MIN_POSITIVE, f64::max);
    work.into_iter().map(|(miner, work)| (miner, ((work / most).powf(1.4) * 65535.0).round() as u16)).collect()
}

/// Equal but for the last rounding.
fn agree(expected: &BTreeMap<Name, u16>, weights: &Weights) -> bool {
    let of = |all: &BTreeMap<Name, u16>, miner: &Name| all.get(miner).copied().unwrap_or(0);
    let mut miners = expected.keys().chain(weights.shown.keys());
    miners.all(|miner| of(expected, miner).abs_diff(of(&weights.shown, miner)) <= 1)
}

/// Every window of every miner is valid at every validator. Missed ones are the soak's doing: a root or a file that did
/// not come in time while something was away, and no verdict while the validator could not look.
pub fn nobody_punished(facts: &Facts) -> Vec<String> {
    let mut wrong: Vec<String> =
        facts.unseen.iter().map(|(validator, window)| format!("{validator}, window {window}: not seen")).collect();
    for miner in &facts.miners {
        if facts.windows.iter().all(|window| facts.may_miss(miner, window)) {
            wrong.push(format!("{miner}: there is an alibi for every window, which tells nothing"));
        }
        for validator in &facts.validators {
            let (mut valid, mut machine) = (0, 0);
            for window in &facts.windows {
                let about = (*validator, window.start, *miner);
                let found = facts.verdict(about).ok_or_else(|| "not one record".to_owned());
                match found.and_then(|verdict| just(facts, about, window, verdict)) {
                    Ok(is_valid) => {
                        valid += usize::from(is_valid);
                        machine += usize::from(!is_valid && facts.blames_machine(miner, window));
                    }
                    Err(why) => wrong.push(format!("{validator}, window {}, {miner}: {why}", window.start)),
                }
            }
            let all = facts.windows.len();
            if machine * MACHINE_AT_MOST > all {
                wrong.push(format!(
                    "{validator}, {miner}: {machine} windows of {all} were missed with no other excuse than a busy machine"
                ));
            }
            if valid * 3 < all {
                wrong
                    .push(format!("{validator}, {miner}: {valid} windows of {all} were valid, which tells too little"));
            }
        }
    }
    wrong
}

/// Whether a verdict is valid; or why it should have been.
fn just(
    facts: &Facts,
    (validator, start, miner): (Name, u64, Name),
    window: &Window,
    found: &Verdict,
) -> Result<bool, String> {
    let has_root = facts.rooted.contains_key(&(miner, start));
    let (missed, blind) = (facts.may_miss(miner, window), facts.may_not_see(validator, window));
    let told = || format!("{}, {:?}", found.outcome.name(), found.reason);
    match (found.outcome, found.reason) {
        (Outcome::Valid, None) if has_root && found.groups > 0 && found.checked == found.groups => Ok(true),
        (Outcome::Void, Some(ReasonKind::NoRoot)) if has_root => Err(format!("{}, and its root is on chain", told())),
        (Outcome::Void, Some(ReasonKind::NoRoot | ReasonKind::Late)) if missed => Ok(false),
        (Outcome::NoVerdict, None) if blind => Ok(false),
        _ => Err(format!("{}, {found:?}", told())),
    }
}

/// What was never killed holds at most a tenth more than in the beginning.
pub fn memory_kept(facts: &Facts) -> Vec<String> {
    let mut wrong = Vec::new();
    for who in &facts.steady {
        match facts.resident.iter().find(|resident| resident.who == *who) {
            None => wrong.push(format!("{who}: its memory was not seen")),
            Some(seen) if seen.last_kib * 10 > seen.first_kib * 11 => {
                wrong.push(format!("{who}: {} KiB have become {} KiB", seen.first_kib, seen.last_kib));
            }
            Some(_) => {}
        }
    }
    if facts.steady.is_empty() {
        wrong.push("nobody lived long enough".to_owned());
    }
    wrong
}

/// None is left out.
pub fn every_fault_made(facts: &Facts) -> Vec<String> {
    let made = |card: &&Card| facts.faults.get(card.name()).is_none_or(|&times| times == 0);
    Card::ALL.iter().filter(made).map(|card| format!("{}: never", card.name())).collect()
}
