//! Decoding one token at a time.

use super::Tokenizer;

/// Gives out text as soon as it is certain: whole characters only, so a character spread over
/// several tokens appears with the last of them. All pieces together equal
/// [`Tokenizer::decode`] of all ids.
#[derive(Debug, Clone)]
pub struct StreamDecoder<'a> {
    tokenizer: &'a Tokenizer,
    skip_special: bool,
    /// The start of a character that is not complete yet: at most three bytes between calls.
    pending: Vec<u8>,
}

impl<'a> StreamDecoder<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer, skip_special: bool) -> Self {
        StreamDecoder { tokenizer, skip_special, pending: Vec::new() }
    }

    /// The text that became certain with this token; often empty.
    pub fn push(&mut self, id: u32) -> String {
        let bytes = self.tokenizer.tokens.get(id, self.skip_special);
        self.pending.extend_from_slice(bytes);
        let mut text = String::new();
        let mut kept = 0;
        for chunk in self.pending.utf8_chunks() {
            text.push_str(chunk.valid());
            kept += chunk.valid().len();
            let invalid = chunk.invalid();
            // Only at the end can more bytes still complete what is there.
            let at_end = kept + invalid.len() == self.pending.len();
            let incomplete = std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none());
            if !(invalid.is_empty() || at_end && incomplete) {
                text.push(char::REPLACEMENT_CHARACTER);
                kept += invalid.len();
            }
        }
        self.pending.drain(..kept);
        text
    }

    /// What is left: U+FFFD if the last character never became complete, else nothing.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}
