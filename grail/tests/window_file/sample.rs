//! Window files: a small one, and any.

use grail_protocol::json::{Style, Value};
use grail_protocol::sketch::PRIME_Q;
use grail_protocol::window::{
    Beacon, Block, Claim, Commit, Form, Inference, Integer, Model, Schema, Shape, Statement, WindowFile,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{LIMITS, SCHEMA};

/// A file of one short rollout in which every value stands once, so that a test can replace it in the text.
pub fn small() -> WindowFile {
    WindowFile {
        proof_version: "version".into(),
        network_id: "network".into(),
        window_start: 6000,
        window_length: 12,
        wallet: "wallet".into(),
        block: Block { number: 6001, hash: "0xhash".into(), timestamp_ms: 1_692_806_361_766 },
        beacon: Beacon { round: 1000, signature: "beacon signature".into() },
        timestamp: 1_692_806_371.25,
        inferences: vec![small_inference()],
    }
}

fn small_inference() -> Inference {
    Inference {
        window_start: 6002,
        block: 6003,
        nonce: 7,
        sat_seed: "sat seed".into(),
        difficulty: 0.79,
        block_hash: "0xblock".into(),
        randomness: "entry randomness".into(),
        use_drand: true,
        rollout_group: 33,
        rollout_index: 44,
        total_in_group: 55,
        commit: small_commit(),
        timestamp: 1_692_806_363.5,
        challenge: "challenge".into(),
        hotkey: "hotkey".into(),
        signature: "entry signature".into(),
    }
}

fn small_commit() -> Commit {
    Commit {
        tokens: vec![371, 325, 399],
        s_vals: vec![373_071_203, 1_313_849_995, 0],
        model: Model {
            name: "model".into(),
            layer_index: -1,
            weights_digest: "digest".into(),
            numerics: "numerics".into(),
        },
        signature: "commit signature".into(),
        randomness: "commit randomness".into(),
        problem: Statement {
            seed: "problem seed".into(),
            difficulty: 0.8,
            fields: vec!["[[6,1,-3],[]]".into(), "66".into()],
        },
        rollout: Claim {
            prompt_length: 101,
            completion_length: 202,
            token_logprobs: vec![0.0, -0.5, -0.25],
            raw_token_logprobs: vec![0.0, -0.75, -1.5],
            success: false,
            total_reward: 1.125,
            advantage: -2.5,
            trajectory: "[[0,[true,false],2.125]]".into(),
            answer: vec!["[false,true]".into(), "15".into()],
        },
    }
}

/// The text of [`small`].
pub fn small_text() -> String {
    small().to_text(&SCHEMA, Form::Whole)
}

/// A schema with every shape, and names around the format's own.
pub const WIDE: Schema = Schema {
    statement: &[
        ("a", Shape::List(&Shape::Real)),
        ("k", Shape::Bool),
        ("q \"\u{e9}\u{1f600}", Shape::Text),
        ("z", Shape::List(&Shape::List(&Shape::Text))),
    ],
    answer: &[("b", Shape::Text), ("p", Shape::Real), ("zz", Shape::Integer)],
};

/// Any file under a schema and [`LIMITS`].
pub fn files(schema: Schema) -> impl Strategy<Value = WindowFile> {
    let head = (any::<[String; 5]>(), any::<[Integer; 5]>(), reals());
    (head, vec(inferences(schema), 0..3)).prop_map(|((texts, integers, timestamp), inferences)| {
        let [proof_version, network_id, wallet, hash, signature] = texts;
        let [window_start, window_length, number, timestamp_ms, round] = integers;
        WindowFile {
            proof_version,
            network_id,
            window_start,
            window_length,
            wallet,
            block: Block { number, hash, timestamp_ms },
            beacon: Beacon { round, signature },
            timestamp,
            inferences,
        }
    })
}

fn inferences(schema: Schema) -> impl Strategy<Value = Inference> {
    (any::<[String; 6]>(), any::<[Integer; 6]>(), reals(), reals(), any::<bool>(), commits(schema)).prop_map(
        |(texts, integers, difficulty, timestamp, use_drand, commit)| {
            let [sat_seed, block_hash, randomness, challenge, hotkey, signature] = texts;
            let [window_start, block, nonce, rollout_group, rollout_index, total_in_group] = integers;
            Inference {
                window_start,
                block,
                nonce,
                sat_seed,
                difficulty,
                block_hash,
                randomness,
                use_drand,
                rollout_group,
                rollout_index,
                total_in_group,
                commit,
                timestamp,
                challenge,
                hotkey,
                signature,
            }
        },
    )
}

fn commits(schema: Schema) -> impl Strategy<Value = Commit> {
    let per_token = vec((0..LIMITS.vocab_size, 0..PRIME_Q, f32s(), f32s()), 0..6);
    let problem = (any::<String>(), reals(), fields(schema.statement));
    (any::<[String; 5]>(), any::<Integer>(), per_token, problem, claims(schema)).prop_map(
        |(texts, layer_index, per_token, (seed, difficulty, fields), mut rollout)| {
            let [name, weights_digest, numerics, signature, randomness] = texts;
            rollout.token_logprobs = per_token.iter().map(|t| t.2).collect();
            rollout.raw_token_logprobs = per_token.iter().map(|t| t.3).collect();
            Commit {
                tokens: per_token.iter().map(|t| t.0).collect(),
                s_vals: per_token.iter().map(|t| t.1).collect(),
                model: Model { name, layer_index, weights_digest, numerics },
                signature,
                randomness,
                problem: Statement { seed, difficulty, fields },
                rollout,
            }
        },
    )
}

fn claims(schema: Schema) -> impl Strategy<Value = Claim> {
    let steps = vec((any::<Integer>(), values(schema.answer[0].1), reals()), 0..3);
    let trajectory = steps.prop_map(|steps| {
        let step = |(step, action, reward)| Value::List(vec![Value::Integer(step), action, Value::Real(reward)]);
        Value::List(steps.into_iter().map(step).collect()).to_text(Style::Canonical)
    });
    (any::<[Integer; 2]>(), any::<bool>(), reals(), reals(), trajectory, fields(schema.answer)).prop_map(
        |([prompt_length, completion_length], success, total_reward, advantage, trajectory, answer)| Claim {
            prompt_length,
            completion_length,
            token_logprobs: Vec::new(),
            raw_token_logprobs: Vec::new(),
            success,
            total_reward,
            advantage,
            trajectory,
            answer,
        },
    )
}

fn fields(shapes: &'static [(&'static str, Shape)]) -> impl Strategy<Value = Vec<String>> {
    let text = |&(_, shape): &(&str, Shape)| values(shape).prop_map(|value| value.to_text(Style::Canonical));
    shapes.iter().map(text).collect::<Vec<_>>()
}

fn values(shape: Shape) -> BoxedStrategy<Value> {
    match shape {
        Shape::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Shape::Integer => any::<Integer>().prop_map(Value::Integer).boxed(),
        Shape::Real => reals().prop_map(Value::Real).boxed(),
        Shape::Text => any::<String>().prop_map(Value::Text).boxed(),
        Shape::List(&item) => vec(values(item), 0..4).prop_map(Value::List).boxed(),
    }
}

/// Any finite f64, zeros of both signs often.
fn reals() -> impl Strategy<Value = f64> {
    prop_oneof![
        1 => Just(-0.0),
        1 => Just(0.0),
        8 => any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |x| x.is_finite()),
    ]
}

fn f32s() -> impl Strategy<Value = f32> {
    any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |x| x.is_finite())
}
