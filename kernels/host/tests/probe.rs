use cudarc::driver::{CudaContext, DeviceRepr, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;

#[repr(C)]
#[derive(Clone, Copy)]
struct Axpy {
    x: u64,
    y: u64,
    a: f32,
    n: u32,
}
// SAFETY: plain data with the layout of test_axpy_params.
unsafe impl DeviceRepr for Axpy {}

#[test]
fn a_kernel_runs_through_cudarc() {
    if let Err(why) = grail_standin::load() {
        panic!("{why}");
    }
    let context = CudaContext::new(0).expect("context");
    let stream = context.new_stream().expect("stream");
    let module = context.load_module(Ptx::from_binary(vec![0; 16])).expect("module");
    let f = module.load_function("test_axpy").expect("function");
    let x = stream.clone_htod(&(0..1000).map(|i| i as f32).collect::<Vec<_>>()).expect("copy");
    let mut y = stream.alloc_zeros::<f32>(1000).expect("alloc");
    use cudarc::driver::{DevicePtr, DevicePtrMut};
    let p = Axpy { x: x.device_ptr(&stream).0, y: y.device_ptr_mut(&stream).0, a: 3.0, n: 1000 };
    let config = LaunchConfig { grid_dim: (4, 1, 1), block_dim: (256, 1, 1), shared_mem_bytes: 0 };
    // SAFETY: the buffers have n elements.
    unsafe { stream.launch_builder(&f).arg(&p).launch(config) }.expect("launch");
    let y = stream.clone_dtoh(&y).expect("copy");
    assert!(y.iter().enumerate().all(|(i, &v)| v == 3.0 * i as f32));
}
