//! What a launch did, counted: the proxy for speed where there is no device. Counts are of PTX instructions as warps
//! issue them; the assembler removes moves and merges others, so shares are estimates, traffic and conflicts are not.

use std::fmt;

use crate::memory::Traffic;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Class {
    Imma,
    Hmma,
    LoadMatrix,
    LoadShared,
    StoreShared,
    LoadGlobal,
    StoreGlobal,
    CopyAsync,
    Atomic,
    Local,
    Param,
    Fma,
    Float,
    Divide,
    Double,
    Int,
    Compare,
    Convert,
    Move,
    Collective,
    Barrier,
    Control,
}

impl Class {
    pub const ALL: [Self; 22] = [
        Self::Imma,
        Self::Hmma,
        Self::LoadMatrix,
        Self::LoadShared,
        Self::StoreShared,
        Self::LoadGlobal,
        Self::StoreGlobal,
        Self::CopyAsync,
        Self::Atomic,
        Self::Local,
        Self::Param,
        Self::Fma,
        Self::Float,
        Self::Divide,
        Self::Double,
        Self::Int,
        Self::Compare,
        Self::Convert,
        Self::Move,
        Self::Collective,
        Self::Barrier,
        Self::Control,
    ];
}

/// Counts of one instruction of the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Times a warp issued it, and lanes that ran it.
    pub issued: u64,
    pub threads: u64,
    /// Requests to memory, the bytes lanes asked for and the least they could be served with.
    pub requests: u64,
    pub bytes: u64,
    pub sectors: u64,
    pub least_sectors: u64,
    /// Shared memory: passes through the banks, and passes without conflict.
    pub wavefronts: u64,
    pub least_wavefronts: u64,
}

impl Count {
    fn add(&mut self, other: &Self) {
        self.issued += other.issued;
        self.threads += other.threads;
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.sectors += other.sectors;
        self.least_sectors += other.least_sectors;
        self.wavefronts += other.wavefronts;
        self.least_wavefronts += other.least_wavefronts;
    }

    fn less(&self, other: &Self) -> Self {
        Self {
            issued: self.issued.saturating_sub(other.issued),
            threads: self.threads.saturating_sub(other.threads),
            requests: self.requests.saturating_sub(other.requests),
            bytes: self.bytes.saturating_sub(other.bytes),
            sectors: self.sectors.saturating_sub(other.sectors),
            least_sectors: self.least_sectors.saturating_sub(other.least_sectors),
            wavefronts: self.wavefronts.saturating_sub(other.wavefronts),
            least_wavefronts: self.least_wavefronts.saturating_sub(other.least_wavefronts),
        }
    }
}

/// One instruction's counts and place.
#[derive(Clone, Debug)]
pub struct LineCount {
    pub class: Class,
    pub ptx_line: u32,
    pub place: Option<String>,
    pub count: Count,
}

#[derive(Clone, Debug)]
pub struct Counters {
    pub kernel: String,
    pub blocks: u64,
    pub threads_per_block: u32,
    /// Static and dynamic.
    pub shared_bytes: u64,
    /// Instructions in the order of the code, device functions in place.
    pub lines: Vec<LineCount>,
    /// Allocations that the launch touched.
    pub traffic: Vec<Traffic>,
}

impl Counters {
    pub fn class(&self, class: Class) -> Count {
        self.sum(|line| line.class == class)
    }

    pub fn total(&self) -> Count {
        self.sum(|_| true)
    }

    pub fn sum(&self, choose: impl Fn(&LineCount) -> bool) -> Count {
        let mut sum = Count::default();
        for line in self.lines.iter().filter(|line| choose(line)) {
            sum.add(&line.count);
        }
        sum
    }

    /// Share of `class` among issued instructions, moves apart, which the assembler mostly removes.
    pub fn share(&self, class: Class) -> f64 {
        let issued = self.total().issued - self.class(Class::Move).issued;
        self.class(class).issued as f64 / issued.max(1) as f64
    }

    /// Extra passes through shared memory's banks, over the whole launch.
    pub fn bank_conflicts(&self) -> u64 {
        let total = self.total();
        total.wavefronts - total.least_wavefronts
    }

    /// Instructions whose shared-memory accesses conflict, worst first.
    pub fn conflicting_lines(&self) -> Vec<&LineCount> {
        let extra = |line: &LineCount| line.count.wavefronts - line.count.least_wavefronts;
        let mut lines: Vec<_> = self.lines.iter().filter(|line| extra(line) > 0).collect();
        lines.sort_by_key(|line| std::cmp::Reverse(extra(line)));
        lines
    }

    /// Bytes of global memory asked for, per byte of the sectors moved for them.
    pub fn sector_use(&self) -> f64 {
        let total = self.total();
        if total.sectors == 0 { 1.0 } else { total.least_sectors as f64 / total.sectors as f64 }
    }

    /// What this launch did more than a shorter one of the same kernel: the loop that it ran longer, without what comes
    /// before and after.
    ///
    /// # Panics
    /// When the kernels are not the same.
    pub fn beyond(&self, shorter: &Self) -> Self {
        assert_eq!((&self.kernel, self.lines.len()), (&shorter.kernel, shorter.lines.len()), "other kernels");
        let mut loops = self.clone();
        for (line, shorter) in loops.lines.iter_mut().zip(&shorter.lines) {
            line.count = line.count.less(&shorter.count);
        }
        for traffic in &mut loops.traffic {
            if let Some(shorter) = shorter.traffic_of(&traffic.name) {
                *traffic = traffic.less(shorter);
            }
        }
        loops
    }

    pub fn traffic_of(&self, name: &str) -> Option<&Traffic> {
        self.traffic.iter().find(|traffic| traffic.name == name)
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        let Self { kernel, blocks, threads_per_block, shared_bytes, .. } = self;
        writeln!(out, "{kernel}: {blocks} blocks of {threads_per_block}, {shared_bytes} bytes of shared memory")?;
        writeln!(out, "  {} instructions issued, {} by threads", total.issued, total.threads)?;
        for class in Class::ALL {
            let count = self.class(class);
            if count.issued == 0 {
                continue;
            }
            let share = 100.0 * count.issued as f64 / total.issued.max(1) as f64;
            let name = format!("{class:?}");
            write!(out, "  {name:<12} {:>10} {share:5.1} %", count.issued)?;
            if count.sectors > 0 {
                write!(out, "  {} bytes, {} sectors, least {}", count.bytes, count.sectors, count.least_sectors)?;
            }
            if count.wavefronts > 0 {
                write!(out, "  {} wavefronts, least {}", count.wavefronts, count.least_wavefronts)?;
            }
            writeln!(out)?;
        }
        for t in &self.traffic {
            write!(out, "  {} ({} bytes): read {}, ", t.name, t.bytes, t.read)?;
            write!(out, "sectors {}, distinct {}; ", t.read_sectors, t.distinct_read)?;
            writeln!(out, "written {}, sectors {}, distinct {}", t.written, t.written_sectors, t.distinct_written)?;
        }
        Ok(())
    }
}
