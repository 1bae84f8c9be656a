//! `grail demo`: a window's work in one process. Problems are drawn for a made block, the model answers them in
//! groups with sketches, everything is derived again by prefill alone and compared bit by bit, and then one edited
//! token is shown to be caught. No chain, no files, no signatures: what is shown is the proof.

mod edit;
mod report;
mod window;

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use grail_engine::Engine;
use grail_engine::tokenizer::Tokenizer;
use grail_engine::types::{Completion, GenerateRequest, Group, Rollout, Sampling, Score, ScoreGroup, ScoreRequest};
use grail_protocol::randomness::random_vector;

use super::rollouts::watch;
use super::{Outcome, Rejection, Usage};
use crate::compare::{Claim, Differences, compare};
use crate::environment::{Environment, Reward};
use crate::flags::Demo;
use crate::load;
use crate::sat::Sat;
use crate::terminal::Paint;
use edit::Edit;
use report::Report;
use window::{Problem, Window};

/// Rollouts of a group.
const ROLLOUTS: u32 = 4;

/// A problem with its group's rollouts.
struct Answered {
    problem: Problem,
    rollouts: Vec<Rollout>,
    rewards: Vec<Reward>,
}

/// Everything the steps share.
struct Stage {
    engine: Engine,
    tokenizer: Tokenizer,
    window: Window,
    eos: u32,
    projection: Vec<i32>,
    max_new_tokens: usize,
}

pub fn run(flags: &Demo, out: &mut dyn Write) -> Result<Outcome> {
    let mut stage = prepare(flags)?;
    let mut report = Report::new(out, Paint::stdout());
    report.opening(&stage, flags)?;
    let problems = (0..u64::from(flags.problems)).map(|i| stage.window.problem(i, &stage.tokenizer));
    let problems: Vec<Problem> = problems.collect::<Result<_>>()?;
    check_room(&stage, &problems)?;

    let begun = Instant::now();
    let answered = answer(&mut stage, problems)?;
    let generation = begun.elapsed();
    report.sample(&stage, &answered)?;

    let begun = Instant::now();
    let claims: Vec<ScoreGroup> = answered.iter().map(|a| claims_of(&stage, a)).collect();
    let scores = score(&mut stage, &claims)?;
    let verification = begun.elapsed();

    let differences = differences(&answered, &scores);
    report.table(&answered, &differences, Times { generation, verification })?;
    let edited = Edit::choose(&answered, &stage.tokenizer, stage.engine.config().vocab_size);
    let caught = catch(&mut stage, &answered, &edited)?;
    report.edit(&stage, &edited, &caught)?;
    report.verdict(is_accepted(&differences), edited.is_caught(&caught))
}

/// How long the two passes took.
#[derive(Clone, Copy)]
struct Times {
    generation: Duration,
    verification: Duration,
}

fn prepare(flags: &Demo) -> Result<Stage> {
    let checkpoint = load::checkpoint(&flags.model.model)?;
    let tokenizer = load::tokenizer(&checkpoint)?;
    let eos = tokenizer.eos_id().context("the model's tokenizer names no eos token, which the protocol needs")?;
    let max_new_tokens = flags.max_new_tokens as usize;
    let window = Window::made(&flags.model.model, &checkpoint, eos, flags)?;
    let projection = random_vector(&window.randomness, checkpoint.config().hidden_size)?;
    let engine =
        Engine::load(checkpoint, flags.engine.options()).with_context(|| format!("model {}", flags.model.model))?;
    Ok(Stage { engine, tokenizer, window, eos, projection, max_new_tokens })
}

/// The network's parameters would be refused if an answer did not fit (DESIGN 4.6).
fn check_room(stage: &Stage, problems: &[Problem]) -> Result<()> {
    let prompt = problems.iter().map(|p| p.tokens.len()).max().unwrap_or_default();
    let positions = stage.engine.config().max_position_embeddings;
    let asked = stage.max_new_tokens;
    let problem =
        || format!("--max-new-tokens: {asked} after a prompt of {prompt}; the model has {positions} positions");
    ensure!(prompt + asked <= positions, Usage(problem()));
    Ok(())
}

/// Lets the model answer every problem.
fn answer(stage: &mut Stage, problems: Vec<Problem>) -> Result<Vec<Answered>> {
    let group = |p: &Problem| Group { prompt: p.tokens.clone(), seeds: stage.window.seeds(p.index, ROLLOUTS) };
    let groups: Vec<Group> = problems.iter().map(group).collect();
    let request = GenerateRequest {
        groups: &groups,
        sampling: Sampling::default(),
        max_new_tokens: stage.max_new_tokens,
        eos_ids: &[stage.eos],
        projection: &stage.projection,
        keep_hidden: false,
    };
    let results = stage.engine.generate(&request, &mut *watch("answering"))?;
    let mut answered = Vec::with_capacity(problems.len());
    for (problem, results) in problems.into_iter().zip(results) {
        let place = |i: usize| format!("problem {}, rollout {i}", problem.index);
        let rollouts = results.into_iter().enumerate().map(|(i, r)| r.with_context(|| place(i)));
        let rollouts: Vec<Rollout> = rollouts.collect::<Result<_>>()?;
        let reward = |r: &Rollout| {
            let text = stage.tokenizer.decode(r.completion(), true);
            Sat.reward(&problem.instance, &Sat.parse(&problem.instance, &text))
        };
        let rewards = rollouts.iter().map(reward).collect();
        answered.push(Answered { problem, rollouts, rewards });
    }
    Ok(answered)
}

fn claims_of(stage: &Stage, answered: &Answered) -> ScoreGroup {
    let seeds = stage.window.seeds(answered.problem.index, ROLLOUTS);
    let claim = |(r, seed): (&Rollout, _)| Completion { tokens: r.completion().to_vec(), seed };
    ScoreGroup {
        prompt: answered.problem.tokens.clone(),
        completions: answered.rollouts.iter().zip(seeds).map(claim).collect(),
    }
}

/// What the model says of the claims.
fn score(stage: &mut Stage, groups: &[ScoreGroup]) -> Result<Vec<Vec<Score>>> {
    let request = ScoreRequest { groups, sampling: Sampling::default(), projection: &stage.projection };
    let results = stage.engine.score(&request, &mut *watch("verifying"))?;
    let group = |g: Vec<std::result::Result<Score, _>>| g.into_iter().collect::<Result<Vec<_>, _>>();
    results.into_iter().map(group).collect::<Result<_, _>>().map_err(|e| Rejection(format!("verification: {e}")).into())
}

fn differences(answered: &[Answered], scores: &[Vec<Score>]) -> Vec<Vec<Differences>> {
    let group = |(a, scores): (&Answered, &Vec<Score>)| {
        a.rollouts.iter().zip(scores).map(|(r, s)| compare(&claim(r, r.completion()), s)).collect()
    };
    answered.iter().zip(scores).map(group).collect()
}

/// Whether every rollout is what the model says, to the bit.
fn is_accepted(differences: &[Vec<Differences>]) -> bool {
    !differences.is_empty() && differences.iter().flatten().all(|d| d.bits() == 0 && d.values() > 0)
}

/// A rollout as it is published, with these tokens for its completion.
fn claim<'a>(rollout: &'a Rollout, tokens: &'a [u32]) -> Claim<'a> {
    Claim {
        prompt_length: rollout.prompt_length,
        tokens,
        sketches: &rollout.sketches,
        raw_logprobs: &rollout.raw_logprobs,
        sampling_logprobs: &rollout.sampling_logprobs,
    }
}

/// Verifies the edited rollout, everything but its one token as published.
fn catch(stage: &mut Stage, answered: &[Answered], edit: &Edit) -> Result<Differences> {
    let answered = &answered[edit.problem];
    let rollout = &answered.rollouts[edit.rollout];
    let tokens = edit.apply(rollout);
    let seed = stage.window.seeds(answered.problem.index, ROLLOUTS)[edit.rollout];
    let completions = vec![Completion { tokens: tokens.clone(), seed }];
    let group = ScoreGroup { prompt: answered.problem.tokens.clone(), completions };
    let scores = score(stage, &[group])?;
    Ok(compare(&claim(rollout, &tokens), &scores[0][0]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    use crate::flags::{Cli, Command};

    fn answered() -> (Stage, Vec<Answered>) {
        let typed = Cli::try_parse_from(["grail", "demo", "--problems", "1", "--threads", "1", "--memory", "1GiB"]);
        let Command::Demo(flags) = typed.unwrap().command else { panic!("another command") };
        let mut stage = prepare(&flags).unwrap();
        let problem = stage.window.problem(0, &stage.tokenizer).unwrap();
        let answered = answer(&mut stage, vec![problem]).unwrap();
        (stage, answered)
    }

    fn verify(stage: &mut Stage, answered: &[Answered]) -> Vec<Vec<Differences>> {
        let claims: Vec<ScoreGroup> = answered.iter().map(|a| claims_of(stage, a)).collect();
        let scores = score(stage, &claims).unwrap();
        differences(answered, &scores)
    }

    #[test]
    fn one_flipped_bit_of_any_published_value_is_not_accepted() {
        let (mut stage, mut answered) = answered();
        assert!(is_accepted(&verify(&mut stage, &answered)), "the control: as published, all is accepted");
        fn flip(x: &mut f32) {
            *x = f32::from_bits(x.to_bits() ^ 1);
        }
        let edits: [fn(&mut Rollout); 4] = [
            |r| *r.sketches.last_mut().unwrap() ^= 1,
            |r| flip(&mut r.raw_logprobs[0]),
            |r| flip(&mut r.sampling_logprobs[1]),
            |r| *r.tokens.last_mut().unwrap() ^= 1,
        ];
        for (i, edit) in edits.into_iter().enumerate() {
            let original = answered[0].rollouts[2].clone();
            edit(&mut answered[0].rollouts[2]);
            let differences = verify(&mut stage, &answered);
            assert!(!is_accepted(&differences), "edit {i}");
            assert!(differences[0][2].bits() > 0 && differences[0][1].bits() == 0, "edit {i}");
            answered[0].rollouts[2] = original;
        }
        assert!(!is_accepted(&[]), "nothing verified is not everything verified");
    }

    #[test]
    fn the_edit_is_caught_and_no_edit_is_not() {
        let (mut stage, answered) = answered();
        let vocab = stage.engine.config().vocab_size;
        let edit = Edit::choose(&answered, &stage.tokenizer, vocab);
        assert_ne!(edit.original, edit.claimed);
        assert!(edit.is_caught(&catch(&mut stage, &answered, &edit).unwrap()));
        let honest = Edit { claimed: edit.original, ..edit };
        assert!(!honest.is_caught(&catch(&mut stage, &answered, &honest).unwrap()));
    }

    #[test]
    fn only_both_together_are_done() {
        let verdict = |accepted, caught| {
            let mut out = Vec::new();
            Report::new(&mut out, Paint::stdout()).verdict(accepted, caught).unwrap()
        };
        assert_eq!(verdict(true, true), Outcome::Done);
        for (accepted, caught) in [(true, false), (false, true), (false, false)] {
            assert_eq!(verdict(accepted, caught), Outcome::Rejected);
        }
    }
}
