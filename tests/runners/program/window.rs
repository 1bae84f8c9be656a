//! exact/window-sat-tiny.json (DESIGN 4): a miner with this key, chain and beacon writes this file; each rollout has
//! what the table derives, and each variant the verdict it names.

use std::collections::HashMap;
use std::path::Path;

use grail::beacon::ChainInfo;
use grail::identity;
use grail::network::NetworkFile;
use grail::offline::head_of;
use grail::sat::Sat;
use grail::wallet::uri;
use grail_engine::checkpoint::Checkpoint;
use grail_engine::tokenizer::Tokenizer;
use grail_engine::types::{Completion, Failure, Score, ScoreGroup, ScoreRequest, Seed, unobserved};
use grail_engine::{Engine, EngineOptions, Scored};
use grail_protocol::Hash;
use grail_protocol::assignment::{Assignment, Protocol, WindowHead};
use grail_protocol::encoding::sha256;
use grail_protocol::json;
use grail_protocol::params::{Network, Parameters};
use grail_protocol::prove::{self, Moment};
use grail_protocol::randomness::block_randomness;
use grail_protocol::verify::{Claimed, Extent, Reason, ReasonKind, Selection, Verdict, Verifier};
use grail_protocol::window::{self, Form, Inference, ReadError, Schema, WindowFile};
use serde::Deserialize;

use super::super::protocol::support::{Hex32, each, load, same, text};
use super::super::protocol::window_variants::Windows;

#[derive(Deserialize)]
struct File {
    key: Key,
    parameters: json::Value,
    network_id: Hex32,
    #[serde(rename = "R_w")]
    r_w: Hex32,
    #[serde(rename = "C_w")]
    c_w: Hex32,
    end_block: Block,
    end_beacon: Beacon,
    rollouts: Vec<Expected>,
    expected: Summary,
}

#[derive(Deserialize)]
struct Key {
    uri: String,
    account_id: Hex32,
}

#[derive(Deserialize)]
struct Block {
    number: u64,
    hash: String,
    timestamp_ms: u64,
}

#[derive(Deserialize)]
struct Beacon {
    round: u64,
    signature: String,
}

#[derive(Deserialize)]
struct Expected {
    rollout: usize,
    group: u64,
    index: u32,
    sampling_seed: Hex32,
    prompt_length: usize,
    completion_length: usize,
    completion_text: String,
    success: bool,
    reward: f64,
    advantage: f64,
    binding: Hex32,
    verdict: String,
}

#[derive(Deserialize)]
struct Summary {
    outcome: String,
    groups: usize,
    checked: usize,
    successful: usize,
    distinct: usize,
}

const SCHEMA: fn() -> Schema = Schema::of::<Sat>;

/// Scores of completions that were scored before: the variants share most of them.
struct Cached {
    engine: Engine,
    scores: HashMap<Scorable, Result<Score, Failure>>,
}

/// Prompt, completion and seed: all that a score depends on.
type Scorable = (Vec<u32>, Vec<u32>, [u8; 32]);

impl Cached {
    fn score(&mut self, request: &ScoreRequest<'_>) -> grail_engine::Result<Scored> {
        let mut results = Vec::new();
        for group in request.groups {
            let mut of_group = Vec::new();
            for Completion { tokens, seed: Seed(seed) } in &group.completions {
                let key = (group.prompt.clone(), tokens.clone(), *seed);
                if !self.scores.contains_key(&key) {
                    let completions = vec![Completion { tokens: tokens.clone(), seed: Seed(*seed) }];
                    let groups = [ScoreGroup { prompt: group.prompt.clone(), completions }];
                    let mut scored =
                        self.engine.score(&ScoreRequest { groups: &groups, ..*request }, &mut unobserved)?;
                    self.scores.insert(key.clone(), scored.remove(0).remove(0));
                }
                of_group.push(self.scores[&key].clone());
            }
            results.push(of_group);
        }
        Ok(results)
    }
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let (file, windows): (File, Windows) = (load(dir, "exact/window-sat-tiny.json")?, Windows::load(dir)?);
    let checkpoint = Checkpoint::sat_tiny().map_err(text)?;
    let tokenizer = Tokenizer::from_checkpoint(&checkpoint).map_err(text)?;
    let parameters = Parameters::from_value(&file.parameters).map_err(text)?;
    let digest = identity::digest(&checkpoint).map_err(text)?;
    same("weights_digest", parameters.weights_digest, digest)?;
    let network = NetworkFile::new(parameters, ChainInfo::quicknet()).map_err(text)?;
    same("network_id", *network.network().id(), file.network_id.0)?;
    let protocol = Protocol::new(network.network(), &Sat, &tokenizer, checkpoint.config()).map_err(text)?;
    let honest_text = windows.text()?;
    let honest = window::read(honest_text.as_bytes(), &SCHEMA(), &protocol.limits()).map_err(text)?;
    let head = head_of(&honest.block, &honest.beacon, &network).map_err(text)?;
    let account = file.key.account_id.0;
    let assignment = protocol.assignment(&head, account);
    same("R_w", *assignment.r_w(), file.r_w.0)?;
    same("C_w", c_w(&file, &network)?, file.c_w.0)?;
    let options = EngineOptions { memory_bytes: Some(1 << 30), ..EngineOptions::default() };
    let engine = Engine::load(checkpoint, options).map_err(text)?;
    let mut scorer = Cached { engine, scores: HashMap::new() };

    mined(&file, &windows, network.network(), &head, &assignment, &mut scorer.engine)?;
    let derived = each("rollouts", &file.rollouts, |expected| derived(expected, &honest, &assignment))?;

    let verifier = Verifier::new(&protocol);
    let mut judge = |text: &str, extent: Extent| -> Result<Verdict, String> {
        let file_of = match window::read(text.as_bytes(), &SCHEMA(), &protocol.limits()) {
            Ok(read) => read,
            Err(error) => return Ok(Verdict::refused(unreadable(&error)?)),
        };
        let claimed = Claimed { file: &file_of, head: &head, account: &account };
        let c_w = &file.c_w.0;
        let drawn = Selection::Drawn { c_w, lowered_to: None };
        verifier.verify(claimed, drawn, extent, &mut |request| scorer.score(request)).map_err(|e| e.to_string())
    };
    let verdict = judge(&honest_text, Extent::EveryRollout)?;
    same("outcome", verdict.outcome.name(), file.expected.outcome.as_str())?;
    let found = [verdict.groups, verdict.checked.len(), verdict.successful, verdict.distinct];
    let Summary { groups, checked, successful, distinct, .. } = file.expected;
    same("groups, checked, successful, distinct", found, [groups, checked, successful, distinct])?;
    each("verdicts", &file.rollouts, |expected| {
        same("verdict", expected.verdict.as_str(), "Valid")?;
        same("reason", verdict.rollouts[expected.rollout].reason.as_ref(), None)
    })?;
    let variants = each("variants", &windows.variants, |variant| {
        let text = windows.text_of(variant)?;
        let of = |verdict: &Verdict| {
            let reason = verdict.reason.as_ref();
            let kind = reason.map(|r| r.kind.to_string());
            let (rollout, position) = reason.map_or((None, None), |r| (r.rollout, r.position));
            (verdict.outcome.name().to_owned(), kind, rollout, position)
        };
        let expected = (variant.outcome.clone(), variant.reason.clone(), variant.rollout, variant.position);
        for extent in [Extent::Deciding, Extent::EveryRollout] {
            same(&variant.name, of(&judge(&text, extent)?), expected.clone())?;
        }
        Ok(())
    })?;
    Ok(1 + derived + variants)
}

fn unreadable(error: &ReadError) -> Result<Reason, String> {
    match error {
        ReadError::Malformed { path, expected, found } => {
            Ok(Reason::of_file(ReasonKind::Malformed, path, expected, found))
        }
        ReadError::OverCap { what, limit } => Ok(Reason::of_file(ReasonKind::OverCap, what, limit, "more")),
        other => Err(other.to_string()),
    }
}

/// X of the block after the window, from its own beacon.
fn c_w(file: &File, network: &NetworkFile) -> Result<Hash, String> {
    let Block { number, hash, timestamp_ms } = &file.end_block;
    let block = window::Block { number: (*number).into(), hash: hash.clone(), timestamp_ms: (*timestamp_ms).into() };
    let Beacon { round, signature } = &file.end_beacon;
    let beacon = window::Beacon { round: (*round).into(), signature: signature.clone() };
    let end = head_of(&block, &beacon, network).map_err(text)?;
    Ok(block_randomness(network.network().id(), end.block_number, &end.block_hash, &end.beacon_randomness))
}

/// The prover, with the vectors' key.
fn mined(
    file: &File,
    windows: &Windows,
    network: &Network,
    head: &WindowHead,
    assignment: &Assignment<'_, Sat>,
    engine: &mut Engine,
) -> Result<(), String> {
    let signer = uri::parse(&file.key.uri).map_err(text)?.into_signer();
    same("account", signer.account(), file.key.account_id.0)?;
    let moment = Moment { block: 1, timestamp: 2.0 };
    let problems = 0..file.expected.groups as u64;
    let proven = prove::answer(assignment, engine, problems, &signer, moment, &mut unobserved).map_err(text)?;
    same("ended", proven.ended, None)?;
    let made = prove::window_file(network, head, &signer.account(), proven.entries, 3.0);
    let digest = sha256(made.to_text(&SCHEMA(), Form::Deterministic).as_bytes());
    same("deterministic_sha256", Hex32(digest), windows.deterministic_sha256)
}

fn derived(expected: &Expected, file: &WindowFile, assignment: &Assignment<'_, Sat>) -> Result<(), String> {
    let entry: &Inference = &file.inferences[expected.rollout];
    let problem = assignment.problem(expected.group).map_err(text)?;
    same("sampling_seed", assignment.seed(expected.group, expected.index).0, expected.sampling_seed.0)?;
    same("prompt_length", problem.prompt.len(), expected.prompt_length)?;
    let completion = &entry.commit.tokens[problem.prompt.len()..];
    same("completion_length", completion.len(), expected.completion_length)?;
    let judged = assignment.judge(&problem, completion);
    same("completion_text", judged.text.as_str(), expected.completion_text.as_str())?;
    same("success", judged.reward.success, expected.success)?;
    same("reward", judged.reward.total.to_bits(), expected.reward.to_bits())?;
    same("advantage", entry.commit.rollout.advantage.to_bits(), expected.advantage.to_bits())?;
    same("binding", Hex32(assignment.binding(&problem, expected.index, &entry.commit)), expected.binding)
}
