//! Host memory that devices reach: for copies that run beside other work, and for rings that kernels write to.

use std::ptr::NonNull;
use std::sync::Arc;

use cudarc::driver::{CudaStream, DriverError, result, sys};

use super::{Device, DeviceBuffer, Element};
use crate::{Error, Result};

/// Page-locked host memory of a device's stream, freed when what was queued there has run.
#[derive(Debug)]
pub(super) struct PinnedMemory {
    stream: Arc<CudaStream>,
    start: NonNull<u8>,
}

// SAFETY: plain bytes behind an address that is this memory's own; who holds it decides who is at them.
unsafe impl Send for PinnedMemory {}
// SAFETY: as above; a shared reference gives the address alone.
unsafe impl Sync for PinnedMemory {}

impl PinnedMemory {
    /// `bytes` zero bytes, at least one, from a page's start on.
    pub fn zeroed(stream: &Arc<CudaStream>, bytes: usize) -> std::result::Result<Self, DriverError> {
        stream.context().bind_to_thread()?;
        // Readable at full speed by the host, unlike write-combined memory.
        let flags = sys::CU_MEMHOSTALLOC_PORTABLE | sys::CU_MEMHOSTALLOC_DEVICEMAP;
        // SAFETY: the context is this thread's; the memory is freed in `drop` only.
        let memory = unsafe { result::malloc_host(bytes, flags) }?;
        let start = NonNull::new(memory.cast::<u8>()).expect("the driver allocates or fails");
        // SAFETY: `bytes` bytes of our own.
        unsafe { start.write_bytes(0, bytes) };
        Ok(Self { stream: stream.clone(), start })
    }

    pub fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for PinnedMemory {
    fn drop(&mut self) {
        // Work that was queued may still be at it. Errors of that work are for whoever waits for it.
        let _ = self.stream.synchronize();
        if self.stream.context().bind_to_thread().is_ok() {
            // SAFETY: allocated by the driver in `zeroed`, freed here only.
            let _ = unsafe { result::free_host(self.start.as_ptr().cast()) };
        }
    }
}

/// `len` elements of page-locked host memory, at the same address for the host and for every device.
///
/// Elements are read and written one by one and volatile, as a device may be at them at the same time; what an element
/// holds then is for the two sides to agree on.
#[derive(Debug)]
pub struct PinnedBuffer<T> {
    start: NonNull<T>,
    len: usize,
    _memory: PinnedMemory,
}

// SAFETY: plain data behind an address that is this buffer's own; shared access goes through volatile reads.
unsafe impl<T: Element> Send for PinnedBuffer<T> {}
// SAFETY: as above; writing takes the buffer exclusively.
unsafe impl<T: Element> Sync for PinnedBuffer<T> {}

impl<T: Element> PinnedBuffer<T> {
    /// `len` zeroed elements; a length of 0 is allowed.
    ///
    /// # Errors
    /// [`Error::Device`] with the driver's words, out of memory above all.
    pub fn zeroed(device: &Device, len: usize) -> Result<Self> {
        let bytes = len.max(1).saturating_mul(size_of::<T>());
        let memory = PinnedMemory::zeroed(device.stream(), bytes)
            .map_err(|e| device.error(format!("allocating {bytes} bytes of pinned host memory"), e))?;
        let start = memory.start().cast::<T>();
        assert!(start.is_aligned(), "page-locked memory starts at a page");
        Ok(Self { start, len, _memory: memory })
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What element `index` holds now.
    ///
    /// # Panics
    /// When there is no such element.
    pub fn get(&self, index: usize) -> T {
        assert!(index < self.len, "element {index} of {}", self.len);
        // SAFETY: inside the allocation, initialised, plain data.
        unsafe { self.start.add(index).read_volatile() }
    }

    /// Sets element `index`.
    ///
    /// # Panics
    /// When there is no such element.
    pub fn set(&mut self, index: usize, value: T) {
        assert!(index < self.len, "element {index} of {}", self.len);
        // SAFETY: as in `get`, and the buffer is exclusively ours.
        unsafe { self.start.add(index).write_volatile(value) };
    }

    /// Copies `values` to the elements from `start` on: filling a staging buffer.
    ///
    /// # Panics
    /// When they do not fit.
    ///
    /// # Safety
    /// No queued copy and no kernel may be at these elements.
    pub unsafe fn fill(&mut self, start: usize, values: &[T]) {
        assert!(start.checked_add(values.len()).is_some_and(|end| end <= self.len), "{start} + {}", values.len());
        // SAFETY: inside the allocation; nobody else is at it by the caller's word.
        unsafe { self.start.add(start).copy_from_nonoverlapping(NonNull::from(values).cast(), values.len()) };
    }

    /// Address for kernels and copies; the host's as well.
    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.start.as_ptr()
    }
}

impl<T: Element> DeviceBuffer<T> {
    /// Queues a copy of `len` elements of `source` from `from` on to those of this buffer from `start` on.
    ///
    /// # Errors
    /// [`Error::Request`] when they reach beyond an end, [`Error::Device`] with the driver's words.
    ///
    /// # Safety
    /// Until the copy has run neither buffer may be dropped, and nobody may write the elements of `source`.
    pub unsafe fn queue_write(
        &mut self,
        start: usize,
        source: &PinnedBuffer<T>,
        from: usize,
        len: usize,
    ) -> Result<()> {
        if from.checked_add(len).is_none_or(|end| end > source.len) {
            let problem = format!("{len} elements from {from} on are not in {}", source.len);
            return Err(Error::Request { field: "pinned buffer".into(), problem });
        }
        // SAFETY: inside the allocation, and not written until the copy has run, by the caller's word.
        unsafe { self.queue_copy(start, std::slice::from_raw_parts(source.start.add(from).as_ptr(), len)) }
    }

    /// Queues a copy of `len` elements of this buffer from `start` on to those of `to` from `at` on.
    ///
    /// # Errors
    /// [`Error::Request`] when they reach beyond an end, [`Error::Device`] with the driver's words.
    ///
    /// # Safety
    /// Until the copy has run `to` may not be dropped, and its elements count only after that.
    pub unsafe fn queue_read(&self, start: usize, len: usize, to: &mut PinnedBuffer<T>, at: usize) -> Result<()> {
        let range = self.range(start, len)?;
        if at.checked_add(len).is_none_or(|end| end > to.len) {
            let problem = format!("{len} elements from {at} on are not in {}", to.len);
            return Err(Error::Request { field: "pinned buffer".into(), problem });
        }
        if range.is_empty() {
            return Ok(());
        }
        let device = self.device();
        device.bind()?;
        let from = self.as_ptr().wrapping_add(start) as u64;
        // SAFETY: inside both allocations; nobody reads these elements before the copy has run, by the caller's word.
        let copied = unsafe {
            let to = std::slice::from_raw_parts_mut(to.start.add(at).as_ptr(), len);
            result::memcpy_dtoh_async(to, from, device.stream().cu_stream())
        };
        copied.map_err(|e| device.error("copying from the device", e))
    }
}
