//! Why a window file was not read, and where in it.

use std::fmt::{self, Write};
use std::io;

/// A window file that was not read. The first two make its window void (DESIGN 4.13), in this order.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// More of something than a file may hold.
    #[error("over a cap: more than {limit} {what}")]
    OverCap {
        /// What there is too much of.
        what: &'static str,
        /// The most there may be.
        limit: u64,
    },
    /// The first place that breaks the format.
    #[error("malformed: {path}: expected {expected}, found {found}")]
    Malformed {
        /// The place, as `inferences[5].commit.s_vals[3]`; `file` is all of it and `gzip` what it is stored in.
        path: String,
        /// What the format wants there.
        expected: String,
        /// What is there, shortened, in printable ASCII.
        found: String,
    },
    /// The source could not be read; this says nothing about the file.
    #[error("reading a window file: {0}")]
    Io(#[from] io::Error),
}

pub(super) type Result<T> = std::result::Result<T, ReadError>;

impl ReadError {
    /// This error at a place, if it is one that has a place.
    pub(super) fn at(self, place: impl fmt::Display) -> Self {
        match self {
            Self::Malformed { expected, found, .. } => Self::Malformed { path: place.to_string(), expected, found },
            other => other,
        }
    }
}

/// A malformed place; whoever knows where it is adds the path.
pub(super) fn malformed(expected: impl Into<String>, found: impl Into<String>) -> ReadError {
    ReadError::Malformed { path: String::new(), expected: expected.into(), found: found.into() }
}

/// Bytes of what was found that an error repeats.
const EXCERPT_BYTES: usize = 40;

/// The beginning of something found, in printable ASCII.
pub(super) fn excerpt(found: &[u8]) -> String {
    let beginning = found.get(..EXCERPT_BYTES).unwrap_or(found).escape_ascii().to_string();
    if found.len() > EXCERPT_BYTES { beginning + "..." } else { beginning }
}

/// A step from a value to one inside it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Key(&'static str),
    Item(usize),
}

/// A place in a file.
#[derive(Debug, Default)]
pub(super) struct Place(Vec<Step>);

impl Place {
    pub(super) fn enter(&mut self, step: Step) {
        self.0.push(step);
    }

    pub(super) fn leave(&mut self) {
        self.0.pop();
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("file");
        }
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) => {
                    if i > 0 {
                        f.write_char('.')?;
                    }
                    f.write_str(key)?;
                }
                Step::Item(item) => write!(f, "[{item}]")?,
            }
        }
        Ok(())
    }
}
