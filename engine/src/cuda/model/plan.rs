//! How much device memory a model takes, known before any of it is allocated.

use super::Limits;
use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::cuda::ops::attend_prefill::AttendPrefill;
use crate::cuda::ops::operands::{Arrangement, PackedWeights};
use crate::cuda::ops::pages::AttentionShape;
use crate::cuda::{Device, abi};
use crate::{Error, Result};

/// Bytes of attention's partial results at most; rows whose chunks do not fit walk their chunks one after the other.
const PARTIAL_BYTES: u64 = 256 << 20;

/// Bytes of a checkpoint's rows that are on the device at once while they are quantized.
pub(super) const STAGING_BYTES: usize = 32 << 20;

/// Heads and layers, as the kernels count them.
///
/// # Errors
/// [`Error::Config`] naming the field that the kernels do not take on this device; the device's.
pub(super) fn attention_shape(device: &Device, c: &Config) -> Result<AttentionShape> {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let shape = AttentionShape {
        layers: count(c.num_hidden_layers),
        heads: count(c.num_attention_heads),
        kv_heads: count(c.num_key_value_heads),
        head_dim: count(c.head_dim),
    };
    AttendPrefill::check(device, &shape).map(|()| shape).map_err(|e| match e {
        Error::Request { field, problem } => {
            Error::Config { field, problem: format!("{problem}: not for the CUDA kernels") }
        }
        other => other,
    })
}

/// Elements from one row of activations to the next: rows begin on 16 bytes.
pub(super) fn stride(width: usize) -> u32 {
    width.next_multiple_of(4) as u32
}

/// Sizes that follow from the model and the limits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub weight_bytes: u64,
    /// Everything but pages.
    pub fixed_bytes: u64,
    /// Chunks of a decoding row that attention's partial results have room for.
    pub chunks: u32,
}

impl Plan {
    pub fn new(checkpoint: &Checkpoint, shape: &AttentionShape, limits: &Limits) -> Self {
        let c = checkpoint.config();
        let matrix =
            |rows: usize, columns: usize| PackedWeights::bytes_for(rows as u32, columns as u32, Arrangement::Stacked);
        let query = c.query_width();
        let layer = matrix(shape.qkv_width() as usize, c.hidden_size)
            + matrix(c.hidden_size, query)
            + PackedWeights::bytes_for(c.intermediate_size as u32, c.hidden_size as u32, Arrangement::GateUp)
            + matrix(c.hidden_size, c.intermediate_size)
            + 8 * (c.hidden_size + c.head_dim) as u64;
        let embedding = checkpoint.embedding().bytes().len() as u64;
        let head = matrix(c.vocab_size, c.hidden_size);
        let weight_bytes = layer * c.num_hidden_layers as u64 + head + embedding;

        let rows = limits.rows as u64;
        let widths = [2 * c.hidden_size, shape.qkv_width() as usize, query, c.intermediate_size];
        let floats: u64 = widths.into_iter().map(|w| u64::from(stride(w))).sum();
        let quantized: u64 =
            [c.hidden_size, query, c.intermediate_size].iter().map(|w| 3 * w.next_multiple_of(128) as u64).sum();
        let queries = (shape.heads * (2 * shape.head_dim.next_multiple_of(32) + 2)) as u64;
        let work = rows * (4 * floats + quantized + queries);
        let reading = Self::reading_bytes(c, limits);
        let rope = (4 * c.max_position_embeddings * c.head_dim) as u64;

        // Partial results, and an item with its row.
        let chunk_bytes =
            u64::from(limits.sequences) * (u64::from(shape.heads) * 4 * u64::from(shape.head_dim + 2) + 20);
        let needed = c.max_position_embeddings.div_ceil(abi::PAGE as usize) as u64;
        let chunks = (PARTIAL_BYTES / chunk_bytes).clamp(1, needed);
        let fixed_bytes = weight_bytes + work + reading + rope + chunks * chunk_bytes + 2 * STAGING_BYTES as u64;
        Self { weight_bytes, fixed_bytes, chunks: chunks as u32 }
    }

    /// Contexts of all sequences, sums of all chunks, lists, and rows of logits.
    fn reading_bytes(c: &Config, limits: &Limits) -> u64 {
        let vocabulary = c.vocab_size.next_multiple_of(abi::CHUNK as usize) as u64;
        let chunks = vocabulary / u64::from(abi::CHUNK);
        let (rows, questions) = (u64::from(limits.head_rows), u64::from(limits.questions));
        let lists = rows * u64::from(abi::SLICES_MAX) * (12 * u64::from(abi::LIST) + 12);
        4 * vocabulary * (rows + questions.max(rows)) + 16 * chunks * (rows + questions) + lists
    }
}
