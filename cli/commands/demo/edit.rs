//! The edit that has to be caught: one bit of one answer.

use grail_engine::tokenizer::Tokenizer;
use grail_engine::types::Rollout;

use super::Answered;
use crate::compare::Differences;

/// One token of one rollout, replaced.
pub struct Edit {
    /// Place of the problem.
    pub problem: usize,
    /// Place of the rollout in its group.
    pub rollout: usize,
    /// Position in the whole sequence.
    pub position: usize,
    /// The token that was generated.
    pub original: u32,
    /// The token that is claimed instead.
    pub claimed: u32,
}

impl Edit {
    /// A bit of the answer of a rollout that solved its problem; where there is none, the middle token of the first
    /// rollout.
    pub fn choose(answered: &[Answered], tokenizer: &Tokenizer, vocab: usize) -> Self {
        for (problem, a) in answered.iter().enumerate() {
            for (rollout, (r, reward)) in a.rollouts.iter().zip(&a.rewards).enumerate() {
                if let Some((position, claimed)) = answer_bit(r, tokenizer).filter(|_| reward.success) {
                    return Self { problem, rollout, position, original: r.tokens[position], claimed };
                }
            }
        }
        let r = &answered[0].rollouts[0];
        let position = r.prompt_length + r.completion().len() / 2;
        let original = r.tokens[position];
        let claimed = ((u64::from(original) + 1) % vocab as u64) as u32;
        Self { problem: 0, rollout: 0, position, original, claimed }
    }

    /// The completion with the edit in it.
    pub fn apply(&self, rollout: &Rollout) -> Vec<u32> {
        let mut tokens = rollout.completion().to_vec();
        tokens[self.position - rollout.prompt_length] = self.claimed;
        tokens
    }

    /// Whether the replayed sampler differs first at the edit, where it had to emit the original.
    pub fn is_caught(&self, differences: &Differences) -> bool {
        differences.tokens.first.is_some_and(|m| {
            m.position == self.position && m.expected == Some(self.original) && m.found == Some(self.claimed)
        })
    }
}

/// Position of the first bit within the answer's tags, and the token of the other bit.
fn answer_bit(rollout: &Rollout, tokenizer: &Tokenizer) -> Option<(usize, u32)> {
    let text = |token: u32| tokenizer.decode(&[token], true);
    let ends_tag =
        |end: usize| tokenizer.decode(&rollout.tokens[rollout.prompt_length..end], true).ends_with("<SOLUTION>");
    let start = (rollout.prompt_length..rollout.tokens.len()).find(|&end| ends_tag(end))?;
    let flipped = |position: usize| {
        let text = text(rollout.tokens[position]);
        let other = match text.trim() {
            "0" => text.replace('0', "1"),
            "1" => text.replace('1', "0"),
            _ => return None,
        };
        match tokenizer.encode(&other).ok()?[..] {
            [token] => Some((position, token)),
            _ => None,
        }
    };
    (start..rollout.tokens.len()).find_map(flipped)
}
