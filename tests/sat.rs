//! The vectors of SAT, rewards and scoring, and a control for each runner: with one value altered it must
//! fail.

mod runners;

use runners::program::RUNNERS;
use runners::protocol::support::{folder, load};

fn vectors() -> std::path::PathBuf {
    folder(env!("CARGO_MANIFEST_DIR"))
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

/// A value of each list, and what it is replaced by.
const ALTERED: &[(&str, &str, &str)] = &[
    ("advantages.json", "/cases/1/advantages/0", "0.57735026918962"),
    ("exact/protocol.json", "/problems/0/clauses/0/0", "7"),
    (
        "exact/protocol.json",
        "/problems/1/prompt_sha256",
        "\"03f5e66f29b59118a106cdcfc33041944e0ba6fa971dadb93378cfb9d4f36e27\"",
    ),
    ("exact/protocol.json", "/scoring_work/0/u/0", "546.0"),
    ("exact/protocol.json", "/scoring_work/0/weights/1", "0.0128"),
    ("exact/protocol.json", "/scoring_work/4/windows/1/11", "\"void\""),
    ("exact/protocol.json", "/counts/scoring_work", "12"),
    (
        "exact/window-sat-tiny.json",
        "/deterministic_sha256",
        "\"03f5e66f29b59118a106cdcfc33041944e0ba6fa971dadb93378cfb9d4f36e27\"",
    ),
    ("exact/window-sat-tiny.json", "/expected/distinct", "8"),
    ("exact/window-sat-tiny.json", "/rollouts/7/advantage", "0.25"),
    ("exact/window-sat-tiny.json", "/variants/1/reason", "\"SketchInexact\""),
    ("exact/window-sat-tiny.json", "/variants/8/position", "183"),
    ("sat.json", "/system_prompt", "\"You are\""),
    ("sat.json", "/cases/3/clauses/0/0", "9"),
    ("sat.json", "/cases/0/rendered", "\"\""),
    ("sat.json", "/out_of_range_difficulty/0/difficulty", "0.2"),
    ("sat.json", "/difficulty_by_inference_count/5/difficulty", "0.36"),
    ("sat.json", "/system_message_template_cases/0/add_generation_prompt", "false"),
    ("sat_check.json", "/cases/0/solves", "false"),
    ("sat_rewards.json", "/weights/0", "2.0"),
    ("sat_rewards.json", "/cases/25/parsed/has_answer", "false"),
    ("sat_rewards.json", "/cases/3/individual_rewards/4", "0.002"),
    (
        "sat_rewards.json",
        "/cases/0/solution_hash",
        "\"03f5e66f29b59118a106cdcfc33041944e0ba6fa971dadb93378cfb9d4f36e27\"",
    ),
    ("weights.json", "/cases/20/weights/0", "0.42"),
    ("weights.json", "/cases/20/burn_uid", "7"),
    ("weights.json", "/burn_edge/0/burn_percentage", "1.0"),
    ("weights.json", "/stats_cases/4/stats/gini", "0.41"),
];

#[test]
fn an_altered_vector_does_not_hold() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("exact")).unwrap();
    for (name, place, value) in ALTERED {
        // Other files refer to the instances of this one.
        std::fs::copy(vectors().join("sat.json"), dir.path().join("sat.json")).unwrap();
        let mut file: serde_json::Value = load(&vectors(), name).unwrap();
        let slot = file.pointer_mut(place).unwrap_or_else(|| panic!("{name}: no {place}"));
        *slot = serde_json::from_str(value).unwrap();
        std::fs::write(dir.path().join(name), file.to_string()).unwrap();
        let (_, run) = RUNNERS.iter().find(|r| r.0 == *name).unwrap();
        let Err(problem) = run(dir.path()) else {
            panic!("{name}: {place} altered and not noticed");
        };
        let is_readable = !problem.contains(" at line ");
        assert!(is_readable, "{name}: {place}: the altered file cannot be read: {problem}");
    }
    let covered = |name: &str| ALTERED.iter().any(|a| a.0 == name);
    assert!(RUNNERS.iter().all(|r| covered(r.0)), "a runner without a control");
}
