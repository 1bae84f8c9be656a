//! The server, and the author that makes blocks while it runs.

use std::net::SocketAddr;
use std::time::Duration;

use jsonrpsee::server::{BatchRequestConfig, RandomStringIdProvider, ServerBuilder, ServerConfig, ServerHandle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::module;
use crate::chain::error::ChainError;
use crate::chain::node::Chain;
use crate::chain::pool::MOST_EXTRINSIC_BYTES;

/// An extrinsic is two hex digits per byte.
const MOST_REQUEST_BYTES: u32 = 2 * MOST_EXTRINSIC_BYTES as u32 + (1 << 16);
const MOST_RESPONSE_BYTES: u32 = 32 << 20;
const MOST_BATCHED: u32 = 64;
const MOST_CONNECTIONS: u32 = 512;
const MOST_SUBSCRIPTIONS: u32 = 256;
const SUBSCRIPTION_ID_LETTERS: usize = 16;

/// A chain that is being served. Dropping it ends the service.
#[derive(Debug)]
pub struct ChainServer {
    address: SocketAddr,
    handle: ServerHandle,
    author: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Chain {
    /// Serves the chain on an address (port 0: any free one) and, if a block time is set, makes blocks from now
    /// on. A chain is served once at a time: each server would have its own author.
    ///
    /// # Errors
    /// The address cannot be listened on.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub async fn serve(&self, address: SocketAddr) -> Result<ChainServer, ChainError> {
        let config = ServerConfig::builder()
            .max_request_body_size(MOST_REQUEST_BYTES)
            .max_response_body_size(MOST_RESPONSE_BYTES)
            .max_connections(MOST_CONNECTIONS)
            .max_subscriptions_per_connection(MOST_SUBSCRIPTIONS)
            .set_batch_request_config(BatchRequestConfig::Limit(MOST_BATCHED))
            .set_id_provider(RandomStringIdProvider::new(SUBSCRIPTION_ID_LETTERS))
            .build();
        let refuse = |source| ChainError::Listen { address, source };
        let server = ServerBuilder::with_config(config).build(address).await.map_err(refuse)?;
        let address = server.local_addr().map_err(refuse)?;
        let methods = module(self.clone()).expect("no method has the name of another");
        let handle = server.start(methods);
        let author = self.config().block_time.map(|period| {
            let (stop, stopped) = oneshot::channel();
            (stop, tokio::spawn(make_blocks(self.clone(), period, stopped)))
        });
        Ok(ChainServer { address, handle, author })
    }
}

impl ChainServer {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL for WebSocket clients; the same port answers HTTP.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Ends the service, after the block that is being made.
    pub async fn shutdown(mut self) {
        // Fails only if it has stopped already.
        let _ = self.handle.stop();
        self.handle.clone().stopped().await;
        if let Some((stop, author)) = self.author.take() {
            drop(stop);
            // An author that panicked has said so; there is nothing left to stop.
            let _ = author.await;
        }
    }
}

/// Makes a block every period until told to stop, or until nobody is left who could tell.
async fn make_blocks(chain: Chain, period: Duration, mut stopped: oneshot::Receiver<()>) {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            _ = ticks.tick() => {}
        }
        let author = chain.clone();
        match tokio::task::spawn_blocking(move || author.seal()).await {
            Ok(Ok(sealed)) => tracing::debug!(number = sealed.number, "sealed a block"),
            Ok(Err(error)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "no block was made; trying again");
            }
            Err(error) => tracing::error!(%error, "the author failed; trying again"),
        }
    }
}
