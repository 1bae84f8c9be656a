//! One miner's file, from the disk to a verdict.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use grail_engine::Engine;
use grail_engine::types::{Event, ScoreRequest};
use grail_export::{Source, table};
use grail_protocol::assignment::WindowHead;
use grail_protocol::environment::Environment;
use grail_protocol::verify::{Claimed, Extent, Outcome, Selection, Verdict, Verifier};
use grail_protocol::window::{GroupText, Inference, Schema, WindowFile};
use grail_protocol::{AccountId, Hash, ss58};

use super::Miner;
use super::fetch::Fetched;
use crate::offline::open;
use crate::subnet::{Judged, Part, Stop};

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
    /// The same as rows of a Parquet file, if they were asked for.
    pub table: Option<Vec<u8>>,
}

impl Finding {
    /// A verdict without any work.
    #[must_use]
    pub fn of(verdict: Verdict) -> Self {
        Self { verdict, scored_tokens: 0, scoring: Duration::ZERO, valid: Vec::new(), table: None }
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
    /// The time of an export, if there is to be one.
    pub exported_at: Option<&'a str>,
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
        if verdict.outcome != Outcome::Valid {
            return Ok(Finding { verdict, scored_tokens, scoring, valid: Vec::new(), table: None });
        }
        let size = protocol.network().parameters().rollouts_per_problem as usize;
        let kept = publishable(file, &verdict.checked, size, self.head);
        let valid = kept.inferences.chunks(size).map(|group| GroupText::new(group, &Schema::of::<E>())).collect();
        let rows = |uploaded_at| {
            let rows = table::<E>(Source { file: &kept, window: self.head.block_number, uploaded_at });
            // No reason to have no verdict.
            rows.inspect_err(|error| tracing::warn!(hotkey = kept.wallet, "nothing is exported: {error}")).ok()
        };
        let table = self.exported_at.and_then(rows);
        Ok(Finding { verdict, scored_tokens, scoring, valid, table })
    }
}

/// A valid file with its checked groups alone. They equal what was derived, but for the two fields that nobody checks:
/// those get the window's.
fn publishable(file: WindowFile, checked: &[usize], size: usize, head: &WindowHead) -> WindowFile {
    let (block, timestamp) = (head.block_number.into(), head.timestamp_ms as f64 / 1000.0);
    let groups = checked.iter().map(|&place| &file.inferences[place * size..(place + 1) * size]);
    let derived = groups.flatten().map(|entry| Inference { block, timestamp, ..entry.clone() });
    WindowFile { inferences: derived.collect(), ..file }
}

/// A verdict on what was fetched; our own trouble is none.
pub fn finding<E: Environment>(
    judge: &Judge<'_, E>,
    fetched: Fetched,
    account: &AccountId,
    engine: &mut Engine,
    stop: &Stop,
) -> Finding {
    let trouble = |why: String| {
        tracing::error!(hotkey = ss58::encode(account), "no verdict: {why}");
        Finding::of(Verdict::no_verdict())
    };
    match fetched {
        Fetched::Void(reason) => Finding::of(Verdict::refused(reason)),
        Fetched::Trouble(why) => trouble(why),
        Fetched::File(path) => {
            judge.file(&path, account, engine, stop).unwrap_or_else(|error| trouble(format!("{error:#}")))
        }
    }
}

/// What is told of a finding.
pub fn told_of(window: u64, miner: Miner, finding: &Finding) -> Judged {
    let verdict = &finding.verdict;
    Judged {
        window,
        uid: miner.uid,
        hotkey: miner.hotkey,
        outcome: verdict.outcome.name(),
        reason: verdict.reason.clone(),
        groups: verdict.groups as u64,
        checked: verdict.checked.len() as u64,
        successful: verdict.successful as u64,
        distinct: verdict.distinct as u64,
        scored_tokens: finding.scored_tokens,
        scoring_s: finding.scoring.as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use grail_export::same_rollouts;
    use grail_protocol::window::{Limits, read};

    use super::*;
    use crate::sat::Sat;

    /// Three groups of four.
    fn file() -> WindowFile {
        let text = include_str!("../../tests/vectors/exact/window-sat-tiny.json");
        let vector: serde_json::Value = serde_json::from_str(text).unwrap();
        let limits = Limits { text_bytes: 1 << 30, inferences: 12, positions: 4096, vocab_size: 768 };
        read(vector["window"].to_string().as_bytes(), &Schema::of::<Sat>(), &limits).unwrap()
    }

    fn head() -> WindowHead {
        WindowHead {
            block_number: 6000,
            block_hash: [0; 32],
            timestamp_ms: 1_692_806_361_766,
            round: 1000,
            beacon_signature: Vec::new(),
            beacon_randomness: [0; 32],
        }
    }

    #[test]
    fn what_was_not_checked_is_neither_published_nor_exported() {
        let whole = file();
        for checked in [&[0, 1, 2][..], &[0, 2], &[1], &[]] {
            let kept = publishable(whole.clone(), checked, 4, &head());
            let expected: Vec<Inference> = checked
                .iter()
                .flat_map(|group| &whole.inferences[4 * group..4 * group + 4])
                .map(|entry| Inference { block: 6000, timestamp: 1_692_806_361.766, ..entry.clone() })
                .collect();
            assert_eq!(kept.inferences, expected, "{checked:?}");
            assert_eq!(WindowFile { inferences: whole.inferences.clone(), ..kept }, whole);
        }
        let rows = |file: &WindowFile| {
            table::<Sat>(Source { file, window: 6000, uploaded_at: "2026-01-01T00:00:00Z" }).unwrap()
        };
        let all = rows(&publishable(whole.clone(), &[0, 1, 2], 4, &head()));
        assert!(!same_rollouts(&all, &rows(&publishable(whole, &[0, 2], 4, &head()))));
    }
}
