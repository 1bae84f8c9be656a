//! The spot check: the cheap rules and 16 positions, with a tolerance. Weaker, and its weakness is shown.

use grail_protocol::indices::{CHALLENGE_K, open_indices};
use grail_protocol::verify::{Extent, Outcome, ReasonKind, Rules, Verdict, Verifier};
use grail_protocol::window::WindowFile;

use crate::forge::forged;
use crate::model::honest_scorer;
use crate::world::world;

pub const CHALLENGE: [u8; 32] = [0xc5; 32];

fn spot(file: &WindowFile) -> Verdict {
    let account = world().signer.account();
    let verifier = Verifier::new(world().protocol);
    let claimed = world().claimed(file, &account);
    verifier.spot(claimed, &CHALLENGE, Extent::EveryRollout, &mut honest_scorer).expect("no trouble")
}

/// Positions of entry 5 that the challenge opens, and one that it does not.
fn opened() -> (Vec<usize>, usize) {
    let tokens = &world().honest.inferences[5].commit.tokens;
    let opened = open_indices(tokens, &CHALLENGE, tokens.len(), CHALLENGE_K).expect("positions");
    let unopened = (0..tokens.len()).find(|p| !opened.contains(p)).expect("16 positions are not all");
    (opened, unopened)
}

fn with_sketch_moved(position: usize, by: u32) -> WindowFile {
    forged(|f| f.resigned(5, |e| e.commit.s_vals[position] = (e.commit.s_vals[position] + by) % ((1 << 31) - 1)))
}

#[test]
fn spot_check_passes_the_honest_file() {
    let verdict = spot(&world().honest);
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::Valid, None));
    assert_eq!(verdict.checked, [0, 1, 2]);
}

#[test]
fn spot_check_finds_sketches_made_without_a_model() {
    let zeros = forged(|f| f.resigned(5, |e| e.commit.s_vals.fill(0)));
    let verdict = spot(&zeros);
    let reason = verdict.reason.expect("zeros are refused");
    let (positions, _) = opened();
    assert_eq!((reason.kind, reason.rollout), (ReasonKind::SketchMismatch, Some(5)));
    assert_eq!((reason.position, verdict.outcome), (Some(positions[0]), Outcome::Fraud));
}

#[test]
fn spot_check_sees_the_opened_positions_alone() {
    let (positions, unopened) = opened();
    for &position in &positions {
        let reason = spot(&with_sketch_moved(position, 4)).reason.expect("4 off is refused");
        let found = (reason.kind, reason.rollout, reason.position);
        assert_eq!(found, (ReasonKind::SketchMismatch, Some(5), Some(position)));
    }
    // What it does not open and what is within the tolerance it lets pass; the full check does not.
    for file in [with_sketch_moved(unopened, 4), with_sketch_moved(positions[0], 3)] {
        assert_eq!(spot(&file).outcome, Outcome::Valid);
        assert_eq!(world().verdict(Rules::all(), &file, Extent::Deciding).outcome, Outcome::Fraud);
    }
}

#[test]
fn spot_check_asks_the_cheap_rules() {
    let foreign = forged(|f| f.entry(5).difficulty = 0.0);
    assert_eq!(spot(&foreign).reason.map(|r| r.kind), Some(ReasonKind::ProblemMismatch));
    let unsigned = forged(|f| f.entry(5).signature.clear());
    assert_eq!(spot(&unsigned).reason.map(|r| r.kind), Some(ReasonKind::BadSignature));
}
