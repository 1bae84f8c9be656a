//! The vectors of the beacon, of the store and of the parts that `grail-exact-1` replaced, and controls for each runner: with one
//! value altered it must fail.

mod runners;

use runners::protocol::support::{Runner, folder, load};
use runners::{beacon, legacy, store};

fn vectors() -> std::path::PathBuf {
    folder(env!("CARGO_MANIFEST_DIR"))
}

fn all() -> Vec<(&'static str, Runner)> {
    [beacon::RUNNERS, legacy::RUNNERS, store::RUNNERS].concat()
}

#[test]
fn every_vector_holds() {
    for (name, run) in all() {
        match run(&vectors()) {
            Ok(cases) => println!("{name}: {cases} cases"),
            Err(problem) => panic!("{name}: {problem}"),
        }
    }
}

/// A value of each list, and what it is replaced by.
const ALTERED: &[(&str, &str, &str)] = &[
    ("chain_commitment.json", "/cases/0/account_id", "\"b010f56c55d9481679896e96a9c09d6c\""),
    ("chain_commitment.json", "/cases/1/length", "127"),
    ("chain_commitment.json", "/cases/2/bucket_name", "\"bd4c82a1722cb1af2b27\""),
    ("chain_commitment.json", "/cases/3/read_access_key_id", "\"a185adb2508264748b5b\""),
    ("chain_commitment.json", "/cases/4/decoded/secret_access_key", "\"\""),
    ("hf_rows.json", "/cases/0/window", "207660"),
    ("hf_rows.json", "/cases/0/row/grail_tokens", "\"[1,2,3]\""),
    ("hf_rows.json", "/cases/0/rollout/commit/rollout/success", "false"),
    ("hf_rows.json", "/cases/3/row/solution_total_reward", "0"),
    ("hf_rows.json", "/cases/3/row/inference_count", "0"),
    ("network/drand.json", "/chains/default/period", "3"),
    ("network/drand.json", "/cases/0/round", "122"),
    ("network/drand.json", "/cases/0/accept", "false"),
    ("network/drand.json", "/cases/6/previous_signature", "null"),
    ("network/drand.json", "/cases/26/accept", "true"),
    ("network/drand.json", "/cases/29/expected_randomness", "null"),
    ("network/drand.json", "/cases/29/signature_valid", "false"),
    ("network/drand.json", "/round_at_time/2/round", "1"),
    ("network/drand.json", "/round_at_time/2/error", "null"),
    ("network/drand.json", "/round_at_time/21/chain", "\"quicknet\""),
    ("network/drand.json", "/time_of_round/3/unix_s", "1692806367"),
    ("randomness.json", "/cases/0/block_hash", "\"0x49\""),
    ("randomness.json", "/cases/0/use_drand", "false"),
    (
        "randomness.json",
        "/cases/2/miner_combined",
        "\"10fe6924a8318266052448db388440ef66166f8a2fea3cc9831fd2e769616a82\"",
    ),
    ("randomness.json", "/round_at_time/0/round", "0"),
    ("randomness.json", "/round_at_time_v2_client/0/round", "1"),
    (
        "randomness.json",
        "/chains_seed/quicknet/hash",
        "\"52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971\"",
    ),
    ("windows.json", "/cases/3/window_start", "0"),
    ("windows.json", "/cases/3/validator_target_window", "30"),
    ("windows.json", "/timer_cases/1/blocks_needed", "11"),
    ("windows.json", "/gen_ema_cases/2/samples/1", "58.5"),
    ("windows.json", "/block_ema_cases/0/events/1/block", "100"),
    ("windows.json", "/filename_cases/2/key", "\"5X-window-1.json\""),
];

#[test]
fn an_altered_vector_does_not_hold() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("network")).unwrap();
    for (name, place, value) in ALTERED {
        let mut file: serde_json::Value = load(&vectors(), name).unwrap();
        let slot = file.pointer_mut(place).unwrap_or_else(|| panic!("{name}: no {place}"));
        *slot = serde_json::from_str(value).unwrap();
        std::fs::write(dir.path().join(name), file.to_string()).unwrap();
        let (_, run) = all().into_iter().find(|r| r.0 == *name).unwrap();
        let Err(problem) = run(dir.path()) else {
            panic!("{name}: {place} altered and not noticed");
        };
        let is_readable = !problem.contains(" at line ");
        assert!(is_readable, "{name}: {place}: the altered file cannot be read: {problem}");
    }
    let covered = |name: &str| ALTERED.iter().any(|a| a.0 == name);
    assert!(all().iter().all(|r| covered(r.0)), "a runner without a control");
}
