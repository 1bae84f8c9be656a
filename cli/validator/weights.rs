//! From records to weights, by the policy that was chosen.

use std::collections::BTreeMap;

use anyhow::Result;
use grail_protocol::record::Record;
use grail_protocol::verify::Outcome;

use super::History;
use crate::flags::Policy;
use crate::scoring::{InferenceCount, SeedPolicy, WindowResult, burn, normalise, score, work};
use crate::validator::Miner;

/// How weights are made.
#[derive(Debug, Clone, Copy)]
pub struct Weighing {
    /// The policy.
    pub policy: Policy,
    /// The neuron that burnt weight goes to.
    pub burn_uid: u16,
    /// How much is burnt.
    pub burn_percentage: f64,
    /// Blocks per window.
    pub window_length: u64,
    /// Rollouts of a group.
    pub rollouts_per_problem: u64,
}

impl Weighing {
    /// The weight of every neuron, in their order. `window` is the newest that counts.
    ///
    /// # Errors
    /// Settings that the policy cannot work with.
    pub fn weights(&self, history: &History, neurons: &[Miner], window: u64) -> Result<Vec<f64>> {
        let none = BTreeMap::new();
        let uids: Vec<u16> = neurons.iter().map(|n| n.uid).collect();
        let records = neurons.iter().map(|n| history.get(&n.hotkey).unwrap_or(&none));
        Ok(match self.policy {
            Policy::Default => {
                let results = |records: &BTreeMap<u64, Record>| records.values().map(result).collect::<Vec<_>>();
                let scores: Vec<f64> = records.map(|records| score(work(&results(records)))).collect();
                burn(&normalise(&scores), &uids, self.burn_uid, self.burn_percentage)
            }
            Policy::Seed => {
                let policy = self.seed();
                let counts = |records: &BTreeMap<u64, Record>| {
                    records.iter().map(|(&window, record)| (window, self.count(record))).collect()
                };
                let scores: Vec<f64> = records.map(|records| policy.score(&counts(records), window).score).collect();
                policy.weights(&scores, &uids)?
            }
        })
    }

    fn seed(&self) -> SeedPolicy {
        SeedPolicy {
            window_length: self.window_length,
            burn_uid: self.burn_uid.into(),
            burn_percentage: self.burn_percentage,
        }
    }

    fn count(&self, record: &Record) -> InferenceCount {
        let is_valid = record.outcome == Outcome::Valid;
        InferenceCount {
            estimated_valid: if is_valid { record.groups * self.rollouts_per_problem } else { 0 },
            successful: record.successful,
            unique: record.distinct,
            had_failure: record.outcome == Outcome::Fraud,
        }
    }
}

fn result(record: &Record) -> WindowResult {
    match record.outcome {
        Outcome::Valid => WindowResult::Valid {
            groups: record.groups,
            checked_groups: record.checked,
            distinct_successes: record.distinct,
        },
        Outcome::Void => WindowResult::Void,
        Outcome::Fraud => WindowResult::Fraud,
        Outcome::NoVerdict => WindowResult::NoVerdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grail_protocol::record::Subject;
    use grail_protocol::verify::Verdict;

    const PLAIN: Weighing = Weighing {
        policy: Policy::Default,
        burn_uid: 0,
        burn_percentage: 0.0,
        window_length: 50,
        rollouts_per_problem: 4,
    };

    fn record(miner: u8, window_start: u64, outcome: Outcome, distinct: usize) -> Record {
        let subject =
            Subject { network_id: [0; 32], window_start, hotkey: [miner; 32], validator: [9; 32], root: None };
        let verdict = Verdict { outcome, groups: 4, checked: vec![0, 1, 2, 3], distinct, ..Verdict::no_verdict() };
        Record::new(subject, &verdict, "0")
    }

    fn history(records: &[Record]) -> History {
        let mut history = History::new();
        for record in records {
            let of_miner = history.entry(record.subject.hotkey).or_default();
            of_miner.insert(record.subject.window_start, record.clone());
        }
        history
    }

    fn neurons() -> Vec<Miner> {
        (0..4).map(|uid| Miner { uid, hotkey: [uid as u8; 32] }).collect()
    }

    #[test]
    fn work_is_weighed_and_fraud_is_not_forgiven() {
        let records = [
            record(1, 50, Outcome::Valid, 10),
            record(1, 100, Outcome::Valid, 10),
            record(2, 50, Outcome::Valid, 10),
            record(2, 100, Outcome::Void, 0),
            record(3, 50, Outcome::Valid, 500),
            record(3, 100, Outcome::Fraud, 0),
        ];
        let weights = PLAIN.weights(&history(&records), &neurons(), 100).unwrap();
        assert_eq!((weights[0], weights[3]), (0.0, 0.0));
        assert!((weights[1] / weights[2] - 2_f64.powf(1.4)).abs() < 1e-12, "{weights:?}");
        let burnt = Weighing { burn_percentage: 95.0, ..PLAIN }.weights(&history(&records), &neurons(), 100).unwrap();
        assert!((burnt[0] - 0.95).abs() < 1e-12, "{burnt:?}");
    }

    #[test]
    fn who_is_gone_has_no_weight_and_who_is_new_neither() {
        let records = [record(1, 50, Outcome::Valid, 1), record(77, 50, Outcome::Valid, 1)];
        let weights = PLAIN.weights(&history(&records), &neurons(), 50).unwrap();
        assert_eq!(weights, [0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn the_seeds_policy_saturates_and_needs_a_burn() {
        let records = [record(1, 50, Outcome::Valid, 10), record(2, 50, Outcome::Valid, 1000)];
        let seed = Weighing { policy: Policy::Seed, burn_percentage: 95.0, ..PLAIN };
        let weights = seed.weights(&history(&records), &neurons(), 50).unwrap();
        assert!((weights[1] - weights[2]).abs() < 1e-12 && (weights[0] - 0.95).abs() < 1e-12, "{weights:?}");
        assert!(Weighing { policy: Policy::Seed, ..PLAIN }.weights(&history(&records), &neurons(), 50).is_err());
    }
}
