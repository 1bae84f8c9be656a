//! Section 10: the sketch, exact modulo 2^31 - 1.

use crate::FaultKind;

/// The modulus.
pub const Q: u32 = 2_147_483_647;

/// v = RNE(1024 h), before the projection.
#[derive(Debug, Clone)]
pub struct SketchTerms {
    /// One integer per hidden coordinate.
    pub v: Vec<i32>,
}

impl SketchTerms {
    /// Rounds a final-norm output.
    pub fn new(hidden: &[f32]) -> Result<Self, FaultKind> {
        let round = |h: &f32| {
            let x = 1024.0 * h;
            // Written so that NaN fails it.
            if x.abs() < 2_147_483_648.0 { Ok(x.round_ties_even() as i32) } else { Err(FaultKind::Sketch) }
        };
        Ok(Self { v: hidden.iter().map(round).collect::<Result<_, _>>()? })
    }

    /// sum v_i * r_i mod Q, in [0, Q).
    pub fn project(&self, r: &[i32]) -> u32 {
        assert_eq!(self.v.len(), r.len(), "the projection vector has another length");
        let sum: i128 = self.v.iter().zip(r).map(|(&v, &r)| i128::from(v) * i128::from(r)).sum();
        sum.rem_euclid(i128::from(Q)) as u32
    }
}

/// The sketch of a final-norm output under `r`.
pub fn sketch(hidden: &[f32], r: &[i32]) -> Result<u32, FaultKind> {
    Ok(SketchTerms::new(hidden)?.project(r))
}
