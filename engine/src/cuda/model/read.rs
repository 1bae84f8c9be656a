//! Tokens and log-probabilities read off hidden states, some rows at a time.

use std::ops::Range;

use super::contexts::Update;
use super::plan::stride;
use super::{CudaModel, HEAD_ROWS, fault_kind};
use crate::backend::{Answer, Question, Reading, Row, ShowLogits};
use crate::context::Context;
use crate::cuda::ops::head::HeadInput;
use crate::cuda::ops::operands::{Faults, RowCount, Rows};
use crate::cuda::ops::reading::Question as HeadQuestion;
use crate::cuda::{DeviceBuffer, abi};
use crate::types::{Sampling, Seed};
use crate::{FaultKind, Result};

/// Arg max, where nobody asks for a token.
const GREEDY: Sampling = Sampling { temperature: 0.0, top_k: 0, top_p: 1.0, repetition_penalty: 1.0 };

pub(super) type Answers = Vec<std::result::Result<Answer, FaultKind>>;

impl CudaModel {
    /// Answers after everything queued, which is waited for if there is a question.
    pub(super) fn answer(
        &mut self,
        rows: &[Row<'_>],
        questions: &[Question<'_>],
        reading: Reading<'_>,
    ) -> Result<Answers> {
        let mut answers = Vec::with_capacity(questions.len());
        let mut queued = 0;
        while answers.len() + queued < questions.len() {
            let start = answers.len() + queued;
            let first = questions[start].row;
            // As many as there is room for; what a row is asked may take several turns.
            let fits = |q: &&Question<'_>| q.row < first + HEAD_ROWS as usize;
            let count = questions[start..].iter().take_while(fits).count().min(self.limits.questions as usize);
            let some = &questions[start..start + count];
            let end = some.last().map_or(first, |q| q.row + 1);
            if queued + count > self.head.told.len() {
                self.take_answers(queued, &mut answers)?;
                queued = 0;
            }
            self.queue_turn(&rows[first..end], first, some, reading, queued)?;
            queued += count;
        }
        if queued > 0 {
            self.take_answers(queued, &mut answers)?;
        }
        Ok(answers)
    }

    /// Queues a turn of the head, whose answers go to `told` from `at` on.
    fn queue_turn(
        &mut self,
        rows: &[Row<'_>],
        first: usize,
        questions: &[Question<'_>],
        reading: Reading<'_>,
        at: usize,
    ) -> Result<()> {
        self.set_sampling(*reading.sampling, reading.logprobs, false)?;
        let asked = self.questions(first, questions)?;
        self.head.reading.ask(&asked)?;
        self.run_head(rows)?;
        self.kernels.choose.run(&mut self.head.reading)?;
        let head = &mut self.head;
        // SAFETY: `told` lives as long as the model, and is read after a wait.
        unsafe { head.reading.queue_answers(&mut head.told, at) }.map(drop)
    }

    /// Waits for the first `count` answers.
    fn take_answers(&mut self, count: usize, answers: &mut Answers) -> Result<()> {
        self.device.synchronize()?;
        let head = &self.head;
        answers.extend((0..count).map(|i| match head.reading.answer(head.told.get(i)) {
            Ok((honest, logprobs)) => Ok(Answer { honest, logprobs }),
            Err(word) => Err(fault_kind(word)),
        }));
        Ok(())
    }

    pub(super) fn set_sampling(&mut self, sampling: Sampling, logprobs: bool, store: bool) -> Result<()> {
        if self.head.asked != Some((sampling, logprobs, store)) {
            self.head.asked = None;
            self.head.reading.set_sampling(&sampling, logprobs, store)?;
            self.head.asked = Some((sampling, logprobs, store));
        }
        Ok(())
    }

    /// The questions as the head takes them, once the device knows their contexts.
    fn questions(&mut self, first: usize, questions: &[Question<'_>]) -> Result<Vec<HeadQuestion>> {
        // A row's first question decides whose context it has; the others have the same.
        let mut contexts = Vec::new();
        for (i, q) in questions.iter().enumerate() {
            if i == 0 || questions[i - 1].row != q.row {
                contexts.push(q.context);
            }
        }
        let updates = self.place(&contexts)?;
        let mut row = 0;
        let one = |(i, q): (usize, &Question<'_>)| {
            row += usize::from(i > 0 && questions[i - 1].row != q.row);
            HeadQuestion {
                row: (q.row - first) as u32,
                slot: updates[row].slot,
                position: q.position as u32,
                claimed: q.claimed,
                seed: *q.seed,
                next_row: 0,
                last_position: u32::MAX,
            }
        };
        Ok(questions.iter().enumerate().map(one).collect())
    }

    /// Tables of contexts, up to date.
    pub(super) fn place(&mut self, contexts: &[&Context]) -> Result<Vec<Update>> {
        let updates = self.head.contexts.place(contexts);
        if let Err(error) = self.note(&updates, contexts) {
            // Tables that lack ids would penalize too little, and nobody would see it.
            self.head.contexts.forget();
            return Err(error);
        }
        Ok(updates)
    }

    /// Brings the tables of contexts up to date.
    fn note(&mut self, updates: &[Update], contexts: &[&Context]) -> Result<()> {
        let (tables, reading) = (&self.kernels.contexts, &mut self.head.reading);
        for (update, context) in updates.iter().zip(contexts) {
            if update.restart {
                tables.start(reading, update.slot, None)?;
            }
            let tokens = &context.tokens()[update.from..];
            if !tokens.is_empty() {
                let tokens = DeviceBuffer::queued(&self.device, tokens)?;
                // SAFETY: the engine checked every token against the vocabulary, or drew it from there.
                unsafe { tables.mark(reading, update.slot, &tokens, update.from as u32)? };
            }
        }
        Ok(())
    }

    /// The head over hidden states, whose questions were asked.
    fn run_head(&mut self, rows: &[Row<'_>]) -> Result<()> {
        let (ld, count) = (stride(self.config().hidden_size), rows.len() as u32);
        let kept = |row: &Row<'_>| match row {
            Row::Pass(row) => self.kept[*row].expect("what is asked for was read"),
            Row::Held(_) => 0,
        };
        self.head.gather.token.queue(0, &rows.iter().map(kept).collect::<Vec<_>>())?;
        // SAFETY: every kept index is below the rows of a pass.
        unsafe { self.gather(count) }?;
        let head = &mut self.head;
        for (at, row) in rows.iter().enumerate() {
            if let Row::Held(held) = row {
                head.x.queue(at * ld as usize, held)?;
            }
        }
        head.reading.clear_faults()?;
        self.head_launches(count)
    }

    /// Takes the hidden states that `gather` names: rows of floats are gathered as rows of an embedding are.
    ///
    /// # Safety
    /// They are below the rows of a pass.
    pub(super) unsafe fn gather(&mut self, count: u32) -> Result<()> {
        let hidden = self.config().hidden_size;
        let (work, head) = (&self.work, &mut self.head);
        let (columns, ld) = (hidden as u32, stride(hidden));
        // SAFETY: passed on.
        unsafe { self.kernels.embed.gather(&work.hidden, columns, &head.gather, &mut head.x, ld, count) }
    }

    /// The head over the first `count` hidden states that were gathered.
    pub(super) fn head_launches(&mut self, count: u32) -> Result<()> {
        let (ld, head) = (stride(self.checkpoint.config().hidden_size), &mut self.head);
        let x = Rows { x: &head.x, stride: ld, count: RowCount::exactly(count) };
        let layer = self.checkpoint.config().num_hidden_layers as u32;
        let mut faults = Faults { words: head.reading.fault_mut(), layer, stage: abi::STAGE_HEAD };
        self.kernels.quantize.run(&x, &mut head.rows, &mut faults)?;
        let (weight, weight_g) = (self.weights.head.q(), self.weights.head.g());
        let input = HeadInput { weight, weight_g, x: head.rows.q(), x_g: head.rows.g() };
        self.kernels.head.run(&input, &mut head.reading)
    }

    pub(super) fn show_logits(&mut self, rows: Range<usize>, show: &mut ShowLogits<'_>) -> Result<()> {
        for start in rows.clone().step_by(HEAD_ROWS as usize) {
            let tile = start..(start + HEAD_ROWS as usize).min(rows.end);
            self.set_sampling(GREEDY, false, true)?;
            let question = |row: usize| HeadQuestion {
                row: (row - start) as u32,
                slot: 0,
                position: 0,
                claimed: None,
                seed: Seed([0; 32]),
                next_row: 0,
                last_position: u32::MAX,
            };
            self.head.reading.ask(&tile.clone().map(question).collect::<Vec<_>>())?;
            let states: Vec<Row<'_>> = tile.clone().map(Row::Pass).collect();
            self.run_head(&states)?;
            let faults = self.head.reading.fault_mut().to_vec()?;
            for row in tile {
                let word = faults[row - start];
                let logits = match (word, word >> 8 & 0xff) {
                    (abi::NO_FAULT, _) | (_, abi::STAGE_LOGITS) => Ok(self.head.reading.logits(row - start)?),
                    _ => Err(fault_kind(word)),
                };
                show(row, logits.as_deref().map_err(|kind| *kind))?;
            }
        }
        Ok(())
    }
}
