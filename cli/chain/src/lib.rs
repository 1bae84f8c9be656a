//! The chain as a miner and a validator use it: finalised blocks, the metagraph, commitments, weights.
//!
//! One client for every network: it speaks Substrate JSON-RPC through subxt's dynamic API, so pallets, calls and
//! types are found by name in the metadata that the node serves at each block. Nothing is generated from one
//! version of the runtime, and an upgrade needs no restart: blocks are read by the runtime that made them, and what is
//! signed is signed for the one that makes the next. The local network is a server of the same protocol,
//! not another implementation of this client.
//!
//! Two heads, chosen on purpose. Everything that enters a rule of the protocol (windows, metagraph, roots) is read
//! at *finalised* blocks: [`Chain::head`], [`Chain::block`], [`Chain::follow`]. The *best* block is used where the
//! question is what the next block will accept: the checks before a submission, and [`Chain::best`].
//!
//! Trouble on the way (a node away, slow, stalled or lagging) is not an answer: it is retried with backoff over all
//! endpoints, and each error says by `is_transient` whether waiting may help.
//!
//! Deliberately not here: wallets, staking, and a light client; registration only as local networks need it.

mod blocks;
mod chain;
mod commitments;
mod error;
mod follow;
mod hyperparameters;
mod link;
mod metagraph;
mod nonces;
mod register;
mod runtimes;
mod settings;
mod state;
mod submit;
mod trouble;
mod weights;
mod words;

pub use blocks::Block;
pub use chain::Chain;
pub use commitments::{Commitment, Field, MOST_FIELD_BYTES, MOST_FIELDS};
pub use error::{
    BlockError, CommitmentError, ConnectError, EndpointFailure, NodeError, StateError, SubmitError, WeightsError,
};
pub use follow::Blocks;
pub use hyperparameters::Hyperparameters;
pub use metagraph::{Metagraph, Neuron};
pub use settings::Settings;
pub use submit::{Included, Wait};
pub use weights::{
    ConformError, ConformedWeights, Epochs, Reveal, SubmittedWeights, clip_to_max_weight, conform, normalise,
    reveal_block, reveal_round,
};

/// What the calls encode to and the answers decode from, without a node: for tests against vectors.
#[doc(hidden)]
pub mod offline;
