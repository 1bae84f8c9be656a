//! Compiles the kernels, the shim and the driver with the host's C++ compiler. Shared by the build script (the plain
//! library) and by the crate (sanitizer builds, on demand). Objects are kept under a hash of all that they are made of.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a library is built to show.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Build {
    /// Optimised; fences, poison and the shim's own checks.
    Plain,
    /// No optimisation: what a compiler makes of the source must not matter.
    Unoptimised,
    /// AddressSanitizer and UndefinedBehaviorSanitizer.
    Address,
    /// ThreadSanitizer, with every CUDA thread as a thread of its own that only barriers order.
    Races,
}

impl Build {
    /// Of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Build::Plain => "plain",
            Build::Unoptimised => "unoptimised",
            Build::Address => "address",
            Build::Races => "races",
        }
    }

    /// Flags of the kernels and of the rest; the scheduler's own accesses are not the kernels'.
    fn flags(self, unit: &Unit) -> &'static [&'static str] {
        match (self, unit.kernel) {
            (Build::Plain, true) => &["-O2", "-fsanitize=alignment"],
            (Build::Plain, false) => &["-O2"],
            (Build::Unoptimised, true) => &["-O0", "-fsanitize=alignment"],
            (Build::Unoptimised, false) => &["-O1"],
            (Build::Address, _) => {
                &["-O1", "-fsanitize=address,undefined,float-cast-overflow", "-fno-omit-frame-pointer"]
            }
            (Build::Races, true) => &["-O1", "-fsanitize=thread"],
            (Build::Races, false) => &["-O1", "-DSTANDIN_TSAN"],
        }
    }

    fn link_flags(self) -> &'static [&'static str] {
        match self {
            Build::Plain | Build::Unoptimised => &[],
            Build::Address => &["-fsanitize=address,undefined"],
            Build::Races => &["-fsanitize=thread"],
        }
    }

    /// The runtime that must be loaded first, into a process that was not built with it.
    pub fn runtime(self) -> Option<&'static str> {
        match self {
            Build::Plain | Build::Unoptimised => None,
            Build::Address => Some("libasan.so"),
            Build::Races => Some("libtsan.so"),
        }
    }
}

pub struct Unit {
    pub source: PathBuf,
    pub kernel: bool,
}

/// All that goes into the library: kernels/*.cu, the kernels of this crate's tests, the shim, the driver.
pub fn units(kernels: &Path) -> std::io::Result<Vec<Unit>> {
    let host = kernels.join("host");
    let mut units = Vec::new();
    let folders = [
        (kernels.to_path_buf(), "cu"),
        (host.join("tests"), "cu"),
        (host.join("shim"), "cpp"),
        (host.join("driver"), "cpp"),
    ];
    for (folder, extension) in folders {
        for entry in fs::read_dir(folder)? {
            let source = entry?.path();
            if source.extension().is_some_and(|e| e == extension) {
                units.push(Unit { source, kernel: extension == "cu" });
            }
        }
    }
    units.sort_by(|a, b| a.source.cmp(&b.source));
    Ok(units)
}

/// The source and all that it includes from the tree, with their text.
fn sources(unit: &Unit, kernels: &Path) -> std::io::Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    let mut open = vec![unit.source.clone()];
    while let Some(path) = open.pop() {
        if found.contains_key(&path) {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        for line in text.lines() {
            let Some(name) = line.trim().strip_prefix("#include \"").and_then(|l| l.split('"').next()) else {
                continue;
            };
            let beside = path.parent().unwrap_or(kernels).join(name);
            // one that does not exist is the compiler's to tell
            open.extend([beside, kernels.join(name)].into_iter().find_map(|p| p.canonicalize().ok()));
        }
        found.insert(path, text);
    }
    Ok(found)
}

/// The C++ compiler for a build: `CXX`, or the first of the usual names that runs. The sanitizers' flags and runtimes are
/// GCC's, so clang will not do for them.
pub fn compiler(build: Build) -> Option<String> {
    let named = std::env::var("CXX").ok().filter(|c| !c.is_empty());
    let candidates = named.into_iter().chain(["g++", "clang++", "c++"].map(String::from));
    let version = |c: &String| Command::new(c).arg("--version").output().ok().filter(|o| o.status.success());
    candidates.into_iter().find(|c| {
        version(c).is_some_and(|o| build.runtime().is_none() || !String::from_utf8_lossy(&o.stdout).contains("clang"))
    })
}

fn machine_flags() -> Vec<&'static str> {
    let mut flags = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("fma") && std::arch::is_x86_feature_detected!("avx2") {
            flags.extend(["-mavx2", "-mfma"]); // fmaf as an instruction; contraction stays off
        }
    }
    flags
}

const FLAGS: &[&str] = &[
    "-std=c++17",
    "-g1",
    "-fPIC",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
    "-Wall",
    "-Wno-unknown-pragmas",
    "-Wno-unused-function",
    "-Wno-unused-variable",
];

/// Why a library could not be made.
#[derive(Debug)]
pub struct Failure {
    pub source: PathBuf,
    pub log: String,
}

fn arguments(build: Build, unit: &Unit, kernels: &Path) -> Vec<String> {
    let mut arguments: Vec<String> = FLAGS.iter().chain(build.flags(unit)).map(|f| f.to_string()).collect();
    arguments.extend(machine_flags().iter().map(|f| f.to_string()));
    if unit.kernel {
        let stem = unit.source.file_stem().unwrap_or_default().to_string_lossy().replace('-', "_");
        arguments.extend(["-I".into(), kernels.display().to_string(), format!("-DSTANDIN_UNIT={stem}")]);
        if build == Build::Address {
            arguments.push(format!("-fsanitize-sections=standin_shared_{stem}"));
        }
        arguments.extend(["-x".into(), "c++".into()]);
    }
    arguments
}

fn object(compiler: &str, build: Build, unit: &Unit, kernels: &Path, out: &Path) -> Result<PathBuf, String> {
    let arguments = arguments(build, unit, kernels);
    let mut hasher = DefaultHasher::new();
    let sources = sources(unit, kernels).map_err(|e| e.to_string())?;
    (compiler, &arguments, sources).hash(&mut hasher);
    let file_name =
        |path: Option<&Path>| path.and_then(Path::file_stem).unwrap_or_default().to_string_lossy().into_owned();
    let name = format!("{}-{}", file_name(unit.source.parent()), file_name(Some(&unit.source)));
    let object = out.join(format!("{name}-{:016x}.o", hasher.finish()));
    if object.exists() {
        return Ok(object);
    }
    for old in fs::read_dir(out).map_err(|e| e.to_string())?.flatten() {
        let is_old = old.file_name().to_string_lossy().rsplit_once('-').is_some_and(|(stem, _)| stem == name);
        if is_old {
            fs::remove_file(old.path()).map_err(|e| e.to_string())?;
        }
    }
    let half_done = object.with_extension("part");
    let mut command = Command::new(compiler);
    command.args(&arguments).arg("-c").arg(&unit.source).arg("-o").arg(&half_done);
    let output = command.output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    fs::rename(&half_done, &object).map_err(|e| e.to_string())?;
    Ok(object)
}

/// Builds `libcuda.so.1` into `out`. Sources that do not compile are left out and returned, so that one broken kernel
/// fails its own tests and not those of all others.
pub fn library(compiler: &str, build: Build, kernels: &Path, out: &Path) -> Result<Vec<Failure>, Failure> {
    let broken = |source: &Path, log: String| Failure { source: source.to_path_buf(), log };
    let io = |e: std::io::Error| broken(kernels, e.to_string());
    fs::create_dir_all(out).map_err(io)?;
    let units = units(kernels).map_err(io)?;
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let jobs = std::env::var("NUM_JOBS").ok().and_then(|n| n.parse().ok()).unwrap_or(2).min(units.len());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(unit) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = object(compiler, build, unit, kernels, out);
                    results.lock().unwrap_or_else(|e| e.into_inner()).push((unit, result));
                }
            });
        }
    });
    let (mut objects, mut failures) = (Vec::new(), Vec::new());
    for (unit, result) in results.into_inner().unwrap_or_else(|e| e.into_inner()) {
        match result {
            Ok(object) => objects.push(object),
            Err(log) if unit.kernel => failures.push(broken(&unit.source, log)),
            Err(log) => return Err(broken(&unit.source, log)),
        }
    }
    objects.sort();
    link(compiler, build, &objects, out).map_err(|log| broken(&out.join("libcuda.so.1"), log))?;
    Ok(failures)
}

/// The library, and `libcuda.so` that needs it: the name that is looked for first finds the same library. A library that
/// somebody may be loading is replaced in one step, and only by another one.
fn link(compiler: &str, build: Build, objects: &[PathBuf], out: &Path) -> Result<(), String> {
    let run = |command: &mut Command| {
        let output = command.output().map_err(|e| e.to_string())?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    };
    let (library, alias) = (out.join("libcuda.so.1"), out.join("libcuda.so"));
    let (stamp, made_of) = (out.join("made-of"), format!("{compiler} {build:?} {objects:?}"));
    if library.exists() && alias.exists() && fs::read_to_string(&stamp).is_ok_and(|old| old == made_of) {
        return Ok(());
    }
    let part = out.join("libcuda.part");
    let mut command = Command::new(compiler);
    command.args(["-shared", "-Wl,-soname,libcuda.so.1", "-Wl,-Bsymbolic", "-Wl,-z,defs"]);
    command.args(build.link_flags()).args(objects).args(["-lpthread", "-o"]).arg(&part);
    run(&mut command)?;
    fs::rename(&part, &library).map_err(|e| e.to_string())?;
    let mut command = Command::new(compiler);
    command.args(["-shared", "-nostdlib", "-Wl,-soname,libcuda.so", "-Wl,--no-as-needed"]).arg(&library);
    run(command.arg("-o").arg(&part))?;
    fs::rename(&part, &alias).map_err(|e| e.to_string())?;
    fs::write(&stamp, made_of).map_err(|e| e.to_string())
}
