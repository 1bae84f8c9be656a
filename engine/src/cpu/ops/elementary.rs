//! exp2, exp and ln of NUMERICS section 8, as selects around one straight line of arithmetic.

use crate::cpu::isa::dispatched;

/// 1.5 * 2^23: adding it rounds to the nearest integer, ties to even, and leaves it in the low bits.
pub(super) const MAGIC: f32 = 12_582_912.0;

const fn float(bits: u32) -> f32 {
    f32::from_bits(bits)
}

const EXP2: [f32; 6] =
    [float(0x3f317218), float(0x3e75fdee), float(0x3d635774), float(0x3c1d96a6), float(0x3aaf9f2a), float(0x3920fdde)];
const EXP: [f32; 5] = [float(0x3efffffe), float(0x3e2aaa49), float(0x3d2aac79), float(0x3c091cf1), float(0x3ab5121a)];
const LN: [f32; 8] = [
    float(0x3eaaaaaa),
    float(0xbe800113),
    float(0x3e4cd004),
    float(0xbe2a3922),
    float(0x3e116d0f),
    float(0xbe06c2a1),
    float(0x3e02adb4),
    float(0xbd9c5abb),
];
const LN2_HI: f32 = float(0x3f317200);
const LN2_LO: f32 = float(0x35bfbe8e);
const LOG2_E: f32 = float(0x3fb8aa3b);

/// ln 2, section 8.
pub(super) const LN2: f32 = float(0x3f317218);

#[inline(always)]
fn horner<const N: usize>(coefficients: &[f32; N], r: f32) -> f32 {
    let mut p = coefficients[N - 1];
    for c in coefficients[..N - 1].iter().rev() {
        p = p.mul_add(r, *c);
    }
    p
}

/// `v` times 2^n, n in the low bits of `t`.
#[inline(always)]
fn raise(v: f32, t: f32) -> f32 {
    float(v.to_bits().wrapping_add((t.to_bits() & 0x1ff) << 23))
}

/// 2^x; +0 below -125, x clamped to 127.
#[inline(always)]
pub fn exp2(x: f32) -> f32 {
    let small = x < -125.0;
    let x = if x > 127.0 { 127.0 } else { x };
    let t = x + MAGIC;
    let r = x - (t - MAGIC);
    let y = raise(horner(&EXP2, r).mul_add(r, 1.0), t);
    if small { 0.0 } else { y }
}

/// e^x; +0 below -86, x clamped to 88.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let small = x < -86.0;
    let x = if x > 88.0 { 88.0 } else { x };
    let t = x.mul_add(LOG2_E, MAGIC);
    let n = t - MAGIC;
    let r = n.mul_add(-LN2_LO, n.mul_add(-LN2_HI, x));
    let y = raise(horner(&EXP, r).mul_add(r * r, r) + 1.0, t);
    if small { 0.0 } else { y }
}

/// ln x for normal positive x; anything else gives unspecified bits.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    let bits = x.to_bits();
    let k = bits.wrapping_sub(0x3f35_04f3) & 0xff80_0000;
    let n = ((k as i32) >> 23) as f32;
    let r = float(bits.wrapping_sub(k)) - 1.0;
    let r2 = r * r;
    let t = (r2 * r).mul_add(horner(&LN, r), n * LN2_LO);
    let t = r2.mul_add(-0.5, t);
    n.mul_add(LN2_HI, t + r)
}

/// g / (1 + exp(-g)).
#[inline(always)]
pub fn silu(g: f32) -> f32 {
    g / (1.0 + exp(-g))
}

/// 2^e for an integer e <= 0; +0 below -100.
#[inline(always)]
pub(super) fn step(e: f32) -> f32 {
    let y = raise(1.0, e + MAGIC);
    if e < -100.0 { 0.0 } else { y }
}

dispatched! {
    /// [`exp2`] of each element.
    pub fn exp2_in_place(x: &mut [f32]) = exp2_body;
    /// [`exp`] of each element.
    pub fn exp_in_place(x: &mut [f32]) = exp_body;
    /// [`ln`] of each element.
    pub fn ln_in_place(x: &mut [f32]) = ln_body;
}

#[inline(always)]
fn exp2_body(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = exp2(*x));
}

#[inline(always)]
fn exp_body(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = exp(*x));
}

#[inline(always)]
fn ln_body(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = ln(*x));
}
