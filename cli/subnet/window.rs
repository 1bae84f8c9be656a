//! Windows of blocks, and what becomes known with a window's first block and its beacon.

use std::time::Duration;

use grail_chain::{Block, BlockError};
use grail_protocol::assignment::WindowHead;

use super::{Ended, Retry, Stop, Subnet};
use crate::beacon::client::{Beacon, ClientError};

/// First block of the window that a block is in.
#[must_use]
pub fn window_of(block: u64, window_length: u64) -> u64 {
    block - block % window_length
}

/// Key of a miner's file in its bucket.
#[must_use]
pub fn file_key(hotkey: &str, window_start: u64) -> String {
    format!("grail/windows/{hotkey}-window-{window_start}.json.gz")
}

/// Key of a validator's records of a window.
#[must_use]
pub fn records_key(hotkey: &str, window_start: u64) -> String {
    format!("grail/records/{hotkey}-window-{window_start}.json.gz")
}

/// Key of the rollouts of a window that a validator found valid.
#[must_use]
pub fn rollouts_key(window_start: u64) -> String {
    format!("grail/valid_rollouts/{window_start}.json.gz")
}

/// A window's head from its parts.
#[must_use]
pub fn head_of(block: &Block, beacon: Beacon) -> WindowHead {
    WindowHead {
        block_number: block.number,
        block_hash: block.hash,
        timestamp_ms: block.timestamp_ms,
        round: beacon.round,
        beacon_signature: beacon.signature,
        beacon_randomness: beacon.randomness,
    }
}

/// Why a window's head is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// The chain.
    #[error("chain: {0}")]
    Block(#[from] BlockError),
    /// The relays.
    #[error(transparent)]
    Beacon(#[from] ClientError),
    /// The block's time gives no round.
    #[error(transparent)]
    Schedule(#[from] grail_protocol::Error),
}

impl HeadError {
    fn advise(&self) -> Retry {
        match self {
            Self::Block(error) if error.is_transient() => Retry::Later,
            Self::Beacon(ClientError::TooEarly { wait, failures, .. }) if failures.is_empty() => Retry::After(*wait),
            Self::Beacon(ClientError::TooEarly { .. } | ClientError::AllFailed { .. }) => Retry::Later,
            _ => Retry::Never,
        }
    }
}

impl Subnet {
    /// Blocks per window.
    #[must_use]
    pub fn window_length(&self) -> u64 {
        self.network.network().parameters().window_length
    }

    /// A finalised block, waited for as long as `left` says.
    ///
    /// # Errors
    /// [`Ended`]; a block that no endpoint keeps any more does not come back.
    pub async fn block(
        &self,
        number: u64,
        stop: &Stop,
        left: impl Fn() -> Duration,
    ) -> Result<Block, Ended<HeadError>> {
        let attempt = || async { Ok(self.chain.block(number).await?) };
        self.patience.attempt("chain", stop, left, HeadError::advise, attempt).await
    }

    /// The beacon of a block by its time, waited for as long as `left` says: without a beacon there is no window.
    ///
    /// # Errors
    /// [`Ended`].
    pub async fn beacon_of(
        &self,
        timestamp_ms: u64,
        stop: &Stop,
        left: impl Fn() -> Duration,
    ) -> Result<Beacon, Ended<HeadError>> {
        let delay_ms = self.network.network().parameters().beacon_delay_ms;
        let round = self.network.beacon().schedule().round_of_block(timestamp_ms, delay_ms);
        let round = round.map_err(|error| Ended::Failed(error.into()))?;
        let attempt = || async { Ok(self.beacon.round(round).await?) };
        self.patience.attempt("beacon", stop, left, HeadError::advise, attempt).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_block_is_in_the_window_that_begins_at_or_before_it(block: u64, length in 1_u64..10_000) {
            let start = window_of(block, length);
            prop_assert!(start <= block && block - start < length && start.is_multiple_of(length));
        }
    }

    #[test]
    fn keys_are_those_of_the_protocol_and_fit_a_folder_of_files() {
        let hotkey = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
        assert_eq!(file_key(hotkey, 7200), format!("grail/windows/{hotkey}-window-7200.json.gz"));
        assert_eq!(rollouts_key(7200), "grail/valid_rollouts/7200.json.gz");
        assert!(records_key(hotkey, 99_999_999).len() <= 97);
    }
}
