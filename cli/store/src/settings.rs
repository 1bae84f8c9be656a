//! How long and how often a store is tried.

use std::time::Duration;

/// Limits of every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// For a connection.
    pub connect_timeout: Duration,
    /// For one attempt, up to the head of the answer; longer for a body that is sent, by `slowest_bytes_per_second`.
    pub attempt_timeout: Duration,
    /// For all attempts of a request together; longer for a body, by `slowest_bytes_per_second`.
    pub operation_timeout: Duration,
    /// For the next bytes of an answer's body.
    pub idle_timeout: Duration,
    /// A body that is slower in the long run is given up.
    pub slowest_bytes_per_second: u64,
    /// How often a request is tried at most, the first time included. At least 1.
    pub attempts: u32,
    /// Before the second attempt; it doubles with every further one, and chance takes a part of it away.
    pub first_backoff: Duration,
    /// The longest wait between attempts.
    pub longest_backoff: Duration,
    /// Bodies of at least this length are sent in parts.
    pub multipart_bytes: u64,
    /// Length of a part; S3 takes no less than 5 MiB but for the last.
    pub part_bytes: u64,
    /// Parts that are sent at the same time.
    pub parts_at_once: usize,
    /// Entries of one page of a list, at most 1000.
    pub page_entries: i32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(30),
            operation_timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(30),
            slowest_bytes_per_second: 128 << 10,
            attempts: 4,
            first_backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_secs(20),
            multipart_bytes: 100 << 20,
            part_bytes: 16 << 20,
            parts_at_once: 4,
            page_entries: 1000,
        }
    }
}

impl Settings {
    /// What a body of so many bytes may take longer than none.
    pub(crate) fn allowance(&self, bytes: u64) -> Duration {
        Duration::from_millis(bytes.saturating_mul(1000) / self.slowest_bytes_per_second.max(1))
    }

    /// The wait before another attempt, after `failed` of them.
    pub(crate) fn backoff(&self, failed: u32) -> Duration {
        let doubled =
            self.first_backoff.saturating_mul(1_u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.longest_backoff)
    }
}
