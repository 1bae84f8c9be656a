//! sat_rewards.json (PROTOCOL 4.4, 4.5): what a completion is understood to say, and its reward to the bit.

use std::path::Path;

use grail::environment::{Environment, bounds};
use grail::sat::{COMPONENTS, Sat};
use grail_protocol::encoding::sha256;
use serde::Deserialize;

use super::super::protocol::support::{Hex32, each, load, same};
use super::sat::instances;

#[derive(Deserialize)]
struct File {
    weights: Vec<f64>,
    bounds: (f64, f64),
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    sat_case: usize,
    completion: String,
    parsed: Parsed,
    individual_rewards: Vec<f64>,
    reward_vector_total: f64,
    step_reward: f64,
    success: bool,
    satisfied_clauses: usize,
    total_clauses: usize,
    action: Vec<bool>,
    packaged_satisfied_clauses: usize,
    solution_hash: Hex32,
}

#[derive(Deserialize)]
struct Parsed {
    assignment: Vec<bool>,
    answer_text: String,
    has_thinking: bool,
    has_answer: bool,
    strict_format_ok: bool,
    trailing_after_answer: usize,
    answer_has_only_bits_spaces: bool,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "sat_rewards.json")?;
    let weights: Vec<f64> = COMPONENTS.iter().map(|c| c.weight).collect();
    same("weights", &weights, &file.weights)?;
    same("bounds", bounds(&COMPONENTS), file.bounds)?;
    let instances = instances(dir)?;
    each("cases", &file.cases, |case| {
        let instance = instances.get(case.sat_case).ok_or("no such instance")?;
        run_case(case, instance).map_err(|e| format!("{:?}: {e}", case.completion))
    })
}

fn run_case(case: &Case, instance: &grail::sat::Instance) -> Result<(), String> {
    let answer = Sat.parse(instance, &case.completion);
    let parsed = &case.parsed;
    same("assignment", &answer.assignment, &parsed.assignment)?;
    same("action", &answer.assignment, &case.action)?;
    same("text", &answer.text, &parsed.answer_text)?;
    same("has_thinking", answer.has_thinking, parsed.has_thinking)?;
    same("has_answer", answer.has_answer, parsed.has_answer)?;
    same("strict", answer.is_strict, parsed.strict_format_ok)?;
    same("trailing", answer.trailing, parsed.trailing_after_answer)?;
    same("charset", answer.only_bits_and_spaces, parsed.answer_has_only_bits_spaces)?;
    let reward = Sat.reward(instance, &answer);
    let bits = |values: &[f64]| -> Vec<u64> { values.iter().map(|x| x.to_bits()).collect() };
    same("rewards", bits(&reward.values), bits(&case.individual_rewards))?;
    same("total", reward.total.to_bits(), case.reward_vector_total.to_bits())?;
    same("step reward", reward.total.to_bits(), case.step_reward.to_bits())?;
    same("success", reward.success, case.success)?;
    let satisfied = instance.satisfied_clauses(&answer.assignment);
    same("satisfied", satisfied, case.satisfied_clauses)?;
    same("packaged", satisfied, case.packaged_satisfied_clauses)?;
    same("clauses", instance.clauses().len(), case.total_clauses)?;
    let words: Vec<&str> = answer.assignment.iter().map(|&b| if b { "True" } else { "False" }).collect();
    let listed = format!("[{}]", words.join(", "));
    same("solution hash", sha256(listed.as_bytes()), case.solution_hash.0)
}
