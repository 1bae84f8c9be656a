//! What a miner is asked and how its answers are rewarded.
//!
//! An environment is a set of pure functions: the same seed text gives every party the same problem, and a
//! completion's text gives everybody the same reward. SAT is the first; a network names its environment.

use crate::Result;
use crate::json::Value;
use crate::window::Shape;

/// A family of problems with its prompt, its parser and its rewards.
pub trait Environment: Sync {
    /// One problem.
    type Problem: Send + Sync;
    /// What a completion's text was understood to say.
    type Answer;

    /// The name in the network parameters.
    const NAME: &'static str;

    /// The parts of the reward, in the order they are summed.
    const COMPONENTS: &'static [Component];

    /// What a window file says of a problem beside its seed text and difficulty, ascending by name.
    const STATEMENT: &'static [(&'static str, Shape)];

    /// What a window file says of an answer. The first is the action of its trajectory.
    const ANSWER: &'static [(&'static str, Shape)];

    /// The problem of a seed text at a difficulty; an error where the family has none.
    fn problem(&self, seed_text: &str, difficulty: f64) -> Result<Self::Problem>;

    /// The text the model continues; `eos` is the tokenizer's end-of-sequence text.
    fn prompt(&self, problem: &Self::Problem, eos: &str) -> String;

    /// The values of [`Self::STATEMENT`], in its order.
    fn statement(&self, problem: &Self::Problem) -> Vec<Value>;

    /// Reads a completion, decoded without special tokens. Any text has an answer, if an empty one.
    fn parse(&self, problem: &Self::Problem, completion: &str) -> Self::Answer;

    /// The values of [`Self::ANSWER`], in its order.
    fn answer(&self, problem: &Self::Problem, answer: &Self::Answer) -> Vec<Value>;

    /// The reward of an answer.
    fn reward(&self, problem: &Self::Problem, answer: &Self::Answer) -> Reward;
}

/// One part of a reward.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Component {
    /// What it is called in reports.
    pub name: &'static str,
    /// Its factor in the total.
    pub weight: f64,
    /// Its smallest value.
    pub low: f64,
    /// Its greatest value.
    pub high: f64,
}

/// The reward of one completion.
#[derive(Debug, Clone, PartialEq)]
pub struct Reward {
    /// One value per component.
    pub values: Vec<f64>,
    /// The weighted sum, from left to right.
    pub total: f64,
    /// Whether the problem counts as solved.
    pub success: bool,
}

impl Reward {
    /// A reward whose total follows from its values.
    #[must_use]
    pub fn new(components: &[Component], values: Vec<f64>, success: bool) -> Self {
        let total = weighted_sum(components, values.iter().copied());
        Self { values, total, success }
    }
}

/// The least and the greatest total.
#[must_use]
pub fn bounds(components: &[Component]) -> (f64, f64) {
    (
        weighted_sum(components, components.iter().map(|c| c.low)),
        weighted_sum(components, components.iter().map(|c| c.high)),
    )
}

/// Left to right from 0.0: the sum is compared bit for bit.
fn weighted_sum(components: &[Component], values: impl Iterator<Item = f64>) -> f64 {
    components.iter().zip(values).fold(0.0, |sum, (component, value)| sum + component.weight * value)
}
