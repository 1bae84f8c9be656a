//! Happens-before between the threads of a block, and who touched which byte.
//!
//! A warp has a clock that goes up when its lanes synchronise. An access is ordered before a later one of another thread
//! when a barrier that both took part in lies between: `__syncwarp` within a warp, `bar.sync` within a block. Shuffles,
//! votes and the matrix product order no memory. Between blocks of a launch nothing is ordered.
//! Each byte remembers its last write and the reads since; clocks never go back, so blocks need no reset.

pub(crate) type Time = u32;

#[derive(Clone, Debug)]
pub(crate) struct Clocks {
    /// Per warp.
    time: Vec<Time>,
    /// `[warp][lane][other]`: accesses of lane `other` of the same warp before this time are ordered before the lane's.
    lanes: Vec<[[Time; 32]; 32]>,
    /// `[warp][other]`: the same between warps.
    warps: Vec<Vec<Time>>,
}

impl Clocks {
    pub fn new(warps: usize) -> Self {
        let lanes = vec![[[1; 32]; 32]; warps];
        Self { time: vec![1; warps], lanes, warps: vec![vec![1; warps]; warps] }
    }

    pub fn now(&self, thread: usize) -> Time {
        self.time[thread / 32]
    }

    /// Whether what `other` did at `time` is ordered before what `thread` does now.
    #[inline]
    pub fn ordered(&self, thread: usize, other: usize, time: Time) -> bool {
        let (warp, other_warp) = (thread / 32, other / 32);
        if warp == other_warp {
            thread == other || time < self.lanes[warp][thread % 32][other % 32]
        } else {
            time < self.warps[warp][other_warp]
        }
    }

    /// `bar.warp.sync`.
    pub fn sync_lanes(&mut self, warp: usize, mask: u32) {
        self.time[warp] += 1;
        let now = self.time[warp];
        let lanes = &mut self.lanes[warp];
        if mask == u32::MAX {
            *lanes = [[now; 32]; 32];
            return;
        }
        let members = || (0..32).filter(|lane| mask >> lane & 1 != 0);
        let mut joined = [0; 32];
        for member in members() {
            for (joined, time) in joined.iter_mut().zip(&lanes[member]) {
                *joined = (*joined).max(*time);
            }
        }
        for member in members() {
            joined[member] = now;
        }
        for member in members() {
            lanes[member] = joined;
        }
    }

    /// A barrier of these warps, each with all its lanes.
    pub fn sync_warps(&mut self, members: &[usize]) {
        let mut joined = vec![0; self.time.len()];
        for &warp in members {
            for (joined, time) in joined.iter_mut().zip(&self.warps[warp]) {
                *joined = (*joined).max(*time);
            }
        }
        for &warp in members {
            self.sync_lanes(warp, u32::MAX);
            joined[warp] = self.time[warp];
        }
        for &warp in members {
            self.warps[warp].clone_from(&joined);
        }
    }

    /// Whatever was before is over: a new block.
    pub fn new_block(&mut self) {
        let all: Vec<usize> = (0..self.time.len()).collect();
        self.sync_warps(&all);
    }
}

/// How an access counts: atomics and strong accesses do not race with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub thread: usize,
    pub write: bool,
    pub atomic: bool,
}

/// Another thread whose access conflicts with the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    pub thread: usize,
    pub wrote: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct LastWrite {
    time: Time,
    thread: u16,
    atomic: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct LastReads {
    time: Time,
    lanes: u32,
}

/// The shared memory of a block.
#[derive(Debug, Default)]
pub(crate) struct SharedShadow {
    warps: usize,
    writes: Vec<LastWrite>,
    /// `[byte][warp]`
    reads: Vec<LastReads>,
}

impl SharedShadow {
    pub fn new(bytes: usize, warps: usize) -> Self {
        let reads = vec![LastReads::default(); bytes * warps];
        Self { warps, writes: vec![LastWrite::default(); bytes], reads }
    }

    /// Notes an access to one byte.
    #[inline]
    pub fn touch(&mut self, clocks: &Clocks, access: Access, at: usize) -> Result<(), Conflict> {
        let Access { thread, write, atomic } = access;
        let last = self.writes[at];
        let other = usize::from(last.thread);
        if last.time != 0 && !(atomic && last.atomic) && !clocks.ordered(thread, other, last.time) {
            return Err(Conflict { thread: other, wrote: true });
        }
        let now = clocks.now(thread);
        let (warp, lane) = (thread / 32, thread % 32);
        let reads = &mut self.reads[at * self.warps..(at + 1) * self.warps];
        if write {
            if let Some(conflict) = unordered_read(clocks, thread, reads) {
                return Err(conflict);
            }
            self.writes[at] = LastWrite { time: now, thread: thread as u16, atomic };
        } else {
            let mine = &mut reads[warp];
            if mine.time == now {
                mine.lanes |= 1 << lane;
            } else {
                *mine = LastReads { time: now, lanes: 1 << lane };
            }
        }
        Ok(())
    }
}

fn unordered_read(clocks: &Clocks, thread: usize, reads: &[LastReads]) -> Option<Conflict> {
    for (warp, read) in reads.iter().enumerate() {
        if read.time == 0 {
            continue;
        }
        if warp != thread / 32 {
            let other = 32 * warp + read.lanes.trailing_zeros() as usize;
            if !clocks.ordered(thread, other, read.time) {
                return Some(Conflict { thread: other, wrote: false });
            }
        } else if let Some(lane) =
            super::exec::columns::lanes(read.lanes).find(|lane| !clocks.ordered(thread, 32 * warp + lane, read.time))
        {
            return Some(Conflict { thread: 32 * warp + lane, wrote: false });
        }
    }
    None
}

/// One allocation in the present launch. A record is `block + 1`, thread, atomic and time in one word.
#[derive(Debug, Default)]
pub(crate) struct GlobalShadow {
    writes: Vec<u64>,
    /// The last reader and the last one that was another thread.
    reads: Vec<[u64; 2]>,
    /// The first reading block, `MANY` when there were several.
    blocks: Vec<u32>,
}

const MANY: u32 = u32::MAX;

fn record(block: u64, thread: usize, atomic: bool, time: Time) -> u64 {
    (block + 1) << 40 | (thread as u64) << 30 | u64::from(atomic) << 29 | u64::from(time & 0x1fff_ffff)
}

fn fields(record: u64) -> (u64, usize, bool, Time) {
    ((record >> 40) - 1, (record >> 30) as usize & 0x3ff, record >> 29 & 1 != 0, record as u32 & 0x1fff_ffff)
}

/// A conflict in global memory: the other's block and what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GlobalConflict {
    pub block: u64,
    pub thread: Option<usize>,
    pub wrote: bool,
}

impl GlobalShadow {
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Whether the launch has written any of these bytes.
    pub fn is_written(&self, at: usize, bytes: usize) -> bool {
        self.writes.get(at..at + bytes).is_some_and(|writes| writes.iter().any(|write| *write != 0))
    }

    pub fn distinct(&self) -> (u64, u64) {
        let written = self.writes.iter().filter(|w| **w != 0).count();
        (self.blocks.iter().filter(|b| **b != 0).count() as u64, written as u64)
    }

    /// Notes an access to `bytes` at `at`.
    pub fn touch(
        &mut self,
        clocks: &Clocks,
        block: u64,
        access: Access,
        range: (usize, usize),
        size: usize,
    ) -> Result<(), GlobalConflict> {
        let (at, bytes) = range;
        if self.writes.is_empty() {
            self.writes = vec![0; size];
        }
        if self.reads.is_empty() {
            self.reads = vec![[0; 2]; size];
            self.blocks = vec![0; size];
        }
        let new = record(block, access.thread, access.atomic, clocks.now(access.thread));
        for byte in at..at + bytes {
            if let Some(conflict) = conflict(clocks, block, access, self.writes[byte], true) {
                return Err(conflict);
            }
            if access.write {
                self.check_reads(clocks, block, access, byte)?;
                self.writes[byte] = new;
            } else {
                self.note_read(block, access.thread, new, byte);
            }
        }
        Ok(())
    }

    fn note_read(&mut self, block: u64, thread: usize, new: u64, byte: usize) {
        let reads = &mut self.reads[byte];
        if reads[0] != 0 && fields(reads[0]).1 != thread {
            reads[1] = reads[0];
        }
        reads[0] = new;
        let blocks = &mut self.blocks[byte];
        let mine = block as u32 + 1;
        *blocks = if *blocks == 0 || *blocks == mine { mine } else { MANY };
    }

    fn check_reads(&self, clocks: &Clocks, block: u64, access: Access, byte: usize) -> Result<(), GlobalConflict> {
        for read in self.reads[byte] {
            if let Some(conflict) = conflict(clocks, block, access, read, false) {
                return Err(conflict);
            }
        }
        match self.blocks[byte] {
            MANY if !access.atomic => Err(GlobalConflict { block: 0, thread: None, wrote: false }),
            _ => Ok(()),
        }
    }
}

fn conflict(clocks: &Clocks, block: u64, access: Access, record: u64, wrote: bool) -> Option<GlobalConflict> {
    if record == 0 {
        return None;
    }
    let (other_block, thread, atomic, time) = fields(record);
    if atomic && access.atomic {
        return None;
    }
    let ordered = other_block == block && clocks.ordered(access.thread, thread, time);
    (!ordered).then_some(GlobalConflict { block: other_block, thread: Some(thread), wrote })
}
