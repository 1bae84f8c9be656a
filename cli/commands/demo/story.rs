//! What happened, gathered from everybody's events, and the report that it makes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use grail_engine::tokenizer::Tokenizer;
use grail_protocol::AccountId;
use grail_protocol::ss58;

use super::cheater::Forged;
use crate::commands::subnet::words;
use crate::report::{
    CheckCommand, Difference, Edit, Entry, Fact, Outcome, Party, Report, Role, RolloutDetail, Token, TokenName,
    Verdict, Weight,
};
use crate::subnet::{Event, Judged, WindowWork};
use crate::terminal::{Paint, StatusLine};

/// Who takes part.
#[derive(Debug, Clone)]
pub struct Actor {
    pub name: &'static str,
    pub role: Role,
    pub account: AccountId,
}

/// Everything that was told so far.
pub struct Story {
    actors: Vec<Actor>,
    told: Mutex<Told>,
    is_quiet: bool,
}

struct Told {
    line: StatusLine,
    /// How far each actor is.
    progress: Vec<String>,
    work: BTreeMap<(usize, u64), WindowWork>,
    judged: BTreeMap<(usize, u64), Judged>,
    uids: BTreeMap<usize, u16>,
    missed: Vec<String>,
}

impl Story {
    pub fn new(actors: Vec<Actor>, is_quiet: bool) -> Self {
        let told = Told {
            line: StatusLine::stderr(),
            progress: vec![String::new(); actors.len()],
            work: BTreeMap::new(),
            judged: BTreeMap::new(),
            uids: BTreeMap::new(),
            missed: Vec::new(),
        };
        Self { actors, told: Mutex::new(told), is_quiet }
    }

    /// Hears of an event of one actor.
    pub fn hear(&self, actor: usize, event: &Event) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Working { window, groups, .. } => {
                told.progress[actor] = format!("{} {groups} groups of window {window}", self.actors[actor].name);
                let parts: Vec<String> = told.progress.iter().filter(|text| !text.is_empty()).cloned().collect();
                if !self.is_quiet {
                    told.line.show(|| parts.join(", "));
                }
                return;
            }
            Event::WindowClosed(work) => {
                told.work.insert((actor, work.window), work.clone());
            }
            Event::WindowMissed { window, why } | Event::WeightsNotSet { window, why } => {
                told.missed.push(format!("{}, window {window}: {why}", self.actors[actor].name));
            }
            Event::Judged(judged) => {
                if let Some(i) = self.actors.iter().position(|actor| actor.account == judged.hotkey) {
                    told.uids.insert(i, judged.uid);
                }
                // The validator itself has nothing to judge.
                let Some(miner) = self.miner(&judged.hotkey) else { return };
                told.judged.insert((miner, judged.window), judged.clone());
            }
            _ => {}
        }
        if !self.is_quiet && !matches!(event, Event::WindowBegun { .. } | Event::WindowPublished { .. }) {
            told.line.clear();
            let name = match event {
                Event::Judged(judged) => self.miner(&judged.hotkey).map_or("", |miner| self.actors[miner].name),
                _ => self.actors[actor].name,
            };
            let paint = Paint::stdout();
            println!("{} {}", paint.bold(format!("{name:<10}")), words(event, paint));
        }
    }

    fn miner(&self, account: &AccountId) -> Option<usize> {
        self.actors.iter().position(|actor| actor.role != Role::Validator && actor.account == *account)
    }

    /// What went wrong for honest actors.
    pub fn missed(&self) -> Vec<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).missed.clone()
    }

    /// The report.
    pub fn report(&self, facts: Vec<Fact>, weights: &[(u16, u16)], forged: &[Forged], tokenizer: &Tokenizer) -> Report {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let parties = self.actors.iter().enumerate().map(|(i, actor)| Party {
            name: actor.name.to_owned(),
            hotkey: ss58::encode(&actor.account),
            uid: told.uids.get(&i).copied(),
            role: actor.role,
            entries: entries(&told, i),
        });
        let parties: Vec<Party> = parties.collect();
        let named = parties.iter().filter(|party| party.role != Role::Validator).filter_map(|party| {
            let uid = party.uid?;
            let raw = weights.iter().find(|(other, _)| *other == uid).map_or(0, |(_, raw)| *raw);
            Some((uid, party.name.clone(), raw))
        });
        let weights = Weight::shared(named);
        let rollout = forged.iter().find_map(|forged| detail(&told, &self.actors, forged, tokenizer));
        Report {
            title: "grail demo: a subnet in one process".into(),
            facts,
            parties,
            weights,
            rollout,
            commands: commands(),
        }
    }
}

fn entries(told: &Told, actor: usize) -> Vec<Entry> {
    let windows = told.work.range((actor, 0)..=(actor, u64::MAX));
    let entry = |(key, work): (&(usize, u64), &WindowWork)| {
        let judged = told.judged.get(key);
        Entry {
            window: work.window,
            groups: work.groups,
            rollouts: work.rollouts,
            solved: work.solved,
            completion_tokens: work.generated_tokens,
            generation_seconds: work.generation_s,
            rewards: work.rewards.clone(),
            verdict: judged.map(verdict),
            checked_groups: judged.map_or(0, |judged| judged.checked),
            verified_tokens: judged.map_or(0, |judged| judged.scored_tokens),
            verification_seconds: judged.map_or(0.0, |judged| judged.scoring_s),
        }
    };
    windows.map(entry).collect()
}

fn verdict(judged: &Judged) -> Verdict {
    let outcome = match judged.outcome {
        "valid" => Outcome::Valid,
        "void" => Outcome::Void,
        "fraud" => Outcome::Fraud,
        _ => Outcome::NoVerdict,
    };
    Verdict { outcome, reason: judged.reason.as_ref().map(Into::into) }
}

/// The forged rollout, and where the validator found the lie.
fn detail(told: &Told, actors: &[Actor], forged: &Forged, tokenizer: &Tokenizer) -> Option<RolloutDetail> {
    let cheater = actors.iter().position(|actor| actor.role == Role::Cheater)?;
    let reason = told.judged.get(&(cheater, forged.window))?.reason.as_ref()?;
    let (commit, edit) = (&forged.entry.commit, forged.edit);
    let start = usize::try_from(commit.rollout.prompt_length).ok()?;
    let text = |id: u32| tokenizer.decode(&[id], false);
    let token = |position: usize| Token {
        text: text(commit.tokens[position]),
        id: commit.tokens[position],
        logprob: commit.rollout.token_logprobs[position],
        raw_logprob: commit.rollout.raw_token_logprobs[position],
        sketch: commit.s_vals[position],
        derived_sketch: None,
    };
    let difference = reason.position.filter(|_| reason.rollout == Some(edit.rollout)).map(|position| Difference {
        position,
        field: reason.field.clone(),
        expected: reason.expected.clone(),
        found: reason.found.clone(),
    });
    Some(RolloutDetail {
        party: actors[cheater].name.to_owned(),
        window: forged.window,
        problem: u64::try_from(forged.entry.rollout_group).ok()?,
        difficulty: format!("{:.2}", forged.entry.difficulty),
        prompt: tokenizer.decode(&commit.tokens[..start], false),
        prompt_tokens: start,
        completion: (start..commit.tokens.len()).map(token).collect(),
        reward: commit.rollout.total_reward,
        success: commit.rollout.success,
        edit: Some(Edit {
            position: edit.position,
            original: TokenName { text: text(edit.original), id: edit.original },
            claimed: TokenName { text: text(edit.claimed), id: edit.claimed },
            difference,
        }),
    })
}

fn commands() -> Vec<CheckCommand> {
    let of = |command: &str, shows: &str| CheckCommand { command: command.into(), shows: shows.into() };
    vec![
        of("grail demo", "this again, with other windows: another beacon asks other problems"),
        of("grail localnet & grail mine & grail validate", "the same as processes of their own"),
        of(
            "grail rollouts --problems 3 --out w.json.gz && grail verify w.json.gz",
            "a window file made and judged, bit by bit",
        ),
        of("grail inspect w.json.gz --rollout 5", "one rollout with its log-probabilities and sketches"),
    ]
}
