//! Weights that are committed now and revealed by the chain later.
//!
//! The commitment is encrypted to a round of the beacon that the chain follows (drand's quicknet, on a local network
//! its own), so nobody can copy the weights of others before they count, and nobody has to come back to reveal.

use grail_beacon::{ChainInfo, timelock};
use grail_protocol::AccountId;
use subxt::ext::codec::Encode;
use subxt::ext::scale_value::{Composite, Value};
use subxt::transactions::DynamicPayload;

use super::ConformedWeights;
use crate::WeightsError;

/// Bytes of one commitment that the chain takes.
const MOST_COMMIT_BYTES: usize = 5000;

/// What is encrypted: SCALE of hotkey (as a list of bytes), uids, weights and version key.
#[must_use]
pub fn payload(hotkey: &AccountId, weights: &ConformedWeights, version_key: u64) -> Vec<u8> {
    (hotkey.to_vec(), &weights.uids, &weights.values, version_key).encode()
}

/// The commitment to weights that only the signature of `round` opens.
///
/// # Errors
/// [`WeightsError::Timelock`], [`WeightsError::CommitTooLong`].
pub fn seal(
    beacon: &ChainInfo,
    round: u64,
    hotkey: &AccountId,
    weights: &ConformedWeights,
    version_key: u64,
) -> Result<Vec<u8>, WeightsError> {
    let commit = timelock::seal(beacon, round, &payload(hotkey, weights, version_key))?;
    match commit.len() {
        found if found > MOST_COMMIT_BYTES => Err(WeightsError::CommitTooLong { found, most: MOST_COMMIT_BYTES }),
        _ => Ok(commit),
    }
}

/// The call that commits.
pub(crate) fn commit_call(netuid: u16, commit: &[u8], round: u64, version: u16) -> DynamicPayload<Composite<()>> {
    let arguments = Composite::named([
        ("netuid", Value::u128(netuid.into())),
        ("commit", Value::from_bytes(commit)),
        ("reveal_round", Value::u128(round.into())),
        ("commit_reveal_version", Value::u128(version.into())),
    ]);
    subxt::dynamic::tx("SubtensorModule", "commit_timelocked_weights", arguments)
}
