//! The bf16 product of the same matrices by NVIDIA's library, where it is at run time. Nothing else here needs it.

use std::sync::Arc;

use cudarc::cublaslt::{CudaBlasLT, Matmul, MatmulConfig, MatmulShared, Workspace, sys};
use cudarc::driver::CudaStream;

use super::data::noise_bf16;
use super::{KernelBench, Peer};
use crate::cuda::DeviceBuffer;

/// The library's workspace, which it takes without asking, and room beside it.
const WORKSPACE_BYTES: u64 = 64 << 20;

/// The library with bf16 as its bits, in which device memory holds it.
struct Bf16(CudaBlasLT);

impl MatmulShared for Bf16 {
    fn handle(&self) -> &sys::cublasLtHandle_t {
        self.0.handle()
    }

    fn workspace(&self) -> &Workspace {
        self.0.workspace()
    }

    fn stream(&self) -> &Arc<CudaStream> {
        self.0.stream()
    }
}

impl Matmul<u16> for Bf16 {
    fn matrix_type() -> sys::cudaDataType {
        sys::cudaDataType_t::CUDA_R_16BF
    }

    fn compute_type() -> sys::cublasComputeType_t {
        sys::cublasComputeType_t::CUBLAS_COMPUTE_32F
    }
}

/// Why it cannot be used, if it cannot.
pub(super) fn problem() -> Option<String> {
    // SAFETY: opening the library runs its initialisers, which is what asking for it means.
    let there = unsafe { sys::is_culib_present() };
    (!there).then(|| "libcublasLt is not on this machine".into())
}

/// y = x W^T in bf16 with sums in f32, as many matrices in turn as the kernel it is compared to goes through.
pub(super) fn time(bench: &KernelBench, rows: u32, features: u32, k: u32, copies: u32) -> Peer {
    if let Some(problem) = problem() {
        return Peer::Missing(problem);
    }
    match seconds(bench, rows, features, k, copies) {
        Ok(seconds) => Peer::Seconds(seconds),
        Err(problem) => Peer::Missing(format!("cuBLASLt: {problem}")),
    }
}

fn seconds(bench: &KernelBench, rows: u32, features: u32, k: u32, copies: u32) -> Result<Vec<f64>, String> {
    let device = bench.device();
    let words = |e: crate::Error| e.to_string();
    if device.free_bytes().map_err(words)? < WORKSPACE_BYTES {
        return Err("no memory for its workspace".into());
    }
    let blas = CudaBlasLT::new(device.stream().clone()).map(Bf16).map_err(|e| format!("{:?}", e.0))?;
    let buffer = |count: u32, scale| {
        DeviceBuffer::from_slice(device, &noise_bf16(count as usize * k as usize, scale)).map_err(words)
    };
    let weights = (0..copies).map(|_| buffer(features, 0.02)).collect::<Result<Vec<_>, _>>()?;
    let x = buffer(rows, 1.0)?;
    let mut y = DeviceBuffer::<u16>::zeroed(device, rows as usize * features as usize).map_err(words)?;
    // Column-major: y is [features, rows], W is [k, features] and transposed.
    let config = MatmulConfig {
        transa: true,
        transb: false,
        transc: false,
        m: features.into(),
        n: rows.into(),
        k: k.into(),
        alpha: 1.0,
        lda: k.into(),
        ldb: k.into(),
        beta: 0.0,
        ldc: features.into(),
        stride_a: None,
        stride_b: None,
        stride_c: None,
        stride_bias: None,
        batch_size: None,
    };
    let multiply = |i: u32| {
        let w = weights[i as usize].slice();
        // SAFETY: the buffers have the sizes that `config` says, and outlive the graph.
        let done = unsafe { blas.matmul(config, w, x.slice(), y.slice_mut(), None, None) };
        done.map_err(|e| crate::Error::Device {
            device: device.label(),
            what: "multiplying".into(),
            problem: format!("{:?}", e.0),
        })
    };
    bench.timer.time(copies, multiply).map_err(words)
}
