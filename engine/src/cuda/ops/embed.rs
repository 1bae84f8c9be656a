//! embed.cu: rows of the checkpoint's embedding to f32.

use super::super::{Device, DeviceBuffer, Kernel, LaunchShape, abi};
use super::pages::{StepRows, fits};
use super::reading::refuse_unless;
use crate::Result;

const THREADS: u32 = 128;

/// The kernel.
#[derive(Debug, Clone)]
pub struct Embed {
    kernel: Kernel<abi::embed_params>,
}

/// The embedding as in the checkpoint.
#[derive(Debug)]
pub struct Embedding<'a> {
    /// `[vocab][hidden]` in its own element type.
    pub bytes: &'a DeviceBuffer<u8>,
    /// `ELEMENT_*` of [`abi`].
    pub element: u32,
    /// Ids.
    pub vocab: u32,
    /// Columns.
    pub hidden: u32,
}

/// Rows that are copied from.
struct Source {
    address: *const std::ffi::c_void,
    columns: u32,
    element: u32,
}

impl Embed {
    /// Loads it.
    ///
    /// # Errors
    /// As [`Device::kernel`].
    pub fn new(device: &Device) -> Result<Self> {
        Ok(Self { kernel: device.kernel("embed", 0)? })
    }

    /// `x[row]` = the embedding of the row's token, for the first `rows` rows, or as many as `step.count` says where
    /// `counted`; rows of `x` are `ld` floats apart.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for buffers that are too small, [`crate::Error::Device`] with the driver's words.
    ///
    /// # Safety
    /// Tokens are below `vocab`.
    pub unsafe fn run(
        &self,
        embedding: &Embedding<'_>,
        step: &StepRows,
        x: &mut DeviceBuffer<f32>,
        ld: u32,
        rows: u32,
        counted: bool,
    ) -> Result<()> {
        let e = embedding;
        let element_bytes = match e.element {
            abi::ELEMENT_F32 => 4,
            abi::ELEMENT_F16 | abi::ELEMENT_BF16 => 2,
            other => return refuse_unless(false, "element", || format!("{other} is no element type")),
        };
        fits("embedding", e.bytes.len(), e.vocab as usize * e.hidden as usize * element_bytes)?;
        let source = Source { address: e.bytes.as_ptr().cast(), columns: e.hidden, element: e.element };
        // SAFETY: the table has `vocab` rows (above), and tokens are below that.
        unsafe { self.launch(&source, step, x, ld, rows, counted) }
    }

    /// The same of rows of floats, `[..][columns]`: `x[row]` = the row that `step.token` names.
    ///
    /// # Errors
    /// As [`Embed::run`].
    ///
    /// # Safety
    /// Tokens are below the rows of `table`.
    pub unsafe fn gather(
        &self,
        table: &DeviceBuffer<f32>,
        columns: u32,
        step: &StepRows,
        x: &mut DeviceBuffer<f32>,
        ld: u32,
        rows: u32,
    ) -> Result<()> {
        let source = Source { address: table.as_ptr().cast(), columns, element: abi::ELEMENT_F32 };
        // SAFETY: passed on.
        unsafe { self.launch(&source, step, x, ld, rows, false) }
    }

    /// # Safety
    /// Tokens name rows of `source`.
    unsafe fn launch(
        &self,
        source: &Source,
        step: &StepRows,
        x: &mut DeviceBuffer<f32>,
        ld: u32,
        rows: u32,
        counted: bool,
    ) -> Result<()> {
        step.check(rows)?;
        let columns = source.columns;
        refuse_unless(ld >= columns && ld.is_multiple_of(4), "ld", || format!("{ld} for {columns} columns"))?;
        fits("x", x.len(), rows as usize * ld as usize)?;
        if rows == 0 {
            return Ok(());
        }
        let params = abi::embed_params {
            embedding: source.address,
            token: step.token.as_ptr(),
            row_count: if counted { step.count.as_ptr() } else { std::ptr::null() },
            x: x.as_mut_ptr(),
            rows,
            hidden: columns,
            ld,
            element: source.element,
        };
        let parts = columns.div_ceil(8 * THREADS);
        // SAFETY: every buffer was found large enough; the tokens are the caller's.
        unsafe { self.kernel.launch(LaunchShape { grid: [rows, parts, 1], block: THREADS, shared_bytes: 0 }, &params) }
    }
}
