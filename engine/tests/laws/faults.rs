//! Laws of faults (NUMERICS section 1): one sequence ends, at the layer and position the reference names; everything
//! else goes on with the same bits.
//!
//! A *trap* is a model in which one residual channel is zero for every token but [`TRAPPED`], and some weight that
//! reads this channel is enormous. So one token id of an otherwise ordinary model leads to a fault of a chosen kind.

use grail_engine::checkpoint::Dtype;
use grail_engine::checkpoint::synthetic::Shape;
use grail_engine::types::{
    Completion, Failure, GenerateRequest, Group, Sampling, ScoreGroup, ScoreRequest, unobserved,
};
use grail_engine::{EngineOptions, Error, Fault, FaultKind};

use crate::common::{Model, generate, groups, isas, options, projection, request, seed, small, tokens};
use crate::oracle::{
    difference, reference, reference_rollout, reference_score, reference_trace, rollout_difference, rows,
    score_difference, traced,
};

const TRAPPED: u32 = 5;
const CHANNEL: usize = 7;

fn power(e: i32) -> f32 {
    2f32.powi(e)
}

/// An ordinary model whose channel 7 belongs to token 5 alone.
fn unarmed(dtype: Dtype) -> Model {
    let shape = Shape { hidden: 96, heads: 2, kv_heads: 1, vocab: 30, tied: false, dtype, ..small().shape };
    let mut model = Model::random(3, &shape);
    model.edit("model.embed_tokens.weight", |token, c, x| match (token as u32, c) {
        (TRAPPED, CHANNEL) => 64.0,
        (_, CHANNEL) => 0.0,
        _ => x,
    });
    for layer in 0..shape.layers {
        for part in ["self_attn.o_proj", "mlp.down_proj"] {
            let name = format!("model.layers.{layer}.{part}.weight");
            model.edit(&name, |row, _, x| if row == CHANNEL { 0.0 } else { x });
        }
    }
    model
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Trap {
    InputNorm,
    Query,
    Key,
    Value,
    Scores,
    AttentionResidual,
    Activation,
    MlpResidual,
    FinalNorm,
    Sketch,
    Head,
}

impl Trap {
    const ALL: [Self; 11] = [
        Self::InputNorm,
        Self::Query,
        Self::Key,
        Self::Value,
        Self::Scores,
        Self::AttentionResidual,
        Self::Activation,
        Self::MlpResidual,
        Self::FinalNorm,
        Self::Sketch,
        Self::Head,
    ];

    /// Arms it in a layer; the fault's (kind, layer).
    fn arm(self, model: &mut Model, layer: usize) -> (FaultKind, usize) {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        let layers = model.shape.layers;
        // `value` wherever a matrix reads the channel, or in a norm at it.
        let mut column = |part: &str, value: f32| {
            let changed = model.edit(part, |_, c, x| if c == CHANNEL { value } else { x });
            assert!(changed > 0, "{part}");
        };
        match self {
            Self::InputNorm => {
                column(&name("input_layernorm"), power(59));
                (FaultKind::Quantizer, layer)
            }
            Self::Query => {
                column(&name("self_attn.q_proj"), power(59));
                (FaultKind::SumOfSquares, layer)
            }
            Self::Key => {
                column(&name("self_attn.k_proj"), power(59));
                (FaultKind::SumOfSquares, layer)
            }
            Self::Value => {
                column(&name("self_attn.v_proj"), power(59));
                (FaultKind::Quantizer, layer)
            }
            Self::Scores => {
                for part in ["q", "k"] {
                    let read = |row: usize, c: usize, x| match (row % 32, c) {
                        (0, CHANNEL) => 4.0,
                        (0, _) => 0.0,
                        _ => x,
                    };
                    model.edit(&name(&format!("self_attn.{part}_proj")), read);
                    model.edit(&name(&format!("self_attn.{part}_norm")), |_, c, x| if c == 0 { power(20) } else { x });
                }
                (FaultKind::Attention, layer)
            }
            Self::AttentionResidual => {
                column(&name("self_attn.v_proj"), power(50));
                let huge = |row: usize, c: usize, x| if row != CHANNEL && c == 0 { power(58) } else { x };
                model.edit(&name("self_attn.o_proj"), huge);
                (FaultKind::SumOfSquares, layer)
            }
            Self::Activation => {
                column(&name("mlp.gate_proj"), power(50));
                column(&name("mlp.up_proj"), power(50));
                (FaultKind::Quantizer, layer)
            }
            Self::MlpResidual => {
                column(&name("mlp.gate_proj"), 1.0);
                column(&name("mlp.up_proj"), power(50));
                // Inputs that stay below 2^60 and outputs that do not; small for tokens without the channel.
                model.edit(&name("mlp.down_proj"), |row, c, x| if row != CHANNEL && c == 0 { power(58) } else { x });
                model.edit(&name("mlp.up_proj"), |row, c, x| if row == 0 && c != CHANNEL { 0.0 } else { x });
                (FaultKind::SumOfSquares, layer + 1)
            }
            Self::FinalNorm => {
                column("model.norm.weight", power(59));
                (FaultKind::Sketch, layers)
            }
            Self::Sketch => {
                column("model.norm.weight", power(30));
                column("lm_head.weight", 0.0);
                (FaultKind::Sketch, layers)
            }
            Self::Head => {
                column("lm_head.weight", power(18));
                (FaultKind::Logits, layers)
            }
        }
    }
}

/// Every trap in every layer, by the two types that can hold such weights.
fn armed() -> Vec<(String, Model, FaultKind, usize)> {
    let mut all = Vec::new();
    for (dtype, trap) in [Dtype::Bf16, Dtype::F32].into_iter().flat_map(|d| Trap::ALL.map(|t| (d, t))) {
        for layer in 0..2 {
            let mut model = unarmed(dtype);
            let (kind, at) = trap.arm(&mut model, layer);
            all.push((format!("{trap:?} in layer {layer}, {dtype:?}"), model, kind, at));
        }
    }
    all
}

/// Ids without the trapped one.
fn harmless(number: u64, length: usize) -> Vec<u32> {
    tokens(number, length, 29).into_iter().map(|t| if t == TRAPPED { 29 } else { t }).collect()
}

#[test]
fn a_trace_stops_where_the_reference_does() {
    let mut stopped = 0;
    for (i, (what, model, kind, layer)) in armed().into_iter().enumerate() {
        let (slow, r) = (reference(&model.checkpoint()), projection(model.shape.hidden));
        let safe = harmless(i as u64, 12);
        let expected = reference_trace(&slow, &safe, &r);
        for (threads, cpu) in [(1, isas()[0].clone()), (2, isas().pop().unwrap())] {
            let step_rows = [1, 5, 512][i % 3];
            let machine = EngineOptions { threads: Some(threads), cpu: Some(cpu), step_rows, ..options() };
            let mut engine = model.engine(machine);
            let found = traced(&mut engine, &safe, &r).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(difference(&found, &expected), None, "{what}: a sequence that does not meet the trap");
            for position in [0, 3, 11] {
                let mut ids = safe.clone();
                ids[position] = TRAPPED;
                let Err(fault) = rows(&slow, &ids, &r, 0..12) else { panic!("{what}: the trap is not armed") };
                assert_eq!((fault.layer, fault.position), (layer, position), "{what}: the reference");
                match traced(&mut engine, &ids, &r) {
                    Err(Error::Fault(f)) => assert_eq!(f, Fault { kind, layer, position }, "{what}"),
                    other => panic!("{what}: {:?}", other.err()),
                }
                stopped += 1;
            }
            assert_eq!(difference(&traced(&mut engine, &safe, &r).unwrap(), &expected), None, "{what}: afterwards");
        }
    }
    assert_eq!(stopped, 44 * 2 * 3);
}

#[test]
fn a_fault_beyond_the_first_page_is_named_there() {
    let mut model = unarmed(Dtype::F32);
    let (kind, layer) = Trap::Scores.arm(&mut model, 1);
    let r = projection(model.shape.hidden);
    for position in [127, 128, 255, 256, 270] {
        let mut ids = harmless(1, 280);
        ids[position] = TRAPPED;
        for step_rows in [100, 512] {
            let mut engine = model.engine(EngineOptions { step_rows, threads: Some(2), ..options() });
            let fault = traced(&mut engine, &ids, &r).err().expect("a fault");
            assert!(matches!(fault, Error::Fault(f) if f == Fault { kind, layer, position }), "{fault}");
        }
    }
}

fn flat() -> Sampling {
    Sampling { temperature: 2.0, top_k: 0, top_p: 1.0, repetition_penalty: 1.0 }
}

#[test]
fn a_rollout_that_meets_the_trap_ends_alone() {
    let (mut ended, mut unharmed) = (0, 0);
    for (i, (what, model, _, _)) in armed().into_iter().enumerate().step_by(2) {
        let (slow, r) = (reference(&model.checkpoint()), projection(model.shape.hidden));
        let mut groups = groups(29, &[4, 9, 6], &[6, 3, 4]);
        groups.iter_mut().enumerate().for_each(|(g, group)| group.prompt = harmless(g as u64, group.prompt.len()));
        groups[1].prompt[7] = TRAPPED;
        let eos_ids = [2];
        // Hidden states are kept one step at a time.
        let (steps_ahead, keep_hidden) = ([None, Some(3), Some(16)][i / 2 % 3], i / 2 % 3 == 0);
        let request = GenerateRequest { sampling: flat(), eos_ids: &eos_ids, keep_hidden, ..request(&groups, 8, &r) };
        let options = EngineOptions { max_batch: 1 + i % 7, step_rows: 16, steps_ahead, ..options() };
        let found = generate(&mut model.engine(options), &request);
        for (group, results) in groups.iter().zip(&found) {
            for (seed, result) in group.seeds.iter().zip(results) {
                match (result, reference_rollout(&slow, &group.prompt, seed, &request)) {
                    (Ok(a), Ok(mut b)) => {
                        b.hidden.truncate(if keep_hidden { b.hidden.len() } else { 0 });
                        assert_eq!(rollout_difference(a, &b), None, "{what}");
                        unharmed += 1;
                    }
                    (Err(Failure::Fault(a)), Err(b)) => {
                        assert_eq!((a.layer, a.position), (b.layer, b.position), "{what}");
                        ended += usize::from(!group.prompt.contains(&TRAPPED));
                    }
                    (a, b) => panic!("{what}: {:?} where the reference has {:?}", a.as_ref().err(), b.err()),
                }
            }
        }
    }
    assert!(ended > 10 && unharmed > 100, "{ended} rollouts ended, {unharmed} went on");
}

#[test]
fn a_fault_in_a_prompt_fails_its_group_and_no_other() {
    let mut model = unarmed(Dtype::Bf16);
    let (kind, layer) = Trap::Activation.arm(&mut model, 1);
    let r = projection(model.shape.hidden);
    let mut bad = Group { prompt: harmless(8, 140), seeds: (0..3).map(seed).collect() };
    bad.prompt[131] = TRAPPED;
    let good =
        |n: u64, length| Group { prompt: harmless(n, length), seeds: (0..3).map(|i| seed(10 * n + i)).collect() };
    let together = [good(1, 5), bad, good(2, 129)];
    let eos = [TRAPPED];
    let request = |groups| GenerateRequest {
        sampling: Sampling { repetition_penalty: 1.0, ..flat() },
        // Ends before the trapped token is fed is impossible: the last token is fed, too. So it must not be drawn.
        eos_ids: &eos,
        ..request(groups, 1, &r)
    };
    for step_rows in [1, 60, 512] {
        let mut engine = model.engine(EngineOptions { step_rows, ..options() });
        let found = generate(&mut engine, &request(&together));
        let fault = Failure::Fault(Fault { kind, layer, position: 131 });
        assert_eq!(found[1], vec![Err(fault); 3]);
        for (group, results) in [(&together[0], &found[0]), (&together[2], &found[2])] {
            let alone = generate(&mut engine, &request(std::slice::from_ref(group)));
            assert_eq!(alone[0], *results, "a group beside the failed one");
            assert!(results.iter().any(|r| r.is_ok()));
        }
    }
}

#[test]
fn a_claim_that_meets_the_trap_fails_alone() {
    let (mut failed, mut scored) = (0, 0);
    for (i, (what, model, _, _)) in armed().into_iter().enumerate().skip(1).step_by(2) {
        let (slow, r) = (reference(&model.checkpoint()), projection(model.shape.hidden));
        let mut completions: Vec<Completion> =
            (0..5).map(|n| Completion { tokens: harmless(50 + n, 6), seed: seed(n) }).collect();
        completions[1].tokens[0] = TRAPPED;
        completions[3].tokens[5] = TRAPPED;
        let mut bad = harmless(61, 10);
        bad[2] = TRAPPED;
        let claims = [
            ScoreGroup { prompt: harmless(60, 10), completions: completions.clone() },
            ScoreGroup { prompt: bad, completions },
        ];
        let mut engine = model.engine(EngineOptions { step_rows: [1, 7, 512][i % 3], max_batch: 3, ..options() });
        let request = ScoreRequest { groups: &claims, sampling: flat(), projection: &r };
        let found = engine.score(&request, &mut unobserved).unwrap();
        assert_eq!(engine.cache_in_use(), (0, 0), "{what}");
        for (group, results) in claims.iter().zip(&found) {
            for (completion, result) in group.completions.iter().zip(results) {
                match (result, reference_score(&slow, &group.prompt, completion, &flat(), &r)) {
                    (Ok(a), Ok(b)) => {
                        assert_eq!(score_difference(a, &b), None, "{what}");
                        scored += 1;
                    }
                    (Err(Failure::Fault(a)), Err(b)) => {
                        assert_eq!((a.layer, a.position), (b.layer, b.position), "{what}");
                        failed += 1;
                    }
                    (a, b) => panic!("{what}: {:?} where the reference has {:?}", a.as_ref().err(), b.err()),
                }
            }
        }
    }
    assert!(failed > 100 && scored > 60, "{failed} claims failed, {scored} were scored");
}

/// A fault that only a sketch has is none where no sketch is made.
#[test]
fn what_is_not_computed_cannot_fault() {
    let mut model = unarmed(Dtype::F32);
    Trap::Sketch.arm(&mut model, 0);
    let mut engine = model.engine(options());
    let ids = [1, TRAPPED, 3];
    assert!(traced(&mut engine, &ids, &projection(96)).is_err());
    let mut shown = 0;
    engine.trace(&ids, &[], None, &mut |row| shown += usize::from(row.sketch.is_none())).unwrap();
    assert_eq!(shown, 3);
}
