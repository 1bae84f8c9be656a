//! chain_commitment.json (PROTOCOL 10): credentials for reading a bucket, and the 128 bytes that publish them.
//!
//! One difference is meant. A part that is too long for its place is refused, where the reference cuts it and publishes
//! what opens nothing; cut by hand, it gives the reference's bytes.

use std::path::Path;

use grail_store::{COMMITMENT_BYTES, Endpoint, ReadCredentials};
use serde::Deserialize;

use super::protocol::support::{Runner, each, load, refused, same, text};

/// Every file this module runs.
pub const RUNNERS: &[(&str, Runner)] = &[("chain_commitment.json", run)];

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    account_id: String,
    bucket_name: String,
    read_access_key_id: String,
    read_secret_access_key: String,
    commitment: String,
    length: usize,
    decoded: Decoded,
}

#[derive(Deserialize)]
struct Decoded {
    name: String,
    account_id: String,
    access_key_id: String,
    secret_access_key: String,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "chain_commitment.json")?;
    let cut = file.cases.iter().filter(|case| parts(case) != widths(case)).count();
    same("cases with and without a part that is too long", 0 < cut && cut < file.cases.len(), true)?;
    each("cases", &file.cases, run_case)
}

fn parts(case: &Case) -> [&str; 3] {
    [&case.account_id, &case.read_access_key_id, &case.read_secret_access_key]
}

/// The parts, each cut to its width.
fn widths(case: &Case) -> [&str; 3] {
    let [account, id, secret] = parts(case);
    let cut = |text: &str, width: usize| text.len().min(width);
    [&account[..cut(account, 32)], &id[..cut(id, 32)], &secret[..cut(secret, 64)]]
}

fn run_case(case: &Case) -> Result<(), String> {
    let [account, id, secret] = parts(case);
    let [account_cut, id_cut, secret_cut] = widths(case);
    if parts(case) != widths(case) {
        refused("a part that is too long", ReadCredentials::new(account, id, secret))?;
    }
    let ours = ReadCredentials::new(account_cut, id_cut, secret_cut).map_err(text)?;
    same("length", (case.length, case.commitment.len()), (COMMITMENT_BYTES, COMMITMENT_BYTES))?;
    same("commitment", ours.to_commitment().as_slice(), case.commitment.as_bytes())?;
    let read = ReadCredentials::from_commitment(case.commitment.as_bytes()).map_err(text)?;
    same("read back", &read, &ours)?;
    let bucket = read.bucket(&Endpoint::At("http://127.0.0.1:9000".to_owned())).map_err(text)?;
    same("name", (bucket.name.as_str(), read.account_id()), (&case.decoded.name, &case.decoded.account_id))?;
    same("bucket_name", &bucket.name, &case.bucket_name)?;
    same("access_key_id", &bucket.access_key_id, &case.decoded.access_key_id)?;
    same("secret_access_key", bucket.secret_access_key.expose(), case.decoded.secret_access_key.as_str())
}
