//! The columns: those of PROTOCOL 8.1 in its order, then what proves a rollout.

/// What a column holds. No value is ever missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// A 64-bit integer.
    Integer,
    /// A double.
    Real,
    /// true or false.
    Bool,
}

/// A column, and where an entry of a window file has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Keys from the entry to the value; empty for what the row of PROTOCOL 8.1 or the file has.
    pub path: &'static [&'static str],
}

const fn of(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, path: &[] }
}

const fn at(name: &'static str, kind: Kind, path: &'static [&'static str]) -> Column {
    Column { name, kind, path }
}

/// All columns in their order.
#[must_use]
pub fn columns() -> &'static [Column] {
    use Kind::{Bool, Integer, Real, Text};
    const COLUMNS: &[Column] = &[
        of("id", Text),
        of("version", Text),
        of("window", Integer),
        of("timestamp", Real),
        of("uploaded_at", Text),
        of("miner", Text),
        of("nonce", Integer),
        of("sat_seed", Text),
        of("sat_num_vars", Integer),
        of("sat_num_clauses", Integer),
        of("sat_difficulty", Real),
        of("sat_clauses", Text),
        of("solution_success", Bool),
        of("solution_assignment", Text),
        of("solution_trajectory", Text),
        of("solution_satisfied_clauses", Integer),
        of("solution_total_reward", Real),
        of("grail_tokens", Text),
        of("grail_s_vals", Text),
        of("grail_signature", Text),
        of("grail_beacon", Text),
        of("grail_indices", Text),
        of("token_count", Integer),
        of("inference_count", Integer),
        of("proof_version", Text),
        of("network_id", Text),
        of("window_length", Integer),
        of("block_timestamp_ms", Integer),
        of("beacon_round", Integer),
        of("beacon_signature", Text),
        at("block_hash", Text, &["block_hash"]),
        at("randomness", Text, &["randomness"]),
        at("challenge", Text, &["challenge"]),
        at("challenge_signature", Text, &["signature"]),
        at("rollout_group", Integer, &["rollout_group"]),
        at("rollout_index", Integer, &["rollout_index"]),
        at("total_in_group", Integer, &["total_in_group"]),
        at("model_name", Text, &["commit", "model", "name"]),
        at("weights_digest", Text, &["commit", "model", "weights_digest"]),
        at("numerics", Text, &["commit", "model", "numerics"]),
        at("prompt_length", Integer, &["commit", "rollout", "prompt_length"]),
        at("completion_length", Integer, &["commit", "rollout", "completion_length"]),
        at("advantage", Real, &["commit", "rollout", "advantage"]),
        at("token_logprobs", Text, &["commit", "rollout", "token_logprobs"]),
        at("raw_token_logprobs", Text, &["commit", "rollout", "raw_token_logprobs"]),
    ];
    COLUMNS
}
