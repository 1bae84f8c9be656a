//! The public face: a loaded model with its memory budget.

use std::path::Path;

use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::cpu::cache::PageLayout;
use crate::cpu::forward::CpuModel;
use crate::cpu::isa::Isa;
use crate::cpu::pool::Pool;
use crate::cpu::weights::Weights;
use crate::device::{Chosen, DeviceChoice};
#[cfg(feature = "cuda")]
use crate::kv::PageBook;
use crate::kv::pages_for;
use crate::lane::{Lane, Memory};
use crate::{Error, Result};

/// Threads at most; a request for more is a slip of the pen.
const MAX_THREADS: usize = 4096;

/// Steps ahead at most; each has a record of every sequence.
const MAX_STEPS_AHEAD: usize = 1024;

/// Rows and positions whose memory is there from the start: waiting for the system's zeroed pages took a tenth of a first
/// prompt's time.
const WARM_ROWS: usize = 512;
const WARM_POSITIONS: usize = 1024;

/// How an engine uses its machine. None of this can change a result.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The CPU or GPUs.
    pub device: DeviceChoice,
    /// Threads; `None` takes every core.
    pub threads: Option<usize>,
    /// `portable`, `avx2`, `avxvnni` or `avx512`; `None` reads `GRAIL_CPU`, and without it takes the machine's best.
    pub cpu: Option<String>,
    /// Bytes for weights, embedding, activations and pages together; `None` takes four fifths of the memory that is
    /// free at load (where the system does not tell: 8 GiB), of a GPU's nine tenths.
    pub memory_bytes: Option<u64>,
    /// Sequences worked on at once, at least 1.
    pub max_batch: usize,
    /// Rows of one forward pass: one for each decoding sequence, also where they are more; what is left goes to
    /// prefill. At least 1.
    pub step_rows: usize,
    /// Steps between which nobody waits for the device and nobody is told anything, where sequences decode and none joins:
    /// at least 1; `None` takes 1 on a CPU and 16 on a GPU.
    pub steps_ahead: Option<usize>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let (threads, cpu, memory_bytes, steps_ahead) = Default::default();
        Self { device: DeviceChoice::Cpu, threads, cpu, memory_bytes, max_batch: 64, step_rows: 512, steps_ahead }
    }
}

/// A loaded model. `Send`, not `Sync`: a call has it to itself.
pub struct Engine {
    /// One for the CPU, or one for each GPU.
    pub(crate) lanes: Vec<Lane>,
    cpu: Option<(Isa, usize)>,
    why: Option<String>,
}

impl Engine {
    /// Quantizes and packs a checkpoint's weights.
    ///
    /// # Errors
    /// [`Error::Request`] for options out of range, [`Error::Unsupported`] for an instruction set or threads this
    /// machine lacks, and [`Error::Memory`], before any weight is read; [`Error::Tensor`] for weights that cannot be used.
    pub fn load(checkpoint: Checkpoint, options: EngineOptions) -> Result<Self> {
        let at_least_1 = |field: &str, value: usize| match value {
            0 => Err(Error::Request { field: field.into(), problem: "is 0, expected at least 1".into() }),
            n => Ok(n),
        };
        at_least_1("max_batch", options.max_batch)?;
        at_least_1("step_rows", options.step_rows)?;
        at_least_1("steps_ahead", options.steps_ahead.unwrap_or(1))?;
        let cores = || std::thread::available_parallelism().map_or(1, |n| n.get());
        let threads = at_least_1("threads", options.threads.unwrap_or_else(cores).min(MAX_THREADS + 1))?;
        let at_most = |field: &str, value: usize, most: usize| match value > most {
            true => Err(Error::Request {
                field: field.into(),
                problem: format!("is more than {most}, expected at most that"),
            }),
            false => Ok(()),
        };
        at_most("threads", threads, MAX_THREADS)?;
        at_most("steps_ahead", options.steps_ahead.unwrap_or(1), MAX_STEPS_AHEAD)?;
        let isa = options.cpu.as_deref().map_or_else(Isa::from_environment, |word| Isa::choose(Some(word)))?;
        match options.device.resolve()? {
            Chosen::Cpu { why } => Self::load_cpu(checkpoint, options, (isa, threads), why),
            #[cfg(feature = "cuda")]
            Chosen::Cuda(ordinals) => Self::load_cuda(checkpoint, options, isa, &ordinals),
            #[cfg(not(feature = "cuda"))]
            Chosen::Cuda(_) => unreachable!("no GPU resolves without the CUDA backend"),
        }
    }

    fn load_cpu(
        checkpoint: Checkpoint,
        options: EngineOptions,
        cpu: (Isa, usize),
        why: Option<String>,
    ) -> Result<Self> {
        let config = checkpoint.config();
        let weight_bytes =
            Weights::bytes_for(&checkpoint, cpu.0)?.saturating_add(checkpoint.embedding().bytes().len() as u64);
        let memory = Memory {
            budget_bytes: options.memory_bytes.unwrap_or_else(free_memory),
            fixed_bytes: weight_bytes.saturating_add(workspace_bytes(config, &options)),
            page_bytes: PageLayout::new(config).page_bytes() as u64,
        };
        let book = memory.book()?;
        let (isa, threads) = cpu;
        let pool = Pool::start(threads).map_err(|source| {
            let what = format!("{threads} threads");
            Error::Unsupported { what, problem: source.to_string() }
        })?;
        let mut model = CpuModel::load(checkpoint, isa, pool)?;
        let rows = options.step_rows.max(options.max_batch).min(WARM_ROWS);
        model.warm(rows, book.limit().min(pages_for(WARM_POSITIONS)))?;
        let lane = Lane { model: Box::new(model), book, options, memory, isa };
        Ok(Self { lanes: vec![lane], cpu: Some(cpu), why })
    }

    #[cfg(feature = "cuda")]
    fn load_cuda(checkpoint: Checkpoint, options: EngineOptions, isa: Isa, ordinals: &[usize]) -> Result<Self> {
        use crate::cuda::{CudaModel, Device};
        let devices = ordinals.iter().map(|&n| Device::open(n)).collect::<Result<Vec<_>>>()?;
        // All fit, or none is filled.
        let memory = |device| CudaModel::memory(device, &checkpoint, &options).and_then(|m| Ok((m, m.book()?)));
        let budgets = devices.iter().map(memory).collect::<Result<Vec<_>>>()?;
        let checkpoint = std::sync::Arc::new(checkpoint);
        let one = |(device, (memory, book)): (Device, (Memory, PageBook))| {
            let model = Box::new(CudaModel::load(device, checkpoint.clone(), &options, book.limit())?);
            Ok(Lane { model, book, options: options.clone(), memory, isa })
        };
        let lanes = devices.into_iter().zip(budgets).map(one).collect::<Result<_>>()?;
        Ok(Self { lanes, cpu: None, why: None })
    }

    /// [`Engine::load`] of a folder in Hugging Face layout.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`] and [`Engine::load`].
    pub fn open(folder: impl AsRef<Path>, options: EngineOptions) -> Result<Self> {
        Self::load(Checkpoint::open(folder)?, options)
    }

    /// The model's config.
    pub fn config(&self) -> &Config {
        self.lanes[0].config()
    }

    /// The checkpoint it was made of.
    pub fn checkpoint(&self) -> &Checkpoint {
        self.lanes[0].model.checkpoint()
    }

    /// The device or devices, for people: the instruction set and threads of a CPU.
    pub fn device(&self) -> String {
        let names: Vec<String> = self.lanes.iter().map(|lane| lane.model.device()).collect();
        names.join(" and ")
    }

    /// Why `auto` took the CPU, if it did.
    pub fn no_gpu(&self) -> Option<&str> {
        self.why.as_deref()
    }

    /// The CPU's instruction set and threads in use, unless the model is on a GPU.
    pub fn cpu(&self) -> Option<(Isa, usize)> {
        self.cpu
    }

    /// Positions of key/value cache that fit the budget.
    pub fn cache_positions(&self) -> usize {
        self.lanes.iter().map(|lane| lane.book.limit().saturating_mul(crate::kv::PAGE)).fold(0, usize::saturating_add)
    }

    /// Pages of key/value cache in use and pages promised to what is in work; (0, 0) between calls.
    pub fn cache_in_use(&self) -> (usize, usize) {
        self.lanes.iter().fold((0, 0), |(u, r), lane| (u + lane.book.used(), r + lane.book.reserved()))
    }

    /// Bytes of packed weights and of the embedding, on each device.
    pub fn weight_bytes(&self) -> u64 {
        self.lanes[0].model.weight_bytes() as u64
    }

    /// Integers (padded to blocks) and exponents of each row of a tensor, as the products use them.
    ///
    /// # Errors
    /// [`Error::Tensor`] if no matrix product reads this tensor.
    pub fn quantized_rows(&self, tensor: &str, mut row: impl FnMut(&[i16], &[i8])) -> Result<()> {
        self.lanes[0].model.quantized_rows(tensor, &mut row)
    }
}

fn workspace_bytes(config: &Config, options: &EngineOptions) -> u64 {
    let heads = config.num_attention_heads + 2 * config.num_key_value_heads;
    let row = 3 * config.hidden_size + 2 * heads * config.head_dim + 2 * config.intermediate_size;
    let rows = options.step_rows.max(options.max_batch);
    let logits = config.vocab_size * crate::cpu::TILE.min(rows);
    (row as u64).saturating_mul(rows as u64).saturating_add(logits as u64).saturating_mul(4)
}

/// Four fifths of the memory the system says is available.
fn free_memory() -> u64 {
    let available = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    });
    available.map_or(8 << 30, |kb| kb * 1024 / 5 * 4)
}
