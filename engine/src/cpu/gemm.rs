//! Products of quantized rows with packed weights: NUMERICS section 4, to the bit, for any split.
//!
//! The unit is a strip: up to 48 activation rows by one or two panels. Block by block, tiles of a few rows make the
//! exact integer dot products and fold them into f32 accumulators that stay in the first cache; blocks ascend,
//! everything else is free. Two panels at a time stream from memory, each asked for one block ahead; the rows of a
//! strip share each block of weights while it is in the first cache, and the strips a unit of panels while it is in
//! the second, so weights cross the memory bus once. Compact weights are decoded once too: by the first strip, a block
//! ahead of its tiles, into memory where the strips that follow find them.
//! Threads take ranges of (unit, rows), long ones first, and never share an output.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::isa::{Isa, dispatched};
use super::memory::{ALIGN, Scratch, Shared, ask_to_read};
use super::ops;
use super::pack::{Format, PANEL, PANEL_BLOCK, PackedMatrix, Panel};
use super::pool::Pool;
use super::quantize::{BLOCK, QuantRows, RowWriter, STRIDE, Side};
use super::strip::{Codes, Kernels, PAIR, STRIP, Strip, kernels, shares};
use crate::FaultKind;

/// Bytes of weights that are to stay in the second cache while strips go by.
const UNIT_BYTES: usize = 512 << 10;

/// Rows that one thread takes at a time, at most: two strips, so that threads end together.
const SEGMENT: usize = 2 * STRIP;

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

/// Y = W A for all rows of `a`: `out[m * ld_out + n]` for row m and output n, by `mode`.
///
/// # Panics
/// When shapes disagree, a row of `a` was not written, or [`Mode::SiluMul`] does not meet a gate and up pair.
pub fn matmul(isa: Isa, pool: &Pool, w: &PackedMatrix, a: &QuantRows, out: &mut [f32], ld_out: usize, mode: Mode) {
    let job = Job::new(isa, w, a, mode);
    let out = Output::new(&job, out, ld_out, 0..w.panels());
    job.share_out(pool, job.unit_pairs(), |rows, panels, decoded| job.run(&out, rows, panels, decoded));
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
    job.share_out(pool, pairs, |rows, panels, decoded| {
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
            job.run(&out, strip.clone(), panels.clone(), decoded);
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
    job.with_decoded(|decoded| job.run(&out, 0..a.rows(), panels, decoded));
}

/// Where a thread keeps panels that it has decoded: the unit it is at, or two blocks of each panel of a strip.
struct Decoded<'a> {
    memory: &'a mut Scratch<i16>,
    /// Panels that are there, whole.
    panels: Range<usize>,
}

thread_local! {
    /// Memory of [`Decoded`], kept for the next product.
    static DECODED: RefCell<Scratch<i16>> = const { RefCell::new(Scratch::new()) };
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
            ..=STRIP => 1,
            _ => (UNIT_BYTES / pair_bytes).clamp(1, BLOCK / PANEL),
        }
    }

    /// Calls `f(rows, panels)` for units of `pairs` pairs of panels and segments of rows: weights cross the memory bus
    /// once, a unit's segments one after the other.
    fn share_out(&self, pool: &Pool, pairs: usize, f: impl Fn(Range<usize>, Range<usize>, &mut Decoded<'_>) + Sync) {
        let (rows, panels) = (self.a.rows(), self.w.panels());
        let (segments, units) = (rows.div_ceil(SEGMENT), panels.div_ceil(PAIR * pairs));
        pool.for_each_guided(segments * units, |items| {
            self.with_decoded(|decoded| {
                for item in items {
                    let (unit, segment) = (item / segments, item % segments);
                    let panels = unit * pairs * PAIR..((unit + 1) * pairs * PAIR).min(panels);
                    f(segment * SEGMENT..((segment + 1) * SEGMENT).min(rows), panels, decoded);
                }
            });
        });
    }

    /// Calls `f` with this thread's memory for decoded panels, none of them there yet.
    fn with_decoded(&self, f: impl FnOnce(&mut Decoded<'_>)) {
        DECODED.with_borrow_mut(|memory| f(&mut Decoded { memory, panels: 0..0 }));
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
    fn run(&self, out: &Output, rows: Range<usize>, panels: Range<usize>, decoded: &mut Decoded<'_>) {
        let mut acc = Lines([const { MaybeUninit::uninit() }; STRIP]);
        // Where several strips go by, the first leaves the panels to the others.
        let keep = self.a.rows() > STRIP;
        let blocks = self.w.blocks();
        let memory = match (self.w.format(), keep) {
            (Format::Wide, _) => 0,
            (Format::Compact, true) => panels.len() * blocks,
            (Format::Compact, false) => PAIR * DOUBLE,
        };
        let memory = decoded.memory.fit(memory * DECODED_STRIDE).expect("memory for the panels of a unit").as_mut_ptr();
        for strip in self.strips(rows) {
            let mut panel = panels.start;
            while panel < panels.end {
                let count = PAIR.min(panels.end - panel);
                let column = panel / self.w.parts() * PANEL;
                let to = out.first.at((strip.start - out.row) * out.ld + column - out.columns.start);
                let weights = match (keep, decoded.panels == panels) {
                    (true, there) => Place { memory, first: panel - panels.start, blocks, keep, there },
                    (false, _) => Place { memory, first: 0, blocks: DOUBLE, keep, there: false },
                };
                self.strip(&mut acc.0, strip.clone(), panel, count, weights, (to, out.ld));
                // SAFETY: the strip's rows are written.
                let acc: &[[f32; PAIR * PANEL]] = unsafe { written(&acc.0[..strip.len()]) };
                let width = (count / self.w.parts() * PANEL).min(out.columns.end - column);
                finish_rows(self.isa, acc, to, out.ld, width, self.mode);
                panel += count;
            }
            if keep {
                decoded.panels = panels.clone();
            }
        }
    }

    /// Accumulators of some rows by some panels. `out` is where they will go and its stride.
    fn strip(
        &self,
        acc: &mut [MaybeUninit<[f32; PAIR * PANEL]>; STRIP],
        rows: Range<usize>,
        panel: usize,
        count: usize,
        place: Place,
        (out, out_stride): (*const f32, usize),
    ) {
        let blocks = self.w.blocks();
        let of = |i: usize| panel + i % count;
        let lies = |i: usize| place.memory.wrapping_add((place.first + i % count) * place.blocks * DECODED_STRIDE);
        let w_g = |panel: usize| self.w.g().as_ptr().wrapping_add(panel * blocks * PANEL);
        // What follows in memory: the panels after these.
        let ahead = |i: usize| self.w.panel_start(of(i) + count);
        let (w, w_stride, w_mask, codes, ahead): ([*mut i16; PAIR], _, _, _, _) = match self.w.panel(panel) {
            Panel::Wide(_) => {
                let w = |i| self.w.panel_start(of(i)).cast::<i16>().cast_mut();
                (std::array::from_fn(w), PANEL_BLOCK, usize::MAX, None, std::array::from_fn(ahead))
            }
            Panel::Compact(..) if place.there => {
                let ahead = |i| lies(i).wrapping_add(count * place.blocks * DECODED_STRIDE).cast_const().cast();
                (std::array::from_fn(lies), DECODED_STRIDE, usize::MAX, None, std::array::from_fn(ahead))
            }
            Panel::Compact(..) => {
                let codes = std::array::from_fn(|i| match self.w.panel(of(i)) {
                    Panel::Compact(q, patches) => {
                        Codes { first: q.as_ptr(), patches: (patches.as_ptr(), patches.len()) }
                    }
                    Panel::Wide(_) => unreachable!("a matrix has one format"),
                });
                let mask = if place.keep { usize::MAX } else { DOUBLE - 1 };
                (std::array::from_fn(lies), DECODED_STRIDE, mask, Some(codes), std::array::from_fn(ahead))
            }
        };
        // Their exponents are the only reads that no kernel asks for.
        if !place.there {
            let next = w_g(panel + count);
            (0..count * blocks * PANEL).step_by(ALIGN).for_each(|line| ask_to_read(next.wrapping_add(line)));
        }
        let strip = Strip {
            rows: rows.len(),
            blocks,
            a: self.a.q().as_ptr().wrapping_add(rows.start * STRIDE),
            a_shift: self.a.shifts().as_ptr().wrapping_add(rows.start),
            a_stride: self.a.rows(),
            panels: count,
            w,
            w_stride,
            w_mask,
            codes,
            direct: if place.keep { 0 } else { self.kernels.direct },
            w_g: std::array::from_fn(|i| w_g(of(i))),
            ahead,
            acc: acc.as_mut_ptr().cast(),
            out,
            out_stride,
        };
        // SAFETY: rows.end <= rows and panel + count <= panels of the buffers behind the pointers, the accumulators
        // have two panels for each row, decoded blocks the memory of their panel in this thread's
        // own; the `Isa` vouches for the path.
        unsafe { (self.kernels.strip)(&strip) }
    }
}

/// Blocks of a panel in memory at a time where a strip is the only one.
const DOUBLE: usize = 2;

/// Elements from one decoded block to the next. Not a power of two: what is written and what is read at the same time would
/// compete for the same places of the first cache.
const DECODED_STRIDE: usize = PANEL_BLOCK + 96;

/// Where the decoded blocks of a strip's panels lie.
#[derive(Clone, Copy)]
struct Place {
    memory: *mut i16,
    /// Panels before the first.
    first: usize,
    /// Blocks of memory of each panel.
    blocks: usize,
    /// Whether they are for other strips, too.
    keep: bool,
    /// They have been decoded.
    there: bool,
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
