//! weights.json (PROTOCOL 11): the seed's scoring policy.

use std::collections::BTreeMap;
use std::path::Path;

use grail::scoring::{InferenceCount, SeedPolicy, Statistics, normalise, statistics};
use serde::Deserialize;

use super::super::protocol::support::{each, load, refused, same, text};
use super::close;

#[derive(Deserialize)]
struct File {
    constants: Constants,
    cases: Vec<Case>,
    burn_edge: Vec<BurnEdge>,
    stats_cases: Vec<StatsCase>,
}

#[derive(Deserialize)]
struct Constants {
    rolling_windows: usize,
    window_length: u64,
}

#[derive(Deserialize)]
struct Case {
    hotkeys: Vec<String>,
    uids: Vec<u16>,
    target_window: u64,
    burn_uid: i64,
    burn_percentage: f64,
    inference_counts: BTreeMap<String, BTreeMap<u64, Count>>,
    weights: Vec<f64>,
    non_zero: Vec<(String, f64)>,
    active_uids: Vec<u16>,
    aggregate: Vec<(u64, u64, u64, f64, f64)>,
    stats: Stats,
    top: Vec<(String, u16, f64)>,
}

#[derive(Deserialize)]
struct Count {
    estimated_valid: u64,
    successful: u64,
    unique: u64,
    had_failure: u64,
}

#[derive(Deserialize)]
struct Stats {
    min: f64,
    mean: f64,
    max: f64,
    gini: f64,
}

#[derive(Deserialize)]
struct BurnEdge {
    burn_uid: i64,
    burn_percentage: f64,
    result: BurnResult,
}

#[derive(Deserialize)]
struct BurnResult {
    error: Option<String>,
    ok: Option<Vec<f64>>,
}

#[derive(Deserialize)]
struct StatsCase {
    weights: Vec<f64>,
    stats: Stats,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "weights.json")?;
    same("windows", file.constants.rolling_windows, grail::scoring::ROLLING_WINDOWS)?;
    let length = file.constants.window_length;
    let cases = each("cases", &file.cases, |case| run_case(case, length))?;
    let edges = each("burn_edge", &file.burn_edge, |edge| {
        let policy = policy(length, edge.burn_uid, edge.burn_percentage);
        let result = policy.weights(&[0.0, 0.0], &[0, 1]);
        match (&edge.result.ok, &edge.result.error) {
            (Some(weights), None) => close("weights", &result.map_err(text)?, weights),
            (None, Some(_)) => refused("weights", result),
            _ => Err("neither weights nor an error".into()),
        }
    })?;
    let stats = each("stats_cases", &file.stats_cases, |case| check_stats(statistics(&case.weights), &case.stats))?;
    Ok(cases + edges + stats)
}

fn policy(window_length: u64, burn_uid: i64, burn_percentage: f64) -> SeedPolicy {
    SeedPolicy { window_length, burn_uid, burn_percentage }
}

fn run_case(case: &Case, window_length: u64) -> Result<(), String> {
    let policy = policy(window_length, case.burn_uid, case.burn_percentage);
    let oldest = case.target_window.saturating_sub(11 * window_length);
    let (mut scores, mut active) = (Vec::new(), Vec::new());
    for (hotkey, uid) in case.hotkeys.iter().zip(&case.uids) {
        let counts = counts(case.inference_counts.get(hotkey));
        if counts.range(oldest..=case.target_window).next().is_some() {
            active.push(*uid);
        }
        scores.push(policy.score(&counts, case.target_window));
    }
    same("active", &active, &case.active_uids)?;
    same("miners", scores.len(), case.aggregate.len())?;
    for (score, expected) in scores.iter().zip(&case.aggregate) {
        let sums = (score.unique, score.successful, score.estimated_valid);
        same("sums", sums, (expected.0, expected.1, expected.2))?;
        let powers = [score.base, score.superlinear];
        close("base and score", &powers, &[expected.3, expected.4])?;
    }
    let scores: Vec<f64> = scores.iter().map(|s| s.score).collect();
    let weights = policy.weights(&scores, &case.uids).map_err(text)?;
    close("weights", &weights, &case.weights)?;
    check_non_zero(case, &normalise(&scores), &weights)?;
    check_top(case, &weights)?;
    check_stats(statistics(&weights), &case.stats)
}

fn counts(windows: Option<&BTreeMap<u64, Count>>) -> BTreeMap<u64, InferenceCount> {
    let count = |c: &Count| InferenceCount {
        estimated_valid: c.estimated_valid,
        successful: c.successful,
        unique: c.unique,
        had_failure: c.had_failure != 0,
    };
    windows.into_iter().flatten().map(|(&window, c)| (window, count(c))).collect()
}

fn check_non_zero(case: &Case, before: &[f64], weights: &[f64]) -> Result<(), String> {
    let is_listed = |i: usize| before[i] > 0.0 || i64::from(case.uids[i]) == case.burn_uid;
    let mut found: Vec<(&str, f64)> = (0..weights.len())
        .filter(|&i| is_listed(i) && weights[i] > 0.0)
        .map(|i| (case.hotkeys[i].as_str(), weights[i]))
        .collect();
    found.sort_by(|a, b| a.0.cmp(b.0));
    let names: Vec<&str> = found.iter().map(|f| f.0).collect();
    let expected: Vec<&str> = case.non_zero.iter().map(|e| e.0.as_str()).collect();
    same("non-zero", names, expected)?;
    let amounts: Vec<f64> = found.iter().map(|f| f.1).collect();
    let expected: Vec<f64> = case.non_zero.iter().map(|e| e.1).collect();
    close("non-zero weights", &amounts, &expected)
}

fn check_top(case: &Case, weights: &[f64]) -> Result<(), String> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]));
    for (place, (hotkey, uid, weight)) in order.into_iter().zip(&case.top) {
        same("top", (&case.hotkeys[place], case.uids[place]), (hotkey, *uid))?;
        close("top weight", &[weights[place]], &[*weight])?;
    }
    Ok(())
}

fn check_stats(found: Statistics, expected: &Stats) -> Result<(), String> {
    close("stats", &[found.min, found.mean, found.max], &[expected.min, expected.mean, expected.max])?;
    // A difference of numbers near 1: absolute.
    let gini = (found.gini - expected.gini).abs();
    same("gini", gini < 1e-12, true)
}
