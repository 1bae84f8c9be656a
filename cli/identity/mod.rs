//! What a model is, whatever it is called: the weights digest of DESIGN 4.3, hashed on every core, and remembered while
//! the files stay the same (`cache`).

pub mod cache;
pub mod stamp;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use anyhow::Result;
use grail_engine::checkpoint::{Checkpoint, TensorView};
use grail_engine::config::Config;
use grail_protocol::Hash;
use grail_protocol::digest::{ModelFields, TensorDigest, weights_digest};
use grail_protocol::encoding::sha256;

use crate::load::Opened;
use cache::{Cache, Key};

/// A digest, and how it was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The digest.
    pub digest: Hash,
    /// It was remembered, not computed.
    pub is_remembered: bool,
}

/// The weights digest of a model that was opened by name: remembered, or else computed and remembered.
///
/// # Errors
/// As [`digest`].
pub fn of(opened: &Opened) -> Result<Hash> {
    Ok(find(opened, Cache::of_user().as_ref(), false)?.digest)
}

/// The same in a cache, if there is one; with `rehash` computed and remembered in any case.
///
/// # Errors
/// As [`digest`].
pub fn find(opened: &Opened, cache: Option<&Cache>, rehash: bool) -> Result<Found> {
    // What is mapped are the files of before it was opened only if they are still those.
    let stamp = || opened.stamp.as_ref().filter(|&before| opened.stamp_now().as_ref() == Some(before));
    let place = cache.zip(stamp().cloned());
    let Some((cache, stamp)) = place else {
        return Ok(Found { digest: digest(&opened.checkpoint)?, is_remembered: false });
    };
    let key = Key { stamp, others: others(&opened.checkpoint)? };
    if let Some(digest) = cache.get(&key).filter(|_| !rehash) {
        return Ok(Found { digest, is_remembered: true });
    }
    let now = SystemTime::now();
    let digest = digest(&opened.checkpoint)?;
    if opened.stamp_now().as_ref() == Some(&key.stamp)
        && let Err(error) = cache.put(&key, &digest, now)
    {
        tracing::debug!(%error, "the weights digest cannot be remembered");
    }
    Ok(Found { digest, is_remembered: false })
}

/// Config and tokenizer as a digest holds them.
fn others(checkpoint: &Checkpoint) -> Result<Hash> {
    Ok(weights_digest(Vec::new(), &fields(checkpoint.config()), &sha256(checkpoint.tokenizer_json()))?)
}

/// The weights digest of a checkpoint, computed.
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
                    // Read once: mapped weights would count as this process's memory until the end.
                    checkpoint.release_pages(view.name());
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
    use crate::load;
    use grail_engine::checkpoint::synthetic::{self, Shape};
    use std::time::Duration;

    #[test]
    fn sat_tiny_is_the_model_of_the_vectors() {
        let digest = digest(&Checkpoint::sat_tiny().unwrap()).unwrap();
        assert_eq!(hex::encode(digest), "f485ef6d879654ab1431ae87581d169e51ac3a51e2d39c6130bd030142f6afe5");
    }

    fn model() -> (tempfile::TempDir, Cache) {
        let place = tempfile::tempdir().unwrap();
        synthetic::write(&Shape::tiny(), 1, &place.path().join("model")).unwrap();
        let cache = Cache::at(place.path().join("cache"));
        (place, cache)
    }

    /// As if the files were old enough for it.
    fn remember(opened: &Opened, cache: &Cache, digest: &Hash) {
        let key = Key { stamp: opened.stamp.clone().unwrap(), others: others(&opened.checkpoint).unwrap() };
        cache.put(&key, digest, SystemTime::now() + Duration::from_secs(60)).unwrap();
    }

    #[test]
    fn a_remembered_digest_is_taken_and_a_fresh_one_is_not_waited_for() {
        let (place, cache) = model();
        let open = || load::open(place.path().join("model").to_str().unwrap()).unwrap();
        let opened = open();
        let computed = find(&opened, Some(&cache), false).unwrap();
        assert_eq!(computed, Found { digest: digest(&opened.checkpoint).unwrap(), is_remembered: false });
        // A lie shows where it comes from.
        remember(&opened, &cache, &[9; 32]);
        assert_eq!(find(&open(), Some(&cache), false).unwrap(), Found { digest: [9; 32], is_remembered: true });
        assert_eq!(find(&open(), Some(&cache), true).unwrap(), computed);
        assert_eq!(find(&open(), None, false).unwrap(), computed);
    }

    #[test]
    fn files_that_changed_after_they_were_opened_are_hashed_and_not_remembered() {
        let (place, cache) = model();
        let opened = load::open(place.path().join("model").to_str().unwrap()).unwrap();
        let computed = digest(&opened.checkpoint).unwrap();
        remember(&opened, &cache, &[9; 32]);
        let weights = place.path().join("model/model.safetensors");
        std::fs::copy(&weights, place.path().join("copy")).unwrap();
        std::fs::rename(place.path().join("copy"), &weights).unwrap();
        assert_eq!(find(&opened, Some(&cache), false).unwrap(), Found { digest: computed, is_remembered: false });
    }

    #[test]
    fn another_config_is_another_digest_though_the_weights_are_the_same() {
        let (place, cache) = model();
        let open = || load::open(place.path().join("model").to_str().unwrap()).unwrap();
        remember(&open(), &cache, &[9; 32]);
        let config = place.path().join("model/config.json");
        let text = std::fs::read_to_string(&config).unwrap();
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["rms_norm_eps"] = 1e-5.into();
        std::fs::write(&config, value.to_string()).unwrap();
        assert!(!find(&open(), Some(&cache), false).unwrap().is_remembered);
    }

    #[test]
    fn the_model_inside_the_binary_is_not_remembered() {
        let (_, cache) = model();
        let opened = load::open("sat-tiny").unwrap();
        assert_eq!(opened.stamp, None);
        assert!(!find(&opened, Some(&cache), false).unwrap().is_remembered);
    }
}
