//! One sequence, everything visible: hidden states, logits, stages of each layer. For comparing machines.

use crate::backend::Segment;
use crate::cpu::sampling::LogSum;
use crate::engine::Engine;
use crate::kv::CacheTable;
use crate::lane::Lane;
use crate::types::Probe;
use crate::{Error, Fault, Result};

/// What the pass gives for one position.
#[derive(Debug, Clone, Copy)]
pub struct TraceRow<'a> {
    /// The position.
    pub position: usize,
    /// Final-norm output, `[hidden]`.
    pub hidden: &'a [f32],
    /// One logit per id, unprocessed.
    pub logits: &'a [f32],
    /// Sketch of the hidden state, if there is a projection.
    pub sketch: Option<u32>,
    /// Raw log-probability of the sequence's next token; `None` at the last position.
    pub next_raw_logprob: Option<f32>,
}

impl Engine {
    /// Passes `tokens` through the model in steps of [`crate::EngineOptions::step_rows`] and shows every position in order.
    /// `probe` sees the stages of each layer, row by row. Gate and up values, which a pass does not store, are made apart
    /// for it.
    ///
    /// # Errors
    /// [`crate::Error::Request`], [`crate::Error::Memory`], and [`crate::Error::Fault`] at the first position that has one.
    pub fn trace(
        &mut self,
        tokens: &[u32],
        projection: &[i32],
        mut probe: Option<&mut Probe<'_>>,
        show: &mut dyn FnMut(TraceRow<'_>),
    ) -> Result<()> {
        let lane = &mut self.lanes[0];
        lane.check_sampling(&crate::types::Sampling::default(), projection)?;
        lane.check_tokens(&|| "tokens".into(), tokens)?;
        lane.check_length(&|| "tokens".into(), tokens.len())?;
        lane.check_memory(crate::kv::pages_for(tokens.len()), &format!("a sequence of {} positions", tokens.len()))?;
        let mut table = CacheTable::default();
        let mut outcome = Ok(());
        for chunk in tokens.chunks(lane.options.step_rows) {
            let start = table.grow(&mut lane.book, chunk.len());
            let segment = Segment::new(chunk, start, table.pages());
            let probe: Option<&mut Probe<'_>> = match &mut probe {
                Some(p) => Some(&mut **p),
                None => None,
            };
            outcome = lane.trace_chunk(tokens, segment, projection, probe, show);
            if outcome.is_err() {
                break;
            }
        }
        table.clear(&mut lane.book);
        outcome
    }
}

impl Lane {
    fn trace_chunk(
        &mut self,
        tokens: &[u32],
        segment: Segment<'_>,
        projection: &[i32],
        probe: Option<&mut Probe<'_>>,
        show: &mut dyn FnMut(TraceRow<'_>),
    ) -> Result<()> {
        let pass = self.model.forward(&[segment], projection, probe)?;
        let layer = self.config().num_hidden_layers;
        let width = self.config().hidden_size;
        let (mut hidden, count) = (Vec::new(), segment.tokens.len());
        self.model.hidden(0..count, &mut hidden)?;
        let isa = self.isa;
        self.model.logits(0..count, &mut |row, logits| {
            let position = segment.start + row;
            if let Some(fault) = pass.faults[row] {
                return Err(fault.into());
            }
            let fault = |kind| Error::from(Fault { kind, layer, position });
            let logits = logits.map_err(fault)?;
            let sum = LogSum::new(isa, logits, 1.0, &mut Vec::new()).map_err(fault)?;
            let next_raw_logprob = tokens.get(position + 1).map(|&t| sum.logprob(logits[t as usize]));
            let hidden = &hidden[row * width..(row + 1) * width];
            show(TraceRow { position, hidden, logits, sketch: pass.sketches.get(row).copied(), next_raw_logprob });
            Ok(())
        })
    }
}
