//! Tests run again in a child process, with a sanitizer's build of the stand-in.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::compile::{self, Build};
use crate::{FOLDER, Unavailable};

/// How tests ended in a child process.
#[derive(Clone, Debug)]
pub struct Rerun {
    /// Exit status 0, and every test was run and passed.
    pub passed: bool,
    /// Standard output and standard error.
    pub text: String,
}

/// The folder of a build of the stand-in, made now unless it is there and up to date.
///
/// # Errors
/// [`Unavailable`]; a source that does not compile is an error here.
pub fn built(build: Build) -> Result<PathBuf, Unavailable> {
    if build == Build::Plain {
        return crate::library_dir();
    }
    let compiler = compile::compiler(build).ok_or(Unavailable::NoCompiler)?;
    let folder = Path::new(env!("OUT_DIR")).join(build.name());
    let broken = |e: std::io::Error| Unavailable::Broken(e.to_string());
    fs::create_dir_all(&folder).map_err(broken)?;
    let lock = File::create(folder.join("lock")).map_err(broken)?; // test processes run side by side
    lock.lock().map_err(broken)?;
    let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in kernels/");
    let failures = match compile::library(&compiler, build, kernels, &folder) {
        Ok(failures) => failures,
        Err(failure) => vec![failure],
    };
    match failures.first() {
        None => Ok(folder),
        Some(failure) => Err(Unavailable::Broken(format!("{}:\n{}", failure.source.display(), failure.log))),
    }
}

/// Runs tests of the calling test binary again, in a child process with this build of the stand-in. `variables` are
/// added to its environment. The tests, given by their full names, are run even if they are ignored.
///
/// # Errors
/// [`Unavailable`]
pub fn rerun(build: Build, tests: &[&str], variables: &[(&str, &str)]) -> Result<Rerun, Unavailable> {
    let folder = built(build)?;
    let broken = |e: std::io::Error| Unavailable::Broken(e.to_string());
    let binary = std::env::current_exe().map_err(broken)?;
    let mut command = child(build, &binary)?;
    // one thread: the harness of Rust's tests is not instrumented, and its threads are none of a kernel's
    command.args(tests).args(["--exact", "--include-ignored", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, &folder).env("LD_LIBRARY_PATH", &folder);
    command.envs(variables.iter().copied());
    let output = command.output().map_err(broken)?;
    let text = [output.stdout, output.stderr].map(|t| String::from_utf8_lossy(&t).into_owned()).concat();
    let all = format!("test result: ok. {} passed; 0 failed", tests.len());
    Ok(Rerun { passed: output.status.success() && text.contains(&all), text })
}

fn child(build: Build, binary: &Path) -> Result<Command, Unavailable> {
    let Some(runtime) = build.runtime() else { return Ok(Command::new(binary)) };
    let compiler = compile::compiler(build).ok_or(Unavailable::NoCompiler)?;
    let found = Command::new(&compiler).arg(format!("-print-file-name={runtime}")).output();
    let path = found.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default();
    if !Path::new(&path).is_absolute() {
        return Err(Unavailable::Broken(format!("{compiler} has no {runtime}")));
    }
    let mut command = if build == Build::Races && Command::new("setarch").arg("--version").output().is_ok() {
        // its shadow memory has fixed places, which a randomised layout may occupy
        let mut command = Command::new("setarch");
        command.arg("-R").arg(binary);
        command
    } else {
        Command::new(binary)
    };
    command.env("LD_PRELOAD", path);
    command.env("ASAN_OPTIONS", "detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=0");
    command.env("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1");
    command.env("TSAN_OPTIONS", "ignore_noninstrumented_modules=1:halt_on_error=0:history_size=4");
    Ok(command)
}
