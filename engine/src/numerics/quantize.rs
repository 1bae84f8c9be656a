//! Sections 2 and 3: the exponent of a block and the two quantizers.

use crate::FaultKind;

/// Elements of a block of the contraction axis.
pub const BLOCK: usize = 128;

/// 2^e as f32, for the exponents of normal numbers.
pub fn pow2(e: i32) -> f32 {
    assert!((-126..=127).contains(&e), "2^{e} is not a normal f32");
    f32::from_bits(((e + 127) as u32) << 23)
}

/// E of a block: |x| < 2^E for every element. Fault: NaN, Inf or |x| >= 2^60.
pub fn block_exponent(block: &[f32]) -> Result<i32, FaultKind> {
    let m = block.iter().map(|x| x.to_bits() & 0x7fff_ffff).max().unwrap_or(0);
    if m >= pow2(60).to_bits() {
        return Err(FaultKind::Quantizer);
    }
    Ok(((m >> 23) as i32 - 126).max(-40))
}

/// A vector as integers: `x[i]` is close to `q[i] * 2^g[i / 128]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantized {
    /// One integer per element, padded with zeros to whole blocks.
    pub q: Vec<i16>,
    /// One exponent per block.
    pub g: Vec<i32>,
}

/// Quantizer R: activations, keys, values.
pub fn quantize_r(x: &[f32]) -> Result<Quantized, FaultKind> {
    by_blocks(x, |block, e| (scaled(block, 14, e, 16383), e - 14))
}

/// Quantizer L: weights, queries, softmax weights.
pub fn quantize_l(x: &[f32]) -> Result<Quantized, FaultKind> {
    by_blocks(x, |block, e| {
        for b in (10..=15).rev() {
            let q = scaled(block, b, e, (1 << b) - 1);
            let sum: i32 = q.iter().map(|q| q.abs()).sum();
            let max = q.iter().map(|q| q.abs()).max().unwrap_or(0);
            if sum <= 131_080 && max <= 32_639 {
                return (q, e - b);
            }
        }
        unreachable!("b = 10 qualifies: 128 * 1023 < 131080")
    })
}

fn scaled(block: &[f32], b: i32, e: i32, limit: i32) -> Vec<i32> {
    block.iter().map(|x| ((x * pow2(b - e)).round_ties_even() as i32).clamp(-limit, limit)).collect()
}

fn by_blocks(x: &[f32], one: impl Fn(&[f32], i32) -> (Vec<i32>, i32)) -> Result<Quantized, FaultKind> {
    let mut out = Quantized { q: Vec::new(), g: Vec::new() };
    for block in x.chunks(BLOCK) {
        let (q, g) = one(block, block_exponent(block)?);
        out.q.extend(q.iter().map(|&q| q as i16));
        out.q.resize(out.q.len().next_multiple_of(BLOCK), 0);
        out.g.push(g);
    }
    Ok(out)
}
