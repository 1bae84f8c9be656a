//! Random 3-SAT: instances, their text, the parser of answers and the rewards (PROTOCOL 4.1-4.5).

mod instance;
mod parse;
mod reward;
mod text;

use grail_protocol::Result;
use grail_protocol::json::Value;
use grail_protocol::window::Shape;

pub use instance::Instance;
pub use parse::Answer;
pub use reward::COMPONENTS;
pub use text::{Role, SYSTEM_PROMPT, problem_text, render_messages, user_prompt};

use crate::environment::{Component, Environment, Reward};

/// The environment `sat`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sat;

impl Environment for Sat {
    type Problem = Instance;
    type Answer = Answer;

    const NAME: &'static str = "sat";
    const COMPONENTS: &'static [Component] = &COMPONENTS;
    const STATEMENT: &'static [(&'static str, Shape)] =
        &[("clauses", Shape::List(&Shape::List(&Shape::Integer))), ("num_vars", Shape::Integer)];
    const ANSWER: &'static [(&'static str, Shape)] =
        &[("assignment", Shape::List(&Shape::Bool)), ("satisfied_clauses", Shape::Integer)];

    fn problem(&self, seed_text: &str, difficulty: f64) -> Result<Instance> {
        Instance::generate(seed_text, difficulty)
    }

    fn prompt(&self, problem: &Instance, eos: &str) -> String {
        let user = user_prompt(problem);
        render_messages(&[(Role::User, &user)], eos, true)
    }

    fn statement(&self, problem: &Instance) -> Vec<Value> {
        let literal = |&literal: &i32| Value::Integer(literal.into());
        let clause = |clause: &Vec<i32>| Value::List(clause.iter().map(literal).collect());
        let clauses = problem.clauses().iter().map(clause).collect();
        vec![Value::List(clauses), Value::Integer(problem.num_vars() as i128)]
    }

    fn parse(&self, problem: &Instance, completion: &str) -> Answer {
        Answer::parse(completion, problem.num_vars())
    }

    fn answer(&self, problem: &Instance, answer: &Answer) -> Vec<Value> {
        let assignment = answer.assignment.iter().copied().map(Value::Bool).collect();
        let satisfied = problem.satisfied_clauses(&answer.assignment);
        vec![Value::List(assignment), Value::Integer(satisfied as i128)]
    }

    fn reward(&self, problem: &Instance, answer: &Answer) -> Reward {
        reward::reward(problem, answer)
    }
}
