//! rotate_store.cu: between the qkv product and attention.

use super::super::{Device, DeviceBuffer, Kernel, LaunchShape, abi};
use super::pages::{Pages, QueryColumns, StepRows, fits};
use super::reading::refuse_unless;
use crate::Result;
use crate::cpu::ops::query_scale;

const WARPS: u32 = 8;

/// The kernel.
#[derive(Debug, Clone)]
pub struct RotateStore {
    kernel: Kernel<abi::rotate_store_params>,
}

/// What a layer's queries, keys and values become other numbers by.
#[derive(Debug)]
pub struct Rotation<'a> {
    /// Weights of the query norm.
    pub q_norm: &'a DeviceBuffer<f32>,
    /// Weights of the key norm.
    pub k_norm: &'a DeviceBuffer<f32>,
    /// Rotary table, `[positions][head_dim / 2]`.
    pub cos: &'a DeviceBuffer<f32>,
    /// Rotary table, `[positions][head_dim / 2]`.
    pub sin: &'a DeviceBuffer<f32>,
    /// Epsilon of the norms.
    pub eps: f32,
}

/// Rows of queries, keys and values, heads in this order, before norm.
#[derive(Debug)]
pub struct Qkv<'a> {
    /// `[rows][ld]`
    pub x: &'a DeviceBuffer<f32>,
    /// Floats from row to row.
    pub ld: u32,
    /// Rows at the most.
    pub rows: u32,
    /// Whether the rows are as many as the step's count says.
    pub counted: bool,
}

impl RotateStore {
    /// Loads it.
    ///
    /// # Errors
    /// As [`Device::kernel`].
    pub fn new(device: &Device) -> Result<Self> {
        Ok(Self { kernel: device.kernel("rotate_store", 0)? })
    }

    /// Norms, rotates and quantizes: queries into `queries`, keys and values of `layer` into the rows' pages. `rotated`
    /// gets the floats that were quantized (queries before the scale), in the layout of `qkv`.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for buffers that are too small, [`crate::Error::Device`] with the driver's words.
    ///
    /// # Safety
    /// Of each row, the slot has a row in the page table whose entry for the position is a page of `pages`, the rotary
    /// table has the position, and no other row has the same page and position in it.
    #[allow(clippy::too_many_arguments)]
    pub unsafe fn run(
        &self,
        qkv: &Qkv<'_>,
        rotation: &Rotation<'_>,
        step: &StepRows,
        pages: &mut Pages,
        layer: u32,
        queries: &mut QueryColumns,
        rotated: Option<&mut DeviceBuffer<f32>>,
        fault: &mut DeviceBuffer<u32>,
    ) -> Result<()> {
        let shape = *pages.shape();
        let (rows, ld) = (qkv.rows, qkv.ld);
        step.check(rows)?;
        queries.check(&shape, rows)?;
        refuse_unless(ld >= shape.qkv_width() && ld.is_multiple_of(4), "ld", || {
            format!("{ld} for {} columns", shape.qkv_width())
        })?;
        fits("qkv", qkv.x.len(), rows as usize * ld as usize)?;
        fits("faults", fault.len(), rows as usize)?;
        fits("q_norm", rotation.q_norm.len(), shape.head_dim as usize)?;
        fits("k_norm", rotation.k_norm.len(), shape.head_dim as usize)?;
        fits("sin", rotation.sin.len(), rotation.cos.len())?;
        if let Some(rotated) = &rotated {
            fits("rotated", rotated.len(), rows as usize * ld as usize)?;
        }
        if rows == 0 {
            return Ok(());
        }
        let params = abi::rotate_store_params {
            cache: pages.view(step, layer)?,
            qkv: qkv.x.as_ptr(),
            q_norm: rotation.q_norm.as_ptr(),
            k_norm: rotation.k_norm.as_ptr(),
            cos: rotation.cos.as_ptr(),
            sin: rotation.sin.as_ptr(),
            q: queries.q.as_mut_ptr(),
            q_g: queries.g.as_mut_ptr(),
            rotated: rotated.map_or(std::ptr::null_mut(), DeviceBuffer::as_mut_ptr),
            fault: fault.as_mut_ptr(),
            row_count: if qkv.counted { step.count.as_ptr() } else { std::ptr::null() },
            rows,
            ld,
            eps: rotation.eps,
            scale: query_scale(shape.head_dim as usize),
        };
        let tasks = u64::from(rows) * u64::from(shape.heads + 2 * shape.kv_heads);
        refuse_unless(tasks < 1 << 31, "rows", || format!("{rows} are too many for a launch"))?;
        let blocks = (tasks as u32).div_ceil(WARPS);
        // SAFETY: every buffer was found large enough; what the step's rows say is the caller's.
        unsafe { self.kernel.launch(LaunchShape::linear(blocks, 32 * WARPS), &params) }
    }
}
