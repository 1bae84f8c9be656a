//! What is nobody's lie: trouble of the validator's own, faults of the arithmetic, numbers that are no place.

use grail_engine::types::{Failure, ScoreRequest};
use grail_engine::{Error, Fault, FaultKind, Scored};
use grail_protocol::verify::{Extent, Outcome, ReasonKind, Rules, Selection, Trouble, Verdict};
use grail_protocol::window::Inference;

use crate::forge::forged;
use crate::model::honest_scorer;
use crate::world::world;

fn with(scorer: &mut dyn FnMut(&ScoreRequest<'_>) -> grail_engine::Result<Scored>) -> Result<Verdict, Trouble> {
    world().verify(Rules::all(), &world().honest, Selection::All, Extent::EveryRollout, scorer)
}

/// The honest scorer with one completion's result replaced.
fn with_result(group: usize, member: usize, result: Failure) -> Result<Verdict, Trouble> {
    with(&mut |request| {
        let mut scored = honest_scorer(request)?;
        scored[group][member] = Err(result);
        Ok(scored)
    })
}

#[test]
fn trouble_of_the_validators_own_is_no_verdict() {
    let memory = || Error::Memory { budget_bytes: 1, needed_bytes: 2, purpose: "a test".into() };
    assert!(matches!(with(&mut |_| Err(memory())), Err(Trouble::Engine(Error::Memory { .. }))));
    assert!(matches!(with_result(1, 2, Failure::Cancelled), Err(Trouble::Cancelled)));
    assert_eq!(with(&mut honest_scorer).expect("no trouble").outcome, Outcome::Valid);
}

#[test]
fn trouble_is_no_verdict_on_a_forged_file_either() {
    let file = forged(|f| f.entry(5).commit.rollout.success ^= true);
    let mut cancelled = |request: &ScoreRequest<'_>| {
        let mut scored = honest_scorer(request)?;
        scored[0][0] = Err(Failure::Cancelled);
        Ok(scored)
    };
    let verdict = world().verify(Rules::all(), &file, Selection::All, Extent::Deciding, &mut cancelled);
    assert!(matches!(verdict, Err(Trouble::Cancelled)));
    // What is decided without the model needs none.
    let file = forged(|f| f.entry(5).difficulty = 0.0);
    let verdict = world().verify(Rules::all(), &file, Selection::All, Extent::Deciding, &mut |_| panic!("not asked"));
    assert_eq!(verdict.expect("no trouble").outcome, Outcome::Fraud);
}

#[test]
fn a_scorer_that_answers_something_else_is_trouble_and_accepts_nothing() {
    let short = |shorten: &dyn Fn(&mut Scored)| {
        with(&mut |request| {
            let mut scored = honest_scorer(request)?;
            shorten(&mut scored);
            Ok(scored)
        })
    };
    let part = |change: &dyn Fn(&mut grail_engine::types::Score)| {
        short(&|scored| change(scored[1][2].as_mut().expect("a score")))
    };
    let answers = [
        short(&|scored| drop(scored.pop())),
        short(&|scored| drop(scored[1].pop())),
        short(&|scored| scored.clear()),
        part(&|score| score.sketches.truncate(9)),
        part(&|score| score.honest.truncate(9)),
        part(&|score| score.raw_logprobs.clear()),
        part(&|score| score.sampling_logprobs.push(0.0)),
    ];
    for (i, answer) in answers.into_iter().enumerate() {
        assert!(matches!(answer, Err(Trouble::Scores { .. })), "{i}");
    }
}

#[test]
fn a_numeric_fault_is_a_sketch_mismatch_at_its_position() {
    for (kind, position) in [(FaultKind::Quantizer, 0), (FaultKind::Attention, 171), (FaultKind::Sketch, 231)] {
        let fault = Fault { kind, layer: 2, position };
        let verdict = with_result(1, 2, Failure::Fault(fault)).expect("a fault is the rollout's");
        let reason = verdict.reason.expect("no honest rollout has a fault");
        let found = (reason.kind, reason.rollout, reason.position);
        assert_eq!(found, (ReasonKind::SketchMismatch, Some(6), Some(position)));
        assert_eq!(verdict.outcome, Outcome::Fraud);
        assert!(verdict.rollouts.iter().enumerate().all(|(i, r)| r.reason.is_some() == (i == 6)));
    }
}

/// PROTOCOL 18.16: what cannot be understood makes a file void; no rollout is skipped for it.
#[test]
fn numbers_that_are_no_place_make_a_file_void() {
    assert_eq!(ReasonKind::Malformed.outcome(), Outcome::Void);
    for number in [-1, 12, i128::from(u64::MAX) + 1, i128::MIN, i128::MAX] {
        let group = forged(|f| f.entry(5).rollout_group = number);
        let member = forged(|f| f.entry(5).rollout_index = number);
        for (file, kind) in [(group, ReasonKind::IndexGap), (member, ReasonKind::GroupIncomplete)] {
            let verdict = world().verdict(Rules::all(), &file, Extent::EveryRollout);
            assert_eq!((verdict.outcome, verdict.reason.map(|r| r.kind)), (Outcome::Void, Some(kind)), "{number}");
        }
    }
}

/// The reader refuses these; a file that came another way must neither pass nor break the verifier.
#[test]
fn lists_that_do_not_belong_together_make_a_file_void() {
    let changes: [fn(&mut Inference); 6] = [
        |e| e.commit.s_vals.truncate(9),
        |e| e.commit.s_vals.push(0),
        |e| e.commit.rollout.token_logprobs.truncate(9),
        |e| e.commit.rollout.raw_token_logprobs.push(0.0),
        |e| e.commit.problem.fields.truncate(1),
        |e| e.commit.rollout.answer.clear(),
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let verdict = world().verdict(Rules::all(), &forged(|f| change(f.entry(5))), Extent::EveryRollout);
        let kind = verdict.reason.map(|r| r.kind);
        assert_eq!((verdict.outcome, kind), (Outcome::Void, Some(ReasonKind::Malformed)), "change {i}");
    }
}

/// An empty file is the longest run of complete groups of a miner that finished none.
#[test]
fn an_empty_file_is_valid_and_counts_nothing() {
    let verdict = world().verdict(Rules::all(), &forged(|f| f.file.inferences.clear()), Extent::Deciding);
    assert_eq!((verdict.outcome, verdict.groups, verdict.successful), (Outcome::Valid, 0, 0));
}
