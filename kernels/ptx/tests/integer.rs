//! Integer instructions against what Rust makes of the same words.

mod common;

use common::{combinations, eval, law, longs, try_eval, words};
use grail_ptx::Check;

fn pairs() -> Vec<[u64; 2]> {
    masked(combinations::<2>(&words()))
}

fn triples() -> Vec<[u64; 3]> {
    masked(combinations::<3>(&words()))
}

fn masked<const N: usize>(mut all: Vec<[u64; N]>) -> Vec<[u64; N]> {
    all.iter_mut().flatten().for_each(|v| *v &= 0xffff_ffff);
    all
}

/// A law of two 32-bit operands.
fn law32(instruction: &str, f: impl Fn(u32, u32) -> u32) {
    let body = format!("{instruction} o, a, b;");
    law(&body, "b32", ["b32", "b32"], &pairs(), |[a, b]| u64::from(f(a as u32, b as u32)));
}

fn law64(instruction: &str, f: impl Fn(u64, u64) -> u64) {
    law(&format!("{instruction} o, a, b;"), "b64", ["b64", "b64"], &combinations::<2>(&longs()), |[a, b]| f(a, b));
}

#[test]
fn sums_and_products_of_32_bits_wrap() {
    for ty in ["u32", "s32"] {
        law32(&format!("add.{ty}"), u32::wrapping_add);
        law32(&format!("sub.{ty}"), u32::wrapping_sub);
        law32(&format!("mul.lo.{ty}"), u32::wrapping_mul);
    }
    law32("mul.hi.u32", |a, b| ((u64::from(a) * u64::from(b)) >> 32) as u32);
    law32("mul.hi.s32", |a, b| ((i64::from(a as i32) * i64::from(b as i32)) >> 32) as u32);
    law32("add.sat.s32", |a, b| (a as i32).saturating_add(b as i32) as u32);
    law32("sub.sat.s32", |a, b| (a as i32).saturating_sub(b as i32) as u32);
}

#[test]
fn sums_and_products_of_64_bits_wrap() {
    law64("add.s64", u64::wrapping_add);
    law64("sub.u64", u64::wrapping_sub);
    law64("mul.lo.s64", u64::wrapping_mul);
    law64("mul.hi.u64", |a, b| ((u128::from(a) * u128::from(b)) >> 64) as u64);
    law64("mul.hi.s64", |a, b| ((i128::from(a as i64) * i128::from(b as i64)) >> 64) as u64);
}

#[test]
fn arithmetic_of_16_bits_wraps() {
    let law16 = |name: &str, f: &dyn Fn(u16, u16) -> u16| {
        let body = format!("{name} o, a, b;");
        law(&body, "b16", ["b16", "b16"], &pairs(), |[a, b]| u64::from(f(a as u16, b as u16)));
    };
    law16("add.s16", &u16::wrapping_add);
    law16("sub.u16", &u16::wrapping_sub);
    law16("mul.lo.s16", &u16::wrapping_mul);
    law16("and.b16", &|a, b| a & b);
    law16("min.s16", &|a, b| (a as i16).min(b as i16) as u16);
    law16("max.u16", &|a, b| a.max(b));
}

#[test]
fn wide_products_keep_every_bit() {
    let body = |name: &str| format!("{name} o, a, b;");
    law(&body("mul.wide.u32"), "b64", ["b32", "b32"], &pairs(), |[a, b]| a * b);
    law(&body("mul.wide.s32"), "b64", ["b32", "b32"], &pairs(), |[a, b]| {
        (i64::from(a as i32) * i64::from(b as i32)) as u64
    });
    law(&body("mul.wide.s16"), "b32", ["b16", "b16"], &pairs(), |[a, b]| {
        u64::from((i32::from(a as i16) * i32::from(b as i16)) as u32)
    });
}

#[test]
fn multiply_and_add() {
    let law3 = |name: &str, f: &dyn Fn(u32, u32, u32) -> u32| {
        let body = format!("{name} o, a, b, c;");
        law(&body, "b32", ["b32"; 3], &triples(), |[a, b, c]| u64::from(f(a as u32, b as u32, c as u32)));
    };
    law3("mad.lo.s32", &|a, b, c| a.wrapping_mul(b).wrapping_add(c));
    law3("mad.hi.u32", &|a, b, c| (((u64::from(a) * u64::from(b)) >> 32) as u32).wrapping_add(c));
    law3("mad.hi.s32", &|a, b, c| (((i64::from(a as i32) * i64::from(b as i32)) >> 32) as u32).wrapping_add(c));
    law3("sad.s32", &|a, b, c| c.wrapping_add((a as i32).abs_diff(b as i32)));
    law3("sad.u32", &|a, b, c| c.wrapping_add(a.abs_diff(b)));
    let wide = "mad.wide.s32 o, a, b, c;";
    let inputs: Vec<_> =
        combinations::<3>(&longs()).into_iter().map(|[a, b, c]| [a & 0xffff_ffff, b & 0xffff_ffff, c]).collect();
    law(wide, "b64", ["b32", "b32", "b64"], &inputs, |[a, b, c]| {
        (i64::from(a as i32) * i64::from(b as i32)).wrapping_add(c as i64) as u64
    });
}

#[test]
fn quotients_and_remainders() {
    let nonzero: Vec<_> = pairs().into_iter().filter(|[_, b]| *b != 0).collect();
    for (name, f) in [
        ("div.u32", &(|a, b| a / b) as &dyn Fn(u32, u32) -> u32),
        ("rem.u32", &|a, b| a % b),
        ("div.s32", &|a, b| (a as i32).wrapping_div(b as i32) as u32),
        ("rem.s32", &|a, b| (a as i32).wrapping_rem(b as i32) as u32),
    ] {
        law(&format!("{name} o, a, b;"), "b32", ["b32"; 2], &nonzero, |[a, b]| u64::from(f(a as u32, b as u32)));
    }
    let nonzero: Vec<_> = combinations::<2>(&longs()).into_iter().filter(|[_, b]| *b != 0).collect();
    law("div.u64 o, a, b;", "b64", ["b64"; 2], &nonzero, |[a, b]| a / b);
    law("rem.s64 o, a, b;", "b64", ["b64"; 2], &nonzero, |[a, b]| (a as i64).wrapping_rem(b as i64) as u64);
    let finding = try_eval("div.s32 o, a, b;", "b32", ["b32"; 2], &[[7, 2], [7, 0]]).unwrap_err();
    assert_eq!((finding.check, finding.thread), (Check::DivisionByZero, [1, 0, 0]));
}

#[test]
fn the_smaller_and_the_greater() {
    law32("min.s32", |a, b| (a as i32).min(b as i32) as u32);
    law32("max.s32", |a, b| (a as i32).max(b as i32) as u32);
    law32("min.u32", u32::min);
    law32("max.u32", u32::max);
    law64("min.s64", |a, b| (a as i64).min(b as i64) as u64);
    law64("max.u64", u64::max);
}

#[test]
fn logic_and_shifts_clamp_their_amount() {
    law32("and.b32", |a, b| a & b);
    law32("or.b32", |a, b| a | b);
    law32("xor.b32", |a, b| a ^ b);
    law64("xor.b64", |a, b| a ^ b);
    law32("shl.b32", |a, b| a.checked_shl(b).unwrap_or(0));
    law32("shr.u32", |a, b| a.checked_shr(b).unwrap_or(0));
    law32("shr.b32", |a, b| a.checked_shr(b).unwrap_or(0));
    law32("shr.s32", |a, b| (a as i32 >> b.min(31)) as u32);
    let inputs: Vec<_> = combinations::<2>(&longs()).into_iter().map(|[a, b]| [a, b & 0xff]).collect();
    law("shl.b64 o, a, b;", "b64", ["b64", "b32"], &inputs, |[a, b]| a.checked_shl(b as u32).unwrap_or(0));
    law("shr.s64 o, a, b;", "b64", ["b64", "b32"], &inputs, |[a, b]| (a as i64 >> b.min(63)) as u64);
    law("shr.s16 o, a, b;", "b16", ["b16", "b32"], &inputs, |[a, b]| u64::from((a as i16 >> b.min(15)) as u16));
    law("shl.b16 o, a, b;", "b16", ["b16", "b32"], &inputs, |[a, b]| if b < 16 { a << b & 0xffff } else { 0 });
}

#[test]
fn one_operand() {
    let inputs: Vec<_> = pairs().into_iter().map(|[a, _]| [a]).collect();
    let law1 = |name: &str, f: &dyn Fn(u32) -> u32| {
        law(&format!("{name} o, a;"), "b32", ["b32"], &inputs, |[a]| u64::from(f(a as u32)));
    };
    law1("not.b32", &|a| !a);
    law1("neg.s32", &|a| a.wrapping_neg());
    law1("abs.s32", &|a| (a as i32).unsigned_abs());
    law1("cnot.b32", &|a| u32::from(a == 0));
    law1("popc.b32", &u32::count_ones);
    law1("clz.b32", &u32::leading_zeros);
    law1("brev.b32", &u32::reverse_bits);
    law1("bfind.u32", &|a| if a == 0 { u32::MAX } else { 31 - a.leading_zeros() });
    law1("bfind.shiftamt.u32", &|a| if a == 0 { u32::MAX } else { a.leading_zeros() });
    law1("bfind.s32", &|a| {
        let a = if (a as i32) < 0 { !a } else { a };
        if a == 0 { u32::MAX } else { 31 - a.leading_zeros() }
    });
    let inputs: Vec<_> = combinations::<1>(&longs());
    law("popc.b64 o, a;", "b32", ["b64"], &inputs, |[a]| u64::from(a.count_ones()));
    law("clz.b64 o, a;", "b32", ["b64"], &inputs, |[a]| u64::from(a.leading_zeros()));
    law("brev.b64 o, a;", "b64", ["b64"], &inputs, |[a]| a.reverse_bits());
    law("neg.s64 o, a;", "b64", ["b64"], &inputs, |[a]| a.wrapping_neg());
}

#[test]
fn bit_fields() {
    let inputs: Vec<_> = triples().into_iter().collect();
    // Bit by bit, as the manual writes it.
    let extract = |a: u64, start: u64, length: u64, bits: u64, signed: bool| {
        let (start, length) = (start & 0xff, length & 0xff);
        let msb = bits - 1;
        let sign = if !signed || length == 0 { 0 } else { a >> (start + length - 1).min(msb) & 1 };
        (0..bits).fold(0, |d, i| {
            let bit = if i < length && start + i <= msb { a >> (start + i) & 1 } else { sign };
            d | bit << i
        })
    };
    law("bfe.u32 o, a, b, c;", "b32", ["b32"; 3], &inputs, |[a, b, c]| extract(a, b, c, 32, false));
    law("bfe.s32 o, a, b, c;", "b32", ["b32"; 3], &inputs, |[a, b, c]| extract(a, b, c, 32, true));
    law("bfe.s64 o, a, b, c;", "b64", ["b64", "b32", "b32"], &inputs, |[a, b, c]| extract(a, b, c, 64, true));
    let insert = |a: u64, b: u64, start: u64| {
        let (start, length) = (start & 0xff, 9);
        (0..length).filter(|i| start + i < 32).fold(b, |f, i| f & !(1 << (start + i)) | (a >> i & 1) << (start + i))
    };
    law("bfi.b32 o, a, b, c, 9;", "b32", ["b32"; 3], &inputs, |[a, b, c]| insert(a, b, c));
    law("bfi.b32 o, a, b, c, 0;", "b32", ["b32"; 3], &inputs, |[_, b, _]| b);
    law("bmsk.clamp.b32 o, a, b;", "b32", ["b32"; 2], &pairs(), |[a, b]| {
        (0..32).filter(|i| *i >= a && *i < a.saturating_add(b)).fold(0, |m, i| m | 1 << i)
    });
    law("szext.wrap.s32 o, a, b;", "b32", ["b32"; 2], &pairs(), |[a, b]| match b & 31 {
        0 => 0,
        n => {
            let shift = 32 - n as u32;
            u64::from((((a as u32) << shift) as i32 >> shift) as u32)
        }
    });
}

#[test]
fn funnel_shifts() {
    let inputs = triples();
    let both = |a: u64, b: u64| b << 32 | a;
    law("shf.l.wrap.b32 o, a, b, c;", "b32", ["b32"; 3], &inputs, |[a, b, c]| both(a, b) << (c & 31) >> 32);
    law("shf.l.clamp.b32 o, a, b, c;", "b32", ["b32"; 3], &inputs, |[a, b, c]| both(a, b) << c.min(32) >> 32);
    law("shf.r.wrap.b32 o, a, b, c;", "b32", ["b32"; 3], &inputs, |[a, b, c]| both(a, b) >> (c & 31) & 0xffff_ffff);
    law("shf.r.clamp.b32 o, a, b, c;", "b32", ["b32"; 3], &inputs, |[a, b, c]| both(a, b) >> c.min(32) & 0xffff_ffff);
}

#[test]
fn bytes_are_permuted_by_every_mode() {
    let bytes = |a: u64, b: u64| (b << 32 | a).to_le_bytes();
    let word = |picks: [u8; 4]| u64::from(u32::from_le_bytes(picks));
    law("prmt.b32 o, a, b, c;", "b32", ["b32"; 3], &triples(), |[a, b, c]| {
        word(std::array::from_fn(|i| {
            let selector = c >> (4 * i) & 15;
            let byte = bytes(a, b)[(selector & 7) as usize];
            if selector & 8 == 0 {
                byte
            } else if byte >= 128 {
                255
            } else {
                0
            }
        }))
    });
    // The manual's table, from the most significant byte down.
    let table: [(&str, [[usize; 4]; 4]); 6] = [
        ("f4e", [[3, 2, 1, 0], [4, 3, 2, 1], [5, 4, 3, 2], [6, 5, 4, 3]]),
        ("b4e", [[5, 6, 7, 0], [6, 7, 0, 1], [7, 0, 1, 2], [0, 1, 2, 3]]),
        ("rc8", [[0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3]]),
        ("ecl", [[3, 2, 1, 0], [3, 2, 1, 1], [3, 2, 2, 2], [3, 3, 3, 3]]),
        ("ecr", [[0, 0, 0, 0], [1, 1, 1, 0], [2, 2, 1, 0], [3, 2, 1, 0]]),
        ("rc16", [[1, 0, 1, 0], [3, 2, 3, 2], [1, 0, 1, 0], [3, 2, 3, 2]]),
    ];
    for (mode, rows) in table {
        law(&format!("prmt.b32.{mode} o, a, b, c;"), "b32", ["b32"; 3], &triples(), |[a, b, c]| {
            let row = rows[(c & 3) as usize];
            word(std::array::from_fn(|i| bytes(a, b)[row[3 - i]]))
        });
    }
}

#[test]
fn three_way_logic_follows_its_table() {
    for table in [0x00, 0x80, 0xfe, 0x96, 0xe8, 0xca, 0x2d, 0xff] {
        law(&format!("lop3.b32 o, a, b, c, {table};"), "b32", ["b32"; 3], &triples(), |[a, b, c]| {
            (0..32).fold(0, |d, i| {
                let row = (a >> i & 1) << 2 | (b >> i & 1) << 1 | c >> i & 1;
                d | (table >> row & 1) << i
            })
        });
    }
}

#[test]
fn dot_products_of_bytes() {
    let dot = |a: u64, b: u64, c: u64, wide_a: fn(u8) -> i32, wide_b: fn(u8) -> i32| {
        let (a, b) = ((a as u32).to_le_bytes(), (b as u32).to_le_bytes());
        let sum = (0..4).map(|i| wide_a(a[i]) * wide_b(b[i])).sum::<i32>();
        u64::from((c as u32).wrapping_add(sum as u32))
    };
    let signed: fn(u8) -> i32 = |x| i32::from(x as i8);
    let unsigned: fn(u8) -> i32 = i32::from;
    law("dp4a.s32.s32 o, a, b, c;", "b32", ["b32"; 3], &triples(), |[a, b, c]| dot(a, b, c, signed, signed));
    law("dp4a.u32.u32 o, a, b, c;", "b32", ["b32"; 3], &triples(), |[a, b, c]| dot(a, b, c, unsigned, unsigned));
    law("dp4a.s32.u32 o, a, b, c;", "b32", ["b32"; 3], &triples(), |[a, b, c]| dot(a, b, c, signed, unsigned));
}

#[test]
fn carry_chains_make_wide_sums() {
    // 64 bits from halves; the high half of a product of 64 bits from four products.
    let split = "mov.b64 {l0, h0}, a; mov.b64 {l1, h1}, b;";
    let declare = ".reg .b32 l0, h0, l1, h1, x0, x1, x2, x3;";
    let inputs = combinations::<2>(&longs());
    let add = format!("{declare} {split} add.cc.u32 x0, l0, l1; addc.u32 x1, h0, h1; mov.b64 o, {{x0, x1}};");
    law(&add, "b64", ["b64"; 2], &inputs, |[a, b]| a.wrapping_add(b));
    let sub = format!("{declare} {split} sub.cc.u32 x0, l0, l1; subc.u32 x1, h0, h1; mov.b64 o, {{x0, x1}};");
    law(&sub, "b64", ["b64"; 2], &inputs, |[a, b]| a.wrapping_sub(b));
    let mul = format!(
        "{declare} {split} mul.lo.u32 x0, l0, l1; mul.hi.u32 x1, l0, l1;
         mad.lo.cc.u32 x1, l0, h1, x1; madc.hi.u32 x2, l0, h1, 0;
         mad.lo.cc.u32 x1, h0, l1, x1; madc.hi.cc.u32 x2, h0, l1, x2; addc.u32 x3, 0, 0;
         mad.lo.cc.u32 x2, h0, h1, x2; madc.hi.u32 x3, h0, h1, x3; mov.b64 o, {{x2, x3}};"
    );
    law(&mul, "b64", ["b64"; 2], &inputs, |[a, b]| ((u128::from(a) * u128::from(b)) >> 64) as u64);
}

#[test]
fn comparisons_and_selections() {
    for (name, f) in [
        ("eq.u32", &(|a: u32, b: u32| a == b) as &dyn Fn(u32, u32) -> bool),
        ("ne.b32", &|a, b| a != b),
        ("lt.s32", &|a, b| (a as i32) < b as i32),
        ("le.s32", &|a, b| a as i32 <= b as i32),
        ("gt.u32", &|a, b| a > b),
        ("ge.u32", &|a, b| a >= b),
        ("lo.u32", &|a, b| a < b),
        ("ls.u32", &|a, b| a <= b),
        ("hi.u32", &|a, b| a > b),
        ("hs.u32", &|a, b| a >= b),
    ] {
        law(&format!("setp.{name} o, a, b;"), "pred", ["b32"; 2], &pairs(), |[a, b]| u64::from(f(a as u32, b as u32)));
    }
    let both = ".reg .pred p, q; setp.lt.and.s32 p|q, a, b, !c; xor.pred o, p, q;";
    let inputs: Vec<_> = triples().into_iter().map(|[a, b, c]| [a, b, c & 1]).collect();
    // Of a comparison and its contrary exactly one holds, unless c clears both.
    law(both, "pred", ["b32", "b32", "pred"], &inputs, |[_, _, c]| 1 - c);
    law("selp.b32 o, a, b, c;", "b32", ["b32", "b32", "pred"], &inputs, |[a, b, c]| if c == 1 { a } else { b });
    law(
        "slct.u32.s32 o, a, b, c;",
        "b32",
        ["b32"; 3],
        &triples(),
        |[a, b, c]| if c as u32 as i32 >= 0 { a } else { b },
    );
}

#[test]
fn moves_pack_and_unpack() {
    let inputs = combinations::<1>(&longs());
    law(".reg .b32 x, y; mov.b64 {x, y}, a; mov.b64 o, {y, x};", "b64", ["b64"], &inputs, |[a]| a.rotate_left(32));
    let quarters = ".reg .b16 x, y, z, w; mov.b64 {x, y, z, w}, a; mov.b64 o, {w, z, y, x};";
    law(quarters, "b64", ["b64"], &inputs, |[a]| (0..4).fold(0, |o, i| o | (a >> (16 * i) & 0xffff) << (48 - 16 * i)));
    law(".reg .b16 x; mov.b32 {_, x}, a; mov.b32 o, {x, 7};", "b32", ["b32"], &inputs, |[a]| {
        a >> 16 & 0xffff | 7 << 16
    });
    assert_eq!(eval("mov.u32 o, -2;", "b32", ["b32"], &[[0]]), [0xffff_fffe]);
}

#[test]
fn integers_change_width() {
    let inputs = combinations::<1>(&longs());
    let cvt = |name: &str, from: &'static str, to: &'static str, f: &dyn Fn(u64) -> u64| {
        law(&format!("cvt.{name} o, a;"), to, [from], &inputs, |[a]| f(a));
    };
    cvt("s64.s32", "b32", "b64", &|a| a as i32 as i64 as u64);
    cvt("u64.u32", "b32", "b64", &|a| a & 0xffff_ffff);
    cvt("u32.u64", "b64", "b32", &|a| a & 0xffff_ffff);
    cvt("s32.s8", "b32", "b32", &|a| u64::from(a as i8 as i32 as u32));
    cvt("s16.s8", "b16", "b16", &|a| u64::from(a as i8 as i16 as u16));
    cvt("u16.u32", "b32", "b16", &|a| a & 0xffff);
    cvt("u32.u8", "b16", "b32", &|a| a & 0xff);
    cvt("s8.s32", "b32", "b32", &|a| u64::from(a as i8 as i32 as u32));
    cvt("sat.s8.s32", "b32", "b32", &|a| u64::from((a as i32).clamp(-128, 127) as u32));
    cvt("sat.u8.s32", "b32", "b32", &|a| u64::from((a as i32).clamp(0, 255) as u32));
    cvt("sat.s32.s64", "b64", "b32", &|a| u64::from((a as i64).clamp(i32::MIN.into(), i32::MAX.into()) as u32));
    cvt("sat.u32.u64", "b64", "b32", &|a| a.min(0xffff_ffff));
}
