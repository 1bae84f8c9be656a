//! The soak's report: a table for a person, an object for a program.

use std::collections::BTreeMap;

use grail_protocol::verify::Outcome;
use serde_json::{Value, json};

use super::facts::{Facts, Name};
use super::judges::JUDGES;

/// How a soak was run.
pub struct Run {
    pub seed: u64,
    pub seconds: u64,
}

/// Windows of one miner at one validator: valid ones, and others by what was said of them.
fn tally(facts: &Facts, validator: Name, miner: Name) -> (usize, BTreeMap<String, usize>) {
    let (mut valid, mut others) = (0, BTreeMap::new());
    for window in &facts.windows {
        match facts.verdict((validator, window.start, miner)) {
            Some(verdict) if verdict.outcome == Outcome::Valid => valid += 1,
            Some(verdict) => {
                let reason = verdict.reason.map(|reason| format!(": {reason:?}")).unwrap_or_default();
                *others.entry(format!("{}{reason}", verdict.outcome.name())).or_default() += 1;
            }
            None => *others.entry("not one record".to_owned()).or_default() += 1,
        }
    }
    (valid, others)
}

/// Windows with a root of a miner, and those that nothing excuses.
fn windows(facts: &Facts, miner: Name) -> (usize, usize) {
    let has_root = facts.windows.iter().filter(|w| facts.rooted.contains_key(&(miner, w.start))).count();
    let strict = facts.windows.iter().filter(|window| !facts.may_miss(miner, window)).count();
    (has_root, strict)
}

pub fn text(facts: &Facts, run: &Run) -> String {
    let (seed, seconds, count) = (run.seed, run.seconds, facts.windows.len());
    let mut out = format!("soak: seed {seed}, {seconds} s of blocks, {count} windows\n\n");
    let mut line = |text: String| {
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(format!("{:<34}{:>6}", "fault", "times"));
    facts.faults.iter().for_each(|(fault, times)| line(format!("{fault:<34}{times:>6}")));
    line(String::new());
    line(format!("{:<16}{:<20}{:>7}{:>9}{:>7}  missed", "miner", "validator", "roots", "no alibi", "valid"));
    for miner in &facts.miners {
        let (roots, strict) = windows(facts, miner);
        for validator in &facts.validators {
            let (valid, others) = tally(facts, validator, miner);
            let others: Vec<String> = others.iter().map(|(what, times)| format!("{times} {what}")).collect();
            line(format!("{miner:<16}{validator:<20}{roots:>7}{strict:>9}{valid:>7}  {}", others.join(", ")));
        }
    }
    line(String::new());
    line(format!("{:<20}{:>12}{:>12}{:>9}", "never killed", "first KiB", "last KiB", "ratio"));
    for seen in &facts.resident {
        let ratio = seen.last_kib as f64 / seen.first_kib as f64;
        line(format!("{:<20}{:>12}{:>12}{ratio:>9.3}", seen.who, seen.first_kib, seen.last_kib));
    }
    line(String::new());
    line(format!("the machine stood still or worked for others: {:.1} s\n", facts.machine_away_s()));
    for (claim, judge) in JUDGES {
        let wrong = judge(facts);
        line(format!("{:<60}{}", claim, if wrong.is_empty() { "yes" } else { "NO" }));
        wrong.into_iter().for_each(|finding| line(format!("    {finding}")));
    }
    out
}

pub fn json(facts: &Facts, run: &Run) -> Value {
    let pairs =
        facts.miners.iter().flat_map(|miner| facts.validators.iter().map(move |validator| (*miner, *validator)));
    let verdicts = pairs.map(|(miner, validator)| {
        let ((roots, strict), (valid, missed)) = (windows(facts, miner), tally(facts, validator, miner));
        json!({ "miner": miner, "validator": validator, "roots": roots, "no_alibi": strict, "valid": valid, "missed": missed })
    });
    let resident = facts
        .resident
        .iter()
        .map(|seen| json!({ "who": seen.who, "first_kib": seen.first_kib, "last_kib": seen.last_kib }));
    json!({
        "seed": run.seed,
        "seconds": run.seconds,
        "windows": facts.windows.len(),
        "faults": facts.faults,
        "verdicts": verdicts.collect::<Vec<_>>(),
        "machine_away_s": facts.machine_away_s(),
        "resident": resident.collect::<Vec<_>>(),
        "claims": JUDGES.iter().map(|(claim, judge)| json!({ "claim": claim, "wrong": judge(facts) })).collect::<Vec<_>>(),
    })
}
