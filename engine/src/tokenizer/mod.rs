//! Text to token ids and back, as the `tokenizers` library does it for `tokenizer.json`.
//!
//! Encoding is the library's. Decoding is ours, with the library's rule (a test compares the two):
//! a byte-level token is a run of bytes, so decoding is looking bytes up and reading them as UTF-8,
//! and a stream needs nothing but the bytes of the last unfinished character. Only byte-level BPE
//! is accepted, which every Qwen tokenizer is; `validate` refuses other components by name, before
//! the library sees the file, because it panics on some odd input and can be made to expand a
//! regular expression without bound. This is deliberately not a chat template engine.

pub(crate) mod byte_level;
mod stream;
mod validate;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;

use crate::checkpoint::{Checkpoint, TOKENIZER_CONFIG_LIMIT_BYTES};
use crate::json::{self, clip};
use crate::{Error, Result};

pub use stream::StreamDecoder;

/// The longest text that is encoded at once, in bytes.
pub const TEXT_LIMIT_BYTES: usize = 16 << 20;

/// The tokenizer of a checkpoint.
#[derive(Debug)]
pub struct Tokenizer {
    library: tokenizers::Tokenizer,
    tokens: TokenTable,
    vocab_size: usize,
    eos: Option<(String, u32)>,
}

/// The bytes of every token, by id.
#[derive(Debug, Default)]
struct TokenTable {
    bytes: Vec<u8>,
    /// Token i is `bytes[starts[i]..starts[i + 1]]`; empty where there is no such id.
    starts: Vec<u32>,
    special: Vec<bool>,
}

impl TokenTable {
    /// The bytes that decoding gives for a token.
    fn get(&self, id: u32, skip_special: bool) -> &[u8] {
        let id = id as usize;
        match (self.starts.get(id), self.starts.get(id + 1)) {
            (Some(&start), Some(&end)) if !(skip_special && self.special[id]) => {
                &self.bytes[start as usize..end as usize]
            }
            _ => &[],
        }
    }
}

impl Tokenizer {
    /// The tokenizer of an opened checkpoint.
    ///
    /// # Errors
    /// As [`Tokenizer::new`].
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Self> {
        Self::new(checkpoint.tokenizer_json(), checkpoint.tokenizer_config(), checkpoint.config().vocab_size)
    }

    /// A tokenizer from the bytes of `tokenizer.json` and `tokenizer_config.json`; every id has to
    /// be below `vocab_size`, the rows of the model's embedding.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] naming the component or token that is unsupported or wrong;
    /// [`Error::Checkpoint`] for `tokenizer_config.json`.
    pub fn new(tokenizer_json: &[u8], tokenizer_config: Option<&[u8]>, vocab_size: usize) -> Result<Self> {
        let error = |problem| Error::Tokenizer { problem };
        let checked = validate::check(tokenizer_json, vocab_size).map_err(error)?;
        let library = guarded(|| tokenizers::Tokenizer::from_bytes(tokenizer_json))
            .and_then(|outcome| outcome.map_err(|e| clip(&e.to_string())))
            .map_err(error)?;
        for token in &checked.added {
            match library.token_to_id(&token.content) {
                Some(id) if id == token.id => {}
                other => {
                    return Err(error(format!(
                        "added_tokens: {} has id {}, and its place in the vocabulary gives {}",
                        clip(&token.content),
                        token.id,
                        other.map_or("none".to_owned(), |id| id.to_string())
                    )));
                }
            }
        }
        let eos = match tokenizer_config {
            Some(bytes) => eos_token(bytes, &library)
                .map_err(|problem| Error::Checkpoint { file: "tokenizer_config.json".to_owned(), problem })?,
            None => None,
        };
        Ok(Tokenizer { tokens: checked.table(vocab_size), library, vocab_size, eos })
    }

    /// The ids of a text. Special tokens written in the text become their ids; whatever the
    /// tokenizer's post-processor adds by default is added (nothing for Qwen).
    ///
    /// # Errors
    /// [`Error::Request`] for a text of more than [`TEXT_LIMIT_BYTES`]; [`Error::Tokenizer`] if
    /// the library fails or gives an id that the model has no row for.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        if text.len() > TEXT_LIMIT_BYTES {
            return Err(Error::Request {
                field: "text".to_owned(),
                problem: format!("{} bytes, at most {TEXT_LIMIT_BYTES} are encoded", text.len()),
            });
        }
        let ids = guarded(|| self.library.encode_fast(text, true))
            .and_then(|outcome| outcome.map_err(|e| clip(&e.to_string())))
            .map(|encoding| encoding.get_ids().to_vec());
        match ids {
            Ok(ids) => match ids.iter().find(|&&id| id as usize >= self.vocab_size) {
                None => Ok(ids),
                Some(id) => {
                    Err(Error::Tokenizer { problem: format!("gave id {id}, the model has {} tokens", self.vocab_size) })
                }
            },
            Err(problem) => Err(Error::Tokenizer { problem }),
        }
    }

    /// The text of some ids; `skip_special` leaves special tokens out. Ids without a token give
    /// nothing, bytes that are no UTF-8 give U+FFFD, as in the library.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        let mut bytes = Vec::new();
        for &id in ids {
            bytes.extend_from_slice(self.tokens.get(id, skip_special));
        }
        match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }
    }

    /// A decoder that is fed one id at a time.
    pub fn stream(&self, skip_special: bool) -> StreamDecoder<'_> {
        StreamDecoder::new(self, skip_special)
    }

    /// The id of a token written exactly so in the vocabulary or among the added tokens.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.library.token_to_id(token)
    }

    /// The eos token of `tokenizer_config.json`.
    pub fn eos_token(&self) -> Option<&str> {
        self.eos.as_ref().map(|(text, _)| text.as_str())
    }

    /// The id of [`Tokenizer::eos_token`].
    pub fn eos_id(&self) -> Option<u32> {
        self.eos.as_ref().map(|(_, id)| *id)
    }

    /// The model's vocabulary: every id is below it, and not every id below it need have a token.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }
}

/// Runs a call into the library. `validate` keeps the known panics out; this is for the unknown.
fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| "the tokenizers library panicked on it".to_owned())
}

/// `eos_token`, a string or an object with `content`.
fn eos_token(tokenizer_config: &[u8], library: &tokenizers::Tokenizer) -> Result<Option<(String, u32)>, String> {
    let fields: BTreeMap<String, Value> = json::object(tokenizer_config, TOKENIZER_CONFIG_LIMIT_BYTES)?;
    // It would remove spaces from decoded text, which none of our decoders does.
    if fields.get("clean_up_tokenization_spaces") == Some(&Value::Bool(true)) {
        return Err("clean_up_tokenization_spaces: true is not supported".to_owned());
    }
    let text = match fields.get("eos_token") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(map)) => map.get("content").and_then(Value::as_str),
        Some(value) => value.as_str(),
    };
    let Some(text) = text else {
        return Err("eos_token: is no text and no object with content".to_owned());
    };
    match library.token_to_id(text) {
        Some(id) => Ok(Some((text.to_owned(), id))),
        None => Err(format!("eos_token: {} is not a token", clip(text))),
    }
}
