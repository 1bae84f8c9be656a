//! Network id, model identity and binding (DESIGN 4.1, 4.3, 4.8).

use grail_protocol::digest::{ModelFields, TensorDigest, weights_digest};
use grail_protocol::encoding::sha256;
use grail_protocol::params::{self, Parameters};
use grail_protocol::{NUMERICS, binding, signature, ss58};
use serde::Deserialize;

use super::super::support::{Bits, Hex, Hex32, same, text};

#[derive(Deserialize)]
pub struct Network {
    parameters: Fields,
    canonical: String,
    network_id: Hex32,
}

#[derive(Deserialize)]
struct Fields {
    genesis_hash: Hex32,
    netuid: u16,
    window_length: u64,
    beacon_chain_hash: Hex32,
    beacon_delay_ms: u64,
    model_name: String,
    weights_digest: Hex32,
    numerics: String,
    environment: String,
    rollouts_per_problem: u32,
    max_new_tokens: u32,
    eos_ids: Vec<u32>,
    temperature: String,
    top_k: u32,
    top_p: String,
    repetition_penalty: String,
    max_groups: u32,
}

impl Network {
    pub fn run(&self) -> Result<(), String> {
        let fields = &self.parameters;
        same("numerics", fields.numerics.as_str(), NUMERICS)?;
        let network = params::Network::new(Parameters {
            genesis_hash: fields.genesis_hash.0,
            netuid: fields.netuid,
            window_length: fields.window_length,
            beacon_chain_hash: fields.beacon_chain_hash.0,
            beacon_delay_ms: fields.beacon_delay_ms,
            model_name: fields.model_name.clone(),
            weights_digest: fields.weights_digest.0,
            rollouts_per_problem: fields.rollouts_per_problem,
            max_new_tokens: fields.max_new_tokens,
            environment: fields.environment.clone(),
            eos_ids: fields.eos_ids.clone(),
            temperature: fields.temperature.parse().map_err(text)?,
            top_k: fields.top_k,
            top_p: fields.top_p.parse().map_err(text)?,
            repetition_penalty: fields.repetition_penalty.parse().map_err(text)?,
            max_groups: fields.max_groups,
        })
        .map_err(text)?;
        same("canonical", &network.parameters().canonical(), &self.canonical)?;
        same("network_id", *network.id(), self.network_id.0)
    }
}

#[derive(Deserialize)]
pub struct Weights {
    tensors: Vec<Tensor>,
    config: Config,
    config_canonical: String,
    tokenizer_sha256: Hex32,
    weights_digest: Hex32,
}

#[derive(Deserialize)]
struct Tensor {
    name: String,
    dtype: String,
    shape: Vec<u64>,
    sha256: Hex32,
    bytes_hex: Option<Hex>,
}

#[derive(Deserialize)]
struct Config {
    head_dim: u64,
    hidden_size: u64,
    intermediate_size: u64,
    max_position_embeddings: u64,
    num_attention_heads: u64,
    num_hidden_layers: u64,
    num_key_value_heads: u64,
    rms_norm_eps: f64,
    rope_theta: f64,
    tie_word_embeddings: bool,
    vocab_size: u64,
}

impl Weights {
    pub fn run(&self) -> Result<(), String> {
        let config = &self.config;
        let fields = ModelFields {
            head_dim: config.head_dim,
            hidden_size: config.hidden_size,
            intermediate_size: config.intermediate_size,
            max_position_embeddings: config.max_position_embeddings,
            num_attention_heads: config.num_attention_heads,
            num_hidden_layers: config.num_hidden_layers,
            num_key_value_heads: config.num_key_value_heads,
            rms_norm_eps: config.rms_norm_eps,
            rope_theta: config.rope_theta,
            tie_word_embeddings: config.tie_word_embeddings,
            vocab_size: config.vocab_size,
        };
        same("config", &fields.canonical(), &self.config_canonical)?;
        let mut tensors = Vec::new();
        for tensor in &self.tensors {
            if let Some(bytes) = &tensor.bytes_hex {
                same("bytes", sha256(&bytes.0), tensor.sha256.0)?;
            }
            tensors.push(TensorDigest {
                name: tensor.name.clone(),
                dtype: tensor.dtype.clone(),
                shape: tensor.shape.clone(),
                sha256: tensor.sha256.0,
            });
        }
        // The order of the list must not count.
        tensors.reverse();
        let digest = weights_digest(tensors, &fields, &self.tokenizer_sha256.0).map_err(text)?;
        same("weights_digest", digest, self.weights_digest.0)
    }
}

#[derive(Deserialize)]
pub struct Binding {
    tokens: Vec<u32>,
    prompt_length: usize,
    s_vals: Vec<u32>,
    #[serde(rename = "R_w")]
    r_w: Hex32,
    model_name: String,
    weights_digest: Hex32,
    network_id: Hex32,
    ss58: String,
    account_id: Hex32,
    window_start: u64,
    index: u64,
    i: u32,
    raw_logprob_bits: Vec<Bits>,
    sampling_logprob_bits: Vec<Bits>,
    binding: Hex32,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    kind: String,
    signature: Hex,
    valid: bool,
}

impl Binding {
    pub fn run(&self) -> Result<(), String> {
        let account = ss58::decode(&self.ss58).map_err(text)?;
        same("account", account, self.account_id.0)?;
        let completion = self.tokens.len() - self.prompt_length;
        same("log-probabilities", self.raw_logprob_bits.len(), completion)?;
        let reals = |bits: &[Bits]| -> Vec<f32> { bits.iter().map(|b| f32::from_bits(b.0)).collect() };
        let digest = binding::Binding {
            tokens: &self.tokens,
            s_vals: &self.s_vals,
            r_w: &self.r_w.0,
            model_name: &self.model_name,
            weights_digest: &self.weights_digest.0,
            network_id: &self.network_id.0,
            account: &account,
            window_start: self.window_start,
            index: self.index,
            rollout: self.i,
            raw_logprobs: &reals(&self.raw_logprob_bits),
            sampling_logprobs: &reals(&self.sampling_logprob_bits),
        }
        .digest();
        same("binding", digest, self.binding.0)?;
        for case in &self.signatures {
            let verifies = signature::verify(&account, &digest, &case.signature.0);
            same(&case.kind, verifies, case.valid)?;
        }
        Ok(())
    }
}
