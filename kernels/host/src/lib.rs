//! A CUDA driver without a GPU, for tests: `libcuda.so.1` that runs the kernels of `kernels/*.cu` on the CPU, compiled
//! by the host's C++ compiler against a shim in which every CUDA thread is a fiber.
//!
//! [`load`] puts it into this process, so that cudarc finds it where it would find NVIDIA's.

#[allow(dead_code)]
mod compile;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

pub use compile::Build;

/// Why there is no stand-in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unavailable {
    /// Where no C++ compiler was found at build time, kernels cannot run: tests skip, and say so.
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

/// Where `libcuda.so.1` is, for the `LD_LIBRARY_PATH` of child processes.
///
/// # Errors
/// [`Unavailable`]
pub fn library_dir() -> Result<PathBuf, Unavailable> {
    let folder = Path::new(env!("OUT_DIR")).join("plain");
    if folder.join("libcuda.so.1").exists() {
        return Ok(folder);
    }
    match compile::compiler() {
        None => Err(Unavailable::NoCompiler),
        Some(compiler) => Err(Unavailable::Broken(format!("{compiler} did not build it; see the build's warnings"))),
    }
}

/// Loads the stand-in into this process, before cudarc looks for a driver. May be called any number of times.
///
/// # Errors
/// [`Unavailable`]
pub fn load() -> Result<(), Unavailable> {
    static LOADED: OnceLock<Result<(Library, Library), Unavailable>> = OnceLock::new();
    let loaded = LOADED.get_or_init(|| {
        let folder = library_dir()?;
        Ok((open(&folder.join("libcuda.so.1"))?, open(&folder.join("libcuda.so"))?))
    });
    loaded.as_ref().map(|_| ()).map_err(Clone::clone)
}

fn open(path: &Path) -> Result<Library, Unavailable> {
    // SAFETY: the library's initialisers only register kernels; it stays loaded for the life of the process.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }.map_err(|e| Unavailable::Broken(format!("{e:?}")))
}
