//! Which runtime made a block, and which one will make the next.
//!
//! An upgrade needs no restart. The client library asks every block for its version, and fetches metadata when that is
//! new. But what a block says is the runtime in its *state*, which makes the block after it: the block that brings an
//! upgrade was made by the one before, so its storage and its events are in that one's types. Such blocks are known here,
//! by their version being another than their parent's, and are read by the version that made them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use subxt::config::substrate::{H256, SubstrateHeader};
use subxt::config::{Config, DefaultTransactionExtensions, SubstrateConfig};
use subxt::metadata::ArcMetadata;

use crate::NodeError;
use crate::link::{AtBlock, Link};
use crate::trouble::{of_node, of_rpc};

/// Versions of rules and of calls.
pub(crate) type Version = (u32, u32);

/// Versions of blocks and metadata of versions, whichever endpoint told of them. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runtimes {
    /// Keeps metadata.
    inner: SubstrateConfig,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Blocks with an upgrade: hash, and who made them.
    upgrades: BTreeMap<u64, (H256, Version)>,
    /// The lowest block whose state is known to have a version. Versions only grow, so from there on up to the next
    /// version there is no upgrade.
    lowest: BTreeMap<u32, u64>,
}

impl Known {
    fn saw(&mut self, version: u32, number: u64) {
        let lowest = self.lowest.entry(version).or_insert(number);
        *lowest = number.min(*lowest);
    }

    fn is_upgrade(&self, number: u64, hash: H256) -> bool {
        self.upgrades.get(&number).is_some_and(|(of, _)| *of == hash)
    }
}

impl Config for Runtimes {
    type AccountId = <SubstrateConfig as Config>::AccountId;
    type Address = <SubstrateConfig as Config>::Address;
    type Signature = <SubstrateConfig as Config>::Signature;
    type Hasher = <SubstrateConfig as Config>::Hasher;
    type Header = SubstrateHeader<H256>;
    type AssetId = <SubstrateConfig as Config>::AssetId;
    type TransactionExtensions = DefaultTransactionExtensions<Self>;

    fn spec_and_transaction_version_for_block_number(&self, number: u64) -> Option<Version> {
        self.known().upgrades.get(&number).map(|(_, version)| *version)
    }

    fn metadata_for_spec_version(&self, version: u32) -> Option<ArcMetadata> {
        self.inner.metadata_for_spec_version(version)
    }

    fn set_metadata_for_spec_version(&self, version: u32, metadata: ArcMetadata) {
        self.inner.set_metadata_for_spec_version(version, metadata);
    }
}

impl Runtimes {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block by the runtime that made it, and by the one in its state. The two are one but in the block of an upgrade.
    pub async fn at(&self, link: &Link, hash: H256, number: u64) -> Result<(AtBlock, AtBlock), NodeError> {
        let code = in_state(link, hash).await?;
        let version = code.spec_version();
        if !self.known().is_upgrade(number, hash) {
            let is_later = self.known().lowest.get(&version).is_some_and(|lowest| *lowest < number);
            let made = if is_later || number == 0 { Some(version_of(&code)) } else { maker(link, hash).await? };
            let mut known = self.known();
            // Of a fork that is no more.
            known.upgrades.remove(&number);
            match made {
                Some(made) if made.0 != version => {
                    tracing::info!(block = number, from = made.0, to = version, "the chain's runtime was upgraded");
                    known.upgrades.insert(number, (hash, made));
                    known.saw(version, number);
                }
                Some(_) => known.saw(version, number.saturating_sub(u64::from(!is_later))),
                // Its parent is gone. As nearly every block is none with an upgrade, it is taken for none.
                None => {}
            }
        }
        if !self.known().is_upgrade(number, hash) {
            return Ok((code.clone(), code));
        }
        let made = link.client.at_block_hash_and_number(hash, number).await.map_err(|e| of_node(&link.url, e))?;
        Ok((made, code))
    }
}

/// A block by the runtime in its state, which makes the block after it.
pub(crate) async fn in_state(link: &Link, hash: H256) -> Result<AtBlock, NodeError> {
    // No block has this number, so no version is known for it, and the block is asked.
    link.client.at_block_hash_and_number(hash, u64::MAX).await.map_err(|e| of_node(&link.url, e))
}

pub(crate) fn version_of(at: &AtBlock) -> Version {
    (at.spec_version(), at.transaction_version())
}

/// The version in the state of a block's parent; none, if that is not kept any more.
async fn maker(link: &Link, hash: H256) -> Result<Option<Version>, NodeError> {
    let header = link.rpc.chain_get_header(Some(hash)).await.map_err(|e| of_rpc(&link.url, &e))?;
    let Some(header) = header else { return Ok(None) };
    match in_state(link, header.parent_hash).await {
        Ok(parent) => Ok(Some(version_of(&parent))),
        Err(NodeError::StateUnavailable { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
