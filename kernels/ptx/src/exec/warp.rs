//! A warp's lanes: where each stands, which run, which wait. The lanes of the lowest instruction run first, so that lanes
//! that parted meet again where the code joins.

use super::columns::{Columns, lanes};

/// A cp.async that was started and whose data has not arrived: it arrives at the wait, as late as it may.
#[derive(Debug)]
pub(crate) struct PendingCopy {
    pub lane: usize,
    pub group: u32,
    pub to: usize,
    pub bytes: usize,
    pub data: [u8; 16],
}

#[derive(Debug)]
pub(crate) struct Warp {
    pub columns: Columns,
    /// Not ended, and among those not waiting.
    pub live: u32,
    pub runnable: u32,
    /// All runnable lanes stand at `at`; the entries of `pc` count for the others, and for all when this is false.
    together: bool,
    at: u32,
    pc: [u32; 32],
    /// The barrier all live lanes wait at.
    pub barrier: Option<u32>,
    pub copies: Vec<PendingCopy>,
    /// Groups each lane has committed.
    pub groups: [u32; 32],
    pub local: Vec<u8>,
    pub local_written: Vec<bool>,
}

impl Warp {
    pub fn new(columns: Columns, local_bytes: usize) -> Self {
        Self {
            columns,
            live: 0,
            runnable: 0,
            together: true,
            at: 0,
            pc: [0; 32],
            barrier: None,
            copies: Vec::new(),
            groups: [0; 32],
            local: vec![0; 32 * local_bytes],
            local_written: vec![false; 32 * local_bytes],
        }
    }

    pub fn restart(&mut self, live: u32) {
        (self.live, self.runnable, self.together, self.at, self.barrier) = (live, live, true, 0, None);
        self.copies.clear();
        self.groups = [0; 32];
        self.local_written.fill(false);
    }

    /// The instruction to run next, and the lanes that stand there.
    pub fn select(&mut self) -> (u32, u32) {
        if self.together {
            return (self.at, self.runnable);
        }
        let low = lanes(self.runnable).map(|lane| self.pc[lane]).min().unwrap_or(0);
        let mut mask = 0;
        for (lane, pc) in self.pc.iter().enumerate() {
            mask |= u32::from(*pc == low) << lane;
        }
        mask &= self.runnable;
        if mask == self.runnable {
            (self.together, self.at) = (true, low);
        }
        (low, mask)
    }

    fn part(&mut self) {
        if self.together {
            self.together = false;
            for lane in lanes(self.runnable) {
                self.pc[lane] = self.at;
            }
        }
    }

    /// Moves lanes, all at the selected instruction, to `target`.
    pub fn go(&mut self, mask: u32, target: u32) {
        if mask == 0 {
            return;
        }
        if self.together && mask == self.runnable {
            self.at = target;
            return;
        }
        self.part();
        for lane in lanes(mask) {
            self.pc[lane] = target;
        }
    }

    pub fn end(&mut self, mask: u32) {
        self.part();
        self.live &= !mask;
        self.runnable &= !mask;
    }

    /// Lanes stay where they are until `release`.
    pub fn wait(&mut self, mask: u32) {
        self.part();
        self.runnable &= !mask;
    }

    pub fn waiting(&self) -> u32 {
        self.live & !self.runnable
    }

    /// Where a waiting lane stands.
    pub fn place(&self, lane: usize) -> u32 {
        self.pc[lane]
    }

    pub fn waiting_at(&self, pc: u32) -> u32 {
        lanes(self.waiting()).filter(|lane| self.pc[*lane] == pc).fold(0, |mask, lane| mask | 1 << lane)
    }

    /// Waiting lanes go on behind what they waited at.
    pub fn release(&mut self, mask: u32) {
        self.part();
        for lane in lanes(mask) {
            self.pc[lane] += 1;
        }
        self.runnable |= mask;
    }
}
