//! Errors of the chain as a program; what it refuses of others are values (`Validity`, `DispatchError`).

use std::net::SocketAddr;
use std::path::PathBuf;

/// What can go wrong with the chain itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The data folder cannot be made or read.
    #[error("the data folder {path} cannot be used")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database in the data folder failed.
    #[error("the chain's database failed while {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: Box<redb::Error>,
    },
    /// The database holds something that this chain did not write.
    #[error("the chain's database is damaged: {problem}")]
    Damaged {
        /// What is wrong.
        problem: String,
    },
    /// The data folder holds a chain that began otherwise.
    #[error(
        "the data folder holds a chain with another genesis than the one configured; use its settings, or an empty folder"
    )]
    OtherGenesis,
    /// A setting that no chain can have.
    #[error("genesis: {field}: {problem}")]
    Genesis {
        /// The setting.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The server cannot listen there.
    #[error("the chain's server cannot listen on {address}")]
    Listen {
        /// Where it should have listened.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The block number has reached its end.
    #[error("the chain is at its last block number")]
    LastBlock,
}

/// Gives database errors the step at which they happened.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, ChainError>;
}

impl<T, E: Into<redb::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: &'static str) -> Result<T, ChainError> {
        self.map_err(|source| ChainError::Database { doing, source: Box::new(source.into()) })
    }
}
