//! A CUDA driver without a GPU, for tests: `libcuda.so.1` that runs the kernels of `kernels/*.cu` on the CPU, compiled
//! by the host's C++ compiler against a shim in which every CUDA thread is a fiber (`shim.h`).
//!
//! [`load`] puts it into this process, so that cudarc finds it where it would find NVIDIA's; [`rerun`] runs a test again
//! in a child process under a sanitizer.
//!
//! What the driver checks by itself: copies and fills stay within an allocation of the device; memory is 0xFF at
//! allocation, ends at a page that faults, and faults once freed; kernels that touch what is not theirs, misalign an
//! access, part at a barrier or wait for ever fail with CUDA's error and stay failed, the reason on standard error and
//! in [`message`]; launches keep within the limits of the device; a capture refuses what CUDA's refuses.
//!
//! Settings come from the environment at the first call (all devices) or from [`set`] (one device, at any time):
//!
//! | variable | values | default |
//! |---|---|---|
//! | `STANDIN_DEVICES` | number of devices; 0: none | 2 |
//! | `STANDIN_MEMORY` | bytes of a device | 2 GiB |
//! | `STANDIN_CAPABILITY`, `STANDIN_DRIVER` | compute capability; version of the driver | `8.0`, `13000` |
//! | `STANDIN_MODE` | `eager`: work runs at the call; `deferred`: at a synchronisation the program asked for | `eager` |
//! | `STANDIN_ORDER` | of threads: `ascending`, `descending`, `random` | `ascending` |
//! | `STANDIN_COPIES` | when cp.async copies: `lazy` (at the wait), `eager` (at issue), `coin` | `lazy` |
//! | `STANDIN_SEED` | of `random` and `coin` | 1 |
//! | `STANDIN_IMAGES` | `any` image of code will do; `real`: a fat binary, machine code or PTX | `any` |
//! | `STANDIN_FAULT` | `launch:3:700,copy:1:719,allocation:5:2`: the n-th of its kind fails with that error; `1/...`: on device 1 | |
//!
//! What it is not: a model of time, of weak memory order, or of the code that nvcc emits (`kernels/ptx` runs that).
//! Cooperative launches are refused, since blocks run one after another.

mod compile;
mod sanitized;

use std::ffi::{CString, c_char, c_int};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW, Symbol};

pub use compile::Build;
pub use sanitized::{Rerun, built, rerun};

/// The variable that tells a child process which build of the stand-in to load.
const FOLDER: &str = "STANDIN_FOLDER";

/// Why there is no stand-in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unavailable {
    /// Where no C++ compiler was found, kernels cannot run: tests skip, and say so.
    NoCompiler,
    /// A fault, and never a reason to skip.
    Broken(String),
}

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unavailable::NoCompiler => f.write_str("no C++ compiler was found: kernels cannot run on the host"),
            Unavailable::Broken(why) => write!(f, "the stand-in driver is broken: {why}"),
        }
    }
}

impl std::error::Error for Unavailable {}

/// A setting of one device; the table above has the same by name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Setting<'a> {
    /// `eager` or `deferred`; going back to eager runs what is queued.
    Mode(&'a str),
    /// Order of threads.
    Order(&'a str),
    /// When cp.async copies.
    Copies(&'a str),
    /// Seed of random orders.
    Seed(u64),
    /// Bytes of the device.
    Memory(u64),
    /// Faults to come, counted from now; empty for none.
    Fault(&'a str),
    /// Forgets a failure, queued work, counts and faults. Memory stays.
    Reset,
}

/// What a device has done since it was last reset or told of faults, and what waits.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Kernels run on the device.
    pub launches: u64,
    /// Operations queued and not run.
    pub queued: u64,
    /// Switches between CUDA threads, in this process.
    pub switches: u64,
    /// Blocks run, in this process.
    pub blocks: u64,
}

struct Loaded {
    set: Symbol<unsafe extern "C" fn(c_int, *const c_char, *const c_char) -> c_int>,
    message: Symbol<unsafe extern "C" fn(c_int, *mut c_char, usize)>,
    counts: Symbol<unsafe extern "C" fn(c_int, *mut u64)>,
    _libraries: [Library; 2],
}

/// Where `libcuda.so.1` is, for the `LD_LIBRARY_PATH` of child processes.
///
/// # Errors
/// [`Unavailable`]
pub fn library_dir() -> Result<PathBuf, Unavailable> {
    let told = std::env::var_os(FOLDER).map(PathBuf::from);
    let folder = told.unwrap_or_else(|| Path::new(env!("OUT_DIR")).join(Build::Plain.name()));
    if folder.join("libcuda.so.1").exists() {
        return Ok(folder);
    }
    match compile::compiler(Build::Plain) {
        None => Err(Unavailable::NoCompiler),
        Some(compiler) => Err(Unavailable::Broken(format!("{compiler} did not build it; see the build's warnings"))),
    }
}

/// Loads the stand-in into this process, before cudarc looks for a driver. May be called any number of times.
///
/// # Errors
/// [`Unavailable`]
pub fn load() -> Result<(), Unavailable> {
    loaded().map(|_| ())
}

fn loaded() -> Result<&'static Loaded, Unavailable> {
    static LOADED: OnceLock<Result<Loaded, Unavailable>> = OnceLock::new();
    LOADED.get_or_init(open).as_ref().map_err(Clone::clone)
}

fn open() -> Result<Loaded, Unavailable> {
    fn broken(e: libloading::Error) -> Unavailable {
        Unavailable::Broken(format!("{e:?}"))
    }
    let folder = library_dir()?;
    let open = |name: &str| {
        // SAFETY: the library's initialisers only register kernels, and it stays loaded for the life of the process.
        unsafe { Library::open(Some(folder.join(name)), RTLD_NOW | RTLD_GLOBAL) }.map_err(broken)
    };
    let library = open("libcuda.so.1")?;
    // cudarc asks for this name first, and would find another driver under it where there is one
    let alias = open("libcuda.so")?;
    // SAFETY: the types are those of driver/settings.cpp.
    unsafe {
        Ok(Loaded {
            set: library.get(b"standin_set").map_err(broken)?,
            message: library.get(b"standin_message").map_err(broken)?,
            counts: library.get(b"standin_counts").map_err(broken)?,
            _libraries: [library, alias],
        })
    }
}

/// Changes a setting of a device.
///
/// # Errors
/// [`Unavailable`]
///
/// # Panics
/// When there is no such device, or the value is none of the setting's.
pub fn set(device: usize, setting: Setting<'_>) -> Result<(), Unavailable> {
    let loaded = loaded()?;
    let (name, value) = match setting {
        Setting::Mode(v) => ("mode", v.to_owned()),
        Setting::Order(v) => ("order", v.to_owned()),
        Setting::Copies(v) => ("copies", v.to_owned()),
        Setting::Seed(n) => ("seed", n.to_string()),
        Setting::Memory(n) => ("memory", n.to_string()),
        Setting::Fault(v) => ("fault", v.to_owned()),
        Setting::Reset => ("reset", String::new()),
    };
    let [name, value] = [name, &value].map(|text| CString::new(text).expect("settings hold no NUL"));
    // SAFETY: both texts end with NUL and live through the call.
    let done = unsafe { (loaded.set)(device as c_int, name.as_ptr(), value.as_ptr()) };
    assert!(done != 0, "device {device} takes no {setting:?}");
    Ok(())
}

/// Why a device has failed, in the stand-in's words; empty while it has not.
///
/// # Errors
/// [`Unavailable`]
pub fn message(device: usize) -> Result<String, Unavailable> {
    let mut text = [0u8; 1024];
    // SAFETY: the callee writes at most the given number of bytes, the last of them NUL.
    unsafe { (loaded()?.message)(device as c_int, text.as_mut_ptr().cast(), text.len()) };
    let end = text.iter().position(|&b| b == 0).unwrap_or(text.len());
    Ok(String::from_utf8_lossy(&text[..end]).into_owned())
}

/// What a device has done.
///
/// # Errors
/// [`Unavailable`]
pub fn counts(device: usize) -> Result<Counts, Unavailable> {
    let mut n = [0u64; 4];
    // SAFETY: the callee writes four numbers.
    unsafe { (loaded()?.counts)(device as c_int, n.as_mut_ptr()) };
    Ok(Counts { launches: n[0], queued: n[1], switches: n[2], blocks: n[3] })
}
