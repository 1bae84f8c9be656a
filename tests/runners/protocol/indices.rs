//! indices.json (PROTOCOL 3.6).

use std::path::Path;

use grail_protocol::encoding::randomness_bytes;
use grail_protocol::indices::open_indices;
use serde::Deserialize;

use super::support::{each, load, refused, same};

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
    errors: Vec<Failure>,
}

#[derive(Deserialize)]
struct Case {
    tokens: Vec<u32>,
    rand_hex: String,
    seq_len: i64,
    k: i64,
    indices: Vec<usize>,
}

#[derive(Deserialize)]
struct Failure {
    n_tokens: u32,
    rand_hex: String,
    seq_len: i64,
    k: i64,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "indices.json")?;
    let cases = each("cases", &file.cases, |case| {
        let found = open(&case.tokens, &case.rand_hex, case.seq_len, case.k)?;
        same("indices", &found, &case.indices)
    })?;
    let errors = each("errors", &file.errors, |failure| {
        let tokens: Vec<u32> = (0..failure.n_tokens).collect();
        let result = open(&tokens, &failure.rand_hex, failure.seq_len, failure.k);
        refused("indices", result)
    })?;
    Ok(cases + errors)
}

fn open(tokens: &[u32], rand_hex: &str, length: i64, k: i64) -> Result<Vec<usize>, String> {
    let challenge = randomness_bytes("challenge", rand_hex).map_err(|e| e.to_string())?;
    let size = |x: i64| usize::try_from(x).map_err(|e| e.to_string());
    open_indices(tokens, &challenge, size(length)?, size(k)?).map_err(|e| e.to_string())
}
