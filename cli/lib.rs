//! The `grail` program as a library.

pub mod advantages;
pub mod commands;
pub mod compare;
pub mod environment;
pub mod flags;
pub mod identity;
pub mod load;
pub mod sat;
pub mod scoring;
pub mod terminal;
pub mod wallet;
