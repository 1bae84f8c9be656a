//! From a block and a beacon to everything that depends on them (DESIGN 4.2, 4.5; PROTOCOL 3.1).

use sha2::{Digest, Sha256};

use crate::prf::{MAX_OUTPUT_BYTES, prf, prf32};
use crate::{AccountId, Error, Hash, Result};

/// Widest hidden state a random vector can be expanded for.
pub const MAX_HIDDEN: usize = MAX_OUTPUT_BYTES / 4;

/// The random vector r: `hidden` signed integers expanded from randomness.
///
/// # Errors
/// [`Error::Range`] when the randomness is empty, or `hidden` is not in `1..=`[`MAX_HIDDEN`].
pub fn random_vector(randomness: &[u8], hidden: usize) -> Result<Vec<i32>> {
    if randomness.is_empty() {
        return Err(Error::range("randomness", "no bytes"));
    }
    if !(1..=MAX_HIDDEN).contains(&hidden) {
        let problem = format!("{hidden} is outside 1..={MAX_HIDDEN}");
        return Err(Error::range("hidden size", problem));
    }
    let bytes = prf(b"sketch", &[randomness], 4 * hidden)?;
    Ok(bytes.chunks_exact(4).map(|b| i32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect())
}

/// The times at which a beacon's rounds come out. Times are Unix milliseconds; round 1 is at genesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeaconSchedule {
    genesis_ms: u64,
    period_ms: u64,
}

impl BeaconSchedule {
    /// A schedule with a period of at least one millisecond.
    ///
    /// # Errors
    /// [`Error::Range`] for a period of 0.
    pub fn new(genesis_ms: u64, period_ms: u64) -> Result<Self> {
        if period_ms == 0 {
            return Err(Error::range("beacon period", "0 ms"));
        }
        Ok(Self { genesis_ms, period_ms })
    }

    /// The round of a block: the first whose time is at least the block's time plus the delay.
    ///
    /// # Errors
    /// [`Error::Range`] when the round does not fit 64 bits.
    pub fn round_of_block(&self, timestamp_ms: u64, delay_ms: u64) -> Result<u64> {
        let due = u128::from(timestamp_ms) + u128::from(delay_ms);
        let elapsed = due.saturating_sub(u128::from(self.genesis_ms));
        let round = elapsed.div_ceil(u128::from(self.period_ms)) + 1;
        u64::try_from(round).map_err(|_| Error::range("beacon round", format!("{round}")))
    }

    /// The newest round that is out at a time; `None` before genesis, or for a round beyond 64 bits.
    #[must_use]
    pub fn round_at_time(&self, unix_ms: u64) -> Option<u64> {
        (unix_ms.checked_sub(self.genesis_ms)? / self.period_ms).checked_add(1)
    }

    /// The time of a round, counted from 1; `None` for round 0 or a time beyond 64 bits.
    #[must_use]
    pub fn time_of_round(&self, round: u64) -> Option<u64> {
        let periods = round.checked_sub(1)?;
        self.genesis_ms.checked_add(periods.checked_mul(self.period_ms)?)
    }
}

/// X(b): the randomness of a finalised block with its beacon. R_w is that of the window's first
/// block, C_w that of the block after its last.
#[must_use]
pub fn block_randomness(network_id: &Hash, block_number: u64, block_hash: &Hash, beacon_randomness: &Hash) -> Hash {
    Sha256::new()
        .chain_update(b"grail-window-v2")
        .chain_update(network_id)
        .chain_update(block_number.to_be_bytes())
        .chain_update(block_hash)
        .chain_update(beacon_randomness)
        .finalize()
        .into()
}

/// The seed of one rollout's sampling noise.
#[must_use]
pub fn sampling_seed(r_w: &Hash, account: &AccountId, index: u64, rollout: u32) -> Hash {
    let parts: [&[u8]; 4] = [r_w, account, &index.to_be_bytes(), &rollout.to_be_bytes()];
    prf32(b"sample", &parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_vector_needs_randomness_and_a_width_in_range() {
        assert!(random_vector(&[], 8).is_err());
        assert!(random_vector(&[1], 0).is_err());
        assert!(random_vector(&[1], MAX_HIDDEN + 1).is_err());
        assert!(random_vector(&[1], usize::MAX).is_err());
        assert_eq!(random_vector(&[1], MAX_HIDDEN).unwrap().len(), MAX_HIDDEN);
    }

    #[test]
    fn a_schedule_without_a_period_is_refused() {
        assert!(BeaconSchedule::new(0, 0).is_err());
        let fastest = BeaconSchedule::new(0, 1).unwrap();
        assert!(fastest.round_of_block(u64::MAX, u64::MAX).is_err());
        assert_eq!(fastest.time_of_round(0), None);
    }

    #[test]
    fn every_input_moves_the_block_randomness() {
        let base = block_randomness(&[1; 32], 7, &[2; 32], &[3; 32]);
        assert_ne!(base, block_randomness(&[0; 32], 7, &[2; 32], &[3; 32]));
        assert_ne!(base, block_randomness(&[1; 32], 8, &[2; 32], &[3; 32]));
        assert_ne!(base, block_randomness(&[1; 32], 7, &[0; 32], &[3; 32]));
        assert_ne!(base, block_randomness(&[1; 32], 7, &[2; 32], &[0; 32]));
    }

    proptest! {
        #[test]
        fn the_round_is_the_first_that_is_not_before_the_due_time(
            genesis in 0_u64..1 << 50, period in 1_u64..1 << 20, timestamp in 0_u64..1 << 50, delay in 0_u64..1 << 20,
        ) {
            let schedule = BeaconSchedule::new(genesis, period).unwrap();
            let round = schedule.round_of_block(timestamp, delay).unwrap();
            prop_assert!(schedule.time_of_round(round).unwrap() >= timestamp + delay);
            if round > 1 {
                prop_assert!(schedule.time_of_round(round - 1).unwrap() < timestamp + delay);
            }
        }

        #[test]
        fn the_newest_round_is_the_last_that_is_not_after_the_time(
            genesis in 0_u64..1 << 50, period in 1_u64..1 << 20, now in 0_u64..1 << 50,
        ) {
            let schedule = BeaconSchedule::new(genesis, period).unwrap();
            let Some(round) = schedule.round_at_time(now) else {
                prop_assert!(now < genesis);
                return Ok(());
            };
            prop_assert!(schedule.time_of_round(round).unwrap() <= now);
            prop_assert!(schedule.time_of_round(round + 1).unwrap() > now);
        }

        #[test]
        fn any_time_gives_a_round_or_an_error(genesis: u64, period: u64, timestamp: u64, delay: u64) {
            let round = BeaconSchedule::new(genesis, period)
                .and_then(|schedule| Ok((schedule, schedule.round_of_block(timestamp, delay)?)));
            if let Ok((schedule, round)) = round {
                let _ = schedule.round_at_time(timestamp);
                let _ = schedule.time_of_round(round);
            }
        }
    }
}
