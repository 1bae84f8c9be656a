//! Compiling at first use, which needs the library NVRTC and no GPU. Skipped, loudly, where it is not.

use std::path::Path;

use crate::cuda::image::{FILES, HEADERS, KERNELS};
use crate::cuda::nvrtc::{FLAGS, image_cached};
use crate::{Error, Result};

const AMPERE: (i32, i32) = (8, 0);

/// As the engine does, for a small file.
fn compile(source: &str, capability: (i32, i32), cache: Option<&Path>) -> Result<Vec<u8>> {
    image_cached("small.cu", source, &[("twice.cuh", "#define TWICE(x) ((x) * 2)")], capability, cache)
}

const SMALL: &str = "#include \"twice.cuh\"\nextern \"C\" __global__ void small(int *x) { *x = TWICE(*x); }";

fn is_there() -> bool {
    match compile(SMALL, AMPERE, None) {
        Ok(_) => true,
        Err(Error::Unsupported { problem, .. }) => {
            assert!(problem.contains("NVRTC"), "{problem}");
            eprintln!("SKIPPED: {problem}");
            false
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn the_flags_are_those_of_the_build() {
    let build = include_str!("../../../../build.rs");
    let line = build.lines().find_map(|line| line.strip_prefix("const FLAGS: &str = \"")).unwrap();
    for flag in FLAGS {
        assert!(line.contains(flag.trim_start_matches('-')), "{flag} is not in {line}");
    }
    // The two that only one of them knows: optimised code is NVRTC's default, and nobody reads its warnings.
    assert_eq!(line.split(" -").count(), FLAGS.len() + 2, "{line}");
}

#[test]
fn every_file_compiles_without_a_header_of_the_system() {
    if !is_there() {
        return;
    }
    for file in FILES {
        let image = image_cached(file.name, file.source, HEADERS, AMPERE, None).unwrap();
        assert!(image.starts_with(b"\x7fELF"), "{}", file.name);
        let kernels = KERNELS.iter().filter(|(_, index)| std::ptr::eq(&FILES[*index], file));
        for (kernel, _) in kernels {
            let text = format!(".text.{kernel}\0");
            assert!(image.windows(text.len()).any(|window| window == text.as_bytes()), "{kernel} is not in the image");
        }
    }
}

#[test]
fn a_device_newer_than_the_compiler_gets_what_its_driver_compiles_on() {
    if !is_there() {
        return;
    }
    let text = String::from_utf8(compile(SMALL, (99, 9), None).unwrap()).unwrap();
    assert!(text.contains(".target sm_80") && text.contains(".entry small"), "{text}");
    assert!(text.ends_with('\0'));
}

#[test]
fn what_is_wrong_with_a_source_is_said_in_the_compilers_words() {
    if !is_there() {
        return;
    }
    let error = compile("#include \"twice.cuh\"\n__global__ void f() { undefined(); }", AMPERE, None).unwrap_err();
    let words = error.to_string();
    assert!(matches!(error, Error::Device { .. }) && words.contains("small.cu(2): error:"), "{words}");
}

#[test]
fn an_image_is_compiled_once_and_a_cut_one_again() {
    if !is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cache = Some(folder.path());
    let files = || std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().path()).collect::<Vec<_>>();
    let first = compile(SMALL, AMPERE, cache).unwrap();
    let entries = files();
    assert_eq!(entries.len(), 1, "{entries:?}");
    let entry = &entries[0];
    let stored = std::fs::read(entry).unwrap();

    // An image that nobody would compile comes from the cache.
    let mut marked = stored.clone();
    *marked.last_mut().unwrap() ^= 1;
    std::fs::write(entry, &marked).unwrap();
    let second = compile(SMALL, AMPERE, cache).unwrap();
    assert!(second != first && second.len() == first.len());

    // Whatever is not whole is compiled anew, and whole again afterwards.
    for broken in [&stored[..stored.len() - 1], &stored[..9], b"", b"18446744073709551615 18446744073709551615\n"] {
        std::fs::write(entry, broken).unwrap();
        assert_eq!(compile(SMALL, AMPERE, cache).unwrap(), first);
        assert_eq!(std::fs::read(entry).unwrap(), stored);
    }

    // Another device and another source are other entries.
    compile(SMALL, (9, 0), cache).unwrap();
    compile(&format!("{SMALL}\n"), AMPERE, cache).unwrap();
    assert_eq!(files().len(), 3);
}

#[test]
fn a_cache_that_cannot_be_written_costs_nothing_but_time() {
    if !is_there() {
        return;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let nowhere = file.path().join("below");
    assert_eq!(compile(SMALL, AMPERE, Some(&nowhere)).unwrap(), compile(SMALL, AMPERE, None).unwrap());
}
