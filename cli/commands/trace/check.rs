//! Comparison of computed objects with a file's own results.

use std::io::Write;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::cases::{GENERATION_INPUTS, SEQUENCE_INPUTS};
use crate::commands::Outcome;

/// What was compared.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Values compared: numbers, digests, vectors.
    values: u64,
    /// Where the first difference is, and what stands there.
    first: Option<String>,
}

/// Says how a file's results compare with what was computed.
///
/// # Errors
/// A file that has no results to compare.
pub fn report(file: &Value, computed: &Value, out: &mut dyn Write) -> Result<Outcome> {
    let comparison = compare(file, computed);
    ensure!(comparison.values > 0, "no results to compare");
    write!(out, "{} values compared", comparison.values)?;
    match &comparison.first {
        None => writeln!(out, ", all equal")?,
        Some(difference) => writeln!(out, "\nfirst difference: {difference}")?,
    }
    Ok(if comparison.first.is_none() { Outcome::Done } else { Outcome::Rejected })
}

/// Compares the results of every case; inputs are the same by construction.
pub fn compare(file: &Value, computed: &Value) -> Comparison {
    let mut comparison = Comparison::default();
    for (list, inputs) in [("sequences", &SEQUENCE_INPUTS[..]), ("generations", &GENERATION_INPUTS[..])] {
        let (expected, found) = (items(&file[list]), items(&computed[list]));
        for (i, case) in expected.iter().enumerate() {
            let place = format!("{list}[{i}] {}", case["name"]);
            let found = found.get(i).unwrap_or(&Value::Null);
            let without = |v: &Value| match v {
                Value::Object(map) => map.iter().filter(|(k, _)| !inputs.contains(&k.as_str())).map(own).collect(),
                other => other.clone(),
            };
            comparison.walk(&place, Some(&without(case)), Some(&without(found)));
        }
    }
    comparison
}

fn own((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

impl Comparison {
    fn walk(&mut self, place: &str, expected: Option<&Value>, found: Option<&Value>) {
        match (expected, found) {
            (Some(Value::Object(e)), Some(Value::Object(f))) => {
                for (key, value) in e {
                    let place = format!("{place} {key}");
                    match key.as_str() {
                        "trace" => self.stages(&place, items(value), f.get(key).map_or(&[], items)),
                        _ => self.walk(&place, Some(value), f.get(key)),
                    }
                }
                for (key, value) in f.iter().filter(|(key, _)| !e.contains_key(*key)) {
                    self.walk(&format!("{place} {key}"), None, Some(value));
                }
            }
            (Some(Value::Array(e)), Some(Value::Array(f))) => {
                for i in 0..e.len().max(f.len()) {
                    self.walk(&format!("{place}[{i}]"), e.get(i), f.get(i));
                }
            }
            _ => self.value(place, expected, found),
        }
    }

    fn value(&mut self, place: &str, expected: Option<&Value>, found: Option<&Value>) {
        self.values += 1;
        if expected != found && self.first.is_none() {
            let text = |v: Option<&Value>| v.map_or("nothing".to_owned(), |v| clip(&v.to_string()));
            self.first = Some(format!("{place}: the file has {}, computed {}", text(expected), text(found)));
        }
    }

    /// Entries are matched by position, layer and stage.
    fn stages(&mut self, place: &str, expected: &[Value], found: &[Value]) {
        let key = |entry: &Value| [entry["pos"].clone(), entry["layer"].clone(), entry["stage"].clone()];
        let name = |[pos, layer, stage]: [Value; 3]| format!("{place} position {pos}, layer {layer}, stage {stage}");
        for entry in expected {
            let other = found.iter().find(|f| key(f) == key(entry));
            self.walk(&name(key(entry)), Some(entry), other);
        }
        for entry in found.iter().filter(|f| expected.iter().all(|e| key(e) != key(f))) {
            self.walk(&name(key(entry)), None, Some(entry));
        }
    }
}

/// Vectors are long; their start tells enough.
fn clip(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn file() -> Value {
        json!({
            "sequences": [{
                "name": "a", "tokens": [1, 2], "randomness": "00",
                "hidden_bits": {"0": "3f800000"}, "hidden_sha256": ["x", "y"], "sketches": [5, 6],
                "trace": [
                    {"pos": 0, "layer": 0, "stage": "gate", "first": "1", "sha256": "s"},
                    {"pos": 0, "layer": 0, "stage": "value", "first": "2", "sha256": "t"},
                ],
            }],
            "generations": [{
                "name": "g", "prompt": [1], "params": {}, "eos": [2], "max_new_tokens": 3, "seed": "0", "randomness": "1",
                "generated": [7, 2], "stop": "eos", "raw_logprob": ["80000000", "bf000000"],
            }],
        })
    }

    fn computed() -> Value {
        file()
    }

    #[test]
    fn equal_results_have_no_difference_and_each_is_counted() {
        // 1 + 2 + 2 of the sequence, 5 of each of its two stages, 2 + 1 + 2 of the generation.
        assert_eq!(compare(&file(), &computed()), Comparison { values: 20, first: None });
    }

    #[test]
    fn a_stage_that_only_one_side_has_is_a_difference() {
        let mut short = computed();
        short["sequences"][0]["trace"].as_array_mut().unwrap().remove(0);
        assert!(compare(&file(), &short).first.is_some_and(|place| place.contains("stage \"gate\"")));
        assert!(compare(&short, &file()).first.is_some_and(|place| place.contains("stage \"gate\"")));
    }

    #[test]
    fn any_altered_result_is_found_at_its_place() {
        for (pointer, value, place) in [
            ("/sequences/0/hidden_bits/0", json!("3f800001"), "sequences[0] \"a\" hidden_bits 0:"),
            ("/sequences/0/hidden_sha256/1", json!("z"), "sequences[0] \"a\" hidden_sha256[1]:"),
            ("/sequences/0/sketches", json!([5]), "sequences[0] \"a\" sketches[1]:"),
            (
                "/sequences/0/trace/1/first",
                json!("3"),
                "sequences[0] \"a\" trace position 0, layer 0, stage \"value\" first:",
            ),
            ("/sequences/0/trace/1/layer", json!(9), "sequences[0] \"a\" trace position 0, layer 9, stage \"value\":"),
            ("/generations/0/generated/0", json!(8), "generations[0] \"g\" generated[0]:"),
            ("/generations/0/stop", json!("length"), "generations[0] \"g\" stop:"),
            ("/generations/0/raw_logprob/0", json!("00000000"), "generations[0] \"g\" raw_logprob[0]:"),
        ] {
            let mut altered = file();
            *altered.pointer_mut(pointer).unwrap() = value;
            let first = compare(&altered, &computed()).first.unwrap_or_else(|| panic!("{pointer} not noticed"));
            assert!(first.starts_with(place), "{first}");
        }
    }

    #[test]
    fn a_result_that_only_one_side_has_is_a_difference() {
        for (from_file, at) in
            [(true, "/sequences/0"), (false, "/sequences/0"), (true, "/generations/0"), (false, "/generations/0")]
        {
            let (mut file, mut computed) = (file(), computed());
            let side = if from_file { &mut file } else { &mut computed };
            let name = if at.contains("seq") { "sketches" } else { "stop" };
            side.pointer_mut(at).unwrap().as_object_mut().unwrap().remove(name);
            assert!(compare(&file, &computed).first.is_some());
        }
        let mut short = computed();
        short["generations"] = json!([]);
        assert!(compare(&file(), &short).first.is_some());
    }

    #[test]
    fn a_file_without_results_passes_nothing() {
        let empty = json!({"sequences": [], "generations": []});
        assert!(report(&empty, &empty, &mut Vec::new()).is_err());
    }
}
