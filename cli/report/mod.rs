//! What happened on a small subnet run: the data, a closing table for a terminal, and one HTML file.
//!
//! Everything here is a pure function of a [`Report`], so that the same run gives the same bytes, and a report can be
//! drawn again from its data. The HTML loads nothing and runs nothing: styles and drawings are inside it, a policy in
//! its head forbids the rest, and what miners chose (names, tokens, reasons) is escaped wherever it stands. It judges
//! nothing either: verdicts and weights are those of the validator and the chain.

pub(crate) mod axis;
mod conclusion;
pub(crate) mod escape;
mod figures;
mod html;
mod model;
pub(crate) mod numbers;
pub(crate) mod plot;
mod rollout;
mod sections;
mod table;
mod totals;

#[cfg(test)]
mod example;
#[cfg(test)]
mod laws;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub use conclusion::{conclusion, is_as_expected};
pub use html::html;
pub use model::{
    CheckCommand, Difference, Edit, Entry, Fact, Outcome, Party, Reason, Report, Role, RolloutDetail, Token, TokenName,
    Verdict, Weight,
};
pub use table::{WIDTH, table};
pub use totals::Totals;

/// Writes a report's HTML whole: a reader sees the file of before or the new one, never a part.
///
/// # Errors
/// Where the folder cannot be written, or the file not be renamed into its place; the part is taken away again.
pub fn write(path: &Path, html: &str) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{} does not name a file", path.display()))
    })?;
    let mut part_name = name.to_owned();
    part_name.push(format!(".{}.part", std::process::id()));
    let part: PathBuf = path.with_file_name(part_name);
    let written = write_synced(&part, html).and_then(|()| std::fs::rename(&part, path));
    if written.is_err() {
        // The trouble to tell is the first one.
        let _ = std::fs::remove_file(&part);
    }
    written
}

fn write_synced(path: &Path, text: &str) -> io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
