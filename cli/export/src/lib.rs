//! Rollouts as rows of a Parquet file (PROTOCOL 8.1), in a crate of its own so that the format's library is built once.
//!
//! What a row says is taken from the rollout; whether that is true is for its caller to know, who verifies before.

mod columns;
mod row;
mod table;

use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};

pub use columns::{Column, Kind, columns};
pub use row::row;
pub use table::{ExportError, Source, table};

/// A time in UTC as ISO 8601 has it, to the second.
#[must_use]
pub fn utc(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Secs, true)
}
