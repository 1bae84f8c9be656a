//! Every process is killed again and again, at moments that follow from a seed, and started again on the same folder
//! and ports. Afterwards the validator's database, the chain and the buckets are compared with each other and with
//! what an undisturbed miner would have made.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use grail::subnet::Subnet;
use grail::subnet::local::{VALIDATOR, development_key};
use grail::validator::{Book, folder};
use grail_protocol::record::Record;
use grail_protocol::ss58;
use grail_protocol::verify::{Outcome, ReasonKind};
use grail_protocol::window_root::WindowRoot;
use serde_json::Value;

use crate::net::{Net, PATIENCE, account, of_window};
use crate::process::Process;
use crate::random::{Random, now_ms, seed};
use crate::workshop::Workshop;

const WINDOW: u64 = 16;
const SIZES: [&str; 10] = [
    "--block-time",
    "400ms",
    "--window-length",
    "16",
    "--max-groups",
    "8",
    "--rollouts-per-problem",
    "2",
    "--max-new-tokens",
    "80",
];
const WINDOWS: u64 = 10;
const DEFAULT_SEED: u64 = 20_260_727;
/// Places in what is killed: the network, then the parties.
const LOCALNET: usize = 0;
const PARTIES: [(&str, &str); 3] = [("validate", VALIDATOR), ("mine", "//Miner"), ("mine", "//Bob")];
const MINERS: [usize; 2] = [2, 3];

/// When something was not there, in Unix milliseconds.
struct Outage {
    who: usize,
    from_ms: u64,
    to_ms: u64,
}

/// The network, its parties, and what became of them.
struct Stage {
    net: Net,
    parties: BTreeMap<usize, Process>,
    /// Events of all lives of a party.
    events: BTreeMap<usize, Vec<Value>>,
    outages: Vec<Outage>,
    kills: [u32; 4],
}

impl Stage {
    fn new() -> Self {
        let mut stage = Self {
            net: Net::start(&SIZES),
            parties: BTreeMap::new(),
            events: BTreeMap::new(),
            outages: Vec::new(),
            kills: [0; 4],
        };
        (1..=PARTIES.len()).for_each(|who| stage.begin(who));
        stage
    }

    fn begin(&mut self, who: usize) {
        let (command, key) = PARTIES[who - 1];
        // Small batches: there is more to be interrupted.
        let flags: &[&str] = if command == "mine" { &["--uri", key, "--batch", "1"] } else { &["--uri", key] };
        self.parties.insert(who, self.net.party(command, flags));
    }

    /// A party that ended by itself, with what it said.
    fn check_alive(&mut self) {
        for party in self.parties.values_mut() {
            assert!(party.is_running(), "ended by itself: {}", party.story());
        }
    }

    /// Kills some of them together, and starts them again: first the network, whoever else that is.
    fn strike(&mut self, victims: &BTreeSet<usize>, away: Duration) {
        self.check_alive();
        let mut victims = victims.clone();
        if victims.contains(&LOCALNET) {
            // Whoever finds no network while it starts begins one of its own.
            victims.extend(self.parties.iter().filter(|(_, party)| party.events().is_empty()).map(|(&who, _)| who));
        }
        let from_ms = now_ms();
        for &who in &victims {
            self.kills[who] += 1;
            match self.parties.remove(&who) {
                None => self.net.kill(),
                Some(mut party) => {
                    party.kill();
                    self.events.entry(who).or_default().extend(party.events());
                }
            }
        }
        std::thread::sleep(away);
        if victims.contains(&LOCALNET) {
            self.net.serve();
        }
        let parties: Vec<usize> = victims.iter().copied().filter(|&who| who != LOCALNET).collect();
        parties.iter().for_each(|&who| self.begin(who));
        let to_ms = now_ms();
        self.outages.extend(victims.iter().map(|&who| Outage { who, from_ms, to_ms }));
    }

    /// Keeps a miner away for the whole of the window after this one.
    fn miss(&mut self, who: usize) {
        let from_ms = now_ms();
        self.kills[who] += 1;
        let mut party = self.parties.remove(&who).expect("a party that runs");
        party.kill();
        self.events.entry(who).or_default().extend(party.events());
        let subnet = self.net.subnet();
        self.net.reach(&subnet, self.net.window(&subnet) + 2 * WINDOW);
        self.begin(who);
        self.outages.push(Outage { who, from_ms, to_ms: now_ms() });
    }

    fn end(&mut self) {
        for (who, mut party) in std::mem::take(&mut self.parties) {
            party.kill();
            self.events.entry(who).or_default().extend(party.events());
        }
    }
}

fn victims(random: &mut Random) -> BTreeSet<usize> {
    let chosen = match random.below(16) {
        0..=3 => vec![2],
        4..=7 => vec![3],
        8..=10 => vec![1],
        11..=12 => vec![LOCALNET],
        13 => vec![2, 3],
        14 => vec![LOCALNET, 1],
        _ => vec![LOCALNET, 1, 2, 3],
    };
    chosen.into_iter().collect()
}

#[test]
fn kills_at_any_moment_lose_nothing_that_was_rooted_and_punish_no_honest_miner() {
    let seed = seed("GRAIL_TEST_SEED", DEFAULT_SEED);
    println!("GRAIL_TEST_SEED={seed}");
    let mut random = Random(seed);
    let mut stage = Stage::new();
    let validator = stage.parties.get_mut(&1).expect("it was started");
    let first = validator.event("a judged window", PATIENCE, |e| e["event"] == "window_judged");
    let first = first["window"].as_u64().expect("a block") + WINDOW;
    let last = first + WINDOWS * WINDOW;
    let mut may_miss = Some(MINERS[1]);
    loop {
        std::thread::sleep(random.ms(500, 4000));
        let subnet = stage.net.subnet();
        let window = stage.net.window(&subnet);
        if window >= last {
            break;
        }
        if window > first + 2 * WINDOW
            && let Some(who) = may_miss.take()
        {
            stage.miss(who);
            continue;
        }
        stage.strike(&victims(&mut random), random.ms(0, 1500));
    }
    // All are up again. What has a root gets its file, and the validator its verdict.
    let judged = |e: &Value| of_window(e, "window_judged", last + WINDOW);
    stage.parties.get_mut(&1).expect("it was started again").event("the last windows", PATIENCE, judged);
    stage.check_alive();
    stage.end();
    println!("kills of network, validator, miners: {:?}", stage.kills);
    compare(&stage, first, last);
}

/// What a validator wrote down of a window.
struct Written {
    records: BTreeMap<[u8; 32], Record>,
    roots: BTreeMap<[u8; 32], WindowRoot>,
}

fn written(book: &Book, window: u64) -> Written {
    let records = book.records(window).expect("a database").unwrap_or_else(|| panic!("window {window} has no records"));
    let record = |text: &String| Record::read(text).expect("a record of ours");
    let records = records.iter().map(record).map(|record| (record.subject.hotkey, record)).collect();
    let roots = book.roots(window).expect("a database").unwrap_or_else(|| panic!("window {window} passed unseen"));
    let roots = roots.into_iter().map(|(who, committed)| (who, committed.root)).collect();
    Written { records, roots }
}

fn compare(stage: &Stage, first: u64, last: u64) {
    let (net, subnet) = (&stage.net, stage.net.subnet());
    let network = net.network();
    let place: PathBuf = folder(&net.data(), network.network().id(), &ss58::encode(&account(VALIDATOR)));
    let book = Book::open(&place.join("book.redb"), network.network().id()).expect("the validator's database");
    let mut workshop = Workshop::open(&network);
    let (mut valid, mut missed, mut files, mut groups) = (0, 0, 0, 0);
    for window in (first..=last).step_by(WINDOW as usize) {
        let written = written(&book, window);
        for who in MINERS {
            let name = PARTIES[who - 1].1;
            let record = &written.records[&account(name)];
            println!("window {window} {name} {} {:?}", record.outcome.name(), record.reason.as_ref().map(|r| r.kind));
            is_just(stage, &subnet, window, who, record);
            match record.outcome {
                Outcome::Valid => valid += 1,
                _ => missed += 1,
            }
            let root = written.roots.get(&account(name)).filter(|root| root.window_start == window);
            let file = net.file(&account(name), window);
            let Some(root) = root else { continue };
            let file = file.unwrap_or_else(|| panic!("window {window}, {name}: a root and no file"));
            assert_eq!(*root, WindowRoot::of_file(window, &file), "window {window}, {name}");
            groups += workshop.undisturbed(&net.head(&subnet, window), &development_key(name), &file);
            files += 1;
        }
    }
    roots_never_change(net, &subnet, first, last);
    judged_once(stage);
    println!("{valid} valid, {missed} missed; {files} files with {groups} groups");
    assert!(valid >= WINDOWS && groups > files, "too little was mined to tell anything");
    assert!(missed > 0, "a window that a miner was away for counted all the same");
    assert!(stage.kills.iter().all(|&kills| kills > 0), "somebody was never killed");
}

/// Only what a miner missed is void.
fn is_just(stage: &Stage, subnet: &Subnet, window: u64, who: usize, record: &Record) {
    let begun = stage.net.reach(subnet, window).timestamp_ms;
    let ended = stage.net.reach(subnet, window + WINDOW).timestamp_ms;
    let touches = |o: &&Outage| o.from_ms <= ended && o.to_ms >= begun;
    let disturbed = stage.outages.iter().filter(touches).any(|o| o.who == who || o.who == LOCALNET);
    let kind = record.reason.as_ref().map(|reason| reason.kind);
    match (record.outcome, kind) {
        (Outcome::Valid, None) => assert!(record.groups > 0 && record.checked == record.groups),
        (Outcome::Void, Some(ReasonKind::NoRoot | ReasonKind::Late)) if disturbed => {}
        // The validator's own bucket is in the network that was away.
        (Outcome::NoVerdict, None) if disturbed => {}
        other => panic!("window {window}, {}: {other:?}, disturbed: {disturbed}", PARTIES[who - 1].1),
    }
}

/// A window has one root per miner, in every block that has one.
fn roots_never_change(net: &Net, subnet: &Subnet, first: u64, last: u64) {
    for who in MINERS {
        let miner = account(PARTIES[who - 1].1);
        let mut roots = BTreeMap::new();
        for block in first..last + WINDOW {
            let committed = net.commitment(subnet, block, &miner);
            let root = committed.as_ref().and_then(|c| c.raw(1)).and_then(WindowRoot::from_bytes);
            let Some(root) = root else { continue };
            assert_eq!(*roots.entry(root.window_start).or_insert(root), root, "two roots of a window");
            assert!(root.window_start <= block);
        }
        assert!(roots.len() > 1);
    }
}

fn judged_once(stage: &Stage) {
    let events = &stage.events[&1];
    let mut windows = BTreeSet::new();
    for event in events.iter().filter(|e| e["event"] == "window_judged") {
        assert!(windows.insert(event["window"].as_u64()), "judged twice: {event}");
    }
    assert!(events.iter().all(|e| e["event"] != "window_unseen"), "{events:?}");
}
