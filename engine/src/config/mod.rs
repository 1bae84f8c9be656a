//! `config.json` of a Qwen3 checkpoint, checked field by field.
//!
//! The engine is one model family, hard-wired, so reading a config means two things: taking the
//! eleven fields that define the computation (all required), and refusing by name every setting
//! that would change the computation in a way NUMERICS does not define. Fields that change nothing
//! in a forward pass (dropout, initializer, cache flags, token ids) are ignored. It is deliberately
//! not a mirror of the library's config class with its defaults.

mod unsupported;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::json::{self, clip};
use crate::{Error, Result};

/// The largest `config.json` that is read, in bytes.
pub const CONFIG_LIMIT_BYTES: usize = 1 << 20;

/// Upper limits, well beyond any Qwen3 and small enough that no product of two or three of them,
/// in bytes, leaves u64. `f32(position)` is exact below 2^24.
const MAX_HIDDEN: usize = 1 << 17;
const MAX_INTERMEDIATE: usize = 1 << 19;
const MAX_LAYERS: usize = 1 << 10;
const MAX_HEADS: usize = 1 << 10;
const MAX_HEAD_DIM: usize = 1 << 10;
const MAX_VOCAB: usize = 1 << 22;
const MAX_POSITIONS: usize = 1 << 24;

/// What the engine needs to know of a model. Every field is required in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the MLP.
    pub intermediate_size: usize,
    /// Number of decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads; a multiple of the key/value heads.
    pub num_attention_heads: usize,
    /// Key/value heads; query head h reads `h * num_key_value_heads / num_attention_heads`.
    pub num_key_value_heads: usize,
    /// Channels of one head; even. `num_attention_heads * head_dim` need not be `hidden_size`.
    pub head_dim: usize,
    /// Rows of the embedding and of the head.
    pub vocab_size: usize,
    /// Longest sequence in tokens.
    pub max_position_embeddings: usize,
    /// Epsilon of every RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies, from `rope_theta` or `rope_parameters.rope_theta`.
    pub rope_theta: f64,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
}

impl Config {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field that is missing, of the wrong type, out of range or
    /// unsupported; the field `(file)` if the text as a whole is no JSON object.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let fields: BTreeMap<String, Value> =
            json::object(bytes, CONFIG_LIMIT_BYTES).map_err(|problem| config_error("(file)", problem))?;
        unsupported::check_architecture(&fields)?;
        let config = Config {
            hidden_size: size(&fields, "hidden_size", MAX_HIDDEN)?,
            intermediate_size: size(&fields, "intermediate_size", MAX_INTERMEDIATE)?,
            num_hidden_layers: size(&fields, "num_hidden_layers", MAX_LAYERS)?,
            num_attention_heads: size(&fields, "num_attention_heads", MAX_HEADS)?,
            num_key_value_heads: size(&fields, "num_key_value_heads", MAX_HEADS)?,
            head_dim: size(&fields, "head_dim", MAX_HEAD_DIM)?,
            vocab_size: size(&fields, "vocab_size", MAX_VOCAB)?,
            max_position_embeddings: size(&fields, "max_position_embeddings", MAX_POSITIONS)?,
            rms_norm_eps: real(required(&fields, "rms_norm_eps")?, "rms_norm_eps")?,
            rope_theta: rope_theta(&fields)?,
            tie_word_embeddings: flag(&fields, "tie_word_embeddings")?,
        };
        unsupported::check_settings(&fields, &config)?;
        config.check()?;
        Ok(config)
    }

    /// The relations between fields, and the ranges of the reals.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn check(&self) -> Result<()> {
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads.max(1)) {
            return Err(config_error(
                "num_key_value_heads",
                format!(
                    "{} does not divide num_attention_heads {}",
                    self.num_key_value_heads, self.num_attention_heads
                ),
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            let problem = format!("{} is odd, rotary embedding needs pairs", self.head_dim);
            return Err(config_error("head_dim", problem));
        }
        // The epsilon is added in f32, where 0 would let an all-zero row divide by 0.
        let eps = self.rms_norm_eps;
        if !(eps <= 1.0 && eps as f32 >= f32::MIN_POSITIVE) {
            let problem = format!("{eps:?} is not a positive normal f32 of at most 1");
            return Err(config_error("rms_norm_eps", problem));
        }
        if !(1.0..=1e18).contains(&self.rope_theta) {
            let problem = format!("{:?} is not within 1 to 1e18", self.rope_theta);
            return Err(config_error("rope_theta", problem));
        }
        Ok(())
    }

    /// Rows of the query projection: `num_attention_heads * head_dim`.
    pub fn query_width(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Rows of the key and of the value projection: `num_key_value_heads * head_dim`.
    pub fn key_value_width(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }
}

fn config_error(field: impl Into<String>, problem: impl Into<String>) -> Error {
    Error::Config { field: field.into(), problem: problem.into() }
}

/// A value as an error message shows it.
fn shown(value: &Value) -> String {
    clip(&value.to_string())
}

fn required<'a>(fields: &'a BTreeMap<String, Value>, name: &str) -> Result<&'a Value> {
    fields.get(name).ok_or_else(|| config_error(name, "is missing"))
}

fn size(fields: &BTreeMap<String, Value>, name: &str, limit: usize) -> Result<usize> {
    let value = required(fields, name)?;
    match value.as_u64() {
        Some(n) if n >= 1 && n <= limit as u64 => Ok(n as usize),
        _ => Err(config_error(name, format!("{} is not an integer within 1 to {limit}", shown(value)))),
    }
}

/// A JSON number, an integer or not, as the nearest f64.
fn real(value: &Value, name: &str) -> Result<f64> {
    match value.as_f64() {
        Some(x) if x.is_finite() => Ok(x),
        _ => Err(config_error(name, format!("{} is no real", shown(value)))),
    }
}

fn flag(fields: &BTreeMap<String, Value>, name: &str) -> Result<bool> {
    let value = required(fields, name)?;
    value.as_bool().ok_or_else(|| config_error(name, format!("{} is neither true nor false", shown(value))))
}

/// `rope_theta` stands at the top, or under `rope_parameters` since transformers 5; if in both
/// places, they have to agree.
fn rope_theta(fields: &BTreeMap<String, Value>) -> Result<f64> {
    let read = |value: Option<&Value>, name| match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => real(value, name).map(Some),
    };
    let top = read(fields.get("rope_theta"), "rope_theta")?;
    let nested = match fields.get("rope_parameters") {
        None | Some(Value::Null) => None,
        Some(Value::Object(map)) => read(map.get("rope_theta"), "rope_parameters.rope_theta")?,
        Some(other) => {
            let problem = format!("{} is no object", shown(other));
            return Err(config_error("rope_parameters", problem));
        }
    };
    match (top, nested) {
        (Some(a), Some(b)) if a != b => {
            Err(config_error("rope_theta", format!("{a:?} here and {b:?} under rope_parameters")))
        }
        (Some(theta), _) | (None, Some(theta)) => Ok(theta),
        (None, None) => Err(config_error("rope_theta", "is missing, here and under rope_parameters")),
    }
}
