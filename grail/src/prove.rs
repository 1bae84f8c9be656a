//! The prover: rollouts become a window file's entries. The proof is a by-product of generation, so there is nothing
//! to compute here but rewards, hashes and two signatures.

use grail_engine::types::Rollout;

use crate::advantages::advantages;
use crate::assignment::{Assignment, Judgement, Problem, WindowHead};
use crate::environment::Environment;
use crate::params::Network;
use crate::signature::Signer;
use crate::window::{self, Claim, Commit, Inference, Model, Statement, WindowFile};
use crate::{AccountId, LAYER_INDEX, NUMERICS, ss58};

/// When something was made: free fields that no verdict depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// The chain's block.
    pub block: u64,
    /// Unix time in seconds.
    pub timestamp: f64,
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
