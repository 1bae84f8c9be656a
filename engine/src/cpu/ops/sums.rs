//! S128, the one written order of a floating-point sum (NUMERICS section 5).

use crate::cpu::isa::dispatched;

/// The 128 running sums. Padding with +0 changes none of them, since a sum that starts at +0 is never -0.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Partial([f32; 128]);

impl Partial {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self([0.0; 128])
    }

    /// P[j] = P[j] + x[j].
    #[inline(always)]
    pub(super) fn add(&mut self, x: &[f32]) {
        self.0.iter_mut().zip(x).for_each(|(p, x)| *p += x);
    }

    /// P[j] = fma(x[j], x[j], P[j]).
    #[inline(always)]
    fn add_squares(&mut self, x: &[f32]) {
        self.0.iter_mut().zip(x).for_each(|(p, x)| *p = x.mul_add(*x, *p));
    }

    #[inline(always)]
    pub(super) fn total(mut self) -> f32 {
        let mut half = 64;
        while half > 0 {
            let (low, high) = self.0.split_at_mut(half);
            low.iter_mut().zip(high).for_each(|(p, q)| *p += *q);
            half /= 2;
        }
        self.0[0]
    }
}

dispatched! {
    /// S128 of `x`, padded with +0.
    pub fn s128(x: &[f32]) -> f32 = sum;
    /// S128 of the squares of `x`, padded with +0.
    pub fn s128_of_squares(x: &[f32]) -> f32 = sum_of_squares;
}

#[inline(always)]
fn sum(x: &[f32]) -> f32 {
    let mut partial = Partial::new();
    let (chunks, rest) = x.as_chunks::<128>();
    chunks.iter().for_each(|x| partial.add(x));
    partial.add(rest);
    partial.total()
}

#[inline(always)]
pub(super) fn sum_of_squares(x: &[f32]) -> f32 {
    let mut partial = Partial::new();
    let (chunks, rest) = x.as_chunks::<128>();
    chunks.iter().for_each(|x| partial.add_squares(x));
    partial.add_squares(rest);
    partial.total()
}
