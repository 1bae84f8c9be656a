//! How many groups fit into the time that is left, from the miner's own speed.

use std::time::Duration;

/// Weight of the newest batch in the average.
const NEWEST: f64 = 0.3;

/// Part of the estimate that is planned with: a batch that ends late loses its last groups.
const CAUTION: f64 = 0.9;

/// The speed of past batches. Batches are told when they end; nothing here looks at a clock.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    seconds_per_group: Option<f64>,
}

impl Pace {
    /// Learns from a batch.
    pub fn learn(&mut self, groups: u64, took: Duration) {
        if groups == 0 {
            return;
        }
        let newest = took.as_secs_f64() / groups as f64;
        let average = self.seconds_per_group.map_or(newest, |old| old + NEWEST * (newest - old));
        self.seconds_per_group = Some(average);
    }

    /// Groups to start with `left` to go: at most `most`, and before anything is known the `first` of a trial.
    #[must_use]
    pub fn groups(&self, left: Duration, first: u64, most: u64) -> u64 {
        let fit = match self.seconds_per_group {
            _ if left.is_zero() => 0,
            None => first,
            // A float beyond the integers becomes the greatest of them.
            Some(seconds) => (left.as_secs_f64() * CAUTION / seconds.max(f64::MIN_POSITIVE)) as u64,
        };
        fit.min(most)
    }

    /// What a group takes, if that is known.
    #[must_use]
    pub fn seconds_per_group(&self) -> Option<f64> {
        self.seconds_per_group
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_trial_comes_first_and_then_what_was_measured_decides() {
        let mut pace = Pace::default();
        assert_eq!(pace.groups(100 * SECOND, 2, 64), 2);
        assert_eq!(pace.groups(Duration::ZERO, 2, 64), 0);
        pace.learn(2, 4 * SECOND);
        assert_eq!(pace.seconds_per_group(), Some(2.0));
        assert_eq!(pace.groups(100 * SECOND, 2, 64), 45);
        assert_eq!(pace.groups(100 * SECOND, 2, 10), 10);
        assert_eq!(pace.groups(SECOND, 2, 64), 0);
    }

    #[test]
    fn a_slower_machine_is_noticed_and_an_empty_batch_teaches_nothing() {
        let mut pace = Pace::default();
        pace.learn(10, 10 * SECOND);
        let before = pace.groups(60 * SECOND, 1, 1000);
        pace.learn(0, 60 * SECOND);
        assert_eq!(pace.groups(60 * SECOND, 1, 1000), before);
        pace.learn(10, 40 * SECOND);
        assert!(pace.groups(60 * SECOND, 1, 1000) < before);
    }

    proptest! {
        #[test]
        fn what_fits_takes_no_longer_than_is_left(groups in 1_u64..100, took in 1_u64..100_000, left in 0_u64..1_000_000) {
            let mut pace = Pace::default();
            pace.learn(groups, Duration::from_millis(took));
            let left = Duration::from_millis(left);
            let fit = pace.groups(left, 1, u64::MAX);
            let seconds = fit as f64 * pace.seconds_per_group().unwrap();
            prop_assert!(seconds <= left.as_secs_f64());
        }

        #[test]
        fn any_history_gives_a_number_within_the_bound(batches: Vec<(u64, Duration)>, left: Duration, most: u64) {
            let mut pace = Pace::default();
            batches.into_iter().for_each(|(groups, took)| pace.learn(groups, took));
            prop_assert!(pace.groups(left, 3, most) <= most);
        }
    }
}
