//! The randomness beacon: what a drand chain is, whether a round's signature is right, a client for relays, and a
//! chain of our own for work without a network (DESIGN 4.2, 5; PROTOCOL 9).
//!
//! Nothing here trusts what a relay says: the chain hash and the randomness are always recomputed, and there is no
//! mock that steps in when a beacon is missing. All but [`client`] are pure functions.

mod chain;
pub mod client;
mod clock;
mod local;
pub mod timelock;
mod verify;

pub use chain::{ChainError, ChainInfo, ChainParts, Scheme};
pub use clock::Clock;
pub use local::LocalBeacon;
pub use verify::{BeaconError, signature_from_text, verify};
