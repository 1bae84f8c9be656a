//! Weights, quantized once at load into panels of 16 rows (NUMERICS sections 3 and 4).
//!
//! `q` is `[row / 16][block][64 pairs][16 rows][2]`: the two neighbouring elements of the contraction
//! axis that one multiply-add instruction takes, for the 16 rows that fill one 512-bit register (or two
//! of 256 bits). A panel is one sequential stream, and no instruction set needs another order.
//! `g` is `[row / 16][block][16]`. Rows are padded with zeros to whole panels.
//! Weights from bf16 are kept in eleven bits each ([`super::compact`]) and decoded block by block into this order.

use std::io;
use std::sync::Mutex;

use super::compact::{self, COMPACT_BLOCK, Patch};
use super::isa::{Isa, dispatched};
use super::memory::{Buffer, Shared};
use super::pool::Pool;
use super::quantize::{BLOCK, left_block};
use crate::error::FaultKind;

/// Rows of a panel.
pub const PANEL: usize = 16;

/// Elements of one block of one panel.
pub(super) const PANEL_BLOCK: usize = PANEL * BLOCK;

/// How packed weights lie in memory. Products are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Eleven bits a weight, and four more bytes for one that does not fit: none or few where weights come from bf16.
    Compact,
    /// Sixteen bits a weight.
    Wide,
}

impl Format {
    /// Bytes of one block of one panel.
    fn block_bytes(self) -> usize {
        match self {
            Format::Compact => COMPACT_BLOCK,
            Format::Wide => PANEL_BLOCK * size_of::<i16>(),
        }
    }
}

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
    /// The panels' blocks, in the format.
    q: Buffer<u8>,
    format: Format,
    /// Weights kept apart, panel by panel; those of panel p are `patches[first_patch[p]..first_patch[p + 1]]`.
    patches: Vec<Patch>,
    first_patch: Vec<usize>,
    g: Buffer<i8>,
}

/// One panel of a matrix.
pub(super) enum Panel<'a> {
    /// `[block][64][16][2]`.
    Wide(&'a [i16]),
    /// Codes, `[block][COMPACT_BLOCK]`, and what has none.
    Compact(&'a [u8], &'a [Patch]),
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
        format: Format,
        rows: usize,
        cols: usize,
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Result<Self, PackError> {
        Self::pack_parts(isa, pool, format, (1, rows, cols), |_, row, x| fill(row, x))
    }

    /// Packs two matrices of the same shape with their panels alternating, so that 16 gate and the matching 16 up values
    /// are made together ([`super::gemm::Mode::SiluMul`]). `fill(part, i, row)`, part 0 is the gate.
    ///
    /// # Errors
    /// [`PackError`]; of several faulty rows the lowest, gate before up.
    pub fn pack_gate_up(
        isa: Isa,
        pool: &Pool,
        format: Format,
        rows: usize,
        cols: usize,
        fill: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) -> Result<Self, PackError> {
        Self::pack_parts(isa, pool, format, (2, rows, cols), fill)
    }

    fn pack_parts(
        isa: Isa,
        pool: &Pool,
        format: Format,
        (parts, rows, cols): (usize, usize, usize),
        fill: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) -> Result<Self, PackError> {
        let (blocks, panels) = (cols.div_ceil(BLOCK), parts * rows.div_ceil(PANEL));
        let (panel_bytes, groups) = (blocks * format.block_bytes(), panels.saturating_mul(blocks * PANEL));
        let bytes = panels.saturating_mul(panel_bytes);
        let memory = |source| PackError::Memory { bytes, source };
        let mut q = Buffer::<u8>::lasting(bytes).map_err(memory)?;
        let mut g = Buffer::<i8>::lasting(groups).map_err(memory)?;
        let (q_out, g_out) = (Shared::new(&mut q), Shared::new(&mut g));
        let apart: Mutex<Vec<(usize, Vec<Patch>)>> = Mutex::default();
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
                        std::slice::from_raw_parts_mut(q_out.at(panel * panel_bytes), panel_bytes),
                        std::slice::from_raw_parts_mut(g_out.at(panel * groups), groups),
                    )
                };
                let mut patches = Vec::new();
                let packed = pack_panel(isa, format, &x, q, g, &mut patches);
                if !patches.is_empty() {
                    apart.lock().expect("no panic while held").push((panel, patches));
                }
                if let Err((lane, kind)) = packed {
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
            None => {
                let mut apart = apart.into_inner().expect("no panic while held");
                apart.sort_unstable_by_key(|(panel, _)| *panel);
                let mut counts = vec![0; panels];
                apart.iter().for_each(|(panel, patches)| counts[*panel] = patches.len());
                let ends = counts.into_iter().scan(0, |end, n| {
                    *end += n;
                    Some(*end)
                });
                let first_patch = std::iter::once(0).chain(ends).collect();
                let patches = apart.into_iter().flat_map(|(_, patches)| patches).collect();
                Ok(Self { rows, cols, parts, q, format, patches, first_patch, g })
            }
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

    /// Memory that the packed form of `parts` matrices of `rows` by `cols` takes, bytes, but for weights that
    /// [`Format::Compact`] keeps apart.
    pub fn bytes_of(format: Format, parts: usize, rows: usize, cols: usize) -> u64 {
        let panels = (parts as u64).saturating_mul(rows.div_ceil(PANEL) as u64);
        let blocks = panels.saturating_mul(cols.div_ceil(BLOCK) as u64);
        blocks.saturating_mul((format.block_bytes() + PANEL) as u64)
    }

    /// Memory of the weights and exponents.
    pub fn bytes(&self) -> usize {
        self.q.len() + self.g.len() + size_of_val(&self.patches[..])
    }

    /// Weights that have no eleven-bit code.
    pub fn kept_apart(&self) -> usize {
        self.patches.len()
    }

    pub(super) fn panel(&self, panel: usize) -> Panel<'_> {
        let bytes = self.blocks() * self.format.block_bytes();
        let q = &self.q[panel * bytes..][..bytes];
        match self.format {
            Format::Compact => Panel::Compact(q, &self.patches[self.first_patch[panel]..self.first_patch[panel + 1]]),
            Format::Wide => {
                // SAFETY: whole and aligned elements (a buffer is aligned to cache lines), written as such.
                Panel::Wide(unsafe { std::slice::from_raw_parts(q.as_ptr().cast(), bytes / size_of::<i16>()) })
            }
        }
    }

    /// The address of a panel, or of one after the last; not for reading.
    pub(super) fn panel_start(&self, panel: usize) -> *const u8 {
        self.q.as_ptr().wrapping_add(panel * self.blocks() * self.format.block_bytes())
    }

    pub(super) fn format(&self) -> Format {
        self.format
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
        let g = (0..self.blocks()).map(|b| self.g[(panel * self.blocks() + b) * PANEL + lane]).collect();
        let q = match self.panel(panel) {
            Panel::Wide(q) => q.to_vec(),
            Panel::Compact(codes, patches) => {
                let mut q = vec![0; self.blocks() * PANEL_BLOCK];
                for (codes, q) in codes.as_chunks().0.iter().zip(q.as_chunks_mut().0) {
                    compact::decode(codes, q);
                }
                patches.iter().for_each(|patch| q[patch.at as usize] = patch.q);
                q
            }
        };
        let at = |k: usize| k / BLOCK * PANEL_BLOCK + (k % BLOCK / 2) * 2 * PANEL + lane * 2 + k % 2;
        ((0..self.blocks() * BLOCK).map(|k| q[at(k)]).collect(), g)
    }
}

dispatched! {
    /// Quantizes `x`, `[16][blocks * 128]`, into one panel and what it keeps apart; on a fault the lane of the lowest
    /// faulty row.
    fn pack_panel(
        format: Format,
        x: &[f32],
        q: &mut [u8],
        g: &mut [i8],
        patches: &mut Vec<Patch>,
    ) -> Result<(), (usize, FaultKind)> = pack_panel_body;
}

#[inline(always)]
fn pack_panel_body(
    format: Format,
    x: &[f32],
    q: &mut [u8],
    g: &mut [i8],
    patches: &mut Vec<Patch>,
) -> Result<(), (usize, FaultKind)> {
    let width = x.len() / PANEL;
    let mut rows = [[0i16; BLOCK]; PANEL];
    let mut fault: Option<(usize, FaultKind)> = None;
    let (g, _) = g.as_chunks_mut::<PANEL>();
    for (block, (q, g)) in q.chunks_exact_mut(format.block_bytes()).zip(g).enumerate() {
        for lane in 0..PANEL {
            let start = lane * width + block * BLOCK;
            let x: &[f32; BLOCK] = x[start..start + BLOCK].try_into().expect("a whole block");
            match left_block(x, &mut rows[lane]) {
                Ok(exponent) => g[lane] = exponent,
                Err(kind) if fault.is_none_or(|f| lane < f.0) => fault = Some((lane, kind)),
                Err(_) => {}
            }
        }
        let mut integers = [0; PANEL_BLOCK];
        interleave(&rows, &mut integers);
        match format {
            Format::Wide => {
                let elements = q.as_chunks_mut().0.iter_mut();
                elements.zip(integers).for_each(|(to, q)| *to = q.to_ne_bytes());
            }
            Format::Compact => {
                let q = q.try_into().expect("a whole block");
                compact::encode(&integers, q, |i, q| {
                    patches.push(Patch { at: (block * PANEL_BLOCK + i) as u32, q });
                });
            }
        }
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
