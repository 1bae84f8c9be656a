//! Devices: which there are, and one opened with its stream and its kernels.

use std::sync::{Arc, Mutex, MutexGuard};

use cudarc::driver::{CudaContext, CudaModule, CudaStream, DriverError, sys};

use super::image;
use super::launch::{Kernel, Params};
use super::ring::Ring;
use crate::{Error, Result};

/// CUDA 13.0: the version of the compiled images and of the driver interface used here (driver 580 or later).
const MIN_DRIVER: i32 = 13_000;

/// Ampere: int8 tensor cores with the fragments of m16n8k32, and asynchronous copies.
const MIN_CAPABILITY: (i32, i32) = (8, 0);

/// What a device says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Number of the device, counted from 0.
    pub ordinal: usize,
    /// Name of the product.
    pub name: String,
    /// Compute capability, major and minor.
    pub capability: (i32, i32),
    /// Bytes of memory free now.
    pub free_bytes: u64,
    /// Bytes of memory in all.
    pub total_bytes: u64,
    /// CUDA version that the driver supports, major and minor.
    pub driver: (i32, i32),
}

/// All devices, usable or not; [`Device::open`] says what one lacks.
///
/// # Errors
/// [`Error::Unsupported`] without a driver, with one that is too old and without any device; [`Error::Device`] with the
/// driver's words.
pub fn probe() -> Result<Vec<DeviceInfo>> {
    let (count, driver) = devices()?;
    (0..count).map(|ordinal| describe(ordinal, driver)).collect()
}

/// How many devices there are, at least one, and the driver's version. None of them is touched.
fn devices() -> Result<(usize, (i32, i32))> {
    let driver = driver_version()?;
    let count = match CudaContext::device_count() {
        Ok(count) => count,
        Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => 0,
        Err(error) => return Err(driver_error("cuda", "counting devices", error)),
    };
    match usize::try_from(count) {
        Ok(count) if count > 0 => Ok((count, driver)),
        _ => Err(unsupported("the driver sees no NVIDIA GPU")),
    }
}

/// Whether an NVIDIA driver is installed, of whatever version.
pub fn driver_is_there() -> bool {
    // SAFETY: opening the driver's library runs its initialisers, which is what asking for a GPU means.
    unsafe { sys::is_culib_present() }
}

/// Never panics: the interface does when it cannot open the library or a function in it, so both are asked first.
fn driver_version() -> Result<(i32, i32)> {
    if !driver_is_there() {
        return Err(unsupported("the NVIDIA driver's library (libcuda.so.1) is not on this machine"));
    }
    let mut version = 0;
    // SAFETY: the result is live; this function may be called before cuInit.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().map_err(|e| driver_error("cuda", "driver version", e))?;
    let (major, minor) = (version / 1000, version % 1000 / 10);
    if version < MIN_DRIVER {
        let problem = format!("the NVIDIA driver supports CUDA {major}.{minor}; 13.0 (driver 580 or later) is needed");
        return Err(unsupported(problem));
    }
    Ok((major, minor))
}

fn describe(ordinal: usize, driver: (i32, i32)) -> Result<DeviceInfo> {
    let error = |e| driver_error(&label(ordinal), "asking what it is", e);
    let context = CudaContext::new(ordinal).map_err(error)?;
    let (free, total) = context.mem_get_info().map_err(error)?;
    Ok(DeviceInfo {
        ordinal,
        name: context.name().map_err(error)?,
        capability: context.compute_capability().map_err(error)?,
        free_bytes: free as u64,
        total_bytes: total as u64,
        driver,
    })
}

/// Device `ordinal`, if it can run the kernels. The others are left alone: a context takes memory of its device, and one
/// that has failed is no reason not to use another.
///
/// # Errors
/// As [`probe`], and [`Error::Unsupported`] when there is no such device or it is of a generation that lacks what the
/// kernels use.
pub fn usable(ordinal: usize) -> Result<DeviceInfo> {
    let (count, driver) = devices()?;
    if ordinal >= count {
        let problem = format!("there is no such device; the driver sees {count}, counted from 0");
        return Err(Error::Unsupported { what: label(ordinal), problem });
    }
    let info = describe(ordinal, driver)?;
    let ((major, minor), (least, _)) = (info.capability, MIN_CAPABILITY);
    if info.capability < MIN_CAPABILITY {
        let problem = format!("{} has compute capability {major}.{minor}; {least}.0 or later is needed", info.name);
        return Err(Error::Unsupported { what: label(ordinal), problem });
    }
    Ok(info)
}

/// The first device that can run the kernels.
///
/// # Errors
/// As [`probe`], and what the first one lacks where none can.
pub fn first_usable() -> Result<DeviceInfo> {
    let (count, _) = devices()?;
    usable(0).or_else(|error| (1..count).find_map(|ordinal| usable(ordinal).ok()).ok_or(error))
}

/// How often this process has waited for a device.
#[cfg(test)]
pub(super) static WAITS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// One opened device: context, the one stream that all its work is queued on, and the kernels. Clones share it.
#[derive(Debug, Clone)]
pub struct Device(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    info: DeviceInfo,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    /// By index of [`image::FILES`], loaded when the first kernel of the file is asked for.
    modules: Mutex<Vec<Option<Arc<CudaModule>>>>,
    /// Made when the first copy is queued.
    ring: Mutex<Option<Ring>>,
}

/// A device's ring, held by one thread.
pub(super) struct HeldRing<'a>(MutexGuard<'a, Option<Ring>>);

impl std::ops::Deref for HeldRing<'_> {
    type Target = Ring;

    fn deref(&self) -> &Ring {
        self.0.as_ref().expect("made when it was asked for")
    }
}

impl std::ops::DerefMut for HeldRing<'_> {
    fn deref_mut(&mut self) -> &mut Ring {
        self.0.as_mut().expect("made when it was asked for")
    }
}

impl Device {
    /// Opens device `ordinal`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with what is missing: the driver, the device, or what the device is capable of.
    /// [`Error::Device`] with the driver's words.
    pub fn open(ordinal: usize) -> Result<Self> {
        let info = usable(ordinal)?;
        let error = |e| driver_error(&label(ordinal), "opening", e);
        let context = CudaContext::new(ordinal).map_err(error)?;
        // SAFETY: all work of this context goes through one stream, so that its order is the order of the calls, and
        // the events that would order several streams are in the way of capturing graphs.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(error)?;
        let modules = Mutex::new(vec![None; image::FILES.len()]);
        Ok(Self(Arc::new(Opened { info, context, stream, modules, ring: Mutex::default() })))
    }

    /// What the device said when it was opened.
    pub fn info(&self) -> &DeviceInfo {
        &self.0.info
    }

    /// Bytes of memory free now.
    ///
    /// # Errors
    /// [`Error::Device`] with the driver's words.
    pub fn free_bytes(&self) -> Result<u64> {
        Ok(self.0.context.mem_get_info().map_err(|e| self.error("asking for free memory", e))?.0 as u64)
    }

    /// Number of multiprocessors.
    ///
    /// # Errors
    /// [`Error::Device`] with the driver's words.
    pub fn multiprocessors(&self) -> Result<u32> {
        let attribute = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        Ok(self.0.context.attribute(attribute).map_err(|e| self.error("asking for multiprocessors", e))? as u32)
    }

    /// Bytes of the second-level cache.
    ///
    /// # Errors
    /// [`Error::Device`] with the driver's words.
    pub fn l2_bytes(&self) -> Result<u64> {
        let attribute = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE;
        Ok(self.0.context.attribute(attribute).map_err(|e| self.error("asking for its cache", e))? as u64)
    }

    /// Waits for everything queued so far.
    ///
    /// # Errors
    /// [`Error::Device`] with what went wrong in it, in the driver's words.
    pub fn synchronize(&self) -> Result<()> {
        #[cfg(test)]
        WAITS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.0.stream.synchronize().map_err(|e| self.error("waiting for queued work", e))
    }

    /// The ring that copies to the device go through.
    pub(super) fn ring(&self) -> Result<HeldRing<'_>> {
        // A panic elsewhere leaves a ring whose last piece nobody copies.
        let mut ring = self.0.ring.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if ring.is_none() {
            let made = Ring::new(&self.0.stream);
            *ring = Some(made.map_err(|e| self.error("allocating pinned host memory", e))?);
        }
        Ok(HeldRing(ring))
    }

    /// The kernel `name`, whose block may use up to `shared_bytes` bytes of dynamic shared memory.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when there is no image of its file, [`Error::Device`] when the driver refuses it or its
    /// parameter has another size than `P`.
    pub fn kernel<P: Params>(&self, name: &'static str, shared_bytes: u32) -> Result<Kernel<P>> {
        let module = self.module_of(name)?;
        let function = module.load_function(name).map_err(|e| self.error(format!("kernel {name}"), e))?;
        Kernel::new(self, function, name, shared_bytes)
    }

    fn module_of(&self, kernel: &str) -> Result<Arc<CudaModule>> {
        let Some(file) = image::file_of(kernel) else {
            let problem = format!("no file in kernels/ has the line KERNEL({kernel})");
            return Err(Error::Unsupported { what: self.label(), problem });
        };
        // A panic elsewhere leaves whole entries.
        let mut modules = self.0.modules.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(module) = &modules[file] {
            return Ok(module.clone());
        }
        let module = image::load(&image::FILES[file], &self.0.context, &self.0.info)?;
        modules[file] = Some(module.clone());
        Ok(module)
    }

    /// Makes the device the calling thread's; calls that are not cudarc's own need it.
    pub(super) fn bind(&self) -> Result<()> {
        self.0.context.bind_to_thread().map_err(|e| self.error("binding the thread", e))
    }

    pub(super) fn stream(&self) -> &Arc<CudaStream> {
        &self.0.stream
    }

    /// `cuda:N`, as on the command line.
    pub(super) fn label(&self) -> String {
        label(self.0.info.ordinal)
    }

    pub(super) fn error(&self, what: impl Into<String>, source: DriverError) -> Error {
        driver_error(&self.label(), what, source)
    }
}

pub(super) fn label(ordinal: usize) -> String {
    format!("cuda:{ordinal}")
}

fn unsupported(problem: impl Into<String>) -> Error {
    Error::Unsupported { what: "cuda".into(), problem: problem.into() }
}

/// The driver's name of the error and its words.
pub(super) fn driver_error(device: &str, what: impl Into<String>, source: DriverError) -> Error {
    let text = |said: Result<&std::ffi::CStr, DriverError>| said.ok().map(|s| s.to_string_lossy().into_owned());
    let name = text(source.error_name()).unwrap_or_else(|| format!("error {}", source.0 as u32));
    let problem = match text(source.error_string()) {
        Some(words) => format!("{words} ({name})"),
        None => name,
    };
    Error::Device { device: device.into(), what: what.into(), problem }
}
