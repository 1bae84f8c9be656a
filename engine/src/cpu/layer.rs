//! What a layer does to each row by itself, between its products: norms, rotation, and the way into quantized operands and
//! pages.

use super::attention::{HeadShape, QueryRow};
use super::cache::PageStore;
use super::forward::{memory, stride};
use super::isa::Isa;
use super::ops;
use super::pack::PANEL;
use super::pool::Pool;
use super::quantize::{QuantRows, Side};
use super::rope::RopeTable;
use super::rows::{for_each_row, for_each_row2};
use super::weights::LayerWeights;
use crate::kv::PAGE;
use crate::{FaultKind, Result};

/// Rows that a thread takes at a time where each is little work.
const NORM_ROWS: usize = 4;

/// RMSNorm of rows of `hidden` elements.
pub(super) struct Norm<'a> {
    pub isa: Isa,
    pub pool: &'a Pool,
    pub eps: f32,
    pub hidden: usize,
}

impl Norm<'_> {
    /// RMSNorm of each row, quantized by R; kept in `normed` unless that is empty.
    pub fn run(
        &self,
        x: &mut [f32],
        weight: &[f32],
        normed: &mut [f32],
        quantized: &mut QuantRows,
        fault: &(impl Fn(usize, FaultKind) + Sync),
    ) -> Result<()> {
        let (hidden, ld) = (self.hidden, stride(self.hidden));
        quantized.reset(x.len() / ld, hidden).map_err(memory)?;
        let writer = quantized.writer();
        let write = |row, x: &[f32], normed: &mut [f32]| {
            let result = ops::rms_norm(self.isa, &x[..hidden], weight, self.eps, normed);
            if result.is_err() {
                normed.fill(0.0);
            }
            // Written also after a fault, so that the row counts as written.
            let written = writer.write(self.isa, Side::Right, row, normed);
            if let Err(kind) = result.and(written) {
                fault(row, kind);
            }
        };
        if normed.is_empty() {
            let x = &*x;
            let start = || vec![0.0; hidden];
            self.pool.for_each_with(x.len().div_ceil(ld * NORM_ROWS), start, |normed, i| {
                let rows = x.chunks_exact(ld).enumerate().skip(i * NORM_ROWS).take(NORM_ROWS);
                rows.for_each(|(row, x)| write(row, x, normed));
            });
        } else {
            for_each_row2(self.pool, NORM_ROWS, (x, ld), (normed, hidden), |row, x, normed| write(row, x, normed));
        }
        Ok(())
    }
}

/// Quantizes rows by R.
pub(super) fn quantize_rows(
    isa: Isa,
    pool: &Pool,
    x: &mut [f32],
    width: usize,
    quantized: &mut QuantRows,
    fault: &(impl Fn(usize, FaultKind) + Sync),
) -> Result<()> {
    quantized.reset(x.len() / width, width).map_err(memory)?;
    let writer = quantized.writer();
    for_each_row(pool, 4, x, width, |row, x| {
        if let Err(kind) = writer.write(isa, Side::Right, row, x) {
            fault(row, kind);
        }
    });
    Ok(())
}

/// Norms and rotates queries and keys in place; stores keys and values.
#[allow(clippy::too_many_arguments)]
pub(super) fn heads(
    isa: Isa,
    pool: &Pool,
    shape: HeadShape,
    eps: f32,
    w: &LayerWeights,
    rows: &[QueryRow<'_>],
    rope: &RopeTable,
    layer: usize,
    store: &mut PageStore,
    qkv: &mut [f32],
    fault: &(impl Fn(usize, FaultKind) + Sync),
) {
    let (d, width) = (shape.head_dim, (shape.heads + 2 * shape.kv_heads) * shape.head_dim);
    let writer = store.writer();
    // Positions whose keys share cache lines in one hand, where there are hands enough.
    let grain = if rows.len() < 8 * PANEL { 4 } else { PANEL };
    for_each_row(pool, grain, qkv, stride(width), |row, x| {
        let QueryRow { pages, position } = rows[row];
        let page = pages[position / PAGE];
        // The memory of its keys and values is far away, unless the row before brought it.
        let brought = row % grain > 0 && rows[row - 1].pages.as_ptr() == pages.as_ptr();
        for kv_head in 0..shape.kv_heads {
            writer.ask(page, layer, kv_head, position, brought);
        }
        let (cos, sin) = rope.row(position);
        let (qk, values) = x[..width].split_at_mut((shape.heads + shape.kv_heads) * d);
        let (queries, keys) = qk.split_at_mut(shape.heads * d);
        for (heads, weight) in [(queries, &w.q_norm), (&mut *keys, &w.k_norm)] {
            if let Err(kind) = ops::norm_and_rope(isa, heads, weight, eps, cos, sin) {
                fault(row, kind);
            }
        }
        for (kv_head, (key, value)) in keys.chunks_exact(d).zip(values.chunks_exact(d)).enumerate() {
            // SAFETY: rows of a batch are different positions, or positions of sequences whose last pages differ, and
            // each row is dealt out once.
            if let Err(kind) = unsafe { writer.store(isa, page, layer, kv_head, position, key, value) } {
                fault(row, kind);
            }
        }
    });
}
