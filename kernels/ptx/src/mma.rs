//! Integer matrix product of a warp, m16n8k32 and m16n8k16 of bytes: fragments by the PTX manual's section on mma.
//!
//! With group = lane / 4 and member = lane % 4, byte i of a lane's A fragment (four bytes a register) is row group, or
//! group + 8 where bit 2 of i is set, and column 4 member + i % 4, 16 more where bit 3 is set; byte i of its B fragment
//! is row 4 member + i % 4, 16 more where bit 2 is set, and column group; entry i of C and D is row group, or group + 8
//! for i >= 2, and column 2 member + i % 2. The k16 form is the same without the second 16 columns.

use crate::exec::columns::{Column, Columns};
use crate::finding::{Check, Trouble};
use crate::inst::{Mma, MmaTf32};

pub(crate) fn execute(columns: &mut Columns, mma: &Mma) {
    let (mut a, mut b) = ([[0i32; 32]; 16], [[0i32; 8]; 32]);
    for lane in 0..32 {
        let (group, member) = (lane / 4, lane % 4);
        for i in 0..mma.k / 2 {
            let row = group + if i & 4 != 0 { 8 } else { 0 };
            let column = 4 * member + i % 4 + if i & 8 != 0 { 16 } else { 0 };
            a[row][column] = byte(columns.get(mma.a[i / 4]), lane, i % 4, mma.a_signed);
        }
        for i in 0..mma.k / 4 {
            let row = 4 * member + i % 4 + if i & 4 != 0 { 16 } else { 0 };
            b[row][group] = byte(columns.get(mma.b[i / 4]), lane, i % 4, mma.b_signed);
        }
    }
    let mut d = [[0u32; 8]; 16];
    for (d, a) in d.iter_mut().zip(&a) {
        for (a, b) in a.iter().zip(&b).take(mma.k) {
            for (d, b) in d.iter_mut().zip(b) {
                *d = d.wrapping_add((a * b) as u32);
            }
        }
    }
    let c = mma.c.map(|r| *columns.get(r));
    for lane in 0..32 {
        let (group, member) = (lane / 4, lane % 4);
        for (i, c) in c.iter().enumerate() {
            let sum = d[group + 8 * (i / 2)][2 * member + i % 2].wrapping_add(c[lane] as u32);
            columns.put(mma.d[i], lane, u64::from(sum));
        }
    }
}

fn byte(column: &Column, lane: usize, at: usize, signed: bool) -> i32 {
    let byte = (column[lane] >> (8 * at)) as u8;
    if signed { i32::from(byte as i8) } else { i32::from(byte) }
}

/// m16n8k4 of tf32: with group and member as above, A's two registers are rows group and group + 8 of column member, B's
/// is row member of column group, and C and D are as above.
///
/// The device sums in an order and with a precision of its own. A sum is accepted where neither can matter: every addend
/// is normal and lies, down to its last bit, within 22 bits of the greatest.
pub(crate) fn execute_tf32(columns: &mut Columns, mma: &MmaTf32) -> Result<(), Box<Trouble>> {
    let value = |column: &Column, lane: usize| f32::from_bits(column[lane] as u32);
    let (a, b) = (mma.a.map(|r| *columns.get(r)), *columns.get(mma.b));
    let c = mma.c.map(|r| *columns.get(r));
    for lane in 0..32 {
        if (a[0][lane] | a[1][lane] | b[lane]) & 0x1fff != 0 {
            return Err(Trouble::new(Check::Inexact, lane, "a factor has more bits than tf32".into()));
        }
    }
    for lane in 0..32 {
        let (group, member) = (lane / 4, lane % 4);
        for i in 0..4 {
            let column = 2 * member + i % 2;
            let mut addends = [f64::from(value(&c[i], lane)); 5];
            for (k, addend) in addends.iter_mut().take(4).enumerate() {
                *addend = f64::from(value(&a[i / 2], 4 * group + k)) * f64::from(value(&b, 4 * column + k));
            }
            let Some(sum) = exact_sum(&addends) else {
                return Err(Trouble::new(Check::Inexact, lane, format!("the sum of {addends:?} depends on its order")));
            };
            columns.put(mma.d[i], lane, u64::from(sum.to_bits()));
        }
    }
    Ok(())
}

fn exact_sum(addends: &[f64]) -> Option<f32> {
    let (mut top, mut low) = (i32::MIN, i32::MAX);
    for addend in addends.iter().filter(|x| **x != 0.0) {
        if !addend.is_finite() {
            return None;
        }
        // Products of f32 are normal in f64, their last bit is the mantissa's.
        let exponent = (addend.to_bits() >> 52 & 0x7ff) as i32 - 1023;
        let mantissa = addend.to_bits() & ((1 << 52) - 1) | 1 << 52;
        top = top.max(exponent);
        low = low.min(exponent - 52 + mantissa.trailing_zeros() as i32);
    }
    let near = top == i32::MIN || top - low <= 22 && low >= -126 && top <= 124;
    near.then(|| addends.iter().sum::<f64>() as f32)
}
