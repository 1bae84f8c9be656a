//! sat.json (PROTOCOL 4.1, 4.2, 4.7): instances, texts, the template, odd difficulties and the schedule.

use std::path::Path;

use grail::environment::Environment;
use grail::sat::{Instance, Role, SYSTEM_PROMPT, Sat, problem_text, render_messages, user_prompt};
use grail_protocol::problem;
use serde::Deserialize;
use serde_json::Value;

use super::super::protocol::support::{each, load, refused, same, text};

#[derive(Deserialize)]
struct File {
    system_prompt: String,
    eos_token: String,
    chat_template: String,
    cases: Vec<Case>,
    out_of_range_difficulty: Vec<Odd>,
    difficulty_by_inference_count: Vec<Scheduled>,
    system_message_template_cases: Vec<Conversation>,
}

#[derive(Deserialize)]
struct Case {
    seed: String,
    difficulty: f64,
    num_vars: usize,
    clauses: Vec<Vec<i32>>,
    text: String,
    prompt: String,
    rendered: Option<String>,
}

#[derive(Deserialize)]
struct Odd {
    seed: String,
    difficulty: Value,
    result: OddResult,
}

#[derive(Deserialize)]
struct OddResult {
    error: Option<String>,
    num_vars: Option<usize>,
    clauses: Option<Vec<Vec<i32>>>,
}

#[derive(Deserialize)]
struct Scheduled {
    count: u64,
    difficulty: f64,
}

#[derive(Deserialize)]
struct Conversation {
    messages: Vec<Message>,
    add_generation_prompt: bool,
    rendered: String,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: String,
}

/// The instances other files refer to by number.
pub fn instances(dir: &Path) -> Result<Vec<Instance>, String> {
    let file: File = load(dir, "sat.json")?;
    let generate = |c: &Case| Instance::generate(&c.seed, c.difficulty).map_err(text);
    file.cases.iter().map(generate).collect()
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "sat.json")?;
    same("system prompt", SYSTEM_PROMPT, &file.system_prompt)?;
    // The template is code for another engine; ours must at least hold the same literals.
    let literal = SYSTEM_PROMPT;
    same("template", file.chat_template.contains(literal), true)?;
    let cases = each("cases", &file.cases, |case| run_case(case, &file.eos_token))?;
    if !file.cases.iter().any(|c| c.rendered.is_some()) {
        return Err("no case is rendered".into());
    }
    let odd = each("out_of_range_difficulty", &file.out_of_range_difficulty, run_odd)?;
    let schedule = each("schedule", &file.difficulty_by_inference_count, |case| {
        // Our positions start at a count of 1.
        let found = case.count.checked_sub(1).map_or(0.3, problem::difficulty);
        same("difficulty", found.to_bits(), case.difficulty.to_bits())
    })?;
    let messages = &file.system_message_template_cases;
    let conversations = each("messages", messages, |case| run_conversation(case, &file.eos_token))?;
    Ok(cases + odd + schedule + conversations)
}

fn run_case(case: &Case, eos: &str) -> Result<(), String> {
    let instance = Sat.problem(&case.seed, case.difficulty).map_err(text)?;
    same("num_vars", instance.num_vars(), case.num_vars)?;
    same("clauses", instance.clauses(), &case.clauses[..])?;
    same("text", &problem_text(&instance), &case.text)?;
    same("prompt", &user_prompt(&instance), &case.prompt)?;
    let rendered = Sat.prompt(&instance, eos);
    case.rendered.as_ref().map_or(Ok(()), |expected| same("rendered", &rendered, expected))
}

fn run_odd(odd: &Odd) -> Result<(), String> {
    // Python takes True for 1.
    let difficulty = match &odd.difficulty {
        Value::Bool(b) => f64::from(*b),
        number => number.as_f64().ok_or("a difficulty that is no number")?,
    };
    let result = Instance::generate(&odd.seed, difficulty);
    if odd.result.error.is_some() {
        return refused("instance", result);
    }
    let instance = result.map_err(text)?;
    same("num_vars", Some(instance.num_vars()), odd.result.num_vars)?;
    same("clauses", Some(instance.clauses()), odd.result.clauses.as_deref())
}

fn run_conversation(case: &Conversation, eos: &str) -> Result<(), String> {
    let mut messages = Vec::new();
    for message in &case.messages {
        let role = match message.role.as_str() {
            "system" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            other => return Err(format!("role {other}")),
        };
        messages.push((role, message.content.as_str()));
    }
    let rendered = render_messages(&messages, eos, case.add_generation_prompt);
    same("rendered", &rendered, &case.rendered)
}
