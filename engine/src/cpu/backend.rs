//! The CPU as a backend: passes, and answers read off tiles of logits.

use std::ops::Range;
use std::sync::Mutex;

use super::forward::{CpuModel, memory};
use super::gemm::{Mode, matmul};
use super::ops;
use super::quantize::Side;
use super::rows::for_each_row;
use super::sampling::Distribution;
use crate::backend::{Answer, Backend, Pass, Question, Reading, Row, Segment, ShowLogits};
use crate::checkpoint::Checkpoint;
use crate::kv::PageId;
use crate::types::Probe;
use crate::{Error, Fault, FaultKind, Result};

/// Rows of logits that exist at once.
pub(crate) const TILE: usize = 32;

impl Backend for CpuModel {
    fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    fn device(&self) -> String {
        format!("{}, {} threads", self.isa, self.pool.threads())
    }

    fn weight_bytes(&self) -> usize {
        self.weights.bytes() + self.checkpoint.embedding().bytes().len()
    }

    fn quantized_rows(&self, name: &str, row: &mut dyn FnMut(&[i16], &[i8])) -> Result<()> {
        let tensor = self.checkpoint.tensor(name)?;
        let c = &self.config;
        let (q, kv) = (c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim);
        let head = if c.tie_word_embeddings { "model.embed_tokens.weight" } else { "lm_head.weight" };
        let place = self.weights.layers.iter().enumerate().find_map(|(i, l)| {
            match name.strip_prefix(&format!("model.layers.{i}."))? {
                "self_attn.q_proj.weight" => Some((&l.qkv, 0, 0)),
                "self_attn.k_proj.weight" => Some((&l.qkv, 0, q)),
                "self_attn.v_proj.weight" => Some((&l.qkv, 0, q + kv)),
                "self_attn.o_proj.weight" => Some((&l.o, 0, 0)),
                "mlp.gate_proj.weight" => Some((&l.gate_up, 0, 0)),
                "mlp.up_proj.weight" => Some((&l.gate_up, 1, 0)),
                "mlp.down_proj.weight" => Some((&l.down, 0, 0)),
                _ => None,
            }
        });
        let none = || Error::Tensor { tensor: name.into(), problem: "is not read by a matrix product".into() };
        let (matrix, part, first) = place.or((name == head).then_some((&self.weights.head, 0, 0))).ok_or_else(none)?;
        for r in 0..tensor.rows() {
            let (q, g) = matrix.row(part, first + r);
            row(&q, &g);
        }
        Ok(())
    }

    fn copy_page(&mut self, from: PageId, to: PageId) -> Result<()> {
        self.store.copy(from, to).map_err(memory)
    }

    fn forward(&mut self, segments: &[Segment<'_>], projection: &[i32], probe: Option<&mut Probe<'_>>) -> Result<Pass> {
        let mut faults = self.pass(segments, probe)?;
        let sketches =
            if projection.is_empty() { Vec::new() } else { self.sketches(segments, projection, &mut faults) };
        Ok(Pass { sketches, faults })
    }

    fn hidden(&mut self, rows: Range<usize>, to: &mut Vec<f32>) -> Result<()> {
        let width = self.config.hidden_size;
        to.extend_from_slice(&self.hidden[rows.start * width..rows.end * width]);
        Ok(())
    }

    fn read(
        &mut self,
        rows: &[Row<'_>],
        questions: &[Question<'_>],
        reading: Reading<'_>,
    ) -> Result<Vec<std::result::Result<Answer, FaultKind>>> {
        let (isa, width) = (self.isa, self.config.hidden_size);
        let hidden = std::mem::take(&mut self.hidden);
        let answers = Mutex::new(vec![Err(FaultKind::Logits); questions.len()]);
        let mut outcome = Ok(());
        for (tile, rows) in rows.chunks(TILE).enumerate() {
            let rows: Vec<&[f32]> = rows.iter().map(|row| state(&hidden, width, *row)).collect();
            outcome = self.logits_tile(&rows, |row, logits| {
                let row = tile * TILE + row;
                let first = questions.partition_point(|q| q.row < row);
                let mine = first..first + questions[first..].partition_point(|q| q.row == row);
                let mut scratch = Vec::new();
                let distribution = logits.and_then(|logits| {
                    let context = questions[mine.clone()].first().map_or(&[][..], |q| q.context.before(q.position));
                    let Reading { sampling, logprobs } = reading;
                    Distribution::new(isa, logits, context, sampling, logprobs, &mut scratch)
                });
                let answer = |q: &Question<'_>| {
                    let d = distribution.as_ref().map_err(|kind| *kind)?;
                    let honest = d.draw(q.seed, q.position);
                    Ok(Answer { honest, logprobs: d.logprobs(q.claimed.unwrap_or(honest)) })
                };
                let found: Vec<_> = questions[mine.clone()].iter().map(answer).collect();
                answers.lock().expect("no panic while held")[mine].copy_from_slice(&found);
            });
            if outcome.is_err() {
                break;
            }
        }
        self.hidden = hidden;
        outcome?;
        Ok(answers.into_inner().expect("no panic while held"))
    }

    fn logits(&mut self, rows: Range<usize>, show: &mut ShowLogits<'_>) -> Result<()> {
        type Copied = std::result::Result<Vec<f32>, FaultKind>;
        let width = self.config.hidden_size;
        for start in rows.clone().step_by(TILE) {
            let tile = start..(start + TILE).min(rows.end);
            let hidden = self.hidden[tile.start * width..tile.end * width].to_vec();
            let hidden: Vec<&[f32]> = hidden.chunks_exact(width).collect();
            let copies: Mutex<Vec<Copied>> = Mutex::new(vec![Err(FaultKind::Logits); hidden.len()]);
            self.logits_tile(&hidden, |row, logits| {
                let copy = logits.map(|logits| logits.to_vec());
                copies.lock().expect("no panic while held")[row] = copy;
            })?;
            for (row, copy) in tile.zip(copies.into_inner().expect("no panic while held")) {
                show(row, copy.as_deref().map_err(|kind| *kind))?;
            }
        }
        Ok(())
    }
}

fn state<'a>(hidden: &'a [f32], width: usize, row: Row<'a>) -> &'a [f32] {
    match row {
        Row::Pass(row) => &hidden[row * width..(row + 1) * width],
        Row::Held(held) => held,
    }
}

impl CpuModel {
    /// Logits of some hidden states: `f(row, logits)` in parallel over rows; the logits may be changed. No more rows than
    /// are given exist at once, so callers pass tiles. A row whose hidden state cannot be quantized gets the fault.
    ///
    /// # Errors
    /// When the system gives no more memory.
    fn logits_tile(
        &mut self,
        hidden: &[&[f32]],
        f: impl Fn(usize, std::result::Result<&mut [f32], FaultKind>) + Sync,
    ) -> Result<()> {
        let Self { isa, pool, config, weights, work, .. } = self;
        let (isa, vocab) = (*isa, config.vocab_size);
        work.quantized.reset(hidden.len(), config.hidden_size).map_err(memory)?;
        let faults = Mutex::new(vec![None; hidden.len()]);
        let writer = work.quantized.writer();
        pool.for_each(hidden.len(), 8, |range| {
            for row in range {
                if let Err(kind) = writer.write(isa, Side::Right, row, hidden[row]) {
                    faults.lock().expect("no panic while held")[row] = Some(kind);
                }
            }
        });
        let faults = faults.into_inner().expect("no panic while held");
        let logits = work.logits.fit(hidden.len() * vocab).map_err(memory)?;
        matmul(isa, pool, &weights.head, &work.quantized, logits, vocab, Mode::Store);
        for_each_row(pool, 1, logits, vocab, |row, logits| match faults[row] {
            Some(kind) => f(row, Err(kind)),
            None => f(row, Ok(logits)),
        });
        Ok(())
    }

    /// Sketch of each row that is read; a hidden state that does not fit is that row's fault, unless it has an earlier one.
    fn sketches(&self, segments: &[Segment<'_>], projection: &[i32], faults: &mut [Option<Fault>]) -> Vec<u32> {
        let (width, layer) = (self.config.hidden_size, self.config.num_hidden_layers);
        let mut found = vec![Ok(0); faults.len()];
        for_each_row(&self.pool, 8, &mut found, 1, |row, out| {
            out[0] = ops::sketch(self.isa, &self.hidden[row * width..(row + 1) * width], projection);
        });
        let positions = segments.iter().flat_map(|s| s.start..s.start + s.tokens.len());
        let sketch = |((sketch, fault), position): ((_, &mut Option<Fault>), _)| match sketch {
            Ok(sketch) => sketch,
            Err(kind) => {
                fault.get_or_insert(Fault { kind, layer, position });
                0
            }
        };
        found.into_iter().zip(faults).zip(positions).map(sketch).collect()
    }
}
