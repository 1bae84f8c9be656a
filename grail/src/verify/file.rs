//! Rules about a file as a whole. What breaks them is void.

use std::fmt::Display;
use std::ops::Range;

use super::Claimed;
use super::verdict::{Reason, ReasonKind};
use crate::assignment::Assignment;
use crate::environment::Environment;
use crate::problem::block_hash_text;
use crate::window::{Inference, WindowFile};
use crate::{NUMERICS, ss58};

/// A reason unless both are equal.
pub(super) fn differ<T, U>(kind: ReasonKind, field: &str, expected: T, found: U) -> Option<Reason>
where
    T: PartialEq<U> + Display,
    U: Display,
{
    (expected != found).then(|| Reason::of_file(kind, field, expected, found))
}

/// What every other rule relies on and the reader has made sure of; a file that came another way is held to it, too.
pub(super) fn shape<E: Environment>(claimed: &Claimed<'_>) -> Option<Reason> {
    let broken = |(i, entry): (usize, &Inference)| {
        let (commit, claim) = (&entry.commit, &entry.commit.rollout);
        let lengths = [
            ("commit.s_vals", commit.s_vals.len(), commit.tokens.len()),
            ("commit.rollout.token_logprobs", claim.token_logprobs.len(), commit.tokens.len()),
            ("commit.rollout.raw_token_logprobs", claim.raw_token_logprobs.len(), commit.tokens.len()),
            ("commit.sat_problem", commit.problem.fields.len(), E::STATEMENT.len()),
            ("commit.rollout", claim.answer.len(), E::ANSWER.len()),
        ];
        let (field, found, expected) = lengths.into_iter().find(|&(_, found, expected)| found != expected)?;
        let count = |n| format!("{n} values");
        Some(Reason::of_file(ReasonKind::Malformed, &format!("inferences[{i}].{field}"), count(expected), count(found)))
    };
    claimed.file.inferences.iter().enumerate().find_map(broken)
}

pub(super) fn network<E: Environment>(assignment: &Assignment<'_, E>, claimed: &Claimed<'_>) -> Option<Reason> {
    let (kind, file) = (ReasonKind::WrongNetwork, claimed.file);
    let network = assignment.protocol().network();
    let length = i128::from(network.parameters().window_length);
    differ(kind, "proof_version", NUMERICS, file.proof_version.as_str())
        .or_else(|| differ(kind, "network_id", hex::encode(network.id()), file.network_id.as_str()))
        .or_else(|| differ(kind, "window_length", length, file.window_length))
}

pub(super) fn head<E: Environment>(_: &Assignment<'_, E>, claimed: &Claimed<'_>) -> Option<Reason> {
    let (kind, file, head) = (ReasonKind::WrongRandomness, claimed.file, claimed.head);
    let number = i128::from(head.block_number);
    let signature = hex::encode(&head.beacon_signature);
    differ(kind, "window_start", number, file.window_start)
        .or_else(|| differ(kind, "block.number", number, file.block.number))
        .or_else(|| differ(kind, "block.hash", block_hash_text(&head.block_hash), file.block.hash.as_str()))
        .or_else(|| differ(kind, "block.timestamp_ms", i128::from(head.timestamp_ms), file.block.timestamp_ms))
        .or_else(|| differ(kind, "beacon.round", i128::from(head.round), file.beacon.round))
        .or_else(|| differ(kind, "beacon.signature", signature, file.beacon.signature.as_str()))
}

pub(super) fn wallet<E: Environment>(assignment: &Assignment<'_, E>, claimed: &Claimed<'_>) -> Option<Reason> {
    let expected = ss58::encode(assignment.account());
    differ(ReasonKind::WrongHotkey, "wallet", expected, claimed.file.wallet.as_str())
}

pub(super) fn indices<E: Environment>(_: &Assignment<'_, E>, claimed: &Claimed<'_>) -> Option<Reason> {
    let entries = &claimed.file.inferences;
    let reason = |(index, run): (i128, Range<usize>)| {
        let found = entries[run.start].rollout_group;
        Some(differ(ReasonKind::IndexGap, "rollout_group", index, found)?.at(run.start, None))
    };
    (0..).zip(runs(claimed.file)).find_map(reason)
}

pub(super) fn groups<E: Environment>(assignment: &Assignment<'_, E>, claimed: &Claimed<'_>) -> Option<Reason> {
    let entries = &claimed.file.inferences;
    let size = assignment.protocol().network().parameters().rollouts_per_problem;
    let expected: Vec<i128> = (0..size).map(i128::from).collect();
    let reason = |run: Range<usize>| {
        let found: Vec<i128> = entries[run.clone()].iter().map(|e| e.rollout_index).collect();
        (found != expected).then(|| {
            let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
            Reason::of_file(ReasonKind::GroupIncomplete, "rollout_index", expected, found).at(run.start, None)
        })
    };
    runs(claimed.file).find_map(reason)
}

/// Runs of entries with equal rollout_group.
pub(super) fn runs(file: &WindowFile) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = 0;
    file.inferences.chunk_by(|a, b| a.rollout_group == b.rollout_group).map(move |run| {
        let range = start..start + run.len();
        start = range.end;
        range
    })
}
