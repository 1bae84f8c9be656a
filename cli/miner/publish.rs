//! A window's way out: its root on chain before the window ends, then its file into the bucket.
//!
//! Every step is asked for before it is done again, so that a miner that was killed anywhere goes on: a root that is on
//! chain is not put there twice, and a file whose root is on chain is uploaded whatever else happened, as long as it is
//! kept: a bucket that is away for windows gets it late.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use grail_chain::{BlockError, CommitmentError, StateError, SubmitError, Wait};
use grail_protocol::signature::Signer;
use grail_protocol::ss58;
use grail_protocol::window_root::WindowRoot;
use grail_store::{Body, Error as StoreError};
use tokio::sync::Semaphore;

use super::journal::{Closed, Stage, set_stage, stage};
use super::run::KEPT_WINDOWS;
use crate::subnet::{Ended, Event, Events, OwnBucket, Retry, Stop, Stopper, Subnet, file_key};

/// Nobody waits for a file when the window after it is over.
const WAITED_FOR_WINDOWS: u64 = 2;

/// Publishes the windows of one hotkey.
#[derive(Clone)]
pub struct Publisher {
    /// The network.
    pub subnet: Subnet,
    /// The miner's key.
    pub signer: Arc<Signer>,
    /// The miner's bucket.
    pub bucket: OwnBucket,
    /// Who hears of it.
    pub events: Events,
    /// Files that nobody waits for any more go out one at a time, so that those in time have the line.
    late: Arc<Semaphore>,
}

/// Why a root is not on chain.
#[derive(Debug, thiserror::Error)]
enum RootError {
    #[error(transparent)]
    Block(#[from] BlockError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Commitment(#[from] CommitmentError),
    #[error("the root came into block {block}, the window's last is {last_block}")]
    Late { block: u64, last_block: u64 },
    #[error("the window is over, and its root was not on chain at its last block")]
    Over,
}

/// A disk that takes no note costs the next start the same steps once more; it keeps no file back whose root is on chain.
fn note(folder: &Path, stage: Stage) {
    if let Err(error) = set_stage(folder, stage) {
        let error = anyhow::Error::from(error);
        tracing::warn!("how far the window came is not noted, and it is published again at the next start: {error:#}");
    }
}

impl RootError {
    fn advise(&self) -> Retry {
        let transient = match self {
            Self::Block(e) => e.is_transient(),
            Self::State(e) => e.is_transient(),
            // A node's pool may have taken it from another connection, or be full for now.
            Self::Commitment(CommitmentError::Submit(e)) => e.is_transient() || matches!(e, SubmitError::Pool { .. }),
            Self::Commitment(_) | Self::Late { .. } | Self::Over => false,
        };
        if transient { Retry::Later } else { Retry::Never }
    }
}

impl Publisher {
    /// Publishes with a key into a bucket.
    #[must_use]
    pub fn new(subnet: Subnet, signer: Signer, bucket: OwnBucket, events: Events) -> Self {
        Self { subnet, signer: Arc::new(signer), bucket, events, late: Arc::new(Semaphore::new(1)) }
    }

    /// Puts the credentials on chain that others read the bucket with, unless they are there.
    ///
    /// # Errors
    /// A hotkey that is not registered, a pair of keys that writes, what the chain refuses.
    pub async fn credentials(&self, stop: &Stop) -> Result<()> {
        self.bucket.read.refuse_write_pair(self.bucket.store.bucket())?;
        let (chain, account) = (&self.subnet.chain, self.signer.account());
        let head = chain.head().await?;
        let registered = chain.registration(&head, &account).await?;
        ensure!(registered.is_some(), "{}", chain.not_registered(&account));
        let ours = self.bucket.read.to_commitment();
        let put = || async {
            let best = chain.best().await?;
            let there = chain.commitment(&best, &account).await?;
            if there.as_ref().and_then(|c| c.raw(0)) == Some(&ours) {
                return Ok(());
            }
            // A root that is there already is a window's.
            let root = there.as_ref().and_then(|c| c.raw(1)).map(<[u8]>::to_vec);
            let fields: Vec<Vec<u8>> = [ours.to_vec()].into_iter().chain(root).collect();
            chain.set_commitment(&self.signer, &fields, Wait::Inclusion).await?;
            Ok(())
        };
        let result = self.subnet.patience.attempt("credentials", stop, || Duration::MAX, RootError::advise, put).await;
        match result {
            Ok(()) | Err(Ended::Stopped) => Ok(()),
            Err(error) => Err(anyhow::anyhow!("{error}")).context("publishing the bucket's read credentials on chain"),
        }
    }

    /// Takes a closed window out, from wherever it stopped, and tells how that went.
    pub async fn publish(mut self, folder: &Path, closed: &Closed, stop: &Stop) {
        let window = closed.root.window_start;
        self.subnet = self.subnet.as_part(&format!("publishing window {window}"));
        let event = match self.steps(folder, closed, stop).await {
            Ok(true) => {
                Event::WindowPublished { window, file_hash: closed.root.file_hash, stored_bytes: closed.stored_bytes }
            }
            // Told to stop: the next start goes on.
            Ok(false) => return,
            Err(error) => Event::WindowMissed { window, why: format!("{error:#}") },
        };
        self.events.tell(event);
    }

    /// Whether both are where they have to be; not, if told to stop before the root was on its way.
    async fn steps(&self, folder: &Path, closed: &Closed, stop: &Stop) -> Result<bool> {
        let root = closed.root;
        let last_block = root.window_start + self.subnet.window_length() - 1;
        // What was noted while the window lasted is not asked again: the chain forgets its state.
        let is_noted = self.subnet.heads.has_made(last_block) && matches!(stage(folder), Ok(Stage::Rooted));
        let failed = if is_noted { None } else { self.root(&root, last_block, stop).await.err() };
        // It may have come in with an answer that was lost, and whoever has a root has to have a file.
        if failed.is_some() && !self.is_rooted(&root, last_block, stop).await {
            return match failed {
                Some(error) if !stop.is_set() => {
                    if self.subnet.heads.has_made(last_block) {
                        note(folder, Stage::Missed);
                    }
                    Err(anyhow::anyhow!("{error}")).context("its root is not on chain")
                }
                _ => Ok(false),
            };
        }
        note(folder, Stage::Rooted);
        self.upload(closed).await?;
        note(folder, Stage::Published);
        Ok(true)
    }

    /// Puts the root on chain. No attempt is cut by a stop: a root that is sent comes in, whoever waits for it.
    async fn root(&self, root: &WindowRoot, last_block: u64, stop: &Stop) -> Result<(), Ended<RootError>> {
        let left = || match stop.is_set() || self.subnet.heads.has_made(last_block) {
            true => Duration::ZERO,
            false => Duration::MAX,
        };
        let (_stopper, never) = Stopper::new();
        let put = || self.put_root(root, last_block);
        self.subnet.patience.attempt("root", &never, left, RootError::advise, put).await
    }

    /// Whether a root is on chain, asked until the chain says so; not, if told to stop before it does.
    async fn is_rooted(&self, root: &WindowRoot, last_block: u64, stop: &Stop) -> bool {
        if stop.is_set() {
            return self.rooted(root, last_block).await.unwrap_or(false);
        }
        let look = || self.rooted(root, last_block);
        let asked = self.subnet.patience.attempt("root", stop, || Duration::MAX, RootError::advise, look).await;
        asked.unwrap_or(false)
    }

    /// Puts the file into the bucket. A stop does not end it: its root is on chain.
    async fn upload(&self, closed: &Closed) -> Result<()> {
        let window = closed.root.window_start;
        let key = file_key(&ss58::encode(&self.signer.account()), window);
        let put = || self.bucket.store.put(&key, Body::File(closed.path.clone()));
        let advise = |error: &StoreError| match error {
            StoreError::Config(_) | StoreError::File { .. } => Retry::Never,
            // Even a refusal may be a bucket that is being made, and a clock may be set right.
            _ => Retry::Later,
        };
        let (_stopper, never) = Stopper::new();
        let until = |windows: u64| {
            let too_late = window + windows * self.subnet.window_length();
            let left = move || if self.subnet.heads.has_made(too_late) { Duration::ZERO } else { Duration::MAX };
            self.subnet.patience.attempt("bucket", &never, left, advise, put)
        };
        let mut uploaded = until(WAITED_FOR_WINDOWS).await;
        if let Err(Ended::TooLate(_)) = uploaded {
            // Of no use for the window's weights, but whoever has a root has to have a file.
            let _turn = self.subnet.part().waiting(self.late.acquire()).await;
            uploaded = until(KEPT_WINDOWS).await;
        }
        match uploaded {
            Ok(()) => Ok(()),
            Err(error) => {
                Err(anyhow::anyhow!("{error}")).context("its root is on chain, its file is not in the bucket")
            }
        }
    }

    /// Whether a root is what the window ends with, as far as the window has come.
    async fn rooted(&self, root: &WindowRoot, last_block: u64) -> Result<bool, RootError> {
        let chain = &self.subnet.chain;
        let best = chain.best().await?;
        let at = if best.number > last_block { chain.block(last_block).await? } else { best };
        let there = chain.commitment(&at, &self.signer.account()).await?;
        Ok(there.as_ref().and_then(|c| c.raw(1)) == Some(&root.to_bytes()))
    }

    async fn put_root(&self, root: &WindowRoot, last_block: u64) -> Result<(), RootError> {
        let (chain, account) = (&self.subnet.chain, self.signer.account());
        if self.rooted(root, last_block).await? {
            return Ok(());
        }
        if chain.best().await?.number >= last_block {
            return Err(RootError::Over);
        }
        let fields = [self.bucket.read.to_commitment().to_vec(), root.to_bytes().to_vec()];
        chain.set_commitment(&self.signer, &fields, Wait::Inclusion).await?;
        let best = chain.best().await?;
        match chain.commitment(&best, &account).await? {
            Some(there) if there.block > last_block => Err(RootError::Late { block: there.block, last_block }),
            _ => Ok(()),
        }
    }
}
