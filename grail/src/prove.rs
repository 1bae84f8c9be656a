//! The prover: rollouts become a window file's entries. The proof is a by-product of generation, so there is nothing
//! to compute here but rewards, hashes and two signatures.

use std::ops::Range;

use grail_engine::Engine;
use grail_engine::types::{Failure, GenerateRequest, Group, Observer, Rollout};

use crate::advantages::advantages;
use crate::assignment::{Assignment, Judgement, Problem, WindowHead};
use crate::environment::Environment;
use crate::params::Network;
use crate::signature::Signer;
use crate::window::{self, Claim, Commit, Inference, Model, Statement, WindowFile};
use crate::{AccountId, Error, LAYER_INDEX, NUMERICS, ss58};

/// When something was made: free fields that no verdict depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// The chain's block.
    pub block: u64,
    /// Unix time in seconds.
    pub timestamp: f64,
}

/// What ends proving without a result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The engine refused the request: memory, or a parameter.
    #[error(transparent)]
    Engine(#[from] grail_engine::Error),
    /// The network's parameters do not fit the model, or the key is not the assignment's.
    #[error(transparent)]
    Protocol(#[from] Error),
}

/// Where a run of groups ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("problem {index}, rollout {rollout}: {failure}")]
pub struct Ended {
    /// The problem whose group is incomplete.
    pub index: u64,
    /// The rollout that failed.
    pub rollout: u32,
    /// How.
    pub failure: Failure,
}

/// Proven groups.
#[derive(Debug)]
pub struct Proven {
    /// Entries of complete groups, from the first problem asked for without gaps.
    pub entries: Vec<Inference>,
    /// Why there are fewer groups than asked for: a rollout that has no value, or a cancelled call.
    pub ended: Option<Ended>,
}

/// Lets the model answer a range of problems, and proves what it says.
///
/// # Errors
/// [`ProveError`], before any work.
pub fn answer<E: Environment>(
    assignment: &Assignment<'_, E>,
    engine: &mut Engine,
    problems: Range<u64>,
    signer: &Signer,
    moment: Moment,
    observer: &mut Observer<'_>,
) -> Result<Proven, ProveError> {
    if signer.account() != *assignment.account() {
        let (has, needs) = (ss58::encode(&signer.account()), ss58::encode(assignment.account()));
        return Err(Error::Key { field: "hotkey", problem: format!("{has}, the assignment is {needs}'s") }.into());
    }
    let parameters = assignment.protocol().network().parameters();
    let problems: Vec<Problem<E::Problem>> = problems.map(|i| assignment.problem(i)).collect::<Result<_, _>>()?;
    let seeds = |index| (0..parameters.rollouts_per_problem).map(|i| assignment.seed(index, i)).collect();
    let group = |p: &Problem<E::Problem>| Group { prompt: p.prompt.clone(), seeds: seeds(p.index) };
    let groups: Vec<Group> = problems.iter().map(group).collect();
    let projection = assignment.projection()?;
    let request = GenerateRequest {
        groups: &groups,
        sampling: assignment.protocol().sampling(),
        max_new_tokens: parameters.max_new_tokens as usize,
        eos_ids: &parameters.eos_ids,
        projection: &projection,
        keep_hidden: false,
        logprobs: true,
    };
    let mut proven = Proven { entries: Vec::new(), ended: None };
    for (problem, results) in problems.iter().zip(engine.generate(&request, observer)?) {
        let failed = (0..).zip(&results).find_map(|(i, result)| Some((i, *result.as_ref().err()?)));
        if let Some((rollout, failure)) = failed {
            proven.ended = Some(Ended { index: problem.index, rollout, failure });
            break;
        }
        let rollouts: Vec<Rollout> = results.into_iter().flatten().collect();
        proven.entries.extend(prove_group(assignment, problem, &rollouts, signer, moment));
    }
    Ok(proven)
}

/// The entries of one problem's group, in the order of its rollouts.
#[must_use]
pub fn prove_group<E: Environment>(
    assignment: &Assignment<'_, E>,
    problem: &Problem<E::Problem>,
    rollouts: &[Rollout],
    signer: &Signer,
    moment: Moment,
) -> Vec<Inference> {
    let judged: Vec<Judgement> = rollouts.iter().map(|r| assignment.judge(problem, r.completion())).collect();
    let rewards: Vec<f64> = judged.iter().map(|j| j.reward.total).collect();
    let advantages = advantages(&rewards);
    let entries = rollouts.iter().zip(judged).zip(advantages).zip(0..);
    let entry = |(((rollout, judgement), advantage), i)| {
        let claim = claim(rollout, judgement, advantage);
        let mut entry = unsigned(assignment, problem, i, rollout, claim, moment);
        sign(assignment, problem, i, &mut entry, signer);
        entry
    };
    entries.map(entry).collect()
}

/// Signs an entry as rollout `i` of a problem.
pub fn sign<E: Environment>(
    assignment: &Assignment<'_, E>,
    problem: &Problem<E::Problem>,
    i: u32,
    entry: &mut Inference,
    signer: &Signer,
) {
    let binding = assignment.binding(problem, i, &entry.commit);
    entry.commit.signature = hex::encode(signer.sign(&binding));
    entry.signature = hex::encode(signer.sign(assignment.challenge(problem, i).as_bytes()));
}

/// A file with the given entries.
#[must_use]
pub fn window_file(
    network: &Network,
    head: &WindowHead,
    account: &AccountId,
    inferences: Vec<Inference>,
    timestamp: f64,
) -> WindowFile {
    WindowFile {
        proof_version: NUMERICS.into(),
        network_id: hex::encode(network.id()),
        window_start: head.block_number.into(),
        window_length: network.parameters().window_length.into(),
        wallet: ss58::encode(account),
        block: window::Block {
            number: head.block_number.into(),
            hash: crate::problem::block_hash_text(&head.block_hash),
            timestamp_ms: head.timestamp_ms.into(),
        },
        beacon: window::Beacon { round: head.round.into(), signature: hex::encode(&head.beacon_signature) },
        timestamp,
        inferences,
    }
}

/// Log-probabilities stand beside every token: 0 in the prompt.
fn beside_tokens(prompt_length: usize, completion: &[f32]) -> Vec<f32> {
    [&vec![0.0; prompt_length][..], completion].concat()
}

fn claim(rollout: &Rollout, judgement: Judgement, advantage: f64) -> Claim {
    Claim {
        prompt_length: rollout.prompt_length as i128,
        completion_length: rollout.completion().len() as i128,
        token_logprobs: beside_tokens(rollout.prompt_length, &rollout.sampling_logprobs),
        raw_token_logprobs: beside_tokens(rollout.prompt_length, &rollout.raw_logprobs),
        success: judgement.reward.success,
        total_reward: judgement.reward.total,
        advantage,
        trajectory: judgement.trajectory,
        answer: judgement.answer,
    }
}

fn unsigned<E: Environment>(
    assignment: &Assignment<'_, E>,
    problem: &Problem<E::Problem>,
    i: u32,
    rollout: &Rollout,
    claim: Claim,
    moment: Moment,
) -> Inference {
    let parameters = assignment.protocol().network().parameters();
    let randomness = hex::encode(assignment.r_w());
    let commit = Commit {
        tokens: rollout.tokens.clone(),
        s_vals: rollout.sketches.clone(),
        model: Model {
            name: parameters.model_name.clone(),
            layer_index: LAYER_INDEX.into(),
            weights_digest: hex::encode(parameters.weights_digest),
            numerics: NUMERICS.into(),
        },
        signature: String::new(),
        randomness: randomness.clone(),
        problem: Statement {
            seed: problem.seed_text.clone(),
            difficulty: problem.difficulty,
            fields: problem.statement.clone(),
        },
        rollout: claim,
    };
    Inference {
        window_start: assignment.window_start().into(),
        block: moment.block.into(),
        nonce: assignment.nonce(problem.index, i) as i128,
        sat_seed: problem.seed_text.clone(),
        difficulty: problem.difficulty,
        block_hash: assignment.block_hash_text(),
        randomness,
        use_drand: true,
        rollout_group: problem.index.into(),
        rollout_index: i.into(),
        total_in_group: parameters.rollouts_per_problem.into(),
        commit,
        timestamp: moment.timestamp,
        challenge: assignment.challenge(problem, i),
        hotkey: ss58::encode(assignment.account()),
        signature: String::new(),
    }
}
