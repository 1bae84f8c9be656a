//! Values of the operands: times depend on the power that they take, so they are not zeros.

use half::bf16;

use super::KernelBench;
use crate::Result;
use crate::cuda::ops::operands::{Arrangement, Faults, PackedWeights, QuantizedRows, RowCount, Rows};
use crate::cuda::ops::quantize_rows::QuantizeRows;
use crate::cuda::ops::quantize_weights::{QuantizeWeights, SourceRows, WeightType};
use crate::cuda::{DeviceBuffer, abi};

/// A prime, so that rows of any width differ.
const PERIOD: usize = 65_521;

/// Bytes of a matrix that are on the device before they are packed.
const SOURCE_BYTES: usize = 32 << 20;

/// Bell-shaped values of standard deviation `scale`.
pub(super) fn noise(len: usize, scale: f32) -> Vec<f32> {
    let one = |i: usize| {
        let mut x = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let sum: i32 = (0..4).map(|k| (x >> (16 * k) & 0xffff) as i32 - 0x8000).sum();
        // Four uniforms of variance 2^32 / 12.
        sum as f32 / 37_837.0 * scale
    };
    let table: Vec<f32> = (0..len.min(PERIOD)).map(one).collect();
    table.iter().copied().cycle().take(len).collect()
}

/// The same as bits of bf16.
pub(super) fn noise_bf16(len: usize, scale: f32) -> Vec<u16> {
    noise(len, scale).into_iter().map(|v| bf16::from_f32(v).to_bits()).collect()
}

impl KernelBench {
    pub(super) fn floats(&self, len: usize) -> Result<DeviceBuffer<f32>> {
        DeviceBuffer::from_slice(&self.device, &noise(len, 1.0))
    }

    pub(super) fn no_faults(&self, rows: u32) -> Result<DeviceBuffer<u32>> {
        DeviceBuffer::from_slice(&self.device, &vec![abi::NO_FAULT; rows as usize])
    }

    /// Rows of a checkpoint's matrix as they come off the disk, as many as are packed at a time.
    pub(super) fn source(&self, rows: u32, k: u32) -> Result<(DeviceBuffer<u8>, u32)> {
        let most = (SOURCE_BYTES / (2 * k as usize) / 8 * 8).max(8) as u32;
        let rows = rows.min(most);
        let values = noise_bf16(rows as usize * k as usize, 0.02);
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Ok((DeviceBuffer::from_slice(&self.device, &bytes)?, rows))
    }

    /// A packed matrix.
    pub(super) fn packed(&self, rows: u32, k: u32, arrangement: Arrangement) -> Result<PackedWeights> {
        let quantize = QuantizeWeights::new(&self.device)?;
        let (bytes, step) = self.source(rows, k)?;
        let mut fault = self.no_faults(1)?;
        let mut packed = PackedWeights::zeroed(&self.device, rows, k, arrangement)?;
        for first in (0..rows).step_by(step as usize) {
            let up = (arrangement == Arrangement::GateUp).then_some(&bytes);
            let source = SourceRows { bytes: &bytes, up, rows: step.min(rows - first), element: WeightType::Bf16 };
            quantize.run(&source, &mut packed, first, &mut fault)?;
        }
        Ok(packed)
    }

    /// Quantized rows.
    pub(super) fn quantized(&self, rows: u32, k: u32) -> Result<QuantizedRows> {
        let stride = k.next_multiple_of(4);
        let (x, mut words) = (self.floats(rows as usize * stride as usize)?, self.no_faults(rows)?);
        let mut quantized = QuantizedRows::zeroed(&self.device, rows, k)?;
        let rows = Rows { x: &x, stride, count: RowCount::exactly(rows) };
        let mut faults = Faults { words: &mut words, layer: 0, stage: abi::STAGE_HEAD };
        QuantizeRows::new(&self.device)?.run(&rows, &mut quantized, &mut faults)?;
        Ok(quantized)
    }
}
