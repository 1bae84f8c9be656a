//! What can be wrong with a wallet.

use std::path::PathBuf;

/// Result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A refused file, name, phrase or password. None of them quotes a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that cannot be a file of a wallet.
    #[error("{text:?} is no name of a wallet or hotkey: {problem}")]
    Name {
        /// What was typed.
        text: String,
        /// The rule it breaks.
        problem: &'static str,
    },
    /// Text is no secret URI.
    #[error("secret URI: {problem}")]
    Uri {
        /// The rule it breaks.
        problem: String,
    },
    /// Bytes are no JSON object.
    #[error("not the JSON of a hotkey (line {line}, column {column})")]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// One field is malformed or contradicts another.
    #[error("{field}: {problem}")]
    Field {
        /// The field's name in the file, or what was being read.
        field: &'static str,
        /// What was expected.
        problem: String,
    },
    /// A file without any secret in it.
    #[error("holds none of privateKey, secretSeed and secretPhrase")]
    NoSecret,
    /// An encrypted file, and nobody to ask.
    #[error("is encrypted: give its password with --password-file, GRAIL_WALLET_PASSWORD or at a terminal")]
    NoPassword,
    /// The password of an encrypted file is another.
    #[error("the password does not open it, or it is damaged")]
    WrongPassword,
    /// An encrypted file in a form that is not read.
    #[error("is encrypted in a form older than $NACL: open it once with a current bittensor-wallet, which updates it")]
    OldEncryption,
    /// What an encrypted file needs is not there.
    #[error("decryption: {problem}")]
    Decryption {
        /// What is missing.
        problem: String,
    },
    /// A file that would have been overwritten.
    #[error("{} exists; --overwrite replaces it, and what it holds is lost", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// No such hotkey.
    #[error("{}: there is no such hotkey", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// What is wrong with one file.
    #[error("{}: {source}", path.display())]
    In {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// The file system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Something else of the machine: its randomness or its terminal.
    #[error("{what}: {problem}")]
    Machine {
        /// What was used.
        what: &'static str,
        /// What it said.
        problem: String,
    },
}

impl Error {
    pub(super) fn field(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Field { field, problem: problem.into() }
    }

    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }

    pub(super) fn within(path: impl Into<PathBuf>) -> impl FnOnce(Self) -> Self {
        let path = path.into();
        |source| Self::In { path, source: Box::new(source) }
    }
}
