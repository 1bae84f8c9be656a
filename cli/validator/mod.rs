//! The validator: what it remembers from window to window.

mod book;

pub use book::{Book, BookError, Miner, SCHEMA_VERSION, Submission, WindowEntry};
