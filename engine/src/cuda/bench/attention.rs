//! Between the products of a layer: queries, keys and values, and attention over pages.

use super::{BenchRow, Bytes, KernelBench, Peer, ShowRow, operations, quantized_bytes};
use crate::Result;
use crate::cuda::ops::attend_chunks::{AttendChunks, ChunkItems, ChunkPlan, Partials};
use crate::cuda::ops::attend_prefill::{AttendPrefill, PrefillOut, tiles};
use crate::cuda::ops::combine_chunks::{AttentionOut, CombineChunks};
use crate::cuda::ops::operands::QuantizedRows;
use crate::cuda::ops::pages::{AttentionShape, Pages, QueryColumns, StepRows};
use crate::cuda::ops::rotate_store::{Qkv, RotateStore, Rotation};
use crate::cuda::{DeviceBuffer, abi};
use crate::kv::PageId;

/// Rows that are stored at a time.
const STORE_ROWS: u32 = 1024;

/// Query columns of an item, as a pass makes them.
const ITEM_COLUMNS: u32 = 64;

pub(super) fn run(bench: &KernelBench, show: &mut ShowRow<'_>) -> Result<()> {
    for &rows in &bench.options.batches {
        let mut cache = Cache::new(bench, rows, bench.options.context, false)?;
        show(cache.store(rows, &format!("decode {rows}"))?)?;
        cache.decode(rows, "pages of their own", show)?;
        drop(cache);
        if rows > 1 {
            Cache::new(bench, rows, bench.options.context, true)?.decode(rows, "one prompt", show)?;
        }
    }
    let rows = bench.options.prompt;
    let mut cache = Cache::new(bench, 1, rows, false)?;
    cache.prefill(rows, show)
}

/// Keys and values of sequences, and what a layer makes them of.
struct Cache<'a> {
    bench: &'a KernelBench,
    shape: AttentionShape,
    pages: Pages,
    /// Of each sequence.
    lists: Vec<Vec<PageId>>,
    positions: u32,
    step: StepRows,
    queries: QueryColumns,
    qkv: DeviceBuffer<f32>,
    norms: [DeviceBuffer<f32>; 2],
    rotary: [DeviceBuffer<f32>; 2],
    fault: DeviceBuffer<u32>,
    rotate: RotateStore,
}

impl<'a> Cache<'a> {
    /// `sequences` of `positions` positions, all of them stored, on pages of their own or all but the last shared.
    fn new(bench: &'a KernelBench, sequences: u32, positions: u32, shared: bool) -> Result<Self> {
        let chunks = positions.div_ceil(abi::PAGE);
        let mut next = 0;
        let mut page = || {
            next += 1;
            next - 1
        };
        let prompt: Vec<PageId> = if shared { (1..chunks).map(|_| page()).collect() } else { Vec::new() };
        let list = |_| prompt.iter().copied().chain((prompt.len() as u32..chunks).map(|_| page())).collect();
        let lists: Vec<Vec<PageId>> = (0..sequences).map(list).collect();
        let mut shape = AttentionShape { layers: 1, ..bench.attention };
        shape.layers = bench.copies(u64::from(next) * shape.page_bytes()).min(bench.attention.layers);
        let rows = sequences.max(positions.min(STORE_ROWS)).max(if sequences == 1 { positions } else { 1 });
        let (width, half) = (shape.qkv_width() as usize, positions as usize * shape.head_dim as usize / 2);
        let head = || bench.floats(shape.head_dim as usize);
        let mut cache = Self {
            pages: Pages::new(&bench.device, shape, next)?,
            step: StepRows::new(&bench.device, rows, sequences, chunks)?,
            queries: QueryColumns::new(&bench.device, &shape, rows)?,
            qkv: bench.floats(rows as usize * width)?,
            norms: [head()?, head()?],
            rotary: [bench.floats(half)?, bench.floats(half)?],
            fault: bench.no_faults(rows)?,
            rotate: RotateStore::new(&bench.device)?,
            bench,
            shape,
            lists,
            positions,
        };
        cache.step.page_table.write(0, &cache.lists.concat())?;
        cache.fill()?;
        Ok(cache)
    }

    /// Every position of every sequence, in every layer.
    fn fill(&mut self) -> Result<()> {
        for sequence in 0..self.lists.len() as u32 {
            for first in (0..self.positions).step_by(STORE_ROWS as usize) {
                let count = STORE_ROWS.min(self.positions - first);
                self.place(&(first..first + count).map(|p| (sequence, p)).collect::<Vec<_>>())?;
                (0..self.shape.layers).try_for_each(|layer| self.rotate(count, layer))?;
            }
        }
        Ok(())
    }

    /// The rows of a step, by sequence and position.
    fn place(&mut self, rows: &[(u32, u32)]) -> Result<()> {
        self.step.sequence.write(0, &rows.iter().map(|row| row.0).collect::<Vec<_>>())?;
        self.step.position.write(0, &rows.iter().map(|row| row.1).collect::<Vec<_>>())
    }

    fn rotate(&mut self, rows: u32, layer: u32) -> Result<()> {
        let qkv = Qkv { x: &self.qkv, ld: self.shape.qkv_width(), rows, counted: false };
        let [q_norm, k_norm] = &self.norms;
        let [cos, sin] = &self.rotary;
        let rotation = Rotation { q_norm, k_norm, cos, sin, eps: 1e-6 };
        // SAFETY: `place` named sequences with a page for every position below `positions`, as many as the rotary table has,
        // and no two rows of a step at the same position of a page that is not shared.
        unsafe {
            self.rotate.run(
                &qkv,
                &rotation,
                &self.step,
                &mut self.pages,
                layer,
                &mut self.queries,
                None,
                &mut self.fault,
            )
        }
    }

    /// The last position of each sequence.
    fn decoding(&mut self) -> Result<()> {
        let rows: Vec<_> = (0..self.lists.len() as u32).map(|s| (s, self.positions - 1)).collect();
        self.place(&rows)
    }

    /// rotate_store of the step's rows: each at a position of its own, in pages of its own.
    fn store(&mut self, rows: u32, what: &str) -> Result<BenchRow> {
        self.decoding()?;
        let distinct = 1;
        self.stored(rows, distinct, rows, what)
    }

    fn stored(&mut self, rows: u32, positions: u32, entries: u32, what: &str) -> Result<BenchRow> {
        let (s, layers) = (self.shape, self.shape.layers);
        let timer = &self.bench.timer;
        let seconds = timer.time(layers, |layer| self.rotate(rows, layer))?;
        let [rows, heads, kv] = [rows, s.heads, s.kv_heads].map(u64::from);
        let (padded, blocks, dim) = (u64::from(s.padded()), u64::from(s.blocks()), u64::from(s.head_dim));
        // Floats, the norms' weights, rotary rows, positions, slots and pages.
        let read = 4 * rows * u64::from(s.qkv_width()) + 8 * dim + 4 * dim * u64::from(positions);
        let read = read + 8 * rows + 4 * u64::from(entries);
        let written = rows * heads * (2 * padded + blocks) + rows * kv * (2 * padded + 2 * dim + 2 * blocks);
        let bytes = Bytes::Exactly(read + written);
        Ok(BenchRow { kernel: "rotate_store", case: what.into(), bytes, operations: 0, seconds, peer: Peer::None })
    }

    /// attend_chunks and combine_chunks.
    fn decode(&mut self, rows: u32, whose: &str, show: &mut ShowRow<'_>) -> Result<()> {
        self.decoding()?;
        let (s, bench) = (self.shape, self.bench);
        let chunks = self.positions.div_ceil(abi::PAGE);
        let readers: Vec<(&[PageId], usize)> =
            self.lists.iter().map(|list| (list.as_slice(), self.positions as usize - 1)).collect();
        let plan = ChunkPlan::new(&readers, (ITEM_COLUMNS / s.per_kv()).max(1) as usize);
        let mut items = ChunkItems::new(&bench.device, plan.reads())?;
        items.set(&plan)?;
        let mut partials = Partials::new(&bench.device, &s, rows, chunks)?;
        let attend = AttendChunks::new(&bench.device, &s)?;
        let (step, pages, queries, fault) = (&self.step, &self.pages, &self.queries, &mut self.fault);
        let seconds = bench.timer.time(s.layers, |layer| {
            // SAFETY: the plan is of these rows, and the partials have room for all chunks.
            unsafe { attend.run(&items, step, rows, pages, layer, queries, &mut partials, fault) }
        })?;
        let case = format!("decode {rows} at {}, {whose}", self.positions);
        show(BenchRow {
            kernel: attend.kernel_name(),
            case: case.clone(),
            bytes: Bytes::Exactly(decode_bytes(&s, &plan, rows, chunks)),
            operations: operations(decode_mma(&s, &plan)),
            seconds,
            peer: Peer::None,
        })?;

        let combine = CombineChunks::new(&bench.device)?;
        let columns = s.heads * s.head_dim;
        let mut out = QuantizedRows::zeroed(&bench.device, rows, columns)?;
        let (step, fault) = (&self.step, &mut self.fault);
        let seconds = bench.timer.time(1, |_| {
            let mut out = AttentionOut { q: &mut out.q, g: &mut out.g, attention: None };
            // SAFETY: the launches before left every chunk of every row.
            unsafe { combine.run(&s, &partials, step, rows, false, 0, &mut out, fault) }
        })?;
        let partial = u64::from(rows * chunks) * u64::from(s.heads) * (4 * u64::from(s.head_dim) + 8);
        let bytes = Bytes::Exactly(partial + 4 * u64::from(rows) + quantized_bytes(rows, columns));
        show(BenchRow { kernel: "combine_chunks", case, bytes, operations: 0, seconds, peer: Peer::None })
    }

    /// rotate_store and attend_prefill of a whole prompt.
    fn prefill(&mut self, rows: u32, show: &mut ShowRow<'_>) -> Result<()> {
        self.place(&(0..rows).map(|p| (0, p)).collect::<Vec<_>>())?;
        let what = format!("prefill {rows}");
        let chunks = rows.div_ceil(abi::PAGE);
        show(self.stored(rows, rows, chunks, &what)?)?;
        let (s, bench) = (self.shape, self.bench);
        let all = tiles(&s, &[rows]);
        let device_tiles = DeviceBuffer::from_slice(&bench.device, &all)?;
        let attend = AttendPrefill::new(&bench.device, &s)?;
        let columns = s.heads * s.head_dim;
        let mut quantized = QuantizedRows::zeroed(&bench.device, rows, columns)?;
        let mut floats = DeviceBuffer::<f32>::zeroed(&bench.device, rows as usize * columns as usize)?;
        let (step, pages, queries, fault) = (&self.step, &self.pages, &self.queries, &mut self.fault);
        let seconds = bench.timer.time(s.layers, |layer| {
            let mut out = match attend.quantizes() {
                true => PrefillOut { rows: Some((&mut quantized.q, &mut quantized.g)), attention: None },
                false => PrefillOut { rows: None, attention: Some(&mut floats) },
            };
            // SAFETY: tiles of neighbouring rows of the one sequence, which has pages for all of them.
            unsafe { attend.run(&device_tiles, step, rows, pages, layer, queries, &mut out, fault) }
        })?;
        let out = if attend.quantizes() { quantized_bytes(rows, columns) } else { 4 * u64::from(rows * columns) };
        // The slot of each tile, its two words, positions, pages; queries; pages; results.
        let words = 12 * all.len() as u64 + 4 * u64::from(rows) + 4 * u64::from(chunks);
        let query = u64::from(rows * s.heads) * u64::from(2 * s.padded() + s.blocks());
        let pages = u64::from(chunks * s.kv_heads) * u64::from(4 * abi::PAGE * s.padded() + 2 * s.blocks() * abi::PAGE);
        show(BenchRow {
            kernel: attend.kernel_name(),
            case: what,
            bytes: Bytes::Exactly(words + query + pages + out),
            operations: operations(prefill_mma(&s, &all)),
            seconds,
            peer: Peer::None,
        })
    }
}

/// Products of a tile of 8 columns with the keys and the values of a chunk: four slices each.
fn chunk_mma(s: &AttentionShape) -> u64 {
    u64::from(4 * (8 * s.padded() / 32 + s.head_dim / 16 * abi::KSTEPS))
}

fn decode_mma(s: &AttentionShape, plan: &ChunkPlan) -> u64 {
    let tiles: u64 = plan.counts().map(|rows| u64::from((rows * s.per_kv()).div_ceil(8))).sum();
    tiles * u64::from(s.kv_heads) * chunk_mma(s)
}

fn decode_bytes(s: &AttentionShape, plan: &ChunkPlan, rows: u32, chunks: u32) -> u64 {
    let (dim, padded, blocks) = (u64::from(s.head_dim), u64::from(s.padded()), u64::from(s.blocks()));
    let page = u64::from(2 * abi::PAGE) * (padded + dim + blocks) * u64::from(s.kv_heads);
    let query = u64::from(rows * s.heads) * (2 * padded + blocks);
    let partial = u64::from(rows * chunks) * u64::from(s.heads) * (4 * dim + 8);
    let words = 4 + 16 * plan.len() as u64 + 4 * plan.reads() as u64 + 4 * u64::from(rows);
    page * plan.pages() as u64 + query + partial + words
}

/// A tile's warps go through all chunks up to its last row's, those without columns too.
fn prefill_mma(s: &AttentionShape, tiles: &[abi::attend_tile]) -> u64 {
    let columns = u64::from(s.tile_columns() / 8);
    let chunks: u64 = tiles.iter().map(|t| u64::from((t.first + t.count - 1) / abi::PAGE + 1)).sum();
    chunks * columns * u64::from(s.kv_heads) * chunk_mma(s)
}
