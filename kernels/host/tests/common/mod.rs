//! One device for the tests of a process, one test at a time: its settings are theirs.

#![allow(dead_code, reason = "not every test file needs everything")]

use std::sync::{Arc, Mutex, MutexGuard};

use cudarc::driver::{CudaContext, CudaFunction, CudaStream, DeviceRepr, DriverError, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;
use grail_standin::{Setting, Unavailable};

/// `test_params` of the kernels that belong to the tests.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Params {
    pub x: u64,
    pub y: u64,
    pub out: u64,
    pub n: u32,
    pub which: u32,
}
// SAFETY: plain data with the layout of test_params.
unsafe impl DeviceRepr for Params {}

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub struct Gpu {
    pub context: Arc<CudaContext>,
    pub stream: Arc<CudaStream>,
    _guard: MutexGuard<'static, ()>,
}

/// Device 0 in its first state, or nothing, loudly, where no compiler could build the stand-in.
pub fn gpu() -> Option<Gpu> {
    gpu_with(|_| {})
}

/// The same; `before` is called once the stand-in is loaded and before the driver is.
pub fn gpu_with(before: impl FnOnce(usize)) -> Option<Gpu> {
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    match grail_standin::load() {
        Ok(()) => {}
        Err(Unavailable::NoCompiler) => {
            eprintln!("skipped: {}", Unavailable::NoCompiler);
            return None;
        }
        Err(why) => panic!("{why}"),
    }
    reset();
    before(0);
    let (context, stream) = open();
    Some(Gpu { context, stream, _guard: guard })
}

fn open() -> (Arc<CudaContext>, Arc<CudaStream>) {
    let context = CudaContext::new(0).expect("a context");
    // SAFETY: the tests order their streams themselves.
    unsafe { context.disable_event_tracking() };
    let stream = context.new_stream().expect("a stream");
    (context, stream)
}

impl Gpu {
    /// The device in its first state, after a failure: cudarc's context remembers one as the device does.
    pub fn renew(&mut self) {
        reset();
        (self.context, self.stream) = open();
    }
}

pub fn reset() {
    use Setting::*;
    for setting in [Reset, Mode("eager"), Order("ascending"), Copies("lazy"), Seed(1), Memory(2 << 30), Fault("")] {
        set(setting);
    }
}

pub fn set(setting: Setting<'_>) {
    grail_standin::set(0, setting).expect("the stand-in is loaded");
}

pub fn function(gpu: &Gpu, name: &str) -> CudaFunction {
    let module = gpu.context.load_module(Ptx::from_binary(vec![0; 16])).expect("a module");
    module.load_function(name).expect("the kernel is registered")
}

pub fn shape(blocks: u32, threads: u32, shared: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes: shared }
}

/// Launches and waits; the buffers named by `params` must fit the kernel's contract in tests/*.cu.
pub fn run<P: DeviceRepr>(gpu: &Gpu, name: &str, params: &P, shape: LaunchConfig) -> Result<(), DriverError> {
    let f = function(gpu, name);
    // SAFETY: the tests give buffers of the sizes that the kernels' comments state, or want the fault.
    unsafe { gpu.stream.launch_builder(&f).arg(params).launch(shape) }?;
    gpu.stream.synchronize()
}

/// The address of device memory.
pub fn address<T>(gpu: &Gpu, slice: &cudarc::driver::CudaSlice<T>) -> u64 {
    use cudarc::driver::DevicePtr;
    slice.device_ptr(&gpu.stream).0
}

/// A schedule: order of threads, time of cp.async, seed.
pub const SCHEDULES: [(&str, &str, u64); 4] =
    [("ascending", "lazy", 1), ("descending", "eager", 1), ("random", "coin", 1), ("random", "coin", 2)];

pub fn schedule((order, copies, seed): (&str, &str, u64)) {
    set(Setting::Order(order));
    set(Setting::Copies(copies));
    set(Setting::Seed(seed));
}
