//! The way of small and large values to a device without waiting: through page-locked memory, half of it at a time.
//!
//! Values are copied into the ring at the call, so they are free at once; the device takes them from there in stream
//! order. A half is filled again only when an event behind its copies has been waited for, which it mostly has long passed.

use std::sync::Arc;

use cudarc::driver::{CudaEvent, CudaStream, DriverError};

use super::pinned::PinnedMemory;

/// Bytes of a half: a copy of so many is at the full speed of the bus.
pub(super) const HALF_BYTES: usize = 4 << 20;

/// Each piece begins so aligned, more than any element asks for.
const ALIGNMENT: usize = 256;

#[derive(Debug)]
pub(super) struct Ring {
    stream: Arc<CudaStream>,
    memory: PinnedMemory,
    half: usize,
    used: usize,
    /// Behind the copies of each half that is full.
    filled: [Option<CudaEvent>; 2],
    /// The planted fault of the tests: halves are filled again without a look at the event.
    #[cfg(test)]
    pub careless: bool,
}

impl Ring {
    pub fn new(stream: &Arc<CudaStream>) -> Result<Self, DriverError> {
        let memory = PinnedMemory::zeroed(stream, 2 * HALF_BYTES)?;
        let stream = stream.clone();
        Ok(Self {
            stream,
            memory,
            half: 0,
            used: 0,
            filled: [None, None],
            #[cfg(test)]
            careless: false,
        })
    }

    /// A copy of `values`, at most [`HALF_BYTES`] of them, that stays as it is until work queued before the next call has run.
    pub fn hold<T: Copy>(&mut self, values: &[T]) -> Result<&[T], DriverError> {
        let bytes = size_of_val(values);
        assert!(bytes <= HALF_BYTES && align_of::<T>() <= ALIGNMENT, "{bytes} bytes");
        if self.used + bytes > HALF_BYTES {
            self.turn()?;
        }
        let at = self.half * HALF_BYTES + self.used;
        self.used = (self.used + bytes).next_multiple_of(ALIGNMENT);
        let place = self.memory.start().as_ptr().wrapping_add(at).cast::<T>();
        // SAFETY: inside the memory and aligned; no copy reads it any more (`turn`), and the host reads it in this call alone.
        unsafe {
            place.copy_from_nonoverlapping(values.as_ptr(), values.len());
            Ok(std::slice::from_raw_parts(place, values.len()))
        }
    }

    /// Goes on to the other half, when its copies have run.
    fn turn(&mut self) -> Result<(), DriverError> {
        self.filled[self.half] = Some(self.stream.record_event(None)?);
        (self.half, self.used) = (1 - self.half, 0);
        #[cfg(test)]
        if self.careless {
            return Ok(());
        }
        match self.filled[self.half].take() {
            Some(event) => event.synchronize(),
            None => Ok(()),
        }
    }
}
