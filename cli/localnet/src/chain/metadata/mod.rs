//! The chain's description of itself: metadata V14 and V15 of our own making.
//!
//! The tables of `pallets` and `definitions` are written in the notation of Subtensor's sources (`Vec<u16>`,
//! `Registration<u64, u32>`); `registry` turns those texts into scale-info types and `build` puts the whole
//! together. Tables rather than derived types, so that paths, argument names and source-text types are those
//! of the real runtime and can be compared with its metadata line by line.
//!
//! Deliberately not all of Subtensor: only entries that this chain serves are described.

mod build;
mod definitions;
mod pallets;
mod registry;
mod subtensor;

pub use build::{v14, v15};
pub(crate) use pallets::API_VERSIONS;
