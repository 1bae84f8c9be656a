//! The scalar reference of NUMERICS: short, obvious, slow, and the oracle of every test.
//!
//! Each function follows its section of the page line by line. Nothing here is used on a fast path
//! and nothing here is tuned; a backend that differs from it in one bit has a bug.

mod attention;
mod elementary;
mod logprob;
mod model;
mod product;
mod quantize;
mod reduce;
mod rope;
mod sampling;
mod sketch;

pub use attention::{Attended, Chunk, HeadCache, attend};
pub use elementary::{exp, exp2, ln, silu};
pub use logprob::{LogSum, log_sum, scale_of_temperature};
pub use model::{ReferenceModel, ReferenceRow, Shape};
pub use product::{block_dots, matmul, product};
pub use quantize::{BLOCK, Quantized, block_exponent, pow2, quantize_l, quantize_r};
pub use reduce::{rmsnorm, s128, s128_squares};
pub use rope::{attention_scale, inverse_frequencies, rope_row, rotate};
pub use sampling::{Sampled, floor_product, noise, penalize, philox4x32_10, sample};
pub use sketch::{Q, SketchTerms, sketch};
