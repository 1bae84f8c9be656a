//! choose.cu, sample_row.cu and the epilogue of the head (by read_logits.cu) against `numerics::sample`, to the bit.

use proptest::prelude::*;

use super::device;
use crate::FaultKind;
use crate::cuda::ops::choose::Choose;
use crate::cuda::ops::context::Context;
use crate::cuda::ops::read_logits::ReadLogits;
use crate::cuda::ops::reading::{Answer, Question, Reading, ReadingShape};
use crate::cuda::{Device, DeviceBuffer, abi};
use crate::numerics;
use crate::types::{Logprobs, Sampling, Seed};

pub(super) const LAYER: u32 = 7;

/// A question whose row has a context of its own: `tokens`, which the new token follows.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub row: usize,
    pub tokens: Vec<u32>,
    pub seed: Seed,
    pub claimed: Option<u32>,
}

/// What the reference says. A fault of section 9 has the word of its stage.
pub(super) fn expected(logits: &[f32], ask: &Ask, sampling: &Sampling) -> Answer {
    match numerics::sample(logits, &ask.tokens, sampling, &ask.seed, ask.tokens.len()) {
        Ok(s) => {
            let told = ask.claimed.unwrap_or(s.token) as usize;
            Ok((s.token, Some(Logprobs { raw: s.raw_logprobs[told], sampling: s.sampling_logprobs[told] })))
        }
        Err(kind) => {
            assert_eq!(kind, FaultKind::Logits);
            Err(LAYER << 16 | abi::STAGE_LOGITS << 8 | abi::FAULT_LOGITS)
        }
    }
}

/// A reading with the questions asked and the contexts marked: slot = row.
pub(super) fn prepared(
    device: &Device,
    shape: ReadingShape,
    asks: &[Ask],
    sampling: &Sampling,
    logprobs: bool,
    store: bool,
) -> Reading {
    let mut reading = Reading::new(device, shape).unwrap();
    let context = Context::new(device).unwrap();
    reading.set_sampling(sampling, logprobs, store).unwrap();
    let mut marked = vec![false; shape.slots as usize];
    for ask in asks {
        if !std::mem::replace(&mut marked[ask.row], true) {
            // The table of a sequence that is scored holds what comes later too; from its position on it counts for nothing.
            let later = (0..6).map(|i| (ask.tokens.len() as u32 * 7 + i * 5) % shape.vocabulary);
            let tokens: Vec<u32> = ask.tokens.iter().copied().chain(later).collect();
            let tokens = DeviceBuffer::from_slice(device, &tokens).unwrap();
            context.start(&mut reading, ask.row as u32, None).unwrap();
            // SAFETY: contexts in these tests hold ids of the vocabulary.
            unsafe { context.mark(&mut reading, ask.row as u32, &tokens, 0) }.unwrap();
        }
    }
    let question = |ask: &Ask| Question {
        row: ask.row as u32,
        slot: ask.row as u32,
        position: ask.tokens.len() as u32,
        claimed: ask.claimed,
        seed: ask.seed,
        next_row: 0,
        last_position: u32::MAX,
    };
    reading.ask(&asks.iter().map(question).collect::<Vec<_>>()).unwrap();
    reading
}

/// Answers from given logits.
fn read(
    device: &Device,
    rows: &[Vec<f32>],
    asks: &[Ask],
    sampling: &Sampling,
    logprobs: bool,
    slices: u32,
) -> Vec<Answer> {
    let vocabulary = rows[0].len();
    let shape = ReadingShape {
        vocabulary: vocabulary as u32,
        rows: rows.len() as u32,
        questions: asks.len() as u32,
        slots: rows.len() as u32,
        slices,
        layer: LAYER,
    };
    let mut reading = prepared(device, shape, asks, sampling, logprobs, false);
    let mut logits = Vec::new();
    for row in rows {
        logits.extend_from_slice(row);
        // What lies beyond the vocabulary counts for nothing.
        logits.resize(logits.len().next_multiple_of(128), f32::NAN);
    }
    let logits = DeviceBuffer::from_slice(device, &logits).unwrap();
    ReadLogits::new(device).unwrap().run(&logits, &mut reading).unwrap();
    Choose::new(device).unwrap().run(&mut reading).unwrap();
    reading.answers().unwrap()
}

type Bits = Result<(u32, Option<(u32, u32)>), u32>;

pub(super) fn bits(answer: &Answer) -> Bits {
    // A log-probability is never -0 (reading.cuh). The reference leaves the sign of a zero N to f32::max, and so to the compiler.
    answer.map(|(token, l)| (token, l.map(|l| ((l.raw + 0.0).to_bits(), (l.sampling + 0.0).to_bits()))))
}

/// With log-probabilities to the bit, and never -0; without, the same tokens.
fn agree(device: &Device, rows: &[Vec<f32>], asks: &[Ask], sampling: &Sampling, slices: u32) -> Result<(), String> {
    let wanted: Vec<Answer> = asks.iter().map(|ask| expected(&rows[ask.row], ask, sampling)).collect();
    for logprobs in [true, false] {
        let found = read(device, rows, asks, sampling, logprobs, slices);
        for ((ask, wanted), found) in asks.iter().zip(&wanted).zip(&found) {
            let negative_zero = |l: Logprobs| [l.raw, l.sampling].iter().any(|x| x.to_bits() == 1 << 31);
            if matches!(found, Ok((_, Some(l))) if negative_zero(*l)) {
                return Err(format!("{ask:?}: {found:?}"));
            }
            let same = match (logprobs, wanted) {
                (true, _) => bits(wanted) == bits(found),
                (false, Ok((token, _))) => *found == Ok((*token, None)),
                // What only the log-probabilities meet is not looked for.
                (false, Err(_)) => true,
            };
            if !same {
                return Err(format!(
                    "{sampling:?}, log-probabilities {logprobs}, {ask:?}: {wanted:?}, found {found:?}"
                ));
            }
        }
    }
    Ok(())
}

/// Logits without a pattern, from an integer hash.
pub(super) fn noise(count: usize, salt: u32, width: f32) -> Vec<f32> {
    let one = |i: u32| {
        let x = (i.wrapping_add(salt.wrapping_mul(0x9e37_79b9))).wrapping_mul(0x85eb_ca6b);
        let x = (x ^ (x >> 15)).wrapping_mul(0xc2b2_ae35);
        ((x ^ (x >> 13)) as f32 / 4_294_967_296.0 - 0.5) * width
    };
    (0..count as u32).map(one).collect()
}

pub(super) fn seed(n: u8) -> Seed {
    Seed(std::array::from_fn(|i| n.wrapping_mul(31).wrapping_add(i as u8 * 7)))
}

/// Two questions to each row, one with a claimed token; the context is a few ids of the vocabulary, some of them twice.
fn two_asks(rows: &[Vec<f32>]) -> Vec<Ask> {
    let vocabulary = rows[0].len() as u32;
    let ask = |row: usize, claims: bool| Ask {
        row,
        tokens: (0..9).map(|i| (row as u32 * 13 + i / 2 * 29) % vocabulary).collect(),
        seed: seed(row as u8 * 2 + u8::from(claims)),
        claimed: claims.then_some((row as u32 * 131 + 5) % vocabulary),
    };
    (0..rows.len()).flat_map(|row| [ask(row, false), ask(row, true)]).collect()
}

fn some_logits() -> impl Strategy<Value = Vec<f32>> {
    // Few distinct values make ties; -inf and zeros of both signs are legal.
    let few = prop_oneof![Just(0.0f32), Just(-0.0), Just(1.0), Just(-3.5), Just(f32::NEG_INFINITY)];
    let zeros = prop_oneof![4 => Just(-0.0f32), 1 => Just(0.0f32), 1 => Just(-0.25f32)];
    let mixed = prop_oneof![8 => -12.0f32..12.0, 1 => few.clone(), 1 => 30.0f32..31.0];
    let row = |one: BoxedStrategy<f32>, most: usize| prop::collection::vec(one, 1..most);
    prop_oneof![
        row(mixed.boxed(), 700),
        row(few.boxed(), 700),
        row(zeros.boxed(), 300),
        row((-0.01f32..0.01).boxed(), 700)
    ]
}

fn some_sampling() -> impl Strategy<Value = Sampling> {
    (
        prop_oneof![Just(0.0), Just(0.7), Just(1.0), 0.01f64..3.0],
        prop_oneof![Just(0u32), Just(1), Just(50), 1u32..800],
        prop_oneof![Just(1.0), Just(0.0), Just(0.95), 0.0f64..1.0],
        prop_oneof![Just(1.0), Just(1.1), 0.5f64..2.0],
    )
        .prop_map(|(temperature, top_k, top_p, repetition_penalty)| Sampling {
            temperature,
            top_k,
            top_p,
            repetition_penalty,
        })
}

#[test]
fn answers_equal_the_reference_bitwise() {
    let Some(device) = device() else { return };
    let questions = prop::collection::vec((any::<[u8; 32]>(), any::<Option<prop::sample::Index>>()), 1..4);
    let picks = prop::collection::vec(any::<prop::sample::Index>(), 0..40);
    proptest!(ProptestConfig::with_cases(200), |(
        base in some_logits(),
        questions in questions,
        picks in picks,
        sampling in some_sampling(),
        count in 1usize..4,
        slices in any::<prop::sample::Index>(),
    )| {
        let vocabulary = base.len();
        let slices = 1 + slices.index(vocabulary.div_ceil(128)) as u32;
        let mut rows = vec![base];
        for i in 1..count {
            let mut next = rows[i - 1].clone();
            next.rotate_left(7 % vocabulary);
            rows.push(next);
        }
        let tokens: Vec<u32> = picks.iter().map(|p| p.index(vocabulary) as u32).collect();
        let asks: Vec<Ask> = (0..count)
            .flat_map(|row| questions.iter().map(move |q| (row, q)))
            .map(|(row, (s, claimed))| Ask {
                row,
                tokens: tokens[..tokens.len() - row.min(tokens.len())].to_vec(),
                seed: Seed(*s),
                claimed: claimed.map(|c| c.index(vocabulary) as u32),
            })
            .collect();
        prop_assert_eq!(agree(&device, &rows, &asks, &sampling, slices), Ok(()));
    });
}

#[test]
fn vocabularies_of_every_kind_of_last_chunk_agree() {
    let Some(device) = device() else { return };
    for vocabulary in [1, 127, 128, 129, 1000, 5003] {
        let rows = [noise(vocabulary, 1, 30.0), noise(vocabulary, 2, 6.0)];
        let asks = two_asks(&rows);
        let most = vocabulary.div_ceil(128) as u32;
        for (top_k, top_p) in
            [(0, 1.0), (0, 0.9), (1, 1.0), (50, 0.95), (127, 0.5), (128, 1.0), (129, 0.99), (6000, 1.0)]
        {
            for temperature in [0.0, 0.7] {
                let sampling = Sampling { temperature, top_k, top_p, repetition_penalty: 1.1 };
                for slices in [1, most.min(3), most] {
                    agree(&device, &rows, &asks, &sampling, slices).unwrap();
                }
            }
        }
    }
}

/// More chunks than S128 has partial sums, and as many lists as choose.cu holds.
#[test]
fn wide_vocabularies_agree() {
    let Some(device) = device() else { return };
    let rows = [noise(20_001, 3, 25.0), noise(20_001, 4, 0.5)];
    let asks = two_asks(&rows);
    for (top_k, top_p) in [(0, 1.0), (0, 0.9), (50, 0.95), (128, 1.0), (2000, 1.0)] {
        let sampling = Sampling { temperature: 0.9, top_k, top_p, repetition_penalty: 1.1 };
        for slices in [1, abi::SLICES_MAX] {
            agree(&device, &rows, &asks, &sampling, slices).unwrap();
        }
    }
}

#[test]
fn batches_of_any_size_agree() {
    let Some(device) = device() else { return };
    for (count, vocabulary) in [(7, 260), (8, 260), (9, 260), (65, 129)] {
        let rows: Vec<Vec<f32>> = (0..count).map(|i| noise(vocabulary, i as u32, 12.0)).collect();
        let asks = two_asks(&rows);
        for (top_k, top_p) in [(0, 1.0), (50, 0.95), (0, 0.8)] {
            let sampling = Sampling { temperature: 1.0, top_k, top_p, repetition_penalty: 0.8 };
            agree(&device, &rows, &asks, &sampling, 2).unwrap();
        }
    }
}

/// A list that is cut down again and again, and floors that differ between slices: values ascend, so all that was kept goes.
#[test]
fn ascending_logits_displace_every_list() {
    let Some(device) = device() else { return };
    let rows = [
        (0..3000).map(|i| i as f32 * 0.001).collect::<Vec<f32>>(),
        (0..3000).map(|i| (i / 700) as f32).collect(),
        // An ulp apart: whatever is dropped is dropped by an ulp.
        (0..3000).map(|i| 1.0 + i as f32 * f32::EPSILON).collect(),
        (0..3000).map(|i| 1.0 + (i * 7 % 3000) as f32 * f32::EPSILON).collect(),
    ];
    let asks = two_asks(&rows);
    for top_k in [1, 50, 100, 128] {
        let sampling = Sampling { temperature: 0.7, top_k, top_p: 1.0, repetition_penalty: 1.0 };
        for slices in [1, 5, 24] {
            agree(&device, &rows, &asks, &sampling, slices).unwrap();
        }
    }
}

/// More equal values than shared memory holds, so that the row itself is searched.
#[test]
fn crowded_bins_end_where_the_reference_ends() {
    let Some(device) = device() else { return };
    let rows = [vec![0.25f32; 5003], (0..5003).map(|i| (i % 3) as f32 * 1e-4).collect::<Vec<f32>>()];
    let asks = two_asks(&rows);
    for (top_k, top_p) in [(0, 0.3), (4000, 1.0), (4000, 0.7), (0, 0.0)] {
        let sampling = Sampling { temperature: 1.0, top_k, top_p, repetition_penalty: 1.3 };
        agree(&device, &rows, &asks, &sampling, 3).unwrap();
    }
}

/// Eight tokens of one mass: a top-p of 1/4 is two of them exactly, and the next number above lets a third in where it reaches a unit.
#[test]
fn top_p_on_an_exact_boundary() {
    let Some(device) = device() else { return };
    let mut row = vec![-50.0f32; 200];
    row[40..48].fill(2.0);
    let above = 0.25 + 1e-9;
    for (top_p, kept) in [(0.25, 2), (above, 3), (0.25 - 1e-9, 2), (0.0, 1)] {
        for top_k in [0, 8, 150] {
            let sampling = Sampling { temperature: 1.0, top_k, top_p, repetition_penalty: 1.0 };
            let asks: Vec<Ask> = (0..60)
                .map(|i| Ask { row: 0, tokens: vec![3], seed: seed(i), claimed: (i % 2 == 0).then_some(41) })
                .collect();
            let s = numerics::sample(&row, &[3], &sampling, &seed(0), 1).unwrap();
            assert_eq!(s.kept.len(), kept, "the case is on the boundary");
            let rows = [row.clone()];
            agree(&device, &rows, &asks, &sampling, 2).unwrap();
            let found = read(&device, &rows, &asks, &sampling, true, 2);
            let drawn: std::collections::BTreeSet<u32> = found.iter().map(|a| a.unwrap().0).collect();
            assert_eq!(drawn.into_iter().collect::<Vec<_>>(), s.kept, "sixty draws from {kept}");
        }
    }
}

/// Masses ahead that are the limit exactly, where the value changes: by whole units of y, and within a bin of the histogram.
#[test]
fn top_p_on_a_boundary_between_values() {
    let Some(device) = device() else { return };
    // y = logit.
    let sampling =
        |top_k, top_p| Sampling { temperature: std::f64::consts::LOG2_E, top_k, top_p, repetition_penalty: 1.0 };
    for below in [1.0f32, 0.015_625, 0.000_001] {
        let mut row = vec![-60.0f32; 300];
        (row[7], row[250]) = (3.0, 3.0);
        row[100..105].fill(3.0 - below);
        row[0] = 3.0 - below;
        let whole = numerics::sample(&row, &[3], &sampling(0, 0.999_999_9), &seed(0), 1).unwrap();
        let top_p = (2u64 << 40) as f64 / whole.total_mass as f64;
        let asks: Vec<Ask> = (0..40)
            .map(|i| Ask { row: 0, tokens: vec![3], seed: seed(i), claimed: (i % 2 == 0).then_some(102) })
            .collect();
        for (top_p, kept) in [(top_p.next_up(), 2), (top_p.next_down(), 2), (top_p + 1e-9, 3)] {
            for top_k in [0, 20, 200] {
                let sampling = sampling(top_k, top_p);
                let s = numerics::sample(&row, &[3], &sampling, &seed(0), 1).unwrap();
                assert_eq!((s.kept.len(), s.n), (kept, Some(3.0)), "the case is on the boundary");
                agree(&device, &[row.clone()], &asks, &sampling, 2).unwrap();
            }
        }
    }
}

#[test]
fn a_fault_is_its_rows_alone() {
    let Some(device) = device() else { return };
    for bad in [f32::NAN, f32::INFINITY, 2e6] {
        let mut rows: Vec<Vec<f32>> = (0..3).map(|i| noise(300, i, 8.0)).collect();
        rows[1][257] = bad;
        let asks = two_asks(&rows);
        for (top_k, top_p) in [(0, 1.0), (20, 0.9), (0, 0.9)] {
            let sampling = Sampling { temperature: 1.0, top_k, top_p, repetition_penalty: 1.1 };
            agree(&device, &rows, &asks, &sampling, 2).unwrap();
            let found = read(&device, &rows, &asks, &sampling, true, 2);
            let faults: Vec<bool> = found.iter().map(|a| a.is_err()).collect();
            assert_eq!(faults, [false, false, true, true, false, false]);
        }
    }
    // A chunk of nothing but -inf has no n_c.
    let mut row = noise(300, 1, 8.0);
    row[128..256].fill(f32::NEG_INFINITY);
    let rows = [row];
    let asks = two_asks(&rows);
    agree(&device, &rows, &asks, &Sampling::default(), 1).unwrap();
    assert!(read(&device, &rows, &asks, &Sampling::default(), true, 1).iter().all(|a| a.is_err()));
}

/// The value that a key was made of, but -0.
fn value_of(key: u64) -> f32 {
    let o = (key >> 32) as u32;
    f32::from_bits(if o >> 31 == 1 { o & 0x7fff_ffff } else { !o })
}

/// Scores themselves, of which answers show only the greatest: of every chunk, and from random words at both ends.
#[test]
fn scores_equal_the_reference_bitwise() {
    let Some(device) = device() else { return };
    let sampling = Sampling { temperature: 0.8, top_k: 0, top_p: 1.0, repetition_penalty: 1.0 };
    // Found by search: with seed(0), u of this id at this position is 0 or 7, or fffffffb or fffffff5.
    let ends = [(1, 1_250_921), (0, 107_410_518), (2, 28_183_535), (2, 171_055_999)];
    let mut cases: Vec<(Vec<f32>, u32)> = (0..4).map(|i| (noise(1000, i, 1.5 * i as f32), 40 + i)).collect();
    cases.extend(ends.map(|(id, position)| {
        let mut row = vec![0.0; 4];
        row[id] = 20.0;
        (row, position)
    }));
    for (row, position) in cases {
        let chunks = row.len().div_ceil(128);
        let shape =
            ReadingShape { vocabulary: row.len() as u32, rows: 1, questions: 25, slots: 1, slices: 1, layer: 0 };
        let question = |i: u8| Question {
            row: 0,
            slot: 0,
            position,
            claimed: None,
            seed: seed(i),
            next_row: 0,
            last_position: u32::MAX,
        };
        let mut reading = Reading::new(&device, shape).unwrap();
        reading.set_sampling(&sampling, false, false).unwrap();
        reading.ask(&(0..25).map(question).collect::<Vec<_>>()).unwrap();
        let mut padded = row.clone();
        padded.resize(128 * chunks, 0.0);
        let logits = DeviceBuffer::from_slice(&device, &padded).unwrap();
        ReadLogits::new(&device).unwrap().run(&logits, &mut reading).unwrap();
        let keys = reading.best_keys().unwrap();
        for i in 0..25usize {
            let wanted = numerics::sample(&row, &[], &sampling, &seed(i as u8), position as usize).unwrap();
            for (c, scores) in wanted.scores.chunks(128).enumerate() {
                let best = scores.iter().copied().reduce(|a, b| if b > a { b } else { a }).unwrap();
                let found = value_of(keys[i * chunks + c]);
                assert_eq!((found + 0.0).to_bits(), (best + 0.0).to_bits(), "{found} {best}: question {i}, chunk {c}");
            }
        }
    }
}

/// The comparison sees what it should: the last bit of a log-probability, another word of the seed, the penalty.
#[test]
fn a_changed_question_is_another_answer() {
    let Some(device) = device() else { return };
    let row = noise(400, 5, 3.0);
    let sampling = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, repetition_penalty: 1.2 };
    let ask = |seed: Seed, tokens: &[u32]| vec![Ask { row: 0, tokens: tokens.to_vec(), seed, claimed: Some(9) }];
    let one = |row: &[f32], asks: &[Ask]| read(&device, &[row.to_vec()], asks, &sampling, true, 2)[0].unwrap();
    let (token, logprobs) = one(&row, &ask(seed(1), &[9, 8]));
    let logprobs = logprobs.unwrap();
    let mut moved = row.clone();
    moved[200] += 0.01;
    assert_ne!(one(&moved, &ask(seed(1), &[9, 8])).1.unwrap().raw, logprobs.raw);
    let unmarked = one(&row, &ask(seed(1), &[7, 8])).1.unwrap();
    assert_eq!(unmarked.raw, logprobs.raw);
    assert_ne!(unmarked.sampling, logprobs.sampling);
    for word in 0..4 {
        let mut other = seed(1);
        other.0[4 * word] ^= 1;
        assert_ne!(one(&row, &ask(other, &[9, 8])).0, token, "seed word {word}");
    }
    assert_ne!(one(&row, &ask(seed(1), &[9, 8, 8])).0, token, "position");
}
