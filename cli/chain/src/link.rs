//! A connection to one endpoint, and the choice of the next when it fails.
//!
//! Reconnecting is done here and not by the client library's reconnecting transport: that one stays with its
//! endpoint for ever, and waits inside a request where nobody can tell that it waits.

use std::sync::{Arc, Mutex, PoisonError};

use subxt::backend::LegacyBackend;
use subxt::config::RpcConfigFor;
use subxt::rpcs::{LegacyRpcMethods, RpcClient};
use subxt::{OnlineClient, client::OnlineClientAtBlockImpl};
use tokio::time::timeout;

use crate::runtimes::Runtimes;
use crate::{ConnectError, EndpointFailure, Settings};

/// A block's state through the client library.
pub(crate) type AtBlock = subxt::client::ClientAtBlock<Runtimes, OnlineClientAtBlockImpl<Runtimes>>;

/// One connection. When it breaks it stays broken; another takes its place.
pub(crate) struct Link {
    pub url: String,
    /// Its place among the endpoints.
    index: usize,
    pub client: OnlineClient<Runtimes>,
    /// The methods that the client library does not cover.
    pub rpc: LegacyRpcMethods<RpcConfigFor<Runtimes>>,
    /// Those of all endpoints.
    pub runtimes: Runtimes,
}

/// All endpoints, and the connection in use.
pub(crate) struct Links {
    endpoints: Vec<String>,
    settings: Settings,
    runtimes: Runtimes,
    genesis: Mutex<Option<[u8; 32]>>,
    slot: tokio::sync::Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    link: Option<Arc<Link>>,
    /// The endpoint to try first when there is no connection.
    next: usize,
}

impl Links {
    pub fn new(endpoints: &[String], settings: Settings) -> Result<Self, ConnectError> {
        if endpoints.is_empty() {
            return Err(ConnectError::NoEndpoint);
        }
        for url in endpoints {
            let host = url.strip_prefix("ws://").or_else(|| url.strip_prefix("wss://"));
            if host.is_none_or(|h| h.is_empty() || h.starts_with(['/', ':'])) {
                return Err(ConnectError::BadEndpoint { url: url.clone() });
            }
        }
        let genesis = Mutex::new(settings.expected_genesis);
        let (endpoints, runtimes) = (endpoints.to_vec(), Runtimes::default());
        Ok(Self { endpoints, settings, runtimes, genesis, slot: tokio::sync::Mutex::default() })
    }

    /// Number of endpoints.
    pub fn count(&self) -> usize {
        self.endpoints.len()
    }

    /// The genesis hash that endpoints must have, known once one was reached or when it was given.
    pub fn genesis(&self) -> Option<[u8; 32]> {
        *self.genesis.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The endpoint of the connection in use.
    pub async fn in_use(&self) -> Option<String> {
        self.slot.lock().await.link.as_ref().map(|link| link.url.clone())
    }

    /// The connection in use, or a new one to the first endpoint that can be used, each tried once.
    pub async fn current(&self) -> Result<Arc<Link>, ConnectError> {
        let mut slot = self.slot.lock().await;
        if let Some(link) = &slot.link {
            return Ok(link.clone());
        }
        let mut failures = Vec::new();
        for step in 0..self.endpoints.len() {
            let index = (slot.next + step) % self.endpoints.len();
            match self.connect(index).await {
                Ok(link) => {
                    tracing::info!(endpoint = link.url, "connected to the chain");
                    slot.next = index;
                    return Ok(slot.link.insert(Arc::new(link)).clone());
                }
                Err(failure) => {
                    tracing::debug!(%failure, "a chain endpoint cannot be used");
                    failures.push(failure);
                }
            }
        }
        Err(ConnectError::Unreachable { failures })
    }

    /// Gives a connection up, if it is still the one in use: the next comes from the next endpoint.
    pub async fn discard(&self, link: &Arc<Link>) {
        let mut slot = self.slot.lock().await;
        if slot.link.as_ref().is_some_and(|current| Arc::ptr_eq(current, link)) {
            slot.link = None;
            slot.next = (link.index + 1) % self.endpoints.len();
        }
    }

    async fn connect(&self, index: usize) -> Result<Link, EndpointFailure> {
        let url = &self.endpoints[index];
        let away = |problem: String| EndpointFailure::Away { url: url.clone(), problem };
        let limit = self.settings.request_timeout;
        let open = async {
            let rpc = RpcClient::from_insecure_url(url).await.map_err(|e| away(innermost(&e)))?;
            // The methods every Substrate node has; the newer ones differ between versions of nodes.
            let backend = LegacyBackend::<Runtimes>::builder().build(rpc.clone());
            let client = OnlineClient::from_backend_with_config(self.runtimes.clone(), Arc::new(backend)).await;
            let client = client.map_err(|e| away(e.to_string()))?;
            Ok(Link {
                url: url.clone(),
                index,
                client,
                rpc: LegacyRpcMethods::new(rpc),
                runtimes: self.runtimes.clone(),
            })
        };
        let link = timeout(limit, open)
            .await
            .unwrap_or_else(|_| Err(away(format!("no answer within {} s", limit.as_secs_f64()))))?;
        self.check_genesis(url, link.client.genesis_hash().0)?;
        Ok(link)
    }

    /// The first endpoint reached decides, unless the settings did.
    fn check_genesis(&self, url: &str, found: [u8; 32]) -> Result<(), EndpointFailure> {
        let mut genesis = self.genesis.lock().unwrap_or_else(PoisonError::into_inner);
        let expected = *genesis.get_or_insert(found);
        if expected == found {
            return Ok(());
        }
        Err(EndpointFailure::WrongGenesis { url: url.to_owned(), expected, found })
    }
}

/// The transport's own words, without the layers around them.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn links(endpoints: &[&str]) -> Result<Links, ConnectError> {
        let endpoints: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
        Links::new(&endpoints, Settings::new(81, Duration::from_secs(12)))
    }

    #[test]
    fn only_websocket_addresses_are_endpoints() {
        assert_eq!(links(&[]).map(|_| ()), Err(ConnectError::NoEndpoint));
        for bad in ["", "ws://", "wss:///", "http://node", "node:9944", "ws://:9944"] {
            let error = links(&["ws://good", bad]).map(|_| ()).unwrap_err();
            assert_eq!(error, ConnectError::BadEndpoint { url: bad.to_owned() });
            assert!(!error.is_transient());
        }
        assert!(links(&["ws://127.0.0.1:9944", "wss://entrypoint-finney.opentensor.ai:443"]).is_ok());
    }

    #[test]
    fn the_first_genesis_binds_every_other_endpoint() {
        let links = links(&["ws://a", "ws://b"]).unwrap();
        assert_eq!(links.genesis(), None);
        assert_eq!(links.check_genesis("ws://a", [1; 32]), Ok(()));
        assert_eq!(links.check_genesis("ws://b", [1; 32]), Ok(()));
        let refused = links.check_genesis("ws://b", [2; 32]).unwrap_err();
        assert!(matches!(refused, EndpointFailure::WrongGenesis { expected: [1, ..], found: [2, ..], .. }));
        assert!(!ConnectError::Unreachable { failures: vec![refused] }.is_transient());
    }

    #[tokio::test]
    async fn an_endpoint_where_nothing_listens_is_away() {
        let error = links(&["ws://127.0.0.1:1", "ws://127.0.0.1:2"]).unwrap().current().await.map(|_| ()).unwrap_err();
        assert!(error.is_transient(), "{error}");
        let ConnectError::Unreachable { failures } = &error else { panic!("{error}") };
        assert_eq!(failures.len(), 2);
        assert!(error.to_string().contains("ws://127.0.0.1:2"), "{error}");
    }
}
