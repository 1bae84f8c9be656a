//! A sequence of launches, recorded once and queued again as one call: a decode step.

use cudarc::driver::{CudaGraph, sys};

use super::Device;
use crate::{Error, Result};

/// What was recorded: kernels with their parameters, and copies. Addresses and numbers are frozen; what changes from
/// one launch to the next lies in device memory.
pub struct Graph {
    graph: CudaGraph,
    device: Device,
}

// SAFETY: a graph may be launched from any thread, one at a time, which the missing Sync sees to.
unsafe impl Send for Graph {}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("device", &self.device).finish_non_exhaustive()
    }
}

impl Device {
    /// Records what `queue` queues on this device's stream, without running it. `queue` may not wait, allocate or
    /// free: the driver refuses, and nothing is recorded.
    ///
    /// # Errors
    /// What `queue` fails with; [`Error::Device`] with the driver's words.
    pub fn record(&self, queue: impl FnOnce() -> Result<()>) -> Result<Graph> {
        let stream = self.stream();
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        stream.begin_capture(mode).map_err(|e| self.error("starting to record", e))?;
        let queued = queue();
        // Ended in any case: a stream that records runs nothing.
        let ended = stream.end_capture(sys::CUgraphInstantiate_flags(0));
        queued?;
        match ended.map_err(|e| self.error("recording", e))? {
            Some(graph) => Ok(Graph { graph, device: self.clone() }),
            None => {
                let problem = "the driver recorded nothing".into();
                Err(Error::Device { device: self.label(), what: "recording".into(), problem })
            }
        }
    }
}

impl Graph {
    /// Queues all of it.
    ///
    /// # Errors
    /// [`Error::Device`] with the driver's words.
    ///
    /// # Safety
    /// What every recorded launch asks of its parameters ([`super::Kernel::launch`]) must hold until it has run: above
    /// all, every buffer in them must still be there.
    pub unsafe fn launch(&self) -> Result<()> {
        self.graph.launch().map_err(|e| self.device.error("launching a recorded step", e))
    }
}
