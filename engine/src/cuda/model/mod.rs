//! A model on one GPU: the backend of `--device cuda`.
//!
//! What is scheduled, promised and told to callers is [`crate::Engine`]'s, the same as for the CPU. Here are weights, pages
//! and activations in device memory, and the launches of a pass. Rows never leave the device but as tokens,
//! log-probabilities, sketches and faults; hidden states only for who asks.

pub(in crate::cuda) mod ahead;
mod batch;
mod contexts;
mod pass;
mod plan;
mod read;
mod rope;
mod weights;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::ops::append::Append;
use super::ops::attend_chunks::{AttendChunks, ChunkItems, Partials};
use super::ops::attend_prefill::AttendPrefill;
use super::ops::choose::Choose;
use super::ops::combine_chunks::CombineChunks;
use super::ops::context::Context as ContextTables;
use super::ops::embed::Embed;
use super::ops::final_norm::FinalNorm;
use super::ops::head::Head;
use super::ops::norm_quantize::NormQuantize;
use super::ops::operands::{PackedWeights, QuantizedRows};
use super::ops::pages::{AttentionShape, Pages, QueryColumns, StepRows};
use super::ops::products::Products;
use super::ops::quantize_rows::QuantizeRows;
use super::ops::reading::{Reading as HeadReading, ReadingShape};
use super::ops::rotate_store::RotateStore;
use super::{Device, DeviceBuffer, Graph, PinnedBuffer, abi};
use crate::backend::{
    Answer, Backend, Course, Decoding, Pass, Question, Reading, Row, Segment, ShowLogits, Told, step_by_step,
};
use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::engine::EngineOptions;
use crate::kv::{PAGE, PageId};
use crate::lane::Memory;
use crate::types::{Probe, Sampling};
use crate::{Error, FaultKind, Result};

use ahead::Ahead;
use contexts::Contexts;
use plan::{Plan, attention_shape, stride};
use rope::Rope;
use weights::Weights;

/// Rows of hidden states that the head reads at a time.
const HEAD_ROWS: u32 = 64;

/// Turns of the head, of as many questions as there may be, that are waited for together.
const TURNS: usize = 4;

/// Steps of decoding that are queued together, unless the options say otherwise.
const STEPS_AHEAD: usize = 16;

/// Hidden states that are copied to the host at a time.
const STATES: usize = 256;

/// How much is worked on at once.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Rows of a pass.
    rows: u32,
    /// Sequences of a pass.
    sequences: u32,
    /// Rows of the head.
    head_rows: u32,
    /// Questions to them, and sequences that decode.
    questions: u32,
    /// Steps that are queued together.
    steps: u32,
}

impl Limits {
    fn new(options: &EngineOptions) -> Self {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        // A row for each sequence that decodes, also beyond `step_rows`; prompts are no more than sequences.
        let batch = count(options.max_batch.max(1));
        Self {
            rows: count(options.step_rows).max(batch),
            sequences: batch.saturating_mul(2),
            head_rows: HEAD_ROWS,
            questions: batch.max(HEAD_ROWS),
            steps: count(options.steps_ahead.unwrap_or(STEPS_AHEAD)),
        }
    }
}

/// A loaded model.
pub struct CudaModel {
    device: Device,
    checkpoint: Arc<Checkpoint>,
    shape: AttentionShape,
    limits: Limits,
    plan: Plan,
    weights: Weights,
    kernels: Kernels,
    rope: Rope,
    pages: Pages,
    work: Work,
    head: HeadWork,
    ahead: Ahead,
    /// Decoding passes, recorded.
    steps: HashMap<Step, Graph>,
    /// Of the last pass: which of the hidden states is of a row, if one is.
    kept: Vec<Option<u32>>,
}

/// What the launches of a decoding pass depend on, beside what lies in buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Step {
    rows: usize,
    read: usize,
    sketches: bool,
    /// How tokens are found, where the next step's rows are made of them.
    then: Option<u32>,
}

struct Kernels {
    embed: Embed,
    norm: NormQuantize,
    quantize: QuantizeRows,
    products: Products,
    rotate: RotateStore,
    attend: AttendChunks,
    combine: CombineChunks,
    prefill: AttendPrefill,
    last: FinalNorm,
    contexts: ContextTables,
    head: Head,
    choose: Choose,
    append: Append,
}

/// Activations of a pass.
struct Work {
    step: StepRows,
    items: ChunkItems,
    tiles: DeviceBuffer<abi::attend_tile>,
    /// Those of rows that the last layer needs.
    last_tiles: DeviceBuffer<abi::attend_tile>,
    source: DeviceBuffer<u32>,
    x: DeviceBuffer<f32>,
    qkv: DeviceBuffer<f32>,
    queries: QueryColumns,
    partials: Partials,
    attention: DeviceBuffer<f32>,
    activation: DeviceBuffer<f32>,
    hidden_rows: QuantizedRows,
    attention_rows: QuantizedRows,
    activation_rows: QuantizedRows,
    fault: DeviceBuffer<u32>,
    projection: DeviceBuffer<i32>,
    /// What is in `projection`.
    projected: Vec<i32>,
    sketch: DeviceBuffer<u32>,
    /// Final-norm outputs of the rows that are read, `[..][hidden]`.
    hidden: DeviceBuffer<f32>,
    /// Fault words of a pass, and from the most rows on its sketches, for the host.
    told: PinnedBuffer<u32>,
    /// Hidden states on their way to the host.
    states: PinnedBuffer<f32>,
}

/// From hidden states to answers.
struct HeadWork {
    reading: HeadReading,
    asked: Option<(Sampling, bool, bool)>,
    contexts: Contexts,
    gather: StepRows,
    x: DeviceBuffer<f32>,
    rows: QuantizedRows,
    /// Answers for the host.
    told: PinnedBuffer<abi::answer>,
}

impl CudaModel {
    /// What a model would take of device memory, and the budget.
    ///
    /// # Errors
    /// [`Error::Config`] for what the kernels do not take, the device's.
    pub(crate) fn memory(device: &Device, checkpoint: &Checkpoint, options: &EngineOptions) -> Result<Memory> {
        let shape = attention_shape(device, checkpoint.config())?;
        let plan = Plan::new(checkpoint, &shape, &Limits::new(options));
        let free = device.free_bytes()?;
        let budget_bytes = options.memory_bytes.map_or(free / 10 * 9, |bytes| bytes.min(free));
        Ok(Memory { budget_bytes, fixed_bytes: plan.fixed_bytes, page_bytes: shape.page_bytes() })
    }

    /// Uploads and quantizes a checkpoint's weights, and allocates everything that generation and scoring will need:
    /// `pages` pages, and activations for the options' rows.
    ///
    /// # Errors
    /// [`Error::Tensor`] for weights that cannot be used, [`Error::Device`] with the driver's words.
    pub(crate) fn load(
        device: Device,
        checkpoint: Arc<Checkpoint>,
        options: &EngineOptions,
        pages: usize,
    ) -> Result<Self> {
        let c = checkpoint.config().clone();
        let (shape, limits) = (attention_shape(&device, &c)?, Limits::new(options));
        let plan = Plan::new(&checkpoint, &shape, &limits);
        let pages = Pages::new(&device, shape, u32::try_from(pages).unwrap_or(u32::MAX))?;
        let weights = Weights::load(&device, &checkpoint)?;
        let kernels = Kernels::new(&device, &shape, &c)?;
        let work = Work::new(&device, &shape, &c, &limits, &plan)?;
        let head = HeadWork::new(&device, &c, &limits, &kernels.head)?;
        let ahead = Ahead::new(&device, &head, &limits)?;
        let rope = Rope::new(&device, &c)?;
        let (steps, kept) = (HashMap::new(), Vec::new());
        Ok(Self {
            device,
            checkpoint,
            shape,
            limits,
            plan,
            weights,
            kernels,
            rope,
            pages,
            work,
            head,
            ahead,
            steps,
            kept,
        })
    }

    fn config(&self) -> &Config {
        self.checkpoint.config()
    }
}

impl Kernels {
    fn new(device: &Device, shape: &AttentionShape, c: &Config) -> Result<Self> {
        Ok(Self {
            embed: Embed::new(device)?,
            norm: NormQuantize::new(device)?,
            quantize: QuantizeRows::new(device)?,
            products: Products::new(device)?,
            rotate: RotateStore::new(device)?,
            attend: AttendChunks::new(device, shape)?,
            combine: CombineChunks::new(device)?,
            prefill: AttendPrefill::new(device, shape)?,
            last: FinalNorm::new(device)?,
            contexts: ContextTables::new(device)?,
            head: Head::new(device, c.hidden_size as u32, HEAD_ROWS)?,
            choose: Choose::new(device)?,
            append: Append::new(device)?,
        })
    }
}

impl Work {
    fn new(device: &Device, shape: &AttentionShape, c: &Config, limits: &Limits, plan: &Plan) -> Result<Self> {
        let rows = limits.rows as usize;
        let floats = |width: usize| DeviceBuffer::zeroed(device, rows * stride(width) as usize);
        let quantized = |width: usize| QuantizedRows::zeroed(device, limits.rows, width as u32);
        let query = c.query_width();
        Ok(Self {
            step: StepRows::new(device, limits.rows, limits.sequences, 1)?,
            items: ChunkItems::new(device, limits.sequences.min(limits.rows) as usize * plan.chunks as usize)?,
            tiles: DeviceBuffer::zeroed(device, 0)?,
            last_tiles: DeviceBuffer::zeroed(device, 0)?,
            source: DeviceBuffer::zeroed(device, rows)?,
            x: floats(c.hidden_size)?,
            qkv: floats(shape.qkv_width() as usize)?,
            queries: QueryColumns::new(device, shape, limits.rows)?,
            partials: Partials::new(device, shape, limits.sequences.min(limits.rows), plan.chunks)?,
            attention: floats(query)?,
            activation: floats(c.intermediate_size)?,
            hidden_rows: quantized(c.hidden_size)?,
            attention_rows: quantized(query)?,
            activation_rows: quantized(c.intermediate_size)?,
            fault: DeviceBuffer::zeroed(device, rows)?,
            projection: DeviceBuffer::zeroed(device, c.hidden_size)?,
            projected: Vec::new(),
            sketch: DeviceBuffer::zeroed(device, rows)?,
            hidden: DeviceBuffer::zeroed(device, rows * c.hidden_size)?,
            told: PinnedBuffer::zeroed(device, 2 * rows)?,
            states: PinnedBuffer::zeroed(device, STATES * c.hidden_size)?,
        })
    }
}

impl HeadWork {
    fn new(device: &Device, c: &Config, limits: &Limits, head: &Head) -> Result<Self> {
        let (vocabulary, rows) = (c.vocab_size as u32, limits.head_rows);
        let shape = ReadingShape {
            vocabulary,
            rows,
            questions: limits.questions,
            slots: limits.questions,
            slices: head.slices(device.multiprocessors()?, rows, vocabulary),
            layer: c.num_hidden_layers as u32,
        };
        Ok(Self {
            reading: HeadReading::new(device, shape)?,
            asked: None,
            contexts: Contexts::new(limits.questions as usize),
            gather: StepRows::new(device, rows, 1, 1)?,
            x: DeviceBuffer::zeroed(device, rows as usize * stride(c.hidden_size) as usize)?,
            rows: QuantizedRows::zeroed(device, rows, c.hidden_size as u32)?,
            told: PinnedBuffer::zeroed(device, TURNS * limits.questions as usize)?,
        })
    }
}

/// The kind in a fault word.
fn fault_kind(word: u32) -> FaultKind {
    match word & 0xff {
        abi::FAULT_SUM_OF_SQUARES => FaultKind::SumOfSquares,
        abi::FAULT_ATTENTION => FaultKind::Attention,
        abi::FAULT_LOGITS => FaultKind::Logits,
        abi::FAULT_SKETCH => FaultKind::Sketch,
        _ => FaultKind::Quantizer,
    }
}

impl Backend for CudaModel {
    fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    fn device(&self) -> String {
        format!("cuda:{} {}", self.device.info().ordinal, self.device.info().name)
    }

    fn weight_bytes(&self) -> usize {
        self.plan.weight_bytes as usize
    }

    fn quantized_rows(&self, name: &str, row: &mut dyn FnMut(&[i16], &[i8])) -> Result<()> {
        let is_product = name.contains("_proj.") || name == "lm_head.weight";
        let tied = self.config().tie_word_embeddings && name == self.checkpoint.embedding().name();
        if !is_product && !tied {
            return Err(Error::Tensor { tensor: name.into(), problem: "is not read by a matrix product".into() });
        }
        unpack(&weights::pack(&self.device, &self.checkpoint, name)?, row)
    }

    fn copy_page(&mut self, from: PageId, to: PageId) -> Result<()> {
        self.pages.copy(from, to)
    }

    fn forward(&mut self, segments: &[Segment<'_>], projection: &[i32], probe: Option<&mut Probe<'_>>) -> Result<Pass> {
        self.pass(segments, projection, probe)
    }

    fn hidden(&mut self, rows: Range<usize>, to: &mut Vec<f32>) -> Result<()> {
        let width = self.config().hidden_size;
        for start in rows.clone().step_by(STATES) {
            let some = &self.kept[start..(start + STATES).min(rows.end)];
            let work = &mut self.work;
            for (i, at) in some.iter().enumerate() {
                if let Some(at) = at {
                    // SAFETY: `states` lives as long as the model, and is read after the wait.
                    unsafe { work.hidden.queue_read(*at as usize * width, width, &mut work.states, i * width) }?;
                }
            }
            self.device.synchronize()?;
            for (i, at) in some.iter().enumerate() {
                match at {
                    Some(_) => to.extend((i * width..(i + 1) * width).map(|k| work.states.get(k))),
                    None => to.resize(to.len() + width, 0.0),
                }
            }
        }
        Ok(())
    }

    fn forward_and_read(
        &mut self,
        segments: &[Segment<'_>],
        projection: &[i32],
        rows: &[Row<'_>],
        questions: &[Question<'_>],
        reading: Reading<'_>,
    ) -> Result<(Pass, Vec<std::result::Result<Answer, FaultKind>>)> {
        self.pass_and_answer(segments, projection, rows, questions, reading)
    }

    fn read(
        &mut self,
        rows: &[Row<'_>],
        questions: &[Question<'_>],
        reading: Reading<'_>,
    ) -> Result<Vec<std::result::Result<Answer, FaultKind>>> {
        self.answer(rows, questions, reading)
    }

    fn steps_ahead(&self, positions: usize) -> usize {
        // Where partial results of all chunks have no room, rows walk them in tiles that change from step to step.
        let steps = self.limits.steps as usize;
        if positions + steps <= self.plan.chunks as usize * PAGE { steps } else { 1 }
    }

    fn decode(&mut self, sequences: &[Decoding<'_>], course: &Course<'_>) -> Result<Vec<Vec<Told>>> {
        match self.takes_ahead(sequences, course) {
            true => self.decode_ahead(sequences, course),
            false => step_by_step(self, sequences, course),
        }
    }

    fn logits(&mut self, rows: Range<usize>, show: &mut ShowLogits<'_>) -> Result<()> {
        self.show_logits(rows, show)
    }
}

/// Rows of packed weights as integers and exponents.
fn unpack(packed: &PackedWeights, row: &mut dyn FnMut(&[i16], &[i8])) -> Result<()> {
    let (q, g, blocks) = (packed.q().to_vec()?, packed.g().to_vec()?, packed.blocks() as usize);
    let byte = |row: usize, block: usize, k: usize, plane: usize| {
        let (tile, line, step) = (row / 16, row % 16, k / 32);
        // Fragment of m16n8k32: register = (k / 16 of the step, row / 8), lane = (row % 8, k / 4 % 4).
        let (register, lane) = (k % 32 / 16 * 2 + line / 8, line % 8 * 4 + k % 16 / 4);
        let at = (tile * blocks + block) * abi::WEIGHT_TILE_BYTES as usize;
        q[at + step * 1024 + plane * 512 + lane * 16 + register * 4 + k % 4] as i8
    };
    for r in 0..packed.rows() as usize {
        let element = |i: usize| {
            let (block, k) = (i / 128, i % 128);
            256 * i16::from(byte(r, block, k, 1)) + i16::from(byte(r, block, k, 0))
        };
        let integers: Vec<i16> = (0..blocks * 128).map(element).collect();
        let exponents: Vec<i8> = (0..blocks).map(|b| g[(r / 16 * blocks + b) * 16 + r % 16]).collect();
        row(&integers, &exponents);
    }
    Ok(())
}
