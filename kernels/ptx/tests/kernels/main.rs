//! The repository's kernels as nvcc compiles them, run by the interpreter for small shapes, to the bit against the scalar
//! reference of NUMERICS; and what they cost, counted.

mod launch;
mod layout;
mod norms;
mod prediction;
mod products;
mod quantizers;
