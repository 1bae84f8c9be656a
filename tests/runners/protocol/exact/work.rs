//! Randomness, problems, seeds, the choice of groups and the window root (DESIGN 4.2, 4.4, 4.5, 4.11, 4.12).

use grail_protocol::encoding::sha256;
use grail_protocol::groups::{checked_count, checked_groups};
use grail_protocol::problem;
use grail_protocol::randomness::{BeaconSchedule, block_randomness, random_vector, sampling_seed};
use grail_protocol::ss58;
use grail_protocol::window_root::WindowRoot;
use serde::Deserialize;

use super::super::support::{Hex, Hex32, same, text};

#[derive(Deserialize)]
pub struct BeaconRound {
    genesis_ms: u64,
    period_ms: u64,
    timestamp_ms: u64,
    beacon_delay_ms: u64,
    round: u64,
    round_time_ms: u64,
}

impl BeaconRound {
    pub fn run(&self) -> Result<(), String> {
        let schedule = BeaconSchedule::new(self.genesis_ms, self.period_ms).map_err(text)?;
        let round = schedule.round_of_block(self.timestamp_ms, self.beacon_delay_ms);
        same("round", round.map_err(text)?, self.round)?;
        same("time", schedule.time_of_round(self.round), Some(self.round_time_ms))
    }
}

#[derive(Deserialize)]
pub struct WindowRandomness {
    network_id: Hex32,
    window_start: u64,
    window_length: u64,
    block_hash: Hex32,
    beacon_randomness: Hex32,
    #[serde(rename = "R_w")]
    r_w: Hex32,
    end_block: u64,
    end_block_hash: Hex32,
    end_beacon_randomness: Hex32,
    #[serde(rename = "C_w")]
    c_w: Hex32,
}

impl WindowRandomness {
    pub fn run(&self) -> Result<(), String> {
        let of = |block, hash: &Hex32, beacon: &Hex32| block_randomness(&self.network_id.0, block, &hash.0, &beacon.0);
        let r_w = of(self.window_start, &self.block_hash, &self.beacon_randomness);
        same("R_w", r_w, self.r_w.0)?;
        same("end", self.window_start + self.window_length, self.end_block)?;
        let c_w = of(self.end_block, &self.end_block_hash, &self.end_beacon_randomness);
        same("C_w", c_w, self.c_w.0)
    }
}

#[derive(Deserialize)]
pub struct RVector {
    #[serde(rename = "R_w")]
    r_w: Hex32,
    hidden: usize,
    bytes_sha256: Hex32,
    first: Vec<i32>,
    last: Vec<i32>,
}

impl RVector {
    pub fn run(&self) -> Result<(), String> {
        let r = random_vector(&self.r_w.0, self.hidden).map_err(text)?;
        let shown = r.len().min(4);
        same("first", &r[..shown], &self.first)?;
        same("last", &r[r.len() - shown..], &self.last)?;
        let bytes: Vec<u8> = r.iter().flat_map(|x| x.to_be_bytes()).collect();
        same("hash", sha256(&bytes), self.bytes_sha256.0)
    }
}

#[derive(Deserialize)]
pub struct Problem {
    ss58: String,
    account_id: Hex32,
    #[serde(rename = "R_w")]
    r_w: Hex32,
    block_hash: Hex32,
    index: u64,
    i: u32,
    rollouts_per_problem: u32,
    seed_text: String,
    account_u64: String,
    position: u64,
    difficulty: f64,
    nonce: u128,
    challenge: String,
}

impl Problem {
    pub fn run(&self) -> Result<(), String> {
        let account = ss58::decode(&self.ss58).map_err(text)?;
        same("account", account, self.account_id.0)?;
        let seed = problem::seed_text(&account, &self.r_w.0, self.index);
        same("seed text", &seed, &self.seed_text)?;
        let offset = problem::account_offset(&self.r_w.0, &account);
        same("offset", &offset.to_string(), &self.account_u64)?;
        let position = problem::difficulty_position(offset, self.index);
        same("position", position, self.position)?;
        let difficulty = problem::difficulty(position);
        same("difficulty", difficulty.to_bits(), self.difficulty.to_bits())?;
        let nonce = problem::nonce(self.index, self.rollouts_per_problem, self.i);
        same("nonce", nonce, self.nonce)?;
        let challenge = problem::challenge(&seed, &self.block_hash.0, nonce);
        same("challenge", &challenge, &self.challenge)
    }
}

#[derive(Deserialize)]
pub struct Position {
    account_u64: String,
    index: u64,
    position: u64,
    difficulty: f64,
}

impl Position {
    pub fn run(&self) -> Result<(), String> {
        let offset = self.account_u64.parse().map_err(text)?;
        let position = problem::difficulty_position(offset, self.index);
        same("position", position, self.position)?;
        let difficulty = problem::difficulty(position);
        same("difficulty", difficulty.to_bits(), self.difficulty.to_bits())
    }
}

#[derive(Deserialize)]
pub struct SamplingSeed {
    #[serde(rename = "R_w")]
    r_w: Hex32,
    account_id: Hex32,
    index: u64,
    i: u32,
    seed: Hex32,
}

impl SamplingSeed {
    pub fn run(&self) -> Result<(), String> {
        let seed = sampling_seed(&self.r_w.0, &self.account_id.0, self.index, self.i);
        same("seed", seed, self.seed.0)
    }
}

#[derive(Deserialize)]
pub struct Groups {
    #[serde(rename = "C_w")]
    c_w: Hex32,
    account_id: Hex32,
    groups: usize,
    lowered_to: Option<usize>,
    g: usize,
    drawn: Vec<usize>,
    ascending: Vec<usize>,
}

impl Groups {
    pub fn run(&self) -> Result<(), String> {
        let drawn = checked_groups(&self.c_w.0, &self.account_id.0, self.groups, self.lowered_to);
        let mut drawn = drawn.map_err(text)?;
        same("g", drawn.len(), self.g)?;
        if self.lowered_to.is_none() {
            same("g by the rule", checked_count(self.groups), self.g)?;
        }
        same("drawn", &drawn, &self.drawn)?;
        drawn.sort_unstable();
        same("ascending", &drawn, &self.ascending)
    }
}

#[derive(Deserialize)]
pub struct Root {
    window_start: u64,
    stored_hex: Hex,
    raw48: Hex,
}

impl Root {
    pub fn run(&self) -> Result<(), String> {
        let root = WindowRoot::of_file(self.window_start, &self.stored_hex.0);
        same("root", &root.to_bytes()[..], &self.raw48.0[..])?;
        same("read back", WindowRoot::from_bytes(&self.raw48.0), Some(root))
    }
}
