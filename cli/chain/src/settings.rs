//! What a client is told once.

use std::time::Duration;

use grail_beacon::ChainInfo;

/// The subnet, and how patient the client is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The subnet that every read and call is about.
    pub netuid: u16,
    /// The hash of block 0 that every endpoint must have; `None`: that of the first endpoint reached.
    pub expected_genesis: Option<[u8; 32]>,
    /// The beacon to whose rounds the chain ties committed weights: quicknet on every real network.
    pub timelock: ChainInfo,
    /// Time between two blocks.
    pub block_time: Duration,
    /// After so many block times without a new finalised block, a subscription counts as stalled.
    pub stall_blocks: u32,
    /// Longest time for one connection attempt and for one read.
    pub request_timeout: Duration,
    /// Attempts of one read, over all endpoints, before its error is returned.
    pub attempts: u32,
    /// Wait after the first failed attempt; doubled after each further one.
    pub first_backoff: Duration,
    /// Longest wait between two attempts.
    pub longest_backoff: Duration,
    /// Blocks that a signed extrinsic stays valid for; taken as the next power of two from 4 to 4096. (A longer era
    /// begins at a multiple of more than one block, not at the block whose hash is signed.)
    pub mortality_blocks: u64,
}

impl Settings {
    /// Patience in proportion to a block time: stalled after ten blocks, 64 blocks of
    /// mortality, reads of at most 30 seconds, five attempts from 250 ms apart.
    #[must_use]
    pub fn new(netuid: u16, block_time: Duration) -> Self {
        Self {
            netuid,
            expected_genesis: None,
            timelock: ChainInfo::quicknet(),
            block_time,
            stall_blocks: 10,
            request_timeout: Duration::from_secs(30),
            attempts: 5,
            first_backoff: Duration::from_millis(250),
            longest_backoff: Duration::from_secs(30),
            mortality_blocks: 64,
        }
    }

    /// Wait before attempt `attempt + 1`, attempts counted from 0.
    pub(crate) fn backoff(&self, attempt: u32) -> Duration {
        self.first_backoff.saturating_mul(1 << attempt.min(16)).min(self.longest_backoff)
    }

    /// How long a subscription may be silent.
    pub(crate) fn stall_after(&self) -> Duration {
        self.block_time.saturating_mul(self.stall_blocks).max(self.first_backoff)
    }

    /// How long the outcome of a submission is waited for: its mortality, and half as much again for finality.
    pub(crate) fn submission_timeout(&self) -> Duration {
        let blocks = u32::try_from(self.mortality_blocks).unwrap_or(u32::MAX);
        self.block_time.saturating_mul(blocks).saturating_mul(3) / 2 + self.request_timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_limit() {
        let settings = Settings::new(81, Duration::from_secs(12));
        let waits: Vec<u128> = (0..4).map(|a| settings.backoff(a).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000]);
        assert_eq!(settings.backoff(u32::MAX), settings.longest_backoff);
        assert_eq!(settings.stall_after(), Duration::from_secs(120));
    }
}
