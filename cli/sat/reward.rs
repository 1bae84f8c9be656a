//! The reward of an answer (PROTOCOL 4.5).

use super::{Answer, Instance};
use crate::environment::{Component, Reward};

const fn component(name: &'static str, weight: f64, low: f64, high: f64) -> Component {
    Component { name, weight, low, high }
}

/// The parts of the reward, in the order they are summed.
pub const COMPONENTS: [Component; 6] = [
    component("correctness", 1.0, -0.2, 1.0),
    component("strict format", 0.15, 0.0, 0.3),
    component("soft format", 0.10, 0.0, 0.2),
    component("shape", 0.15, 0.0, 0.3),
    component("no trailing", 0.10, 0.0, 0.2),
    component("charset", 0.05, 0.0, 0.1),
];

const SOLVED: f64 = 1.0;

pub(super) fn reward(instance: &Instance, answer: &Answer) -> Reward {
    let correctness = correctness(instance, answer);
    let has_shape = answer.bit_count == instance.num_vars();
    let no_trailing = (0.2 - 0.001 * answer.trailing as f64).max(0.0);
    let given = |holds: bool, value: f64| if holds { value } else { 0.0 };
    let values = vec![
        correctness,
        given(answer.is_strict, 0.3),
        given(answer.has_answer, 0.2),
        given(has_shape, 0.3),
        given(answer.has_answer, no_trailing),
        given(answer.has_answer && answer.only_bits_and_spaces, 0.1),
    ];
    Reward::new(&COMPONENTS, values, correctness == SOLVED)
}

/// A badly formed answer is worse than a wrong one.
fn correctness(instance: &Instance, answer: &Answer) -> f64 {
    let is_well_formed = answer.has_answer
        && answer.only_bits_and_spaces
        && answer.trailing == 0
        && answer.bit_count == instance.num_vars();
    if !is_well_formed {
        -0.2
    } else if instance.is_solved_by(&answer.assignment) {
        SOLVED
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::{Environment, bounds};
    use crate::sat::Sat;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_reward_is_within_the_bounds(seed: String, completion in "(<solution>|</solution>|0|1| |x|\\PC){0,40}") {
            let problem = Sat.problem(&seed, 0.3).unwrap();
            let reward = Sat.reward(&problem, &Sat.parse(&problem, &completion));
            for (value, part) in reward.values.iter().zip(&COMPONENTS) {
                prop_assert!(part.low <= *value && *value <= part.high, "{}", part.name);
            }
            let (low, high) = bounds(&COMPONENTS);
            prop_assert!(low <= reward.total && reward.total <= high);
        }
    }
}
