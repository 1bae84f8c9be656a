//! NUMERICS once more, one scalar at a time. Slow and obvious.

use crate::cpu::quantize::Side;

/// What a control changes.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Twist {
    None,
    /// Ties away from zero instead of to even.
    TiesAway,
    /// A multiply and an add where a fused one is written.
    Unfused,
    /// Blocks or chunks in descending order.
    Descending,
}

fn rne(x: f32, twist: Twist) -> f32 {
    if twist == Twist::TiesAway { x.round() } else { x.round_ties_even() }
}

pub(super) fn fma(a: f32, b: f32, c: f32, twist: Twist) -> f32 {
    if twist == Twist::Unfused { a * b + c } else { a.mul_add(b, c) }
}

fn exponent(x: &[f32]) -> i32 {
    let m = x.iter().map(|x| x.to_bits() & 0x7fff_ffff).max().unwrap_or(0);
    ((m >> 23) as i32 - 126).max(-40)
}

fn at_bits(x: &[f32], b: i32, limit: i32, twist: Twist) -> (Vec<i16>, i8) {
    let e = exponent(x);
    let scale = 2f64.powi(b - e) as f32;
    let mut q: Vec<i16> = x.iter().map(|x| (rne(x * scale, twist) as i32).clamp(-limit, limit) as i16).collect();
    q.resize(128, 0);
    (q, (e - b) as i8)
}

/// Section 3, one block of up to 128 elements.
pub(super) fn quantize_block(side: Side, x: &[f32], twist: Twist) -> (Vec<i16>, i8) {
    if side == Side::Right {
        return at_bits(x, 14, 16_383, twist);
    }
    for b in (10..=15).rev() {
        let (q, g) = at_bits(x, b, (1 << b) - 1, twist);
        let sum: i64 = q.iter().map(|q| i64::from(*q).abs()).sum();
        let max = q.iter().map(|q| i64::from(*q).abs()).max().unwrap();
        if sum <= 131_080 && max <= 32_639 {
            return (q, g);
        }
    }
    unreachable!("10 bits always qualify")
}

pub(super) fn quantize_row(side: Side, x: &[f32], twist: Twist) -> (Vec<i16>, Vec<i8>) {
    let (q, g): (Vec<_>, Vec<_>) = x.chunks(128).map(|x| quantize_block(side, x, twist)).unzip();
    (q.concat(), g)
}

/// Section 4: one output from a row of weights and a row of activations, both quantized.
pub(super) fn product(w: &(Vec<i16>, Vec<i8>), a: &(Vec<i16>, Vec<i8>), twist: Twist) -> f32 {
    let mut order: Vec<usize> = (0..w.1.len()).collect();
    if twist == Twist::Descending {
        order.reverse();
    }
    order.into_iter().fold(0.0, |acc, c| {
        let span = 128 * c..128 * (c + 1);
        let d: i64 = w.0[span.clone()].iter().zip(&a.0[span]).map(|(w, a)| i64::from(*w) * i64::from(*a)).sum();
        let d = i32::try_from(d).expect("section 3 bounds every dot product");
        let scale = 2f64.powi(i32::from(w.1[c]) + i32::from(a.1[c])) as f32;
        assert!(scale.is_normal());
        fma(d as f32, scale, acc, twist)
    })
}

/// Section 5, with or without squares.
pub(super) fn s128(x: &[f32], squares: bool, twist: Twist) -> f32 {
    let mut x = x.to_vec();
    x.resize(x.len().next_multiple_of(128), 0.0);
    let mut p = [0f32; 128];
    let mut chunks: Vec<&[f32]> = x.chunks(128).collect();
    if twist == Twist::Descending {
        chunks.reverse();
    }
    for chunk in chunks {
        for j in 0..128 {
            p[j] = if squares { fma(chunk[j], chunk[j], p[j], twist) } else { p[j] + chunk[j] };
        }
    }
    for s in [64, 32, 16, 8, 4, 2, 1] {
        for j in 0..s {
            p[j] += p[j + s];
        }
    }
    p[0]
}

fn f(bits: u32) -> f32 {
    f32::from_bits(bits)
}

fn polynomial(coefficients: &[u32], r: f32, twist: Twist) -> f32 {
    let (top, rest) = coefficients.split_last().unwrap();
    rest.iter().rev().fold(f(*top), |p, c| fma(p, r, f(*c), twist))
}

pub(super) fn exp2(x: f32, twist: Twist) -> f32 {
    if x < -125.0 {
        return 0.0;
    }
    let x = x.min(127.0);
    let t = x + 12_582_912.0;
    let n = t - 12_582_912.0;
    let one = 0x3f80_0000;
    let c = [one, 0x3f317218, 0x3e75fdee, 0x3d635774, 0x3c1d96a6, 0x3aaf9f2a, 0x3920fdde];
    f(polynomial(&c, x - n, twist).to_bits().wrapping_add((t.to_bits() & 0x1ff) << 23))
}

pub(super) fn exp(x: f32, twist: Twist) -> f32 {
    if x < -86.0 {
        return 0.0;
    }
    let x = x.min(88.0);
    let t = fma(x, f(0x3fb8aa3b), 12_582_912.0, twist);
    let n = t - 12_582_912.0;
    let r = fma(n, -f(0x3f317200), x, twist);
    let r = fma(n, -f(0x35bfbe8e), r, twist);
    let p = polynomial(&[0x3efffffe, 0x3e2aaa49, 0x3d2aac79, 0x3c091cf1, 0x3ab5121a], r, twist);
    let v = fma(p, r * r, r, twist) + 1.0;
    f(v.to_bits().wrapping_add((t.to_bits() & 0x1ff) << 23))
}

pub(super) fn ln(x: f32, twist: Twist) -> f32 {
    let k = x.to_bits().wrapping_sub(0x3f3504f3) & 0xff80_0000;
    let n = ((k as i32) >> 23) as f32;
    let r = f(x.to_bits().wrapping_sub(k)) - 1.0;
    let c = [0x3eaaaaaa, 0xbe800113, 0x3e4cd004, 0xbe2a3922, 0x3e116d0f, 0xbe06c2a1, 0x3e02adb4, 0xbd9c5abb];
    let p = polynomial(&c, r, twist);
    let r2 = r * r;
    let t = fma(r2 * r, p, n * f(0x35bfbe8e), twist);
    let t = fma(r2, -0.5, t, twist);
    fma(n, f(0x3f317200), t + r, twist)
}

pub(super) fn silu(g: f32, twist: Twist) -> f32 {
    g / (1.0 + exp(-g, twist))
}
