//! Random Qwen3 checkpoints of any shape, for tests, examples and benches.
//!
//! Weights are a pure function of (shape, seed): SplitMix64 by counter, four 16-bit uniforms added
//! for a bell curve, std 0.02 as Qwen3 is initialised, the two projections that write to the
//! residual stream divided by sqrt(2 * layers), norms 1 +- 0.05 so that an engine that forgets one
//! is found out. Files are streamed, so the largest shape needs a megabyte of memory to write.
//! The tokenizer is plain byte-level: it can encode any text, and that is all it can. Such a model
//! says nothing sensible; it costs what a trained one of its shape costs.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use half::f16;
use serde_json::{Map, Value, json};

use super::{Checkpoint, Dtype, TensorSpec, tensor_specs};
use crate::config::Config;
use crate::tokenizer::byte_level::byte_chars;
use crate::{Error, Result};

/// The smallest vocabulary that the byte-level tokenizer fits: 256 bytes and three specials.
pub const MIN_TOKENIZER_VOCAB: usize = 259;
/// The size at which [`write()`] begins a new file, in bytes, as Hugging Face does.
pub const SHARD_BYTES: u64 = 5_000_000_000;

/// The shape of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads.
    pub kv_heads: usize,
    /// Channels of a head.
    pub head_dim: usize,
    /// Width inside the MLP.
    pub intermediate: usize,
    /// Vocabulary; [`write()`] needs at least [`MIN_TOKENIZER_VOCAB`].
    pub vocab: usize,
    /// Whether the head is the embedding.
    pub tied: bool,
    /// Element type of every tensor.
    pub dtype: Dtype,
    /// Longest sequence.
    pub max_positions: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
}

impl Shape {
    /// The real shapes of Qwen3 `0.6b`, `1.7b`, `4b` and `8b` in bf16, or none of that name.
    pub fn qwen3(name: &str) -> Option<Shape> {
        let (hidden, layers, heads, intermediate, tied) = match name.to_ascii_lowercase().as_str() {
            "0.6b" => (1024, 28, 16, 3072, true),
            "1.7b" => (2048, 28, 16, 6144, true),
            "4b" => (2560, 36, 32, 9728, true),
            "8b" => (4096, 36, 32, 12288, false),
            _ => return None,
        };
        Some(Shape { hidden, layers, heads, intermediate, tied, ..Shape::default_qwen3() })
    }

    fn default_qwen3() -> Shape {
        Shape {
            hidden: 1024,
            layers: 28,
            heads: 16,
            kv_heads: 8,
            head_dim: 128,
            intermediate: 3072,
            vocab: 151_936,
            tied: true,
            dtype: Dtype::Bf16,
            max_positions: 40_960,
            rope_theta: 1e6,
        }
    }

    /// A shape for unit tests: two layers, every width different, none a multiple of 128 but the
    /// hidden size.
    pub fn tiny() -> Shape {
        Shape {
            hidden: 128,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            head_dim: 48,
            intermediate: 160,
            vocab: 320,
            tied: true,
            dtype: Dtype::Bf16,
            max_positions: 512,
            rope_theta: 1e4,
        }
    }

    /// The `config.json` of this shape.
    pub fn config_json(&self) -> Vec<u8> {
        let config = json!({
            "architectures": ["Qwen3ForCausalLM"],
            "attention_bias": false,
            "eos_token_id": self.vocab.min(MIN_TOKENIZER_VOCAB) - 1,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "max_position_embeddings": self.max_positions,
            "model_type": "qwen3",
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": self.kv_heads,
            "rms_norm_eps": 1e-6,
            "rope_scaling": null,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tied,
            "use_sliding_window": false,
            "vocab_size": self.vocab,
        });
        pretty(&config)
    }

    fn tensor_bytes(&self, spec: &TensorSpec) -> u64 {
        spec.shape.iter().product::<usize>() as u64 * self.dtype.size_bytes() as u64
    }
}

fn pretty(value: &Value) -> Vec<u8> {
    // `{:#}` of a Value is its indented JSON and cannot fail.
    format!("{value:#}\n").into_bytes()
}

/// The `tokenizer.json` of a synthetic checkpoint: byte b is token b, then the three specials of
/// Qwen. A vocabulary below [`MIN_TOKENIZER_VOCAB`] gets as many bytes as fit.
pub fn tokenizer_json(vocab: usize) -> Vec<u8> {
    let bytes = vocab.saturating_sub(3).min(256);
    let vocabulary: Map<String, Value> =
        byte_chars()[..bytes].iter().enumerate().map(|(id, c)| (c.to_string(), json!(id))).collect();
    let specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
    let added: Vec<Value> = specials
        .iter()
        .enumerate()
        .map(|(i, content)| {
            json!({
                "id": bytes + i, "content": content, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true,
            })
        })
        .collect();
    let byte_level = |prefix: bool, regex: bool| {
        json!({
            "type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": regex,
        })
    };
    pretty(&json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "pre_tokenizer": byte_level(false, true), "post_processor": null,
        "decoder": byte_level(true, true),
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": false, "vocab": vocabulary, "merges": [],
        },
    }))
}

/// The `tokenizer_config.json` of a synthetic checkpoint, which names its eos token.
pub fn tokenizer_config_json() -> Vec<u8> {
    pretty(&json!({
        "clean_up_tokenization_spaces": false, "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast",
    }))
}

/// A random checkpoint in memory, without [`tokenizer_config_json`].
///
/// # Errors
/// [`Error::Config`] if the shape is no valid one.
pub fn random_checkpoint(seed: u64, shape: &Shape) -> Result<Checkpoint> {
    let bytes = safetensors_bytes(seed, shape)?;
    let tokenizer = tokenizer_json(shape.vocab);
    Checkpoint::from_bytes(&shape.config_json(), tokenizer, vec![bytes])
}

/// The `model.safetensors` of [`random_checkpoint`].
///
/// # Errors
/// [`Error::Config`] if the shape is no valid one.
pub fn safetensors_bytes(seed: u64, shape: &Shape) -> Result<Vec<u8>> {
    let config = Config::parse(&shape.config_json())?;
    let mut bytes = Vec::new();
    let written = write_safetensors(&mut bytes, shape, seed, &numbered_specs(&config));
    // Writing to memory does not fail.
    written.map_err(|error| request("shape", error.to_string()))?;
    Ok(bytes)
}

/// Writes a checkpoint folder that every command accepts, in files of about [`SHARD_BYTES`].
///
/// # Errors
/// [`Error::Config`] and [`Error::Request`] for a shape that is not valid or has fewer than
/// [`MIN_TOKENIZER_VOCAB`] tokens; [`Error::Io`], also if `dir` holds anything.
pub fn write(shape: &Shape, seed: u64, dir: &Path) -> Result<()> {
    write_sharded(shape, seed, dir, SHARD_BYTES)
}

/// [`write()`] with files of at most `shard_bytes` of data, or of one tensor if that is larger; one
/// file without an index if all fits. The weights do not depend on it.
///
/// # Errors
/// As [`write()`].
pub fn write_sharded(shape: &Shape, seed: u64, dir: &Path, shard_bytes: u64) -> Result<()> {
    let config = Config::parse(&shape.config_json())?;
    if shape.vocab < MIN_TOKENIZER_VOCAB {
        let problem = format!("{} is less than {MIN_TOKENIZER_VOCAB}", shape.vocab);
        return Err(request("vocab", problem));
    }
    let write_all = || -> io::Result<()> {
        fs::create_dir_all(dir)?;
        if fs::read_dir(dir)?.next().is_some() {
            return Err(io::Error::other("the folder is not empty"));
        }
        let eos = json!({"eos_token_id": MIN_TOKENIZER_VOCAB - 1});
        fs::write(dir.join("config.json"), shape.config_json())?;
        fs::write(dir.join("generation_config.json"), pretty(&eos))?;
        fs::write(dir.join("tokenizer.json"), tokenizer_json(shape.vocab))?;
        fs::write(dir.join("tokenizer_config.json"), tokenizer_config_json())?;
        write_shards(shape, seed, dir, &split(shape, numbered_specs(&config), shard_bytes))
    };
    write_all().map_err(|source| Error::Io { path: dir.to_owned(), source })
}

fn request(field: &str, problem: String) -> Error {
    Error::Request { field: field.to_owned(), problem }
}

/// The tensors with the numbers that their random streams are made from.
type Numbered = Vec<(u64, TensorSpec)>;

fn numbered_specs(config: &Config) -> Numbered {
    (0..).zip(tensor_specs(config)).collect()
}

fn split(shape: &Shape, specs: Numbered, shard_bytes: u64) -> Vec<Numbered> {
    let mut shards: Vec<Numbered> = vec![Vec::new()];
    let mut used = 0;
    for (number, spec) in specs {
        let bytes = shape.tensor_bytes(&spec);
        if used > 0 && used + bytes > shard_bytes {
            shards.push(Vec::new());
            used = 0;
        }
        used += bytes;
        if let Some(shard) = shards.last_mut() {
            shard.push((number, spec));
        }
    }
    shards
}

fn write_shards(shape: &Shape, seed: u64, dir: &Path, shards: &[Numbered]) -> io::Result<()> {
    let mut weight_map = Map::new();
    for (i, specs) in shards.iter().enumerate() {
        let name = match shards.len() {
            1 => "model.safetensors".to_owned(),
            n => format!("model-{:05}-of-{n:05}.safetensors", i + 1),
        };
        let mut out = BufWriter::with_capacity(1 << 20, File::create(dir.join(&name))?);
        write_safetensors(&mut out, shape, seed, specs)?;
        out.flush()?;
        for (_, spec) in specs {
            weight_map.insert(spec.name.clone(), json!(name));
        }
    }
    if shards.len() > 1 {
        let total: u64 = shards.iter().flatten().map(|(_, s)| shape.tensor_bytes(s)).sum();
        let index = json!({"metadata": {"total_size": total}, "weight_map": weight_map});
        fs::write(dir.join(super::files::INDEX), pretty(&index))?;
    }
    Ok(())
}

fn write_safetensors(out: &mut impl Write, shape: &Shape, seed: u64, specs: &[(u64, TensorSpec)]) -> io::Result<()> {
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut start = 0;
    for (_, spec) in specs {
        let end = start + shape.tensor_bytes(spec);
        let info = json!({
            "dtype": shape.dtype.name(), "shape": spec.shape, "data_offsets": [start, end],
        });
        header.insert(spec.name.clone(), info);
        start = end;
    }
    let mut header = Value::Object(header).to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    for (number, spec) in specs {
        write_tensor(out, shape, mix(seed ^ mix(*number)), spec)?;
    }
    Ok(())
}

fn write_tensor(out: &mut impl Write, shape: &Shape, stream: u64, spec: &TensorSpec) -> io::Result<()> {
    let (mean, std) = if spec.shape.len() == 1 {
        (1.0, 0.05)
    } else if spec.name.ends_with("o_proj.weight") || spec.name.ends_with("down_proj.weight") {
        (0.0, 0.02 / (2.0 * shape.layers as f32).sqrt())
    } else {
        (0.0, 0.02)
    };
    let count = spec.shape.iter().product::<usize>();
    let mut values = [0f32; BLOCK];
    let mut bytes = [0u8; 4 * BLOCK];
    for start in (0..count).step_by(BLOCK) {
        let values = &mut values[..BLOCK.min(count - start)];
        for (i, x) in (start as u64..).zip(values.iter_mut()) {
            *x = mean + std * normal(stream, i);
        }
        let bytes = &mut bytes[..values.len() * shape.dtype.size_bytes()];
        narrow(shape.dtype, values, bytes);
        out.write_all(bytes)?;
    }
    Ok(())
}

/// Weights made at a time.
const BLOCK: usize = 4096;

fn narrow(dtype: Dtype, values: &[f32], bytes: &mut [u8]) {
    match dtype {
        Dtype::Bf16 => {
            for (x, b) in values.iter().zip(bytes.as_chunks_mut::<2>().0) {
                // Round to nearest even; no value is NaN or near overflow.
                let bits = x.to_bits();
                let rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
                *b = (rounded as u16).to_le_bytes();
            }
        }
        Dtype::F16 => {
            for (x, b) in values.iter().zip(bytes.as_chunks_mut::<2>().0) {
                *b = f16::from_f32(*x).to_le_bytes();
            }
        }
        Dtype::F32 => {
            for (x, b) in values.iter().zip(bytes.as_chunks_mut::<4>().0) {
                *b = x.to_le_bytes();
            }
        }
    }
}

/// Draw `index` of a stream: the sum of four 16-bit uniforms, mean 0 and variance 1.
fn normal(stream: u64, index: u64) -> f32 {
    const SUM_STD: f32 = 37_837.227;
    let bits = mix(stream.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
    (sum as i32 - 2 * 0xffff) as f32 * (1.0 / SUM_STD)
}

/// SplitMix64's output function.
fn mix(mut z: u64) -> u64 {
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
