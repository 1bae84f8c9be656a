//! Device memory owned by the host: allocations far apart, so that an address says which one it misses.

use std::collections::HashMap;

use crate::finding::{Check, Trouble};
use crate::race::GlobalShadow;

/// Every allocation has a slot of the address space, and begins this far into it: an access a little before or behind an
/// allocation still names it.
const BASE: u64 = 0x7000_0000_0000;
const SLOT: u64 = 1 << 36;
const LEAD: u64 = 1 << 32;

/// Variables of modules stand in slots of their own.
pub(crate) const MODULES: u64 = 0x6000_0000_0000;

/// Generic addresses of the other state spaces.
pub(crate) const SHARED_WINDOW: u64 = 0x0100_0000_0000;
pub(crate) const LOCAL_WINDOW: u64 = 0x0200_0000_0000;
pub(crate) const PARAM_WINDOW: u64 = 0x0300_0000_0000;
pub(crate) const WINDOW: u64 = 1 << 40;

/// A device address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ptr(pub u64);

impl Ptr {
    pub const NULL: Self = Self(0);

    pub fn offset(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }
}

#[derive(Debug)]
pub(crate) struct Allocation {
    pub name: String,
    pub base: u64,
    pub data: Vec<u8>,
    pub written: Vec<bool>,
    pub read_only: bool,
    /// Who touched what in the present launch.
    pub shadow: GlobalShadow,
    pub traffic: Traffic,
}

/// Bytes that a launch moved to and from one allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub name: String,
    pub bytes: u64,
    /// Bytes that lanes asked for, those of lanes at the same address counted once per request.
    pub read: u64,
    pub written: u64,
    /// Bytes of the 32-byte sectors that requests touched.
    pub read_sectors: u64,
    pub written_sectors: u64,
    /// Bytes touched at all: the least that any kernel moves.
    pub distinct_read: u64,
    pub distinct_written: u64,
}

impl Traffic {
    pub(crate) fn less(&self, other: &Self) -> Self {
        Self {
            name: self.name.clone(),
            bytes: self.bytes,
            read: self.read.saturating_sub(other.read),
            written: self.written.saturating_sub(other.written),
            read_sectors: self.read_sectors.saturating_sub(other.read_sectors),
            written_sectors: self.written_sectors.saturating_sub(other.written_sectors),
            distinct_read: self.distinct_read.saturating_sub(other.distinct_read),
            distinct_written: self.distinct_written.saturating_sub(other.distinct_written),
        }
    }
}

#[derive(Debug, Default)]
pub struct Device {
    pub(crate) allocations: Vec<Allocation>,
    /// From slot number to index.
    slots: HashMap<u64, usize>,
    next: u64,
}

impl Device {
    pub fn new() -> Self {
        Self::default()
    }

    /// An allocation with nothing in it: to read it before writing is a finding.
    pub fn alloc(&mut self, bytes: usize) -> Ptr {
        let name = format!("allocation {}", self.next);
        self.alloc_named(&name, bytes)
    }

    pub fn alloc_named(&mut self, name: &str, bytes: usize) -> Ptr {
        let base = BASE + self.next * SLOT + LEAD;
        self.next += 1;
        self.place(name, base, bytes, false);
        Ptr(base)
    }

    pub fn alloc_zeroed(&mut self, name: &str, bytes: usize) -> Ptr {
        let ptr = self.alloc_named(name, bytes);
        self.write(ptr, &vec![0; bytes]);
        ptr
    }

    /// An allocation with these bytes in it.
    pub fn alloc_from(&mut self, name: &str, bytes: &[u8]) -> Ptr {
        let ptr = self.alloc_named(name, bytes.len());
        self.write(ptr, bytes);
        ptr
    }

    pub(crate) fn place(&mut self, name: &str, base: u64, bytes: usize, read_only: bool) {
        self.slots.insert(base / SLOT, self.allocations.len());
        self.allocations.push(Allocation {
            name: name.to_string(),
            base,
            data: vec![0xff; bytes],
            written: vec![false; bytes],
            read_only,
            shadow: GlobalShadow::default(),
            traffic: Traffic::default(),
        });
    }

    pub(crate) fn has(&self, address: u64) -> bool {
        self.slots.contains_key(&(address / SLOT))
    }

    fn host(&self, ptr: Ptr, bytes: usize) -> (usize, usize) {
        let index = *self.slots.get(&(ptr.0 / SLOT)).expect("the pointer is from this device");
        let allocation = &self.allocations[index];
        let at = ptr.0.checked_sub(allocation.base).expect("the pointer lies in an allocation") as usize;
        assert!(at + bytes <= allocation.data.len(), "{bytes} bytes at {at} of {}", allocation.name);
        (index, at)
    }

    /// Copies from the host.
    ///
    /// # Panics
    /// When the bytes do not lie in one allocation: a fault of the test, not of the kernel.
    pub fn write(&mut self, ptr: Ptr, bytes: &[u8]) {
        let (index, at) = self.host(ptr, bytes.len());
        let allocation = &mut self.allocations[index];
        allocation.data[at..at + bytes.len()].copy_from_slice(bytes);
        allocation.written[at..at + bytes.len()].fill(true);
    }

    /// Copies to the host; bytes nobody wrote are 0xff.
    ///
    /// # Panics
    /// When the bytes do not lie in one allocation.
    pub fn read(&self, ptr: Ptr, bytes: usize) -> Vec<u8> {
        let (index, at) = self.host(ptr, bytes);
        self.allocations[index].data[at..at + bytes].to_vec()
    }

    pub(crate) fn rename(&mut self, ptr: Ptr, name: String) {
        let (index, _) = self.host(ptr, 0);
        self.allocations[index].name = name;
    }

    /// The address of the allocation made `n` others after the first; variables of modules do not count.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn nth(&self, n: usize) -> Ptr {
        let mut own = self.allocations.iter().filter(|allocation| allocation.base >= BASE);
        Ptr(own.nth(n).expect("there are as many allocations").base)
    }

    /// Whether every byte was written.
    pub fn is_written(&self, ptr: Ptr, bytes: usize) -> bool {
        let (index, at) = self.host(ptr, bytes);
        self.allocations[index].written[at..at + bytes].iter().all(|w| *w)
    }

    /// Index and offset of a kernel's access, checked for bounds and alignment.
    pub(crate) fn locate(&self, lane: usize, address: u64, bytes: u64) -> Result<(usize, usize), Box<Trouble>> {
        let outside = |detail| Err(Trouble::at(Check::Bounds, lane, address, detail));
        let Some(index) = self.slots.get(&(address / SLOT)) else {
            return outside(format!("{bytes} bytes in no allocation"));
        };
        let allocation = &self.allocations[*index];
        let (size, at) = (allocation.data.len() as u64, address.wrapping_sub(allocation.base));
        if at >= size || at + bytes > size {
            let distance = if address < allocation.base {
                format!("{} before", allocation.base - address)
            } else {
                format!("at {at} of")
            };
            return outside(format!("{bytes} bytes, {distance} {} of {size} bytes", allocation.name));
        }
        if !address.is_multiple_of(bytes) {
            return Err(Trouble::at(
                Check::Alignment,
                lane,
                address,
                format!("{bytes} bytes at {at} of {} ask for an address that is a multiple of it", allocation.name),
            ));
        }
        Ok((*index, at as usize))
    }
}
