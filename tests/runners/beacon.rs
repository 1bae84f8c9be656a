//! network/drand.json (PROTOCOL 9): genuine and forged rounds of two public chains, rounds at a time and their times.

use std::collections::BTreeMap;
use std::path::Path;

use grail::beacon::{ChainInfo, ChainParts, signature_from_text, verify};
use grail_protocol::randomness::BeaconSchedule;
use serde::Deserialize;

use super::protocol::support::{Hex, Hex32, Runner, each, load, same};

/// Every file this module runs.
pub const RUNNERS: &[(&str, Runner)] = &[("network/drand.json", run)];

#[derive(Deserialize)]
struct File {
    chains: BTreeMap<String, Chain>,
    cases: Vec<Case>,
    round_at_time: Vec<AtTime>,
    time_of_round: Vec<OfRound>,
}

#[derive(Deserialize)]
struct Chain {
    hash: Hex32,
    genesis_time: u64,
    period: u32,
    public_key: Hex,
    scheme: String,
    group_hash: Hex32,
}

#[derive(Deserialize)]
struct Case {
    chain: String,
    kind: String,
    public_key: Hex,
    round: u64,
    previous_signature: Option<Hex>,
    signature: String,
    signature_valid: bool,
    expected_randomness: Option<Hex32>,
    claimed_randomness: Hex32,
    accept: bool,
}

#[derive(Deserialize)]
struct AtTime {
    chain: String,
    unix_ms: u64,
    round: Option<u64>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct OfRound {
    chain: String,
    round: u64,
    unix_s: u64,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "network/drand.json")?;
    for (name, chain) in &file.chains {
        check_chain(name, chain).map_err(|e| format!("{name}: {e}"))?;
    }
    let cases = each("cases", &file.cases, |case| run_case(case).map_err(|e| format!("{}: {e}", case.kind)))?;
    let at_time = each("round_at_time", &file.round_at_time, |case| {
        same("an error and a round", case.error.is_none(), case.round.is_some())?;
        same("round", schedule(&case.chain)?.round_at_time(case.unix_ms), case.round)
    })?;
    let of_round = each("time_of_round", &file.time_of_round, |case| {
        let time = schedule(&case.chain)?.time_of_round(case.round);
        same("time", time, Some(case.unix_s * 1000))?;
        same("round at its time", schedule(&case.chain)?.round_at_time(case.unix_s * 1000), Some(case.round))
    })?;
    Ok(file.chains.len() + cases + at_time + of_round)
}

/// Ours: the file describes the same.
fn built_in(name: &str) -> Result<ChainInfo, String> {
    match name {
        "quicknet" => Ok(ChainInfo::quicknet()),
        "default" => Ok(ChainInfo::default_chain()),
        other => Err(format!("chain {other} is unknown")),
    }
}

fn schedule(name: &str) -> Result<BeaconSchedule, String> {
    built_in(name).map(|chain| chain.schedule())
}

fn check_chain(name: &str, chain: &Chain) -> Result<(), String> {
    let ours = built_in(name)?;
    let parts = ours.parts();
    same("hash", ours.hash(), &chain.hash.0)?;
    same("genesis_time", parts.genesis_time, chain.genesis_time)?;
    same("period", parts.period, chain.period)?;
    same("public_key", &parts.public_key, &chain.public_key.0)?;
    same("scheme", parts.scheme.name(), chain.scheme.as_str())?;
    same("group_hash", parts.group_hash, chain.group_hash.0)
}

fn run_case(case: &Case) -> Result<(), String> {
    let parts = ChainParts { public_key: case.public_key.0.clone(), ..built_in(&case.chain)?.parts().clone() };
    let verified = ChainInfo::new(parts).map_err(|e| e.to_string()).and_then(|chain| {
        let signature = signature_from_text(&case.signature).map_err(|e| e.to_string())?;
        let previous = case.previous_signature.as_ref().map(|p| p.0.as_slice());
        verify(&chain, case.round, &signature, previous).map_err(|e| e.to_string())
    });
    let found = verified.as_ref().ok();
    let accepted = found.is_some_and(|randomness| *randomness == case.claimed_randomness.0);
    same("accepted", accepted, case.accept).map_err(|e| format!("{e}; {verified:?}"))?;
    same("verified", found.is_some(), case.signature_valid).map_err(|e| format!("{e}; {verified:?}"))?;
    same("randomness", found.copied(), case.expected_randomness.map(|r| r.0))
}
