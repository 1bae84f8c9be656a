//! One runner per file of vectors: a plain function from the folder of vectors to the number of cases that
//! hold, or to the first that does not.
//!
//! `protocol` needs the crate grail-protocol only and is run by its own tests; `program` needs the whole program.
#![allow(dead_code)]

pub mod program;
pub mod protocol;
