//! The engine's build script: what of `kernels/` goes into the binary.
//!
//! With nvcc (`CUDA_HOME`, `PATH`, or the repository's `.cuda`, see `.ci/run`) every `kernels/*.cu` becomes one fat
//! binary for all supported devices. The sources go in as well: without nvcc they are compiled at first use, on the
//! user's machine (engine/src/cuda/nvrtc.rs), so a build never needs CUDA. `GRAIL_NVCC=none` builds as if there were none.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs};

/// NUMERICS section 12: no contraction into fma, correctly rounded division and square root, subnormals kept.
/// `NVRTC_FLAGS` of engine/src/cuda/nvrtc.rs are the same.
const FLAGS: &str = "-std=c++17 -O3 -fmad=false -prec-div=true -prec-sqrt=true -ftz=false -Werror all-warnings";

/// Ampere's two chips, Ada, Hopper, and code that the driver compiles for whatever comes after.
const TARGETS: [(&str, &str); 5] = [
    ("compute_80", "sm_80"),
    ("compute_86", "sm_86"),
    ("compute_89", "sm_89"),
    ("compute_90a", "sm_90a"),
    ("compute_80", "compute_80"),
];

/// Version 12 was the first to know every target.
const MIN_NVCC: u32 = 12;

fn main() {
    println!("cargo:rerun-if-changed=../build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    for variable in ["CUDA_HOME", "GRAIL_NVCC"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    // A new kernel is a new wrapper; the folder itself would bring every file below it along.
    println!("cargo:rerun-if-changed=../engine/src/cuda/ops/mod.rs");
    let root = Path::new("..").canonicalize().expect("the package lies in the repository");
    let sources = Sources::read(&root.join("kernels"));
    for name in sources.files.iter().chain(&sources.headers).map(|(name, _)| name) {
        println!("cargo:rerun-if-changed=../kernels/{name}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let nvcc = Nvcc::find(&root);
    let images = nvcc.as_ref().map(|nvcc| compile_all(nvcc, &sources, &out));
    if let Some(nvcc) = &nvcc {
        let folder = nvcc.program.parent().expect("a program lies in a folder");
        println!("cargo:rustc-env=GRAIL_NVCC_FOLDER={}", folder.display());
    }
    let version = nvcc.map(|nvcc| nvcc.version);
    fs::write(out.join("kernels.rs"), table(&sources, images.as_deref(), version)).expect("OUT_DIR is writable");
}

/// Name and text of the files that lie directly in `kernels/`.
struct Sources {
    folder: PathBuf,
    /// `*.cu`, in order.
    files: Vec<(String, String)>,
    /// `*.h` and `*.cuh`, in order.
    headers: Vec<(String, String)>,
}

impl Sources {
    fn read(folder: &Path) -> Self {
        let entries = fs::read_dir(folder).expect("kernels/ is part of the repository");
        let names: BTreeSet<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        let with = |endings: &[&str]| {
            let names = names.iter().filter(|name| endings.iter().any(|ending| name.ends_with(ending)));
            names.map(|name| (name.clone(), fs::read_to_string(folder.join(name)).expect("sources are text"))).collect()
        };
        Self { folder: folder.into(), files: with(&[".cu"]), headers: with(&[".h", ".cuh"]) }
    }

    /// The file's text and that of every header it reaches: all that its image depends on besides the compiler.
    fn closure(&self, text: &str) -> String {
        let mut whole = text.to_owned();
        let mut seen = BTreeSet::new();
        let mut at = 0;
        while let Some(found) = whole[at..].find("#include \"") {
            let start = at + found + "#include \"".len();
            let end = start + whole[start..].find('"').expect("an include ends");
            let name = whole[start..end].to_owned();
            at = end;
            if let Some((_, text)) = self.headers.iter().find(|(header, _)| *header == name)
                && seen.insert(name)
            {
                whole.push_str(text);
            }
        }
        whole
    }
}

struct Nvcc {
    program: PathBuf,
    version: String,
}

impl Nvcc {
    fn find(root: &Path) -> Option<Self> {
        if env::var_os("GRAIL_NVCC").is_some_and(|choice| choice == "none") {
            return None;
        }
        let home = env::var_os("CUDA_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        let named = home.iter().map(|home| home.join("bin/nvcc"));
        let path = env::var_os("PATH").unwrap_or_default();
        let on_path = env::split_paths(&path).map(|folder| folder.join("nvcc")).collect::<Vec<_>>();
        let wheels = fs::read_dir(root.join(".cuda/lib")).into_iter().flatten().flatten();
        let wheels = wheels.map(|python| python.path().join("site-packages/nvidia/cu13/bin/nvcc"));
        let program = named.chain(on_path).chain(wheels).find(|program| program.is_file());
        let Some(program) = program else {
            if let Some(home) = home {
                println!("cargo:warning=CUDA_HOME is {}, which has no bin/nvcc: no kernel is compiled", home.display());
            }
            return None;
        };
        let said = Command::new(&program).arg("--version").output().ok()?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let version = said.split("release ").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or("0").to_owned();
        if version.split('.').next().and_then(|major| major.parse().ok()) < Some(MIN_NVCC) {
            let program = program.display();
            println!("cargo:warning={program} is version {version}, {MIN_NVCC}.0 is needed: no kernel is compiled");
            return None;
        }
        Some(Self { program, version })
    }

    /// Compiles `kernels/<name>` unless `image` is of exactly this input already.
    fn compile(&self, folder: &Path, name: &str, input: &str, image: &Path) -> Result<(), String> {
        let mut flags: Vec<String> = FLAGS.split(' ').map(str::to_owned).collect();
        flags.extend(TARGETS.iter().map(|(arch, code)| format!("-gencode=arch={arch},code={code}")));
        let key = format!("{}\n{}\n{input}", self.version, flags.join(" "));
        let key_file = image.with_extension("input");
        if image.is_file() && fs::read_to_string(&key_file).is_ok_and(|old| old == key) {
            return Ok(());
        }
        // The input is written last: an image without its input is compiled again.
        let _ = fs::remove_file(&key_file);
        let mut command = Command::new(&self.program);
        command.args(&flags).arg("-fatbin").arg("-o").arg(image).arg(name).current_dir(folder);
        let done = command.output().map_err(|e| format!("{}: {e}", self.program.display()))?;
        if !done.status.success() {
            return Err(format!("{command:?}\n{}", String::from_utf8_lossy(&done.stderr)));
        }
        fs::write(&key_file, key).map_err(|e| format!("{}: {e}", key_file.display()))
    }
}

/// The images of all files, in their order, compiled side by side.
fn compile_all(nvcc: &Nvcc, sources: &Sources, out: &Path) -> Vec<PathBuf> {
    // Shared by all builds of this profile, whatever their features: each has an OUT_DIR of its own.
    let cache = match out.ancestors().nth(2) {
        Some(build) if build.ends_with("build") => build.join("grail-kernels"),
        _ => out.to_owned(),
    };
    fs::create_dir_all(&cache).expect("the target folder is writable");
    let images: Vec<PathBuf> =
        sources.files.iter().map(|(name, _)| cache.join(name).with_extension("fatbin")).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failures = String::new();
        while let Some((name, text)) = sources.files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let image = cache.join(name).with_extension("fatbin");
            if let Err(words) = nvcc.compile(&sources.folder, name, &sources.closure(text), &image) {
                failures.push_str(&words);
            }
        }
        failures
    };
    let jobs = env::var("NUM_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(1).max(1);
    let failures: String = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a compilation does not panic")).collect()
    });
    assert!(failures.is_empty(), "nvcc failed:\n{failures}");
    images
}

/// The Rust source that engine/src/cuda/image.rs includes.
fn table(sources: &Sources, images: Option<&[PathBuf]>, nvcc: Option<String>) -> String {
    let (mut files, mut headers, mut kernels) = (String::new(), String::new(), String::new());
    for (index, (name, text)) in sources.files.iter().enumerate() {
        let path = sources.folder.join(name);
        let image = images.map_or("&[]".to_owned(), |images| format!("include_bytes!({:?})", images[index]));
        writeln!(files, "    File {{ name: {name:?}, source: include_str!({path:?}), fatbin: {image} }},").unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("KERNEL(")?.split_once(')'));
        for (kernel, _) in lines {
            writeln!(kernels, "    ({kernel:?}, {index}),").unwrap();
        }
    }
    for (name, _) in &sources.headers {
        writeln!(headers, "    ({name:?}, include_str!({:?})),", sources.folder.join(name)).unwrap();
    }
    format!(
        "pub(super) static FILES: &[File] = &[\n{files}];\n\
         pub(super) static HEADERS: &[(&str, &str)] = &[\n{headers}];\n\
         pub(super) static KERNELS: &[(&str, usize)] = &[\n{kernels}];\n\
         pub(super) static NVCC: Option<&str> = {nvcc:?};\n"
    )
}
