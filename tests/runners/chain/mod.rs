//! Runners of the vectors of a subnet's chain: calls, storage, weights and commitments to them.
//!
//! The chain's vectors were made over the real chain's metadata. They hold here over the metadata that the local
//! network serves, so client, local network and real chain agree on these bytes.
#![allow(dead_code)]

pub mod calls;
pub mod storage;
pub mod tlock;
pub mod values;
pub mod weights;

use std::sync::Arc;

use subxt::client::{OfflineClient, OfflineClientAtBlockImpl};
use subxt::config::SubstrateConfig;
use subxt::config::substrate::SpecVersionForRange;
use subxt::utils::H256;

use super::protocol::support::{Runner, text};

/// Every file this module runs.
pub const RUNNERS: &[(&str, Runner)] = &[
    ("network/chain_calls.json", calls::run),
    ("network/chain_storage.json", storage::run),
    ("network/tlock.json", tlock::run),
    ("network/weights.json", weights::run),
];

/// The client library without a node.
pub type AtBlock = subxt::client::ClientAtBlock<SubstrateConfig, OfflineClientAtBlockImpl<SubstrateConfig>>;

/// A client over the local network's metadata, of a chain of these versions.
pub fn offline_client(genesis: [u8; 32], spec_version: u32, transaction_version: u32) -> Result<AtBlock, String> {
    let metadata = subxt::Metadata::decode_from(&grail_localnet::chain::metadata::v15(
        grail_localnet::chain::version::Runtime::FIRST,
    ))
    .map_err(text)?;
    let versions = SpecVersionForRange { block_range: 0..u64::MAX, spec_version, transaction_version };
    let config = SubstrateConfig::builder()
        .set_genesis_hash(H256(genesis))
        .set_metadata_for_spec_versions([(spec_version, Arc::new(metadata))])
        .set_spec_version_for_block_ranges([versions])
        .build();
    OfflineClient::new_with_config(config).at_block(0u64).map_err(text)
}
