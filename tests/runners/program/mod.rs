//! Runners of the vectors of SAT, rewards, advantages and scoring.

pub mod advantages;
pub mod exact;
pub mod sat;
pub mod sat_check;
pub mod sat_rewards;
pub mod weights;
pub mod window;

use super::protocol::support::Runner;

/// Every file this module runs.
pub const RUNNERS: &[(&str, Runner)] = &[
    ("advantages.json", advantages::run),
    ("exact/protocol.json", exact::run),
    ("exact/window-sat-tiny.json", window::run),
    ("sat.json", sat::run),
    ("sat_check.json", sat_check::run),
    ("sat_rewards.json", sat_rewards::run),
    ("weights.json", weights::run),
];

/// An error unless both are within 1e-12 of each other, relative to the greater: powers differ between
/// libraries.
fn close(what: &str, found: &[f64], expected: &[f64]) -> Result<(), String> {
    let is_close = |a: f64, b: f64| (a - b).abs() <= 1e-12 * a.abs().max(b.abs());
    let all = found.len() == expected.len() && found.iter().zip(expected).all(|(&a, &b)| is_close(a, b));
    if all {
        return Ok(());
    }
    Err(format!("{what}: found {found:?}, expected {expected:?}"))
}
