//! The rows of a layer outside its matrix products: RMSNorm, rotary embedding, activation.

use super::elementary::silu;
use super::sums::sum_of_squares;
use crate::cpu::isa::dispatched;
use crate::error::FaultKind;

dispatched! {
    /// RMSNorm of a row or of one head: `out[i] = (x[i] * r) * weight[i]`, r = 1 / sqrt(S128(x^2) / n + eps).
    ///
    /// # Errors
    /// [`FaultKind::SumOfSquares`] when the sum is not finite; `out` is then untouched.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) -> Result<(), FaultKind> = rms_norm_body;

    /// [`rms_norm`] that replaces its input.
    ///
    /// # Errors
    /// As [`rms_norm`].
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn rms_norm_in_place(x: &mut [f32], weight: &[f32], eps: f32) -> Result<(), FaultKind> = rms_norm_in_place_body;

    /// Rotary embedding of one head of d elements in place; `cos` and `sin` of its position, d / 2 elements.
    ///
    /// # Panics
    /// When the lengths disagree.
    pub fn rope(x: &mut [f32], cos: &[f32], sin: &[f32]) = rope_body;

    /// Norm and rotary embedding of heads of `weight.len()` elements each.
    ///
    /// # Errors
    /// As [`rms_norm`], for any of them; the others are done all the same, and its norm is left out.
    ///
    /// # Panics
    /// When the lengths disagree.
    pub fn norm_and_rope(heads: &mut [f32], weight: &[f32], eps: f32, cos: &[f32], sin: &[f32]) -> Result<(), FaultKind> = norm_and_rope_body;

    /// `x[i] = x[i] * factor`.
    pub fn scale(x: &mut [f32], factor: f32) = scale_body;

    /// `out[i] = (gate[i] / (1 + exp(-gate[i]))) * up[i]`.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn silu_mul(gate: &[f32], up: &[f32], out: &mut [f32]) = silu_mul_body;
}

#[inline(always)]
fn rms_norm_body(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) -> Result<(), FaultKind> {
    assert!(x.len() == weight.len() && x.len() == out.len(), "lengths of a norm");
    let r = reciprocal(x, eps)?;
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = (x * r) * weight;
    }
    Ok(())
}

#[inline(always)]
fn rms_norm_in_place_body(x: &mut [f32], weight: &[f32], eps: f32) -> Result<(), FaultKind> {
    assert_eq!(x.len(), weight.len(), "lengths of a norm");
    let r = reciprocal(x, eps)?;
    for (x, weight) in x.iter_mut().zip(weight) {
        *x = (*x * r) * weight;
    }
    Ok(())
}

#[inline(always)]
fn norm_and_rope_body(heads: &mut [f32], weight: &[f32], eps: f32, cos: &[f32], sin: &[f32]) -> Result<(), FaultKind> {
    assert!(heads.len().is_multiple_of(weight.len()), "whole heads");
    let mut result = Ok(());
    for head in heads.chunks_exact_mut(weight.len()) {
        result = result.and(rms_norm_in_place_body(head, weight, eps));
        rope_body(head, cos, sin);
    }
    result
}

#[inline(always)]
fn reciprocal(x: &[f32], eps: f32) -> Result<f32, FaultKind> {
    let sum = sum_of_squares(x);
    if !sum.is_finite() {
        return Err(FaultKind::SumOfSquares);
    }
    Ok(1.0 / (sum / x.len() as f32 + eps).sqrt())
}

#[inline(always)]
fn rope_body(x: &mut [f32], cos: &[f32], sin: &[f32]) {
    let half = cos.len();
    assert!(sin.len() == half && x.len() == 2 * half, "lengths of a rotary embedding");
    let (first, second) = x.split_at_mut(half);
    for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
        let (x, y) = (*a, *b);
        *a = x.mul_add(*cos, -(y * sin));
        *b = y.mul_add(*cos, x * sin);
    }
}

#[inline(always)]
fn scale_body(x: &mut [f32], factor: f32) {
    x.iter_mut().for_each(|x| *x *= factor);
}

#[inline(always)]
fn silu_mul_body(gate: &[f32], up: &[f32], out: &mut [f32]) {
    assert!(gate.len() == up.len() && gate.len() == out.len(), "lengths of an activation");
    for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
        *out = silu(*gate) * up;
    }
}
