//! What can go wrong, one enum for the crate.
//!
//! Every value that a file or a flag can hold is refused through one of these; nothing here panics.
//! A rollout that breaks a rule is not an error but a verdict.

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A refused value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Text that should be hexadecimal is not.
    #[error("{field}: {problem}")]
    Hex {
        /// What was being read.
        field: &'static str,
        /// What was found and what was expected.
        problem: String,
    },
    /// A JSON document, or a field of it, is not what its reader expects.
    #[error("{field}: {problem}")]
    Json {
        /// The field with the fields around it, or the document.
        field: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// A number or a length is outside what its use allows.
    #[error("{field}: {problem}")]
    Range {
        /// What was being used.
        field: &'static str,
        /// What was found and what was expected.
        problem: String,
    },
    /// Text is not an SS58 address of format 42.
    #[error("address: {problem}")]
    Address {
        /// What was found and what was expected.
        problem: String,
    },
    /// Bytes are not a key of sr25519.
    #[error("{field}: not an sr25519 key: {problem}")]
    Key {
        /// Which key.
        field: &'static str,
        /// What the curve library said.
        problem: String,
    },
    /// A network parameter is out of range.
    #[error("network parameter {field}: {problem}")]
    Parameter {
        /// The parameter's name in the canonical JSON.
        field: &'static str,
        /// What was found and what was expected.
        problem: String,
    },
    /// A list of tensors cannot identify a model.
    #[error("tensor {tensor}: {problem}")]
    Tensor {
        /// The tensor's name.
        tensor: String,
        /// What was found and what was expected.
        problem: String,
    },
}

impl Error {
    /// A [`Error::Range`] with its problem as text.
    pub(crate) fn range(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Range { field, problem: problem.into() }
    }
}
