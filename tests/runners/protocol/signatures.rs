//! signatures.json (PROTOCOL 3.4, 3.5, 4.7).
//!
//! Binding version 1 lives here only: the program makes and takes version 2. The original also accepts
//! signatures over `<Bytes>`-wrapped messages, and challenges it never derives; both are refused by us.

use std::path::Path;

use grail_protocol::encoding::{hash_integers, int_to_bytes, normalised_hex, sha256};
use grail_protocol::{signature, ss58};
use serde::Deserialize;

use super::support::{Hex, Hex32, each, load, same, text};

#[derive(Deserialize)]
struct File {
    keys: Vec<Key>,
    commit_binding_cases: Vec<CommitBinding>,
    rollout_signature_cases: Vec<RolloutSignature>,
    s_vals_sign_bytes: Vec<Serialised>,
}

#[derive(Deserialize)]
struct Key {
    ss58: String,
    public_key_hex: Hex32,
}

#[derive(Deserialize)]
struct CommitBinding {
    tokens: Vec<i128>,
    randomness_hex: String,
    model_name: String,
    layer_index: i32,
    s_vals: Vec<i128>,
    binding_sha256: Hex32,
    signer_ss58: String,
    signature_hex: Hex,
    valid: bool,
}

#[derive(Deserialize)]
struct RolloutSignature {
    sat_seed: String,
    block_hash: String,
    nonce: u64,
    challenge: String,
    hotkey: String,
    signature: Hex,
    note: Option<String>,
    valid: bool,
}

#[derive(Deserialize)]
struct Serialised {
    s_vals: Vec<i128>,
    bytes_hex: Hex,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "signatures.json")?;
    let keys =
        each("keys", &file.keys, |key| same("account", ss58::decode(&key.ss58).map_err(text)?, key.public_key_hex.0))?;
    let commits = each("commit_binding_cases", &file.commit_binding_cases, |case| {
        let binding = binding_v1(case)?;
        same("binding", binding, case.binding_sha256.0)?;
        let account = ss58::decode(&case.signer_ss58).map_err(text)?;
        let valid = signature::verify(&account, &binding, &case.signature_hex.0);
        same("signature", valid, case.valid)
    })?;
    let rollouts = each("rollout_signature_cases", &file.rollout_signature_cases, run_rollout)?;
    let lists = each("s_vals_sign_bytes", &file.s_vals_sign_bytes, |case| {
        let bytes: Vec<u8> = case.s_vals.iter().flat_map(|&s| int_to_bytes(s)).collect();
        same("bytes", &bytes, &case.bytes_hex.0)
    })?;
    Ok(keys + commits + rollouts + lists)
}

fn binding_v1(case: &CommitBinding) -> Result<[u8; 32], String> {
    let randomness = normalised_hex("randomness", &case.randomness_hex).map_err(text)?;
    let fields: [&[u8]; 5] = [
        &hash_integers(case.tokens.iter().copied()),
        &randomness,
        case.model_name.as_bytes(),
        &case.layer_index.to_be_bytes(),
        &hash_integers(case.s_vals.iter().copied()),
    ];
    let mut preimage = b"grail-commit-v1".to_vec();
    for field in fields {
        preimage.extend_from_slice(&(field.len() as u32).to_be_bytes());
        preimage.extend_from_slice(field);
    }
    Ok(sha256(&preimage))
}

fn run_rollout(case: &RolloutSignature) -> Result<(), String> {
    let account = ss58::decode(&case.hotkey).map_err(text)?;
    let verifies = |message: &str| signature::verify(&account, message.as_bytes(), &case.signature.0);
    let wrapped = case.note.as_deref().is_some_and(|note| note.contains("<Bytes>"));
    same("over the given challenge", verifies(&case.challenge), case.valid && !wrapped)?;
    if wrapped {
        let message = format!("<Bytes>{}</Bytes>", case.challenge);
        same("over the wrapped challenge", verifies(&message), case.valid)?;
    }
    // An entry counts only with the derived challenge, so every altered one fails here.
    let derived = format!("{}{}{}", case.sat_seed, case.block_hash, case.nonce);
    let counts = case.challenge == derived && verifies(&derived);
    same("by our rule", counts, case.note.is_none())
}
