//! The vectors of this crate, and a control for each runner: with one value altered it must fail.

#[path = "../../tests/runners/protocol/mod.rs"]
mod protocol;

use std::path::Path;

use protocol::support::folder;

fn vectors() -> std::path::PathBuf {
    folder(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

#[test]
fn every_vector_holds() {
    for (name, run) in protocol::RUNNERS {
        match run(&vectors()) {
            Ok(cases) => println!("{name}: {cases} cases"),
            Err(problem) => panic!("{name}: {problem}"),
        }
    }
}

/// A value of each list, and what it is replaced by.
const ALTERED: &[(&str, &str, &str)] = &[
    ("exact/protocol.json", "/keys/0/ss58", "\"\""),
    ("exact/protocol.json", "/network_id/1/parameters/netuid", "3"),
    ("exact/protocol.json", "/beacon_round/2/round", "1"),
    ("exact/protocol.json", "/window_randomness/0/window_start", "1"),
    ("exact/protocol.json", "/r_vector/0/first/0", "0"),
    ("exact/protocol.json", "/weights_digest/0/tensors/0/dtype", "\"F16\""),
    ("exact/protocol.json", "/problems/0/nonce", "99"),
    ("exact/protocol.json", "/difficulty_positions/0/position", "1"),
    ("exact/protocol.json", "/difficulties/3", "0.5"),
    ("exact/protocol.json", "/sampling_seeds/0/i", "7"),
    ("exact/protocol.json", "/binding/0/signatures/1/valid", "true"),
    ("exact/protocol.json", "/groups/5/drawn/0", "0"),
    ("exact/protocol.json", "/window_root/0/window_start", "1"),
    ("exact/protocol.json", "/floats/write/3/text", "\"7.0\""),
    ("exact/protocol.json", "/floats/read/0/bits", "null"),
    ("exact/protocol.json", "/integers/0/integer", "false"),
    ("exact/protocol.json", "/counts/keys", "4"),
    ("indices.json", "/cases/7/indices/0", "999"),
    ("indices.json", "/errors/0/n_tokens", "3"),
    ("int_hash.json", "/cases/1/values/0", "5"),
    ("mod_tolerance.json", "/tolerance_cases/1/out_of_range", "false"),
    ("mod_tolerance.json", "/trunc_mod_cases/2/sketch", "1"),
    ("mt19937.json", "/cases/0/random/1", "0.5"),
    ("mt19937.json", "/cases/3/shuffle_range/values/0", "0"),
    ("network/ss58.json", "/invalid/0/address", "\"5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY\""),
    ("network/ss58.json", "/valid/1/address", "\"5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY\""),
    ("prf.json", "/cases/4/label_hex", "\"00\""),
    ("prf.json", "/errors/1/out_bytes", "65536"),
    ("python_json.json", "/floats/5/json", "\"0.00001\""),
    ("python_json.json", "/objects/1/canonical_dumps", "\"{}\""),
    ("r_vec.json", "/cases/1/d_model", "9"),
    ("r_vec.json", "/errors/0/error", "null"),
    ("signatures.json", "/commit_binding_cases/0/valid", "false"),
    ("signatures.json", "/rollout_signature_cases/0/valid", "false"),
    ("sketch.json", "/cases/0/sketch_exact_int", "1"),
    ("sketch.json", "/cases/0/scaled_rounded/0", "1"),
];

#[test]
fn an_altered_vector_does_not_hold() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("exact")).unwrap();
    std::fs::create_dir(dir.path().join("network")).unwrap();
    for (name, place, value) in ALTERED {
        let mut file: serde_json::Value = protocol::support::load(&vectors(), name).unwrap();
        let slot = file.pointer_mut(place).unwrap_or_else(|| panic!("{name}: no {place}"));
        *slot = serde_json::from_str(value).unwrap();
        std::fs::write(dir.path().join(name), file.to_string()).unwrap();
        let (_, run) = protocol::RUNNERS.iter().find(|r| r.0 == *name).unwrap();
        let problem = run(dir.path()).expect_err(&format!("{name}: {place} is altered"));
        assert!(!problem.contains(" at line "), "{name}: {place}: the altered file cannot be read: {problem}");
    }
    let covered = |name: &str| ALTERED.iter().any(|a| a.0 == name);
    assert!(protocol::RUNNERS.iter().all(|r| covered(r.0)), "a runner without a control");
}

#[test]
fn a_missing_file_is_an_error() {
    for (name, run) in protocol::RUNNERS {
        assert!(run(Path::new("/nonexistent")).is_err(), "{name}");
    }
}
