//! The CPU backend's kernels: integer matrix products and elementwise operations of NUMERICS.
//!
//! Every function takes an [`isa::Isa`] and gives the same bits on each of them: integers are
//! order-free, floating-point reductions have one written order, and the elementwise operations are
//! one source compiled once per instruction set. What depends on the machine is speed only.
//!
//! * [`isa`] which instruction set is used, [`pool`] threads, [`memory`] buffers
//! * [`quantize`] and [`pack`]: f32 rows to integers, weights to panels, in eleven bits each by `compact`
//! * [`gemm`] and [`dot`]: products of integers, by `portable`, `avx2` (with AVX-VNNI too) or `avx512` tiles
//! * [`ops`]: norms, rotary embedding, activation, softmax, log-sums, sketch
//!
//! * [`weights`], [`cache`], [`rope`], [`attention`] and [`forward`]: a model made of them, a [`crate::backend::Backend`]
//!
//! Not here: a schedule, sampling.

pub mod ahead;
pub mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod backend;
pub mod cache;
mod compact;
pub mod dot;
pub mod forward;
pub mod gemm;
pub mod isa;
mod layer;
pub mod memory;
#[cfg(test)]
mod model512;
pub mod ops;
pub mod pack;
pub mod pool;
mod portable;
pub mod quantize;
mod region;
pub mod rope;
mod rows;
pub mod sampling;
mod strip;
#[cfg(test)]
mod tests;
pub mod weights;

pub(crate) use backend::TILE;
