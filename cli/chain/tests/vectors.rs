//! The vectors of this crate, and a control for each runner: with one value altered it must fail.

#[path = "../../../tests/runners"]
mod runners {
    pub mod chain;
    #[allow(dead_code, reason = "other runners use more of it")]
    pub mod protocol {
        pub mod support;
    }
}

use std::path::{Path, PathBuf};

use runners::chain::RUNNERS;
use runners::protocol::support::folder;

fn vectors() -> PathBuf {
    folder(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn every_vector_holds() {
    for (name, run) in RUNNERS {
        match run(&vectors()) {
            Ok(cases) => println!("{name}: {cases} cases"),
            Err(problem) => panic!("{name}: {problem}"),
        }
    }
}

const ZEROS: &str = "\"0000000000000000000000000000000000000000000000000000000000000000\"";

/// A value of each list, and what it is replaced by.
const ALTERED: &[(&str, &str, &str)] = &[
    ("network/chain_calls.json", "/signatures/0/call_index", "1"),
    ("network/chain_calls.json", "/signatures/8/args/1/name", "\"information\""),
    ("network/chain_calls.json", "/cases/2/args/weights/0", "1"),
    ("network/chain_calls.json", "/cases/32/args/netuid", "2"),
    ("network/chain_calls.json", "/extrinsics/1/nonce", "8"),
    ("network/chain_calls.json", "/extrinsics/1/era/period", "32"),
    ("network/chain_calls.json", "/extrinsics/2/genesis_hash_hex", ZEROS),
    ("network/chain_calls.json", "/extrinsics/0/signed/2/valid", "true"),
    ("network/chain_storage.json", "/entries/0/prefix_hex", ZEROS),
    ("network/chain_storage.json", "/entries/9/default_hex", "\"0005\""),
    ("network/chain_storage.json", "/keys/1/keys/1", "2"),
    ("network/chain_storage.json", "/values/0/decoded/block", "1"),
    ("network/chain_storage.json", "/values/1/decoded/info/fields/0/bytes", "\"00\""),
    ("network/chain_storage.json", "/values/12/decoded/0", "true"),
    ("network/chain_storage.json", "/get_metagraph/examples/0/summary/total_stake/1", "1"),
    ("network/chain_storage.json", "/get_metagraph/examples/0/summary/active/0", "true"),
    ("network/tlock.json", "/chain/hash", ZEROS),
    ("network/tlock.json", "/ciphertexts/1/round", "1004"),
    ("network/tlock.json", "/ciphertexts/1/plaintext_hex", "\"00\""),
    ("network/tlock.json", "/weights_commits/2/version_key", "1"),
    ("network/tlock.json", "/weights_commits/2/reveal_round", "1002"),
    ("network/tlock.json", "/weights_commits/3/values", "[]"),
    ("network/tlock.json", "/negative/0/any_returned_the_plaintext", "true"),
    ("network/tlock.json", "/reveal_round_v1/cases/2/reveal_round", "1"),
    ("network/tlock.json", "/reveal_round_v2/cases/1/tempo", "40"),
    ("network/weights.json", "/cases/6/normalize/values/0", "16383"),
    ("network/weights.json", "/cases/6/conform/2/result/values/3", "65534"),
    ("network/weights.json", "/cases/20/normalize", "{\"uids\": [], \"values\": []}"),
    ("network/weights.json", "/clip_to_max_weight/3/result/0", "0.5"),
    ("network/weights.json", "/clip_to_max_weight/8/result", "[0.5, 0.5]"),
];

#[test]
fn an_altered_vector_is_noticed() {
    let good = vectors();
    for (file, pointer, value) in ALTERED {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("altered-vectors");
        alter(&good, &folder, file, pointer, value);
        let run = RUNNERS.iter().find(|(name, _)| name == file).expect("a runner of the file").1;
        assert!(run(&folder).is_err(), "{file} {pointer} = {value} went unnoticed");
    }
    for (name, _) in RUNNERS {
        assert!(ALTERED.iter().any(|(file, ..)| file == name), "{name} has no control");
    }
}

fn alter(from: &Path, to: &Path, file: &str, pointer: &str, value: &str) {
    let text = std::fs::read_to_string(from.join(file)).expect("a file of vectors");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let place = json.pointer_mut(pointer).unwrap_or_else(|| panic!("{file} has no {pointer}"));
    let value: serde_json::Value = serde_json::from_str(value).expect("JSON");
    assert_ne!(*place, value, "{file} {pointer} is that already");
    *place = value;
    let path = to.join(file);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(path, json.to_string()).expect("a file");
}
