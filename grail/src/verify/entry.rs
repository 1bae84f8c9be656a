//! Rules about one rollout that need no model. The first four make a file void; a signed lie is fraud.

use super::case::Case;
use super::file::differ;
use super::verdict::{Reason, ReasonKind};
use crate::environment::Environment;
use crate::signature::{SIGNATURE_BYTES, verify};
use crate::{LAYER_INDEX, NUMERICS, ss58};

pub(super) fn randomness<E: Environment>(case: &Case<'_, E>, i: usize) -> Option<Reason> {
    let (kind, entry) = (ReasonKind::WrongRandomness, case.entry(i));
    let start = i128::from(case.assignment.window_start());
    let r_w = hex::encode(case.assignment.r_w());
    differ(kind, "window_start", start, entry.window_start)
        .or_else(|| differ(kind, "block_hash", case.assignment.block_hash_text(), entry.block_hash.as_str()))
        .or_else(|| differ(kind, "randomness", r_w.as_str(), entry.randomness.as_str()))
        .or_else(|| differ(kind, "commit.beacon.randomness", r_w.as_str(), entry.commit.randomness.as_str()))
        .or_else(|| differ(kind, "use_drand", true, entry.use_drand))
        .map(|reason| reason.at(i, None))
}

pub(super) fn hotkey<E: Environment>(case: &Case<'_, E>, i: usize) -> Option<Reason> {
    let expected = ss58::encode(case.assignment.account());
    Some(differ(ReasonKind::WrongHotkey, "hotkey", expected, case.entry(i).hotkey.as_str())?.at(i, None))
}

pub(super) fn model<E: Environment>(case: &Case<'_, E>, i: usize) -> Option<Reason> {
    let (kind, model) = (ReasonKind::WrongModel, &case.entry(i).commit.model);
    let parameters = case.assignment.protocol().network().parameters();
    let digest = hex::encode(parameters.weights_digest);
    differ(kind, "commit.model.name", parameters.model_name.as_str(), model.name.as_str())
        .or_else(|| differ(kind, "commit.model.layer_index", i128::from(LAYER_INDEX), model.layer_index))
        .or_else(|| differ(kind, "commit.model.weights_digest", digest, model.weights_digest.as_str()))
        .or_else(|| differ(kind, "commit.model.numerics", NUMERICS, model.numerics.as_str()))
        .map(|reason| reason.at(i, None))
}

pub(super) fn signatures<E: Environment>(case: &Case<'_, E>, i: usize) -> Option<Reason> {
    let (entry, place) = (case.entry(i), case.place(i));
    let problem = case.problem(i);
    let bad = |field: &str, expected: String, found: &str| {
        Some(Reason::of_file(ReasonKind::BadSignature, field, expected, found).at(i, None))
    };
    let is_signed = |message: &[u8], text: &str| {
        let bytes = signature_bytes(text);
        bytes.is_some_and(|signature| verify(case.assignment.account(), message, &signature))
    };
    let binding = case.assignment.binding(problem, place.rollout, &entry.commit);
    if !is_signed(&binding, &entry.commit.signature) {
        let expected = format!("the hotkey's signature over binding {}", hex::encode(binding));
        return bad("commit.signature", expected, &entry.commit.signature);
    }
    let challenge = case.assignment.challenge(problem, place.rollout);
    if !is_signed(challenge.as_bytes(), &entry.signature) {
        return bad("signature", format!("the hotkey's signature over {challenge:?}"), &entry.signature);
    }
    None
}

/// A signature has one spelling: 128 lower-case hex digits.
fn signature_bytes(text: &str) -> Option<[u8; SIGNATURE_BYTES]> {
    let bytes: [u8; SIGNATURE_BYTES] = hex::decode(text).ok()?.try_into().ok()?;
    (hex::encode(bytes) == text).then_some(bytes)
}

pub(super) fn problem<E: Environment>(case: &Case<'_, E>, i: usize) -> Option<Reason> {
    let (kind, entry, place) = (ReasonKind::ProblemMismatch, case.entry(i), case.place(i));
    let (problem, stated) = (case.problem(i), &entry.commit.problem);
    let nonce = case.assignment.nonce(problem.index, place.rollout) as i128;
    let size = i128::from(case.assignment.protocol().network().parameters().rollouts_per_problem);
    let seed = problem.seed_text.as_str();
    let challenge = case.assignment.challenge(problem, place.rollout);
    let own = || {
        let fields = E::STATEMENT.iter().zip(&problem.statement).zip(&stated.fields);
        let differ_in = |((&(key, _), expected), found): ((&(&str, _), &String), &String)| {
            differ(kind, &format!("commit.sat_problem.{key}"), expected.as_str(), found.as_str())
        };
        fields.into_iter().find_map(differ_in)
    };
    differ(kind, "sat_seed", seed, entry.sat_seed.as_str())
        .or_else(|| differ_f64(kind, "difficulty", problem.difficulty, entry.difficulty))
        .or_else(|| differ(kind, "nonce", nonce, entry.nonce))
        .or_else(|| differ(kind, "total_in_group", size, entry.total_in_group))
        .or_else(|| differ(kind, "challenge", challenge, entry.challenge.as_str()))
        .or_else(|| differ(kind, "commit.sat_problem.seed", seed, stated.seed.as_str()))
        .or_else(|| differ_f64(kind, "commit.sat_problem.difficulty", problem.difficulty, stated.difficulty))
        .or_else(own)
        .map(|reason| reason.at(i, None))
}

/// Reals are equal when their bits are.
pub(super) fn differ_f64(kind: ReasonKind, field: &str, expected: f64, found: f64) -> Option<Reason> {
    let text = crate::json::f64_text;
    (expected.to_bits() != found.to_bits()).then(|| Reason::of_file(kind, field, text(expected), text(found)))
}

pub(super) fn prompt<E: Environment>(case: &Case<'_, E>, i: usize) -> Option<Reason> {
    let (expected, found) = (&case.problem(i).prompt, &case.entry(i).commit.tokens);
    let position = (0..expected.len()).find(|&p| found.get(p) != Some(&expected[p]))?;
    let found = found.get(position).map_or_else(|| "missing".to_owned(), u32::to_string);
    Some(Reason::of_file(ReasonKind::PromptMismatch, "commit.tokens", expected[position], found).at(i, Some(position)))
}

pub(super) fn length<E: Environment>(case: &Case<'_, E>, i: usize) -> Option<Reason> {
    let (kind, entry) = (ReasonKind::BadLength, case.entry(i));
    let prompt_length = case.problem(i).prompt.len();
    let completion = entry.commit.tokens.get(prompt_length..).unwrap_or_default();
    let claim = &entry.commit.rollout;
    differ(kind, "commit.rollout.prompt_length", prompt_length as i128, claim.prompt_length)
        .or_else(|| {
            let length = completion.len() as i128;
            differ(kind, "commit.rollout.completion_length", length, claim.completion_length)
        })
        .or_else(|| ending(case, completion))
        .map(|reason| reason.at(i, None))
}

/// A completion ends with its first eos, or with its last allowed token.
fn ending<E: Environment>(case: &Case<'_, E>, completion: &[u32]) -> Option<Reason> {
    let parameters = case.assignment.protocol().network().parameters();
    let most = parameters.max_new_tokens as usize;
    let (kind, length) = (ReasonKind::BadLength, completion.len());
    let is_eos = |token: &u32| parameters.eos_ids.contains(token);
    if length > most {
        return Some(Reason::of_file(kind, "completion", format!("at most {most} tokens"), format!("{length} tokens")));
    }
    match completion.iter().position(is_eos) {
        Some(place) if place + 1 < length => {
            let expected = format!("its end after the eos token at {place}");
            Some(Reason::of_file(kind, "completion", expected, format!("{length} tokens")))
        }
        None if length < most => {
            let expected = format!("an eos token at its end, or {most} tokens");
            Some(Reason::of_file(kind, "completion", expected, format!("{length} tokens without eos")))
        }
        _ => None,
    }
}
