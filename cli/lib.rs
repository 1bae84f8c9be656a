//! The `grail` program as a library.

pub mod advantages;
pub mod environment;
pub mod sat;
pub mod scoring;
