//! One pass as the kernels want it: rows with their tokens, positions and pages, and who attends how.
//!
//! Rows that decode come first: their chunks are spread over the device, and a page that several of them read at the same
//! chunk is read once. Rows of prefills follow in tiles that walk the chunks in order, as do decoding rows of more
//! chunks than there is room for partial results: those whose output is read before all others, so that the last layer
//! ends after the first rows.

use std::ops::Range;

use crate::backend::Segment;
use crate::cuda::abi;
use crate::cuda::ops::attend_chunks::ChunkPlan;
use crate::cuda::ops::attend_prefill::tiles;
use crate::cuda::ops::pages::AttentionShape;
use crate::kv::{PAGE, PageId};

/// Query columns of an item at most: rows beyond are another item, so that long lists spread over the device.
const ITEM_COLUMNS: usize = 64;

/// Rows of an item at most.
pub(super) fn rows_per_item(shape: &AttentionShape) -> usize {
    (ITEM_COLUMNS / shape.per_kv() as usize).max(1)
}

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
    /// The others by these; in the last layer by those of rows that are read, which are the last.
    pub tiles: Vec<abi::attend_tile>,
    /// How many of the tiles those are.
    pub last_tiles: usize,
    /// All rows that are read are among the first so many.
    pub needed: usize,
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
        for (row, segment) in &spread {
            let sequence = batch.sequence_of(segment);
            batch.push(*row, segment, sequence, 0..1);
        }
        batch.spread = spread.len();
        let readers: Vec<(&[PageId], usize)> = spread.iter().map(|(_, s)| (s.pages, s.start)).collect();
        batch.plan = ChunkPlan::new(&readers, rows_per_item(shape));
        let sequences: Vec<u32> = others.iter().map(|(_, s)| batch.sequence_of(s)).collect();
        let unread = |s: &Segment<'_>| s.tokens.len() - s.read.min(s.tokens.len());
        let mut part = |range: &dyn Fn(&Segment<'_>) -> Range<usize>| {
            let first = batch.rows() as u32;
            for ((row, segment), sequence) in others.iter().zip(&sequences) {
                batch.push(*row, segment, *sequence, range(segment));
            }
            let lengths: Vec<u32> = others.iter().map(|(_, s)| range(s).len() as u32).collect();
            let mut tiles = tiles(shape, &lengths);
            tiles.iter_mut().for_each(|t| t.first += first);
            tiles
        };
        let last = part(&|s| unread(s)..s.tokens.len());
        let rest = part(&|s| 0..unread(s));
        batch.needed = batch.spread + last.iter().map(|t| t.count as usize).sum::<usize>();
        batch.last_tiles = last.len();
        // The device begins with the last tiles: of a prompt's rows those with the most keys.
        batch.tiles = [rest, last].concat();
        batch
    }

    /// A row of the page table.
    fn sequence_of(&mut self, segment: &Segment<'_>) -> u32 {
        // All of them, also those for later steps.
        self.pages.push(segment.pages.to_vec());
        self.pages.len() as u32 - 1
    }

    /// Some rows of a segment, whose first is row `first` of the pass.
    fn push(&mut self, first: usize, segment: &Segment<'_>, sequence: u32, range: Range<usize>) {
        for i in range {
            self.origin.push(first + i);
            self.token.push(segment.tokens[i]);
            self.position.push((segment.start + i) as u32);
            self.sequence.push(sequence);
            self.read.push(i + segment.read >= segment.tokens.len());
        }
    }

    /// Tiles of the rows that the last layer needs.
    pub fn needed_tiles(&self) -> &[abi::attend_tile] {
        &self.tiles[self.tiles.len() - self.last_tiles..]
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
        assert_eq!(batch.origin[..5], [70, 71, 69, 72, 0], "the rest of the long one comes last");
        assert_eq!(batch.position[..5], [130, 0, 169, 300, 100]);
        assert_eq!(batch.sequence[..5], [0, 1, 2, 3, 2]);
        assert_eq!(batch.page_table(3), [4, 6, 0, 8, 0, 0, 4, 5, 0, 1, 2, 3]);
        assert_eq!(batch.read.iter().filter(|r| **r).count(), 3);
        assert!(batch.read[0] && !batch.read[1] && batch.read[2] && batch.read[3]);
        assert_eq!(batch.needed, 4, "every row that is read is among them");
        let tiles = |tiles: &[abi::attend_tile]| tiles.iter().map(|t| (t.first, t.count)).collect::<Vec<_>>();
        let (rest, last) = ([(4, 32), (36, 32), (68, 5)], [(2, 1), (3, 1)]);
        assert_eq!(tiles(&batch.tiles), [&rest[..], &last].concat(), "a row of too many chunks walks them");
        assert_eq!(tiles(batch.needed_tiles()), last);
        assert_eq!((batch.plan.len(), batch.plan.reads()), (3, 3));
    }

    #[test]
    fn where_all_is_read_the_last_layer_is_as_the_others() {
        let long = [7u32; 70];
        let batch = Batch::new(&[Segment::new(&long, 0, &[4]), Segment::new(&long, 9, &[5])], &SHAPE, 2);
        assert_eq!((batch.needed, batch.last_tiles), (140, batch.tiles.len()));
        assert_eq!(batch.origin, (0..140).collect::<Vec<_>>());
    }
}
