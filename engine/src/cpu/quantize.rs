//! Rows of f32 to 128-blocks of i16 with one power-of-two exponent each (NUMERICS sections 2 and 3).
//!
//! One source for every instruction set. x * 2^k is exact or so small that it rounds to 0, and adding
//! [`MAGIC`] rounds it to the nearest integer, ties to even, whose value is then in the low bits.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::isa::{Isa, dispatched};
use super::memory::{Buffer, Shared, touch};
use super::pool::Pool;
use crate::error::FaultKind;

/// Elements of a block.
pub const BLOCK: usize = 128;

/// Elements from one row of a block to the next. Products read a pair of each row in turn; rows a whole number of cache
/// lines apart made them 2 to 4 % slower (Zen 5, strips that stream; not a loop that stays in the first cache).
pub const STRIDE: usize = BLOCK + 2;

/// Bound on the sum of |q| over a block of a left operand: 16383 * 131080 < 2^31.
pub const LEFT_SUM: u32 = 131_080;

/// Bound on |q| of a left operand, so that its high 8-bit slice fits.
pub const LEFT_MAX: u32 = 32_639;

/// Bits of 2^60: anything from here on, NaN included, is a fault.
const FAULT_FROM: u32 = (60 + 127) << 23;

/// 1.5 * 2^23; see the module's head.
const MAGIC: f32 = 12_582_912.0;

/// Which of the two quantizers of NUMERICS section 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// L: weights, queries, softmax weights; 10 to 15 bits.
    Left,
    /// R: activations, keys, values; 14 bits.
    Right,
}

dispatched! {
    /// Quantizes a row of n elements into `q` (n padded with zeros to whole blocks) and one exponent per block, `g`.
    ///
    /// # Errors
    /// [`FaultKind::Quantizer`] when an element is NaN, infinite or at least 2^60; `q` and `g` are then unspecified.
    ///
    /// # Panics
    /// When `q` is not `BLOCK` times as long as `g` or `x` does not need exactly that many blocks.
    pub fn quantize_row(side: Side, x: &[f32], q: &mut [i16], g: &mut [i8]) -> Result<(), FaultKind> = row_body;
    fn quantize_strided(side: Side, x: &[f32], to: &Place) -> Result<(), FaultKind> = strided_body;
}

/// Where the blocks of one row of a [`QuantRows`] go.
struct Place {
    /// Index of the row's first block among the groups.
    first: usize,
    /// Groups from one block of the row to the next.
    stride: usize,
    q: Shared<i16>,
    g: Shared<i8>,
    shifts: Shared<i32>,
}

#[inline(always)]
fn row_body(side: Side, x: &[f32], q: &mut [i16], g: &mut [i8]) -> Result<(), FaultKind> {
    assert!(q.len() == g.len() * BLOCK && g.len() == x.len().div_ceil(BLOCK), "shapes of a quantized row");
    let (q, _) = q.as_chunks_mut::<BLOCK>();
    for ((x, q), g) in x.chunks(BLOCK).zip(q).zip(g) {
        *g = chunk(side, x, q)?;
    }
    Ok(())
}

/// Every group index of `to` is inside its buffers, and nobody else reads or writes them meanwhile: see [`RowWriter::write`].
#[inline(always)]
fn strided_body(side: Side, x: &[f32], to: &Place) -> Result<(), FaultKind> {
    for (block, x) in x.chunks(BLOCK).enumerate() {
        let group = to.first + block * to.stride;
        // SAFETY: see above. Integers go where they belong at once: a copy would have to wait for their stores.
        let q = unsafe { &mut *to.q.at(group * STRIDE).cast::<[i16; BLOCK]>() };
        let g = chunk(side, x, q)?;
        // SAFETY: see above.
        unsafe {
            *to.g.at(group) = g;
            *to.shifts.at(group) = i32::from(g) << 23;
        }
    }
    Ok(())
}

#[inline(always)]
pub(super) fn chunk(side: Side, x: &[f32], q: &mut [i16; BLOCK]) -> Result<i8, FaultKind> {
    let one = |x: &[f32; BLOCK], q: &mut [i16; BLOCK]| match side {
        Side::Left => left_block(x, q),
        Side::Right => right_block(x, q),
    };
    if let Ok(whole) = x.try_into() {
        return one(whole, q);
    }
    let mut padded = [0f32; BLOCK];
    padded[..x.len()].copy_from_slice(x);
    one(&padded, q)
}

/// E of NUMERICS section 2, -40 to 60.
#[inline(always)]
fn block_exponent(x: &[f32; BLOCK]) -> Result<i32, FaultKind> {
    let mut bits = 0;
    for v in x {
        bits = bits.max(v.to_bits() & 0x7fff_ffff);
    }
    if bits >= FAULT_FROM {
        return Err(FaultKind::Quantizer);
    }
    Ok(((bits >> 23) as i32 - 126).max(-40))
}

/// 2^e for a normal power.
#[inline(always)]
fn power(e: i32) -> f32 {
    f32::from_bits(((e + 127) as u32) << 23)
}

/// RNE(x * scale) clamped to +-limit, for |x * scale| <= 2^15.
#[inline(always)]
fn round(x: f32, scale: f32, limit: i32) -> i32 {
    ((x * scale + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32).clamp(-limit, limit)
}

#[inline(always)]
fn right_block(x: &[f32; BLOCK], q: &mut [i16; BLOCK]) -> Result<i8, FaultKind> {
    let e = block_exponent(x)?;
    let scale = power(14 - e);
    for (x, q) in x.iter().zip(q.iter_mut()) {
        *q = round(*x, scale, 16_383) as i16;
    }
    Ok((e - 14) as i8)
}

/// The sum at 15 bits tells b up to one trial, so that all but rare blocks are rounded twice.
#[inline(always)]
pub(super) fn left_block(x: &[f32; BLOCK], q: &mut [i16; BLOCK]) -> Result<i8, FaultKind> {
    let e = block_exponent(x)?;
    let (mut sum, mut max) = (0u32, 0u32);
    let scale = power(15 - e);
    for x in x {
        let q = round(*x, scale, 32_767).unsigned_abs();
        sum += q;
        max = max.max(q);
    }
    if sum <= LEFT_SUM && max <= LEFT_MAX {
        left_at(x, e, 15, q);
        return Ok((e - 15) as i8);
    }
    for bits in (11..15).rev() {
        // |q_b - x 2^b| < 1 for each element (1/2, and up to 1 where the clamp bites), at b and at 15.
        let shift = 15 - bits;
        if sum > ((LEFT_SUM + 128) << shift) + 128 {
            continue;
        }
        if left_at(x, e, bits, q) <= LEFT_SUM {
            return Ok((e - bits) as i8);
        }
    }
    left_at(x, e, 10, q);
    Ok((e - 10) as i8)
}

/// Quantizes to `bits` bits; the sum of |q|.
#[inline(always)]
fn left_at(x: &[f32; BLOCK], e: i32, bits: i32, q: &mut [i16; BLOCK]) -> u32 {
    let (scale, limit) = (power(bits - e), (1 << bits) - 1);
    let mut sum = 0;
    for (x, q) in x.iter().zip(q.iter_mut()) {
        let v = round(*x, scale, limit);
        sum += v.unsigned_abs();
        *q = v as i16;
    }
    sum
}

/// A batch of quantized rows: `q` `[block][row][STRIDE]`, `g` and g 2^23 `[block][row]`.
///
/// Blocks come first so that a tile of rows lies contiguous within a block: one base address, no
/// two rows in the same cache set. The memory is kept from batch to batch.
#[derive(Debug, Default)]
pub struct QuantRows {
    rows: usize,
    cols: usize,
    q: Option<Buffer<i16>>,
    g: Option<Buffer<i8>>,
    shifts: Option<Buffer<i32>>,
    written: Vec<AtomicBool>,
}

impl QuantRows {
    /// No rows yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for `rows` rows of `cols` elements; what was there is forgotten. Allocates only when larger than ever before.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn reset(&mut self, rows: usize, cols: usize) -> std::io::Result<()> {
        let blocks = cols.div_ceil(BLOCK);
        let groups = rows.checked_mul(blocks).ok_or(std::io::ErrorKind::OutOfMemory)?;
        if self.g.as_ref().is_none_or(|g| g.len() < groups) {
            let len = groups.checked_mul(STRIDE).ok_or(std::io::ErrorKind::OutOfMemory)?;
            self.q = Some(Buffer::zeroed(len)?);
            self.g = Some(Buffer::zeroed(groups)?);
            self.shifts = Some(Buffer::zeroed(groups)?);
        }
        (self.rows, self.cols) = (rows, cols);
        self.written.clear();
        self.written.resize_with(groups, || AtomicBool::new(false));
        Ok(())
    }

    /// Has the system hand out its memory now.
    pub(super) fn touch(&mut self, pool: &Pool) {
        touch(pool, self.q.as_deref_mut().unwrap_or_default());
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements of a row before padding.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Blocks of a row.
    pub fn blocks(&self) -> usize {
        self.cols.div_ceil(BLOCK)
    }

    /// The integers, `[block][row][STRIDE]`, of which 128 count.
    pub fn q(&self) -> &[i16] {
        self.q.as_ref().map_or(&[], |q| &q[..self.rows * self.blocks() * STRIDE])
    }

    /// The exponents, `[block][row]`.
    pub fn g(&self) -> &[i8] {
        self.g.as_ref().map_or(&[], |g| &g[..self.rows * self.blocks()])
    }

    /// g 2^23, `[block][row]`: what is added to the bits of a power of two to multiply it by 2^g.
    pub(super) fn shifts(&self) -> &[i32] {
        self.shifts.as_ref().map_or(&[], |s| &s[..self.rows * self.blocks()])
    }

    /// A handle through which several threads write rows.
    pub fn writer(&mut self) -> RowWriter<'_> {
        let (rows, cols) = (self.rows, self.cols);
        RowWriter {
            rows,
            cols,
            q: Shared::new(self.q.as_deref_mut().unwrap_or_default()),
            g: Shared::new(self.g.as_deref_mut().unwrap_or_default()),
            shifts: Shared::new(self.shifts.as_deref_mut().unwrap_or_default()),
            written: &self.written,
        }
    }

    /// Whether each block was written since the last `reset`.
    pub(super) fn complete(&self) -> bool {
        self.written.iter().all(|w| w.load(Relaxed))
    }
}

/// Writes rows of a [`QuantRows`], each block once, from any thread.
#[derive(Clone, Copy)]
pub struct RowWriter<'a> {
    rows: usize,
    cols: usize,
    q: Shared<i16>,
    g: Shared<i8>,
    shifts: Shared<i32>,
    written: &'a [AtomicBool],
}

impl RowWriter<'_> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements of a row before padding.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Quantizes `x`, of `cols` elements, into row `row`.
    ///
    /// # Errors
    /// [`FaultKind::Quantizer`]; the row counts as written and holds unspecified integers.
    ///
    /// # Panics
    /// When the row does not exist, was written since the last `reset`, or `x` has another length.
    pub fn write(&self, isa: Isa, side: Side, row: usize, x: &[f32]) -> Result<(), FaultKind> {
        assert_eq!(x.len(), self.cols, "length of the row");
        assert!(row < self.rows, "row {row} of {}", self.rows);
        if self.cols > 0 {
            assert!(!self.written[row].swap(true, Relaxed), "row {row} is written twice");
            (1..self.cols.div_ceil(BLOCK)).for_each(|block| self.mark(block, row));
        }
        // SAFETY: of all calls of this function for the row only one came past the check.
        unsafe { self.quantize(isa, side, row, 0, x) }
    }

    fn mark(&self, block: usize, row: usize) {
        // Not one operation, which would wait for all stores before it.
        let flag = &self.written[block * self.rows + row];
        assert!(!flag.load(Relaxed), "block {block} of row {row} is written twice");
        flag.store(true, Relaxed);
    }

    /// Quantizes `x` into a row's blocks from `block` on. Only the row's last block may be shorter than 128 elements.
    ///
    /// # Errors
    /// As [`RowWriter::write`].
    ///
    /// # Panics
    /// When a block does not exist, was written since the last `reset`, or `x` ends within one.
    ///
    /// # Safety
    /// No other call writes one of these blocks at the same time.
    pub unsafe fn write_blocks(
        &self,
        isa: Isa,
        side: Side,
        row: usize,
        block: usize,
        x: &[f32],
    ) -> Result<(), FaultKind> {
        let end = block * BLOCK + x.len();
        assert!(row < self.rows && (end == self.cols || end < self.cols && end.is_multiple_of(BLOCK)), "whole blocks");
        (block..block + x.len().div_ceil(BLOCK)).for_each(|block| self.mark(block, row));
        // SAFETY: the blocks exist, and the caller vouches for the rest.
        unsafe { self.quantize(isa, side, row, block, x) }
    }

    /// # Safety
    /// The blocks exist, and no other call writes one of them at the same time.
    unsafe fn quantize(&self, isa: Isa, side: Side, row: usize, block: usize, x: &[f32]) -> Result<(), FaultKind> {
        // The groups are inside the buffers sized in `reset`, which this handle borrows exclusively.
        let first = block * self.rows + row;
        let to = Place { first, stride: self.rows, q: self.q, g: self.g, shifts: self.shifts };
        quantize_strided(isa, side, x, &to)
    }
}
