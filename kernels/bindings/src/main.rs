//! Writes engine/src/cuda/abi.rs, the Rust side of kernels/abi.h; with `--check` only says whether it is that already.
//!
//! Every structure becomes one that a device buffer can hold and a kernel can take: bindgen's layout tests, a failed
//! build, are the evidence. Needs libclang (`LIBCLANG_PATH`).

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Structures that are copied to devices as they are.
const PLAIN: &str = "\
macro_rules! plain {
    ($($name:ident),*) => {$(
        // SAFETY: plain C data whose layout the assertions above hold.
        unsafe impl cudarc::driver::DeviceRepr for $name {}
        // SAFETY: numbers and addresses, of which zero bits make 0 and null.
        unsafe impl cudarc::driver::ValidAsZeroBits for $name {}
    )*};
}
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (check, header) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => (false, root.join("kernels/abi.h")),
        ["--check"] => (true, root.join("kernels/abi.h")),
        // The negative control: a header that the committed file is not the Rust side of.
        ["--check", header] => (true, PathBuf::from(header)),
        _ => {
            eprintln!("usage: grail-bindings [--check [HEADER]]");
            return ExitCode::from(2);
        }
    };
    let target = root.join("engine/src/cuda/abi.rs");
    let text = generate(&header);
    if !check {
        std::fs::write(&target, text).expect("engine/src/cuda/abi.rs is writable");
        return ExitCode::SUCCESS;
    }
    if std::fs::read_to_string(&target).is_ok_and(|committed| committed == text) {
        return ExitCode::SUCCESS;
    }
    eprintln!("engine/src/cuda/abi.rs is stale: run kernels/bindings/run and commit it");
    ExitCode::FAILURE
}

fn generate(header: &Path) -> String {
    let bindings = bindgen::Builder::default()
        .header(header.to_str().expect("a path in UTF-8"))
        .clang_args(["-x", "c", "-std=c11"])
        .allowlist_file(".*/abi[^/]*\\.h")
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .derive_debug(true)
        .disable_header_comment()
        .use_core()
        .raw_line("// Written by kernels/bindings/run from kernels/abi.h; not to be edited.")
        .generate()
        .expect("kernels/abi.h is a C header");
    let mut text = bindings.to_string();
    let structures: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("pub struct ")?.strip_suffix(" {")).collect();
    // The C++ compilers check the sizes as well: with bindgen's, all sides agree.
    let words = std::fs::read_to_string(header).expect("the header is text");
    for name in &structures {
        assert!(words.contains(&format!("sizeof(struct {name}) ==")), "abi.h: no static_assert of the size of {name}");
    }
    let list = structures.join(",\n    ");
    text.push_str(PLAIN);
    text.push_str(&format!("plain!(\n    {list}\n);\n"));
    text
}
