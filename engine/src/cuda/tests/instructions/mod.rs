//! What the compiler made of the kernels, held to recorded budgets: `kernels/budget.tsv` for registers, shared memory and
//! floating-point units per kernel and architecture, `kernels/needs.tsv` for the instructions a kernel is written to have.
//!
//! `GRAIL_RECORD=1` writes the budget anew. Skipped, loudly, where the build had no nvcc.

mod rules;
mod sass;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use rules::{Budget, Limits, Needs};
use sass::Compiled;

use crate::cuda::image;

/// Of `TARGETS` in build.rs, those with machine code.
const ARCHITECTURES: [&str; 4] = ["sm_80", "sm_86", "sm_89", "sm_90a"];

/// The folder of nvcc, cuobjdump and nvdisasm, where the build had it.
fn tools() -> Option<&'static Path> {
    let folder = option_env!("GRAIL_NVCC_FOLDER").map(Path::new);
    let Some(folder) = folder.filter(|folder| ["cuobjdump", "nvdisasm"].iter().all(|tool| folder.join(tool).is_file()))
    else {
        eprintln!("SKIPPED: built without nvcc, or no cuobjdump and nvdisasm beside it: compiled code is not checked");
        return None;
    };
    Some(folder)
}

fn run(folder: &Path, tool: &str, arguments: &[&str], file: &Path) -> String {
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let done = Command::new(folder.join(tool)).args(arguments).arg(file).env("PATH", path).output().unwrap();
    assert!(done.status.success(), "{tool} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// Every kernel of a fat binary on every architecture.
fn disassemble(folder: &Path, image: &Path) -> Vec<Compiled> {
    let cuobjdump = |option| run(folder, "cuobjdump", &[option], image);
    sass::read(&cuobjdump("--dump-resource-usage"), &cuobjdump("--dump-sass"), &cuobjdump("--dump-ptx"))
}

fn kernels_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernels").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(kernels_file(name)).unwrap()
}

#[test]
fn compiled_kernels_keep_to_their_budget() {
    let Some(folder) = tools() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let mut compiled = Vec::new();
    for file in image::FILES {
        let path = scratch.path().join(file.name);
        std::fs::write(&path, file.fatbin).unwrap();
        compiled.extend(disassemble(folder, &path));
    }
    compiled.sort_by_key(|c| (c.kernel.clone(), c.arch.clone()));
    println!("{}", rules::table(&compiled));
    if std::env::var_os("GRAIL_RECORD").is_some() {
        std::fs::write(kernels_file("budget.tsv"), Budget::record(&compiled)).unwrap();
    }
    let (budget, needs) = (Budget::parse(&read("budget.tsv")), Needs::parse(&read("needs.tsv")));
    let mut found: Vec<String> = compiled.iter().flat_map(|c| rules::broken(c, budget.of(c), needs.of(c))).collect();

    // Nothing is left out: each kernel on each architecture, and no line without a kernel.
    let expected =
        image::KERNELS.iter().flat_map(|(name, _)| ARCHITECTURES.map(|arch| (name.to_string(), arch.to_string())));
    let mut expected: Vec<_> = expected.collect();
    expected.sort();
    assert!(!expected.is_empty());
    assert_eq!(compiled.iter().map(|c| (c.kernel.clone(), c.arch.clone())).collect::<Vec<_>>(), expected);
    found.extend(budget.without_kernel(&expected).chain(needs.without_kernel(&expected)));
    assert!(found.is_empty(), "{}\nGRAIL_RECORD=1 records what is right as it is", found.join("\n"));
}

/// Each kernel of `broken.cu` breaks the rule that is its name, and the clean one none.
#[test]
fn every_rule_is_broken_by_the_kernel_that_is_written_to() {
    let Some(folder) = tools() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let image = scratch.path().join("broken.fatbin");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cuda/tests/instructions/broken.cu");
    let output = ["-std=c++17", "-fmad=false", "-gencode=arch=compute_80,code=[sm_80,compute_80]", "-fatbin", "-o"];
    run(folder, "nvcc", &[&output[..], &[image.to_str().unwrap()]].concat(), &source);
    let compiled = disassemble(folder, &image);

    let limits = Limits { registers: 40, shared: 64, ..Limits::default() };
    let sixteen_bytes = ["LDG.128".to_owned()];
    let broken: BTreeMap<String, Vec<String>> = compiled
        .iter()
        .map(|c| {
            let needs: &[String] = if c.kernel == "narrow_loads" { &sixteen_bytes } else { &[] };
            (c.kernel.clone(), rules::broken(c, Some(&limits), Some(needs)))
        })
        .collect();
    assert_eq!(broken["clean"], [""; 0]);
    for (kernel, words) in [
        ("local_memory", "local memory"),
        ("many_registers", "registers"),
        ("much_shared", "shared memory"),
        ("narrow_loads", "no LDG.128"),
        ("explicit_fma", "FFMA"),
        ("approximate_exp", "MUFU.EX2"),
        ("approximate_division", "approximate"),
        ("unrecorded_division", "MUFU.RCP"),
        ("float_atomic", "float atomic"),
    ] {
        let found = &broken[kernel];
        assert!(found.iter().any(|broken| broken.contains(words)), "{kernel}: {found:?}");
    }
    // A kernel that nobody recorded is no kernel within its budget.
    let clean = compiled.iter().find(|c| c.kernel == "clean").unwrap();
    assert_eq!(rules::broken(clean, None, None).len(), 2);
}
