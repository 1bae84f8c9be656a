//! Elementwise operations and ordered sums (NUMERICS sections 5 to 10): one source each, compiled for every
//! instruction set, vectorised by the compiler. Branches are selects; a fused multiply-add is where NUMERICS writes it.
//!
//! The portable path fuses through the mathematics library where the machine has no instruction: right, and slow.

mod attention;
mod chunk;
mod elementary;
mod head;
mod layer;
mod select;
mod sums;

pub use attention::{Softmax, accumulate_scores, combine, divide, query_scale, scale_values, softmax_chunk, weigh};
pub use chunk::{fold_rows, score_rows, softmax_rows, weigh_rows};
pub use elementary::{exp, exp_in_place, exp2, exp2_in_place, ln, ln_in_place, silu};
pub use head::{Q, arg_max, ceiling, log_mass_probability, log_probability, log_sum, log_sum_chunks, sketch};
pub use layer::{norm_and_rope, rms_norm, rms_norm_in_place, rope, scale, silu_mul};
pub use select::collect_above;
pub use sums::{s128, s128_of_squares};
