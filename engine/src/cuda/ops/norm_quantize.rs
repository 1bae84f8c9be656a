//! norm_quantize.cu: RMSNorm and quantizer R in one.

use super::super::{Device, DeviceBuffer, Kernel, LaunchShape, abi};
use super::operands::{Faults, QuantizedRows, Rows, optional, require};
use crate::Result;

/// Elements of the longest row: what 48 KiB of shared memory hold beside the sums.
pub const MAX_WIDTH: u32 = 11 << 10;

/// The kernel.
#[derive(Debug, Clone)]
pub struct NormQuantize {
    kernel: Kernel<abi::norm_quantize_params>,
}

impl NormQuantize {
    /// Loads it.
    ///
    /// # Errors
    /// As [`Device::kernel`].
    pub fn new(device: &Device) -> Result<Self> {
        Ok(Self { kernel: device.kernel("norm_quantize", 4 * MAX_WIDTH)? })
    }

    /// Norms rows of `weight.len()` elements into `into`, and if it is wanted into `normed`, `[rows][weight.len()]`.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for shapes that do not agree, [`crate::Error::Device`] with the driver's words.
    pub fn run(
        &self,
        rows: &Rows<'_>,
        weight: &DeviceBuffer<f32>,
        eps: f32,
        into: &mut QuantizedRows,
        normed: Option<&mut DeviceBuffer<f32>>,
        faults: &mut Faults<'_>,
    ) -> Result<()> {
        let (n, count) = (into.k(), rows.count.most);
        require(n <= MAX_WIDTH, "norm", || format!("rows of {n} elements, at most {MAX_WIDTH}"))?;
        require(weight.len() == n as usize, "norm", || format!("{} weights for {n} elements", weight.len()))?;
        rows.check(n)?;
        faults.check(count)?;
        require(count <= into.rows(), "norm", || format!("{count} rows into {}", into.rows()))?;
        let copied = normed.as_ref().is_none_or(|to| to.len() / n as usize >= count as usize);
        require(copied, "norm", || format!("no room for a copy of {count} rows"))?;
        let params = abi::norm_quantize_params {
            x: rows.x.as_ptr(),
            weight: weight.as_ptr(),
            q: into.q.as_mut_ptr(),
            g: into.g.as_mut_ptr(),
            normed: optional(normed),
            fault: faults.words.as_mut_ptr(),
            row_count: rows.count.pointer(),
            rows: count,
            n,
            ld: rows.stride,
            layer: faults.layer,
            stage: faults.stage,
            eps,
        };
        let shape = LaunchShape { grid: [count, 1, 1], block: 256, shared_bytes: 4 * n.next_multiple_of(abi::BLOCK) };
        // SAFETY: all buffers hold `count` rows of the widths given; the driver aligns buffers, and strides are multiples of 16 bytes.
        unsafe { self.kernel.launch(shape, &params) }
    }
}
