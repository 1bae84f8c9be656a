//! The forward pass: rows of any mixture of sequences through all layers, in one batch.
//!
//! Rows meet only inside matrix products, whose every output depends on its own row alone, and in attention,
//! where a row reads its own sequence's pages. So no row can tell what it is batched with. Never made:
//! gate and up values, scores beyond a chunk, logits that nobody reads.

use std::sync::Mutex;

use super::attention::{HeadShape, Queries, QueryRow, attend};
use super::cache::{PageLayout, PageStore};
use super::gemm::{Mode, matmul, silu_mul_quantized};
use super::isa::Isa;
use super::layer::{Norm, heads, quantize_rows};
use super::memory::{Scratch, Shared, touch};
use super::ops;
use super::pool::Pool;
use super::quantize::{BLOCK, QuantRows, Side};
use super::rope::RopeTable;
use super::rows::for_each_row;
use super::weights::Weights;
use crate::backend::Segment;
use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::types::{Probe, Stage};
use crate::{Error, Fault, FaultKind, Result};

/// A model on this machine's CPU.
pub struct CpuModel {
    pub(super) isa: Isa,
    pub(super) pool: Pool,
    pub(super) config: Config,
    pub(super) checkpoint: Checkpoint,
    pub(super) weights: Weights,
    rope: RopeTable,
    pub(super) store: PageStore,
    pub(super) work: Workspace,
    /// Final-norm outputs of the last pass, `[row][hidden]`; zeros where a row has a fault or its output is not read.
    pub(super) hidden: Vec<f32>,
}

/// Rows from which on the down projection's input is quantized where it is made: a thread then takes whole blocks of
/// columns, too coarse a share where few rows make the weights' memory the limit.
const FUSED_FROM: usize = 32;

/// Activations of the batch at hand; memory is kept from batch to batch.
#[derive(Default)]
pub(super) struct Workspace {
    x: Scratch<f32>,
    normed: Scratch<f32>,
    qkv: Scratch<f32>,
    attention: Scratch<f32>,
    activation: Scratch<f32>,
    pub(super) logits: Scratch<f32>,
    pub(super) quantized: QuantRows,
    /// The next product's input, while a product makes it of the other.
    next: QuantRows,
    queries: Queries,
}

/// The rows in work.
struct Batch<'a> {
    rows: Vec<QueryRow<'a>>,
    /// Which row of the pass each of them is.
    origin: Vec<usize>,
    /// Rows of the pass whose output is read, ascending.
    read: Vec<usize>,
    /// First fault of each row of the pass. Faults are rare, so a lock is no cost.
    faults: Mutex<Vec<Option<(usize, FaultKind)>>>,
}

impl<'a> Batch<'a> {
    fn new(segments: &[Segment<'a>]) -> Self {
        let (mut rows, mut read) = (Vec::new(), Vec::new());
        for s in segments {
            rows.extend((0..s.tokens.len()).map(|i| QueryRow { pages: s.pages, position: s.start + i }));
            read.extend(rows.len() - s.read..rows.len());
        }
        let (origin, faults) = ((0..rows.len()).collect(), Mutex::new(vec![None; rows.len()]));
        Self { rows, origin, read, faults }
    }

    fn fault(&self, row: usize, layer: usize, kind: FaultKind) {
        self.faults.lock().expect("no panic while held")[self.origin[row]].get_or_insert((layer, kind));
    }
}

pub(super) fn memory(source: std::io::Error) -> Error {
    Error::Unsupported { what: "memory for activations or pages".into(), problem: source.to_string() }
}

/// Elements from one row of activations to the next: one cache line more than a row. Products write the same columns of
/// many rows in turn; were rows a power of two apart, those lines would displace each other in the first cache.
pub(super) fn stride(width: usize) -> usize {
    width + 16
}

impl CpuModel {
    /// Packs a checkpoint's weights with `pool`'s threads.
    ///
    /// # Errors
    /// Those of [`Weights::load`].
    pub fn load(checkpoint: Checkpoint, isa: Isa, pool: Pool) -> Result<Self> {
        let config = checkpoint.config().clone();
        let weights = Weights::load(&checkpoint, isa, &pool)?;
        let store = PageStore::new(PageLayout::new(&config));
        let rope = RopeTable::new(&config);
        Ok(Self { isa, pool, config, checkpoint, weights, rope, store, work: Workspace::default(), hidden: Vec::new() })
    }

    /// Has the system hand out the memory for `rows` rows and `pages` pages now, so that the first pass does not wait for it.
    ///
    /// # Errors
    /// When the system gives no more memory.
    pub fn warm(&mut self, rows: usize, pages: usize) -> Result<()> {
        let (shape, c, pool) = (self.shape(), &self.config, &self.pool);
        let heads = (shape.heads + 2 * shape.kv_heads) * shape.head_dim;
        let widest = c.intermediate_size.max(c.hidden_size).max(shape.heads * shape.head_dim);
        let work = &mut self.work;
        touch(pool, work.x.fit(rows * stride(c.hidden_size)).map_err(memory)?);
        touch(pool, work.qkv.fit(rows * stride(heads)).map_err(memory)?);
        for quantized in [&mut work.quantized, &mut work.next] {
            quantized.reset(rows, widest).map_err(memory)?;
            quantized.touch(pool);
        }
        self.store.warm(pool, pages).map_err(memory)
    }

    /// The checkpoint it was made of.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Threads in use.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Pushes rows through all layers; keys and values go to the segments' pages. Rows are in the segments' order. The
    /// first fault of each.
    ///
    /// # Errors
    /// When the system gives no more memory.
    pub(super) fn pass(
        &mut self,
        segments: &[Segment<'_>],
        mut probe: Option<&mut Probe<'_>>,
    ) -> Result<Vec<Option<Fault>>> {
        let hidden = self.config.hidden_size;
        let mut batch = Batch::new(segments);
        let rows = batch.rows.clone();
        let tokens: Vec<u32> = segments.iter().flat_map(|s| s.tokens).copied().collect();
        self.rope.grow(rows.iter().map(|r| r.position + 1).max().unwrap_or(0));
        for page in segments.iter().flat_map(|s| s.pages) {
            self.store.ensure(*page).map_err(memory)?;
        }
        let embedding = self.checkpoint.embedding();
        let ld = stride(hidden);
        let x = self.work.x.fit(rows.len() * ld).map_err(memory)?;
        for_each_row(&self.pool, 8, x, ld, |row, x| embedding.row_to_f32(tokens[row] as usize, &mut x[..hidden]));
        report(&mut probe, -1, Stage::Embedding, &rows, x, 0..hidden);

        let layers = self.config.num_hidden_layers;
        for layer in 0..layers {
            self.project(layer, &batch, &mut probe)?;
            if layer + 1 == layers && probe.is_none() {
                self.keep_read(&mut batch)?;
            }
            if !batch.rows.is_empty() {
                self.attend(layer, &batch, &mut probe)?;
                self.mlp(layer, &batch, &mut probe)?;
            }
        }
        let mut out = std::mem::take(&mut self.hidden);
        out.clear();
        out.resize(rows.len() * hidden, 0.0);
        let (isa, eps, norm) = (self.isa, self.config.rms_norm_eps as f32, &self.weights.norm);
        let x = &*self.work.x.fit(batch.rows.len() * ld).map_err(memory)?;
        let to = Shared::new(&mut out);
        self.pool.for_each(batch.rows.len(), 8, |range| {
            for row in range {
                // SAFETY: each row is dealt out once, and has its own place in `out`.
                let out = unsafe { std::slice::from_raw_parts_mut(to.at(batch.origin[row] * hidden), hidden) };
                if let Err(kind) = ops::rms_norm(isa, &x[row * ld..][..hidden], norm, eps, out) {
                    batch.fault(row, layers, kind);
                }
            }
        });
        report(&mut probe, layers as i64, Stage::FinalNorm, &rows, &out, 0..hidden);
        let faults = batch.faults.into_inner().expect("no panic while held");
        let fault = |(row, f): (&QueryRow<'_>, Option<(usize, FaultKind)>)| {
            f.map(|(layer, kind)| Fault { kind, layer, position: row.position })
        };
        self.hidden = out;
        Ok(rows.iter().zip(faults).map(fault).collect())
    }

    fn shape(&self) -> HeadShape {
        HeadShape {
            heads: self.config.num_attention_heads,
            kv_heads: self.config.num_key_value_heads,
            head_dim: self.config.head_dim,
        }
    }

    /// Queries of a layer into `qkv`, keys and values into the pages.
    fn project(&mut self, index: usize, batch: &Batch<'_>, probe: &mut Option<&mut Probe<'_>>) -> Result<()> {
        let shape = self.shape();
        let Self { isa, pool, config, weights, rope, store, work, .. } = self;
        let (isa, pool, w) = (*isa, &*pool, &weights.layers[index]);
        let (hidden, eps, n) = (config.hidden_size, config.rms_norm_eps as f32, batch.rows.len());
        let fault = |row, kind| batch.fault(row, index, kind);
        let watched = probe.is_some();
        let mut report = |stage, x: &[f32], part| report(probe, index as i64, stage, &batch.rows, x, part);

        let x = work.x.fit(n * stride(hidden)).map_err(memory)?;
        let normed = work.normed.fit(if watched { n * hidden } else { 0 }).map_err(memory)?;
        Norm { isa, pool, eps, hidden }.run(x, &w.input_norm, normed, &mut work.quantized, &fault)?;
        report(Stage::AttentionNorm, normed, 0..hidden);
        let width = (shape.heads + 2 * shape.kv_heads) * shape.head_dim;
        let qkv_ld = stride(width);
        let qkv = work.qkv.fit(n * qkv_ld).map_err(memory)?;
        matmul(isa, pool, &w.qkv, &work.quantized, qkv, qkv_ld, Mode::Store);
        heads(isa, pool, shape, eps, w, &batch.rows, rope, index, store, qkv, &fault);
        let (q_end, k_end) = (shape.heads * shape.head_dim, (shape.heads + shape.kv_heads) * shape.head_dim);
        for (stage, part) in [(Stage::Query, 0..q_end), (Stage::Key, q_end..k_end), (Stage::Value, k_end..width)] {
            report(stage, &*qkv, part);
        }
        Ok(())
    }

    /// Lets the rows go whose output nobody reads, once the last layer's keys and values are stored.
    fn keep_read(&mut self, batch: &mut Batch<'_>) -> Result<()> {
        if batch.read.len() == batch.rows.len() {
            return Ok(());
        }
        let (shape, hidden) = (self.shape(), self.config.hidden_size);
        let queries = shape.heads * shape.head_dim;
        let (ld, qkv_ld) = (stride(hidden), stride(queries + 2 * shape.kv_heads * shape.head_dim));
        let x = self.work.x.fit(batch.rows.len() * ld).map_err(memory)?;
        let qkv = self.work.qkv.fit(batch.rows.len() * qkv_ld).map_err(memory)?;
        for (to, &from) in batch.read.iter().enumerate() {
            x.copy_within(from * ld..from * ld + hidden, to * ld);
            qkv.copy_within(from * qkv_ld..from * qkv_ld + queries, to * qkv_ld);
        }
        batch.rows = batch.read.iter().map(|&row| batch.rows[row]).collect();
        batch.origin.clone_from(&batch.read);
        Ok(())
    }

    /// Attention of the queries in `qkv`, and its projection added to the residual.
    fn attend(&mut self, index: usize, batch: &Batch<'_>, probe: &mut Option<&mut Probe<'_>>) -> Result<()> {
        let shape = self.shape();
        let Self { isa, pool, config, weights, store, work, .. } = self;
        let (isa, pool, w) = (*isa, &*pool, &weights.layers[index]);
        let (hidden, rows, n) = (config.hidden_size, &batch.rows[..], batch.rows.len());
        let ld = stride(hidden);
        let fault = |row, kind| batch.fault(row, index, kind);
        let watched = probe.is_some();
        let mut report = |stage, x: &[f32], part| report(probe, index as i64, stage, rows, x, part);

        let q_end = shape.heads * shape.head_dim;
        let qkv_ld = stride(q_end + 2 * shape.kv_heads * shape.head_dim);
        let qkv = work.qkv.fit(n * qkv_ld).map_err(memory)?;
        work.queries.quantize(isa, pool, shape, qkv, qkv_ld, &fault);
        // A row's heads are in several threads' hands: of their faults the least kind, not the first one, is told.
        let attended = Mutex::new(vec![None::<FaultKind>; n]);
        let least = |row: usize, kind: FaultKind| {
            let found = &mut attended.lock().expect("no panic while held")[row];
            *found = Some(found.map_or(kind, |k| k.min(kind)));
        };
        let late = Mutex::new(Vec::new());
        let part = shape.per_kv() * shape.head_dim;
        work.quantized.reset(n, q_end).map_err(memory)?;
        let writer = work.quantized.writer();
        if !watched && part.is_multiple_of(BLOCK) {
            let emit = |row, kv_head, x: &[f32]| {
                // SAFETY: each (row, kv head) is emitted once, and makes these blocks.
                if let Err(kind) = unsafe { writer.write_blocks(isa, Side::Right, row, kv_head * part / BLOCK, x) } {
                    late.lock().expect("no panic while held").push((row, kind));
                }
            };
            attend(isa, pool, shape, &work.queries, rows, store, index, &emit, &least);
        } else {
            let attention = work.attention.fit(n * q_end).map_err(memory)?;
            let out = Shared::new(attention);
            let emit = |row, kv_head, x: &[f32]| {
                // SAFETY: each (row, kv head) is emitted once and has this part of the buffer alone.
                unsafe { std::slice::from_raw_parts_mut(out.at(row * q_end + kv_head * part), part) }
                    .copy_from_slice(x);
            };
            attend(isa, pool, shape, &work.queries, rows, store, index, &emit, &least);
            report(Stage::Attention, attention, 0..q_end);
            for_each_row(pool, 4, attention, q_end, |row, x| {
                if let Err(kind) = writer.write(isa, Side::Right, row, x) {
                    late.lock().expect("no panic while held").push((row, kind));
                }
            });
        }
        let attended = attended.into_inner().expect("no panic while held").into_iter().enumerate();
        let attended = attended.filter_map(|(row, kind)| kind.map(|kind| (row, kind)));
        let late = late.into_inner().expect("no panic while held");
        attended.chain(late).for_each(|(row, kind)| fault(row, kind));
        let x = work.x.fit(n * ld).map_err(memory)?;
        matmul(isa, pool, &w.o, &work.quantized, x, ld, Mode::Add);
        report(Stage::ResidualAttention, x, 0..hidden);
        Ok(())
    }

    /// The MLP, added to the residual.
    fn mlp(&mut self, index: usize, batch: &Batch<'_>, probe: &mut Option<&mut Probe<'_>>) -> Result<()> {
        let Self { isa, pool, config, weights, work, .. } = self;
        let (isa, pool, w) = (*isa, &*pool, &weights.layers[index]);
        let (hidden, eps, n) = (config.hidden_size, config.rms_norm_eps as f32, batch.rows.len());
        let ld = stride(hidden);
        let fault = |row, kind| batch.fault(row, index, kind);
        let watched = probe.is_some();
        let mut report = |stage, x: &[f32], part| report(probe, index as i64, stage, &batch.rows, x, part);

        let x = work.x.fit(n * ld).map_err(memory)?;
        let normed = work.normed.fit(if watched { n * hidden } else { 0 }).map_err(memory)?;
        Norm { isa, pool, eps, hidden }.run(x, &w.post_norm, normed, &mut work.quantized, &fault)?;
        report(Stage::MlpNorm, normed, 0..hidden);
        let intermediate = config.intermediate_size;
        if !watched && n >= FUSED_FROM {
            work.next.reset(n, intermediate).map_err(memory)?;
            silu_mul_quantized(isa, pool, &w.gate_up, &work.quantized, &work.next.writer(), &fault);
            matmul(isa, pool, &w.down, &work.next, x, ld, Mode::Add);
            return Ok(());
        }
        let activation = work.activation.fit(n * intermediate).map_err(memory)?;
        // Gate and up values are not stored; for a probe they are made once more, apart.
        for (stage, mode) in [(Stage::Gate, Mode::Gate), (Stage::Up, Mode::Up)].into_iter().filter(|_| watched) {
            matmul(isa, pool, &w.gate_up, &work.quantized, activation, intermediate, mode);
            report(stage, activation, 0..intermediate);
        }
        matmul(isa, pool, &w.gate_up, &work.quantized, activation, intermediate, Mode::SiluMul);
        report(Stage::Activation, activation, 0..intermediate);
        quantize_rows(isa, pool, activation, intermediate, &mut work.quantized, &fault)?;
        matmul(isa, pool, &w.down, &work.quantized, x, ld, Mode::Add);
        report(Stage::ResidualMlp, x, 0..hidden);
        Ok(())
    }
}

/// Calls the probe, if there is one, with a part of each row.
fn report(
    probe: &mut Option<&mut Probe<'_>>,
    layer: i64,
    stage: Stage,
    rows: &[QueryRow<'_>],
    x: &[f32],
    part: std::ops::Range<usize>,
) {
    if let Some(probe) = probe {
        for (row, x) in rows.iter().zip(x.chunks_exact(x.len() / rows.len())) {
            probe(layer, stage, row.position, &x[part.clone()]);
        }
    }
}
