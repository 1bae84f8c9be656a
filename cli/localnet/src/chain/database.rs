//! Blocks and the history of the state on disk.
//!
//! Every change of a storage key is kept under the number of its block, so the state after any block can be read
//! for ever. One block is one transaction that is synced before it counts: after a crash it is there whole or
//! not at all. A database that failed once, on a full disk most often, refuses everything until it is opened again,
//! which the next block does.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use grail_protocol::Hash;
use parity_scale_codec::{DecodeAll, Encode};
use redb::backends::InMemoryBackend;
use redb::{ReadableDatabase, ReadableTable, TableDefinition};

use super::block::Block;
use super::error::{ChainError, Doing};
use super::state::{Changes, State};

/// Key and block number to the value that the block gave it; none where the block removed it.
const HISTORY: TableDefinition<(&[u8], u32), Option<&[u8]>> = TableDefinition::new("history");
const BLOCKS: TableDefinition<u32, &[u8]> = TableDefinition::new("blocks");
const NUMBERS: TableDefinition<[u8; 32], u32> = TableDefinition::new("numbers");
const MARKS: TableDefinition<&str, &[u8]> = TableDefinition::new("marks");

const FILE: &str = "chain.redb";
const SCHEMA_MARK: &str = "schema";
const SCHEMA: &[u8] = b"grail-localnet-chain-1";
const GENESIS_MARK: &str = "genesis";

/// The chain's database.
#[derive(Debug)]
pub(crate) struct Database {
    /// `None`: it failed, and could not be opened again yet.
    db: RwLock<Option<Arc<redb::Database>>>,
    /// `None`: in memory.
    path: Option<PathBuf>,
}

impl Database {
    /// Opens or begins the database in a folder; without a folder, in memory.
    pub fn open(folder: Option<&Path>) -> Result<Self, ChainError> {
        let db = match folder {
            None => redb::Database::builder().create_with_backend(InMemoryBackend::new()),
            Some(folder) => {
                std::fs::create_dir_all(folder)
                    .map_err(|source| ChainError::Folder { path: folder.to_owned(), source })?;
                redb::Database::create(folder.join(FILE))
            }
        };
        let path = folder.map(|folder| folder.join(FILE));
        let database = Self { db: RwLock::new(Some(Arc::new(db.doing("opening it")?))), path };
        database.check_schema()?;
        Ok(database)
    }

    fn db(&self) -> Result<Arc<redb::Database>, redb::Error> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        db.clone().ok_or(redb::Error::PreviousIo)
    }

    /// Opens a database again that has failed. It is closed first, as its file is locked while it is open.
    fn reopen(&self) {
        let Some(path) = &self.path else { return };
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        *db = None;
        match redb::Database::create(path) {
            Ok(opened) => *db = Some(Arc::new(opened)),
            Err(error) => tracing::warn!(%error, "the chain's database cannot be opened again yet"),
        }
    }

    fn check_schema(&self) -> Result<(), ChainError> {
        let transaction = self.db().doing("opening it")?.begin_write().doing("opening it")?;
        {
            transaction.open_table(HISTORY).doing("opening it")?;
            transaction.open_table(BLOCKS).doing("opening it")?;
            transaction.open_table(NUMBERS).doing("opening it")?;
            let mut marks = transaction.open_table(MARKS).doing("opening it")?;
            let found = marks.get(SCHEMA_MARK).doing("reading its schema")?.map(|mark| mark.value().to_vec());
            match found {
                None => {
                    marks.insert(SCHEMA_MARK, SCHEMA).doing("writing its schema")?;
                }
                Some(found) if found == SCHEMA => {}
                Some(found) => {
                    let found = String::from_utf8_lossy(&found).into_owned();
                    let expected = String::from_utf8_lossy(SCHEMA);
                    return Err(ChainError::Damaged { problem: format!("schema {found} instead of {expected}") });
                }
            }
        }
        transaction.commit().doing("opening it")
    }

    /// The digest of the settings with which the chain began.
    pub fn genesis_mark(&self) -> Result<Option<Vec<u8>>, ChainError> {
        let doing = "reading its genesis";
        let marks = self.db().doing(doing)?.begin_read().doing(doing)?.open_table(MARKS).doing(doing)?;
        Ok(marks.get(GENESIS_MARK).doing(doing)?.map(|mark| mark.value().to_vec()))
    }

    /// Adds a block with what it changed, and the genesis mark with the first.
    pub fn append(&self, block: &Block, changes: &Changes, genesis: Option<&Hash>) -> Result<(), ChainError> {
        if self.db().is_err() {
            self.reopen();
        }
        let written = self.write(block, changes, genesis);
        if written.is_err() {
            self.reopen();
            // It may have failed after all was on disk.
            if matches!(self.last(), Ok(Some(last)) if last.header.hash() == block.header.hash()) {
                return Ok(());
            }
        }
        written
    }

    fn write(&self, block: &Block, changes: &Changes, genesis: Option<&Hash>) -> Result<(), ChainError> {
        let doing = "writing a block";
        let number = block.header.number;
        let transaction = self.db().doing(doing)?.begin_write().doing(doing)?;
        {
            let mut history = transaction.open_table(HISTORY).doing(doing)?;
            for (key, value) in changes {
                history.insert((key.as_slice(), number), value.as_deref()).doing(doing)?;
            }
            let mut blocks = transaction.open_table(BLOCKS).doing(doing)?;
            if blocks.get(number).doing(doing)?.is_some() {
                return Err(ChainError::Damaged { problem: format!("there is another block {number}") });
            }
            blocks.insert(number, block.encode().as_slice()).doing(doing)?;
            let mut numbers = transaction.open_table(NUMBERS).doing(doing)?;
            numbers.insert(block.header.hash(), number).doing(doing)?;
            if let Some(genesis) = genesis {
                let mut marks = transaction.open_table(MARKS).doing(doing)?;
                marks.insert(GENESIS_MARK, genesis.as_slice()).doing(doing)?;
            }
        }
        transaction.commit().doing(doing)
    }

    /// The last block.
    pub fn last(&self) -> Result<Option<Block>, ChainError> {
        let doing = "reading the last block";
        let blocks = self.db().doing(doing)?.begin_read().doing(doing)?.open_table(BLOCKS).doing(doing)?;
        blocks.last().doing(doing)?.map(|(_, bytes)| decode_block(bytes.value())).transpose()
    }

    /// A block by its number.
    pub fn block(&self, number: u32) -> Result<Option<Block>, ChainError> {
        let doing = "reading a block";
        let blocks = self.db().doing(doing)?.begin_read().doing(doing)?.open_table(BLOCKS).doing(doing)?;
        blocks.get(number).doing(doing)?.map(|bytes| decode_block(bytes.value())).transpose()
    }

    /// The number of the block with this hash.
    pub fn number(&self, hash: &Hash) -> Result<Option<u32>, ChainError> {
        let doing = "looking up a block";
        let numbers = self.db().doing(doing)?.begin_read().doing(doing)?.open_table(NUMBERS).doing(doing)?;
        Ok(numbers.get(hash).doing(doing)?.map(|number| number.value()))
    }

    /// The value of a key after a block.
    pub fn value(&self, key: &[u8], at: u32) -> Result<Option<Vec<u8>>, ChainError> {
        let doing = "reading a value";
        let history = self.db().doing(doing)?.begin_read().doing(doing)?.open_table(HISTORY).doing(doing)?;
        value_at(&history, key, at)
    }

    /// Up to `count` keys with a value after a block that begin with `prefix` and come after `after`, in order.
    pub fn keys(&self, prefix: &[u8], after: Option<&[u8]>, count: usize, at: u32) -> Result<Vec<Vec<u8>>, ChainError> {
        let mut keys = vec![];
        self.walk(prefix, after, at, |key, _| {
            keys.push(key);
            keys.len() < count
        })?;
        Ok(keys)
    }

    /// The whole state after a block.
    pub fn state(&self, at: u32) -> Result<State, ChainError> {
        let mut state = State::new();
        self.walk(&[], None, at, |key, value| {
            state.insert(key, value);
            true
        })?;
        Ok(state)
    }

    /// Visits keys in order until told to stop. A key with many versions costs two lookups, not one per version.
    fn walk(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        at: u32,
        mut visit: impl FnMut(Vec<u8>, Vec<u8>) -> bool,
    ) -> Result<(), ChainError> {
        let doing = "listing keys";
        let history = self.db().doing(doing)?.begin_read().doing(doing)?.open_table(HISTORY).doing(doing)?;
        let mut position = match after {
            Some(after) if after >= prefix => (after.to_vec(), u32::MAX),
            _ => (prefix.to_vec(), 0),
        };
        loop {
            let mut rest = history.range((position.0.as_slice(), position.1)..).doing(doing)?;
            let next = rest.next().transpose().doing(doing)?;
            let Some(key) = next.map(|(key, _)| key.value().0.to_vec()) else { return Ok(()) };
            if !key.starts_with(prefix) {
                return Ok(());
            }
            let skipped = after == Some(key.as_slice());
            if let Some(value) = value_at(&history, &key, at)?.filter(|_| !skipped)
                && !visit(key.clone(), value)
            {
                return Ok(());
            }
            // No key is a version of another: the least key above this one is this one with a zero after it.
            let mut above = key;
            above.push(0);
            position = (above, 0);
        }
    }
}

fn value_at(
    history: &impl ReadableTable<(&'static [u8], u32), Option<&'static [u8]>>,
    key: &[u8],
    at: u32,
) -> Result<Option<Vec<u8>>, ChainError> {
    let mut versions = history.range((key, 0)..=(key, at)).doing("reading a value")?;
    let last = versions.next_back().transpose().doing("reading a value")?;
    Ok(last.and_then(|(_, value)| value.value().map(<[u8]>::to_vec)))
}

fn decode_block(mut bytes: &[u8]) -> Result<Block, ChainError> {
    Block::decode_all(&mut bytes).map_err(|error| ChainError::Damaged { problem: format!("a block: {error}") })
}
