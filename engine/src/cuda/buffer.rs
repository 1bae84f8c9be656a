//! Typed device memory.
//!
//! Every buffer is initialised when it is made. [`DeviceBuffer::write`] and [`DeviceBuffer::read`] wait for their end: they
//! are for tests and for what is rare. What runs in every step, and what is large, is queued through pinned memory.

use std::ops::Range;

use cudarc::driver::{CudaSlice, DeviceRepr, ValidAsZeroBits, result};

use super::Device;
use super::ring::HALF_BYTES;
use crate::{Error, Result};

/// What a buffer can hold: plain data of one layout on both sides, zero bits included.
pub trait Element: DeviceRepr + ValidAsZeroBits + Copy + Send + Sync + 'static {}

impl<T: DeviceRepr + ValidAsZeroBits + Copy + Send + Sync + 'static> Element for T {}

/// `len` elements in the memory of one device, freed in stream order when dropped.
#[derive(Debug)]
pub struct DeviceBuffer<T> {
    device: Device,
    slice: CudaSlice<T>,
    len: usize,
}

impl<T: Element> DeviceBuffer<T> {
    /// `len` zeroed elements; a length of 0 is allowed.
    ///
    /// # Errors
    /// [`Error::Device`] with the driver's words, out of memory above all.
    pub fn zeroed(device: &Device, len: usize) -> Result<Self> {
        // The driver has no allocation of 0 bytes.
        let slice = device.stream().alloc_zeros(len.max(1));
        let what = || format!("allocating {} bytes", len.saturating_mul(size_of::<T>()));
        Ok(Self { slice: slice.map_err(|e| device.error(what(), e))?, device: device.clone(), len })
    }

    /// A copy of `values` on the device.
    ///
    /// # Errors
    /// As [`DeviceBuffer::zeroed`].
    pub fn from_slice(device: &Device, values: &[T]) -> Result<Self> {
        let mut buffer = Self::zeroed(device, values.len())?;
        buffer.write(0, values)?;
        Ok(buffer)
    }

    /// Overwrites `values.len()` elements from `start` on.
    ///
    /// # Errors
    /// [`Error::Request`] when they reach beyond the end, [`Error::Device`] with the driver's words.
    pub fn write(&mut self, start: usize, values: &[T]) -> Result<()> {
        // SAFETY: waited for below, and after an error nothing more is copied.
        unsafe { self.queue_copy(start, values) }?;
        self.device.synchronize()
    }

    /// As [`DeviceBuffer::write`], in stream order and without waiting: `values` go through the device's ring.
    ///
    /// # Errors
    /// As [`DeviceBuffer::write`].
    pub fn queue(&mut self, start: usize, values: &[T]) -> Result<()> {
        self.range(start, values.len())?;
        let device = self.device.clone();
        let mut ring = device.ring()?;
        let most = HALF_BYTES / size_of::<T>();
        for (i, piece) in values.chunks(most).enumerate() {
            let held = ring.hold(piece).map_err(|e| device.error("copying to the device", e))?;
            // SAFETY: the ring keeps what it holds until the copy, queued before the next `hold`, has run.
            unsafe { self.queue_copy(start + i * most, held) }?;
        }
        Ok(())
    }

    /// A copy of `values` on the device as soon as what is queued later runs.
    ///
    /// # Errors
    /// As [`DeviceBuffer::zeroed`].
    pub fn queued(device: &Device, values: &[T]) -> Result<Self> {
        let mut buffer = Self::zeroed(device, values.len())?;
        buffer.queue(0, values)?;
        Ok(buffer)
    }

    /// As [`DeviceBuffer::write`], without waiting.
    ///
    /// # Safety
    /// Until the copy has run `values` must stay as they are.
    pub(super) unsafe fn queue_copy(&mut self, start: usize, values: &[T]) -> Result<()> {
        let range = self.range(start, values.len())?;
        if range.is_empty() {
            return Ok(());
        }
        let mut target = self.slice.slice_mut(range);
        let copied = self.device.stream().memcpy_htod(values, &mut target);
        copied.map_err(|e| self.device.error("copying to the device", e))
    }

    /// The elements of `start..start + len`, after everything queued before.
    ///
    /// # Errors
    /// As [`DeviceBuffer::write`]; also what went wrong in work queued before.
    pub fn read(&self, start: usize, len: usize) -> Result<Vec<T>> {
        let range = self.range(start, len)?;
        if range.is_empty() {
            self.device.synchronize()?;
            return Ok(Vec::new());
        }
        let copied = self.device.stream().clone_dtoh(&self.slice.slice(range));
        // A copy that was queued before the wait failed may still be running: the vector outlives the wait.
        self.device.synchronize()?;
        copied.map_err(|e| self.device.error("copying from the device", e))
    }

    /// All elements, after everything queued before.
    ///
    /// # Errors
    /// As [`DeviceBuffer::read`].
    pub fn to_vec(&self) -> Result<Vec<T>> {
        self.read(0, self.len)
    }

    /// Zeroes all elements, in stream order.
    ///
    /// # Errors
    /// [`Error::Device`] with the driver's words.
    pub fn clear(&mut self) -> Result<()> {
        let cleared = self.device.stream().memset_zeros(&mut self.slice);
        cleared.map_err(|e| self.device.error("clearing device memory", e))
    }

    /// Copies all of `from`, which has as many elements and is on the same device, in stream order.
    ///
    /// # Errors
    /// [`Error::Request`] when it has another number of elements, [`Error::Device`] with the driver's words.
    pub(super) fn copy_from(&mut self, from: &Self) -> Result<()> {
        if from.len != self.len {
            let problem = format!("{} elements into {}", from.len, self.len);
            return Err(Error::Request { field: "device buffer".into(), problem });
        }
        let copied = self.device.stream().memcpy_dtod(&from.slice, &mut self.slice);
        copied.map_err(|e| self.device.error("copying within the device", e))
    }

    /// Copies `len` elements of `from`, which is on the same device, from `at` on to those from `start` on, in stream order.
    ///
    /// # Errors
    /// [`Error::Request`] when they reach beyond an end, [`Error::Device`] with the driver's words.
    pub(super) fn copy_range(&mut self, start: usize, from: &Self, at: usize, len: usize) -> Result<()> {
        let (to, from) = (self.range(start, len)?, from.slice.slice(from.range(at, len)?));
        let copied = self.device.stream().memcpy_dtod(&from, &mut self.slice.slice_mut(to));
        copied.map_err(|e| self.device.error("copying within the device", e))
    }

    /// The memory, for libraries.
    pub(super) fn slice(&self) -> &CudaSlice<T> {
        &self.slice
    }

    /// The memory, for libraries.
    pub(super) fn slice_mut(&mut self) -> &mut CudaSlice<T> {
        &mut self.slice
    }

    /// Sets all bits of the elements of `0..len`, in stream order.
    ///
    /// # Errors
    /// [`Error::Request`] when they reach beyond the end, [`Error::Device`] with the driver's words.
    pub(super) fn set_bits(&mut self, len: usize) -> Result<()> {
        let range = self.range(0, len)?;
        if range.is_empty() {
            return Ok(());
        }
        self.device.bind()?;
        let (to, bytes) = (self.address(), len * size_of::<T>());
        // SAFETY: inside the buffer, which is freed in stream order.
        let set = unsafe { result::memset_d8_async(to, 0xff, bytes, self.device.stream().cu_stream()) };
        set.map_err(|e| self.device.error("setting device memory", e))
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The device that holds the buffer.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Device address for a kernel that reads; not to be dereferenced on the host.
    pub fn as_ptr(&self) -> *const T {
        self.address() as *const T
    }

    /// Device address for a kernel that writes; not to be dereferenced on the host.
    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.address() as *mut T
    }

    fn address(&self) -> u64 {
        use cudarc::driver::DevicePtr;
        // No events are tracked (context.rs), so nothing is recorded when the guard goes.
        let (address, _guard) = self.slice.device_ptr(self.device.stream());
        address
    }

    pub(super) fn range(&self, start: usize, len: usize) -> Result<Range<usize>> {
        match start.checked_add(len) {
            Some(end) if end <= self.len => Ok(start..end),
            _ => Err(Error::Request {
                field: "device buffer".into(),
                problem: format!("{len} elements from {start} on do not fit into {}", self.len),
            }),
        }
    }
}
