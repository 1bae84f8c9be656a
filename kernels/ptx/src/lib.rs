//! Interpreter of the PTX that nvcc emits for the kernels: it runs the compiled artefact, inline assembly included, on a
//! machine without a device.
//!
//! Every access is checked: bounds, alignment, bytes nobody wrote, copies in flight, races between threads and between
//! blocks; so is every barrier and collective. The first fault ends the launch with a [`Finding`] that names kernel, line,
//! block, thread and address. A launch without one returns [`Counters`]: instructions by class, sectors of global memory,
//! passes through shared memory's banks, bytes moved per allocation.
//!
//! It is deliberately not a simulator: no time, no caches, no registers of the real machine code. It refuses what it does
//! not know, and instructions whose result is not defined to the bit.

mod ast;
mod compile;
mod counters;
mod decode;
mod error;
mod exec;
mod finding;
mod inst;
mod lex;
mod memory;
mod mma;
mod module;
mod ops;
mod parse;
mod predict;
mod race;
mod replay;
mod types;

pub use compile::{Arch, CompileError, compile, compile_text, find_nvcc};
pub use counters::{Class, Count, Counters, LineCount};
pub use error::PtxError;
pub use exec::{Options, Schedule, Shape};
pub use finding::{Check, Finding};
pub use memory::{Device, Ptr, Traffic};
pub use module::Module;
pub use predict::{A100, Cost, H100, Limits, Seconds};
pub use replay::{Recorded, Region, ReplayError};
