//! From a soak that is over to facts: what the chain, the buckets, the databases and the parties' own words say.

use std::collections::{BTreeMap, BTreeSet};

use grail::subnet::local::development_key;
use grail::subnet::records_key;
use grail_protocol::record::Record;
use grail_protocol::ss58;
use grail_protocol::window_root::WindowRoot;
use serde_json::Value;

use super::facts::{Facts, Name, Resident, Rooted, Stored, Verdict, WINDOW, Weights, Window};
use super::stage::{BLOCK_MS, PARTS, Stage, keys, read};
use crate::net::account;
use crate::workshop::Workshop;

/// Blocks after the next window's first in which a challenge becomes known to everybody.
const CHALLENGE_BLOCKS: u64 = 4;
/// Files that are made again by the test's own model; more are judged by the validators alone.
const MADE_AGAIN: usize = 40;

/// First and last window, and the times at which memory is compared.
pub struct Span {
    pub first: u64,
    pub last: u64,
    pub first_memory_ms: u64,
    pub last_memory_ms: u64,
}

/// Everything there is to know. The parties have ended; the network has not.
pub fn gather(stage: &Stage, span: &Span) -> Facts {
    let windows: Vec<Window> = (span.first..=span.last).step_by(WINDOW as usize).map(|w| window(stage, w)).collect();
    let mut facts = Facts {
        miners: keys("mine"),
        validators: keys("validate"),
        steady: PARTS.iter().filter(|part| part.steady).map(|part| part.key).collect(),
        windows,
        outages: stage.outages.iter().cloned().chain(stage.watch.stalls()).collect(),
        faults: stage.faults.clone(),
        ..Facts::default()
    };
    chain(stage, span, &mut facts);
    for miner in facts.miners.clone() {
        files(stage, miner, &mut facts);
    }
    for validator in facts.validators.clone() {
        records(stage, validator, &mut facts);
        let windows = |name: &str| told_windows(stage, validator, name).map(|window| (validator, window)).collect();
        let (judged, unseen): (Vec<_>, Vec<_>) = (windows("window_judged"), windows("window_unseen"));
        facts.judged.extend(judged);
        facts.unseen.extend(unseen);
    }
    let least = |who, at_ms: u64| stage.watch.least_kib(who, at_ms - WINDOW * BLOCK_MS, at_ms);
    let resident = |who: &Name| {
        let (first_kib, last_kib) = (least(who, span.first_memory_ms)?, least(who, span.last_memory_ms)?);
        Some(Resident { who, first_kib, last_kib })
    };
    facts.resident = facts.steady.iter().filter_map(resident).collect();
    facts
}

fn window(stage: &Stage, start: u64) -> Window {
    let at = |block| stage.net.reach(&stage.subnet, block).timestamp_ms;
    let (begun_ms, middle_ms) = (at(start), at(start + WINDOW / 2));
    Window { start, begun_ms, middle_ms, over_ms: at(start + WINDOW + CHALLENGE_BLOCKS) }
}

/// Roots and weights, block by block.
fn chain(stage: &Stage, span: &Span, facts: &mut Facts) {
    let chain = &stage.subnet.chain;
    let uid = |key: &Name| (stage.net.uid(&stage.subnet, &account(key)), *key);
    let (miners, validators): (BTreeMap<u16, Name>, BTreeMap<u16, Name>) =
        (facts.miners.iter().map(uid).collect(), facts.validators.iter().map(uid).collect());
    let mut last = BTreeMap::<Name, Vec<(u16, u16)>>::new();
    for number in span.first..stage.net.best(&stage.subnet) {
        let block = read(chain.block(number));
        let committed = read(chain.commitments(&block));
        for miner in &facts.miners {
            let root = committed.get(&account(miner)).and_then(|c| c.raw(1)).and_then(WindowRoot::from_bytes);
            let Some(root) = root else { continue };
            let (window, hash) = (root.window_start, hex::encode(root.file_hash));
            facts.roots.entry((miner, window)).or_default().insert(hash.clone());
            if window + WINDOW - 1 == number && window <= span.last {
                let rooted = Rooted { root: hash, bucket: None, told_groups: told_groups(stage, miner, window) };
                facts.rooted.insert((miner, window), rooted);
            }
        }
        for (&uid, &validator) in &validators {
            let weights = read(chain.weights(&block, uid));
            let before = last.insert(validator, weights.clone());
            if !weights.is_empty() && before.as_ref() != Some(&weights) {
                // A weight on anybody else is on nobody who mined: none of those may have one.
                let name = |uid| miners.get(&uid).copied().unwrap_or("nobody who mines");
                let shown = weights.into_iter().map(|(uid, weight)| (name(uid), weight)).collect();
                facts.weights.push(Weights { validator, block: number, shown });
            }
        }
    }
}

/// Most groups of a window that a miner said it had on disk.
fn told_groups(stage: &Stage, miner: Name, window: u64) -> u64 {
    let of = stage.all_events(miner).filter(|e| e["window"] == window);
    of.filter_map(|e| e["groups"].as_u64()).max().unwrap_or(0)
}

fn told_windows<'a>(stage: &'a Stage, key: Name, event: &'a str) -> impl Iterator<Item = u64> + 'a {
    stage.all_events(key).filter(move |e| e["event"] == event).filter_map(|e| e["window"].as_u64())
}

/// What the bucket has for each root; and whether some of it is what one run without any trouble makes.
fn files(stage: &Stage, miner: Name, facts: &mut Facts) {
    let network = stage.net.network();
    let size = network.network().parameters().rollouts_per_problem as usize;
    let mut workshop = Workshop::open(&network);
    let rooted: Vec<_> = facts.rooted.iter_mut().filter(|((of, _), _)| *of == miner).collect();
    let every = rooted.len() / MADE_AGAIN + 1;
    for (place, ((_, window), rooted)) in rooted.into_iter().enumerate() {
        let Some(stored) = stage.net.file(&account(miner), *window) else { continue };
        let hash = hex::encode(WindowRoot::of_file(*window, &stored).file_hash);
        // A file of another root is told by its hash; what it holds does not matter.
        let groups = match hash == rooted.root {
            true if place % every == 0 => {
                let head = stage.net.head(&stage.subnet, *window);
                workshop.undisturbed(&head, &development_key(miner), &stored)
            }
            true => workshop.read(&stored).inferences.len() / size,
            false => 0,
        };
        rooted.bucket = Some(Stored { hash, groups: groups as u64 });
    }
}

/// Windows whose records are looked for in the buckets: weights count windows from before the soak, which a validator
/// that is never killed has forgotten when its database is read at the end of a long one.
fn published_windows(facts: &Facts) -> impl Iterator<Item = u64> {
    (0..=facts.windows.last().map_or(0, |last| last.start)).step_by(WINDOW as usize)
}

/// Records of all copies of the database, and those that were published.
fn records(stage: &Stage, validator: Name, facts: &mut Facts) {
    let mut texts: BTreeMap<u64, BTreeSet<String>> = stage.records.get(validator).cloned().unwrap_or_default();
    for window in published_windows(facts) {
        let key = records_key(&ss58::encode(&account(validator)), window);
        if let Some(stored) = stage.net.object(&account(validator), &key) {
            texts.entry(window).or_default().extend(published(&stored));
        }
    }
    let names: BTreeMap<_, Name> = facts.miners.iter().map(|miner| (account(miner), *miner)).collect();
    for (window, texts) in texts {
        for text in texts {
            let record = Record::read(&text).expect("a record that its validator signed");
            // Validators are miners that mine nothing.
            let Some(miner) = names.get(&record.subject.hotkey) else { continue };
            assert_eq!((record.subject.window_start, record.subject.validator), (window, account(validator)), "{text}");
            let verdict = Verdict {
                outcome: record.outcome,
                reason: record.reason.map(|reason| reason.kind),
                groups: record.groups,
                checked: record.checked,
                distinct: record.distinct,
            };
            facts.records.entry((validator, window, miner)).or_default().push(verdict);
        }
    }
}

/// The records of an object that a validator published, as they stand in its database.
fn published(stored: &[u8]) -> Vec<String> {
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(stored), &mut text).expect("gzip of text");
    let object: Value = serde_json::from_str(&text).expect("JSON");
    let records = object["records"].as_array().expect("a list");
    // Keys are sorted in both, and there are no numbers but integers.
    records.iter().map(Value::to_string).collect()
}

#[test]
fn records_are_gathered_from_the_first_window_of_the_chain_to_the_last_of_the_soak() {
    let of = |start: u64| Window { start, begun_ms: 0, middle_ms: 0, over_ms: 0 };
    let facts = Facts { windows: vec![of(32), of(48), of(64)], ..Facts::default() };
    assert_eq!(published_windows(&facts).collect::<Vec<_>>(), [0, 16, 32, 48, 64]);
}
