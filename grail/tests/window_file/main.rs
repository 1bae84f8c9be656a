//! Laws of the window file: what is written reads back, and whatever breaks the format is refused with its place.

#[path = "../../../tests/runners/protocol/mod.rs"]
mod protocol;

mod caps;
mod gzip;
mod identity;
mod malformed;
mod mutations;
mod sample;
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
#[track_caller]
fn malformed_at(result: Result<WindowFile, ReadError>) -> String {
    match result {
        Err(ReadError::Malformed { path, .. }) => path,
        Err(e) => panic!("not malformed: {e}"),
        Ok(_) => panic!("not malformed: read"),
    }
}

/// What there is too much of in a file.
#[track_caller]
fn over_cap(result: Result<WindowFile, ReadError>) -> &'static str {
    match result {
        Err(ReadError::OverCap { what, .. }) => what,
        Err(e) => panic!("not over a cap: {e}"),
        Ok(_) => panic!("not over a cap: read"),
    }
}

/// The text with its one occurrence of `find` replaced.
#[track_caller]
fn replaced(text: &str, find: &str, replace: &str) -> String {
    assert_eq!(text.matches(find).count(), 1, "{find}");
    text.replacen(find, replace, 1)
}
