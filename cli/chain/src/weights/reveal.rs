//! When committed weights are revealed, and to which round of the beacon they are therefore encrypted.
//!
//! The chain reveals in the epoch that comes [`crate::Hyperparameters::reveal_period_epochs`] after that of the
//! commitment, from its first block on, as soon as it knows the round. A round that is too early shows the weights
//! before they count; one that comes after that epoch loses them. Both answers here are the SDK's own.

use std::time::Duration;

use super::WeightsError;

/// Blocks after the beginning of the reveal's epoch, for blocks that come faster than expected.
const MARGIN_BLOCKS: u64 = 3;

/// Without an epoch for so many blocks, the chain begins one whatever the tempo says.
const MOST_BLOCKS_WITHOUT_EPOCH: u64 = 50_400;

/// The chain allows a hundred; more would only be a long count here.
const MOST_REVEAL_EPOCHS: u64 = 1000;

/// Where a subnet is in its epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epochs {
    /// They follow from the block's number alone.
    Fixed {
        /// Blocks of an epoch, less one.
        tempo: u16,
        /// The subnet.
        netuid: u16,
    },
    /// The chain counts them, and its owner may begin one.
    Counted {
        /// Most blocks of an epoch.
        tempo: u16,
        /// The block that began the last one.
        last_epoch_block: u64,
        /// The block at which the owner lets one begin; 0: none.
        pending_epoch_at: u64,
        /// Blocks since an epoch was computed.
        blocks_since_last_step: u64,
    },
}

impl Epochs {
    /// Blocks after the next one until a commitment falls into another epoch; as far as can be told, since an owner may
    /// begin one any time.
    pub(super) fn blocks_until_next(self, best: u64) -> u64 {
        match self {
            Self::Fixed { tempo, netuid } => {
                let (length, shift) = (u64::from(tempo) + 1, u64::from(netuid) + 1);
                // As the chain counts, the last block of an epoch is the next one's.
                length - (best.saturating_add(2).saturating_add(shift)) % length
            }
            Self::Counted { tempo, last_epoch_block, .. } => {
                last_epoch_block.saturating_add(tempo.into()).saturating_sub(best.saturating_add(1))
            }
        }
    }

    /// Number of the epoch under which a commitment in the next block waits; none where the chain alone counts them.
    pub(super) fn of_next(self, best: u64) -> Option<u64> {
        match self {
            Self::Fixed { tempo, netuid } => {
                Some(best.saturating_add(2).saturating_add(u64::from(netuid) + 1) / (u64::from(tempo) + 1))
            }
            Self::Counted { .. } => None,
        }
    }
}

/// The first block of the epoch in which what is committed after `best` is revealed.
///
/// # Errors
/// [`WeightsError::RevealPeriod`]: no such block can be told.
pub fn reveal_block(epochs: Epochs, best: u64, reveal_period_epochs: u64) -> Result<u64, WeightsError> {
    let refused = || WeightsError::RevealPeriod { epochs: reveal_period_epochs };
    if reveal_period_epochs > MOST_REVEAL_EPOCHS {
        return Err(refused());
    }
    match epochs {
        Epochs::Fixed { tempo, netuid } => {
            let (length, shift) = (u64::from(tempo) + 1, u64::from(netuid) + 1);
            let epoch = best.checked_add(shift).ok_or_else(refused)? / length;
            let first = (epoch + reveal_period_epochs).checked_mul(length).ok_or_else(refused)?;
            Ok(first.saturating_sub(shift))
        }
        Epochs::Counted { tempo: 0, .. } => Err(refused()),
        Epochs::Counted { tempo, last_epoch_block, pending_epoch_at, blocks_since_last_step } => {
            let (mut last, mut pending, mut since) = (last_epoch_block, pending_epoch_at, blocks_since_last_step);
            let due = |block: u64, last: u64, pending: u64, since: u64| {
                pending > 0 && block >= pending
                    || since > MOST_BLOCKS_WITHOUT_EPOCH
                    || block.saturating_sub(last) >= u64::from(tempo)
            };
            let mut epochs_left = reveal_period_epochs + u64::from(due(best.saturating_add(1), last, pending, since));
            let mut block = best;
            loop {
                block = block.checked_add(1).ok_or_else(refused)?;
                let begins = due(block, last, pending, since);
                if epochs_left == u64::from(begins) {
                    return Ok(block);
                }
                since = since.saturating_add(1);
                // Counted again, as in the chain: the count alone may be what makes it due.
                if due(block, last, pending, since) {
                    (last, pending, since) = (block, 0, 0);
                    epochs_left = epochs_left.saturating_sub(1);
                }
            }
        }
    }
}

/// The beacon's round that comes out a few blocks after a block that is still to come.
///
/// * `now`: time since 1970 of the block `best`;
/// * `genesis_time`, `period`: the beacon's, in seconds.
#[must_use]
pub fn reveal_round(block: u64, best: u64, block_time: Duration, now: Duration, genesis_time: u64, period: u32) -> u64 {
    let blocks = block.saturating_add(MARGIN_BLOCKS).saturating_sub(best);
    let at = now.as_secs_f64() + blocks as f64 * block_time.as_secs_f64();
    // A float beyond u64 becomes its largest number, one below zero 0.
    (((at - genesis_time as f64) / f64::from(period)).floor() as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_period_that_no_chain_has_is_refused() {
        for period in [1001, u64::MAX] {
            let refused = reveal_block(Epochs::Fixed { tempo: 360, netuid: 81 }, 1000, period).unwrap_err();
            assert!(refused.to_string().contains(&period.to_string()), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn the_reveal_is_in_the_epoch_so_many_after(tempo: u16, netuid: u16, best in 0_u64..1 << 40, period in 1_u64..100) {
            let epoch = |block: u64| (block + u64::from(netuid) + 1) / (u64::from(tempo) + 1);
            let block = reveal_block(Epochs::Fixed { tempo, netuid }, best, period).unwrap();
            prop_assert!(block > best && epoch(block) == epoch(best) + period && epoch(block - 1) == epoch(block) - 1);
        }
    }
}
