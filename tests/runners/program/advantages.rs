//! advantages.json (PROTOCOL 4.6), to the bit.

use std::path::Path;

use grail::advantages::advantages;
use serde::Deserialize;

use super::super::protocol::support::{each, load, same};

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    rewards: Vec<f64>,
    advantages: Vec<f64>,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "advantages.json")?;
    let bits = |values: &[f64]| -> Vec<u64> { values.iter().map(|x| x.to_bits()).collect() };
    each("cases", &file.cases, |case| same("advantages", bits(&advantages(&case.rewards)), bits(&case.advantages)))
}
