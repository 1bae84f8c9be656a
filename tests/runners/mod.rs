//! One runner per file of vectors: a plain function from the folder of vectors to the number of cases that
//! hold, or to the first that does not.
//!
//! `protocol` needs the crate grail-protocol only and is run by its own tests; the others need more.
#![allow(dead_code)]

pub mod beacon;
pub mod chain;
pub mod exact_model;
pub mod exact_ops;
pub mod generated;
pub mod legacy;
pub mod program;
pub mod protocol;
pub mod store;
pub mod transformers;
pub mod wallet;
