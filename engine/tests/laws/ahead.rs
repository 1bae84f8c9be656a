//! Steps that are done together say what the same steps one by one do: who is told of them late cannot tell.

use std::ops::ControlFlow;

use grail_engine::types::{Event, Failure, GenerateRequest, Stop};
use grail_engine::{EngineOptions, Error};

use crate::common::{bounded, generate, groups, options, projection, request, small};
use crate::oracle::rollout_difference;

/// What an observer hears of each step, hashed by nobody: groups, rollouts, tokens, ends and progress in order.
fn heard(engine: &mut grail_engine::Engine, request: &GenerateRequest<'_>) -> Vec<String> {
    let mut told = Vec::new();
    let mut watch = bounded(2000, |event| match event {
        Event::Finished { group, rollout, result } => told.push(format!("{group} {rollout} {result:?}")),
        other => told.push(format!("{other:?}")),
    });
    engine.generate(request, &mut watch).unwrap();
    drop(watch);
    assert_eq!(engine.cache_in_use(), (0, 0));
    told
}

#[test]
fn steps_done_together_are_those_done_one_by_one() {
    let model = small();
    let (groups, r) = (groups(model.shape.vocab, &[1, 120, 126, 7], &[3, 4, 2, 5]), projection(model.shape.hidden));
    let eos_ids = [4, 9, 17];
    for (max_batch, projection) in [(64, &r[..]), (3, &r[..]), (5, &[])] {
        let one = GenerateRequest { eos_ids: &eos_ids, keep_hidden: false, ..request(&groups, 21, projection) };
        let alone = |steps_ahead| model.engine(EngineOptions { max_batch, steps_ahead, ..options() });
        let expected = generate(&mut alone(None), &one);
        let expected: Vec<_> = expected.iter().flatten().map(|r| r.as_ref().unwrap()).collect();
        let amid = |stop| expected.iter().any(|r| r.stop == stop && r.completion().len() % 16 > 1);
        assert!(amid(Stop::Eos) && amid(Stop::Length), "both ends, amid steps");
        for steps in [1, 2, 5, 16, 100] {
            let found = generate(&mut alone(Some(steps)), &one);
            for (found, expected) in found.iter().flatten().zip(&expected) {
                let difference = rollout_difference(found.as_ref().unwrap(), expected);
                assert_eq!(difference, None, "{steps} steps, {max_batch} slots");
            }
        }
    }
}

/// With as many slots as rollouts nobody waits for a place, so that even the order of what is told is the same.
#[test]
fn an_observer_hears_the_same_in_the_same_order() {
    let model = small();
    let (groups, r) = (groups(model.shape.vocab, &[1, 126], &[3, 4]), projection(model.shape.hidden));
    let one = GenerateRequest { eos_ids: &[4, 9], keep_hidden: false, ..request(&groups, 12, &r) };
    let hear = |steps_ahead| heard(&mut model.engine(EngineOptions { steps_ahead, ..options() }), &one);
    let expected = hear(None);
    assert!(expected.iter().filter(|e| e.starts_with("Step")).count() > 12);
    for steps in [2, 5, 16] {
        assert_eq!(hear(Some(steps)), expected, "{steps} steps");
    }
}

#[test]
fn breaking_off_amid_steps_leaves_the_engine_whole() {
    let model = small();
    let (groups, r) = (groups(model.shape.vocab, &[5, 126, 9], &[3, 2, 4]), projection(model.shape.hidden));
    let one = GenerateRequest { eos_ids: &[4, 9, 30], keep_hidden: false, ..request(&groups, 12, &r) };
    let mut engine = model.engine(EngineOptions { steps_ahead: Some(5), ..options() });
    let whole = generate(&mut engine, &one);
    let (mut kept, mut dropped) = (0, 0);
    for steps in 1..14 {
        let mut left = steps;
        let mut observer = |event: Event<'_>| {
            left -= usize::from(matches!(event, Event::Step(_)));
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let part = engine.generate(&one, &mut observer).unwrap();
        assert_eq!(engine.cache_in_use(), (0, 0), "pages after {steps} steps");
        for (found, expected) in part.iter().flatten().zip(whole.iter().flatten()) {
            match found {
                Ok(rollout) => {
                    assert_eq!(rollout_difference(rollout, expected.as_ref().unwrap()), None);
                    kept += 1;
                }
                Err(failure) => {
                    assert_eq!(*failure, Failure::Cancelled);
                    dropped += 1;
                }
            }
        }
    }
    assert!(kept > 9 && dropped > 9, "{kept} kept, {dropped} cancelled");
}

#[test]
fn hidden_states_are_kept_whatever_the_steps() {
    let model = small();
    let groups = groups(model.shape.vocab, &[5, 9], &[2, 2]);
    let one = request(&groups, 7, &[]);
    let expected = generate(&mut model.engine(options()), &one);
    let found = generate(&mut model.engine(EngineOptions { steps_ahead: Some(5), ..options() }), &one);
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        let (found, expected) = (found.as_ref().unwrap(), expected.as_ref().unwrap());
        assert_eq!(found.hidden.len(), found.tokens.len() * model.shape.hidden);
        assert_eq!(rollout_difference(found, expected), None);
    }
}

#[test]
fn no_steps_and_too_many_are_refused_by_name() {
    for (steps, told) in [(0, "is 0, expected at least 1"), (1025, "is more than 1024, expected at most that")] {
        let refused =
            grail_engine::Engine::load(small().checkpoint(), EngineOptions { steps_ahead: Some(steps), ..options() });
        let Some(Error::Request { field, problem }) = refused.err() else { panic!("{steps} steps") };
        assert_eq!((field.as_str(), problem.as_str()), ("steps_ahead", told));
    }
}
