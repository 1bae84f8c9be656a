//! Steps of decoding that are done together, where nobody can join meanwhile.

use super::Run;
use super::slot::{Prompt, Slot};
use crate::Result;
use crate::backend::{Course, Decoding, Pass, Reading, Told};

/// Steps ahead at most while a rollout waits for a slot: one that falls free amid them stays empty until their end.
const STEPS_WHILE_WAITING: usize = 4;

impl Run<'_> {
    /// Whether a step is a row and a question for each slot, and nothing else: no slot has its last token, no prompt has rows
    /// left, and none has rollouts left that could start before another ends.
    pub(super) fn is_steady(&self) -> bool {
        let (full, book) = (self.slots.len() >= self.engine.options.max_batch, &self.engine.book);
        let settled = |p: &Prompt| {
            let barred = full || p.live > 0 && book.limit() - book.reserved() < p.pages.1;
            p.table.length() == self.request.groups[p.group].prompt.len() && (barred || p.next == self.seeds(p.group))
        };
        !self.slots.is_empty() && self.slots.iter().all(|s| s.stop.is_none()) && self.prompts.iter().all(settled)
    }

    /// How many such steps are done together.
    fn steps_ahead(&self) -> usize {
        if self.request.keep_hidden {
            return 1;
        }
        let longest = self.slots.iter().map(|s| s.tokens.len()).max().unwrap_or(0);
        let left = self.slots.iter().map(|s| s.most_positions(self.request) - s.table.length()).max().unwrap_or(0);
        let most = self.engine.options.steps_ahead.unwrap_or_else(|| self.engine.model.steps_ahead(longest));
        let waits = !self.waiting.is_empty() || self.prompts.iter().any(|p| p.next < self.seeds(p.group));
        most.min(left).min(if waits { STEPS_WHILE_WAITING } else { usize::MAX }).max(1)
    }

    /// Some steps and the choice of every slot's next tokens, in one go: devices are waited for once. Whether there is to be
    /// another.
    pub(super) fn decode(&mut self) -> Result<bool> {
        let steps = self.steps_ahead();
        let (book, request) = (&mut self.engine.book, self.request);
        for (place, slot) in self.slots.iter_mut().enumerate() {
            slot.place = place;
            // Slots that do not end have passed so many positions then, and those that do give back all pages.
            slot.table.grow(book, steps.min(slot.most_positions(request) - slot.table.length()));
        }
        let sequences: Vec<Decoding<'_>> = self.slots.iter().map(|slot| slot.decoding(request)).collect();
        let reading = Reading { sampling: &request.sampling, logprobs: request.logprobs };
        let course = Course { steps, eos_ids: request.eos_ids, projection: request.projection, reading };
        let told = self.engine.model.decode(&sequences, &course)?;
        for step in 0..steps {
            self.follow(&told, step)?;
            if !self.end_step() {
                return Ok(false);
            }
            if self.slots.is_empty() {
                break;
            }
        }
        Ok(true)
    }

    /// What a step says, as if it were made only now.
    fn follow(&mut self, told: &[Vec<Told>], step: usize) -> Result<()> {
        let of = |slot: &Slot| told[slot.place][step];
        let sketches = self.slots.iter().filter_map(|slot| of(slot).sketch).collect();
        let faults = self.slots.iter().map(|slot| of(slot).fault).collect();
        // Slots with a fault or their last token end before anybody hears of a token.
        self.record(&Pass { sketches, faults }, &[])?;
        let answer = |slot: &Slot| of(slot).answer.expect("a slot that is left has a next token");
        self.take(self.slots.iter().map(answer).collect());
        Ok(())
    }
}
