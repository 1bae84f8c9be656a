//! A made window: everything a chain and a beacon would say, from one text.

use anyhow::{Result, ensure};
use grail_engine::checkpoint::Checkpoint;
use grail_engine::tokenizer::Tokenizer;
use grail_engine::types::Seed;
use grail_protocol::encoding::sha256;
use grail_protocol::problem::{account_offset, difficulty, difficulty_position, seed_text};
use grail_protocol::randomness::{block_randomness, sampling_seed};
use grail_protocol::signature::Signer;
use grail_protocol::{AccountId, Hash};

use super::ROLLOUTS;
use crate::environment::Environment;
use crate::flags::Demo;
use crate::identity;
use crate::network;
use crate::sat::{Instance, Sat};

/// Public: nobody may trust what this hotkey signs.
const HOTKEY_SEED: &[u8] = b"grail demo hotkey";
const BLOCK: u64 = 1000;

/// What is known at the start of a window.
pub struct Window {
    pub account: AccountId,
    pub network_id: Hash,
    pub weights_digest: Hash,
    /// Number and hash of the made block; none where the randomness was given.
    pub block: Option<(u64, Hash)>,
    /// R_w.
    pub randomness: Hash,
}

/// One problem of the window.
pub struct Problem {
    pub index: u64,
    pub instance: Instance,
    pub tokens: Vec<u32>,
}

impl Window {
    pub fn made(model: &str, checkpoint: &Checkpoint, eos: u32, flags: &Demo) -> Result<Self> {
        let weights_digest = identity::digest(checkpoint)?;
        let file = network::offline(name_of(model), weights_digest, vec![eos], flags.max_new_tokens, ROLLOUTS)?;
        let network_id = *file.network().id();
        let made = |what: &str| sha256(format!("grail demo {what} {}", flags.seed).as_bytes());
        let (block, randomness) = match flags.randomness {
            Some(given) => (None, given.0),
            None => {
                let hash = made("block");
                (Some((BLOCK, hash)), block_randomness(&network_id, BLOCK, &hash, &made("beacon")))
            }
        };
        let account = Signer::from_seed(&sha256(HOTKEY_SEED)).account();
        Ok(Self { account, network_id, weights_digest, block, randomness })
    }

    pub fn problem(&self, index: u64, tokenizer: &Tokenizer) -> Result<Problem> {
        let seed_text = seed_text(&self.account, &self.randomness, index);
        let position = difficulty_position(account_offset(&self.randomness, &self.account), index);
        let instance = Sat.problem(&seed_text, difficulty(position))?;
        let tokens = tokenizer.encode(&Sat.prompt(&instance, tokenizer.eos_token().unwrap_or_default()))?;
        ensure!(!tokens.is_empty(), "the tokenizer makes no token of the prompt of problem {index}");
        Ok(Problem { index, instance, tokens })
    }

    pub fn seeds(&self, index: u64, rollouts: u32) -> Vec<Seed> {
        (0..rollouts).map(|i| Seed(sampling_seed(&self.randomness, &self.account, index, i))).collect()
    }
}

/// A name, never a path.
fn name_of(model: &str) -> &str {
    model.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or("model")
}
