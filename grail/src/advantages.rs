//! Advantages of a GRPO group (PROTOCOL 4.6).
//!
//! Sums run from left to right in f64: results are compared bit for bit.

const SMALLEST_STD: f64 = 1e-8;

/// How far each reward lies above the group's mean, in population standard deviations.
#[must_use]
pub fn advantages(rewards: &[f64]) -> Vec<f64> {
    let mean = mean(rewards.iter().copied(), rewards.len());
    let variance = mean_of_squares(rewards, mean);
    let std = variance.sqrt().max(SMALLEST_STD);
    rewards.iter().map(|r| (r - mean) / std).collect()
}

fn mean_of_squares(rewards: &[f64], mean_reward: f64) -> f64 {
    let squares = rewards.iter().map(|r| (r - mean_reward) * (r - mean_reward));
    mean(squares, rewards.len())
}

fn mean(values: impl Iterator<Item = f64>, count: usize) -> f64 {
    values.fold(0.0, |sum, value| sum + value) / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_group_has_no_advantages_and_equal_rewards_none_to_speak_of() {
        assert_eq!(advantages(&[]), Vec::<f64>::new());
        assert_eq!(advantages(&[0.5; 4]), [0.0; 4]);
    }

    proptest! {
        #[test]
        fn advantages_sum_to_about_zero(rewards in prop::collection::vec(-0.2..1.135, 1..32)) {
            let sum: f64 = advantages(&rewards).iter().sum();
            prop_assert!(sum.abs() < 0.01, "{sum}");
        }
    }
}
