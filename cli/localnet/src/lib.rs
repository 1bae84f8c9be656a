//! Chain, beacon and bucket of a local network, over their real protocols.

pub mod beacon;
pub mod bucket;
pub mod chain;
mod serve;
