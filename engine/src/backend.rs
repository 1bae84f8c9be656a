//! What an engine needs of a device: everything above it, schedules, promises of pages and traces, is the same for each.
//!
//! A pass leaves its hidden states with the backend until the next one; whoever needs one longer holds a copy.

use std::ops::Range;

use crate::checkpoint::Checkpoint;
use crate::context::Context;
use crate::kv::PageId;
use crate::types::{Logprobs, Probe, Sampling, Seed, Stop};
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

/// A sequence that decodes: all of it but its last token has passed through the model.
#[derive(Debug, Clone, Copy)]
pub struct Decoding<'a> {
    /// All of it.
    pub context: &'a Context,
    /// Its pages, with room for every position that the steps may reach.
    pub pages: &'a [PageId],
    /// The rollout's seed.
    pub seed: &'a Seed,
    /// A token at this position is its last; no earlier than the next one.
    pub last_position: usize,
}

impl<'a> Decoding<'a> {
    /// The row of its last token.
    pub fn segment(&self) -> Segment<'a> {
        let tokens = self.context.tokens();
        let start = tokens.len() - 1;
        Segment::new(&tokens[start..], start, self.pages)
    }

    /// Whether and why `token` at `position` is its last.
    pub fn stop(&self, token: u32, position: usize, eos_ids: &[u32]) -> Option<Stop> {
        let length = (position == self.last_position).then_some(Stop::Length);
        if eos_ids.contains(&token) { Some(Stop::Eos) } else { length }
    }
}

/// Steps of decoding that are done together.
#[derive(Debug, Clone, Copy)]
pub struct Course<'a> {
    /// How many, at least 1.
    pub steps: usize,
    /// Tokens that end a sequence.
    pub eos_ids: &'a [u32],
    /// As in [`Backend::forward`].
    pub projection: &'a [i32],
    /// How tokens are read.
    pub reading: Reading<'a>,
}

/// What a step of decoding says of a sequence.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    /// Sketch of the row; `None` without a projection.
    pub sketch: Option<u32>,
    /// First fault of the row: the end.
    pub fault: Option<Fault>,
    /// The next token; `None` where the row has a fault, and where it is the sequence's last token's.
    pub answer: Option<std::result::Result<Answer, FaultKind>>,
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

    /// Steps of decoding that are best done together where the longest sequence has `positions` positions.
    fn steps_ahead(&self, positions: usize) -> usize {
        let _ = positions;
        1
    }

    /// Sequences go on by up to `course.steps` steps each: a row of each last token, its sketch, and the token that follows,
    /// which is the next step's row. One ends with a fault, or when its last token has passed through the model. What each
    /// is told, step by step up to its end; nothing of a step depends on how many there are. A device is waited for once.
    ///
    /// Hidden states of the last pass can be asked for after a single step.
    ///
    /// # Errors
    /// The device's, and when it gives no more memory.
    fn decode(&mut self, sequences: &[Decoding<'_>], course: &Course<'_>) -> Result<Vec<Vec<Told>>> {
        step_by_step(self, sequences, course)
    }

    /// Shows the logits of rows of the last pass.
    ///
    /// # Errors
    /// The device's, and what `show` returns.
    fn logits(&mut self, rows: Range<usize>, show: &mut ShowLogits<'_>) -> Result<()>;
}

/// [`Backend::decode`] by [`Backend::forward_and_read`].
///
/// # Errors
/// Its.
pub fn step_by_step<B: Backend + ?Sized>(
    backend: &mut B,
    sequences: &[Decoding<'_>],
    course: &Course<'_>,
) -> Result<Vec<Vec<Told>>> {
    // The caller's contexts do for the first step, and mostly there is no other.
    let mut grown: Vec<Context> = match course.steps {
        1 => Vec::new(),
        _ => sequences.iter().map(|s| s.context.clone()).collect(),
    };
    let mut told: Vec<Vec<Told>> = vec![Vec::new(); sequences.len()];
    // Sequences with a row in the step, and whether it is their last token's.
    let mut live: Vec<(usize, bool)> = (0..sequences.len()).map(|i| (i, false)).collect();
    for step in 0..course.steps {
        if live.is_empty() {
            break;
        }
        let now = |i: usize| Decoding { context: grown.get(i).unwrap_or(sequences[i].context), ..sequences[i] };
        let segment = |&(i, last): &(usize, bool)| {
            let segment = now(i).segment();
            Segment { read: usize::from(!last || !course.projection.is_empty()), ..segment }
        };
        let segments: Vec<Segment<'_>> = live.iter().map(segment).collect();
        let asking = live.iter().enumerate().filter(|(_, (_, last))| !last);
        let (mut rows, mut questions) = (Vec::new(), Vec::new());
        for (row, &(i, _)) in asking {
            let Decoding { context, seed, .. } = now(i);
            let position = context.tokens().len();
            questions.push(Question { row: rows.len(), context, seed, position, claimed: None });
            rows.push(Row::Pass(row));
        }
        let (pass, answers) =
            backend.forward_and_read(&segments, course.projection, &rows, &questions, course.reading)?;
        let (mut answers, mut next) = (answers.into_iter(), Vec::new());
        for (row, &(i, last)) in live.iter().enumerate() {
            let fault = pass.faults[row];
            let answer = if last { None } else { answers.next() }.filter(|_| fault.is_none());
            told[i].push(Told { sketch: pass.sketches.get(row).copied(), fault, answer });
            if let (Some(Ok(answer)), true) = (answer, step + 1 < course.steps) {
                let (token, position) = (answer.honest, grown[i].tokens().len());
                grown[i].push(token);
                next.push((i, sequences[i].stop(token, position, course.eos_ids).is_some()));
            }
        }
        live = next;
    }
    Ok(told)
}
