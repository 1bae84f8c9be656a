//! A window file that grows: rollouts are compressed as they are made, and the head comes last, when their number is
//! known. The same content as [`super::store`] of the whole text, with the keys in another order.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

use super::gzip::LEVEL;
use super::{Form, Inference, Schema, WindowFile};

/// The rollouts of one group as text: what [`GrowingFile::push`] takes, and what a miner keeps to start again from.
///
/// One line without a line end: entries of the file's list, separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupText {
    text: String,
    rollouts: usize,
}

impl GroupText {
    /// The text of a group.
    #[must_use]
    pub fn new(entries: &[Inference], schema: &Schema) -> Self {
        let mut text = String::new();
        for (i, entry) in entries.iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            entry.push(&mut text, schema, Form::Whole);
        }
        Self { text, rollouts: entries.len() }
    }

    /// A line that was kept, of a group with this many rollouts. What it says is checked by whoever reads the file.
    #[must_use]
    pub fn from_line(line: &str, rollouts: usize) -> Self {
        Self { text: line.to_owned(), rollouts }
    }

    /// The line.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.text
    }
}

/// A gzip stream of a window file that is not finished.
pub struct GrowingFile<W: Write> {
    stream: GzEncoder<W>,
    rollouts: usize,
}

impl<W: Write> GrowingFile<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// The writer's.
    pub fn begin(out: W) -> io::Result<Self> {
        let mut stream = GzBuilder::new().mtime(0).write(out, Compression::new(LEVEL));
        stream.write_all(b"{\"inferences\":[")?;
        Ok(Self { stream, rollouts: 0 })
    }

    /// Appends a group.
    ///
    /// # Errors
    /// The writer's.
    pub fn push(&mut self, group: &GroupText) -> io::Result<()> {
        if group.rollouts == 0 {
            return Ok(());
        }
        if self.rollouts > 0 {
            self.stream.write_all(b",")?;
        }
        self.rollouts += group.rollouts;
        self.stream.write_all(group.text.as_bytes())
    }

    /// Writes the head, whose own rollouts are not looked at, and gives the writer back.
    ///
    /// # Errors
    /// The writer's.
    pub fn finish(mut self, head: &WindowFile) -> io::Result<W> {
        let mut rest = "],".to_owned();
        head.push_head(&mut rest, self.rollouts);
        self.stream.write_all(rest.as_bytes())?;
        self.stream.finish()
    }
}
