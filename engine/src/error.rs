//! What can go wrong, one enum for the crate.
//!
//! A [`Fault`] is different from the rest: it belongs to one sequence (NUMERICS section 1) and is
//! returned beside that sequence's batch mates, which go on.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A value that NUMERICS section 1 excludes; it ends the sequence it happened in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("numeric fault: {kind} in layer {layer} at position {position}")]
pub struct Fault {
    /// What was met.
    pub kind: FaultKind,
    /// Layer, counted from 0; the number of layers for the final norm and the head.
    pub layer: usize,
    /// Position in the whole sequence, counted from 0.
    pub position: usize,
}

/// The kinds of [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum FaultKind {
    /// NaN, Inf or a magnitude of 2^60 or more fed to a quantizer (section 3).
    #[error("a quantizer was fed NaN, Inf or a magnitude of at least 2^60")]
    Quantizer,
    /// A sum of squares that is not finite (section 5).
    #[error("a sum of squares is not finite")]
    SumOfSquares,
    /// NaN scores or |n_c| > 2^20 (section 6).
    #[error("attention scores are NaN or beyond 2^20")]
    Attention,
    /// NaN y_i or |n_c| > 2^20 (section 9).
    #[error("logits are NaN or beyond 2^20")]
    Logits,
    /// NaN or |1024 h| >= 2^31 (section 10).
    #[error("a hidden value does not fit the sketch")]
    Sketch,
}

/// Everything else.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A field of config.json is missing, of the wrong type or out of range.
    #[error("config.json: {field}: {problem}")]
    Config {
        /// The field's name.
        field: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// The checkpoint's files contradict the format or each other.
    #[error("{file}: {problem}")]
    Checkpoint {
        /// The file's name.
        file: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// A tensor is missing, mis-shaped, of an unsupported type, or holds a value that cannot be used.
    #[error("tensor {tensor}: {problem}")]
    Tensor {
        /// The tensor's name.
        tensor: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// tokenizer.json cannot be used.
    #[error("tokenizer.json: {problem}")]
    Tokenizer {
        /// What was found and what was expected.
        problem: String,
    },
    /// A model argument leads to no model.
    #[error("model {model}: {problem}")]
    Model {
        /// The argument as given.
        model: String,
        /// What was tried and what would help.
        problem: String,
    },
    /// A request or an option is out of range.
    #[error("{field}: {problem}")]
    Request {
        /// The field's name, with indices where it is a list.
        field: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// The machine or the build lacks something that was asked for.
    #[error("{what}: {problem}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// What is missing.
        problem: String,
    },
    /// A GPU or its driver refused a call or failed in one.
    #[error("{device}: {what}: {problem}")]
    Device {
        /// The device as on the command line, `cuda:0`.
        device: String,
        /// What was being done.
        what: String,
        /// The driver's words.
        problem: String,
    },
    /// A sequence met a value that NUMERICS section 1 excludes, where there is no other result.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The memory budget cannot hold even one sequence of the request.
    #[error("memory budget of {budget_bytes} bytes is too small: {needed_bytes} bytes are needed for {purpose}")]
    Memory {
        /// The budget.
        budget_bytes: u64,
        /// What it would have to be.
        needed_bytes: u64,
        /// What for.
        purpose: String,
    },
}
