//! windows.json (PROTOCOL 6, 12): windows of 30 blocks, the miner's estimates of time, names of window files.

use std::path::Path;

use grail_protocol::params::{Network, Parameters};
use serde::Deserialize;

use super::super::protocol::support::{each, load, same, text};

const WINDOW_LENGTH: u64 = 30;
/// Weight of a new sample.
const ALPHA: f64 = 0.2;
/// Seconds of a block before any was seen.
const FIRST_BLOCK_TIME: f64 = 12.0;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
    timer_cases: Vec<Timer>,
    gen_ema_cases: Vec<Generation>,
    block_ema_cases: Vec<Blocks>,
    filename_cases: Vec<Name>,
}

#[derive(Deserialize)]
struct Case {
    block: u64,
    window_start: u64,
    validator_target_window: i64,
}

#[derive(Deserialize)]
struct Timer {
    block_time_ema_s: f64,
    gen_time_ema_s: Option<f64>,
    upload_time_ema_s: Option<f64>,
    safety_blocks: u32,
    blocks_needed: f64,
}

#[derive(Deserialize)]
struct Generation {
    samples: Vec<f64>,
    ema: Vec<f64>,
}

#[derive(Deserialize)]
struct Blocks {
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    now: f64,
    block: i64,
    ema: f64,
}

#[derive(Deserialize)]
struct Name {
    key: String,
    parsed: (Option<String>, Option<u64>),
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "windows.json")?;
    let network = Network::new(old_parameters()).map_err(text)?;
    let cases = each("cases", &file.cases, |case| {
        let start = network.window_start(case.block);
        same("window_start", start, case.window_start)?;
        let target = i64::try_from(start).map_err(text)? - WINDOW_LENGTH as i64;
        same("target", target, case.validator_target_window)
    })?;
    let timers =
        each("timer_cases", &file.timer_cases, |case| same("blocks", blocks_needed(case), case.blocks_needed))?;
    let generations = each("gen_ema_cases", &file.gen_ema_cases, |case| {
        let mut ema = None;
        let trace: Vec<f64> = case.samples.iter().map(|&sample| *ema.insert(averaged(ema, sample))).collect();
        same("trace", &trace, &case.ema)
    })?;
    let blocks = each("block_ema_cases", &file.block_ema_cases, run_blocks)?;
    let names = each("filename_cases", &file.filename_cases, |case| {
        let found =
            parse_name(&case.key).map_or((None, None), |(hotkey, start)| (Some(hotkey.to_owned()), Some(start)));
        same("parsed", &found, &case.parsed)
    })?;
    Ok(cases + timers + generations + blocks + names)
}

/// Only the length of a window counts here.
fn old_parameters() -> Parameters {
    Parameters {
        environment: "sat".into(),
        genesis_hash: [0; 32],
        netuid: 81,
        window_length: WINDOW_LENGTH,
        beacon_chain_hash: [0; 32],
        beacon_delay_ms: 0,
        model_name: "any".to_owned(),
        weights_digest: [0; 32],
        rollouts_per_problem: 4,
        max_new_tokens: 1024,
        eos_ids: vec![0],
        temperature: 0.7,
        top_k: 50,
        top_p: 0.95,
        repetition_penalty: 1.1,
        max_groups: 512,
    }
}

/// The first sample is taken as it is.
fn averaged(ema: Option<f64>, sample: f64) -> f64 {
    ema.map_or(sample, |ema| ALPHA * sample + (1.0 - ALPHA) * ema)
}

/// Blocks from now until a group is generated and uploaded.
fn blocks_needed(case: &Timer) -> f64 {
    let block = case.block_time_ema_s;
    let generation = case.gen_time_ema_s.unwrap_or(6.0 * block);
    let upload = case.upload_time_ema_s.unwrap_or(block);
    let seconds = generation + upload + f64::from(case.safety_blocks) * block;
    (seconds / block.max(0.001)).ceil().max(1.0)
}

/// A sample needs a later block and a later time than the event before, whatever that one gave.
fn run_blocks(case: &Blocks) -> Result<(), String> {
    let mut ema = FIRST_BLOCK_TIME;
    let mut last: Option<(f64, i64)> = None;
    each("events", &case.events, |event| {
        if let Some((now, block)) = last {
            let (elapsed, blocks) = (event.now - now, event.block - block);
            if elapsed > 0.0 && blocks > 0 {
                ema = averaged(Some(ema), elapsed / blocks as f64);
            }
        }
        last = Some((event.now, event.block));
        same("ema", ema, event.ema)
    })?;
    Ok(())
}

/// Hotkey and first block of a window file's key; whatever follows the number is ignored.
fn parse_name(key: &str) -> Option<(&str, u64)> {
    let name = key.rsplit('/').next()?;
    let name = name.strip_suffix(".json").unwrap_or(name);
    let mut parts = name.split('-');
    let (hotkey, word, start) = (parts.next()?, parts.next()?, parts.next()?);
    if word != "window" {
        return None;
    }
    Some((hotkey, start.parse().ok()?))
}
