//! One device with a whole model: what a call works on. An engine of several GPUs has as many lanes.

use crate::backend::Backend;
use crate::config::Config;
use crate::cpu::isa::Isa;
use crate::engine::EngineOptions;
use crate::kv::{CacheTable, PageBook, pages_for};
use crate::types::Sampling;
use crate::{Error, Result};

/// A model on a device, and its pages' book.
pub(crate) struct Lane {
    pub model: Box<dyn Backend>,
    pub book: PageBook,
    pub options: EngineOptions,
    pub memory: Memory,
    /// What the host uses beside the device.
    pub isa: Isa,
}

/// A device's memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// What may be used.
    pub budget_bytes: u64,
    /// Everything but pages.
    pub fixed_bytes: u64,
    /// Of one page.
    pub page_bytes: u64,
}

impl Memory {
    /// A book of the pages that the budget buys.
    pub fn book(&self) -> Result<PageBook> {
        let pages = self.budget_bytes.saturating_sub(self.fixed_bytes) / self.page_bytes;
        if pages == 0 {
            let purpose = "weights, activations and one page of positions";
            return Err(self.refuse(1, purpose));
        }
        Ok(PageBook::new(usize::try_from(pages).unwrap_or(usize::MAX).min(u32::MAX as usize)))
    }

    pub fn refuse(&self, pages: usize, purpose: &str) -> Error {
        Error::Memory {
            budget_bytes: self.budget_bytes,
            needed_bytes: self.fixed_bytes.saturating_add(self.page_bytes.saturating_mul(pages as u64)),
            purpose: purpose.into(),
        }
    }
}

impl Lane {
    /// The model's config.
    pub fn config(&self) -> &Config {
        self.model.checkpoint().config()
    }

    /// A sequence that starts with another one's positions.
    pub fn fork(&mut self, table: &CacheTable) -> Result<CacheTable> {
        let (mut fork, copy) = table.fork(&mut self.book);
        if let Some((from, to)) = copy
            && let Err(e) = self.model.copy_page(from, to)
        {
            fork.clear(&mut self.book);
            return Err(e);
        }
        Ok(fork)
    }

    pub fn check_memory(&self, pages: usize, purpose: &str) -> Result<()> {
        if pages <= self.book.limit() {
            return Ok(());
        }
        Err(self.memory.refuse(pages, purpose))
    }

    pub fn check_sampling(&self, sampling: &Sampling, projection: &[i32]) -> Result<()> {
        sampling.check()?;
        let hidden = self.config().hidden_size;
        if !projection.is_empty() && projection.len() != hidden {
            let problem = format!("has {} elements, expected {hidden} (hidden_size) or none", projection.len());
            return Err(Error::Request { field: "projection".into(), problem });
        }
        Ok(())
    }

    /// Checks token ids; `field` says whose.
    pub fn check_tokens(&self, field: &dyn Fn() -> String, tokens: &[u32]) -> Result<()> {
        let vocab = self.config().vocab_size;
        if tokens.is_empty() {
            return Err(Error::Request { field: field(), problem: "is empty, expected at least one token".into() });
        }
        match tokens.iter().position(|&t| t as usize >= vocab) {
            None => Ok(()),
            Some(at) => {
                let problem = format!("is {}, expected an id below {vocab} (vocab_size)", tokens[at]);
                Err(Error::Request { field: format!("{}[{at}]", field()), problem })
            }
        }
    }

    /// Checks that a sequence of so many positions fits the model.
    pub fn check_length(&self, field: &dyn Fn() -> String, positions: usize) -> Result<()> {
        let most = self.config().max_position_embeddings;
        if positions <= most {
            return Ok(());
        }
        let problem = format!("needs {positions} positions, expected at most {most} (max_position_embeddings)");
        Err(Error::Request { field: field(), problem })
    }

    /// Checks that a prompt and one continuation of it fit the budget alone; pages of (prompt, continuation).
    pub fn check_group(&self, prompt: usize, total: usize) -> Result<(usize, usize)> {
        let pages = (pages_for(prompt), pages_for(total) - prompt / crate::kv::PAGE);
        self.check_memory(pages.0 + pages.1, &format!("a prompt of {prompt} and a sequence of {total} positions"))?;
        Ok(pages)
    }
}
