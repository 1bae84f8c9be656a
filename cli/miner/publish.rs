//! A window's way out: its root on chain before the window ends, then its file into the bucket.
//!
//! Every step is asked for before it is done again, so that a miner that was killed anywhere goes on: a root that is on
//! chain is not put there twice, and a file whose root is on chain is uploaded whatever else happened.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use grail_chain::{BlockError, CommitmentError, StateError, SubmitError, Wait};
use grail_protocol::signature::Signer;
use grail_protocol::ss58;
use grail_protocol::window_root::WindowRoot;
use grail_store::{Body, Error as StoreError};

use super::journal::{Closed, Stage, set_stage};
use crate::subnet::{Ended, Event, Events, OwnBucket, Retry, Stop, Subnet, file_key};

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
    pub async fn publish(self, folder: &Path, closed: &Closed, stop: &Stop) {
        let window = closed.root.window_start;
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

    async fn steps(&self, folder: &Path, closed: &Closed, stop: &Stop) -> Result<bool> {
        let (root, length) = (closed.root, self.subnet.window_length());
        let last_block = root.window_start + length - 1;
        let left = || self.subnet.heads.left_until(last_block);
        match self.rooted(&root, last_block).await {
            Ok(true) => {}
            // Whatever it was, the attempts meet it again and say so.
            Ok(false) | Err(_) => {
                let put = || self.put_root(&root, last_block);
                let advise = RootError::advise;
                match self.subnet.patience.attempt("root", stop, left, advise, put).await {
                    Ok(()) => {}
                    Err(Ended::Stopped) => return Ok(false),
                    // The last look decides: it may have come in with an answer that was lost.
                    Err(_) if self.rooted(&root, last_block).await.unwrap_or(false) => {}
                    Err(error) => return Err(anyhow::anyhow!("{error}")).context("its root is not on chain"),
                }
            }
        }
        set_stage(folder, Stage::Rooted)?;
        let key = file_key(&ss58::encode(&self.signer.account()), root.window_start);
        let put = || self.bucket.store.put(&key, Body::File(closed.path.clone()));
        let advise = |error: &StoreError| match error {
            StoreError::Config(_) | StoreError::File { .. } | StoreError::ClockSkew { .. } => Retry::Never,
            // Even a refusal may be a bucket that is being made.
            _ => Retry::Later,
        };
        // Nobody takes it when the window after it is over.
        let left = || self.subnet.heads.left_until(root.window_start + 2 * length);
        match self.subnet.patience.attempt("bucket", stop, left, advise, put).await {
            Ok(()) => {}
            Err(Ended::Stopped) => return Ok(false),
            Err(error) => {
                return Err(anyhow::anyhow!("{error}")).context("its root is on chain, its file is not in the bucket");
            }
        }
        set_stage(folder, Stage::Published)?;
        Ok(true)
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
