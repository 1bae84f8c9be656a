//! Section 7 over a whole model: one sequence, one position after the other.

use super::attention::{HeadCache, attend};
use super::elementary::silu;
use super::product::product;
use super::quantize::{Quantized, quantize_l, quantize_r};
use super::reduce::rmsnorm;
use super::rope::{attention_scale, inverse_frequencies, rope_row, rotate};
use super::sampling::sample;
use crate::types::{Probe, Sampling, Seed, Stage};
use crate::{Fault, FaultKind};

/// The numbers a Qwen3 forward pass needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Number of layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Channels of a head.
    pub head_dim: usize,
    /// Width of the MLP.
    pub intermediate: usize,
    /// Vocabulary size.
    pub vocab: usize,
    /// The head is the embedding.
    pub tied: bool,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// RMSNorm epsilon.
    pub rms_norm_eps: f64,
}

type Matrix = Vec<Quantized>;

struct Layer {
    input_norm: Vec<f32>,
    q: Matrix,
    k: Matrix,
    v: Matrix,
    o: Matrix,
    q_norm: Vec<f32>,
    k_norm: Vec<f32>,
    post_norm: Vec<f32>,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
}

/// A model with its weights quantized by L, row by row.
pub struct ReferenceModel {
    shape: Shape,
    embedding: Vec<f32>,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    head: Matrix,
}

/// What the pass gives for one position.
#[derive(Debug, Clone)]
pub struct ReferenceRow {
    /// Final-norm output.
    pub hidden: Vec<f32>,
    /// One logit per id.
    pub logits: Vec<f32>,
}

fn quantize_matrix(w: &[f32], columns: usize) -> Result<Matrix, FaultKind> {
    w.chunks(columns).map(quantize_l).collect()
}

fn apply(m: &Matrix, x: &[f32]) -> Result<Vec<f32>, FaultKind> {
    let x = quantize_r(x)?;
    Ok(m.iter().map(|w| product(w, &x)).collect())
}

fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

impl ReferenceModel {
    /// Takes every tensor as f32, row-major, by its Hugging Face name.
    ///
    /// # Errors
    /// The name of the first tensor that a quantizer refuses.
    pub fn new(shape: Shape, tensor: impl Fn(&str) -> Vec<f32>) -> Result<Self, (String, FaultKind)> {
        let matrix = |name: &str, columns: usize| {
            quantize_matrix(&tensor(name), columns).map_err(|kind| (name.to_string(), kind))
        };
        let (hidden, attention) = (shape.hidden, shape.heads * shape.head_dim);
        let mut layers = Vec::new();
        for i in 0..shape.layers {
            let n = |part: &str| format!("model.layers.{i}.{part}.weight");
            layers.push(Layer {
                input_norm: tensor(&n("input_layernorm")),
                q: matrix(&n("self_attn.q_proj"), hidden)?,
                k: matrix(&n("self_attn.k_proj"), hidden)?,
                v: matrix(&n("self_attn.v_proj"), hidden)?,
                o: matrix(&n("self_attn.o_proj"), attention)?,
                q_norm: tensor(&n("self_attn.q_norm")),
                k_norm: tensor(&n("self_attn.k_norm")),
                post_norm: tensor(&n("post_attention_layernorm")),
                gate: matrix(&n("mlp.gate_proj"), hidden)?,
                up: matrix(&n("mlp.up_proj"), hidden)?,
                down: matrix(&n("mlp.down_proj"), shape.intermediate)?,
            });
        }
        let head = if shape.tied { "model.embed_tokens.weight" } else { "lm_head.weight" };
        Ok(Self {
            embedding: tensor("model.embed_tokens.weight"),
            layers,
            norm: tensor("model.norm.weight"),
            head: matrix(head, hidden)?,
            shape,
        })
    }

    /// The model's numbers.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Hidden state and logits of every position of `tokens`.
    ///
    /// # Errors
    /// The first fault, by position and then by layer.
    pub fn forward(&self, tokens: &[u32], probe: &mut Probe<'_>) -> Result<Vec<ReferenceRow>, Fault> {
        let mut sequence = Sequence::new(self);
        tokens.iter().map(|&t| sequence.push(t, probe)).collect()
    }

    /// Tokens up to and with the first of `eos` or the `max_new`-th, each with (raw, sampling) log-probability.
    ///
    /// # Errors
    /// The fault that ended the sequence.
    pub fn generate(
        &self,
        prompt: &[u32],
        params: &Sampling,
        seed: &Seed,
        eos: &[u32],
        max_new: usize,
    ) -> Result<Vec<(u32, f32, f32)>, Fault> {
        let mut sequence = Sequence::new(self);
        let mut tokens = prompt.to_vec();
        let mut row = None;
        for &t in prompt {
            row = Some(sequence.push(t, &mut |_, _, _, _| {})?);
        }
        let mut logits = row.expect("a prompt has at least one token").logits;
        let mut out = Vec::new();
        loop {
            let fault = |kind| Fault { kind, layer: self.shape.layers, position: tokens.len() - 1 };
            let s = sample(&logits, &tokens, params, seed, tokens.len()).map_err(fault)?;
            let id = s.token as usize;
            out.push((s.token, s.raw_logprobs[id], s.sampling_logprobs[id]));
            tokens.push(s.token);
            logits = sequence.push(s.token, &mut |_, _, _, _| {})?.logits;
            if eos.contains(&s.token) || out.len() == max_new {
                return Ok(out);
            }
        }
    }
}

/// One sequence in progress.
struct Sequence<'m> {
    model: &'m ReferenceModel,
    caches: Vec<Vec<HeadCache>>,
    inverse: Vec<f32>,
    length: usize,
}

impl<'m> Sequence<'m> {
    fn new(model: &'m ReferenceModel) -> Self {
        let s = &model.shape;
        let caches = vec![vec![HeadCache::default(); s.kv_heads]; s.layers];
        Self { model, caches, inverse: inverse_frequencies(s.rope_theta, s.head_dim), length: 0 }
    }

    fn push(&mut self, token: u32, probe: &mut Probe<'_>) -> Result<ReferenceRow, Fault> {
        let (s, position) = (&self.model.shape, self.length);
        let mut probe = |layer: usize, stage, x: &[f32]| probe(layer as i64, stage, position, x);
        let at = |layer: usize| move |kind| Fault { kind, layer, position };
        let start = token as usize * s.hidden;
        let mut x = self.model.embedding[start..start + s.hidden].to_vec();
        probe(usize::MAX, Stage::Embedding, &x);
        for layer in 0..s.layers {
            self.layer(layer, &mut x, &mut probe).map_err(at(layer))?;
        }
        let eps = s.rms_norm_eps as f32;
        let hidden = rmsnorm(&x, &self.model.norm, eps).map_err(at(s.layers))?;
        probe(s.layers, Stage::FinalNorm, &hidden);
        let logits = apply(&self.model.head, &hidden).map_err(at(s.layers))?;
        self.length += 1;
        Ok(ReferenceRow { hidden, logits })
    }

    fn layer(
        &mut self,
        index: usize,
        x: &mut [f32],
        probe: &mut impl FnMut(usize, Stage, &[f32]),
    ) -> Result<(), FaultKind> {
        let (s, w) = (&self.model.shape, &self.model.layers[index]);
        let eps = s.rms_norm_eps as f32;
        let mut probe = |stage, x: &[f32]| probe(index, stage, x);

        let normed = rmsnorm(x, &w.input_norm, eps)?;
        probe(Stage::AttentionNorm, &normed);
        let (mut q, mut k, v) = (apply(&w.q, &normed)?, apply(&w.k, &normed)?, apply(&w.v, &normed)?);
        let (cos, sin) = rope_row(&self.inverse, self.length);
        for (heads, norm) in [(&mut q, &w.q_norm), (&mut k, &w.k_norm)] {
            for head in heads.chunks_mut(s.head_dim) {
                head.copy_from_slice(&rmsnorm(head, norm, eps)?);
                rotate(head, &cos, &sin);
            }
        }
        probe(Stage::Query, &q);
        probe(Stage::Key, &k);
        probe(Stage::Value, &v);
        let caches = &mut self.caches[index];
        for (cache, (k, v)) in caches.iter_mut().zip(k.chunks(s.head_dim).zip(v.chunks(s.head_dim))) {
            cache.push(k, v)?;
        }
        let mut attention = Vec::new();
        for (h, query) in q.chunks(s.head_dim).enumerate() {
            let cache = &caches[h * s.kv_heads / s.heads];
            attention.extend(attend(query, cache, cache.len(), attention_scale(s.head_dim))?.o);
        }
        probe(Stage::Attention, &attention);
        add(x, &apply(&w.o, &attention)?);
        probe(Stage::ResidualAttention, x);

        let normed = rmsnorm(x, &w.post_norm, eps)?;
        probe(Stage::MlpNorm, &normed);
        let (gate, up) = (apply(&w.gate, &normed)?, apply(&w.up, &normed)?);
        probe(Stage::Gate, &gate);
        probe(Stage::Up, &up);
        let activation: Vec<f32> = gate.iter().zip(&up).map(|(&g, u)| silu(g) * u).collect();
        probe(Stage::Activation, &activation);
        add(x, &apply(&w.down, &activation)?);
        probe(Stage::ResidualMlp, x);
        Ok(())
    }
}
