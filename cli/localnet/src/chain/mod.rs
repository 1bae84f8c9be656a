//! A development chain that speaks Substrate's JSON-RPC, with Subtensor's metadata, rules and errors for what a
//! subnet's clients use.
//!
//! Unmodified clients (subxt, the Python async-substrate-interface) work against it, so that every local run
//! exercises the code that a real network would. One author, no consensus, no peers, no WebAssembly: the
//! runtime is the Rust code of `runtime`, described by the tables of `metadata`. What it cannot show, that our
//! idea of Subtensor is right, is checked by comparing metadata, calls and keys with the real chain's.
//!
//! * `metadata`: the chain's description of itself, V14 and V15.
//! * `call`, `commitment`, `extrinsic`, `event`, `block`: what is encoded, in SCALE.
//! * `state`, `slots`: keys and values; `database`: their history on disk.
//! * `runtime`, `genesis`, `metagraph`, `api`: what calls do, how it begins, what `state_call` answers.
//! * `node`, `pool`, `clock`: the chain as a program; `rpc`: its server.

mod api;
pub mod block;
pub mod call;
mod clock;
pub mod commitment;
mod database;
mod error;
pub mod event;
pub mod extrinsic;
mod genesis;
pub mod metadata;
mod metagraph;
mod node;
mod pool;
mod rpc;
mod runtime;
mod slots;
pub mod state;
pub mod version;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::ChainError;
pub use genesis::{GenesisConfig, GenesisNeuron};
pub use node::{Chain, ChainConfig, Heads, Sealed};
pub use pool::{Fate, SubmitError};
pub use rpc::ChainServer;
pub use runtime::{Invalid, Unknown, Validity, max_upscale};
pub use slots::{AccountInfo, AxonInfo};
