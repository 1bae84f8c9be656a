//! exact/model-*.json: weights, forward passes and generations, by the scalar reference and by the engine.

use std::path::Path;

use grail_engine::checkpoint::Checkpoint;
use grail_engine::numerics::{ReferenceModel, Shape, attention_scale, quantize_l, sketch};
use grail_engine::types::{GenerateRequest, Group, Sampling, Seed, Stop, unobserved};
use grail_engine::{Engine, EngineOptions};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::exact_ops::{params, seed};
use super::generated::*;

/// r of PROTOCOL 3.1 from randomness in hex.
pub fn r_vector(randomness: &str, hidden: usize) -> Outcome<Vec<i32>> {
    let bytes = hex::decode(randomness).map_err(|e| format!("randomness: {e}"))?;
    grail_protocol::randomness::random_vector(&bytes, hidden).map_err(|e| e.to_string())
}

/// The checkpoint a file is about: in the folder of vectors, or the one that ships with the program.
pub fn checkpoint(folder: &Path, file: &Value) -> Outcome<Checkpoint> {
    let name = text(file, "model")?;
    let (checkpoint, weights) = match name {
        "sat-tiny" => {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/sat-tiny/model.safetensors");
            (Checkpoint::sat_tiny(), std::path::PathBuf::from(path))
        }
        _ => {
            let path = folder.join("tiny-qwen3").join(name);
            (Checkpoint::open(&path), path.join("model.safetensors"))
        }
    };
    let bytes = std::fs::read(&weights).map_err(|e| format!("{}: {e}", weights.display()))?;
    same("model.safetensors", hex::encode(Sha256::digest(bytes)), text(file, "model_safetensors_sha256")?.into())?;
    checkpoint.map_err(|e| e.to_string())
}

fn shape_of(checkpoint: &Checkpoint) -> Shape {
    let c = checkpoint.config();
    Shape {
        hidden: c.hidden_size,
        layers: c.num_hidden_layers,
        heads: c.num_attention_heads,
        kv_heads: c.num_key_value_heads,
        head_dim: c.head_dim,
        intermediate: c.intermediate_size,
        vocab: c.vocab_size,
        tied: c.tie_word_embeddings,
        rope_theta: c.rope_theta,
        rms_norm_eps: c.rms_norm_eps,
    }
}

/// The scalar reference of a checkpoint.
pub fn reference(checkpoint: &Checkpoint) -> Outcome<ReferenceModel> {
    let tensor = |name: &str| checkpoint.tensor(name).map(|t| t.to_f32_vec()).unwrap_or_default();
    ReferenceModel::new(shape_of(checkpoint), tensor).map_err(|(name, kind)| format!("{name}: {kind}"))
}

/// What a pass over a sequence gives, whoever made it.
#[derive(Default)]
struct Pass {
    hidden: Vec<Vec<f32>>,
    logits: Vec<Vec<f32>>,
    sketches: Vec<u32>,
    next: Vec<f32>,
    /// (position, layer, stage) and values, for the positions a trace covers.
    stages: Vec<(usize, i64, &'static str, Vec<f32>)>,
}

struct Generation {
    tokens: Vec<u32>,
    raw: Vec<f32>,
    sampling: Vec<f32>,
    sketches: Vec<u32>,
    hidden: Vec<f32>,
    eos: bool,
}

fn check_sequence(case: &Value, pass: &Pass) -> Outcome<usize> {
    let digests = |rows: &[Vec<f32>]| rows.iter().map(|r| sha256_f32(r)).collect::<Vec<_>>();
    let texts = |name| -> Outcome<Vec<String>> {
        list(case, name)?.iter().map(|v| v.as_str().map(str::to_owned).ok_or(format!("{name}: not a text"))).collect()
    };
    if let Some(bits_of) = field(case, "hidden_bits")?.as_object() {
        for (position, expected) in bits_of {
            let at: usize = position.parse().map_err(|e| format!("hidden_bits: {e}"))?;
            same(&format!("hidden_bits[{at}]"), to_bits(&pass.hidden[at]), expected.as_str().unwrap_or("").into())?;
        }
    }
    same("hidden_sha256", digests(&pass.hidden), texts("hidden_sha256")?)?;
    same("logits_sha256", digests(&pass.logits), texts("logits_sha256")?)?;
    let first2: Vec<String> = pass.logits.iter().map(|l| to_bits(&l[..2])).collect();
    same("logits_first2", first2, texts("logits_first2")?)?;
    let greatest = |l: &Vec<f32>| (0..l.len()).reduce(|a, b| if l[b] > l[a] { b } else { a }).unwrap_or(0);
    same("argmax", pass.logits.iter().map(greatest).collect(), ints::<usize>(case, "argmax")?)?;
    let next: Vec<String> = pass.next.iter().map(|&x| to_bits(&[x])).collect();
    same("next_token_raw_logprob", next, texts("next_token_raw_logprob")?)?;
    same("sketches", pass.sketches.clone(), ints::<u32>(case, "sketches")?)?;
    check_trace(case, pass)
}

/// Digests of the stages; how many were compared.
fn check_trace(case: &Value, pass: &Pass) -> Outcome<usize> {
    let Some(trace) = case.get("trace").and_then(Value::as_array) else { return Ok(0) };
    let mut compared = 0;
    for entry in trace {
        let (position, layer, stage) = (size(entry, "pos")?, int(entry, "layer")?, text(entry, "stage")?);
        let Some((.., x)) = pass.stages.iter().find(|s| (s.0, s.1, s.2) == (position, layer, stage)) else { continue };
        let what = format!("position {position}, layer {layer}, {stage}");
        let first = bits(text(entry, "first")?)?;
        same(&what, to_bits(&x[..first.len()]), to_bits(&first))?;
        same(&what, sha256_f32(x), text(entry, "sha256")?.into())?;
        compared += 1;
    }
    Ok(compared)
}

fn check_generation(case: &Value, g: &Generation) -> Outcome {
    same("generated", g.tokens.clone(), ints::<u32>(case, "generated")?)?;
    same("stop", if g.eos { "eos" } else { "length" }, text(case, "stop")?)?;
    for (name, found) in [("raw_logprob", &g.raw), ("sampling_logprob", &g.sampling)] {
        let found: Vec<String> = found.iter().map(|&x| to_bits(&[x])).collect();
        let expected: Vec<String> = list(case, name)?.iter().map(|v| v.as_str().unwrap_or("").to_owned()).collect();
        same(name, found, expected)?;
    }
    same("sketches", g.sketches.clone(), ints::<u32>(case, "sketches")?)?;
    same("hidden_sha256_all", sha256_f32(&g.hidden), text(case, "hidden_sha256_all")?.into())
}

fn named<T>(what: &str, case: &Value, result: Outcome<T>) -> Outcome<T> {
    result.map_err(|e| format!("{what} {}: {e}", case.get("name").and_then(Value::as_str).unwrap_or("?")))
}

/// A file against the scalar reference.
pub fn by_reference(folder: &Path, file: &Value) -> Outcome<usize> {
    let checkpoint = checkpoint(folder, file)?;
    let model = reference(&checkpoint)?;
    let shape = field(file, "shape")?;
    let s = model.shape();
    let sizes = [("hidden", s.hidden), ("layers", s.layers), ("heads", s.heads), ("kv_heads", s.kv_heads)];
    for (name, found) in sizes.into_iter().chain([("head_dim", s.head_dim), ("vocab", s.vocab)]) {
        same(name, found, size(shape, name)?)?;
    }
    same("scale", to_bits(&[attention_scale(s.head_dim)]), text(shape, "attention_scale_bits")?.into())?;
    same("eps", to_bits(&[s.rms_norm_eps as f32]), text(shape, "eps_bits")?.into())?;
    let mut cases = 0;
    for case in list(file, "weights")? {
        let view = checkpoint.tensor(text(case, "name")?).map_err(|e| e.to_string())?;
        let rows: Vec<_> = view.to_f32_vec().chunks(view.columns()).map(|r| quantize_l(r).unwrap()).collect();
        let q = rows.iter().flat_map(|r| &r.q).flat_map(|q| q.to_le_bytes());
        let g = rows.iter().flat_map(|r| &r.g).map(|&g| g as i8 as u8);
        named("weights", case, same("q", sha256(q), text(case, "q_sha256_i16le")?.into()))?;
        named("weights", case, same("g", sha256(g), text(case, "g_sha256_i8")?.into()))?;
        cases += 1;
    }
    for case in list(file, "sequences")? {
        named("sequence", case, reference_sequence(&model, case))?;
        cases += 1;
    }
    for case in list(file, "generations")? {
        named("generation", case, reference_generation(&model, case))?;
        cases += 1;
    }
    Ok(cases)
}

fn reference_pass(model: &ReferenceModel, tokens: &[u32], randomness: &str) -> Outcome<Pass> {
    let r = r_vector(randomness, model.shape().hidden)?;
    let mut pass = Pass::default();
    let stages = &mut pass.stages;
    let rows = model
        .forward(tokens, &mut |layer, stage, position, x| {
            if position < 4 {
                stages.push((position, layer, stage.name(), x.to_vec()));
            }
        })
        .map_err(|e| e.to_string())?;
    for (t, row) in rows.into_iter().enumerate() {
        pass.sketches.push(sketch(&row.hidden, &r).map_err(|e| e.to_string())?);
        if let Some(&next) = tokens.get(t + 1) {
            let sum = grail_engine::numerics::log_sum(&row.logits, grail_engine::numerics::scale_of_temperature(1.0));
            pass.next.push(sum.map_err(|e| e.to_string())?.logprob(row.logits[next as usize]));
        }
        pass.hidden.push(row.hidden);
        pass.logits.push(row.logits);
    }
    Ok(pass)
}

fn reference_sequence(model: &ReferenceModel, case: &Value) -> Outcome {
    let pass = reference_pass(model, &ints::<u32>(case, "tokens")?, text(case, "randomness")?)?;
    let compared = check_sequence(case, &pass)?;
    same("stages", compared, case.get("trace").and_then(Value::as_array).map_or(0, Vec::len))
}

fn reference_generation(model: &ReferenceModel, case: &Value) -> Outcome {
    let prompt: Vec<u32> = ints(case, "prompt")?;
    let (eos, max_new): (Vec<u32>, usize) = (ints(case, "eos")?, size(case, "max_new_tokens")?);
    let new = model.generate(&prompt, &params(case)?, &seed(case)?, &eos, max_new).map_err(|e| e.to_string())?;
    let tokens: Vec<u32> = new.iter().map(|n| n.0).collect();
    let pass = reference_pass(model, &[prompt, tokens.clone()].concat(), text(case, "randomness")?)?;
    let eos = tokens.last().is_some_and(|t| eos.contains(t));
    let (raw, sampling) = (new.iter().map(|n| n.1).collect(), new.iter().map(|n| n.2).collect());
    let hidden = pass.hidden.concat();
    check_generation(case, &Generation { tokens, raw, sampling, sketches: pass.sketches, hidden, eos })
}

/// A file against the engine with these options; the generations run together.
pub fn by_engine(folder: &Path, file: &Value, options: EngineOptions) -> Outcome<usize> {
    let mut engine = Engine::load(checkpoint(folder, file)?, options).map_err(|e| e.to_string())?;
    let mut cases = 0;
    for case in list(file, "weights")? {
        let (mut q_all, mut g_all) = (Vec::new(), Vec::new());
        let row = |q: &[i16], g: &[i8]| {
            q_all.extend(q.iter().flat_map(|q| q.to_le_bytes()));
            g_all.extend(g.iter().map(|&g| g as u8));
        };
        engine.quantized_rows(text(case, "name")?, row).map_err(|e| e.to_string())?;
        named("weights", case, same("q", sha256(q_all.into_iter()), text(case, "q_sha256_i16le")?.into()))?;
        named("weights", case, same("g", sha256(g_all.into_iter()), text(case, "g_sha256_i8")?.into()))?;
        cases += 1;
    }
    for case in list(file, "sequences")? {
        let compared = named("sequence", case, engine_sequence(&mut engine, case))?;
        let expected = case.get("trace").and_then(Value::as_array).map_or(0, Vec::len);
        named("sequence", case, same("stages", compared, expected))?;
        cases += 1;
    }
    Ok(cases + engine_generations(&mut engine, list(file, "generations")?)?)
}

fn engine_sequence(engine: &mut Engine, case: &Value) -> Outcome<usize> {
    let r = r_vector(text(case, "randomness")?, engine.config().hidden_size)?;
    let mut pass = Pass::default();
    let stages = &mut pass.stages;
    let mut probe = |layer: i64, stage: grail_engine::types::Stage, position: usize, x: &[f32]| {
        if position < 4 {
            stages.push((position, layer, stage.name(), x.to_vec()));
        }
    };
    let (hidden, logits, sketches, next) = (&mut pass.hidden, &mut pass.logits, &mut pass.sketches, &mut pass.next);
    engine
        .trace(&ints::<u32>(case, "tokens")?, &r, Some(&mut probe), &mut |row| {
            hidden.push(row.hidden.to_vec());
            logits.push(row.logits.to_vec());
            sketches.extend(row.sketch);
            next.extend(row.next_raw_logprob);
        })
        .map_err(|e| e.to_string())?;
    check_sequence(case, &pass)
}

/// Cases that ask for the same things share a call, and so a batch.
fn engine_generations(engine: &mut Engine, cases: &[Value]) -> Outcome<usize> {
    type Terms = (Sampling, String, Vec<u32>, usize);
    let terms = |case: &Value| -> Outcome<Terms> {
        Ok((params(case)?, text(case, "randomness")?.into(), ints(case, "eos")?, size(case, "max_new_tokens")?))
    };
    let mut calls: Vec<(Terms, Vec<&Value>)> = Vec::new();
    for case in cases {
        let terms = terms(case)?;
        match calls.iter_mut().find(|c| c.0 == terms) {
            Some(call) => call.1.push(case),
            None => calls.push((terms, vec![case])),
        }
    }
    for ((sampling, randomness, eos_ids, max_new_tokens), cases) in &calls {
        let group = |case: &&Value| -> Outcome<Group> {
            let seed: Seed = seed(case)?;
            Ok(Group { prompt: ints(case, "prompt")?, seeds: vec![seed] })
        };
        let groups = cases.iter().map(group).collect::<Outcome<Vec<_>>>()?;
        let request = GenerateRequest {
            groups: &groups,
            sampling: *sampling,
            max_new_tokens: *max_new_tokens,
            eos_ids,
            projection: &r_vector(randomness, engine.config().hidden_size)?,
            keep_hidden: true,
            logprobs: true,
        };
        let results = engine.generate(&request, &mut unobserved).map_err(|e| e.to_string())?;
        for (case, mut group) in cases.iter().zip(results) {
            let rollout = group.remove(0).map_err(|e| format!("generation: {e}"))?;
            let generation = Generation {
                tokens: rollout.completion().to_vec(),
                eos: rollout.stop == Stop::Eos,
                raw: rollout.raw_logprobs,
                sampling: rollout.sampling_logprobs,
                sketches: rollout.sketches,
                hidden: rollout.hidden,
            };
            named("generation", case, check_generation(case, &generation))?;
        }
    }
    Ok(cases.len())
}
