//! final_norm.cu: the end of the pass.

use super::super::{Device, DeviceBuffer, Kernel, LaunchShape, abi};
use super::pages::{StepRows, fits, fits_rows};
use super::reading::refuse_unless;
use crate::Result;

const THREADS: u32 = 256;

/// The kernel.
#[derive(Debug, Clone)]
pub struct FinalNorm {
    kernel: Kernel<abi::final_norm_params>,
}

/// Rows of the residual stream.
#[derive(Debug)]
pub struct FinalInput<'a> {
    /// `[..][ld]`
    pub x: &'a DeviceBuffer<f32>,
    /// Floats from row to row.
    pub ld: u32,
    /// Weights of the norm, one a column.
    pub weight: &'a DeviceBuffer<f32>,
    /// Epsilon of the norm.
    pub eps: f32,
    /// Which row of `x`, and of the faults, each output row is of; `None`: the same one.
    pub source: Option<&'a DeviceBuffer<u32>>,
    /// Output rows at the most.
    pub rows: u32,
    /// The layer of fault words: the number of layers.
    pub layer: u32,
}

/// What is made of them; each may be left out.
#[derive(Debug, Default)]
pub struct FinalOut<'a> {
    /// Projection vector, one a column, and the sketch of each row, in [0, 2^31 - 1).
    pub sketch: Option<(&'a DeviceBuffer<i32>, &'a mut DeviceBuffer<u32>)>,
    /// Normed rows, `[rows][columns]`.
    pub hidden: Option<&'a mut DeviceBuffer<f32>>,
    /// Quantized rows for the head and their exponents.
    pub rows: Option<(&'a mut DeviceBuffer<u8>, &'a mut DeviceBuffer<i8>)>,
}

impl FinalNorm {
    /// Loads it.
    ///
    /// # Errors
    /// As [`Device::kernel`].
    pub fn new(device: &Device) -> Result<Self> {
        Ok(Self { kernel: device.kernel("final_norm", 0)? })
    }

    /// The rows of `input`, or as many as the count of `counted` says.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for buffers that are too small, [`crate::Error::Device`] with the driver's words.
    ///
    /// # Safety
    /// `source`, where given, names rows of `x` and of `fault`.
    pub unsafe fn run(
        &self,
        input: &FinalInput<'_>,
        counted: Option<&StepRows>,
        out: &mut FinalOut<'_>,
        fault: &mut DeviceBuffer<u32>,
    ) -> Result<()> {
        let (rows, n, ld) = (input.rows, input.weight.len() as u32, input.ld);
        refuse_unless(n > 0 && ld >= n && ld.is_multiple_of(4), "ld", || format!("{ld} for {n} columns"))?;
        match input.source {
            Some(source) => fits("source", source.len(), rows as usize)?,
            None => {
                fits("x", input.x.len(), rows as usize * ld as usize)?;
                fits("faults", fault.len(), rows as usize)?;
            }
        }
        if let Some((projection, sketch)) = &out.sketch {
            fits("projection", projection.len(), n as usize)?;
            fits("sketch", sketch.len(), rows as usize)?;
        }
        if let Some(hidden) = &out.hidden {
            fits("hidden", hidden.len(), rows as usize * n as usize)?;
        }
        if let Some((q, g)) = &out.rows {
            fits_rows(q, g, rows, n)?;
        }
        if rows == 0 {
            return Ok(());
        }
        let (projection, sketch) =
            out.sketch.as_mut().map_or((std::ptr::null(), std::ptr::null_mut()), |(r, s)| (r.as_ptr(), s.as_mut_ptr()));
        let (q, g) = out
            .rows
            .as_mut()
            .map_or((std::ptr::null_mut(), std::ptr::null_mut()), |(q, g)| (q.as_mut_ptr(), g.as_mut_ptr()));
        let params = abi::final_norm_params {
            x: input.x.as_ptr(),
            weight: input.weight.as_ptr(),
            source: input.source.map_or(std::ptr::null(), DeviceBuffer::as_ptr),
            row_count: counted.map_or(std::ptr::null(), |step| step.count.as_ptr()),
            projection,
            sketch,
            hidden: out.hidden.as_mut().map_or(std::ptr::null_mut(), |h| h.as_mut_ptr()),
            q,
            g,
            fault: fault.as_mut_ptr(),
            rows,
            n,
            ld,
            layer: input.layer,
            eps: input.eps,
            reserved: 0,
        };
        // SAFETY: every buffer was found large enough; what `source` says is the caller's.
        unsafe { self.kernel.launch(LaunchShape::linear(rows, THREADS), &params) }
    }
}
