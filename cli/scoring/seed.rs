//! The scoring of the protocol's first version (PROTOCOL 11): it saturates at ten distinct successes over
//! twelve windows, and one failure zeroes a miner for as long.

use std::collections::BTreeMap;

use super::{EXPONENT, ROLLING_WINDOWS, burn, normalise};

const UNIQUE_FOR_FULL_SCORE: f64 = 10.0;

/// What a validator counted for one miner in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InferenceCount {
    /// Valid rollouts, extrapolated to the whole file.
    pub estimated_valid: u64,
    /// Rollouts that claim success.
    pub successful: u64,
    /// Distinct assignments among them.
    pub unique: u64,
    /// Whether the miner was rejected.
    pub had_failure: bool,
}

/// A miner's sums over the recent windows, and what follows from them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeedScore {
    /// Distinct assignments.
    pub unique: u64,
    /// Rollouts that claim success.
    pub successful: u64,
    /// Valid rollouts.
    pub estimated_valid: u64,
    /// Distinct assignments over ten, at most 1.
    pub base: f64,
    /// `base` to the power of 1.4.
    pub superlinear: f64,
    /// What is normalised: `superlinear`, or 0 after a failure.
    pub score: f64,
}

/// The burn settings under which the first version gives no weights at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BurnError;

impl std::fmt::Display for BurnError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the seed's policy needs a burn uid of at least 0 and a burn percentage above 0")
    }
}

impl std::error::Error for BurnError {}

/// The policy of the first version, with its settings.
#[derive(Debug, Clone, Copy)]
pub struct SeedPolicy {
    /// Blocks per window.
    pub window_length: u64,
    /// Where burnt weight goes; negative is an error.
    pub burn_uid: i64,
    /// How much is burnt.
    pub burn_percentage: f64,
}

impl SeedPolicy {
    /// The score of a miner from its counts by first block of the window.
    #[must_use]
    pub fn score(&self, counts: &BTreeMap<u64, InferenceCount>, target_window: u64) -> SeedScore {
        let span = (ROLLING_WINDOWS as u64 - 1).saturating_mul(self.window_length);
        let oldest = target_window.saturating_sub(span);
        let recent = || counts.range(oldest..=target_window).map(|(_, count)| count);
        let sum = |field: fn(&InferenceCount) -> u64| recent().map(field).fold(0, u64::saturating_add);
        let unique = sum(|c| c.unique);
        let had_failure = recent().any(|c| c.had_failure);
        let base = (unique as f64 / UNIQUE_FOR_FULL_SCORE).min(1.0);
        let superlinear = base.powf(EXPONENT);
        SeedScore {
            unique,
            successful: sum(|c| c.successful),
            estimated_valid: sum(|c| c.estimated_valid),
            base,
            superlinear,
            score: if had_failure { 0.0 } else { superlinear },
        }
    }

    /// Weights of normalised scores after the burn.
    ///
    /// # Errors
    /// [`BurnError`] for a negative uid, or a percentage that is not above 0.
    pub fn weights(&self, scores: &[f64], uids: &[u16]) -> Result<Vec<f64>, BurnError> {
        let is_allowed = self.burn_uid >= 0 && self.burn_percentage > 0.0;
        if !is_allowed {
            return Err(BurnError);
        }
        let weights = normalise(scores);
        Ok(match u16::try_from(self.burn_uid) {
            Ok(burn_uid) => burn(&weights, uids, burn_uid, self.burn_percentage),
            Err(_) => weights,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: SeedPolicy = SeedPolicy { window_length: 30, burn_uid: 0, burn_percentage: 95.0 };

    fn unique(unique: u64, had_failure: bool) -> InferenceCount {
        InferenceCount { unique, had_failure, ..InferenceCount::default() }
    }

    #[test]
    fn twelve_windows_count_and_no_others() {
        let counts = BTreeMap::from([
            (0, unique(1, true)),
            (30, unique(2, false)),
            (360, unique(3, false)),
            (390, unique(4, true)),
        ]);
        assert_eq!(POLICY.score(&counts, 360).unique, 5);
        assert!(POLICY.score(&counts, 360).score > 0.0);
        assert_eq!(POLICY.score(&counts, 330).unique, 3);
        assert_eq!(POLICY.score(&counts, 330).score, 0.0);
    }

    #[test]
    fn the_score_saturates_at_ten() {
        let of = |n| POLICY.score(&BTreeMap::from([(0, unique(n, false))]), 0).score;
        assert_eq!(of(10), 1.0);
        assert_eq!(of(1000), 1.0);
        assert!(of(9) < 1.0);
    }
}
