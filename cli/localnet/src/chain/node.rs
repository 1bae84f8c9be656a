//! The chain: opening, sealing blocks, reading any state there was.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use grail_beacon::LocalBeacon;
use grail_protocol::{AccountId, Hash};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use super::block::{Block, Header};
use super::clock::{Clock, SystemClock};
use super::database::Database;
use super::error::ChainError;
use super::extrinsic::Signed;
use super::genesis::GenesisConfig;
use super::pool::{Fate, MOST_EXTRINSIC_BYTES, Pool, SubmitError};
use super::runtime::{Context, Execution, Start};
use super::slots;
use super::state::{self, Read, State};
use super::version::{CODE, Runtime};

/// Bytes of extrinsics in one block; what finds no room waits for the next.
const MOST_BLOCK_BYTES: usize = 4 * MOST_EXTRINSIC_BYTES;

/// How a chain runs.
#[derive(Clone)]
pub struct ChainConfig {
    /// How it begins. Must be the same whenever a data folder is opened again.
    pub genesis: GenesisConfig,
    /// Time between blocks; `None`: only [`Chain::seal`] makes them.
    pub block_time: Option<Duration>,
    /// Blocks by which the finalised head is behind the best one.
    pub finality_lag: u32,
    /// Where block times come from.
    pub clock: Arc<dyn Clock>,
    /// The block that brings the next runtime, made in this run or a later one. Not of the genesis: a rehearsal.
    pub upgrade_at: Option<u32>,
    /// The beacon whose rounds open committed weights; each is known to the chain from its time on.
    pub beacon: Option<Arc<LocalBeacon>>,
}

impl Default for ChainConfig {
    /// A block every 12 s by the machine's clock, final at once.
    fn default() -> Self {
        Self {
            genesis: GenesisConfig::default(),
            block_time: Some(Duration::from_secs(12)),
            finality_lag: 0,
            clock: Arc::new(SystemClock),
            upgrade_at: None,
            beacon: None,
        }
    }
}

/// The numbers of the best and of the finalised block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Heads {
    /// The newest block.
    pub best: u32,
    /// The newest block that counts as final.
    pub finalized: u32,
}

/// A block that was just made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sealed {
    /// Its number.
    pub number: u32,
    /// Its hash.
    pub hash: Hash,
    /// Its time, in milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
}

/// A development chain with one author. Clones are the same chain.
#[derive(Clone)]
pub struct Chain {
    inner: Arc<Inner>,
}

struct Inner {
    config: ChainConfig,
    database: Database,
    genesis_hash: Hash,
    /// Versions 14 and 15 of every runtime asked for.
    metadata: Mutex<BTreeMap<Runtime, [Vec<u8>; 2]>>,
    core: Mutex<Core>,
    heads: watch::Sender<Heads>,
}

/// What changes with every block.
struct Core {
    number: u32,
    hash: Hash,
    state: State,
    pool: Pool,
}

impl Chain {
    /// Opens the chain in a folder, or begins it there; without a folder, begins one in memory.
    ///
    /// # Errors
    /// Settings that no chain can have, a folder that cannot be used or belongs to another process, a chain with
    /// other settings or a damaged one in it.
    pub fn open(config: ChainConfig, data_dir: Option<&Path>) -> Result<Self, ChainError> {
        config.genesis.check()?;
        let database = Database::open(data_dir)?;
        let last = match database.last()? {
            Some(last) => last,
            None => begin(&config, &database)?,
        };
        if database.genesis_mark()?.as_deref() != Some(config.genesis.digest().as_slice()) {
            return Err(ChainError::OtherGenesis);
        }
        let number = last.header.number;
        let state = database.state(number)?;
        if state::root(&state) != last.header.state_root {
            return Err(ChainError::Damaged { problem: format!("the state after block {number} is not the block's") });
        }
        let first = database.block(0)?.ok_or(ChainError::Damaged { problem: "no first block".to_owned() })?;
        let finalized = number.saturating_sub(config.finality_lag);
        let inner = Inner {
            genesis_hash: first.header.hash(),
            metadata: Mutex::default(),
            core: Mutex::new(Core { number, hash: last.header.hash(), state, pool: Pool::default() }),
            heads: watch::Sender::new(Heads { best: number, finalized }),
            config,
            database,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes the next block from the extrinsics that wait. It is on disk when this returns.
    ///
    /// # Errors
    /// The database failed; the chain is as it was.
    pub fn seal(&self) -> Result<Sealed, ChainError> {
        let mut core = self.core();
        let parent_hash = core.hash;
        let number = core.number.checked_add(1).ok_or(ChainError::LastBlock)?;
        let earliest = core.state.value(&slots::now()) + 1;
        let timestamp_ms = self.inner.config.clock.now_ms().max(earliest);
        let netuid = self.inner.config.genesis.netuid;
        let beacon = self.inner.config.beacon.as_deref();
        let start = Start { number, parent_hash, timestamp_ms, netuid, beacon };
        let context = self.context(&core)?;
        let mut execution = Execution::start(&core.state, &start);
        let (mut included, mut settled) = (vec![], vec![]);
        for pending in core.pool.iter() {
            if execution.length() + pending.bytes.len() > MOST_BLOCK_BYTES {
                break;
            }
            match execution.apply(&pending.bytes, &context) {
                Ok(()) => included.push(pending.hash),
                Err(_) => settled.push((pending.hash, Fate::Invalid)),
            }
        }
        if self.inner.config.upgrade_at == Some(number) {
            execution.upgrade();
        }
        let (extrinsics, changes) = execution.finish();
        let mut state = core.state.clone();
        state::apply(&mut state, &changes);
        let header = Header::new(parent_hash, number, state::root(&state), &extrinsics);
        let hash = header.hash();
        self.inner.database.append(&Block { header, extrinsics }, &changes, None)?;

        (core.number, core.hash, core.state) = (number, hash, state);
        // Whoever hears that an extrinsic is in a block finds that block at the head.
        let finalized = number.saturating_sub(self.inner.config.finality_lag);
        self.inner.heads.send_replace(Heads { best: number, finalized });
        settled.extend(included.into_iter().map(|extrinsic| (extrinsic, Fate::InBlock { number, hash })));
        core.pool.settle(&settled);
        Ok(Sealed { number, hash, timestamp_ms })
    }

    /// Takes an extrinsic, with its length prefix, for the next block. Gives its hash, and a receiver that hears
    /// once what became of it.
    ///
    /// # Errors
    /// It may not enter the next block, or there is no room.
    pub fn submit(&self, extrinsic: Vec<u8>) -> Result<(Hash, UnboundedReceiver<Fate>), SubmitError> {
        let mut core = self.core();
        let context = self.context(&core).map_err(|error| SubmitError::Verification(error.to_string()))?;
        let Core { state, pool, .. } = &mut *core;
        pool.submit(extrinsic, state, &context)
    }

    /// Whether an extrinsic could be taken now.
    pub(crate) fn validate(&self, extrinsic: &[u8]) -> Result<Signed, SubmitError> {
        let core = self.core();
        let context = self.context(&core).map_err(|error| SubmitError::Verification(error.to_string()))?;
        core.pool.validate(extrinsic, &core.state, &context)
    }

    /// Extrinsics that wait for the next block.
    #[must_use]
    pub fn pending(&self) -> Vec<Vec<u8>> {
        self.core().pool.iter().map(|pending| pending.bytes.clone()).collect()
    }

    /// The nonce of an account's next extrinsic, those that wait counted.
    #[must_use]
    pub fn next_nonce(&self, account: &AccountId) -> u32 {
        let core = self.core();
        core.state.value(&slots::account(account)).nonce.saturating_add(core.pool.count(account))
    }

    /// The best and the finalised block.
    #[must_use]
    pub fn heads(&self) -> Heads {
        *self.inner.heads.borrow()
    }

    /// Hears of every new head; may miss some in between, whose numbers follow from the next.
    #[must_use]
    pub fn watch_heads(&self) -> watch::Receiver<Heads> {
        self.inner.heads.subscribe()
    }

    /// The hotkeys of the subnet after the best block, in the order of their uids.
    #[must_use]
    pub fn hotkeys(&self) -> Vec<AccountId> {
        let (core, netuid) = (self.core(), self.inner.config.genesis.netuid);
        let taken = core.state.value(&slots::subnetwork_n(netuid));
        (0..taken).filter_map(|uid| Read::get(&core.state, &slots::keys(netuid, uid))).collect()
    }

    /// Hash of the first block, which every signature covers.
    #[must_use]
    pub fn genesis_hash(&self) -> Hash {
        self.inner.genesis_hash
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &ChainConfig {
        &self.inner.config
    }

    /// The block of a number; `None`: there is none yet.
    ///
    /// # Errors
    /// The database failed.
    pub fn block(&self, number: u32) -> Result<Option<Block>, ChainError> {
        self.inner.database.block(number)
    }

    /// The hash of the block of a number; `None`: there is none yet.
    ///
    /// # Errors
    /// The database failed.
    pub fn block_hash(&self, number: u32) -> Result<Option<Hash>, ChainError> {
        Ok(self.block(number)?.map(|block| block.header.hash()))
    }

    /// The number of the block with a hash; `None`: it is not of this chain.
    ///
    /// # Errors
    /// The database failed.
    pub fn block_number(&self, hash: &Hash) -> Result<Option<u32>, ChainError> {
        self.inner.database.number(hash)
    }

    /// The time of a block in milliseconds since the Unix epoch; `None`: there is none yet.
    ///
    /// # Errors
    /// The database failed.
    pub fn timestamp_ms(&self, number: u32) -> Result<Option<u64>, ChainError> {
        if number > self.heads().best {
            return Ok(None);
        }
        let bytes = self.storage(slots::now().key(), number)?;
        Ok(bytes.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes))
    }

    /// The value of a storage key after the block of a number.
    ///
    /// # Errors
    /// The database failed.
    pub fn storage(&self, key: &[u8], at: u32) -> Result<Option<Vec<u8>>, ChainError> {
        self.inner.database.value(key, at)
    }

    /// Up to `count` storage keys with a value after the block of a number that begin with `prefix` and come
    /// after `after`, in order.
    ///
    /// # Errors
    /// The database failed.
    pub fn storage_keys(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        count: usize,
        at: u32,
    ) -> Result<Vec<Vec<u8>>, ChainError> {
        if count == 0 {
            return Ok(vec![]);
        }
        self.inner.database.keys(prefix, after, count, at)
    }

    /// The whole state after the block of a number.
    ///
    /// # Errors
    /// The database failed.
    pub fn state(&self, at: u32) -> Result<State, ChainError> {
        self.inner.database.state(at)
    }

    /// The runtime in the state after the block of a number, which makes the next one.
    ///
    /// # Errors
    /// The database failed.
    pub fn runtime(&self, at: u32) -> Result<Runtime, ChainError> {
        Ok(Runtime::of(self.storage(CODE, at)?.as_deref()))
    }

    /// Metadata of version 14 or 15 in SCALE, of the runtime in the state after the block of a number; `None`: no such
    /// version is offered.
    pub(crate) fn metadata(&self, version: u32, at: u32) -> Result<Option<Vec<u8>>, ChainError> {
        let runtime = self.runtime(at)?;
        let mut metadata = self.inner.metadata.lock().unwrap_or_else(PoisonError::into_inner);
        let made =
            metadata.entry(runtime).or_insert_with(|| [super::metadata::v14(runtime), super::metadata::v15(runtime)]);
        Ok(version.checked_sub(14).and_then(|index| made.get(index as usize).cloned()))
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        // The core changes in one step at the end of a block, so it is whole even if somebody panicked.
        self.inner.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the next block will be.
    fn context(&self, core: &Core) -> Result<Context, ChainError> {
        let number = core.number.checked_add(1).ok_or(ChainError::LastBlock)?;
        let runtime = Runtime::of(core.state.raw(CODE));
        Ok(Context { genesis_hash: self.inner.genesis_hash, number, parent_hash: core.hash, runtime })
    }
}

/// Writes the first block.
fn begin(config: &ChainConfig, database: &Database) -> Result<Block, ChainError> {
    let changes = config.genesis.changes(config.clock.now_ms());
    let mut state = State::new();
    state::apply(&mut state, &changes);
    let block = Block { header: Header::new([0; 32], 0, state::root(&state), &[]), extrinsics: vec![] };
    database.append(&block, &changes, Some(&config.genesis.digest()))?;
    Ok(block)
}
