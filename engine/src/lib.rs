//! Qwen3 inference whose every bit is defined (`NUMERICS`, format `grail-exact-1`).
//!
//! The engine knows "project the hidden state on this integer vector", not what GRAIL is:
//! no protocol, no async, and no network but the download of a checkpoint (feature `hub`).
#![warn(missing_docs)]

pub mod backend;
pub mod checkpoint;
pub mod config;
pub mod context;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod deal;
mod device;
mod engine;
mod error;
mod generate;
pub mod hub;
mod json;
pub mod kv;
mod lane;
pub mod numerics;
mod score;
pub mod tokenizer;
mod trace;
pub mod types;

pub use device::{Chosen, DeviceChoice};
pub use engine::{Engine, EngineOptions};
pub use error::{Error, Fault, FaultKind, Result};
pub use generate::Generated;
pub use score::Scored;
pub use trace::TraceRow;
