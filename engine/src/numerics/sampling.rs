//! Section 11: sampling, a pure function of (logits, seed, position).

use super::elementary::{exp2, ln, ln_reduced};
use super::logprob::{log_probability, log_sum, scale_of_temperature};
use crate::FaultKind;
use crate::types::{Sampling, Seed};

/// Philox4x32-10.
pub fn philox4x32_10(mut c: [u32; 4], mut k: [u32; 2]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            k = [k[0].wrapping_add(0x9e37_79b9), k[1].wrapping_add(0xbb67_ae85)];
        }
        let a = u64::from(c[0]) * 0xd251_1f53;
        let b = u64::from(c[2]) * 0xcd9e_8d57;
        c = [(b >> 32) as u32 ^ c[1] ^ k[0], b as u32, (a >> 32) as u32 ^ c[3] ^ k[1], a as u32];
    }
    c
}

/// e of a random word: exponentially distributed.
pub fn noise(u: u32) -> f32 {
    let v = ((u | 1) as f32 * 2f32.powi(-32)).min(1.0 - 2f32.powi(-24));
    if v < f32::from_bits(0x3e94_7ae1) { -ln_reduced(-v, 0.0) } else { -ln(1.0 - v) }
}

fn random_word(seed: &Seed, position: usize, id: u32) -> u32 {
    let w = seed.words();
    philox4x32_10([id >> 2, position as u32, w[2], w[3]], [w[0], w[1]])[(id & 3) as usize]
}

/// floor(x * total), x in [0, 1] as the exact rational it is.
pub fn floor_product(x: f64, total: u128) -> u128 {
    if x == 0.0 {
        return 0;
    }
    let bits = x.to_bits();
    let field = (bits >> 52) as i32;
    let fraction = u128::from(bits & ((1 << 52) - 1));
    let (mantissa, exponent) = if field == 0 { (fraction, -1074) } else { (fraction | 1 << 52, field - 1075) };
    // x <= 1, so the exponent is at most -52.
    (mantissa * total).checked_shr((-exponent) as u32).unwrap_or(0)
}

/// What section 11 says of one row of logits.
#[derive(Debug, Clone)]
pub struct Sampled {
    /// The token an honest sampler emits.
    pub token: u32,
    /// Raw log-probability of every id (T = 1, nothing processed).
    pub raw_logprobs: Vec<f32>,
    /// Log-probability of every id under the sampling distribution (T = 0: meaningful for `token` alone).
    pub sampling_logprobs: Vec<f32>,
    /// N of the penalized logits; absent for T = 0, as are the fields below.
    pub n: Option<f32>,
    /// Kept ids, ascending.
    pub kept: Vec<u32>,
    /// Their mass.
    pub kept_mass: u64,
    /// Mass after top-k, before top-p.
    pub total_mass: u64,
    /// Scores of the kept ids.
    pub scores: Vec<f32>,
}

/// The repetition penalty over the ids in `context`.
pub fn penalize(logits: &[f32], context: &[u32], penalty: f64) -> Vec<f32> {
    let p = penalty as f32;
    let mut out = logits.to_vec();
    for (id, x) in out.iter_mut().enumerate() {
        if context.contains(&(id as u32)) {
            *x = if *x > 0.0 { *x / p } else { *x * p };
        }
    }
    out
}

/// Samples the token at `position` from the logits of the position before it.
pub fn sample(
    logits: &[f32],
    context: &[u32],
    params: &Sampling,
    seed: &Seed,
    position: usize,
) -> Result<Sampled, FaultKind> {
    let raw = log_sum(logits, scale_of_temperature(1.0))?;
    let raw_logprobs = logits.iter().map(|&x| raw.logprob(x)).collect();
    let logits = penalize(logits, context, params.repetition_penalty);
    if params.temperature == 0.0 {
        let best = (0..logits.len()).reduce(|a, b| if logits[b] > logits[a] { b } else { a });
        let token = best.expect("a vocabulary has entries") as u32;
        let sampling_logprobs = vec![0.0; logits.len()];
        let empty = (Vec::new(), Vec::new());
        return Ok(Sampled {
            token,
            raw_logprobs,
            sampling_logprobs,
            n: None,
            kept: empty.0,
            kept_mass: 0,
            total_mass: 0,
            scores: empty.1,
        });
    }
    let sum = log_sum(&logits, scale_of_temperature(params.temperature))?;
    let y: Vec<f32> = logits.iter().map(|x| x * sum.k).collect();
    let mass: Vec<u64> = y.iter().map(|y| (f64::from(exp2(y - sum.n)) * 2f64.powi(40)).floor() as u64).collect();
    let (kept, total_mass) = kept_set(&y, &mass, params);
    let kept_mass: u64 = kept.iter().map(|&id| mass[id as usize]).sum();

    let ln2 = f32::from_bits(0x3f31_7218);
    let score = |id: u32| y[id as usize] * ln2 - ln(noise(random_word(seed, position, id)));
    let scores: Vec<f32> = kept.iter().map(|&id| score(id)).collect();
    let best = (0..kept.len()).reduce(|a, b| if scores[b] > scores[a] { b } else { a });
    let token = kept[best.expect("the first token is always kept")];

    let sampling_logprobs = if params.top_k == 0 && params.top_p == 1.0 {
        logits.iter().map(|&x| sum.logprob(x)).collect()
    } else {
        let m = kept_mass as f32 * 2f32.powi(-40);
        y.iter().map(|&y| log_probability(y, sum.n, m)).collect()
    };
    Ok(Sampled { token, raw_logprobs, sampling_logprobs, n: Some(sum.n), kept, kept_mass, total_mass, scores })
}

/// Kept ids ascending, and the mass after top-k.
fn kept_set(y: &[f32], mass: &[u64], params: &Sampling) -> (Vec<u32>, u64) {
    let mut order: Vec<usize> = (0..y.len()).collect();
    // No NaN is left here; partial_cmp also sees -0 and +0 as equal.
    order.sort_by(|&a, &b| y[b].partial_cmp(&y[a]).expect("no NaN").then(a.cmp(&b)));
    if params.top_k > 0 {
        order.truncate(params.top_k as usize);
    }
    let total: u64 = order.iter().map(|&i| mass[i]).sum();
    if params.top_p < 1.0 {
        let limit = floor_product(params.top_p, u128::from(total));
        let mut ahead = 0u128;
        let mut keep = 0;
        for &i in &order {
            if keep > 0 && ahead >= limit {
                break;
            }
            ahead += u128::from(mass[i]);
            keep += 1;
        }
        order.truncate(keep);
    }
    let mut kept: Vec<u32> = order.iter().map(|&i| i as u32).collect();
    kept.sort_unstable();
    (kept, total)
}
