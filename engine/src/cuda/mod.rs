//! The CUDA backend: the kernels of `kernels/` through the driver, loaded when a GPU is asked for.
//!
//! A binary with this module starts everywhere, for the driver library is opened at run time. Nothing here panics where
//! it is missing: [`probe`] and [`Device::open`] ask before the first call. There is no CUDA runtime library, and
//! cuBLASLt only to be compared with, in [`KernelBench`]; a wrapper in [`ops`] belongs to each `.cu` file and holds the
//! `unsafe` of its launches.

// Written by kernels/bindings from kernels/abi.h, which holds the words about each structure.
#[allow(missing_docs, non_camel_case_types)]
#[rustfmt::skip]
pub mod abi;
mod bench;
mod buffer;
mod context;
mod graph;
mod image;
mod launch;
mod model;
mod nvrtc;
pub mod ops;
mod pinned;
mod ring;
#[cfg(test)]
mod tests;

pub use bench::{BenchOptions, BenchRow, Bytes, KernelBench, Limits, Peer, ShowRow};
pub use buffer::{DeviceBuffer, Element};
pub use context::{Device, DeviceInfo, driver_is_there, first_usable, probe, usable};
pub use graph::Graph;
pub use image::embedded;
pub use launch::{Kernel, LaunchShape, Params};
pub use model::CudaModel;
pub use pinned::PinnedBuffer;
