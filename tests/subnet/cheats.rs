//! One window with a dozen parties, most of which do something wrong; one validator that judges them all.
//!
//! The miners are acted by the test with the program's own clients, but for one that is the real process. Each has to
//! get exactly its outcome and reason. The two honest ones are the control: what is wrong with the others is wrong
//! with them alone.

use std::collections::BTreeMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use grail::subnet::local::{MINER, VALIDATOR};
use grail::subnet::{Subnet, records_key};
use grail_protocol::assignment::WindowHead;
use grail_protocol::encoding::sha256;
use grail_protocol::prove;
use grail_protocol::ss58;
use grail_protocol::window::MAX_TEXT_BYTES;
use grail_protocol::window_root::WindowRoot;
use serde_json::Value;

use crate::net::{Net, PATIENCE, account, of_window, runtime};
use crate::workshop::{Actor, Workshop, stored};

const WINDOW: u64 = 28;
const SIZES: [&str; 8] =
    ["--block-time", "500ms", "--window-length", "28", "--max-groups", "4", "--rollouts-per-problem", "2"];

/// What a party does, and what has to become of it.
struct Part {
    name: &'static str,
    outcome: &'static str,
    /// How the reason's text begins.
    reason: &'static str,
}

const PARTS: [Part; 12] = [
    Part { name: "//Honest", outcome: "valid", reason: "" },
    Part { name: "//LateRoot", outcome: "void", reason: "NoRoot: root is none" },
    Part { name: "//OtherRoot", outcome: "void", reason: "NoRoot: root is one of window" },
    Part { name: "//NoFile", outcome: "void", reason: "Late: file is no object" },
    Part { name: "//Changed", outcome: "void", reason: "Unreadable: file is sha256" },
    Part { name: "//NoCredentials", outcome: "void", reason: "Unreadable: commitment is" },
    Part { name: "//OtherBeacon", outcome: "void", reason: "WrongRandomness: beacon" },
    Part { name: "//Copy", outcome: "void", reason: "WrongHotkey: wallet is" },
    Part { name: "//Malformed", outcome: "void", reason: "Malformed:" },
    Part { name: "//Cut", outcome: "void", reason: "Malformed: gzip" },
    Part { name: "//Bomb", outcome: "void", reason: "OverCap: bytes" },
    Part { name: "//Edited", outcome: "fraud", reason: "SketchMismatch, rollout 1, position" },
];

/// A gigabyte of spaces and one more, in a megabyte.
fn bomb() -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let spaces = vec![b' '; 1 << 20];
    for _ in 0..MAX_TEXT_BYTES >> 20 {
        gzip.write_all(&spaces).expect("a Vec");
    }
    gzip.write_all(b" ").expect("a Vec");
    gzip.finish().expect("a Vec")
}

/// The window as it would be if its beacon were the round before.
fn with_earlier_beacon(subnet: &Subnet, head: &WindowHead) -> WindowHead {
    let beacon = runtime().block_on(subnet.beacon.round(head.round - 1)).expect("a round that is over");
    WindowHead {
        round: beacon.round,
        beacon_signature: beacon.signature,
        beacon_randomness: beacon.randomness,
        ..head.clone()
    }
}

/// One token in the middle of a completion, replaced and signed again.
fn edited(workshop: &mut Workshop, head: &WindowHead, actor: &Actor) -> (Vec<u8>, usize) {
    let mut file = workshop.file(head, &actor.signer, 1);
    let assignment = workshop.protocol.assignment(head, actor.signer.account());
    let problem = assignment.problem(0).expect("a problem");
    let eos = &workshop.protocol.network().parameters().eos_ids;
    let entry = &mut file.inferences[1];
    let claim = &entry.commit.rollout;
    let position = (claim.prompt_length + claim.completion_length / 2) as usize;
    let token = entry.commit.tokens[position];
    let other = (token + 1..).find(|token| !eos.contains(token)).expect("a token");
    entry.commit.tokens[position] = other;
    prove::sign(&assignment, &problem, 1, entry, &actor.signer);
    (stored(&file), position)
}

struct Play<'a> {
    net: &'a Net,
    subnet: &'a Subnet,
    actors: BTreeMap<&'static str, Actor>,
    window: u64,
}

impl Play<'_> {
    fn actor(&self, name: &str) -> &Actor {
        &self.actors[name]
    }

    /// Root on chain while the window lasts, and the file in the bucket.
    fn publish(&self, name: &str, stored: Vec<u8>) {
        self.root(name, &stored);
        self.actor(name).upload(self.window, stored);
    }

    fn root(&self, name: &str, stored: &[u8]) {
        let block = self.actor(name).root(self.window, stored);
        assert!(block < self.window + WINDOW, "{name}: this machine was too slow, block {block}");
    }

    /// Everything that happens while the window lasts. Gives the position of the edit.
    fn during(&self, workshop: &mut Workshop, bomb: Vec<u8>) -> usize {
        let (window, head) = (self.window, self.net.head(self.subnet, self.window));
        for (name, content) in [("//Bomb", bomb), ("//Malformed", grail_protocol::window::store("{\"beacon\":[]}"))] {
            self.publish(name, content);
        }
        let any = stored(&workshop.file_of(&head, &self.actor("//NoFile").signer, Vec::new()));
        self.root("//NoFile", &any);
        self.publish("//Changed", any.clone());
        self.actor("//Changed").upload(window, [&any[..], b"!"].concat());
        self.publish("//Cut", any[..any.len() - 9].to_vec());
        let other = self.actor("//OtherRoot");
        other.root(window - WINDOW, &any);
        other.upload(window, any.clone());
        let nobody = self.actor("//NoCredentials");
        let root = WindowRoot { window_start: window, file_hash: sha256(&any) };
        nobody.commit(&[vec![b'\t'; 128], root.to_bytes().to_vec()]);
        nobody.upload(window, any);

        let honest = stored(&workshop.file(&head, &self.actor("//Honest").signer, 1));
        self.publish("//Honest", honest.clone());
        self.publish("//Copy", honest);
        let earlier = with_earlier_beacon(self.subnet, &head);
        self.publish("//OtherBeacon", stored(&workshop.file(&earlier, &self.actor("//OtherBeacon").signer, 1)));
        let (file, position) = edited(workshop, &head, self.actor("//Edited"));
        self.publish("//Edited", file);
        let late = self.actor("//LateRoot");
        late.commit(&[late.credentials()]);
        late.upload(window, stored(&workshop.file(&head, &late.signer, 1)));
        position
    }

    /// The root that comes with the first block after the window: everything else about it is right.
    fn after(&self) {
        self.net.reach(self.subnet, self.window + WINDOW - 1);
        let late = self.actor("//LateRoot");
        let stored = self.net.file(&late.signer.account(), self.window).expect("what was put there");
        assert!(late.root(self.window, &stored) >= self.window + WINDOW);
    }
}

#[test]
fn every_dishonest_miner_gets_its_own_outcome_and_honest_ones_are_valid() {
    let net = Net::start_alone(&SIZES);
    let subnet = net.subnet();
    let mut workshop = Workshop::open(&net.network());
    let actors = PARTS.iter().map(|part| (part.name, Actor::settled(&net, &subnet, part.name))).collect();
    let bomb = bomb();
    assert!(bomb.len() < 8 << 20);
    let mut miner = net.party("mine", &[]);
    let mut validator = net.party("validate", &["--weights-interval", "1"]);
    let begun = miner.event("the miner at work", PATIENCE, |e| e["event"] == "window_begun");
    // The window after that: everybody has a place at its first block, and all of its time is left.
    let window = begun["window"].as_u64().expect("a block") + WINDOW;
    let play = Play { net: &net, subnet: &subnet, actors, window };
    let position = play.during(&mut workshop, bomb);
    play.after();
    validator.event("the verdicts", PATIENCE, |e| of_window(e, "window_judged", window));
    validator.event("the records", PATIENCE, |e| of_window(e, "records_published", window));

    let verdicts: BTreeMap<String, Value> = validator
        .all("judged")
        .into_iter()
        .filter(|e| e["window"] == window)
        .map(|e| (e["hotkey"].as_str().expect("an address").to_owned(), e))
        .collect();
    for part in &PARTS {
        let verdict = &verdicts[&ss58::encode(&account(part.name))];
        let reason = verdict["reason"].as_str().unwrap_or_default();
        println!("{:<16} {:<6} {reason}", part.name, verdict["outcome"].as_str().unwrap_or_default());
        assert_eq!(verdict["outcome"], part.outcome, "{}: {reason}", part.name);
        assert!(
            reason.starts_with(part.reason) && reason.is_empty() == part.reason.is_empty(),
            "{}: {reason}",
            part.name
        );
    }
    let fraud = verdicts[&ss58::encode(&account("//Edited"))]["reason"].as_str().expect("a reason");
    assert!(fraud.starts_with(&format!("SketchMismatch, rollout 1, position {position}:")), "{fraud}");
    assert_eq!(verdicts[&ss58::encode(&account(MINER))]["outcome"], "valid");

    // Whoever was valid has weight, nobody else has, and a stranger reads the same verdicts.
    let weighed: Vec<u16> = net.weights(&subnet, &account(VALIDATOR)).iter().map(|(uid, _)| *uid).collect();
    let valid = [account("//Honest"), account(MINER)].map(|who| net.uid(&subnet, &who));
    let solved = |who: &str| verdicts[&ss58::encode(&account(who))]["distinct"].as_u64() > Some(0);
    assert!(weighed.iter().all(|uid| valid.contains(uid)), "{weighed:?}");
    assert!(solved(MINER) && weighed.contains(&valid[1]), "{weighed:?}");
    assert_eq!(weighed.contains(&valid[0]), solved("//Honest"), "{weighed:?}");
    let key = records_key(&ss58::encode(&account(VALIDATOR)), window);
    assert!(net.object(&account(VALIDATOR), &key).is_some());
}
