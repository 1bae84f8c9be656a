//! The state of one block, read by names of pallets and entries.

use std::sync::Arc;

use subxt::ext::frame_decode::storage::{IntoDecodableValues, IntoEncodableValues};
use subxt::ext::scale_decode::DecodeAsType;
use subxt::storage::PrefixOf;
use subxt::utils::H256;
use subxt::{dynamic, runtime_apis};

use crate::NodeError;
use crate::link::{AtBlock, Link};
use crate::trouble::of_node;

/// The most entries of a map that are read: the number of uids that a subnet can have.
const MOST_ENTRIES: usize = 65_536;

/// The state of one block at one endpoint.
pub(crate) struct StateAt {
    url: Arc<str>,
    /// By the runtime that wrote the state.
    at: AtBlock,
    /// By the runtime that answers calls: another one in the block of an upgrade.
    code: AtBlock,
}

impl StateAt {
    /// Finds the runtime version of a block, and its metadata if that version is new.
    pub async fn open(link: &Link, hash: [u8; 32], number: u64) -> Result<Self, NodeError> {
        let (at, code) = link.runtimes.at(link, H256(hash), number).await?;
        Ok(Self { url: link.url.as_str().into(), at, code })
    }

    /// Whether the runtime of this block has a method for reading.
    pub fn has_api(&self, name: &str, method: &str) -> bool {
        let found = self.code.metadata_ref().runtime_api_trait_by_name(name);
        found.is_some_and(|api| api.method_by_name(method).is_some())
    }

    /// Whether the runtime of this block has a storage entry.
    pub fn has_entry(&self, pallet: &str, entry: &str) -> bool {
        self.at.storage().entry((pallet, entry)).is_ok()
    }

    /// A value that has a default, or is there.
    pub async fn value<K, V>(&self, pallet: &str, entry: &str, key: K) -> Result<V, NodeError>
    where
        K: IntoEncodableValues + IntoDecodableValues,
        V: DecodeAsType,
    {
        let value = self.at.storage().fetch(dynamic::storage::<K, V>(pallet, entry), key).await;
        let value = value.map_err(|e| of_node(&self.url, e))?;
        value.decode().map_err(|e| self.cannot_decode(pallet, entry, &e))
    }

    /// A value that may be missing.
    pub async fn optional<K, V>(&self, pallet: &str, entry: &str, key: K) -> Result<Option<V>, NodeError>
    where
        K: IntoEncodableValues + IntoDecodableValues,
        V: DecodeAsType,
    {
        let value = self.at.storage().try_fetch(dynamic::storage::<K, V>(pallet, entry), key).await;
        let value = value.map_err(|e| of_node(&self.url, e))?;
        value.map(|v| v.decode()).transpose().map_err(|e| self.cannot_decode(pallet, entry, &e))
    }

    /// The entries of a map under the first parts of its key.
    pub async fn entries<K, V, P>(&self, pallet: &str, entry: &str, prefix: P) -> Result<Vec<(K, V)>, NodeError>
    where
        K: IntoEncodableValues + IntoDecodableValues,
        V: DecodeAsType,
        P: PrefixOf<K>,
    {
        let found = self.at.storage().iter(dynamic::storage::<K, V>(pallet, entry), prefix).await;
        let mut found = found.map_err(|e| of_node(&self.url, e))?;
        let mut entries = Vec::new();
        while let Some(pair) = found.next().await {
            if entries.len() == MOST_ENTRIES {
                let problem = format!("{pallet}.{entry} has more than {MOST_ENTRIES} entries");
                return Err(NodeError::Unexpected { url: self.url.to_string(), problem });
            }
            let pair = pair.map_err(|e| of_node(&self.url, e))?;
            let key = pair.key().and_then(|key| key.decode()).map_err(|e| self.cannot_decode(pallet, entry, &e))?;
            let value = pair.value().decode().map_err(|e| self.cannot_decode(pallet, entry, &e))?;
            entries.push((key, value));
        }
        Ok(entries)
    }

    /// The answer of a runtime method.
    pub async fn call<A, V>(&self, api: &str, method: &str, arguments: A) -> Result<V, NodeError>
    where
        A: IntoEncodableValues,
        V: DecodeAsType,
    {
        let call = runtime_apis::dynamic::<A, V>(api, method, arguments);
        self.code.runtime_apis().call(call).await.map_err(|e| of_node(&self.url, e))
    }

    fn cannot_decode(&self, pallet: &str, entry: &str, error: &dyn std::error::Error) -> NodeError {
        NodeError::Unexpected { url: self.url.to_string(), problem: format!("{pallet}.{entry}: {error}") }
    }
}
