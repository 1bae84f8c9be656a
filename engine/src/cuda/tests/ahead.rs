//! Steps that are queued together and waited for once: every bit of the CPU's, which goes step by step.

use std::sync::atomic::Ordering::Relaxed;

use super::device;
use super::model::{assert_same, checkpoint, groups, options, projection, small};
use crate::checkpoint::Dtype;
use crate::checkpoint::synthetic::Shape;
use crate::cuda::context::WAITS;
use crate::cuda::model::ahead::planted;
use crate::types::{GenerateRequest, Group, Rollout, Sampling, Stop, unobserved};
use crate::{DeviceChoice, Engine, EngineOptions};

/// A tenth of the vocabulary, so that some sequences end early and some do not.
const ENDS: &[u32] = &{
    let mut ids = [0; 30];
    let mut i = 0;
    while i < ids.len() {
        ids[i] = 10 * i as u32 + 3;
        i += 1;
    }
    ids
};

/// A request of two rollouts each on prompts around a page's end, which go on for 21 tokens or to one of some ids.
fn request<'a>(groups: &'a [Group], sampling: Sampling, projection: &'a [i32]) -> GenerateRequest<'a> {
    GenerateRequest { sampling, projection, ..GenerateRequest::new(groups, 21, ENDS) }
}

fn generate(engine: &mut Engine, request: &GenerateRequest<'_>) -> Vec<Rollout> {
    let made = engine.generate(request, &mut unobserved).unwrap();
    assert_eq!(engine.cache_in_use(), (0, 0));
    made.into_iter().flatten().map(Result::unwrap).collect()
}

fn cpu(shape: &Shape) -> Engine {
    Engine::load(checkpoint(3, shape), options(DeviceChoice::Cpu)).unwrap()
}

fn gpu(shape: &Shape, steps: usize, max_batch: usize) -> Engine {
    let options = EngineOptions { steps_ahead: Some(steps), max_batch, ..options(DeviceChoice::Cuda(vec![0])) };
    Engine::load(checkpoint(3, shape), options).unwrap()
}

/// Waits while `f` runs; of this thread's engines alone where nothing else runs in the process.
fn waits<T>(f: impl FnOnce() -> T) -> (T, u64) {
    let before = WAITS.load(Relaxed);
    let made = f();
    (made, WAITS.load(Relaxed) - before)
}

fn samplings() -> [Sampling; 4] {
    [
        Sampling { temperature: 1.3, top_k: 30, ..Sampling::default() },
        Sampling { temperature: 0.0, ..Sampling::default() },
        Sampling { temperature: 0.9, top_k: 0, top_p: 1.0, repetition_penalty: 1.2 },
        Sampling { temperature: 2.0, top_k: 0, top_p: 0.8, repetition_penalty: 1.1 },
    ]
}

/// Small, for many launches on the stand-in; of everything more than one but the blocks.
fn tiny() -> Shape {
    Shape { hidden: 48, heads: 2, intermediate: 40, ..small(32, true, Dtype::Bf16) }
}

/// Engines of so many steps and slots against the CPU.
fn compare(samplings: &[Sampling], limits: &[(usize, usize)]) {
    let shape = tiny();
    let (groups, r) = (groups(&[1, 120, 5, 126], &[2, 2, 1, 2], shape.vocab), projection(shape.hidden));
    let mut cpu = cpu(&shape);
    let mut gpus: Vec<Engine> = limits.iter().map(|(steps, max_batch)| gpu(&shape, *steps, *max_batch)).collect();
    let (mut eos, mut length) = (0, 0);
    for (i, sampling) in samplings.iter().enumerate() {
        let request = request(&groups, *sampling, if i == 1 { &[] } else { &r });
        let request = GenerateRequest { logprobs: i != 2, ..request };
        let expected = generate(&mut cpu, &request);
        let amid = |stop, steps| expected.iter().filter(|r| r.stop == stop && r.completion().len() % steps > 1).count();
        eos += amid(Stop::Eos, 5);
        length += amid(Stop::Length, 16);
        for (gpu, (steps, max_batch)) in gpus.iter_mut().zip(limits) {
            let found = generate(gpu, &request);
            assert_eq!(found.len(), 7);
            for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert_same(found, expected, &format!("rollout {i}, {steps} steps, {max_batch} slots, {sampling:?}"));
            }
        }
    }
    assert!(eos >= samplings.len() && length >= samplings.len(), "{eos} and {length} sequences ended amid steps");
}

#[test]
fn any_number_of_steps_at_once_gives_the_cpus_bits() {
    if device().is_some() {
        compare(&samplings(), &[(1, 7), (2, 7), (5, 7), (16, 3), (16, 7)]);
    }
}

/// More rows than the head takes at a time, and an engine that goes on to another request.
#[test]
fn steps_of_several_turns_of_the_head_are_the_cpus() {
    if device().is_none() {
        return;
    }
    let shape =
        Shape { hidden: 32, layers: 1, heads: 2, kv_heads: 1, intermediate: 40, ..small(16, true, Dtype::Bf16) };
    let mut cpu = cpu(&shape);
    let mut gpu = gpu(&shape, 4, 67);
    let r = projection(shape.hidden);
    for (sizes, sampling, eos_ids) in
        [([60, 7], samplings()[0], &[9, 17][..]), ([3, 64], samplings()[2], &[30, 200, 7])]
    {
        let groups = groups(&[125, 2], &sizes, shape.vocab);
        let request = GenerateRequest { sampling, projection: &r, ..GenerateRequest::new(&groups, 7, eos_ids) };
        for (found, expected) in generate(&mut gpu, &request).iter().zip(&generate(&mut cpu, &request)) {
            assert_same(found, expected, "a rollout of 67");
        }
    }
}

/// Each change is one that a wrong backend could make; results, or the backend itself, must show it.
#[test]
fn steps_that_do_not_follow_each_other_are_noticed() {
    if device().is_none() {
        return;
    }
    let shape = tiny();
    let (groups, r) = (groups(&[1, 120, 126], &[2, 2, 2], shape.vocab), projection(shape.hidden));
    let one = request(&groups, samplings()[0], &r);
    let mut whole = gpu(&shape, 16, 6);
    let expected = generate(&mut whole, &one);
    let with = |fault: &'static std::thread::LocalKey<std::cell::Cell<bool>>, steps| {
        let mut gpu = gpu(&shape, steps, 6);
        fault.set(true);
        let made = gpu.generate(&one, &mut unobserved);
        fault.set(false);
        made
    };
    for fault in [&planted::HOST_TOKENS, &planted::FIRST_CHUNKS] {
        let found = with(fault, 16).unwrap();
        let found = found.iter().flatten().zip(&expected).filter(|(f, e)| f.as_ref().unwrap().tokens != e.tokens);
        assert!(found.count() > 0, "the steps read what they should not, and nobody sees it");
        let alone = with(fault, 1).unwrap();
        assert!(alone.iter().flatten().zip(&expected).all(|(f, e)| f.as_ref().unwrap().tokens == e.tokens));
    }
    let error = with(&planted::NO_ENDS, 16).unwrap_err().to_string();
    assert!(error.contains("where its tokens say"), "{error}");
    assert_eq!(generate(&mut whole, &one), expected, "what was planted is gone");
}

/// In a process of its own, which counts how often it waits for a device.
#[test]
#[ignore = "run by steps_at_once_wait_for_the_device_once"]
fn waits_of_steps() {
    if device().is_none() {
        return;
    }
    let shape = tiny();
    let (groups, r) = (groups(&[20, 3], &[2, 3], shape.vocab), projection(shape.hidden));
    let sampling = Sampling { temperature: 1.5, ..Sampling::default() };
    for (steps, per_30) in [(Some(1), 30), (Some(5), 6), (Some(10), 3), (Some(30), 1)] {
        let options = EngineOptions { steps_ahead: steps, ..options(DeviceChoice::Cuda(vec![0])) };
        let mut gpu = Engine::load(checkpoint(6, &shape), options).unwrap();
        let mut of = |tokens: usize| {
            let request = GenerateRequest { sampling, projection: &r, ..GenerateRequest::new(&groups, tokens, &[]) };
            let (made, waits) = waits(|| generate(&mut gpu, &request));
            assert!(made.iter().all(|r| r.completion().len() == tokens));
            waits
        };
        of(3);
        let (few, more) = (of(31), of(61));
        assert_eq!(more - few, per_30, "{steps:?} steps: {few} waits for 31 tokens, {more} for 61");
    }
    // Without a word, sixteen.
    let mut gpu = Engine::load(checkpoint(6, &shape), options(DeviceChoice::Cuda(vec![0]))).unwrap();
    let mut of = |tokens| {
        let request = GenerateRequest { sampling, projection: &r, ..GenerateRequest::new(&groups, tokens, &[]) };
        waits(|| generate(&mut gpu, &request)).1
    };
    assert_eq!(of(17 + 64) - of(17), 4);
    // Hidden states, where they are kept, are of one step, and all of it together.
    let mut of = |tokens| {
        let request = GenerateRequest { sampling, keep_hidden: true, ..GenerateRequest::new(&groups, tokens, &[]) };
        waits(|| generate(&mut gpu, &request)).1
    };
    assert_eq!(of(25) - of(5), 2 * 20);
}

#[test]
fn steps_at_once_wait_for_the_device_once() {
    alone("waits_of_steps", &[]);
}

/// In a process of its own: a device that has failed stays so.
#[test]
#[ignore = "run by a_gpu_that_fails_amid_steps_fails_what_is_in_flight"]
fn a_gpu_fails_amid_steps() {
    if device().is_none() {
        return;
    }
    let shape = tiny();
    let (groups, r) = (groups(&[20, 3], &[2, 3], shape.vocab), projection(shape.hidden));
    let one = GenerateRequest { eos_ids: &[], ..request(&groups, samplings()[0], &r) };
    let mut gpu = gpu(&shape, 16, 6);
    let mut rest = Engine::load(checkpoint(3, &shape), options(DeviceChoice::Cuda(vec![1]))).unwrap();
    let expected = generate(&mut rest, &one);
    assert_eq!(generate(&mut gpu, &one), expected);
    let (mut tokens, mut before) = (0, 0);
    // A step is some 30 launches: the fault is in the third or fourth of those that are queued together.
    let error = gpu
        .generate(&one, &mut |event| {
            match event {
                crate::types::Event::Token { .. } => tokens += 1,
                crate::types::Event::Step(_) if before == 0 => {
                    before = tokens;
                    grail_standin::set(0, grail_standin::Setting::Fault("launch:100:719")).unwrap();
                }
                _ => {}
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap_err()
        .to_string();
    assert!(error.contains("cuda:0") && error.contains("CUDA_ERROR_LAUNCH_FAILED"), "{error}");
    assert_eq!((tokens, gpu.cache_in_use()), (before, (0, 0)), "nobody heard of a token of those steps");
    assert_eq!(generate(&mut rest, &one), expected, "the other device");
}

#[test]
fn a_gpu_that_fails_amid_steps_fails_what_is_in_flight() {
    alone("a_gpu_fails_amid_steps", &[]);
    alone("a_gpu_fails_amid_steps", &[("STANDIN_MODE", "deferred")]);
}

#[test]
#[ignore = "run by no_schedule_moves_a_bit_of_steps_at_once"]
fn steps_at_once_under_a_schedule() {
    if device().is_some() {
        compare(&samplings()[..2], &[(5, 7)]);
    }
}

/// The order of threads, the moment of asynchronous copies and of all queued work are nobody's promise.
#[test]
fn no_schedule_moves_a_bit_of_steps_at_once() {
    for variables in [
        &[("STANDIN_MODE", "deferred")][..],
        &[("STANDIN_ORDER", "random"), ("STANDIN_COPIES", "coin"), ("STANDIN_SEED", "5"), ("STANDIN_MODE", "deferred")],
        &[("STANDIN_ORDER", "descending"), ("STANDIN_COPIES", "eager")],
    ] {
        alone("steps_at_once_under_a_schedule", variables);
    }
}

/// Runs a test in a process of its own.
fn alone(test: &str, variables: &[(&str, &str)]) {
    if device().is_none() {
        return;
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--include-ignored", &format!("cuda::tests::ahead::{test}")]);
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let (told, more) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.contains("1 passed"), "{variables:?}: {told}{more}");
}
