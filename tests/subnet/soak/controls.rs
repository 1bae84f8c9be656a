//! Facts that are as they should be pass every judge, and each judge refuses what it is there for.

use std::collections::BTreeSet;

use grail_protocol::verify::{Outcome, ReasonKind};

use super::facts::{
    BUCKET, Facts, MACHINE, NETWORK, Outage, Resident, Rooted, Stored, Verdict, WINDOW, Weights, Window,
};
use super::faults::Card;
use super::judges::{JUDGES, Judge, every_fault_made, memory_kept, nobody_punished, nothing_lost, paid_once};

const WINDOW_MS: u64 = 8000;
const WINDOWS: u64 = 20;
const MINERS: [&str; 2] = ["//One", "//Two"];
const JUDGE: &str = "//Judge";

fn start(place: u64) -> u64 {
    160 + place * WINDOW
}

fn valid() -> Verdict {
    Verdict { outcome: Outcome::Valid, reason: None, groups: 4, checked: 4, distinct: 6 }
}

fn void(reason: ReasonKind) -> Verdict {
    Verdict { outcome: Outcome::Void, reason: Some(reason), groups: 0, checked: 0, distinct: 0 }
}

/// Twenty windows of two miners. The second has missed the sixth window, for which it was away.
fn sound() -> Facts {
    let windows = (0..WINDOWS).map(|place| Window {
        start: start(place),
        begun_ms: place * WINDOW_MS,
        middle_ms: place * WINDOW_MS + WINDOW_MS / 2,
        over_ms: (place + 1) * WINDOW_MS + 2000,
    });
    let away = Outage { who: MINERS[1], from_ms: 5 * WINDOW_MS + 1000, to_ms: 6 * WINDOW_MS - 500 };
    let mut facts = Facts {
        miners: MINERS.to_vec(),
        validators: vec![JUDGE],
        steady: vec![MINERS[0], JUDGE],
        windows: windows.collect(),
        outages: vec![away],
        faults: Card::ALL.iter().map(|card| (card.name(), 1)).collect(),
        judged: (0..WINDOWS).map(|place| (JUDGE, start(place))).collect(),
        ..Facts::default()
    };
    for (place, miner) in (0..WINDOWS).flat_map(|place| MINERS.map(|miner| (place, miner))) {
        let missed = (place, miner) == (5, MINERS[1]);
        let verdict = if missed { void(ReasonKind::NoRoot) } else { valid() };
        facts.records.insert((JUDGE, start(place), miner), vec![verdict]);
        if !missed {
            let root = format!("{miner} {place}");
            let bucket = Some(Stored { hash: root.clone(), groups: 4 });
            facts.roots.insert((miner, start(place)), BTreeSet::from([root.clone()]));
            facts.rooted.insert((miner, start(place)), Rooted { root, bucket, told_groups: 4 });
        }
    }
    // Equal at first; eleven windows to twelve while the missed one counts.
    let less = ((11.0_f64 / 12.0).powf(1.4) * 65535.0).round() as u16;
    for (place, second) in [(1, 65535), (15, less), (19, 65535)] {
        let shown = [(MINERS[0], 65535), (MINERS[1], second)].into();
        facts.weights.push(Weights { validator: JUDGE, block: start(place) + WINDOW + 3, shown });
    }
    facts.resident = facts.steady.iter().map(|&who| Resident { who, first_kib: 100_000, last_kib: 109_000 }).collect();
    facts
}

/// What a judge says of facts that were sound before this was done to them.
fn tampered(judge: Judge, tamper: impl FnOnce(&mut Facts)) -> String {
    let mut facts = sound();
    assert_eq!(judge(&facts), Vec::<String>::new());
    tamper(&mut facts);
    let wrong = judge(&facts);
    assert!(!wrong.is_empty(), "nothing was found wrong");
    wrong.join("\n")
}

#[test]
fn sound_facts_pass_every_judge() {
    for (claim, judge) in JUDGES {
        assert_eq!(judge(&sound()), Vec::<String>::new(), "{claim}");
    }
}

#[test]
fn a_lost_rollout_is_found() {
    let about = (MINERS[0], start(3));
    let rooted = move |tamper: fn(&mut Rooted)| {
        tampered(nothing_lost, move |facts| tamper(facts.rooted.get_mut(&about).expect("a root")))
    };
    assert!(rooted(|rooted| rooted.bucket = None).contains("no file"));
    assert!(rooted(|rooted| rooted.bucket.as_mut().expect("a file").hash = "another".into()).contains("another"));
    let shorter = rooted(|rooted| rooted.bucket.as_mut().expect("a file").groups = 3);
    assert!(shorter.contains("4 groups were on disk, the file has 3"), "{shorter}");
    // However long the miner was away.
    let away = tampered(nothing_lost, |facts| {
        facts.outages.push(Outage { who: MINERS[0], from_ms: 3 * WINDOW_MS, to_ms: WINDOWS * WINDOW_MS });
        facts.rooted.get_mut(&about).expect("a root").bucket = None;
    });
    assert!(away.contains("no file"), "{away}");
    let none = tampered(nothing_lost, |facts| facts.rooted.retain(|(miner, _), _| *miner == MINERS[0]));
    assert!(none.contains("//Two: no root ever"), "{none}");
}

#[test]
fn a_window_that_is_paid_twice_is_found() {
    let about = (JUDGE, start(3), MINERS[0]);
    let twice =
        tampered(paid_once, |facts| facts.records.get_mut(&about).expect("records").push(void(ReasonKind::Late)));
    assert!(twice.contains("2 different records"), "{twice}");
    let twice = tampered(paid_once, |facts| facts.judged.push((JUDGE, start(3))));
    assert!(twice.contains("judged 2 times"), "{twice}");
    let roots = tampered(paid_once, |facts| {
        facts.roots.get_mut(&(MINERS[0], start(3))).expect("roots").insert("another".into());
    });
    assert!(roots.contains("2 roots"), "{roots}");
    let file = tampered(paid_once, |facts| {
        let root = facts.rooted[&(MINERS[0], start(3))].root.clone();
        facts.rooted.get_mut(&(MINERS[0], start(4))).expect("a root").root = root;
    });
    assert!(file.contains("the file of //One, window 208"), "{file}");
    // One of the second miner's eleven windows counted twice makes twelve.
    let counted = tampered(paid_once, |facts| {
        *facts.weights[1].shown.get_mut(MINERS[1]).expect("a weight") = 65535;
    });
    assert!(counted.contains("block 419: no window from 160 on gives the weights"), "{counted}");
    let stranger = tampered(paid_once, |facts| {
        facts.weights[0].shown.insert("nobody who mines", 9);
    });
    assert!(stranger.contains("no window"), "{stranger}");
    // Weights of a window before those that are on chain.
    let back = tampered(paid_once, |facts| {
        let first = Weights { block: start(19) + WINDOW + 4, ..facts.weights[1].clone() };
        facts.weights.push(first);
        facts.windows.truncate(19);
    });
    assert!(back.contains("no window from"), "{back}");
    assert!(tampered(paid_once, |facts| facts.weights.clear()).contains("no weights ever"));
}

#[test]
fn a_punished_honest_miner_is_found() {
    let punished = |place: u64, verdict: Verdict| {
        tampered(nobody_punished, |facts| {
            if verdict.reason == Some(ReasonKind::NoRoot) {
                facts.rooted.remove(&(MINERS[1], start(place)));
            }
            drop(facts.records.insert((JUDGE, start(place), MINERS[1]), vec![verdict]));
        })
    };
    // Nothing was away: not even a missed window is just.
    for reason in [ReasonKind::NoRoot, ReasonKind::Late, ReasonKind::Unreadable] {
        assert!(punished(12, void(reason)).contains(&format!("{reason:?}")));
    }
    // The miner was away, which explains a missed window and nothing else.
    for reason in [ReasonKind::Unreadable, ReasonKind::Malformed, ReasonKind::BadSignature] {
        assert!(punished(5, void(reason)).contains(&format!("{reason:?}")));
    }
    let fraud = Verdict { outcome: Outcome::Fraud, ..void(ReasonKind::SketchMismatch) };
    assert!(punished(5, fraud).contains("fraud"));
    let own = Verdict { outcome: Outcome::NoVerdict, reason: None, ..valid() };
    assert!(punished(12, own).contains("no verdict"));
    assert!(punished(12, Verdict { checked: 3, ..valid() }).contains("checked: 3"));
    // The root was on chain, whatever else was away.
    let denied = tampered(nobody_punished, |facts| {
        let rooted = facts.rooted[&(MINERS[1], start(4))].clone();
        facts.rooted.insert((MINERS[1], start(5)), rooted);
    });
    assert!(denied.contains("its root is on chain"), "{denied}");
    let unseen = tampered(nobody_punished, |facts| facts.unseen.push((JUDGE, start(3))));
    assert!(unseen.contains("not seen"), "{unseen}");
    let missing = tampered(nobody_punished, |facts| drop(facts.records.remove(&(JUDGE, start(3), MINERS[0]))));
    assert!(missing.contains("not one record"), "{missing}");
}

#[test]
fn an_outage_excuses_the_windows_that_it_touches_and_no_other() {
    for who in [NETWORK, BUCKET, MACHINE, MINERS[1]] {
        let missed = |place: u64| {
            let mut facts = sound();
            facts.outages.push(Outage { who, from_ms: 12 * WINDOW_MS + 3000, to_ms: 13 * WINDOW_MS - 3000 });
            facts.rooted.remove(&(MINERS[1], start(place)));
            facts.records.insert((JUDGE, start(place), MINERS[1]), vec![void(ReasonKind::NoRoot)]);
            nobody_punished(&facts)
        };
        assert!(!missed(11).is_empty() && missed(12).is_empty() && !missed(13).is_empty(), "{who}");
    }
    // Back in the first quarter of a window, one still has time.
    let mut facts = sound();
    facts.outages.push(Outage { who: MINERS[0], from_ms: 11 * WINDOW_MS, to_ms: 12 * WINDOW_MS + 1900 });
    assert!(!facts.may_miss(MINERS[0], &facts.windows[12]) && facts.may_miss(MINERS[0], &facts.windows[11]));
    let mut facts = sound();
    facts.outages.push(Outage { who: NETWORK, from_ms: 0, to_ms: WINDOWS * WINDOW_MS });
    for place in 0..WINDOWS {
        facts.rooted.remove(&(MINERS[1], start(place)));
        facts.records.insert((JUDGE, start(place), MINERS[1]), vec![void(ReasonKind::NoRoot)]);
    }
    let wrong = nobody_punished(&facts).join("\n");
    assert!(!wrong.contains("busy machine"), "{wrong}");
    assert!(wrong.contains("0 windows of 20 were valid") && wrong.contains("an alibi for every window"), "{wrong}");
}

#[test]
fn a_busy_machine_excuses_few_windows() {
    let busy_in = |missed: u64| {
        let mut facts = sound();
        facts.outages.push(Outage {
            who: MACHINE,
            from_ms: 8 * WINDOW_MS + 100,
            to_ms: (8 + missed) * WINDOW_MS - 2100,
        });
        for place in 8..8 + missed {
            facts.rooted.remove(&(MINERS[0], start(place)));
            facts.records.insert((JUDGE, start(place), MINERS[0]), vec![void(ReasonKind::NoRoot)]);
        }
        nobody_punished(&facts).join("\n")
    };
    assert_eq!(busy_in(4), "");
    let mut facts = sound();
    let spans = [(9000, 12_000), (1000, 4000), (3000, 5000), (9500, 10_000)];
    facts.outages.extend(spans.map(|(from_ms, to_ms)| Outage { who: MACHINE, from_ms, to_ms }));
    assert!((facts.machine_away_s() - 7.0).abs() < 1e-9, "{}", facts.machine_away_s());
    assert!(busy_in(5).contains("//Judge, //One: 5 windows of 20 were missed with no other excuse"), "{}", busy_in(5));
    // It excuses missed windows that it touches, not others.
    let mut facts = sound();
    facts.outages.push(Outage { who: MACHINE, from_ms: 8 * WINDOW_MS, to_ms: 12 * WINDOW_MS });
    facts.records.insert((JUDGE, start(15), MINERS[0]), vec![void(ReasonKind::NoRoot)]);
    assert!(!nobody_punished(&facts).is_empty());
}

#[test]
fn memory_that_grows_is_found() {
    let grown = tampered(memory_kept, |facts| facts.resident[1].last_kib = 120_000);
    assert!(grown.contains("//Judge: 100000 KiB have become 120000 KiB"), "{grown}");
    assert!(tampered(memory_kept, |facts| facts.resident.truncate(1)).contains("//Judge: its memory was not seen"));
    assert!(tampered(memory_kept, |facts| facts.steady.clear()).contains("nobody"));
    let mut facts = sound();
    facts.resident[1].last_kib = 110_000;
    assert!(memory_kept(&facts).is_empty());
}

#[test]
fn a_soak_without_a_kind_of_fault_is_found() {
    for card in Card::ALL {
        let never = tampered(every_fault_made, |facts| facts.faults.retain(|fault, _| *fault != card.name()));
        let no_time = tampered(every_fault_made, |facts| *facts.faults.get_mut(card.name()).expect("a fault") = 0);
        assert!(never.contains(card.name()) && no_time.contains(card.name()), "{never}\n{no_time}");
    }
}
