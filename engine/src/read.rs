//! From hidden states to tokens and log-probabilities, a tile of logits at a time.

use std::sync::Mutex;

use crate::cpu::forward::CpuModel;
use crate::cpu::sampling::Distribution;
use crate::types::{Logprobs, Sampling, Seed};
use crate::{FaultKind, Result};

/// Rows of logits that exist at once.
pub(crate) const TILE: usize = 32;

/// One question to a row of logits. Questions to the same row have the same context: its sequence so far.
pub(crate) struct Use<'a> {
    /// Index of the hidden state.
    pub row: usize,
    /// Each id of the sequence so far, once.
    pub context: &'a [u32],
    /// The rollout's seed.
    pub seed: &'a Seed,
    /// Position of the token that follows the row.
    pub position: usize,
    /// The token whose log-probabilities are wanted; `None`: of the one drawn.
    pub claimed: Option<u32>,
}

/// The answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// The token an honest sampler emits.
    pub honest: u32,
    /// Those of the claimed token or else of the honest one, if they were asked for.
    pub logprobs: Option<Logprobs>,
}

/// Answers `uses`, which ascend by row; every row is used.
pub(crate) fn read(
    model: &mut CpuModel,
    hidden: &[&[f32]],
    uses: &[Use<'_>],
    sampling: &Sampling,
    logprobs: bool,
) -> Result<Vec<std::result::Result<Reading, FaultKind>>> {
    let isa = model.isa();
    let answers = Mutex::new(vec![Err(FaultKind::Logits); uses.len()]);
    for (tile, hidden) in hidden.chunks(TILE).enumerate() {
        model.logits(hidden, |row, logits| {
            let row = tile * TILE + row;
            let first = uses.partition_point(|u| u.row < row);
            let mine = first..first + uses[first..].partition_point(|u| u.row == row);
            let mut scratch = Vec::new();
            let distribution = logits.and_then(|logits| {
                let context = uses[mine.clone()].first().map_or(&[][..], |u| u.context);
                Distribution::new(isa, logits, context, sampling, logprobs, &mut scratch)
            });
            let answer = |u: &Use<'_>| {
                let d = distribution.as_ref().map_err(|kind| *kind)?;
                let honest = d.draw(u.seed, u.position);
                let token = u.claimed.unwrap_or(honest);
                Ok(Reading { honest, logprobs: d.logprobs(token) })
            };
            let found: Vec<_> = uses[mine.clone()].iter().map(answer).collect();
            answers.lock().expect("no panic while held")[mine].copy_from_slice(&found);
        })?;
    }
    Ok(answers.into_inner().expect("no panic while held"))
}
