//! Attention over pages: NUMERICS section 6 for a batch of query rows of any mixture of sequences.
//!
//! A work item is a tile of neighbouring rows and one kv head. It walks the chunks in ascending order, which
//! is the order of the combine, and at each chunk takes the rows that have the same page there as one
//! product: the rows of a prefill, and all rollouts of a group on their shared prefix, read a page once.
//! Scores and weights of a chunk live on the worker's stack; nothing of size rows x keys ever exists.

use std::ops::Range;

use super::ahead::Ahead;
use super::cache::{HeadPage, PageStore};
use super::dot::{Factors, dot_panels};
use super::isa::Isa;
use super::memory::Shared;
use super::ops::{self, Softmax};
use super::pack::PANEL;
use super::pool::Pool;
use super::quantize::{BLOCK, STRIDE, Side, quantize_row};
use crate::FaultKind;
use crate::kv::{PAGE, PageId};

/// Query rows of a tile.
const TILE: usize = 16;

/// Tiles up to which pages are taken to come from memory.
const COLD_TILES: usize = 4;

/// Where a query row stands.
#[derive(Debug, Clone, Copy)]
pub struct QueryRow<'a> {
    /// Its sequence's pages.
    pub pages: &'a [PageId],
    /// Its position; keys up to and with it are seen.
    pub position: usize,
}

impl QueryRow<'_> {
    /// Keys of a chunk that it sees.
    fn keys(&self, chunk: usize) -> usize {
        (self.position + 1).saturating_sub(chunk * PAGE).min(PAGE)
    }
}

/// Sizes of a layer's heads.
#[derive(Debug, Clone, Copy)]
pub struct HeadShape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Channels of a head.
    pub head_dim: usize,
}

impl HeadShape {
    /// Query heads that read one kv head.
    pub fn per_kv(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Blocks of a head.
    pub fn blocks(&self) -> usize {
        self.head_dim.div_ceil(BLOCK)
    }
}

/// Queries of a batch, quantized by L: `[kv_head][row][query head of it][block]`, each [`STRIDE`] integers and one
/// exponent.
#[derive(Default)]
pub struct Queries {
    q: Vec<i16>,
    g: Vec<i8>,
}

impl Queries {
    /// Quantizes row-major queries `x` (after norm and RoPE; `ld` elements a row, heads first), scaled in place;
    /// `fault` hears of rows that cannot be.
    pub fn quantize(
        &mut self,
        isa: Isa,
        pool: &Pool,
        shape: HeadShape,
        x: &mut [f32],
        ld: usize,
        fault: &(impl Fn(usize, FaultKind) + Sync),
    ) {
        let (rows, width, blocks) = (x.len() / ld, shape.heads * shape.head_dim, shape.blocks());
        self.q.resize(rows * shape.heads * blocks * STRIDE, 0);
        self.g.resize(rows * shape.heads * blocks, 0);
        let (q, g, x) = (Shared::new(&mut self.q), Shared::new(&mut self.g), Shared::new(x));
        let factor = ops::query_scale(shape.head_dim);
        pool.for_each(rows, 4, |range| {
            for row in range {
                // SAFETY: each row is dealt out once.
                let x = unsafe { std::slice::from_raw_parts_mut(x.at(row * ld), width) };
                ops::scale(isa, x, factor);
                for (head, x) in x.chunks_exact(shape.head_dim).enumerate() {
                    let (kv, member) = (head / shape.per_kv(), head % shape.per_kv());
                    let at = ((kv * rows + row) * shape.per_kv() + member) * blocks;
                    for (block, x) in x.chunks(BLOCK).enumerate() {
                        // SAFETY: (row, head, block) has this place alone, inside the sizes above.
                        let (q, g) = unsafe {
                            let q = std::slice::from_raw_parts_mut(q.at((at + block) * STRIDE), BLOCK);
                            (q, std::slice::from_raw_parts_mut(g.at(at + block), 1))
                        };
                        if let Err(kind) = quantize_row(isa, Side::Left, x, q, g) {
                            q.fill(0);
                            g.fill(0);
                            fault(row, kind);
                        }
                    }
                }
            }
        });
    }
}

/// Attention of all rows, which are in the queries' order: `emit(row, kv head, part)` once for each, with the outputs of the
/// query heads that read the kv head, `[heads / kv_heads][head_dim]`.
#[allow(clippy::too_many_arguments)]
pub fn attend(
    isa: Isa,
    pool: &Pool,
    shape: HeadShape,
    queries: &Queries,
    rows: &[QueryRow<'_>],
    store: &PageStore,
    layer: usize,
    emit: &(impl Fn(usize, usize, &[f32]) + Sync),
    fault: &(impl Fn(usize, FaultKind) + Sync),
) {
    let tiles = rows.len().div_ceil(TILE);
    // Neighbouring items share a tile's rows, not its pages: kv heads are the slow index so that two threads read
    // different pages' parts.
    let start = || Item::new(isa, shape, queries, rows, store, layer);
    pool.for_each_with(tiles * shape.kv_heads, start, |item, i| {
        let (kv_head, tile) = (i / tiles, i % tiles);
        let tile = tile * TILE..((tile + 1) * TILE).min(rows.len());
        item.run(kv_head, tile.clone(), fault);
        for (t, row) in tile.enumerate() {
            emit(row, kv_head, item.output(t));
        }
    });
}

/// Neighbouring rows that read the same page as a chunk.
struct Run {
    chunk: usize,
    rows: Range<usize>,
    page: PageId,
    /// Keys that the last of them sees.
    keys: usize,
}

impl Run {
    /// What one of its products costs.
    fn work(&self) -> usize {
        self.rows.len() * self.keys
    }
}

/// The runs of a chunk among the rows of a tile.
fn runs<'a>(rows: &'a [QueryRow<'a>], chunk: usize, tile: Range<usize>) -> impl Iterator<Item = Run> + 'a {
    let page = move |row: usize| (rows[row].keys(chunk) > 0).then(|| rows[row].pages[chunk]);
    let mut row = tile.start;
    std::iter::from_fn(move || {
        let start = (row..tile.end).find(|row| page(*row).is_some())?;
        let shared = page(start)?;
        row = (start..tile.end).find(|row| page(*row) != Some(shared)).unwrap_or(tile.end);
        let keys = rows[start..row].iter().map(|row| row.keys(chunk)).max()?;
        Some(Run { chunk, rows: start..row, page: shared, keys })
    })
}

/// State of one thread, used by item after item.
struct Item<'a> {
    isa: Isa,
    shape: HeadShape,
    queries: &'a Queries,
    rows: &'a [QueryRow<'a>],
    store: &'a PageStore,
    layer: usize,
    /// If memory is asked for ahead. Of more tiles than [`COLD_TILES`] all but the first find it in a cache.
    asks: bool,
    /// Of the item: what it reads, products that have not been made, and its runs.
    ahead: Ahead,
    work: usize,
    runs: Vec<Run>,
    /// Per (row of the tile, query head).
    state: Vec<Softmax>,
    o: Vec<f32>,
    /// Of one chunk: keys seen, scores and then weights, `[n][128]`.
    valid: Vec<usize>,
    scores: Vec<i32>,
    p: Vec<f32>,
    chunk: Vec<Option<Softmax>>,
    u: Vec<i16>,
    u_g: Vec<i8>,
    faults: Vec<bool>,
    sums: Vec<i32>,
}

impl<'a> Item<'a> {
    fn new(
        isa: Isa,
        shape: HeadShape,
        queries: &'a Queries,
        rows: &'a [QueryRow<'a>],
        store: &'a PageStore,
        layer: usize,
    ) -> Self {
        let n = TILE.min(rows.len()) * shape.per_kv();
        let padded = shape.head_dim.next_multiple_of(PANEL);
        Self {
            isa,
            shape,
            queries,
            rows,
            store,
            layer,
            asks: rows.len() <= COLD_TILES * TILE,
            ahead: Ahead::default(),
            work: 0,
            runs: Vec::new(),
            state: vec![Softmax { n: 0.0, l: 0.0 }; n],
            o: vec![0.0; n * shape.head_dim],
            valid: vec![0; n],
            scores: vec![0; n * PAGE],
            p: vec![0.0; n * PAGE],
            chunk: vec![None; n],
            u: vec![0; n * STRIDE],
            u_g: vec![0; n],
            faults: vec![false; n],
            sums: vec![0; n * padded.min(BLOCK)],
        }
    }

    fn run(&mut self, kv_head: usize, tile: Range<usize>, fault: &impl Fn(usize, FaultKind)) {
        let chunks = self.rows[tile.clone()].iter().map(|r| r.position / PAGE + 1).max().unwrap_or(0);
        let mut todo = std::mem::take(&mut self.runs);
        todo.clear();
        todo.extend((0..chunks).flat_map(|chunk| runs(self.rows, chunk, tile.clone())));
        self.ahead.clear();
        if self.asks {
            for (i, run) in todo.iter().enumerate() {
                let head = self.store.head(run.page, self.layer, kv_head);
                if i > 0 {
                    head.keys_ahead(run.keys, &mut self.ahead);
                }
                head.values_ahead(run.keys, &mut self.ahead);
            }
        }
        self.work = todo.iter().map(|run| 2 * run.work()).sum();
        for run in &todo {
            self.chunk(kv_head, run, run.rows.start - tile.start, fault);
        }
        self.runs = todo;
    }

    /// The next of a run's two products has its share of what is to be asked for: as much as of the work that is left.
    fn allot(&mut self, run: &Run) {
        self.ahead.allot((self.ahead.left() * run.work()).div_ceil(self.work.max(1)));
        self.work -= run.work();
    }

    /// One chunk of some rows; `first` is their place in the tile.
    fn chunk(&mut self, kv_head: usize, run: &Run, first: usize, fault: &impl Fn(usize, FaultKind)) {
        let (isa, per_kv, head_dim, blocks) = (self.isa, self.shape.per_kv(), self.shape.head_dim, self.shape.blocks());
        let (rows, head) = (run.rows.clone(), self.store.head(run.page, self.layer, kv_head));
        let n = rows.len() * per_kv;
        for (i, valid) in self.valid[..n].iter_mut().enumerate() {
            *valid = self.rows[rows.start + i / per_kv].keys(run.chunk);
        }
        self.allot(run);
        self.scores(kv_head, rows.start, n, run.keys, &head);
        self.allot(run);
        let (p, weights) = (&mut self.p[..n * PAGE], &mut self.chunk[..n]);
        ops::softmax_rows(isa, p, &self.valid[..n], weights);
        weights.iter().enumerate().filter(|(_, w)| w.is_none()).for_each(|(i, _)| {
            fault(rows.start + i / per_kv, FaultKind::Attention);
        });
        for block in 0..blocks {
            let channels = (head_dim - block * BLOCK).min(BLOCK);
            ops::weigh_rows(
                isa,
                p,
                head.value_exponents(block),
                run.keys,
                &mut self.u,
                &mut self.u_g,
                &mut self.faults,
            );
            for (i, failed) in self.faults[..n].iter_mut().enumerate().filter(|(_, failed)| **failed) {
                fault(rows.start + i / per_kv, FaultKind::Quantizer);
                *failed = false;
            }
            let panels = channels.div_ceil(PANEL);
            let width = panels * PANEL;
            let factors = Factors {
                a: &self.u,
                a_stride: STRIDE,
                rows: n,
                pairs: run.keys.div_ceil(2),
                panels: head.values(block),
                panel_stride: PAGE * PANEL,
                count: panels,
            };
            dot_panels(isa, &factors, &mut self.sums, width, &mut self.ahead);
            let at = first * per_kv;
            ops::fold_rows(
                isa,
                run.chunk == 0,
                block + 1 == blocks,
                channels,
                &self.sums,
                width,
                &self.u_g,
                weights,
                &mut self.state[at..],
                &mut self.o[at * head_dim + block * BLOCK..],
                head_dim,
            );
        }
    }

    /// z of `n` query rows for the chunk's first `most` keys.
    fn scores(&mut self, kv_head: usize, row: usize, n: usize, most: usize, head: &HeadPage<'_>) {
        let (blocks, per_kv) = (self.shape.blocks(), self.shape.per_kv());
        let base = (kv_head * self.rows.len() + row) * per_kv * blocks;
        for block in 0..blocks {
            let pairs = (self.shape.head_dim - block * BLOCK).min(BLOCK) / 2;
            let factors = Factors {
                a: &self.queries.q[(base + block) * STRIDE..],
                a_stride: blocks * STRIDE,
                rows: n,
                pairs,
                panels: head.keys(block),
                panel_stride: pairs * 2 * PANEL,
                count: most.div_ceil(PANEL),
            };
            dot_panels(self.isa, &factors, &mut self.scores, PAGE, &mut self.ahead);
            let (g_queries, g_keys) = (&self.queries.g[base + block..], head.key_exponents(block));
            ops::score_rows(self.isa, block == 0, &self.scores, g_queries, blocks, g_keys, &mut self.p[..n * PAGE]);
        }
    }

    /// The finished output of a row of the tile: `[query head][head_dim]`.
    fn output(&mut self, row: usize) -> &[f32] {
        let (per_kv, d) = (self.shape.per_kv(), self.shape.head_dim);
        let out = &mut self.o[row * per_kv * d..(row + 1) * per_kv * d];
        for (out, state) in out.chunks_exact_mut(d).zip(&self.state[row * per_kv..]) {
            ops::divide(self.isa, out, state.l);
        }
        out
    }
}
