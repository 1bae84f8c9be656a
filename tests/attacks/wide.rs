//! A file with more groups than are checked: the drawn ones are looked at, and no others.

use grail_protocol::groups::checked_groups;
use grail_protocol::verify::{Extent, Outcome, ReasonKind, Rules, Selection, Trouble, Verdict};
use grail_protocol::window::WindowFile;

use crate::model::honest_scorer;
use crate::world::wide_world;

const C_W: [u8; 32] = [0x77; 32];

fn drawn(c_w: &[u8; 32]) -> Vec<usize> {
    let mut drawn = checked_groups(c_w, &wide_world().signer.account(), 34, None).expect("34 groups");
    drawn.sort_unstable();
    drawn
}

/// The verdict, and how many rollouts the model was asked about.
fn verify(file: &WindowFile, selection: Selection<'_>) -> (Result<Verdict, Trouble>, usize) {
    let mut asked = 0;
    let mut scorer = |request: &grail_engine::types::ScoreRequest<'_>| {
        asked += request.groups.iter().map(|g| g.completions.len()).sum::<usize>();
        honest_scorer(request)
    };
    let verdict = wide_world().verify(Rules::all(), file, selection, Extent::EveryRollout, &mut scorer);
    (verdict, asked)
}

fn under(c_w: &[u8; 32], file: &WindowFile) -> Verdict {
    verify(file, Selection::Drawn { c_w, lowered_to: None }).0.expect("no trouble")
}

/// A sketch one off in a group of one rollout.
fn lie_in(group: usize) -> WindowFile {
    let mut file = wide_world().honest.clone();
    let assignment = wide_world().assignment();
    let problem = assignment.problem(group as u64).expect("a problem");
    file.inferences[group].commit.s_vals[5] ^= 1;
    grail_protocol::prove::sign(&assignment, &problem, 0, &mut file.inferences[group], &wide_world().signer);
    file
}

#[test]
fn exactly_the_drawn_groups_are_checked() {
    let (verdict, asked) = verify(&wide_world().honest, Selection::Drawn { c_w: &C_W, lowered_to: None });
    let verdict = verdict.expect("no trouble");
    assert_eq!((verdict.outcome, verdict.groups, asked), (Outcome::Valid, 34, 8));
    assert_eq!(verdict.checked, drawn(&C_W));
    let checked = |(i, rollout): (usize, &grail_protocol::verify::RolloutVerdict)| rollout.is_checked.then_some(i);
    assert_eq!(verdict.rollouts.iter().enumerate().filter_map(checked).collect::<Vec<_>>(), verdict.checked);
}

#[test]
fn a_lie_is_found_in_a_checked_group_and_in_no_other() {
    let checked = drawn(&C_W);
    let unchecked = (0..34).find(|group| !checked.contains(group)).expect("26 of 34");
    assert_eq!(under(&C_W, &lie_in(unchecked)).outcome, Outcome::Valid);
    let verdict = under(&C_W, &lie_in(checked[3]));
    let reason = verdict.reason.expect("a lie");
    assert_eq!((reason.kind, reason.rollout), (ReasonKind::SketchInexact, Some(checked[3])));
    // The miner cannot know: another C_w draws the other group.
    let finds = (0..=255).map(|b| [b; 32]).find(|c_w| drawn(c_w).contains(&unchecked)).expect("a draw");
    assert_eq!(under(&finds, &lie_in(unchecked)).outcome, Outcome::Fraud);
}

#[test]
fn cheap_rules_hold_in_groups_that_are_not_checked() {
    let checked = drawn(&C_W);
    let unchecked = (0..34).find(|group| !checked.contains(group)).expect("26 of 34");
    let mut file = wide_world().honest.clone();
    file.inferences[unchecked].commit.rollout.completion_length += 1;
    let reason = under(&C_W, &file).reason.expect("a lie");
    assert_eq!((reason.kind, reason.rollout), (ReasonKind::BadLength, Some(unchecked)));
}

#[test]
fn a_miner_can_check_places_of_its_own() {
    let (verdict, asked) = verify(&lie_in(3), Selection::Places(&[1, 4]));
    assert_eq!((verdict.expect("no trouble").outcome, asked), (Outcome::Valid, 2));
    let (verdict, _) = verify(&lie_in(3), Selection::Places(&[3]));
    assert_eq!(verdict.expect("no trouble").outcome, Outcome::Fraud);
}

#[test]
fn a_validator_that_lowers_g_below_eight_has_trouble_and_no_verdict() {
    let selection = |lowered_to| Selection::Drawn { c_w: &C_W, lowered_to: Some(lowered_to) };
    assert!(matches!(verify(&wide_world().honest, selection(7)).0, Err(Trouble::Protocol(_))));
    assert_eq!(verify(&wide_world().honest, selection(8)).0.expect("no trouble").checked.len(), 8);
}
