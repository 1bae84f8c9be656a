//! The forward pass: rows of any mixture of sequences through all layers, in one batch of launches.

use super::batch::Batch;
use super::plan::stride;
use super::read::Answers;
use super::{CudaModel, Kernels, Step, fault_kind, weights};
use crate::backend::{Pass, Question, Reading, Row, Segment};
use crate::cuda::ops::attend_prefill::PrefillOut;
use crate::cuda::ops::combine_chunks::AttentionOut;
use crate::cuda::ops::embed::Embedding;
use crate::cuda::ops::final_norm::{FinalInput, FinalOut};
use crate::cuda::ops::operands::{Epilogue, Faults, PackedWeights, Product, QuantizedRows, RowCount, Rows};
use crate::cuda::ops::pages::StepRows;
use crate::cuda::ops::rotate_store::{Qkv, Rotation};
use crate::cuda::{DeviceBuffer, abi};
use crate::types::{Probe, Stage};
use crate::{Error, Fault, Result};

/// Who looks at the stages, and at what rows.
pub(super) struct Watch<'a, 'p> {
    probe: Option<&'a mut Probe<'p>>,
    positions: Vec<u32>,
}

/// Whether a fault word is told: what the last layer makes of a row that is not read is nobody's fault.
pub(super) fn is_told(word: u32, layers: usize, read: bool) -> bool {
    let (layer, stage) = ((word >> 16) as usize, word >> 8 & 0xff);
    word != abi::NO_FAULT && (read || layer + 1 < layers || layer + 1 == layers && stage < abi::STAGE_QUERY)
}

impl Watch<'_, '_> {
    pub fn nobody() -> Self {
        Self { probe: None, positions: Vec::new() }
    }

    fn watched(&self) -> bool {
        self.probe.is_some()
    }

    /// Shows columns `part` of each row.
    fn show(
        &mut self,
        layer: i64,
        stage: Stage,
        x: &DeviceBuffer<f32>,
        stride: u32,
        part: std::ops::Range<usize>,
    ) -> Result<()> {
        let Some(probe) = &mut self.probe else { return Ok(()) };
        let values = x.read(0, self.positions.len() * stride as usize)?;
        for (row, position) in values.chunks_exact(stride as usize).zip(&self.positions) {
            probe(layer, stage, *position as usize, &row[part.clone()]);
        }
        Ok(())
    }
}

impl Kernels {
    fn product(
        &self,
        weights: &PackedWeights,
        x: &QuantizedRows,
        y: &mut DeviceBuffer<f32>,
        width: usize,
        rows: u32,
        epilogue: Epilogue,
    ) -> Result<()> {
        let count = RowCount::exactly(rows);
        self.products.run(&mut Product { weights, x, y, stride: stride(width), count, epilogue })
    }
}

impl CudaModel {
    pub(super) fn pass(
        &mut self,
        segments: &[Segment<'_>],
        projection: &[i32],
        probe: Option<&mut Probe<'_>>,
    ) -> Result<Pass> {
        let batch = self.queue_pass(segments, projection, probe)?;
        self.device.synchronize()?;
        Ok(self.outcome(&batch, !projection.is_empty()))
    }

    /// A pass and answers off its rows, waited for once.
    pub(super) fn pass_and_answer(
        &mut self,
        segments: &[Segment<'_>],
        projection: &[i32],
        rows: &[Row<'_>],
        questions: &[Question<'_>],
        reading: Reading<'_>,
    ) -> Result<(Pass, Answers)> {
        let batch = self.queue_pass(segments, projection, None)?;
        let answers = self.answer(rows, questions, reading)?;
        if questions.is_empty() {
            self.device.synchronize()?;
        }
        Ok((self.outcome(&batch, !projection.is_empty()), answers))
    }

    /// Queues a pass and the copies of what it tells.
    fn queue_pass(
        &mut self,
        segments: &[Segment<'_>],
        projection: &[i32],
        probe: Option<&mut Probe<'_>>,
    ) -> Result<Batch> {
        let batch = Batch::new(segments, &self.shape, self.plan.chunks as usize);
        if batch.rows() == 0 {
            self.kept.clear();
            return Ok(batch);
        }
        let last = batch.position.iter().copied().max().unwrap_or(0) as usize;
        self.upload(&batch, projection, last)?;
        let mut watch = Watch { probe, positions: batch.position.clone() };
        let sketches = !projection.is_empty();
        // Rows that decode are most passes and the same launches again and again: only buffers change.
        if batch.tiles.is_empty() && !watch.watched() {
            self.replay(&batch, sketches)?;
        } else {
            self.launches(&batch, sketches, &mut watch)?;
        }
        let work = &mut self.work;
        // SAFETY: `told` lives as long as the model, and `outcome` comes after a wait.
        unsafe { work.fault.queue_read(0, batch.rows(), &mut work.told, 0) }?;
        if sketches {
            let (at, count) = (self.limits.rows as usize, batch.source().len());
            // SAFETY: as above.
            unsafe { work.sketch.queue_read(0, count, &mut work.told, at) }?;
        }
        Ok(batch)
    }

    /// The launches of a decoding pass as one: recorded when a pass of as many rows comes for the first time.
    fn replay(&mut self, batch: &Batch, sketches: bool) -> Result<()> {
        let key = Step { rows: batch.rows(), read: batch.source().len(), sketches, then: None };
        if !self.steps.contains_key(&key) {
            let device = self.device.clone();
            let graph = device.record(|| self.launches(batch, sketches, &mut Watch::nobody()))?;
            self.steps.insert(key, graph);
        }
        // SAFETY: parameters are addresses of buffers of `work`, `rope`, `pages` and `weights`, which live as long as the graphs:
        // who replaces one forgets them (`upload`). What the buffers say is of this batch, of as many rows as then.
        unsafe { self.steps[&key].launch() }
    }

    /// Everything from tokens to final-norm outputs.
    pub(super) fn launches(&mut self, batch: &Batch, sketches: bool, watch: &mut Watch<'_, '_>) -> Result<()> {
        let hidden = self.config().hidden_size;
        self.embed(batch)?;
        watch.show(-1, Stage::Embedding, &self.work.x, stride(hidden), 0..hidden)?;
        let layers = self.config().num_hidden_layers;
        let some_read = batch.read.iter().any(|r| *r);
        for layer in 0..layers {
            self.project(layer, batch, watch)?;
            let last = layer + 1 == layers && !watch.watched();
            if !last || some_read {
                // Of rows that nobody reads the last layer ends with their keys and values.
                let rows = if last { batch.needed } else { batch.rows() } as u32;
                self.attend(layer, batch, last, rows, watch)?;
                self.mlp(layer, rows, watch)?;
            }
        }
        self.finish(batch, sketches, watch)
    }

    /// Everything that changes from pass to pass, for positions up to `last`.
    pub(super) fn upload(&mut self, batch: &Batch, projection: &[i32], last: usize) -> Result<()> {
        let (rows, sequences) = (batch.rows(), batch.pages.len());
        if rows > self.limits.rows as usize || sequences > self.limits.sequences as usize {
            let problem =
                format!("{rows} rows of {sequences} sequences in a pass, there is room for {:?}", self.limits);
            return Err(Error::Request { field: "step_rows".into(), problem });
        }
        let (device, config) = (&self.device, self.checkpoint.config());
        if self.rope.grow(device, last + 1, config)? {
            self.steps.clear();
        }
        let work = &mut self.work;
        if batch.most_pages() > work.step.max_pages() as usize {
            let pages = batch.most_pages().next_power_of_two() as u32;
            work.step = StepRows::new(device, self.limits.rows, self.limits.sequences, pages)?;
            self.steps.clear();
        }
        let (step, source) = (&mut work.step, batch.source());
        step.token.queue(0, &batch.token)?;
        step.position.queue(0, &batch.position)?;
        step.sequence.queue(0, &batch.sequence)?;
        step.page_table.queue(0, &batch.page_table(step.max_pages() as usize))?;
        work.items.set(&batch.plan)?;
        // As many as there are: the launch has so many blocks.
        work.tiles = DeviceBuffer::queued(device, &batch.tiles)?;
        work.last_tiles = DeviceBuffer::queued(device, batch.needed_tiles())?;
        work.source.queue(0, &source)?;
        const { assert!(abi::NO_FAULT == u32::MAX) };
        work.fault.set_bits(rows)?;
        if !projection.is_empty() && work.projected != projection {
            work.projected.clear();
            work.projection.queue(0, projection)?;
            work.projected.extend_from_slice(projection);
        }
        self.kept = vec![None; rows];
        for (at, &row) in source.iter().enumerate() {
            self.kept[batch.origin[row as usize]] = Some(at as u32);
        }
        Ok(())
    }

    fn embed(&mut self, batch: &Batch) -> Result<()> {
        let (c, work) = (self.checkpoint.config(), &mut self.work);
        let embedding = Embedding {
            bytes: &self.weights.embedding,
            element: self.weights.element.code(),
            vocab: c.vocab_size as u32,
            hidden: c.hidden_size as u32,
        };
        let (rows, ld) = (batch.rows() as u32, stride(c.hidden_size));
        // SAFETY: the engine checked every token against the vocabulary.
        unsafe { self.kernels.embed.run(&embedding, &work.step, &mut work.x, ld, rows, false) }
    }

    /// RMSNorm of the residual stream into `hidden_rows`.
    fn norm(&mut self, layer: usize, rows: u32, watch: &mut Watch<'_, '_>, stage: Stage) -> Result<()> {
        let c = self.checkpoint.config();
        let hidden = c.hidden_size;
        let w = &self.weights.layers[layer];
        let (weight, word) = match stage {
            Stage::AttentionNorm => (&w.input_norm, abi::STAGE_INPUT_NORM),
            _ => (&w.post_norm, abi::STAGE_POST_NORM),
        };
        let work = &mut self.work;
        let mut copy = match watch.watched() {
            true => Some(DeviceBuffer::zeroed(&self.device, rows as usize * hidden)?),
            false => None,
        };
        let x = Rows { x: &work.x, stride: stride(hidden), count: RowCount::exactly(rows) };
        let mut faults = Faults { words: &mut work.fault, layer: layer as u32, stage: word };
        let eps = c.rms_norm_eps as f32;
        self.kernels.norm.run(&x, weight, eps, &mut work.hidden_rows, copy.as_mut(), &mut faults)?;
        copy.map_or(Ok(()), |copy| watch.show(layer as i64, stage, &copy, hidden as u32, 0..hidden))
    }

    /// Queries of a layer as columns, keys and values into the pages.
    fn project(&mut self, layer: usize, batch: &Batch, watch: &mut Watch<'_, '_>) -> Result<()> {
        let rows = batch.rows() as u32;
        self.norm(layer, rows, watch, Stage::AttentionNorm)?;
        let width = self.shape.qkv_width() as usize;
        let (w, work) = (&self.weights.layers[layer], &mut self.work);
        self.kernels.product(&w.qkv, &work.hidden_rows, &mut work.qkv, width, rows, Epilogue::Store)?;
        let mut rotated = match watch.watched() {
            true => Some(DeviceBuffer::zeroed(&self.device, rows as usize * stride(width) as usize)?),
            false => None,
        };
        let work = &mut self.work;
        let eps = self.checkpoint.config().rms_norm_eps as f32;
        let rotation = Rotation { q_norm: &w.q_norm, k_norm: &w.k_norm, cos: &self.rope.cos, sin: &self.rope.sin, eps };
        let input = Qkv { x: &work.qkv, ld: stride(width), rows, counted: false };
        // SAFETY: `Batch` gives each row a row of the page table with a page for every position up to its own, of pages that
        // the engine took from this store; no two rows have the same page and position, or they would be one sequence's.
        // The rotary table has grown to the greatest position.
        unsafe {
            self.kernels.rotate.run(
                &input,
                &rotation,
                &work.step,
                &mut self.pages,
                layer as u32,
                &mut work.queries,
                rotated.as_mut(),
                &mut work.fault,
            )?;
        }
        let Some(rotated) = rotated else { return Ok(()) };
        let head_dim = self.shape.head_dim as usize;
        let q_end = self.shape.heads as usize * head_dim;
        let k_end = q_end + self.shape.kv_heads as usize * head_dim;
        for (stage, part) in [(Stage::Query, 0..q_end), (Stage::Key, q_end..k_end), (Stage::Value, k_end..width)] {
            watch.show(layer as i64, stage, &rotated, stride(width), part)?;
        }
        Ok(())
    }

    /// Attention and its projection of the first `rows` rows, added to the residual; `last`: of those that the last layer needs.
    fn attend(&mut self, layer: usize, batch: &Batch, last: bool, rows: u32, watch: &mut Watch<'_, '_>) -> Result<()> {
        let spread = batch.spread as u32;
        let walk = !if last { batch.needed_tiles() } else { &batch.tiles }.is_empty();
        let columns = (self.shape.heads * self.shape.head_dim) as usize;
        // Rows whose blocks span heads are quantized from floats, all in one go.
        let floats = watch.watched() || !self.kernels.prefill.quantizes() && walk;
        let (work, k, index) = (&mut self.work, &self.kernels, layer as u32);
        if spread > 0 {
            // SAFETY: the plan was made of these rows, whose chunks are no more than there is room for.
            unsafe {
                let (q, p, f) = (&work.queries, &mut work.partials, &mut work.fault);
                k.attend.run(&work.items, &work.step, spread, &self.pages, index, q, p, f)?;
                let (q, g) = (&mut work.attention_rows.q, &mut work.attention_rows.g);
                let mut out = AttentionOut { q, g, attention: floats.then_some(&mut work.attention) };
                let f = &mut work.fault;
                k.combine.run(&self.shape, &work.partials, &work.step, spread, false, index, &mut out, f)?;
            }
        }
        if walk {
            let tiles = if last { &work.last_tiles } else { &work.tiles };
            let (q, g) = (&mut work.attention_rows.q, &mut work.attention_rows.g);
            let quantized = k.prefill.quantizes().then_some((q, g));
            let mut out = PrefillOut { rows: quantized, attention: floats.then_some(&mut work.attention) };
            let (q, f) = (&work.queries, &mut work.fault);
            // SAFETY: `Batch` made the tiles of neighbouring rows of one sequence, with pages for all their positions.
            unsafe { k.prefill.run(tiles, &work.step, rows, &self.pages, index, q, &mut out, f)? };
            if !k.prefill.quantizes() {
                let x = Rows { x: &work.attention, stride: columns as u32, count: RowCount::exactly(rows) };
                let words = &mut work.fault;
                let mut faults = Faults { words, layer: index, stage: abi::STAGE_ATTENTION_OUTPUT };
                k.quantize.run(&x, &mut work.attention_rows, &mut faults)?;
            }
        }
        watch.show(layer as i64, Stage::Attention, &self.work.attention, columns as u32, 0..columns)?;
        self.add(layer, rows, Stage::ResidualAttention, watch)
    }

    /// The product of o or down, added to the residual.
    fn add(&mut self, layer: usize, rows: u32, stage: Stage, watch: &mut Watch<'_, '_>) -> Result<()> {
        let hidden = self.config().hidden_size;
        let (w, work) = (&self.weights.layers[layer], &mut self.work);
        let (weights, input) = match stage {
            Stage::ResidualAttention => (&w.o, &work.attention_rows),
            _ => (&w.down, &work.activation_rows),
        };
        self.kernels.product(weights, input, &mut work.x, hidden, rows, Epilogue::Add)?;
        watch.show(layer as i64, stage, &self.work.x, stride(hidden), 0..hidden)
    }

    /// The MLP of the first `rows` rows, added to the residual.
    fn mlp(&mut self, layer: usize, rows: u32, watch: &mut Watch<'_, '_>) -> Result<()> {
        self.norm(layer, rows, watch, Stage::MlpNorm)?;
        let width = self.config().intermediate_size;
        let work = &mut self.work;
        if watch.watched() {
            // Gate and up values are never stored; for a probe they are made apart.
            for (stage, name) in [(Stage::Gate, "gate_proj"), (Stage::Up, "up_proj")] {
                let name = format!("model.layers.{layer}.mlp.{name}.weight");
                let alone = weights::pack(&self.device, &self.checkpoint, &name)?;
                let y = &mut work.activation;
                self.kernels.product(&alone, &work.hidden_rows, y, width, rows, Epilogue::Store)?;
                watch.show(layer as i64, stage, &work.activation, stride(width), 0..width)?;
            }
        }
        let gate_up = &self.weights.layers[layer].gate_up;
        self.kernels.product(gate_up, &work.hidden_rows, &mut work.activation, width, rows, Epilogue::Store)?;
        watch.show(layer as i64, Stage::Activation, &work.activation, stride(width), 0..width)?;
        let x = Rows { x: &work.activation, stride: stride(width), count: RowCount::exactly(rows) };
        let mut faults = Faults { words: &mut work.fault, layer: layer as u32, stage: abi::STAGE_ACTIVATION };
        self.kernels.quantize.run(&x, &mut work.activation_rows, &mut faults)?;
        self.add(layer, rows, Stage::ResidualMlp, watch)
    }

    /// Final norm of the rows that are read, and their sketches.
    fn finish(&mut self, batch: &Batch, sketches: bool, watch: &mut Watch<'_, '_>) -> Result<()> {
        let (hidden, layers) = (self.config().hidden_size, self.config().num_hidden_layers);
        let (eps, source) = (self.config().rms_norm_eps as f32, batch.source());
        let work = &mut self.work;
        let input = FinalInput {
            x: &work.x,
            ld: stride(hidden),
            weight: &self.weights.norm,
            eps,
            source: Some(&work.source),
            rows: source.len() as u32,
            layer: layers as u32,
        };
        let sketch = sketches.then_some((&work.projection, &mut work.sketch));
        let mut out = FinalOut { sketch, hidden: Some(&mut work.hidden), rows: None };
        // SAFETY: `source` names rows of the batch.
        unsafe { self.kernels.last.run(&input, None, &mut out, &mut work.fault)? };
        if watch.watched() {
            watch.positions = source.iter().map(|&row| batch.position[row as usize]).collect();
            watch.show(layers as i64, Stage::FinalNorm, &work.hidden, hidden as u32, 0..hidden)?;
        }
        Ok(())
    }

    /// Faults and sketches of a pass that was waited for.
    fn outcome(&self, batch: &Batch, sketches: bool) -> Pass {
        let (layers, total) = (self.config().num_hidden_layers, self.kept.len());
        let told = &self.work.told;
        if batch.rows() == 0 {
            return Pass { sketches: Vec::new(), faults: Vec::new() };
        }
        let mut pass = Pass { sketches: Vec::new(), faults: vec![None; total] };
        for row in 0..batch.rows() {
            let word = told.get(row);
            if is_told(word, layers, batch.read[row]) {
                let (layer, position) = ((word >> 16) as usize, batch.position[row] as usize);
                pass.faults[batch.origin[row]] = Some(Fault { kind: fault_kind(word), layer, position });
            }
        }
        if sketches {
            pass.sketches = vec![0; total];
            for (i, row) in batch.source().into_iter().enumerate() {
                let at = batch.origin[row as usize];
                let sketch = told.get(self.limits.rows as usize + i);
                pass.sketches[at] = if pass.faults[at].is_some() { 0 } else { sketch };
            }
        }
        pass
    }
}
