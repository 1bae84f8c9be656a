//! The scalar reference asked the same questions as the engine, and where the answers part.

use std::collections::BTreeMap;
use std::ops::Range;

use grail_engine::checkpoint::Checkpoint;
use grail_engine::numerics::{self, ReferenceModel, ReferenceRow, log_sum, sample, scale_of_temperature};
use grail_engine::types::{Completion, Rollout, Sampling, Score, Seed, Stage, Stop};
use grail_engine::{Engine, Error, Fault, FaultKind};

use crate::common::{bits, digest};

/// What a pass shows, as bits.
#[derive(Default)]
pub struct Trace {
    pub hidden: Vec<Vec<u32>>,
    pub logits: Vec<Vec<u32>>,
    pub sketches: Vec<u32>,
    /// Raw log-probability of the next token; one less than positions.
    pub next: Vec<u32>,
    /// Digest by (position, layer, stage).
    pub stages: BTreeMap<(usize, i64, Stage), u64>,
}

pub fn reference_shape(checkpoint: &Checkpoint) -> numerics::Shape {
    let c = checkpoint.config();
    numerics::Shape {
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

pub fn reference(checkpoint: &Checkpoint) -> ReferenceModel {
    reference_changed(checkpoint, |_| {}, |_, _| {})
}

/// A reference that was tampered with, for negative controls.
pub fn reference_changed(
    checkpoint: &Checkpoint,
    shape: impl Fn(&mut numerics::Shape),
    weights: impl Fn(&str, &mut Vec<f32>),
) -> ReferenceModel {
    let mut numbers = reference_shape(checkpoint);
    shape(&mut numbers);
    let tensor = |name: &str| {
        let mut values = checkpoint.tensor(name).unwrap().to_f32_vec();
        weights(name, &mut values);
        values
    };
    ReferenceModel::new(numbers, tensor).unwrap_or_else(|(name, kind)| panic!("{name}: {kind}"))
}

pub fn traced(engine: &mut Engine, tokens: &[u32], r: &[i32]) -> Result<Trace, Error> {
    let (mut trace, mut stages) = (Trace::default(), BTreeMap::new());
    let mut probe = |layer: i64, stage: Stage, position: usize, x: &[f32]| {
        assert!(stages.insert((position, layer, stage), digest(x)).is_none(), "{stage:?} of {position} shown twice");
    };
    let shown = engine.trace(tokens, r, Some(&mut probe), &mut |row| {
        assert_eq!(row.position, trace.hidden.len(), "positions in order");
        trace.hidden.push(bits(row.hidden));
        trace.logits.push(bits(row.logits));
        trace.sketches.extend(row.sketch);
        trace.next.extend(row.next_raw_logprob.map(f32::to_bits));
    });
    assert_eq!(engine.cache_in_use(), (0, 0), "pages in use and promised after a trace");
    trace.stages = stages;
    shown.map(|()| trace)
}

/// Rows of every position, or the first fault; that of a sketch, and of the log-sum where logits are read, included.
pub fn rows(model: &ReferenceModel, tokens: &[u32], r: &[i32], read: Range<usize>) -> Result<Vec<ReferenceRow>, Fault> {
    let (rows, fault) = match model.forward(tokens, &mut |_, _, _, _| {}) {
        Ok(rows) => (rows, None),
        Err(f) => (model.forward(&tokens[..f.position], &mut |_, _, _, _| {}).unwrap(), Some(f)),
    };
    for (position, row) in rows.iter().enumerate() {
        let at = |kind| Fault { kind, layer: model.shape().layers, position };
        if !r.is_empty() {
            numerics::sketch(&row.hidden, r).map_err(at)?;
        }
        if read.contains(&position) {
            log_sum(&row.logits, scale_of_temperature(1.0)).map_err(at)?;
        }
    }
    fault.map_or(Ok(rows), Err)
}

pub fn reference_trace(model: &ReferenceModel, tokens: &[u32], r: &[i32]) -> Trace {
    let mut trace = Trace::default();
    let probe = &mut |layer, stage, position, x: &[f32]| {
        trace.stages.insert((position, layer, stage), digest(x));
    };
    let rows = model.forward(tokens, probe).unwrap();
    for (position, row) in rows.iter().enumerate() {
        trace.hidden.push(bits(&row.hidden));
        trace.logits.push(bits(&row.logits));
        trace.sketches.push(numerics::sketch(&row.hidden, r).unwrap());
        let sum = log_sum(&row.logits, scale_of_temperature(1.0)).unwrap();
        trace.next.extend(tokens.get(position + 1).map(|&t| sum.logprob(row.logits[t as usize]).to_bits()));
    }
    trace
}

/// Where a trace parts from the reference's, which may be of a longer sequence that starts with the same tokens.
pub fn difference(engine: &Trace, reference: &Trace) -> Option<String> {
    let n = engine.hidden.len();
    assert!(n > 0 && n <= reference.hidden.len(), "positions to compare");
    assert_eq!((engine.logits.len(), engine.sketches.len(), engine.next.len()), (n, n, n - 1), "nothing is missing");
    let layers = engine.stages.keys().map(|(_, layer, _)| *layer).max().unwrap();
    assert_eq!(engine.stages.len(), n * (2 + 11 * layers as usize), "every stage is shown");
    for ((position, layer, stage), digest) in &engine.stages {
        if reference.stages.get(&(*position, *layer, *stage)) != Some(digest) {
            return Some(format!("{} of layer {layer} at position {position}", stage.name()));
        }
    }
    for i in 0..n {
        let part = [
            ("hidden", engine.hidden[i] == reference.hidden[i]),
            ("logits", engine.logits[i] == reference.logits[i]),
            ("sketch", engine.sketches[i] == reference.sketches[i]),
            ("next log-probability", i + 1 == n || engine.next[i] == reference.next[i]),
        ];
        if let Some((what, _)) = part.into_iter().find(|(_, same)| !same) {
            return Some(format!("{what} at position {i}"));
        }
    }
    None
}

/// The rollout an honest generator publishes, from the reference alone.
pub fn reference_rollout(
    model: &ReferenceModel,
    prompt: &[u32],
    seed: &Seed,
    request: &grail_engine::types::GenerateRequest<'_>,
) -> Result<Rollout, Fault> {
    let mut tokens = prompt.to_vec();
    let made = match model.generate(prompt, &request.sampling, seed, request.eos_ids, request.max_new_tokens) {
        Ok(made) => made,
        // A sketch may have had its fault before; the reference's generator makes none.
        Err(f) => return Err(sketch_fault(model, prompt, seed, request, f.position).unwrap_or(f)),
    };
    tokens.extend(made.iter().map(|m| m.0));
    let rows = rows(model, &tokens, request.projection, prompt.len() - 1..tokens.len() - 1)?;
    let sketch = |row: &ReferenceRow| numerics::sketch(&row.hidden, request.projection).unwrap();
    let sketches = if request.projection.is_empty() { Vec::new() } else { rows.iter().map(sketch).collect() };
    let hidden = if request.keep_hidden { rows.iter().flat_map(|r| r.hidden.clone()).collect() } else { Vec::new() };
    let eos = request.eos_ids.contains(tokens.last().unwrap());
    Ok(Rollout {
        prompt_length: prompt.len(),
        tokens,
        raw_logprobs: made.iter().map(|m| m.1).collect(),
        sampling_logprobs: made.iter().map(|m| m.2).collect(),
        sketches,
        hidden,
        stop: if eos { Stop::Eos } else { Stop::Length },
    })
}

/// The fault of a sketch at a position before `end`, in a rollout that has another fault there.
fn sketch_fault(
    model: &ReferenceModel,
    prompt: &[u32],
    seed: &Seed,
    request: &grail_engine::types::GenerateRequest<'_>,
    end: usize,
) -> Option<Fault> {
    let mut tokens = prompt.to_vec();
    if let Some(new) = end.checked_sub(prompt.len()).filter(|&n| n > 0) {
        let made = model.generate(prompt, &request.sampling, seed, request.eos_ids, new).ok()?;
        tokens.extend(made.iter().map(|m| m.0));
    }
    rows(model, &tokens[..end], request.projection, 0..0).err()
}

/// What scoring has to say of a completion.
pub fn reference_score(
    model: &ReferenceModel,
    prompt: &[u32],
    completion: &Completion,
    sampling: &Sampling,
    r: &[i32],
) -> Result<Score, Fault> {
    let tokens: Vec<u32> = prompt.iter().chain(&completion.tokens).copied().collect();
    let rows = rows(model, &tokens, r, prompt.len() - 1..tokens.len() - 1)?;
    let sketch = |row: &ReferenceRow| numerics::sketch(&row.hidden, r).unwrap();
    let mut score = Score {
        raw_logprobs: Vec::new(),
        sampling_logprobs: Vec::new(),
        sketches: if r.is_empty() { Vec::new() } else { rows.iter().map(sketch).collect() },
        honest: Vec::new(),
    };
    for at in prompt.len()..tokens.len() {
        let fault = |kind: FaultKind| Fault { kind, layer: model.shape().layers, position: at - 1 };
        let s = sample(&rows[at - 1].logits, &tokens[..at], sampling, &completion.seed, at).map_err(fault)?;
        score.honest.push(s.token);
        score.raw_logprobs.push(s.raw_logprobs[tokens[at] as usize]);
        score.sampling_logprobs.push(s.sampling_logprobs[tokens[at] as usize]);
    }
    Ok(score)
}

/// The first field in which two rollouts part, by bits.
pub fn rollout_difference(a: &Rollout, b: &Rollout) -> Option<&'static str> {
    let parts = [
        ("tokens", a.tokens == b.tokens && a.prompt_length == b.prompt_length),
        ("raw log-probabilities", bits(&a.raw_logprobs) == bits(&b.raw_logprobs)),
        ("sampling log-probabilities", bits(&a.sampling_logprobs) == bits(&b.sampling_logprobs)),
        ("sketches", a.sketches == b.sketches),
        ("hidden", bits(&a.hidden) == bits(&b.hidden)),
        ("stop", a.stop == b.stop),
    ];
    parts.into_iter().find(|(_, same)| !same).map(|(what, _)| what)
}

/// The first field in which two scores part, by bits.
pub fn score_difference(a: &Score, b: &Score) -> Option<&'static str> {
    let parts = [
        ("honest tokens", a.honest == b.honest),
        ("raw log-probabilities", bits(&a.raw_logprobs) == bits(&b.raw_logprobs)),
        ("sampling log-probabilities", bits(&a.sampling_logprobs) == bits(&b.sampling_logprobs)),
        ("sketches", a.sketches == b.sketches),
    ];
    parts.into_iter().find(|(_, same)| !same).map(|(what, _)| what)
}
