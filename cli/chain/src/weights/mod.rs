//! Weights: from real numbers to what the chain takes, and onto the chain.

mod commit;
mod conform;
mod reveal;
mod set;
mod unrevealed;

pub(crate) use commit::commit_call;
pub use commit::{payload, seal};
pub use conform::{ConformError, ConformedWeights, clip_to_max_weight, conform, normalise};
pub use reveal::{Epochs, reveal_block, reveal_round};
pub(crate) use set::set_weights_call;
pub use set::{Reveal, SubmittedWeights};

use crate::WeightsError;
