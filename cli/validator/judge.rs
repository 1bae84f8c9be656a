//! One miner's file, from the disk to a verdict.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use grail_engine::Engine;
use grail_engine::types::{Event, ScoreRequest};
use grail_protocol::AccountId;
use grail_protocol::Hash;
use grail_protocol::assignment::WindowHead;
use grail_protocol::environment::Environment;
use grail_protocol::verify::{Claimed, Extent, Outcome, Selection, Verdict, Verifier};
use grail_protocol::window::{GroupText, Inference, Schema};

use crate::offline::open;
use crate::subnet::{Part, Stop};

/// What was found, and what it cost.
#[derive(Debug)]
pub struct Finding {
    /// The verdict.
    pub verdict: Verdict,
    /// Completion tokens that the model was run over.
    pub scored_tokens: u64,
    /// Time that took.
    pub scoring: Duration,
    /// The rollouts of checked groups of a valid file, one text per group.
    pub valid: Vec<GroupText>,
}

impl Finding {
    /// A verdict without any work.
    #[must_use]
    pub fn of(verdict: Verdict) -> Self {
        Self { verdict, scored_tokens: 0, scoring: Duration::ZERO, valid: Vec::new() }
    }
}

/// What a window's files are judged by.
pub struct Judge<'a, E: Environment> {
    /// The rules.
    pub verifier: &'a Verifier<'a, E>,
    /// The window.
    pub head: &'a WindowHead,
    /// Its challenge.
    pub c_w: &'a Hash,
    /// The g of a validator that cannot keep up.
    pub lowered_to: Option<usize>,
    /// Every step of the model is a mark of it.
    pub part: &'a Part,
}

impl<E: Environment> Judge<'_, E> {
    /// Judges a file whose hash is the root's.
    ///
    /// # Errors
    /// Our own trouble: disk, memory, or being told to stop. It is no verdict.
    pub fn file(&self, path: &Path, account: &AccountId, engine: &mut Engine, stop: &Stop) -> Result<Finding> {
        let protocol = self.verifier.protocol();
        let file = match open(path, &Schema::of::<E>(), &protocol.limits())?.file {
            Ok(file) => file,
            Err(reason) => return Ok(Finding::of(Verdict::refused(reason))),
        };
        let (mut scored_tokens, mut scoring) = (0, Duration::ZERO);
        let mut scorer = |request: &ScoreRequest<'_>| {
            let begun = Instant::now();
            let mut watch = |_: Event<'_>| {
                self.part.mark();
                match stop.is_set() {
                    true => std::ops::ControlFlow::Break(()),
                    false => std::ops::ControlFlow::Continue(()),
                }
            };
            let scored = engine.score(request, &mut watch);
            let completions = request.groups.iter().flat_map(|group| &group.completions);
            scored_tokens += completions.map(|c| c.tokens.len() as u64).sum::<u64>();
            scoring += begun.elapsed();
            scored
        };
        let claimed = Claimed { file: &file, head: self.head, account };
        let selection = Selection::Drawn { c_w: self.c_w, lowered_to: self.lowered_to };
        let verdict = self.verifier.verify(claimed, selection, Extent::Deciding, &mut scorer)?;
        let valid = match verdict.outcome {
            Outcome::Valid => self.publishable(&file.inferences, &verdict.checked),
            _ => Vec::new(),
        };
        Ok(Finding { verdict, scored_tokens, scoring, valid })
    }

    /// Checked groups equal what was derived, but for the two fields that nobody checks: those get the window's.
    fn publishable(&self, entries: &[Inference], checked: &[usize]) -> Vec<GroupText> {
        let size = self.verifier.protocol().network().parameters().rollouts_per_problem as usize;
        let (block, timestamp) = (self.head.block_number.into(), self.head.timestamp_ms as f64 / 1000.0);
        let group = |&place: &usize| {
            let entries = &entries[place * size..(place + 1) * size];
            let derived = entries.iter().map(|entry| Inference { block, timestamp, ..entry.clone() });
            GroupText::new(&derived.collect::<Vec<_>>(), &Schema::of::<E>())
        };
        checked.iter().map(group).collect()
    }
}
