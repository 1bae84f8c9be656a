//! What is asked of rows of logits, and the device memory it takes from the head's chunks to the answers.

use super::super::{Device, DeviceBuffer, PinnedBuffer, abi};
use crate::cpu::sampling::temperature_scale;
use crate::types::{Logprobs, Sampling, Seed};
use crate::{Error, Result};

/// One question to a row of logits; [`crate::backend::Question`] with what the device calls its parts.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// Row of the head. Questions ascend by row, and every row has one.
    pub row: u32,
    /// Whose context table counts; the row's first question decides.
    pub slot: u32,
    /// Index of the new token in its sequence; the same for all questions of a row.
    pub position: u32,
    /// The token whose log-probabilities are wanted; `None`: of the one drawn.
    pub claimed: Option<u32>,
    /// The rollout's seed.
    pub seed: Seed,
    /// Row of the next step that the token becomes the input of.
    pub next_row: u32,
    /// A token at this position is its sequence's last.
    pub last_position: u32,
}

impl Question {
    fn to_abi(self) -> abi::question {
        let w = self.seed.words();
        abi::question {
            row: self.row,
            slot: self.slot,
            position: self.position,
            claimed: self.claimed.unwrap_or(abi::NO_TOKEN),
            seed: [w[0], w[1], w[2], w[3]],
            next_row: self.next_row,
            last_position: self.last_position,
            state: abi::QUESTION_LIVE,
            reserved: 0,
        }
    }
}

/// An answer, or the row's fault word (`STAGE_*` and `FAULT_*` of [`abi`]).
pub type Answer = std::result::Result<(u32, Option<Logprobs>), u32>;

/// Sizes of a [`Reading`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadingShape {
    /// Ids.
    pub vocabulary: u32,
    /// Rows of a launch at the most.
    pub rows: u32,
    /// Questions of a launch at the most; at least `rows`.
    pub questions: u32,
    /// Sequences with a context of their own.
    pub slots: u32,
    /// Parts of the vocabulary that keep lists: the more, the more blocks work on a row.
    pub slices: u32,
    /// Layer in fault words: the number of layers.
    pub layer: u32,
}

impl ReadingShape {
    fn check(&self) -> Result<()> {
        let chunks = self.vocabulary.div_ceil(abi::CHUNK);
        refuse_unless(self.vocabulary > 0 && self.vocabulary <= 1 << 30, "vocabulary", || self.vocabulary.to_string())?;
        refuse_unless(self.rows > 0 && self.rows <= self.questions, "rows", || {
            format!("{} rows with {} questions", self.rows, self.questions)
        })?;
        refuse_unless(self.slots > 0, "slots", || "there is none".into())?;
        refuse_unless((1..=chunks.min(abi::SLICES_MAX)).contains(&self.slices), "slices", || {
            format!("{} slices of {chunks} chunks, at most {}", self.slices, abi::SLICES_MAX)
        })
    }
}

/// Questions in device memory, with room for as many as the [`Reading`] they are made for.
#[derive(Debug)]
pub struct Asked {
    questions: DeviceBuffer<abi::question>,
    first_question: DeviceBuffer<u32>,
    rows: DeviceBuffer<u32>,
    count: DeviceBuffer<u32>,
    asked: usize,
    used_rows: usize,
}

impl Asked {
    /// None so far.
    ///
    /// # Errors
    /// [`Error::Device`] with the driver's words.
    pub fn new(device: &Device, shape: &ReadingShape) -> Result<Self> {
        Ok(Self {
            questions: DeviceBuffer::zeroed(device, shape.questions as usize)?,
            first_question: DeviceBuffer::zeroed(device, shape.rows as usize + 1)?,
            rows: DeviceBuffer::zeroed(device, 1)?,
            count: DeviceBuffer::zeroed(device, 1)?,
            asked: 0,
            used_rows: 0,
        })
    }
}

/// Questions, context tables, what the head leaves of its chunks, and answers.
#[derive(Debug)]
pub struct Reading {
    shape: ReadingShape,
    mode: u32,
    logprobs: bool,
    sampling: DeviceBuffer<abi::sampling>,
    asked: Asked,
    context: DeviceBuffer<u32>,
    sums: [DeviceBuffer<f32>; 4],
    best_key: DeviceBuffer<u64>,
    best: [DeviceBuffer<f32>; 2],
    list_key: DeviceBuffer<u64>,
    list_raw: DeviceBuffer<f32>,
    list_floor: DeviceBuffer<u64>,
    list_count: DeviceBuffer<u32>,
    claimed: [DeviceBuffer<f32>; 2],
    logits: DeviceBuffer<f32>,
    fault: DeviceBuffer<u32>,
    answers: DeviceBuffer<abi::answer>,
}

impl Reading {
    /// Memory for `shape`; every context is empty. Rows of logits are allocated when a mode asks for them first.
    ///
    /// # Errors
    /// [`Error::Request`] for a shape that the kernels do not take, [`Error::Device`] with the driver's words.
    pub fn new(device: &Device, shape: ReadingShape) -> Result<Self> {
        shape.check()?;
        let (rows, questions) = (shape.rows as usize, shape.questions as usize);
        let chunks = shape.vocabulary.div_ceil(abi::CHUNK) as usize;
        let (lists, list) = (rows * shape.slices as usize, abi::LIST as usize);
        let floats = |len| DeviceBuffer::<f32>::zeroed(device, len);
        let sums = || floats(rows * chunks);
        let empty = vec![abi::NO_TOKEN; shape.slots as usize * shape.vocabulary.next_multiple_of(abi::CHUNK) as usize];
        Ok(Self {
            shape,
            mode: abi::MODE_GREEDY,
            logprobs: false,
            sampling: DeviceBuffer::zeroed(device, 1)?,
            asked: Asked::new(device, &shape)?,
            context: DeviceBuffer::from_slice(device, &empty)?,
            sums: [sums()?, sums()?, sums()?, sums()?],
            best_key: DeviceBuffer::zeroed(device, questions * chunks)?,
            best: [floats(questions * chunks)?, floats(questions * chunks)?],
            list_key: DeviceBuffer::zeroed(device, lists * list)?,
            list_raw: floats(lists * list)?,
            list_floor: DeviceBuffer::zeroed(device, lists)?,
            list_count: DeviceBuffer::zeroed(device, lists)?,
            claimed: [floats(questions)?, floats(questions)?],
            logits: floats(0)?,
            fault: DeviceBuffer::from_slice(device, &vec![abi::NO_FAULT; rows])?,
            answers: DeviceBuffer::zeroed(device, questions)?,
        })
    }

    /// Sets how tokens are chosen, whether log-probabilities are wanted and whether raw logits are kept.
    ///
    /// # Errors
    /// [`Error::Request`] for parameters outside NUMERICS 11, [`Error::Device`] with the driver's words.
    pub fn set_sampling(&mut self, sampling: &Sampling, logprobs: bool, store_logits: bool) -> Result<()> {
        sampling.check()?;
        let words = sampling_words(sampling, logprobs, store_logits);
        (self.mode, self.logprobs) = (words.mode, logprobs);
        if (words.mode == abi::MODE_ROW || store_logits) && self.logits.is_empty() {
            let len = self.shape.rows as usize * self.stride() as usize;
            self.logits = DeviceBuffer::zeroed(self.sampling.device(), len)?;
        }
        self.sampling.queue(0, &[words])
    }

    /// Asks `questions` in the launches that follow.
    ///
    /// # Errors
    /// [`Error::Request`] naming what is out of range, [`Error::Device`] with the driver's words.
    pub fn ask(&mut self, questions: &[Question]) -> Result<()> {
        let shape = self.shape;
        refuse_unless(!questions.is_empty() && questions.len() <= shape.questions as usize, "questions", || {
            format!("{} of at most {}", questions.len(), shape.questions)
        })?;
        let mut first = Vec::with_capacity(shape.rows as usize + 1);
        for (i, q) in questions.iter().enumerate() {
            let opens = q.row as usize == first.len();
            let goes_on = i > 0 && q.row == questions[i - 1].row && q.position == questions[i - 1].position;
            refuse_unless((opens || goes_on) && q.row < shape.rows, "questions", || {
                format!("question {i} is to row {} of {}", q.row, shape.rows)
            })?;
            refuse_unless(q.slot < shape.slots && q.claimed.is_none_or(|c| c < shape.vocabulary), "questions", || {
                format!("question {i} has slot {} and token {:?}", q.slot, q.claimed)
            })?;
            if opens {
                first.push(i as u32);
            }
        }
        let rows = first.len() as u32;
        first.push(questions.len() as u32);
        let words: Vec<abi::question> = questions.iter().map(|q| q.to_abi()).collect();
        let to = &mut self.asked;
        (to.asked, to.used_rows) = (questions.len(), rows as usize);
        to.questions.queue(0, &words)?;
        to.first_question.queue(0, &first)?;
        to.rows.queue(0, &[rows])?;
        to.count.queue(0, &[questions.len() as u32])
    }

    /// Goes on with other questions, which were made for the same shape; the present ones are kept in their place.
    pub fn exchange(&mut self, other: &mut Asked) {
        std::mem::swap(&mut self.asked, other);
    }

    /// Forgets the faults of all rows.
    ///
    /// # Errors
    /// [`Error::Device`] with the driver's words.
    pub fn clear_faults(&mut self) -> Result<()> {
        const { assert!(abi::NO_FAULT == u32::MAX) };
        self.fault.set_bits(self.shape.rows as usize)
    }

    /// Queues the copy of the answers to the questions asked last to those of `told` from `at` on, and says how many.
    ///
    /// # Errors
    /// [`Error::Request`] where they do not fit, [`Error::Device`] with the driver's words.
    ///
    /// # Safety
    /// As [`DeviceBuffer::queue_read`].
    pub unsafe fn queue_answers(&self, told: &mut PinnedBuffer<abi::answer>, at: usize) -> Result<usize> {
        // SAFETY: passed on.
        unsafe { self.answers.queue_read(0, self.asked.asked, told, at) }?;
        Ok(self.asked.asked)
    }

    /// The answers to the questions asked last, after everything queued.
    ///
    /// # Errors
    /// [`Error::Device`] with the driver's words.
    pub fn answers(&self) -> Result<Vec<Answer>> {
        Ok(self.answers.read(0, self.asked.asked)?.into_iter().map(|a| self.answer(a)).collect())
    }

    /// An answer in words of the device.
    pub fn answer(&self, a: abi::answer) -> Answer {
        match a.fault {
            abi::NO_FAULT => Ok((a.token, self.logprobs.then_some(Logprobs { raw: a.raw, sampling: a.sampling }))),
            fault => Err(fault),
        }
    }

    /// Raw logits of a row, where they were kept, after everything queued.
    ///
    /// # Errors
    /// [`Error::Request`] where they were not, [`Error::Device`] with the driver's words.
    pub fn logits(&self, row: usize) -> Result<Vec<f32>> {
        self.logits.read(row * self.stride() as usize, self.shape.vocabulary as usize)
    }

    /// The sizes.
    pub fn shape(&self) -> &ReadingShape {
        &self.shape
    }

    /// `MODE_*` of [`abi`].
    pub fn mode(&self) -> u32 {
        self.mode
    }

    /// Rows of the questions asked last.
    pub fn used_rows(&self) -> usize {
        self.asked.used_rows
    }

    /// Number of the questions asked last.
    pub fn asked(&self) -> usize {
        self.asked.asked
    }

    /// Fault words of rows, for the passes before the head.
    pub fn fault_mut(&mut self) -> &mut DeviceBuffer<u32> {
        &mut self.fault
    }

    /// Greatest key of each (question, chunk), after everything queued: its upper half is the score in an order of integers.
    #[cfg(test)]
    pub(in crate::cuda) fn best_keys(&self) -> Result<Vec<u64>> {
        self.best_key.to_vec()
    }

    pub(super) fn stride(&self) -> u32 {
        self.shape.vocabulary.next_multiple_of(abi::CHUNK)
    }

    pub(super) fn context_mut(&mut self) -> &mut DeviceBuffer<u32> {
        &mut self.context
    }

    pub(super) fn questions_mut(&mut self) -> &mut DeviceBuffer<abi::question> {
        &mut self.asked.questions
    }

    pub(super) fn count(&self) -> &DeviceBuffer<u32> {
        &self.asked.count
    }

    pub(super) fn answer_words(&self) -> &DeviceBuffer<abi::answer> {
        &self.answers
    }

    pub(super) fn choose_params(&mut self) -> abi::choose_params {
        abi::choose_params { reading: self.params(), answers: self.answers.as_mut_ptr() }
    }

    /// What kernels take; every buffer is this reading's and has the size that `abi.h` says.
    pub(super) fn params(&mut self) -> abi::reading {
        let [raw_n, raw_l, n, l] = &mut self.sums;
        let [best_raw, best_y] = &mut self.best;
        let [claimed_raw, claimed_y] = &mut self.claimed;
        let stride = self.shape.vocabulary.next_multiple_of(abi::CHUNK);
        abi::reading {
            sampling: self.sampling.as_ptr(),
            questions: self.asked.questions.as_ptr(),
            first_question: self.asked.first_question.as_ptr(),
            rows: self.asked.rows.as_ptr(),
            context: self.context.as_ptr(),
            raw_n: raw_n.as_mut_ptr(),
            raw_l: raw_l.as_mut_ptr(),
            n: n.as_mut_ptr(),
            l: l.as_mut_ptr(),
            best_key: self.best_key.as_mut_ptr(),
            best_raw: best_raw.as_mut_ptr(),
            best_y: best_y.as_mut_ptr(),
            list_key: self.list_key.as_mut_ptr(),
            list_raw: self.list_raw.as_mut_ptr(),
            list_floor: self.list_floor.as_mut_ptr(),
            list_count: self.list_count.as_mut_ptr(),
            claimed_raw: claimed_raw.as_mut_ptr(),
            claimed_y: claimed_y.as_mut_ptr(),
            logits: self.logits.as_mut_ptr(),
            fault: self.fault.as_mut_ptr(),
            vocabulary: self.shape.vocabulary,
            chunks: self.shape.vocabulary.div_ceil(abi::CHUNK),
            slices: self.shape.slices,
            max_rows: self.shape.rows,
            context_stride: stride,
            logits_stride: stride,
            layer: self.shape.layer,
            reserved: 0,
        }
    }
}

/// How the kernels find a token.
fn mode_of(sampling: &Sampling) -> u32 {
    match (sampling.temperature == 0.0, sampling.top_k) {
        (true, _) => abi::MODE_GREEDY,
        (false, 0) if sampling.top_p == 1.0 => abi::MODE_ALL,
        (false, 1..=abi::LIST) => abi::MODE_LIST,
        _ => abi::MODE_ROW,
    }
}

fn sampling_words(sampling: &Sampling, logprobs: bool, store_logits: bool) -> abi::sampling {
    let (top_p, top_p_shift) = rational(sampling.top_p);
    abi::sampling {
        raw_scale: temperature_scale(1.0),
        scale: if sampling.temperature == 0.0 { 0.0 } else { temperature_scale(sampling.temperature) },
        penalty: sampling.repetition_penalty as f32,
        mode: mode_of(sampling),
        top_k: sampling.top_k,
        logprobs: logprobs.into(),
        top_p,
        top_p_shift,
        top_p_on: (sampling.top_p < 1.0).into(),
        store_logits: store_logits.into(),
        reserved: 0,
    }
}

/// x in [0, 1] as m * 2^-s, exactly; s is at least 52.
fn rational(x: f64) -> (u64, u32) {
    let bits = x.to_bits() & (u64::MAX >> 1);
    let (field, fraction) = ((bits >> 52) as u32, bits & ((1 << 52) - 1));
    if field == 0 { (fraction, 1074) } else { (fraction | 1 << 52, 1075 - field) }
}

pub(super) fn refuse_unless(good: bool, field: &str, problem: impl FnOnce() -> String) -> Result<()> {
    if good { Ok(()) } else { Err(Error::Request { field: field.into(), problem: problem() }) }
}
