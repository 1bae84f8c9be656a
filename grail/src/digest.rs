//! Identity of a model: its tensors, the configuration the engine reads, its tokenizer (DESIGN 4.3).
//!
//! Names and paths do not enter; two folders with the same contents are the same model.

use sha2::{Digest, Sha256};

use crate::json::{Style, Value, f64_text};
use crate::{Error, Hash, Result};

/// The tensor that a model with tied embeddings does not have, even where its file does.
const HEAD: &str = "lm_head.weight";

/// What identifies one tensor of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorDigest {
    /// Name in the file.
    pub name: String,
    /// Element type as the file spells it, such as `BF16`.
    pub dtype: String,
    /// Dimensions, outermost first.
    pub shape: Vec<u64>,
    /// SHA-256 of the stored bytes.
    pub sha256: Hash,
}

/// The fields of `config.json` that the engine reads, all required.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct ModelFields {
    pub head_dim: u64,
    pub hidden_size: u64,
    pub intermediate_size: u64,
    pub max_position_embeddings: u64,
    pub num_attention_heads: u64,
    pub num_hidden_layers: u64,
    pub num_key_value_heads: u64,
    pub rms_norm_eps: f64,
    pub rope_theta: f64,
    pub tie_word_embeddings: bool,
    pub vocab_size: u64,
}

impl ModelFields {
    /// The canonical JSON that is hashed; reals are strings.
    #[must_use]
    pub fn canonical(&self) -> String {
        let integer = |value: u64| Value::Integer(value.into());
        let real = |value: f64| Value::Text(f64_text(value));
        let members = [
            ("head_dim", integer(self.head_dim)),
            ("hidden_size", integer(self.hidden_size)),
            ("intermediate_size", integer(self.intermediate_size)),
            ("max_position_embeddings", integer(self.max_position_embeddings)),
            ("num_attention_heads", integer(self.num_attention_heads)),
            ("num_hidden_layers", integer(self.num_hidden_layers)),
            ("num_key_value_heads", integer(self.num_key_value_heads)),
            ("rms_norm_eps", real(self.rms_norm_eps)),
            ("rope_theta", real(self.rope_theta)),
            ("tie_word_embeddings", Value::Bool(self.tie_word_embeddings)),
            ("vocab_size", integer(self.vocab_size)),
        ];
        Value::Object(members.map(|(k, v)| (k.to_owned(), v)).into()).to_text(Style::Canonical)
    }
}

/// Hash of everything that decides what a model computes.
///
/// `tensors` are those the forward pass reads, in any order; the head of a tied model is left out here.
///
/// # Errors
/// [`Error::Tensor`] for a repeated name, or a name, type or shape longer than 2^32 - 1.
pub fn weights_digest(
    tensors: impl IntoIterator<Item = TensorDigest>,
    config: &ModelFields,
    tokenizer_sha256: &Hash,
) -> Result<Hash> {
    let mut tensors: Vec<TensorDigest> =
        tensors.into_iter().filter(|t| !(config.tie_word_embeddings && t.name == HEAD)).collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = tensors.windows(2).find(|p| p[0].name == p[1].name) {
        return Err(refused(&pair[0], "listed twice"));
    }
    let mut hasher = Sha256::new_with_prefix(b"grail-model-v1");
    for tensor in &tensors {
        hash_text(&mut hasher, &tensor.name).ok_or_else(|| refused(tensor, "name too long"))?;
        hash_text(&mut hasher, &tensor.dtype).ok_or_else(|| refused(tensor, "type too long"))?;
        let rank = u32::try_from(tensor.shape.len()).map_err(|_| refused(tensor, "rank too high"))?;
        hasher.update(rank.to_be_bytes());
        for dimension in &tensor.shape {
            hasher.update(dimension.to_be_bytes());
        }
        hasher.update(tensor.sha256);
    }
    let config = config.canonical();
    hasher.update((config.len() as u32).to_be_bytes());
    hasher.update(config);
    hasher.update((tokenizer_sha256.len() as u32).to_be_bytes());
    hasher.update(tokenizer_sha256);
    Ok(hasher.finalize().into())
}

fn hash_text(hasher: &mut Sha256, text: &str) -> Option<()> {
    hasher.update(u32::try_from(text.len()).ok()?.to_be_bytes());
    hasher.update(text);
    Some(())
}

fn refused(tensor: &TensorDigest, problem: &str) -> Error {
    Error::Tensor { tensor: tensor.name.clone(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str) -> TensorDigest {
        TensorDigest { name: name.to_owned(), dtype: "BF16".to_owned(), shape: vec![2, 3], sha256: [1; 32] }
    }

    fn fields(tied: bool) -> ModelFields {
        ModelFields {
            head_dim: 1,
            hidden_size: 2,
            intermediate_size: 3,
            max_position_embeddings: 4,
            num_attention_heads: 5,
            num_hidden_layers: 6,
            num_key_value_heads: 7,
            rms_norm_eps: 1e-6,
            rope_theta: 1e6,
            tie_word_embeddings: tied,
            vocab_size: 8,
        }
    }

    fn digest(tensors: &[TensorDigest], tied: bool) -> Hash {
        weights_digest(tensors.to_vec(), &fields(tied), &[9; 32]).unwrap()
    }

    #[test]
    fn the_order_of_the_list_does_not_count() {
        assert_eq!(digest(&[tensor("a"), tensor("b")], true), digest(&[tensor("b"), tensor("a")], true));
    }

    #[test]
    fn a_tied_head_does_not_count_and_an_untied_one_does() {
        let (with, without) = ([tensor("a"), tensor(HEAD)], [tensor("a")]);
        assert_eq!(digest(&with, true), digest(&without, true));
        assert_ne!(digest(&with, false), digest(&without, false));
    }

    #[test]
    fn a_repeated_name_is_refused() {
        let twice = vec![tensor("a"), tensor("a")];
        assert!(weights_digest(twice, &fields(true), &[9; 32]).is_err());
    }

    #[test]
    fn every_part_of_a_tensor_counts() {
        let base = tensor("a");
        let altered = [
            TensorDigest { name: "b".into(), ..base.clone() },
            TensorDigest { dtype: "F16".into(), ..base.clone() },
            TensorDigest { shape: vec![3, 2], ..base.clone() },
            TensorDigest { shape: vec![2, 3, 1], ..base.clone() },
            TensorDigest { sha256: [2; 32], ..base.clone() },
        ];
        for other in altered {
            assert_ne!(digest(std::slice::from_ref(&base), true), digest(&[other], true));
        }
    }
}
