//! Which devices there are, with every driver that a machine may have. Each case is a process of its own, for a driver is
//! loaded once: the test runs itself with another environment and reads what [`child`] says.

use std::path::PathBuf;
use std::process::Command;

use crate::cuda::image::{FILES, File, load};
use crate::cuda::{Device, DeviceInfo, probe};
use crate::{Chosen, DeviceChoice};

const SAYS: &str = "child says: ";

/// In the process that the tests below start: what the library answers, one line a question.
#[test]
#[ignore = "the tests beside it run it in processes of their own"]
fn child() {
    let words = |answer: crate::Result<String>| answer.unwrap_or_else(|error| format!("error: {error}"));
    let devices = probe().map(|devices| devices.iter().map(line).collect::<Vec<_>>().join("; "));
    println!("{SAYS}{}", words(devices));
    println!("{SAYS}{}", words(Device::open(0).map(|device| line(device.info()))));
    println!("{SAYS}{}", words(Device::open(7).map(|device| line(device.info()))));
    println!("{SAYS}{:?}", DeviceChoice::Auto.resolve().unwrap());
    // Of a binary that was built without nvcc, and of this one.
    println!("{SAYS}{}", words(load_file(&[])));
    println!("{SAYS}{}", words(load_file(FILES[0].fatbin)));
}

fn load_file(fatbin: &'static [u8]) -> crate::Result<String> {
    let (file, device) = (File { fatbin, ..FILES[0] }, Device::open(0)?);
    load(&file, device.stream().context(), device.info()).map(|_| "loaded".into())
}

fn line(info: &DeviceInfo) -> String {
    let DeviceInfo { ordinal, capability: (major, minor), free_bytes, total_bytes, driver, .. } = info;
    assert!(!info.name.is_empty() && free_bytes <= total_bytes && *total_bytes > 0);
    format!("{ordinal} capability {major}.{minor} driver {}.{}", driver.0, driver.1)
}

/// Answers of a process that finds libraries in `library` alone and has these variables.
fn answers(library: Option<PathBuf>, variables: &[(&str, &str)]) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "cuda::tests::devices::child", "--ignored", "--nocapture"]);
    command.env("LD_LIBRARY_PATH", library.unwrap_or_default()).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let answers: Vec<String> = said.lines().filter_map(|line| Some(line.split_once(SAYS)?.1.to_owned())).collect();
    assert_eq!(answers.len(), 6, "{said}");
    answers
}

/// The stand-in's folder; `None`, said aloud, without a C++ compiler.
fn standin() -> Option<Option<PathBuf>> {
    super::device()?;
    Some(Some(grail_standin::library_dir().unwrap()))
}

/// `auto` never fails: it says why it takes the CPU.
fn assert_cpu(answer: &str, why: &str) {
    assert!(answer.starts_with("Cpu { why: Some(") && answer.contains(why), "{answer}");
}

#[test]
fn without_a_driver_cuda_says_so_and_auto_takes_the_cpu() {
    let answers = answers(None, &[]);
    if !answers[0].starts_with("error: ") {
        eprintln!("SKIPPED: this machine has an NVIDIA driver, so its absence cannot be shown");
        return;
    }
    for answer in &answers[..3] {
        assert_eq!(answer, "error: cuda: the NVIDIA driver's library (libcuda.so.1) is not on this machine");
    }
    assert_cpu(&answers[3], "libcuda.so.1");
}

#[test]
fn every_device_of_the_driver_is_found_and_described() {
    let Some(library) = standin() else { return };
    let answers = answers(library, &[("STANDIN_DEVICES", "2")]);
    assert_eq!(answers[0], "0 capability 8.0 driver 13.0; 1 capability 8.0 driver 13.0");
    assert_eq!(answers[1], "0 capability 8.0 driver 13.0");
    assert_eq!(answers[2], "error: cuda:7: there is no such device; the driver sees 2, counted from 0");
    assert_eq!(answers[3], format!("{:?}", Chosen::Cuda(vec![0])));
}

#[test]
fn a_driver_without_a_device_is_told_from_no_driver() {
    let Some(library) = standin() else { return };
    let answers = answers(library, &[("STANDIN_DEVICES", "0")]);
    for answer in &answers[..3] {
        assert_eq!(answer, "error: cuda: the driver sees no NVIDIA GPU");
    }
    assert_cpu(&answers[3], "no NVIDIA GPU");
}

#[test]
fn an_old_driver_is_refused_with_its_version_and_the_one_needed() {
    let Some(library) = standin() else { return };
    let answers = answers(library, &[("STANDIN_DRIVER", "12080")]);
    for answer in &answers[..3] {
        let needed = "the NVIDIA driver supports CUDA 12.8; 13.0 (driver 580 or later) is needed";
        assert_eq!(*answer, format!("error: cuda: {needed}"));
    }
    assert_cpu(&answers[3], "CUDA 12.8");
}

#[test]
fn a_device_before_ampere_is_listed_and_not_opened() {
    let Some(library) = standin() else { return };
    let answers = answers(library, &[("STANDIN_CAPABILITY", "7.5"), ("STANDIN_DEVICES", "1")]);
    assert_eq!(answers[0], "0 capability 7.5 driver 13.0");
    assert!(answers[1].starts_with("error: cuda:0: "), "{}", answers[1]);
    assert!(answers[1].ends_with("has compute capability 7.5; 8.0 or later is needed"), "{}", answers[1]);
    assert!(answers[2].contains("the driver sees 1,"), "{}", answers[2]);
    assert_cpu(&answers[3], "compute capability 7.5");
}

#[test]
fn without_nvcc_and_nvrtc_what_is_missing_is_said() {
    let Some(library) = standin() else { return };
    let answers = answers(library, &[("STANDIN_IMAGES", "real")]);
    if answers[4] == "loaded" {
        eprintln!("SKIPPED: this system has NVRTC, so its absence cannot be shown");
        return;
    }
    for words in ["cuda:0: this binary was built without nvcc", "libnvrtc.so", "CUDA_HOME", "LD_LIBRARY_PATH"] {
        assert!(answers[4].contains(words), "{}", answers[4]);
    }
    // What the build compiled is an image for a driver, where it did.
    let built = if FILES[0].fatbin.is_empty() { &answers[4] } else { "loaded" };
    assert_eq!(answers[5], built);
}

#[test]
fn without_nvcc_the_first_use_compiles_into_the_cache_folder() {
    let Some(Some(library)) = standin() else { return };
    // NVRTC, if it is anywhere, is where this process would find it.
    let inherited = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let paths = std::env::join_paths([library].into_iter().chain(std::env::split_paths(&inherited))).unwrap();
    let cache = tempfile::tempdir().unwrap();
    let variables = [("STANDIN_IMAGES", "real"), ("XDG_CACHE_HOME", cache.path().to_str().unwrap())];
    let answers = answers(Some(paths.into()), &variables);
    if answers[4] != "loaded" {
        assert!(answers[4].contains("NVRTC"), "{}", answers[4]);
        eprintln!("SKIPPED: {}", answers[4]);
        return;
    }
    let kept: Vec<_> = std::fs::read_dir(cache.path().join("grail/kernels")).unwrap().collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
}
