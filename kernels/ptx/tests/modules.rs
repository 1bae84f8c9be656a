//! Every kernel source of the repository, as nvcc compiles it: nothing in it is unknown to the interpreter, and nothing is
//! inexact.

use std::path::Path;

use grail_ptx::{Arch, Module, compile, find_nvcc};

#[test]
fn every_kernel_source_decodes_for_both_architectures() {
    if find_nvcc().is_none() {
        println!("SKIPPED: no nvcc on this machine, so no PTX to decode");
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut sources: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    sources.retain(|path| path.extension().is_some_and(|extension| extension == "cu"));
    sources.sort();
    let mut failures = Vec::new();
    let mut kernels = 0;
    for source in &sources {
        for arch in Arch::ALL {
            let name = source.file_name().unwrap().to_string_lossy();
            match compile(source, arch)
                .map_err(|e| e.to_string())
                .and_then(|ptx| Module::parse(&ptx).map_err(|e| e.to_string()))
            {
                Ok(module) => {
                    println!("{name} {arch:?}: {}", module.kernels().join(", "));
                    kernels += module.kernels().len();
                }
                Err(error) => failures.push(format!("{name} {arch:?}: {error}")),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(kernels >= 2, "no kernels at all");
}
