//! Section 5: sums in one written order, and RMSNorm.

use crate::FaultKind;

fn reduce(x: &[f32], add: impl Fn(f32, f32) -> f32) -> f32 {
    let mut p = [0.0f32; 128];
    for chunk in x.chunks(128) {
        for (j, &x) in chunk.iter().enumerate() {
            p[j] = add(p[j], x);
        }
    }
    for s in [64, 32, 16, 8, 4, 2, 1] {
        for j in 0..s {
            p[j] += p[j + s];
        }
    }
    p[0]
}

/// S128 of the elements. Padding with +0 to whole chunks changes nothing, so none is made.
pub fn s128(x: &[f32]) -> f32 {
    // A partial sum is never -0 (it starts at +0), so adding the padding's +0 is the identity.
    reduce(x, |p, x| p + x)
}

/// S128 of the squares.
pub fn s128_squares(x: &[f32]) -> f32 {
    reduce(x, |p, x| x.mul_add(x, p))
}

/// RMSNorm of `x` with weights `w`; `eps` is the f32 nearest to the parameter.
pub fn rmsnorm(x: &[f32], w: &[f32], eps: f32) -> Result<Vec<f32>, FaultKind> {
    let sum = s128_squares(x);
    if !sum.is_finite() {
        return Err(FaultKind::SumOfSquares);
    }
    let r = 1.0 / (sum / x.len() as f32 + eps).sqrt();
    Ok(x.iter().zip(w).map(|(x, w)| (x * r) * w).collect())
}
