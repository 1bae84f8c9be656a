//! The window file: what a miner publishes of one window (PROTOCOL 7, DESIGN 4.9 and 4.10).
//!
//! These types hold what a file says, not what is true: text stays text, and an integer may be any integer. What
//! is true is derived by the verifier, which compares. The prover fills the same types, so there is one writer and
//! one reader, and a forger in a test has the same tools as a miner.
//!
//! What an environment adds is held as canonical JSON text, which equals another text exactly when the values are
//! equal: so a file takes at most a few bytes of memory per byte of its text, whatever it says.

mod fault;
mod grow;
mod gzip;
mod lexer;
mod parts;
mod read;
mod shape;
mod write;

pub use fault::ReadError;
pub use grow::{GroupText, GrowingFile};
pub use gzip::{read_stored, store};
pub use read::read;
pub use shape::Shape;
pub use write::Form;

/// Objects and lists inside each other in a window file; a deeper one is over a cap.
pub const MAX_NESTING: usize = 8;

/// Bytes of a stored window file.
pub const MAX_STORED_BYTES: u64 = 64 << 20;

/// Bytes of a window file's text.
pub const MAX_TEXT_BYTES: u64 = 1 << 30;

/// An integer of a file. One that fits no `i128` is held as the nearest that does: no derived value is that large,
/// so it differs from all of them.
pub type Integer = i128;

/// A whole file.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowFile {
    /// `grail-exact-1`.
    pub proof_version: String,
    /// The network's id.
    pub network_id: String,
    /// First block of the window.
    pub window_start: Integer,
    /// Blocks per window.
    pub window_length: Integer,
    /// The miner's address.
    pub wallet: String,
    /// The window's first block.
    pub block: Block,
    /// The beacon of that block.
    pub beacon: Beacon,
    /// When the file was written, in seconds; checked for its type only.
    pub timestamp: f64,
    /// Rollouts, group by group.
    pub inferences: Vec<Inference>,
}

/// What a file says of its window's first block.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Its number.
    pub number: Integer,
    /// Its hash as `0x` text.
    pub hash: String,
    /// Its time in Unix milliseconds.
    pub timestamp_ms: Integer,
}

/// What a file says of the beacon.
#[derive(Debug, Clone, PartialEq)]
pub struct Beacon {
    /// Its round.
    pub round: Integer,
    /// Its BLS signature.
    pub signature: String,
}

/// One rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct Inference {
    /// First block of the window.
    pub window_start: Integer,
    /// The chain's block when it was made; checked for its type only.
    pub block: Integer,
    /// Number of the rollout within its window.
    pub nonce: Integer,
    /// Seed text of the problem.
    pub sat_seed: String,
    /// Difficulty of the problem.
    pub difficulty: f64,
    /// Hash of the window's first block.
    pub block_hash: String,
    /// R_w.
    pub randomness: String,
    /// Always true.
    pub use_drand: bool,
    /// Number of the problem.
    pub rollout_group: Integer,
    /// Number of the rollout within its group.
    pub rollout_index: Integer,
    /// Rollouts of a group.
    pub total_in_group: Integer,
    /// The proof.
    pub commit: Commit,
    /// When it was made, in seconds; checked for its type only.
    pub timestamp: f64,
    /// What the outer signature signs.
    pub challenge: String,
    /// The miner's address.
    pub hotkey: String,
    /// Signature over the challenge, 128 hex digits.
    pub signature: String,
}

/// What a rollout's proof states.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// Prompt, then completion; below the vocabulary size.
    pub tokens: Vec<u32>,
    /// Sketch per token, in `[0, Q)`.
    pub s_vals: Vec<u32>,
    /// The model.
    pub model: Model,
    /// Signature over the binding, 128 hex digits.
    pub signature: String,
    /// R_w.
    pub randomness: String,
    /// The problem.
    pub problem: Statement,
    /// What came of it.
    pub rollout: Claim,
}

/// The model a proof names.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Index of the hidden state that is sketched.
    pub layer_index: Integer,
    /// Identity of its contents.
    pub weights_digest: String,
    /// Identity of its arithmetic.
    pub numerics: String,
}

/// The problem a proof names.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Its seed text.
    pub seed: String,
    /// Its difficulty.
    pub difficulty: f64,
    /// The environment's own fields, in its order, as canonical JSON.
    pub fields: Vec<String>,
}

/// What a proof says came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Tokens of the prompt.
    pub prompt_length: Integer,
    /// Tokens after it.
    pub completion_length: Integer,
    /// Log-probability of each token under the sampling distribution; 0 in the prompt.
    pub token_logprobs: Vec<f32>,
    /// Log-probability of each token under the model; 0 in the prompt.
    pub raw_token_logprobs: Vec<f32>,
    /// Whether the problem was solved.
    pub success: bool,
    /// The reward.
    pub total_reward: f64,
    /// The reward's advantage in its group.
    pub advantage: f64,
    /// List of `[step, action, reward]`, as canonical JSON. The action is the first field of the answer.
    pub trajectory: String,
    /// The environment's own fields of an answer, in its order, as canonical JSON.
    pub answer: Vec<String>,
}

/// What an environment adds to the format.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// Fields of a problem beside seed and difficulty.
    pub statement: &'static [(&'static str, Shape)],
    /// Fields of an answer; the first is the action.
    pub answer: &'static [(&'static str, Shape)],
}

impl Schema {
    /// The schema of an environment.
    #[must_use]
    pub fn of<E: crate::environment::Environment>() -> Self {
        Self { statement: E::STATEMENT, answer: E::ANSWER }
    }
}

/// What a reader refuses by size, and what it needs to know of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the text.
    pub text_bytes: u64,
    /// Rollouts: max_groups times rollouts_per_problem.
    pub inferences: usize,
    /// Tokens of a rollout: the model's positions.
    pub positions: usize,
    /// A token id is below this.
    pub vocab_size: u32,
}
