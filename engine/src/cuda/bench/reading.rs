//! From hidden states to tokens: the head, choices, contexts, and what the next step begins with.

use super::products::read_bytes;
use super::{BenchRow, Bytes, KernelBench, Peer, ShowRow, cublaslt, operations};
use crate::Result;
use crate::cuda::ops::append::{Append, NextStep, Part, Ring};
use crate::cuda::ops::choose::Choose;
use crate::cuda::ops::context::Context;
use crate::cuda::ops::head::{Head, HeadInput};
use crate::cuda::ops::operands::{Arrangement, PackedWeights, QuantizedRows};
use crate::cuda::ops::read_logits::ReadLogits;
use crate::cuda::ops::reading::{Question, Reading, ReadingShape};
use crate::cuda::{DeviceBuffer, abi};
use crate::types::{Sampling, Seed};

/// Rows of a launch at most, as in a pass.
const MOST_ROWS: u32 = 64;

/// What needs the whole row: no top-k, and top-p below 1.
const WHOLE_ROW: Sampling = Sampling { temperature: 0.7, top_k: 0, top_p: 0.95, repetition_penalty: 1.1 };

pub(super) fn run(bench: &KernelBench, show: &mut ShowRow<'_>) -> Result<()> {
    let vocabulary = bench.width(bench.options.shape.vocab);
    let bytes = PackedWeights::bytes_for(vocabulary, bench.hidden(), Arrangement::Stacked);
    let copies = bench.copies(bytes);
    let weights = (0..copies).map(|_| bench.packed(vocabulary, bench.hidden(), Arrangement::Stacked));
    let weights = weights.collect::<Result<Vec<_>>>()?;
    let mut counts: Vec<u32> = bench.options.batches.iter().map(|&rows| rows.min(MOST_ROWS)).collect();
    counts.dedup();
    for (i, rows) in counts.into_iter().enumerate() {
        let mut asked = Asked::new(bench, rows)?;
        if i == 0 {
            show(asked.start()?)?;
            show(asked.mark()?)?;
        }
        show(asked.head(&weights)?)?;
        show(asked.choose("choose", &Sampling::default())?)?;
        show(asked.append()?)?;
        show(asked.read_logits()?)?;
        // This sampling keeps the rows of logits.
        asked.sample(&WHOLE_ROW)?;
        asked.heads(&weights, 0)?;
        show(asked.choose("sample_row", &WHOLE_ROW)?)?;
    }
    Ok(())
}

/// Rows of hidden states, each with a question and a context of the options' length.
struct Asked<'a> {
    bench: &'a KernelBench,
    rows: u32,
    head: Head,
    choose: Choose,
    contexts: Context,
    reading: Reading,
    x: QuantizedRows,
    tokens: DeviceBuffer<u32>,
}

impl<'a> Asked<'a> {
    fn new(bench: &'a KernelBench, rows: u32) -> Result<Self> {
        let device = &bench.device;
        let vocabulary = bench.width(bench.options.shape.vocab);
        let head = Head::new(device, bench.hidden(), rows)?;
        let shape = ReadingShape {
            vocabulary,
            rows,
            questions: rows,
            // One more, to start others from.
            slots: rows + 1,
            slices: head.slices(device.multiprocessors()?, rows, vocabulary),
            layer: bench.width(bench.options.shape.layers),
        };
        let count = bench.options.context.min(vocabulary);
        // Different ids, all over the vocabulary.
        let ids: Vec<u32> = (0..count).map(|i| i * (vocabulary / count)).collect();
        let mut asked = Self {
            bench,
            rows,
            choose: Choose::new(device)?,
            contexts: Context::new(device)?,
            reading: Reading::new(device, shape)?,
            x: bench.quantized(rows, bench.hidden())?,
            tokens: DeviceBuffer::from_slice(device, &ids)?,
            head,
        };
        asked.sample(&Sampling::default())?;
        for slot in 0..=rows {
            // SAFETY: the ids are below the vocabulary.
            unsafe { asked.contexts.mark(&mut asked.reading, slot, &asked.tokens, 0) }?;
        }
        let question = |i: u32| Question {
            row: i,
            slot: i,
            position: count,
            claimed: None,
            seed: Seed([i as u8 + 1; 32]),
            next_row: i,
            last_position: u32::MAX,
        };
        asked.reading.ask(&(0..rows).map(question).collect::<Vec<_>>())?;
        Ok(asked)
    }

    fn sample(&mut self, sampling: &Sampling) -> Result<()> {
        self.reading.set_sampling(sampling, true, false)
    }

    fn vocabulary(&self) -> u32 {
        self.reading.shape().vocabulary
    }

    fn row(&self, kernel: &'static str, bytes: Bytes, seconds: Vec<f64>) -> BenchRow {
        BenchRow { kernel, case: format!("decode {}", self.rows), bytes, operations: 0, seconds, peer: Peer::None }
    }

    fn start(&mut self) -> Result<BenchRow> {
        let (contexts, reading, rows) = (&self.contexts, &mut self.reading, self.rows);
        let seconds = self.bench.timer.time(1, |_| contexts.start(reading, rows - 1, Some(rows)))?;
        let table = u64::from(self.vocabulary().next_multiple_of(abi::CHUNK));
        let mut row = self.row("start_context", Bytes::Exactly(8 * table), seconds);
        row.case = "one sequence".into();
        Ok(row)
    }

    fn mark(&mut self) -> Result<BenchRow> {
        let (contexts, reading, tokens) = (&self.contexts, &mut self.reading, &self.tokens);
        // SAFETY: the ids are below the vocabulary.
        let seconds = self.bench.timer.time(1, |_| unsafe { contexts.mark(reading, 0, tokens, 0) })?;
        // An id, and its word of the table read and written.
        let mut row = self.row("mark_context", Bytes::Exactly(12 * tokens.len() as u64), seconds);
        row.case = format!("{} tokens", self.tokens.len());
        Ok(row)
    }

    fn heads(&mut self, weights: &[PackedWeights], i: u32) -> Result<()> {
        let w = &weights[i as usize];
        let input = HeadInput { weight: w.q(), weight_g: w.g(), x: self.x.q(), x_g: self.x.g() };
        self.head.run(&input, &mut self.reading)
    }

    fn head(&mut self, weights: &[PackedWeights]) -> Result<BenchRow> {
        let (bench, rows, vocabulary, hidden) = (self.bench, self.rows, self.vocabulary(), self.bench.hidden());
        let copies = weights.len() as u32;
        let seconds = bench.timer.time(copies, |i| self.heads(weights, i))?;
        // Weights, rows, and the context of each row, for the penalty.
        let bytes = PackedWeights::bytes_for(vocabulary, hidden, Arrangement::Stacked) + read_bytes(&self.x, rows);
        let bytes = Bytes::AtLeast(bytes + 4 * u64::from(rows) * u64::from(vocabulary));
        let kernel = self.head.kernel_name(rows);
        let mut row = self.row(kernel, bytes, seconds);
        row.operations = operations(self.head.mma(vocabulary, rows));
        row.peer = cublaslt::time(bench, rows, vocabulary, hidden, copies);
        Ok(row)
    }

    /// Answers of what a head has left for the sampling.
    fn choose(&mut self, kernel: &'static str, sampling: &Sampling) -> Result<BenchRow> {
        self.sample(sampling)?;
        let (choose, reading) = (&self.choose, &mut self.reading);
        let seconds = self.bench.timer.time(1, |_| choose.run(reading))?;
        let (rows, vocabulary) = (u64::from(self.rows), u64::from(self.vocabulary()));
        let each = match sampling.top_k {
            // Logits and the context, for the penalty.
            0 => 8 * vocabulary,
            // n and l of the chunks' raw logits.
            _ => 8 * vocabulary.div_ceil(u64::from(abi::CHUNK)),
        };
        let answer = size_of::<abi::answer>() as u64;
        Ok(self.row(kernel, Bytes::AtLeast(rows * (each + answer)), seconds))
    }

    fn append(&mut self) -> Result<BenchRow> {
        let (device, rows) = (&self.bench.device, self.rows as usize);
        let append = Append::new(device)?;
        let (mut token, mut position) = (DeviceBuffer::zeroed(device, rows)?, DeviceBuffer::zeroed(device, rows)?);
        let (eos, sketch) = (DeviceBuffer::from_slice(device, &[u32::MAX])?, DeviceBuffer::zeroed(device, rows)?);
        let mut ring = Ring::new(device, 4, self.rows, 1)?;
        let reading = &mut self.reading;
        let seconds = self.bench.timer.time(1, |_| {
            let mut next = NextStep { token: &mut token, position: &mut position };
            // SAFETY: the questions' next rows are those of `next`.
            unsafe { append.run(reading, Some(&sketch), &eos, &mut next, &mut ring, Part::default()) }
        })?;
        let each = size_of::<abi::answer>() + size_of::<abi::record>() + 12;
        Ok(self.row("append", Bytes::AtLeast((rows * each) as u64), seconds))
    }

    fn read_logits(&mut self) -> Result<BenchRow> {
        let stride = self.vocabulary().next_multiple_of(abi::CHUNK);
        let logits = self.bench.floats(self.rows as usize * stride as usize)?;
        let read = ReadLogits::new(&self.bench.device)?;
        let reading = &mut self.reading;
        let seconds = self.bench.timer.time(1, |_| read.run(&logits, reading))?;
        let bytes = Bytes::AtLeast(8 * u64::from(self.rows) * u64::from(self.vocabulary()));
        Ok(self.row("read_logits", bytes, seconds))
    }
}
