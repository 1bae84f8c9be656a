//! exact/ops.json and exact/sweeps.json against the scalar reference.

use grail_engine::numerics::*;
use grail_engine::types::{Sampling, Seed};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::generated::*;

/// exact/ops.json; `r_vector` expands randomness (hex) to that many integers.
pub fn ops(file: &Value, r_vector: impl Fn(&str, usize) -> Outcome<Vec<i32>>) -> Outcome<usize> {
    let mut cases = 0;
    cases += each(file, "quantizers", quantizers)?;
    cases += each(file, "products", products)?;
    cases += each(file, "sums", sums)?;
    cases += each(file, "rmsnorm", rms)?;
    cases += each(file, "rope_tables", rope_tables)?;
    cases += each(file, "rope", rope)?;
    cases += each(file, "attention", attention)?;
    cases += elementary(field(file, "elementary")?)?;
    cases += each(file, "logprobs", logprobs)?;
    cases += each(file, "sketches", |case| sketches(case, &r_vector))?;
    cases += each(file, "sampling", sampling)?;
    cases += each(file, "noise", noises)?;
    cases += each(file, "philox", philox)?;
    cases += each(file, "faults", faults)?;
    Ok(cases)
}

fn fault<T>(r: Result<T, grail_engine::FaultKind>) -> Outcome<T> {
    r.map_err(|e| format!("unexpected fault: {e}"))
}

fn quantizers(case: &Value) -> Outcome {
    let x = vector(case, "x")?;
    let exponents = x.chunks(BLOCK).map(|b| fault(block_exponent(b))).collect::<Outcome<Vec<_>>>()?;
    same("E", exponents.clone(), ints(case, "E")?)?;
    let (r, l) = (fault(quantize_r(&x))?, fault(quantize_l(&x))?);
    same("r_q", &r.q[..x.len()], &ints::<i16>(case, "r_q")?)?;
    same("r_g", &r.g, &ints(case, "r_g")?)?;
    same("l_q", &l.q[..x.len()], &ints::<i16>(case, "l_q")?)?;
    same("l_g", &l.g, &ints(case, "l_g")?)?;
    let b: Vec<i32> = exponents.iter().zip(&l.g).map(|(e, g)| e - g).collect();
    same("l_b", b, ints(case, "l_b")?)
}

fn products(case: &Value) -> Outcome {
    let (w, x, k) = (vector(case, "w")?, vector(case, "x")?, size(case, "K")?);
    same("y", to_bits(&fault(matmul(&w, &x, k))?), text(case, "y")?.into())?;
    if case.get("d").is_some() {
        let mut d = Vec::new();
        for x in x.chunks(k) {
            for w in w.chunks(k) {
                d.extend(block_dots(&fault(quantize_l(w))?, &fault(quantize_r(x))?));
            }
        }
        same(
            "greatest |d|",
            d.iter().map(|d| d.unsigned_abs()).max().unwrap_or(0) as i64,
            int(case, "greatest_abs_d")?,
        )?;
        same("d", d, ints(case, "d")?)?;
    }
    Ok(())
}

fn sums(case: &Value) -> Outcome {
    let x = vector(case, "x")?;
    same("s128", to_bits(&[s128(&x)]), text(case, "s128")?.into())?;
    same("s128_squares", to_bits(&[s128_squares(&x)]), text(case, "s128_squares")?.into())
}

fn rms(case: &Value) -> Outcome {
    let (x, w, eps) = (vector(case, "x")?, vector(case, "w")?, real(case, "eps")? as f32);
    same("n", x.len(), size(case, "n")?)?;
    same("eps", to_bits(&[eps]), text(case, "eps_bits")?.into())?;
    let y = fault(rmsnorm(&x, &w, eps))?;
    let first = bits(text(case, "y_first")?)?;
    same("y_first", to_bits(&y[..first.len()]), to_bits(&first))?;
    same("y", sha256_f32(&y), text(case, "y_sha256")?.into())
}

fn rope_tables(case: &Value) -> Outcome {
    let inverse = inverse_frequencies(real(case, "theta")?, size(case, "d")?);
    same("inv", to_bits(&inverse), text(case, "inv")?.into())?;
    let (mut cos, mut sin) = (Vec::new(), Vec::new());
    for position in 0..size(case, "positions")? {
        let (c, s) = rope_row(&inverse, position);
        cos.extend(c);
        sin.extend(s);
    }
    same("cos", sha256_f32(&cos), text(case, "cos_sha256")?.into())?;
    same("sin", sha256_f32(&sin), text(case, "sin_sha256")?.into())?;
    let at = size(case, "pos")? * inverse.len();
    for (name, table) in [("cos_first", &cos), ("sin_first", &sin)] {
        let first = bits(text(case, name)?)?;
        same(name, to_bits(&table[at..at + first.len()]), to_bits(&first))?;
    }
    Ok(())
}

fn rope(case: &Value) -> Outcome {
    let mut x = vector(case, "x")?;
    let inverse = inverse_frequencies(real(case, "theta")?, size(case, "d")?);
    let (cos, sin) = rope_row(&inverse, size(case, "pos")?);
    rotate(&mut x, &cos, &sin);
    same("y", to_bits(&x), text(case, "y")?.into())
}

/// Keys and values of a case that says in words what they are.
fn constructed(case: &Value, d: usize, t: usize) -> Outcome<(Vec<f32>, Vec<f32>)> {
    let k = field(case, "k")?;
    let big = text(k, "big")?.trim_start_matches(|c: char| !c.is_ascii_digit());
    let (first, last) = big.split_once("..").unwrap_or((big, big));
    let number = |s: &str| s.parse::<usize>().map_err(|e| format!("big: {s}: {e}"));
    let big = number(first)?..=number(last)?;
    let (mut keys, mut values) = (vec![0.0; t * d], vec![0.0; t * d]);
    for position in 0..t {
        if big.contains(&position) {
            keys[position * d] = f32::from_bits(word(text(k, "value_bits")?)?);
        }
        values[position * d + usize::from(!big.contains(&position))] = 1.0;
    }
    Ok((keys, values))
}

fn attend_case(q: &[f32], k: &[f32], v: &[f32]) -> Result<Attended, grail_engine::FaultKind> {
    let d = q.len();
    let mut cache = HeadCache::default();
    for (k, v) in k.chunks(d).zip(v.chunks(d)) {
        cache.push(k, v)?;
    }
    attend(q, &cache, cache.len(), attention_scale(d))
}

fn attention(case: &Value) -> Outcome {
    let (d, t) = (size(case, "d")?, size(case, "T")?);
    same("scale", to_bits(&[attention_scale(d)]), text(case, "scale")?.into())?;
    let (k, v) = match field(case, "k")?.get("kind").and_then(Value::as_str) {
        Some("constructed") => constructed(case, d, t)?,
        _ => (vector(case, "k")?, vector(case, "v")?),
    };
    same("T", k.len() / d, t)?;
    let a = fault(attend_case(&vector(case, "q")?, &k, &v))?;
    let first = bits(text(case, "z_first")?)?;
    same("z_first", to_bits(&a.z[..first.len()]), to_bits(&first))?;
    same("z", sha256_f32(&a.z), text(case, "z_sha256")?.into())?;
    same("n_c", a.chunks.iter().map(|c| c.n as i64).collect(), ints::<i64>(case, "n_c")?)?;
    same("l_c", to_bits(&a.chunks.iter().map(|c| c.l).collect::<Vec<_>>()), text(case, "l_c")?.into())?;
    same("g", a.chunks.iter().flat_map(|c| c.g.clone()).collect(), ints::<i32>(case, "g")?)?;
    same("o", to_bits(&a.o), text(case, "o")?.into())
}

pub fn function(name: &str) -> Outcome<fn(f32) -> f32> {
    match name {
        "exp2" => Ok(exp2),
        "exp" => Ok(exp),
        "ln" => Ok(ln),
        "silu" => Ok(silu),
        other => Err(format!("unknown function {other}")),
    }
}

/// Is this pattern swept: finite, and for ln a positive normal.
fn swept(name: &str, bits: u32) -> bool {
    if name == "ln" { (0x0080_0000..0x7f80_0000).contains(&bits) } else { bits >> 23 & 0xff != 255 }
}

fn elementary(lists: &Value) -> Outcome<usize> {
    let mut cases = 0;
    for name in ["exp2", "exp", "ln", "silu"] {
        let (list_, f) = (field(lists, name)?, function(name)?);
        for point in list(list_, "points")? {
            let at = |i: usize| point.get(i).and_then(Value::as_str).ok_or("a point is [x, f(x)]");
            let (x, y) = (word(at(0)?)?, at(1)?);
            same(&format!("{name}({x:08x})"), to_bits(&[f(f32::from_bits(x))]), y.into())?;
            cases += 1;
        }
        let (mut digest, mut count) = (Sha256::new(), 0);
        let (first, step) = (size(list_, "sweep_first_bits")? as u64, size(list_, "sweep_step")?);
        for bits in (first..1 << 32).step_by(step).map(|b| b as u32).filter(|&b| swept(name, b)) {
            digest.update(f(f32::from_bits(bits)).to_le_bytes());
            count += 1;
        }
        same(&format!("{name}: swept"), count, int(list_, "sweep_count")?)?;
        same(&format!("{name}: sweep"), hex::encode(digest.finalize()), text(list_, "sweep_sha256")?.into())?;
        cases += 1;
    }
    let case = field(lists, "silu_times")?;
    let y: Vec<f32> = vector(case, "g")?.iter().zip(vector(case, "u")?).map(|(&g, u)| silu(g) * u).collect();
    let first = bits(text(case, "y_first")?)?;
    same("silu_times: y_first", to_bits(&y[..first.len()]), to_bits(&first))?;
    same("silu_times: y", sha256_f32(&y), text(case, "y_sha256")?.into())?;
    Ok(cases + 1)
}

fn logprobs(case: &Value) -> Outcome {
    let logits = vector(case, "logits")?;
    same("V", logits.len(), size(case, "V")?)?;
    let sum = fault(log_sum(&logits, scale_of_temperature(real(case, "T")?)))?;
    same("k", to_bits(&[sum.k]), text(case, "k")?.into())?;
    same("N", sum.n as i64, int(case, "N")?)?;
    same("l", to_bits(&[sum.l]), text(case, "l")?.into())?;
    let all: Vec<f32> = logits.iter().map(|&x| sum.logprob(x)).collect();
    let first = bits(text(case, "logprob_first")?)?;
    same("first", to_bits(&all[..first.len()]), to_bits(&first))?;
    same("last", to_bits(&all[all.len() - 1..]), text(case, "logprob_last")?.into())?;
    same("all", sha256_f32(&all), text(case, "logprob_sha256")?.into())
}

fn sketches(case: &Value, r_vector: &impl Fn(&str, usize) -> Outcome<Vec<i32>>) -> Outcome {
    let h = vector(case, "h")?;
    let r = r_vector(text(case, "randomness")?, size(case, "d")?)?;
    let terms = fault(SketchTerms::new(&h))?;
    // Long constant cases carry no intermediate values; the others all do.
    if case.get("v_first").is_some() {
        let (r_first, v_first): (Vec<i32>, Vec<i32>) = (ints(case, "r_first")?, ints(case, "v_first")?);
        same("r_first", &r[..r_first.len()], &r_first)?;
        same("r", sha256(r.iter().flat_map(|r| r.to_le_bytes())), text(case, "r_sha256_i32le")?.into())?;
        same("v_first", &terms.v[..v_first.len()], &v_first)?;
        same("v", sha256(terms.v.iter().flat_map(|v| v.to_le_bytes())), text(case, "v_sha256_i32le")?.into())?;
    }
    same("sketch", i64::from(terms.project(&r)), int(case, "sketch")?)
}

pub fn params(case: &Value) -> Outcome<Sampling> {
    let p = field(case, "params")?;
    let top_k = u32::try_from(int(p, "top_k")?).map_err(|e| format!("top_k: {e}"))?;
    let (temperature, top_p) = (real(p, "temperature")?, real(p, "top_p")?);
    Ok(Sampling { temperature, top_k, top_p, repetition_penalty: real(p, "repetition_penalty")? })
}

pub fn seed(case: &Value) -> Outcome<Seed> {
    let mut seed = [0; 32];
    hex::decode_to_slice(text(case, "seed")?, &mut seed).map_err(|e| format!("seed: {e}"))?;
    Ok(Seed(seed))
}

fn sampling(case: &Value) -> Outcome {
    let logits = vector(case, "logits")?;
    same("V", logits.len(), size(case, "V")?)?;
    let s =
        fault(sample(&logits, &ints::<u32>(case, "context")?, &params(case)?, &seed(case)?, size(case, "position")?))?;
    same("token", i64::from(s.token), int(case, "token")?)?;
    let id = s.token as usize;
    same("raw_logprob", to_bits(&[s.raw_logprobs[id]]), text(case, "raw_logprob")?.into())?;
    same("sampling_logprob", to_bits(&[s.sampling_logprobs[id]]), text(case, "sampling_logprob")?.into())?;
    let Some(n) = s.n else {
        return same("greedy", real(field(case, "params")?, "temperature")?, 0.0);
    };
    same("N", n as i64, int(case, "N")?)?;
    same("kept", s.kept.len(), size(case, "kept")?)?;
    same("kept ids", sha256(s.kept.iter().flat_map(|k| k.to_le_bytes())), text(case, "kept_sha256_u32le")?.into())?;
    same("kept_mass", s.kept_mass.to_string(), text(case, "kept_mass")?.into())?;
    same("total_mass", s.total_mass.to_string(), text(case, "total_mass")?.into())?;
    let best = s.kept.iter().position(|&k| k == s.token).ok_or("the token is not in the kept set")?;
    same("score", to_bits(&[s.scores[best]]), text(case, "score")?.into())?;
    let others = (0..s.kept.len()).filter(|&i| i != best);
    let second = others.reduce(|a, b| if s.scores[b] > s.scores[a] { b } else { a });
    same("has a runner-up", second.is_some(), case.get("runner_up").is_some())?;
    if let Some(second) = second {
        same("runner_up", i64::from(s.kept[second]), int(case, "runner_up")?)?;
        same("runner_up_score", to_bits(&[s.scores[second]]), text(case, "runner_up_score")?.into())?;
    }
    Ok(())
}

fn noises(case: &Value) -> Outcome {
    let e = noise(word(text(case, "u")?)?);
    same("e", to_bits(&[e]), text(case, "e")?.into())?;
    same("ln_e", to_bits(&[ln(e)]), text(case, "ln_e")?.into())
}

fn philox(case: &Value) -> Outcome {
    let words = |name: &str| -> Outcome<Vec<u32>> {
        list(case, name)?.iter().map(|w| word(w.as_str().ok_or("a word is a text")?)).collect()
    };
    let (counter, key) = (words("counter")?, words("key")?);
    let counter: [u32; 4] = counter.try_into().map_err(|_| "a counter has four words")?;
    let key: [u32; 2] = key.try_into().map_err(|_| "a key has two words")?;
    same("output", philox4x32_10(counter, key).to_vec(), words("output")?)
}

fn faults(case: &Value) -> Outcome {
    let found = match text(case, "op")? {
        "quantize_r" => quantize_r(&vector(case, "x")?).is_err(),
        "quantize_l" => quantize_l(&vector(case, "x")?).is_err(),
        "sketch" => SketchTerms::new(&vector(case, "x")?).is_err(),
        "logprobs" => log_sum(&vector(case, "x")?, scale_of_temperature(1.0)).is_err(),
        "attention" => attend_case(&vector(case, "q")?, &vector(case, "k")?, &vector(case, "v")?).is_err(),
        other => return Err(format!("unknown op {other}")),
    };
    same("fault", found, field(case, "fault")?.as_bool().ok_or("fault is not a bool")?)
}

/// exact/sweeps.json: every finite input of a function. Two functions at a time.
pub fn sweeps(file: &Value) -> Outcome<usize> {
    let cases = list(file, "sweeps")?;
    for pair in cases.chunks(2) {
        let results: Vec<Outcome> = std::thread::scope(|scope| {
            let running: Vec<_> = pair.iter().map(|case| scope.spawn(move || sweep(case))).collect();
            running.into_iter().map(|r| r.join().unwrap_or_else(|_| Err("a sweep panicked".into()))).collect()
        });
        results.into_iter().collect::<Outcome>()?;
    }
    Ok(cases.len())
}

/// Inputs of one step of a sweep.
const SPAN: usize = 1 << 14;

/// Applies a function of the reference. One source; where the machine has FMA the same operations are
/// compiled to it, since the library call that stands in for it is twenty times slower.
fn apply(name: &str, x: &[u32], y: &mut [u8]) {
    #[inline(always)]
    fn body(name: &str, x: &[u32], y: &mut [u8]) {
        #[inline(always)]
        fn map(x: &[u32], y: &mut [u8], f: impl Fn(f32) -> f32) {
            for (x, y) in x.iter().zip(y.chunks_exact_mut(4)) {
                y.copy_from_slice(&f(f32::from_bits(*x)).to_le_bytes());
            }
        }
        match name {
            "exp2" => map(x, y, exp2),
            "exp" => map(x, y, exp),
            "ln" => map(x, y, ln),
            _ => map(x, y, silu),
        }
    }
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn fused(name: &str, x: &[u32], y: &mut [u8]) {
            body(name, x, y);
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: both features were just detected.
            return unsafe { fused(name, x, y) };
        }
    }
    body(name, x, y);
}

fn sweep(case: &Value) -> Outcome {
    let name = text(case, "function")?;
    function(name)?;
    let (mut digest, mut count) = (Sha256::new(), 0i64);
    let (mut x, mut y) = (Vec::with_capacity(SPAN), vec![0u8; 4 * SPAN]);
    for first in (0..1u64 << 32).step_by(SPAN) {
        x.clear();
        x.extend((first..first + SPAN as u64).map(|b| b as u32).filter(|&b| swept(name, b)));
        apply(name, &x, &mut y[..4 * x.len()]);
        digest.update(&y[..4 * x.len()]);
        count += x.len() as i64;
    }
    same(&format!("{name}: inputs"), count, int(case, "count")?)?;
    same(&format!("{name}: sha256"), hex::encode(digest.finalize()), text(case, "sha256")?.into())
}
