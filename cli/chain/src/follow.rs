//! Finalised blocks, one after the other.
//!
//! A node announces heads, not blocks: several blocks may be finalised at once, announcements are lost with their
//! connection, and a node that is stuck stays silent. So an announcement only says how far one may go. Each block
//! is fetched by its number, checked to continue the one before it, and a silent subscription is given up.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use subxt::config::Header;
use subxt::config::substrate::{H256, SubstrateHeader};
use subxt::rpcs::client::RpcSubscription;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::link::Link;
use crate::trouble::of_rpc;
use crate::{Block, BlockError, Chain, NodeError, blocks};

/// The finalised blocks from some block on, each once and in order.
pub struct Blocks {
    chain: Chain,
    /// Number of the block to give; `None`: that of the head when first asked.
    next: Option<u64>,
    last: Option<Block>,
    heads: Option<Heads>,
    /// Failures since the last block.
    failures: u32,
    /// Conflicts since the last block.
    conflicts: usize,
    watch: Option<Watch>,
}

/// Hears before every step how long it takes at most.
type Watch = Box<dyn Fn(Duration) + Send + Sync>;

/// A subscription, and how far its endpoint is.
struct Heads {
    link: Arc<Link>,
    announced: RpcSubscription<SubstrateHeader<H256>>,
    /// Highest block known to be finalised at this endpoint.
    head: u64,
    /// When that was last heard to be higher. Kept here, as a wait may be dropped and begun again any time.
    heard: Instant,
}

impl Blocks {
    pub(crate) fn new(chain: Chain, next: Option<u64>) -> Self {
        Self { chain, next, last: None, heads: None, failures: 0, conflicts: 0, watch: None }
    }

    /// The same, with somebody who hears of every step before it begins, and how long it takes at most: asking for a
    /// block, waiting for an announcement, a pause after a failure. Who hears nothing more knows that this hangs.
    #[must_use]
    pub fn watched(mut self, watch: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        self.watch = Some(Box::new(watch));
        self
    }

    /// From now on as from [`Chain::follow`].
    pub fn begin_at_head(&mut self) {
        (self.next, self.last) = (None, None);
    }

    fn tell(&self, longest: Duration) {
        if let Some(watch) = &self.watch {
            watch(longest);
        }
    }

    /// Longest time of a step: a new connection, tried at every endpoint, or an announcement that does not come.
    fn longest_step(&self) -> Duration {
        let settings = self.chain.settings();
        let endpoints = u32::try_from(self.endpoints()).unwrap_or(u32::MAX);
        settings.request_timeout.saturating_mul(endpoints.saturating_add(1)).max(settings.stall_after())
    }

    /// The next block, waited for as long as it takes: while no endpoint answers, attempts go on with backoff and
    /// say so in the log. May be dropped while it waits; no block is lost by that.
    ///
    /// # Errors
    /// Only what waiting does not cure: the block's state is no longer kept ([`BlockError::is_state_unavailable`]),
    /// or every endpoint serves another history. The same block is tried again when asked again.
    pub async fn next(&mut self) -> Result<Block, BlockError> {
        loop {
            self.tell(self.longest_step());
            let error = match self.step().await {
                Ok(Some(block)) => {
                    if self.failures > 0 {
                        tracing::info!(block = block.number, "the chain is back");
                    }
                    (self.failures, self.conflicts) = (0, 0);
                    self.next = Some(block.number + 1);
                    self.last = Some(block);
                    return Ok(block);
                }
                Ok(None) => continue,
                Err(error) => error,
            };
            self.give_up_link().await;
            if matches!(error, BlockError::Conflict { .. }) {
                self.conflicts += 1;
            }
            let elsewhere = matches!(error, BlockError::Conflict { .. }) && self.conflicts < self.endpoints();
            if !error.is_transient() && !elsewhere {
                self.conflicts = 0;
                return Err(error);
            }
            let wait = self.chain.settings().backoff(self.failures);
            self.failures = self.failures.saturating_add(1);
            tracing::warn!(%error, wait_s = wait.as_secs_f64(), "the chain is away; waiting");
            self.tell(wait);
            sleep(wait).await;
        }
    }

    /// The same as a stream, which never ends.
    pub fn into_stream(self) -> Pin<Box<dyn Stream<Item = Result<Block, BlockError>> + Send>> {
        Box::pin(futures::stream::unfold(self, async |mut blocks| Some((blocks.next().await, blocks))))
    }

    fn endpoints(&self) -> usize {
        self.chain.inner.links.count()
    }

    async fn give_up_link(&mut self) {
        if let Some(heads) = self.heads.take() {
            self.chain.inner.links.discard(&heads.link).await;
        }
    }

    /// One step: subscribe, or give the next block, or wait for an announcement.
    async fn step(&mut self) -> Result<Option<Block>, BlockError> {
        let (stall_after, limit) = (self.chain.settings().stall_after(), self.chain.settings().request_timeout);
        let Some(heads) = &mut self.heads else {
            self.heads = Some(subscribe(&self.chain, limit).await?);
            return Ok(None);
        };
        let next = *self.next.get_or_insert(heads.head);
        if next <= heads.head {
            let block = in_time(&heads.link, limit, blocks::below_head(&heads.link, next)).await?;
            continues(&heads.link, self.last.as_ref(), &block)?;
            return Ok(Some(block));
        }
        let silent = || NodeError::Transport {
            url: heads.link.url.clone(),
            problem: format!("no new finalised block for {} s", stall_after.as_secs_f64()),
        };
        match timeout_at(heads.heard + stall_after, heads.announced.next()).await.map_err(|_| silent())? {
            Some(Ok(header)) if header.number() > heads.head => {
                (heads.head, heads.heard) = (header.number(), Instant::now());
            }
            Some(Ok(_)) => {}
            Some(Err(e)) => return Err(of_rpc(&heads.link.url, &e).into()),
            None => {
                let problem = "the subscription to finalised blocks ended".to_owned();
                return Err(NodeError::Transport { url: heads.link.url.clone(), problem }.into());
            }
        }
        Ok(None)
    }
}

async fn subscribe(chain: &Chain, limit: Duration) -> Result<Heads, BlockError> {
    let link = chain.inner.links.current().await.map_err(NodeError::from)?;
    let opened = in_time(&link, limit, async {
        let announced = link.rpc.chain_subscribe_finalized_heads().await.map_err(|e| of_rpc(&link.url, &e))?;
        // After the subscription, so that no head falls between the two.
        Ok((announced, blocks::finalised_number(&link).await?.0))
    });
    match opened.await {
        Ok((announced, head)) => Ok(Heads { link, announced, head, heard: Instant::now() }),
        Err(error) => {
            chain.inner.links.discard(&link).await;
            Err(error)
        }
    }
}

async fn in_time<T>(
    link: &Link,
    limit: Duration,
    read: impl Future<Output = Result<T, BlockError>>,
) -> Result<T, BlockError> {
    match timeout(limit, read).await {
        Ok(result) => result,
        Err(_) => Err(NodeError::Timeout { url: link.url.clone(), limit }.into()),
    }
}

/// An endpoint may serve another history than the one before it did.
fn continues(link: &Link, last: Option<&Block>, block: &Block) -> Result<(), BlockError> {
    match last {
        Some(last) if last.hash != block.parent_hash => {
            let (last, parent) = (hex::encode(last.hash), hex::encode(block.parent_hash));
            let problem = format!("the block before it was 0x{last}, and it continues 0x{parent}");
            Err(blocks::conflict(link, block.number, problem))
        }
        _ => Ok(()),
    }
}
