//! A checkpoint's tensors on the device: matrices quantized there, norms widened, the embedding as it is.

use super::plan::STAGING_BYTES;
use crate::checkpoint::{Checkpoint, Dtype, TensorView};
use crate::cuda::ops::operands::{Arrangement, PackedWeights};
use crate::cuda::ops::quantize_weights::{QuantizeWeights, SourceRows, WeightType};
use crate::cuda::{Device, DeviceBuffer, abi};
use crate::{Error, Result};

/// One layer. Stacked matrices are one product of the same input.
#[derive(Debug)]
pub(super) struct Layer {
    pub input_norm: DeviceBuffer<f32>,
    pub qkv: PackedWeights,
    pub q_norm: DeviceBuffer<f32>,
    pub k_norm: DeviceBuffer<f32>,
    pub o: PackedWeights,
    pub post_norm: DeviceBuffer<f32>,
    pub gate_up: PackedWeights,
    pub down: PackedWeights,
}

/// Everything.
#[derive(Debug)]
pub(super) struct Weights {
    pub layers: Vec<Layer>,
    pub norm: DeviceBuffer<f32>,
    pub head: PackedWeights,
    pub embedding: DeviceBuffer<u8>,
    pub element: WeightType,
}

fn element(dtype: Dtype) -> WeightType {
    match dtype {
        Dtype::F32 => WeightType::F32,
        Dtype::F16 => WeightType::F16,
        Dtype::Bf16 => WeightType::Bf16,
    }
}

impl Weights {
    /// Uploads and quantizes every tensor of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Tensor`] naming the tensor, row and column of a weight that cannot be used; the device's.
    pub fn load(device: &Device, checkpoint: &Checkpoint) -> Result<Self> {
        let mut load = Load::new(device, checkpoint)?;
        let layers = (0..checkpoint.config().num_hidden_layers).map(|i| load.layer(i)).collect::<Result<_>>()?;
        let view = checkpoint.embedding();
        let head = match checkpoint.config().tie_word_embeddings {
            true => view,
            false => {
                view.check_finite(0..view.rows())?;
                checkpoint.tensor("lm_head.weight")?
            }
        };
        let packed = load.stacked(&[head])?;
        let embedding = DeviceBuffer::queued(device, view.bytes())?;
        let norm = load.norm("model.norm.weight")?;
        load.check(&[head])?;
        checkpoint.release_pages(view.name());
        checkpoint.release_pages(head.name());
        Ok(Self { layers, norm, head: packed, embedding, element: element(view.dtype()) })
    }
}

/// A packed matrix of one tensor alone.
///
/// # Errors
/// As [`Weights::load`].
pub(super) fn pack(device: &Device, checkpoint: &Checkpoint, name: &str) -> Result<PackedWeights> {
    let (mut load, view) = (Load::new(device, checkpoint)?, checkpoint.tensor(name)?);
    let packed = load.stacked(&[view])?;
    load.check(&[view])?;
    Ok(packed)
}

/// Matrices of a layer.
const MATRICES: [&str; 7] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];

/// Copies and kernels are queued; the host reads the next rows off the disk meanwhile.
struct Load<'a> {
    device: &'a Device,
    checkpoint: &'a Checkpoint,
    quantize: QuantizeWeights,
    staging: [DeviceBuffer<u8>; 2],
    fault: DeviceBuffer<u32>,
}

impl<'a> Load<'a> {
    fn new(device: &'a Device, checkpoint: &'a Checkpoint) -> Result<Self> {
        let longest = checkpoint.tensors().map(|t| t.bytes().len()).max().unwrap_or(0).min(STAGING_BYTES);
        // Eight rows at least: gate and up alternate by so many.
        let rows = checkpoint.tensors().map(|t| 8 * t.columns() * t.dtype().size_bytes()).max().unwrap_or(0);
        let staging = || DeviceBuffer::zeroed(device, longest.max(rows));
        Ok(Self {
            device,
            checkpoint,
            quantize: QuantizeWeights::new(device)?,
            staging: [staging()?, staging()?],
            fault: DeviceBuffer::from_slice(device, &[abi::NO_FAULT])?,
        })
    }

    fn layer(&mut self, index: usize) -> Result<Layer> {
        let checkpoint = self.checkpoint;
        let name = |part: &str| format!("model.layers.{index}.{part}.weight");
        let view = |part: &str| checkpoint.tensor(&name(part));
        let layer = Layer {
            input_norm: self.norm(&name("input_layernorm"))?,
            qkv: self.stacked(&[view("self_attn.q_proj")?, view("self_attn.k_proj")?, view("self_attn.v_proj")?])?,
            q_norm: self.norm(&name("self_attn.q_norm"))?,
            k_norm: self.norm(&name("self_attn.k_norm"))?,
            o: self.stacked(&[view("self_attn.o_proj")?])?,
            post_norm: self.norm(&name("post_attention_layernorm"))?,
            gate_up: self.gate_up(view("mlp.gate_proj")?, view("mlp.up_proj")?)?,
            down: self.stacked(&[view("mlp.down_proj")?])?,
        };
        let views = MATRICES.iter().map(|part| view(part)).collect::<Result<Vec<_>>>()?;
        self.check(&views)?;
        views.iter().for_each(|view| checkpoint.release_pages(view.name()));
        Ok(layer)
    }

    fn norm(&self, name: &str) -> Result<DeviceBuffer<f32>> {
        let view = self.checkpoint.tensor(name)?;
        view.check_finite(0..view.rows())?;
        DeviceBuffer::queued(self.device, &view.to_f32_vec())
    }

    /// Rows of several tensors on top of each other.
    fn stacked(&mut self, views: &[TensorView<'_>]) -> Result<PackedWeights> {
        let rows: usize = views.iter().map(TensorView::rows).sum();
        let mut packed =
            PackedWeights::zeroed(self.device, rows as u32, views[0].columns() as u32, Arrangement::Stacked)?;
        let mut first = 0;
        for view in views {
            self.quantize(&mut packed, first, view, None)?;
            first += view.rows();
        }
        Ok(packed)
    }

    fn gate_up(&mut self, gate: TensorView<'_>, up: TensorView<'_>) -> Result<PackedWeights> {
        let (rows, columns) = (gate.rows() as u32, gate.columns() as u32);
        let mut packed = PackedWeights::zeroed(self.device, rows, columns, Arrangement::GateUp)?;
        self.quantize(&mut packed, 0, &gate, Some(&up))?;
        Ok(packed)
    }

    /// Rows of `view` from row `first` of `packed` on, as many at a time as the staging holds.
    fn quantize(
        &mut self,
        packed: &mut PackedWeights,
        first: usize,
        view: &TensorView<'_>,
        up: Option<&TensorView<'_>>,
    ) -> Result<()> {
        let row_bytes = view.columns() * view.dtype().size_bytes();
        let step = self.staging[0].len() / row_bytes / 8 * 8;
        for start in (0..view.rows()).step_by(step) {
            let range = start..(start + step).min(view.rows());
            let bytes = range.start * row_bytes..range.end * row_bytes;
            let [staging, other] = &mut self.staging;
            staging.queue(0, &view.bytes()[bytes.clone()])?;
            if let Some(up) = up {
                other.queue(0, &up.bytes()[bytes])?;
            }
            let source = SourceRows {
                bytes: staging,
                up: up.map(|_| &*other),
                rows: range.len() as u32,
                element: element(view.dtype()),
            };
            self.quantize.run(&source, packed, (first + start) as u32, &mut self.fault)?;
        }
        Ok(())
    }

    /// Waits for what was queued; if a kernel met a value that no quantizer takes, says which of `views` has it.
    fn check(&self, views: &[TensorView<'_>]) -> Result<()> {
        if self.fault.read(0, 1)?[0] == abi::NO_FAULT {
            return Ok(());
        }
        views.iter().try_for_each(|view| view.check_finite(0..view.rows()))?;
        let tensor = views.first().map_or_else(String::new, |view| view.name().into());
        Err(Error::Tensor { tensor, problem: "or one beside it has a value that no quantizer takes".into() })
    }
}
