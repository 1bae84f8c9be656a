//! What a validator knows, on disk: windows and metagraphs as they passed, roots, verdicts, submitted weights.
//!
//! Public nodes forget state after a while, so what is needed later is written when it passes. One embedded database,
//! every change a transaction: a validator that was killed has all of a window's entries or none. Values are JSON text
//! that a person can read; the tables carry a schema version: an older one is migrated, a newer one refused.

mod entries;
mod error;
mod submissions;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use grail_protocol::record::Record;
use grail_protocol::{AccountId, Hash};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

use crate::scoring::ROLLING_WINDOWS;
pub use entries::{BeaconEntry, Committed, Miner, Submission, Waiting, WindowEntry};
pub use error::BookError;

/// Changes the tables of one version into those of the next.
type Migration = fn(&redb::WriteTransaction) -> std::result::Result<(), redb::Error>;

/// The way from version 1 to that of the tables below, one step a version.
const MIGRATIONS: &[Migration] = &[];

/// Version of the tables below.
pub const SCHEMA_VERSION: u64 = 1 + MIGRATIONS.len() as u64;

/// Memory for pages of the database, for which the library takes up to 1 GiB by itself: every page that was ever written. What
/// is read again is of the last windows.
const CACHE_BYTES: usize = 1 << 20;

const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
const WINDOWS: TableDefinition<'_, u64, &str> = TableDefinition::new("windows");
const METAGRAPHS: TableDefinition<'_, u64, &str> = TableDefinition::new("metagraphs");
const BEACONS: TableDefinition<'_, u64, &str> = TableDefinition::new("beacons");
const ROOTS: TableDefinition<'_, (u64, &[u8]), &str> = TableDefinition::new("roots");
const ROOTED: TableDefinition<'_, u64, u64> = TableDefinition::new("rooted");
const RECORDS: TableDefinition<'_, (u64, &[u8]), &str> = TableDefinition::new("records");
const JUDGED: TableDefinition<'_, u64, u64> = TableDefinition::new("judged");
const PUBLISHED: TableDefinition<'_, u64, u64> = TableDefinition::new("published");
const SUBMISSIONS: TableDefinition<'_, u64, &str> = TableDefinition::new("submissions");

type Result<T> = std::result::Result<T, BookError>;

/// Records by miner and first block of the window.
pub type History = BTreeMap<AccountId, BTreeMap<u64, Record>>;

/// The database of one validator on one network.
#[derive(Debug)]
pub struct Book {
    path: PathBuf,
    database: Database,
    /// How the disk failed, the first time. After that the database only says that something did.
    failure: OnceLock<String>,
}

impl Book {
    /// Opens or makes the database of a network. Tables of an older version are brought to this program's: all steps in
    /// one transaction, so that a failure or a kill leaves what was there.
    ///
    /// # Errors
    /// [`BookError::Schema`] and [`BookError::OtherNetwork`] for one that is not this program's or this network's.
    pub fn open(path: &Path, network_id: &Hash) -> Result<Self> {
        Self::open_with(path, network_id, MIGRATIONS)
    }

    fn open_with(path: &Path, network_id: &Hash, migrations: &[Migration]) -> Result<Self> {
        let failed = |source: redb::Error| BookError::Database { path: path.to_owned(), source: Box::new(source) };
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(path);
        let database = database.map_err(|e| failed(e.into()))?;
        let book = Self { path: path.to_owned(), database, failure: OnceLock::new() };
        let version = 1 + migrations.len() as u64;
        book.write(|tables| {
            let mut meta = tables.open_table(META)?;
            for (key, value) in [("schema", version.to_string()), ("network", hex::encode(network_id))] {
                if meta.get(key)?.is_none() {
                    meta.insert(key, value.as_str())?;
                }
            }
            Ok(())
        })?;
        let meta = |key: &str| book.read(|t| Ok(t.open_table(META)?.get(key)?.map(|v| v.value().to_owned())));
        let found = meta("network")?.unwrap_or_default();
        if found != hex::encode(network_id) {
            return Err(BookError::OtherNetwork { path: book.path, found });
        }
        let found = meta("schema")?.unwrap_or_default();
        let Some(from) = found.parse::<u64>().ok().filter(|found| (1..=version).contains(found)) else {
            return Err(BookError::Schema { path: book.path, found });
        };
        book.write(|tables| {
            for migration in &migrations[(from - 1) as usize..] {
                migration(tables)?;
            }
            tables.open_table(META)?.insert("schema", version.to_string().as_str())?;
            // Readers find every table.
            tables.open_table(WINDOWS)?;
            tables.open_table(METAGRAPHS)?;
            tables.open_table(BEACONS)?;
            tables.open_table(ROOTS)?;
            tables.open_table(ROOTED)?;
            tables.open_table(RECORDS)?;
            tables.open_table(JUDGED)?;
            tables.open_table(PUBLISHED)?;
            tables.open_table(SUBMISSIONS)?;
            Ok(())
        })?;
        if from < version {
            tracing::info!(path = %book.path.display(), from, to = version, "the tables are of this version now");
        }
        Ok(book)
    }

    /// Keeps a window's beginning with its metagraph.
    ///
    /// # Errors
    /// The database's, as of every method here.
    pub fn begin_window(&self, window: &WindowEntry, miners: &[Miner]) -> Result<()> {
        let (window_text, miners) = (json(window), json(miners));
        self.write(|tables| {
            tables.open_table(WINDOWS)?.insert(window.block_number, window_text.as_str())?;
            tables.open_table(METAGRAPHS)?.insert(window.block_number, miners.as_str())?;
            Ok(())
        })
    }

    /// A window's beginning and its miners, if they were kept.
    ///
    /// # Errors
    /// The database's, and [`BookError::Entry`].
    pub fn window(&self, window_start: u64) -> Result<Option<(WindowEntry, Vec<Miner>)>> {
        let texts = self.read(|tables| {
            let window = tables.open_table(WINDOWS)?.get(window_start)?.map(|v| v.value().to_owned());
            let miners = tables.open_table(METAGRAPHS)?.get(window_start)?.map(|v| v.value().to_owned());
            Ok(window.zip(miners))
        })?;
        let Some((window, miners)) = texts else {
            return Ok(None);
        };
        Ok(Some((self.parse("windows", &window)?, self.parse("metagraphs", &miners)?)))
    }

    /// First blocks of the windows that were seen to begin, after one, ascending.
    ///
    /// # Errors
    /// The database's.
    pub fn windows_after(&self, after: Option<u64>) -> Result<Vec<u64>> {
        self.read(|tables| {
            let table = tables.open_table(WINDOWS)?;
            let range = table.range(after.map_or(0, |w| w.saturating_add(1))..)?;
            range.map(|entry| Ok(entry?.0.value())).collect::<std::result::Result<_, redb::Error>>()
        })
    }

    /// The newest block of which something was kept: a window's first or last.
    ///
    /// # Errors
    /// The database's.
    pub fn watched(&self) -> Result<Option<u64>> {
        self.read(|tables| {
            let begun = tables.open_table(WINDOWS)?.last()?.map(|(window, _)| window.value());
            let rooted = tables.open_table(ROOTED)?.last()?.map(|(_, block)| block.value());
            Ok(begun.max(rooted))
        })
    }

    /// Keeps the beacon of a block.
    ///
    /// # Errors
    /// The database's.
    pub fn keep_beacon(&self, block: u64, beacon: &BeaconEntry) -> Result<()> {
        let text = json(beacon);
        self.write(|tables| {
            tables.open_table(BEACONS)?.insert(block, text.as_str())?;
            Ok(())
        })
    }

    /// The beacon of a block, if it was kept.
    ///
    /// # Errors
    /// The database's, and [`BookError::Entry`].
    pub fn beacon(&self, block: u64) -> Result<Option<BeaconEntry>> {
        let text = self.read(|t| Ok(t.open_table(BEACONS)?.get(block)?.map(|v| v.value().to_owned())))?;
        text.map(|text| self.parse("beacons", &text)).transpose()
    }

    /// Keeps what all hotkeys had committed at the last block of a window.
    ///
    /// # Errors
    /// The database's.
    pub fn keep_roots(&self, window_start: u64, block: u64, roots: &BTreeMap<AccountId, Committed>) -> Result<()> {
        self.write(|tables| {
            let mut table = tables.open_table(ROOTS)?;
            for (account, committed) in roots {
                table.insert((window_start, account.as_slice()), json(committed).as_str())?;
            }
            tables.open_table(ROOTED)?.insert(window_start, block)?;
            Ok(())
        })
    }

    /// What had been committed at the last block of a window; none if that block passed without us.
    ///
    /// # Errors
    /// The database's, and [`BookError::Entry`].
    pub fn roots(&self, window_start: u64) -> Result<Option<BTreeMap<AccountId, Committed>>> {
        let found = self.read(|tables| {
            if tables.open_table(ROOTED)?.get(window_start)?.is_none() {
                return Ok(None);
            }
            let table = tables.open_table(ROOTS)?;
            let mut found = Vec::new();
            for entry in table.range((window_start, &[][..])..(window_start + 1, &[][..]))? {
                let (key, value) = entry?;
                found.push((key.value().1.to_vec(), value.value().to_owned()));
            }
            Ok(Some(found))
        })?;
        let Some(found) = found else {
            return Ok(None);
        };
        let parse = |(account, committed): (Vec<u8>, String)| {
            let account =
                AccountId::try_from(account).map_err(|_| self.entry("roots", "a key of no account".into()))?;
            Ok((account, self.parse("roots", &committed)?))
        };
        found.into_iter().map(parse).collect::<Result<_>>().map(Some)
    }

    /// Keeps the signed records of a window: from then on it is judged.
    ///
    /// # Errors
    /// The database's.
    pub fn judge(&self, window_start: u64, records: &BTreeMap<AccountId, String>) -> Result<()> {
        self.write(|tables| {
            let mut table = tables.open_table(RECORDS)?;
            for (account, record) in records {
                table.insert((window_start, account.as_slice()), record.as_str())?;
            }
            tables.open_table(JUDGED)?.insert(window_start, records.len() as u64)?;
            Ok(())
        })
    }

    /// The signed records of a window; none if it was not judged.
    ///
    /// # Errors
    /// The database's, and [`BookError::Entry`].
    pub fn records(&self, window_start: u64) -> Result<Option<Vec<String>>> {
        self.read(|tables| {
            if tables.open_table(JUDGED)?.get(window_start)?.is_none() {
                return Ok(None);
            }
            let table = tables.open_table(RECORDS)?;
            let range = table.range((window_start, &[][..])..(window_start + 1, &[][..]))?;
            range
                .map(|entry| Ok(entry?.1.value().to_owned()))
                .collect::<std::result::Result<_, redb::Error>>()
                .map(Some)
        })
    }

    /// The newest window that was judged.
    ///
    /// # Errors
    /// The database's.
    pub fn last_judged(&self) -> Result<Option<u64>> {
        self.read(|tables| Ok(tables.open_table(JUDGED)?.last()?.map(|(window, _)| window.value())))
    }

    /// The records of the last windows up to one, by miner and window.
    ///
    /// # Errors
    /// The database's, and [`BookError::Entry`].
    pub fn history(&self, window_start: u64, window_length: u64) -> Result<History> {
        let mut history = History::new();
        for back in (0..ROLLING_WINDOWS as u64).rev() {
            let Some(window) = window_start.checked_sub(back * window_length) else {
                continue;
            };
            for text in self.records(window)?.unwrap_or_default() {
                let record = Record::read(&text).map_err(|e| self.entry("records", e.to_string()))?;
                history.entry(record.subject.hotkey).or_default().insert(window, record);
            }
        }
        Ok(history)
    }

    /// Judged windows up to one whose records are not published, ascending.
    ///
    /// # Errors
    /// The database's.
    pub fn unpublished(&self, up_to: u64) -> Result<Vec<u64>> {
        self.read(|tables| {
            let (judged, published) = (tables.open_table(JUDGED)?, tables.open_table(PUBLISHED)?);
            let mut found = Vec::new();
            for entry in judged.range(..=up_to)? {
                let window = entry?.0.value();
                if published.get(window)?.is_none() {
                    found.push(window);
                }
            }
            Ok(found)
        })
    }

    /// Notes that a window's records are published.
    ///
    /// # Errors
    /// The database's.
    pub fn published(&self, window_start: u64, records: u64) -> Result<()> {
        self.write(|tables| {
            tables.open_table(PUBLISHED)?.insert(window_start, records)?;
            Ok(())
        })
    }

    /// Forgets all windows before one, whatever became of them, and weights that were submitted before it.
    ///
    /// # Errors
    /// The database's.
    pub fn forget_before(&self, window_start: u64) -> Result<()> {
        self.write(|tables| {
            let before = ..window_start;
            tables.open_table(WINDOWS)?.retain_in(before, |_, _| false)?;
            tables.open_table(METAGRAPHS)?.retain_in(before, |_, _| false)?;
            tables.open_table(BEACONS)?.retain_in(before, |_, _| false)?;
            tables.open_table(ROOTED)?.retain_in(before, |_, _| false)?;
            tables.open_table(JUDGED)?.retain_in(before, |_, _| false)?;
            tables.open_table(PUBLISHED)?.retain_in(before, |_, _| false)?;
            tables.open_table(SUBMISSIONS)?.retain_in(before, |_, _| false)?;
            let before = ..(window_start, &[][..]);
            tables.open_table(ROOTS)?.retain_in(before, |_, _| false)?;
            tables.open_table(RECORDS)?.retain_in(before, |_, _| false)?;
            Ok(())
        })
    }

    fn parse<'a, T: Deserialize<'a>>(&self, table: &'static str, text: &'a str) -> Result<T> {
        serde_json::from_str(text).map_err(|e| self.entry(table, e.to_string()))
    }

    fn entry(&self, table: &'static str, problem: String) -> BookError {
        BookError::Entry { path: self.path.clone(), table, problem }
    }

    fn failed(&self, source: redb::Error) -> BookError {
        if let redb::Error::Io(error) = &source {
            self.failure.get_or_init(|| error.to_string());
        }
        let path = self.path.clone();
        match (&source, self.failure.get()) {
            (redb::Error::PreviousIo, Some(problem)) => BookError::Failed { path, problem: problem.clone() },
            _ => BookError::Database { path, source: Box::new(source) },
        }
    }

    fn read<T>(&self, work: impl FnOnce(&redb::ReadTransaction) -> std::result::Result<T, redb::Error>) -> Result<T> {
        let run = || work(&self.database.begin_read()?);
        run().map_err(|source| self.failed(source))
    }

    fn write(&self, work: impl FnOnce(&redb::WriteTransaction) -> std::result::Result<(), redb::Error>) -> Result<()> {
        let run = || {
            let tables = self.database.begin_write()?;
            work(&tables)?;
            Ok(tables.commit()?)
        };
        run().map_err(|source| self.failed(source))
    }
}

fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("structs of numbers and text have JSON")
}

#[cfg(test)]
mod tests;
