//! The edit that has to be caught: one bit of the best answer.

use grail_engine::tokenizer::Tokenizer;
use grail_protocol::window::Inference;

/// One token of one rollout, replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit {
    /// Place of the rollout in the file.
    pub rollout: usize,
    /// Position in the whole sequence.
    pub position: usize,
    /// The token that was generated.
    pub original: u32,
    /// The token that is claimed instead.
    pub claimed: u32,
}

impl Edit {
    /// A bit of the answer of the rollout with the highest reward; where no answer has one, that rollout's middle token.
    #[must_use]
    pub fn choose(entries: &[Inference], tokenizer: &Tokenizer, vocab: usize) -> Option<Self> {
        let mut places: Vec<usize> = (0..entries.len()).collect();
        places.sort_by(|&a, &b| {
            let reward = |i: usize| entries[i].commit.rollout.total_reward;
            reward(b).total_cmp(&reward(a))
        });
        let start = |i: usize| usize::try_from(entries[i].commit.rollout.prompt_length).unwrap_or(0);
        let bit = places.iter().find_map(|&rollout| {
            let tokens = &entries[rollout].commit.tokens;
            let (position, claimed) = answer_bit(tokens, start(rollout), tokenizer)?;
            Some(Self { rollout, position, original: tokens[position], claimed })
        });
        bit.or_else(|| {
            let &rollout = places.first()?;
            let tokens = &entries[rollout].commit.tokens;
            let position = start(rollout) + (tokens.len() - start(rollout)) / 2;
            let original = *tokens.get(position)?;
            let claimed = ((u64::from(original) + 1) % vocab as u64) as u32;
            Some(Self { rollout, position, original, claimed })
        })
    }

    /// Makes the edit.
    pub fn apply(&self, entries: &mut [Inference]) {
        entries[self.rollout].commit.tokens[self.position] = self.claimed;
    }
}

/// Position of the first bit within the answer's tags, and the token of the other bit.
fn answer_bit(tokens: &[u32], start: usize, tokenizer: &Tokenizer) -> Option<(usize, u32)> {
    let ends_tag = |end: usize| tokenizer.decode(&tokens[start..end], true).ends_with("<SOLUTION>");
    let inside = (start..tokens.len()).find(|&end| ends_tag(end))?;
    let flipped = |position: usize| {
        let text = tokenizer.decode(&[tokens[position]], true);
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
    (inside..tokens.len()).find_map(flipped)
}
