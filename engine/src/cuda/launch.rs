//! Kernels with the type of their parameters.

use std::ffi::c_void;
use std::marker::PhantomData;

use cudarc::driver::{CudaFunction, DeviceRepr, result, sys};

use super::Device;
use crate::{Error, Result};

/// A parameter structure of `kernels/abi.h`: the only argument of its kernel, passed by value.
pub trait Params: DeviceRepr + Copy + 'static {}

impl<T: DeviceRepr + Copy + 'static> Params for T {}

/// Grid, block and dynamic shared memory of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaunchShape {
    /// Blocks in x, y, z.
    pub grid: [u32; 3],
    /// Threads of a block, in x only.
    pub block: u32,
    /// Bytes of dynamic shared memory of a block, at most what [`Device::kernel`] was told.
    pub shared_bytes: u32,
}

impl LaunchShape {
    /// `blocks` blocks of `threads` threads in one dimension, without dynamic shared memory.
    pub fn linear(blocks: u32, threads: u32) -> Self {
        Self { grid: [blocks, 1, 1], block: threads, shared_bytes: 0 }
    }
}

/// A kernel whose parameters are a `P`.
#[derive(Debug, Clone)]
pub struct Kernel<P> {
    device: Device,
    function: CudaFunction,
    name: &'static str,
    shared_bytes: u32,
    params: PhantomData<fn(P)>,
}

impl<P: Params> Kernel<P> {
    pub(super) fn new(device: &Device, function: CudaFunction, name: &'static str, shared_bytes: u32) -> Result<Self> {
        let kernel = Self { device: device.clone(), function, name, shared_bytes, params: PhantomData };
        kernel.check_params()?;
        // Beyond 48 KiB a block has to be allowed to.
        if shared_bytes > 48 << 10 {
            let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let set = kernel.function.set_attribute(attribute, shared_bytes as i32);
            set.map_err(|e| kernel.error(format!("allowing {shared_bytes} bytes of shared memory"), e))?;
        }
        Ok(kernel)
    }

    /// The kernel in the image takes one parameter of the size of `P`.
    fn check_params(&self) -> Result<()> {
        let (mut offset, mut bytes) = (0usize, 0usize);
        // SAFETY: the function is loaded and both results are live.
        let first = unsafe { sys::cuFuncGetParamInfo(self.function.cu_function(), 0, &mut offset, &mut bytes) };
        first.result().map_err(|e| self.error("asking for its parameter", e))?;
        if (offset, bytes) == (0, size_of::<P>()) {
            return Ok(());
        }
        let problem = format!("its parameter has {bytes} bytes in the image and {} here", size_of::<P>());
        Err(Error::Device { device: self.device.label(), what: format!("kernel {}", self.name), problem })
    }

    /// Queues the kernel on the device's stream.
    ///
    /// # Errors
    /// [`Error::Device`] with the driver's words when the launch is refused. What goes wrong while the kernel runs is
    /// said by a later call.
    ///
    /// # Safety
    /// Every pointer in `params` must be an address on this kernel's device, and everything that the kernel's contract
    /// (head of its `.cu` file) asks of sizes, alignment, shape and exclusive access must hold until it has run.
    pub unsafe fn launch(&self, shape: LaunchShape, params: &P) -> Result<()> {
        if shape.shared_bytes > self.shared_bytes {
            let problem = format!("{} bytes of shared memory, {} were allowed", shape.shared_bytes, self.shared_bytes);
            return Err(Error::Device {
                device: self.device.label(),
                what: format!("launching {}", self.name),
                problem,
            });
        }
        self.device.bind()?;
        let [x, y, z] = shape.grid;
        let mut arguments = [std::ptr::from_ref(params).cast_mut().cast::<c_void>()];
        // SAFETY: one argument of the size the kernel takes (`check_params`), copied by the driver before it returns;
        // what it points to is the caller's.
        let launched = unsafe {
            result::launch_kernel(
                self.function.cu_function(),
                (x, y, z),
                (shape.block, 1, 1),
                shape.shared_bytes,
                self.device.stream().cu_stream(),
                &mut arguments,
            )
        };
        launched.map_err(|e| self.error(format!("launching {shape:?}"), e))
    }

    /// As `kernels/*.cu` call it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The device it runs on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    fn error(&self, what: impl std::fmt::Display, source: cudarc::driver::DriverError) -> Error {
        self.device.error(format!("kernel {}: {what}", self.name), source)
    }
}
