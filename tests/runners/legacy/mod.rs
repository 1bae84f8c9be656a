//! Runners of what the protocol had before `grail-exact-1` replaced it: the arithmetic is here, beside its vectors,
//! because no other code may use it.

pub mod hf_rows;
pub mod randomness;
pub mod windows;

use super::protocol::support::Runner;

/// Every file this module runs.
pub const RUNNERS: &[(&str, Runner)] =
    &[("hf_rows.json", hf_rows::run), ("randomness.json", randomness::run), ("windows.json", windows::run)];
