//! Tokens that the honest sampler does not emit, and log-probabilities that are not the model's.
//!
//! Sketches and log-probabilities are the honest model's on the forged tokens, and rewards and advantages fit.

use grail_engine::types::{Sampling, Seed};
use grail_protocol::verify::RuleId::{Logprobs, Replay};
use grail_protocol::window::Claim;

use crate::attack::Attack;
use crate::forge::{Forger, sample};
use crate::model::model;
use crate::world::{EOS, other_signer, world};

pub fn attacks() -> Vec<Attack> {
    [other_samplers(), other_seeds(), edited(), logprobs(), vec![without_penalty()]].into_iter().flatten().collect()
}

/// Found at the first token that differs, in the first rollout that has one.
fn replay(name: &str, lie: impl FnOnce(&mut Forger)) -> Attack {
    let mut found = None;
    let attack = Attack::new(Replay, name, |f| {
        lie(f);
        found = (0..f.file.inferences.len()).find_map(|i| Some((i, f.first_difference(i)?)));
    });
    let (rollout, position) = found.unwrap_or_else(|| panic!("{name}: the honest tokens"));
    attack.at(rollout).position(position)
}

/// Samples group 1 with the right seeds and other parameters.
fn other_samplers() -> Vec<Attack> {
    let honest = Sampling::default();
    let row = |name, sampling: Sampling| {
        replay(name, |f| {
            let seeds: Vec<Seed> = (4..8).map(|i| f.seed(i)).collect();
            let completions = sample(&f.problem(4).prompt, &seeds, sampling, 80);
            (4..8).zip(completions).for_each(|(i, completion)| f.complete(i, &completion));
        })
    };
    vec![
        row("greedy decoding", Sampling { temperature: 0.0, ..honest }),
        row("temperature 1.5", Sampling { temperature: 1.5, ..honest }),
        row("temperature 0.5", Sampling { temperature: 0.5, ..honest }),
        row("top_p 0.5", Sampling { top_p: 0.5, ..honest }),
        row("top_p off, temperature 2", Sampling { top_p: 1.0, temperature: 2.0, ..honest }),
        row("top_k 1", Sampling { top_k: 1, ..honest }),
        row("top_k 2", Sampling { top_k: 2, ..honest }),
        row("repetition penalty 0.7", Sampling { repetition_penalty: 0.7, ..honest }),
    ]
}

fn other_seeds() -> Vec<Attack> {
    let row = |name, i, seed: &dyn Fn(&Forger) -> Seed| {
        replay(name, |f| {
            let completion = sample(&f.problem(i).prompt, &[seed(f)], Sampling::default(), 80).remove(0);
            f.complete(i, &completion);
        })
    };
    let others = world().protocol.assignment(&world().head, other_signer().account());
    let next = world().protocol.assignment(&world().next_head(), world().signer.account());
    vec![
        row("a seed of the miner's choice", 4, &|_| Seed([0; 32])),
        row("seed of the next member", 4, &|f| f.seed(5)),
        row("seed of the same member in the next group", 4, &|f| f.seed(8)),
        row("seed of another account", 4, &|_| others.seed(1, 0)),
        row("seed of the next window", 4, &|_| next.seed(1, 0)),
        replay("the best of eight seeds", best_of_eight),
        replay("another member's rollout copied", |f| {
            let completion = f.completion(5);
            f.complete(4, &completion);
        }),
    ]
}

/// A failed rollout made a solved one by trying.
fn best_of_eight(f: &mut Forger) {
    let (problem, seeds) = (f.problem(4), (0..8).map(|i| Seed([i; 32])).collect::<Vec<_>>());
    let reward = |completion: &[u32]| f.assignment.judge(&problem, completion).reward.total;
    let completions = sample(&problem.prompt, &seeds, Sampling::default(), 80);
    let best = completions.into_iter().max_by(|a, b| reward(a).total_cmp(&reward(b))).expect("eight");
    assert!(reward(&best) > reward(&f.completion(4)), "trying pays");
    f.complete(4, &best);
}

fn edited() -> Vec<Attack> {
    let row = |name, i, edit: &dyn Fn(&Forger, Vec<u32>) -> Vec<u32>| {
        replay(name, |f| {
            let completion = edit(f, f.completion(i));
            f.complete(i, &completion);
        })
    };
    let change =
        |tokens: &[u32], from: usize| (from..).find(|&p| tokens[p] != tokens[p + 1]).expect("not all tokens are equal");
    vec![
        row("a token edited", 5, &|_, mut t| {
            t[30] = t[30].wrapping_add(1);
            t
        }),
        row("a token edited, sampled on honestly", 5, &|f, t| {
            let head = [&t[..30], &[t[30] + 1]].concat();
            let prompt = [&f.problem(5).prompt[..], &head].concat();
            let rest = sample(&prompt, &[f.seed(5)], Sampling::default(), 80 - head.len()).remove(0);
            [head, rest].concat()
        }),
        row("first token edited", 0, &|_, mut t| {
            t[0] += 1;
            t
        }),
        row("the last token made eos", 11, &|_, mut t| {
            t[79] = EOS;
            t
        }),
        row("a token dropped", 5, &|_, mut t| {
            t.remove(change(&t, 20));
            t
        }),
        row("a token put in", 5, &|_, mut t| {
            t.insert(20, t[20] + 1);
            t
        }),
        row("two tokens in the other order", 5, &|_, mut t| {
            let p = change(&t, 20);
            t.swap(p, p + 1);
            t
        }),
        row("eos at once", 4, &|_, _| vec![EOS]),
    ]
}

/// Log-probabilities of entry 5 under other parameters, where those give the same tokens.
fn without_penalty() -> Attack {
    let f = Forger::new();
    let (prompt, seed) = (f.problem(5).prompt, f.seed(5));
    let sampling = Sampling { repetition_penalty: 1.0, ..Sampling::default() };
    assert_eq!(sample(&prompt, &[seed], sampling, 80), [f.completion(5)], "the tokens alone do not show it");
    let other = model().score_under(sampling, &prompt, &f.completion(5), seed, &[]).sampling_logprobs;
    let honest = &world().honest.inferences[5].commit.rollout.token_logprobs[prompt.len()..];
    let first = (0..other.len()).find(|&p| other[p].to_bits() != honest[p].to_bits()).expect("other values");
    let lie = |f: &mut Forger| {
        f.resigned(5, |e| e.commit.rollout.token_logprobs[prompt.len()..].copy_from_slice(&other));
    };
    Attack::new(Logprobs, "log-probabilities without repetition penalty", lie).at(5).position(prompt.len() + first)
}

fn logprobs() -> Vec<Attack> {
    let start = world().assignment().problem(1).expect("a problem").prompt.len();
    let last = world().honest.inferences[5].commit.tokens.len() - 1;
    let row = |name, i, position, lie: &dyn Fn(&mut Claim)| {
        Attack::new(Logprobs, name, |f| f.resigned(i, |e| lie(&mut e.commit.rollout))).at(i).position(position)
    };
    let one_bit = |x: &mut f32| *x = f32::from_bits(x.to_bits() ^ 1);
    let claim = &world().honest.inferences[5].commit.rollout;
    let lists = || claim.raw_token_logprobs.iter().zip(&claim.token_logprobs);
    let apart = lists().position(|(raw, sampling)| raw.to_bits() != sampling.to_bits()).expect("two distributions");
    let nonzero = claim.token_logprobs.iter().position(|x| x.to_bits() != 0).expect("not all certain");
    vec![
        row("raw log-probability one bit off", 5, start, &|c| one_bit(&mut c.raw_token_logprobs[start])),
        row("sampling log-probability one bit off", 5, start, &|c| one_bit(&mut c.token_logprobs[start])),
        row("last raw log-probability one bit off", 5, last, &|c| one_bit(&mut c.raw_token_logprobs[last])),
        row("last sampling log-probability one bit off", 5, last, &|c| one_bit(&mut c.token_logprobs[last])),
        row("raw log-probability in the prompt", 5, 3, &|c| c.raw_token_logprobs[3] = -1.0),
        row("sampling log-probability in the prompt", 5, start - 1, &|c| c.token_logprobs[start - 1] = -1.0),
        row("-0.0 in the prompt, sampling", 0, 0, &|c| c.token_logprobs[0] = -0.0),
        row("-0.0 in the prompt, raw", 11, 7, &|c| c.raw_token_logprobs[7] = -0.0),
        row("the two lists swapped", 5, apart, &|c| std::mem::swap(&mut c.raw_token_logprobs, &mut c.token_logprobs)),
        row("all sampling log-probabilities 0", 5, nonzero, &|c| c.token_logprobs.fill(0.0)),
        row("both lists wrong: the lower position", 5, start + 2, &|c| {
            one_bit(&mut c.token_logprobs[start + 9]);
            one_bit(&mut c.raw_token_logprobs[start + 2]);
        }),
    ]
}
