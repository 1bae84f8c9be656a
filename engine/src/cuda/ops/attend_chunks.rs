//! attend_chunks.cu: attention of decoding rows over one chunk at a time, and which rows share one.

use std::collections::BTreeMap;

use super::super::{Device, DeviceBuffer, Kernel, LaunchShape, abi};
use super::pages::{AttentionShape, Pages, QueryColumns, StepRows, fits};
use super::reading::refuse_unless;
use crate::Result;
use crate::kv::{PAGE, PageId};

const THREADS: u32 = 256;

/// Blocks that fit on a multiprocessor at a time.
const RESIDENT: u32 = 2;

/// The kernel for a shape of heads.
#[derive(Debug, Clone)]
pub struct AttendChunks {
    kernel: Kernel<abi::attend_chunks_params>,
    multiprocessors: u32,
    wide: bool,
}

/// The chunks that the rows of a step read: rows that have the same page there share an item.
#[derive(Debug, Clone, Default)]
pub struct ChunkPlan {
    items: Vec<abi::attend_item>,
    rows: Vec<u32>,
}

impl ChunkPlan {
    /// Items of at most `rows_per_item` rows, each row given by its sequence's pages and its position.
    ///
    /// # Panics
    /// When `rows_per_item` is 0 or a sequence has no page for its position.
    pub fn new(rows: &[(&[PageId], usize)], rows_per_item: usize) -> Self {
        let mut shared: BTreeMap<(u32, PageId), Vec<u32>> = BTreeMap::new();
        for (row, (pages, position)) in rows.iter().enumerate() {
            for (chunk, page) in pages[..position / PAGE + 1].iter().enumerate() {
                shared.entry((chunk as u32, *page)).or_default().push(row as u32);
            }
        }
        let mut plan = Self::default();
        for ((chunk, page), readers) in shared {
            for some in readers.chunks(rows_per_item) {
                let (first, count) = (plan.rows.len() as u32, some.len() as u32);
                plan.items.push(abi::attend_item { page, chunk, first, count });
                plan.rows.extend_from_slice(some);
            }
        }
        plan
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Rows of each item.
    pub(in crate::cuda) fn counts(&self) -> impl Iterator<Item = u32> + '_ {
        self.items.iter().map(|item| item.count)
    }

    /// Different pages of all items: each is read from memory once.
    pub(in crate::cuda) fn pages(&self) -> usize {
        let mut pages: Vec<u32> = self.items.iter().map(|item| item.page).collect();
        pages.sort_unstable();
        pages.dedup();
        pages.len()
    }

    /// Rows of all items together: the page reads that there would be without sharing.
    pub fn reads(&self) -> usize {
        self.rows.len()
    }
}

/// A plan in device memory.
#[derive(Debug)]
pub struct ChunkItems {
    items: DeviceBuffer<abi::attend_item>,
    rows: DeviceBuffer<u32>,
    count: DeviceBuffer<u32>,
}

impl ChunkItems {
    /// Room for `reads` rows of all items together, so also for as many items.
    ///
    /// # Errors
    /// [`crate::Error::Device`] with the driver's words.
    pub fn new(device: &Device, reads: usize) -> Result<Self> {
        Ok(Self {
            items: DeviceBuffer::zeroed(device, reads)?,
            rows: DeviceBuffer::zeroed(device, reads)?,
            count: DeviceBuffer::zeroed(device, 1)?,
        })
    }

    /// Queues the copy of a plan.
    ///
    /// # Errors
    /// [`crate::Error::Request`] when there is no room for it, [`crate::Error::Device`] with the driver's words.
    pub fn set(&mut self, plan: &ChunkPlan) -> Result<()> {
        self.items.queue(0, &plan.items)?;
        self.rows.queue(0, &plan.rows)?;
        self.count.queue(0, &[plan.items.len() as u32])
    }
}

/// What attention leaves of each chunk for [`super::combine_chunks`].
#[derive(Debug)]
pub struct Partials {
    rows: u32,
    max_chunks: u32,
    pub(super) o: DeviceBuffer<f32>,
    pub(super) nl: DeviceBuffer<f32>,
}

impl Partials {
    /// Room for `rows` rows of up to `max_chunks` chunks.
    ///
    /// # Errors
    /// [`crate::Error::Device`] with the driver's words, out of memory above all.
    pub fn new(device: &Device, shape: &AttentionShape, rows: u32, max_chunks: u32) -> Result<Self> {
        let chunks = rows as usize * shape.heads as usize * max_chunks as usize;
        let o = DeviceBuffer::zeroed(device, chunks * shape.head_dim as usize)?;
        Ok(Self { rows, max_chunks, o, nl: DeviceBuffer::zeroed(device, 2 * chunks)? })
    }

    pub(super) fn check(&self, shape: &AttentionShape, rows: u32) -> Result<u32> {
        let chunks = rows as usize * shape.heads as usize * self.max_chunks as usize;
        refuse_unless(rows <= self.rows, "partials", || format!("{rows} rows, there is room for {}", self.rows))?;
        fits("partials", self.o.len(), chunks * shape.head_dim as usize)?;
        fits("partials", self.nl.len(), 2 * chunks)?;
        Ok(self.max_chunks)
    }
}

impl AttendChunks {
    /// Loads it.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for a shape that it does not take, and as [`Device::kernel`].
    pub fn new(device: &Device, shape: &AttentionShape) -> Result<Self> {
        shape.check()?;
        let wide = shape.head_dim > abi::BLOCK;
        let kernel = device.kernel(if wide { "attend_chunks_wide" } else { "attend_chunks" }, 0)?;
        Ok(Self { kernel, multiprocessors: device.multiprocessors()?, wide })
    }

    /// The kernel.
    pub(in crate::cuda) fn kernel_name(&self) -> &'static str {
        self.kernel.name()
    }

    /// Every item of `items`, whose rows are below `rows`, in `layer`.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for buffers that are too small, [`crate::Error::Device`] with the driver's words.
    ///
    /// # Safety
    /// Items name pages of `pages`, rows below `rows` and chunks below those of `partials`.
    #[allow(clippy::too_many_arguments)]
    pub unsafe fn run(
        &self,
        items: &ChunkItems,
        step: &StepRows,
        rows: u32,
        pages: &Pages,
        layer: u32,
        queries: &QueryColumns,
        partials: &mut Partials,
        fault: &mut DeviceBuffer<u32>,
    ) -> Result<()> {
        let shape = *pages.shape();
        refuse_unless(self.wide == (shape.head_dim > abi::BLOCK), "head_dim", || "of another kernel".into())?;
        step.check(rows)?;
        queries.check(&shape, rows)?;
        let max_chunks = partials.check(&shape, rows)?;
        fits("faults", fault.len(), rows as usize)?;
        if items.items.is_empty() {
            return Ok(());
        }
        let params = abi::attend_chunks_params {
            cache: pages.view(step, layer)?,
            q: queries.q.as_ptr(),
            q_g: queries.g.as_ptr(),
            items: items.items.as_ptr(),
            item_count: items.count.as_ptr(),
            item_rows: items.rows.as_ptr(),
            o: partials.o.as_mut_ptr(),
            nl: partials.nl.as_mut_ptr(),
            fault: fault.as_mut_ptr(),
            max_chunks,
            reserved: 0,
        };
        // A few rounds, so that items of few and of many rows even out.
        let most = (4 * RESIDENT * self.multiprocessors).div_ceil(shape.kv_heads);
        let grid = [most.min(items.items.len() as u32), shape.kv_heads, 1];
        // SAFETY: every buffer was found large enough; what items and rows say is the caller's.
        unsafe { self.kernel.launch(LaunchShape { grid, block: THREADS, shared_bytes: 0 }, &params) }
    }
}
