//! The kernels' code: compiled by the build where it had nvcc, else at first use where NVRTC is.

use std::ffi::CString;
use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaModule};
use cudarc::nvrtc::Ptx;

use super::context::{DeviceInfo, driver_error, label};
use super::nvrtc;
use crate::{Error, Result};

/// A file of `kernels/`.
pub(super) struct File {
    /// Its name.
    pub(super) name: &'static str,
    /// Its text.
    pub(super) source: &'static str,
    /// Code for every supported device; empty where the build had no nvcc.
    pub(super) fatbin: &'static [u8],
}

// build.rs: FILES; HEADERS, pairs of name and text; KERNELS, pairs of name and index into FILES; NVCC, its version.
include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// Index into [`FILES`] of the file with this kernel.
pub(super) fn file_of(kernel: &str) -> Option<usize> {
    KERNELS.iter().find(|(name, _)| *name == kernel).map(|(_, file)| *file)
}

/// Which compiler made the embedded code, for reports.
pub fn embedded() -> Option<String> {
    NVCC.map(|version| format!("nvcc {version}"))
}

/// The module of a file on a device.
pub(super) fn load(file: &File, context: &Arc<CudaContext>, info: &DeviceInfo) -> Result<Arc<CudaModule>> {
    let File { name, source, fatbin } = file;
    let refused = |e| driver_error(&label(info.ordinal), format!("loading {name}"), e);
    if !fatbin.is_empty() {
        return context.load_module(Ptx::from_binary(fatbin.to_vec())).map_err(refused);
    }
    let missing = match nvrtc::image(name, source, HEADERS, info.capability) {
        Ok(image) => return context.load_module(Ptx::from_binary(image)).map_err(refused),
        Err(Error::Unsupported { problem, .. }) => problem,
        Err(other) => return Err(other),
    };
    // No NVIDIA driver compiles C++, but one that the tests bring along takes any image.
    let source = CString::new(*source).expect("sources have no zero byte").into_bytes_with_nul();
    context.load_module(Ptx::from_binary(source)).map_err(|_| Error::Unsupported {
        what: label(info.ordinal),
        problem: format!(
            "this binary was built without nvcc, so it has no code for GPUs, and {missing}. Either build it where \
             CUDA_HOME names a CUDA toolkit, or put NVRTC 12.0 or later, which is in the toolkit and in the package \
             nvidia-cuda-nvrtc, where LD_LIBRARY_PATH finds it"
        ),
    })
}
