//! Kernels that go over rows: what comes off the disk, embedding, norms and quantizers.

use super::{BenchRow, Bytes, KernelBench, Peer, ShowRow, quantized_bytes};
use crate::Result;
use crate::cuda::ops::embed::{Embed, Embedding};
use crate::cuda::ops::final_norm::{FinalInput, FinalNorm, FinalOut};
use crate::cuda::ops::norm_quantize::NormQuantize;
use crate::cuda::ops::operands::{Arrangement, Faults, PackedWeights, QuantizedRows, RowCount, Rows};
use crate::cuda::ops::pages::StepRows;
use crate::cuda::ops::quantize_rows::QuantizeRows;
use crate::cuda::ops::quantize_weights::{QuantizeWeights, SourceRows, WeightType};
use crate::cuda::{DeviceBuffer, abi};

/// A kernel without products.
fn row(kernel: &'static str, case: String, bytes: u64, seconds: Vec<f64>) -> BenchRow {
    BenchRow { kernel, case, bytes: Bytes::Exactly(bytes), operations: 0, seconds, peer: Peer::None }
}

pub(super) fn run(bench: &KernelBench, show: &mut ShowRow<'_>) -> Result<()> {
    show(weights(bench)?)?;
    for (rows, what) in bench.row_counts() {
        show(embed(bench, rows, &what)?)?;
        show(norm(bench, rows, &what)?)?;
        show(quantize(bench, rows, &what)?)?;
    }
    for &rows in &bench.options.batches {
        show(last(bench, rows, &format!("decode {rows}"))?)?;
    }
    Ok(())
}

/// Gate rows, as a checkpoint is loaded.
fn weights(bench: &KernelBench) -> Result<BenchRow> {
    let (features, k) = (bench.width(bench.options.shape.intermediate), bench.hidden());
    let (bytes, rows) = bench.source(features, k)?;
    let quantize = QuantizeWeights::new(&bench.device)?;
    let mut fault = bench.no_faults(1)?;
    let mut packed = PackedWeights::zeroed(&bench.device, rows, k, Arrangement::Stacked)?;
    let source = SourceRows { bytes: &bytes, up: None, rows, element: WeightType::Bf16 };
    let seconds = bench.timer.time(1, |_| quantize.run(&source, &mut packed, 0, &mut fault))?;
    let moved = 2 * u64::from(rows) * u64::from(k) + PackedWeights::bytes_for(rows, k, Arrangement::Stacked);
    Ok(row("quantize_weights", format!("{rows} x {k}, bf16"), moved, seconds))
}

fn embed(bench: &KernelBench, rows: u32, what: &str) -> Result<BenchRow> {
    let hidden = bench.hidden();
    let vocab = bench.width(bench.options.shape.vocab);
    let (bytes, vocab) = bench.source(vocab, hidden)?;
    let rows = rows.min(vocab);
    let kernel = Embed::new(&bench.device)?;
    let mut step = StepRows::new(&bench.device, rows, 1, 1)?;
    // Different ids, far from each other.
    step.token.write(0, &(0..rows).map(|i| i * (vocab / rows)).collect::<Vec<_>>())?;
    let ld = hidden.next_multiple_of(4);
    let mut x = DeviceBuffer::zeroed(&bench.device, rows as usize * ld as usize)?;
    let embedding = Embedding { bytes: &bytes, element: abi::ELEMENT_BF16, vocab, hidden };
    // SAFETY: the ids are below `vocab`.
    let seconds = bench.timer.time(1, |_| unsafe { kernel.run(&embedding, &step, &mut x, ld, rows, false) })?;
    Ok(row("embed", what.into(), u64::from(rows) * (4 + 6 * u64::from(hidden)), seconds))
}

fn norm(bench: &KernelBench, rows: u32, what: &str) -> Result<BenchRow> {
    let hidden = bench.hidden();
    let stride = hidden.next_multiple_of(4);
    let (x, weight) = (bench.floats(rows as usize * stride as usize)?, bench.floats(hidden as usize)?);
    let kernel = NormQuantize::new(&bench.device)?;
    let mut into = QuantizedRows::zeroed(&bench.device, rows, hidden)?;
    let mut words = bench.no_faults(rows)?;
    let seconds = bench.timer.time(1, |_| {
        let x = Rows { x: &x, stride, count: RowCount::exactly(rows) };
        let mut faults = Faults { words: &mut words, layer: 0, stage: abi::STAGE_INPUT_NORM };
        kernel.run(&x, &weight, 1e-6, &mut into, None, &mut faults)
    })?;
    let bytes = 4 * (u64::from(rows) + 1) * u64::from(hidden) + quantized_bytes(rows, hidden);
    Ok(row("norm_quantize", what.into(), bytes, seconds))
}

fn quantize(bench: &KernelBench, rows: u32, what: &str) -> Result<BenchRow> {
    let k = bench.width(bench.options.shape.intermediate);
    let stride = k.next_multiple_of(4);
    let x = bench.floats(rows as usize * stride as usize)?;
    let kernel = QuantizeRows::new(&bench.device)?;
    let mut into = QuantizedRows::zeroed(&bench.device, rows, k)?;
    let mut words = bench.no_faults(rows)?;
    let seconds = bench.timer.time(1, |_| {
        let x = Rows { x: &x, stride, count: RowCount::exactly(rows) };
        let mut faults = Faults { words: &mut words, layer: 0, stage: abi::STAGE_ACTIVATION };
        kernel.run(&x, &mut into, &mut faults)
    })?;
    let bytes = 4 * u64::from(rows) * u64::from(k) + quantized_bytes(rows, k);
    Ok(row("quantize_rows", what.into(), bytes, seconds))
}

/// Final norm with sketches, as a step of a miner ends.
fn last(bench: &KernelBench, rows: u32, what: &str) -> Result<BenchRow> {
    let hidden = bench.hidden();
    let ld = hidden.next_multiple_of(4);
    let (x, weight) = (bench.floats(rows as usize * ld as usize)?, bench.floats(hidden as usize)?);
    let projection: Vec<i32> = (0..hidden as i32).map(|i| i.wrapping_mul(-1_640_531_527)).collect();
    let projection = DeviceBuffer::from_slice(&bench.device, &projection)?;
    let mut sketch = DeviceBuffer::zeroed(&bench.device, rows as usize)?;
    let mut normed = DeviceBuffer::zeroed(&bench.device, rows as usize * hidden as usize)?;
    let mut fault = bench.no_faults(rows)?;
    let kernel = FinalNorm::new(&bench.device)?;
    let layer = bench.width(bench.options.shape.layers);
    let seconds = bench.timer.time(1, |_| {
        let input = FinalInput { x: &x, ld, weight: &weight, eps: 1e-6, source: None, rows, layer };
        let mut out = FinalOut { sketch: Some((&projection, &mut sketch)), hidden: Some(&mut normed), rows: None };
        // SAFETY: no row is named.
        unsafe { kernel.run(&input, None, &mut out, &mut fault) }
    })?;
    let bytes = 8 * (u64::from(rows) + 1) * u64::from(hidden) + 4 * u64::from(rows);
    Ok(row("final_norm", format!("{what}, sketches"), bytes, seconds))
}
