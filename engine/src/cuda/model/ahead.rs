//! Decoding steps queued one behind the other: on the device a step's answers become the next one's rows, and the host reads
//! what all of them say after the one wait.
//!
//! A step is one recorded graph: the pass, the head for as many rows at a time as it takes, append.cu. Between two steps the
//! host queues the list of chunks where a row comes to a new one, and nothing else: positions are known before any token is.
//! Where a sequence ends amid the steps, its row stays at its last token: it writes the same keys and values to the same
//! page, its own, and what it says is nobody's.

use super::batch::{Batch, rows_per_item};
use super::pass::{Watch, is_told};
use super::{CudaModel, HEAD_ROWS, HeadWork, Limits, Step, fault_kind};
use crate::backend::{Answer, Course, Decoding, Segment, Told};
use crate::context::Context;
use crate::cuda::ops::append::{NextStep, Part, Ring};
use crate::cuda::ops::attend_chunks::ChunkPlan;
use crate::cuda::ops::pages::StepRows;
use crate::cuda::ops::reading::{Asked, Question};
use crate::cuda::{Device, DeviceBuffer, abi};
use crate::kv::{PAGE, PageId};
use crate::types::{Logprobs, Stop};
use crate::{Error, Fault, Result};

/// What steps leave for each other and for the host.
pub(super) struct Ahead {
    turns: Vec<Turn>,
    ring: Ring,
    /// Steps queued since the ring was made, modulo 2^32.
    queued: u32,
    eos: DeviceBuffer<u32>,
    /// What is in `eos`.
    ends: Vec<u32>,
}

/// Rows that the head takes together, and what is asked of them, from one step to the next.
struct Turn {
    asked: Asked,
    gather: StepRows,
}

impl Ahead {
    pub fn new(device: &Device, head: &HeadWork, limits: &Limits) -> Result<Self> {
        let turns = limits.questions.div_ceil(HEAD_ROWS);
        let turn = |_| {
            let gather = StepRows::new(device, HEAD_ROWS, 1, 1)?;
            Ok(Turn { asked: Asked::new(device, head.reading.shape())?, gather })
        };
        Ok(Self {
            // A power of two: numbers of steps wrap around.
            ring: Ring::new(device, limits.steps.next_power_of_two(), limits.questions, turns)?,
            turns: (0..turns).map(turn).collect::<Result<_>>()?,
            queued: 0,
            eos: DeviceBuffer::zeroed(device, 0)?,
            ends: Vec::new(),
        })
    }
}

/// Where a sequence's row is after so many steps, unless it has ended before its time.
fn position(sequence: &Decoding<'_>, step: usize) -> usize {
    (sequence.context.tokens().len() - 1 + step).min(sequence.last_position)
}

impl CudaModel {
    /// Whether these steps can be queued together: every chunk has room for its partial results, every step for its records.
    pub(super) fn takes_ahead(&self, sequences: &[Decoding<'_>], course: &Course<'_>) -> bool {
        let last = sequences.iter().map(|s| position(s, course.steps - 1)).max();
        course.steps > 1
            && course.steps <= self.ahead.ring.steps() as usize
            && sequences.len() <= self.limits.questions as usize
            && last.is_some_and(|last| last / PAGE < self.plan.chunks as usize)
    }

    /// The steps of a course, waited for once.
    pub(super) fn decode_ahead(&mut self, sequences: &[Decoding<'_>], course: &Course<'_>) -> Result<Vec<Vec<Told>>> {
        let first = self.ahead.queued;
        if let Err(error) = self.queue_steps(sequences, course).and_then(|()| self.device.synchronize()) {
            // Nobody knows what the device has noted of them.
            self.head.contexts.forget();
            return Err(error);
        }
        let one = |(question, sequence)| self.told(first, question, sequence, course);
        let told: Vec<Vec<Told>> = (0..).zip(sequences).map(one).collect::<Result<_>>()?;
        for (sequence, told) in sequences.iter().zip(&told) {
            let drawn = told.iter().filter(|t| matches!(t.answer, Some(Ok(_)))).count();
            self.head.contexts.noted(sequence.context.id(), sequence.context.tokens().len() + drawn);
        }
        Ok(told)
    }

    fn queue_steps(&mut self, sequences: &[Decoding<'_>], course: &Course<'_>) -> Result<()> {
        let segments: Vec<Segment<'_>> = sequences.iter().map(Decoding::segment).collect();
        let batch = Batch::new(&segments, &self.shape, self.plan.chunks as usize);
        let last = sequences.iter().map(|s| position(s, course.steps - 1)).max().unwrap_or(0);
        self.upload(&batch, course.projection, last)?;
        self.set_sampling(*course.reading.sampling, course.reading.logprobs, false)?;
        self.set_ends(course.eos_ids)?;
        self.ask_all(sequences)?;
        for step in 0..course.steps {
            let readers: Vec<(&[PageId], usize)> = sequences.iter().map(|s| (s.pages, position(s, step))).collect();
            if step > 0 && readers.iter().any(|(_, position)| position.is_multiple_of(PAGE)) {
                let plan = ChunkPlan::new(&readers, rows_per_item(&self.shape));
                #[cfg(test)]
                let plan = if planted::FIRST_CHUNKS.get() { batch.plan.clone() } else { plan };
                self.work.items.set(&plan)?;
            }
            #[cfg(test)]
            if planted::HOST_TOKENS.get() {
                self.work.step.token.queue(0, &batch.token)?;
            }
            self.step_once(&batch, !course.projection.is_empty())?;
        }
        Ok(())
    }

    fn set_ends(&mut self, eos_ids: &[u32]) -> Result<()> {
        #[cfg(test)]
        let eos_ids = if planted::NO_ENDS.get() { &[] } else { eos_ids };
        let ahead = &mut self.ahead;
        if ahead.ends != eos_ids {
            // Recorded steps have the address and the number.
            self.steps.retain(|step, _| step.then.is_none());
            ahead.ends.clear();
            ahead.eos = DeviceBuffer::queued(&self.device, eos_ids)?;
            ahead.ends.extend_from_slice(eos_ids);
        }
        Ok(())
    }

    /// Asks each row for the token that follows it.
    fn ask_all(&mut self, sequences: &[Decoding<'_>]) -> Result<()> {
        let contexts: Vec<&Context> = sequences.iter().map(|s| s.context).collect();
        // All at once, so that none takes another one's table.
        let updates = self.place(&contexts)?;
        for (index, some) in sequences.chunks(HEAD_ROWS as usize).enumerate() {
            let first = index * HEAD_ROWS as usize;
            let question = |(row, sequence): (usize, &Decoding<'_>)| Question {
                row: row as u32,
                slot: updates[first + row].slot,
                position: sequence.context.tokens().len() as u32,
                claimed: None,
                seed: *sequence.seed,
                next_row: (first + row) as u32,
                last_position: sequence.last_position as u32,
            };
            let questions = some.iter().enumerate().map(question);
            #[cfg(test)]
            let questions =
                questions.map(|q| if planted::NO_ENDS.get() { Question { last_position: u32::MAX, ..q } } else { q });
            let questions: Vec<Question> = questions.collect();
            let rows: Vec<u32> = (first as u32..).take(some.len()).collect();
            self.ahead.turns[index].gather.token.queue(0, &rows)?;
            self.exchange(index);
            let asked = self.head.reading.ask(&questions);
            self.exchange(index);
            asked?;
        }
        Ok(())
    }

    /// Puts a turn in the place of what the head works on, or back.
    fn exchange(&mut self, turn: usize) {
        let (turn, head) = (&mut self.ahead.turns[turn], &mut self.head);
        head.reading.exchange(&mut turn.asked);
        std::mem::swap(&mut head.gather, &mut turn.gather);
    }

    /// Queues a step: recorded when one of as many rows comes for the first time.
    fn step_once(&mut self, batch: &Batch, sketches: bool) -> Result<()> {
        let rows = batch.rows();
        let key = Step { rows, read: rows, sketches, then: Some(self.head.reading.mode()) };
        if !self.steps.contains_key(&key) {
            let device = self.device.clone();
            let graph = device.record(|| self.step_launches(batch, sketches))?;
            self.steps.insert(key, graph);
        }
        // SAFETY: as for passes (`replay`), and of buffers of `ahead` and `head`, of which `eos` forgets them when it is replaced;
        // rows of logits are made once, before a step that keeps any is recorded.
        unsafe { self.steps[&key].launch() }?;
        self.ahead.queued = self.ahead.queued.wrapping_add(1);
        Ok(())
    }

    fn step_launches(&mut self, batch: &Batch, sketches: bool) -> Result<()> {
        let rows = batch.rows();
        self.work.fault.set_bits(rows)?;
        self.launches(batch, sketches, &mut Watch::nobody())?;
        for (index, first) in (0..rows).step_by(HEAD_ROWS as usize).enumerate() {
            let count = (rows - first).min(HEAD_ROWS as usize);
            self.exchange(index);
            let queued = self.turn_launches(Part { index: index as u32, first: first as u32 }, count, sketches);
            self.exchange(index);
            queued?;
        }
        Ok(())
    }

    /// From hidden states of `count` rows to the next step's tokens.
    fn turn_launches(&mut self, part: Part, count: usize, sketches: bool) -> Result<()> {
        // SAFETY: `ask_all` named rows of the pass.
        unsafe { self.gather(count as u32) }?;
        // What the pass met comes before what the head meets.
        self.head.reading.fault_mut().copy_range(0, &self.work.fault, part.first as usize, count)?;
        self.head_launches(count as u32)?;
        self.kernels.choose.run(&mut self.head.reading)?;
        let (work, ahead) = (&mut self.work, &mut self.ahead);
        let (sketch, step) = (sketches.then_some(&work.sketch), &mut work.step);
        let mut next = NextStep { token: &mut step.token, position: &mut step.position };
        let (append, reading) = (&self.kernels.append, &mut self.head.reading);
        // SAFETY: each question's next row is its own row of the pass.
        unsafe { append.run(reading, sketch, &ahead.eos, &mut next, &mut ahead.ring, part) }
    }

    /// What the steps since step `first` of the ring say of a sequence.
    fn told(&self, first: u32, question: u32, sequence: &Decoding<'_>, course: &Course<'_>) -> Result<Vec<Told>> {
        let (layers, length) = (self.config().num_hidden_layers, sequence.context.tokens().len());
        let projected = !course.projection.is_empty();
        let (mut told, mut state) = (Vec::new(), abi::QUESTION_LIVE);
        for step in 0..course.steps {
            let r = self.ahead.ring.record(first.wrapping_add(step as u32), question);
            let mut one = Told { sketch: projected.then_some(r.sketch), fault: None, answer: None };
            let (was, layer, stage) = (state, (r.fault >> 16) as usize, r.fault >> 8 & 0xff);
            match (r.fault, r.token) {
                (abi::NO_FAULT, abi::NO_TOKEN) => {}
                (abi::NO_FAULT, honest) => {
                    let logprobs = Logprobs { raw: r.raw, sampling: r.sampling };
                    let logprobs = course.reading.logprobs.then_some(logprobs);
                    one.answer = Some(Ok(Answer { honest, logprobs }));
                    state = match sequence.stop(honest, length + step, course.eos_ids) {
                        None => abi::QUESTION_LIVE,
                        Some(Stop::Eos) => abi::QUESTION_EOS,
                        Some(Stop::Length) => abi::QUESTION_LENGTH,
                    };
                }
                (word, _) if stage >= abi::STAGE_HEAD => one.answer = Some(Err(fault_kind(word))),
                // A last token's row is read for its sketch alone.
                (word, _) if is_told(word, layers, projected || was == abi::QUESTION_LIVE) => {
                    one.fault = Some(Fault { kind: fault_kind(word), layer, position: length - 1 + step });
                    one.sketch = one.sketch.map(|_| 0);
                }
                _ => {}
            }
            // A row that went on behind its end would write where others read.
            if r.state != state || (was == abi::QUESTION_LIVE) != (r.token != abi::NO_TOKEN || r.fault != abi::NO_FAULT)
            {
                let problem = format!("step {step} of a sequence is {r:?} where its tokens say {state}");
                return Err(Error::Device { device: self.device.label(), what: "decoding".into(), problem });
            }
            told.push(one);
            if !matches!(one.answer, Some(Ok(_))) {
                break;
            }
        }
        Ok(told)
    }
}

/// Faults that tests plant in what their thread does.
#[cfg(test)]
pub(in crate::cuda) mod planted {
    use std::cell::Cell;

    thread_local! {
        /// Each step takes the tokens that the host knows.
        pub static HOST_TOKENS: Cell<bool> = const { Cell::new(false) };
        /// No sequence ends on the device.
        pub static NO_ENDS: Cell<bool> = const { Cell::new(false) };
        /// Chunks are those of the first step.
        pub static FIRST_CHUNKS: Cell<bool> = const { Cell::new(false) };
    }
}
