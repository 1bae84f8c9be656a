//! What a check found, and where.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Check {
    /// The launch itself: no such kernel, parameters of another size, too many threads.
    Launch,
    /// Outside of every allocation, of shared memory, of parameters or of local memory.
    Bounds,
    Alignment,
    /// A read of bytes that nobody wrote.
    Uninitialised,
    /// Threads that wait at different places, or that ended, while others wait at a barrier.
    BarrierDivergence,
    /// A warp's lanes that do not take part in a collective which names them.
    MissingLanes,
    /// Shared memory touched while a cp.async into it is in flight, or a thread that ends with one in flight.
    CopyInFlight,
    /// Two threads of a block on one byte, one of them writing, and no barrier between.
    Race,
    /// Two blocks on one byte, one of them writing without an atomic.
    BlockRace,
    /// A read of what the launch itself writes by `ld.global.nc`, which may not see it.
    NonCoherent,
    ReadOnly,
    DivisionByZero,
    /// A matrix product of floats whose result depends on the order of its sum.
    Inexact,
    Trap,
    /// More instructions than the options allow.
    Endless,
}

/// The first thing a launch did that it must not do.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Finding {
    pub check: Check,
    pub kernel: String,
    /// Line of the PTX text, and the line itself.
    pub ptx_line: u32,
    pub ptx: String,
    /// `file:line` of the CUDA source, where the PTX was compiled with `-lineinfo`.
    pub place: Option<String>,
    pub block: [u32; 3],
    pub thread: [u32; 3],
    pub address: Option<u64>,
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, kernel, ptx_line, ptx, block: [bx, by, bz], thread: [tx, ty, tz], .. } = self;
        write!(out, "{check:?} in {kernel}, PTX line {ptx_line} `{ptx}`")?;
        if let Some(place) = &self.place {
            write!(out, " ({place})")?;
        }
        write!(out, ", block ({bx}, {by}, {bz}), thread ({tx}, {ty}, {tz})")?;
        if let Some(address) = self.address {
            write!(out, ", address {address:#x}")?;
        }
        write!(out, ": {}", self.detail)
    }
}

/// A finding before it is known where: the interpreter's parts return these.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub check: Check,
    /// Lane of the warp being run.
    pub lane: Option<usize>,
    pub address: Option<u64>,
    pub detail: String,
}

impl Trouble {
    pub fn new(check: Check, lane: usize, detail: String) -> Box<Self> {
        Box::new(Self { check, lane: Some(lane), address: None, detail })
    }

    pub fn at(check: Check, lane: usize, address: u64, detail: String) -> Box<Self> {
        Box::new(Self { check, lane: Some(lane), address: Some(address), detail })
    }
}
