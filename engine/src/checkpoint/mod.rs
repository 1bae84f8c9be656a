//! A Qwen3 checkpoint as Hugging Face stores it: a folder with `config.json`, `tokenizer.json`
//! and one or several safetensors files.
//!
//! Opening checks everything that can be checked without touching the weights: the config, each
//! file's header, that every tensor the forward pass reads is there once with the shape the config
//! implies, and that nothing else is (a bias or a quantization scale would otherwise be left out
//! in silence). Weights stay in the mapped files; [`TensorView`] widens rows on demand, because
//! packing wants them once and the embedding is read a row at a time for ever. Values are checked
//! by [`TensorView::check_finite`], when they are read anyway. This is deliberately not a general
//! tensor library: three element types, one and two dimensions.
//!
//! A mapped file must not be changed while it is in use; a file cut short under a running process
//! ends it with SIGBUS, as with every program that maps files.

mod expected;
mod files;
mod shard;
pub mod synthetic;
mod view;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::config::{CONFIG_LIMIT_BYTES, Config};
use crate::json::{self, clip};
use crate::{Error, Result};

pub use expected::{TensorSpec, tensor_specs};
pub use view::{Dtype, TensorView, WEIGHT_MAGNITUDE_LIMIT};

#[cfg(feature = "hub")]
pub(crate) use files::read_required;
pub(crate) use files::{INDEX, INDEX_LIMIT_BYTES, parse_index, read_optional};

use files::WeightMap;
#[cfg(not(feature = "hub"))]
use files::read_required;
use shard::{Shard, Storage};

/// The largest `tokenizer.json` that is read, in bytes (Qwen3's has 11 MB).
pub const TOKENIZER_LIMIT_BYTES: usize = 32 << 20;
/// The largest `tokenizer_config.json` that is read, in bytes.
pub const TOKENIZER_CONFIG_LIMIT_BYTES: usize = 4 << 20;
/// The largest safetensors header that is read, in bytes (a 32B model's takes 0.1 MB).
pub const HEADER_LIMIT_BYTES: usize = 16 << 20;

/// Where a tensor's bytes are.
#[derive(Debug)]
struct Entry {
    shard: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    range: std::ops::Range<usize>,
}

/// An opened checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    config: Config,
    shards: Vec<Shard>,
    tensors: BTreeMap<String, Entry>,
    tokenizer_json: Cow<'static, [u8]>,
    tokenizer_config: Option<Cow<'static, [u8]>>,
    eos_ids: Vec<u32>,
}

/// The small files of a checkpoint.
struct Sidecars {
    config: Cow<'static, [u8]>,
    tokenizer_json: Cow<'static, [u8]>,
    tokenizer_config: Option<Cow<'static, [u8]>>,
    generation_config: Option<Cow<'static, [u8]>>,
}

impl Checkpoint {
    /// Opens the checkpoint in folder `dir`: `config.json`, `tokenizer.json`, and
    /// `model.safetensors` or else `model.safetensors.index.json` with its shards;
    /// `tokenizer_config.json` and `generation_config.json` if they are there.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Config`], [`Error::Checkpoint`] and [`Error::Tensor`], naming file,
    /// field or tensor.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let optional = |name, limit| Ok::<_, Error>(read_optional(dir, name, limit)?.map(Cow::from));
        let sidecars = Sidecars {
            config: read_required(dir, "config.json", CONFIG_LIMIT_BYTES)?.into(),
            tokenizer_json: read_required(dir, "tokenizer.json", TOKENIZER_LIMIT_BYTES)?.into(),
            tokenizer_config: optional("tokenizer_config.json", TOKENIZER_CONFIG_LIMIT_BYTES)?,
            generation_config: optional("generation_config.json", CONFIG_LIMIT_BYTES)?,
        };
        // Refuse an unsupported model before its weights are looked for.
        Config::parse(&sidecars.config)?;
        let (shards, weight_map) = files::open_shards(dir)?;
        Self::build(sidecars, shards, weight_map.as_ref())
    }

    /// The checkpoint `sat-tiny`, which is part of the binary.
    ///
    /// # Errors
    /// None for the files of a release; they are checked like any other's.
    pub fn sat_tiny() -> Result<Self> {
        macro_rules! file {
            ($name:literal) => {
                include_bytes!(concat!("../../../models/sat-tiny/", $name)).as_slice()
            };
        }
        let sidecars = Sidecars {
            config: file!("config.json").into(),
            tokenizer_json: file!("tokenizer.json").into(),
            tokenizer_config: Some(file!("tokenizer_config.json").into()),
            generation_config: Some(file!("generation_config.json").into()),
        };
        let name = "model.safetensors".to_owned();
        let shard = Shard::new(name, Storage::Static(file!("model.safetensors")))?;
        Self::build(sidecars, vec![shard], None)
    }

    /// A checkpoint from memory: the bytes of `config.json`, of `tokenizer.json` (not looked at)
    /// and of safetensors files that together hold each tensor once.
    ///
    /// # Errors
    /// As [`Checkpoint::open`]; shards are called `shard 0`, `shard 1`, ...
    pub fn from_bytes(config: &[u8], tokenizer_json: Vec<u8>, shards: Vec<Vec<u8>>) -> Result<Self> {
        let sidecars = Sidecars {
            config: config.to_vec().into(),
            tokenizer_json: tokenizer_json.into(),
            tokenizer_config: None,
            generation_config: None,
        };
        let shards = shards
            .into_iter()
            .enumerate()
            .map(|(i, bytes)| Shard::new(format!("shard {i}"), Storage::Owned(bytes)))
            .collect::<Result<_>>()?;
        Self::build(sidecars, shards, None)
    }

    fn build(sidecars: Sidecars, shards: Vec<Shard>, weight_map: Option<&WeightMap>) -> Result<Self> {
        let config = Config::parse(&sidecars.config)?;
        let tensors = expected::select(&config, &shards, weight_map)?;
        let eos_ids = eos_ids(&sidecars, config.vocab_size)?;
        Ok(Checkpoint {
            config,
            shards,
            tensors,
            tokenizer_json: sidecars.tokenizer_json,
            tokenizer_config: sidecars.tokenizer_config,
            eos_ids,
        })
    }

    /// The checked config.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The tensor of this name, as in the file (`model.layers.0.mlp.up_proj.weight`).
    ///
    /// # Errors
    /// [`Error::Tensor`] if the forward pass reads no such tensor; in a tied checkpoint it does
    /// not read `lm_head.weight`.
    pub fn tensor(&self, name: &str) -> Result<TensorView<'_>> {
        match self.tensors.get_key_value(name) {
            Some((name, entry)) => Ok(self.view(name, entry)),
            None => {
                Err(Error::Tensor { tensor: clip(name), problem: "is not one that the forward pass reads".to_owned() })
            }
        }
    }

    /// The tensors the forward pass reads, ascending by the bytes of their names.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = TensorView<'_>> {
        self.tensors.iter().map(|(name, entry)| self.view(name, entry))
    }

    /// The embedding, `[vocab_size, hidden_size]`.
    pub fn embedding(&self) -> TensorView<'_> {
        // Present by construction: `expected::select` requires every tensor of the list.
        let (name, entry) = self.tensors.get_key_value(expected::EMBEDDING).expect("a checkpoint has an embedding");
        self.view(name, entry)
    }

    fn view<'a>(&'a self, name: &'a str, entry: &'a Entry) -> TensorView<'a> {
        let bytes = &self.shards[entry.shard].bytes()[entry.range.clone()];
        TensorView::new(name, entry.dtype, &entry.shape, bytes)
    }

    /// Tells the system that the pages of a mapped tensor are not needed soon; they are read again
    /// from the file if they are. Call it once a tensor has been packed: the mapped pages of a
    /// whole checkpoint would otherwise count as this process's memory beside the packed copy.
    /// Does nothing for tensors in memory or unknown names.
    pub fn release_pages(&self, name: &str) {
        if let Some(entry) = self.tensors.get(name) {
            self.shards[entry.shard].release(entry.range.clone());
        }
    }

    /// [`Checkpoint::release_pages`] for every tensor but the embedding.
    pub fn release_all_but_embedding(&self) {
        for name in self.tensors.keys().filter(|n| *n != expected::EMBEDDING) {
            self.release_pages(name);
        }
    }

    /// The bytes of `tokenizer.json`.
    pub fn tokenizer_json(&self) -> &[u8] {
        &self.tokenizer_json
    }

    /// The bytes of `tokenizer_config.json`, if the checkpoint has one.
    pub fn tokenizer_config(&self) -> Option<&[u8]> {
        self.tokenizer_config.as_deref()
    }

    /// `eos_token_id` of `generation_config.json`, or else of `config.json`; empty if neither
    /// has one. A list in the file's order. (The tokenizer's own eos token is
    /// [`crate::tokenizer::Tokenizer::eos_id`].)
    pub fn eos_ids(&self) -> &[u32] {
        &self.eos_ids
    }
}

fn eos_ids(sidecars: &Sidecars, vocab_size: usize) -> Result<Vec<u32>> {
    let files =
        [("generation_config.json", sidecars.generation_config.as_deref()), ("config.json", Some(&*sidecars.config))];
    for (file, bytes) in files {
        let Some(bytes) = bytes else { continue };
        let error = |problem| Error::Checkpoint { file: file.to_owned(), problem };
        let fields: BTreeMap<String, Value> = json::object(bytes, CONFIG_LIMIT_BYTES).map_err(error)?;
        let list = match fields.get("eos_token_id") {
            None | Some(Value::Null) => continue,
            Some(Value::Array(list)) => list.as_slice(),
            Some(single) => std::slice::from_ref(single),
        };
        let id = |value: &Value| match value.as_u64() {
            Some(id) if id < vocab_size as u64 => Ok(id as u32),
            _ => Err(error(format!("eos_token_id: {} is no token id below {vocab_size}", clip(&value.to_string())))),
        };
        return list.iter().map(id).collect();
    }
    Ok(Vec::new())
}
