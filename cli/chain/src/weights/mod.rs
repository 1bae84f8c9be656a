//! Weights: from real numbers to what the chain takes, and onto the chain.

mod conform;
mod set;

pub use conform::{ConformError, ConformedWeights, clip_to_max_weight, conform, normalise};
pub(crate) use set::set_weights_call;
