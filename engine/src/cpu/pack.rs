//! Weights, quantized once at load into panels of 16 rows (NUMERICS sections 3 and 4).
//!
//! `q` is `[row / 16][block][64 pairs][16 rows][2]`: the two neighbouring elements of the contraction
//! axis that one multiply-add instruction takes, for the 16 rows that fill one 512-bit register (or two
//! of 256 bits). A panel is one sequential stream, and no instruction set needs another order.
//! `g` is `[row / 16][block][16]`. Rows are padded with zeros to whole panels.

use std::io;
use std::sync::Mutex;

use super::isa::{Isa, dispatched};
use super::memory::{Buffer, Shared};
use super::pool::Pool;
use super::quantize::{BLOCK, left_block};
use crate::error::FaultKind;

/// Rows of a panel.
pub const PANEL: usize = 16;

/// Elements of one block of one panel.
pub(super) const PANEL_BLOCK: usize = PANEL * BLOCK;

/// Why a matrix could not be packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// A weight cannot be quantized.
    #[error("part {part}, row {row}: {kind}")]
    Fault {
        /// Index of the matrix among those packed together.
        part: usize,
        /// Lowest such row in it.
        row: usize,
        /// What was met.
        kind: FaultKind,
    },
    /// The system gives no more memory.
    #[error("{bytes} bytes for packed weights: {source}")]
    Memory {
        /// What was asked for.
        bytes: usize,
        /// What the system said.
        source: io::Error,
    },
}

/// A weight matrix of `rows` outputs by `cols` inputs, quantized by L.
#[derive(Debug)]
pub struct PackedMatrix {
    rows: usize,
    cols: usize,
    parts: usize,
    q: Buffer<i16>,
    g: Buffer<i8>,
}

impl PackedMatrix {
    /// Packs the matrix whose row `i`, `cols` elements, `fill(i, row)` writes. Matrices stacked on top of each other (q, k
    /// and v) are one matrix whose `fill` reads from several.
    ///
    /// # Errors
    /// [`PackError`]; of several faulty rows the lowest.
    pub fn pack(
        isa: Isa,
        pool: &Pool,
        rows: usize,
        cols: usize,
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Result<Self, PackError> {
        Self::pack_parts(isa, pool, 1, rows, cols, |_, row, x| fill(row, x))
    }

    /// Packs two matrices of the same shape with their panels alternating, so that 16 gate and the matching 16 up values
    /// are made together ([`super::gemm::Mode::SiluMul`]). `fill(part, i, row)`, part 0 is the gate.
    ///
    /// # Errors
    /// [`PackError`]; of several faulty rows the lowest, gate before up.
    pub fn pack_gate_up(
        isa: Isa,
        pool: &Pool,
        rows: usize,
        cols: usize,
        fill: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) -> Result<Self, PackError> {
        Self::pack_parts(isa, pool, 2, rows, cols, fill)
    }

    fn pack_parts(
        isa: Isa,
        pool: &Pool,
        parts: usize,
        rows: usize,
        cols: usize,
        fill: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) -> Result<Self, PackError> {
        let (blocks, panels) = (cols.div_ceil(BLOCK), parts * rows.div_ceil(PANEL));
        let groups = panels.saturating_mul(blocks * PANEL);
        let len = groups.saturating_mul(BLOCK);
        let memory = |source| PackError::Memory { bytes: len.saturating_mul(2), source };
        let mut q = Buffer::<i16>::zeroed(len).map_err(memory)?;
        let mut g = Buffer::<i8>::zeroed(groups).map_err(memory)?;
        let (q_out, g_out) = (Shared::new(&mut q), Shared::new(&mut g));
        let worst: Mutex<Option<(usize, usize, FaultKind)>> = Mutex::new(None);
        pool.for_each(panels, 8, |range| {
            let mut x = vec![0f32; PANEL * blocks * BLOCK];
            for panel in range {
                let (part, first) = (panel % parts, panel / parts * PANEL);
                for (lane, x) in x.chunks_exact_mut((blocks * BLOCK).max(1)).enumerate() {
                    if first + lane < rows {
                        fill(part, first + lane, &mut x[..cols]);
                    } else {
                        x.fill(0.0);
                    }
                }
                let groups = blocks * PANEL;
                // SAFETY: the panel's own part of the two buffers; each panel is dealt out once.
                let (q, g) = unsafe {
                    (
                        std::slice::from_raw_parts_mut(q_out.at(panel * groups * BLOCK), groups * BLOCK),
                        std::slice::from_raw_parts_mut(g_out.at(panel * groups), groups),
                    )
                };
                if let Err((lane, kind)) = pack_panel(isa, &x, q, g) {
                    let mut worst = worst.lock().expect("no panic while held");
                    let fault = (part, first + lane, kind);
                    if worst.is_none_or(|w| (fault.0, fault.1) < (w.0, w.1)) {
                        *worst = Some(fault);
                    }
                }
            }
        });
        match worst.into_inner().expect("no panic while held") {
            Some((part, row, kind)) => Err(PackError::Fault { part, row, kind }),
            None => Ok(Self { rows, cols, parts, q, g }),
        }
    }

    /// Rows of each part.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements of a row before padding.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// 2 for a gate and up pair, otherwise 1.
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// Blocks of a row.
    pub fn blocks(&self) -> usize {
        self.cols.div_ceil(BLOCK)
    }

    /// Panels of all parts.
    pub fn panels(&self) -> usize {
        self.parts * self.rows.div_ceil(PANEL)
    }

    /// Memory that the packed form of `parts` matrices of `rows` by `cols` takes, bytes.
    pub fn bytes_of(parts: usize, rows: usize, cols: usize) -> u64 {
        let panels = (parts as u64).saturating_mul(rows.div_ceil(PANEL) as u64);
        let groups = panels.saturating_mul((cols.div_ceil(BLOCK) * PANEL) as u64);
        groups.saturating_mul((BLOCK * size_of::<i16>() + size_of::<i8>()) as u64)
    }

    /// Memory of the weights and exponents.
    pub fn bytes(&self) -> usize {
        self.q.len() * size_of::<i16>() + self.g.len()
    }

    pub(super) fn q(&self) -> &[i16] {
        &self.q
    }

    pub(super) fn g(&self) -> &[i8] {
        &self.g
    }

    /// The integers and exponents of one row, as the quantizer made them: `q` of `blocks * 128`, `g` of `blocks` elements.
    ///
    /// # Panics
    /// When the part or the row does not exist.
    pub fn row(&self, part: usize, row: usize) -> (Vec<i16>, Vec<i8>) {
        assert!(part < self.parts && row < self.rows, "row {row} of part {part}");
        let (panel, lane) = (row / PANEL * self.parts + part, row % PANEL);
        let first = panel * self.blocks();
        let g = (0..self.blocks()).map(|b| self.g[(first + b) * PANEL + lane]).collect();
        let at = |k: usize| (first + k / BLOCK) * PANEL_BLOCK + (k % BLOCK / 2) * 2 * PANEL + lane * 2 + k % 2;
        ((0..self.blocks() * BLOCK).map(|k| self.q[at(k)]).collect(), g)
    }
}

dispatched! {
    /// Quantizes `x`, `[16][blocks * 128]`, into one panel; on a fault the lane of the lowest faulty row.
    fn pack_panel(x: &[f32], q: &mut [i16], g: &mut [i8]) -> Result<(), (usize, FaultKind)> = pack_panel_body;
}

#[inline(always)]
fn pack_panel_body(x: &[f32], q: &mut [i16], g: &mut [i8]) -> Result<(), (usize, FaultKind)> {
    let width = x.len() / PANEL;
    let mut rows = [[0i16; BLOCK]; PANEL];
    let mut fault: Option<(usize, FaultKind)> = None;
    let (q, _) = q.as_chunks_mut::<PANEL_BLOCK>();
    let (g, _) = g.as_chunks_mut::<PANEL>();
    for (block, (q, g)) in q.iter_mut().zip(g).enumerate() {
        for lane in 0..PANEL {
            let start = lane * width + block * BLOCK;
            let x: &[f32; BLOCK] = x[start..start + BLOCK].try_into().expect("a whole block");
            match left_block(x, &mut rows[lane]) {
                Ok(exponent) => g[lane] = exponent,
                Err(kind) if fault.is_none_or(|f| lane < f.0) => fault = Some((lane, kind)),
                Err(_) => {}
            }
        }
        interleave(&rows, q);
    }
    fault.map_or(Ok(()), Err)
}

/// `[16][64 pairs]` to `[64 pairs][16]`, a pair moving as one unit.
#[inline(always)]
fn interleave(rows: &[[i16; BLOCK]; PANEL], q: &mut [i16; PANEL_BLOCK]) {
    for (pair, out) in q.as_chunks_mut::<{ 2 * PANEL }>().0.iter_mut().enumerate() {
        for (lane, row) in rows.iter().enumerate() {
            out[2 * lane] = row[2 * pair];
            out[2 * lane + 1] = row[2 * pair + 1];
        }
    }
}
