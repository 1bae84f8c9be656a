//! Section 4: matrix products as exact integer dots, one fma per block.

use super::quantize::{BLOCK, Quantized, pow2, quantize_l, quantize_r};
use crate::FaultKind;

/// The exact dot product of each block.
pub fn block_dots(left: &Quantized, right: &Quantized) -> Vec<i32> {
    assert_eq!(left.q.len(), right.q.len(), "contraction lengths differ");
    let dot = |l: &[i16], r: &[i16]| {
        let sum: i64 = l.iter().zip(r).map(|(&l, &r)| i64::from(l) * i64::from(r)).sum();
        i32::try_from(sum).expect("section 3 bounds every block's dot product")
    };
    left.q.chunks(BLOCK).zip(right.q.chunks(BLOCK)).map(|(l, r)| dot(l, r)).collect()
}

/// One element of a product: blocks ascending, one fma each.
pub fn product(left: &Quantized, right: &Quantized) -> f32 {
    let mut acc = 0.0f32;
    for (c, d) in block_dots(left, right).into_iter().enumerate() {
        acc = (d as f32).mul_add(pow2(left.g[c] + right.g[c]), acc);
    }
    acc
}

/// `Y[m][n]` of activations `x` (rows of `k`) and weights `w` (rows of `k`).
pub fn matmul(w: &[f32], x: &[f32], k: usize) -> Result<Vec<f32>, FaultKind> {
    let rows = |v: &[f32], quantize: fn(&[f32]) -> Result<Quantized, FaultKind>| {
        v.chunks(k).map(quantize).collect::<Result<Vec<_>, _>>()
    };
    let (w, x) = (rows(w, quantize_l)?, rows(x, quantize_r)?);
    Ok(x.iter().flat_map(|x| w.iter().map(|w| product(w, x))).collect())
}
