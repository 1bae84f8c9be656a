//! GRAIL proofs: what a prover states, what a verifier re-derives.
//!
//! Pure functions only: no network, no clock, no async, no files. Sections named `PROTOCOL n` are
//! the protocol's, sections named `DESIGN 4.n` the profile `grail-exact-1`, which wins.
#![warn(missing_docs)]

pub mod advantages;
pub mod assignment;
pub mod binding;
pub mod digest;
pub mod encoding;
pub mod environment;
mod error;
pub mod groups;
pub mod indices;
pub mod json;
pub mod mersenne;
pub mod params;
pub mod prf;
pub mod problem;
pub mod prove;
pub mod randomness;
pub mod record;
pub mod signature;
pub mod sketch;
pub mod ss58;
pub mod verify;
pub mod window;
pub mod window_root;

pub use error::{Error, Result};

/// A SHA-256 digest, or other 32 bytes of the same kind: block hashes, ids, randomness, seeds.
pub type Hash = [u8; 32];

/// The 32-byte sr25519 public key of a hotkey.
pub type AccountId = [u8; 32];

/// The one numeric format and proof version of this profile.
pub const NUMERICS: &str = "grail-exact-1";

/// Index of the committed layer in the list of hidden states: the last, after the final norm.
pub const LAYER_INDEX: i32 = -1;
