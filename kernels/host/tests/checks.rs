//! Every check of the shim fires, and the kernel that does nothing wrong passes under every schedule.

mod common;

use common::{Gpu, SCHEDULES, address, gpu, run, schedule, shape};
use cudarc::driver::sys::CUresult;
use cudarc::driver::{DeviceRepr, DriverError};

#[repr(C)]
#[derive(Clone, Copy)]
struct Check {
    bytes: u64,
    out: u64,
    which: u32,
}
// SAFETY: plain data with the layout of test_check_params.
unsafe impl DeviceRepr for Check {}

const ILLEGAL: CUresult = CUresult::CUDA_ERROR_ILLEGAL_ADDRESS;
const MISALIGNED: CUresult = CUresult::CUDA_ERROR_MISALIGNED_ADDRESS;
const FAILED: CUresult = CUresult::CUDA_ERROR_LAUNCH_FAILED;

/// In the order of the enumeration in checks.cu: the error, and words of the reason.
const CHECKS: [(CUresult, &str); 20] = [
    (CUresult::CUDA_SUCCESS, ""),
    (FAILED, "deadlock"),
    (FAILED, "while other threads wait"),
    (FAILED, "deadlock"),
    (FAILED, "while other lanes of the warp wait"),
    (FAILED, "absent from mask"),
    (FAILED, "which have returned"),
    (FAILED, "by a lane absent from its mask"),
    (MISALIGNED, "is not a multiple of 16"),
    (MISALIGNED, "cp.async of 16 bytes, misaligned"),
    (FAILED, "cp.async in flight"),
    (ILLEGAL, "bytes past the end of allocation"),
    (ILLEGAL, "null pointer"),
    (ILLEGAL, "0 bytes past the dynamic shared memory"),
    (FAILED, "spin on something"),
    (FAILED, "__trap()"),
    (FAILED, "division by zero"),
    (ILLEGAL, "illegal access"),
    (ILLEGAL, "address that cannot be one"),
    (FAILED, "fewer than 32 lanes"),
];
const HALF_A_WARP_MMA: usize = 19;

fn check(gpu: &Gpu, which: usize) -> Result<(), DriverError> {
    // SAFETY: 0xFF everywhere is what some kernels want to find; the others do not read it.
    let bytes = unsafe { gpu.stream.alloc::<u8>(4096) }?;
    let out = gpu.stream.alloc_zeros::<u32>(64)?;
    let params = Check { bytes: address(gpu, &bytes), out: address(gpu, &out), which: which as u32 };
    let threads = if which == HALF_A_WARP_MMA { 16 } else { 64 };
    run(gpu, "test_check", &params, shape(1, threads, 256))
}

#[test]
fn every_check_fires() {
    let Some(mut gpu) = gpu() else { return };
    for (which, (error, reason)) in CHECKS.iter().enumerate().skip(1) {
        let mut fired = 0;
        for s in SCHEDULES {
            gpu.renew();
            schedule(s);
            let result = check(&gpu, which);
            // a copy that was made at issue is not in flight: what is undefined need not show in every schedule
            let Err(e) = result else { continue };
            let message = grail_standin::message(0).expect("loaded");
            assert_eq!(e.0, *error, "{which}: {message}");
            fired += usize::from(message.contains(reason));
        }
        gpu.renew();
        assert!(fired > 0, "check {which} ({reason}) did not fire");
        println!("{which:3} {:32} {reason} ({fired}/{})", format!("{error:?}"), SCHEDULES.len());
    }
}

#[test]
fn a_clean_kernel_passes_every_schedule() {
    let Some(gpu) = gpu() else { return };
    for s in SCHEDULES {
        schedule(s);
        check(&gpu, 0).expect("nothing is wrong with it");
    }
}

#[test]
fn a_failed_device_stays_failed_until_it_is_reset() {
    let Some(mut gpu) = gpu() else { return };
    assert_eq!(check(&gpu, 15).expect_err("it traps").0, FAILED);
    assert_eq!(gpu.stream.alloc_zeros::<u8>(1).expect_err("still").0, FAILED);
    assert_eq!(gpu.context.mem_get_info().expect_err("still").0, FAILED);
    gpu.renew();
    check(&gpu, 0).expect("a device in its first state");
}
