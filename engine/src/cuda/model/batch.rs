//! One pass as the kernels want it: rows with their tokens, positions and pages, and who attends how.
//!
//! Rows that decode come first: their chunks are spread over the device, and a page that several of them read at the same
//! chunk is read once. Rows of prefills follow in tiles that walk the chunks in order, as do decoding rows of more
//! chunks than there is room for partial results.

use crate::backend::Segment;
use crate::cuda::abi;
use crate::cuda::ops::attend_chunks::ChunkPlan;
use crate::cuda::ops::attend_prefill::tiles;
use crate::cuda::ops::pages::AttentionShape;
use crate::kv::{PAGE, PageId, pages_for};

/// Query columns of an item at most: rows beyond are another item, so that long lists spread over the device.
const ITEM_COLUMNS: usize = 64;

/// The rows of a pass, in the device's order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Which row of the pass each is.
    pub origin: Vec<usize>,
    pub token: Vec<u32>,
    pub position: Vec<u32>,
    /// Row of the page table.
    pub sequence: Vec<u32>,
    /// Pages of each sequence.
    pub pages: Vec<Vec<PageId>>,
    /// The first so many rows attend by `plan`.
    pub spread: usize,
    pub plan: ChunkPlan,
    /// The others by these.
    pub tiles: Vec<abi::attend_tile>,
    /// Rows whose output is read.
    pub read: Vec<bool>,
}

impl Batch {
    /// `chunks`: how many chunks of a row there is room for.
    pub fn new(segments: &[Segment<'_>], shape: &AttentionShape, chunks: usize) -> Self {
        let mut batch = Self::default();
        let mut row = 0;
        let mut all = Vec::new();
        for segment in segments.iter() {
            all.push((row, segment));
            row += segment.tokens.len();
        }
        let spreads = |s: &Segment<'_>| s.tokens.len() == 1 && s.start / PAGE < chunks;
        let (spread, others): (Vec<_>, Vec<_>) =
            all.into_iter().filter(|(_, s)| !s.tokens.is_empty()).partition(|(_, s)| spreads(s));
        spread.iter().for_each(|(row, s)| batch.push(*row, s));
        batch.spread = spread.len();
        let readers: Vec<(&[PageId], usize)> = spread.iter().map(|(_, s)| (s.pages, s.start)).collect();
        batch.plan = ChunkPlan::new(&readers, (ITEM_COLUMNS / shape.per_kv() as usize).max(1));
        others.iter().for_each(|(row, s)| batch.push(*row, s));
        let lengths: Vec<u32> = others.iter().map(|(_, s)| s.tokens.len() as u32).collect();
        batch.tiles = tiles(shape, &lengths);
        batch.tiles.iter_mut().for_each(|t| t.first += spread.len() as u32);
        batch
    }

    fn push(&mut self, first: usize, segment: &Segment<'_>) {
        let sequence = self.pages.len() as u32;
        self.pages.push(segment.pages[..pages_for(segment.start + segment.tokens.len())].to_vec());
        for (i, &token) in segment.tokens.iter().enumerate() {
            self.origin.push(first + i);
            self.token.push(token);
            self.position.push((segment.start + i) as u32);
            self.sequence.push(sequence);
            self.read.push(i + segment.read >= segment.tokens.len());
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.token.len()
    }

    /// The rows whose output is read.
    pub fn source(&self) -> Vec<u32> {
        (0..self.rows() as u32).filter(|&row| self.read[row as usize]).collect()
    }

    /// Pages of the longest sequence.
    pub fn most_pages(&self) -> usize {
        self.pages.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// `[sequence][stride]`, filled up with page 0, which nobody reads there.
    pub fn page_table(&self, stride: usize) -> Vec<u32> {
        let row =
            |pages: &Vec<PageId>| pages.iter().copied().chain(std::iter::repeat(0)).take(stride).collect::<Vec<_>>();
        self.pages.iter().flat_map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: AttentionShape = AttentionShape { layers: 1, heads: 4, kv_heads: 2, head_dim: 32 };

    #[test]
    fn decoding_rows_come_first_and_every_row_keeps_its_place() {
        let (long, one) = ([7u32; 70], [9u32]);
        let segments = [
            Segment { read: 1, ..Segment::new(&long, 100, &[4, 5]) },
            Segment::new(&one, 130, &[4, 6]),
            Segment { read: 0, ..Segment::new(&one, 0, &[8]) },
            Segment::new(&one, 300, &[1, 2, 3]),
        ];
        let batch = Batch::new(&segments, &SHAPE, 2);
        assert_eq!((batch.rows(), batch.spread, batch.most_pages()), (73, 2, 3));
        assert_eq!(batch.origin[..3], [70, 71, 0]);
        assert_eq!(batch.position[..3], [130, 0, 100]);
        assert_eq!(batch.page_table(3), [4, 6, 0, 8, 0, 0, 4, 5, 0, 1, 2, 3]);
        assert_eq!(batch.read.iter().filter(|r| **r).count(), 3);
        assert!(batch.read[0] && !batch.read[1] && batch.read[71] && batch.read[72]);
        let tiles: Vec<_> = batch.tiles.iter().map(|t| (t.first, t.count)).collect();
        assert_eq!(tiles, [(2, 32), (34, 32), (66, 6), (72, 1)], "a row of too many chunks walks them");
        assert_eq!((batch.plan.len(), batch.plan.reads()), (3, 3));
    }
}
