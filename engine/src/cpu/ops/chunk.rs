//! A chunk of attention for several query rows at a time: the pieces of `attention.rs`, one call for all rows, on rows
//! of 128 whose absent elements are never looked at.

use super::attention::{Softmax, combine_body, power, scale_values_body, softmax_body};
use crate::cpu::isa::dispatched;
use crate::cpu::quantize::{BLOCK, STRIDE, left_block};

dispatched! {
    /// z of rows from their integer dots with the chunk's keys, `[n][128]` both: one block of the heads' channels, of
    /// which the first starts z and the others add to it. Row i's exponent is `g_queries[i * stride]`.
    ///
    /// # Panics
    /// When there are fewer dots or exponents than rows of `z` need.
    pub fn score_rows(first: bool, dots: &[i32], g_queries: &[i8], stride: usize, g_keys: &[i8], z: &mut [f32]) = score_body;

    /// Each row's z, of which the first `valid[i]` (1 to 128) count, becomes p; its n and l, or `None` for a fault, where
    /// p is 0.
    ///
    /// # Panics
    /// When the lengths disagree.
    pub fn softmax_rows(z: &mut [f32], valid: &[usize], out: &mut [Option<Softmax>]) = softmax_rows_body;

    /// u = L(p * 2^E) of each row, `[n][STRIDE]`, and its exponent; E belongs to the first `present` values. The rows
    /// that cannot be quantized become 0 and `true` in `faults`.
    ///
    /// # Panics
    /// When the lengths disagree.
    pub fn weigh_rows(p: &[f32], g_values: &[i8], present: usize, u: &mut [i16], g: &mut [i8], faults: &mut [bool]) = weigh_rows_body;

    /// Adds the chunk's sums of one block of channels, `[n][width]`, to the running outputs: row i's `channels` elements
    /// at `o[i * o_stride ..]`, from nothing with `initial`. The state of a row moves with `last`, its last block.
    ///
    /// # Panics
    /// When a slice is too short.
    pub fn fold_rows(initial: bool, last: bool, channels: usize, sums: &[i32], width: usize, g: &[i8], chunk: &[Option<Softmax>], state: &mut [Softmax], o: &mut [f32], o_stride: usize) = fold_body;
}

#[inline(always)]
fn score_body(first: bool, dots: &[i32], g_queries: &[i8], stride: usize, g_keys: &[i8], z: &mut [f32]) {
    let g_keys: &[i8; BLOCK] = g_keys.try_into().expect("exponents of a chunk");
    let (z, _) = z.as_chunks_mut::<BLOCK>();
    let (dots, _) = dots.as_chunks::<BLOCK>();
    assert!(dots.len() >= z.len(), "dots of each row");
    for (i, (z, dots)) in z.iter_mut().zip(dots).enumerate() {
        let g = i32::from(g_queries[i * stride]);
        for j in 0..BLOCK {
            // The product is exact, and 0 + it is itself: dots of 0 give +0.
            let x = dots[j] as f32 * power(g + i32::from(g_keys[j]));
            z[j] = if first { x } else { x + z[j] };
        }
    }
}

#[inline(always)]
fn softmax_rows_body(z: &mut [f32], valid: &[usize], out: &mut [Option<Softmax>]) {
    let (z, _) = z.as_chunks_mut::<BLOCK>();
    assert!(z.len() == valid.len() && z.len() == out.len(), "rows of a chunk");
    for ((z, valid), out) in z.iter_mut().zip(valid).zip(out) {
        // Most chunks are whole, and loads wait for stores under a mask that went before.
        z[*valid..].fill(f32::NEG_INFINITY);
        *out = softmax_body(z).ok();
        if out.is_none() {
            z.fill(0.0);
        }
    }
}

#[inline(always)]
fn weigh_rows_body(p: &[f32], g_values: &[i8], present: usize, u: &mut [i16], g: &mut [i8], faults: &mut [bool]) {
    let g_values: &[i8; BLOCK] = g_values.try_into().expect("exponents of a chunk");
    let (p, _) = p.as_chunks::<BLOCK>();
    let (u, _) = u.as_chunks_mut::<STRIDE>();
    assert!(u.len() >= p.len() && g.len() >= p.len() && faults.len() >= p.len(), "rows of a chunk");
    let mut scale = [0f32; BLOCK];
    for j in 0..BLOCK {
        scale[j] = if (j as u32) < present as u32 { power(i32::from(g_values[j]) + 14) } else { 0.0 };
    }
    for (i, (p, u)) in p.iter().zip(u).enumerate() {
        let mut weighed = [0f32; BLOCK];
        for j in 0..BLOCK {
            weighed[j] = p[j] * scale[j];
        }
        let u = u.first_chunk_mut::<BLOCK>().expect("a stride is longer than a block");
        match left_block(&weighed, u) {
            Ok(exponent) => g[i] = exponent,
            Err(_) => {
                u.fill(0);
                (g[i], faults[i]) = (0, true);
            }
        }
    }
}

#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn fold_body(
    initial: bool,
    last: bool,
    channels: usize,
    sums: &[i32],
    width: usize,
    g: &[i8],
    chunk: &[Option<Softmax>],
    state: &mut [Softmax],
    o: &mut [f32],
    o_stride: usize,
) {
    for (i, chunk) in chunk.iter().enumerate() {
        let Some(softmax) = *chunk else { continue };
        let (sums, o) = (&sums[i * width..][..channels], &mut o[i * o_stride..][..channels]);
        if initial {
            scale_values_body(sums, g[i], o);
            state[i] = softmax;
            continue;
        }
        let mut chunk_o = [0f32; BLOCK];
        let chunk_o = &mut chunk_o[..channels];
        scale_values_body(sums, g[i], chunk_o);
        // The state moves once per chunk; every block starts from the same one.
        let mut moved = state[i];
        combine_body(&mut moved, o, softmax, chunk_o);
        if last {
            state[i] = moved;
        }
    }
}
