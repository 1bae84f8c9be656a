//! network/ss58.json: format 42 with 32 bytes, and nothing else.

use std::path::Path;

use grail_protocol::ss58::{decode, encode};
use serde::Deserialize;

use super::support::{Hex32, each, load, refused, same, text};

#[derive(Deserialize)]
struct File {
    format: u8,
    valid: Vec<Valid>,
    invalid: Vec<Invalid>,
}

#[derive(Deserialize)]
struct Valid {
    public_key_hex: Hex32,
    address: String,
}

#[derive(Deserialize)]
struct Invalid {
    reason: String,
    address: String,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "network/ss58.json")?;
    same("format", file.format, 42)?;
    let valid = each("valid", &file.valid, |case| {
        same("address", &encode(&case.public_key_hex.0), &case.address)?;
        same("account", decode(&case.address).map_err(text)?, case.public_key_hex.0)
    })?;
    let invalid = each("invalid", &file.invalid, |case| refused(&case.reason, decode(&case.address)))?;
    Ok(valid + invalid)
}
