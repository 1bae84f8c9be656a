//! What can be wrong with a validator's database.

use std::path::PathBuf;

use super::SCHEMA_VERSION;

/// What the database can meet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BookError {
    /// The database or the disk under it.
    #[error("{path}: {source}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: Box<redb::Error>,
    },
    /// Of no use since the disk under it failed, until it is opened again.
    #[error("{path}: failed before: {problem}")]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the database said then.
        problem: String,
    },
    /// Made by another version of the program.
    #[error("{path}: tables of version {found}, this program knows 1 to {SCHEMA_VERSION}")]
    Schema {
        /// The file.
        path: PathBuf,
        /// The version there.
        found: String,
    },
    /// Made for another network.
    #[error("{path}: belongs to network {found}")]
    OtherNetwork {
        /// The file.
        path: PathBuf,
        /// The network there.
        found: String,
    },
    /// An entry is not what was written.
    #[error("{path}: {table}: {problem}")]
    Entry {
        /// The file.
        path: PathBuf,
        /// The table.
        table: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}
