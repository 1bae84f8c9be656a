//! Mine, then validate: what comes on chain, what is published and when, and that anybody can derive it again.

use std::path::Path;

use grail::sat::Sat;
use grail::subnet::local::{MINER, VALIDATOR};
use grail::subnet::{records_key, rollouts_key, window_of};
use grail_export::{Source, same_rollouts};
use grail_protocol::randomness::block_randomness;
use grail_protocol::record::Record;
use grail_protocol::ss58;
use grail_protocol::verify::Outcome;
use grail_protocol::window::WindowFile;
use grail_protocol::window_root::WindowRoot;
use grail_store::ReadCredentials;
use serde_json::Value;

use crate::net::{Net, PATIENCE, account, of_window, runtime, text};
use crate::process::{eventually, run};
use crate::workshop::Workshop;

const WINDOW: u64 = 16;
const SIZES: [&str; 6] = ["--block-time", "400ms", "--window-length", "16", "--max-groups", "4"];

/// The object in which a validator publishes the records of a window.
fn records(net: &Net, window: u64) -> Option<Vec<Record>> {
    let validator = account(VALIDATOR);
    let stored = net.object(&validator, &records_key(&ss58::encode(&validator), window))?;
    let object: Value = serde_json::from_str(&inflate(&stored)).expect("JSON");
    assert_eq!(object["window"], window);
    let records = object["records"].as_array().expect("a list");
    let read = |record: &Value| {
        let text = record.to_string();
        // One digit more, and the signature is of another record.
        let other = text.replacen("\"groups\":", "\"groups\":1", 1);
        assert!(Record::read(&other).is_err(), "a record that nobody signed");
        Record::read(&text).expect("a record that its validator signed")
    };
    Some(records.iter().map(read).collect())
}

fn inflate(stored: &[u8]) -> String {
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(stored), &mut text).expect("gzip of text");
    text
}

#[test]
fn committed_weights_end_on_chain_and_nothing_is_published_before() {
    let net = Net::start(&[&SIZES[..], &["--commit-reveal", "12"]].concat());
    let mut validator = net.party("validate", &["--weights-interval", "1000000"]);
    let _miner = net.party("mine", &[]);
    let valid = |event: &Value| event["event"] == "judged" && event["outcome"] == "valid";
    let first = validator.event("a valid window", PATIENCE, valid)["window"].as_u64().expect("a block");
    validator.event("revealed weights", PATIENCE, |e| of_window(e, "weights_set", first));
    let subnet = net.subnet();
    let uid = net.uid(&subnet, &account(MINER));
    assert_eq!(net.weights(&subnet, &account(VALIDATOR)), [(uid, u16::MAX)], "{}", validator.story());
    // So there is no other way by which they came there.
    let rules = runtime().block_on(async {
        let head = subnet.chain.head().await.expect("the chain");
        subnet.chain.hyperparameters(&head).await.expect("the rules")
    });
    assert!(rules.commit_reveal_enabled && rules.tempo == 11, "{rules:?}");
    validator.event("the records", PATIENCE, |e| of_window(e, "records_published", first));
    let names: Vec<Value> = validator.events().iter().map(|e| e["event"].clone()).collect();
    let place = |name: &str| names.iter().position(|n| n == name).expect("an event that was seen");
    assert!(place("judged") < place("weights_set") && place("weights_set") < place("records_published"));
}

#[test]
fn honest_windows_are_valid_weighed_and_published_only_after_the_weights() {
    let net = Net::start(&SIZES);
    // Weights are due once, and then never again.
    let exported = net.home().join("exported");
    std::fs::create_dir(&exported).expect("a folder");
    let export = text(&exported);
    let mut validator = net.party("validate", &["--weights-interval", "1000000", "--export", &export]);
    let mut miner = net.party("mine", &[]);
    let valid = |event: &Value| event["event"] == "judged" && event["outcome"] == "valid";
    let first = validator.event("a valid window", PATIENCE, valid)["window"].as_u64().expect("a block");
    validator.event("weights", PATIENCE, |e| of_window(e, "weights_set", first));
    validator.event("the records", PATIENCE, |e| of_window(e, "records_published", first));
    let subnet = net.subnet();
    let uid = net.uid(&subnet, &account(MINER));
    assert_eq!(net.weights(&subnet, &account(VALIDATOR)), [(uid, u16::MAX)], "{}", validator.story());
    let names: Vec<Value> = validator.events().iter().map(|e| e["event"].clone()).collect();
    let place = |name: &str| names.iter().position(|n| n == name).expect("an event that was seen");
    assert!(place("judged") < place("weights_set") && place("weights_set") < place("records_published"));

    // The next window is judged, but no weights use it.
    let next = first + WINDOW;
    let judged = |e: &Value| of_window(e, "window_judged", next);
    validator.event("the next window", PATIENCE, judged);
    miner.event("its file", PATIENCE, |e| of_window(e, "window_published", next));
    validator.interrupt();
    assert_eq!(validator.wait(PATIENCE).code(), Some(0), "{}", validator.story());
    assert!(records(&net, first).is_some() && records(&net, next).is_none());
    let own = account(VALIDATOR);
    assert_eq!(net.keys(&own, "grail/valid_rollouts/"), [rollouts_key(first)]);
    assert_eq!(tables(&exported), [table_of(first)]);

    // With the next weights it is.
    let mut validator = net.party("validate", &["--weights-interval", "1", "--export", &export]);
    validator.event("its records", PATIENCE, |e| of_window(e, "records_published", next));
    let there = || tables(&exported).contains(&table_of(next)).then_some(());
    eventually("its rollouts as Parquet", PATIENCE, there, || validator.story());
    assert!(validator.all("judged").iter().all(|e| e["window"] != next), "judged twice: {}", validator.story());
    assert!(records(&net, next).is_some() && net.object(&own, &rollouts_key(next)).is_some());
    drop((validator, miner));

    records_can_be_derived_again(&net, first);
    exported_rollouts_are_those_of_the_file(&net, &exported.join(table_of(first)), first);
}

/// What a validator exports of a window's miner.
fn table_of(window: u64) -> String {
    format!("train-window-{window}-{}.parquet", ss58::encode(&account(MINER)))
}

fn tables(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| text(Path::new(&entry.expect("a file").file_name()));
    let names = std::fs::read_dir(folder).expect("a folder").map(name);
    names.filter(|name| name.ends_with(".parquet")).collect()
}

/// All of its groups were checked; the two fields that nobody checks are the window's.
fn exported_rollouts_are_those_of_the_file(net: &Net, table: &Path, window: u64) {
    let stored = net.file(&account(MINER), window).expect("the miner's file");
    let mut file = Workshop::open(&net.network()).read(&stored);
    for entry in &mut file.inferences {
        (entry.block, entry.timestamp) = (window.into(), file.block.timestamp_ms as f64 / 1000.0);
    }
    let rows = |file: &WindowFile| {
        grail_export::table::<Sat>(Source { file, window, uploaded_at: "2026-01-01T00:00:00Z" }).expect("rows")
    };
    let exported = std::fs::read(table).expect("the table");
    assert!(same_rollouts(&exported, &rows(&file)));
    file.inferences.pop();
    assert!(!same_rollouts(&exported, &rows(&file)));
}

/// What a stranger does: credentials and root from the chain, the file from the bucket, `grail verify`.
fn records_can_be_derived_again(net: &Net, window: u64) {
    let (subnet, miner) = (net.subnet(), account(MINER));
    let records = records(net, window).expect("they are published");
    let record = records.iter().find(|r| r.subject.hotkey == miner).expect("the miner's record");
    assert_eq!((record.outcome, record.subject.validator), (Outcome::Valid, account(VALIDATOR)));
    assert!(record.groups > 0 && record.groups == record.checked && record.successful >= record.distinct);

    let committed = net.commitment(&subnet, window + WINDOW - 1, &miner).expect("a commitment");
    let credentials = ReadCredentials::from_commitment(committed.raw(0).expect("bytes")).expect("credentials");
    let theirs = net.bucket(&account(VALIDATOR)).of(credentials.bucket(&subnet.buckets).expect("an endpoint"));
    let key = grail::subnet::file_key(&ss58::encode(&miner), window);
    let stored = runtime().block_on(theirs.expect("a bucket").get_capped(&key, 64 << 20)).expect("the file");
    let root = WindowRoot::of_file(window, &stored);
    assert_eq!(committed.raw(1), Some(&root.to_bytes()[..]));
    assert_eq!(record.subject.root, Some(root));

    let (network, file) = (net.network(), net.home().join("fetched.json.gz"));
    std::fs::write(&file, &stored).expect("a file");
    let end = net.head(&subnet, window + WINDOW);
    let id = network.network().id();
    let c_w = hex::encode(block_randomness(id, end.block_number, &end.block_hash, &end.beacon_randomness));
    let (file_text, network_file) = (text(&file), text(&net.localnet_folder().join("network.json")));
    let verify = |file: &str| {
        run(net.home(), &["verify", "--network", &network_file, "--challenge", &c_w, "--json", file], PATIENCE)
    };
    let ended = verify(&file_text);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let derived: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(derived["outcome"], record.outcome.name());
    assert_eq!(derived["root"], hex::encode(root.to_bytes()));
    let numbers = |name: &str| derived[name].as_u64().expect("a number");
    let checked = derived["checked"].as_array().expect("a list").len() as u64;
    let derived_numbers = (numbers("groups"), checked, numbers("successful"), numbers("distinct"));
    assert_eq!(derived_numbers, (record.groups, record.checked, record.successful, record.distinct));

    // Published rollouts are the file's.
    let published = net.object(&account(VALIDATOR), &rollouts_key(window)).expect("valid rollouts");
    let published: Value = serde_json::from_str(&inflate(&published)).expect("JSON");
    let entries = Workshop::open(&network).read(&stored).inferences;
    assert_eq!(published["count"], entries.len());
    let listed = published["rollouts"].as_array().expect("a list");
    assert_eq!(listed.len(), entries.len());
    for (listed, entry) in listed.iter().zip(&entries) {
        assert_eq!(listed["commit"]["tokens"], serde_json::json!(entry.commit.tokens));
        assert_eq!(listed["signature"], entry.signature);
    }

    // Control: one byte of the file, and there is nothing to derive.
    let mut other = stored;
    let middle = other.len() / 2;
    other[middle] ^= 1;
    std::fs::write(&file, &other).expect("a file");
    assert_eq!(verify(&file_text).code, Some(3));
}

#[test]
fn test_mode_judges_the_own_hotkey_alone_and_sets_no_weights() {
    let net = Net::start(&SIZES);
    let mut miner = net.party("mine", &[]);
    let published = miner.event("a file", PATIENCE, |e| e["event"] == "window_closed");
    let next = published["window"].as_u64().expect("a block") + WINDOW;
    // A window from its start on, so that there is a file of it.
    let subnet = net.subnet();
    net.reach(&subnet, next - 1);
    let mut validator = net.party("validate", &["--test-mode", "--uri", MINER]);
    let judged = |e: &Value| e["event"] == "judged" && e["window"].as_u64() >= Some(next);
    let judged = validator.event("a verdict", PATIENCE, judged);
    assert_eq!((&judged["outcome"], &judged["hotkey"]), (&"valid".into(), &ss58::encode(&account(MINER)).into()));
    let window = judged["window"].as_u64().expect("a block");
    assert_eq!(window, window_of(window, WINDOW));
    validator.event("the end of the window", PATIENCE, |e| of_window(e, "window_judged", window));
    // One more window: whatever follows a verdict has had its time.
    let more = validator.event("another window", PATIENCE, |e| of_window(e, "window_judged", window + WINDOW));
    assert_eq!(more["records"], 1);
    validator.interrupt();
    assert_eq!(validator.wait(PATIENCE).code(), Some(0), "{}", validator.story());
    assert!(validator.all("judged").iter().all(|e| e["hotkey"] == judged["hotkey"]), "{}", validator.story());
    for name in ["weights_set", "weights_not_set", "records_published"] {
        assert!(validator.all(name).is_empty(), "{name}: {}", validator.story());
    }
    assert_eq!(net.weights(&subnet, &account(MINER)), []);
    assert_eq!(net.keys(&account(MINER), "grail/records/"), Vec::<String>::new());
    // Control: the network has another hotkey that could have been judged.
    assert_ne!(net.uid(&subnet, &account(MINER)), net.uid(&subnet, &account(VALIDATOR)));
}
