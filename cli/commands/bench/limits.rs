//! What a case needs of the machine at least, and so the speed it cannot pass.

use anyhow::Result;
use grail_engine::checkpoint::Checkpoint;
use grail_engine::config::Config;
use grail_engine::cpu::cache::PageLayout;
use grail_engine::kv::PAGE;

use super::cases::{Case, GROUP_PROMPT, NEW_TOKENS};
use super::machine::Machine;
use crate::commands::model::packed_bytes;

/// The work of one model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Packed matrices, the head's included: read once in a pass, whatever its rows.
    pub pass_bytes: f64,
    /// Multiply-adds of a row in the matrices outside the head.
    pub body_macs: f64,
    /// Multiply-adds of a row of logits.
    pub head_macs: f64,
    /// Keys and values of a position.
    pub position_bytes: f64,
}

/// A speed that cannot be passed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// Tokens a second.
    pub tokens_per_s: f64,
    /// What sets it.
    pub by: &'static str,
}

const READ: &str = "read";
const MULTIPLY_ADD: &str = "multiply-add";
const BOTH: &str = "multiply-add and read";

impl Work {
    /// Of a checkpoint.
    ///
    /// # Errors
    /// As [`packed_bytes`].
    pub fn of(checkpoint: &Checkpoint) -> Result<Self> {
        let config = checkpoint.config();
        let page_bytes = PageLayout::new(config).page_bytes() as f64;
        Ok(Self {
            pass_bytes: packed_bytes(checkpoint)? as f64,
            body_macs: body_macs(config),
            head_macs: config.vocab_size as f64 * config.hidden_size as f64,
            position_bytes: page_bytes / PAGE as f64,
        })
    }

    /// The least time of a decoding step: the greater of reading all weights once and of the arithmetic of `batch`
    /// tokens, which a perfect engine overlaps. Attention is not counted.
    pub fn step(&self, machine: &Machine, batch: usize) -> (f64, &'static str) {
        let read = self.pass_bytes / machine.read_bytes_per_s;
        let arithmetic = batch as f64 * (self.body_macs + self.head_macs) / machine.macs_per_s;
        if arithmetic > read { (arithmetic, MULTIPLY_ADD) } else { (read, READ) }
    }

    /// The least time of a token at batch 1 after so many positions: weights, keys and values read once.
    pub fn token_at(&self, machine: &Machine, positions: f64) -> f64 {
        (self.pass_bytes + positions * self.position_bytes) / machine.read_bytes_per_s
    }

    /// The limit of a case.
    pub fn limit(&self, machine: &Machine, case: Case) -> Limit {
        let prefill = |tokens: usize| tokens as f64 * self.body_macs / machine.macs_per_s;
        let (tokens, seconds, by) = match case {
            Case::Prefill(n) => (n, prefill(n), MULTIPLY_ADD),
            Case::Decode(batch) => {
                let (seconds, by) = self.step(machine, batch);
                (batch, seconds, by)
            }
            Case::Group(batch) => {
                let seconds = prefill(GROUP_PROMPT) + NEW_TOKENS as f64 * self.step(machine, batch).0;
                (batch * NEW_TOKENS, seconds, BOTH)
            }
        };
        Limit { tokens_per_s: tokens as f64 / seconds, by }
    }
}

fn body_macs(config: &Config) -> f64 {
    let (hidden, inner) = (config.hidden_size as f64, config.intermediate_size as f64);
    let queries = (config.num_attention_heads * config.head_dim) as f64;
    let keys = (config.num_key_value_heads * config.head_dim) as f64;
    config.num_hidden_layers as f64 * hidden * (2.0 * queries + 2.0 * keys + 3.0 * inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Machine = Machine { read_bytes_per_s: 80e9, macs_per_s: 500e9 };
    const WORK: Work = Work { pass_bytes: 1.2e9, body_macs: 440e6, head_macs: 160e6, position_bytes: 115e3 };

    #[test]
    fn a_prompt_is_held_to_the_arithmetic_outside_the_head() {
        for n in [16, 512] {
            let limit = WORK.limit(&MACHINE, Case::Prefill(n));
            assert!((limit.tokens_per_s - 500e9 / 440e6).abs() < 1e-6 && limit.by == MULTIPLY_ADD, "{limit:?}");
        }
    }

    #[test]
    fn a_small_batch_is_held_to_reading_and_a_large_one_to_arithmetic() {
        let limit = |batch| WORK.limit(&MACHINE, Case::Decode(batch));
        assert_eq!((limit(1).by, limit(12).by, limit(13).by), (READ, READ, MULTIPLY_ADD));
        assert!((limit(1).tokens_per_s - 80.0 / 1.2).abs() < 1e-9);
        assert!((limit(4).tokens_per_s - 4.0 * 80.0 / 1.2).abs() < 1e-9);
        assert!((limit(64).tokens_per_s - 500e9 / 600e6).abs() < 1e-6);
    }

    #[test]
    fn a_group_is_its_prompt_and_its_steps() {
        let seconds = 1024.0 * 440e6 / 500e9 + 64.0 * (16.0 * 600e6 / 500e9);
        let limit = WORK.limit(&MACHINE, Case::Group(16));
        assert!((limit.tokens_per_s - 16.0 * 64.0 / seconds).abs() < 1e-6 && limit.by == BOTH, "{limit:?}");
    }

    #[test]
    fn a_context_costs_its_keys_and_values() {
        assert!((WORK.token_at(&MACHINE, 0.0) - 0.015).abs() < 1e-12);
        assert!((WORK.token_at(&MACHINE, 1000.0) - (0.015 + 115e6 / 80e9)).abs() < 1e-12);
    }

    #[test]
    fn the_work_of_a_model_is_that_of_its_matrices() {
        let checkpoint = Checkpoint::sat_tiny().unwrap();
        let work = Work::of(&checkpoint).unwrap();
        let product = |name: &str| name.contains("_proj.");
        let elements: usize = checkpoint.tensors().filter(|t| product(t.name())).map(|t| t.rows() * t.columns()).sum();
        assert_eq!(work.body_macs, elements as f64);
        assert_eq!(work.head_macs, (checkpoint.embedding().rows() * checkpoint.embedding().columns()) as f64);
    }
}
