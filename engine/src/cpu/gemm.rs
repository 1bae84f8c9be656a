//! Products of quantized rows with packed weights: NUMERICS section 4, to the bit, for any split.
//!
//! The unit is a tile: a few activation rows by one or two panels by one block of 128. It makes the exact
//! integer dot products and folds them into f32 accumulators in a scratch that stays in the first
//! cache; blocks ascend, everything else is free. Two panels at a time stream from memory, each asked
//! for one block ahead (a loop of its own for one row was no faster); few rows share each block of
//! weights while it is in the first cache; many rows go in groups that fit the second cache, so
//! weights cross the memory bus once per group.
//! Threads take ranges of panels and never share an output.

use std::ops::Range;

use super::isa::{Isa, Path, dispatched};
use super::memory::Shared;
use super::pack::{PANEL, PANEL_BLOCK, PackedMatrix};
use super::pool::Pool;
use super::quantize::{BLOCK, QuantRows};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use super::{ops, portable};

/// Rows whose accumulators are in the scratch at once: 48 rows by two panels are 6 KiB.
const CHUNK: usize = 48;

/// Bytes of activations that are to stay in the second cache while panels go by.
const GROUP_BYTES: usize = 256 << 10;

/// Panels of a tile at most, and of a column of the scratch.
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

/// One block of one or two panels and a tile's rows of activations.
pub(super) struct Tile {
    /// `[rows][128]`.
    pub a: *const i16,
    /// `[rows]`.
    pub a_g: *const i8,
    /// 1 or 2.
    pub panels: usize,
    /// `[64][16][2]` each.
    pub w: [*const i16; PAIR],
    /// `[16]` each.
    pub w_g: [*const i8; PAIR],
    /// The blocks to ask for meanwhile, or null; never dereferenced.
    pub ahead: [*const i16; PAIR],
    /// `[rows][2][16]`.
    pub acc: *mut f32,
}

/// The tiles of one instruction set.
pub(super) struct Kernels {
    /// Rows of a tile at most.
    pub rows: usize,
    /// Adds a tile's dot products, scaled, to its accumulators. The rows are 1 to `rows`.
    /// Safety: the pointers of the tile cover what their comments say; the instructions exist.
    pub tile: unsafe fn(usize, &Tile),
    /// Integer dot products: (rows, a, stride of a, pairs, panel `[pairs][16][2]`, out, stride of out).
    /// Safety: as above.
    pub dots: unsafe fn(usize, *const i16, usize, usize, *const i16, *mut i32, usize),
}

/// The table of a path. The `Isa` is the proof that its functions' instructions exist.
pub(super) fn kernels(isa: Isa) -> Kernels {
    match isa.path() {
        #[cfg(target_arch = "x86_64")]
        Path::Avx2 => Kernels { rows: avx2::ROWS, tile: avx2::tile, dots: avx2::dots },
        #[cfg(target_arch = "x86_64")]
        Path::Avx512 => Kernels { rows: avx512::ROWS, tile: avx512::tile, dots: avx512::dots },
        #[cfg(test)]
        Path::Model512 => {
            use super::model512;
            Kernels { rows: model512::ROWS, tile: model512::tile, dots: model512::dots }
        }
        _ => Kernels { rows: portable::ROWS, tile: portable::tile, dots: portable::dots },
    }
}

/// Y = W A for all rows of `a`: `out[m * ld_out + n]` for row m and output n, by `mode`.
///
/// # Panics
/// When shapes disagree, a row of `a` was not written, or [`Mode::SiluMul`] does not meet a gate and up pair.
pub fn matmul(isa: Isa, pool: &Pool, w: &PackedMatrix, a: &QuantRows, out: &mut [f32], ld_out: usize, mode: Mode) {
    let pairs = w.panels().div_ceil(PAIR);
    let job = Job::new(isa, w, a, out, ld_out, 0..w.panels(), mode);
    // Enough pieces that a slow core does not delay the end, each large enough to hide taking it.
    let grain = (pairs / (8 * pool.threads())).clamp(1, 16);
    pool.for_each(pairs, grain, |range| {
        let end = (range.end * PAIR).min(w.panels());
        job.run(range.start * PAIR..end);
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
    Job::new(isa, w, a, out, ld_out, panels.clone(), mode).run(panels);
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

    fn run(&self, panels: Range<usize>) {
        let mut scratch = Scratch([0.0; CHUNK * PAIR * PANEL]);
        let group = (GROUP_BYTES / (self.w.blocks() * BLOCK * size_of::<i16>()).max(1)).next_multiple_of(CHUNK);
        for group_start in (0..self.a.rows()).step_by(group) {
            let group_end = (group_start + group).min(self.a.rows());
            for panel in panels.clone().step_by(PAIR) {
                let count = PAIR.min(panels.end - panel);
                let mut rows = group_start..group_end;
                while !rows.is_empty() {
                    // Even shares: 50 rows are 25 and 25, not 48 and 2.
                    let share = rows.len().div_ceil(rows.len().div_ceil(CHUNK));
                    let chunk = rows.start..rows.start + share;
                    self.chunk(&mut scratch.0, chunk.clone(), panel, count);
                    self.finish(&scratch.0, chunk, panel, count);
                    rows.start += share;
                }
            }
        }
    }

    /// Accumulators of some rows by one or two panels.
    fn chunk(&self, acc: &mut [f32; CHUNK * PAIR * PANEL], rows: Range<usize>, panel: usize, count: usize) {
        let (blocks, all_rows) = (self.w.blocks(), self.a.rows());
        let (w_q, w_g) = (self.w.q().as_ptr(), self.w.g().as_ptr());
        let (a_q, a_g) = (self.a.q().as_ptr(), self.a.g().as_ptr());
        acc[..rows.len() * PAIR * PANEL].fill(0.0);
        let second = if count == 2 { blocks } else { 0 };
        for block in 0..blocks {
            let first = panel * blocks + block;
            // The next block of these panels, or the first of the next pair.
            let next = if block + 1 < blocks { first + 1 } else { (panel + count) * blocks };
            let address = |block: usize| w_q.wrapping_add(block * PANEL_BLOCK);
            let mut ahead = [address(next), address(next + blocks)];
            let mut row = rows.start;
            while row < rows.end {
                let left = rows.end - row;
                let height = left.div_ceil(left.div_ceil(self.kernels.rows));
                let at = block * all_rows + row;
                let tile = Tile {
                    a: a_q.wrapping_add(at * BLOCK),
                    a_g: a_g.wrapping_add(at),
                    panels: count,
                    w: [address(first), address(first + second)],
                    w_g: [w_g.wrapping_add(first * PANEL), w_g.wrapping_add((first + second) * PANEL)],
                    ahead,
                    acc: acc[(row - rows.start) * PAIR * PANEL..].as_mut_ptr(),
                };
                // SAFETY: block < blocks, panel + count <= panels and row + height <= rows of the buffers behind the
                // pointers, and the scratch has a column pair for each row of the chunk; the `Isa` vouches for the path.
                unsafe { (self.kernels.tile)(height, &tile) };
                ahead = [std::ptr::null(); PAIR];
                row += height;
            }
        }
    }

    /// Moves finished accumulators to the output.
    fn finish(&self, acc: &[f32; CHUNK * PAIR * PANEL], rows: Range<usize>, panel: usize, count: usize) {
        let (start, width) = match self.mode {
            Mode::SiluMul | Mode::Gate | Mode::Up => (panel / 2 * PANEL, PANEL),
            Mode::Store | Mode::Add => (panel * PANEL, count * PANEL),
        };
        let width = width.min(self.columns.end - start);
        for (acc, row) in acc.as_chunks::<{ PAIR * PANEL }>().0.iter().zip(rows) {
            let offset = row * self.ld_out + start - self.columns.start;
            // SAFETY: inside `out` by the check in `new`; each (row, panel) is finished by one thread.
            let out = unsafe { std::slice::from_raw_parts_mut(self.out.at(offset), width) };
            match self.mode {
                Mode::Store | Mode::Gate => out.copy_from_slice(&acc[..width]),
                Mode::Up => out.copy_from_slice(&acc[PANEL..PANEL + width]),
                Mode::Add => out.iter_mut().zip(acc).for_each(|(x, y)| *x += y),
                Mode::SiluMul => silu_mul_panel(self.isa, acc, out),
            }
        }
    }
}

#[repr(align(64))]
struct Scratch([f32; CHUNK * PAIR * PANEL]);

dispatched! {
    fn silu_mul_panel(acc: &[f32; PAIR * PANEL], out: &mut [f32]) = silu_mul_panel_body;
}

#[inline(always)]
fn silu_mul_panel_body(acc: &[f32; PAIR * PANEL], out: &mut [f32]) {
    let mut all = [0f32; PANEL];
    for (lane, y) in all.iter_mut().enumerate() {
        *y = ops::silu(acc[lane]) * acc[PANEL + lane];
    }
    out.copy_from_slice(&all[..out.len()]);
}
