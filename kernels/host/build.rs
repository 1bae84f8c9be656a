//! Builds the stand-in driver with all kernels. Without a C++ compiler the crate builds too, and `load` says so.

#[path = "src/compile.rs"]
#[allow(dead_code, reason = "the crate uses the rest")]
mod compile;

use std::path::PathBuf;

fn main() {
    let host = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let kernels = host.parent().expect("the crate lies in kernels/").to_path_buf();
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it")).join("plain");
    println!("cargo::rerun-if-env-changed=CXX");
    println!("cargo::rerun-if-changed=src/compile.rs");
    for folder in [kernels.clone(), host.join("shim"), host.join("driver"), host.join("tests")] {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|e| ["cu", "cuh", "h", "cpp"].iter().any(|known| e == *known)) {
                println!("cargo::rerun-if-changed={}", path.display());
            }
        }
        println!("cargo::rerun-if-changed={}", folder.display()); // files that come and go
    }
    println!("cargo::rerun-if-changed={}", host.join("shim.h").display());
    let Some(compiler) = compile::compiler(compile::Build::Plain) else {
        println!("cargo::warning=no C++ compiler (CXX, g++, clang++, c++): no kernel runs in tests");
        return;
    };
    match compile::library(&compiler, compile::Build::Plain, &kernels, &out) {
        Ok(failures) => failures.iter().for_each(report),
        Err(failure) => report(&failure),
    }
}

fn report(failure: &compile::Failure) {
    println!("cargo::warning={} does not compile for the host:", failure.source.display());
    failure.log.lines().take(12).for_each(|line| println!("cargo::warning=  {line}"));
}
