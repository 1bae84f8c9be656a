//! start_context.cu and mark_context.cu: which ids a slot's sequence holds, and since when.

use super::super::{Device, DeviceBuffer, Kernel, LaunchShape, abi};
use super::reading::{Reading, refuse_unless};
use crate::Result;

const THREADS: u32 = 256;

/// Both kernels.
#[derive(Debug, Clone)]
pub struct Context {
    start: Kernel<abi::start_context_params>,
    mark: Kernel<abi::mark_context_params>,
}

impl Context {
    /// Loads them.
    ///
    /// # Errors
    /// As [`Device::kernel`].
    pub fn new(device: &Device) -> Result<Self> {
        Ok(Self { start: device.kernel("start_context", 0)?, mark: device.kernel("mark_context", 0)? })
    }

    /// Gives `slot` the context of `source`, or an empty one.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for a slot that there is not, [`crate::Error::Device`] with the driver's words.
    pub fn start(&self, reading: &mut Reading, slot: u32, source: Option<u32>) -> Result<()> {
        let (slots, stride) = (reading.shape().slots, reading.stride());
        refuse_unless(slot < slots && source.is_none_or(|s| s < slots && s != slot), "slot", || {
            format!("slot {slot} from {source:?}, there are {slots}")
        })?;
        let table = reading.context_mut().as_mut_ptr();
        let at = |slot: u32| table.wrapping_add(slot as usize * stride as usize);
        let params = abi::start_context_params {
            source: source.map_or(std::ptr::null(), |s| at(s).cast_const()),
            context: at(slot),
            stride,
            reserved: 0,
        };
        // SAFETY: both tables are whole ones of the reading, and differ.
        unsafe { self.start.launch(LaunchShape::linear(stride.div_ceil(4 * THREADS), THREADS), &params) }
    }

    /// Notes `tokens`, whose first has position `start`, in the context of `slot`. The ids must be below the vocabulary.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for a slot that there is not, [`crate::Error::Device`] with the driver's words.
    ///
    /// # Safety
    /// Every id in `tokens` is below the reading's vocabulary.
    pub unsafe fn mark(&self, reading: &mut Reading, slot: u32, tokens: &DeviceBuffer<u32>, start: u32) -> Result<()> {
        let (slots, stride) = (reading.shape().slots, reading.stride());
        refuse_unless(slot < slots, "slot", || format!("slot {slot}, there are {slots}"))?;
        if tokens.is_empty() {
            return Ok(());
        }
        let context = reading.context_mut().as_mut_ptr().wrapping_add(slot as usize * stride as usize);
        let count = tokens.len() as u32;
        let params = abi::mark_context_params { tokens: tokens.as_ptr(), context, count, start };
        // SAFETY: the table is a whole one of the reading; ids lie in it, says the caller.
        unsafe { self.mark.launch(LaunchShape::linear(count.div_ceil(THREADS).min(1024), THREADS), &params) }
    }
}
