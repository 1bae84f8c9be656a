//! Compiling a kernel on the user's machine, once: for binaries that were built without nvcc.
//!
//! What comes out is kept in the user's cache folder under everything that it depends on: source, headers, flags, device
//! and compiler. No file is looked for while compiling: the headers are handed over with the source.

use std::ffi::{CStr, CString, c_char, c_int};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::ptr;

use cudarc::nvrtc::{result::NvrtcError, sys};

use crate::{Error, Result};

/// NUMERICS section 12, as `FLAGS` of build.rs.
pub(super) const FLAGS: [&str; 5] =
    ["--std=c++17", "--fmad=false", "--prec-div=true", "--prec-sqrt=true", "--ftz=false"];

/// There is no host: what is not said to be a kernel is device code, generic lambdas above all, as nvcc infers.
const DEVICE_ONLY: &str = "--device-as-default-execution-space";

/// Version 12 was the first to know every supported device.
const MIN_VERSION: c_int = 12;

/// Code of one file for devices of `capability`, from the cache or compiled now.
///
/// # Errors
/// [`Error::Unsupported`] with what is missing when NVRTC is not there or too old; [`Error::Device`] with its words when
/// it refuses the source.
pub(super) fn image(name: &str, source: &str, headers: &[(&str, &str)], capability: (i32, i32)) -> Result<Vec<u8>> {
    image_cached(name, source, headers, capability, folder().as_deref())
}

/// As [`image`], with the cache folder given.
pub(super) fn image_cached(
    name: &str,
    source: &str,
    headers: &[(&str, &str)],
    capability: (i32, i32),
    cache: Option<&Path>,
) -> Result<Vec<u8>> {
    let version = version()?;
    let target = target(capability)?;
    let mut key = format!("{} {}\n{target} {DEVICE_ONLY} {}\n{name}\n{source}", version.0, version.1, FLAGS.join(" "));
    for (name, text) in headers {
        key.push_str(&format!("\n{name}\n{text}"));
    }
    let entry = cache.map(|folder| Entry::new(folder, name, key));
    if let Some(image) = entry.as_ref().and_then(Entry::read) {
        return Ok(image);
    }
    let image = compile(name, source, headers, &target)?;
    // A full disk costs the next start some seconds, not this one its result.
    if let Some(entry) = entry {
        let _ = entry.write(&image);
    }
    Ok(image)
}

/// The compiler's version, when there is one that will do.
fn version() -> Result<(c_int, c_int)> {
    // SAFETY: opening the library runs its initialisers, which is what compiling means.
    if !unsafe { sys::is_culib_present() } {
        return Err(missing("the NVRTC library (libnvrtc.so), which would compile it now, is not found"));
    }
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both results are live.
    check("version", unsafe { sys::nvrtcVersion(&mut major, &mut minor) })?;
    if major < MIN_VERSION {
        return Err(missing(format!("the NVRTC library found is version {major}.{minor}, {MIN_VERSION}.0 is needed")));
    }
    Ok((major, minor))
}

/// Machine code for a device the compiler knows; for a newer one, code that its driver compiles on.
fn target((major, minor): (i32, i32)) -> Result<String> {
    let mut count = 0;
    // SAFETY: the result is live.
    check("architectures", unsafe { sys::nvrtcGetNumSupportedArchs(&mut count) })?;
    let mut known = vec![0; count.max(0) as usize];
    // SAFETY: as many elements as were asked for.
    check("architectures", unsafe { sys::nvrtcGetSupportedArchs(known.as_mut_ptr()) })?;
    let arch = 10 * major + minor;
    Ok(match arch {
        90 => "sm_90a".into(),
        _ if known.contains(&arch) => format!("sm_{arch}"),
        _ => "compute_80".into(),
    })
}

/// Destroyed whatever happens.
struct Program(sys::nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: made by nvrtcCreateProgram, destroyed here only.
        unsafe { sys::nvrtcDestroyProgram(&mut self.0) };
    }
}

fn compile(name: &str, source: &str, headers: &[(&str, &str)], target: &str) -> Result<Vec<u8>> {
    let text = |text: &str| CString::new(text).expect("sources have no zero byte");
    let texts = |list: Vec<&str>| list.into_iter().map(text).collect::<Vec<_>>();
    let names = texts(headers.iter().map(|header| header.0).collect());
    let bodies = texts(headers.iter().map(|header| header.1).collect());
    let pointers = |list: &[CString]| list.iter().map(|s| s.as_ptr()).collect::<Vec<*const c_char>>();
    let (source, file, count) = (text(source), text(name), headers.len() as c_int);
    let mut program = ptr::null_mut();
    // SAFETY: zero-terminated strings that outlive the call, which copies them; `count` of bodies and names each.
    let made = unsafe {
        let (bodies, names) = (pointers(&bodies), pointers(&names));
        let (bodies, names) = (bodies.as_ptr(), names.as_ptr());
        sys::nvrtcCreateProgram(&mut program, source.as_ptr(), file.as_ptr(), count, bodies, names)
    };
    check(name, made)?;
    let program = Program(program);
    let mut options = texts(FLAGS.to_vec());
    options.extend([text(DEVICE_ONLY), text(&format!("--gpu-architecture={target}"))]);
    let options_at = pointers(&options);
    // SAFETY: a live program, and as many options as said.
    let done = unsafe { sys::nvrtcCompileProgram(program.0, options.len() as c_int, options_at.as_ptr()) };
    if done.result().is_err() {
        let said = output(&program, sys::nvrtcGetProgramLogSize, sys::nvrtcGetProgramLog)?;
        return Err(failed(name, String::from_utf8_lossy(&said).trim_matches(['\0', '\n'])));
    }
    match target.starts_with("sm_") {
        true => output(&program, sys::nvrtcGetCUBINSize, sys::nvrtcGetCUBIN),
        false => output(&program, sys::nvrtcGetPTXSize, sys::nvrtcGetPTX),
    }
}

type SizeOf = unsafe fn(sys::nvrtcProgram, *mut usize) -> sys::nvrtcResult;
type TextOf = unsafe fn(sys::nvrtcProgram, *mut c_char) -> sys::nvrtcResult;

fn output(program: &Program, size_of: SizeOf, text_of: TextOf) -> Result<Vec<u8>> {
    let mut size = 0;
    // SAFETY: a live program and a live result.
    check("size of the result", unsafe { size_of(program.0, &mut size) })?;
    let mut bytes = vec![0u8; size];
    // SAFETY: as many bytes as the program said.
    check("result", unsafe { text_of(program.0, bytes.as_mut_ptr().cast()) })?;
    Ok(bytes)
}

/// A compiled file on disk: the length of the key, the key, the image. Compared in full, so that a name that two keys
/// share and a file that was cut are misses.
struct Entry {
    path: PathBuf,
    key: String,
}

impl Entry {
    fn new(folder: &Path, name: &str, key: String) -> Self {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        Self { path: folder.join(format!("{name}-{:016x}", hasher.finish())), key }
    }

    fn head(&self, image: &[u8]) -> Vec<u8> {
        format!("{} {}\n{}", self.key.len(), image.len(), self.key).into_bytes()
    }

    fn read(&self) -> Option<Vec<u8>> {
        let whole = std::fs::read(&self.path).ok()?;
        let line = whole.split(|byte| *byte == b'\n').next()?;
        let length: usize = str::from_utf8(line).ok()?.split_once(' ')?.1.parse().ok()?;
        let image = whole.get(whole.len().checked_sub(length)?..)?;
        (length > 0 && whole.strip_suffix(image)? == self.head(image)).then(|| image.to_vec())
    }

    /// Whole or not at all, whoever else writes or reads it at the time.
    fn write(&self, image: &[u8]) -> std::io::Result<()> {
        let folder = self.path.parent().expect("it is in the cache folder");
        std::fs::create_dir_all(folder)?;
        let temporary = self.path.with_extension(format!("{}.tmp", std::process::id()));
        let mut whole = self.head(image);
        whole.extend_from_slice(image);
        std::fs::write(&temporary, whole).and_then(|()| std::fs::rename(&temporary, &self.path)).inspect_err(|_| {
            let _ = std::fs::remove_file(&temporary);
        })
    }
}

/// In the user's folder for caches; none where there is no home.
fn folder() -> Option<PathBuf> {
    let absolute = |path: PathBuf| Some(path).filter(|path| path.is_absolute());
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).and_then(absolute);
    let home = || std::env::home_dir().and_then(absolute).map(|home| home.join(".cache"));
    base.or_else(home).map(|base| base.join("grail").join("kernels"))
}

fn check(what: &str, result: sys::nvrtcResult) -> Result<()> {
    result.result().map_err(|NvrtcError(code)| {
        // SAFETY: for every code the library returns a string of its own.
        let words = unsafe { CStr::from_ptr(sys::nvrtcGetErrorString(code)) };
        failed(what, &words.to_string_lossy())
    })
}

fn missing(problem: impl Into<String>) -> Error {
    Error::Unsupported { what: "cuda".into(), problem: problem.into() }
}

fn failed(what: &str, problem: &str) -> Error {
    Error::Device { device: "NVRTC".into(), what: what.into(), problem: problem.into() }
}
