//! The `grail` program as a library.

pub mod commands;
pub mod compare;
pub mod flags;
pub mod identity;
pub mod load;
pub mod logging;
pub mod metrics;
pub mod miner;
pub mod monitor;
pub mod network;
pub mod offline;
pub mod report;
pub mod sat;
pub mod scoring;
pub mod settings;
pub mod subnet;
pub mod terminal;
pub mod validator;
pub mod wallet;

pub use grail_beacon as beacon;
pub use grail_protocol::{advantages, environment};
