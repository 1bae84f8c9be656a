//! Which problem a hotkey has to work on (DESIGN 4.4).
//!
//! Problems are numbered from 0 without gaps per hotkey and window; everything about a problem follows
//! from its number, the hotkey and R_w. Nothing is taken from the miner.

use crate::encoding::sha256;
use crate::{AccountId, Hash, ss58};

/// Number of difficulties, which every hotkey walks through in a circle.
pub const DIFFICULTIES: u64 = 60;

/// Seed text of problem `index`: `{ss58}-{R_w}-{index}`.
#[must_use]
pub fn seed_text(account: &AccountId, r_w: &Hash, index: u64) -> String {
    format!("{}-{}-{index}", ss58::encode(account), hex::encode(r_w))
}

/// Where a hotkey starts in the circle of difficulties: the first 8 bytes of H(R_w ‖ account id).
#[must_use]
pub fn account_offset(r_w: &Hash, account: &AccountId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = sha256(&[&r_w[..], account].concat());
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Position of problem `index` in the circle, below [`DIFFICULTIES`].
#[must_use]
pub fn difficulty_position(account_offset: u64, index: u64) -> u64 {
    // Reduced apart, so that the sum cannot wrap around.
    (account_offset % DIFFICULTIES + index % DIFFICULTIES) % DIFFICULTIES
}

/// The difficulty at a position: `min(0.9, 0.3 + 0.01 * (position + 1))` in f64.
#[must_use]
pub fn difficulty(position: u64) -> f64 {
    let count = position.saturating_add(1) as f64;
    (0.3 + 0.01 * count).min(0.9)
}

/// The number of a rollout within its window.
#[must_use]
pub fn nonce(index: u64, rollouts_per_problem: u32, rollout: u32) -> u128 {
    u128::from(index) * u128::from(rollouts_per_problem) + u128::from(rollout)
}

/// A block hash as text: `0x` and lower-case digits.
#[must_use]
pub fn block_hash_text(block_hash: &Hash) -> String {
    format!("0x{}", hex::encode(block_hash))
}

/// What the outer signature of an entry signs: seed text, block hash text and decimal nonce, joined.
#[must_use]
pub fn challenge(seed_text: &str, block_hash: &Hash, nonce: u128) -> String {
    format!("{seed_text}{}{nonce}", block_hash_text(block_hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn difficulties_run_from_31_to_90_hundredths() {
        assert_eq!(difficulty(0).to_bits(), 0.31_f64.to_bits());
        assert!(difficulty(59) <= 0.9);
        assert_eq!(difficulty(u64::MAX).to_bits(), 0.9_f64.to_bits());
        assert!((1..DIFFICULTIES).all(|p| difficulty(p) > difficulty(p - 1)));
    }

    #[test]
    fn the_seed_text_names_hotkey_randomness_and_index() {
        let base = seed_text(&[1; 32], &[2; 32], 3);
        assert_ne!(base, seed_text(&[0; 32], &[2; 32], 3));
        assert_ne!(base, seed_text(&[1; 32], &[0; 32], 3));
        assert_ne!(base, seed_text(&[1; 32], &[2; 32], 4));
    }

    proptest! {
        #[test]
        fn positions_follow_the_sum_without_wrap_around(offset: u64, index: u64) {
            let expected = (u128::from(offset) + u128::from(index)) % u128::from(DIFFICULTIES);
            prop_assert_eq!(u128::from(difficulty_position(offset, index)), expected);
        }

        #[test]
        fn nonces_of_a_window_are_distinct(index in 0_u64..1000, per in 1_u32..64, i in 0_u32..64) {
            prop_assume!(i < per);
            let nonce = nonce(index, per, i);
            prop_assert_eq!((nonce / u128::from(per), nonce % u128::from(per)), (u128::from(index), u128::from(i)));
        }
    }
}
