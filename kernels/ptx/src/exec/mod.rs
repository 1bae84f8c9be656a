//! Execution: blocks one after the other, the warps of a block interleaved, every lane of a warp with its own place.

mod access;
mod alu;
mod collective;
pub(crate) mod columns;
mod copy;
mod float;
mod step;
mod traffic;
mod warp;

use crate::counters::{Count, Counters, LineCount};
use crate::decode::{Kernel, Special};
use crate::finding::{Finding, Trouble};
use crate::memory::{Device, Traffic};
use crate::module::Module;
use crate::race::{Clocks, SharedShadow};
use columns::{Columns, LANES, lanes};
use warp::Warp;

/// In which order warps and blocks run. No result of a kernel without findings depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Every warp in turn runs so many instructions.
    RoundRobin { quantum: u32 },
    /// Any warp, for any number of instructions up to 64, and blocks in any order.
    Random { seed: u64 },
}

/// Blocks of the grid, threads of a block and bytes of dynamic shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub dynamic_shared: u32,
}

impl Shape {
    pub fn new(blocks: u32, threads: u32) -> Self {
        Self { grid: [blocks, 1, 1], block: [threads, 1, 1], dynamic_shared: 0 }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub schedule: Schedule,
    /// Look for races, in shared memory and between blocks.
    pub races: bool,
    /// Most instructions that warps may issue in a launch.
    pub limit: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { schedule: Schedule::RoundRobin { quantum: 32 }, races: true, limit: 2_000_000_000 }
    }
}

pub(crate) struct Shared {
    pub data: Vec<u8>,
    pub written: Vec<bool>,
    /// In a variable or in dynamic memory, not in a gap.
    pub mapped: Vec<bool>,
    pub static_bytes: u64,
    /// Thread + 1 whose cp.async is on its way to the byte.
    pub in_flight: Vec<u16>,
    pub flying: usize,
    pub shadow: SharedShadow,
}

pub(crate) struct Machine<'a> {
    device: &'a mut Device,
    kernel: &'a Kernel,
    params: &'a [u8],
    options: &'a Options,
    threads: usize,
    block: [u32; 3],
    block_index: u64,
    counts: Vec<Count>,
    clocks: Clocks,
    shared: Shared,
    warps: Vec<Warp>,
    issued: u64,
    random: u64,
    /// The instruction and the warp at work, for findings.
    at: (u32, usize),
}

pub(crate) type Outcome<T = ()> = Result<T, Box<Trouble>>;

/// Runs a kernel over its grid.
pub(crate) fn launch(
    device: &mut Device,
    module: &Module,
    kernel: &Kernel,
    shape: Shape,
    params: &[u8],
    options: &Options,
) -> Result<Counters, Box<Finding>> {
    let Shape { grid, block, dynamic_shared } = shape;
    let threads = block.iter().map(|n| u64::from(*n)).product::<u64>();
    let refuse = |detail: String| Err(module.refusal(&kernel.name, detail));
    if params.len() as u64 != kernel.param_bytes {
        return refuse(format!("{} bytes of parameters where {} are expected", params.len(), kernel.param_bytes));
    }
    let most = u64::from(kernel.max_threads.unwrap_or(1024).min(1024));
    if threads == 0 || threads > most || grid.contains(&0) {
        return refuse(format!("{grid:?} blocks of {threads} threads, at most {most}"));
    }
    for allocation in &mut device.allocations {
        allocation.shadow.reset();
        let (name, bytes) = (allocation.name.clone(), allocation.data.len() as u64);
        allocation.traffic = Traffic { name, bytes, ..Traffic::default() };
    }
    let mut machine = Machine::new(device, kernel, params, options, threads as usize, dynamic_shared);
    machine.fill_columns(grid, block, dynamic_shared);
    let blocks = grid.iter().map(|n| u64::from(*n)).product::<u64>();
    for index in machine.block_order(blocks) {
        let plane = u64::from(grid[0]) * u64::from(grid[1]);
        let row = u64::from(grid[0]);
        machine.block = [(index % row) as u32, (index % plane / row) as u32, (index / plane) as u32];
        machine.block_index = index;
        machine.run_block().map_err(|trouble| machine.finding(module, block, *trouble))?;
    }
    Ok(machine.counters(module, blocks))
}

impl<'a> Machine<'a> {
    fn new(
        device: &'a mut Device,
        kernel: &'a Kernel,
        params: &'a [u8],
        options: &'a Options,
        threads: usize,
        dynamic_shared: u32,
    ) -> Self {
        let warps = threads.div_ceil(LANES);
        let bytes = kernel.dynamic_start as usize + dynamic_shared as usize;
        let mut mapped = vec![false; bytes];
        mapped[kernel.dynamic_start as usize..].fill(true);
        for (start, bytes) in &kernel.shared {
            mapped[*start as usize..(start + bytes) as usize].fill(true);
        }
        let shared = Shared {
            data: vec![0xff; bytes],
            written: vec![false; bytes],
            mapped,
            static_bytes: kernel.shared.iter().map(|(_, bytes)| bytes).sum(),
            in_flight: vec![0; bytes],
            flying: 0,
            shadow: SharedShadow::new(bytes, warps),
        };
        let new_warp = || Warp::new(Columns(vec![[0; LANES]; kernel.columns]), kernel.local_bytes as usize);
        Self {
            device,
            kernel,
            params,
            options,
            threads,
            block: [0; 3],
            block_index: 0,
            counts: vec![Count::default(); kernel.code.len()],
            clocks: Clocks::new(warps),
            shared,
            warps: (0..warps).map(|_| new_warp()).collect(),
            issued: 0,
            random: match options.schedule {
                Schedule::Random { seed } => seed,
                Schedule::RoundRobin { .. } => 0,
            },
            at: (0, 0),
        }
    }

    /// Constants and special registers are columns like others; those of the block are written block by block.
    fn fill_columns(&mut self, grid: [u32; 3], block: [u32; 3], dynamic_shared: u32) {
        let warps = self.warps.len() as u64;
        for (index, warp) in self.warps.iter_mut().enumerate() {
            for (r, value) in &self.kernel.constants {
                warp.columns.0[*r as usize] = [*value; LANES];
            }
            for (r, special) in &self.kernel.specials {
                for lane in 0..LANES {
                    let thread = (index * LANES + lane) as u32;
                    let value = match special {
                        Special::Tid(0) => u64::from(thread % block[0]),
                        Special::Tid(1) => u64::from(thread / block[0] % block[1]),
                        Special::Tid(_) => u64::from(thread / block[0] / block[1]),
                        Special::Ntid(axis) => u64::from(block[*axis]),
                        Special::Nctaid(axis) => u64::from(grid[*axis]),
                        Special::Ctaid(_) => 0,
                        Special::Lane => lane as u64,
                        Special::Warp => index as u64,
                        Special::Warps => warps,
                        Special::LanesEqual => 1 << lane,
                        Special::LanesBelow => (1 << lane) - 1,
                        Special::LanesUpTo => (2 << lane) - 1,
                        Special::LanesAbove => 0xffff_ffff & !((2 << lane) - 1),
                        Special::LanesFrom => 0xffff_ffff & !((1 << lane) - 1),
                        Special::DynamicShared => u64::from(dynamic_shared),
                    };
                    warp.columns.put(*r, lane, value);
                }
            }
        }
    }

    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn block_order(&mut self, blocks: u64) -> Vec<u64> {
        let mut order: Vec<u64> = (0..blocks).collect();
        if let Schedule::Random { .. } = self.options.schedule {
            for i in (1..order.len()).rev() {
                let other = (self.next_random() % (i as u64 + 1)) as usize;
                order.swap(i, other);
            }
        }
        order
    }

    fn begin_block(&mut self) {
        self.clocks.new_block();
        self.shared.data.fill(0xff);
        self.shared.written.fill(false);
        self.shared.in_flight.fill(0);
        self.shared.flying = 0;
        for (index, warp) in self.warps.iter_mut().enumerate() {
            let lanes_here = (self.threads - index * LANES).min(LANES);
            warp.restart(if lanes_here == LANES { u32::MAX } else { (1 << lanes_here) - 1 });
            for (r, special) in &self.kernel.specials {
                if let Special::Ctaid(axis) = special {
                    warp.columns.0[*r as usize] = [u64::from(self.block[*axis]); LANES];
                }
            }
        }
    }

    fn run_block(&mut self) -> Outcome {
        self.begin_block();
        let mut turn = 0;
        loop {
            let ready: Vec<usize> = (0..self.warps.len()).filter(|w| self.ready(*w)).collect();
            if ready.is_empty() {
                if self.warps.iter().all(|warp| warp.live == 0) {
                    return Ok(());
                }
                self.release_barriers()?;
                continue;
            }
            let (warp, quantum) = match self.options.schedule {
                Schedule::RoundRobin { quantum } => {
                    let next = ready.iter().copied().find(|w| *w >= turn).unwrap_or(ready[0]);
                    turn = next + 1;
                    (next, quantum.max(1))
                }
                Schedule::Random { .. } => {
                    let pick = self.next_random();
                    (ready[(pick >> 8) as usize % ready.len()], 1 + (pick & 63) as u32)
                }
            };
            self.run_warp(warp, quantum)?;
        }
    }

    fn ready(&self, warp: usize) -> bool {
        self.warps[warp].live != 0 && self.warps[warp].barrier.is_none()
    }

    fn run_warp(&mut self, warp: usize, quantum: u32) -> Outcome {
        for _ in 0..quantum {
            if self.warps[warp].runnable == 0 {
                return self.stalled(warp);
            }
            self.step(warp)?;
        }
        if self.warps[warp].runnable == 0 { self.stalled(warp) } else { Ok(()) }
    }

    fn finding(&self, module: &Module, block: [u32; 3], trouble: Trouble) -> Box<Finding> {
        let (pc, warp) = self.at;
        let inst = &self.kernel.code[pc as usize];
        let lane = trouble.lane.unwrap_or_else(|| lanes(self.warps[warp].live).next().unwrap_or(0));
        let thread = (warp * LANES + lane) as u32;
        Box::new(Finding {
            check: trouble.check,
            kernel: self.kernel.name.clone(),
            ptx_line: inst.line,
            ptx: module.line(inst.line),
            place: module.place(inst.location),
            block: self.block,
            thread: [thread % block[0], thread / block[0] % block[1], thread / block[0] / block[1]],
            address: trouble.address,
            detail: trouble.detail,
        })
    }

    fn counters(&mut self, module: &Module, blocks: u64) -> Counters {
        let lines = self.kernel.code.iter().zip(&self.counts).map(|(inst, count)| LineCount {
            class: inst.op.class(),
            ptx_line: inst.line,
            place: module.place(inst.location),
            count: *count,
        });
        let traffic = self.device.allocations.iter_mut().filter_map(|allocation| {
            let mut traffic = allocation.traffic.clone();
            (traffic.distinct_read, traffic.distinct_written) = allocation.shadow.distinct();
            (traffic.read + traffic.written > 0).then_some(traffic)
        });
        Counters {
            kernel: self.kernel.name.clone(),
            blocks,
            threads_per_block: self.threads as u32,
            shared_bytes: self.shared.static_bytes + self.shared.data.len() as u64 - self.kernel.dynamic_start,
            traffic: traffic.collect(),
            lines: lines.collect(),
        }
    }

    pub(crate) fn thread(&self, warp: usize, lane: usize) -> usize {
        warp * LANES + lane
    }
}
