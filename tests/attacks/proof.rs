//! Sketches that are not the model's: from no model at all to a model one bit away.

use grail_engine::checkpoint::Checkpoint;
use grail_protocol::indices::open_indices;
use grail_protocol::randomness::random_vector;
use grail_protocol::sketch::PRIME_Q;
use grail_protocol::verify::RuleId::Sketch;

use crate::attack::Attack;
use crate::forge::Forger;
use crate::model::Model;
use crate::neighbour::{one_weight_one_step, rounded_to_int8};
use crate::world::world;

pub fn attacks() -> Vec<Attack> {
    [without_a_model(), close(), everywhere(), of_other_models(), under_other_randomness()]
        .into_iter()
        .flatten()
        .collect()
}

/// The honest file but for the sketches of one entry, found wrong where they first differ.
fn sketches(name: &str, i: usize, lie: impl FnOnce(&Forger, &mut Vec<u32>)) -> Attack {
    let attack = Attack::new(Sketch, name, |f| {
        let mut s_vals = f.file.inferences[i].commit.s_vals.clone();
        lie(f, &mut s_vals);
        f.resigned(i, |e| e.commit.s_vals = s_vals);
    });
    let (ours, honest) = (&attack.file.inferences[i].commit.s_vals, &world().honest.inferences[i].commit.s_vals);
    let first = (0..honest.len()).find(|&p| ours[p] != honest[p]).expect("other sketches");
    attack.at(i).position(first)
}

fn moved(s: u32, by: i64) -> u32 {
    (i64::from(s) + by).rem_euclid(PRIME_Q.into()) as u32
}

fn without_a_model() -> Vec<Attack> {
    let noise = |p: usize| (p as u32).wrapping_mul(2_654_435_761) % PRIME_Q;
    vec![
        sketches("all sketches zero", 5, |_, s| s.fill(0)).known(1),
        sketches("all sketches the largest", 5, |_, s| s.fill(PRIME_Q - 1)).known(1),
        sketches("sketches at random", 0, |_, s| s.iter_mut().enumerate().for_each(|(p, s)| *s = noise(p))),
        sketches("sketch of a residue outside [0, Q)", 5, |_, s| s[200] += PRIME_Q).known(1),
        sketches("sketches of another member", 4, |f, s| s.clone_from(&f.file.inferences[7].commit.s_vals)),
        sketches("sketches one position late", 11, |_, s| s.rotate_right(1)),
    ]
}

fn close() -> Vec<Attack> {
    vec![
        sketches("a sketch 1 higher", 5, |_, s| s[200] = moved(s[200], 1)).inexact(),
        sketches("a sketch 1 lower", 5, |_, s| s[201] = moved(s[201], -1)).inexact(),
        sketches("a sketch 3 higher", 5, |_, s| s[200] = moved(s[200], 3)).inexact(),
        sketches("a sketch 3 lower", 0, |_, s| s[200] = moved(s[200], -3)).inexact(),
        sketches("a sketch 4 higher", 5, |_, s| s[200] = moved(s[200], 4)),
        sketches("a sketch 4 lower", 11, |_, s| s[200] = moved(s[200], -4)),
        sketches("two sketches, 2 and then 1000 off", 5, |_, s| {
            (s[7], s[9]) = (moved(s[7], 2), moved(s[9], 1000));
        })
        .inexact(),
        sketches("two sketches, 1000 and then 2 off", 5, |_, s| {
            (s[7], s[9]) = (moved(s[7], 1000), moved(s[9], 2));
        }),
    ]
}

/// Every position counts, whatever a challenge would have opened.
fn everywhere() -> Vec<Attack> {
    let start = world().assignment().problem(1).expect("a problem").prompt.len();
    let last = world().honest.inferences[5].commit.tokens.len() - 1;
    let row = |name: &str, p: usize| sketches(name, 5, |_, s| s[p] = moved(s[p], 4)).known(19);
    let mut rows = vec![
        row("first sketch of the prompt", 0),
        row("last sketch of the prompt", start - 1),
        row("first sketch of the completion", start),
        row("last sketch", last),
    ];
    let unopened = |tokens: &[u32]| {
        let opened = open_indices(tokens, &crate::spot::CHALLENGE, tokens.len(), 16).expect("positions");
        (start..tokens.len()).find(|p| !opened.contains(p)).expect("16 positions are not all")
    };
    rows.push(row("a sketch that the spot check does not open", unopened(&world().honest.inferences[5].commit.tokens)));
    rows
}

/// The right tokens under the right randomness, run through another model.
fn of_other_models() -> Vec<Attack> {
    let row = |name, checkpoint: Checkpoint| {
        sketches(name, 5, |f, s| {
            let projection = f.assignment.projection().expect("an allowed width");
            let (prompt, completion) = (f.problem(5).prompt, f.completion(5));
            *s = Model::new(checkpoint).score_one(&prompt, &completion, f.seed(5), &projection).sketches;
        })
    };
    vec![
        row("a model with one weight one bf16 step away", one_weight_one_step()),
        row("the model with weights rounded to int8", rounded_to_int8()),
    ]
}

/// The right model, projected on another r.
fn under_other_randomness() -> Vec<Attack> {
    let account = world().signer.account();
    let next = *world().protocol.assignment(&world().next_head(), account).r_w();
    let row = |name, randomness: [u8; 32]| {
        sketches(name, 5, |f, s| {
            let r = random_vector(&randomness, 256).expect("an allowed width");
            let (prompt, completion) = (f.problem(5).prompt, f.completion(5));
            *s = crate::model::model().score_one(&prompt, &completion, f.seed(5), &r).sketches;
        })
        .known(4)
    };
    vec![
        row("sketches under the next window's randomness", next),
        row("sketches under the bare beacon", world().head.beacon_randomness),
        row("sketches under randomness of the miner's choice", [0; 32]),
    ]
}
