//! Section 8: exp2, exp and ln from fma, add, mul and bit operations; SiLU of section 7.

const MAGIC: f32 = 12_582_912.0;

#[inline(always)]
fn c(bits: u32) -> f32 {
    f32::from_bits(bits)
}

/// Horner by fma; coefficients lowest first.
#[inline(always)]
fn horner(coefficients: &[u32], r: f32) -> f32 {
    let (top, rest) = coefficients.split_last().expect("a polynomial has coefficients");
    rest.iter().rev().fold(c(*top), |p, &a| p.mul_add(r, c(a)))
}

#[inline(always)]
fn add_exponent(v: f32, t: f32) -> f32 {
    f32::from_bits(v.to_bits().wrapping_add((t.to_bits() & 0x1ff) << 23))
}

/// 2^x.
#[inline(always)]
pub fn exp2(x: f32) -> f32 {
    if x < -125.0 {
        return 0.0;
    }
    let x = if x > 127.0 { 127.0 } else { x };
    let t = x + MAGIC;
    let n = t - MAGIC;
    let r = x - n;
    let p = horner(&[0x3f80_0000, 0x3f31_7218, 0x3e75_fdee, 0x3d63_5774, 0x3c1d_96a6, 0x3aaf_9f2a, 0x3920_fdde], r);
    add_exponent(p, t)
}

/// e^x.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    if x < -86.0 {
        return 0.0;
    }
    let x = if x > 88.0 { 88.0 } else { x };
    let t = x.mul_add(c(0x3fb8_aa3b), MAGIC);
    let n = t - MAGIC;
    let r = n.mul_add(-c(0x3f31_7200), x);
    let r = n.mul_add(-c(0x35bf_be8e), r);
    let p4 = horner(&[0x3eff_fffe, 0x3e2a_aa49, 0x3d2a_ac79, 0x3c09_1cf1, 0x3ab5_121a], r);
    add_exponent(p4.mul_add(r * r, r) + 1.0, t)
}

/// The end of [`ln`], from the reduced argument: ln((1 + r) * 2^n).
#[inline(always)]
pub(super) fn ln_reduced(r: f32, n: f32) -> f32 {
    let p7 = horner(
        &[0x3eaa_aaaa, 0xbe80_0113, 0x3e4c_d004, 0xbe2a_3922, 0x3e11_6d0f, 0xbe06_c2a1, 0x3e02_adb4, 0xbd9c_5abb],
        r,
    );
    let r2 = r * r;
    let t = (r2 * r).mul_add(p7, n * c(0x35bf_be8e));
    let t = r2.mul_add(-0.5, t);
    n.mul_add(c(0x3f31_7200), t + r)
}

/// ln x, for normal positive x.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    let bits = x.to_bits();
    let k = bits.wrapping_sub(0x3f35_04f3) & 0xff80_0000;
    let n = ((k as i32) >> 23) as f32;
    let r = f32::from_bits(bits.wrapping_sub(k)) - 1.0;
    ln_reduced(r, n)
}

/// x / (1 + exp(-x)).
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}
