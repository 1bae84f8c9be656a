//! What the tables hold.

use grail_protocol::window_root::{WINDOW_ROOT_BYTES, WindowRoot};
use grail_protocol::{AccountId, Hash};
use serde::{Deserialize, Serialize};

/// A block at which a window begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowEntry {
    /// Number of the window's first block.
    pub block_number: u64,
    /// Its hash.
    #[serde(with = "hex::serde")]
    pub block_hash: Hash,
    /// Its time in Unix milliseconds.
    pub timestamp_ms: u64,
}

/// The beacon of such a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeaconEntry {
    /// The round.
    pub round: u64,
    /// Its signature, verified.
    #[serde(with = "hex::serde")]
    pub signature: Vec<u8>,
}

/// What a hotkey had committed at a window's last block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Committed {
    /// The root, which may be another window's.
    #[serde(serialize_with = "root_to_hex", deserialize_with = "root_from_hex")]
    pub root: WindowRoot,
    /// The first field as it is: read credentials, if the miner is right.
    #[serde(with = "hex::serde")]
    pub credentials: Vec<u8>,
}

fn root_to_hex<S: serde::Serializer>(root: &WindowRoot, to: S) -> Result<S::Ok, S::Error> {
    hex::serde::serialize(root.to_bytes(), to)
}

fn root_from_hex<'de, D: serde::Deserializer<'de>>(from: D) -> Result<WindowRoot, D::Error> {
    let bytes: [u8; WINDOW_ROOT_BYTES] = hex::serde::deserialize(from)?;
    WindowRoot::from_bytes(&bytes).ok_or_else(|| serde::de::Error::custom("48 bytes that are no window root"))
}

/// One neuron of a metagraph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Miner {
    /// Its number.
    pub uid: u16,
    /// Its hotkey.
    #[serde(with = "hex::serde")]
    pub hotkey: AccountId,
}

/// Weights that were submitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// The chain's block then.
    pub block: u64,
    /// The newest window that counted.
    pub window_start: u64,
    /// Numbers of the neurons.
    pub uids: Vec<u16>,
    /// Their weights.
    pub weights: Vec<f64>,
    /// What they wait for; none once they are on chain for all to see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
}

/// What tells that committed weights were revealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    /// Time of the beacon's round that opens them, in Unix milliseconds.
    pub round_ms: u64,
    /// The weights as the chain will show them: uid, weight.
    pub shown: Vec<(u16, u16)>,
}
