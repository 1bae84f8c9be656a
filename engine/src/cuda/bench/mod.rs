//! Times of the kernels at a model's shapes, beside what the device can do at most, measured in the same run: a copy and
//! the int8 products of registers. What of it can be known without a device, bytes and operations, is checked by
//! counting (kernels/ptx/tests/bench.rs).
//!
//! A kernel is launched as in a pass, from a recorded graph. Weights and pages change from launch to launch, as many as
//! it takes for none to be in a cache still; activations stay, for in a pass the kernel before has just written them.

mod attention;
mod cublaslt;
mod data;
mod limits;
mod products;
mod reading;
mod rows;
mod timer;

use super::ops::attend_prefill::AttendPrefill;
use super::ops::pages::AttentionShape;
use super::{Device, abi};
use crate::checkpoint::synthetic::Shape;
use crate::{Error, Result};

pub use limits::Limits;
use timer::Timer;

/// What is measured, and how long.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// The model whose matrices and heads are taken.
    pub shape: Shape,
    /// Sequences of a decoding step, each a row.
    pub batches: Vec<u32>,
    /// Rows of a prefill.
    pub prompt: u32,
    /// Positions that a decoding row attends to, its own among them.
    pub context: u32,
    /// Measurements of each kernel.
    pub runs: u32,
    /// Launches of a measurement at least, one after the other.
    pub launches: u32,
    /// Seconds of a measurement at least, at most a thousand graphs.
    pub run_s: f64,
    /// Bytes of weights or pages that a kernel goes through before it meets the same again; `None`: four times the device's
    /// second-level cache.
    pub cold_bytes: Option<u64>,
    /// Bytes of the copy that is a limit.
    pub copy_bytes: u64,
    /// Products of a chain of those that are a limit.
    pub mma_loops: u32,
}

impl BenchOptions {
    /// What is worth reading: decoding steps of 1, 16, 64 and 256 rows, a prefill of 2048.
    pub fn new(shape: Shape) -> Self {
        Self {
            shape,
            batches: vec![1, 16, 64, 256],
            prompt: 2048,
            context: 1024,
            runs: 7,
            launches: 20,
            run_s: 0.01,
            cold_bytes: None,
            copy_bytes: 512 << 20,
            mma_loops: 4096,
        }
    }

    /// As few and as small launches as there can be: everything runs, and no time says anything.
    pub fn quick(self) -> Self {
        Self { launches: 1, run_s: 0.0, cold_bytes: Some(0), copy_bytes: 1 << 16, mma_loops: 8, ..self }
    }
}

/// Bytes that a launch has to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bytes {
    /// Read or written, each counted once: so many.
    Exactly(u64),
    /// What else is read depends on the values.
    AtLeast(u64),
}

impl Bytes {
    /// The number.
    pub fn count(self) -> u64 {
        match self {
            Self::Exactly(n) | Self::AtLeast(n) => n,
        }
    }
}

/// The bf16 product of the same matrices by cuBLASLt.
#[derive(Debug, Clone, PartialEq)]
pub enum Peer {
    /// The kernel is no matrix product.
    None,
    /// What there is instead of a time, in words.
    Missing(String),
    /// Seconds of a product, by run.
    Seconds(Vec<f64>),
}

/// One kernel at one shape.
#[derive(Debug, Clone)]
pub struct BenchRow {
    /// The kernel, as `kernels/*.cu` call it.
    pub kernel: &'static str,
    /// On what.
    pub case: String,
    /// Memory.
    pub bytes: Bytes,
    /// Tensor-core operations: two for each product of two bytes that is issued, padding included.
    pub operations: u64,
    /// Seconds of a launch, by run.
    pub seconds: Vec<f64>,
    /// What it is compared to.
    pub peer: Peer,
}

/// Called with each row as soon as it is measured.
pub type ShowRow<'a> = dyn FnMut(BenchRow) -> Result<()> + 'a;

/// A device on which kernels are timed.
#[derive(Debug)]
pub struct KernelBench {
    device: Device,
    options: BenchOptions,
    timer: Timer,
    attention: AttentionShape,
    cold_bytes: u64,
}

impl KernelBench {
    /// Opens the device.
    ///
    /// # Errors
    /// As [`Device::open`]; [`Error::Request`] for a shape or a number that the kernels do not take.
    pub fn new(ordinal: usize, options: BenchOptions) -> Result<Self> {
        let device = Device::open(ordinal)?;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let s = &options.shape;
        let attention = AttentionShape {
            layers: count(s.layers),
            heads: count(s.heads),
            kv_heads: count(s.kv_heads),
            head_dim: count(s.head_dim),
        };
        AttendPrefill::check(&device, &attention)?;
        for (field, value) in [
            ("batches", options.batches.iter().copied().min().unwrap_or(0)),
            ("prompt", options.prompt),
            ("context", options.context),
            ("runs", options.runs),
            ("launches", options.launches),
            ("mma_loops", options.mma_loops),
        ] {
            if value == 0 {
                return Err(Error::Request { field: field.into(), problem: "0; expected at least 1".into() });
            }
        }
        let cold_bytes = match options.cold_bytes {
            Some(bytes) => bytes,
            None => 4 * device.l2_bytes()?,
        };
        let timer = Timer::new(&device, &options);
        Ok(Self { device, options, timer, attention, cold_bytes })
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What the device does at most. A device whose copies or products come out wrong is an error.
    ///
    /// # Errors
    /// [`Error::Device`] with the driver's words, or with what came out wrong.
    pub fn limits(&self) -> Result<Limits> {
        limits::measure(self)
    }

    /// Why there is no comparison with cuBLASLt, if there is none.
    pub fn peer_problem(&self) -> Option<String> {
        cublaslt::problem()
    }

    /// Every kernel.
    ///
    /// # Errors
    /// [`Error::Device`] with the driver's words, out of memory above all; what `show` returns.
    pub fn run(&self, show: &mut ShowRow<'_>) -> Result<()> {
        rows::run(self, show)?;
        products::run(self, show)?;
        attention::run(self, show)?;
        reading::run(self, show)
    }

    fn width(&self, n: usize) -> u32 {
        u32::try_from(n).unwrap_or(u32::MAX)
    }

    fn hidden(&self) -> u32 {
        self.width(self.options.shape.hidden)
    }

    /// How many of a thing of so many bytes are gone through: no fewer than keep a cache from holding them all.
    fn copies(&self, bytes: u64) -> u32 {
        const MOST: u64 = 32;
        self.cold_bytes.div_ceil(bytes.max(1)).clamp(1, MOST) as u32
    }

    /// Rows of decoding steps, and of a prefill: the numbers of rows that products and norms are measured with.
    fn row_counts(&self) -> impl Iterator<Item = (u32, String)> + '_ {
        let decode = self.options.batches.iter().map(|&rows| (rows, format!("decode {rows}")));
        decode.chain([(self.options.prompt, format!("prefill {}", self.options.prompt))])
    }
}

/// Bytes of quantized rows: whole tiles of 8 are read, as many as there are rows written.
fn quantized_bytes(rows: u32, k: u32) -> u64 {
    u64::from(rows) * u64::from(k.div_ceil(abi::BLOCK)) * u64::from((abi::ROWS_TILE_BYTES + 8) / abi::TILE_TOKENS)
}

/// Operations of so many products of m16n8k32.
fn operations(mma: u64) -> u64 {
    2 * 16 * 8 * 32 * mma
}
