//! Rollouts as rows of a Parquet file (PROTOCOL 8.1), in a crate of its own so that the format's library is built once.
//!
//! What a row says is taken from the rollout; whether that is true is for its caller to know, who verifies before.

mod columns;
mod compare;
mod row;
mod table;

use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};

pub use columns::{Column, Kind, columns};
pub use compare::same_rollouts;
pub use row::row;
pub use table::{ExportError, Source, table};

/// A time in UTC as ISO 8601 has it, to the second.
#[must_use]
pub fn utc(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_time_is_written_in_utc_to_the_second() {
        assert_eq!(utc(UNIX_EPOCH + Duration::from_millis(1_757_700_000_999)), "2025-09-12T18:00:00Z");
    }

    #[test]
    fn every_column_has_its_own_name() {
        let mut names: Vec<&str> = columns().iter().map(|column| column.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), columns().len());
    }
}
