//! Runners of the vectors of PROTOCOL 2 and 3, SS58 and DESIGN 4.
#![allow(dead_code)]

pub mod exact;
pub mod indices;
pub mod int_hash;
pub mod mod_tolerance;
pub mod mt19937;
pub mod prf;
pub mod python_json;
pub mod r_vec;
pub mod signatures;
pub mod sketch;
pub mod ss58;
pub mod support;
pub mod window_variants;

use support::Runner;

/// Every file this module runs.
pub const RUNNERS: &[(&str, Runner)] = &[
    ("exact/protocol.json", exact::run),
    ("indices.json", indices::run),
    ("int_hash.json", int_hash::run),
    ("mod_tolerance.json", mod_tolerance::run),
    ("mt19937.json", mt19937::run),
    ("network/ss58.json", ss58::run),
    ("prf.json", prf::run),
    ("python_json.json", python_json::run),
    ("r_vec.json", r_vec::run),
    ("signatures.json", signatures::run),
    ("sketch.json", sketch::run),
];
