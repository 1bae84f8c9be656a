//! How many commitments of a hotkey wait for their reveal: the chain refuses another one to who has too many in one epoch.

use grail_protocol::AccountId;

use super::reveal::Epochs;
use crate::state::StateAt;
use crate::{NodeError, WeightsError};

const PALLET: &str = "SubtensorModule";
const ENTRY: &str = "TimelockedWeightCommits";

/// Commitments of one hotkey that may wait in one epoch; a number in the pallet's code, which no entry tells.
const MOST_WAITING: usize = 10;

/// A stored commitment: who, block, ciphertext, round.
type Stored = (AccountId, u64, Vec<u8>, u64);

/// How many commitments of a hotkey wait in the epoch of the next block; none on runtimes that keep them elsewhere.
pub(super) async fn waiting(state: &StateAt, netuid: u16, epoch: u64, account: &AccountId) -> Result<usize, NodeError> {
    if !state.has_entry(PALLET, ENTRY) {
        return Ok(0);
    }
    let stored: Vec<Stored> = state.value(PALLET, ENTRY, (netuid, epoch)).await?;
    Ok(stored.iter().filter(|(who, ..)| who == account).count())
}

/// The pallet's rule.
pub(super) fn check(waiting: usize, epochs: Epochs, best: u64) -> Result<(), WeightsError> {
    match waiting < MOST_WAITING {
        true => Ok(()),
        false => Err(WeightsError::TooManyUnrevealed { waiting, blocks_left: epochs.blocks_until_next(best) }),
    }
}
