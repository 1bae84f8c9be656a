//! The sequences and generations of a file of vectors, computed here (format: tests/vectors/exact/README.md).

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use anyhow::{Context, Result, anyhow};
use grail_engine::Engine;
use grail_engine::types::{Event, GenerateRequest, Group, Rollout, Sampling, Seed, Stage, Stop};
use grail_protocol::encoding::hash_from_text;
use grail_protocol::randomness::random_vector;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{bits, sha256_f32};

/// Positions whose stages a `trace` holds.
const TRACED_POSITIONS: usize = 4;

/// Fields of a sequence that are its input.
pub const SEQUENCE_INPUTS: [&str; 3] = ["name", "tokens", "randomness"];
/// Fields of a generation that are its input.
pub const GENERATION_INPUTS: [&str; 7] = ["name", "prompt", "params", "eos", "max_new_tokens", "seed", "randomness"];

/// The inputs of a file.
pub struct Cases {
    sequences: Vec<Sequence>,
    generations: Vec<Generation>,
}

struct Sequence {
    inputs: Map<String, Value>,
    case: SequenceCase,
    /// Whether the file has stages of it.
    is_traced: bool,
    /// Positions of whole hidden states.
    shown: BTreeSet<usize>,
}

#[derive(Deserialize)]
struct SequenceCase {
    tokens: Vec<u32>,
    randomness: String,
}

struct Generation {
    inputs: Map<String, Value>,
    case: GenerationCase,
}

#[derive(Deserialize)]
struct GenerationCase {
    prompt: Vec<u32>,
    params: Params,
    eos: Vec<u32>,
    max_new_tokens: usize,
    seed: String,
    randomness: String,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
struct Params {
    temperature: f64,
    top_k: u32,
    top_p: f64,
    repetition_penalty: f64,
}

impl Cases {
    /// Reads the inputs; results in the file are not looked at, but for which positions they are of.
    ///
    /// # Errors
    /// A field that is missing or of the wrong type, with the case it belongs to.
    pub fn parse(file: &Value) -> Result<Self> {
        let sequences = list(file, "sequences")?.iter().enumerate();
        let sequences = sequences.map(|(i, v)| Sequence::parse(v).with_context(|| format!("sequences[{i}]")));
        let generations = list(file, "generations")?.iter().enumerate();
        let generations = generations.map(|(i, v)| Generation::parse(v).with_context(|| format!("generations[{i}]")));
        Ok(Self { sequences: sequences.collect::<Result<_>>()?, generations: generations.collect::<Result<_>>()? })
    }

    /// An object with the same sequences and generations.
    ///
    /// # Errors
    /// What the engine refuses, with the case.
    pub fn compute(&self, engine: &mut Engine, batch: usize) -> Result<Value> {
        let (mut sequences, mut generations) = (Vec::new(), Vec::new());
        for (i, sequence) in self.sequences.iter().enumerate() {
            sequences.push(sequence.compute(engine).with_context(|| format!("sequences[{i}]"))?);
        }
        let mut rollouts: Vec<Option<Rollout>> = vec![None; self.generations.len()];
        for first in 0..self.generations.len() {
            if rollouts[first].is_none() {
                self.generate(engine, first, batch, &mut rollouts).with_context(|| format!("generations[{first}]"))?;
            }
        }
        for (generation, rollout) in self.generations.iter().zip(rollouts) {
            generations.push(generation.object(&rollout.context("a generation without a result")?));
        }
        Ok(json!({ "sequences": sequences, "generations": generations }))
    }

    /// Runs every generation that can share a call with `first`, among the prompts of others as batch mates.
    fn generate(
        &self,
        engine: &mut Engine,
        first: usize,
        batch: usize,
        rollouts: &mut [Option<Rollout>],
    ) -> Result<()> {
        let case = &self.generations[first].case;
        let count = self.generations.len();
        let members: Vec<usize> = (first..count).filter(|&i| self.generations[i].case.shares_call(case)).collect();
        let others: Vec<usize> = (0..count).filter(|i| !members.contains(i)).collect();
        let mates = others.iter().cycle().take(if others.is_empty() { 0 } else { batch.saturating_sub(members.len()) });
        let group = |&i: &usize| -> Result<Group> {
            let case = &self.generations[i].case;
            Ok(Group { prompt: case.prompt.clone(), seeds: vec![Seed(hash_from_text("seed", &case.seed)?)] })
        };
        let groups: Vec<Group> = members.iter().chain(mates).map(group).collect::<Result<_>>()?;
        let Params { temperature, top_k, top_p, repetition_penalty } = case.params;
        let request = GenerateRequest {
            groups: &groups,
            sampling: Sampling { temperature, top_k, top_p, repetition_penalty },
            max_new_tokens: case.max_new_tokens,
            eos_ids: &case.eos,
            projection: &projection(engine, &case.randomness)?,
            keep_hidden: true,
            logprobs: true,
        };
        let mut left = members.len();
        let results = engine.generate(&request, &mut |event| {
            if let Event::Finished { group, .. } = event {
                left -= usize::from(group < members.len());
            }
            // Mates are only company.
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        for (&member, mut result) in members.iter().zip(results) {
            let result = result.pop().context("a generation without a result")?;
            rollouts[member] = Some(result.map_err(|e| anyhow!("generations[{member}]: {e}"))?);
        }
        Ok(())
    }
}

impl GenerationCase {
    fn shares_call(&self, other: &Self) -> bool {
        self.params == other.params
            && self.eos == other.eos
            && self.max_new_tokens == other.max_new_tokens
            && self.randomness == other.randomness
    }
}

impl Sequence {
    fn parse(value: &Value) -> Result<Self> {
        let case = SequenceCase::deserialize(value)?;
        let shown = value.get("hidden_bits").and_then(Value::as_object);
        let shown = shown.into_iter().flat_map(|map| map.keys().filter_map(|key| key.parse().ok())).collect();
        let is_traced = value.get("trace").is_some();
        Ok(Self { inputs: inputs(value, &SEQUENCE_INPUTS)?, case, is_traced, shown })
    }

    fn compute(&self, engine: &mut Engine) -> Result<Value> {
        let mut hidden_bits = Map::new();
        let (mut hidden, mut logits, mut first2, mut argmax) = (vec![], vec![], vec![], vec![]);
        let (mut next, mut sketches, mut trace) = (vec![], vec![], vec![]);
        let mut probe = |layer: i64, stage: Stage, position: usize, values: &[f32]| {
            if position < TRACED_POSITIONS {
                trace.push((
                    position,
                    layer,
                    stage,
                    json!({
                        "pos": position, "layer": layer, "stage": stage.name(),
                        "first": bits(&values[..values.len().min(4)]), "sha256": sha256_f32(values),
                    }),
                ));
            }
        };
        let projection = projection(engine, &self.case.randomness)?;
        let probe: Option<&mut grail_engine::types::Probe<'_>> = if self.is_traced { Some(&mut probe) } else { None };
        engine.trace(&self.case.tokens, &projection, probe, &mut |row| {
            if self.shown.contains(&row.position) {
                hidden_bits.insert(row.position.to_string(), bits(row.hidden).into());
            }
            hidden.push(sha256_f32(row.hidden));
            logits.push(sha256_f32(row.logits));
            first2.push(bits(&row.logits[..row.logits.len().min(2)]));
            argmax.push(greatest(row.logits));
            next.extend(row.next_raw_logprob.map(|x| bits(&[x])));
            sketches.extend(row.sketch);
        })?;
        let mut object = self.inputs.clone();
        let results = [
            ("hidden_bits", Value::Object(hidden_bits)),
            ("hidden_sha256", json!(hidden)),
            ("logits_sha256", json!(logits)),
            ("logits_first2", json!(first2)),
            ("argmax", json!(argmax)),
            ("next_token_raw_logprob", json!(next)),
            ("sketches", json!(sketches)),
        ];
        object.extend(results.map(|(k, v)| (k.to_owned(), v)));
        if self.is_traced {
            trace.sort_by_key(|&(position, layer, stage, _)| (position, layer, stage));
            object.insert("trace".into(), trace.into_iter().map(|t| t.3).collect());
        }
        Ok(object.into())
    }
}

impl Generation {
    fn parse(value: &Value) -> Result<Self> {
        Ok(Self { case: GenerationCase::deserialize(value)?, inputs: inputs(value, &GENERATION_INPUTS)? })
    }

    fn object(&self, rollout: &Rollout) -> Value {
        let each = |values: &[f32]| -> Value { values.iter().map(|&x| Value::from(bits(&[x]))).collect() };
        let stop = match rollout.stop {
            Stop::Eos => "eos",
            Stop::Length => "length",
        };
        let results = [
            ("generated", json!(rollout.completion())),
            ("stop", stop.into()),
            ("raw_logprob", each(&rollout.raw_logprobs)),
            ("sampling_logprob", each(&rollout.sampling_logprobs)),
            ("sketches", json!(rollout.sketches)),
            ("hidden_sha256_all", sha256_f32(&rollout.hidden).into()),
        ];
        let mut object = self.inputs.clone();
        object.extend(results.map(|(k, v)| (k.to_owned(), v)));
        object.into()
    }
}

fn list<'a>(file: &'a Value, name: &str) -> Result<&'a Vec<Value>> {
    file.get(name).and_then(Value::as_array).with_context(|| format!("{name}: missing, or no list"))
}

/// The inputs as the file has them.
fn inputs(value: &Value, names: &[&str]) -> Result<Map<String, Value>> {
    let one = |&name: &&str| {
        let input = value.get(name).with_context(|| format!("{name}: missing"))?;
        Ok((name.to_owned(), input.clone()))
    };
    names.iter().map(one).collect()
}

fn projection(engine: &Engine, randomness: &str) -> Result<Vec<i32>> {
    Ok(random_vector(&hash_from_text("randomness", randomness)?, engine.config().hidden_size)?)
}

/// The lowest id of the greatest logit.
fn greatest(logits: &[f32]) -> usize {
    (1..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best })
}
