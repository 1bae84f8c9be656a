//! Attention over pages: NUMERICS section 6 for a batch of query rows of any mixture of sequences.
//!
//! A work item is a tile of neighbouring rows and one kv head. It walks the chunks in ascending order, which
//! is the order of the combine, and at each chunk takes the rows that have the same page there as one
//! product: the rows of a prefill, and all rollouts of a group on their shared prefix, read a page once.
//! Scores and weights of a chunk live on the worker's stack; nothing of size rows x keys ever exists.

use super::cache::{HeadPage, PageStore};
use super::dot::dot_panels;
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

/// Where a query row stands.
#[derive(Debug, Clone, Copy)]
pub struct QueryRow<'a> {
    /// Its sequence's pages.
    pub pages: &'a [PageId],
    /// Its position; keys up to and with it are seen.
    pub position: usize,
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

/// State of one thread, used by item after item.
struct Item<'a> {
    isa: Isa,
    shape: HeadShape,
    queries: &'a Queries,
    rows: &'a [QueryRow<'a>],
    store: &'a PageStore,
    layer: usize,
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

    fn run(&mut self, kv_head: usize, tile: std::ops::Range<usize>, fault: &impl Fn(usize, FaultKind)) {
        let chunks = self.rows[tile.clone()].iter().map(|r| r.position / PAGE + 1).max().unwrap_or(0);
        for chunk in 0..chunks {
            let mut row = tile.start;
            while row < tile.end {
                let page = self.page(row, chunk);
                let mut end = row + 1;
                while end < tile.end && self.page(end, chunk) == page {
                    end += 1;
                }
                if let Some(page) = page {
                    let head = self.store.head(page, self.layer, kv_head);
                    self.chunk(kv_head, chunk, row..end, row - tile.start, head, fault);
                }
                row = end;
            }
        }
    }

    /// The page a row reads at a chunk, if it sees any of its keys.
    fn page(&self, row: usize, chunk: usize) -> Option<PageId> {
        let r = &self.rows[row];
        (r.position >= chunk * PAGE).then(|| r.pages[chunk])
    }

    /// One chunk of some rows; `first` is their place in the tile.
    fn chunk(
        &mut self,
        kv_head: usize,
        chunk: usize,
        rows: std::ops::Range<usize>,
        first: usize,
        head: HeadPage<'_>,
        fault: &impl Fn(usize, FaultKind),
    ) {
        let (isa, per_kv, head_dim, blocks) = (self.isa, self.shape.per_kv(), self.shape.head_dim, self.shape.blocks());
        let keys = |row: usize| (self.rows[row].position + 1 - chunk * PAGE).min(PAGE);
        let n = rows.len() * per_kv;
        for (i, valid) in self.valid[..n].iter_mut().enumerate() {
            *valid = keys(rows.start + i / per_kv);
        }
        let most = self.valid[..n].iter().copied().max().unwrap_or(0);
        self.scores(kv_head, rows.start, n, most, &head);
        let (p, weights) = (&mut self.p[..n * PAGE], &mut self.chunk[..n]);
        ops::softmax_rows(isa, p, &self.valid[..n], weights);
        weights.iter().enumerate().filter(|(_, w)| w.is_none()).for_each(|(i, _)| {
            fault(rows.start + i / per_kv, FaultKind::Attention);
        });
        for block in 0..blocks {
            let channels = (head_dim - block * BLOCK).min(BLOCK);
            ops::weigh_rows(isa, p, head.value_exponents(block), most, &mut self.u, &mut self.u_g, &mut self.faults);
            for (i, failed) in self.faults[..n].iter_mut().enumerate().filter(|(_, failed)| **failed) {
                fault(rows.start + i / per_kv, FaultKind::Quantizer);
                *failed = false;
            }
            let panels = channels.div_ceil(PANEL);
            let width = panels * PANEL;
            dot_panels(
                isa,
                &self.u,
                STRIDE,
                n,
                most.div_ceil(2),
                head.values(block),
                PAGE * PANEL,
                panels,
                &mut self.sums,
                width,
            );
            let at = first * per_kv;
            ops::fold_rows(
                isa,
                chunk == 0,
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
            dot_panels(
                self.isa,
                &self.queries.q[(base + block) * STRIDE..],
                blocks * STRIDE,
                n,
                pairs,
                head.keys(block),
                pairs * 2 * PANEL,
                most.div_ceil(PANEL),
                &mut self.scores,
                PAGE,
            );
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
