//! read_logits.cu: given rows of logits, read as head.cu reads those it makes.

use super::super::{Device, DeviceBuffer, Kernel, LaunchShape, abi};
use super::reading::{Reading, refuse_unless};
use crate::Result;

/// The kernel.
#[derive(Debug, Clone)]
pub struct ReadLogits {
    kernel: Kernel<abi::read_logits_params>,
}

impl ReadLogits {
    /// Loads it.
    ///
    /// # Errors
    /// As [`Device::kernel`].
    pub fn new(device: &Device) -> Result<Self> {
        Ok(Self { kernel: device.kernel("read_logits", 0)? })
    }

    /// Reads rows of `logits`, which lie the vocabulary rounded up to 128 apart.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for too few logits, [`crate::Error::Device`] with the driver's words.
    pub fn run(&self, logits: &DeviceBuffer<f32>, reading: &mut Reading) -> Result<()> {
        let (shape, stride) = (*reading.shape(), reading.stride());
        let needed = reading.used_rows() * stride as usize;
        refuse_unless(logits.len() >= needed, "logits", || format!("{} numbers, {needed} are needed", logits.len()))?;
        let params = abi::read_logits_params { reading: reading.params(), x: logits.as_ptr(), stride, reserved: 0 };
        let grid = [shape.slices, shape.rows.div_ceil(abi::HEAD_WARPS), 1];
        let launch = LaunchShape { grid, block: 32 * abi::HEAD_WARPS, shared_bytes: 0 };
        // SAFETY: rows in use lie in `logits` (above); `reading` is borrowed exclusively and sized for its shape.
        unsafe { self.kernel.launch(launch, &params) }
    }
}
