//! Laws of the window file: what is written reads back, and whatever breaks the format is refused with its place.

#[path = "../../../tests/runners/protocol/mod.rs"]
mod protocol;

mod variants;

use grail_protocol::window::{Limits, MAX_TEXT_BYTES, ReadError, Schema, Shape, WindowFile, read};

/// As the environment `sat` has it.
const SCHEMA: Schema = Schema {
    statement: &[("clauses", Shape::List(&Shape::List(&Shape::Integer))), ("num_vars", Shape::Integer)],
    answer: &[("assignment", Shape::List(&Shape::Bool)), ("satisfied_clauses", Shape::Integer)],
};

/// As the network of the vectors has them.
const LIMITS: Limits = Limits { text_bytes: MAX_TEXT_BYTES, inferences: 2048, positions: 1024, vocab_size: 768 };

fn vectors() -> std::path::PathBuf {
    protocol::support::folder(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn read_text(text: impl AsRef<[u8]>) -> Result<WindowFile, ReadError> {
    read(text.as_ref(), &SCHEMA, &LIMITS)
}

/// The place of a malformed file.
fn malformed_at<T: std::fmt::Debug>(result: Result<T, ReadError>) -> String {
    match result {
        Err(ReadError::Malformed { path, .. }) => path,
        other => panic!("{other:?} instead of malformed"),
    }
}
