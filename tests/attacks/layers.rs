//! Forgeries that several rules refuse: taking away the rule that refused brings up the next.

use grail::sat::Sat;
use grail_protocol::assignment::WindowHead;
use grail_protocol::verify::RuleId::{
    Advantage, EntryRandomness, Head, Hotkey, Logprobs, Problem, Prompt, Replay, Reward, Signatures, Sketch, Wallet,
};
use grail_protocol::verify::{Claimed, Extent, RuleId, Rules, Selection, Verifier};
use grail_protocol::window::WindowFile;
use grail_protocol::{prove, ss58};

use crate::attack::rule_of;
use crate::forge::{Forger, forged};
use crate::model::{Model, honest_scorer};
use crate::neighbour::one_weight_one_step;
use crate::world::{mine, other_signer, world};

/// Takes away the rules that refuse a file, one after the other, as long as the file meets the expected ones.
fn layers(file: &WindowFile, head: &WindowHead, count: usize) -> Vec<RuleId> {
    let account = world().signer.account();
    let mut found = Vec::new();
    while found.len() < count {
        let rules = found.iter().fold(Rules::<Sat>::all(), |rules, &id| rules.without(id));
        let verifier = Verifier::with_rules(world().protocol, rules);
        let claimed = Claimed { file, head, account: &account };
        let verdict = verifier.verify(claimed, Selection::All, Extent::Deciding, &mut honest_scorer);
        match verdict.expect("no trouble").reason {
            Some(reason) => found.push(rule_of(&reason)),
            None => break,
        }
    }
    found
}

#[test]
fn a_file_replayed_in_the_next_window_meets_every_layer() {
    let expected = [Head, EntryRandomness, Signatures, Problem, Prompt];
    assert_eq!(layers(&world().honest, &world().next_head(), 5), expected);
}

/// Everything that is not work is brought up to date: the old tokens and sketches remain. PROTOCOL 18.4.
#[test]
fn an_old_commit_under_fresh_outer_fields_is_refused() {
    let next = world().next_head();
    let assignment = world().protocol.assignment(&next, world().signer.account());
    let mut file = prove::window_file(
        world().protocol.network(),
        &next,
        assignment.account(),
        world().honest.inferences.clone(),
        0.0,
    );
    for entry in &mut file.inferences {
        let (index, rollout) = (entry.rollout_group as u64, entry.rollout_index as u32);
        let problem = assignment.problem(index).expect("a problem");
        entry.window_start = next.block_number.into();
        entry.block_hash = assignment.block_hash_text();
        entry.randomness = hex::encode(assignment.r_w());
        entry.commit.randomness.clone_from(&entry.randomness);
        entry.sat_seed.clone_from(&problem.seed_text);
        entry.commit.problem.seed.clone_from(&problem.seed_text);
        entry.commit.problem.fields.clone_from(&problem.statement);
        (entry.difficulty, entry.commit.problem.difficulty) = (problem.difficulty, problem.difficulty);
        entry.challenge = assignment.challenge(&problem, rollout);
        prove::sign(&assignment, &problem, rollout, entry, &world().signer);
    }
    assert_eq!(layers(&file, &next, 1), [Prompt]);
}

#[test]
fn another_accounts_rollouts_under_our_name_are_refused() {
    let other = other_signer();
    let theirs = world().protocol.assignment(&world().head, other.account());
    let stolen = mine(&theirs, &[0], &other);
    let ours = ss58::encode(&world().signer.account());
    let renamed = |f: &mut Forger| {
        f.file.inferences.splice(..4, stolen.clone());
        (0..4).for_each(|i| f.entry(i).hotkey.clone_from(&ours));
    };
    let under_their_key = forged(renamed);
    assert_eq!(layers(&under_their_key, &world().head, 3), [Signatures, Problem, Prompt]);
    let as_it_was = forged(|f| drop(f.file.inferences.splice(..4, stolen.clone())));
    assert_eq!(layers(&as_it_was, &world().head, 2), [Hotkey, Signatures]);
    let signed_again = forged(|f| {
        renamed(f);
        (0..4).for_each(|i| f.sign(i));
    });
    assert_eq!(layers(&signed_again, &world().head, 2), [Problem, Prompt]);
    let restated = forged(|f| {
        renamed(f);
        (0..4).for_each(|i| {
            let commit = stolen[i].commit.clone();
            *f.entry(i) = world().honest.inferences[i].clone();
            let statement = f.entry(i).commit.problem.clone();
            f.entry(i).commit = commit;
            f.entry(i).commit.problem = statement;
            f.sign(i);
        });
    });
    assert_eq!(layers(&restated, &world().head, 1), [Prompt]);
}

#[test]
fn another_accounts_file_is_refused_at_its_name() {
    let other = other_signer();
    let theirs = world().protocol.assignment(&world().head, other.account());
    let inferences = mine(&theirs, &[0], &other);
    let file = prove::window_file(world().protocol.network(), &world().head, &other.account(), inferences, 0.0);
    assert_eq!(layers(&file, &world().head, 4), [Wallet, Hotkey, Signatures, Problem]);
}

/// PROTOCOL 18.4: the prover names the beacon and projects on it.
#[test]
fn randomness_of_the_miners_choice_is_refused_twice() {
    let file = forged(|f| {
        let r = grail_protocol::randomness::random_vector(&[0; 32], 256).expect("an allowed width");
        let (prompt, completion) = (f.problem(5).prompt, f.completion(5));
        let sketches = crate::model::model().score_one(&prompt, &completion, f.seed(5), &r).sketches;
        f.resigned(5, |e| {
            e.commit.randomness = hex::encode([0; 32]);
            e.commit.s_vals = sketches;
        });
    });
    assert_eq!(layers(&file, &world().head, 9), [EntryRandomness, Sketch]);
}

#[test]
fn tokens_edited_under_the_old_sketches_are_refused_three_times() {
    let file = forged(|f| f.resigned(5, |e| e.commit.tokens[190] ^= 1));
    let found = layers(&file, &world().head, 9);
    assert_eq!(found[..3], [Sketch, Replay, Logprobs], "{found:?}");
}

/// A draft model that agrees on every token: sketches and log-probabilities are its own.
#[test]
fn a_neighbour_model_that_emits_the_same_tokens_is_refused_twice() {
    let mut neighbour = Model::new(one_weight_one_step());
    let file = forged(|f| {
        let projection = f.assignment.projection().expect("an allowed width");
        let (prompt, completion) = (f.problem(5).prompt, f.completion(5));
        let score = neighbour.score_one(&prompt, &completion, f.seed(5), &projection);
        let start = prompt.len();
        f.resigned(5, |e| {
            e.commit.s_vals = score.sketches;
            e.commit.rollout.token_logprobs[start..].copy_from_slice(&score.sampling_logprobs);
            e.commit.rollout.raw_token_logprobs[start..].copy_from_slice(&score.raw_logprobs);
        });
    });
    assert_eq!(layers(&file, &world().head, 9), [Sketch, Logprobs]);
}

/// PROTOCOL 18.11, with advantages that follow from the claimed rewards.
#[test]
fn a_claimed_solution_with_its_advantages_is_refused_twice() {
    let file = forged(|f| {
        let solved = f.entry(5).commit.rollout.clone();
        let claim = &mut f.entry(4).commit.rollout;
        (claim.success, claim.total_reward) = (true, solved.total_reward);
        (claim.answer, claim.trajectory) = (solved.answer, solved.trajectory);
        let rewards: Vec<f64> = (4..8).map(|i| f.entry(i).commit.rollout.total_reward).collect();
        let advantages = grail_protocol::advantages::advantages(&rewards);
        (4..8).zip(advantages).for_each(|(i, a)| f.entry(i).commit.rollout.advantage = a);
    });
    assert_eq!(layers(&file, &world().head, 9), [Reward, Advantage]);
}
