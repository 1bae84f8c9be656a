//! A checkpoint as the forward pass wants it: matrices quantized and packed, norms widened.
//!
//! Packing reads each tensor once and lets go of its mapped pages afterwards. The embedding stays where
//! it is, also in tied models: rows are read from the checkpoint as they are (NUMERICS section 4).

use super::isa::Isa;
use super::pack::{Format, PackError, PackedMatrix};
use super::pool::Pool;
use crate::checkpoint::{Checkpoint, Dtype, TensorView};
use crate::{Error, Result};

/// One layer. Stacked matrices are one product of the same input.
pub struct LayerWeights {
    /// RMSNorm before attention, `[hidden]`.
    pub input_norm: Vec<f32>,
    /// q, k and v rows on top of each other: `[(heads + 2 kv_heads) * head_dim, hidden]`.
    pub qkv: PackedMatrix,
    /// Norm of each query head, `[head_dim]`.
    pub q_norm: Vec<f32>,
    /// Norm of each key head, `[head_dim]`.
    pub k_norm: Vec<f32>,
    /// `[hidden, heads * head_dim]`.
    pub o: PackedMatrix,
    /// RMSNorm before the MLP, `[hidden]`.
    pub post_norm: Vec<f32>,
    /// Gate and up panels alternating, `[intermediate, hidden]` each.
    pub gate_up: PackedMatrix,
    /// `[hidden, intermediate]`.
    pub down: PackedMatrix,
}

/// Everything but the embedding.
pub struct Weights {
    /// One entry a layer.
    pub layers: Vec<LayerWeights>,
    /// Final RMSNorm, `[hidden]`.
    pub norm: Vec<f32>,
    /// `[vocab, hidden]`.
    pub head: PackedMatrix,
}

impl Weights {
    /// Packs every matrix of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Tensor`] naming the tensor, row and column of a weight that cannot be used; [`Error::Memory`].
    pub fn load(checkpoint: &Checkpoint, isa: Isa, pool: &Pool) -> Result<Self> {
        let config = checkpoint.config();
        let load = Load { checkpoint, isa, pool };
        let layers = (0..config.num_hidden_layers).map(|i| load.layer(i)).collect::<Result<_>>()?;
        let embedding = checkpoint.embedding();
        let head = match config.tie_word_embeddings {
            true => embedding,
            false => {
                load.check(&embedding)?;
                checkpoint.tensor("lm_head.weight")?
            }
        };
        let weights = Self { layers, norm: load.norm("model.norm.weight")?, head: load.stacked(&[head])? };
        checkpoint.release_pages(embedding.name());
        checkpoint.release_pages(head.name());
        Ok(weights)
    }

    /// [`Weights::bytes`] of a checkpoint, known before any is packed, but for the few weights that
    /// [`Format::Compact`] keeps apart.
    ///
    /// # Errors
    /// As [`Weights::load`], for a tensor that is not there.
    pub fn bytes_for(checkpoint: &Checkpoint, isa: Isa) -> Result<u64> {
        let config = checkpoint.config();
        let size = |names: &[&str], prefix: &str, parts: usize| -> Result<u64> {
            let views = names.iter().map(|name| checkpoint.tensor(&format!("{prefix}{name}.weight")));
            let views = views.collect::<Result<Vec<_>>>()?;
            let rows = views.iter().map(|v| v.rows()).sum::<usize>() / parts;
            Ok(PackedMatrix::bytes_of(format_of(isa, &views), parts, rows, views[0].columns()))
        };
        let mut bytes = match config.tie_word_embeddings {
            true => {
                let view = checkpoint.embedding();
                PackedMatrix::bytes_of(format_of(isa, &[view]), 1, view.rows(), view.columns())
            }
            false => size(&["lm_head"], "", 1)?,
        };
        for layer in 0..config.num_hidden_layers {
            let prefix = format!("model.layers.{layer}.");
            for (names, parts) in STACKS {
                bytes = bytes.saturating_add(size(names, &prefix, parts)?);
            }
        }
        Ok(bytes)
    }

    /// Memory of the packed matrices, bytes.
    pub fn bytes(&self) -> usize {
        self.matrices().map(PackedMatrix::bytes).sum()
    }

    /// Weights that [`Format::Compact`] keeps apart.
    pub fn kept_apart(&self) -> usize {
        self.matrices().map(PackedMatrix::kept_apart).sum()
    }

    fn matrices(&self) -> impl Iterator<Item = &PackedMatrix> {
        self.layers.iter().flat_map(|l| [&l.qkv, &l.o, &l.gate_up, &l.down]).chain([&self.head])
    }
}

/// The matrices of a layer and how many parts each has.
const STACKS: [(&[&str], usize); 4] = [
    (&["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], 1),
    (&["self_attn.o_proj"], 1),
    (&["mlp.gate_proj", "mlp.up_proj"], 2),
    (&["mlp.down_proj"], 1),
];

/// Eleven bits hold what comes from bf16; without vector instructions they would take longer to decode than to read.
fn format_of(isa: Isa, views: &[TensorView<'_>]) -> Format {
    match isa != Isa::PORTABLE && views.iter().all(|view| view.dtype() == Dtype::Bf16) {
        true => Format::Compact,
        false => Format::Wide,
    }
}

struct Load<'a> {
    checkpoint: &'a Checkpoint,
    isa: Isa,
    pool: &'a Pool,
}

impl Load<'_> {
    fn layer(&self, index: usize) -> Result<LayerWeights> {
        let name = |part: &str| format!("model.layers.{index}.{part}.weight");
        let view = |part: &str| self.checkpoint.tensor(&name(part));
        let (q, k, v) = (view("self_attn.q_proj")?, view("self_attn.k_proj")?, view("self_attn.v_proj")?);
        let (gate, up) = (view("mlp.gate_proj")?, view("mlp.up_proj")?);
        let layer = LayerWeights {
            input_norm: self.norm(&name("input_layernorm"))?,
            qkv: self.stacked(&[q, k, v])?,
            q_norm: self.norm(&name("self_attn.q_norm"))?,
            k_norm: self.norm(&name("self_attn.k_norm"))?,
            o: self.stacked(&[view("self_attn.o_proj")?])?,
            post_norm: self.norm(&name("post_attention_layernorm"))?,
            gate_up: self.gate_up(gate, up)?,
            down: self.stacked(&[view("mlp.down_proj")?])?,
        };
        for part in STACKS.iter().flat_map(|(names, _)| *names) {
            self.checkpoint.release_pages(&name(part));
        }
        Ok(layer)
    }

    fn norm(&self, name: &str) -> Result<Vec<f32>> {
        let view = self.checkpoint.tensor(name)?;
        view.check_finite(0..view.rows())?;
        Ok(view.to_f32_vec())
    }

    /// A tensor that is not packed: every row is looked at.
    fn check(&self, view: &TensorView<'_>) -> Result<()> {
        let first = std::sync::Mutex::new(None::<(usize, Error)>);
        self.pool.for_each(view.rows(), 256, |rows| {
            let start = rows.start;
            if let Err(e) = view.check_finite(rows) {
                let mut first = first.lock().expect("no panic while held");
                if first.as_ref().is_none_or(|(at, _)| start < *at) {
                    *first = Some((start, e));
                }
            }
        });
        first.into_inner().expect("no panic while held").map_or(Ok(()), |(_, e)| Err(e))
    }

    fn stacked(&self, views: &[TensorView<'_>]) -> Result<PackedMatrix> {
        let find = |mut row: usize| {
            for view in views {
                match row.checked_sub(view.rows()) {
                    Some(rest) => row = rest,
                    None => return (view, row),
                }
            }
            unreachable!("rows of a stack are rows of its parts")
        };
        let rows = views.iter().map(|v| v.rows()).sum();
        let fill = |row: usize, out: &mut [f32]| {
            let (view, row) = find(row);
            view.row_to_f32(row, out);
        };
        PackedMatrix::pack(self.isa, self.pool, format_of(self.isa, views), rows, views[0].columns(), fill)
            .map_err(|e| refused(e, |_, row| find(row)))
    }

    fn gate_up(&self, gate: TensorView<'_>, up: TensorView<'_>) -> Result<PackedMatrix> {
        let parts = [gate, up];
        let fill = |part: usize, row: usize, out: &mut [f32]| parts[part].row_to_f32(row, out);
        PackedMatrix::pack_gate_up(self.isa, self.pool, format_of(self.isa, &parts), gate.rows(), gate.columns(), fill)
            .map_err(|e| refused(e, |part, row| (&parts[part], row)))
    }
}

fn refused<'v, 'a: 'v>(error: PackError, find: impl FnOnce(usize, usize) -> (&'v TensorView<'a>, usize)) -> Error {
    match error {
        PackError::Fault { part, row, kind } => {
            let (view, row) = find(part, row);
            let tensor = view.name().to_owned();
            view.check_finite(row..row + 1)
                .err()
                .unwrap_or(Error::Tensor { tensor, problem: format!("row {row}: {kind}") })
        }
        PackError::Memory { bytes, source } => {
            Error::Unsupported { what: format!("{bytes} bytes of memory for weights"), problem: source.to_string() }
        }
    }
}
