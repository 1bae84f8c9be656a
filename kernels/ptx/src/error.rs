//! Why a text is not a module this interpreter runs.

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PtxError {
    #[error("PTX line {line}: {what}")]
    Syntax { line: u32, what: String },
    /// A form that is correct PTX, perhaps, but not among those that are executed here.
    #[error("PTX line {line}: `{instruction}` is not supported: {what}")]
    Unsupported { line: u32, instruction: String, what: String },
    /// The result of the instruction is not defined to the bit, so that no exact kernel may use it.
    #[error("PTX line {line}: `{instruction}` is not exact: {what}")]
    Inexact { line: u32, instruction: String, what: String },
}

impl PtxError {
    pub(crate) fn syntax(line: u32, what: &str) -> Self {
        Self::Syntax { line, what: what.to_string() }
    }

    pub(crate) fn unsupported(line: u32, instruction: &str, what: &str) -> Self {
        Self::Unsupported { line, instruction: instruction.to_string(), what: what.to_string() }
    }

    pub(crate) fn inexact(line: u32, instruction: &str, what: &str) -> Self {
        Self::Inexact { line, instruction: instruction.to_string(), what: what.to_string() }
    }
}
