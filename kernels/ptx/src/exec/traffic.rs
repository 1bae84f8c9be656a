//! Counting: sectors of global memory and passes through the banks of shared memory, per request of a warp.

use super::Machine;
use super::columns::{Column, lanes};

const SECTOR: u64 = 32;
const BANKS: u64 = 32;

impl Machine<'_> {
    /// A request of the lanes of `mask`, `bytes` each at a multiple of `bytes`.
    pub fn count_global(&mut self, mask: u32, addresses: &Column, bytes: u64, write: bool) {
        if mask == 0 {
            return;
        }
        let (mut unique, mut sectors) = (Vec::with_capacity(32), Vec::with_capacity(32));
        for lane in lanes(mask) {
            let address = addresses[lane];
            let Ok((index, _)) = self.device.locate(lane, address, bytes) else { continue };
            let traffic = &mut self.device.allocations[index].traffic;
            if note(&mut unique, address) {
                *if write { &mut traffic.written } else { &mut traffic.read } += bytes;
            }
            if note(&mut sectors, address / SECTOR) {
                *if write { &mut traffic.written_sectors } else { &mut traffic.read_sectors } += SECTOR;
            }
        }
        let count = &mut self.counts[self.at.0 as usize];
        let distinct = unique.len() as u64 * bytes;
        count.requests += 1;
        count.bytes += distinct;
        count.sectors += sectors.len() as u64;
        count.least_sectors += distinct.div_ceil(SECTOR);
    }

    /// Lanes of 8 bytes go through the banks in halves of a warp, of 16 bytes in quarters. Lanes at one word share a pass.
    pub fn count_shared(&mut self, mask: u32, addresses: &Column, bytes: u64) {
        let words = bytes.div_ceil(4);
        let group = (32 / words) as usize;
        let (mut passes, mut least) = (0, 0);
        for first in (0..32).step_by(group) {
            let members = mask & (((1u64 << group) - 1) << first) as u32;
            if members == 0 {
                continue;
            }
            let mut seen: Vec<u64> = Vec::with_capacity(32);
            let mut depth = [0u64; BANKS as usize];
            for lane in lanes(members) {
                for word in 0..words {
                    let word = addresses[lane] / 4 + word;
                    if note(&mut seen, word) {
                        depth[(word % BANKS) as usize] += 1;
                    }
                }
            }
            passes += depth.into_iter().max().unwrap_or(0);
            least += 1;
        }
        let count = &mut self.counts[self.at.0 as usize];
        count.requests += 1;
        count.bytes += u64::from(mask.count_ones()) * bytes;
        count.wavefronts += passes;
        count.least_wavefronts += least;
    }
}

/// Adds a value to a small set; false if it was there.
fn note(set: &mut Vec<u64>, value: u64) -> bool {
    let new = !set.iter().rev().any(|v| *v == value);
    if new {
        set.push(value);
    }
    new
}
