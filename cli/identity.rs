//! What a model is, whatever it is called: the weights digest of DESIGN 4.3, hashed on every core.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use grail_engine::checkpoint::{Checkpoint, TensorView};
use grail_engine::config::Config;
use grail_protocol::Hash;
use grail_protocol::digest::{ModelFields, TensorDigest, weights_digest};
use grail_protocol::encoding::sha256;

/// The weights digest of a checkpoint.
///
/// # Errors
/// None for a checkpoint that opened; the protocol's own checks are kept.
pub fn digest(checkpoint: &Checkpoint) -> Result<Hash> {
    let views: Vec<TensorView<'_>> = checkpoint.tensors().collect();
    let (next, digests) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(views.len())));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(views.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(view) = views.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let digest = tensor(view);
                    digests.lock().expect("no panic while held").push(digest);
                }
            });
        }
    });
    let digests = digests.into_inner().expect("no panic while held");
    Ok(weights_digest(digests, &fields(checkpoint.config()), &sha256(checkpoint.tokenizer_json()))?)
}

fn tensor(view: &TensorView<'_>) -> TensorDigest {
    TensorDigest {
        name: view.name().to_owned(),
        dtype: view.dtype().name().to_owned(),
        shape: view.shape().iter().map(|&n| n as u64).collect(),
        sha256: sha256(view.bytes()),
    }
}

fn fields(config: &Config) -> ModelFields {
    ModelFields {
        head_dim: config.head_dim as u64,
        hidden_size: config.hidden_size as u64,
        intermediate_size: config.intermediate_size as u64,
        max_position_embeddings: config.max_position_embeddings as u64,
        num_attention_heads: config.num_attention_heads as u64,
        num_hidden_layers: config.num_hidden_layers as u64,
        num_key_value_heads: config.num_key_value_heads as u64,
        rms_norm_eps: config.rms_norm_eps,
        rope_theta: config.rope_theta,
        tie_word_embeddings: config.tie_word_embeddings,
        vocab_size: config.vocab_size as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sat_tiny_is_the_model_of_the_vectors() {
        let digest = digest(&Checkpoint::sat_tiny().unwrap()).unwrap();
        assert_eq!(hex::encode(digest), "f485ef6d879654ab1431ae87581d169e51ac3a51e2d39c6130bd030142f6afe5");
    }
}
