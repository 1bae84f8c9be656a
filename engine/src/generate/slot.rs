//! Prompts and rollouts in work.

use crate::backend::{Answer, Decoding, Question};
use crate::context::Context;
use crate::kv::CacheTable;
use crate::types::{GenerateRequest, Stop};

/// A prompt in work, until its last rollout is finished.
pub(super) struct Prompt {
    pub group: usize,
    pub table: CacheTable,
    pub trace: Trace,
    /// Final-norm output of its last position, once that was passed.
    pub last: Vec<f32>,
    pub context: Context,
    /// Pages of (prompt, one rollout). Promised: the prompt's, and a rollout's for each live one, at least one.
    pub pages: (usize, usize),
    /// Rollouts started.
    pub next: usize,
    /// Rollouts in slots.
    pub live: usize,
}

/// What is read off each position.
#[derive(Clone, Default)]
pub(super) struct Trace {
    pub sketches: Vec<u32>,
    pub hidden: Vec<f32>,
}

/// A rollout in a slot.
pub(super) struct Slot {
    pub group: usize,
    pub rollout: usize,
    pub table: CacheTable,
    pub tokens: Vec<u32>,
    pub context: Context,
    pub raw_logprobs: Vec<f32>,
    pub sampling_logprobs: Vec<f32>,
    pub trace: Trace,
    /// Row of the step with the hidden state its next token follows from; `None`: its prompt's last.
    pub row: Option<usize>,
    /// Its place among the sequences that decode together.
    pub place: usize,
    /// Set with the last token, which then passes through the model once.
    pub stop: Option<Stop>,
}

impl Slot {
    /// What is asked of its row.
    pub fn question<'a>(&'a self, row: usize, request: &'a GenerateRequest<'_>) -> Question<'a> {
        Question {
            row,
            context: &self.context,
            seed: &request.groups[self.group].seeds[self.rollout],
            position: self.tokens.len(),
            claimed: None,
        }
    }

    /// Positions when it is as long as it may be.
    pub fn most_positions(&self, request: &GenerateRequest<'_>) -> usize {
        request.groups[self.group].prompt.len() + request.max_new_tokens
    }

    pub fn decoding<'a>(&'a self, request: &'a GenerateRequest<'_>) -> Decoding<'a> {
        Decoding {
            context: &self.context,
            pages: self.table.pages(),
            seed: &request.groups[self.group].seeds[self.rollout],
            last_position: self.most_positions(request) - 1,
        }
    }

    pub fn push(&mut self, answer: Answer, request: &GenerateRequest<'_>) {
        let token = answer.honest;
        self.stop = self.decoding(request).stop(token, self.tokens.len(), request.eos_ids);
        self.tokens.push(token);
        self.context.push(token);
        self.raw_logprobs.extend(answer.logprobs.map(|l| l.raw));
        self.sampling_logprobs.extend(answer.logprobs.map(|l| l.sampling));
    }
}
