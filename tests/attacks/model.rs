//! The honest model behind every test: one engine, and a memory of what it said.
//!
//! A hundred verifications ask about the same few rollouts; the model runs once over each.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use grail_engine::checkpoint::Checkpoint;
use grail_engine::types::{
    Completion, Failure, GenerateRequest, Group, Rollout, Sampling, Score, ScoreGroup, ScoreRequest, Seed, unobserved,
};
use grail_engine::{Engine, EngineOptions, Scored};

/// What decides a score: prompt, completion, seed, projection and sampling.
type Question = (Vec<u32>, Vec<u32>, [u8; 32], Vec<i32>, [u64; 4]);

pub struct Model {
    engine: Engine,
    known: HashMap<Question, Result<Score, Failure>>,
}

/// `models/sat-tiny`.
pub fn model() -> MutexGuard<'static, Model> {
    static MODEL: OnceLock<Mutex<Model>> = OnceLock::new();
    let load = || Mutex::new(Model::new(Checkpoint::sat_tiny().expect("the checkpoint of the repository")));
    MODEL.get_or_init(load).lock().unwrap_or_else(PoisonError::into_inner)
}

impl Model {
    pub fn new(checkpoint: Checkpoint) -> Self {
        let options = EngineOptions { memory_bytes: Some(1 << 30), ..EngineOptions::default() };
        Self { engine: Engine::load(checkpoint, options).expect("a small model"), known: HashMap::new() }
    }

    pub fn generate(
        &mut self,
        groups: &[Group],
        sampling: Sampling,
        max_new_tokens: usize,
        eos_ids: &[u32],
        projection: &[i32],
    ) -> Vec<Vec<Rollout>> {
        let request = GenerateRequest {
            groups,
            sampling,
            max_new_tokens,
            eos_ids,
            projection,
            keep_hidden: false,
            logprobs: true,
        };
        let generated = self.engine.generate(&request, &mut unobserved).expect("a request in range");
        let all = |group: Vec<Result<Rollout, Failure>>| group.into_iter().collect::<Result<_, _>>();
        generated.into_iter().map(all).collect::<Result<_, _>>().expect("no faults")
    }

    /// [`Engine::score`], asked once per question.
    pub fn score(&mut self, request: &ScoreRequest<'_>) -> grail_engine::Result<Scored> {
        let missing = |group: &ScoreGroup| ScoreGroup {
            prompt: group.prompt.clone(),
            completions: group.completions.iter().filter(|c| !self.knows(request, group, c)).map(some_tokens).collect(),
        };
        let groups: Vec<ScoreGroup> = request.groups.iter().map(missing).collect();
        let answers = self.engine.score(&ScoreRequest { groups: &groups, ..*request }, &mut unobserved)?;
        for (group, answers) in request.groups.iter().zip(answers) {
            let asked: Vec<&Completion> = group.completions.iter().filter(|c| !self.knows(request, group, c)).collect();
            for (completion, answer) in asked.into_iter().zip(answers) {
                let answer = answer.map(|score| of_length(score, completion.tokens.len()));
                self.known.insert(question(request, group, completion), answer);
            }
        }
        let answer = |group: &ScoreGroup, c: &Completion| self.known[&question(request, group, c)].clone();
        let of_group = |group: &ScoreGroup| group.completions.iter().map(|c| answer(group, c)).collect();
        Ok(request.groups.iter().map(of_group).collect())
    }

    /// What this model says of one completion under the networks' sampling.
    pub fn score_one(&mut self, prompt: &[u32], tokens: &[u32], seed: Seed, projection: &[i32]) -> Score {
        self.score_under(Sampling::default(), prompt, tokens, seed, projection)
    }

    pub fn score_under(
        &mut self,
        sampling: Sampling,
        prompt: &[u32],
        tokens: &[u32],
        seed: Seed,
        projection: &[i32],
    ) -> Score {
        let completions = vec![Completion { tokens: tokens.to_vec(), seed }];
        let groups = [ScoreGroup { prompt: prompt.to_vec(), completions }];
        let request = ScoreRequest { groups: &groups, sampling, projection };
        let mut scored = self.score(&request).expect("a request in range");
        scored.remove(0).remove(0).expect("no fault")
    }

    fn knows(&self, request: &ScoreRequest<'_>, group: &ScoreGroup, completion: &Completion) -> bool {
        self.known.contains_key(&question(request, group, completion))
    }
}

fn question(request: &ScoreRequest<'_>, group: &ScoreGroup, completion: &Completion) -> Question {
    let Sampling { temperature, top_k, top_p, repetition_penalty } = request.sampling;
    let sampling = [temperature.to_bits(), top_k.into(), top_p.to_bits(), repetition_penalty.to_bits()];
    (group.prompt.clone(), completion.tokens.clone(), completion.seed.0, request.projection.to_vec(), sampling)
}

/// The engine scores no empty completion, which only a verifier without its rule on lengths can ask for.
fn some_tokens(completion: &Completion) -> Completion {
    let tokens = if completion.tokens.is_empty() { vec![0] } else { completion.tokens.clone() };
    Completion { tokens, seed: completion.seed }
}

fn of_length(mut score: Score, tokens: usize) -> Score {
    let surplus = score.honest.len() - tokens;
    score.honest.truncate(tokens);
    score.raw_logprobs.truncate(tokens);
    score.sampling_logprobs.truncate(tokens);
    score.sketches.truncate(score.sketches.len().saturating_sub(surplus));
    score
}

/// A scorer that asks the honest model.
pub fn honest_scorer(request: &ScoreRequest<'_>) -> grail_engine::Result<Scored> {
    model().score(request)
}
