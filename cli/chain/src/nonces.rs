//! The next nonce of an account, when several extrinsics are on their way.
//!
//! A node counts what is in its own pool. After a change of endpoint the other node may not have heard of the last
//! extrinsic yet, so what this process sent is remembered, for as long as it can still be included.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use grail_protocol::AccountId;

/// What was sent last, by account.
#[derive(Default)]
pub(crate) struct Nonces {
    last: HashMap<AccountId, (u64, Instant)>,
}

impl Nonces {
    /// The nonce to use when the node says `from_node`.
    pub fn next(&self, account: &AccountId, from_node: u64, now: Instant, valid_for: Duration) -> u64 {
        match self.last.get(account) {
            Some(&(nonce, sent)) if now.saturating_duration_since(sent) < valid_for => from_node.max(nonce + 1),
            _ => from_node,
        }
    }

    /// An extrinsic was sent.
    pub fn sent(&mut self, account: AccountId, nonce: u64, now: Instant) {
        self.last.insert(account, (nonce, now));
    }

    /// One did not get through: the node alone knows again.
    pub fn forget(&mut self, account: &AccountId) {
        self.last.remove(account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: Duration = Duration::from_secs(60);

    #[test]
    fn a_node_that_lags_does_not_repeat_a_nonce() {
        let (mut nonces, now, account) = (Nonces::default(), Instant::now(), [1; 32]);
        assert_eq!(nonces.next(&account, 5, now, VALID), 5);
        nonces.sent(account, 5, now);
        assert_eq!(nonces.next(&account, 5, now, VALID), 6);
        assert_eq!(nonces.next(&account, 9, now, VALID), 9);
        assert_eq!(nonces.next(&[2; 32], 5, now, VALID), 5);
    }

    #[test]
    fn what_expired_or_failed_leaves_no_hole() {
        let (mut nonces, now, account) = (Nonces::default(), Instant::now(), [1; 32]);
        nonces.sent(account, 5, now);
        assert_eq!(nonces.next(&account, 5, now + VALID, VALID), 5);
        nonces.forget(&account);
        assert_eq!(nonces.next(&account, 5, now, VALID), 5);
    }
}
