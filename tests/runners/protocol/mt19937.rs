//! mt19937.json (PROTOCOL 2.2). Every sequence starts from a fresh generator.

use std::path::Path;

use grail_protocol::mersenne::Mersenne;
use serde::Deserialize;

use super::support::{Hex, each, load, same, text};

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    seed: Seed,
    u32: Vec<u32>,
    getrandbits_1_to_16: Vec<u64>,
    random: Vec<f64>,
    randint: Randint,
    sample_range: Range,
    shuffle_range: Range,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Seed {
    BytesHex(Hex),
    Int(String),
}

#[derive(Deserialize)]
struct Randint {
    a: i64,
    b: i64,
    values: Vec<i64>,
}

#[derive(Deserialize)]
struct Range {
    n: usize,
    k: Option<usize>,
    values: Vec<usize>,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "mt19937.json")?;
    each("cases", &file.cases, run_case)
}

fn run_case(case: &Case) -> Result<(), String> {
    let fresh = match &case.seed {
        Seed::BytesHex(bytes) => Mersenne::from_bytes(&bytes.0),
        Seed::Int(decimal) => Mersenne::from_integer(decimal.parse().map_err(text)?),
    };
    let mut random = fresh.clone();
    let words: Vec<u32> = case.u32.iter().map(|_| random.u32()).collect();
    same("u32", &words, &case.u32)?;
    random = fresh.clone();
    let bits: Vec<u64> = (1..=16).map(|k| random.getrandbits(k)).collect();
    same("getrandbits", &bits, &case.getrandbits_1_to_16)?;
    random = fresh.clone();
    let reals: Vec<u64> = case.random.iter().map(|_| random.random().to_bits()).collect();
    let expected: Vec<u64> = case.random.iter().map(|x| x.to_bits()).collect();
    same("random", &reals, &expected)?;
    random = fresh.clone();
    for &expected in &case.randint.values {
        let drawn = random.randint(case.randint.a, case.randint.b).map_err(text)?;
        same("randint", drawn, expected)?;
    }
    let k = case.sample_range.k.ok_or("a sample without k")?;
    let sample = fresh.clone().sample(case.sample_range.n, k).map_err(text)?;
    same("sample", &sample, &case.sample_range.values)?;
    let mut items: Vec<usize> = (0..case.shuffle_range.n).collect();
    fresh.clone().shuffle(&mut items);
    same("shuffle", &items, &case.shuffle_range.values)
}
