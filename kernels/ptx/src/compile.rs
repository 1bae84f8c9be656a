//! From a `.cu` file to PTX by nvcc, with the flags of NUMERICS 12. Compiled text is kept in the build folder, keyed by
//! everything it depends on.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Flags that decide numbers and those that make findings name source lines.
const FLAGS: [&str; 7] =
    ["-std=c++17", "-O3", "-fmad=false", "-prec-div=true", "-prec-sqrt=true", "-ftz=false", "-lineinfo"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arch {
    Compute80,
    Compute90a,
}

impl Arch {
    pub const ALL: [Self; 2] = [Self::Compute80, Self::Compute90a];

    fn flag(self) -> &'static str {
        match self {
            Self::Compute80 => "-arch=compute_80",
            Self::Compute90a => "-arch=compute_90a",
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    #[error("no nvcc: CUDA_HOME, PATH and the repository's .cuda have none")]
    NoCompiler,
    #[error("nvcc refuses {file}: {message}")]
    Refused { file: String, message: String },
    #[error("{file}: {source}")]
    File { file: String, source: std::io::Error },
}

/// The compiler named by CUDA_HOME, or one in PATH, or that of the repository's `.cuda` virtual environment.
pub fn find_nvcc() -> Option<PathBuf> {
    let home = std::env::var_os("CUDA_HOME").map(|home| PathBuf::from(home).join("bin/nvcc"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|folder| folder.join("nvcc"));
    home.into_iter().chain(in_path).chain(in_environment()).find(|nvcc| nvcc.is_file())
}

/// `.cuda/lib/python3.x/site-packages/nvidia/cu13/bin/nvcc`
fn in_environment() -> Option<PathBuf> {
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cuda/lib");
    let pythons = std::fs::read_dir(lib).ok()?.flatten().map(|entry| entry.path());
    pythons.map(|python| python.join("site-packages/nvidia/cu13/bin/nvcc")).find(|nvcc| nvcc.is_file())
}

/// PTX of a source file; includes are looked for beside it.
pub fn compile(file: &Path, arch: Arch) -> Result<String, CompileError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| CompileError::File { file: path.display().to_string(), source })
    };
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut depends = vec![read(file)?];
    let mut headers: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    headers.retain(|path| path.extension().is_some_and(|e| e == "cuh" || e == "h"));
    headers.sort();
    for header in headers {
        depends.push(read(&header)?);
    }
    cached(file, arch, &depends)
}

/// PTX of a source text, which may include nothing of ours.
pub fn compile_text(name: &str, text: &str, arch: Arch) -> Result<String, CompileError> {
    let file = cache_folder().join(format!("{name}-{:016x}.cu", key(&[text.as_bytes().to_vec()], arch, Path::new(""))));
    store(&file, text.as_bytes())?;
    cached(&file, arch, &[text.as_bytes().to_vec()])
}

fn key(depends: &[Vec<u8>], arch: Arch, nvcc: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    (depends, arch, nvcc, FLAGS).hash(&mut hasher);
    hasher.finish()
}

/// Beside the build's other products: this crate's tests run from `target/*/deps`.
fn cache_folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target")).join("ptx")
}

/// Writes by way of another name, so that tests side by side never read half a file.
fn store(file: &Path, bytes: &[u8]) -> Result<(), CompileError> {
    let error = |source| CompileError::File { file: file.display().to_string(), source };
    if file.is_file() {
        return Ok(());
    }
    std::fs::create_dir_all(cache_folder()).map_err(error)?;
    let id = format!("{}-{:?}", std::process::id(), std::thread::current().id());
    let own = file.with_extension(format!("{id}.tmp"));
    std::fs::write(&own, bytes).map_err(error)?;
    std::fs::rename(&own, file).map_err(error)
}

fn cached(file: &Path, arch: Arch, depends: &[Vec<u8>]) -> Result<String, CompileError> {
    let nvcc = find_nvcc().ok_or(CompileError::NoCompiler)?;
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let kept = cache_folder().join(format!("{stem}-{:016x}.ptx", key(depends, arch, &nvcc)));
    if let Ok(text) = std::fs::read_to_string(&kept) {
        return Ok(text);
    }
    let error = |source| CompileError::File { file: file.display().to_string(), source };
    let output =
        Command::new(&nvcc).args(FLAGS).args([arch.flag(), "-ptx", "-o", "-"]).arg(file).output().map_err(error)?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(CompileError::Refused { file: file.display().to_string(), message });
    }
    store(&kept, &output.stdout)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
