//! Laws of the forward pass: the engine equals the scalar reference to the bit, whatever machine, threads and
//! chunks it uses.

use crate::common::{Model, isas, machines, options, projection, random, small, tokens};
use crate::oracle::{Trace, difference, reference, reference_changed, reference_trace, traced};
use grail_engine::EngineOptions;
use grail_engine::checkpoint::Dtype;
use grail_engine::checkpoint::synthetic::Shape;
use proptest::prelude::*;

/// Lengths at which pages, chunks and tiles begin and end.
const LENGTHS: [usize; 8] = [1, 127, 128, 129, 255, 256, 257, 300];

fn shapes() -> impl Strategy<Value = Shape> {
    let head_dim = prop_oneof![
        Just(32usize),
        Just(64),
        Just(128),
        Just(16),
        Just(80),
        Just(256),
        (1usize..70).prop_map(|n| 2 * n)
    ];
    let heads = (1usize..4, prop::sample::select(vec![1usize, 2, 3, 4, 8]));
    let dtype = prop::sample::select(vec![Dtype::Bf16, Dtype::F16, Dtype::F32]);
    let sizes = (1usize..300, 1usize..300, 1usize..400);
    (head_dim, heads, sizes, 1usize..3, any::<bool>(), dtype).prop_map(
        |(head_dim, (kv_heads, per_kv), (hidden, intermediate, vocab), layers, tied, dtype)| Shape {
            // Wide heads get few: the reference is slow.
            kv_heads: if head_dim > 100 { 1 } else { kv_heads },
            heads: if head_dim > 100 { per_kv.min(3) } else { kv_heads * per_kv },
            hidden,
            layers,
            head_dim,
            intermediate,
            vocab,
            tied,
            dtype,
            max_positions: 512,
            rope_theta: 1e4,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, ..ProptestConfig::default() })]
    #[test]
    fn any_shape_on_any_machine_equals_the_reference(
        shape in shapes(),
        seed: u64,
        outliers in prop::collection::vec(0usize..300, 0..4),
        length in prop_oneof![6 => 1usize..40, 1 => 120usize..150],
        step_rows in prop_oneof![Just(1usize), 2usize..20, Just(512)],
    ) {
        let model = Model::random(seed, &shape).with_outliers(&outliers);
        let (ids, r) = (tokens(seed, length, shape.vocab), projection(shape.hidden));
        let expected = reference_trace(&reference(&model.checkpoint()), &ids, &r);
        for machine in machines() {
            let mut engine = model.engine(EngineOptions { step_rows, ..machine });
            let found = traced(&mut engine, &ids, &r).unwrap();
            let place = difference(&found, &expected);
            prop_assert!(place.is_none(), "{}: {}", engine.device(), place.unwrap());
        }
    }
}

fn with_head_dim(head_dim: usize, heads: usize, kv_heads: usize) -> Model {
    let shape = Shape { head_dim, heads, kv_heads, dtype: Dtype::F32, tied: false, ..small().shape };
    Model::random(11, &shape).with_outliers(&[0, 95])
}

#[test]
fn every_length_around_a_page_equals_the_reference() {
    for (head_dim, heads, kv_heads) in [(32, 8, 1), (80, 2, 2), (256, 2, 1)] {
        let model = with_head_dim(head_dim, heads, kv_heads);
        let (ids, r) = (tokens(5, 300, model.shape.vocab), projection(model.shape.hidden));
        let expected = reference_trace(&reference(&model.checkpoint()), &ids, &r);
        for cpu in isas() {
            let mut engine = model.engine(EngineOptions { cpu: Some(cpu), threads: Some(2), ..options() });
            for length in LENGTHS {
                let found = traced(&mut engine, &ids[..length], &r).unwrap();
                assert_eq!(found.hidden.len(), length);
                assert_eq!(difference(&found, &expected), None, "head_dim {head_dim}, length {length}");
            }
        }
    }
}

#[test]
fn prefill_equals_token_by_token_and_every_chunk_split() {
    let model = small();
    let (ids, r) = (tokens(6, 300, model.shape.vocab), projection(model.shape.hidden));
    let expected = reference_trace(&reference(&model.checkpoint()), &ids, &r);
    let mut next = random(8);
    let random_splits: Vec<usize> = (0..4).map(|_| 1 + next() as usize % 200).collect();
    for cpu in isas() {
        for step_rows in [1, 2, 127, 128, 129, 300, 512].into_iter().chain(random_splits.clone()) {
            let mut engine = model.engine(EngineOptions { cpu: Some(cpu.clone()), step_rows, ..options() });
            let found = traced(&mut engine, &ids, &r).unwrap();
            assert_eq!(difference(&found, &expected), None, "{cpu}, steps of {step_rows}");
        }
    }
}

/// Blocks of zeros and of subnormals, spikes, channels near the fault limit; scores so far apart that whole chunks vanish.
#[test]
fn extreme_values_short_of_a_fault_equal_the_reference() {
    let mut compared = 0;
    for sharp in [1.0, 30.0, 300.0] {
        let shape = Shape { dtype: Dtype::F32, head_dim: 80, tied: false, ..small().shape };
        let mut model = Model::random(21, &shape);
        model.edit("model.embed_tokens.weight", |token, c, x| match token % 7 {
            0 => 0.0,
            1 => x * 1e-40,
            2 if c == 40 => 2f32.powi(57),
            3 => x.signum() * 0.5,
            4 => x * 1e15,
            5 if c > 1 => -0.0,
            _ => x,
        });
        for part in ["self_attn.q_norm", "self_attn.k_norm"] {
            model.edit(&format!("model.layers.0.{part}.weight"), |_, _, x| sharp * x);
        }
        model.edit("model.layers.1.input_layernorm.weight", |_, c, x| if c % 2 == 0 { x * 1e-42 } else { x * 1e12 });
        let (ids, r) = (tokens(6, 280, shape.vocab), projection(shape.hidden));
        let expected = reference_trace(&reference(&model.checkpoint()), &ids, &r);
        for machine in machines() {
            let found =
                traced(&mut model.engine(EngineOptions { step_rows: 90, ..machine.clone() }), &ids, &r).unwrap();
            assert_eq!(difference(&found, &expected), None, "{machine:?}, norms times {sharp}");
            compared += 1;
        }
    }
    assert_eq!(compared, 3 * machines().len());
}

#[test]
fn an_engine_forgets_what_it_was_asked_before() {
    let model = small();
    let r = projection(model.shape.hidden);
    let (long, short) = (tokens(1, 280, model.shape.vocab), tokens(2, 33, model.shape.vocab));
    let mut used = model.engine(options());
    traced(&mut used, &long, &r).unwrap();
    let after = traced(&mut used, &short, &r).unwrap();
    let fresh = traced(&mut model.engine(options()), &short, &r).unwrap();
    assert_eq!(difference(&after, &fresh), None);
    assert_eq!(after.hidden.len(), 33);
}

/// The smallest changes that could be mistaken for rounding; each has to show up.
#[test]
fn the_comparison_notices_one_ulp_anywhere() {
    let model = small();
    let checkpoint = model.checkpoint();
    let (ids, r) = (tokens(6, 140, model.shape.vocab), projection(model.shape.hidden));
    let found = traced(&mut model.engine(options()), &ids, &r).unwrap();
    let against = |reference| difference(&found, &reference_trace(&reference, &ids, &r));
    assert_eq!(against(reference(&checkpoint)), None, "the control of the controls");

    let ulp = |x: &mut f32| *x = f32::from_bits(x.to_bits() + 1);
    let norms = ["input_layernorm", "self_attn.k_norm", "self_attn.q_norm", "post_attention_layernorm"];
    let mut noticed = 0;
    for name in norms.map(|n| format!("model.layers.1.{n}.weight")).iter().chain([&"model.norm.weight".to_string()]) {
        // Some element of a norm: a single one may be rounded away by the quantizer behind it.
        let change = |n: &str, w: &mut Vec<f32>| {
            if n == name {
                w.iter_mut().for_each(ulp)
            }
        };
        let place = against(reference_changed(&checkpoint, |_| {}, change));
        assert!(place.is_some(), "{name} moved by one ulp and nothing was noticed");
        noticed += 1;
    }
    assert_eq!(noticed, 5);

    // One weight; the greatest of its row, so that its share does not drown in the rounding of the residual.
    let bf16_step = |n: &str, w: &mut Vec<f32>| {
        if n == "model.layers.0.mlp.down_proj.weight" {
            let row = &mut w[3 * 72..4 * 72];
            let greatest = row.iter_mut().reduce(|a, b| if b.abs() > a.abs() { b } else { a }).unwrap();
            *greatest = f32::from_bits(greatest.to_bits() + 0x1_0000);
        }
    };
    let place = against(reference_changed(&checkpoint, |_| {}, bf16_step));
    assert!(place.is_some(), "one weight of down_proj moved by one step of its type");
    let theta = |s: &mut grail_engine::numerics::Shape| s.rope_theta *= 1.0 + 1e-7;
    assert!(against(reference_changed(&checkpoint, theta, |_, _| {})).is_some(), "rope_theta");
    let eps = |s: &mut grail_engine::numerics::Shape| s.rms_norm_eps *= 1.01;
    assert!(against(reference_changed(&checkpoint, eps, |_, _| {})).is_some(), "rms_norm_eps");
}

/// Chunks of keys stand at absolute positions, and so does the rotary embedding.
#[test]
fn the_comparison_notices_positions_shifted_by_one() {
    let model = small();
    let r = projection(model.shape.hidden);
    let ids = tokens(6, 200, model.shape.vocab);
    let mut engine = model.engine(options());
    let whole = traced(&mut engine, &ids, &r).unwrap();
    let shifted = traced(&mut engine, &ids[1..], &r).unwrap();
    let same = |a: &Trace, b: &Trace, i: usize| a.hidden[i + 1] == b.hidden[i];
    assert!((0..199).all(|i| !same(&whole, &shifted, i)), "every position depends on all keys before it");
}
