//! Blocks and heads at one endpoint.

use subxt::config::substrate::{BlakeTwo256, H256, SubstrateHeader};
use subxt::config::{Hasher, Header};
use subxt::ext::codec::Encode;

use crate::link::Link;
use crate::state::StateAt;
use crate::trouble::of_rpc;
use crate::{BlockError, NodeError};

/// A block: what windows and randomness are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Height; the genesis block is 0.
    pub number: u64,
    /// Hash of its header.
    pub hash: [u8; 32],
    /// Hash of the block before it.
    pub parent_hash: [u8; 32],
    /// The chain's own clock at this block (`Timestamp.Now`), in milliseconds since 1970.
    pub timestamp_ms: u64,
}

/// Number and hash of the finalised head.
pub(crate) async fn finalised_number(link: &Link) -> Result<(u64, H256), BlockError> {
    let hash = link.rpc.chain_get_finalized_head().await.map_err(|e| of_rpc(&link.url, &e))?;
    let header = header(link, hash).await?;
    Ok((header.number(), hash))
}

pub(crate) async fn finalised_head(link: &Link) -> Result<Block, BlockError> {
    let hash = link.rpc.chain_get_finalized_head().await.map_err(|e| of_rpc(&link.url, &e))?;
    with_hash(link, hash).await
}

pub(crate) async fn best_head(link: &Link) -> Result<Block, BlockError> {
    let hash = link.rpc.chain_get_block_hash(None).await.map_err(|e| of_rpc(&link.url, &e))?;
    with_hash(link, hash.ok_or_else(|| unknown(link, "the best block"))?).await
}

/// A block by its number, only if this endpoint has it finalised: what a node answers beyond its finalised head
/// may still change.
pub(crate) async fn finalised(link: &Link, number: u64) -> Result<Block, BlockError> {
    let (head, _) = finalised_number(link).await?;
    match number <= head {
        true => below_head(link, number).await,
        false => Err(BlockError::NotFinalised { number, head }),
    }
}

/// A block by its number, known to be finalised at this endpoint.
pub(crate) async fn below_head(link: &Link, number: u64) -> Result<Block, BlockError> {
    let hash = link.rpc.chain_get_block_hash(Some(number.into())).await.map_err(|e| of_rpc(&link.url, &e))?;
    let block = with_hash(link, hash.ok_or_else(|| unknown(link, &format!("block {number}")))?).await?;
    match block.number == number {
        true => Ok(block),
        false => Err(conflict(link, number, format!("the block given for it has number {}", block.number))),
    }
}

async fn with_hash(link: &Link, hash: H256) -> Result<Block, BlockError> {
    let header = header(link, hash).await?;
    let state = StateAt::open(link, hash.0, header.number()).await?;
    let timestamp_ms = state.value("Timestamp", "Now", ()).await?;
    Ok(Block { number: header.number(), hash: hash.0, parent_hash: header.parent_hash.0, timestamp_ms })
}

/// The header of a hash, and no other.
async fn header(link: &Link, hash: H256) -> Result<SubstrateHeader<H256>, BlockError> {
    let header = link.rpc.chain_get_header(Some(hash)).await.map_err(|e| of_rpc(&link.url, &e))?;
    let header = header.ok_or_else(|| unknown(link, &format!("the block of hash {hash:?}")))?;
    match header_hash(&header) == hash {
        true => Ok(header),
        false => Err(conflict(link, header.number(), format!("its header is not that of the hash {hash:?}"))),
    }
}

pub(crate) fn header_hash(header: &SubstrateHeader<H256>) -> H256 {
    BlakeTwo256.hash(&header.encode())
}

pub(crate) fn conflict(link: &Link, number: u64, problem: String) -> BlockError {
    BlockError::Conflict { url: link.url.clone(), number, problem }
}

fn unknown(link: &Link, what: &str) -> NodeError {
    NodeError::StateUnavailable { url: link.url.clone(), problem: format!("{what} is unknown to it") }
}
