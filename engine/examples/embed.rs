//! The engine inside another program, in ten lines.

use grail_engine::types::{GenerateRequest, Group, Seed, unobserved};
use grail_engine::{Engine, EngineOptions, checkpoint::Checkpoint, tokenizer::Tokenizer};

/// Prints two completions of a prompt.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut engine = Engine::load(Checkpoint::sat_tiny()?, EngineOptions::default())?;
    let tokenizer = Tokenizer::from_checkpoint(engine.checkpoint())?;
    let prompt = tokenizer.encode("SAT problem: (x1 or x2)")?;
    let groups = [Group { prompt, seeds: vec![Seed([0; 32]), Seed([1; 32])] }];
    let eos = [tokenizer.eos_id().ok_or("the tokenizer has no eos token")?];
    let results = engine.generate(&GenerateRequest::new(&groups, 24, &eos), &mut unobserved)?;
    for rollout in results.into_iter().flatten() {
        println!("{}", tokenizer.decode(rollout?.completion(), true));
    }
    Ok(())
}
