//! The client, and how every read of it is retried.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::follow::Blocks;
use crate::link::{Link, Links};
use crate::nonces::Nonces;
use crate::state::StateAt;
use crate::{Block, BlockError, ConnectError, NodeError, Settings, StateError, blocks};

/// Reads that one call is made of at most; weights take the most.
const MOST_READS: u32 = 8;

/// The chain of one subnet, over one or more endpoints. Cheap to clone; clones share connection and nonces.
#[derive(Clone)]
pub struct Chain {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub links: Links,
    pub settings: Settings,
    /// Held from the choice of a nonce until the node has the extrinsic.
    pub nonces: tokio::sync::Mutex<Nonces>,
}

/// What decides whether a failed attempt is repeated.
pub(crate) trait Trouble {
    fn is_transient(&self) -> bool;
    /// Whether another endpoint may know better at once: this one lacks the state, or serves another history.
    fn is_elsewhere(&self) -> bool;
}

impl Trouble for NodeError {
    fn is_transient(&self) -> bool {
        Self::is_transient(self)
    }

    fn is_elsewhere(&self) -> bool {
        matches!(self, Self::StateUnavailable { .. })
    }
}

impl Trouble for BlockError {
    fn is_transient(&self) -> bool {
        // A block that is not finalised yet is the caller's to wait for.
        Self::is_transient(self) && !matches!(self, Self::NotFinalised { .. })
    }

    fn is_elsewhere(&self) -> bool {
        self.is_state_unavailable() || matches!(self, Self::Conflict { .. })
    }
}

impl Chain {
    /// A client connected to the first endpoint that can be used. Endpoints are `ws://` or `wss://` addresses.
    ///
    /// # Errors
    /// [`ConnectError`]: no endpoint answers, or one is of another chain than expected.
    pub async fn connect(endpoints: &[String], settings: Settings) -> Result<Self, ConnectError> {
        let links = Links::new(endpoints, settings.clone())?;
        links.current().await?;
        Ok(Self { inner: Arc::new(Inner { links, settings, nonces: tokio::sync::Mutex::default() }) })
    }

    /// Hash of block 0, the same at every endpoint.
    #[must_use]
    pub fn genesis_hash(&self) -> [u8; 32] {
        self.inner.links.genesis().expect("a client is made after its first connection")
    }

    /// What the client was told.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The endpoint in use; `None` while there is no connection.
    pub async fn endpoint(&self) -> Option<String> {
        self.inner.links.in_use().await
    }

    /// No call of this client takes longer, however nodes and network fail: some reads, each as often as it is tried
    /// and every time with all endpoints away, and one submission.
    #[must_use]
    pub fn longest_call(&self) -> Duration {
        let settings = self.settings();
        let endpoints = u32::try_from(self.inner.links.count()).unwrap_or(u32::MAX);
        let attempt = settings.request_timeout.saturating_mul(endpoints.saturating_add(1));
        let attempts = settings.attempts.saturating_add(endpoints);
        let read = attempt.saturating_add(settings.longest_backoff).saturating_mul(attempts);
        read.saturating_mul(MOST_READS).saturating_add(settings.submission_timeout())
    }

    /// The finalised head.
    ///
    /// # Errors
    /// [`BlockError`].
    pub async fn head(&self) -> Result<Block, BlockError> {
        self.attempt(|link| async move { blocks::finalised_head(&link).await }).await
    }

    /// The best block: what the next block is built on. It may still be replaced by another.
    ///
    /// # Errors
    /// [`BlockError`].
    pub async fn best(&self) -> Result<Block, BlockError> {
        self.attempt(|link| async move { blocks::best_head(&link).await }).await
    }

    /// A finalised block by its number.
    ///
    /// # Errors
    /// [`BlockError::NotFinalised`] for a block beyond the head; otherwise see [`BlockError`].
    pub async fn block(&self, number: u64) -> Result<Block, BlockError> {
        self.attempt(|link| async move { blocks::finalised(&link, number).await }).await
    }

    /// The finalised blocks from the head at the first [`Blocks::next`] on, each once, in order and without gaps, whatever happens to endpoints.
    #[must_use]
    pub fn follow(&self) -> Blocks {
        Blocks::new(self.clone(), None)
    }

    /// As [`Chain::follow`], from a block on that may be long past or still to come.
    #[must_use]
    pub fn follow_from(&self, number: u64) -> Blocks {
        Blocks::new(self.clone(), Some(number))
    }

    /// Repeats a read until it gives an answer: with backoff after trouble on the way, at once at each other
    /// endpoint when a state is not kept or a history is not the chain's.
    pub(crate) async fn attempt<T, E, F, Fut>(&self, operation: F) -> Result<T, E>
    where
        E: Trouble + From<NodeError>,
        F: Fn(Arc<Link>) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let (links, settings) = (&self.inner.links, &self.inner.settings);
        let (mut attempt, mut elsewhere) = (0, 1);
        loop {
            let error: E = match links.current().await {
                Err(e) => NodeError::from(e).into(),
                Ok(link) => {
                    let limit = settings.request_timeout;
                    let result = timeout(limit, operation(link.clone())).await;
                    let error = match result {
                        Ok(Ok(value)) => return Ok(value),
                        Ok(Err(error)) => error,
                        Err(_) => NodeError::Timeout { url: link.url.clone(), limit }.into(),
                    };
                    if error.is_transient() || error.is_elsewhere() && elsewhere < links.count() {
                        links.discard(&link).await;
                    }
                    error
                }
            };
            if error.is_elsewhere() && elsewhere < links.count() {
                elsewhere += 1;
                continue;
            }
            if !error.is_transient() || attempt + 1 >= settings.attempts {
                return Err(error);
            }
            sleep(settings.backoff(attempt)).await;
            attempt += 1;
        }
    }

    /// Reads the state of a block.
    pub(crate) async fn read<T, F, Fut>(&self, what: &'static str, block: &Block, operation: F) -> Result<T, StateError>
    where
        F: Fn(StateAt) -> Fut,
        Fut: Future<Output = Result<T, NodeError>>,
    {
        let (hash, number) = (block.hash, block.number);
        let operation = &operation;
        self.attempt(|link| async move { operation(StateAt::open(&link, hash, number).await?).await })
            .await
            .map_err(|source| StateError::Node { what, block: number, source })
    }
}
