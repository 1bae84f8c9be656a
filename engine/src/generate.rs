//! Generation: groups of rollouts by continuous batching.
//!
//! A group's prompt is prefilled once, in chunks beside the decoding of other groups; its rollouts fork the
//! prompt's pages. A slot that falls free is taken by the next rollout in the same step, or behind the steps
//! that a device does together while nobody can join. What is admitted has its pages promised, so nothing is
//! ever thrown out; what does not fit waits. Every position of prompt and completion passes through the model
//! exactly once, the last token included, and everything the trace holds is read off that pass.

mod ahead;
mod slot;

use slot::{Prompt, Slot, Trace};

use crate::backend::{Answer, Pass, Question, Reading, Row, Segment};
use crate::context::Context;
use crate::deal::{Deck, merge, on_each};
use crate::engine::Engine;
use crate::lane::Lane;
use crate::types::{Event, Failure, GenerateRequest, Observer, Progress, Rollout};
use crate::{Error, Fault, FaultKind, Result};

/// Results by group and rollout, as they were asked for.
pub type Generated = Vec<Vec<std::result::Result<Rollout, Failure>>>;

struct Run<'a> {
    engine: &'a mut Lane,
    request: &'a GenerateRequest<'a>,
    observer: &'a mut Observer<'a>,
    waiting: &'a Deck,
    prompts: Vec<Prompt>,
    slots: Vec<Slot>,
    results: Vec<Vec<Option<std::result::Result<Rollout, Failure>>>>,
    progress: Progress,
    /// Whether the observer asked to break off.
    broken: bool,
}

impl Engine {
    /// Generates every rollout of every group.
    ///
    /// The observer sees tokens and finished rollouts as they come and may break off after a step; what is not
    /// finished then is [`Failure::Cancelled`].
    ///
    /// # Errors
    /// [`Error::Request`] naming the field, before any work; [`Error::Memory`] when a group's prompt and one of
    /// its rollouts do not fit the budget. A numeric fault is no error here: it is its rollout's result.
    pub fn generate(&mut self, request: &GenerateRequest<'_>, observer: &mut Observer<'_>) -> Result<Generated> {
        self.lanes.iter().try_for_each(|lane| lane.check_generate(request))?;
        let groups = (0..request.groups.len()).filter(|&g| !request.groups[g].seeds.is_empty());
        let waiting = Deck::new(groups, self.lanes.len());
        let results = on_each(&mut self.lanes, observer, |lane, observer| lane.generate(request, &waiting, observer))?;
        let finish = |r: Option<_>| r.unwrap_or(Err(Failure::Cancelled));
        Ok(merge(results).into_iter().map(|g| g.into_iter().map(finish).collect()).collect())
    }
}

/// Results of the groups that a lane took.
type Part = Vec<Vec<Option<std::result::Result<Rollout, Failure>>>>;

impl Lane {
    fn generate(&mut self, request: &GenerateRequest<'_>, waiting: &Deck, observer: &mut Observer<'_>) -> Result<Part> {
        let total = request.groups.iter().map(|g| g.seeds.len()).sum();
        let mut forward = |event: Event<'_>| observer(event);
        let mut run = Run {
            engine: self,
            request,
            observer: &mut forward,
            waiting,
            prompts: Vec::new(),
            slots: Vec::new(),
            results: request.groups.iter().map(|g| vec![None; g.seeds.len()]).collect(),
            progress: Progress { total, ..Progress::default() },
            broken: false,
        };
        let outcome = run.run();
        run.release_all();
        outcome.map(|()| run.results)
    }

    fn check_generate(&self, request: &GenerateRequest<'_>) -> Result<()> {
        self.check_sampling(&request.sampling, request.projection)?;
        if request.max_new_tokens == 0 {
            let problem = "is 0, expected at least 1".into();
            return Err(Error::Request { field: "max_new_tokens".into(), problem });
        }
        if !request.eos_ids.is_empty() {
            self.check_tokens(&|| "eos_ids".into(), request.eos_ids)?;
        }
        for (i, group) in request.groups.iter().enumerate() {
            let field = || format!("groups[{i}].prompt");
            self.check_tokens(&field, &group.prompt)?;
            let total = group.prompt.len().saturating_add(request.max_new_tokens);
            self.check_length(&field, total)?;
            self.check_group(group.prompt.len(), total)?;
        }
        Ok(())
    }
}

impl Run<'_> {
    fn run(&mut self) -> Result<()> {
        while !(self.waiting.is_empty() && self.prompts.is_empty()) {
            self.start_prompts();
            let goes_on = if self.is_steady() {
                self.decode()?
            } else {
                self.step()?;
                self.admit()?;
                self.choose()?;
                self.end_step()
            };
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// The end of a step; whether there is to be another.
    fn end_step(&mut self) -> bool {
        // Neighbours of one group read their shared pages together.
        self.slots.sort_by_key(|s| s.group);
        self.drop_finished_prompts();
        self.progress.live = self.slots.len();
        (self.observer)(Event::Step(self.progress)).is_continue() && !self.broken
    }

    /// Starts prompts while there would be slots for their rollouts and pages for a prompt and one rollout.
    fn start_prompts(&mut self) {
        loop {
            let unstarted: usize = self.prompts.iter().map(|p| self.seeds(p.group) - p.next).sum();
            if self.slots.len() + unstarted >= self.engine.options.max_batch {
                return;
            }
            let mut pages = (0, 0);
            let (engine, groups) = (&mut *self.engine, self.request.groups);
            let taken = self.waiting.take(self.prompts.len(), |group| {
                let prompt = groups[group].prompt.len();
                let needed = engine.check_group(prompt, prompt + self.request.max_new_tokens);
                needed.is_ok_and(|needed| {
                    pages = needed;
                    engine.book.reserve(needed.0 + needed.1)
                })
            });
            let Some(group) = taken else { return };
            let prompt = &self.request.groups[group].prompt;
            let mut context = Context::default();
            prompt.iter().for_each(|&t| context.push(t));
            let (table, trace) = Default::default();
            self.prompts.push(Prompt { group, table, trace, last: Vec::new(), context, pages, next: 0, live: 0 });
        }
    }

    fn seeds(&self, group: usize) -> usize {
        self.request.groups[group].seeds.len()
    }

    /// One forward pass: a row for each slot, and prefill with what is left of the step.
    fn step(&mut self) -> Result<()> {
        let mut left = self.engine.options.step_rows.saturating_sub(self.slots.len());
        let mut prefill = Vec::new();
        for (i, p) in self.prompts.iter().enumerate() {
            let tokens = &self.request.groups[p.group].prompt[p.table.length()..];
            let take = tokens.len().min(left);
            if take > 0 {
                prefill.push((i, &tokens[..take]));
                left -= take;
            }
        }
        let book = &mut self.engine.book;
        let mut starts: Vec<usize> = self.slots.iter_mut().map(|s| s.table.grow(book, 1)).collect();
        starts.extend(prefill.iter().map(|&(i, tokens)| self.prompts[i].table.grow(book, tokens.len())));
        let mut segments = Vec::with_capacity(starts.len());
        let every = !self.request.projection.is_empty() || self.request.keep_hidden;
        for (slot, &start) in self.slots.iter().zip(&starts) {
            let (tokens, pages) = (&slot.tokens[start..], slot.table.pages());
            let read = usize::from(every || slot.stop.is_none());
            segments.push(Segment { tokens, start, pages, read });
        }
        for (&(i, tokens), &start) in prefill.iter().zip(&starts[self.slots.len()..]) {
            let (whole, pages) = (&self.request.groups[self.prompts[i].group].prompt, self.prompts[i].table.pages());
            // Of a prompt the first new token follows from the last position alone.
            let read = usize::from(start + tokens.len() == whole.len());
            let read = if every { tokens.len() } else { read };
            segments.push(Segment { tokens, start, pages, read });
        }
        if segments.is_empty() {
            return Ok(());
        }
        let pass = self.engine.model.forward(&segments, self.request.projection, None)?;
        let filled: Vec<(usize, usize)> = prefill.iter().map(|&(i, tokens)| (i, tokens.len())).collect();
        self.record(&pass, &filled)
    }

    /// Takes sketches and hidden states off a pass; ends what has a fault or is complete.
    fn record(&mut self, pass: &Pass, filled: &[(usize, usize)]) -> Result<()> {
        let Pass { sketches, faults } = pass;
        self.progress.rows += faults.len();
        let (width, keep_hidden) = (self.engine.config().hidden_size, self.request.keep_hidden);
        let mut hidden = Vec::new();
        if keep_hidden {
            self.engine.model.hidden(0..faults.len(), &mut hidden)?;
        }
        // Every position of a row range goes to a trace; the result is the range's first fault.
        let take = |rows: std::ops::Range<usize>, trace: &mut Trace| {
            trace.sketches.extend_from_slice(sketches.get(rows.clone()).unwrap_or_default());
            let states = rows.start * width..rows.end * width;
            trace.hidden.extend_from_slice(hidden.get(states).unwrap_or_default());
            faults[rows].iter().flatten().next().copied()
        };
        let mut ended = Vec::new();
        for (row, slot) in self.slots.iter_mut().enumerate() {
            slot.row = Some(row);
            let fault = take(row..row + 1, &mut slot.trace);
            if fault.is_some() || slot.stop.is_some() {
                ended.push((row, fault));
            }
        }
        let mut failed = Vec::new();
        let mut row = self.slots.len();
        for &(i, count) in filled {
            let prompt = &mut self.prompts[i];
            if let Some(fault) = take(row..row + count, &mut prompt.trace) {
                failed.push((i, fault));
            }
            row += count;
        }
        let mut row = self.slots.len();
        for &(i, count) in filled {
            row += count;
            let prompt = &mut self.prompts[i];
            if prompt.table.length() == self.request.groups[prompt.group].prompt.len() {
                self.engine.model.hidden(row - 1..row, &mut prompt.last)?;
            }
        }
        for (slot, fault) in ended.into_iter().rev() {
            let slot = self.slots.remove(slot);
            self.finish(slot, fault);
        }
        for (i, fault) in failed {
            self.fail_prompt(i, fault);
        }
        Ok(())
    }

    /// A fault in a prompt is the fault of each of its rollouts; none was started.
    fn fail_prompt(&mut self, index: usize, fault: Fault) {
        let group = self.prompts[index].group;
        self.prompts[index].next = self.seeds(group);
        for rollout in 0..self.seeds(group) {
            self.end(group, rollout, Err(fault));
        }
    }

    /// Frees a slot.
    fn finish(&mut self, mut slot: Slot, fault: Option<Fault>) {
        let book = &mut self.engine.book;
        slot.table.clear(book);
        if let Some(prompt) = self.prompts.iter_mut().find(|p| p.group == slot.group) {
            prompt.live -= 1;
            if prompt.live > 0 {
                book.unreserve(prompt.pages.1);
            }
        }
        let result = match (fault, slot.stop) {
            (None, Some(stop)) => Ok(Rollout {
                prompt_length: self.request.groups[slot.group].prompt.len(),
                tokens: slot.tokens,
                raw_logprobs: slot.raw_logprobs,
                sampling_logprobs: slot.sampling_logprobs,
                sketches: slot.trace.sketches,
                hidden: slot.trace.hidden,
                stop,
            }),
            (Some(fault), _) => Err(fault),
            (None, None) => unreachable!("a slot ends with a fault or with its last token"),
        };
        self.end(slot.group, slot.rollout, result);
    }

    fn end(&mut self, group: usize, rollout: usize, result: std::result::Result<Rollout, Fault>) {
        self.progress.finished += 1;
        let event = Event::Finished { group, rollout, result: result.as_ref().map_err(|f| *f) };
        self.broken |= (self.observer)(event).is_break();
        self.results[group][rollout] = Some(result.map_err(Failure::from));
    }

    /// Gives free slots to the next rollouts of finished prompts.
    fn admit(&mut self) -> Result<()> {
        for i in 0..self.prompts.len() {
            let (group, seeds) = (self.prompts[i].group, self.seeds(self.prompts[i].group));
            let tokens = &self.request.groups[group].prompt;
            let prompt = &mut self.prompts[i];
            if prompt.table.length() < tokens.len() {
                continue;
            }
            while prompt.next < seeds && self.slots.len() < self.engine.options.max_batch {
                if prompt.live > 0 && !self.engine.book.reserve(prompt.pages.1) {
                    break;
                }
                let rollout = prompt.next;
                // Counted first: should the fork fail, the promise just made is given back with the others.
                prompt.next += 1;
                prompt.live += 1;
                let table = self.engine.fork(&prompt.table)?;
                self.slots.push(Slot {
                    group,
                    rollout,
                    table,
                    tokens: tokens.clone(),
                    context: prompt.context.clone(),
                    raw_logprobs: Vec::new(),
                    sampling_logprobs: Vec::new(),
                    trace: prompt.trace.clone(),
                    row: None,
                    place: 0,
                    stop: None,
                });
            }
        }
        Ok(())
    }

    /// Chooses the next token of every slot.
    fn choose(&mut self) -> Result<()> {
        let (mut rows, mut questions): (Vec<Row<'_>>, Vec<Question<'_>>) = (Vec::new(), Vec::new());
        let mut of_prompt = None;
        for slot in &self.slots {
            match slot.row {
                Some(row) => rows.push(Row::Pass(row)),
                // New slots of a group are neighbours and share their prompt's row.
                None if of_prompt != Some(slot.group) => {
                    let prompt = self.prompts.iter().find(|p| p.group == slot.group);
                    rows.push(Row::Held(&prompt.expect("a live rollout's prompt is kept").last));
                    of_prompt = Some(slot.group);
                }
                None => {}
            }
            questions.push(slot.question(rows.len() - 1, self.request));
        }
        let reading = Reading { sampling: &self.request.sampling, logprobs: self.request.logprobs };
        let answers = self.engine.model.read(&rows, &questions, reading)?;
        self.take(answers);
        Ok(())
    }

    /// Each slot's next token, or the fault in its logits.
    fn take(&mut self, answers: Vec<std::result::Result<Answer, FaultKind>>) {
        let layer = self.engine.config().num_hidden_layers;
        let mut failed = Vec::new();
        for (i, (slot, answer)) in self.slots.iter_mut().zip(answers).enumerate() {
            match answer {
                Ok(r) => {
                    slot.push(r, self.request);
                    self.progress.new_tokens += 1;
                    let (group, rollout, token) = (slot.group, slot.rollout, r.honest);
                    let event = Event::Token { group, rollout, token, logprobs: r.logprobs };
                    self.broken |= (self.observer)(event).is_break();
                }
                Err(kind) => failed.push((i, Fault { kind, layer, position: slot.tokens.len() - 1 })),
            }
        }
        for (i, fault) in failed.into_iter().rev() {
            let slot = self.slots.remove(i);
            self.finish(slot, Some(fault));
        }
    }

    fn drop_finished_prompts(&mut self) {
        let (book, request) = (&mut self.engine.book, self.request);
        self.prompts.retain_mut(|p| {
            let keep = p.live > 0 || p.next < request.groups[p.group].seeds.len();
            if !keep {
                p.table.clear(book);
                book.unreserve(p.pages.0 + p.pages.1);
            }
            keep
        });
    }

    /// Gives everything back, whatever state the run was left in.
    fn release_all(&mut self) {
        let book = &mut self.engine.book;
        self.slots.drain(..).for_each(|mut s| s.table.clear(book));
        for mut prompt in self.prompts.drain(..) {
            prompt.table.clear(book);
            book.unreserve(prompt.pages.0 + prompt.pages.1 * prompt.live.max(1));
        }
    }
}
