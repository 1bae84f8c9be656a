//! One file under verification: what has been derived of it, and what has been found.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use grail_engine::types::{Completion, Failure, Score, ScoreGroup, ScoreRequest};
use grail_engine::{Fault, Scored as Scores};

use super::rules::EntryRule;
use super::verdict::{Outcome, Reason, RolloutVerdict, Verdict};
use super::{Scorer, Trouble, file};
use crate::advantages::advantages;
use crate::assignment::{Assignment, Judgement, Problem};
use crate::environment::Environment;
use crate::window::{Inference, WindowFile};
use crate::{Error, Hash};

/// What the model says of a rollout.
pub(super) type Scored = Result<Score, Fault>;

/// Which rollout an entry is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub index: u64,
    pub rollout: u32,
}

pub(super) struct Case<'a, E: Environment> {
    pub assignment: &'a Assignment<'a, E>,
    file: &'a WindowFile,
    /// Entries of each group.
    pub runs: Vec<Range<usize>>,
    places: Vec<Place>,
    problems: BTreeMap<u64, Problem<E::Problem>>,
    /// What opens positions in a spot check.
    pub challenge: Option<Hash>,
    /// Per entry; none where it was not scored.
    pub scores: Vec<Option<Scored>>,
    /// Per entry; none where its group was not checked.
    pub judgements: Vec<Option<Judgement>>,
    pub advantages: Vec<Option<f64>>,
    /// The first reason of each entry.
    reasons: Vec<Option<Reason>>,
    /// The first reason of all.
    deciding: Option<Reason>,
}

impl<'a, E: Environment> Case<'a, E> {
    /// Derives the problems. The rules about the file have passed, so the numbers in it are places.
    pub fn new(
        assignment: &'a Assignment<'a, E>,
        file: &'a WindowFile,
        challenge: Option<Hash>,
    ) -> Result<Self, Trouble> {
        let entries = file.inferences.len();
        let places: Vec<Place> = file.inferences.iter().map(place).collect::<Result<_, _>>()?;
        let mut problems = BTreeMap::new();
        for index in places.iter().map(|p| p.index).collect::<BTreeSet<u64>>() {
            problems.insert(index, assignment.problem(index)?);
        }
        Ok(Self {
            assignment,
            file,
            runs: file::runs(file).collect(),
            places,
            problems,
            challenge,
            scores: vec![None; entries],
            judgements: vec![None; entries],
            advantages: vec![None; entries],
            reasons: vec![None; entries],
            deciding: None,
        })
    }

    pub fn entry(&self, i: usize) -> &Inference {
        &self.file.inferences[i]
    }

    pub fn place(&self, i: usize) -> Place {
        self.places[i]
    }

    pub fn problem(&self, i: usize) -> &Problem<E::Problem> {
        &self.problems[&self.places[i].index]
    }

    /// Asks a rule of every entry that has no reason yet; whether it found any.
    pub fn apply(&mut self, rule: EntryRule<E>) -> bool {
        let asked: Vec<usize> = (0..self.reasons.len()).filter(|&i| self.reasons[i].is_none()).collect();
        let mut found = self.ask(rule, &asked);
        found.sort_unstable_by_key(|&(i, _)| i);
        if self.deciding.is_none() {
            self.deciding = found.first().map(|(_, reason)| reason.clone());
        }
        let found_any = !found.is_empty();
        for (i, reason) in found {
            self.reasons[i] = Some(reason);
        }
        found_any
    }

    /// On every core: signatures are most of the work without the model.
    fn ask(&self, rule: EntryRule<E>, asked: &[usize]) -> Vec<(usize, Reason)> {
        let of = |part: &[usize]| -> Vec<(usize, Reason)> {
            part.iter().filter_map(|&i| Some((i, rule(self, i)?))).collect()
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let part = asked.len().div_ceil(threads).max(16);
        std::thread::scope(|scope| {
            let workers: Vec<_> = asked.chunks(part).map(|part| scope.spawn(move || of(part))).collect();
            let join = |worker: std::thread::ScopedJoinHandle<'_, _>| worker.join().expect("rules do not panic");
            workers.into_iter().flat_map(join).collect()
        })
    }

    /// Runs the model over the rollouts of some groups that have no reason yet, and rewards them.
    pub fn score(&mut self, checked: &[usize], scorer: &mut Scorer<'_>) -> Result<(), Trouble> {
        let (mut groups, mut entries) = (Vec::new(), Vec::new());
        for &place in checked {
            let run = self.runs[place].clone();
            let live = run.clone().filter(|&i| self.reasons[i].is_none());
            self.add_groups(live, &mut groups, &mut entries);
            self.reward(run);
        }
        let projection = self.assignment.projection()?;
        let sampling = self.assignment.protocol().sampling();
        let request = ScoreRequest { groups: &groups, sampling, projection: &projection };
        let results = scorer(&request)?;
        check_results(&groups, &results)?;
        for (entries, results) in entries.iter().zip(results) {
            for (&i, result) in entries.iter().zip(results) {
                self.scores[i] = Some(match result {
                    Ok(score) => Ok(score),
                    Err(Failure::Fault(fault)) => Err(fault),
                    Err(Failure::Cancelled) => return Err(Trouble::Cancelled),
                });
            }
        }
        Ok(())
    }

    /// Rollouts with the same prompt share it. The prompt is the file's own, which a rule has compared.
    fn add_groups(
        &self,
        live: impl Iterator<Item = usize>,
        groups: &mut Vec<ScoreGroup>,
        entries: &mut Vec<Vec<usize>>,
    ) {
        let first = groups.len();
        for i in live {
            let start = self.problem(i).prompt.len();
            let tokens = &self.entry(i).commit.tokens;
            let (prompt, tokens) = tokens.split_at(start.min(tokens.len()));
            let completion = Completion { tokens: tokens.to_vec(), seed: self.seed(i) };
            match groups.get_mut(first..).and_then(<[ScoreGroup]>::last_mut).filter(|g| g.prompt == prompt) {
                Some(group) => group.completions.push(completion),
                None => {
                    groups.push(ScoreGroup { prompt: prompt.to_vec(), completions: vec![completion] });
                    entries.push(Vec::new());
                }
            }
            entries.last_mut().expect("one list per group").push(i);
        }
    }

    fn seed(&self, i: usize) -> grail_engine::types::Seed {
        let Place { index, rollout } = self.places[i];
        self.assignment.seed(index, rollout)
    }

    /// Rewards and advantages of a group, from its tokens alone.
    fn reward(&mut self, run: Range<usize>) {
        let judge = |i: usize| {
            let problem = self.problem(i);
            let completion = self.entry(i).commit.tokens.get(problem.prompt.len()..).unwrap_or_default();
            self.assignment.judge(problem, completion)
        };
        let judged: Vec<Judgement> = run.clone().map(judge).collect();
        let rewards: Vec<f64> = judged.iter().map(|j| j.reward.total).collect();
        for ((i, judgement), advantage) in run.zip(judged).zip(advantages(&rewards)) {
            self.judgements[i] = Some(judgement);
            self.advantages[i] = Some(advantage);
        }
    }

    /// What has been found, as a verdict.
    pub fn verdict(self, checked: Vec<usize>) -> Verdict {
        let outcome = self.deciding.as_ref().map_or(Outcome::Valid, |reason| reason.kind.outcome());
        let is_checked = |i: usize| checked.iter().any(|&group| self.runs[group].contains(&i));
        let rollout = |i: usize| {
            let judgement = self.judgements[i].as_ref();
            let reward = judgement.map(|j| (j.reward.success, j.reward.total));
            RolloutVerdict { is_checked: is_checked(i), reason: self.reasons[i].clone(), reward }
        };
        let rollouts: Vec<RolloutVerdict> = (0..self.reasons.len()).map(rollout).collect();
        let solved = |(i, judgement): (usize, &Option<Judgement>)| {
            let judgement = judgement.as_ref().filter(|j| j.reward.success && outcome == Outcome::Valid)?;
            Some((self.places[i].index, judgement.answer.first().cloned()))
        };
        let solved: Vec<_> = self.judgements.iter().enumerate().filter_map(solved).collect();
        Verdict {
            outcome,
            reason: self.deciding,
            groups: self.runs.len(),
            successful: solved.len(),
            distinct: solved.into_iter().collect::<BTreeSet<_>>().len(),
            checked,
            rollouts,
        }
    }
}

/// A rollout without a score would pass every rule about scores.
fn check_results(groups: &[ScoreGroup], results: &Scores) -> Result<(), Trouble> {
    let differ = |group, what: &str, expected: usize, found: usize| {
        if expected == found {
            return Ok(());
        }
        Err(Trouble::Scores { group, problem: format!("{found} {what}, expected {expected}") })
    };
    differ(results.len(), "groups", groups.len(), results.len())?;
    for (i, (group, results)) in groups.iter().zip(results).enumerate() {
        differ(i, "completions", group.completions.len(), results.len())?;
        for (completion, score) in group.completions.iter().zip(results) {
            let Ok(score) = score else { continue };
            let tokens = completion.tokens.len();
            differ(i, "sketches", group.prompt.len() + tokens, score.sketches.len())?;
            differ(i, "replayed tokens", tokens, score.honest.len())?;
            differ(i, "raw log-probabilities", tokens, score.raw_logprobs.len())?;
            differ(i, "sampling log-probabilities", tokens, score.sampling_logprobs.len())?;
        }
    }
    Ok(())
}

/// The numbers of an entry that has passed the rules about the file. Without those rules they may be no places.
fn place(entry: &Inference) -> Result<Place, Error> {
    let refused = |field| Error::range(field, "not the number of a rollout");
    let index = u64::try_from(entry.rollout_group).map_err(|_| refused("rollout_group"))?;
    let rollout = u32::try_from(entry.rollout_index).map_err(|_| refused("rollout_index"))?;
    Ok(Place { index, rollout })
}
