//! Whole models on the device: every bit of the CPU backend's.

use super::device;
use crate::checkpoint::synthetic::{self, Shape};
use crate::checkpoint::{Checkpoint, Dtype};
use crate::types::{
    Completion, GenerateRequest, Group, Rollout, Sampling, ScoreGroup, ScoreRequest, Seed, Stage, unobserved,
};
use crate::{DeviceChoice, Engine, EngineOptions};

pub(super) fn checkpoint(seed: u64, shape: &Shape) -> Checkpoint {
    let bytes = synthetic::safetensors_bytes(seed, shape).unwrap();
    let tokenizer = synthetic::tokenizer_json(shape.vocab);
    Checkpoint::from_bytes(&shape.config_json(), tokenizer, vec![bytes]).unwrap()
}

/// Two blocks of hidden channels, the second in part, and two query heads a kv head.
pub(super) fn small(head_dim: usize, tied: bool, dtype: Dtype) -> Shape {
    Shape {
        hidden: 144,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim,
        intermediate: 200,
        vocab: 300,
        tied,
        dtype,
        max_positions: 1024,
        rope_theta: 1e4,
    }
}

pub(super) fn options(device: DeviceChoice) -> EngineOptions {
    let memory_bytes = Some(256 << 20);
    EngineOptions { device, threads: Some(1), memory_bytes, max_batch: 6, step_rows: 70, ..EngineOptions::default() }
}

/// The same model on the CPU and, where there is a compiler for it, on the stand-in.
fn engines(checkpoint: &dyn Fn() -> Checkpoint) -> Option<[Engine; 2]> {
    device()?;
    let load = |choice| Engine::load(checkpoint(), options(choice)).unwrap();
    Some([load(DeviceChoice::Cpu), load(DeviceChoice::Cuda(vec![0]))])
}

fn tokens(count: usize, from: u32, vocab: usize) -> Vec<u32> {
    (0..count as u32).map(|i| (i * 7919 + from * 104_729) % vocab as u32).collect()
}

pub(super) fn projection(hidden: usize) -> Vec<i32> {
    (0..hidden as i32).map(|i| i.wrapping_mul(-1_640_531_527)).collect()
}

pub(super) fn groups(lengths: &[usize], sizes: &[usize], vocab: usize) -> Vec<Group> {
    let seed = |i: usize, j: usize| Seed(std::array::from_fn(|k| (31 * i + 7 * j + k) as u8));
    let one = |(i, (length, size)): (usize, (&usize, &usize))| Group {
        prompt: tokens(*length, i as u32, vocab),
        seeds: (0..*size).map(|j| seed(i, j)).collect(),
    };
    lengths.iter().zip(sizes).enumerate().map(one).collect()
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

pub(super) fn assert_same(found: &Rollout, expected: &Rollout, what: &str) {
    assert_eq!(found.tokens, expected.tokens, "tokens of {what}");
    assert_eq!(found.sketches, expected.sketches, "sketches of {what}");
    assert_eq!(bits(&found.hidden), bits(&expected.hidden), "hidden states of {what}");
    assert_eq!(bits(&found.raw_logprobs), bits(&expected.raw_logprobs), "raw log-probabilities of {what}");
    assert_eq!(bits(&found.sampling_logprobs), bits(&expected.sampling_logprobs), "log-probabilities of {what}");
    assert_eq!(found.stop, expected.stop, "end of {what}");
}

#[test]
fn a_gpu_generates_what_a_cpu_does() {
    for (shape, sampling) in [
        (small(32, true, Dtype::Bf16), Sampling { temperature: 1.3, top_k: 30, ..Sampling::default() }),
        (small(128, false, Dtype::F16), Sampling { temperature: 0.0, ..Sampling::default() }),
        (small(64, false, Dtype::F32), Sampling { temperature: 0.9, top_k: 0, top_p: 1.0, repetition_penalty: 1.2 }),
        (small(64, true, Dtype::Bf16), Sampling { temperature: 2.0, top_k: 0, top_p: 0.8, repetition_penalty: 1.0 }),
    ] {
        let Some([mut cpu, mut gpu]) = engines(&|| checkpoint(3, &shape)) else { return };
        let groups = groups(&[1, 130, 5, 128], &[2, 3, 1, 2], shape.vocab);
        let r = projection(shape.hidden);
        for projection in [&r[..], &[]] {
            let keep_hidden = !projection.is_empty();
            let eos_ids = &[9, 17, 33, 65, 129];
            let request =
                GenerateRequest { sampling, projection, keep_hidden, ..GenerateRequest::new(&groups, 6, eos_ids) };
            let expected = cpu.generate(&request, &mut unobserved).unwrap();
            let found = gpu.generate(&request, &mut unobserved).unwrap();
            assert_eq!(gpu.cache_in_use(), (0, 0));
            for (i, (found, expected)) in found.iter().flatten().zip(expected.iter().flatten()).enumerate() {
                let what = format!("rollout {i}, head_dim {}, {sampling:?}", shape.head_dim);
                assert_same(found.as_ref().unwrap(), expected.as_ref().unwrap(), &what);
            }
            assert_eq!(found.iter().flatten().count(), 8);
        }
    }
}

#[test]
fn each_scores_what_the_other_generated() {
    let shape = small(32, true, Dtype::Bf16);
    let Some([mut cpu, mut gpu]) = engines(&|| checkpoint(5, &shape)) else { return };
    let groups = groups(&[140, 3, 127], &[4, 2, 2], shape.vocab);
    let r = projection(shape.hidden);
    let sampling = Sampling { temperature: 1.5, ..Sampling::default() };
    let request = GenerateRequest { sampling, projection: &r, ..GenerateRequest::new(&groups, 9, &[11, 12, 13]) };
    for gpu_mines in [true, false] {
        let (miner, verifier) = if gpu_mines { (&mut gpu, &mut cpu) } else { (&mut cpu, &mut gpu) };
        let mined = miner.generate(&request, &mut unobserved).unwrap();
        let claim = |(group, rollouts): (&Group, &Vec<std::result::Result<Rollout, _>>)| ScoreGroup {
            prompt: group.prompt.clone(),
            completions: rollouts
                .iter()
                .zip(&group.seeds)
                .map(|(r, seed)| Completion { tokens: r.as_ref().unwrap().completion().to_vec(), seed: *seed })
                .collect(),
        };
        let claims: Vec<ScoreGroup> = groups.iter().zip(&mined).map(claim).collect();
        let scores =
            verifier.score(&ScoreRequest { groups: &claims, sampling, projection: &r }, &mut unobserved).unwrap();
        assert_eq!(verifier.cache_in_use(), (0, 0));
        let mut seen = 0;
        for (rollout, score) in mined.iter().flatten().zip(scores.iter().flatten()) {
            let (rollout, score) = (rollout.as_ref().unwrap(), score.as_ref().unwrap());
            assert_eq!(score.honest, rollout.completion());
            assert_eq!(score.sketches, rollout.sketches);
            assert_eq!(bits(&score.raw_logprobs), bits(&rollout.raw_logprobs));
            assert_eq!(bits(&score.sampling_logprobs), bits(&rollout.sampling_logprobs));
            seen += rollout.completion().len();
        }
        assert!(seen > 30, "{seen} tokens are too few to say much");
    }
}

/// Where the device's stages first part from the CPU's, were they to.
#[test]
fn every_stage_of_every_layer_is_the_cpus() {
    for (shape, length) in [
        (small(16, true, Dtype::Bf16), 20),
        (small(128, true, Dtype::Bf16), 1),
        (small(256, false, Dtype::F32), 9),
        (small(80, true, Dtype::Bf16), 131),
    ] {
        let Some(mut engines) = engines(&|| checkpoint(8, &shape)) else { return };
        let (ids, r) = (tokens(length, 1, shape.vocab), projection(shape.hidden));
        let traces = engines.each_mut().map(|engine| {
            let (mut stages, mut rows) = (Vec::new(), Vec::new());
            let mut probe = |layer: i64, stage: Stage, position: usize, x: &[f32]| {
                stages.push((layer, stage, position, bits(x)));
            };
            engine
                .trace(&ids, &r, Some(&mut probe), &mut |row| {
                    rows.push((row.position, row.sketch, bits(row.hidden), bits(row.logits), row.next_raw_logprob));
                })
                .unwrap();
            stages.sort();
            (stages, rows)
        });
        let [cpu, gpu] = traces;
        assert_eq!(cpu.0.len(), gpu.0.len());
        for (a, b) in cpu.0.iter().zip(&gpu.0) {
            assert_eq!((a.0, a.1, a.2), (b.0, b.1, b.2));
            let first = a.3.iter().zip(&b.3).position(|(a, b)| a != b);
            assert!(
                a.3.len() == b.3.len() && first.is_none(),
                "head_dim {}: {:?} from {first:?}",
                shape.head_dim,
                (a.0, a.1, a.2)
            );
        }
        assert_eq!(cpu.1, gpu.1, "head_dim {}", shape.head_dim);
        assert_eq!(cpu.1.len(), length);
    }
}

#[test]
fn weights_are_quantized_as_the_cpu_quantizes_them() {
    let shape = small(32, false, Dtype::F16);
    let Some(engines) = engines(&|| checkpoint(2, &shape)) else { return };
    for name in ["model.layers.1.self_attn.k_proj.weight", "model.layers.0.mlp.up_proj.weight", "lm_head.weight"] {
        let [cpu, gpu] = engines.each_ref().map(|engine| {
            let mut rows = Vec::new();
            engine.quantized_rows(name, |q, g| rows.push((q.to_vec(), g.to_vec()))).unwrap();
            rows
        });
        assert!(!cpu.is_empty() && cpu == gpu, "{name}");
    }
    let norm = engines[1].quantized_rows("model.norm.weight", |_, _| {});
    assert!(norm.unwrap_err().to_string().contains("is not read by a matrix product"));
}

#[test]
fn two_gpus_give_what_one_does() {
    let shape = small(32, true, Dtype::Bf16);
    let Some([mut cpu, _]) = engines(&|| checkpoint(6, &shape)) else { return };
    let mut gpus = Engine::load(checkpoint(6, &shape), options(DeviceChoice::Cuda(vec![0, 1]))).unwrap();
    assert!(gpus.device().contains("cuda:0") && gpus.device().contains("cuda:1"), "{}", gpus.device());
    let groups = groups(&[20, 3, 40, 9, 1], &[2, 3, 1, 2, 4], shape.vocab);
    let r = projection(shape.hidden);
    let request = GenerateRequest { projection: &r, ..GenerateRequest::new(&groups, 5, &[9, 17]) };
    let expected = cpu.generate(&request, &mut unobserved).unwrap();
    let (mut finished, mut last) = (0, None);
    let found = gpus
        .generate(&request, &mut |event| {
            match event {
                crate::types::Event::Finished { group, rollout, result } => {
                    assert_eq!(result.unwrap().tokens, expected[group][rollout].as_ref().unwrap().tokens);
                    finished += 1;
                }
                crate::types::Event::Step(progress) => last = Some(progress),
                _ => {}
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert_same(found.as_ref().unwrap(), expected.as_ref().unwrap(), "a rollout of two GPUs");
    }
    assert_eq!((finished, gpus.cache_in_use()), (12, (0, 0)));
    let last = last.unwrap();
    assert_eq!((last.finished, last.total), (12, 12));
}

/// In a process of its own: a device that has failed stays so, and every test asks what devices there are.
#[test]
#[ignore = "run by one_gpu_of_two_that_fails_ends_the_call"]
fn one_of_two_gpus_fails() {
    let shape = small(32, true, Dtype::Bf16);
    let Some(_) = device() else { return };
    let mut gpus = Engine::load(checkpoint(6, &shape), options(DeviceChoice::Cuda(vec![0, 1]))).unwrap();
    let groups = groups(&[20, 3, 40, 9, 1], &[2, 3, 1, 2, 4], shape.vocab);
    let request = GenerateRequest::new(&groups, 5, &[9, 17]);
    gpus.generate(&request, &mut unobserved).unwrap();
    grail_standin::set(1, grail_standin::Setting::Fault("launch:40:719")).unwrap();
    let error = gpus.generate(&request, &mut unobserved).unwrap_err().to_string();
    assert!(error.contains("cuda:1") && error.contains("CUDA_ERROR_LAUNCH_FAILED"), "{error}");
    assert_eq!(gpus.cache_in_use(), (0, 0));
    // The other one can still be used, also by who looks for any.
    assert!(crate::cuda::usable(1).is_err() && crate::cuda::first_usable().unwrap().ordinal == 0);
    let mut first = Engine::load(checkpoint(6, &shape), options(DeviceChoice::Cuda(vec![0]))).unwrap();
    first.generate(&request, &mut unobserved).unwrap();
}

#[test]
fn one_gpu_of_two_that_fails_ends_the_call() {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--include-ignored", "cuda::tests::model::one_of_two_gpus_fails"]);
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

/// In a process of its own, whose devices have as little shared memory as sm_86 and sm_89.
#[test]
#[ignore = "run by heads_too_wide_for_a_device_are_refused_by_name"]
fn wide_heads_on_a_small_device() {
    if device().is_none() {
        return;
    }
    let load = |head_dim| {
        let shape = small(head_dim, true, Dtype::Bf16);
        Engine::load(checkpoint(1, &shape), options(DeviceChoice::Cuda(vec![0]))).map(drop)
    };
    load(160).unwrap();
    for head_dim in [176, 256] {
        let error = load(head_dim).unwrap_err();
        let crate::Error::Config { field, problem } = &error else { panic!("{error}") };
        assert_eq!(field, "head_dim");
        assert!(problem.contains(&format!("{head_dim} takes")) && problem.contains("has 101376"), "{problem}");
    }
}

#[test]
fn heads_too_wide_for_a_device_are_refused_by_name() {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--include-ignored", "cuda::tests::model::wide_heads_on_a_small_device"]);
    let output = command.env("STANDIN_CAPABILITY", "8.6").output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

/// The order of threads, the moment of asynchronous copies and of all queued work are nobody's promise.
#[test]
fn no_schedule_moves_a_bit() {
    if device().is_none() {
        return;
    }
    for variables in [
        &[("STANDIN_MODE", "deferred")][..],
        &[("STANDIN_ORDER", "random"), ("STANDIN_COPIES", "coin"), ("STANDIN_SEED", "11")],
        &[("STANDIN_ORDER", "descending"), ("STANDIN_COPIES", "eager"), ("STANDIN_MODE", "deferred")],
    ] {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "cuda::tests::model::each_scores_what_the_other_generated"]);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{variables:?}: {told}");
    }
}

/// The bytes of a bf16 checkpoint in which each element of some rows of a tensor is `value`.
fn edited(shape: &Shape, edits: &[(&str, std::ops::Range<usize>, f32)]) -> Checkpoint {
    let mut bytes = synthetic::safetensors_bytes(4, shape).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    for (name, rows, value) in edits {
        let info = &header[*name];
        let columns = info["shape"].as_array().unwrap().last().unwrap().as_u64().unwrap() as usize;
        let start = 8 + length + info["data_offsets"][0].as_u64().unwrap() as usize;
        for pair in bytes[start + 2 * rows.start * columns..start + 2 * rows.end * columns].chunks_exact_mut(2) {
            pair.copy_from_slice(&half::bf16::from_f32(*value).to_le_bytes());
        }
    }
    Checkpoint::from_bytes(&shape.config_json(), synthetic::tokenizer_json(shape.vocab), vec![bytes]).unwrap()
}

#[test]
fn faults_are_the_cpus_and_leave_batch_mates_alone() {
    let shape = small(32, false, Dtype::Bf16);
    for edits in [
        // A sum of squares overflows after the MLP of the first layer, for tokens whose activations are large enough.
        &[("model.layers.0.mlp.down_proj.weight", 3..90, 1e18), ("model.layers.0.mlp.up_proj.weight", 0..200, 1.0)][..],
        // Hidden values that no sketch takes.
        &[("model.norm.weight", 0..1, 3e7)],
        // Logits beyond 2^20.
        &[("lm_head.weight", 5..6, 1e17)],
        &[("model.layers.1.self_attn.q_norm.weight", 0..1, 1e17)],
    ] {
        let Some([mut cpu, mut gpu]) = engines(&|| edited(&shape, edits)) else { return };
        let mut groups = groups(&[12, 30, 1, 4], &[2, 1, 2, 2], shape.vocab);
        groups[1].prompt[20] = 8;
        groups[3].prompt[3] = 7;
        let r = projection(shape.hidden);
        for projection in [&r[..], &[]] {
            let sampling = Sampling { temperature: 3.0, top_k: 0, top_p: 1.0, repetition_penalty: 1.0 };
            let request = GenerateRequest { sampling, projection, ..GenerateRequest::new(&groups, 8, &[]) };
            let expected = cpu.generate(&request, &mut unobserved).unwrap();
            let found = gpu.generate(&request, &mut unobserved).unwrap();
            let faults = expected.iter().flatten().filter(|r| r.is_err()).count();
            assert!(faults > 0 || projection.is_empty(), "{edits:?} make no fault");
            for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                match (found, expected) {
                    (Ok(found), Ok(expected)) => assert_same(found, expected, &format!("{edits:?}")),
                    (found, expected) => {
                        assert_eq!(
                            found.as_ref().err(),
                            expected.as_ref().err(),
                            "{edits:?}, {} projected",
                            projection.len()
                        )
                    }
                }
            }
        }
    }
}
