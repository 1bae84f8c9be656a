//! Floating point: every operation rounds once, to nearest even, and a NaN result is the canonical one, as on the device.

use half::{bf16, f16};

use super::columns::Columns;
use crate::inst::{Bool, Cast, Cmp, Float1, Float2, R, Round};
use crate::types::{Kind, Ty, mask as bit_mask};

const NAN32: u32 = 0x7fff_ffff;
const NAN64: u64 = 0x7fff_ffff_ffff_ffff;

fn f(x: u64) -> f32 {
    f32::from_bits(x as u32)
}

fn bits(x: f32) -> u64 {
    u64::from(if x.is_nan() { NAN32 } else { x.to_bits() })
}

fn g(x: u64) -> f64 {
    f64::from_bits(x)
}

fn bits64(x: f64) -> u64 {
    if x.is_nan() { NAN64 } else { x.to_bits() }
}

pub(crate) fn float1(c: &mut Columns, mask: u32, op: Float1, double: bool, d: R, a: R) {
    let sign = if double { 63 } else { 31 };
    match (op, double) {
        (Float1::Neg, _) => c.map1(mask, d, a, |x| x ^ 1 << sign),
        (Float1::Abs, _) => c.map1(mask, d, a, |x| x & !(1 << sign)),
        (Float1::Sqrt, false) => c.map1(mask, d, a, |x| bits(f(x).sqrt())),
        (Float1::Sqrt, true) => c.map1(mask, d, a, |x| bits64(g(x).sqrt())),
        (Float1::Rcp, false) => c.map1(mask, d, a, |x| bits(1.0 / f(x))),
        (Float1::Rcp, true) => c.map1(mask, d, a, |x| bits64(1.0 / g(x))),
    }
}

pub(crate) fn float2(c: &mut Columns, mask: u32, op: Float2, double: bool, d: R, ab: [R; 2]) {
    match (op, double) {
        (Float2::Add, false) => c.map2(mask, d, ab, |a, b| bits(f(a) + f(b))),
        (Float2::Sub, false) => c.map2(mask, d, ab, |a, b| bits(f(a) - f(b))),
        (Float2::Mul, false) => c.map2(mask, d, ab, |a, b| bits(f(a) * f(b))),
        (Float2::Div, false) => c.map2(mask, d, ab, |a, b| bits(f(a) / f(b))),
        (Float2::Add, true) => c.map2(mask, d, ab, |a, b| bits64(g(a) + g(b))),
        (Float2::Sub, true) => c.map2(mask, d, ab, |a, b| bits64(g(a) - g(b))),
        (Float2::Mul, true) => c.map2(mask, d, ab, |a, b| bits64(g(a) * g(b))),
        (Float2::Div, true) => c.map2(mask, d, ab, |a, b| bits64(g(a) / g(b))),
        (Float2::CopySign, _) => {
            let sign = if double { 1 << 63 } else { 1 << 31 };
            c.map2(mask, d, ab, |a, b| a & sign | b & !sign);
        }
        (Float2::Min { nan } | Float2::Max { nan }, _) => {
            let greater = matches!(op, Float2::Max { .. });
            c.map2(mask, d, ab, |a, b| pick(a, b, greater, nan, double));
        }
    }
}

/// Minimum or maximum: -0 lies below +0; one NaN gives the other operand, unless NaN is to be passed on.
fn pick(a: u64, b: u64, greater: bool, pass_nan: bool, double: bool) -> u64 {
    let value = |x: u64| if double { g(x) } else { f64::from(f(x)) };
    let nan = if double { NAN64 } else { u64::from(NAN32) };
    let (x, y) = (value(a), value(b));
    match (x.is_nan(), y.is_nan()) {
        (true, true) => nan,
        (true, false) | (false, true) if pass_nan => nan,
        (true, false) => b,
        (false, true) => a,
        _ => {
            let a_below = x < y || x == y && x.is_sign_negative();
            if a_below == greater { b } else { a }
        }
    }
}

pub(crate) fn fma(c: &mut Columns, mask: u32, double: bool, d: R, abc: [R; 3]) {
    if double {
        c.map3(mask, d, abc, |a, b, c| bits64(g(a).mul_add(g(b), g(c))));
    } else {
        c.map3(mask, d, abc, |a, b, c| bits(f(a).mul_add(f(b), f(c))));
    }
}

#[allow(clippy::too_many_arguments)]
pub(crate) fn setp(
    c: &mut Columns,
    mask: u32,
    cmp: (Cmp, bool),
    ty: Ty,
    dq: [R; 2],
    ab: [R; 2],
    with: Option<(Bool, R)>,
) {
    let (a, b) = (*c.get(ab[0]), *c.get(ab[1]));
    let with = with.map(|(op, r)| (op, *c.get(r)));
    let (mut d, mut q) = ([0; 32], [0; 32]);
    for lane in 0..32 {
        let holds = compare(cmp, ty, a[lane], b[lane]);
        let (yes, no) = match with {
            None => (holds, !holds),
            Some((op, column)) => {
                let c = column[lane] & 1 != 0;
                let join = |x: bool| match op {
                    Bool::And => x & c,
                    Bool::Or => x | c,
                    Bool::Xor => x ^ c,
                };
                (join(holds), join(!holds))
            }
        };
        (d[lane], q[lane]) = (u64::from(yes), u64::from(no));
    }
    c.write(mask, dq[1], &q);
    c.write(mask, dq[0], &d);
}

fn compare((cmp, unordered): (Cmp, bool), ty: Ty, a: u64, b: u64) -> bool {
    use std::cmp::Ordering;
    let order = match ty.kind {
        Kind::Float if ty.bits == 32 => f(a).partial_cmp(&f(b)),
        Kind::Float => g(a).partial_cmp(&g(b)),
        Kind::Signed => Some((ty.extend(a) as i64).cmp(&(ty.extend(b) as i64))),
        _ => Some(a.cmp(&b)),
    };
    let Some(order) = order else { return unordered || cmp == Cmp::Nan };
    match cmp {
        Cmp::Eq => order == Ordering::Equal,
        Cmp::Ne => order != Ordering::Equal,
        Cmp::Lt => order == Ordering::Less,
        Cmp::Le => order != Ordering::Greater,
        Cmp::Gt => order == Ordering::Greater,
        Cmp::Ge => order != Ordering::Less,
        Cmp::Num => true,
        Cmp::Nan => false,
    }
}

pub(crate) fn convert(c: &mut Columns, mask: u32, cast: Cast, to: Ty, from: Ty, d: (R, u32), a: R) {
    let (d, d_bits) = d;
    let spread = move |value: u64| to.extend(value) & bit_mask(d_bits);
    match cast {
        Cast::Integers { saturate: false } => c.map1(mask, d, a, |x| spread(from.extend(x))),
        Cast::Integers { saturate: true } => c.map1(mask, d, a, |x| spread(saturated(from, to, x))),
        Cast::IntegerToFloat => c.map1(mask, d, a, |x| integer_to_float(from, to, x)),
        Cast::FloatToInteger(round) => c.map1(mask, d, a, |x| spread(float_to_integer(from, to, round, x))),
        Cast::FloatToFloat => c.map1(mask, d, a, |x| narrow(to, widen(from, x))),
        Cast::Integral(round) if to.bits == 32 => c.map1(mask, d, a, |x| bits(rounded(f64::from(f(x)), round) as f32)),
        Cast::Integral(round) => c.map1(mask, d, a, |x| bits64(rounded(g(x), round))),
    }
}

fn range(ty: Ty) -> (i128, i128) {
    if ty.signed() { (-(1 << (ty.bits - 1)), (1 << (ty.bits - 1)) - 1) } else { (0, (1 << ty.bits) - 1) }
}

fn saturated(from: Ty, to: Ty, x: u64) -> u64 {
    let wide = from.extend(x);
    let value = if from.signed() { i128::from(wide as i64) } else { i128::from(wide) };
    let (low, high) = range(to);
    value.clamp(low, high) as u64
}

fn integer_to_float(from: Ty, to: Ty, x: u64) -> u64 {
    let wide = from.extend(x);
    match (from.signed(), to.bits) {
        (true, 32) => bits(wide as i64 as f32),
        (false, 32) => bits(wide as f32),
        (true, _) => bits64(wide as i64 as f64),
        (false, _) => bits64(wide as f64),
    }
}

fn rounded(x: f64, round: Round) -> f64 {
    match round {
        Round::Even => x.round_ties_even(),
        Round::Zero => x.trunc(),
        Round::Down => x.floor(),
        Round::Up => x.ceil(),
    }
}

/// Out of range gives the nearest end; NaN gives 0 in conversions of f32 to up to 32 bits, else the top bit alone.
fn float_to_integer(from: Ty, to: Ty, round: Round, x: u64) -> u64 {
    let value = widen(from, x);
    if value.is_nan() {
        return if from.bits < 64 && to.bits < 64 { 0 } else { 1 << (to.bits - 1) };
    }
    let (low, high) = range(to);
    (rounded(value, round) as i128).clamp(low, high) as u64
}

fn widen(from: Ty, x: u64) -> f64 {
    match (from.kind, from.bits) {
        (Kind::Bf16, _) => f64::from(bf16::from_bits(x as u16)),
        (_, 16) => f64::from(f16::from_bits(x as u16)),
        (_, 32) => f64::from(f(x)),
        _ => g(x),
    }
}

/// Rounds once: f32 to 16 bits has its value exactly in f64, from which `half` rounds to nearest even.
fn narrow(to: Ty, x: f64) -> u64 {
    match (to.kind, to.bits) {
        (Kind::Bf16, _) if x.is_nan() => 0x7fff,
        (Kind::Bf16, _) => u64::from(bf16::from_f64(x).to_bits()),
        (_, 16) if x.is_nan() => 0x7fff,
        (_, 16) => u64::from(f16::from_f64(x).to_bits()),
        (_, 32) => bits(x as f32),
        _ => bits64(x),
    }
}
