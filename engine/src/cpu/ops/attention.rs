//! The floating-point pieces of attention between its two integer products (NUMERICS section 6).

use super::elementary::{MAGIC, exp2, step};
use super::sums::Partial;
use crate::cpu::isa::dispatched;
use crate::cpu::quantize::BLOCK;
use crate::error::FaultKind;

/// Bound on |n_c|: beyond it differences of n would no longer be exact powers of two to the combine.
pub(super) const N_MAX: f32 = 1_048_576.0;

/// The normaliser of a chunk, or of the chunks combined so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Softmax {
    /// n: an integer, in base-2 units.
    pub n: f32,
    /// l: the sum of 2^(z - n).
    pub l: f32,
}

/// f32(log2(e) / sqrt(head_dim)), formed in f64: what queries are multiplied by before they are quantized.
pub fn query_scale(head_dim: usize) -> f32 {
    (std::f64::consts::LOG2_E / (head_dim as f64).sqrt()) as f32
}

dispatched! {
    /// Folds integer scores of one query block into z: `z[j] = fma(f32(dots[j]), 2^(g_query + g_keys[j]), z[j])`. With one block
    /// per head, z starts at +0.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn accumulate_scores(dots: &[i32], g_query: i8, g_keys: &[i8], z: &mut [f32]) = accumulate_scores_body;

    /// One chunk: p_j = exp2(z_j - n) for the 1 to 128 keys present, 0 for the absent ones, n = ceil(max z_j), l = S128(p).
    ///
    /// # Errors
    /// [`FaultKind::Attention`] when a z_j is NaN or |n| > 2^20.
    ///
    /// # Panics
    /// When `z` has no or more than 128 elements.
    pub fn softmax_chunk(z: &[f32], p: &mut [f32; BLOCK]) -> Result<Softmax, FaultKind> = softmax_chunk_body;

    /// `out[j] = p[j] * 2^E_j`, `g_values[j]` = E_j - 14 the exponent of value j; 0 where there is no value.
    ///
    /// # Panics
    /// When there are more than 128 values.
    pub fn weigh(p: &[f32; BLOCK], g_values: &[i8], out: &mut [f32; BLOCK]) = weigh_body;

    /// o of a chunk: `out[i] = f32(dots[i]) * 2^(g - 14)`, g the exponent of the quantized p'.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn scale_values(dots: &[i32], g: i8, out: &mut [f32]) = scale_values_body;

    /// Adds the next chunk, in ascending order, to the running state and output.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn combine(state: &mut Softmax, out: &mut [f32], chunk: Softmax, chunk_out: &[f32]) = combine_body;

    /// `x[i] = x[i] / l`.
    pub fn divide(x: &mut [f32], l: f32) = divide_body;
}

/// 2^e for a normal power.
#[inline(always)]
pub(super) fn power(e: i32) -> f32 {
    f32::from_bits(((e + 127) as u32) << 23)
}

#[inline(always)]
fn accumulate_scores_body(dots: &[i32], g_query: i8, g_keys: &[i8], z: &mut [f32]) {
    assert!(dots.len() == z.len() && g_keys.len() == z.len(), "lengths of scores");
    for ((z, d), g) in z.iter_mut().zip(dots).zip(g_keys) {
        *z = (*d as f32).mul_add(power(i32::from(g_query) + i32::from(*g)), *z);
    }
}

/// The greatest of 128 numbers and whether one is NaN.
#[inline(always)]
pub(super) fn greatest(x: &[f32; BLOCK]) -> (f32, bool) {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let mut nan = [0u32; 16];
    for x in x.as_chunks::<16>().0 {
        for ((lane, nan), x) in lanes.iter_mut().zip(&mut nan).zip(x) {
            *lane = if *x > *lane { *x } else { *lane };
            *nan |= u32::from(x.is_nan());
        }
    }
    let mut half = 8;
    while half > 0 {
        let (low, high) = lanes.split_at_mut(half);
        low.iter_mut().zip(high).for_each(|(low, high)| *low = if *high > *low { *high } else { *low });
        half /= 2;
    }
    (lanes[0], nan.into_iter().fold(0, |a, b| a | b) != 0)
}

/// n = ceil(max) of a chunk whose absent elements are -inf; `None` where it is a fault.
#[inline(always)]
pub(super) fn chunk_ceiling(x: &[f32; BLOCK]) -> Option<f32> {
    let (max, nan) = greatest(x);
    let n = max.ceil();
    (!nan && n.abs() <= N_MAX).then_some(n)
}

#[inline(always)]
fn softmax_chunk_body(z: &[f32], p: &mut [f32; BLOCK]) -> Result<Softmax, FaultKind> {
    assert!(!z.is_empty() && z.len() <= BLOCK, "keys of a chunk");
    *p = [f32::NEG_INFINITY; BLOCK];
    p[..z.len()].copy_from_slice(z);
    softmax_body(p)
}

/// p of a chunk in the place of z, where absent keys are -inf.
#[inline(always)]
pub(super) fn softmax_body(z: &mut [f32; BLOCK]) -> Result<Softmax, FaultKind> {
    let n = chunk_ceiling(z).ok_or(FaultKind::Attention)?;
    z.iter_mut().for_each(|z| *z = exp2(*z - n));
    let mut sum = Partial::new();
    sum.add(z);
    Ok(Softmax { n, l: sum.total() })
}

#[inline(always)]
fn weigh_body(p: &[f32; BLOCK], g_values: &[i8], out: &mut [f32; BLOCK]) {
    let (present, absent) = out.split_at_mut(g_values.len());
    for ((out, p), g) in present.iter_mut().zip(p).zip(g_values) {
        *out = p * power(i32::from(*g) + 14);
    }
    absent.fill(0.0);
}

#[inline(always)]
pub(super) fn scale_values_body(dots: &[i32], g: i8, out: &mut [f32]) {
    assert_eq!(dots.len(), out.len(), "lengths of an output");
    let scale = power(i32::from(g) - 14);
    for (out, d) in out.iter_mut().zip(dots) {
        *out = *d as f32 * scale;
    }
}

#[inline(always)]
pub(super) fn combine_body(state: &mut Softmax, out: &mut [f32], chunk: Softmax, chunk_out: &[f32]) {
    assert_eq!(out.len(), chunk_out.len(), "lengths of outputs");
    let n = if chunk.n > state.n { chunk.n } else { state.n };
    let (a, b) = (step(state.n - n), step(chunk.n - n));
    state.l = chunk.l.mul_add(b, state.l * a);
    state.n = n;
    for (out, x) in out.iter_mut().zip(chunk_out) {
        *out = x.mul_add(b, *out * a);
    }
}

#[inline(always)]
fn divide_body(x: &mut [f32], l: f32) {
    x.iter_mut().for_each(|x| *x /= l);
}

const _: () = assert!(2.0 * N_MAX < MAGIC / 3.0, "differences of n stay where adding MAGIC is exact");
