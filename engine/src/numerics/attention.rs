//! Section 6, second part: attention of one query head over chunks of 128 keys.

use super::elementary::exp2;
use super::product::product;
use super::quantize::{BLOCK, Quantized, pow2, quantize_l, quantize_r};
use super::reduce::s128;
use crate::FaultKind;

/// Keys and values of one kv head, as integers, in the order of their positions.
#[derive(Debug, Clone, Default)]
pub struct HeadCache {
    keys: Vec<Quantized>,
    values: Vec<Quantized>,
}

impl HeadCache {
    /// Appends one position's key (after norm and RoPE) and value.
    pub fn push(&mut self, key: &[f32], value: &[f32]) -> Result<(), FaultKind> {
        let (key, value) = (quantize_r(key)?, quantize_r(value)?);
        self.keys.push(key);
        self.values.push(value);
        Ok(())
    }

    /// Number of positions.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True before the first position.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// One chunk of keys before the combine.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// ceil of the greatest score.
    pub n: f32,
    /// S128 of the weights.
    pub l: f32,
    /// Exponent of L(p') per 128 channels.
    pub g: Vec<i32>,
    /// Weighted values, one per channel.
    pub o: Vec<f32>,
}

/// Result of one query.
#[derive(Debug, Clone)]
pub struct Attended {
    /// Scores in base-2 units, one per key.
    pub z: Vec<f32>,
    /// Chunks in ascending order.
    pub chunks: Vec<Chunk>,
    /// The head's output, one per channel.
    pub o: Vec<f32>,
}

/// Attention of one query head (after norm and RoPE) over the first `keys` positions of its kv head.
pub fn attend(query: &[f32], cache: &HeadCache, keys: usize, scale: f32) -> Result<Attended, FaultKind> {
    let scaled: Vec<f32> = query.iter().map(|q| q * scale).collect();
    let query_l = quantize_l(&scaled)?;
    let z: Vec<f32> = cache.keys[..keys].iter().map(|k| product(&query_l, k)).collect();
    let mut chunks = Vec::new();
    for (c, z) in z.chunks(128).enumerate() {
        chunks.push(chunk(z, &cache.values[128 * c..], query.len())?);
    }
    let o = combine(&chunks);
    Ok(Attended { z, chunks, o })
}

fn chunk(z: &[f32], values: &[Quantized], head_dim: usize) -> Result<Chunk, FaultKind> {
    if z.iter().any(|z| z.is_nan()) {
        return Err(FaultKind::Attention);
    }
    let n = z.iter().copied().fold(f32::NEG_INFINITY, f32::max).ceil();
    if n.abs() > 1_048_576.0 {
        return Err(FaultKind::Attention);
    }
    let p: Vec<f32> = z.iter().map(|z| exp2(z - n)).collect();
    let mut out = Chunk { n, l: s128(&p), g: Vec::new(), o: Vec::new() };
    for part in 0..head_dim.div_ceil(BLOCK) {
        let weighted: Vec<f32> = p.iter().zip(values).map(|(p, v)| p * pow2(v.g[part] + 14)).collect();
        let u = quantize_l(&weighted)?;
        let g = u.g[0];
        for i in part * BLOCK..head_dim.min((part + 1) * BLOCK) {
            let sum: i64 = values.iter().zip(&u.q).take(z.len()).map(|(v, &u)| i64::from(u) * i64::from(v.q[i])).sum();
            let sum = i32::try_from(sum).expect("section 3 bounds the sum over a chunk");
            out.o.push(sum as f32 * pow2(g - 14));
        }
        out.g.push(g);
    }
    Ok(out)
}

/// 2^e for an integer-valued e <= 0, or 0 when e is below -100.
pub(super) fn decay(e: f32) -> f32 {
    if e < -100.0 { 0.0 } else { pow2(e as i32) }
}

fn combine(chunks: &[Chunk]) -> Vec<f32> {
    let (first, rest) = chunks.split_first().expect("a query sees at least its own key");
    let (mut n, mut l, mut o) = (first.n, first.l, first.o.clone());
    for c in rest {
        let next = n.max(c.n);
        let (a, b) = (decay(n - next), decay(c.n - next));
        l = c.l.mul_add(b, l * a);
        for (o, &oc) in o.iter_mut().zip(&c.o) {
            *o = oc.mul_add(b, *o * a);
        }
        n = next;
    }
    o.iter().map(|o| o / l).collect()
}
