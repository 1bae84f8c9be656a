//! quantize_rows.cu: quantizer R.

use super::super::{Device, Kernel, LaunchShape, abi};
use super::operands::{Faults, QuantizedRows, Rows, require};
use crate::Result;

/// Warps of a block, as quantize_rows.cu has it.
const WARPS: u32 = 4;

/// The kernel.
#[derive(Debug, Clone)]
pub struct QuantizeRows {
    kernel: Kernel<abi::quantize_rows_params>,
}

impl QuantizeRows {
    /// Loads it.
    ///
    /// # Errors
    /// As [`Device::kernel`].
    pub fn new(device: &Device) -> Result<Self> {
        Ok(Self { kernel: device.kernel("quantize_rows", 0)? })
    }

    /// Quantizes the first `into.k()` elements of each row.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for shapes that do not agree, [`crate::Error::Device`] with the driver's words.
    pub fn run(&self, rows: &Rows<'_>, into: &mut QuantizedRows, faults: &mut Faults<'_>) -> Result<()> {
        let (k, count) = (into.k(), rows.count.most);
        rows.check(k)?;
        faults.check(count)?;
        require(count <= into.rows(), "quantized rows", || format!("{count} rows into {}", into.rows()))?;
        let groups = k.div_ceil(abi::BLOCK).div_ceil(WARPS);
        let params = abi::quantize_rows_params {
            x: rows.x.as_ptr(),
            q: into.q.as_mut_ptr(),
            g: into.g.as_mut_ptr(),
            fault: faults.words.as_mut_ptr(),
            row_count: rows.count.pointer(),
            rows: count,
            k,
            ld: rows.stride,
            layer: faults.layer,
            stage: faults.stage,
            reserved: 0,
        };
        // SAFETY: all buffers hold `count` rows of the widths given; the driver aligns buffers, and strides are multiples of 16 bytes.
        unsafe { self.kernel.launch(LaunchShape::linear(count * groups, 32 * WARPS), &params) }
    }
}
