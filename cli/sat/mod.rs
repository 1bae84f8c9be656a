//! Random 3-SAT: instances, their text, the parser of answers and the rewards (PROTOCOL 4.1-4.5).

mod instance;
mod parse;
mod reward;
mod text;

use anyhow::Result;

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

    fn problem(&self, seed_text: &str, difficulty: f64) -> Result<Instance> {
        Instance::generate(seed_text, difficulty)
    }

    fn prompt(&self, problem: &Instance, eos: &str) -> String {
        let user = user_prompt(problem);
        render_messages(&[(Role::User, &user)], eos, true)
    }

    fn parse(&self, problem: &Instance, completion: &str) -> Answer {
        Answer::parse(completion, problem.num_vars())
    }

    fn reward(&self, problem: &Instance, answer: &Answer) -> Reward {
        reward::reward(problem, answer)
    }
}
