//! combine_chunks.cu: the ordered end of attend_chunks.cu.

use super::super::{Device, DeviceBuffer, Kernel, LaunchShape, abi};
use super::attend_chunks::Partials;
use super::pages::{AttentionShape, StepRows, fits, fits_rows};
use super::reading::refuse_unless;
use crate::Result;

const WARPS: u32 = 4;

/// The kernel.
#[derive(Debug, Clone)]
pub struct CombineChunks {
    kernel: Kernel<abi::combine_chunks_params>,
}

/// Where attention's output goes.
#[derive(Debug)]
pub struct AttentionOut<'a> {
    /// Quantized rows of `heads * head_dim` columns.
    pub q: &'a mut DeviceBuffer<u8>,
    /// Their exponents.
    pub g: &'a mut DeviceBuffer<i8>,
    /// `[rows][heads * head_dim]` in f32, for probes.
    pub attention: Option<&'a mut DeviceBuffer<f32>>,
}

impl CombineChunks {
    /// Loads it.
    ///
    /// # Errors
    /// As [`Device::kernel`].
    pub fn new(device: &Device) -> Result<Self> {
        Ok(Self { kernel: device.kernel("combine_chunks", 0)? })
    }

    /// The first `rows` rows, or as many as `step.count` says where `counted`.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for buffers that are too small, [`crate::Error::Device`] with the driver's words.
    ///
    /// # Safety
    /// Every chunk of each row up to its position's is in `partials`, and there are no more of them than it has room for.
    #[allow(clippy::too_many_arguments)]
    pub unsafe fn run(
        &self,
        shape: &AttentionShape,
        partials: &Partials,
        step: &StepRows,
        rows: u32,
        counted: bool,
        layer: u32,
        out: &mut AttentionOut<'_>,
        fault: &mut DeviceBuffer<u32>,
    ) -> Result<()> {
        shape.check()?;
        step.check(rows)?;
        let columns = shape.heads * shape.head_dim;
        let max_chunks = partials.check(shape, rows)?;
        fits_rows(out.q, out.g, rows, columns)?;
        fits("faults", fault.len(), rows as usize)?;
        if let Some(attention) = &out.attention {
            fits("attention", attention.len(), rows as usize * columns as usize)?;
        }
        if rows == 0 {
            return Ok(());
        }
        let params = abi::combine_chunks_params {
            o: partials.o.as_ptr(),
            nl: partials.nl.as_ptr(),
            position: step.position.as_ptr(),
            row_count: if counted { step.count.as_ptr() } else { std::ptr::null() },
            q: out.q.as_mut_ptr(),
            g: out.g.as_mut_ptr(),
            attention: out.attention.as_mut().map_or(std::ptr::null_mut(), |a| a.as_mut_ptr()),
            fault: fault.as_mut_ptr(),
            rows,
            heads: shape.heads,
            head_dim: shape.head_dim,
            max_chunks,
            layer,
            reserved: 0,
        };
        let tasks = u64::from(rows) * u64::from(columns.div_ceil(abi::BLOCK));
        refuse_unless(tasks < 1 << 31, "rows", || format!("{rows} are too many for a launch"))?;
        // SAFETY: every buffer was found large enough; the chunks are the caller's.
        unsafe { self.kernel.launch(LaunchShape::linear((tasks as u32).div_ceil(WARPS), 32 * WARPS), &params) }
    }
}
