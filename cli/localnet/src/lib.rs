//! Chain, beacon and bucket of a local network, over their real protocols.

pub mod chain;
