//! Products of quantized rows with packed weights: NUMERICS section 4, to the bit, for any split.
//!
//! The unit is a strip: up to 48 activation rows by one or two panels. Block by block, tiles of a few rows make the
//! exact integer dot products and fold them into f32 accumulators that stay in the first cache; blocks ascend,
//! everything else is free. Two panels at a time stream from memory, each asked for one block ahead; the rows of a
//! strip share each block of weights while it is in the first cache, and the strips a unit of panels while it is in
//! the second, so weights cross the memory bus once.
//! Threads take ranges of (unit, rows), long ones first, and never share an output.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::isa::{Isa, Path, dispatched};
use super::memory::Shared;
use super::pack::{PANEL, PANEL_BLOCK, PackedMatrix};
use super::pool::Pool;
use super::quantize::{BLOCK, QuantRows, RowWriter, STRIDE, Side};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use super::{ops, portable};
use crate::FaultKind;

/// Rows of a strip at most: their accumulators by two panels are 6 KiB.
pub(super) const STRIP: usize = 48;

/// Bytes of weights that are to stay in the second cache while strips go by.
const UNIT_BYTES: usize = 512 << 10;

/// Rows that one thread takes at a time, at most: two strips, so that threads end together.
const SEGMENT: usize = 2 * STRIP;

/// Panels of a column of the accumulators.
pub(super) const PAIR: usize = 2;

/// Panels of a strip at most.
pub(super) const QUAD: usize = 4;

/// What becomes of a product Y.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// out = Y.
    Store,
    /// out = out + Y, the residual.
    Add,
    /// out = (g / (1 + exp(-g))) * u for the gate g and the up u of a matrix made by
    /// [`PackedMatrix::pack_gate_up`]; neither is ever stored.
    SiluMul,
    /// out = g of such a matrix, for who wants to look at it.
    Gate,
    /// out = u of such a matrix.
    Up,
}

/// Some rows of activations by one or two panels of weights, all blocks.
pub(super) struct Strip {
    /// 1 to [`STRIP`].
    pub rows: usize,
    /// Blocks of the contraction axis.
    pub blocks: usize,
    /// The first row in `[blocks][a_stride][STRIDE]`.
    pub a: *const i16,
    /// g 2^23 of it in `[blocks][a_stride]`.
    pub a_shift: *const i32,
    /// Rows from one block to the next.
    pub a_stride: usize,
    /// 1, 2 or, where the kernels take it, 4.
    pub panels: usize,
    /// `[blocks][64][16][2]` each.
    pub w: [*const i16; QUAD],
    /// `[blocks][16]` each.
    pub w_g: [*const i8; QUAD],
    /// The panels to ask for at the end; never dereferenced.
    pub ahead: [*const i16; QUAD],
    /// `[pair of panels][STRIP][2][16]`, `rows` of each pair.
    pub acc: *mut f32,
    /// Where the first row's sums will go, all panels of each row: asked for meanwhile, since stores that miss every
    /// cache would hold up the stores of the next strip. Never dereferenced.
    pub out: *const f32,
    /// Elements from one row of `out` to the next.
    pub out_stride: usize,
}

/// The integer kernels of one instruction set.
pub(super) struct Kernels {
    /// Rows of a tile at most.
    pub rows: usize,
    /// Rows up to which a strip may have four panels.
    pub wide_rows: usize,
    /// Sums a strip's dot products, scaled, into its accumulators, from +0 on, blocks ascending.
    /// Safety: the pointers of the strip cover what their comments say; the instructions exist.
    pub strip: unsafe fn(&Strip),
    /// Integer dot products: (rows, a, stride of a, pairs, panels, first panel `[pairs][16][2]`, stride of panels, out,
    /// stride of out). Safety: as above.
    pub dots: unsafe fn(usize, *const i16, usize, usize, usize, *const i16, usize, *mut i32, usize),
}

/// The table of a path. The `Isa` is the proof that its functions' instructions exist.
pub(super) fn kernels(isa: Isa) -> Kernels {
    match isa.path() {
        #[cfg(target_arch = "x86_64")]
        Path::Avx2 => Kernels { rows: avx2::ROWS, wide_rows: 0, strip: avx2::strip, dots: avx2::dots },
        #[cfg(target_arch = "x86_64")]
        Path::Avx512 => {
            Kernels { rows: avx512::ROWS, wide_rows: avx512::WIDE_ROWS, strip: avx512::strip, dots: avx512::dots }
        }
        #[cfg(test)]
        Path::Model512 => {
            use super::model512;
            Kernels {
                rows: model512::ROWS,
                wide_rows: model512::WIDE_ROWS,
                strip: model512::strip,
                dots: model512::dots,
            }
        }
        _ => Kernels { rows: portable::ROWS, wide_rows: 0, strip: portable::strip, dots: portable::dots },
    }
}

/// `rows` in shares of at most `most`, as even as can be: 50 by 48 are 25 and 25, not 48 and 2.
#[inline(always)]
pub(super) fn shares(rows: usize, most: usize) -> impl Iterator<Item = usize> {
    let count = rows.div_ceil(most);
    let (share, longer) = (rows / count.max(1), rows % count.max(1));
    (0..count).map(move |i| share + usize::from(i < longer))
}

/// Y = W A for all rows of `a`: `out[m * ld_out + n]` for row m and output n, by `mode`.
///
/// # Panics
/// When shapes disagree, a row of `a` was not written, or [`Mode::SiluMul`] does not meet a gate and up pair.
pub fn matmul(isa: Isa, pool: &Pool, w: &PackedMatrix, a: &QuantRows, out: &mut [f32], ld_out: usize, mode: Mode) {
    let job = Job::new(isa, w, a, mode);
    let out = Output::new(&job, out, ld_out, 0..w.panels());
    job.share_out(pool, job.unit_pairs(), |rows, panels| job.run(&out, rows, panels));
}

/// (g / (1 + exp(-g))) * u for the gate g and the up u of a matrix made by [`PackedMatrix::pack_gate_up`], quantized by R
/// into `to` block by block; `fault` hears of rows that cannot be.
///
/// # Panics
/// As [`matmul`], and when `to` has other rows or columns than the product or a block of it was written.
pub fn silu_mul_quantized(
    isa: Isa,
    pool: &Pool,
    w: &PackedMatrix,
    a: &QuantRows,
    to: &RowWriter<'_>,
    fault: &(impl Fn(usize, FaultKind) + Sync),
) {
    let job = Job::new(isa, w, a, Mode::SiluMul);
    assert_eq!((to.rows(), to.cols()), (a.rows(), w.rows()), "rows and columns of the quantized product");
    // A pair of panels makes 16 columns.
    let pairs = BLOCK / PANEL;
    job.share_out(pool, pairs, |rows, panels| {
        let block = panels.start / PAIR / pairs;
        let width = BLOCK.min(w.rows() - block * BLOCK);
        let mut values = Lines([const { MaybeUninit::<f32>::uninit() }; STRIP * BLOCK]);
        let values = &mut values.0;
        for strip in job.strips(rows) {
            let out = Output {
                first: Shared::new(values).cast(),
                row: strip.start,
                ld: BLOCK,
                columns: block * BLOCK..w.rows(),
            };
            job.run(&out, strip.clone(), panels.clone());
            for (row, x) in strip.zip(values.chunks_exact(BLOCK)) {
                // SAFETY: the unit made these columns of the strip's rows.
                let x = unsafe { written(&x[..width]) };
                // SAFETY: each (unit of panels, row) is dealt out once, and a unit makes this block.
                if let Err(kind) = unsafe { to.write_blocks(isa, Side::Right, row, block, x) } {
                    fault(row, kind);
                }
            }
        }
    });
}

/// The part of [`matmul`] made of `panels`, on the calling thread; output 0 is the first row of the first panel.
///
/// # Panics
/// As [`matmul`]; also when the panels do not exist or, with [`Mode::SiluMul`], do not start and end between pairs.
pub fn matmul_panels(
    isa: Isa,
    w: &PackedMatrix,
    a: &QuantRows,
    panels: Range<usize>,
    out: &mut [f32],
    ld_out: usize,
    mode: Mode,
) {
    let job = Job::new(isa, w, a, mode);
    let out = Output::new(&job, out, ld_out, panels.clone());
    job.run(&out, 0..a.rows(), panels);
}

struct Job<'a> {
    isa: Isa,
    kernels: Kernels,
    w: &'a PackedMatrix,
    a: &'a QuantRows,
    mode: Mode,
}

/// Where products go. Each (row, panel) is finished by one thread.
struct Output {
    /// Row `row` and column `columns.start`.
    first: Shared<f32>,
    row: usize,
    /// Elements from one row to the next.
    ld: usize,
    columns: Range<usize>,
}

impl Output {
    /// All rows, and the columns that `panels` make.
    fn new(job: &Job<'_>, out: &mut [f32], ld: usize, panels: Range<usize>) -> Self {
        let (w, per_part) = (job.w, job.w.parts());
        assert!(panels.start <= panels.end && panels.end <= w.panels(), "panels {panels:?} of {}", w.panels());
        assert!(
            panels.start.is_multiple_of(per_part) && panels.end.is_multiple_of(per_part),
            "whole gate and up pairs"
        );
        let last = (panels.end / per_part * PANEL).min(w.rows());
        let columns = (panels.start / per_part * PANEL).min(last)..last;
        if job.a.rows() > 0 && !columns.is_empty() {
            assert!(columns.len() <= ld, "row stride of the output");
            let needed = (job.a.rows() - 1).checked_mul(ld).and_then(|n| n.checked_add(columns.len()));
            assert!(needed.is_some_and(|n| n <= out.len()), "length of the output");
        }
        Self { first: Shared::new(out), row: 0, ld, columns }
    }
}

impl<'a> Job<'a> {
    fn new(isa: Isa, w: &'a PackedMatrix, a: &'a QuantRows, mode: Mode) -> Self {
        assert_eq!(w.cols(), a.cols(), "inputs of the weights and of the activations");
        assert!(a.complete(), "every activation row is written");
        match mode {
            Mode::SiluMul | Mode::Gate | Mode::Up => assert_eq!(w.parts(), 2, "a gate and up pair"),
            Mode::Store | Mode::Add => assert_eq!(w.parts(), 1, "a gate and up pair is made for Mode::SiluMul"),
        }
        Self { isa, kernels: kernels(isa), w, a, mode }
    }

    /// Pairs of panels that stay in the second cache while strips of rows go by; one where there is one strip, so that
    /// threads end together.
    fn unit_pairs(&self) -> usize {
        let pair_bytes = PAIR * self.w.blocks() * PANEL_BLOCK * size_of::<i16>();
        match self.a.rows() {
            rows if rows <= self.kernels.wide_rows => QUAD / PAIR,
            ..=STRIP => 1,
            _ => (UNIT_BYTES / pair_bytes).clamp(1, BLOCK / PANEL),
        }
    }

    /// Calls `f(rows, panels)` for units of `pairs` pairs of panels and segments of rows: weights cross the memory bus
    /// once, a unit's segments one after the other.
    fn share_out(&self, pool: &Pool, pairs: usize, f: impl Fn(Range<usize>, Range<usize>) + Sync) {
        let (rows, panels) = (self.a.rows(), self.w.panels());
        let (segments, units) = (rows.div_ceil(SEGMENT), panels.div_ceil(PAIR * pairs));
        pool.for_each_guided(segments * units, |items| {
            for item in items {
                let (unit, segment) = (item / segments, item % segments);
                let panels = unit * pairs * PAIR..((unit + 1) * pairs * PAIR).min(panels);
                f(segment * SEGMENT..((segment + 1) * SEGMENT).min(rows), panels);
            }
        });
    }

    /// Strips of whole tiles of some rows.
    fn strips(&self, rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let (most, mut row) = (STRIP / self.kernels.rows, rows.start);
        let mut tiles = shares(rows.len(), self.kernels.rows);
        std::iter::from_fn(move || {
            let start = row;
            row += tiles.by_ref().take(most).sum::<usize>();
            (row > start).then_some(start..row)
        })
    }

    /// Some rows by some panels.
    fn run(&self, out: &Output, rows: Range<usize>, panels: Range<usize>) {
        let mut acc = Lines([const { MaybeUninit::uninit() }; QUAD / PAIR * STRIP]);
        for strip in self.strips(rows) {
            let mut panel = panels.start;
            while panel < panels.end {
                let wide = strip.len() <= self.kernels.wide_rows && panels.end - panel >= QUAD;
                let count = if wide { QUAD } else { PAIR.min(panels.end - panel) };
                let first = |panel: usize| {
                    let column = panel / self.w.parts() * PANEL;
                    let offset = (strip.start - out.row) * out.ld + column - out.columns.start;
                    (out.first.at(offset), out.columns.end - column)
                };
                self.strip(&mut acc.0, strip.clone(), panel, count, first(panel).0, out.ld);
                for (pair, acc) in acc.0.chunks_exact(STRIP).enumerate().take(count.div_ceil(PAIR)) {
                    // SAFETY: the strip's rows of each pair are written.
                    let acc: &[[f32; PAIR * PANEL]] = unsafe { written(&acc[..strip.len()]) };
                    let (to, left) = first(panel + pair * PAIR);
                    let width = PAIR.min(count) / self.w.parts() * PANEL;
                    finish_rows(self.isa, acc, to, out.ld, width.min(left), self.mode);
                }
                panel += count;
            }
        }
    }

    /// Accumulators of some rows by some panels.
    fn strip(
        &self,
        acc: &mut [MaybeUninit<[f32; PAIR * PANEL]>; QUAD / PAIR * STRIP],
        rows: Range<usize>,
        panel: usize,
        count: usize,
        out: *const f32,
        out_stride: usize,
    ) {
        let blocks = self.w.blocks();
        let of = |i: usize| panel + i % count;
        let w = |panel: usize| self.w.q().as_ptr().wrapping_add(panel * blocks * PANEL_BLOCK);
        let w_g = |panel: usize| self.w.g().as_ptr().wrapping_add(panel * blocks * PANEL);
        let strip = Strip {
            rows: rows.len(),
            blocks,
            a: self.a.q().as_ptr().wrapping_add(rows.start * STRIDE),
            a_shift: self.a.shifts().as_ptr().wrapping_add(rows.start),
            a_stride: self.a.rows(),
            panels: count,
            w: std::array::from_fn(|i| w(of(i))),
            w_g: std::array::from_fn(|i| w_g(of(i))),
            ahead: std::array::from_fn(|i| w(of(i) + count)),
            acc: acc.as_mut_ptr().cast(),
            out,
            out_stride,
        };
        // SAFETY: rows.end <= rows and panel + count <= panels of the buffers behind the pointers, the accumulators
        // have a column pair for each row and pair of panels; the `Isa` vouches for the path.
        unsafe { (self.kernels.strip)(&strip) }
    }
}

/// # Safety
/// Every element was written.
unsafe fn written<T>(x: &[MaybeUninit<T>]) -> &[T] {
    // SAFETY: the same memory, and every element is a value.
    unsafe { &*(std::ptr::from_ref(x) as *const [T]) }
}

/// On whole cache lines.
#[repr(align(64))]
struct Lines<T>(T);

dispatched! {
    fn finish_rows(acc: &[[f32; PAIR * PANEL]], out: *mut f32, ld_out: usize, width: usize, mode: Mode) = finish_body;
}

/// `out` has `width` elements for each row of `acc`, at strides of `ld_out`; by the check in `Output::new` they lie inside
/// the output, and each (row, panel) is finished by one thread.
#[inline(always)]
fn finish_body(acc: &[[f32; PAIR * PANEL]], out: *mut f32, ld_out: usize, width: usize, mode: Mode) {
    for (i, acc) in acc.iter().enumerate() {
        // SAFETY: see above.
        let out = unsafe { std::slice::from_raw_parts_mut(out.wrapping_add(i * ld_out), width) };
        // Whole panels are by far the most: a constant length is a few registers.
        match (mode, out.as_chunks_mut::<PANEL>()) {
            (Mode::Store, ([a, b], [])) => (*a, *b) = halves(acc),
            (Mode::Store | Mode::Gate, _) => out.copy_from_slice(&acc[..width]),
            (Mode::Up, _) => out.copy_from_slice(&acc[PANEL..PANEL + width]),
            (Mode::Add, ([a, b], [])) => {
                let (x, y) = halves(acc);
                a.iter_mut().zip(x).for_each(|(out, x)| *out += x);
                b.iter_mut().zip(y).for_each(|(out, y)| *out += y);
            }
            (Mode::Add, _) => out.iter_mut().zip(acc).for_each(|(x, y)| *x += y),
            (Mode::SiluMul, ([out], [])) => *out = silu_mul(acc),
            (Mode::SiluMul, _) => out.copy_from_slice(&silu_mul(acc)[..width]),
        }
    }
}

#[inline(always)]
fn halves(acc: &[f32; PAIR * PANEL]) -> ([f32; PANEL], [f32; PANEL]) {
    let (panels, _) = acc.as_chunks::<PANEL>();
    (panels[0], panels[1])
}

#[inline(always)]
fn silu_mul(acc: &[f32; PAIR * PANEL]) -> [f32; PANEL] {
    let (gate, up) = halves(acc);
    let mut y = [0f32; PANEL];
    for lane in 0..PANEL {
        y[lane] = ops::silu(gate[lane]) * up[lane];
    }
    y
}
