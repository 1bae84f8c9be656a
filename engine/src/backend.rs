//! What an engine needs of a device: everything above it, schedules, promises of pages and traces, is the same for each.
//!
//! A pass leaves its hidden states with the backend until the next one; whoever needs one longer holds a copy.

use std::ops::Range;

use crate::checkpoint::Checkpoint;
use crate::context::Context;
use crate::kv::PageId;
use crate::types::{Logprobs, Probe, Sampling, Seed};
use crate::{Fault, FaultKind, Result};

/// Neighbouring positions of one sequence. Its pages hold all positions before them and have room for them.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    /// Token ids, below the vocabulary size.
    pub tokens: &'a [u32],
    /// Position of the first.
    pub start: usize,
    /// The sequence's pages.
    pub pages: &'a [PageId],
    /// How many of them, the last ones, have a final-norm output that is read. For the others the last layer ends with its
    /// keys and values: a fault beyond is nobody's.
    pub read: usize,
}

impl<'a> Segment<'a> {
    /// A segment of which every output is read.
    pub fn new(tokens: &'a [u32], start: usize, pages: &'a [PageId]) -> Self {
        Self { tokens, start, pages, read: tokens.len() }
    }
}

/// What a pass says of its rows, in the segments' order.
#[derive(Debug)]
pub struct Pass {
    /// Sketch of each row's final-norm output, 0 where it has a fault; empty without a projection.
    pub sketches: Vec<u32>,
    /// First fault of each row.
    pub faults: Vec<Option<Fault>>,
}

/// A hidden state that logits are made of.
#[derive(Debug, Clone, Copy)]
pub enum Row<'a> {
    /// Of the last pass, by its row.
    Pass(usize),
    /// Held since an earlier one.
    Held(&'a [f32]),
}

/// One question to a row of logits. Questions to the same row have the same context: its sequence so far.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Index of the row.
    pub row: usize,
    /// The ids of the sequence; those before `position` count.
    pub context: &'a Context,
    /// The rollout's seed.
    pub seed: &'a Seed,
    /// Position of the token that follows the row.
    pub position: usize,
    /// The token whose log-probabilities are wanted; `None`: of the one drawn.
    pub claimed: Option<u32>,
}

/// The answer.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// The token an honest sampler emits.
    pub honest: u32,
    /// Those of the claimed token or else of the honest one, if they were asked for.
    pub logprobs: Option<Logprobs>,
}

/// How tokens are read off rows of logits.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// How they are chosen.
    pub sampling: &'a Sampling,
    /// Whether log-probabilities are wanted.
    pub logprobs: bool,
}

/// Receives rows of logits in order.
pub type ShowLogits<'a> = dyn FnMut(usize, std::result::Result<&[f32], FaultKind>) -> Result<()> + 'a;

/// A model on a device.
pub trait Backend: Send {
    /// The checkpoint it was made of.
    fn checkpoint(&self) -> &Checkpoint;

    /// The device, for people.
    fn device(&self) -> String;

    /// Memory of packed weights and of the embedding, bytes.
    fn weight_bytes(&self) -> usize;

    /// Integers (padded to blocks) and exponents of each row of a tensor, as the products use them.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] if no matrix product reads this tensor.
    fn quantized_rows(&self, name: &str, row: &mut dyn FnMut(&[i16], &[i8])) -> Result<()>;

    /// Copies a page of the cache.
    ///
    /// # Errors
    /// The device's, and when it gives no more memory.
    fn copy_page(&mut self, from: PageId, to: PageId) -> Result<()>;

    /// Pushes rows through all layers; keys and values go to the segments' pages. With a projection (one integer per hidden
    /// coordinate) every row that is read gets a sketch.
    ///
    /// # Errors
    /// The device's, and when it gives no more memory. Faults are per row, in the result.
    fn forward(&mut self, segments: &[Segment<'_>], projection: &[i32], probe: Option<&mut Probe<'_>>) -> Result<Pass>;

    /// Appends final-norm outputs of rows of the last pass: zeros where a row has a fault or is not read.
    ///
    /// # Errors
    /// The device's.
    fn hidden(&mut self, rows: Range<usize>, to: &mut Vec<f32>) -> Result<()>;

    /// Answers questions, which ascend by row; every row has one.
    ///
    /// # Errors
    /// The device's, and when it gives no more memory.
    fn read(
        &mut self,
        rows: &[Row<'_>],
        questions: &[Question<'_>],
        reading: Reading<'_>,
    ) -> Result<Vec<std::result::Result<Answer, FaultKind>>>;

    /// [`Backend::forward`] and [`Backend::read`] off its rows, asked before it is known which of them have faults: what is
    /// read off those says nothing. A device is waited for once.
    ///
    /// # Errors
    /// Theirs.
    fn forward_and_read(
        &mut self,
        segments: &[Segment<'_>],
        projection: &[i32],
        rows: &[Row<'_>],
        questions: &[Question<'_>],
        reading: Reading<'_>,
    ) -> Result<(Pass, Vec<std::result::Result<Answer, FaultKind>>)> {
        let pass = self.forward(segments, projection, None)?;
        Ok((pass, self.read(rows, questions, reading)?))
    }

    /// Shows the logits of rows of the last pass.
    ///
    /// # Errors
    /// The device's, and what `show` returns.
    fn logits(&mut self, rows: Range<usize>, show: &mut ShowLogits<'_>) -> Result<()>;
}
