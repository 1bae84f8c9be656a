//! Tokens of a JSON text that is read once, in pieces, and never held whole.
//!
//! Own code, since the general parsers accept what this format refuses (repeated keys, unpaired surrogates),
//! round or overflow numbers, or hold the text. It knows tokens only; which may follow which is the reader's.
//!
//! The caps on size and nesting are a property of the bytes, not of a parser's progress: a [`Gauge`] sees every
//! piece before it is lexed, and [`Lexer::drain`] shows it the rest of a text that is already known to be
//! malformed. So every reader agrees which texts are over a cap, whatever else is wrong with them.

use std::io::{self, Read};

use super::MAX_NESTING;
use super::fault::{ReadError, Result, excerpt, malformed};

const BUFFER_BYTES: usize = 64 << 10;

/// Measures a text.
struct Gauge {
    bytes: u64,
    limit: u64,
    depth: usize,
    in_text: bool,
    is_escaped: bool,
}

impl Gauge {
    fn observe(&mut self, piece: &[u8]) -> Result<()> {
        self.bytes = self.bytes.saturating_add(piece.len() as u64);
        if self.bytes > self.limit {
            return Err(ReadError::OverCap { what: "bytes of text", limit: self.limit });
        }
        piece.iter().try_for_each(|&byte| self.step(byte))
    }

    /// A quote begins and ends a string, and a backslash in it hides the next byte. Nesting is counted from the
    /// file's object: a list around it is no part of a window file, so it is malformed and not deep.
    fn step(&mut self, byte: u8) -> Result<()> {
        if self.in_text {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            return Ok(());
        }
        match byte {
            b'"' => self.in_text = true,
            b'[' if self.depth == 0 => {}
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        if self.depth > MAX_NESTING {
            return Err(ReadError::OverCap { what: "objects and lists inside each other", limit: MAX_NESTING as u64 });
        }
        Ok(())
    }
}

/// The unread part of a text. Errors have no place yet.
pub(super) struct Lexer<'a> {
    source: &'a mut dyn Read,
    gauge: Gauge,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    word: Vec<u8>,
}

impl<'a> Lexer<'a> {
    /// Refuses more than `text_bytes` bytes.
    pub(super) fn new(source: &'a mut dyn Read, text_bytes: u64) -> Self {
        let gauge = Gauge { bytes: 0, limit: text_bytes, depth: 0, in_text: false, is_escaped: false };
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Self { source, gauge, buffer, start: 0, end: 0, word: Vec::new() }
    }

    /// Reads the rest of the text for its caps only.
    pub(super) fn drain(&mut self) -> Result<()> {
        while !self.piece()?.is_empty() {
            self.start = self.end;
        }
        Ok(())
    }

    /// Whether the next token is this mark, which is then gone.
    pub(super) fn take(&mut self, mark: u8) -> Result<bool> {
        let is_next = self.peek()? == Some(mark);
        self.start += usize::from(is_next);
        Ok(is_next)
    }

    /// Takes a mark.
    pub(super) fn expect(&mut self, mark: u8, expected: &str) -> Result<()> {
        if self.take(mark)? { Ok(()) } else { Err(self.unexpected(expected)?) }
    }

    /// Takes the end of the text.
    pub(super) fn expect_end(&mut self) -> Result<()> {
        if self.peek()?.is_none() { Ok(()) } else { Err(self.unexpected("the end of the text")?) }
    }

    /// Takes a number or a literal, and reads it.
    pub(super) fn word<T>(&mut self, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T> {
        self.take_word()?;
        if self.word.is_empty() {
            return Err(self.unexpected(expected)?);
        }
        let value = std::str::from_utf8(&self.word).ok().and_then(read);
        value.ok_or_else(|| malformed(expected, excerpt(&self.word)))
    }

    /// Takes a string.
    pub(super) fn text(&mut self, expected: &str) -> Result<String> {
        self.expect(b'"', expected)?;
        let mut bytes = Vec::new();
        loop {
            let piece = self.piece()?;
            let plain = piece.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20).unwrap_or(piece.len());
            bytes.extend_from_slice(&piece[..plain]);
            self.start += plain;
            if self.start == self.end && plain > 0 {
                continue;
            }
            match self.next_byte()? {
                Some(b'"') => break,
                Some(b'\\') => {
                    let escaped = self.escape()?;
                    bytes.extend_from_slice(escaped.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(control) => return Err(malformed("control characters escaped", excerpt(&[control]))),
                None => return Err(malformed("the end of a string", "the end of the text")),
            }
        }
        // An escape is whole characters, so it neither mends nor breaks the raw bytes beside it.
        String::from_utf8(bytes).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            malformed("UTF-8", excerpt(&e.as_bytes()[at..]))
        })
    }

    fn escape(&mut self) -> Result<char> {
        let character = match self.next_byte()? {
            Some(plain @ (b'"' | b'\\' | b'/')) => char::from(plain),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            other => return Err(malformed("an escape of JSON", seen(other))),
        };
        Ok(character)
    }

    fn unicode_escape(&mut self) -> Result<char> {
        let first = self.four_digits()?;
        if let Some(character) = char::from_u32(first) {
            return Ok(character);
        }
        let lone = || malformed("a pair of surrogates", format!("\\u{first:04x}"));
        if first >= 0xdc00 || self.next_byte()? != Some(b'\\') || self.next_byte()? != Some(b'u') {
            return Err(lone());
        }
        let second = self.four_digits()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(lone());
        }
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or_else(lone)
    }

    fn four_digits(&mut self) -> Result<u32> {
        let mut value = 0;
        for _ in 0..4 {
            let byte = self.next_byte()?;
            let digit = byte.and_then(|b| char::from(b).to_digit(16));
            value = value << 4 | digit.ok_or_else(|| malformed("four hexadecimal digits", seen(byte)))?;
        }
        Ok(value)
    }

    /// Moves a number, a literal or what looks like one into `word`: all up to a mark, a quote or a blank.
    fn take_word(&mut self) -> Result<()> {
        self.word.clear();
        self.skip_blanks()?;
        loop {
            self.piece()?;
            let piece = &self.buffer[self.start..self.end];
            let length = piece.iter().position(|b| b" \t\n\r,:[]{}\"".contains(b)).unwrap_or(piece.len());
            self.word.extend_from_slice(&piece[..length]);
            self.start += length;
            if self.start < self.end || length == 0 {
                return Ok(());
            }
        }
    }

    /// The error of a next token that is not the expected one.
    fn unexpected(&mut self, expected: &str) -> Result<ReadError> {
        let found = match self.peek()? {
            None => "the end of the text".into(),
            Some(b'{') => "an object".into(),
            Some(b'[') => "a list".into(),
            Some(b'"') => format!("\"{}\"", excerpt(self.text(expected)?.as_bytes())),
            Some(mark @ (b'}' | b']' | b',' | b':')) => char::from(mark).into(),
            Some(_) => {
                self.take_word()?;
                excerpt(&self.word)
            }
        };
        Ok(malformed(expected, found))
    }

    /// The byte after white space, left where it is.
    fn peek(&mut self) -> Result<Option<u8>> {
        self.skip_blanks()?;
        Ok(self.piece()?.first().copied())
    }

    fn skip_blanks(&mut self) -> Result<()> {
        loop {
            let piece = self.piece()?;
            let blanks = piece.iter().take_while(|b| b" \t\n\r".contains(b)).count();
            self.start += blanks;
            if self.start < self.end || blanks == 0 {
                return Ok(());
            }
        }
    }

    fn next_byte(&mut self) -> Result<Option<u8>> {
        let byte = self.piece()?.first().copied();
        self.start += usize::from(byte.is_some());
        Ok(byte)
    }

    /// The bytes at hand; none only at the end of the text.
    fn piece(&mut self) -> Result<&[u8]> {
        while self.start == self.end {
            match self.source.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => {
                    (self.start, self.end) = (0, count.min(BUFFER_BYTES));
                    self.gauge.observe(&self.buffer[..self.end])?;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }
}

/// A byte inside a string, or its absence.
fn seen(byte: Option<u8>) -> String {
    byte.map_or_else(|| "the end of the text".into(), |b| excerpt(&[b]))
}
