//! Headers and blocks, and the hashes that name them.

use grail_protocol::Hash;
use parity_scale_codec::{Decode, Encode};
use serde_json::{Value, json};
use sp_crypto_hashing::blake2_256;

use super::rpc::hex_text;

/// A block's header. Its hash is blake2-256 of its SCALE form, as on every Substrate chain.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Header {
    /// Hash of the block before; zero in the first block.
    pub parent_hash: Hash,
    /// Number of the block; the first is 0.
    #[codec(compact)]
    pub number: u32,
    /// Digest of the state after the block (`state::root`), not a trie's root: this chain proves nothing to
    /// light clients.
    pub state_root: Hash,
    /// blake2-256 over the SCALE list of the block's extrinsics.
    pub extrinsics_root: Hash,
    /// The list of digest items, always empty: there is one author and no consensus to record.
    digest: Vec<u8>,
}

impl Header {
    /// A header over a block's extrinsics and the state after it.
    #[must_use]
    pub fn new(parent_hash: Hash, number: u32, state_root: Hash, extrinsics: &[Vec<u8>]) -> Self {
        let extrinsics_root = blake2_256(&extrinsics.encode());
        Self { parent_hash, number, state_root, extrinsics_root, digest: vec![] }
    }

    /// The block's hash.
    #[must_use]
    pub fn hash(&self) -> Hash {
        blake2_256(&self.encode())
    }

    /// As `chain_getHeader` gives it.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "parentHash": hex_text(&self.parent_hash),
            "number": format!("{:#x}", self.number),
            "stateRoot": hex_text(&self.state_root),
            "extrinsicsRoot": hex_text(&self.extrinsics_root),
            "digest": { "logs": [] },
        })
    }
}

/// A block as it is stored.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// Extrinsics in order, each with its length prefix.
    pub extrinsics: Vec<Vec<u8>>,
}

impl Block {
    /// As `chain_getBlock` gives it.
    #[must_use]
    pub fn json(&self) -> Value {
        let extrinsics = self.extrinsics.iter().map(|bytes| hex_text(bytes)).collect::<Vec<_>>();
        json!({
            "block": { "header": self.header.json(), "extrinsics": extrinsics },
            "justifications": null,
        })
    }
}
