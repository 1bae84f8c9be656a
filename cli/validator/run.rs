//! `grail validate`: window after window, in order.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use grail_engine::Engine;
use grail_protocol::assignment::{Protocol, WindowHead};
use grail_protocol::environment::Environment;
use grail_protocol::randomness::block_randomness;
use grail_protocol::record::{Record, Subject};
use grail_protocol::signature::Signer;
use grail_protocol::verify::Verifier;
use grail_protocol::window::GroupText;
use grail_protocol::{Hash, ss58};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::task::{JoinError, JoinSet, block_in_place, spawn_blocking};

use super::fetch::Fetcher;
use super::judge::{Judge, finding, told_of};
use super::load::Load;
use super::publish::Shelf;
use super::watch::Watch;
use super::{BeaconEntry, Book, Miner, Weighing, WindowEntry};
use crate::beacon::client::Beacon;
use crate::subnet::{Ended, Event, Events, OwnBucket, Stop, Stopper, Subnet, head_of};

/// Windows whose entries are kept: more than those that count, for whoever asks about a verdict.
const KEPT_WINDOWS: u64 = 144;

/// How to validate.
#[derive(Debug, Clone)]
pub struct ValidatorOptions {
    /// Folder of this hotkey on this network.
    pub folder: PathBuf,
    /// Ends after so many windows.
    pub windows: Option<u64>,
    /// Judges the own hotkey alone, and sets no weights.
    pub test_mode: bool,
    /// Blocks between two settings of weights.
    pub weights_interval: u64,
    /// Files that are fetched at once.
    pub fetches: usize,
    /// How weights are made.
    pub weighing: Weighing,
    /// Where published rollouts go as Parquet, if anywhere.
    pub export: Option<PathBuf>,
}

/// A validator.
pub struct Validator<'a, E: Environment> {
    pub(super) protocol: &'a Protocol<'a, E>,
    pub(super) engine: Engine,
    pub(super) subnet: Subnet,
    pub(super) bucket: OwnBucket,
    pub(super) signer: Signer,
    pub(super) book: Arc<Book>,
    pub(super) shelf: Shelf,
    pub(super) load: Load,
    pub(super) options: ValidatorOptions,
    pub(super) events: Events,
}

/// What a validator that has judged everything hears of.
enum Next {
    Kept,
    Ended(std::result::Result<Result<()>, JoinError>),
    Stop,
}

/// A window with everything that decides about it.
struct Due {
    entry: WindowEntry,
    miners: Vec<Miner>,
    head: WindowHead,
    c_w: Hash,
}

impl<'a, E: Environment> Validator<'a, E> {
    /// A validator with a place on a network.
    ///
    /// # Errors
    /// A folder or a database that cannot be used.
    pub fn new(
        protocol: &'a Protocol<'a, E>,
        engine: Engine,
        subnet: Subnet,
        bucket: OwnBucket,
        signer: Signer,
        options: ValidatorOptions,
        events: Events,
    ) -> Result<Self> {
        let folder = &options.folder;
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let book = Arc::new(Book::open(&folder.join("book.redb"), protocol.network().id())?);
        let shelf = Shelf::open(&folder.join("rollouts"))?;
        let subnet = subnet.as_part("validating");
        let load = Load::new(protocol.network().parameters().max_groups as usize);
        Ok(Self { protocol, engine, subnet, bucket, signer, book, shelf, load, options, events })
    }

    /// Validates until told to stop, or for as many windows as were asked for.
    ///
    /// # Errors
    /// The database's and the disk's; whatever else goes wrong is waited for, or is no verdict.
    pub async fn run(&mut self, stop: &Stop) -> Result<()> {
        let (sender, mut kept) = watch::channel(0);
        let watch = Watch {
            subnet: self.subnet.as_part("watching the chain"),
            book: Arc::clone(&self.book),
            events: self.events.clone(),
        };
        // A thread of its own: judging keeps this one for minutes. It ends with this call.
        let (_stopper, watched) = Stopper::new();
        let runtime = Handle::current();
        let mut watching = spawn_blocking(move || runtime.block_on(watch.run(sender, watched)));
        let mut after = self.book.last_judged()?;
        self.publish_revealed().await?;
        let mut judged = 0;
        while self.options.windows.is_none_or(|most| judged < most) && !stop.is_set() {
            if let Some(window) = self.ready(&mut after)? {
                if !self.window(window, stop).await? {
                    break;
                }
                (after, judged) = (Some(window), judged + 1);
                self.weigh(window).await?;
                let oldest = window.saturating_sub(KEPT_WINDOWS * self.subnet.window_length());
                self.book.forget_before(oldest)?;
                self.shelf.forget_before(oldest)?;
                continue;
            }
            // What passes on the chain is kept by a part of its own.
            let next = self.subnet.part().waiting(async {
                tokio::select! {
                    _ = kept.changed() => Next::Kept,
                    ended = &mut watching => Next::Ended(ended),
                    () = stop.wait() => Next::Stop,
                }
            });
            match next.await {
                Next::Kept => self.publish_revealed().await?,
                Next::Ended(ended) => {
                    ended.context("the task that watches the chain")??;
                    break;
                }
                Next::Stop => {}
            }
        }
        Ok(())
    }

    /// The first window after one of which everything is kept. Those that can never be judged are passed over.
    fn ready(&self, after: &mut Option<u64>) -> Result<Option<u64>> {
        let length = self.subnet.window_length();
        let watched = self.book.watched()?.unwrap_or(0);
        for window in self.book.windows_after(*after)? {
            let has_roots = self.book.roots(window)?.is_some();
            let has_end = self.book.window(window + length)?.is_some();
            if has_roots && has_end {
                return Ok(Some(window));
            }
            if watched < window + length {
                return Ok(None);
            }
            let why = "blocks of it passed while nobody watched".to_owned();
            self.events.tell(Event::WindowUnseen { window, why });
            *after = Some(window);
        }
        Ok(None)
    }

    /// The beacon of a kept block: kept, or waited for.
    async fn beacon(&self, entry: &WindowEntry, stop: &Stop) -> Result<Option<Beacon>> {
        if let Some(BeaconEntry { round, signature }) = self.book.beacon(entry.block_number)? {
            let beacon = grail_beacon::verify(self.subnet.network.beacon(), round, &signature, None);
            let randomness = beacon.context("a beacon in the database")?;
            return Ok(Some(Beacon { round, signature, randomness }));
        }
        match self.subnet.beacon_of(entry.timestamp_ms, stop, || Duration::MAX).await {
            Ok(beacon) => {
                let kept = BeaconEntry { round: beacon.round, signature: beacon.signature.clone() };
                self.book.keep_beacon(entry.block_number, &kept)?;
                Ok(Some(beacon))
            }
            Err(Ended::Stopped) => Ok(None),
            Err(error) => Err(anyhow::anyhow!("{error}")).context("beacon"),
        }
    }

    /// Waits for both beacons of a window; none if told to stop.
    async fn due(&self, window: u64, stop: &Stop) -> Result<Option<Due>> {
        let kept = |number| self.book.window(number)?.context("a window that was kept is gone");
        let ((entry, miners), (end, _)) = (kept(window)?, kept(window + self.subnet.window_length())?);
        let (Some(first), Some(last)) = (self.beacon(&entry, stop).await?, self.beacon(&end, stop).await?) else {
            return Ok(None);
        };
        let id = self.protocol.network().id();
        let c_w = block_randomness(id, end.block_number, &end.block_hash, &last.randomness);
        let block = grail_chain::Block {
            number: entry.block_number,
            hash: entry.block_hash,
            parent_hash: [0; 32],
            timestamp_ms: entry.timestamp_ms,
        };
        Ok(Some(Due { head: head_of(&block, first), entry, miners, c_w }))
    }

    /// Judges a window. Whether it was, and not stopped.
    async fn window(&mut self, window: u64, stop: &Stop) -> Result<bool> {
        let part = self.subnet.part().clone();
        part.begins(format!("window {window}"));
        let Some(due) = self.due(window, stop).await? else {
            return Ok(false);
        };
        let begun = Instant::now();
        let committed = self.book.roots(window)?.unwrap_or_default();
        let own = self.signer.account();
        let is_judged = |miner: &&Miner| !self.options.test_mode || miner.hotkey == own;
        let miners: Vec<Miner> = due.miners.iter().filter(is_judged).copied().collect();
        let folder = self.options.folder.join("fetched").join(window.to_string());
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let fetcher = Arc::new(Fetcher {
            subnet: self.subnet.clone(),
            own: self.bucket.clone(),
            folder: folder.clone(),
            permits: Arc::new(Semaphore::new(self.options.fetches)),
            window,
            stop: stop.clone(),
            probed: Mutex::default(),
        });
        // Tasks of their own: a download must not stand still while another file is judged.
        let mut fetching = JoinSet::new();
        for miner in miners {
            let (fetcher, committed) = (Arc::clone(&fetcher), committed.get(&miner.hotkey).cloned());
            fetching.spawn(async move { (miner, fetcher.fetch(&miner.hotkey, committed.as_ref()).await) });
        }
        let verifier = Verifier::new(self.protocol);
        let exported_at = self.options.export.is_some().then(|| grail_export::utc(SystemTime::now()));
        let judge = Judge {
            verifier: &verifier,
            head: &due.head,
            c_w: &due.c_w,
            lowered_to: self.load.lowered_to(),
            exported_at: exported_at.as_deref(),
            part: &part,
        };
        let (mut records, mut valid) = (BTreeMap::new(), BTreeMap::new());
        let mut working = Duration::ZERO;
        while let Some(fetched) = part.waiting(fetching.join_next()).await {
            let (miner, fetched) = fetched.context("a task that fetches a file")?;
            let since = Instant::now();
            let finding = block_in_place(|| finding(&judge, fetched, &miner.hotkey, &mut self.engine, stop));
            working += since.elapsed();
            if stop.is_set() {
                return Ok(false);
            }
            self.events.tell(Event::Judged(told_of(window, miner, &finding)));
            let subject = Subject {
                network_id: *self.protocol.network().id(),
                window_start: window,
                hotkey: miner.hotkey,
                validator: own,
                root: committed.get(&miner.hotkey).map(|c| c.root).filter(|root| root.window_start == window),
            };
            let record = Record::new(subject, &finding.verdict, env!("CARGO_PKG_VERSION"));
            records.insert(miner.hotkey, record.sign(&self.signer)?);
            if let Some(table) = &finding.table {
                self.shelf.keep_table(window, &ss58::encode(&miner.hotkey), table)?;
            }
            valid.insert(miner.uid, finding.valid);
        }
        let valid: Vec<GroupText> = valid.into_values().flatten().collect();
        if !valid.is_empty() {
            let size = self.protocol.network().parameters().rollouts_per_problem as usize;
            self.shelf.keep(window, due.entry.timestamp_ms, &valid, valid.len() * size)?;
        }
        self.book.judge(window, &records)?;
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        self.events.tell(Event::WindowJudged {
            window,
            records: records.len() as u64,
            seconds: begun.elapsed().as_secs_f64(),
        });
        self.learn(working);
        Ok(true)
    }

    fn learn(&mut self, working: Duration) {
        let Some(seen) = self.subnet.heads.latest() else {
            return;
        };
        let blocks = u32::try_from(self.subnet.window_length()).unwrap_or(u32::MAX);
        if self.load.learn(working, seen.block_time.saturating_mul(blocks)) {
            match self.load.lowered_to() {
                Some(g) => {
                    tracing::warn!(groups = g, "this machine cannot keep up: fewer groups of large files are checked")
                }
                None => tracing::info!("large files are checked as the rule asks again"),
            }
        }
    }
}

/// Folder of a hotkey's state on a network, under a program's data folder.
#[must_use]
pub fn folder(data: &Path, network_id: &[u8; 32], hotkey: &str) -> PathBuf {
    data.join("validate").join(hex::encode(&network_id[..8])).join(hotkey)
}
