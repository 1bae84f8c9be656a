//! Rules about one rollout of a checked group: the model's own values, and what is derived from its tokens.

use grail_engine::types::Score;

use super::case::{Case, Scored};
use super::entry::differ_f64;
use super::file::differ;
use super::verdict::{Reason, ReasonKind};
use crate::environment::Environment;
use crate::indices::{CHALLENGE_K, open_indices};
use crate::sketch::{Closeness, compare};

/// The score of a rollout, if the model has one.
fn score<'a, E: Environment>(case: &'a Case<'_, E>, i: usize) -> Option<&'a Score> {
    case.scores[i].as_ref()?.as_ref().ok()
}

pub(super) fn sketches<E: Environment>(case: &Case<'_, E>, i: usize) -> Option<Reason> {
    let found = &case.entry(i).commit.s_vals;
    sketches_at(case, i, 0..found.len(), |closeness| match closeness {
        Closeness::Exact => None,
        Closeness::Inexact => Some(ReasonKind::SketchInexact),
        Closeness::Different => Some(ReasonKind::SketchMismatch),
    })
}

pub(super) fn spot<E: Environment>(case: &Case<'_, E>, i: usize) -> Option<Reason> {
    let tokens = &case.entry(i).commit.tokens;
    let challenge = case.challenge.as_ref()?;
    let k = CHALLENGE_K.min(tokens.len());
    let opened = open_indices(tokens, challenge, tokens.len(), k).ok()?;
    sketches_at(case, i, opened.into_iter(), |closeness| {
        (closeness == Closeness::Different).then_some(ReasonKind::SketchMismatch)
    })
}

fn sketches_at<E: Environment>(
    case: &Case<'_, E>,
    i: usize,
    mut positions: impl Iterator<Item = usize>,
    refuse: impl Fn(Closeness) -> Option<ReasonKind>,
) -> Option<Reason> {
    let found = &case.entry(i).commit.s_vals;
    let field = "commit.s_vals";
    match case.scores[i].as_ref()? {
        Scored::Err(fault) => {
            let expected = format!("none: {fault}");
            let position = fault.position;
            let found = found.get(position).map_or_else(String::new, u32::to_string);
            Some(Reason::of_file(ReasonKind::SketchMismatch, field, expected, found).at(i, Some(position)))
        }
        Scored::Ok(score) => positions.find_map(|position| {
            let (expected, found) = (score.sketches[position], found[position]);
            let kind = refuse(compare(expected, found))?;
            Some(Reason::of_file(kind, field, expected, found).at(i, Some(position)))
        }),
    }
}

pub(super) fn replay<E: Environment>(case: &Case<'_, E>, i: usize) -> Option<Reason> {
    let start = case.problem(i).prompt.len();
    let found = &case.entry(i).commit.tokens[start..];
    let honest = &score(case, i)?.honest;
    let place = (0..found.len()).find(|&p| honest[p] != found[p])?;
    let reason = Reason::of_file(ReasonKind::ReplayMismatch, "commit.tokens", honest[place], found[place]);
    Some(reason.at(i, Some(start + place)))
}

pub(super) fn logprobs<E: Environment>(case: &Case<'_, E>, i: usize) -> Option<Reason> {
    let start = case.problem(i).prompt.len();
    let (claim, score) = (&case.entry(i).commit.rollout, score(case, i)?);
    let first = |field: &'static str, expected: &[f32], found: &[f32]| {
        let expected = |p: usize| p.checked_sub(start).map_or(0.0, |place| expected[place]);
        let position = (0..found.len()).find(|&p| expected(p).to_bits() != found[p].to_bits())?;
        let text = |x: f32| format!("{x:?} ({:08x})", x.to_bits());
        let reason =
            Reason::of_file(ReasonKind::LogprobMismatch, field, text(expected(position)), text(found[position]));
        Some((position, reason.at(i, Some(position))))
    };
    let sampling = first("commit.rollout.token_logprobs", &score.sampling_logprobs, &claim.token_logprobs);
    let raw = first("commit.rollout.raw_token_logprobs", &score.raw_logprobs, &claim.raw_token_logprobs);
    let lowest = [sampling, raw].into_iter().flatten().min_by_key(|(position, _)| *position);
    lowest.map(|(_, reason)| reason)
}

pub(super) fn reward<E: Environment>(case: &Case<'_, E>, i: usize) -> Option<Reason> {
    let kind = ReasonKind::RewardMismatch;
    let (claim, derived) = (&case.entry(i).commit.rollout, case.judgements[i].as_ref()?);
    let answer = E::ANSWER.iter().zip(&derived.answer).zip(&claim.answer).find_map(|((&(key, _), expected), found)| {
        differ(kind, &format!("commit.rollout.{key}"), expected.as_str(), found.as_str())
    });
    answer
        .or_else(|| differ(kind, "commit.rollout.success", derived.reward.success, claim.success))
        .or_else(|| differ_f64(kind, "commit.rollout.total_reward", derived.reward.total, claim.total_reward))
        .or_else(|| differ(kind, "commit.rollout.trajectory", derived.trajectory.as_str(), claim.trajectory.as_str()))
        .map(|reason| reason.at(i, None))
}

pub(super) fn advantage<E: Environment>(case: &Case<'_, E>, i: usize) -> Option<Reason> {
    let (expected, found) = (case.advantages[i]?, case.entry(i).commit.rollout.advantage);
    Some(differ_f64(ReasonKind::AdvantageMismatch, "commit.rollout.advantage", expected, found)?.at(i, None))
}
