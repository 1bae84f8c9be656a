use sha2::{Digest, Sha256};

use super::oracle::{self, Twist};
use super::{Draw, bits};
use crate::cpu::isa::Isa;
use crate::cpu::ops::{self, Softmax};
use crate::error::FaultKind;

type Each = fn(Isa, &mut [f32]);
type EachOracle = fn(f32, Twist) -> f32;

fn silu_in_place(isa: Isa, x: &mut [f32]) {
    let gate = x.to_vec();
    ops::silu_mul(isa, &gate, &vec![1.0; x.len()], x);
}

const FUNCTIONS: [(&str, Each, EachOracle); 4] = [
    ("exp2", ops::exp2_in_place, oracle::exp2),
    ("exp", ops::exp_in_place, oracle::exp),
    ("ln", ops::ln_in_place, oracle::ln),
    ("silu", silu_in_place, oracle::silu),
];

fn vectors(file: &str) -> serde_json::Value {
    let path = format!("{}/../tests/vectors/exact/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap()
}

/// Whether a bit pattern belongs to a function's sweep.
fn in_sweep(name: &str, pattern: u32) -> bool {
    let exponent = pattern >> 23 & 255;
    exponent != 255 && (name != "ln" || (pattern >> 31 == 0 && exponent != 0))
}

fn digest(x: &[f32], sha: &mut Sha256) {
    let bytes: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
    sha.update(bytes);
}

#[test]
fn elementary_functions_have_the_published_digests_on_every_path() {
    let all = vectors("ops.json");
    for (name, each, oracle) in FUNCTIONS {
        let case = &all["elementary"][name];
        let step = usize::try_from(case["sweep_step"].as_u64().unwrap()).unwrap();
        let patterns = (0..=u32::MAX).step_by(step).filter(|b| in_sweep(name, *b));
        let inputs: Vec<f32> = patterns.map(f32::from_bits).collect();
        assert_eq!(inputs.len() as u64, case["sweep_count"].as_u64().unwrap());
        let hash = |x: &[f32]| {
            let mut sha = Sha256::new();
            digest(x, &mut sha);
            hex::encode(sha.finalize())
        };
        let expected = case["sweep_sha256"].as_str().unwrap();
        for isa in Isa::under_test() {
            let mut x = inputs.clone();
            each(isa, &mut x);
            assert_eq!(hash(&x), expected, "{name} on {isa}");
        }
        let wrong: Vec<f32> = inputs.iter().map(|x| oracle(*x, Twist::Unfused)).collect();
        assert_ne!(hash(&wrong), expected, "{name} without fused multiply-add");
        for point in case["points"].as_array().unwrap() {
            let value = |i: usize| u32::from_str_radix(point[i].as_str().unwrap(), 16).unwrap();
            for isa in Isa::under_test() {
                let mut x = [f32::from_bits(value(0))];
                each(isa, &mut x);
                assert_eq!(x[0].to_bits(), value(1), "{name} of {:08x} on {isa}", value(0));
            }
        }
    }
}

/// 15 thousand million evaluations on the machine's best path, a minute or two of processor time.
#[test]
fn elementary_functions_have_the_published_digest_over_every_input() {
    let isa = Isa::choose(None).unwrap();
    let sweeps = vectors("sweeps.json");
    std::thread::scope(|scope| {
        for (i, (name, each, _)) in FUNCTIONS.into_iter().enumerate() {
            let case = &sweeps["sweeps"][i];
            assert_eq!(case["function"], name);
            scope.spawn(move || {
                let (mut sha, mut count) = (Sha256::new(), 0);
                let (mut x, mut bytes) = (vec![0f32; 1 << 16], vec![0u8; 4 << 16]);
                // The exponent is in the high half, so these are in the sweep all or none.
                for high in (0..1u32 << 16).map(|high| high << 16).filter(|b| in_sweep(name, *b)) {
                    x.iter_mut().zip(high..).for_each(|(x, pattern)| *x = f32::from_bits(pattern));
                    each(isa, &mut x);
                    bytes.as_chunks_mut::<4>().0.iter_mut().zip(&x).for_each(|(b, x)| *b = x.to_le_bytes());
                    sha.update(&bytes);
                    count += x.len() as u64;
                }
                assert_eq!(count, case["count"].as_u64().unwrap());
                assert_eq!(hex::encode(sha.finalize()), case["sha256"].as_str().unwrap(), "{name}");
            });
        }
    });
}

#[test]
fn sums_have_the_written_order_for_every_length() {
    let mut draw = Draw(21);
    let (mut order, mut fused) = (0, 0);
    for n in (0..400).chain([1024, 1151, 2560, 5120]) {
        let x = if n % 2 == 0 { draw.normals(n) } else { draw.row(n) };
        for isa in Isa::under_test() {
            let sum = oracle::s128(&x, false, Twist::None);
            assert_eq!(ops::s128(isa, &x).to_bits(), sum.to_bits(), "{isa} n {n}");
            let squares = oracle::s128(&x, true, Twist::None);
            assert_eq!(ops::s128_of_squares(isa, &x).to_bits(), squares.to_bits(), "{isa} n {n}");
            order += usize::from(sum != oracle::s128(&x, false, Twist::Descending));
            fused += usize::from(squares != oracle::s128(&x, true, Twist::Unfused));
        }
    }
    assert!(order > 40 && fused > 40, "told apart: order {order}, fusing {fused}");
}

#[test]
fn norms_equal_the_oracle_and_fault_on_sums_that_are_not_finite() {
    let mut draw = Draw(22);
    let eps = f32::from_bits(0x3586_37bd);
    let mut told_apart = 0;
    for n in [1, 64, 128, 129, 1024, 2560] {
        let (x, w) = (draw.normals(n), draw.normals(n));
        let r = 1.0 / (oracle::s128(&x, true, Twist::None) / n as f32 + eps).sqrt();
        let expected: Vec<f32> = x.iter().zip(&w).map(|(x, w)| (x * r) * w).collect();
        let wrong: Vec<f32> = x.iter().zip(&w).map(|(x, w)| x * (r * w)).collect();
        told_apart += usize::from(bits(&expected) != bits(&wrong));
        for isa in Isa::under_test() {
            let mut out = vec![0.0; n];
            ops::rms_norm(isa, &x, &w, eps, &mut out).unwrap();
            assert_eq!(bits(&out), bits(&expected), "{isa} n {n}");
            for bad in [f32::NAN, f32::INFINITY, 1e20] {
                let mut x = x.clone();
                x[n / 2] = bad;
                assert_eq!(ops::rms_norm(isa, &x, &w, eps, &mut out), Err(FaultKind::SumOfSquares));
                assert_eq!(bits(&out), bits(&expected), "untouched");
            }
        }
    }
    assert!(told_apart >= 4);
}

#[test]
fn rotation_scaling_and_activation_equal_the_oracle() {
    let mut draw = Draw(23);
    let mut told_apart = 0;
    for half in [1, 32, 64, 128] {
        let (x, cos, sin) = (draw.normals(2 * half), draw.normals(half), draw.normals(half));
        let rotate = |twist: Twist| -> Vec<f32> {
            let (a, b) = x.split_at(half);
            let first = (0..half).map(|i| oracle::fma(a[i], cos[i], -(b[i] * sin[i]), twist));
            let second = (0..half).map(|i| oracle::fma(b[i], cos[i], a[i] * sin[i], twist));
            first.chain(second).collect()
        };
        let expected = rotate(Twist::None);
        told_apart += usize::from(expected != rotate(Twist::Unfused));
        let factor = ops::query_scale(2 * half);
        assert_eq!(factor, (f64::from_bits(0x3ff7_1547_652b_82fe) / (2.0 * half as f64).sqrt()) as f32);
        for isa in Isa::under_test() {
            let mut y = x.clone();
            ops::rope(isa, &mut y, &cos, &sin);
            assert_eq!(bits(&y), bits(&expected), "{isa} half {half}");
            ops::scale(isa, &mut y, factor);
            let scaled: Vec<f32> = expected.iter().map(|x| x * factor).collect();
            assert_eq!(bits(&y), bits(&scaled), "{isa} half {half}");
            let up = &cos[..];
            let expected: Vec<f32> = sin.iter().zip(up).map(|(g, u)| oracle::silu(*g, Twist::None) * u).collect();
            let mut out = vec![0.0; half];
            ops::silu_mul(isa, &sin, up, &mut out);
            assert_eq!(bits(&out), bits(&expected), "{isa} half {half}");
        }
    }
    assert!(told_apart >= 3);
}

/// n, l and p of a chunk by the page.
fn softmax_oracle(z: &[f32], twist: Twist) -> (f32, f32, Vec<f32>) {
    let n = z.iter().copied().fold(f32::NEG_INFINITY, f32::max).ceil();
    let mut p: Vec<f32> = z.iter().map(|z| oracle::exp2(z - n, twist)).collect();
    p.resize(128, 0.0);
    (n, oracle::s128(&p, false, twist), p)
}

#[test]
fn chunks_of_attention_equal_the_oracle() {
    let mut draw = Draw(24);
    let mut told_apart = 0;
    for case in 0..300 {
        let keys = [1, 2, 63, 127, 128][case % 5];
        let spread = [0.0, 1.0, 30.0, 300.0][case / 5 % 4];
        let z: Vec<f32> = (0..keys).map(|_| draw.normal() * spread).collect();
        let g: Vec<i8> = (0..keys).map(|_| draw.below(60) as i8 - 54).collect();
        let (n, l, p) = softmax_oracle(&z, Twist::None);
        told_apart += usize::from(l != softmax_oracle(&z, Twist::Unfused).1);
        let mut weighed: Vec<f32> = p.iter().zip(&g).map(|(p, g)| p * 2f32.powi(i32::from(*g) + 14)).collect();
        weighed.resize(128, 0.0);
        for isa in Isa::under_test() {
            let (mut p2, mut weighed2) = ([9.0; 128], [9.0; 128]);
            let got = ops::softmax_chunk(isa, &z, &mut p2).unwrap();
            assert_eq!((got.n, got.l.to_bits()), (n, l.to_bits()), "{isa} {z:?}");
            assert_eq!(bits(&p2), bits(&p), "{isa}");
            ops::weigh(isa, &p2, &g, &mut weighed2);
            assert_eq!(bits(&weighed2), bits(&weighed), "{isa}");
        }
    }
    assert!(told_apart > 20);
}

#[test]
fn scores_and_outputs_are_scaled_dots() {
    let mut draw = Draw(25);
    for n in [1, 7, 128, 130] {
        let dots: Vec<i32> = (0..n).map(|_| draw.bits() as i32).collect();
        let g: Vec<i8> = (0..n).map(|_| draw.below(100) as i8 - 54).collect();
        let start = draw.normals(n);
        let scaled = |d: i32, g: i32| d as f32 * 2f64.powi(g) as f32;
        for isa in Isa::under_test() {
            for g_query in [-55, -20, 46] {
                let mut z = start.clone();
                ops::accumulate_scores(isa, &dots, g_query, &g, &mut z);
                let sum = |i: usize| scaled(dots[i], i32::from(g[i]) + i32::from(g_query)) + start[i];
                assert_eq!(bits(&z), bits(&(0..n).map(sum).collect::<Vec<_>>()), "{isa}");
            }
            let mut out = vec![0.0; n];
            ops::scale_values(isa, &dots, -37, &mut out);
            assert_eq!(bits(&out), bits(&dots.iter().map(|d| scaled(*d, -51)).collect::<Vec<_>>()), "{isa}");
        }
    }
}

#[test]
fn combining_equals_the_oracle_and_forgets_what_is_100_steps_below() {
    let mut draw = Draw(26);
    let (mut forgotten, mut told_apart) = (0, 0);
    for case in 0..200 {
        let distance = [0, 1, 99, 100, 101, 5000, 1 << 20][case % 7] as f32;
        let sign = if case % 2 == 0 { 1.0 } else { -1.0 };
        let first = Softmax { n: 0.0, l: 1.0 + draw.unit().abs() };
        let chunk = Softmax { n: sign * distance, l: 1.0 + draw.unit().abs() };
        let (o, o_c) = (draw.normals(128), draw.normals(128));
        let n = first.n.max(chunk.n);
        let power = |e: f32| {
            if e < -100.0 { 0.0 } else { 2f64.powi(e as i32) as f32 }
        };
        let (a, b) = (power(first.n - n), power(chunk.n - n));
        forgotten += usize::from(a == 0.0 || b == 0.0);
        let by = |twist: Twist| -> Vec<f32> { (0..128).map(|i| oracle::fma(o_c[i], b, o[i] * a, twist)).collect() };
        let expected = by(Twist::None);
        // Powers of two are exact, so what tells an order apart is the division at the end.
        let l = oracle::fma(chunk.l, b, first.l * a, Twist::None);
        let divided: Vec<f32> = expected.iter().map(|o| o / l).collect();
        told_apart += usize::from(divided != expected.iter().map(|o| o * (1.0 / l)).collect::<Vec<_>>());
        for isa in Isa::under_test() {
            let (mut state, mut out) = (first, o.clone());
            ops::combine(isa, &mut state, &mut out, chunk, &o_c);
            assert_eq!((state.n, state.l.to_bits()), (n, l.to_bits()), "{isa}");
            assert_eq!(bits(&out), bits(&expected), "{isa}");
            ops::divide(isa, &mut out, state.l);
            assert_eq!(bits(&out), bits(&divided), "{isa}");
        }
    }
    assert!(forgotten > 40 && told_apart > 100);
}

#[test]
fn scores_and_logits_that_are_nan_or_too_large_are_faults() {
    let limit = 1_048_576.0f32;
    for isa in Isa::under_test() {
        for at in [0, 15, 16, 127] {
            let run = |value: f32, rest: f32| {
                let mut z = vec![rest; 128];
                z[at] = value;
                let softmax =
                    ops::softmax_chunk(isa, &z, &mut [0.0; 128]).map(drop).map_err(|e| e == FaultKind::Attention);
                let logits =
                    ops::log_sum_chunks(isa, &z, 1.0, &mut [0.0], &mut [0.0]).map_err(|e| e == FaultKind::Logits);
                assert_eq!(softmax, logits);
                softmax
            };
            for (bad, rest) in [(f32::NAN, 0.0), (limit.next_up(), 0.0), (f32::INFINITY, 0.0)] {
                assert_eq!(run(bad, rest), Err(true), "{isa} {bad} at {at}");
            }
            for rest in [-limit - 1.0, f32::NEG_INFINITY] {
                assert_eq!(run(rest, rest), Err(true), "{isa} all {rest}");
            }
            for (good, rest) in [(limit, 0.0), (-limit, -limit - 9.0), (0.0, f32::NEG_INFINITY)] {
                assert_eq!(run(good, rest), Ok(()), "{isa} {good} at {at}");
            }
        }
    }
}

#[test]
fn log_sums_equal_the_oracle_for_every_vocabulary_length() {
    let mut draw = Draw(27);
    let mut told_apart = 0;
    for vocabulary in [1usize, 127, 128, 129, 768, 128 * 129 + 5, 100_000] {
        for spread in [0.02, 1.0, 3.0, 400.0] {
            let logits: Vec<f32> = (0..vocabulary).map(|_| draw.unit() * spread).collect();
            let k = (std::f64::consts::LOG2_E / 0.7) as f32;
            let log_sum = |twist: Twist| {
                let chunks: Vec<_> = logits
                    .chunks(128)
                    .map(|x| softmax_oracle(&x.iter().map(|x| x * k).collect::<Vec<_>>(), twist))
                    .collect();
                let n = chunks.iter().map(|c| c.0).fold(f32::NEG_INFINITY, f32::max);
                let power = |e: f32| {
                    if e < -100.0 { 0.0 } else { 2f64.powi(e as i32) as f32 }
                };
                let terms: Vec<f32> = chunks.iter().map(|c| c.1 * power(c.0 - n)).collect();
                (n, oracle::s128(&terms, false, twist), chunks.iter().map(|c| c.1).collect::<Vec<_>>())
            };
            let (n, l, chunks) = log_sum(Twist::None);
            told_apart += chunks.iter().zip(log_sum(Twist::Unfused).2).filter(|(l, wrong)| *l != wrong).count();
            for isa in Isa::under_test() {
                let (mut ns, mut ls) = (vec![0.0; vocabulary.div_ceil(128)], vec![0.0; vocabulary.div_ceil(128)]);
                ops::log_sum_chunks(isa, &logits, k, &mut ns, &mut ls).unwrap();
                assert_eq!(bits(&ls), bits(&chunks), "{isa} {vocabulary}");
                let got = ops::log_sum(isa, &ns, &ls);
                assert_eq!((got.0, got.1.to_bits()), (n, l.to_bits()), "{isa} {vocabulary}");
            }
            let y = logits[0] * k;
            let expected = (y - n).mul_add(f32::from_bits(0x3f31_7218), -oracle::ln(l, Twist::None));
            assert_eq!(ops::log_probability(y, n, l).to_bits(), expected.to_bits());
        }
    }
    assert!(told_apart > 20, "{told_apart}");
}

#[test]
fn the_sketch_is_the_exact_sum_and_refuses_what_does_not_fit() {
    let mut draw = Draw(28);
    let q = i128::from(ops::Q);
    let (mut ties, mut beyond) = (0, 0);
    for case in 0..200 {
        let n = [1, 64, 1000, 1024, 2560][case % 5];
        let size = [1.0, 1e-3, 3e4, 2e6][case / 5 % 4];
        let mut h: Vec<f32> = (0..n).map(|_| draw.unit() * size).collect();
        h[0] = (draw.below(100) as f32 + 0.5) / 1024.0;
        let r: Vec<i32> = (0..n).map(|i| if i == 1 { i32::MIN } else { draw.bits() as i32 }).collect();
        let sum = |round: fn(f32) -> f32| {
            let sum: i128 = h.iter().zip(&r).map(|(h, r)| round(h * 1024.0) as i128 * i128::from(*r)).sum();
            sum.rem_euclid(q) as u32
        };
        let expected = sum(f32::round_ties_even);
        ties += usize::from(expected != sum(f32::round));
        beyond += usize::from(h.iter().map(|h| (h * 1024.0).abs() as u64).sum::<u64>() >= 1 << 32);
        for isa in Isa::under_test() {
            assert_eq!(ops::sketch(isa, &h, &r), Ok(expected), "{isa} case {case}");
        }
    }
    assert!(ties > 20 && beyond > 20, "ties {ties}, sums beyond 2^32 {beyond}");
    let limit = 2_097_152.0f32;
    for isa in Isa::under_test() {
        for bad in [f32::NAN, f32::INFINITY, limit, -limit, f32::MAX] {
            assert_eq!(ops::sketch(isa, &[0.0, bad, 1.0], &[1, 2, 3]), Err(FaultKind::Sketch), "{bad}");
        }
        let v = i64::from(limit.next_down() as i32) * 1024;
        assert!(ops::sketch(isa, &[limit.next_down()], &[1]).is_ok_and(|s| i64::from(s) > v));
        assert_eq!(ops::sketch(isa, &[-1.0 / 1024.0], &[1]), Ok(ops::Q - 1));
    }
}

#[test]
fn the_greatest_element_is_the_lowest_of_equals() {
    let mut draw = Draw(29);
    for n in [1, 2, 127, 128, 129, 5000] {
        for _ in 0..20 {
            let mut x: Vec<f32> = (0..n).map(|_| (draw.unit() * 4.0).round()).collect();
            if draw.below(3) == 0 {
                x.iter_mut().for_each(|x| *x = -x.abs()); // ties of -0 and +0
                let at = draw.below(n);
                x[at] = 0.0;
            }
            let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let expected = x.iter().position(|x| *x == max).unwrap();
            for isa in Isa::under_test() {
                assert_eq!(ops::arg_max(isa, &x), expected, "{isa}");
            }
        }
    }
}
