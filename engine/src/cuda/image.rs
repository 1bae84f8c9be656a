//! The kernels' code: what build.rs embedded.

use cudarc::nvrtc::Ptx;

use crate::Result;

/// A file of `kernels/`.
pub(super) struct File {
    /// Its name without `.cu`.
    pub(super) name: &'static str,
    /// Code for every supported device, empty where the build had no nvcc.
    fatbin: &'static [u8],
}

// FILES: &[File], KERNELS: &[(name, index into FILES)]
include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// The image of `FILES[file]`.
pub(super) fn load(file: usize) -> Result<Ptx> {
    Ok(Ptx::from_binary(FILES[file].fatbin.to_vec()))
}
