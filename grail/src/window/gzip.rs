//! A window file as it is stored: one gzip member.
//!
//! Inflated while it is read, so a few bytes that stand for gigabytes cost no memory and stop at the cap on text.
//! Only one member with a right checksum and nothing after it is a file; the window root covers the stored bytes, so
//! leniency here would only give one text many roots.

use std::io::{self, BufRead, BufReader, Read, Write};

use flate2::bufread::GzDecoder;
use flate2::{Compression, GzBuilder};

use super::fault::{ReadError, Result, malformed};
use super::{Limits, MAX_STORED_BYTES, Schema, WindowFile, read};

const BUFFER_BYTES: usize = 64 << 10;

/// Reads a stored window file.
///
/// # Errors
/// As [`read`], and [`ReadError::OverCap`] above [`MAX_STORED_BYTES`], whatever the bytes are;
/// [`ReadError::Malformed`] at `gzip` for anything but one whole gzip member. [`ReadError::Io`] if `stored` cannot
/// be read.
pub fn read_stored(stored: impl Read, schema: &Schema, limits: &Limits) -> Result<WindowFile> {
    let source = Source { stored, bytes: 0, trouble: None };
    let mut decoder = GzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, source));
    let result = read(&mut decoder, schema, limits);
    let mut rest = decoder.into_inner();
    let is_over_cap = matches!(result, Err(ReadError::OverCap { .. }));
    let more = if is_over_cap || rest.get_ref().trouble.is_some() { Ok(0) } else { drain(&mut rest) };
    match (rest.get_mut().trouble.take(), result, more) {
        (Some(trouble), ..) => Err(trouble),
        // The source had no trouble, so this is the decoder's.
        (None, Err(ReadError::Io(broken)), _) => Err(not_one_member(broken.to_string())),
        (None, _, Ok(more)) if more > 0 => Err(not_one_member(format!("{more} more bytes"))),
        (None, result, _) => result,
    }
}

/// Gzip of a text: always the same bytes for the same text.
#[must_use]
pub fn store(text: &str) -> Vec<u8> {
    // Neither a time nor a name: both would differ from run to run.
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::new(LEVEL));
    let written = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    written.expect("writing to a Vec")
}

/// An honest file of 125677 bytes becomes 41720 at level 1, 29622 at this one and 28592 at level 6 in twice the time.
pub(super) const LEVEL: u32 = 3;

fn not_one_member(found: String) -> ReadError {
    malformed("one gzip member and nothing after it", found).at("gzip")
}

/// Bytes up to the end.
fn drain(rest: &mut impl BufRead) -> io::Result<u64> {
    io::copy(rest, &mut io::sink())
}

/// Counts what is read and keeps its own trouble apart from a decoder's.
struct Source<R> {
    stored: R,
    bytes: u64,
    trouble: Option<ReadError>,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = loop {
            match self.stored.read(out) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    let kind = e.kind();
                    self.trouble = Some(e.into());
                    return Err(kind.into());
                }
                Ok(count) => break count,
            }
        };
        self.bytes = self.bytes.saturating_add(count as u64);
        if self.bytes > MAX_STORED_BYTES {
            self.trouble = Some(ReadError::OverCap { what: "stored bytes", limit: MAX_STORED_BYTES });
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(count)
    }
}
