//! choose.cu and sample_row.cu: answers from what the head left.

use super::super::{Device, Kernel, LaunchShape, abi};
use super::reading::Reading;
use crate::Result;

/// Both kernels: the mode of a reading says which one answers.
#[derive(Debug, Clone)]
pub struct Choose {
    choose: Kernel<abi::choose_params>,
    sample_row: Kernel<abi::choose_params>,
}

impl Choose {
    /// Loads them.
    ///
    /// # Errors
    /// As [`Device::kernel`].
    pub fn new(device: &Device) -> Result<Self> {
        Ok(Self { choose: device.kernel("choose", 0)?, sample_row: device.kernel("sample_row", 0)? })
    }

    /// Answers the questions asked last, whose rows were read before in stream order.
    ///
    /// # Errors
    /// [`crate::Error::Device`] with the driver's words.
    pub fn run(&self, reading: &mut Reading) -> Result<()> {
        let (kernel, threads) =
            if reading.mode() == abi::MODE_ROW { (&self.sample_row, 1024) } else { (&self.choose, 512) };
        let rows = reading.shape().rows;
        let params = reading.choose_params();
        // SAFETY: the buffers are the reading's, borrowed exclusively and sized for its shape; in MODE_ROW it has rows
        // of logits (`Reading::set_sampling`).
        unsafe { kernel.launch(LaunchShape::linear(rows, threads), &params) }
    }
}
