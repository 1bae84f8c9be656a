//! Products of quantized rows with packed weights: NUMERICS section 4, to the bit, for any split.
//!
//! The unit is a strip: up to 48 activation rows by one or two panels. Block by block, tiles of a few rows make the
//! exact integer dot products and fold them into f32 accumulators that stay in the first cache; blocks ascend,
//! everything else is free. Two panels at a time stream from memory, each asked for one block ahead; the rows of a
//! strip share each block of weights while it is in the first cache; many rows go in groups that fit the second
//! cache, so weights cross the memory bus once per group.
//! Threads take ranges of (group, panels), long ones first, and never share an output.

use std::ops::Range;

use super::isa::{Isa, Path, dispatched};
use super::memory::Shared;
use super::pack::{PANEL, PANEL_BLOCK, PackedMatrix};
use super::pool::Pool;
use super::quantize::{BLOCK, QuantRows, STRIDE};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use super::{ops, portable};

/// Rows of a strip at most: their accumulators by two panels are 6 KiB.
pub(super) const STRIP: usize = 48;

/// Bytes of activations that are to stay in the second cache while panels go by.
const GROUP_BYTES: usize = 512 << 10;

/// Panels of a strip at most, and of a column of the accumulators.
const PAIR: usize = 2;

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
    /// 2^g of it in `[blocks][a_stride]`.
    pub a_scale: *const f32,
    /// Rows from one block to the next.
    pub a_stride: usize,
    /// 1 or 2.
    pub panels: usize,
    /// `[blocks][64][16][2]` each.
    pub w: [*const i16; PAIR],
    /// `[blocks][16]` each.
    pub w_g: [*const i8; PAIR],
    /// The panels to ask for at the end; never dereferenced.
    pub ahead: [*const i16; PAIR],
    /// `[rows][2][16]`.
    pub acc: *mut f32,
    /// Where the first row's sums will go, two panels of each row: asked for meanwhile, since stores that miss every
    /// cache would hold up the stores of the next strip. Never dereferenced.
    pub out: *const f32,
    /// Elements from one row of `out` to the next.
    pub out_stride: usize,
}

/// The integer kernels of one instruction set.
pub(super) struct Kernels {
    /// Rows of a tile at most.
    pub rows: usize,
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
        Path::Avx2 => Kernels { rows: avx2::ROWS, strip: avx2::strip, dots: avx2::dots },
        #[cfg(target_arch = "x86_64")]
        Path::Avx512 => Kernels { rows: avx512::ROWS, strip: avx512::strip, dots: avx512::dots },
        #[cfg(test)]
        Path::Model512 => {
            use super::model512;
            Kernels { rows: model512::ROWS, strip: model512::strip, dots: model512::dots }
        }
        _ => Kernels { rows: portable::ROWS, strip: portable::strip, dots: portable::dots },
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
    let job = Job::new(isa, w, a, out, ld_out, 0..w.panels(), mode);
    let pairs = w.panels().div_ceil(PAIR);
    // Pairs of one group of rows, then of the next: the rows stay in the second cache.
    pool.for_each_guided(pairs * job.groups(), |range| {
        for group in range.start / pairs..range.end.div_ceil(pairs) {
            let first = range.start.max(group * pairs) - group * pairs;
            let end = range.end.min((group + 1) * pairs) - group * pairs;
            job.run(group, first * PAIR..(end * PAIR).min(w.panels()));
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
    let job = Job::new(isa, w, a, out, ld_out, panels.clone(), mode);
    (0..job.groups()).for_each(|group| job.run(group, panels.clone()));
}

struct Job<'a> {
    isa: Isa,
    kernels: Kernels,
    w: &'a PackedMatrix,
    a: &'a QuantRows,
    out: Shared<f32>,
    ld_out: usize,
    /// The output of the first column of `out`, and one past the last.
    columns: Range<usize>,
    mode: Mode,
}

impl<'a> Job<'a> {
    fn new(
        isa: Isa,
        w: &'a PackedMatrix,
        a: &'a QuantRows,
        out: &mut [f32],
        ld_out: usize,
        panels: Range<usize>,
        mode: Mode,
    ) -> Self {
        assert_eq!(w.cols(), a.cols(), "inputs of the weights and of the activations");
        assert!(a.complete(), "every activation row is written");
        assert!(panels.start <= panels.end && panels.end <= w.panels(), "panels {panels:?} of {}", w.panels());
        let per_part = match mode {
            Mode::SiluMul | Mode::Gate | Mode::Up => {
                assert!(
                    w.parts() == 2 && panels.start.is_multiple_of(2) && panels.end.is_multiple_of(2),
                    "whole gate and up pairs"
                );
                2
            }
            Mode::Store | Mode::Add => {
                assert_eq!(w.parts(), 1, "a gate and up pair is made for Mode::SiluMul");
                1
            }
        };
        let last = (panels.end / per_part * PANEL).min(w.rows());
        let columns = (panels.start / per_part * PANEL).min(last)..last;
        if a.rows() > 0 && !columns.is_empty() {
            assert!(columns.len() <= ld_out, "row stride of the output");
            let needed = (a.rows() - 1).checked_mul(ld_out).and_then(|n| n.checked_add(columns.len()));
            assert!(needed.is_some_and(|n| n <= out.len()), "length of the output");
        }
        Self { isa, kernels: kernels(isa), w, a, out: Shared::new(out), ld_out, columns, mode }
    }

    /// Rows that stay in the second cache together.
    fn group_rows(&self) -> usize {
        (GROUP_BYTES / (self.w.blocks() * BLOCK * size_of::<i16>()).max(1)).next_multiple_of(STRIP)
    }

    fn groups(&self) -> usize {
        self.a.rows().div_ceil(self.group_rows())
    }

    /// Some panels for one group of rows.
    fn run(&self, group: usize, panels: Range<usize>) {
        let mut acc = Accumulators([[0.0; PAIR * PANEL]; STRIP]);
        let (first, most) = (group * self.group_rows(), self.group_rows());
        let rows = most.min(self.a.rows() - first);
        for panel in panels.clone().step_by(PAIR) {
            let count = PAIR.min(panels.end - panel);
            let (mut row, mut tiles) = (first, shares(rows, self.kernels.rows));
            loop {
                let share = tiles.by_ref().take(STRIP / self.kernels.rows).sum();
                if share == 0 {
                    break;
                }
                let acc = &mut acc.0[..share];
                let (out, width) = self.place(row, panel, count);
                self.strip(acc, row, panel, count, out);
                finish_rows(self.isa, acc, out, self.ld_out, width, self.mode);
                row += share;
            }
        }
    }

    /// Accumulators of some rows by one or two panels.
    fn strip(&self, acc: &mut [[f32; PAIR * PANEL]], row: usize, panel: usize, count: usize, out: *const f32) {
        let blocks = self.w.blocks();
        let w = |panel: usize| self.w.q().as_ptr().wrapping_add(panel * blocks * PANEL_BLOCK);
        let w_g = |panel: usize| self.w.g().as_ptr().wrapping_add(panel * blocks * PANEL);
        let second = panel + count - 1;
        let strip = Strip {
            rows: acc.len(),
            blocks,
            a: self.a.q().as_ptr().wrapping_add(row * STRIDE),
            a_scale: self.a.scales().as_ptr().wrapping_add(row),
            a_stride: self.a.rows(),
            panels: count,
            w: [w(panel), w(second)],
            w_g: [w_g(panel), w_g(second)],
            ahead: [w(panel + count), w(second + count)],
            acc: acc.as_flattened_mut().as_mut_ptr(),
            out,
            out_stride: self.ld_out,
        };
        // SAFETY: row + acc.len() <= rows and panel + count <= panels of the buffers behind the pointers, and the
        // accumulators have a column pair for each row; the `Isa` vouches for the path.
        unsafe { (self.kernels.strip)(&strip) }
    }

    /// Where a row's part made of one or two panels goes, and how many elements it has.
    fn place(&self, row: usize, panel: usize, count: usize) -> (*mut f32, usize) {
        let (start, width) = match self.mode {
            Mode::SiluMul | Mode::Gate | Mode::Up => (panel / 2 * PANEL, PANEL),
            Mode::Store | Mode::Add => (panel * PANEL, count * PANEL),
        };
        let first = self.out.at(row * self.ld_out + start - self.columns.start);
        (first, width.min(self.columns.end - start))
    }
}

#[repr(align(64))]
struct Accumulators([[f32; PAIR * PANEL]; STRIP]);

dispatched! {
    fn finish_rows(acc: &[[f32; PAIR * PANEL]], out: *mut f32, ld_out: usize, width: usize, mode: Mode) = finish_body;
}

/// `out` has `width` elements for each row of `acc`, at strides of `ld_out`; by the check in `Job::new` they lie inside
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
