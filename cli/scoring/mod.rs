//! From verdicts to weights (DESIGN 4.15; the seed's policy is PROTOCOL 11).
//!
//! The default policy counts distinct successes without a ceiling and with an exponent above one, so that
//! splitting an identity never gains. Weights need not agree bit for bit between validators: powers come from
//! the platform.

mod seed;
mod statistics;

pub use seed::{BurnError, InferenceCount, SeedPolicy, SeedScore};
pub use statistics::{Statistics, exact_sum, statistics};

/// Windows that count.
pub const ROLLING_WINDOWS: usize = 12;

const EXPONENT: f64 = 1.4;

/// What one window says about one miner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowResult {
    /// The file is valid.
    Valid {
        /// Groups in the file.
        groups: u64,
        /// Groups checked in full.
        checked_groups: u64,
        /// Successful rollouts of checked groups, distinct by (index, assignment).
        distinct_successes: u64,
    },
    /// This window counts zero.
    Void,
    /// This window counts zero, and so does every other while it is among the last twelve.
    Fraud,
    /// The validator has no opinion; counts nothing.
    NoVerdict,
}

/// A miner's estimated distinct successes over the last [`ROLLING_WINDOWS`] of `windows`, oldest first.
#[must_use]
pub fn work(windows: &[WindowResult]) -> f64 {
    let recent = &windows[windows.len().saturating_sub(ROLLING_WINDOWS)..];
    if recent.contains(&WindowResult::Fraud) {
        return 0.0;
    }
    recent.iter().fold(0.0, |sum, window| sum + window_work(*window))
}

fn window_work(window: WindowResult) -> f64 {
    match window {
        WindowResult::Valid { groups, checked_groups, distinct_successes } if checked_groups > 0 => {
            groups as f64 / checked_groups as f64 * distinct_successes as f64
        }
        _ => 0.0,
    }
}

/// The score of an amount of work.
#[must_use]
pub fn score(work: f64) -> f64 {
    work.powf(EXPONENT)
}

/// Scores as fractions of their exactly rounded sum; all zero where that is zero.
#[must_use]
pub fn normalise(scores: &[f64]) -> Vec<f64> {
    let sum = exact_sum(scores);
    if sum <= 0.0 {
        return vec![0.0; scores.len()];
    }
    scores.iter().map(|score| score / sum).collect()
}

/// Moves `percentage` of all weight to `burn_uid`, if that is registered.
///
/// Percentages are clamped to 0..=100, and NaN and 0 burn nothing. Without any weight to share, all goes to
/// the burn uid.
#[must_use]
pub fn burn(weights: &[f64], uids: &[u16], burn_uid: u16, percentage: f64) -> Vec<f64> {
    let fraction = percentage.clamp(0.0, 100.0) / 100.0;
    let place = uids.iter().position(|&uid| uid == burn_uid);
    let (Some(place), true) = (place.filter(|&p| p < weights.len()), fraction > 0.0) else {
        return weights.to_vec();
    };
    if exact_sum(weights) <= 0.0 {
        let mut burnt = vec![0.0; weights.len()];
        burnt[place] = 1.0;
        return burnt;
    }
    let mut burnt: Vec<f64> = weights.iter().map(|w| w * (1.0 - fraction)).collect();
    burnt[place] += fraction;
    normalise(&burnt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn valid(groups: u64, checked_groups: u64, distinct_successes: u64) -> WindowResult {
        WindowResult::Valid { groups, checked_groups, distinct_successes }
    }

    #[test]
    fn a_fraud_counts_until_it_leaves_the_last_twelve() {
        let mut windows = vec![WindowResult::Fraud];
        windows.extend([valid(1, 1, 2); 11]);
        assert_eq!(work(&windows), 0.0);
        windows.push(valid(1, 1, 2));
        assert_eq!(work(&windows), 24.0);
    }

    #[test]
    fn a_void_window_costs_itself_only() {
        assert_eq!(work(&[valid(40, 8, 3), WindowResult::Void, WindowResult::NoVerdict]), 15.0);
        assert_eq!(work(&[]), 0.0);
        assert_eq!(work(&[valid(5, 0, 9)]), 0.0);
    }

    #[test]
    fn nothing_is_burnt_without_a_registered_uid_or_a_percentage() {
        let weights = [0.25, 0.75];
        assert_eq!(burn(&weights, &[1, 2], 3, 95.0), weights);
        assert_eq!(burn(&weights, &[1, 2], 1, 0.0), weights);
        assert_eq!(burn(&weights, &[1, 2], 1, -5.0), weights);
        assert_eq!(burn(&weights, &[1, 2], 1, f64::NAN), weights);
        assert_eq!(burn(&weights, &[1, 2], 1, 250.0), [1.0, 0.0]);
        assert_eq!(burn(&[], &[], 1, 95.0), Vec::<f64>::new());
    }

    proptest! {
        #[test]
        fn splitting_work_never_gains(a in 0.0..1e6, b in 0.0..1e6) {
            prop_assert!(score(a) + score(b) <= score(a + b) * (1.0 + 1e-12));
        }

        #[test]
        fn weights_are_fractions_of_one(scores in prop::collection::vec(0.0..1e9, 1..50), percentage in 0.0..=100.0) {
            let uids: Vec<u16> = (0..scores.len() as u16).collect();
            let weights = burn(&normalise(&scores), &uids, 0, percentage);
            prop_assert!(weights.iter().all(|w| (0.0..=1.0).contains(w)));
            let sum = exact_sum(&weights);
            prop_assert!(sum == 0.0 || (sum - 1.0).abs() < 1e-12, "{}", sum);
        }
    }
}
