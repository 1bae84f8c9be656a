//! What is read off the final norm and the logits: log-sums, the greatest token, the sketch (NUMERICS 9 to 11).

use super::attention::{chunk_ceiling, greatest};
use super::elementary::{LN2, exp2, ln, step};
use super::sums::Partial;
use crate::cpu::isa::dispatched;
use crate::cpu::quantize::BLOCK;
use crate::error::FaultKind;

/// The modulus of the sketch, 2^31 - 1.
pub const Q: u32 = 2_147_483_647;

dispatched! {
    /// n_c and l_c of each 128-chunk of `logits`, y_i = logit_i * k, k = f32(log2(e) / T). The last chunk may be shorter.
    ///
    /// # Errors
    /// [`FaultKind::Logits`] when a y_i is NaN or |n_c| > 2^20.
    ///
    /// # Panics
    /// When `n` or `l` has not one element per chunk.
    pub fn log_sum_chunks(logits: &[f32], k: f32, n: &mut [f32], l: &mut [f32]) -> Result<(), FaultKind> = chunks_body;

    /// N of `logits`: the greatest n_c of [`log_sum_chunks`], without the sums.
    ///
    /// # Errors
    /// As there.
    pub fn ceiling(logits: &[f32], k: f32) -> Result<f32, FaultKind> = ceiling_body;

    /// (N, l) of the whole vocabulary from all chunks' n_c and l_c.
    ///
    /// # Panics
    /// When the lengths differ or there is no chunk.
    pub fn log_sum(n: &[f32], l: &[f32]) -> (f32, f32) = log_sum_body;

    /// The greatest element's index, the lowest on ties; 0 for no elements. Without NaN, which is a fault before.
    pub fn arg_max(x: &[f32]) -> usize = arg_max_body;

    /// Sum of RNE(1024 h_i) * r_i mod [`Q`], in [0, Q).
    ///
    /// # Errors
    /// [`FaultKind::Sketch`] when an h_i is NaN or |1024 h_i| >= 2^31.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn sketch(h: &[f32], r: &[i32]) -> Result<u32, FaultKind> = sketch_body;
}

/// fma(y - N, ln2, -ln(l)) with the N and l of [`log_sum`].
pub fn log_probability(y: f32, n: f32, l: f32) -> f32 {
    log_mass_probability(y, n, ln(l))
}

/// The same where ln of the mass is known. Never -0: which zero N is where both are a maximum is nowhere written.
pub fn log_mass_probability(y: f32, n: f32, log_mass: f32) -> f32 {
    (y - n).mul_add(LN2, -log_mass) + 0.0
}

#[inline(always)]
fn chunks_body(logits: &[f32], k: f32, n: &mut [f32], l: &mut [f32]) -> Result<(), FaultKind> {
    let chunks = logits.len().div_ceil(BLOCK);
    assert!(n.len() == chunks && l.len() == chunks, "one n and l per chunk");
    let mut y = [0f32; BLOCK];
    for ((logits, n), l) in logits.chunks(BLOCK).zip(n).zip(l) {
        if logits.len() < BLOCK {
            y = [f32::NEG_INFINITY; BLOCK];
        }
        y.iter_mut().zip(logits).for_each(|(y, logit)| *y = logit * k);
        *n = chunk_ceiling(&y).ok_or(FaultKind::Logits)?;
        y.iter_mut().for_each(|y| *y = exp2(*y - *n));
        let mut sum = Partial::new();
        sum.add(&y);
        *l = sum.total();
    }
    Ok(())
}

#[inline(always)]
fn ceiling_body(logits: &[f32], k: f32) -> Result<f32, FaultKind> {
    let mut y = [0f32; BLOCK];
    let mut greatest = f32::NEG_INFINITY;
    for logits in logits.chunks(BLOCK) {
        if logits.len() < BLOCK {
            y = [f32::NEG_INFINITY; BLOCK];
        }
        y.iter_mut().zip(logits).for_each(|(y, logit)| *y = logit * k);
        let n = chunk_ceiling(&y).ok_or(FaultKind::Logits)?;
        greatest = if n > greatest { n } else { greatest };
    }
    Ok(greatest)
}

#[inline(always)]
fn log_sum_body(n: &[f32], l: &[f32]) -> (f32, f32) {
    assert!(n.len() == l.len() && !n.is_empty(), "one n and l per chunk");
    let max = n.iter().fold(f32::NEG_INFINITY, |m, x| if *x > m { *x } else { m });
    let mut sum = Partial::new();
    let mut terms = [0f32; BLOCK];
    for (n, l) in n.chunks(BLOCK).zip(l.chunks(BLOCK)) {
        for ((term, n), l) in terms.iter_mut().zip(n).zip(l) {
            *term = l * step(n - max);
        }
        sum.add(&terms[..n.len()]);
    }
    (max, sum.total())
}

#[inline(always)]
fn arg_max_body(x: &[f32]) -> usize {
    let mut best = (f32::NEG_INFINITY, 0);
    for (chunk, x) in x.chunks(BLOCK).enumerate() {
        let mut all = [f32::NEG_INFINITY; BLOCK];
        all[..x.len()].copy_from_slice(x);
        let (max, _) = greatest(&all);
        if max > best.0 {
            best = (max, chunk);
        }
    }
    let start = best.1 * BLOCK;
    let end = x.len().min(start + BLOCK);
    start + x[start..end].iter().position(|x| *x == best.0).unwrap_or(0)
}

#[inline(always)]
fn sketch_body(h: &[f32], r: &[i32]) -> Result<u32, FaultKind> {
    assert_eq!(h.len(), r.len(), "lengths of a sketch");
    let fits = h.iter().fold(true, |fits, h| fits & ((h * 1024.0).abs() < 2_147_483_648.0));
    if !fits {
        return Err(FaultKind::Sketch);
    }
    let (mut sum, mut size) = (0i64, 0u64);
    for (h, r) in h.iter().zip(r) {
        let v = integer(*h);
        sum = sum.wrapping_add(i64::from(v) * i64::from(*r));
        size += u64::from(v.unsigned_abs());
    }
    // |r| <= 2^31, so the sum of products stayed inside i64 while the sum of |v| is below 2^32.
    if size >= 1 << 32 {
        sum = h.iter().zip(r).fold(0, |sum, (h, r)| {
            let product = i64::from(integer(*h)) * i64::from(*r);
            (sum + product.rem_euclid(i64::from(Q))) % i64::from(Q)
        });
    }
    Ok(sum.rem_euclid(i64::from(Q)) as u32)
}

/// RNE(1024 h), for |1024 h| < 2^31.
#[inline(always)]
fn integer(h: f32) -> i32 {
    // SAFETY: callers checked the range, and from 2^23 on an f32 is an integer, so rounding does not leave it.
    unsafe { (h * 1024.0).round_ties_even().to_int_unchecked() }
}
