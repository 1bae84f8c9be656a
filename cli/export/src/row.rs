//! From a published rollout to a row of the data set, as the reference makes it (PROTOCOL 8.1).

use grail_protocol::encoding::sha256;
use grail_protocol::json::{Style, Value};

/// Of the rows' format.
const VERSION: &str = "v1.0.0";

/// The row of a rollout of a window, without `uploaded_at`, which is a clock's. Fields that are not there get the
/// reference's defaults.
///
/// # Errors
/// What is missing, in words: a rollout without hotkey or nonce has no id.
pub fn row(rollout: &Value, window: u64) -> Result<Value, String> {
    let at = |path: &[&str]| path.iter().try_fold(rollout, |value, key| member(value, key));
    let or = |path: &[&str], default: Value| at(path).cloned().unwrap_or(default);
    let text = |path: &[&str]| or(path, "".into());
    let integer = |path: &[&str], default: i128| or(path, Value::Integer(default));
    let real = |path: &[&str], default: f64| or(path, Value::Real(default));
    let truth = |path: &[&str]| or(path, Value::Bool(false));
    let json = |path: &[&str], default: &str| {
        Value::Text(at(path).map_or_else(|| default.to_owned(), |value| value.to_text(Style::Python)))
    };
    let count = |path: &[&str]| match at(path) {
        Some(Value::List(items)) => Value::Integer(items.len() as i128),
        _ => Value::Integer(0),
    };
    let problem = |key| ["commit", "sat_problem", key];
    let solution = |key| ["commit", "rollout", key];
    let members = [
        ("id", Value::Text(id(rollout, window)?)),
        ("version", VERSION.into()),
        ("window", Value::Integer(window.into())),
        ("timestamp", real(&["timestamp"], 0.0)),
        ("miner", text(&["hotkey"])),
        ("nonce", integer(&["nonce"], 0)),
        ("sat_seed", text(&problem("seed"))),
        ("sat_num_vars", integer(&problem("num_vars"), 0)),
        ("sat_num_clauses", count(&problem("clauses"))),
        ("sat_difficulty", real(&problem("difficulty"), 0.5)),
        ("sat_clauses", json(&problem("clauses"), "[]")),
        ("solution_success", truth(&solution("success"))),
        ("solution_assignment", json(&solution("assignment"), "[]")),
        ("solution_trajectory", json(&solution("trajectory"), "[]")),
        ("solution_satisfied_clauses", integer(&solution("satisfied_clauses"), 0)),
        ("solution_total_reward", real(&solution("total_reward"), 0.0)),
        ("grail_tokens", json(&["commit", "tokens"], "[]")),
        ("grail_s_vals", json(&["commit", "s_vals"], "[]")),
        ("grail_signature", text(&["commit", "signature"])),
        ("grail_beacon", json(&["commit", "beacon"], "{}")),
        ("grail_indices", json(&["proof", "indices"], "[]")),
        ("token_count", count(&["commit", "tokens"])),
        ("inference_count", integer(&["inference_count"], 1)),
    ];
    Ok(Value::Object(members.map(|(key, value)| (key.to_owned(), value)).into()))
}

pub(crate) fn member<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(members) => members.iter().find(|(k, _)| k == key).map(|(_, v)| v),
        _ => None,
    }
}

/// The first 16 digits of the hash of `{hotkey}_{window}_{nonce}`.
fn id(rollout: &Value, window: u64) -> Result<String, String> {
    match (member(rollout, "hotkey"), member(rollout, "nonce")) {
        (Some(Value::Text(hotkey)), Some(Value::Integer(nonce))) => {
            Ok(hex::encode(&sha256(format!("{hotkey}_{window}_{nonce}").as_bytes())[..8]))
        }
        other => Err(format!("no id of {other:?}")),
    }
}
