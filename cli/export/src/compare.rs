//! Whether two files of rollouts say the same.

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;

/// The one column that is a clock's.
const CLOCK: &str = "uploaded_at";

/// Whether two Parquet files have the same rows in the same columns, but for the time of export. Two exports of one
/// window file do, at whatever time and by whatever version of the format's library they were written.
///
/// What cannot be read as Parquet is not the same as anything.
#[must_use]
pub fn same_rollouts(left: &[u8], right: &[u8]) -> bool {
    compare(left, right).unwrap_or(false)
}

fn compare(left: &[u8], right: &[u8]) -> Result<bool, ParquetError> {
    let open = |bytes: &[u8]| SerializedFileReader::new(Bytes::copy_from_slice(bytes));
    let (left, right) = (open(left)?, open(right)?);
    let mut rows = (rows(&left)?, rows(&right)?);
    loop {
        match (rows.0.next().transpose()?, rows.1.next().transpose()?) {
            (None, None) => return Ok(true),
            (Some(left), Some(right)) => {
                let fields = |row: &parquet::record::Row| {
                    let fields = row.get_column_iter().filter(|(name, _)| *name != CLOCK);
                    fields.map(|(name, field)| (name.clone(), field.clone())).collect::<Vec<_>>()
                };
                if fields(&left) != fields(&right) {
                    return Ok(false);
                }
            }
            _ => return Ok(false),
        }
    }
}

fn rows(file: &SerializedFileReader<Bytes>) -> Result<RowIter<'_>, ParquetError> {
    file.get_row_iter(None)
}
