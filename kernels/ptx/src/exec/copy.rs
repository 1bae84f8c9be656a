//! cp.async and ldmatrix. A copy's data is taken when it starts and arrives at the wait: what reads the place between
//! the two, or without a barrier behind the wait, is found out.

use super::columns::lanes;
use super::warp::PendingCopy;
use super::{Machine, Outcome};
use crate::finding::{Check, Trouble};
use crate::inst::{Addr, R};
use crate::race::Access;

impl Machine<'_> {
    pub fn start_copies(
        &mut self,
        w: usize,
        mask: u32,
        (to, from): (Addr, Addr),
        bytes: usize,
        source_bytes: Option<R>,
    ) -> Outcome {
        let targets = self.addresses(w, to);
        let sources = self.addresses(w, from);
        let lengths = source_bytes.map(|r| *self.warps[w].columns.get(r));
        let mut reading = 0;
        for lane in lanes(mask) {
            let length = lengths.map_or(bytes as u64, |column| column[lane]);
            if length > bytes as u64 {
                return Err(Trouble::new(Check::Bounds, lane, format!("{length} source bytes for a copy of {bytes}")));
            }
            let mut data = [0; 16];
            if length > 0 {
                reading |= 1 << lane;
                self.read_global(w, lane, sources[lane], bytes as u64, length as usize, false, &mut data)?;
            }
            let at = self.shared_at(lane, targets[lane], bytes as u64)?;
            self.touch_shared(w, lane, at, bytes, true)?;
            for byte in at..at + bytes {
                self.shared.in_flight[byte] = self.thread(w, lane) as u16 + 1;
            }
            self.shared.flying += 1;
            let group = self.warps[w].groups[lane];
            self.warps[w].copies.push(PendingCopy { lane, group, to: at, bytes, data });
        }
        self.count_global(reading, &sources, bytes as u64, false);
        self.count_shared(mask, &targets, bytes as u64);
        Ok(())
    }

    /// The copies that the wait covers arrive.
    pub fn finish_copies(&mut self, w: usize, mask: u32, pending: Option<u32>) -> Outcome {
        let groups = self.warps[w].groups;
        let covered = |copy: &PendingCopy| {
            mask >> copy.lane & 1 != 0 && pending.is_none_or(|pending| copy.group + pending < groups[copy.lane])
        };
        let (done, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.warps[w].copies).into_iter().partition(covered);
        self.warps[w].copies = left;
        for copy in done {
            let range = copy.to..copy.to + copy.bytes;
            self.shared.in_flight[range.clone()].fill(0);
            self.shared.flying -= 1;
            self.touch_shared(w, copy.lane, copy.to, copy.bytes, true)?;
            self.shared.data[range.clone()].copy_from_slice(&copy.data[..copy.bytes]);
            self.shared.written[range].fill(true);
        }
        Ok(())
    }

    /// Lanes 8i to 8i + 7 give the rows of matrix i; lane l receives the two elements l % 4 of row l / 4, or of column
    /// l / 4 when transposed.
    pub fn load_matrices(&mut self, w: usize, (d, count): ([R; 4], usize), transposed: bool, addr: Addr) -> Outcome {
        let addresses = self.addresses(w, addr);
        let mut rows = [0; 32];
        for lane in 0..8 * count {
            rows[lane] = self.shared_at(lane, addresses[lane], 16)?;
        }
        for lane in 0..32 {
            for (matrix, d) in d.iter().enumerate().take(count) {
                let element = |row: usize, column: usize| rows[8 * matrix + row] + 2 * column;
                let (row, column) = (lane / 4, 2 * (lane % 4));
                let at = if transposed {
                    [element(column, row), element(column + 1, row)]
                } else {
                    [element(row, column), element(row, column + 1)]
                };
                let mut value = 0;
                for (half, at) in at.into_iter().enumerate() {
                    let mut bytes = [0; 2];
                    self.read_shared(w, lane, at, &mut bytes)?;
                    value |= u64::from(u16::from_le_bytes(bytes)) << (16 * half);
                }
                self.warps[w].columns.put(*d, lane, value);
            }
        }
        for matrix in 0..count {
            self.count_shared(0xff << (8 * matrix), &addresses, 16);
        }
        Ok(())
    }

    /// Notes an access to shared memory and looks for copies in flight and races.
    pub fn touch_shared(&mut self, w: usize, lane: usize, at: usize, bytes: usize, write: bool) -> Outcome {
        self.touch_shared_as(lane, Access { thread: self.thread(w, lane), write, atomic: false }, at, bytes)
    }
}
