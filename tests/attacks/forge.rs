//! A forger's tools: the miner's own key, the honest model, and the honest file to start from.
//!
//! A good forgery is one lie. Whatever follows from it is made to fit, so that one rule alone can refuse it.

use std::ops::Range;

use grail::sat::Sat;
use grail_engine::types::{Group, Rollout, Sampling, Seed};
use grail_protocol::advantages::advantages;
use grail_protocol::assignment::Assignment;
use grail_protocol::prove;
use grail_protocol::window::{Inference, WindowFile};

use crate::model::model;
use crate::world::{EOS, SatProblem, world};

pub struct Forger {
    pub file: WindowFile,
    pub assignment: Assignment<'static, Sat>,
}

/// The file after one lie.
pub fn forged(lie: impl FnOnce(&mut Forger)) -> WindowFile {
    let mut forger = Forger::new();
    lie(&mut forger);
    forger.file
}

impl Forger {
    pub fn new() -> Self {
        Self { file: world().honest.clone(), assignment: world().assignment() }
    }

    pub fn entry(&mut self, i: usize) -> &mut Inference {
        &mut self.file.inferences[i]
    }

    /// Problem and place in its group, as the entry says.
    pub fn place(&self, i: usize) -> (u64, u32) {
        let entry = &self.file.inferences[i];
        (entry.rollout_group as u64, entry.rollout_index as u32)
    }

    pub fn problem(&self, i: usize) -> SatProblem {
        self.assignment.problem(self.place(i).0).expect("a problem")
    }

    pub fn seed(&self, i: usize) -> Seed {
        let (index, rollout) = self.place(i);
        self.assignment.seed(index, rollout)
    }

    pub fn completion(&self, i: usize) -> Vec<u32> {
        self.file.inferences[i].commit.tokens[self.problem(i).prompt.len()..].to_vec()
    }

    /// Signs an entry as the rollout it says it is.
    pub fn sign(&mut self, i: usize) {
        let (problem, rollout) = (self.problem(i), self.place(i).1);
        prove::sign(&self.assignment, &problem, rollout, &mut self.file.inferences[i], &world().signer);
    }

    /// Changes an entry and signs it again.
    pub fn resigned(&mut self, i: usize, change: impl FnOnce(&mut Inference)) {
        change(self.entry(i));
        self.sign(i);
    }

    /// Replaces an entry's tokens by a prompt as long as its own and a completion, with everything the honest
    /// model says of them, and makes rewards, advantages and signatures of its group fit.
    pub fn claim(&mut self, i: usize, prompt: &[u32], completion: &[u32]) {
        let projection = self.assignment.projection().expect("an allowed width");
        let score = model().score_one(prompt, completion, self.seed(i), &projection);
        let beside = |completion: &[f32]| [&vec![0.0; prompt.len()][..], completion].concat();
        let commit = &mut self.entry(i).commit;
        commit.tokens = [prompt, completion].concat();
        commit.s_vals = score.sketches;
        commit.rollout.prompt_length = prompt.len() as i128;
        commit.rollout.completion_length = completion.len() as i128;
        commit.rollout.token_logprobs = beside(&score.sampling_logprobs);
        commit.rollout.raw_token_logprobs = beside(&score.raw_logprobs);
        self.settle(i);
    }

    /// As [`Self::claim`] under the entry's own prompt.
    pub fn complete(&mut self, i: usize, completion: &[u32]) {
        let prompt = self.problem(i).prompt;
        self.claim(i, &prompt, completion);
    }

    /// Derives rewards and advantages of an entry's group, and signs it.
    pub fn settle(&mut self, i: usize) {
        let (run, problem) = (self.group_of(i), self.problem(i));
        let judged: Vec<_> = run.clone().map(|i| self.assignment.judge(&problem, &self.completion(i))).collect();
        let rewards: Vec<f64> = judged.iter().map(|j| j.reward.total).collect();
        for ((i, judgement), advantage) in run.zip(judged).zip(advantages(&rewards)) {
            let claim = &mut self.entry(i).commit.rollout;
            claim.success = judgement.reward.success;
            claim.total_reward = judgement.reward.total;
            claim.trajectory = judgement.trajectory;
            claim.answer = judgement.answer;
            claim.advantage = advantage;
            self.sign(i);
        }
    }

    /// The run of entries with an entry's rollout_group.
    fn group_of(&self, i: usize) -> Range<usize> {
        let entries = &self.file.inferences;
        let is_mate = |e: &&Inference| e.rollout_group == entries[i].rollout_group;
        let before = entries[..i].iter().rev().take_while(is_mate).count();
        i - before..i + entries[i..].iter().take_while(is_mate).count()
    }

    /// Where an entry's tokens first differ from the honest ones.
    pub fn first_difference(&self, i: usize) -> Option<usize> {
        let (ours, honest) = (&self.file.inferences[i].commit.tokens, &world().honest.inferences[i].commit.tokens);
        (0..ours.len().max(honest.len())).find(|&p| ours.get(p) != honest.get(p))
    }
}

/// Completions of a prompt by the honest model, ended by eos.
pub fn sample(prompt: &[u32], seeds: &[Seed], sampling: Sampling, most: usize) -> Vec<Vec<u32>> {
    generate(prompt, seeds, sampling, most, &[EOS])
}

/// The same under the network's own sampling, not ended by eos.
pub fn sample_on(prompt: &[u32], seed: Seed, tokens: usize) -> Vec<u32> {
    generate(prompt, &[seed], Sampling::default(), tokens, &[]).remove(0)
}

fn generate(prompt: &[u32], seeds: &[Seed], sampling: Sampling, most: usize, eos: &[u32]) -> Vec<Vec<u32>> {
    let groups = [Group { prompt: prompt.to_vec(), seeds: seeds.to_vec() }];
    let rollouts = model().generate(&groups, sampling, most, eos, &[]).remove(0);
    rollouts.iter().map(Rollout::completion).map(<[u32]>::to_vec).collect()
}
