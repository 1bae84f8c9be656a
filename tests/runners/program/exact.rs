//! exact/protocol.json (DESIGN 4.4, 4.15): contents of the problems, and scores.

use std::collections::BTreeMap;
use std::path::Path;

use grail::environment::Environment;
use grail::sat::Sat;
use grail::scoring::{WindowResult, burn, normalise, score, work};
use grail_protocol::encoding::sha256;
use serde::Deserialize;
use serde_json::Value;

use super::super::protocol::support::{Hex32, each, load, same, text};
use super::close;

#[derive(Deserialize)]
struct File {
    problems: Vec<Problem>,
    scoring_work: Vec<Scoring>,
    counts: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct Problem {
    seed_text: String,
    difficulty: f64,
    num_vars: usize,
    clauses: Vec<Vec<i32>>,
    prompt_sha256: Hex32,
}

#[derive(Deserialize)]
struct Scoring {
    uids: Vec<u16>,
    windows: Vec<Vec<Value>>,
    burn_uid: u16,
    burn_percentage: f64,
    u: Vec<f64>,
    score: Vec<f64>,
    weights: Vec<f64>,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "exact/protocol.json")?;
    let problems = each("problems", &file.problems, |problem| {
        let instance = Sat.problem(&problem.seed_text, problem.difficulty).map_err(text)?;
        same("num_vars", instance.num_vars(), problem.num_vars)?;
        same("clauses", instance.clauses(), &problem.clauses[..])?;
        let prompt = Sat.prompt(&instance, "<|im_end|>");
        same("prompt", sha256(prompt.as_bytes()), problem.prompt_sha256.0)
    })?;
    same("problems", Some(&problems), file.counts.get("problems"))?;
    let scores = each("scoring_work", &file.scoring_work, run_scoring)?;
    same("scoring_work", Some(&scores), file.counts.get("scoring_work"))?;
    Ok(problems + scores)
}

fn run_scoring(case: &Scoring) -> Result<(), String> {
    let mut works = Vec::new();
    for miner in &case.windows {
        let windows: Result<Vec<WindowResult>, String> = miner.iter().map(result).collect();
        works.push(work(&windows?));
    }
    let bits = |values: &[f64]| -> Vec<u64> { values.iter().map(|x| x.to_bits()).collect() };
    same("u", bits(&works), bits(&case.u))?;
    let scores: Vec<f64> = works.iter().map(|&u| score(u)).collect();
    close("score", &scores, &case.score)?;
    let weights = burn(&normalise(&scores), &case.uids, case.burn_uid, case.burn_percentage);
    close("weights", &weights, &case.weights)
}

fn result(window: &Value) -> Result<WindowResult, String> {
    match window {
        Value::Null => Ok(WindowResult::NoVerdict),
        Value::String(word) if word == "void" => Ok(WindowResult::Void),
        Value::String(word) if word == "fraud" => Ok(WindowResult::Fraud),
        other => {
            let numbers: [u64; 3] = serde_json::from_value(other.clone()).map_err(text)?;
            let [groups, checked_groups, distinct_successes] = numbers;
            Ok(WindowResult::Valid { groups, checked_groups, distinct_successes })
        }
    }
}
