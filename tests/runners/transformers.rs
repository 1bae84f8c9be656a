//! Against transformers: tokenizer cases, logit processing, and the float32 truth of the small models.
//!
//! These are the only comparisons with a tolerance: the other side is ordinary floating point.

use std::path::Path;

use grail_engine::checkpoint::Checkpoint;
use grail_engine::numerics::{penalize, sample};
use grail_engine::tokenizer::Tokenizer;
use grail_engine::types::{Probe, Sampling, Seed, Stage};
use grail_engine::{Engine, EngineOptions};
use serde_json::Value;

use super::generated::*;

fn floats(v: &Value) -> Outcome<Vec<f32>> {
    let one = |v: &Value| v.as_f64().map(|x| x as f32).ok_or(format!("{v} is not a number"));
    v.as_array().ok_or("not a list of numbers")?.iter().map(one).collect()
}

fn greatest_error(found: &[f32], expected: &[f32]) -> Outcome<f64> {
    same("length", found.len(), expected.len())?;
    Ok(found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()).fold(0.0, f64::max))
}

fn within(what: &str, error: f64, tolerance: f64) -> Outcome {
    if error <= tolerance { Ok(()) } else { Err(format!("{what}: off by {error:e}, tolerance {tolerance:e}")) }
}

/// tiny-qwen3/tokenizer-cases.json, with the tokenizer of every model beside it.
pub fn tokenizer(folder: &Path, file: &Value) -> Outcome<usize> {
    let mut cases = 0;
    let models = std::fs::read_dir(folder.join("tiny-qwen3")).map_err(|e| e.to_string())?;
    for model in models.filter_map(Result::ok).map(|e| e.path()).filter(|p| p.is_dir()) {
        let checkpoint = Checkpoint::open(&model).map_err(|e| e.to_string())?;
        let tokenizer = Tokenizer::from_checkpoint(&checkpoint).map_err(|e| e.to_string())?;
        same("eos_token", tokenizer.eos_token(), Some(text(file, "eos_token")?))?;
        for case in list(file, "cases")? {
            let ids: Vec<u32> = ints(case, "ids")?;
            same("ids", tokenizer.encode(text(case, "text")?).map_err(|e| e.to_string())?, ids.clone())?;
            same("decoded", tokenizer.decode(&ids, false), text(case, "decoded")?.into())?;
            same("decoded_skip_special", tokenizer.decode(&ids, true), text(case, "decoded_skip_special")?.into())?;
            cases += 1;
        }
    }
    Ok(cases)
}

/// sampling_warpers.json: which tokens are kept, and how probable they are then.
pub fn warpers(file: &Value) -> Outcome<usize> {
    let p = field(file, "params")?;
    let sampling = Sampling {
        temperature: real(p, "temperature")?,
        top_k: size(p, "top_k")? as u32,
        top_p: real(p, "top_p")?,
        repetition_penalty: real(p, "repetition_penalty")?,
    };
    for (i, case) in list(file, "cases")?.iter().enumerate() {
        let (logits, context) = (floats(field(case, "logits")?)?, ints::<u32>(case, "context_ids")?);
        let penalized = penalize(&logits, &context, sampling.repetition_penalty);
        let error = greatest_error(&penalized, &floats(field(case, "after_repetition_penalty")?)?)?;
        within(&format!("cases[{i}]: penalty"), error, 1e-6)?;
        let s = sample(&logits, &context, &sampling, &Seed([0; 32]), context.len()).map_err(|e| e.to_string())?;
        same(&format!("cases[{i}]: kept_tokens"), s.kept.clone(), ints(case, "kept_tokens")?)?;
        let logprobs: Vec<f32> = s.kept.iter().map(|&id| s.sampling_logprobs[id as usize]).collect();
        let error = greatest_error(&logprobs, &floats(field(case, "logprob_of_kept")?)?)?;
        within(&format!("cases[{i}]: logprob_of_kept"), error, 2e-6)?;
    }
    Ok(list(file, "cases")?.len())
}

/// What is compared, with the greatest error measured against float32 on the models of the project's vectors
/// and the factor that other models of their kind are allowed.
const TRUTH: [(&str, f64); 4] =
    [("hidden_last", 4.0 * 2.82e-3), ("logits", 4.0 * 7.37e-3), ("logprob", 4.0 * 4.42e-3), ("layer1", 4.0 * 4.82e-4)];

/// tiny-qwen3/*-reference.json: within a tolerance of transformers in float32, and closer to it than its bfloat16.
pub fn truth(folder: &Path, file: &Value) -> Outcome<usize> {
    let model = folder.join(text(file, "model")?);
    let mut engine = Engine::open(&model, EngineOptions::default()).map_err(|e| e.to_string())?;
    // Greatest errors over all sequences: ours and bfloat16's.
    let mut errors = [[0f64; 2]; 4];
    for (i, case) in list(file, "sequences")?.iter().enumerate() {
        sequence(&mut engine, case, &mut errors).map_err(|e| format!("sequences[{i}]: {e}"))?;
    }
    for ((what, tolerance), [ours, bfloat16]) in TRUTH.into_iter().zip(errors) {
        println!("  {what}: greatest error {ours:.2e} against float32, bfloat16 {bfloat16:.2e}");
        within(what, ours, tolerance)?;
        if ours >= bfloat16 {
            return Err(format!("{what}: off by {ours:e}, transformers' bfloat16 by {bfloat16:e}"));
        }
    }
    Ok(list(file, "sequences")?.len())
}

fn sequence(engine: &mut Engine, case: &Value, errors: &mut [[f64; 2]; 4]) -> Outcome {
    let tokens: Vec<u32> = ints(case, "tokens")?;
    let (mut hidden, mut logits, mut next) = (Vec::new(), Vec::new(), Vec::new());
    let (mut embedding, mut layer1) = (Vec::new(), Vec::new());
    let mut probe = |layer: i64, stage: Stage, position: usize, x: &[f32]| match (layer, stage) {
        (-1, Stage::Embedding) if position == 0 => embedding = x.to_vec(),
        (0, Stage::ResidualMlp) if position + 1 == tokens.len() => layer1 = x.to_vec(),
        _ => {}
    };
    let probe: &mut Probe<'_> = &mut probe;
    engine
        .trace(&tokens, &[], Some(probe), &mut |row| {
            hidden.push(row.hidden.to_vec());
            logits.push(row.logits.to_vec());
            next.extend(row.next_raw_logprob);
        })
        .map_err(|e| e.to_string())?;
    let (truth, rough) = (field(case, "float32")?, field(case, "bfloat16")?);
    same("embedding", to_bits(&embedding), to_bits(&floats(field(truth, "hidden_embed_pos0")?)?))?;
    // The bfloat16 run kept fewer positions; ours has to be better over all of them.
    let mut note = |what: usize, ours: &[f32], truth: &Value, rough: Option<&Value>| -> Outcome {
        let truth = floats(truth)?;
        errors[what][0] = errors[what][0].max(greatest_error(ours, &truth)?);
        if let Some(rough) = rough {
            errors[what][1] = errors[what][1].max(greatest_error(&floats(rough)?, &truth)?);
        }
        Ok(())
    };
    for (what, name, rows) in [(0, "hidden_last", &hidden), (1, "logits", &logits)] {
        let positions = field(truth, name)?.as_object().ok_or(format!("{name} is not an object"))?;
        for (position, truth) in positions {
            let at: usize = position.parse().map_err(|e| format!("{name}: {e}"))?;
            note(what, &rows[at], truth, field(rough, name)?.get(position))?;
        }
    }
    note(2, &next, field(truth, "next_token_logprob")?, rough.get("next_token_logprob"))?;
    let name = "hidden_layer1_out_pos_last";
    note(3, &layer1, field(truth, name)?, rough.get(name))
}
