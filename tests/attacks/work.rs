//! Lies about what had to be done: which groups, which problem, which prompt, and where a completion ends.

use grail::environment::Environment;
use grail::sat::Sat;
use grail_protocol::json::{Style, Value};
use grail_protocol::verify::RuleId::{Groups, Indices, Length, Problem, Prompt};
use grail_protocol::window::{Claim, Inference};

use crate::attack::Attack;
use crate::forge::{Forger, sample, sample_on};
use crate::model::model;
use crate::world::{EOS, SatProblem, mine, world};

pub fn attacks() -> Vec<Attack> {
    [indices(), groups(), problems(), prompts(), endings(), lengths()].into_iter().flatten().collect()
}

fn indices() -> Vec<Attack> {
    let row = |name, rollout, lie: &dyn Fn(&mut Forger)| Attack::new(Indices, name, lie).at(rollout);
    vec![
        row("group 1 left out", 4, &|f| drop(f.file.inferences.drain(4..8))),
        row("group 0 left out", 0, &|f| drop(f.file.inferences.drain(0..4))),
        row("groups 0, 2, 1", 4, &|f| f.file.inferences[4..].rotate_left(4)),
        row("groups 0, 1, 0: a group counted twice", 8, &|f| {
            let again = f.file.inferences[..4].to_vec();
            f.file.inferences.splice(8.., again);
        }),
        row("a problem of the miner's choice at the end", 8, &|f| {
            let chosen = mine(&f.assignment, &[7], &world().signer);
            f.file.inferences.splice(8.., chosen);
        })
        .known(12),
    ]
}

fn groups() -> Vec<Attack> {
    let row = |name, rollout, lie: &dyn Fn(&mut Forger)| Attack::new(Groups, name, lie).at(rollout);
    vec![
        row("last member left out", 8, &|f| {
            f.file.inferences.pop();
            f.settle(8);
        }),
        row("a failed member left out in the middle", 4, &|f| {
            f.file.inferences.remove(4);
            f.settle(4);
        }),
        row("a member too many", 4, &|f| {
            let mut fifth = f.file.inferences[7].clone();
            fifth.rollout_index = 4;
            fifth.nonce = f.assignment.nonce(1, 4) as i128;
            fifth.challenge = f.assignment.challenge(&f.problem(4), 4);
            f.file.inferences.insert(8, fifth);
            let completion =
                sample(&f.problem(8).prompt, &[f.seed(8)], f.assignment.protocol().sampling(), 80).remove(0);
            f.complete(8, &completion);
        }),
        row("members swapped", 4, &|f| {
            f.file.inferences.swap(5, 6);
            f.settle(4);
        }),
        row("a solved member in the place of a failed one", 4, &|f| {
            f.file.inferences[4] = f.file.inferences[5].clone();
            f.settle(4);
        }),
    ]
}

fn problems() -> Vec<Attack> {
    let row = |name, i: usize, lie: &dyn Fn(&mut Inference)| Attack::new(Problem, name, |f| lie(f.entry(i))).at(i);
    let easier = easier();
    let other_clauses = world().assignment().problem(0).expect("a problem").statement[0].clone();
    vec![
        row("difficulty 0 beside the proof", 5, &|e| e.difficulty = 0.0).known(12),
        row("difficulty 0 in the proof", 5, &|e| e.commit.problem.difficulty = 0.0).known(12),
        row("difficulty one bit off", 0, &|e| e.difficulty = f64::from_bits(e.difficulty.to_bits() + 1)),
        row("an easier problem stated", 5, &|e| {
            (e.difficulty, e.commit.problem.difficulty) = (easier.difficulty, easier.difficulty);
            e.commit.problem.fields.clone_from(&easier.statement);
        })
        .known(12),
        row("seed text of the miner's choice", 5, &|e| e.sat_seed.push('0')).known(12),
        row("seed text in the proof", 5, &|e| e.commit.problem.seed.push('0')).known(12),
        row("a ground nonce", 11, &|e| e.nonce = 1234).known(12),
        row("nonce beyond any", 11, &|e| e.nonce = i128::MIN).known(16),
        row("total_in_group 5", 11, &|e| e.total_in_group = 5),
        row("challenge text altered", 5, &|e| e.challenge.push(' ')).known(7),
        row("clauses of another problem", 4, &|e| e.commit.problem.fields[0].clone_from(&other_clauses)),
        row("a variable more", 4, &|e| e.commit.problem.fields[1].push('0')),
    ]
}

/// The instance that the problem's seed text gives at the lowest difficulty.
fn easier() -> SatProblem {
    let mut problem = world().assignment().problem(1).expect("a problem");
    let instance = Sat.problem(&problem.seed_text, 0.31).expect("an instance");
    let text = |value: &Value| value.to_text(Style::Canonical);
    problem.statement = Sat.statement(&instance).iter().map(text).collect();
    problem.difficulty = 0.31;
    problem
}

fn prompts() -> Vec<Attack> {
    let own = world().assignment().problem(1).expect("a problem").prompt;
    let (first, last) = ([&[own[0] ^ 1], &own[1..]].concat(), own.len() - 1);
    let ending = [&own[..last], &[own[last] ^ 1]].concat();
    let row = |name, i, prompt: &[u32]| {
        let position = (0..own.len()).find(|&p| own[p] != prompt[p]).expect("another prompt");
        Attack::new(Prompt, name, |f| on_prompt(f, i, prompt)).at(i).position(position)
    };
    let foreign = foreign_prompt(&own);
    let easy = easy_prompt();
    vec![
        row("another problem's prompt, answered and proven honestly", 5, &foreign).known(10),
        row("one clause in every clause's place", 5, &easy).known(12),
        row("first prompt token another", 7, &first).known(10),
        row("last prompt token another", 4, &ending).known(10),
        row("a prompt of nothing", 4, &vec![own[0]; own.len()]).known(10),
    ]
}

/// Answers a prompt in the place of the own one as the honest sampler does.
fn on_prompt(f: &mut Forger, i: usize, prompt: &[u32]) {
    let completion = sample(prompt, &[f.seed(i)], f.assignment.protocol().sampling(), 80).remove(0);
    f.claim(i, prompt, &completion);
}

/// The prompt of another problem of the window, as long as the own.
fn foreign_prompt(own: &[u32]) -> Vec<u32> {
    let prompt = |index| world().assignment().problem(index).expect("a problem").prompt;
    (3..200).map(prompt).find(|p| p.len() == own.len() && p != own).expect("one of many is as long")
}

/// The own prompt with its first clause in the place of every clause.
fn easy_prompt() -> Vec<u32> {
    let (problem, tokenizer) = (world().assignment().problem(1).expect("a problem"), world().protocol.tokenizer());
    let text = Sat.prompt(&problem.content, tokenizer.eos_token().expect("an eos token"));
    let is_clause = |line: &&str| line.starts_with("  (");
    let first = text.lines().find(is_clause).expect("clauses");
    let easy: Vec<&str> = text.split('\n').map(|line| if is_clause(&line) { first } else { line }).collect();
    let prompt = tokenizer.encode(&easy.join("\n")).expect("text");
    assert_eq!(prompt.len(), problem.prompt.len());
    prompt
}

/// Every lie here leaves each token what the honest sampler emits there.
fn endings() -> Vec<Attack> {
    let row = |name, i, lie: &dyn Fn(&Forger) -> Vec<u32>| {
        let lie = |f: &mut Forger| {
            let completion = lie(f);
            f.complete(i, &completion);
        };
        Attack::new(Length, name, lie).at(i)
    };
    let on = |f: &Forger, i, tokens| sample_on(&f.problem(i).prompt, f.seed(i), tokens);
    let before_eos = |f: &Forger| {
        let completion = f.completion(4);
        assert_eq!(completion.last(), Some(&EOS));
        completion.len() - 1
    };
    vec![
        row("stopped early", 4, &|f| f.completion(4)[..40].to_vec()).known(13),
        row("one token only", 9, &|f| f.completion(9)[..1].to_vec()).known(13),
        row("eos left off", 4, &|f| f.completion(4)[..before_eos(f)].to_vec()).known(13),
        row("no completion", 5, &|_| Vec::new()).known(13),
        row("one token after eos", 4, &|f| on(f, 4, before_eos(f) + 2)),
        row("on after eos up to the last allowed token", 5, &|f| on(f, 5, 80)),
        row("one token short of the last allowed", 8, &|f| on(f, 8, 79)),
        row("one token longer than allowed", 8, &|f| on(f, 8, 81)),
        row("twice as long as allowed", 11, &|f| on(f, 11, 160)),
    ]
}

fn lengths() -> Vec<Attack> {
    let row = |name, i: usize, lie: &dyn Fn(&mut Claim)| {
        Attack::new(Length, name, |f| lie(&mut f.entry(i).commit.rollout)).at(i).known(13)
    };
    vec![
        row("prompt_length one more", 5, &|c| c.prompt_length += 1),
        row("completion_length claims the cap", 5, &|c| c.completion_length = 80),
        row("completion_length 0", 5, &|c| c.completion_length = 0),
        row("a token moved from prompt to completion", 0, &|c| {
            (c.prompt_length, c.completion_length) = (c.prompt_length - 1, c.completion_length + 1);
        }),
        row("completion_length beyond any", 11, &|c| c.completion_length = i128::MAX),
    ]
}

/// The model behind these rows is the one that verifies.
#[test]
fn a_sampler_that_ignores_eos_agrees_with_the_honest_one_up_to_it() {
    let f = Forger::new();
    let honest = f.completion(4);
    let tokens = sample_on(&f.problem(4).prompt, f.seed(4), honest.len() + 3);
    assert_eq!(tokens[..honest.len()], honest);
    let projection = f.assignment.projection().expect("an allowed width");
    let score = model().score_one(&f.problem(4).prompt, &tokens, f.seed(4), &projection);
    assert_eq!(score.honest, tokens);
}
