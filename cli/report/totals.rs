//! Sums over windows, and the speeds and rates that follow from them. A quotient of sums, never a mean of quotients:
//! a short window must not count as much as a long one.

use serde::Serialize;

use super::model::Entry;
use super::numbers::ratio;

/// Sums over entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Windows with at least one rollout.
    pub published: u64,
    /// Groups published.
    pub groups: u64,
    /// Groups checked in full.
    pub checked_groups: u64,
    /// Rollouts published.
    pub rollouts: u64,
    /// Rollouts that claim to solve their problem.
    pub solved: u64,
    /// Tokens generated.
    pub completion_tokens: u64,
    /// Seconds of generation.
    pub generation_seconds: f64,
    /// Tokens verified.
    pub verified_tokens: u64,
    /// Seconds of verification.
    pub verification_seconds: f64,
}

impl Totals {
    /// Sums over some entries.
    #[must_use]
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        entries.into_iter().fold(Self::default(), |sum, entry| Self {
            published: sum.published + u64::from(entry.rollouts > 0),
            groups: sum.groups.saturating_add(entry.groups),
            checked_groups: sum.checked_groups.saturating_add(entry.checked_groups),
            rollouts: sum.rollouts.saturating_add(entry.rollouts),
            solved: sum.solved.saturating_add(entry.solved),
            completion_tokens: sum.completion_tokens.saturating_add(entry.completion_tokens),
            generation_seconds: sum.generation_seconds + entry.generation_seconds,
            verified_tokens: sum.verified_tokens.saturating_add(entry.verified_tokens),
            verification_seconds: sum.verification_seconds + entry.verification_seconds,
        })
    }

    /// Generated tokens a second; none where no time was measured.
    #[must_use]
    pub fn generation_speed(&self) -> Option<f64> {
        ratio(self.completion_tokens as f64, self.generation_seconds)
    }

    /// Verified tokens a second; none where no time was measured.
    #[must_use]
    pub fn verification_speed(&self) -> Option<f64> {
        ratio(self.verified_tokens as f64, self.verification_seconds)
    }

    /// How many times faster verification is than generation.
    #[must_use]
    pub fn advantage(&self) -> Option<f64> {
        ratio(self.verification_speed()?, self.generation_speed()?)
    }

    /// Claimed successes, 0 to 1.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        ratio(self.solved as f64, self.rollouts as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_the_quotient_of_sums() {
        let entry = |completion_tokens, generation_seconds| Entry {
            rollouts: 4,
            solved: 1,
            completion_tokens,
            generation_seconds,
            ..Entry::default()
        };
        let totals = Totals::of(&[entry(100, 1.0), entry(900, 1.5), Entry::default()]);
        assert_eq!((totals.generation_speed(), totals.verification_speed()), (Some(400.0), None));
        assert_eq!((totals.published, totals.success_rate(), totals.advantage()), (2, Some(0.25), None));
    }
}
