//! The client's own encodings and decodings without a node, over given metadata.

use subxt::Metadata;
use subxt::ext::frame_decode;
use subxt::ext::scale_decode::IntoVisitor;
use subxt::ext::scale_value::Composite;
use subxt::transactions::DynamicPayload;

use crate::metagraph::Answer;
use crate::{Commitment, ConformedWeights, Metagraph};

/// The call of [`crate::Chain::set_commitment`].
#[must_use]
pub fn set_commitment(netuid: u16, fields: &[Vec<u8>]) -> DynamicPayload<Composite<()>> {
    crate::commitments::set_commitment_call(netuid, fields)
}

/// The call of [`crate::Chain::submit_weights`].
#[must_use]
pub fn set_weights(netuid: u16, weights: &ConformedWeights, version_key: u64) -> DynamicPayload<Composite<()>> {
    crate::weights::set_weights_call(netuid, weights, version_key)
}

/// The call that [`crate::Chain::submit_weights`] makes with commit-reveal.
#[must_use]
pub fn commit_timelocked_weights(
    netuid: u16,
    commit: &[u8],
    round: u64,
    version: u16,
) -> DynamicPayload<Composite<()>> {
    crate::weights::commit_call(netuid, commit, round, version)
}

pub use crate::weights::{payload as weights_payload, seal as seal_weights};

/// A stored commitment.
///
/// # Errors
/// The decoder's, as text.
pub fn commitment(metadata: &Metadata, mut bytes: &[u8]) -> Result<Commitment, String> {
    let visitor = crate::commitments::Registration::into_visitor();
    let stored = frame_decode::storage::decode_storage_value(
        "Commitments",
        "CommitmentOf",
        &mut bytes,
        metadata,
        metadata.types(),
        visitor,
    );
    stored.map(Into::into).map_err(|e| e.to_string())
}

/// An answer of `SubnetInfoRuntimeApi.get_metagraph`; `None` where the subnet does not exist.
///
/// # Errors
/// The decoder's, as text.
pub fn metagraph(metadata: &Metadata, netuid: u16, block: u64, mut bytes: &[u8]) -> Result<Option<Metagraph>, String> {
    let answer = frame_decode::runtime_apis::decode_runtime_api_response(
        "SubnetInfoRuntimeApi",
        "get_metagraph",
        &mut bytes,
        metadata,
        metadata.types(),
        Option::<Answer>::into_visitor(),
    );
    let answer = answer.map_err(|e| e.to_string())?;
    answer.map(|a| a.into_metagraph(netuid, block, true)).transpose().map_err(|e| e.to_string())
}
