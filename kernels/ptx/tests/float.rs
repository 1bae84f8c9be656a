//! Floating-point instructions against Rust's, which round the same way; NaN results are the device's canonical one.

mod common;

use common::{combinations, float_bits, law, words};
use grail_ptx::{Module, PtxError};

const NAN: u64 = 0x7fff_ffff;

fn f(x: u64) -> f32 {
    f32::from_bits(x as u32)
}

fn bits(x: f32) -> u64 {
    if x.is_nan() { NAN } else { u64::from(x.to_bits()) }
}

fn inputs<const N: usize>() -> Vec<[u64; N]> {
    let mut all = combinations::<N>(&float_bits());
    all.iter_mut().flatten().for_each(|v| *v &= 0xffff_ffff);
    all
}

#[test]
fn arithmetic_rounds_once_to_nearest_even_and_keeps_subnormals() {
    for (name, g) in [
        ("add.rn.f32", &(|a: f32, b: f32| a + b) as &dyn Fn(f32, f32) -> f32),
        ("sub.rn.f32", &|a, b| a - b),
        ("mul.rn.f32", &|a, b| a * b),
        ("div.rn.f32", &|a, b| a / b),
    ] {
        law(&format!("{name} o, a, b;"), "f32", ["f32"; 2], &inputs(), |[a, b]| bits(g(f(a), f(b))));
    }
    law("sqrt.rn.f32 o, a;", "f32", ["f32"], &inputs(), |[a]| bits(f(a).sqrt()));
    law("rcp.rn.f32 o, a;", "f32", ["f32"], &inputs(), |[a]| bits(1.0 / f(a)));
    law("fma.rn.f32 o, a, b, c;", "f32", ["f32"; 3], &inputs(), |[a, b, c]| bits(f(a).mul_add(f(b), f(c))));
    // One rounding, not two: 1 + 2^-24 + 2^-47 rounds up only if the product is not rounded first.
    let product = [[u64::from((1.0f32 + f32::EPSILON).to_bits()), u64::from(2f32.powi(-24).to_bits()), bits(1.0)]];
    law("fma.rn.f32 o, a, b, c;", "f32", ["f32"; 3], &product, |_| u64::from((1.0f32 + f32::EPSILON).to_bits()));
}

#[test]
fn doubles_round_once_to_nearest_even() {
    let inputs: Vec<[u64; 2]> =
        combinations::<2>(&[0, 1, 1 << 63, 1f64.to_bits(), 0.1f64.to_bits(), f64::MAX.to_bits()]);
    let g = f64::from_bits;
    let bits = |x: f64| if x.is_nan() { 0x7fff_ffff_ffff_ffff } else { x.to_bits() };
    law("add.rn.f64 o, a, b;", "f64", ["f64"; 2], &inputs, |[a, b]| bits(g(a) + g(b)));
    law("mul.rn.f64 o, a, b;", "f64", ["f64"; 2], &inputs, |[a, b]| bits(g(a) * g(b)));
    law("div.rn.f64 o, a, b;", "f64", ["f64"; 2], &inputs, |[a, b]| bits(g(a) / g(b)));
    law("fma.rn.f64 o, a, b, a;", "f64", ["f64"; 2], &inputs, |[a, b]| bits(g(a).mul_add(g(b), g(a))));
    law("setp.lt.f64 o, a, b;", "pred", ["f64"; 2], &inputs, |[a, b]| u64::from(g(a) < g(b)));
    law("cvt.rn.f32.f64 o, a;", "f32", ["f64", "f64"], &inputs, |[a, _]| self::bits(g(a) as f32));
}

#[test]
fn signs_and_the_smaller_and_the_greater() {
    law("neg.f32 o, a;", "f32", ["f32"], &inputs(), |[a]| a ^ 0x8000_0000);
    law("abs.f32 o, a;", "f32", ["f32"], &inputs(), |[a]| a & 0x7fff_ffff);
    law("copysign.f32 o, a, b;", "f32", ["f32"; 2], &inputs(), |[a, b]| a & 0x8000_0000 | b & 0x7fff_ffff);
    // As sort keys, -0 lies below +0.
    let key = |x: u64| if x as i32 >= 0 { i64::from(x as i32) } else { -1 - i64::from(x as u32 & 0x7fff_ffff) };
    let pick = |a: u64, b: u64, greater: bool| match (f(a).is_nan(), f(b).is_nan()) {
        (true, true) => NAN,
        (true, _) => b,
        (_, true) => a,
        _ if (key(a) > key(b)) == greater => a,
        _ => b,
    };
    law("max.f32 o, a, b;", "f32", ["f32"; 2], &inputs(), |[a, b]| pick(a, b, true));
    law("min.f32 o, a, b;", "f32", ["f32"; 2], &inputs(), |[a, b]| pick(a, b, false));
    law("max.NaN.f32 o, a, b;", "f32", ["f32"; 2], &inputs(), |[a, b]| {
        if f(a).is_nan() || f(b).is_nan() { NAN } else { pick(a, b, true) }
    });
}

#[test]
fn comparisons_know_unordered_operands() {
    for (name, ordered, unordered) in [
        ("eq", &(|a: f32, b: f32| a == b) as &dyn Fn(f32, f32) -> bool, false),
        ("ne", &|a, b| a != b, false),
        ("lt", &|a, b| a < b, false),
        ("le", &|a, b| a <= b, false),
        ("gt", &|a, b| a > b, false),
        ("ge", &|a, b| a >= b, false),
        ("equ", &|a, b| a == b, true),
        ("neu", &|a, b| a != b, true),
        ("ltu", &|a, b| a < b, true),
        ("leu", &|a, b| a <= b, true),
        ("gtu", &|a, b| a > b, true),
        ("geu", &|a, b| a >= b, true),
        ("num", &|_, _| true, false),
        ("nan", &|_, _| false, true),
    ] {
        law(&format!("setp.{name}.f32 o, a, b;"), "pred", ["f32"; 2], &inputs(), |[a, b]| {
            u64::from(if f(a).is_nan() || f(b).is_nan() { unordered } else { ordered(f(a), f(b)) })
        });
    }
}

#[test]
fn integers_become_floats_with_one_rounding() {
    let ints: Vec<[u64; 1]> = combinations::<1>(&words());
    law("cvt.rn.f32.s32 o, a;", "f32", ["b32"], &ints, |[a]| bits(a as i32 as f32));
    law("cvt.rn.f32.u32 o, a;", "f32", ["b32"], &ints, |[a]| bits(a as u32 as f32));
    law("cvt.rn.f32.s64 o, a;", "f32", ["b64"], &ints, |[a]| bits(a as i64 as f32));
    law("cvt.rn.f32.u64 o, a;", "f32", ["b64"], &ints, |[a]| bits(a as f32));
    law("cvt.rn.f32.s16 o, a;", "f32", ["b16"], &ints, |[a]| bits(f32::from(a as i16)));
    law("cvt.rn.f32.s8 o, a;", "f32", ["b16"], &ints, |[a]| bits(f32::from(a as i8)));
    law("cvt.rn.f32.u8 o, a;", "f32", ["b16"], &ints, |[a]| bits(f32::from(a as u8)));
    law("cvt.rn.f64.u64 o, a;", "f64", ["b64"], &ints, |[a]| (a as f64).to_bits());
}

#[test]
fn floats_become_integers_by_every_rounding_and_saturate() {
    for (round, g) in [
        ("rni", &f32::round_ties_even as &dyn Fn(f32) -> f32),
        ("rzi", &f32::trunc),
        ("rmi", &f32::floor),
        ("rpi", &f32::ceil),
    ] {
        law(&format!("cvt.{round}.f32.f32 o, a;"), "f32", ["f32"], &inputs(), |[a]| bits(g(f(a))));
        law(&format!("cvt.{round}.s32.f32 o, a;"), "b32", ["f32"], &inputs(), |[a]| u64::from(g(f(a)) as i32 as u32));
        law(&format!("cvt.{round}.u32.f32 o, a;"), "b32", ["f32"], &inputs(), |[a]| u64::from(g(f(a)) as u32));
        law(&format!("cvt.{round}.s64.f32 o, a;"), "b64", ["f32"], &inputs(), |[a]| {
            if f(a).is_nan() { 1 << 63 } else { g(f(a)) as i64 as u64 }
        });
        law(&format!("cvt.{round}.s8.f32 o, a;"), "b32", ["f32"], &inputs(), |[a]| {
            u64::from(i32::from(g(f(a)) as i8) as u32)
        });
    }
}

#[test]
fn sixteen_bit_floats_widen_exactly_and_narrow_once() {
    let halves: Vec<[u64; 1]> = (0..1 << 16).map(|h| [h]).collect();
    law("cvt.f32.f16 o, a;", "f32", ["b16"], &halves, |[a]| bits(half::f16::from_bits(a as u16).to_f32()));
    law("cvt.f32.bf16 o, a;", "f32", ["b16"], &halves, |[a]| bits(f(a << 16)));
    law("cvt.rn.bf16.f32 o, a;", "b16", ["f32"], &inputs(), |[a]| {
        if f(a).is_nan() { 0x7fff } else { (a + 0x7fff + (a >> 16 & 1)) >> 16 }
    });
    law("cvt.rn.f16.f32 o, a;", "b16", ["f32"], &inputs(), |[a]| {
        if f(a).is_nan() { 0x7fff } else { u64::from(half::f16::from_f32(f(a)).to_bits()) }
    });
}

#[test]
fn what_is_not_exact_is_refused_by_name() {
    for (line, refusal) in [
        ("ex2.approx.f32 %f1, %f2;", "inexact"),
        ("ex2.approx.ftz.f32 %f1, %f2;", "inexact"),
        ("rsqrt.approx.f32 %f1, %f2;", "inexact"),
        ("lg2.approx.f32 %f1, %f2;", "inexact"),
        ("sin.approx.f32 %f1, %f2;", "inexact"),
        ("div.full.f32 %f1, %f2, %f3;", "inexact"),
        ("div.approx.f32 %f1, %f2, %f3;", "inexact"),
        ("sqrt.approx.f32 %f1, %f2;", "inexact"),
        ("add.ftz.f32 %f1, %f2, %f3;", "inexact"),
        ("add.rn.ftz.f32 %f1, %f2, %f3;", "inexact"),
        ("add.f32 %f1, %f2, %f3;", "inexact"),
        ("mul.f32 %f1, %f2, %f3;", "inexact"),
        ("red.global.add.f32 [%rd1], %f1;", "inexact"),
        ("atom.global.add.f32 %f2, [%rd1], %f1;", "inexact"),
        ("mul.rz.f32 %f1, %f2, %f3;", "inexact"),
        ("add.rn.f16 %rs1, %rs2, %rs3;", "unsupported"),
        ("add.rn.sat.f32 %f1, %f2, %f3;", "unsupported"),
        ("wgmma.fence.sync.aligned;", "unsupported"),
        ("cvt.rz.f32.s32 %f1, %r1;", "unsupported"),
        ("add.u32 %f1, %r1, %rd1;", "unsupported"),
        ("add.u32 %r1, %r2, %nothing;", "unsupported"),
        ("frobnicate.u32 %r1;", "unsupported"),
        (
            "mma.sync.aligned.m16n8k32.row.col.satfinite.s32.s8.s8.s32 {%r1,%r1,%r1,%r1}, {%r1,%r1,%r1,%r1}, {%r1,%r1}, {%r1,%r1,%r1,%r1};",
            "unsupported",
        ),
    ] {
        let text = format!(
            "{}.reg .f32 %f<4>;\n.reg .b32 %r<4>;\n.reg .b16 %rs<4>;\n.reg .b64 %rd<4>;\n{line}\nret;\n}}\n",
            common::header("k", 0)
        );
        match Module::parse(&text) {
            Err(PtxError::Inexact { line: at, instruction, .. }) => {
                assert_eq!((refusal, at), ("inexact", 12), "{line}");
                assert!(line.starts_with(&instruction), "{line}");
            }
            Err(PtxError::Unsupported { line: at, instruction, .. }) => {
                assert_eq!((refusal, at), ("unsupported", 12), "{line}");
                assert!(line.starts_with(&instruction), "{line}");
            }
            other => panic!("{line}: {other:?}"),
        }
    }
}
