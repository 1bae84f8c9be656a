//! Arithmetic of sketch values modulo Q (PROTOCOL 3.3, NUMERICS 10, DESIGN 4.7).
//!
//! The engine computes the values a miner publishes; this is how two of them are compared, and a
//! scalar form of the projection for tests and spot checks of exported hidden states.

use crate::{Error, Result};

/// The modulus Q = 2^31 - 1.
pub const PRIME_Q: u32 = 2_147_483_647;

/// Largest distance that counts as inexact instead of different.
pub const TOLERANCE: u32 = 3;

/// Largest magnitude of a rounded coordinate, as NUMERICS 10 faults beyond it.
const ROUNDED_LIMIT: f32 = 2_147_483_648.0;

/// How two sketch values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closeness {
    /// Equal: what every honest rollout is at every position.
    Exact,
    /// At a distance of 1 to [`TOLERANCE`].
    Inexact,
    /// Farther.
    Different,
}

/// A sketch value from a file: it must already be in `[0, Q)`.
///
/// # Errors
/// [`Error::Range`] otherwise. The original reduced `|local - s|` without this check, and accepted values
/// far outside the range.
pub fn s_val(value: i128) -> Result<u32> {
    u32::try_from(value)
        .ok()
        .filter(|&s| s < PRIME_Q)
        .ok_or_else(|| Error::range("s_val", format!("{value} is outside [0, {PRIME_Q})")))
}

/// Compares two values in `[0, Q)` around the circle of residues. A value outside is different from every other:
/// a second spelling of a residue would pass for it.
#[must_use]
pub fn compare(local: u32, committed: u32) -> Closeness {
    if local >= PRIME_Q || committed >= PRIME_Q {
        return Closeness::Different;
    }
    let apart = local.abs_diff(committed);
    match apart.min(PRIME_Q.abs_diff(apart)) {
        0 => Closeness::Exact,
        1..=TOLERANCE => Closeness::Inexact,
        _ => Closeness::Different,
    }
}

/// The residue in `[0, Q)` of an integer of any sign.
#[must_use]
pub fn residue(value: i128) -> u32 {
    value.rem_euclid(i128::from(PRIME_Q)) as u32
}

/// 1024 h rounded to the nearest integer, halves to even.
///
/// # Errors
/// [`Error::Range`] for NaN or a magnitude of 2^31 or more.
pub fn round_scaled(h: f32) -> Result<i64> {
    let scaled = (h * 1024.0).round_ties_even();
    if scaled.abs() < ROUNDED_LIMIT {
        return Ok(scaled as i64);
    }
    Err(Error::range("hidden value", format!("{h} does not fit the sketch")))
}

/// The sketch of a hidden state under a random vector of its width.
///
/// # Errors
/// [`Error::Range`] for different widths, or a hidden value that does not fit.
pub fn project(hidden: &[f32], r: &[i32]) -> Result<u32> {
    if hidden.len() != r.len() {
        let problem = format!("{} values, the random vector has {}", hidden.len(), r.len());
        return Err(Error::range("hidden state", problem));
    }
    // At most 2^62 per product and 2^14 products: i128 never overflows.
    let mut sum: i128 = 0;
    for (&h, &r) in hidden.iter().zip(r) {
        sum += i128::from(round_scaled(h)?) * i128::from(r);
    }
    Ok(residue(sum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_outside_the_residues_are_refused() {
        for bad in [-1, i128::from(PRIME_Q), 1 << 40, i128::MAX, i128::MIN] {
            assert!(s_val(bad).is_err(), "{bad}");
        }
        assert_eq!(s_val(0), Ok(0));
        assert_eq!(s_val(i128::from(PRIME_Q) - 1), Ok(PRIME_Q - 1));
    }

    #[test]
    fn distance_goes_around_the_circle() {
        assert_eq!(compare(0, PRIME_Q - 1), Closeness::Inexact);
        assert_eq!(compare(0, PRIME_Q - 3), Closeness::Inexact);
        assert_eq!(compare(0, PRIME_Q - 4), Closeness::Different);
        assert_eq!(compare(7, 7), Closeness::Exact);
        assert_eq!(compare(7, 10), Closeness::Inexact);
        assert_eq!(compare(7, 11), Closeness::Different);
    }

    #[test]
    fn a_second_spelling_of_a_residue_is_different() {
        for (local, committed) in [(7, 7 + PRIME_Q), (0, PRIME_Q), (PRIME_Q - 1, 2 * PRIME_Q - 1), (1, u32::MAX)] {
            assert_eq!(compare(local, committed), Closeness::Different, "{local} {committed}");
        }
    }

    #[test]
    fn a_hidden_value_that_does_not_fit_is_refused() {
        for bad in [f32::NAN, f32::INFINITY, 2_097_152.0, -2_097_152.0, f32::MAX] {
            assert!(round_scaled(bad).is_err(), "{bad}");
        }
        assert!(round_scaled(2_097_151.9).is_ok());
        assert_eq!(round_scaled(1.5 / 1024.0), Ok(2));
        assert_eq!(round_scaled(0.5 / 1024.0), Ok(0));
        assert!(project(&[1.0], &[1, 2]).is_err());
    }

    proptest! {
        #[test]
        fn comparison_is_symmetric_and_moves_with_both(a in 0..PRIME_Q, step in 0_u32..10, b in 0..PRIME_Q) {
            prop_assert_eq!(compare(a, b), compare(b, a));
            let shift = |x: u32| residue(i128::from(x) + i128::from(step));
            prop_assert_eq!(compare(a, b), compare(shift(a), shift(b)));
        }
    }
}
