//! The engine inside another program: a group of rollouts, and what scoring says of them.

use grail_engine::checkpoint::Checkpoint;
use grail_engine::tokenizer::Tokenizer;
use grail_engine::types::{Completion, GenerateRequest, Group, Sampling, ScoreGroup, ScoreRequest, Seed, unobserved};
use grail_engine::{Engine, EngineOptions};

/// Prints four completions of a prompt and whether replaying them gives the same tokens.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut engine = Engine::load(Checkpoint::sat_tiny()?, EngineOptions::default())?;
    let tokenizer = Tokenizer::from_checkpoint(engine.checkpoint())?;
    let eos = tokenizer.eos_id().ok_or("the tokenizer has no eos token")?;
    let group =
        Group { prompt: tokenizer.encode("SAT problem: (x1 or x2)")?, seeds: (0..4).map(|i| Seed([i; 32])).collect() };
    let (sampling, projection) = (Sampling::default(), vec![1; engine.config().hidden_size]);
    let groups = [group.clone()];
    let request = GenerateRequest {
        groups: &groups,
        sampling,
        max_new_tokens: 24,
        eos_ids: &[eos],
        projection: &projection,
        keep_hidden: false,
        logprobs: true,
    };
    let rollouts: Vec<_> =
        engine.generate(&request, &mut unobserved)?.remove(0).into_iter().collect::<Result<_, _>>()?;

    let claim = |(rollout, &seed): (&grail_engine::types::Rollout, _)| Completion {
        tokens: rollout.completion().to_vec(),
        seed,
    };
    let completions = rollouts.iter().zip(&group.seeds).map(claim).collect();
    let groups = [ScoreGroup { prompt: group.prompt, completions }];
    let scores = engine.score(&ScoreRequest { groups: &groups, sampling, projection: &projection }, &mut unobserved)?;
    for (rollout, score) in rollouts.iter().zip(&scores[0]) {
        let score = score.as_ref().map_err(|failure| failure.to_string())?;
        let same = score.honest == rollout.completion() && score.sketches == rollout.sketches;
        println!("{:?} -> {}", tokenizer.decode(rollout.completion(), true), if same { "honest" } else { "altered" });
        if !same {
            return Err("a rollout of this engine does not replay".into());
        }
    }
    Ok(())
}
