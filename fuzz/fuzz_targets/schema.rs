//! The format both targets read: that of the environment `sat`, with a cap on text that keeps bombs short.

use grail_protocol::window::{Limits, Schema, Shape};

pub const SCHEMA: Schema = Schema {
    statement: &[("clauses", Shape::List(&Shape::List(&Shape::Integer))), ("num_vars", Shape::Integer)],
    answer: &[("assignment", Shape::List(&Shape::Bool)), ("satisfied_clauses", Shape::Integer)],
};

pub const LIMITS: Limits = Limits { text_bytes: 1 << 20, inferences: 2048, positions: 1024, vocab_size: 768 };
