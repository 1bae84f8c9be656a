//! Integer instructions. Operands come zero extended from their registers.

use super::columns::Columns;
use crate::inst::{Carry, Int1, Int2, Int3, Permute, R};
use crate::types::{Ty, mask as bit_mask, sign_extend};

pub(crate) fn int1(c: &mut Columns, mask: u32, op: Int1, ty: Ty, d: R, a: R) {
    let m = ty.mask();
    let bits = ty.bits;
    match op {
        Int1::Not => c.map1(mask, d, a, |x| !x & m),
        Int1::Neg => c.map1(mask, d, a, |x| x.wrapping_neg() & m),
        Int1::Abs => c.map1(mask, d, a, |x| (sign_extend(x, bits) as i64).unsigned_abs() & m),
        Int1::Cnot => c.map1(mask, d, a, |x| u64::from(x == 0)),
        Int1::Popc => c.map1(mask, d, a, |x| u64::from(x.count_ones())),
        Int1::Clz => c.map1(mask, d, a, |x| u64::from(x.leading_zeros() - (64 - bits))),
        Int1::Brev => c.map1(mask, d, a, |x| x.reverse_bits() >> (64 - bits)),
        Int1::Bfind { shift } => c.map1(mask, d, a, |x| find_top(x, ty, shift)),
    }
}

/// The highest bit that differs from the sign (unsigned: from zero), all ones if there is none.
fn find_top(x: u64, ty: Ty, shift: bool) -> u64 {
    let wide = ty.extend(x);
    let x = if ty.signed() && (wide as i64) < 0 { !wide } else { wide };
    if x == 0 {
        return 0xffff_ffff;
    }
    let at = 63 - u64::from(x.leading_zeros());
    if shift { u64::from(ty.bits) - 1 - at } else { at }
}

pub(crate) fn int2(c: &mut Columns, mask: u32, op: Int2, ty: Ty, d: R, ab: [R; 2]) {
    let m = ty.mask();
    let bits = u64::from(ty.bits);
    let signed = ty.signed();
    let s = move |x: u64| sign_extend(x, ty.bits) as i64;
    match op {
        Int2::Add => c.map2(mask, d, ab, |a, b| a.wrapping_add(b) & m),
        Int2::Sub => c.map2(mask, d, ab, |a, b| a.wrapping_sub(b) & m),
        Int2::AddSat => c.map2(mask, d, ab, |a, b| u64::from((a as i32).saturating_add(b as i32) as u32)),
        Int2::SubSat => c.map2(mask, d, ab, |a, b| u64::from((a as i32).saturating_sub(b as i32) as u32)),
        Int2::MulLo => c.map2(mask, d, ab, |a, b| a.wrapping_mul(b) & m),
        Int2::MulHi => c.map2(mask, d, ab, |a, b| product_high(ty, a, b)),
        Int2::MulWide if signed => c.map2(mask, d, ab, |a, b| s(a).wrapping_mul(s(b)) as u64 & bit_mask(2 * ty.bits)),
        Int2::MulWide => c.map2(mask, d, ab, |a, b| a.wrapping_mul(b)),
        // A divisor of 0 is refused before; the value here is that of the lanes that are not active.
        Int2::Div if signed => c.map2(mask, d, ab, |a, b| s(a).wrapping_div(if b == 0 { 1 } else { s(b) }) as u64 & m),
        Int2::Div => c.map2(mask, d, ab, |a, b| a / b.max(1)),
        Int2::Rem if signed => c.map2(mask, d, ab, |a, b| s(a).wrapping_rem(if b == 0 { 1 } else { s(b) }) as u64 & m),
        Int2::Rem => c.map2(mask, d, ab, |a, b| a % b.max(1)),
        Int2::Min if signed => c.map2(mask, d, ab, |a, b| if s(a) < s(b) { a } else { b }),
        Int2::Min => c.map2(mask, d, ab, |a, b| a.min(b)),
        Int2::Max if signed => c.map2(mask, d, ab, |a, b| if s(a) > s(b) { a } else { b }),
        Int2::Max => c.map2(mask, d, ab, |a, b| a.max(b)),
        Int2::And => c.map2(mask, d, ab, |a, b| a & b),
        Int2::Or => c.map2(mask, d, ab, |a, b| a | b),
        Int2::Xor => c.map2(mask, d, ab, |a, b| a ^ b),
        Int2::Shl => c.map2(mask, d, ab, |a, b| if b < bits { a << b & m } else { 0 }),
        Int2::Shr if signed => c.map2(mask, d, ab, |a, b| (s(a) >> b.min(bits - 1)) as u64 & m),
        Int2::Shr => c.map2(mask, d, ab, |a, b| if b < bits { a >> b } else { 0 }),
        Int2::BmskClamp => c.map2(mask, d, ab, |a, b| field_mask(a.min(32), b.min(32))),
        Int2::BmskWrap => c.map2(mask, d, ab, |a, b| field_mask(a & 31, b & 31)),
        Int2::SzextClamp => c.map2(mask, d, ab, |a, b| low_field(a, b.min(32), signed)),
        Int2::SzextWrap => c.map2(mask, d, ab, |a, b| low_field(a, b & 31, signed)),
    }
}

fn field_mask(start: u64, length: u64) -> u64 {
    (bit_mask(length as u32) << start) & 0xffff_ffff
}

/// The low `length` bits of a 32-bit value, zero or sign extended; no bits give 0.
fn low_field(a: u64, length: u64, signed: bool) -> u64 {
    match length {
        0 => 0,
        _ if signed => sign_extend(a, length as u32) & 0xffff_ffff,
        _ => a & bit_mask(length as u32),
    }
}

fn product_high(ty: Ty, a: u64, b: u64) -> u64 {
    let product = if ty.signed() {
        i128::from(ty.extend(a) as i64).wrapping_mul(i128::from(ty.extend(b) as i64)) as u128
    } else {
        u128::from(a) * u128::from(b)
    };
    (product >> ty.bits) as u64 & ty.mask()
}

pub(crate) fn int3(c: &mut Columns, mask: u32, op: Int3, ty: Ty, d: R, abc: [R; 3]) {
    let m = ty.mask();
    match op {
        Int3::MadLo => c.map3(mask, d, abc, |a, b, c| a.wrapping_mul(b).wrapping_add(c) & m),
        Int3::MadHi => c.map3(mask, d, abc, |a, b, c| product_high(ty, a, b).wrapping_add(c) & m),
        Int3::MadWide => {
            let wide = bit_mask(2 * ty.bits);
            c.map3(mask, d, abc, |a, b, c| ty.extend(a).wrapping_mul(ty.extend(b)).wrapping_add(c) & wide);
        }
        Int3::Sad if ty.signed() => {
            let s = |x| ty.extend(x) as i64;
            c.map3(mask, d, abc, |a, b, c| c.wrapping_add(s(a).abs_diff(s(b))) & m);
        }
        Int3::Sad => c.map3(mask, d, abc, |a, b, c| c.wrapping_add(a.abs_diff(b)) & m),
        Int3::Bfe => c.map3(mask, d, abc, |a, b, c| extract(ty, a, b & 0xff, c & 0xff)),
        Int3::ShfL { clamp } => c.map3(mask, d, abc, |a, b, c| {
            let n = if clamp { c.min(32) } else { c & 31 };
            ((b << 32 | a) << n >> 32) & m
        }),
        Int3::ShfR { clamp } => c.map3(mask, d, abc, |a, b, c| {
            let n = if clamp { c.min(32) } else { c & 31 };
            ((b << 32 | a) >> n) & m
        }),
        Int3::Prmt(mode) => c.map3(mask, d, abc, |a, b, c| permute(mode, b << 32 | a, c)),
        Int3::Lop3(table) => c.map3(mask, d, abc, |a, b, c| lop3(table, a, b, c)),
        Int3::Dp4a { a_signed, b_signed } => c.map3(mask, d, abc, |a, b, c| dot4(a, b, c, a_signed, b_signed)),
        Int3::Slct => c.map3(mask, d, abc, |a, b, c| if c as u32 as i32 >= 0 { a } else { b }),
        // -0 counts as 0, NaN selects b.
        Int3::SlctFloat => c.map3(mask, d, abc, |a, b, c| if f32::from_bits(c as u32) >= 0.0 { a } else { b }),
    }
}

/// Bits `start .. start + length`; a signed field is filled with its top bit, or with the value's where it ends beyond.
fn extract(ty: Ty, a: u64, start: u64, length: u64) -> u64 {
    let bits = u64::from(ty.bits);
    let wide = ty.extend(a);
    if length == 0 {
        return 0;
    }
    let shifted = if start >= bits {
        if ty.signed() { ((wide as i64) >> 63) as u64 } else { 0 }
    } else if ty.signed() {
        ((wide as i64) >> start) as u64
    } else {
        wide >> start
    };
    let length = length.min(bits) as u32;
    let field = if ty.signed() { sign_extend(shifted, length) } else { shifted & bit_mask(length) };
    field & ty.mask()
}

pub(crate) fn insert(c: &mut Columns, mask: u32, bits: u32, d: R, [a, b, start, length]: [R; 4]) {
    let columns = [*c.get(a), *c.get(b), *c.get(start), *c.get(length)];
    let mut out = [0; 32];
    for (lane, out) in out.iter_mut().enumerate() {
        let [a, b, start, length] = columns.map(|column| column[lane]);
        let (start, length) = (start & 0xff, (length & 0xff) as u32);
        let field = if start < 64 { bit_mask(length) << start & bit_mask(bits) } else { 0 };
        *out = b & !field | if start < 64 { a << start & field } else { 0 };
    }
    c.write(mask, d, &out);
}

fn permute(mode: Permute, pool: u64, control: u64) -> u64 {
    let at = (control & 3) as usize;
    let byte = |i: usize| pool >> (8 * i) & 0xff;
    let pick: [usize; 4] = match mode {
        Permute::Index => {
            let mut out = 0;
            for i in 0..4 {
                let selector = control >> (4 * i) & 15;
                let byte = byte((selector & 7) as usize);
                let byte = if selector & 8 != 0 { 0xff * (byte >> 7) } else { byte };
                out |= byte << (8 * i);
            }
            return out;
        }
        Permute::F4e => [at, at + 1, at + 2, at + 3],
        Permute::B4e => [at, (at + 7) % 8, (at + 6) % 8, (at + 5) % 8],
        Permute::Rc8 => [at; 4],
        Permute::Ecl => [at, at.max(1), at.max(2), 3],
        Permute::Ecr => [0, at.min(1), at.min(2), at],
        Permute::Rc16 => [2 * (at & 1), 2 * (at & 1) + 1, 2 * (at & 1), 2 * (at & 1) + 1],
    };
    (0..4).fold(0, |out, i| out | byte(pick[i]) << (8 * i))
}

fn lop3(table: u8, a: u64, b: u64, c: u64) -> u64 {
    let mut out = 0;
    for row in 0..8u32 {
        if table >> row & 1 != 0 {
            let term = |x: u64, bit: u32| if row >> bit & 1 != 0 { x } else { !x };
            out |= term(a, 2) & term(b, 1) & term(c, 0);
        }
    }
    out & 0xffff_ffff
}

fn dot4(a: u64, b: u64, c: u64, a_signed: bool, b_signed: bool) -> u64 {
    let mut sum = c as u32;
    for i in 0..4 {
        let wide = |x: u64, signed: bool| {
            let byte = (x >> (8 * i)) as u8;
            if signed { i32::from(byte as i8) } else { i32::from(byte) }
        };
        sum = sum.wrapping_add((wide(a, a_signed) * wide(b, b_signed)) as u32);
    }
    u64::from(sum)
}

pub(crate) struct CarryChain {
    pub op: Carry,
    pub ty: Ty,
    pub cc: R,
    pub takes: bool,
    pub sets: bool,
}

/// One link of an extended-precision chain. The flag of a subtraction is its borrow.
pub(crate) fn carry(c: &mut Columns, mask: u32, chain: &CarryChain, d: R, [a, b, addend]: [R; 3]) {
    let (ty, m) = (chain.ty, chain.ty.mask());
    let (a, b, addend, flags) = (*c.get(a), *c.get(b), *c.get(addend), *c.get(chain.cc));
    let (mut out, mut set) = ([0; 32], flags);
    for lane in 0..32 {
        let taken = u128::from(chain.takes && flags[lane] != 0);
        let wide = match chain.op {
            Carry::Add => u128::from(a[lane]) + u128::from(b[lane]) + taken,
            Carry::Sub => u128::from(a[lane]).wrapping_sub(u128::from(b[lane])).wrapping_sub(taken),
            Carry::MadLo => u128::from(a[lane].wrapping_mul(b[lane]) & m) + u128::from(addend[lane]) + taken,
            Carry::MadHi => u128::from(product_high(ty, a[lane], b[lane])) + u128::from(addend[lane]) + taken,
        };
        out[lane] = wide as u64 & m;
        set[lane] = (wide >> ty.bits) as u64 & 1;
    }
    c.write(mask, d, &out);
    if chain.sets {
        c.write(mask, chain.cc, &set);
    }
}
