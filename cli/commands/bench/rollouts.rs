//! `grail bench rollouts`: the work of a miner and of a validator on one group, and what the proof costs.

use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use grail_engine::Engine;
use grail_engine::types::{
    Completion, GenerateRequest, Group, Rollout, Sampling, Score, ScoreGroup, ScoreRequest, unobserved,
};
use grail_protocol::encoding::sha256;
use grail_protocol::randomness::random_vector;

use super::spread::Spread;
use super::{Outcome, cases, head, line, loaded};
use crate::flags::BenchRollouts;
use crate::terminal::StatusLine;

/// Seed of the prompt's ids.
const PROMPT_SEED: u32 = 9;

/// Seconds per 1000 new tokens, one entry a run.
#[derive(Default)]
struct Times {
    miner: Vec<f64>,
    plain: Vec<f64>,
    validator: Vec<f64>,
}

pub fn run(flags: &BenchRollouts, out: &mut dyn Write) -> Result<Outcome> {
    let mut options = flags.engine.options();
    options.max_batch = options.max_batch.max(flags.rollouts as usize);
    let (mut engine, load_s) = loaded(&flags.model, options)?;
    if !flags.json {
        head(&engine, &flags.model, out)?;
        writeln!(out, "load     {load_s:.2} s to open, quantize and pack")?;
        writeln!(
            out,
            "work     {} rollouts of {} new tokens on a prompt of {}; {} runs\n",
            flags.rollouts, flags.new_tokens, flags.prompt, flags.runs
        )?;
        out.flush()?;
    }
    let times = measure(&mut engine, flags)?;
    let over = overhead(&times.miner, &times.plain);
    let rows = [
        ("miner", "miner_s_per_1000", times.miner),
        ("miner, no proof", "miner_without_proof_s_per_1000", times.plain),
        ("proof, % on top", "proof_overhead_percent", over),
        ("validator", "validator_s_per_1000", times.validator),
    ];
    if !flags.json {
        writeln!(out, "{:<16} {:>17}  range", "", "s per 1000 tokens")?;
    }
    for (name, test, values) in rows {
        let spread = Spread::of(values).context(name)?;
        match flags.json {
            true => line(out, test, spread.median)?,
            false => {
                let range = format!("{:.2} to {:.2}", spread.least, spread.greatest);
                writeln!(out, "{name:<16} {:>17.2}  {range}", spread.median)?;
            }
        }
    }
    if !flags.json {
        let compared = u64::from(flags.rollouts) * u64::from(flags.new_tokens);
        writeln!(
            out,
            "\nThe validator derived all {compared} tokens, their log-probabilities and sketches to the bit."
        )?;
    }
    Ok(Outcome::Done)
}

/// How much longer the first took, in percent, run by run: neighbours in time share the machine's mood.
fn overhead(with: &[f64], without: &[f64]) -> Vec<f64> {
    with.iter().zip(without).map(|(with, without)| 100.0 * (with / without - 1.0)).collect()
}

fn measure(engine: &mut Engine, flags: &BenchRollouts) -> Result<Times> {
    let prompt = cases::ids(engine, flags.prompt as usize, PROMPT_SEED);
    let groups = cases::groups(prompt, flags.rollouts as usize);
    let projection = random_vector(&sha256(b"bench"), engine.config().hidden_size)?;
    let request = GenerateRequest {
        sampling: Sampling::default(),
        projection: &projection,
        ..GenerateRequest::new(&groups, flags.new_tokens as usize, &[])
    };
    let plain = GenerateRequest { projection: &[], logprobs: false, ..request };
    let thousands = f64::from(flags.rollouts) * f64::from(flags.new_tokens) / 1000.0;
    let mut times = Times::default();
    let mut status = StatusLine::stderr();
    // Pages of the cache are made when they are first used.
    status.show(|| "warming up".to_owned());
    generate(engine, &plain)?;
    for run in 0..flags.runs {
        status.show(|| format!("run {} of {}", run + 1, flags.runs));
        // Who is first alternates, so that neither always follows the validator.
        let (mut proved, mut bare) = (None, None);
        for with_proof in if run.is_multiple_of(2) { [true, false] } else { [false, true] } {
            let begun = Instant::now();
            let rollouts = generate(engine, if with_proof { &request } else { &plain })?;
            let seconds = begun.elapsed().as_secs_f64() / thousands;
            match with_proof {
                true => (times.miner.push(seconds), proved = Some(rollouts)).0,
                false => (times.plain.push(seconds), bare = Some(rollouts)).0,
            }
        }
        let (proved, bare) = proved.zip(bare).context("both were made")?;
        let same = proved.iter().zip(&bare).all(|(a, b)| a.tokens == b.tokens);
        ensure!(same, "without the proof other tokens were drawn");
        let claims = claims(&groups[0], &proved);
        let begun = Instant::now();
        let request = ScoreRequest { groups: &claims, sampling: Sampling::default(), projection: &projection };
        let scored = engine.score(&request, &mut unobserved)?;
        times.validator.push(begun.elapsed().as_secs_f64() / thousands);
        for (i, (rollout, score)) in proved.iter().zip(scored.into_iter().flatten()).enumerate() {
            compare(rollout, &score?).with_context(|| format!("rollout {i}"))?;
        }
    }
    Ok(times)
}

fn generate(engine: &mut Engine, request: &GenerateRequest<'_>) -> Result<Vec<Rollout>> {
    let results = engine.generate(request, &mut unobserved)?;
    results.into_iter().flatten().enumerate().map(|(i, r)| r.with_context(|| format!("rollout {i}"))).collect()
}

fn claims(group: &Group, rollouts: &[Rollout]) -> [ScoreGroup; 1] {
    let claim = |(rollout, seed): (&Rollout, _)| Completion { tokens: rollout.completion().to_vec(), seed };
    let completions = rollouts.iter().zip(group.seeds.iter().copied()).map(claim).collect();
    [ScoreGroup { prompt: group.prompt.clone(), completions }]
}

/// Everything a validator looks at, bit by bit.
fn compare(rollout: &Rollout, score: &Score) -> Result<()> {
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
    ensure!(rollout.completion() == score.honest, "the validator drew other tokens than the miner");
    ensure!(rollout.sketches == score.sketches, "the validator has other sketches than the miner");
    let raw = bits(&rollout.raw_logprobs) == bits(&score.raw_logprobs);
    let sampling = bits(&rollout.sampling_logprobs) == bits(&score.sampling_logprobs);
    ensure!(raw && sampling, "the validator has other log-probabilities than the miner");
    ensure!(!score.sketches.is_empty() && !score.raw_logprobs.is_empty(), "there was nothing to compare");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use grail_engine::types::Stop;

    #[test]
    fn the_overhead_is_of_neighbouring_runs() {
        assert_eq!(overhead(&[2.0, 3.0], &[1.0, 2.0]), [100.0, 50.0]);
        assert!(overhead(&[1.0], &[0.0])[0].is_infinite());
    }

    #[test]
    fn any_difference_is_found() {
        let rollout = Rollout {
            tokens: vec![1, 2, 3],
            prompt_length: 1,
            raw_logprobs: vec![-0.5, -0.25],
            sampling_logprobs: vec![0.0, -1.0],
            sketches: vec![7, 8, 9],
            hidden: Vec::new(),
            stop: Stop::Length,
        };
        let score = Score {
            raw_logprobs: rollout.raw_logprobs.clone(),
            sampling_logprobs: rollout.sampling_logprobs.clone(),
            sketches: rollout.sketches.clone(),
            honest: vec![2, 3],
        };
        compare(&rollout, &score).unwrap();
        let changes: [fn(&mut Score); 5] = [
            |s| s.honest[1] = 4,
            |s| s.sketches[0] ^= 1,
            |s| s.raw_logprobs[0] = f32::from_bits(s.raw_logprobs[0].to_bits() ^ 1),
            |s| s.sampling_logprobs[0] = -0.0,
            |s| s.sketches.clear(),
        ];
        for change in changes {
            let mut other = score.clone();
            change(&mut other);
            assert!(compare(&rollout, &other).is_err());
        }
    }
}
