//! How long launches take: events around recorded graphs, after a warm-up.

use cudarc::driver::sys::CUevent_flags;

use super::BenchOptions;
use crate::Result;
use crate::cuda::{Device, Graph};

/// Graphs of a measurement at most.
const MOST_GRAPHS: f64 = 1000.0;

#[derive(Debug)]
pub(super) struct Timer {
    device: Device,
    runs: u32,
    launches: u32,
    run_s: f64,
}

impl Timer {
    pub fn new(device: &Device, options: &BenchOptions) -> Self {
        Self { device: device.clone(), runs: options.runs, launches: options.launches, run_s: options.run_s }
    }

    /// Seconds of one launch, by run. `queue(i)` queues variant i, one launch, and may neither wait nor allocate.
    pub fn time(&self, variants: u32, mut queue: impl FnMut(u32) -> Result<()>) -> Result<Vec<f64>> {
        // Once outside a graph: first touches, and what is refused.
        (0..variants).try_for_each(&mut queue)?;
        self.device.synchronize()?;
        let rounds = self.launches.div_ceil(variants);
        let graph = self.device.record(|| (0..rounds * variants).try_for_each(|i| queue(i % variants)))?;
        let once = self.measure(&graph, 1)?;
        let graphs = (self.run_s / once.max(1e-9)).ceil().clamp(1.0, MOST_GRAPHS) as u32;
        let each = f64::from(graphs) * f64::from(rounds * variants);
        (0..self.runs).map(|_| Ok(self.measure(&graph, graphs)? / each)).collect()
    }

    fn measure(&self, graph: &Graph, times: u32) -> Result<f64> {
        let event = || {
            let recorded = self.device.stream().record_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
            recorded.map_err(|e| self.device.error("recording an event", e))
        };
        let begun = event()?;
        for _ in 0..times {
            // SAFETY: the closure that was recorded borrows every buffer, and outlives `time`.
            unsafe { graph.launch() }?;
        }
        let ended = event()?;
        self.device.synchronize()?;
        let ms = begun.elapsed_ms(&ended).map_err(|e| self.device.error("reading the clock", e))?;
        Ok(f64::from(ms) / 1000.0)
    }
}
