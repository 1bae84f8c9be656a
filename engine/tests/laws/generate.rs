//! Laws of generation: what a rollout is depends on its prompt and seed alone, never on the schedule.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use grail_engine::backend::{Backend, Segment};
use grail_engine::cpu::forward::CpuModel;
use grail_engine::cpu::isa::Isa;
use grail_engine::cpu::pool::Pool;
use grail_engine::types::{Event, Failure, GenerateRequest, Group, Rollout, Seed, Stop};
use grail_engine::{Engine, EngineOptions, Generated};
use proptest::prelude::*;

use crate::common::{
    Model, bits, bounded, generate, groups, machines, options, projection, random, request, small, tokens,
};
use crate::oracle::{reference, reference_changed, reference_rollout, rollout_difference};

type Results = HashMap<[u8; 32], Rollout>;

fn by_seed(groups: &[Group], results: Generated) -> Results {
    let pairs = groups.iter().zip(results).flat_map(|(g, r)| g.seeds.iter().zip(r).collect::<Vec<_>>());
    pairs.map(|(seed, result)| (seed.0, result.unwrap())).collect()
}

/// Groups in another order, the seeds of each too.
fn shuffled(groups: &[Group], number: u64) -> Vec<Group> {
    let mut next = random(number);
    let mut groups = groups.to_vec();
    groups.sort_by_cached_key(|_| next());
    groups.iter_mut().for_each(|g| g.seeds.sort_by_cached_key(|_| next()));
    groups
}

fn assert_same(found: &Results, expected: &Results, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (seed, rollout) in found {
        assert_eq!(rollout_difference(rollout, &expected[seed]), None, "{what}");
    }
}

fn mates() -> Vec<Group> {
    groups(small().shape.vocab, &[1, 130, 7, 128, 20, 3], &[150, 12, 40, 10, 30, 15])
}

#[test]
fn batch_mates_order_and_slots_do_not_move_a_bit() {
    let (model, groups) = (small(), mates());
    let r = projection(model.shape.hidden);
    let total: usize = groups.iter().map(|g| g.seeds.len()).sum();
    assert_eq!(total, 257);
    let alone = {
        let mut engine = model.engine(EngineOptions { max_batch: 1, step_rows: 64, ..options() });
        by_seed(&groups, generate(&mut engine, &request(&groups, 5, &r)))
    };
    for (max_batch, step_rows) in [(2, 1), (7, 33), (64, 512), (257, 40)] {
        let order = shuffled(&groups, max_batch as u64);
        let mut engine = model.engine(EngineOptions { max_batch, step_rows, ..options() });
        let found = by_seed(&order, generate(&mut engine, &request(&order, 5, &r)));
        assert_same(&found, &alone, &format!("batch of {max_batch}, steps of {step_rows}"));
    }
    let distinct: HashSet<&[u32]> = alone.values().map(|r| r.completion()).collect();
    assert!(distinct.len() > 200, "{} different completions: seeds hardly matter", distinct.len());
}

#[test]
fn every_machine_generates_what_the_reference_does() {
    let model = small();
    let groups = groups(model.shape.vocab, &[1, 126, 129, 256], &[5, 3, 2, 1]);
    let (r, slow) = (projection(model.shape.hidden), reference(&model.checkpoint()));
    let eos = [4, 9, 17, 33];
    let request = GenerateRequest { eos_ids: &eos, ..request(&groups, 9, &r) };
    let one = |g: &Group, seed: &Seed| reference_rollout(&slow, &g.prompt, seed, &request).unwrap();
    let pairs = groups.iter().flat_map(|g| g.seeds.iter().map(move |s| (g, s)));
    let expected: Results = pairs.map(|(g, seed)| (seed.0, one(g, seed))).collect();
    for (i, machine) in machines().into_iter().enumerate() {
        let mut engine = model.engine(EngineOptions { max_batch: 1 + 2 * i, step_rows: 100, ..machine });
        let found = by_seed(&groups, generate(&mut engine, &request));
        assert_same(&found, &expected, &engine.device());
    }
    for rollout in expected.values() {
        assert_eq!(rollout.sketches.len(), rollout.tokens.len(), "the last token passes through the model, too");
        let (last, rest) = rollout.completion().split_last().unwrap();
        assert!(rest.iter().all(|t| !eos.contains(t)), "nothing follows an eos");
        match rollout.stop {
            Stop::Eos => assert!(eos.contains(last)),
            Stop::Length => assert!(rollout.completion().len() == 9 && !eos.contains(last)),
        }
    }
    let ends = |stop| expected.values().filter(|r| r.stop == stop).count();
    assert!(ends(Stop::Eos) > 0 && ends(Stop::Length) > 0, "both ends were met");
}

/// Without a projection and hidden states most of a prompt's last layer is left out.
#[test]
fn tokens_and_logprobs_do_not_depend_on_what_else_is_asked_for() {
    let model = small();
    let groups = groups(model.shape.vocab, &[1, 130, 7, 128, 20], &[3, 5, 2, 4, 1]);
    let r = projection(model.shape.hidden);
    let all = by_seed(&groups, generate(&mut model.engine(options()), &request(&groups, 8, &r)));
    for step_rows in [1, 33, 512] {
        let plain = GenerateRequest { projection: &[], keep_hidden: false, ..request(&groups, 8, &r) };
        let mut engine = model.engine(EngineOptions { step_rows, ..options() });
        let found = by_seed(&groups, generate(&mut engine, &plain));
        assert_eq!(found.len(), all.len());
        for (seed, rollout) in &found {
            let expected = Rollout { sketches: Vec::new(), hidden: Vec::new(), ..all[seed].clone() };
            assert_eq!(rollout_difference(rollout, &expected), None, "steps of {step_rows}");
        }
    }
}

#[test]
fn outputs_that_are_not_read_are_not_made_and_move_nothing() {
    let model = small();
    let mut backend = CpuModel::load(model.checkpoint(), Isa::choose(None).unwrap(), Pool::new(2)).unwrap();
    let (a, b) = (tokens(1, 40, model.shape.vocab), tokens(2, 3, model.shape.vocab));
    let mut pass = |read: [usize; 2]| {
        let first = Segment { read: read[0], ..Segment::new(&a, 0, &[0]) };
        let second = Segment { read: read[1], ..Segment::new(&b, 0, &[1]) };
        let mut hidden = Vec::new();
        backend.forward(&[first, second], &[], None).unwrap();
        backend.hidden(0..43, &mut hidden).unwrap();
        hidden
    };
    let (all, some, none) = (pass([40, 3]), pass([1, 2]), pass([0, 0]));
    let width = model.shape.hidden;
    let zero = |row: &[f32]| row.iter().all(|x| x.to_bits() == 0);
    for (row, (all, some)) in all.chunks_exact(width).zip(some.chunks_exact(width)).enumerate() {
        assert!(!zero(all), "row {row}");
        match row {
            39 | 41 | 42 => assert_eq!(bits(some), bits(all), "row {row}"),
            _ => assert!(zero(some), "row {row} is not read"),
        }
    }
    assert!(none.chunks_exact(width).all(zero));
}

/// Pages that the request needs at least: of the largest prompt and one of its rollouts.
const LEAST_PAGES: u64 = 3;

#[test]
fn a_tight_memory_budget_delays_and_changes_nothing() {
    let model = small();
    let groups = groups(model.shape.vocab, &[256, 1, 129, 120], &[4, 6, 5, 5]);
    let r = projection(model.shape.hidden);
    let request = request(&groups, 10, &r);
    let roomy = by_seed(&groups, generate(&mut model.engine(options()), &request));
    let mut waited = 0;
    for pages in LEAST_PAGES..LEAST_PAGES + 7 {
        let mut engine = model.engine_of_pages(pages, EngineOptions { step_rows: 90, ..options() });
        let mut most_live = 0;
        let mut watch = bounded(2000, |event| {
            if let Event::Step(progress) = event {
                most_live = most_live.max(progress.live);
            }
        });
        let found = engine.generate(&request, &mut watch).unwrap();
        drop(watch);
        assert_eq!(engine.cache_in_use(), (0, 0));
        waited += usize::from(most_live < 20);
        assert_same(&by_seed(&groups, found), &roomy, &format!("{pages} pages"));
    }
    assert!(waited > 4, "the budgets were tight");
}

/// By the next rollout of a group, and by the next group.
#[test]
fn a_free_slot_is_refilled_before_the_batch_ends() {
    let model = small();
    let eos: Vec<u32> = (0..12).collect();
    for (lengths, sizes) in [(vec![5, 9], vec![6, 6]), (vec![3, 8, 4, 9, 5, 7, 6, 2], vec![1; 8])] {
        let groups = groups(model.shape.vocab, &lengths, &sizes);
        let request = GenerateRequest { eos_ids: &eos, ..request(&groups, 30, &[]) };
        let mut engine = model.engine(EngineOptions { max_batch: 3, ..options() });
        let (mut started, mut finished, mut refilled, mut steps) = (Vec::new(), Vec::new(), 0, 0);
        let mut watch = bounded(2000, |event| match event {
            Event::Token { group, rollout, .. } if !started.contains(&(group, rollout)) => {
                started.push((group, rollout));
                let first = &started[..started.len().min(3)];
                refilled += usize::from(started.len() > 3 && first.iter().any(|f| !finished.contains(f)));
            }
            Event::Finished { group, rollout, .. } => finished.push((group, rollout)),
            Event::Step(progress) => {
                steps += 1;
                assert!(progress.live <= 3, "{} live in 3 slots", progress.live);
                assert_eq!(progress.finished, finished.len());
            }
            _ => {}
        });
        engine.generate(&request, &mut watch).unwrap();
        drop(watch);
        let total = sizes.iter().sum();
        assert_eq!((started.len(), finished.len()), (total, total));
        assert!(refilled > 0 && steps > 0, "{sizes:?}: a rollout began while one of the first three was at work");
    }
}

#[test]
fn what_the_observer_hears_is_what_is_returned() {
    let model = small();
    let groups = groups(model.shape.vocab, &[5, 130], &[3, 2]);
    let (r, mut heard) = (projection(model.shape.hidden), HashMap::<(usize, usize), Vec<(u32, u32, u32)>>::new());
    let mut ends = HashMap::new();
    let mut watch = bounded(2000, |event| match event {
        Event::Token { group, rollout, token, logprobs } => {
            let of = heard.entry((group, rollout)).or_default();
            let l = logprobs.expect("asked for");
            of.push((token, l.raw.to_bits(), l.sampling.to_bits()));
        }
        Event::Finished { group, rollout, result } => {
            ends.insert((group, rollout), result.unwrap().clone());
        }
        _ => {}
    });
    let results = model.engine(options()).generate(&request(&groups, 6, &r), &mut watch).unwrap();
    drop(watch);
    for (g, group) in results.into_iter().enumerate() {
        for (i, rollout) in group.into_iter().enumerate() {
            let rollout = rollout.unwrap();
            let logprobs = rollout.raw_logprobs.iter().zip(&rollout.sampling_logprobs);
            let told = rollout.completion().iter().zip(logprobs).map(|(t, (r, s))| (*t, r.to_bits(), s.to_bits()));
            assert_eq!(told.collect::<Vec<_>>(), heard.remove(&(g, i)).unwrap());
            assert_eq!(rollout_difference(&rollout, &ends.remove(&(g, i)).unwrap()), None);
        }
    }
    assert!(heard.is_empty() && ends.is_empty());
}

fn cancelled_after(engine: &mut Engine, groups: &[Group], r: &[i32], steps: usize) -> Generated {
    let mut left = steps;
    let mut observer = |event: Event<'_>| {
        left -= usize::from(matches!(event, Event::Step(_)));
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let out = engine.generate(&request(groups, 6, r), &mut observer).unwrap();
    assert_eq!(engine.cache_in_use(), (0, 0), "pages after a cancelled call");
    out
}

#[test]
fn cancelling_keeps_what_is_finished_and_leaves_the_engine_whole() {
    let model = small();
    let groups = groups(model.shape.vocab, &[5, 130, 9], &[3, 2, 4]);
    let r = projection(model.shape.hidden);
    let mut engine = model.engine(EngineOptions { max_batch: 3, step_rows: 50, ..options() });
    let whole = generate(&mut engine, &request(&groups, 6, &r));
    let (mut kept, mut dropped, mut steps) = (0, 0, 1);
    loop {
        let part = cancelled_after(&mut engine, &groups, &r, steps);
        let pairs = part.iter().flatten().zip(whole.iter().flatten());
        let mut missing = 0;
        for (found, expected) in pairs {
            match found {
                Ok(rollout) => {
                    assert_eq!(rollout_difference(rollout, expected.as_ref().unwrap()), None);
                    kept += 1;
                }
                Err(failure) => {
                    assert_eq!(*failure, Failure::Cancelled);
                    missing += 1;
                }
            }
        }
        dropped += missing;
        if missing == 0 {
            break;
        }
        steps += 1;
    }
    assert!(steps > 6 && kept > 9 && dropped > 9, "{steps} steps, {kept} kept, {dropped} cancelled");
    let again = generate(&mut engine, &request(&groups, 6, &r));
    let same = again.iter().flatten().zip(whole.iter().flatten());
    assert!(same.map(|(a, b)| rollout_difference(a.as_ref().unwrap(), b.as_ref().unwrap())).all(|d| d.is_none()));
}

#[test]
fn a_break_from_any_event_cancels_at_the_end_of_its_step() {
    let model = small();
    let groups = groups(model.shape.vocab, &[5], &[2]);
    let mut engine = model.engine(options());
    let mut steps = 0;
    let mut observer = |event: Event<'_>| {
        steps += usize::from(matches!(event, Event::Step(_)));
        if matches!(event, Event::Token { .. }) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let out = engine.generate(&request(&groups, 6, &[]), &mut observer).unwrap();
    assert!(out.iter().flatten().all(|r| *r == Err(Failure::Cancelled)));
    assert_eq!((steps, engine.cache_in_use()), (1, (0, 0)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 40, ..ProptestConfig::default() })]
    #[test]
    fn any_schedule_gives_the_same_rollouts(
        lengths in prop::collection::vec(prop_oneof![3 => 1usize..40, 1 => 120usize..135], 1..5),
        sizes in prop::collection::vec(0usize..6, 5),
        max_new_tokens in 1usize..9,
        max_batch in 1usize..9,
        step_rows in prop_oneof![Just(1usize), 1usize..300],
        more_pages in 0u64..6,
        steps_ahead in prop::option::of(1usize..9),
        order: u64,
    ) {
        let model = small();
        let (groups, r) = (groups(model.shape.vocab, &lengths, &sizes), projection(model.shape.hidden));
        // Hidden states are kept one step at a time.
        let keep_hidden = steps_ahead.is_none();
        let request = |groups| GenerateRequest { keep_hidden, ..request(groups, max_new_tokens, &r) };
        let alone = EngineOptions { max_batch: 1, step_rows: 1000, ..options() };
        let expected = by_seed(&groups, generate(&mut model.engine(alone), &request(&groups)));
        let order = shuffled(&groups, order);
        let options = EngineOptions { max_batch, step_rows, steps_ahead, ..options() };
        let mut engine = model.engine_of_pages(LEAST_PAGES + more_pages, options);
        let request = request(&order);
        let mut most_live = 0;
        let mut watch = bounded(5000, |event| if let Event::Step(p) = event { most_live = most_live.max(p.live) });
        let found = by_seed(&order, engine.generate(&request, &mut watch).unwrap());
        drop(watch);
        prop_assert!(most_live <= max_batch);
        prop_assert_eq!(engine.cache_in_use(), (0, 0));
        assert_same(&found, &expected, "another schedule");
    }
}

/// Each change is one that a wrong engine could make; the comparison has to see every one.
#[test]
fn the_comparison_notices_another_seed_position_or_weight() {
    let model = small();
    let groups = groups(model.shape.vocab, &[20], &[3]);
    let (r, checkpoint) = (projection(model.shape.hidden), model.checkpoint());
    let request = request(&groups, 12, &r);
    let found = generate(&mut model.engine(options()), &request).remove(0);
    let found: Vec<Rollout> = found.into_iter().map(Result::unwrap).collect();
    let (prompt, seeds) = (&groups[0].prompt, &groups[0].seeds);
    let of = |slow, prompt: &[u32], seed: &Seed| reference_rollout(slow, prompt, seed, &request).unwrap();
    let slow = reference(&checkpoint);
    assert_eq!(rollout_difference(&found[0], &of(&slow, prompt, &seeds[0])), None, "the control of the controls");
    assert!(rollout_difference(&found[0], &of(&slow, prompt, &seeds[1])).is_some(), "another seed");
    assert!(rollout_difference(&found[0], &of(&slow, &prompt[1..], &seeds[0])).is_some(), "another position");
    let ulp = |n: &str, w: &mut Vec<f32>| {
        if n == "model.norm.weight" {
            w.iter_mut().for_each(|x| *x = f32::from_bits(x.to_bits() + 1));
        }
    };
    let other = reference_changed(&checkpoint, |_| {}, ulp);
    assert!(rollout_difference(&found[0], &of(&other, prompt, &seeds[0])).is_some(), "a norm moved by one ulp");
    let mut wrong: Model = small();
    assert_eq!(wrong.edit("model.layers.1.self_attn.v_proj.weight", |r, c, x| if r + c == 0 { 2.0 * x } else { x }), 1);
    let different = generate(&mut wrong.engine(options()), &request).remove(0);
    let different = different.into_iter().map(Result::unwrap).zip(&found);
    assert!(different.map(|(a, b)| rollout_difference(&a, b)).any(|d| d.is_some()), "one weight doubled");
}
