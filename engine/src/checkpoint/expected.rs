//! Which tensors a Qwen3 has, and picking exactly those from the files.

use std::collections::BTreeMap;

use super::files::WeightMap;
use super::shard::Shard;
use super::{Dtype, Entry};
use crate::config::Config;
use crate::json::clip;
use crate::{Error, Result};

pub(super) const EMBEDDING: &str = "model.embed_tokens.weight";
const FINAL_NORM: &str = "model.norm.weight";
const HEAD: &str = "lm_head.weight";

/// Name and shape of a tensor that the forward pass reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// The name in the file.
    pub name: String,
    /// `[n]` for a norm, `[outputs, inputs]` for a matrix.
    pub shape: Vec<usize>,
}

/// The tensors that a forward pass of this config reads: embedding, layers, final norm, and the
/// head unless it is tied.
pub fn tensor_specs(config: &Config) -> Vec<TensorSpec> {
    let (hidden, intermediate, head) = (config.hidden_size, config.intermediate_size, config.head_dim);
    let (query, key_value) = (config.query_width(), config.key_value_width());
    let spec = |name: String, shape: &[usize]| TensorSpec { name, shape: shape.to_vec() };
    let mut specs =
        vec![spec(EMBEDDING.to_owned(), &[config.vocab_size, hidden]), spec(FINAL_NORM.to_owned(), &[hidden])];
    if !config.tie_word_embeddings {
        specs.push(spec(HEAD.to_owned(), &[config.vocab_size, hidden]));
    }
    let in_layer: [(&str, &[usize]); 11] = [
        ("input_layernorm", &[hidden]),
        ("self_attn.q_proj", &[query, hidden]),
        ("self_attn.k_proj", &[key_value, hidden]),
        ("self_attn.v_proj", &[key_value, hidden]),
        ("self_attn.o_proj", &[hidden, query]),
        ("self_attn.q_norm", &[head]),
        ("self_attn.k_norm", &[head]),
        ("post_attention_layernorm", &[hidden]),
        ("mlp.gate_proj", &[intermediate, hidden]),
        ("mlp.up_proj", &[intermediate, hidden]),
        ("mlp.down_proj", &[hidden, intermediate]),
    ];
    for layer in 0..config.num_hidden_layers {
        for (name, shape) in in_layer {
            specs.push(spec(format!("model.layers.{layer}.{name}.weight"), shape));
        }
    }
    specs
}

/// Finds every expected tensor in the shards, and refuses what is missing, doubled, mis-shaped,
/// of an unsupported type, or unexpected.
pub(super) fn select(
    config: &Config,
    shards: &[Shard],
    weight_map: Option<&WeightMap>,
) -> Result<BTreeMap<String, Entry>> {
    let owners = owners(shards, weight_map)?;
    let mut selected = BTreeMap::new();
    for spec in tensor_specs(config) {
        let Some(&index) = owners.get(spec.name.as_str()) else {
            return Err(tensor_error(&spec.name, "is missing".to_owned()));
        };
        let entry = entry(&spec, index, &shards[index])?;
        selected.insert(spec.name, entry);
    }
    match owners.keys().find(|name| !selected.contains_key(**name) && !ignorable(name, config)) {
        Some(name) => Err(tensor_error(
            name,
            format!(
                "is not part of a Qwen3 of {} layers without biases; the result would not depend on it",
                config.num_hidden_layers
            ),
        )),
        None => Ok(selected),
    }
}

/// Tensors that files may hold and the forward pass does not read: a tied head, and the rotary
/// frequencies that old exports contain (they follow from the config).
fn ignorable(name: &str, config: &Config) -> bool {
    (name == HEAD && config.tie_word_embeddings) || name.ends_with(".rotary_emb.inv_freq")
}

/// Which shard holds which tensor; every tensor once, and where the index says.
fn owners<'a>(shards: &'a [Shard], weight_map: Option<&'a WeightMap>) -> Result<BTreeMap<&'a str, usize>> {
    let mut owners = BTreeMap::new();
    for (index, shard) in shards.iter().enumerate() {
        for name in shard.names() {
            if let Some(first) = owners.insert(name, index) {
                let problem = format!("is in {} and in {}", shards[first].name(), shard.name());
                return Err(tensor_error(name, problem));
            }
            let said = weight_map.map(|map| map.get(name));
            match said {
                Some(None) => {
                    let problem = format!("is in {}, but not in the index", shard.name());
                    return Err(tensor_error(name, problem));
                }
                Some(Some(file)) if file != shard.name() => {
                    let problem = format!("is in {}, but the index says {}", shard.name(), clip(file));
                    return Err(tensor_error(name, problem));
                }
                _ => {}
            }
        }
    }
    for (name, file) in weight_map.into_iter().flatten() {
        if !owners.contains_key(name.as_str()) {
            let problem = format!("is not in {}, where the index says it is", clip(file));
            return Err(tensor_error(name, problem));
        }
    }
    Ok(owners)
}

fn entry(spec: &TensorSpec, index: usize, shard: &Shard) -> Result<Entry> {
    let Some((info, range)) = shard.tensor(&spec.name) else {
        return Err(tensor_error(&spec.name, "is missing".to_owned()));
    };
    let dtype = match info.dtype {
        safetensors::Dtype::BF16 => Dtype::Bf16,
        safetensors::Dtype::F16 => Dtype::F16,
        safetensors::Dtype::F32 => Dtype::F32,
        other => {
            let problem = format!("has type {other:?}, supported are BF16, F16 and F32");
            return Err(tensor_error(&spec.name, problem));
        }
    };
    if info.shape != spec.shape {
        return Err(tensor_error(
            &spec.name,
            format!("has shape {}, and the config implies {:?}", clip(&format!("{:?}", info.shape)), spec.shape),
        ));
    }
    Ok(Entry { shard: index, dtype, shape: spec.shape.clone(), range })
}

fn tensor_error(name: &str, problem: String) -> Error {
    Error::Tensor { tensor: clip(name), problem }
}
