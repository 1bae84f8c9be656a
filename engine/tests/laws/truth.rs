//! Truth: the format is close to the model itself, closer than bf16, measured on vectors made with transformers.
//!
//! Bits say that machines agree; these say that they agree on the right thing.

use std::path::PathBuf;

use grail_engine::Engine;
use serde_json::Value;

use crate::common::options;

/// Greatest error allowed: measured (the test prints it), times this. The same bits come out on every machine, so this is
/// room for a change of the format's text and not for a machine.
const FACTOR: f64 = 2.0;

/// Measured greatest errors against float32: (model, hidden state, logits, log-probability).
const MEASURED: [(&str, f64, f64, f64); 2] =
    [("tied-2l", 1.2e-3, 3.4e-3, 2.7e-3), ("untied-4l", 2.9e-3, 7.4e-3, 4.5e-3)];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/tiny-qwen3")
}

fn list(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
}

/// Squared and greatest differences met so far.
#[derive(Default, Clone, Copy)]
struct Errors {
    squares: f64,
    greatest: f64,
    count: usize,
}

impl Errors {
    fn add(&mut self, found: &[f64], truth: &[f64]) {
        assert_eq!(found.len(), truth.len());
        for (a, b) in found.iter().zip(truth) {
            self.squares += (a - b) * (a - b);
            self.greatest = self.greatest.max((a - b).abs());
            self.count += 1;
        }
    }

    fn rms(&self) -> f64 {
        (self.squares / self.count as f64).sqrt()
    }
}

/// What the engine says of a sequence, as f64.
struct Said {
    hidden: Vec<Vec<f64>>,
    logits: Vec<Vec<f64>>,
    logprobs: Vec<f64>,
}

fn said(engine: &mut Engine, tokens: &[u32]) -> Said {
    let mut said = Said { hidden: Vec::new(), logits: Vec::new(), logprobs: Vec::new() };
    let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect();
    let show = &mut |row: grail_engine::TraceRow<'_>| {
        said.hidden.push(wide(row.hidden));
        said.logits.push(wide(row.logits));
        said.logprobs.extend(row.next_raw_logprob.map(f64::from));
    };
    engine.trace(tokens, &[], None, show).unwrap();
    said
}

/// Errors of (engine, bf16) against float32 where there are both, for hidden states, logits and log-probabilities.
fn errors(name: &str) -> [(Errors, Errors); 3] {
    let text = std::fs::read(folder().join(format!("{name}-reference.json"))).unwrap();
    let vectors: Value = serde_json::from_slice(&text).unwrap();
    let mut engine = Engine::open(folder().join(name), options()).unwrap();
    let mut all = [(Errors::default(), Errors::default()); 3];
    for sequence in vectors["sequences"].as_array().unwrap() {
        let tokens: Vec<u32> = list(&sequence["tokens"]).into_iter().map(|t| t as u32).collect();
        let said = said(&mut engine, &tokens);
        let (truth, half) = (&sequence["float32"], &sequence["bfloat16"]);
        for (of, key) in [(0, "hidden_last"), (1, "logits")] {
            let both = truth[key].as_object().unwrap().iter().filter(|(position, _)| half[key].get(position).is_some());
            for (position, values) in both {
                let at: usize = position.parse().unwrap();
                let found = if of == 0 { &said.hidden[at] } else { &said.logits[at] };
                all[of].0.add(found, &list(values));
                all[of].1.add(&list(&half[key][position]), &list(values));
            }
        }
        let truth = list(&truth["next_token_logprob"]);
        all[2].0.add(&said.logprobs, &truth);
        all[2].1.add(&list(&half["next_token_logprob"]), &truth);
    }
    all
}

#[test]
fn results_are_near_float32_and_nearer_than_bf16() {
    for (name, hidden, logits, logprob) in MEASURED {
        let limits = [("hidden state", hidden), ("logits", logits), ("log-probability", logprob)];
        for ((what, measured), (engine, half)) in limits.into_iter().zip(errors(name)) {
            println!(
                "{name} {what}: engine {:.3e} rms {:.3e} greatest, bf16 {:.3e} rms {:.3e} greatest, {} values",
                engine.rms(),
                engine.greatest,
                half.rms(),
                half.greatest,
                engine.count
            );
            assert!(engine.count > 100 && half.count == engine.count, "{} values", engine.count);
            assert!(engine.greatest <= FACTOR * measured, "{name} {what}: {} of {measured}", engine.greatest);
            assert!(engine.rms() < half.rms() && engine.greatest < half.greatest, "{name} {what}: nearer than bf16");
        }
    }
}

/// The control: tokens moved by one are found to be another sequence.
#[test]
fn another_sequence_is_far_from_the_truth() {
    let (name, hidden, ..) = MEASURED[0];
    let mut engine = Engine::open(folder().join(name), options()).unwrap();
    let (a, b) = (said(&mut engine, &[5, 6, 7]), said(&mut engine, &[5, 6, 8]));
    let mut errors = Errors::default();
    errors.add(&a.hidden[2], &b.hidden[2]);
    assert!(errors.greatest > 100.0 * FACTOR * hidden, "{}", errors.greatest);
    errors = Errors::default();
    errors.add(&a.hidden[1], &b.hidden[1]);
    assert_eq!(errors.greatest, 0.0, "what came before is the same");
}
