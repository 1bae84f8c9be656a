//! One SAT instance, drawn from a seed text (PROTOCOL 4.1). Nothing guarantees that it can be satisfied.

use grail_protocol::encoding::sha256;
use grail_protocol::mersenne::Mersenne;
use grail_protocol::{Error, Result};

const MIN_VARS: i64 = 3;
const MAX_VARS: i64 = 10;
const MIN_CLAUSES: i64 = 5;
const MAX_CLAUSES: i64 = 20;
const CLAUSE_LENGTH: usize = 3;

/// Bounds the size of an instance: the protocol's difficulties end at 0.9, its vectors at 3.
const GREATEST_DIFFICULTY: f64 = 100.0;

/// A conjunction of clauses over the variables `1..=num_vars`.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    seed_text: String,
    difficulty: f64,
    num_vars: usize,
    clauses: Vec<Vec<i32>>,
}

impl Instance {
    /// The instance of a seed text.
    ///
    /// # Errors
    /// A difficulty that is not a number in -100..=100, and most negative ones, for which the original has an
    /// empty range of sizes.
    pub fn generate(seed_text: &str, difficulty: f64) -> Result<Self> {
        // NaN is in no range.
        if !(-GREATEST_DIFFICULTY..=GREATEST_DIFFICULTY).contains(&difficulty) {
            let problem = format!("{difficulty} is not a number in -{GREATEST_DIFFICULTY}..={GREATEST_DIFFICULTY}");
            return Err(Error::Range { field: "difficulty", problem });
        }
        let mut random = Mersenne::from_bytes(&sha256(seed_text.as_bytes()));
        let mut size = |least: i64, most: i64| {
            let range = (most - least) as f64 * difficulty;
            let (low, high) = (least + (range * 0.5) as i64, least + range as i64);
            random.randint(low, high)
        };
        let num_vars = size(MIN_VARS, MAX_VARS)? as usize;
        let num_clauses = size(MIN_CLAUSES, MAX_CLAUSES)?;
        let mut clauses = Vec::new();
        for _ in 0..num_clauses {
            let variables = random.sample(num_vars, CLAUSE_LENGTH.min(num_vars))?;
            let literal = |v: usize| {
                let variable = v as i32 + 1;
                if random.random() < 0.5 { -variable } else { variable }
            };
            clauses.push(variables.into_iter().map(literal).collect());
        }
        Ok(Self { seed_text: seed_text.to_owned(), difficulty, num_vars, clauses })
    }

    /// The text it was drawn from.
    #[must_use]
    pub fn seed_text(&self) -> &str {
        &self.seed_text
    }

    /// The difficulty it was drawn at.
    #[must_use]
    pub fn difficulty(&self) -> f64 {
        self.difficulty
    }

    /// Number of variables.
    #[must_use]
    pub fn num_vars(&self) -> usize {
        self.num_vars
    }

    /// Clauses of literals: a variable's number, negative where it is negated.
    #[must_use]
    pub fn clauses(&self) -> &[Vec<i32>] {
        &self.clauses
    }

    /// Number of clauses with a true literal; a variable beyond the assignment makes none true.
    #[must_use]
    pub fn satisfied_clauses(&self, assignment: &[bool]) -> usize {
        let is_true = |literal: &i32| {
            let place = literal.unsigned_abs() as usize - 1;
            assignment.get(place) == Some(&(*literal > 0))
        };
        self.clauses.iter().filter(|c| c.iter().any(is_true)).count()
    }

    /// Whether the assignment has a value for every variable, no more, and satisfies every clause.
    #[must_use]
    pub fn is_solved_by(&self, assignment: &[bool]) -> bool {
        assignment.len() == self.num_vars && self.satisfied_clauses(assignment) == self.clauses.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_assignment_of_the_wrong_length_solves_nothing() {
        let instance = Instance::generate("seed", 0.3).unwrap();
        let n = instance.num_vars();
        let solution = (0..1_u32 << n)
            .map(|bits| (0..n).map(|i| bits >> i & 1 == 1).collect::<Vec<bool>>())
            .find(|a| instance.is_solved_by(a))
            .expect("this instance can be satisfied");
        assert!(!instance.is_solved_by(&solution[1..]));
        assert!(!instance.is_solved_by(&[&solution[..], &[true]].concat()));
        assert!(!instance.is_solved_by(&[]));
    }

    #[test]
    fn a_difficulty_without_instances_is_refused() {
        for difficulty in [f64::NAN, f64::INFINITY, -1.0, -1e300, 1e300, 101.0] {
            assert!(Instance::generate("x", difficulty).is_err(), "{difficulty}");
        }
    }

    proptest! {
        #[test]
        fn any_seed_and_difficulty_give_an_instance_or_an_error(seed: String, difficulty: f64) {
            let _ = Instance::generate(&seed, difficulty);
        }

        #[test]
        fn sizes_and_literals_stay_in_their_bounds(seed: String, difficulty in 0.0..=1.0) {
            let instance = Instance::generate(&seed, difficulty).unwrap();
            prop_assert!((3..=10).contains(&instance.num_vars()));
            prop_assert!((5..=20).contains(&instance.clauses().len()));
            for clause in instance.clauses() {
                let variables: std::collections::BTreeSet<u32> = clause.iter().map(|l| l.unsigned_abs()).collect();
                prop_assert_eq!(variables.len(), 3);
                prop_assert!(variables.iter().all(|&v| (1..=instance.num_vars() as u32).contains(&v)));
            }
        }
    }
}
