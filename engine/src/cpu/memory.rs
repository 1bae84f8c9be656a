//! Zeroed buffers aligned to cache lines; large ones come from the system with huge pages advised.
//!
//! Streaming weights through 4 KiB pages costs a tenth to a fifth of the read bandwidth, and the system
//! hands out huge pages only where asked. Pages of a large buffer appear when first written, so the
//! threads that fill it share that cost. Not growable.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use super::pool::Pool;
use super::region::{self, Region};

/// Alignment of every buffer, bytes.
pub const ALIGN: usize = 64;

/// Pages of the system at least, bytes.
const SMALL_PAGE: usize = 4096;

/// Of them a thread takes so many at a time: a huge page.
const TOUCH_GRAIN: usize = 512;

/// From here on a buffer is a region of its own, bytes.
const MAPPED_FROM: usize = 1 << 20;

mod sealed {
    pub trait Plain {}
    impl Plain for i8 {}
    impl Plain for u8 {}
    impl Plain for i16 {}
    impl Plain for u16 {}
    impl Plain for i32 {}
    impl Plain for f32 {}
}

/// Number types for which all bits zero is the value 0.
pub trait Plain: sealed::Plain + Copy + Send + Sync + 'static {}
impl<T: sealed::Plain + Copy + Send + Sync + 'static> Plain for T {}

/// A fixed number of elements, zero at first, aligned to [`ALIGN`] bytes.
pub struct Buffer<T: Plain> {
    start: NonNull<T>,
    len: usize,
    owner: Owner,
}

enum Owner {
    Nothing,
    Heap(Layout),
    Region { _region: Arc<Region> },
}

// SAFETY: the buffer owns its memory exclusively and T is a plain number.
unsafe impl<T: Plain> Send for Buffer<T> {}
// SAFETY: shared access is through `&[T]` only.
unsafe impl<T: Plain> Sync for Buffer<T> {}

impl<T: Plain> Buffer<T> {
    /// `len` zeros.
    ///
    /// # Errors
    /// `OutOfMemory` when the size overflows or the system refuses.
    pub fn zeroed(len: usize) -> io::Result<Self> {
        let refused = || io::Error::from(io::ErrorKind::OutOfMemory);
        let bytes = len.checked_mul(size_of::<T>()).ok_or_else(refused)?;
        if bytes == 0 {
            return Ok(Self { start: NonNull::dangling(), len, owner: Owner::Nothing });
        }
        if bytes < MAPPED_FROM {
            let layout = Layout::from_size_align(bytes, ALIGN).map_err(|_| refused())?;
            // SAFETY: the layout's size is not zero.
            let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(refused)?;
            return Ok(Self { start: start.cast(), len, owner: Owner::Heap(layout) });
        }
        let region = Region::zeroed(bytes)?;
        Ok(Self { start: region.start().cast(), len, owner: Owner::Region { _region: Arc::new(region) } })
    }
}

impl<T: Plain> Buffer<T> {
    /// `len` zeros for what lasts as long as a model: side by side with others of its kind in huge pages.
    ///
    /// # Errors
    /// As [`Buffer::zeroed`].
    pub fn lasting(len: usize) -> io::Result<Self> {
        let bytes = len.checked_mul(size_of::<T>()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        if bytes == 0 {
            return Self::zeroed(0);
        }
        let (start, region) = region::piece(bytes, ALIGN)?;
        Ok(Self { start: start.cast(), len, owner: Owner::Region { _region: region } })
    }
}

impl<T: Plain> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` initialised elements that live as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Plain> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `&mut self` makes it exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Plain> Drop for Buffer<T> {
    fn drop(&mut self) {
        if let Owner::Heap(layout) = self.owner {
            // SAFETY: allocated with this layout in `zeroed`.
            unsafe { dealloc(self.start.as_ptr().cast(), layout) }
        }
    }
}

impl<T: Plain> std::fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer of {} elements", self.len)
    }
}

/// A buffer that is replaced when more is asked for than ever before.
#[derive(Debug)]
pub(crate) struct Scratch<T: Plain>(Option<Buffer<T>>);

impl<T: Plain> Default for Scratch<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Plain> Scratch<T> {
    /// No memory yet.
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// `len` elements, of unspecified values.
    ///
    /// # Errors
    /// As [`Buffer::zeroed`].
    pub(crate) fn fit(&mut self, len: usize) -> io::Result<&mut [T]> {
        if self.0.as_ref().is_none_or(|b| b.len() < len) {
            // What is too small goes first: the two need not fit together.
            self.0 = None;
            self.0 = Some(Buffer::zeroed(len)?);
        }
        Ok(self.0.as_deref_mut().map_or(&mut [], |b| &mut b[..len]))
    }
}

/// Has the system hand out the memory of a buffer now, with all threads: it comes zeroed, a page at a time, when first
/// written. The values stay.
pub(crate) fn touch<T: Plain>(pool: &Pool, x: &mut [T]) {
    let (step, shared) = (SMALL_PAGE / size_of::<T>(), Shared::new(x));
    pool.for_each(x.len().div_ceil(step), TOUCH_GRAIN, |range| {
        for at in range {
            let element = shared.at(at * step);
            // SAFETY: inside `x`; each is dealt out once. Volatile, or nothing would be written.
            unsafe { element.write_volatile(element.read()) }
        }
    });
}

/// A pointer that may be handed to other threads; who uses it keeps their writes apart.
pub(crate) struct Shared<T>(*mut T);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

// SAFETY: a bare address; every dereference has its own safety argument.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) fn new(slice: &mut [T]) -> Self {
        Self(slice.as_mut_ptr())
    }

    pub(crate) fn from(first: *mut T) -> Self {
        Self(first)
    }

    pub(crate) fn cast<U>(self) -> Shared<U> {
        Shared(self.0.cast())
    }

    pub(crate) fn at(self, index: usize) -> *mut T {
        self.0.wrapping_add(index)
    }
}

/// Asks for the cache line of an address, to read it soon.
#[inline(always)]
pub(crate) fn ask_to_read<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, for any address; every x86-64 processor takes it.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Asks for the cache line of an address, to read it a while later: into the second cache, which waits for more lines at a
/// time than the first.
#[inline(always)]
pub(crate) fn ask_to_read_soon<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, for any address; every x86-64 processor takes it.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Asks for the cache line of an address, to write there soon.
#[inline(always)]
pub(crate) fn ask_to_write<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, for any address; every x86-64 processor takes it.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_ET0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_zero_aligned_and_writable_at_every_size() {
        for len in [0, 1, 63, 4096, MAPPED_FROM / 4 - 1, MAPPED_FROM / 4, MAPPED_FROM] {
            for mut buffer in [Buffer::<f32>::zeroed(len).unwrap(), Buffer::lasting(len).unwrap()] {
                assert_eq!(buffer.len(), len);
                assert!(buffer.iter().all(|x| x.to_bits() == 0));
                if let Some(last) = buffer.last_mut() {
                    *last = 1.0;
                    assert_eq!(buffer.as_ptr() as usize % ALIGN, 0);
                    assert_eq!(buffer[len - 1], 1.0);
                }
            }
        }
    }

    #[test]
    fn scratch_grows_and_never_shrinks() {
        let mut scratch = Scratch::<f32>::default();
        assert!(scratch.fit(0).unwrap().is_empty());
        scratch.fit(10).unwrap().fill(1.0);
        assert_eq!(scratch.fit(5).unwrap(), [1.0; 5]);
        assert_eq!(scratch.fit(20).unwrap().len(), 20);
        assert!(scratch.fit(usize::MAX).is_err());
        assert_eq!(scratch.fit(20).unwrap(), [0.0; 20]);
    }

    #[test]
    fn touching_changes_nothing() {
        let pool = Pool::new(2);
        for len in [0usize, 1, 1023, 1025, MAPPED_FROM] {
            let mut buffer = Buffer::<f32>::zeroed(len).unwrap();
            buffer.iter_mut().enumerate().for_each(|(i, x)| *x = i as f32);
            touch(&pool, &mut buffer);
            assert!(buffer.iter().enumerate().all(|(i, x)| *x == i as f32));
        }
    }

    #[test]
    fn an_impossible_size_is_an_error() {
        assert!(Buffer::<i32>::zeroed(usize::MAX).is_err());
        assert!(Buffer::<i32>::zeroed(usize::MAX / 8).is_err());
        assert!(Buffer::<i32>::lasting(usize::MAX).is_err() && Buffer::<i32>::lasting(usize::MAX / 4).is_err());
    }
}
