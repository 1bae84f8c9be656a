//! Scoring: what the model says of given completions, by prefill alone.
//!
//! Prompts are shared within a group, completions are packed into full steps across groups, and logits are made
//! a tile of rows at a time for the positions a completion token follows.

use std::ops::ControlFlow;

use crate::backend::{Answer, Pass, Question, Reading, Row, Segment};
use crate::context::Context;
use crate::deal::{Deck, merge, on_each};
use crate::engine::Engine;
use crate::kv::CacheTable;
use crate::lane::Lane;
use crate::types::{Completion, Event, Failure, Observer, Progress, Score, ScoreRequest};
use crate::{Fault, FaultKind, Result};

/// Results by group and completion, as they were asked for.
pub type Scored = Vec<Vec<std::result::Result<Score, Failure>>>;

struct Prompt {
    group: usize,
    table: CacheTable,
    sketches: Vec<u32>,
    last: Vec<f32>,
    /// Pages of the prompt.
    pages: usize,
    next: usize,
    live: usize,
    /// Pages promised to the completion that may always start.
    guaranteed: usize,
}

/// A completion in work.
struct Claim {
    group: usize,
    index: usize,
    table: CacheTable,
    /// Every id of prompt and completion.
    context: Context,
    /// Pages promised to it.
    pages: usize,
    score: Score,
}

struct Run<'a> {
    engine: &'a mut Lane,
    request: &'a ScoreRequest<'a>,
    observer: &'a mut Observer<'a>,
    waiting: &'a Deck,
    prompts: Vec<Prompt>,
    claims: Vec<Claim>,
    results: Vec<Vec<Option<std::result::Result<Score, Failure>>>>,
    progress: Progress,
}

/// The first fault of each claim, and the prompts that have one.
type Faults = (Vec<Option<Fault>>, Vec<(usize, Fault)>);

/// Rows of a step: `count` of a prompt or a claim.
enum Rows {
    Prompt(usize, usize),
    Claim(usize, usize),
}

impl Engine {
    /// Scores every completion of every group. The observer hears [`Event::Step`] alone and may break off after it; what
    /// is not finished then is [`Failure::Cancelled`].
    ///
    /// # Errors
    /// [`crate::Error::Request`] naming the field, before any work; [`crate::Error::Memory`] when a prompt and one of its
    /// completions do not fit the budget. A numeric fault is no error here: it is its completion's result.
    pub fn score(&mut self, request: &ScoreRequest<'_>, observer: &mut Observer<'_>) -> Result<Scored> {
        self.lanes.iter().try_for_each(|lane| lane.check_score(request))?;
        let groups = (0..request.groups.len()).filter(|&g| !request.groups[g].completions.is_empty());
        let waiting = Deck::new(groups, self.lanes.len());
        let results = on_each(&mut self.lanes, observer, |lane, observer| lane.score(request, &waiting, observer))?;
        let finish = |r: Option<_>| r.unwrap_or(Err(Failure::Cancelled));
        Ok(merge(results).into_iter().map(|g| g.into_iter().map(finish).collect()).collect())
    }
}

/// Results of the groups that a lane took.
type Part = Vec<Vec<Option<std::result::Result<Score, Failure>>>>;

impl Lane {
    fn score(&mut self, request: &ScoreRequest<'_>, waiting: &Deck, observer: &mut Observer<'_>) -> Result<Part> {
        let total = request.groups.iter().map(|g| g.completions.len()).sum();
        let mut forward = |event: Event<'_>| observer(event);
        let mut run = Run {
            engine: self,
            request,
            observer: &mut forward,
            waiting,
            prompts: Vec::new(),
            claims: Vec::new(),
            results: request.groups.iter().map(|g| vec![None; g.completions.len()]).collect(),
            progress: Progress { total, ..Progress::default() },
        };
        let outcome = run.run();
        run.release_all();
        outcome.map(|()| run.results)
    }

    fn check_score(&self, request: &ScoreRequest<'_>) -> Result<()> {
        self.check_sampling(&request.sampling, request.projection)?;
        for (i, group) in request.groups.iter().enumerate() {
            self.check_tokens(&|| format!("groups[{i}].prompt"), &group.prompt)?;
            for (j, completion) in group.completions.iter().enumerate() {
                let field = || format!("groups[{i}].completions[{j}].tokens");
                self.check_tokens(&field, &completion.tokens)?;
                let total = group.prompt.len() + completion.tokens.len();
                self.check_length(&field, total)?;
                self.check_group(group.prompt.len(), total)?;
            }
        }
        Ok(())
    }
}

impl Run<'_> {
    fn run(&mut self) -> Result<()> {
        while !(self.waiting.is_empty() && self.prompts.is_empty()) {
            self.admit()?;
            self.step()?;
            self.drop_finished();
            self.progress.live = self.claims.len();
            if (self.observer)(Event::Step(self.progress)) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn count(&self, group: usize) -> usize {
        self.request.groups[group].completions.len()
    }

    /// Tokens not yet passed through the model that were admitted.
    fn admitted_rows(&self) -> usize {
        let prompt = |p: &Prompt| self.request.groups[p.group].prompt.len() - p.table.length();
        let claim = |c: &Claim| self.total(c.group, c.index) - c.table.length();
        self.prompts.iter().map(prompt).sum::<usize>() + self.claims.iter().map(claim).sum::<usize>()
    }

    fn total(&self, group: usize, index: usize) -> usize {
        let g = &self.request.groups[group];
        g.prompt.len() + g.completions[index].tokens.len()
    }

    /// Starts completions of finished prompts, then prompts, until a step is full.
    fn admit(&mut self) -> Result<()> {
        let (rows, batch) = (self.engine.options.step_rows, self.engine.options.max_batch);
        for i in 0..self.prompts.len() {
            let group = self.prompts[i].group;
            let prompt = &self.request.groups[group].prompt;
            if self.prompts[i].table.length() < prompt.len() {
                continue;
            }
            while self.prompts[i].next < self.count(group) && self.claims.len() < batch && self.admitted_rows() < rows {
                let index = self.prompts[i].next;
                let pages = self.engine.check_group(prompt.len(), self.total(group, index))?.1;
                let p = &mut self.prompts[i];
                // The first live one uses the prompt's guarantee.
                let promised = if p.live == 0 { 0 } else { pages };
                if !self.engine.book.reserve(promised) {
                    break;
                }
                let table = match self.engine.fork(&p.table) {
                    Ok(table) => table,
                    Err(e) => {
                        self.engine.book.unreserve(promised);
                        return Err(e);
                    }
                };
                let mut context = Context::default();
                let tokens = &self.request.groups[group].completions[index].tokens;
                prompt.iter().chain(tokens).for_each(|&t| context.push(t));
                let score = Score {
                    raw_logprobs: Vec::with_capacity(tokens.len()),
                    sampling_logprobs: Vec::with_capacity(tokens.len()),
                    sketches: p.sketches.clone(),
                    honest: Vec::with_capacity(tokens.len()),
                };
                self.claims.push(Claim { group, index, table, context, pages: promised, score });
                p.next += 1;
                p.live += 1;
            }
        }
        loop {
            if self.admitted_rows() >= rows || self.prompts.len() >= batch {
                return Ok(());
            }
            let (mut pages, mut guaranteed) = (0, 0);
            let (engine, request) = (&mut *self.engine, self.request);
            let taken = self.waiting.take(self.prompts.len(), |group| {
                let group = &request.groups[group];
                let length = group.prompt.len();
                let needed = |c: &Completion| engine.check_group(length, length + c.tokens.len()).map(|pages| pages.1);
                let Ok(most) = group.completions.iter().map(needed).collect::<Result<Vec<_>>>() else { return false };
                (pages, guaranteed) = (crate::kv::pages_for(length), most.into_iter().max().unwrap_or(0));
                engine.book.reserve(pages + guaranteed)
            });
            let Some(group) = taken else { return Ok(()) };
            let (table, sketches, last) = Default::default();
            self.prompts.push(Prompt { group, table, sketches, last, pages, next: 0, live: 0, guaranteed });
        }
    }

    /// One forward pass over as many admitted rows as a step holds.
    fn step(&mut self) -> Result<()> {
        let mut left = self.engine.options.step_rows;
        let mut parts = Vec::new();
        for (i, claim) in self.claims.iter().enumerate() {
            let take = left.min(self.total(claim.group, claim.index) - claim.table.length());
            parts.extend((take > 0).then_some(Rows::Claim(i, take)));
            left -= take;
        }
        for (i, prompt) in self.prompts.iter().enumerate() {
            let take = left.min(self.request.groups[prompt.group].prompt.len() - prompt.table.length());
            parts.extend((take > 0).then_some(Rows::Prompt(i, take)));
            left -= take;
        }
        let book = &mut self.engine.book;
        let mut starts = Vec::with_capacity(parts.len());
        for part in &parts {
            starts.push(match *part {
                Rows::Prompt(i, count) => self.prompts[i].table.grow(book, count),
                Rows::Claim(i, count) => self.claims[i].table.grow(book, count),
            });
        }
        let mut segments = Vec::with_capacity(parts.len());
        for (part, &start) in parts.iter().zip(&starts) {
            segments.push(match *part {
                Rows::Prompt(i, count) => {
                    let p = &self.prompts[i];
                    let tokens = &self.request.groups[p.group].prompt[start..start + count];
                    Segment::new(tokens, start, p.table.pages())
                }
                Rows::Claim(i, count) => {
                    let (c, g) = (&self.claims[i], &self.request.groups[self.claims[i].group]);
                    let first = start - g.prompt.len();
                    let tokens = &g.completions[c.index].tokens[first..first + count];
                    Segment::new(tokens, start, c.table.pages())
                }
            });
        }
        if segments.is_empty() {
            return Ok(());
        }
        let reading = Reading { sampling: &self.request.sampling, logprobs: true };
        let (model, projection) = (&mut self.engine.model, self.request.projection);
        // What completions are asked follows from their tokens alone, unless a prompt's end is in this very pass.
        let alone = parts.iter().all(|part| matches!(part, Rows::Claim(..)));
        let (askers, answers, pass) = if alone {
            let (rows, askers) = asked(self.request, &self.prompts, &self.claims, &parts, &starts);
            let questions = questions(self.request, &self.claims, &askers);
            let (pass, answers) = model.forward_and_read(&segments, projection, &rows, &questions, reading)?;
            (askers, Some(answers), pass)
        } else {
            (Vec::new(), None, model.forward(&segments, projection, None)?)
        };
        self.progress.rows += pass.faults.len();
        let (mut faults, failed) = self.judge(&parts, &pass)?;
        let (askers, answers) = match answers {
            Some(answers) => (askers, answers),
            None => {
                let (rows, askers) = asked(self.request, &self.prompts, &self.claims, &parts, &starts);
                let questions = questions(self.request, &self.claims, &askers);
                let answers = self.engine.model.read(&rows, &questions, reading)?;
                (askers, answers)
            }
        };
        self.note(&askers, answers, &mut faults);
        for (i, fault) in failed {
            self.fail_prompt(i, fault);
        }
        self.end_claims(&faults);
        Ok(())
    }

    /// Takes sketches off a pass, and the hidden states that completions follow.
    fn judge(&mut self, parts: &[Rows], pass: &Pass) -> Result<Faults> {
        let mut faults: Vec<Option<Fault>> = vec![None; self.claims.len()];
        let (mut failed, mut row) = (Vec::new(), 0);
        for part in parts {
            let (Rows::Prompt(i, count) | Rows::Claim(i, count)) = *part;
            let range = row..row + count;
            row += count;
            let fault = pass.faults[range.clone()].iter().flatten().next().copied();
            let sketches = pass.sketches.get(range.clone()).unwrap_or_default();
            match part {
                Rows::Prompt(..) => {
                    self.prompts[i].sketches.extend_from_slice(sketches);
                    let prompt = &mut self.prompts[i];
                    if prompt.table.length() == self.request.groups[prompt.group].prompt.len() {
                        self.engine.model.hidden(range.end - 1..range.end, &mut prompt.last)?;
                    }
                    failed.extend(fault.map(|f| (i, f)));
                }
                Rows::Claim(..) => {
                    self.claims[i].score.sketches.extend_from_slice(sketches);
                    faults[i] = fault;
                }
            }
        }
        Ok((faults, failed))
    }

    fn note(
        &mut self,
        askers: &[(usize, usize)],
        answers: Vec<std::result::Result<Answer, FaultKind>>,
        faults: &mut [Option<Fault>],
    ) {
        let layer = self.engine.config().num_hidden_layers;
        for (&(i, at), answer) in askers.iter().zip(answers) {
            let claim = &mut self.claims[i];
            match answer {
                Ok(r) => {
                    claim.score.honest.push(r.honest);
                    claim.score.raw_logprobs.extend(r.logprobs.map(|l| l.raw));
                    claim.score.sampling_logprobs.extend(r.logprobs.map(|l| l.sampling));
                    self.progress.new_tokens += 1;
                }
                Err(kind) => {
                    let position = self.request.groups[claim.group].prompt.len() + at - 1;
                    if faults[i].is_none_or(|f| f.position > position) {
                        faults[i] = Some(Fault { kind, layer, position });
                    }
                }
            }
        }
    }

    fn fail_prompt(&mut self, index: usize, fault: Fault) {
        let group = self.prompts[index].group;
        let count = self.count(group);
        self.prompts[index].next = count;
        self.results[group].iter_mut().for_each(|r| *r = Some(Err(fault.into())));
        self.progress.finished += count;
    }

    fn end_claims(&mut self, faults: &[Option<Fault>]) {
        for (i, fault) in faults.iter().enumerate().rev() {
            let (group, index) = (self.claims[i].group, self.claims[i].index);
            let done = self.claims[i].table.length() == self.total(group, index);
            if fault.is_none() && !done {
                continue;
            }
            let mut claim = self.claims.remove(i);
            claim.table.clear(&mut self.engine.book);
            self.engine.book.unreserve(claim.pages);
            if let Some(prompt) = self.prompts.iter_mut().find(|p| p.group == group) {
                prompt.live -= 1;
            }
            self.results[group][index] = Some(fault.map_or(Ok(claim.score), |f| Err(f.into())));
            self.progress.finished += 1;
        }
    }

    fn drop_finished(&mut self) {
        let (book, request) = (&mut self.engine.book, self.request);
        self.prompts.retain_mut(|p| {
            let keep = p.live > 0 || p.next < request.groups[p.group].completions.len();
            if !keep {
                p.table.clear(book);
                book.unreserve(p.pages + p.guaranteed);
            }
            keep
        });
    }

    fn release_all(&mut self) {
        let book = &mut self.engine.book;
        for mut claim in self.claims.drain(..) {
            claim.table.clear(book);
            book.unreserve(claim.pages);
        }
        for mut prompt in self.prompts.drain(..) {
            prompt.table.clear(book);
            book.unreserve(prompt.pages + prompt.guaranteed);
        }
    }
}

/// Hidden states that a completion token follows, and whose they are: (claim, index of the token).
fn asked<'a>(
    request: &ScoreRequest<'_>,
    prompts: &'a [Prompt],
    claims: &[Claim],
    parts: &[Rows],
    starts: &[usize],
) -> (Vec<Row<'a>>, Vec<(usize, usize)>) {
    let (mut rows, mut askers) = (Vec::new(), Vec::new());
    let mut row = 0;
    for (part, &start) in parts.iter().zip(starts) {
        let (Rows::Prompt(i, count) | Rows::Claim(i, count)) = *part;
        let range = row..row + count;
        row += count;
        if let Rows::Prompt(..) = part {
            continue;
        }
        let claim = &claims[i];
        let group = &request.groups[claim.group];
        let (prompt, tokens) = (group.prompt.len(), group.completions[claim.index].tokens.len());
        if start == prompt {
            let of = prompts.iter().find(|p| p.group == claim.group);
            rows.push(Row::Held(&of.expect("a live completion's prompt is kept").last));
            askers.push((i, 0));
        }
        for (at, row) in (start - prompt..).zip(range).filter(|&(at, _)| at + 1 < tokens) {
            rows.push(Row::Pass(row));
            askers.push((i, at + 1));
        }
    }
    (rows, askers)
}

/// A question to each of those hidden states.
fn questions<'a>(request: &'a ScoreRequest<'_>, claims: &'a [Claim], askers: &[(usize, usize)]) -> Vec<Question<'a>> {
    let one = |(row, &(claim, at)): (usize, &(usize, usize))| question(request, &claims[claim], row, at);
    askers.iter().enumerate().map(one).collect()
}

/// The question for the completion token `at` of a claim.
fn question<'a>(request: &'a ScoreRequest<'_>, claim: &'a Claim, row: usize, at: usize) -> Question<'a> {
    let group = &request.groups[claim.group];
    let completion = &group.completions[claim.index];
    let position = group.prompt.len() + at;
    let context = &claim.context;
    Question { row, context, seed: &completion.seed, position, claimed: Some(completion.tokens[at]) }
}
