//! From a published rollout to a row of the data set, as the reference makes it (PROTOCOL 8.1).

use grail_protocol::encoding::sha256;
use grail_protocol::json::{Style, Value};

/// Of the rows' format.
const VERSION: &str = "v1.0.0";

/// The row of a rollout of a window, without `uploaded_at`, which is a clock's. Fields that are not there get the
/// reference's defaults.
///
/// # Errors
/// The field in words: a rollout without hotkey or nonce has no id.
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
    let told = |key: &str, expected: &str, found: Option<&Value>| {
        let found = found.map_or_else(|| "nothing".to_owned(), |value| value.to_text(Style::Canonical));
        format!("{key}: expected {expected}, found {found}")
    };
    let hotkey = match member(rollout, "hotkey") {
        Some(Value::Text(hotkey)) => hotkey,
        other => return Err(told("hotkey", "a text", other)),
    };
    let nonce = match member(rollout, "nonce") {
        Some(Value::Integer(nonce)) => nonce,
        other => return Err(told("nonce", "an integer", other)),
    };
    Ok(hex::encode(&sha256(format!("{hotkey}_{window}_{nonce}").as_bytes())[..8]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_without_hotkey_or_nonce_has_no_row() {
        let told = |text: &str| row(&Value::read("rollout", text).unwrap(), 30).unwrap_err();
        assert_eq!(told(r#"{"nonce": 1}"#), "hotkey: expected a text, found nothing");
        assert_eq!(told(r#"{"hotkey": "5F", "nonce": "1"}"#), "nonce: expected an integer, found \"1\"");
        assert!(row(&Value::read("rollout", r#"{"hotkey": "5F", "nonce": 1}"#).unwrap(), 30).is_ok());
    }
}
