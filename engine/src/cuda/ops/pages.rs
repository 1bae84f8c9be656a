//! The key/value cache of a device, and which rows of a step belong to which of its sequences.
//!
//! One allocation holds all pages (layout: kernels/abi.h), each with 128 positions of all layers, so that a page is
//! copied as one run of bytes. Whose they are is [`crate::kv`]'s business.

use cudarc::driver::result;

use super::super::{Device, DeviceBuffer, abi};
use super::reading::refuse_unless;
use crate::Result;
use crate::kv::PageId;

/// Sizes of attention, the same in all layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionShape {
    /// Layers.
    pub layers: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads.
    pub kv_heads: u32,
    /// Channels of a head: a multiple of 16, at most 256.
    pub head_dim: u32,
}

impl AttentionShape {
    /// Refuses what the kernels do not take.
    ///
    /// # Errors
    /// [`crate::Error::Request`] naming the field.
    pub fn check(&self) -> Result<()> {
        let head_dim = self.head_dim;
        refuse_unless(
            head_dim > 0 && head_dim.is_multiple_of(16) && head_dim <= abi::MAX_HEAD_DIM,
            "head_dim",
            || format!("{head_dim}, not a multiple of 16 up to {}", abi::MAX_HEAD_DIM),
        )?;
        let shares = self.kv_heads > 0 && self.heads > 0 && self.heads.is_multiple_of(self.kv_heads);
        refuse_unless(shares, "num_key_value_heads", || format!("{} for {} heads", self.kv_heads, self.heads))?;
        refuse_unless(self.per_kv() <= self.tile_columns(), "num_attention_heads", || {
            format!("{} read a key/value head, {} can", self.per_kv(), self.tile_columns())
        })?;
        refuse_unless(self.heads <= 1 << 10 && (1..=1 << 10).contains(&self.layers), "num_hidden_layers", || {
            format!("{} layers of {} heads", self.layers, self.heads)
        })
    }

    /// Query heads that read one kv head.
    pub fn per_kv(&self) -> u32 {
        self.heads / self.kv_heads
    }

    /// Blocks of 128 channels of a head, the last maybe shorter.
    pub fn blocks(&self) -> u32 {
        self.head_dim.div_ceil(abi::BLOCK)
    }

    /// Columns of the queries, keys and values of a row together.
    pub fn qkv_width(&self) -> u32 {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    /// Bytes of one head's keys and values in a page.
    pub fn head_bytes(&self) -> u32 {
        (4 * abi::PAGE * self.padded() + 2 * self.blocks() * abi::PAGE).next_multiple_of(256)
    }

    /// Bytes of a page.
    pub fn page_bytes(&self) -> u64 {
        u64::from(self.layers * self.kv_heads) * u64::from(self.head_bytes())
    }

    /// Channels of a head, padded to whole k32 steps.
    pub(in crate::cuda) fn padded(&self) -> u32 {
        self.head_dim.next_multiple_of(32)
    }

    /// Query columns of a tile of attend_prefill.
    pub(in crate::cuda) fn tile_columns(&self) -> u32 {
        abi::PREFILL_COLUMNS / self.blocks().max(1)
    }
}

/// Pages of keys and values.
#[derive(Debug)]
pub struct Pages {
    shape: AttentionShape,
    pages: u32,
    pool: DeviceBuffer<u8>,
}

impl Pages {
    /// `pages` zeroed pages.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for a shape that the kernels do not take, [`crate::Error::Device`] with the driver's
    /// words, out of memory above all.
    pub fn new(device: &Device, shape: AttentionShape, pages: u32) -> Result<Self> {
        shape.check()?;
        let bytes = usize::try_from(shape.page_bytes()).ok().and_then(|b| b.checked_mul(pages as usize));
        let bytes = bytes.filter(|b| isize::try_from(*b).is_ok());
        refuse_unless(bytes.is_some(), "pages", || format!("{pages} pages of {} bytes", shape.page_bytes()))?;
        Ok(Self { shape, pages, pool: DeviceBuffer::zeroed(device, bytes.unwrap_or(0))? })
    }

    /// The sizes.
    pub fn shape(&self) -> &AttentionShape {
        &self.shape
    }

    /// Number of pages.
    pub fn len(&self) -> u32 {
        self.pages
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pages == 0
    }

    /// Queues the copy of a whole page.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for a page that there is not, [`crate::Error::Device`] with the driver's words.
    pub fn copy(&mut self, from: PageId, to: PageId) -> Result<()> {
        refuse_unless(from < self.pages && to < self.pages && from != to, "page", || {
            format!("{from} to {to}, there are {}", self.pages)
        })?;
        let bytes = self.shape.page_bytes();
        let at = |page: PageId, base: *mut u8| base as u64 + u64::from(page) * bytes;
        let base = self.pool.as_mut_ptr();
        let device = self.pool.device();
        device.bind()?;
        let stream = device.stream().cu_stream();
        // SAFETY: two different whole pages of the pool, which outlives work queued on its stream.
        let copied = unsafe { result::memcpy_dtod_async(at(to, base), at(from, base), bytes as usize, stream) };
        copied.map_err(|e| device.error("copying a page", e))
    }

    /// The pool's bytes.
    #[cfg(test)]
    pub(in crate::cuda) fn pool_mut(&mut self) -> &mut DeviceBuffer<u8> {
        &mut self.pool
    }

    pub(super) fn view(&self, rows: &StepRows, layer: u32) -> Result<abi::cache_view> {
        let s = &self.shape;
        refuse_unless(layer < s.layers, "layer", || format!("{layer} of {}", s.layers))?;
        Ok(abi::cache_view {
            pool: self.pool.as_ptr().cast_mut(),
            page_bytes: s.page_bytes(),
            page_table: rows.page_table.as_ptr(),
            sequence: rows.sequence.as_ptr(),
            position: rows.position.as_ptr(),
            max_pages: rows.max_pages,
            head_bytes: s.head_bytes(),
            layer,
            heads: s.heads,
            kv_heads: s.kv_heads,
            head_dim: s.head_dim,
        })
    }
}

/// Rows of a step: which sequence each belongs to and where in it. All of it is device memory that kernels and the host
/// change from step to step; launches keep only the addresses.
#[derive(Debug)]
pub struct StepRows {
    /// Token of each row.
    pub token: DeviceBuffer<u32>,
    /// Position of each row in its sequence.
    pub position: DeviceBuffer<u32>,
    /// Slot of each row's sequence.
    pub sequence: DeviceBuffer<u32>,
    /// `[slot][max_pages]`: the page of each chunk of a sequence.
    pub page_table: DeviceBuffer<u32>,
    /// One word: the rows there are.
    pub count: DeviceBuffer<u32>,
    max_pages: u32,
}

impl StepRows {
    /// Room for `rows` rows of `slots` sequences of up to `max_pages` pages.
    ///
    /// # Errors
    /// [`crate::Error::Device`] with the driver's words.
    pub fn new(device: &Device, rows: u32, slots: u32, max_pages: u32) -> Result<Self> {
        let words = |n: usize| DeviceBuffer::zeroed(device, n);
        let (rows, table) = (rows as usize, slots as usize * max_pages as usize);
        Ok(Self {
            token: words(rows)?,
            position: words(rows)?,
            sequence: words(rows)?,
            page_table: words(table)?,
            count: words(1)?,
            max_pages,
        })
    }

    /// Rows there is room for.
    pub fn capacity(&self) -> u32 {
        self.token.len().min(self.position.len()).min(self.sequence.len()) as u32
    }

    /// Pages of a sequence at most.
    pub fn max_pages(&self) -> u32 {
        self.max_pages
    }

    pub(super) fn check(&self, rows: u32) -> Result<()> {
        refuse_unless(rows <= self.capacity(), "rows", || format!("{rows}, there is room for {}", self.capacity()))
    }
}

/// Queries as the kernels of attention read them, of up to a number of rows.
#[derive(Debug)]
pub struct QueryColumns {
    rows: u32,
    pub(super) q: DeviceBuffer<u8>,
    pub(super) g: DeviceBuffer<i8>,
}

impl QueryColumns {
    /// Room for `rows` rows.
    ///
    /// # Errors
    /// [`crate::Error::Device`] with the driver's words.
    pub fn new(device: &Device, shape: &AttentionShape, rows: u32) -> Result<Self> {
        let columns = rows as usize * shape.heads as usize;
        let q = DeviceBuffer::zeroed(device, columns * 2 * shape.padded() as usize)?;
        Ok(Self { rows, q, g: DeviceBuffer::zeroed(device, columns * shape.blocks() as usize)? })
    }

    pub(super) fn check(&self, shape: &AttentionShape, rows: u32) -> Result<()> {
        let columns = rows as usize * shape.heads as usize;
        fits("query columns", self.q.len(), columns * 2 * shape.padded() as usize)?;
        fits("query exponents", self.g.len(), columns * shape.blocks() as usize)?;
        refuse_unless(rows <= self.rows, "query columns", || format!("{rows} rows, there is room for {}", self.rows))
    }

    /// Integers and exponents.
    #[cfg(test)]
    pub(in crate::cuda) fn get(&self) -> Result<(Vec<u8>, Vec<i8>)> {
        Ok((self.q.to_vec()?, self.g.to_vec()?))
    }

    /// Overwrites the first columns.
    #[cfg(test)]
    pub(in crate::cuda) fn set(&mut self, q: &[u8], g: &[i8]) -> Result<()> {
        self.q.write(0, q)?;
        self.g.write(0, g)
    }
}

/// Refuses a buffer of fewer elements than are needed.
pub(super) fn fits(what: &str, len: usize, needed: usize) -> Result<()> {
    refuse_unless(len >= needed, what, || format!("{len} elements, {needed} are needed"))
}

/// Refuses buffers of quantized rows that are too small for `rows` rows of `columns`.
pub(super) fn fits_rows(q: &DeviceBuffer<u8>, g: &DeviceBuffer<i8>, rows: u32, columns: u32) -> Result<()> {
    let tiles = rows.div_ceil(abi::TILE_TOKENS) as usize * columns.div_ceil(abi::BLOCK) as usize;
    fits("quantized rows", q.len(), tiles * abi::ROWS_TILE_BYTES as usize)?;
    fits("exponents of quantized rows", g.len(), tiles * abi::TILE_TOKENS as usize)
}
