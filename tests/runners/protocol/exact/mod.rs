//! exact/protocol.json (DESIGN 4): everything but the contents of problems and the scores, which need the
//! program.

mod identity;
mod numbers;
mod work;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::support::{Hex32, each, load, same, text};

const NAME: &str = "exact/protocol.json";

#[derive(Deserialize)]
struct File {
    keys: Vec<Key>,
    network_id: Vec<identity::Network>,
    beacon_round: Vec<work::BeaconRound>,
    window_randomness: Vec<work::WindowRandomness>,
    r_vector: Vec<work::RVector>,
    weights_digest: Vec<identity::Weights>,
    problems: Vec<work::Problem>,
    difficulty_positions: Vec<work::Position>,
    difficulties: Vec<f64>,
    sampling_seeds: Vec<work::SamplingSeed>,
    binding: Vec<identity::Binding>,
    groups: Vec<work::Groups>,
    window_root: Vec<work::Root>,
    floats: Floats,
    integers: Vec<numbers::Integer>,
    counts: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct Key {
    ss58: String,
    account_id: Hex32,
}

#[derive(Deserialize)]
struct Floats {
    write: Vec<numbers::Write>,
    read: Vec<numbers::Read>,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, NAME)?;
    let mut total = 0;
    let mut count = |list: &str, ran: usize| {
        let stated = file.counts.get(list).copied();
        total += ran;
        same(list, Some(ran), stated)
    };
    let keys = each("keys", &file.keys, |key| {
        let account = grail_protocol::ss58::decode(&key.ss58).map_err(text)?;
        same("account", account, key.account_id.0)
    })?;
    count("keys", keys)?;
    count("network_id", each("network_id", &file.network_id, identity::Network::run)?)?;
    count("beacon_round", each("beacon_round", &file.beacon_round, work::BeaconRound::run)?)?;
    let randomness = each("window_randomness", &file.window_randomness, work::WindowRandomness::run)?;
    count("window_randomness", randomness)?;
    count("r_vector", each("r_vector", &file.r_vector, work::RVector::run)?)?;
    count("weights_digest", each("weights_digest", &file.weights_digest, identity::Weights::run)?)?;
    count("problems", each("problems", &file.problems, work::Problem::run)?)?;
    let positions = each("positions", &file.difficulty_positions, work::Position::run)?;
    count("difficulty_positions", positions)?;
    let mut position = 0;
    let difficulties = each("difficulties", &file.difficulties, |expected| {
        position += 1;
        let found = grail_protocol::problem::difficulty(position - 1);
        same("difficulty", found.to_bits(), expected.to_bits())
    })?;
    count("difficulties", difficulties)?;
    count("sampling_seeds", each("sampling_seeds", &file.sampling_seeds, work::SamplingSeed::run)?)?;
    count("binding", each("binding", &file.binding, identity::Binding::run)?)?;
    count("groups", each("groups", &file.groups, work::Groups::run)?)?;
    count("window_root", each("window_root", &file.window_root, work::Root::run)?)?;
    count("floats.write", each("floats.write", &file.floats.write, numbers::Write::run)?)?;
    count("floats.read", each("floats.read", &file.floats.read, numbers::Read::run)?)?;
    count("integers", each("integers", &file.integers, numbers::Integer::run)?)?;
    let elsewhere = file.counts.get("scoring_work").copied().unwrap_or(0);
    same("all lists", total + elsewhere, file.counts.values().sum())?;
    Ok(total)
}
