//! Binding v2: the 32 bytes that a hotkey signs for one rollout (DESIGN 4.8).
//!
//! Every field stands behind its length, so no two statements share a preimage. Version 1, without
//! model identity, network and place, exists only in the tests.

use sha2::{Digest, Sha256};

use crate::encoding::{hash_s_vals, hash_tokens, hash_words};
use crate::{AccountId, Hash, LAYER_INDEX, NUMERICS};

/// Everything a rollout's signature states.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// Prompt and completion.
    pub tokens: &'a [u32],
    /// Sketch values, one per token, in `[0, Q)`.
    pub s_vals: &'a [u32],
    /// R_w of the window.
    pub r_w: &'a Hash,
    /// The network's model name.
    pub model_name: &'a str,
    /// Identity of weights, configuration and tokenizer.
    pub weights_digest: &'a Hash,
    /// Identity of the network's parameters.
    pub network_id: &'a Hash,
    /// The signing hotkey.
    pub account: &'a AccountId,
    /// First block of the window.
    pub window_start: u64,
    /// Number of the problem.
    pub index: u64,
    /// Number of the rollout within its group.
    pub rollout: u32,
    /// Raw log-probabilities of the completion tokens.
    pub raw_logprobs: &'a [f32],
    /// Log-probabilities of the completion tokens under the sampling distribution.
    pub sampling_logprobs: &'a [f32],
}

impl Binding<'_> {
    /// The digest that is signed.
    #[must_use]
    pub fn digest(&self) -> Hash {
        let fields: [&[u8]; 14] = [
            &hash_tokens(self.tokens),
            self.r_w,
            self.model_name.as_bytes(),
            &LAYER_INDEX.to_be_bytes(),
            &hash_s_vals(self.s_vals),
            self.weights_digest,
            NUMERICS.as_bytes(),
            self.network_id,
            self.account,
            &self.window_start.to_be_bytes(),
            &self.index.to_be_bytes(),
            &self.rollout.to_be_bytes(),
            &hash_logprobs(self.raw_logprobs),
            &hash_logprobs(self.sampling_logprobs),
        ];
        let mut hasher = Sha256::new_with_prefix(b"grail-commit-v2");
        for field in fields {
            hasher.update((field.len() as u32).to_be_bytes());
            hasher.update(field);
        }
        hasher.finalize().into()
    }
}

/// SHA-256 over be32 of the bits.
fn hash_logprobs(logprobs: &[f32]) -> Hash {
    hash_words(logprobs.iter().map(|x| x.to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_moves_the_digest() {
        let base = Binding {
            tokens: &[1, 2],
            s_vals: &[3, 4],
            r_w: &[5; 32],
            model_name: "m",
            weights_digest: &[6; 32],
            network_id: &[7; 32],
            account: &[8; 32],
            window_start: 9,
            index: 10,
            rollout: 11,
            raw_logprobs: &[-0.5],
            sampling_logprobs: &[-0.25],
        };
        let zero = [0; 32];
        let altered = [
            Binding { tokens: &[1, 3], ..base },
            Binding { s_vals: &[3, 5], ..base },
            Binding { r_w: &zero, ..base },
            Binding { model_name: "n", ..base },
            Binding { weights_digest: &zero, ..base },
            Binding { network_id: &zero, ..base },
            Binding { account: &zero, ..base },
            Binding { window_start: 0, ..base },
            Binding { index: 0, ..base },
            Binding { rollout: 0, ..base },
            Binding { raw_logprobs: &[-0.75], ..base },
            Binding { sampling_logprobs: &[-0.75], ..base },
            Binding { raw_logprobs: &[-0.25], sampling_logprobs: &[-0.5], ..base },
        ];
        let digests: std::collections::BTreeSet<Hash> = altered.iter().map(Binding::digest).collect();
        assert_eq!(digests.len(), altered.len());
        assert!(!digests.contains(&base.digest()));
        assert_eq!(base.digest(), Binding { ..base }.digest());
    }

    #[test]
    fn the_sign_of_zero_counts_in_logprobs() {
        assert_ne!(hash_logprobs(&[0.0]), hash_logprobs(&[-0.0]));
    }
}
