//! randomness.json (PROTOCOL 6, 9): how block hash and beacon were mixed, rounds at a time, the table of chains.

use std::collections::BTreeMap;
use std::path::Path;

use grail::beacon::ChainInfo;
use grail_protocol::encoding::sha256;
use serde::Deserialize;

use super::super::protocol::support::{each, load, same};

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
    round_at_time: Vec<AtTime>,
    round_at_time_v2_client: Vec<AtTimeV2>,
    chains_seed: BTreeMap<String, Chain>,
}

#[derive(Deserialize)]
struct Case {
    block_hash: String,
    /// None: fetching it failed.
    drand_randomness: Option<String>,
    use_drand: bool,
    miner_combined: String,
    validator_window_rand: String,
}

#[derive(Deserialize)]
struct AtTime {
    chain: String,
    timestamp: i64,
    round: i64,
}

#[derive(Deserialize)]
struct AtTimeV2 {
    chain: String,
    genesis_time: i64,
    period: i64,
    timestamp: i64,
    round: i64,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Chain {
    hash: String,
    genesis_time: i64,
    period: i64,
    description: String,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "randomness.json")?;
    let cases = each("cases", &file.cases, |case| {
        let drand = case.drand_randomness.as_deref().filter(|_| case.use_drand);
        same("miner", &miner_randomness(&case.block_hash, drand), &case.miner_combined)?;
        same("validator", &validator_randomness(&case.block_hash, drand), &case.validator_window_rand)
    })?;
    let shipped = shipped_chains();
    same("chains", &file.chains_seed, &shipped)?;
    check_known_defect(&shipped["quicknet"])?;
    let at_time = each("round_at_time", &file.round_at_time, |case| {
        let chain = shipped.get(&case.chain).ok_or("an unknown chain")?;
        same("round", round_at_time(chain.genesis_time, chain.period, case.timestamp), case.round)
    })?;
    let at_time_v2 = each("round_at_time_v2_client", &file.round_at_time_v2_client, run_v2)?;
    Ok(cases + shipped.len() + at_time + at_time_v2)
}

fn mixed(block_hash: &str, drand: &str) -> String {
    hex::encode(sha256(format!("{block_hash}{drand}").as_bytes()))
}

fn miner_randomness(block_hash: &str, drand: Option<&str>) -> String {
    drand.map_or_else(|| block_hash.to_owned(), |drand| mixed(block_hash, drand))
}

/// Without a beacon the validator hashes what the miner takes as it is: they never agree then.
fn validator_randomness(block_hash: &str, drand: Option<&str>) -> String {
    mixed(block_hash, drand.unwrap_or(""))
}

/// Not clamped: rounds before genesis are 0 and below.
fn round_at_time(genesis_time: i64, period: i64, timestamp: i64) -> i64 {
    (timestamp - genesis_time).div_euclid(period) + 1
}

fn run_v2(case: &AtTimeV2) -> Result<(), String> {
    let chain = match case.chain.as_str() {
        "quicknet" => ChainInfo::quicknet(),
        "default" => ChainInfo::default_chain(),
        other => return Err(format!("chain {other} is unknown")),
    };
    let (genesis_time, period) = (chain.parts().genesis_time, chain.parts().period);
    same("genesis_time", i64::try_from(genesis_time), Ok(case.genesis_time))?;
    same("period", i64::from(period), case.period)?;
    let found = round_at_time(case.genesis_time, case.period, case.timestamp).max(0);
    same("round", found, case.round)?;
    // Ours is the same, with none for 0.
    let unix_ms = u64::try_from(case.timestamp).map_err(|e| e.to_string())? * 1000;
    let ours = chain.schedule().round_at_time(unix_ms).unwrap_or(0);
    same("our round", i64::try_from(ours), Ok(case.round))
}

fn shipped_chains() -> BTreeMap<String, Chain> {
    let chain = |hash: &str, genesis_time, period, description: &str| Chain {
        hash: hash.to_owned(),
        genesis_time,
        period,
        description: description.to_owned(),
    };
    let quicknet = "8990e7a9aaed2ffed73dbd7092123d6f289930540d7651336225dc172e51b2ce";
    let mainnet = "84b2234fb34e835dccd048255d7ad3194b81af7d978c3bf157e3469592ae4e02";
    BTreeMap::from([
        ("quicknet".to_owned(), chain(quicknet, 1_692_803_367, 3, "Fast 3-second randomness (recommended)")),
        ("mainnet".to_owned(), chain(mainnet, 1_595_431_050, 30, "Original 30-second chain")),
    ])
}

/// Known defect: the shipped `quicknet` has quicknet's times but the hash of the 30-second default chain.
fn check_known_defect(shipped: &Chain) -> Result<(), String> {
    let (quicknet, default) = (ChainInfo::quicknet(), ChainInfo::default_chain());
    same("hash of the shipped quicknet", &shipped.hash, &hex::encode(default.hash()))?;
    same("the shipped hash is quicknet's", shipped.hash == hex::encode(quicknet.hash()), false)?;
    same("genesis_time", i64::try_from(quicknet.parts().genesis_time), Ok(shipped.genesis_time))?;
    same("period", i64::from(quicknet.parts().period), shipped.period)
}
