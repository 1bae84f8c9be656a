//! Two lies in one file: the earlier rule decides, whatever the rollout.

use grail::sat::Sat;
use grail_protocol::verify::{Extent, RuleId, Rules};

use crate::attack::rule_of;
use crate::forge::Forger;
use crate::world::world;

/// A lie that breaks a rule, told in an entry where the rule is about entries.
fn lie(rule: RuleId, f: &mut Forger, i: usize) {
    let resign = |f: &mut Forger| f.sign(i);
    match rule {
        RuleId::Network => f.file.window_length += 1,
        RuleId::Head => f.file.beacon.round += 1,
        RuleId::Wallet => f.file.wallet.push('x'),
        RuleId::Indices => f.entry(11).rollout_group = 7,
        RuleId::Groups => f.entry(1).rollout_index = 0,
        RuleId::EntryRandomness => f.entry(i).use_drand = false,
        RuleId::Hotkey => f.entry(i).hotkey.push('x'),
        RuleId::Model => f.entry(i).commit.model.layer_index = 0,
        RuleId::Signatures => f.entry(i).signature.clear(),
        RuleId::Problem => f.entry(i).difficulty = 0.0,
        RuleId::Prompt => f.entry(i).commit.tokens[3] ^= 1,
        RuleId::Length => f.entry(i).commit.rollout.completion_length += 1,
        RuleId::Sketch | RuleId::Spot => f.entry(i).commit.s_vals[9] ^= 4,
        RuleId::Replay => {
            let mut completion = f.completion(i);
            completion[5] ^= 1;
            f.complete(i, &completion);
        }
        RuleId::Logprobs => f.entry(i).commit.rollout.token_logprobs[2] = -0.0,
        RuleId::Reward => f.entry(i).commit.rollout.success ^= true,
        RuleId::Advantage => f.entry(i).commit.rollout.advantage += 1.0,
    }
    if matches!(rule, RuleId::Prompt | RuleId::Sketch) {
        resign(f);
    }
}

fn is_of_file(rule: RuleId) -> bool {
    rule <= RuleId::Groups
}

#[test]
fn of_two_lies_the_earlier_rule_decides_whatever_the_rollout() {
    let rules: Vec<RuleId> = Rules::<Sat>::all().ids().collect();
    let mut pairs = 0;
    for (place, &earlier) in rules.iter().enumerate() {
        for &later in &rules[place + 1..] {
            let mut f = Forger::new();
            // The later rule's lie is nearer to the file's start.
            lie(later, &mut f, 0);
            lie(earlier, &mut f, 10);
            two_lies(&f, earlier, later);
            pairs += 1;
        }
    }
    assert_eq!(pairs, 17 * 16 / 2);
}

fn two_lies(f: &Forger, earlier: RuleId, later: RuleId) {
    let deciding = world().verdict(Rules::all(), &f.file, Extent::Deciding);
    let every = world().verdict(Rules::all(), &f.file, Extent::EveryRollout);
    assert_eq!((&deciding.reason, deciding.outcome), (&every.reason, every.outcome), "{earlier:?}, {later:?}");
    let reason = every.reason.expect("a lie");
    assert_eq!(rule_of(&reason), earlier, "{earlier:?} before {later:?}");
    if is_of_file(earlier) {
        return assert!(every.rollouts.is_empty());
    }
    assert_eq!(reason.rollout, Some(10));
    let found: Vec<Option<RuleId>> = every.rollouts.iter().map(|r| r.reason.as_ref().map(rule_of)).collect();
    let expected = |i| match i {
        0 => Some(later),
        10 => Some(earlier),
        _ => None,
    };
    assert_eq!(found, (0..12).map(expected).collect::<Vec<_>>(), "every rollout has its own first reason");
}

#[test]
fn of_two_lies_in_one_rollout_the_earlier_rule_decides() {
    let mut f = Forger::new();
    lie(RuleId::Reward, &mut f, 5);
    lie(RuleId::Logprobs, &mut f, 5);
    lie(RuleId::Advantage, &mut f, 2);
    let verdict = world().verdict(Rules::all(), &f.file, Extent::EveryRollout);
    let found = |i: usize| verdict.rollouts[i].reason.as_ref().map(rule_of);
    assert_eq!((found(5), found(2)), (Some(RuleId::Logprobs), Some(RuleId::Advantage)));
    assert_eq!(verdict.reason.as_ref().map(rule_of), Some(RuleId::Logprobs));
}

#[test]
fn of_one_lie_in_two_rollouts_the_first_decides() {
    for rule in Rules::<Sat>::all().ids().filter(|&rule| !is_of_file(rule)) {
        let mut f = Forger::new();
        lie(rule, &mut f, 10);
        lie(rule, &mut f, 1);
        let reason = world().verdict(Rules::all(), &f.file, Extent::EveryRollout).reason.expect("two lies");
        assert_eq!((rule_of(&reason), reason.rollout), (rule, Some(1)));
    }
}
