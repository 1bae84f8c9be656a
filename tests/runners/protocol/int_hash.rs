//! int_hash.json (PROTOCOL 2).

use std::path::Path;

use grail_protocol::encoding::{hash_integers, hash_tokens, int_to_bytes};
use serde::Deserialize;

use super::support::{Hex, Hex32, each, load, same};

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    values: Vec<i128>,
    bytes_hex: Hex,
    sha256: Hex32,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "int_hash.json")?;
    each("cases", &file.cases, |case| {
        let bytes: Vec<u8> = case.values.iter().flat_map(|&v| int_to_bytes(v)).collect();
        same("bytes", &bytes, &case.bytes_hex.0)?;
        same("hash", hash_integers(case.values.iter().copied()), case.sha256.0)?;
        let tokens: Result<Vec<u32>, _> = case.values.iter().map(|&v| v.try_into()).collect();
        tokens.map_or(Ok(()), |t| same("tokens", hash_tokens(&t), case.sha256.0))
    })
}
