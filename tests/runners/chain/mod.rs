//! Runners of the vectors of a subnet's chain.
#![allow(dead_code)]

pub mod weights;

use super::protocol::support::Runner;

/// Every file this module runs.
pub const RUNNERS: &[(&str, Runner)] = &[("network/weights.json", weights::run)];
