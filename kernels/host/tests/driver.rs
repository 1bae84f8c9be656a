//! The driver refuses what CUDA refuses, counts memory, fails where it is told to, and captures.

mod common;

use common::{Gpu, Params, address, function, gpu, run, set, shape};
use cudarc::driver::sys::{self, CUresult};
use cudarc::driver::{CudaContext, DriverError, LaunchConfig, PushKernelArg, result};
use grail_standin::Setting;

const INVALID: CUresult = CUresult::CUDA_ERROR_INVALID_VALUE;

fn code<T>(result: Result<T, DriverError>) -> CUresult {
    match result {
        Ok(_) => CUresult::CUDA_SUCCESS,
        Err(e) => e.0,
    }
}

fn try_shape(gpu: &Gpu, shape: LaunchConfig) -> CUresult {
    code(run(gpu, "test_axpy", &Params::default(), shape))
}

#[test]
fn launches_keep_within_the_limits_of_the_device() {
    let Some(gpu) = gpu() else { return };
    assert_eq!(try_shape(&gpu, shape(1, 1024, 48 << 10)), CUresult::CUDA_SUCCESS);
    assert_eq!(try_shape(&gpu, shape(1, 1025, 0)), INVALID);
    assert_eq!(try_shape(&gpu, shape(0, 32, 0)), INVALID);
    assert_eq!(try_shape(&gpu, shape(1, 0, 0)), INVALID);
    assert_eq!(try_shape(&gpu, LaunchConfig { grid_dim: (1, 65536, 1), ..shape(1, 32, 0) }), INVALID);
    assert_eq!(try_shape(&gpu, shape(1, 32, (48 << 10) + 1)), INVALID, "more has to be asked for");
    let f = function(&gpu, "test_axpy");
    let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    assert_eq!(code(f.set_attribute(attribute, 163 << 10)), CUresult::CUDA_SUCCESS);
    assert_eq!(code(f.set_attribute(attribute, (163 << 10) + 1)), INVALID);
    let params = Params::default();
    // SAFETY: n is 0, so nothing is touched.
    unsafe { gpu.stream.launch_builder(&f).arg(&params).launch(shape(1, 32, 163 << 10)) }.expect("it was asked for");
    assert_eq!(
        code(gpu.context.load_module(cudarc::nvrtc::Ptx::from_binary(vec![0])).expect("a module").load_function("no")),
        CUresult::CUDA_ERROR_NOT_FOUND
    );
}

#[test]
fn copies_and_fills_stay_within_an_allocation_of_the_device() {
    let Some(gpu) = gpu() else { return };
    let memory = gpu.stream.alloc_zeros::<u8>(100).expect("memory");
    let (p, stream) = (address(&gpu, &memory), gpu.stream.cu_stream());
    let mut host = [0u8; 200];
    let [inside, outside] = [100, 101].map(|n| {
        // SAFETY: the host side is long enough; the device side is what is tried.
        unsafe {
            [
                code(result::memcpy_htod_async(p, &host[..n], stream)),
                code(result::memcpy_dtoh_async(&mut host[..n], p, stream)),
                code(result::memcpy_dtod_async(p, p, n, stream)),
                code(result::memset_d8_async(p, 1, n, stream)),
            ]
        }
    });
    assert_eq!(inside, [CUresult::CUDA_SUCCESS; 4]);
    assert_eq!(outside, [INVALID; 4]);
    // SAFETY: as above.
    let host_as_device = unsafe { result::memset_d8_async(host.as_ptr() as u64, 1, 1, stream) };
    assert_eq!(code(host_as_device), INVALID);
    drop(memory);
    // SAFETY: as above.
    assert_eq!(code(unsafe { result::memset_d8_async(p, 1, 1, stream) }), INVALID, "it is free");
}

#[test]
fn memory_of_another_device_is_none_of_a_kernel() {
    let Some(gpu) = gpu() else { return };
    let other = CudaContext::new(1).expect("a second device");
    let stream = other.new_stream().expect("a stream");
    let there = stream.alloc_zeros::<f32>(10).expect("memory");
    let params = Params { x: address(&gpu, &there), ..Params::default() };
    assert_eq!(code(run(&gpu, "test_axpy", &params, shape(1, 32, 0))), CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
    assert_eq!(code(other.synchronize()), CUresult::CUDA_SUCCESS, "the failure is the first device's alone");
}

#[test]
fn fresh_memory_is_no_zeros_and_freed_memory_faults() {
    let Some(gpu) = gpu() else { return };
    for bytes in [1usize, 4096, 40 << 20] {
        // SAFETY: it is looked at for what it is before it is written.
        let memory = unsafe { gpu.stream.alloc::<u8>(bytes) }.expect("memory");
        assert!(gpu.stream.clone_dtoh(&memory).expect("a copy").iter().all(|&b| b == 0xff));
        let zeros = gpu.stream.alloc_zeros::<u8>(bytes).expect("memory");
        assert!(gpu.stream.clone_dtoh(&zeros).expect("a copy").iter().all(|&b| b == 0));
    }
    let memory = gpu.stream.alloc_zeros::<f32>(64).expect("memory");
    let params = Params { x: address(&gpu, &memory), y: address(&gpu, &memory), n: 64, ..Params::default() };
    run(&gpu, "test_axpy", &params, shape(1, 64, 0)).expect("it is there");
    drop(memory);
    assert_eq!(code(run(&gpu, "test_axpy", &params, shape(1, 64, 0))), CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
    assert!(grail_standin::message(0).expect("loaded").contains("in the freed allocation"));
}

#[test]
fn memory_runs_out_where_the_setting_says() {
    let Some(gpu) = gpu() else { return };
    let (free, total) = gpu.context.mem_get_info().expect("asked");
    let used = total - free;
    set(Setting::Memory((used + 1000) as u64));
    assert_eq!(gpu.context.mem_get_info().expect("asked"), (1000, used + 1000));
    let some = gpu.stream.alloc_zeros::<u8>(600).expect("there is room");
    assert_eq!(code(gpu.stream.alloc_zeros::<u8>(401)), CUresult::CUDA_ERROR_OUT_OF_MEMORY);
    drop(some);
    gpu.stream.alloc_zeros::<u8>(1000).expect("what was freed is there again");
}

#[test]
fn injected_faults_hit_their_number_and_stick() {
    let Some(mut gpu) = gpu() else { return };
    set(Setting::Fault("launch:3:719,allocation:2:2"));
    let n = |gpu: &Gpu| code(run(gpu, "test_axpy", &Params::default(), shape(1, 32, 0)));
    assert_eq!([n(&gpu), n(&gpu)], [CUresult::CUDA_SUCCESS; 2]);
    gpu.stream.alloc_zeros::<u8>(1).expect("the first allocation");
    assert_eq!(code(gpu.stream.alloc_zeros::<u8>(1)), CUresult::CUDA_ERROR_OUT_OF_MEMORY);
    gpu.stream.alloc_zeros::<u8>(1).expect("running out of memory is no failure of the device");
    assert_eq!([n(&gpu), code(gpu.stream.synchronize())], [CUresult::CUDA_ERROR_LAUNCH_FAILED; 2]);
    assert_eq!(grail_standin::counts(0).expect("loaded").launches, 3);
    gpu.renew();
    set(Setting::Fault("copy:1:700"));
    assert_eq!(
        code(gpu.stream.clone_htod(&[1u8]).and_then(|_| gpu.stream.synchronize())),
        CUresult::CUDA_ERROR_ILLEGAL_ADDRESS
    );
    gpu.renew();
    assert_eq!(n(&gpu), CUresult::CUDA_SUCCESS);
}

#[test]
fn every_error_has_its_name() {
    let Some(_gpu) = gpu() else { return };
    for e in [INVALID, CUresult::CUDA_ERROR_OUT_OF_MEMORY, CUresult::CUDA_ERROR_ECC_UNCORRECTABLE] {
        let error = DriverError(e);
        let name = error.error_name().expect("a name").to_str().expect("text").to_owned();
        assert_eq!(name, format!("{e:?}"));
        assert!(!error.error_string().expect("a text").is_empty());
    }
}

#[test]
fn a_graph_does_again_what_was_captured() {
    let Some(gpu) = gpu() else { return };
    for mode in ["eager", "deferred"] {
        set(Setting::Mode(mode));
        let x = gpu.stream.clone_htod(&[1.0f32; 32]).expect("a copy");
        let y = gpu.stream.alloc_zeros::<f32>(32).expect("memory");
        let f = function(&gpu, "test_axpy");
        let params = Params { x: address(&gpu, &x), y: address(&gpu, &y), n: 32, ..Params::default() };
        gpu.stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).expect("it begins");
        // SAFETY: both buffers have 32 elements.
        unsafe { gpu.stream.launch_builder(&f).arg(&params).launch(shape(1, 32, 0)) }.expect("captured");
        let graph = gpu.stream.end_capture(sys::CUgraphInstantiate_flags(0)).expect("it ends").expect("a graph");
        assert_eq!(gpu.stream.clone_dtoh(&y).expect("a copy"), [0.0; 32], "captured is not run");
        graph.upload().expect("nothing to do");
        for _ in 0..3 {
            graph.launch().expect("queued");
        }
        assert_eq!(gpu.stream.clone_dtoh(&y).expect("a copy"), [9.0; 32], "{mode}");
    }
}

#[test]
fn a_capture_of_one_thread_leaves_others_alone_and_a_global_one_does_not() {
    use sys::CUstreamCaptureMode::{CU_STREAM_CAPTURE_MODE_GLOBAL, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL};
    let Some(gpu) = gpu() else { return };
    for (mode, elsewhere) in [
        (CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, CUresult::CUDA_SUCCESS),
        (CU_STREAM_CAPTURE_MODE_GLOBAL, CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED),
    ] {
        gpu.stream.begin_capture(mode).expect("it begins");
        let allocates = || {
            gpu.stream.context().bind_to_thread().expect("a context");
            // SAFETY: what is allocated is freed at once, and not used.
            unsafe { result::malloc_sync(16).and_then(|p| result::free_sync(p)) }
        };
        let got = std::thread::scope(|scope| scope.spawn(|| code(allocates())).join().expect("no panic"));
        assert_eq!(got, elsewhere, "{mode:?}");
        let ended = code(gpu.stream.end_capture(sys::CUgraphInstantiate_flags(0)));
        assert_eq!(ended == CUresult::CUDA_SUCCESS, elsewhere == CUresult::CUDA_SUCCESS, "{mode:?}: {ended:?}");
    }
}

#[test]
fn a_capture_refuses_what_would_wait() {
    let Some(gpu) = gpu() else { return };
    let begin = || gpu.stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    let end = || gpu.stream.end_capture(sys::CUgraphInstantiate_flags(0));
    let unsupported = CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    begin().expect("it begins");
    assert_eq!(code(begin()), unsupported, "once at a time");
    assert_eq!(code(gpu.stream.synchronize()), unsupported);
    assert_eq!(code(end()), CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    begin().expect("it begins");
    // SAFETY: nothing is allocated.
    assert_eq!(code(unsafe { result::malloc_sync(16) }), unsupported);
    assert_eq!(code(end()), CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    let before = gpu.stream.record_event(None).expect("an event");
    begin().expect("it begins");
    assert_eq!(code(gpu.stream.wait(&before)), CUresult::CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
    assert_eq!(code(end()), CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    assert_eq!(code(end()), CUresult::CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
    begin().expect("it begins");
    end().expect("an empty graph");
}
