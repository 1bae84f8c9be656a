//! attend_prefill.cu: attention of neighbouring rows of one sequence over all their keys.

use super::super::{Device, DeviceBuffer, Kernel, LaunchShape, abi};
use super::head::room;
use super::pages::{AttentionShape, Pages, QueryColumns, StepRows, fits, fits_rows};
use super::reading::refuse_unless;
use crate::Result;

const WARPS: u32 = 4;

/// Words of a warp's corner of shared memory: CORNER_STRIDE for each of 4 pairs of columns.
const CORNER: u32 = 4 * (abi::PAGE + 8);

/// The kernel for a shape of heads.
#[derive(Debug, Clone)]
pub struct AttendPrefill {
    kernel: Kernel<abi::attend_prefill_params>,
    shape: AttentionShape,
    shared_bytes: u32,
}

/// Where the output goes; at least one of both.
#[derive(Debug)]
pub struct PrefillOut<'a> {
    /// Quantized rows of `heads * head_dim` columns and their exponents; only where [`AttendPrefill::quantizes`].
    pub rows: Option<(&'a mut DeviceBuffer<u8>, &'a mut DeviceBuffer<i8>)>,
    /// `[rows][heads * head_dim]` in f32.
    pub attention: Option<&'a mut DeviceBuffer<f32>>,
}

/// Tiles of the rows of a step, whose sequences' rows are neighbours and ascend: one count for each sequence.
pub fn tiles(shape: &AttentionShape, sequences: &[u32]) -> Vec<abi::attend_tile> {
    let most = shape.tile_columns() / shape.per_kv();
    let mut tiles = Vec::new();
    let mut first = 0;
    for rows in sequences {
        for start in (0..*rows).step_by(most as usize) {
            tiles.push(abi::attend_tile { first: first + start, count: most.min(rows - start) });
        }
        first += rows;
    }
    tiles
}

impl AttendPrefill {
    /// Loads it.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for a shape that it does not take, and as [`Device::kernel`].
    pub fn new(device: &Device, shape: &AttentionShape) -> Result<Self> {
        Self::check(device, shape)?;
        let (blocks, shared_bytes) = (shape.blocks(), Self::shared_bytes(shape));
        let name = if blocks > 1 { "attend_prefill_wide" } else { "attend_prefill" };
        Ok(Self { kernel: device.kernel(name, shared_bytes)?, shape: *shape, shared_bytes })
    }

    /// Refuses a shape that it does not take on this device.
    ///
    /// # Errors
    /// [`crate::Error::Request`] naming the field, with what the device lacks.
    pub fn check(device: &Device, shape: &AttentionShape) -> Result<()> {
        shape.check()?;
        let (needed, room) = (Self::shared_bytes(shape), room(device)?);
        refuse_unless(needed <= room, "head_dim", || {
            let (head_dim, name) = (shape.head_dim, &device.info().name);
            format!("{head_dim} takes {needed} bytes of shared memory, {name} has {room}")
        })
    }

    /// Keys and values of a chunk, exponents of two, corners.
    fn shared_bytes(shape: &AttentionShape) -> u32 {
        4 * abi::PAGE * shape.padded() + 4 * shape.blocks() * abi::PAGE + 4 * WARPS * CORNER
    }

    /// Whether it can make quantized rows: a block of 128 columns is of one head. Otherwise they are made of the floats.
    pub fn quantizes(&self) -> bool {
        self.shape.head_dim.is_multiple_of(abi::BLOCK)
    }

    /// The kernel.
    pub(in crate::cuda) fn kernel_name(&self) -> &'static str {
        self.kernel.name()
    }

    /// All rows of `tiles`, which are below `rows`, in `layer`.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for buffers that are too small, [`crate::Error::Device`] with the driver's words.
    ///
    /// # Safety
    /// Each tile is of rows below `rows` of one sequence at ascending positions, no more than [`tiles`] makes, and the
    /// page table has pages of `pages` for all positions up to theirs.
    #[allow(clippy::too_many_arguments)]
    pub unsafe fn run(
        &self,
        tiles: &DeviceBuffer<abi::attend_tile>,
        step: &StepRows,
        rows: u32,
        pages: &Pages,
        layer: u32,
        queries: &QueryColumns,
        out: &mut PrefillOut<'_>,
        fault: &mut DeviceBuffer<u32>,
    ) -> Result<()> {
        let shape = self.shape;
        refuse_unless(shape == *pages.shape(), "pages", || "of another shape".into())?;
        step.check(rows)?;
        queries.check(&shape, rows)?;
        let columns = shape.heads * shape.head_dim;
        fits("faults", fault.len(), rows as usize)?;
        refuse_unless(out.rows.is_some() || out.attention.is_some(), "output", || "there is none".into())?;
        if let Some((q, g)) = &out.rows {
            refuse_unless(self.quantizes(), "quantized rows", || format!("head_dim {}", shape.head_dim))?;
            fits_rows(q, g, rows, columns)?;
        }
        if let Some(attention) = &out.attention {
            fits("attention", attention.len(), rows as usize * columns as usize)?;
        }
        if tiles.is_empty() {
            return Ok(());
        }
        let (rows_q, rows_g) = out
            .rows
            .as_mut()
            .map_or((std::ptr::null_mut(), std::ptr::null_mut()), |(q, g)| (q.as_mut_ptr(), g.as_mut_ptr()));
        let params = abi::attend_prefill_params {
            cache: pages.view(step, layer)?,
            q: queries.q.as_ptr(),
            q_g: queries.g.as_ptr(),
            tiles: tiles.as_ptr(),
            rows_q,
            rows_g,
            attention: out.attention.as_mut().map_or(std::ptr::null_mut(), |a| a.as_mut_ptr()),
            fault: fault.as_mut_ptr(),
        };
        let grid = [tiles.len() as u32, shape.kv_heads, 1];
        // SAFETY: every buffer was found large enough; what tiles and rows say is the caller's.
        unsafe { self.kernel.launch(LaunchShape { grid, block: 32 * WARPS, shared_bytes: self.shared_bytes }, &params) }
    }
}
