//! Zeroed memory in regions of whole huge pages, and pieces of such regions, one after the other.
//!
//! Pieces are for what lasts as long as a model, weights above all. A mapping of its own for each matrix leaves what lies
//! before its first and behind its last boundary of 2 MiB, a third of a small model's weights, in pages of
//! 4 KiB, through which they stream more slowly. Pieces are never given back one by one: a region goes when the last of
//! them does.

use std::io;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use memmap2::MmapMut;

/// What a region begins and ends on, bytes.
const HUGE_PAGE: usize = 2 << 20;

/// A region at least, bytes; what is never written of it costs nothing.
const REGION: usize = 64 << 20;

/// Zeroed memory of whole huge pages, as far as the system has them.
pub(super) struct Region {
    start: NonNull<u8>,
    bytes: usize,
    _map: MmapMut,
}

// SAFETY: the memory belongs to the region; whoever holds a piece of it answers for the accesses to it.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Zeros, `bytes` of them and what is left of the last huge page.
    ///
    /// # Errors
    /// `OutOfMemory`, or what the system says.
    pub(super) fn zeroed(bytes: usize) -> io::Result<Self> {
        let refused = || io::Error::from(io::ErrorKind::OutOfMemory);
        let bytes = bytes.checked_next_multiple_of(HUGE_PAGE).ok_or_else(refused)?;
        let mut map = MmapMut::map_anon(bytes.checked_add(HUGE_PAGE).ok_or_else(refused)?)?;
        let first = map.as_ptr().align_offset(HUGE_PAGE);
        // Only advice: a kernel without huge pages serves the same bytes more slowly.
        #[cfg(target_os = "linux")]
        let _ = map.advise_range(memmap2::Advice::HugePage, first, bytes);
        let start = NonNull::from(&mut map[first..]).cast();
        Ok(Self { start, bytes, _map: map })
    }

    /// The first byte, on a boundary of huge pages.
    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

/// The region that pieces are taken from, and how much of it is given away.
static LAST: Mutex<(Weak<Region>, usize)> = Mutex::new((Weak::new(), 0));

/// `bytes` zero bytes that nobody else has, at a multiple of `align`, a power of two up to that of a huge page, for as long
/// as the region lives.
///
/// # Errors
/// `OutOfMemory`, or what the system says.
pub(super) fn piece(bytes: usize, align: usize) -> io::Result<(NonNull<u8>, Arc<Region>)> {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let free = last.1.next_multiple_of(align);
    let (region, first) = match last.0.upgrade() {
        Some(region) if bytes <= region.bytes.saturating_sub(free) => (region, free),
        _ => (Arc::new(Region::zeroed(bytes.max(REGION))?), 0),
    };
    *last = (Arc::downgrade(&region), first + bytes);
    // SAFETY: first + bytes <= region.bytes.
    Ok((unsafe { region.start.add(first) }, region))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_zero_aligned_and_apart() {
        let sizes = [1, 4096, 100, HUGE_PAGE + 1, REGION - 7, 3, REGION + 1, 64, REGION / 2, REGION / 2];
        let mut pieces: Vec<_> = sizes.map(|bytes| (piece(bytes, 64).unwrap(), bytes)).into();
        pieces.sort_by_key(|((start, _), _)| *start);
        for pair in pieces.windows(2) {
            let [((a, _), bytes), ((b, _), _)] = pair else { unreachable!() };
            assert!(a.as_ptr() as usize + bytes <= b.as_ptr() as usize, "{a:?} and {bytes} bytes, then {b:?}");
        }
        for ((start, region), bytes) in &pieces {
            assert_eq!(start.as_ptr() as usize % 64, 0);
            let end = region.start.as_ptr() as usize + region.bytes;
            assert!(*start >= region.start && start.as_ptr() as usize + bytes <= end);
            assert!(
                (region.start.as_ptr() as usize).is_multiple_of(HUGE_PAGE) && region.bytes.is_multiple_of(HUGE_PAGE)
            );
            // SAFETY: the piece is this test's.
            let piece = unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), *bytes) };
            assert!(piece.iter().all(|byte| *byte == 0));
            piece.fill(0xff);
        }
    }

    #[test]
    fn a_region_goes_with_its_last_piece() {
        let (_, region) = piece(REGION + 5, 64).unwrap();
        let watched = Arc::downgrade(&region);
        drop(region);
        assert!(watched.upgrade().is_none());
        assert!(piece(10, 64).is_ok());
    }

    #[test]
    fn an_impossible_size_is_an_error_and_costs_no_region() {
        assert!(piece(usize::MAX, 64).is_err() && piece(usize::MAX - 2 * HUGE_PAGE, 64).is_err());
        assert!(piece(10, 64).is_ok());
    }
}
