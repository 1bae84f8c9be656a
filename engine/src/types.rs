//! What goes in and what comes out: requests, traces, events.
//!
//! Positions count from 0 over the whole sequence, prompt first. Token ids are below the vocabulary size.

use std::ops::ControlFlow;

use crate::{Error, Fault, Result};

/// 32 bytes that decide every random choice of one rollout (NUMERICS 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

impl Seed {
    /// Little-endian words; 4 to 7 are not used by the sampler.
    pub fn words(&self) -> [u32; 8] {
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(self.0.chunks_exact(4)) {
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        words
    }
}

/// Sampling parameters; reals are the f64 nearest to their decimal text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// T >= 0; 0 takes the greatest logit.
    pub temperature: f64,
    /// Keeps this many tokens; 0 keeps all.
    pub top_k: u32,
    /// Keeps the smallest set of this mass, in [0, 1]; 1 keeps all.
    pub top_p: f64,
    /// p > 0, over the ids already in the sequence; 1 changes nothing.
    pub repetition_penalty: f64,
}

impl Default for Sampling {
    /// The protocol's parameters: 0.7, 50, 0.95, 1.1.
    fn default() -> Self {
        Self { temperature: 0.7, top_k: 50, top_p: 0.95, repetition_penalty: 1.1 }
    }
}

impl Sampling {
    /// Refuses parameters outside NUMERICS 11.
    ///
    /// # Errors
    /// [`Error::Request`] naming the parameter.
    pub fn check(&self) -> Result<()> {
        let refuse = |field: &str, value: f64, expected: &str| {
            Err(Error::Request { field: field.into(), problem: format!("is {value}, expected {expected}") })
        };
        let Self { temperature, top_p, repetition_penalty, .. } = *self;
        if !(temperature.is_finite() && temperature >= 0.0) {
            return refuse("temperature", temperature, "a finite number of at least 0");
        }
        if !(0.0..=1.0).contains(&top_p) {
            return refuse("top_p", top_p, "a number from 0 to 1");
        }
        // As f32 too: that is the number the penalty divides by.
        let p = repetition_penalty as f32;
        if !(repetition_penalty > 0.0 && p > 0.0 && p.is_finite()) {
            return refuse("repetition_penalty", repetition_penalty, "a number above 0 that an f32 can hold");
        }
        Ok(())
    }
}

/// One prompt and the rollouts wanted of it.
#[derive(Debug, Clone)]
pub struct Group {
    /// Token ids; at least one.
    pub prompt: Vec<u32>,
    /// One seed per rollout.
    pub seeds: Vec<Seed>,
}

/// What [`crate::Engine::generate`] is asked for.
#[derive(Debug, Clone, Copy)]
pub struct GenerateRequest<'a> {
    /// Prompts with their seeds.
    pub groups: &'a [Group],
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// A completion ends with this many tokens at the latest; at least 1.
    pub max_new_tokens: usize,
    /// A completion ends with the first of these, which is kept.
    pub eos_ids: &'a [u32],
    /// r of NUMERICS 10, one integer per hidden coordinate; empty: no sketches.
    pub projection: &'a [i32],
    /// Also return the hidden states (final-norm outputs).
    pub keep_hidden: bool,
    /// Also return both log-probabilities of each completion token. Without them the tokens are the same; a fault that
    /// only the log-probabilities would meet is not looked for.
    pub logprobs: bool,
}

impl<'a> GenerateRequest<'a> {
    /// A request with the protocol's sampling parameters and log-probabilities, without sketches and hidden states.
    pub fn new(groups: &'a [Group], max_new_tokens: usize, eos_ids: &'a [u32]) -> Self {
        let (sampling, projection) = (Sampling::default(), &[][..]);
        Self { groups, sampling, max_new_tokens, eos_ids, projection, keep_hidden: false, logprobs: true }
    }
}

/// Why a completion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// With an id of `eos_ids`.
    Eos,
    /// With the `max_new_tokens`-th token.
    Length,
}

/// Natural logarithms of a token's probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Logprobs {
    /// Under the model: T = 1, nothing processed.
    pub raw: f32,
    /// Under the sampling distribution.
    pub sampling: f32,
}

/// A finished rollout with its trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// Prompt, then completion.
    pub tokens: Vec<u32>,
    /// Where the completion starts.
    pub prompt_length: usize,
    /// ln of the model's probability (T = 1, nothing processed), per completion token; empty if not asked for.
    pub raw_logprobs: Vec<f32>,
    /// ln of the probability under the sampling distribution, per completion token; empty if not asked for.
    pub sampling_logprobs: Vec<f32>,
    /// Sketch per position of prompt and completion, the last token included; empty without a projection.
    pub sketches: Vec<u32>,
    /// Final-norm outputs, `[position][hidden]`, if they were asked for.
    pub hidden: Vec<f32>,
    /// Why it ended.
    pub stop: Stop,
}

impl Rollout {
    /// The tokens after the prompt.
    pub fn completion(&self) -> &[u32] {
        &self.tokens[self.prompt_length..]
    }
}

/// Why there is no result for a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// NUMERICS section 1 ended it.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The observer broke off before it was finished.
    #[error("cancelled")]
    Cancelled,
}

/// Completions of one prompt, to be scored.
#[derive(Debug, Clone)]
pub struct ScoreGroup {
    /// Token ids; at least one.
    pub prompt: Vec<u32>,
    /// The completions.
    pub completions: Vec<Completion>,
}

/// One completion as it was claimed.
#[derive(Debug, Clone)]
pub struct Completion {
    /// Token ids; at least one.
    pub tokens: Vec<u32>,
    /// Its rollout's seed.
    pub seed: Seed,
}

/// What [`crate::Engine::score`] is asked for.
#[derive(Debug, Clone, Copy)]
pub struct ScoreRequest<'a> {
    /// Prompts with their completions.
    pub groups: &'a [ScoreGroup],
    /// How tokens had to be chosen.
    pub sampling: Sampling,
    /// r of NUMERICS 10, one integer per hidden coordinate; empty: no sketches.
    pub projection: &'a [i32],
}

/// What the model says of one claimed completion.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// ln of the model's probability of each completion token.
    pub raw_logprobs: Vec<f32>,
    /// ln of its probability under the sampling distribution, by the formula of NUMERICS 11 also where the
    /// token is not in the kept set.
    pub sampling_logprobs: Vec<f32>,
    /// Sketch per position of prompt and completion; empty without a projection.
    pub sketches: Vec<u32>,
    /// Per completion position, the token that an honest sampler with that seed had to emit there.
    pub honest: Vec<u32>,
}

/// What an observer is told. Rows of a step are reported before the step's [`Event::Step`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A completion token was chosen.
    Token {
        /// Index of the group in the request.
        group: usize,
        /// Index of the rollout in its group.
        rollout: usize,
        /// The token.
        token: u32,
        /// Its log-probabilities, if they were asked for.
        logprobs: Option<Logprobs>,
    },
    /// A rollout came to its end.
    Finished {
        /// Index of the group in the request.
        group: usize,
        /// Index of the rollout in its group.
        rollout: usize,
        /// The rollout, or the fault that ended it.
        result: Result<&'a Rollout, Fault>,
    },
    /// One forward pass was made, and what it gave was told.
    Step(Progress),
}

/// Where a call stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rollouts or completions finished.
    pub finished: usize,
    /// Rollouts or completions asked for.
    pub total: usize,
    /// Sequences being worked on.
    pub live: usize,
    /// Rows pushed through the model so far.
    pub rows: usize,
    /// Completion tokens so far.
    pub new_tokens: usize,
}

/// Watches a call; `Break` cancels it at the end of the step.
pub type Observer<'a> = dyn FnMut(Event<'_>) -> ControlFlow<()> + 'a;

/// An observer that lets everything pass.
pub fn unobserved(_: Event<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Points of the forward pass at which a digest can be taken (NUMERICS 5-7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Embedding row as f32.
    Embedding,
    /// RMSNorm before attention.
    AttentionNorm,
    /// Queries after norm and RoPE, heads concatenated, before the softmax scale.
    Query,
    /// Keys after norm and RoPE, heads concatenated.
    Key,
    /// Values, heads concatenated.
    Value,
    /// Attention output, the input of o_proj.
    Attention,
    /// Residual after attention.
    ResidualAttention,
    /// RMSNorm before the MLP.
    MlpNorm,
    /// gate_proj output.
    Gate,
    /// up_proj output.
    Up,
    /// Input of down_proj.
    Activation,
    /// Residual after the MLP.
    ResidualMlp,
    /// Final RMSNorm: the hidden state.
    FinalNorm,
}

impl Stage {
    /// Every stage, in the order of the pass.
    pub const ALL: [Self; 13] = [
        Self::Embedding,
        Self::AttentionNorm,
        Self::Query,
        Self::Key,
        Self::Value,
        Self::Attention,
        Self::ResidualAttention,
        Self::MlpNorm,
        Self::Gate,
        Self::Up,
        Self::Activation,
        Self::ResidualMlp,
        Self::FinalNorm,
    ];

    /// The name that trace files use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::AttentionNorm => "attention_norm",
            Self::Query => "query",
            Self::Key => "key",
            Self::Value => "value",
            Self::Attention => "attention",
            Self::ResidualAttention => "residual_attention",
            Self::MlpNorm => "mlp_norm",
            Self::Gate => "gate",
            Self::Up => "up",
            Self::Activation => "activation",
            Self::ResidualMlp => "residual_mlp",
            Self::FinalNorm => "final_norm",
        }
    }
}

/// Receives (layer, stage, position, values); the layer is -1 for the embedding and the number of layers
/// for the final norm.
pub type Probe<'a> = dyn FnMut(i64, Stage, usize, &[f32]) + 'a;
