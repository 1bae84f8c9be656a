//! Lies about what came of a rollout.

use grail_protocol::advantages::advantages;
use grail_protocol::verify::RuleId::{Advantage, Reward};
use grail_protocol::window::Claim;

use crate::attack::Attack;
use crate::world::world;

pub fn attacks() -> Vec<Attack> {
    [rewards(), all_advantages()].into_iter().flatten().collect()
}

/// Entry 4 has a well formed answer that does not solve its problem, entry 5 solves it.
fn rewards() -> Vec<Attack> {
    let row = |name, i: usize, lie: &dyn Fn(&mut Claim)| {
        Attack::new(Reward, name, |f| lie(&mut f.entry(i).commit.rollout)).at(i).known(11)
    };
    let solved = world().honest.inferences[5].commit.rollout.clone();
    assert!(solved.success && !world().honest.inferences[4].commit.rollout.success);
    let one_bit = |x: f64| f64::from_bits(x.to_bits() + 1);
    vec![
        row("the answer of a solver in place of the own", 4, &|c| {
            c.answer.clone_from(&solved.answer);
            c.trajectory.clone_from(&solved.trajectory);
            (c.success, c.total_reward) = (true, solved.total_reward);
        }),
        row("success claimed", 4, &|c| c.success = true),
        row("success denied", 5, &|c| c.success = false),
        row("assignment of a solver", 4, &|c| c.answer[0].clone_from(&solved.answer[0])),
        row("assignment of nothing", 11, &|c| c.answer[0] = "[]".into()),
        row("satisfied_clauses of a solution", 4, &|c| c.answer[1].clone_from(&solved.answer[1])),
        row("total_reward of a solution", 4, &|c| c.total_reward = solved.total_reward),
        row("total_reward one bit off", 0, &|c| c.total_reward = one_bit(c.total_reward)),
        row("total_reward without bound", 4, &|c| c.total_reward = f64::INFINITY).known(16),
        row("total_reward that is no number", 4, &|c| c.total_reward = f64::NAN).known(16),
        row("trajectory of a solution", 4, &|c| c.trajectory.clone_from(&solved.trajectory)),
        row("trajectory from step 1", 5, &|c| c.trajectory = c.trajectory.replacen("[[0,", "[[1,", 1)),
        row("trajectory of two steps", 5, &|c| {
            c.trajectory = format!("[{0},{0}]", &c.trajectory[1..c.trajectory.len() - 1])
        }),
        row("no trajectory", 11, &|c| c.trajectory = "[]".into()),
    ]
}

fn all_advantages() -> Vec<Attack> {
    let row = |name, i: usize, advantage: &dyn Fn(f64) -> f64| {
        let lie = |c: &mut Claim| c.advantage = advantage(c.advantage);
        Attack::new(Advantage, name, |f| lie(&mut f.entry(i).commit.rollout)).at(i).known(11)
    };
    let inflated = advantages(&[1.0, 0.0, 0.0, 0.0]);
    vec![
        row("advantage one bit off", 4, &|a| f64::from_bits(a.to_bits() + 1)),
        row("advantage of the other sign", 5, &|a| -a),
        row("advantage -0.0 in a group of equals", 8, &|_| -0.0),
        row("advantage without bound", 11, &|_| f64::INFINITY),
        Attack::new(Advantage, "the group's advantages as if one had failed less", |f| {
            (4..8).zip(&inflated).for_each(|(i, &a)| f.entry(i).commit.rollout.advantage = a);
        })
        .at(4)
        .known(11),
    ]
}
