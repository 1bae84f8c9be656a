//! Weights that were submitted, and wait for their reveal or do not.

use redb::ReadableTable;

use super::{Book, Result, SUBMISSIONS, Submission, json};

/// Submissions that [`Book::late_submissions`] gives.
const LATE_SUBMISSIONS: usize = 16;

impl Book {
    /// Keeps a submission.
    ///
    /// # Errors
    /// The database's.
    pub fn submitted(&self, submission: &Submission) -> Result<()> {
        let text = json(submission);
        self.write(|tables| {
            tables.open_table(SUBMISSIONS)?.insert(submission.block, text.as_str())?;
            Ok(())
        })
    }

    /// The submissions of late, the newest first: as many as the chain lets wait for their reveal, and more.
    ///
    /// # Errors
    /// The database's, and [`BookError::Entry`].
    pub fn late_submissions(&self) -> Result<Vec<Submission>> {
        let texts: Vec<String> = self.read(|tables| {
            let mut texts = Vec::new();
            for entry in tables.open_table(SUBMISSIONS)?.iter()?.rev().take(LATE_SUBMISSIONS) {
                texts.push(entry?.1.value().to_owned());
            }
            Ok(texts)
        })?;
        texts.iter().map(|text| self.parse("submissions", text)).collect()
    }

    /// The newest submission.
    ///
    /// # Errors
    /// The database's, and [`BookError::Entry`].
    pub fn last_submission(&self) -> Result<Option<Submission>> {
        let text =
            self.read(|tables| Ok(tables.open_table(SUBMISSIONS)?.last()?.map(|(_, v)| v.value().to_owned())))?;
        text.map(|text| self.parse("submissions", &text)).transpose()
    }
}
