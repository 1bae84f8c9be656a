//! What a window assigns to one hotkey, and what follows from an answer (DESIGN 4.2, 4.4 to 4.8).
//!
//! Prover and verifier derive everything here, so there is one derivation. Nothing is taken from the miner but
//! tokens, sketches and log-probabilities.

use std::ops::Range;

use grail_engine::config::Config;
use grail_engine::tokenizer::Tokenizer;
use grail_engine::types::{Sampling, Seed};

use crate::binding::Binding;
use crate::environment::{Environment, Reward};
use crate::json::{Style, Value};
use crate::params::Network;
use crate::problem::{account_offset, block_hash_text, challenge, difficulty, difficulty_position, nonce, seed_text};
use crate::randomness::{block_randomness, random_vector, sampling_seed};
use crate::window::{Commit, Limits};
use crate::{AccountId, Error, Hash, Result};

/// What everybody knows of a window once its first block is final and that block's beacon is out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowHead {
    /// Number of the first block, W.
    pub block_number: u64,
    /// Hash of that block.
    pub block_hash: Hash,
    /// Time of that block, in Unix milliseconds.
    pub timestamp_ms: u64,
    /// Round of the beacon.
    pub round: u64,
    /// The beacon's signature, verified by whoever made this.
    pub beacon_signature: Vec<u8>,
    /// SHA-256 of that signature.
    pub beacon_randomness: Hash,
}

/// A network as one model can serve it.
#[derive(Debug)]
pub struct Protocol<'a, E: Environment> {
    network: &'a Network,
    environment: &'a E,
    tokenizer: &'a Tokenizer,
    eos_text: &'a str,
    hidden_size: usize,
    positions: usize,
}

impl<'a, E: Environment> Protocol<'a, E> {
    /// Checks that the network's parameters fit the environment and the model.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the parameter.
    pub fn new(network: &'a Network, environment: &'a E, tokenizer: &'a Tokenizer, config: &Config) -> Result<Self> {
        let parameters = network.parameters();
        let refused = |field, problem| Err(Error::Parameter { field, problem });
        if parameters.environment != E::NAME {
            return refused("environment", format!("{:?}, this is {:?}", parameters.environment, E::NAME));
        }
        let Some(eos_text) = tokenizer.eos_token() else {
            return refused("eos_ids", "the model's tokenizer names no eos token, which every prompt holds".into());
        };
        let vocabulary = config.vocab_size;
        if let Some(id) = parameters.eos_ids.iter().find(|&&id| id as usize >= vocabulary) {
            return refused("eos_ids", format!("{id} is not below the model's vocabulary of {vocabulary}"));
        }
        let positions = config.max_position_embeddings;
        let asked = parameters.max_new_tokens as usize;
        if asked >= positions {
            return refused("max_new_tokens", format!("{asked} and a prompt; the model has {positions} positions"));
        }
        Ok(Self { network, environment, tokenizer, eos_text, hidden_size: config.hidden_size, positions })
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &'a Network {
        self.network
    }

    /// The environment.
    #[must_use]
    pub fn environment(&self) -> &'a E {
        self.environment
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &'a Tokenizer {
        self.tokenizer
    }

    /// How tokens are chosen.
    #[must_use]
    pub fn sampling(&self) -> Sampling {
        let p = self.network.parameters();
        Sampling {
            temperature: p.temperature,
            top_k: p.top_k,
            top_p: p.top_p,
            repetition_penalty: p.repetition_penalty,
        }
    }

    /// What a window file's reader needs to know.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let p = self.network.parameters();
        Limits {
            text_bytes: crate::window::MAX_TEXT_BYTES,
            inferences: p.max_groups as usize * p.rollouts_per_problem as usize,
            positions: self.positions,
            vocab_size: self.tokenizer.vocab_size() as u32,
        }
    }

    /// What a window assigns to a hotkey.
    #[must_use]
    pub fn assignment(&self, head: &WindowHead, account: AccountId) -> Assignment<'_, E> {
        let r_w = block_randomness(self.network.id(), head.block_number, &head.block_hash, &head.beacon_randomness);
        self.assignment_under(r_w, head.block_number, head.block_hash, account)
    }

    /// The same under a given R_w.
    #[must_use]
    pub fn assignment_under(
        &self,
        r_w: Hash,
        window_start: u64,
        block_hash: Hash,
        account: AccountId,
    ) -> Assignment<'_, E> {
        let offset = account_offset(&r_w, &account);
        Assignment { protocol: self, r_w, window_start, block_hash, account, offset }
    }
}

/// One hotkey's window.
#[derive(Debug)]
pub struct Assignment<'a, E: Environment> {
    protocol: &'a Protocol<'a, E>,
    r_w: Hash,
    window_start: u64,
    block_hash: Hash,
    account: AccountId,
    offset: u64,
}

/// One problem with everything that follows from its number.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem<P> {
    /// Its number.
    pub index: u64,
    /// Its seed text.
    pub seed_text: String,
    /// Its difficulty.
    pub difficulty: f64,
    /// The environment's problem.
    pub content: P,
    /// The environment's fields of it, as canonical JSON.
    pub statement: Vec<String>,
    /// The prompt.
    pub prompt: Vec<u32>,
}

/// What a completion is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The completion's text without special tokens.
    pub text: String,
    /// The environment's fields of the answer, as canonical JSON.
    pub answer: Vec<String>,
    /// The reward.
    pub reward: Reward,
    /// Steps as canonical JSON.
    pub trajectory: String,
}

impl<'a, E: Environment> Assignment<'a, E> {
    /// The network and its model.
    #[must_use]
    pub fn protocol(&self) -> &'a Protocol<'a, E> {
        self.protocol
    }

    /// R_w.
    #[must_use]
    pub fn r_w(&self) -> &Hash {
        &self.r_w
    }

    /// First block of the window.
    #[must_use]
    pub fn window_start(&self) -> u64 {
        self.window_start
    }

    /// The hotkey.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// Hash of the first block, as text.
    #[must_use]
    pub fn block_hash_text(&self) -> String {
        block_hash_text(&self.block_hash)
    }

    /// r, one integer per hidden coordinate.
    ///
    /// # Errors
    /// [`Error::Range`] for a model whose width the protocol does not allow.
    pub fn projection(&self) -> Result<Vec<i32>> {
        random_vector(&self.r_w, self.protocol.hidden_size)
    }

    /// Problem `index`.
    ///
    /// # Errors
    /// [`Error::Parameter`] when its prompt leaves no room for a completion; what the environment and the tokenizer
    /// refuse, which for a network's own parameters is nothing.
    pub fn problem(&self, index: u64) -> Result<Problem<E::Problem>> {
        let protocol = self.protocol;
        let seed_text = seed_text(&self.account, &self.r_w, index);
        let difficulty = difficulty(difficulty_position(self.offset, index));
        let content = protocol.environment.problem(&seed_text, difficulty)?;
        let text = protocol.environment.prompt(&content, protocol.eos_text);
        let prompt = protocol.tokenizer.encode(&text).map_err(|e| Error::range("prompt", e.to_string()))?;
        let (room, positions) = (protocol.network.parameters().max_new_tokens as usize, protocol.positions);
        if prompt.is_empty() || prompt.len() + room > positions {
            let length = prompt.len();
            let problem = format!("{room} after a prompt of {length} tokens; the model has {positions} positions");
            return Err(Error::Parameter { field: "max_new_tokens", problem });
        }
        let statement = texts(&protocol.environment.statement(&content));
        Ok(Problem { index, seed_text, difficulty, content, statement, prompt })
    }

    /// The seed of a rollout's sampling noise.
    #[must_use]
    pub fn seed(&self, index: u64, rollout: u32) -> Seed {
        Seed(sampling_seed(&self.r_w, &self.account, index, rollout))
    }

    /// Number of a rollout within its window.
    #[must_use]
    pub fn nonce(&self, index: u64, rollout: u32) -> u128 {
        nonce(index, self.protocol.network.parameters().rollouts_per_problem, rollout)
    }

    /// What a rollout's outer signature signs.
    #[must_use]
    pub fn challenge(&self, problem: &Problem<E::Problem>, rollout: u32) -> String {
        challenge(&problem.seed_text, &self.block_hash, self.nonce(problem.index, rollout))
    }

    /// The digest that a rollout's inner signature signs.
    #[must_use]
    pub fn binding(&self, problem: &Problem<E::Problem>, rollout: u32, commit: &Commit) -> Hash {
        let parameters = self.protocol.network.parameters();
        let completion = |list: &'_ [f32]| -> Range<usize> { problem.prompt.len().min(list.len())..list.len() };
        let (raw, sampling) = (&commit.rollout.raw_token_logprobs, &commit.rollout.token_logprobs);
        let binding = Binding {
            tokens: &commit.tokens,
            s_vals: &commit.s_vals,
            r_w: &self.r_w,
            model_name: &parameters.model_name,
            weights_digest: &parameters.weights_digest,
            network_id: self.protocol.network.id(),
            account: &self.account,
            window_start: self.window_start,
            index: problem.index,
            rollout,
            raw_logprobs: &raw[completion(raw)],
            sampling_logprobs: &sampling[completion(sampling)],
        };
        binding.digest()
    }

    /// Reads and rewards a completion.
    #[must_use]
    pub fn judge(&self, problem: &Problem<E::Problem>, completion: &[u32]) -> Judgement {
        let environment = self.protocol.environment;
        let text = self.protocol.tokenizer.decode(completion, true);
        let understood = environment.parse(&problem.content, &text);
        let reward = environment.reward(&problem.content, &understood);
        let answer = environment.answer(&problem.content, &understood);
        let action = answer.first().cloned().unwrap_or(Value::Null);
        let step = Value::List(vec![Value::Integer(0), action, Value::Real(reward.total)]);
        let trajectory = Value::List(vec![step]).to_text(Style::Canonical);
        Judgement { text, answer: texts(&answer), reward, trajectory }
    }
}

fn texts(values: &[Value]) -> Vec<String> {
    values.iter().map(|v| v.to_text(Style::Canonical)).collect()
}
