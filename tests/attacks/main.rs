//! Attacks on the verifier: forged window files, the rule that refuses each of them, and proof that no other would.
//!
//! The forger has the miner's key and the honest model, so a forgery holds everywhere but at its one lie. Every attack
//! is judged twice: with all rules, where the verdict's reason, rollout and position must be the expected ones, and
//! without its own rule, where it must be valid: a rule that other rules make superfluous would be noticed, and so
//! would a clumsy forgery. Malformed text is the reader's business and not attacked here.
//!
//! `cargo test --release --test attacks -- --nocapture` prints the table.

mod attack;
mod forge;
mod identity;
mod laws;
mod layers;
mod model;
mod mutations;
mod neighbour;
mod priority;
mod proof;
mod reward;
mod sampling;
mod spot;
mod wide;
mod work;
mod world;

use std::collections::BTreeSet;

use attack::{Attack, heading};
use forge::Forger;
use grail::sat::Sat;
use grail_protocol::verify::{Extent, Outcome, RuleId, Rules};
use world::world;

/// Known weaknesses of the original (PROTOCOL 18) that must not come back.
const WEAKNESSES: [u8; 10] = [1, 4, 7, 10, 11, 12, 13, 16, 17, 19];

fn every_attack() -> Vec<Attack> {
    let families = [identity::attacks(), work::attacks(), proof::attacks(), sampling::attacks(), reward::attacks()];
    families.into_iter().flatten().collect()
}

#[test]
fn the_honest_file_is_valid() {
    let verdict = world().verdict(Rules::all(), &world().honest, Extent::EveryRollout);
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Valid, None));
    assert_eq!((verdict.groups, verdict.checked), (3, vec![0, 1, 2]));
    // The fixture has rollouts of every kind, so the rules have something to look at.
    let claims: Vec<_> = world().honest.inferences.iter().map(|e| &e.commit.rollout).collect();
    assert!(claims[..4].iter().all(|c| c.success && c.completion_length < 80));
    assert!(claims[4..8].iter().any(|c| c.success) && claims[4..8].iter().any(|c| !c.success));
    assert!(claims[8..].iter().all(|c| c.completion_length == 80));
    assert_eq!(verdict.successful, claims.iter().filter(|c| c.success).count());
    assert!((1..=verdict.successful).contains(&verdict.distinct));
}

#[test]
fn every_attack_is_refused_by_its_rule_and_by_no_other() {
    let attacks = every_attack();
    println!("{}", heading());
    attacks.iter().for_each(|attack| println!("{}", attack.line()));
    let failed: Vec<String> = attacks.iter().filter_map(|attack| attack.run().err()).collect();
    assert!(failed.is_empty(), "{} of {} attacks:\n{}", failed.len(), attacks.len(), failed.join("\n"));
    let rules: Vec<RuleId> = Rules::<Sat>::all().ids().collect();
    let attacked: BTreeSet<RuleId> = attacks.iter().map(|attack| attack.rule).collect();
    assert_eq!(rules, attacked.into_iter().collect::<Vec<_>>(), "a rule without an attack guards nothing");
    let known: BTreeSet<u8> = attacks.iter().filter_map(|attack| attack.weakness).collect();
    assert_eq!(known, WEAKNESSES.into());
    let names: BTreeSet<&str> = attacks.iter().map(|attack| attack.name.as_str()).collect();
    assert_eq!(names.len(), attacks.len());
}

/// The laws would notice a forgery that is none, one that another rule refuses, too, and a wrong expectation.
#[test]
fn an_attack_that_breaks_a_law_is_noticed() {
    let two_lies = |f: &mut Forger| {
        f.entry(5).difficulty = 0.0;
        f.entry(5).commit.rollout.completion_length += 1;
    };
    let (problem, one_lie) = (RuleId::Problem, |f: &mut Forger| f.entry(5).difficulty = 0.0);
    let controls = [
        (Attack::new(problem, "no lie", |_| {}).at(5), "accepted"),
        (Attack::new(problem, "two lies", two_lies).at(5), "still refused for BadLength"),
        (Attack::new(problem, "wrong rollout", one_lie).at(4), "expected (ProblemMismatch, Some(4), None)"),
        (
            Attack::new(problem, "wrong position", one_lie).at(5).position(1),
            "expected (ProblemMismatch, Some(5), Some(1))",
        ),
        (Attack::new(RuleId::Length, "wrong rule", one_lie).at(5), "expected (BadLength, Some(5), None)"),
    ];
    for (attack, expected) in controls {
        let problem = attack.run().expect_err(&attack.name);
        assert!(problem.contains(expected), "{problem}");
    }
    assert_eq!(Attack::new(problem, "one lie", one_lie).at(5).run(), Ok(()));
}
