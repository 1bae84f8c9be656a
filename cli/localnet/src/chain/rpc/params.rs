//! Parameters and errors of the methods.

use grail_protocol::Hash;
use jsonrpsee::types::error::INVALID_PARAMS_CODE;
use jsonrpsee::types::{ErrorObjectOwned, Params, ParamsSequence};
use serde_json::Value;

use crate::chain::error::ChainError;
use crate::chain::node::Chain;

/// Substrate's code of errors of the node itself.
const CLIENT_ERROR: i32 = 4003;

/// What a method gives.
pub(super) type Answer = Result<Value, ErrorObjectOwned>;

/// Bytes as `0x` and hex digits.
pub(crate) fn hex_text(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

pub(super) fn error(code: i32, message: impl Into<String>) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(code, message, None::<()>)
}

pub(super) fn invalid(message: impl std::fmt::Display) -> ErrorObjectOwned {
    error(INVALID_PARAMS_CODE, format!("Invalid params: {message}"))
}

/// Errors of the chain as a program become errors of the node.
pub(super) fn failed(failure: &ChainError) -> ErrorObjectOwned {
    tracing::error!(error = %failure, "a request failed");
    error(CLIENT_ERROR, format!("Client error: {failure}"))
}

/// Parameters by position. Missing ones at the end and nulls are absent.
pub(super) struct Arguments<'a>(ParamsSequence<'a>);

impl<'a> Arguments<'a> {
    pub fn of(params: &'a Params<'_>) -> Self {
        Self(params.sequence())
    }

    pub fn value(&mut self) -> Result<Option<Value>, ErrorObjectOwned> {
        self.0.optional_next::<Value>()
    }

    pub fn text(&mut self, name: &str) -> Result<String, ErrorObjectOwned> {
        match self.value()? {
            Some(Value::String(text)) => Ok(text),
            _ => Err(invalid(format!("{name} must be a string"))),
        }
    }

    /// Bytes in hex.
    pub fn bytes(&mut self, name: &str) -> Result<Vec<u8>, ErrorObjectOwned> {
        decode(name, &self.text(name)?)
    }

    pub fn optional_bytes(&mut self, name: &str) -> Result<Option<Vec<u8>>, ErrorObjectOwned> {
        match self.value()? {
            None => Ok(None),
            Some(Value::String(text)) => decode(name, &text).map(Some),
            Some(_) => Err(invalid(format!("{name} must be a string"))),
        }
    }

    /// A list of bytes in hex.
    pub fn list(&mut self, name: &str) -> Result<Vec<Vec<u8>>, ErrorObjectOwned> {
        let Some(Value::Array(items)) = self.value()? else {
            return Err(invalid(format!("{name} must be a list")));
        };
        items
            .iter()
            .map(|item| item.as_str().ok_or_else(|| invalid(format!("{name} must be a list of strings"))))
            .map(|text| decode(name, text?))
            .collect()
    }

    pub fn hash(&mut self, name: &str) -> Result<Option<Hash>, ErrorObjectOwned> {
        let Some(bytes) = self.optional_bytes(name)? else { return Ok(None) };
        let hash = bytes.try_into().map_err(|_| invalid(format!("{name} must have 32 bytes")))?;
        Ok(Some(hash))
    }

    /// The number of the block of a hash that may be absent: then of the best block.
    pub fn at(&mut self, chain: &Chain) -> Result<u32, ErrorObjectOwned> {
        match self.hash("block hash")? {
            None => Ok(chain.heads().best),
            Some(hash) => chain.block_number(&hash).map_err(|failure| failed(&failure))?.ok_or_else(|| {
                let hash = hex_text(&hash);
                error(CLIENT_ERROR, format!("Client error: UnknownBlock: Header was not found in the database: {hash}"))
            }),
        }
    }
}

/// Hex with or without `0x`, as Substrate takes it; some clients leave it away.
fn decode(name: &str, text: &str) -> Result<Vec<u8>, ErrorObjectOwned> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    hex::decode(digits).map_err(|problem| invalid(format!("{name}: {problem}")))
}
