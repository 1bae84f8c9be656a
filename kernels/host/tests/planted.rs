//! The table of planted faults: each is caught by at least one way of running the kernels on the host, and the same
//! kernel without a fault passes all of them.

mod common;

use common::{Gpu, SCHEDULES, address, gpu, run, schedule, shape};
use cudarc::driver::DeviceRepr;
use grail_standin::{Build, Unavailable, rerun};

const BLOCKS: u32 = 3;
const ROW: u32 = 2048;

#[repr(C)]
#[derive(Clone, Copy)]
struct Planted {
    x: u64,
    out: u64,
    fault: u32,
}
// SAFETY: plain data with the layout of test_planted_params.
unsafe impl DeviceRepr for Planted {}

/// In the order of the enumeration in planted.cu; who must catch it: schedules, AddressSanitizer, ThreadSanitizer.
const FAULTS: [(&str, [bool; 3]); 12] = [
    ("none", [false, false, false]),
    ("missing __syncthreads", [true, false, true]),
    ("scratch reused without a barrier", [false, false, true]),
    ("missing __syncwarp", [true, false, true]),
    ("cp.async wait too lax", [true, false, false]),
    ("cp.async into a buffer still read", [true, false, true]),
    ("out-of-bounds read, global", [true, true, true]),
    ("out-of-bounds read, static shared", [false, true, false]),
    ("out-of-bounds read, dynamic shared", [true, true, false]),
    ("divergent __syncthreads", [true, true, true]),
    ("blocks race for a word", [false, false, true]),
    ("uninitialised shared memory", [true, false, false]),
];

/// None: the right result; else what was seen.
fn outcome(gpu: &Gpu, fault: u32) -> Option<String> {
    let x: Vec<u32> = (0..BLOCKS * ROW).map(|i| i.wrapping_mul(2_654_435_761) >> 7).collect();
    let sums: Vec<u32> = x.chunks(ROW as usize).map(|row| row.iter().fold(0u32, |s, v| s.wrapping_add(*v))).collect();
    let x = gpu.stream.clone_htod(&x).expect("a copy");
    let out = gpu.stream.alloc_zeros::<u32>(BLOCKS as usize + 1).expect("memory");
    let params = Planted { x: address(gpu, &x), out: address(gpu, &out), fault };
    if let Err(e) = run(gpu, "test_planted", &params, shape(BLOCKS, 128, 512)) {
        return Some(format!("{e:?}"));
    }
    let got = gpu.stream.clone_dtoh(&out).expect("a copy");
    (got[..BLOCKS as usize] != sums).then(|| "wrong result".to_owned())
}

/// What a child process runs: one fault under one schedule, both from the environment.
#[test]
#[ignore = "run by the others, under sanitizers"]
fn one_fault() {
    let Some(gpu) = gpu() else { return };
    let wanted = std::env::var("PLANTED").unwrap_or_default();
    let fault = FAULTS.iter().position(|(name, _)| *name == wanted).unwrap_or_default();
    schedule(SCHEDULES[0]);
    assert_eq!(outcome(&gpu, fault as u32), None);
}

fn under(build: Build, fault: &str) -> Option<String> {
    let child = match rerun(build, &["one_fault"], &[("PLANTED", fault)]) {
        Ok(child) => child,
        Err(why) => panic!("{why}"),
    };
    let seen = [
        "heap-buffer-overflow",
        "global-buffer-overflow",
        "data race",
        "runtime error",
        "SEGV",
        "standin: device",
        "wrong result",
    ];
    match seen.iter().find(|what| child.text.contains(**what)) {
        Some(what) => Some((*what).to_owned()),
        None => (!child.passed).then(|| format!("failed: {}", child.text)),
    }
}

#[test]
fn every_planted_fault_is_caught() {
    let Some(mut gpu) = gpu() else { return };
    println!("{:36} {:44} {:24} {:16}", "planted fault", "schedules", "address", "races");
    for (number, (name, expected)) in FAULTS.iter().enumerate() {
        let mut plain = Vec::new();
        for s in SCHEDULES {
            gpu.renew();
            schedule(s);
            plain.extend(outcome(&gpu, number as u32));
        }
        gpu.renew();
        let sanitized = [under(Build::Address, name), under(Build::Races, name)];
        let told = plain.first().map(|what| {
            let what: String = what.chars().take(30).collect();
            format!("{what} ({}/{})", plain.len(), SCHEDULES.len())
        });
        let row = [told, sanitized[0].clone(), sanitized[1].clone()];
        let cells: Vec<&str> = row.iter().map(|c| c.as_deref().unwrap_or("-")).collect();
        println!("{name:36} {:44} {:24} {:16}", cells[0], cells[1], cells[2]);
        if *name == "none" {
            assert_eq!(row, [None, None, None], "the control");
        }
        for (cell, wanted) in row.iter().zip(expected) {
            assert!(cell.is_some() || !wanted, "{name}: {row:?}");
        }
        assert!(*name == "none" || expected.contains(&true), "{name} is expected of nobody");
    }
    println!("swapped fragment registers in inline assembly: kernels/ptx; here the twin of that code runs");
    println!("missing stream synchronisation: tests/deferred.rs");
}

#[test]
fn no_compiler_is_told_apart_from_a_fault() {
    assert_ne!(Unavailable::NoCompiler, Unavailable::Broken("no C++ compiler was found".into()));
}
