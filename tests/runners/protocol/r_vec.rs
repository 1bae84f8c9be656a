//! r_vec.json (PROTOCOL 3.1).

use std::path::Path;

use grail_protocol::encoding::{randomness_bytes, sha256};
use grail_protocol::randomness::random_vector;
use serde::Deserialize;

use super::support::{Hex32, each, load, same};

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
    errors: Vec<Failure>,
}

#[derive(Deserialize)]
struct Case {
    rand_hex: String,
    d_model: i64,
    sha256_i32be: Hex32,
    r_vec: Option<Vec<i32>>,
    first16: Option<Vec<i32>>,
    last16: Option<Vec<i32>>,
}

#[derive(Deserialize)]
struct Failure {
    rand_hex: String,
    d_model: i64,
    error: Option<String>,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "r_vec.json")?;
    let cases = each("cases", &file.cases, run_case)?;
    let errors = each("errors", &file.errors, |failure| {
        let result = vector(&failure.rand_hex, failure.d_model);
        same("refused", result.is_err(), failure.error.is_some())
    })?;
    Ok(cases + errors)
}

fn vector(rand_hex: &str, d_model: i64) -> Result<Vec<i32>, String> {
    let randomness = randomness_bytes("randomness", rand_hex).map_err(|e| e.to_string())?;
    let hidden = usize::try_from(d_model).map_err(|e| e.to_string())?;
    random_vector(&randomness, hidden).map_err(|e| e.to_string())
}

fn run_case(case: &Case) -> Result<(), String> {
    let r = vector(&case.rand_hex, case.d_model)?;
    let bytes: Vec<u8> = r.iter().flat_map(|x| x.to_be_bytes()).collect();
    same("hash", sha256(&bytes), case.sha256_i32be.0)?;
    match (&case.r_vec, &case.first16, &case.last16) {
        (Some(all), _, _) => same("vector", &r, all),
        (None, Some(first), Some(last)) => {
            same("first", &r[..16], first)?;
            same("last", &r[r.len() - 16..], last)
        }
        _ => Err("a case without a vector".into()),
    }
}
