//! Section 9: log-probabilities.

use super::attention::decay;
use super::elementary::{exp2, ln};
use super::reduce::s128;
use crate::FaultKind;

/// f32(log2(e) / T).
pub fn scale_of_temperature(temperature: f64) -> f32 {
    (std::f64::consts::LOG2_E / temperature) as f32
}

/// The normaliser of a row of logits: log2 of the sum is N + log2(l).
#[derive(Debug, Clone, Copy)]
pub struct LogSum {
    /// f32(log2(e) / T).
    pub k: f32,
    /// The greatest n_c.
    pub n: f32,
    /// The sum, relative to 2^N.
    pub l: f32,
}

impl LogSum {
    /// ln of the probability of an id with this logit.
    pub fn logprob(&self, logit: f32) -> f32 {
        log_probability(logit * self.k, self.n, self.l)
    }
}

/// fma(y - N, ln 2, -ln(mass)), and +0 for -0: which zero N is where both are a maximum, section 9 leaves open, and only here
/// would it show.
pub(super) fn log_probability(y: f32, n: f32, mass: f32) -> f32 {
    (y - n).mul_add(f32::from_bits(0x3f31_7218), -ln(mass)) + 0.0
}

/// N and l of y = logits * k.
pub fn log_sum(logits: &[f32], k: f32) -> Result<LogSum, FaultKind> {
    let mut parts = Vec::new();
    for chunk in logits.chunks(128) {
        let y: Vec<f32> = chunk.iter().map(|x| x * k).collect();
        if y.iter().any(|y| y.is_nan()) {
            return Err(FaultKind::Logits);
        }
        let n = y.iter().copied().fold(f32::NEG_INFINITY, f32::max).ceil();
        if n.abs() > 1_048_576.0 {
            return Err(FaultKind::Logits);
        }
        let e: Vec<f32> = y.iter().map(|y| exp2(y - n)).collect();
        parts.push((n, s128(&e)));
    }
    let n = parts.iter().map(|p| p.0).fold(f32::NEG_INFINITY, f32::max);
    let terms: Vec<f32> = parts.iter().map(|(nc, l)| l * decay(nc - n)).collect();
    Ok(LogSum { k, n, l: s128(&terms) })
}
