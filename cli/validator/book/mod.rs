//! What a validator knows, on disk: windows and metagraphs as they passed, roots, verdicts, submitted weights.
//!
//! Public nodes forget state after a while, so what is needed later is written when it passes. One embedded database,
//! every change a transaction: a validator that was killed has all of a window's entries or none. Values are JSON text
//! that a person can read; the tables carry a schema version: an older one is migrated, a newer one refused.

mod entries;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use grail_protocol::record::Record;
use grail_protocol::{AccountId, Hash};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

use crate::scoring::ROLLING_WINDOWS;
pub use entries::{BeaconEntry, Committed, Miner, Submission, Waiting, WindowEntry};

/// Changes the tables of one version into those of the next.
type Migration = fn(&redb::WriteTransaction) -> std::result::Result<(), redb::Error>;

/// The way from version 1 to that of the tables below, one step a version.
const MIGRATIONS: &[Migration] = &[];

/// Version of the tables below.
pub const SCHEMA_VERSION: u64 = 1 + MIGRATIONS.len() as u64;

const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
const WINDOWS: TableDefinition<'_, u64, &str> = TableDefinition::new("windows");
const METAGRAPHS: TableDefinition<'_, u64, &str> = TableDefinition::new("metagraphs");
const BEACONS: TableDefinition<'_, u64, &str> = TableDefinition::new("beacons");
const ROOTS: TableDefinition<'_, (u64, &[u8]), &str> = TableDefinition::new("roots");
const ROOTED: TableDefinition<'_, u64, u64> = TableDefinition::new("rooted");
const RECORDS: TableDefinition<'_, (u64, &[u8]), &str> = TableDefinition::new("records");
const JUDGED: TableDefinition<'_, u64, u64> = TableDefinition::new("judged");
const PUBLISHED: TableDefinition<'_, u64, u64> = TableDefinition::new("published");
/// Submissions that [`Book::late_submissions`] gives.
const LATE_SUBMISSIONS: usize = 16;

const SUBMISSIONS: TableDefinition<'_, u64, &str> = TableDefinition::new("submissions");

/// What the database can meet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BookError {
    /// The database or the disk under it.
    #[error("{path}: {source}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: Box<redb::Error>,
    },
    /// Made by another version of the program.
    #[error("{path}: tables of version {found}, this program knows 1 to {SCHEMA_VERSION}")]
    Schema {
        /// The file.
        path: PathBuf,
        /// The version there.
        found: String,
    },
    /// Made for another network.
    #[error("{path}: belongs to network {found}")]
    OtherNetwork {
        /// The file.
        path: PathBuf,
        /// The network there.
        found: String,
    },
    /// An entry is not what was written.
    #[error("{path}: {table}: {problem}")]
    Entry {
        /// The file.
        path: PathBuf,
        /// The table.
        table: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

type Result<T> = std::result::Result<T, BookError>;

/// Records by miner and first block of the window.
pub type History = BTreeMap<AccountId, BTreeMap<u64, Record>>;

/// The database of one validator on one network.
#[derive(Debug)]
pub struct Book {
    path: PathBuf,
    database: Database,
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
        let database = Database::create(path).map_err(|e| failed(e.into()))?;
        let book = Self { path: path.to_owned(), database };
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

    /// Forgets all windows before one, whatever became of them.
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
            let before = ..(window_start, &[][..]);
            tables.open_table(ROOTS)?.retain_in(before, |_, _| false)?;
            tables.open_table(RECORDS)?.retain_in(before, |_, _| false)?;
            Ok(())
        })
    }

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

    fn parse<'a, T: Deserialize<'a>>(&self, table: &'static str, text: &'a str) -> Result<T> {
        serde_json::from_str(text).map_err(|e| self.entry(table, e.to_string()))
    }

    fn entry(&self, table: &'static str, problem: String) -> BookError {
        BookError::Entry { path: self.path.clone(), table, problem }
    }

    fn read<T>(&self, work: impl FnOnce(&redb::ReadTransaction) -> std::result::Result<T, redb::Error>) -> Result<T> {
        let run = || work(&self.database.begin_read()?);
        run().map_err(|source| BookError::Database { path: self.path.clone(), source: Box::new(source) })
    }

    fn write(&self, work: impl FnOnce(&redb::WriteTransaction) -> std::result::Result<(), redb::Error>) -> Result<()> {
        let run = || {
            let tables = self.database.begin_write()?;
            work(&tables)?;
            Ok(tables.commit()?)
        };
        run().map_err(|source| BookError::Database { path: self.path.clone(), source: Box::new(source) })
    }
}

fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("structs of numbers and text have JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use grail_protocol::record::Subject;
    use grail_protocol::signature::Signer;
    use grail_protocol::verify::{Outcome, Verdict};
    use grail_protocol::window_root::WindowRoot;

    const NETWORK: Hash = [7; 32];

    fn book(folder: &tempfile::TempDir) -> Book {
        Book::open(&folder.path().join("book.redb"), &NETWORK).unwrap()
    }

    fn window(block_number: u64) -> WindowEntry {
        WindowEntry { block_number, block_hash: [1; 32], timestamp_ms: 5 }
    }

    fn committed(window_start: u64, byte: u8) -> Committed {
        Committed { root: WindowRoot { window_start, file_hash: [byte; 32] }, credentials: vec![byte; 128] }
    }

    fn record(window_start: u64, miner: u8, outcome: Outcome) -> (AccountId, String) {
        let (validator, hotkey) = (Signer::from_seed(&[9; 32]), Signer::from_seed(&[miner; 32]).account());
        let subject = Subject { network_id: NETWORK, window_start, hotkey, validator: validator.account(), root: None };
        let verdict = Verdict { outcome, groups: 3, checked: vec![0, 1], distinct: 5, ..Verdict::no_verdict() };
        (hotkey, Record::new(subject, &verdict, "0").sign(&validator).unwrap())
    }

    #[test]
    fn what_is_kept_survives_and_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let miners = [Miner { uid: 3, hotkey: [4; 32] }, Miner { uid: 5, hotkey: [6; 32] }];
        let (root, beacon) = (committed(50, 8), BeaconEntry { round: 6, signature: vec![2; 48] });
        let waiting = Some(Waiting { round_ms: 7, shown: vec![(3, 9), (5, 65_535)] });
        let (uids, weights) = (vec![3, 5], vec![0.25, 0.1 + 0.2]);
        let submission = Submission { block: 99, window_start: 50, uids, weights, waiting };
        {
            let book = book(&folder);
            book.begin_window(&window(50), &miners).unwrap();
            book.keep_roots(50, 99, &BTreeMap::from([([4; 32], root.clone())])).unwrap();
            book.keep_beacon(50, &beacon).unwrap();
            book.submitted(&submission).unwrap();
        }
        let book = book(&folder);
        assert_eq!(book.window(50).unwrap(), Some((window(50), miners.to_vec())));
        assert_eq!(book.roots(50).unwrap(), Some(BTreeMap::from([([4; 32], root)])));
        assert_eq!((book.beacon(50).unwrap(), book.beacon(100).unwrap()), (Some(beacon), None));
        assert_eq!((book.watched().unwrap(), book.windows_after(None).unwrap()), (Some(99), vec![50]));
        assert_eq!(book.last_submission().unwrap(), Some(submission));
    }

    #[test]
    fn what_passed_unseen_is_told_from_what_was_empty() {
        let folder = tempfile::tempdir().unwrap();
        let book = book(&folder);
        assert_eq!((book.window(50).unwrap(), book.roots(50).unwrap(), book.records(50).unwrap()), (None, None, None));
        assert_eq!((book.last_judged().unwrap(), book.last_submission().unwrap()), (None, None));
        book.keep_roots(50, 99, &BTreeMap::new()).unwrap();
        book.judge(50, &BTreeMap::new()).unwrap();
        assert_eq!(book.roots(50).unwrap(), Some(BTreeMap::new()));
        assert_eq!(book.records(50).unwrap(), Some(Vec::new()));
        assert_eq!(book.last_judged().unwrap(), Some(50));
    }

    #[test]
    fn windows_do_not_mix() {
        let folder = tempfile::tempdir().unwrap();
        let book = book(&folder);
        for start in [50, 100, 150] {
            let root = committed(start, start as u8);
            book.keep_roots(start, start + 49, &BTreeMap::from([([0; 32], root.clone()), ([255; 32], root)])).unwrap();
            book.begin_window(&window(start), &[]).unwrap();
        }
        let roots = book.roots(100).unwrap().unwrap();
        assert!(roots.len() == 2 && roots.values().all(|committed| committed.root.window_start == 100));
        assert_eq!((book.windows_after(Some(50)).unwrap(), book.watched().unwrap()), (vec![100, 150], Some(199)));
    }

    #[test]
    fn history_is_the_last_twelve_windows_of_each_miner() {
        let folder = tempfile::tempdir().unwrap();
        let book = book(&folder);
        for i in 0..14_u64 {
            let outcome = if i == 1 { Outcome::Fraud } else { Outcome::Valid };
            let first = record(50 * i, 1, if i == 13 { Outcome::Void } else { outcome });
            let records = if i == 5 { vec![first, record(50 * i, 2, Outcome::NoVerdict)] } else { vec![first] };
            book.judge(50 * i, &records.into_iter().collect()).unwrap();
        }
        let history = book.history(50 * 13, 50).unwrap();
        let of = |seed: u8| {
            let records = &history[&Signer::from_seed(&[seed; 32]).account()];
            records.iter().map(|(window, record)| (window / 50, record.outcome)).collect::<Vec<_>>()
        };
        // Window 1, the fraud, is the thirteenth from the end.
        let valid = (2..13).map(|window| (window, Outcome::Valid));
        assert_eq!(of(1), valid.chain([(13, Outcome::Void)]).collect::<Vec<_>>());
        assert_eq!(of(2), [(5, Outcome::NoVerdict)]);
        let earlier = book.history(50 * 12, 50).unwrap();
        assert_eq!(earlier[&Signer::from_seed(&[1; 32]).account()][&50].outcome, Outcome::Fraud);
    }

    #[test]
    fn a_window_is_published_once_and_only_after_it_was_judged() {
        let folder = tempfile::tempdir().unwrap();
        let book = book(&folder);
        assert_eq!(book.unpublished(1000).unwrap(), [0; 0]);
        for window in [50, 100, 150] {
            book.judge(window, &BTreeMap::new()).unwrap();
        }
        book.published(100, 0).unwrap();
        assert_eq!((book.unpublished(150).unwrap(), book.unpublished(149).unwrap()), (vec![50, 150], vec![50]));
    }

    #[test]
    fn what_is_forgotten_is_gone_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let book = book(&folder);
        for start in [50, 100, 150] {
            book.begin_window(&window(start), &[Miner { uid: 1, hotkey: [3; 32] }]).unwrap();
            book.keep_roots(start, start + 49, &BTreeMap::from([([255; 32], committed(start, 1))])).unwrap();
            book.keep_beacon(start, &BeaconEntry { round: start, signature: vec![1] }).unwrap();
            book.judge(start, &BTreeMap::from([record(start, 1, Outcome::Valid)])).unwrap();
        }
        book.published(50, 1).unwrap();
        book.forget_before(100).unwrap();
        assert_eq!((book.window(50).unwrap(), book.roots(50).unwrap(), book.beacon(50).unwrap()), (None, None, None));
        assert_eq!((book.records(50).unwrap(), book.windows_after(None).unwrap()), (None, vec![100, 150]));
        assert_eq!((book.unpublished(150).unwrap(), book.last_judged().unwrap()), (vec![100, 150], Some(150)));
        assert!(book.roots(100).unwrap().is_some_and(|roots| roots.len() == 1));
        assert_eq!(book.history(150, 50).unwrap()[&Signer::from_seed(&[1; 32]).account()].len(), 2);
    }

    #[test]
    fn another_network_or_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("book.redb");
        drop(Book::open(&path, &NETWORK).unwrap());
        assert!(matches!(Book::open(&path, &[8; 32]), Err(BookError::OtherNetwork { .. })));
        let book = Book::open(&path, &NETWORK).unwrap();
        book.write(|t| t.open_table(META)?.insert("schema", "2").map(drop).map_err(Into::into)).unwrap();
        drop(book);
        assert!(matches!(Book::open(&path, &NETWORK), Err(BookError::Schema { found, .. }) if found == "2"));
        std::fs::write(folder.path().join("text"), "no database").unwrap();
        assert!(matches!(Book::open(&folder.path().join("text"), &NETWORK), Err(BookError::Database { .. })));
    }

    /// Published windows begin to be kept under twice their number.
    fn double(tables: &redb::WriteTransaction) -> std::result::Result<(), redb::Error> {
        let mut published = tables.open_table(PUBLISHED)?;
        let mut old = Vec::new();
        for entry in published.range::<u64>(..)? {
            let (window, records) = entry?;
            old.push((window.value(), records.value()));
        }
        for (window, records) in old {
            published.remove(window)?;
            published.insert(2 * window, records)?;
        }
        Ok(())
    }

    fn failing(tables: &redb::WriteTransaction) -> std::result::Result<(), redb::Error> {
        double(tables)?;
        Err(redb::Error::Corrupted("on purpose".to_owned()))
    }

    #[test]
    fn an_older_state_is_brought_to_this_version_step_by_step_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("book.redb");
        {
            let old = Book::open_with(&path, &NETWORK, &[]).unwrap();
            [50, 100].iter().for_each(|&window| old.judge(window, &BTreeMap::new()).unwrap());
            old.published(50, 7).unwrap();
        }
        let unpublished = |book: &Book| book.unpublished(1000).unwrap();
        assert!(matches!(Book::open_with(&path, &[8; 32], &[double]), Err(BookError::OtherNetwork { .. })));
        assert!(matches!(Book::open_with(&path, &NETWORK, &[double, failing]), Err(BookError::Database { .. })));
        // Neither left a trace: the program of the old version reads it still.
        assert_eq!(unpublished(&Book::open_with(&path, &NETWORK, &[]).unwrap()), [100]);
        assert_eq!(unpublished(&Book::open_with(&path, &NETWORK, &[double]).unwrap()), [50]);
        assert_eq!(unpublished(&Book::open_with(&path, &NETWORK, &[double]).unwrap()), [50], "done twice");
        // 50 is now kept under 200 after one more step.
        assert_eq!(unpublished(&Book::open_with(&path, &NETWORK, &[double, double]).unwrap()), [50, 100]);
        let older = Book::open_with(&path, &NETWORK, &[double]);
        assert!(matches!(older, Err(BookError::Schema { found, .. }) if found == "3"));
    }

    #[test]
    fn an_entry_that_somebody_changed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let book = book(&folder);
        let (account, text) = record(50, 1, Outcome::Fraud);
        book.judge(50, &BTreeMap::from([(account, text.replace("fraud", "valid"))])).unwrap();
        assert!(matches!(book.history(50, 50), Err(BookError::Entry { table: "records", .. })));
    }
}
