//! The engine's build script: what of `kernels/` goes into the binary.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=../build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    println!("cargo:rerun-if-changed=../kernels");
    let kernels = Path::new("../kernels");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let mut names: Vec<String> = fs::read_dir(kernels)
        .expect("kernels/ is part of the repository")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_suffix(".cu")?.to_owned()))
        .collect();
    names.sort();
    let mut files = String::new();
    let mut table = String::new();
    for (index, name) in names.iter().enumerate() {
        let source = fs::read_to_string(kernels.join(format!("{name}.cu"))).expect("a kernel file is text");
        writeln!(files, "    File {{ name: {name:?}, fatbin: &[] }},").expect("a string");
        for line in source.lines() {
            if let Some((kernel, _)) = line.strip_prefix("KERNEL(").and_then(|rest| rest.split_once(')')) {
                writeln!(table, "    ({kernel:?}, {index}),").expect("a string");
            }
        }
    }
    let text = format!(
        "pub(super) static FILES: &[File] = &[\n{files}];\npub(super) static KERNELS: &[(&str, usize)] = &[\n{table}];\n"
    );
    fs::write(out.join("kernels.rs"), text).expect("OUT_DIR is writable");
}
