//! Laws of scoring: it says of an honest rollout what its generator said, and of any other what the reference says.

use std::ops::ControlFlow;

use grail_engine::types::{
    Completion, Event, Failure, GenerateRequest, Group, Rollout, Sampling, Score, ScoreGroup, ScoreRequest, unobserved,
};
use grail_engine::{Engine, EngineOptions};

use crate::common::{bounded, generate, groups, machines, options, projection, random, request, seed, small};
use crate::oracle::{reference, reference_changed, reference_score, score_difference};

/// Every temperature with every kept set and penalty of interest.
fn samplings() -> Vec<Sampling> {
    let mut all = Vec::new();
    for temperature in [0.0, 0.7, 1.5] {
        for top_k in [0, 1, 50] {
            for top_p in [1.0, 0.95, 0.5] {
                for repetition_penalty in [1.0, 1.3] {
                    all.push(Sampling { temperature, top_k, top_p, repetition_penalty });
                }
            }
        }
    }
    all
}

fn rollouts(engine: &mut Engine, request: &GenerateRequest<'_>) -> Vec<Vec<Rollout>> {
    generate(engine, request).into_iter().map(|g| g.into_iter().map(Result::unwrap).collect()).collect()
}

fn claims(groups: &[Group], rollouts: &[Vec<Rollout>]) -> Vec<ScoreGroup> {
    let completion = |(r, s): (&Rollout, &_)| Completion { tokens: r.completion().to_vec(), seed: *s };
    let one = |(g, r): (&Group, &Vec<Rollout>)| ScoreGroup {
        prompt: g.prompt.clone(),
        completions: r.iter().zip(&g.seeds).map(completion).collect(),
    };
    groups.iter().zip(rollouts).map(one).collect()
}

fn score(engine: &mut Engine, groups: &[ScoreGroup], sampling: Sampling, r: &[i32]) -> Vec<Vec<Score>> {
    let request = ScoreRequest { groups, sampling, projection: r };
    let out = engine.score(&request, &mut bounded(5000, |_| {})).unwrap();
    assert_eq!(engine.cache_in_use(), (0, 0), "pages in use and promised after a call");
    out.into_iter().map(|g| g.into_iter().map(Result::unwrap).collect()).collect()
}

fn published(rollout: &Rollout) -> Score {
    Score {
        raw_logprobs: rollout.raw_logprobs.clone(),
        sampling_logprobs: rollout.sampling_logprobs.clone(),
        sketches: rollout.sketches.clone(),
        honest: rollout.completion().to_vec(),
    }
}

fn assert_honest(scores: &[Vec<Score>], rollouts: &[Vec<Rollout>], what: &str) -> usize {
    let pairs = scores.iter().flatten().zip(rollouts.iter().flatten());
    let differences = pairs.map(|(score, rollout)| score_difference(score, &published(rollout)));
    differences.inspect(|d| assert_eq!(*d, None, "{what}")).count()
}

#[test]
fn scoring_repeats_what_an_honest_generator_published() {
    let model = small();
    let groups = groups(model.shape.vocab, &[9, 127], &[3, 1]);
    let r = projection(model.shape.hidden);
    let mut miner = model.engine(options());
    let mut validator = model.engine(EngineOptions { step_rows: 11, max_batch: 3, ..options() });
    let mut scored = 0;
    for sampling in samplings() {
        let request = GenerateRequest { sampling, ..request(&groups, 6, &r) };
        let made = rollouts(&mut miner, &request);
        let scores = score(&mut validator, &claims(&groups, &made), sampling, &r);
        scored += assert_honest(&scores, &made, &format!("{sampling:?}"));
    }
    assert_eq!(scored, 54 * 4);
}

#[test]
fn scores_do_not_depend_on_steps_slots_pages_or_machine() {
    let model = small();
    let groups = groups(model.shape.vocab, &[3, 127, 1, 129, 256], &[4, 3, 5, 2, 2]);
    let r = projection(model.shape.hidden);
    let request = request(&groups, 8, &r);
    let made = rollouts(&mut model.engine(options()), &request);
    let claims = claims(&groups, &made);
    let mut scored = 0;
    let mut check = |engine: &mut Engine, what: &str| {
        let scores = score(engine, &claims, request.sampling, &r);
        scored += assert_honest(&scores, &made, what);
    };
    for machine in machines() {
        check(&mut model.engine(machine.clone()), &format!("{machine:?}"));
    }
    for (step_rows, max_batch) in [(1, 1), (1, 7), (2, 64), (127, 2), (129, 3), (512, 257)] {
        let mut engine = model.engine(EngineOptions { step_rows, max_batch, ..options() });
        check(&mut engine, &format!("steps of {step_rows}, batch of {max_batch}"));
    }
    for pages in 3..9 {
        let mut engine = model.engine_of_pages(pages, EngineOptions { step_rows: 70, ..options() });
        check(&mut engine, &format!("{pages} pages"));
    }
    assert_eq!(scored, 16 * (machines().len() + 6 + 6));
}

#[test]
fn an_edited_completion_scores_as_the_reference_says() {
    let model = small();
    let vocab = model.shape.vocab as u32;
    let groups = groups(model.shape.vocab, &[6], &[2]);
    let (r, slow) = (projection(model.shape.hidden), reference(&model.checkpoint()));
    let (mut engine, mut next) = (model.engine(EngineOptions { step_rows: 9, ..options() }), random(4));
    let (mut found_out, mut later) = (0, 0);
    for sampling in samplings() {
        let made = rollouts(&mut engine, &GenerateRequest { sampling, ..request(&groups, 7, &r) });
        let mut claims = claims(&groups, &made);
        let at = next() as usize % 7;
        let edited = &mut claims[0].completions[0].tokens;
        edited[at] = (edited[at] + 1 + next() as u32 % (vocab - 1)) % vocab;
        // A cut one, a longer one, and tokens that nobody drew.
        claims[0]
            .completions
            .push(Completion { tokens: made[0][1].completion()[..3].to_vec(), seed: groups[0].seeds[1] });
        let tokens = made[0][1].completion().iter().chain(&[1, 2, 3]).copied().collect();
        claims[0].completions.push(Completion { tokens, seed: groups[0].seeds[1] });
        let tokens = (0..5).map(|_| next() as u32 % vocab).collect();
        claims[0].completions.push(Completion { tokens, seed: seed(next()) });
        let scores = score(&mut engine, &claims, sampling, &r).remove(0);
        for (score, completion) in scores.iter().zip(&claims[0].completions) {
            let expected = reference_score(&slow, &claims[0].prompt, completion, &sampling, &r).unwrap();
            assert_eq!(score_difference(score, &expected), None, "{sampling:?}, edited at {at}");
        }
        let (honest, claimed) = (&scores[0].honest, &claims[0].completions[0].tokens);
        assert_eq!(honest[..=at], made[0][0].completion()[..=at], "up to the edit the sampler knows what had to come");
        assert_ne!(honest[at], claimed[at]);
        found_out += 1;
        later += usize::from(honest[at + 1..] != claimed[at + 1..]);
    }
    assert!(found_out == 54 && later > 10, "{found_out} edits, {later} with later differences");
}

#[test]
fn a_claim_is_scored_alike_alone_and_among_others() {
    let model = small();
    let groups = groups(model.shape.vocab, &[130, 4], &[3, 3]);
    let r = projection(model.shape.hidden);
    let made = rollouts(&mut model.engine(options()), &request(&groups, 5, &r));
    let (claims, sampling) = (claims(&groups, &made), request(&groups, 5, &r).sampling);
    let mut engine = model.engine(options());
    let together = score(&mut engine, &claims, sampling, &r);
    for (group, scores) in claims.iter().zip(&together) {
        for (completion, expected) in group.completions.iter().zip(scores) {
            let alone = [ScoreGroup { prompt: group.prompt.clone(), completions: vec![completion.clone()] }];
            let found = score(&mut engine, &alone, sampling, &r).remove(0).remove(0);
            assert_eq!(score_difference(&found, expected), None);
        }
    }
    assert_eq!(together.iter().flatten().count(), 6);
}

#[test]
fn cancelling_a_score_keeps_what_is_finished() {
    let model = small();
    let groups = groups(model.shape.vocab, &[40, 4, 9], &[2, 3, 1]);
    let r = projection(model.shape.hidden);
    let made = rollouts(&mut model.engine(options()), &request(&groups, 5, &r));
    let (claims, sampling) = (claims(&groups, &made), request(&groups, 5, &r).sampling);
    let mut engine = model.engine(EngineOptions { step_rows: 8, max_batch: 2, ..options() });
    let (mut kept, mut cancelled) = (0, 0);
    for steps in 1.. {
        let mut left = steps;
        let mut observer = |event: Event<'_>| {
            left -= usize::from(matches!(event, Event::Step(_)));
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let part = engine.score(&ScoreRequest { groups: &claims, sampling, projection: &r }, &mut observer).unwrap();
        assert_eq!(engine.cache_in_use(), (0, 0));
        let mut missing = 0;
        for (score, rollout) in part.iter().flatten().zip(made.iter().flatten()) {
            match score {
                Ok(score) => assert_eq!(score_difference(score, &published(rollout)), None),
                Err(failure) => assert_eq!(*failure, Failure::Cancelled),
            }
            missing += usize::from(score.is_err());
        }
        (kept, cancelled) = (kept + 6 - missing, cancelled + missing);
        if missing == 0 {
            break;
        }
    }
    assert!(kept > 6 && cancelled > 6, "{kept} kept, {cancelled} cancelled");
    assert_eq!(assert_honest(&score(&mut engine, &claims, sampling, &r), &made, "after cancelled calls"), 6);
}

#[test]
fn nothing_to_score_is_nothing() {
    let mut engine = small().engine(options());
    let groups = [ScoreGroup { prompt: vec![1], completions: Vec::new() }];
    let request = ScoreRequest { groups: &groups, sampling: Sampling::default(), projection: &[] };
    assert_eq!(engine.score(&request, &mut unobserved).unwrap(), vec![Vec::new()]);
    assert_eq!(engine.score(&ScoreRequest { groups: &[], ..request }, &mut unobserved).unwrap(), Vec::<Vec<_>>::new());
}

/// What a validator must not miss: another seed, parameter or weight.
#[test]
fn a_score_notices_another_seed_parameter_or_weight() {
    let model = small();
    let groups = groups(model.shape.vocab, &[9], &[2]);
    let r = projection(model.shape.hidden);
    let mut engine = model.engine(options());
    let request = request(&groups, 12, &r);
    let made = rollouts(&mut engine, &request);
    let honest = claims(&groups, &made);
    let published = published(&made[0][0]);
    let mut differs =
        |claims: &[ScoreGroup], sampling| score_difference(&score(&mut engine, claims, sampling, &r)[0][0], &published);
    assert_eq!(differs(&honest, request.sampling), None, "the control of the controls");
    let mut stolen = honest.clone();
    stolen[0].completions[0].seed = groups[0].seeds[1];
    assert_eq!(differs(&stolen, request.sampling), Some("honest tokens"));
    let hotter = Sampling { temperature: request.sampling.temperature * (1.0 + 1e-6), ..request.sampling };
    assert!(differs(&honest, hotter).is_some(), "temperature");
    let unpunished = Sampling { repetition_penalty: 1.0, ..request.sampling };
    assert!(differs(&honest, unpunished).is_some(), "penalty");

    // A step of bf16: one ulp is below what logits and sketches resolve.
    let step = |n: &str, w: &mut Vec<f32>| {
        if n == "model.norm.weight" {
            w.iter_mut().for_each(|x| *x = f32::from_bits(x.to_bits() + 0x1_0000));
        }
    };
    let other = reference_changed(&model.checkpoint(), |_| {}, step);
    let claim = &honest[0].completions[0];
    let expected = reference_score(&other, &groups[0].prompt, claim, &request.sampling, &r).unwrap();
    assert!(score_difference(&published, &expected).is_some(), "a norm moved by one step of its type");
}
