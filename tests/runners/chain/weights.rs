//! network/weights.json: real weights to the chain's u16.
//!
//! Not run: `legacy_emit_*` and `legacy_process`, an older SDK whose functions give equal weights where the newer
//! one refuses, which nothing here does; `raw_u16`, integers passed as they are, which this client has no way to
//! send; `commit_hashes`, the untimed commitments that this client does not make.

use std::path::Path;

use grail_chain::{ConformedWeights, clip_to_max_weight, conform, normalise};
use serde::Deserialize;

use super::super::protocol::support::{each, load, same, text};

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
    clip_to_max_weight: Vec<Clip>,
}

#[derive(Deserialize)]
struct Case {
    note: String,
    uids: Vec<i64>,
    weights: Vec<Real>,
    normalize: Expected,
    conform: Vec<Conform>,
}

#[derive(Deserialize)]
struct Conform {
    min_allowed_weights: u16,
    max_weight_limit: u16,
    own_uid: u16,
    result: Expected,
}

#[derive(Deserialize)]
struct Clip {
    weights: Vec<Real>,
    limit: f64,
    result: Clipped,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expected {
    Sent { uids: Vec<u16>, values: Vec<u16> },
    Refused { error: String },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Clipped {
    Weights(Vec<f64>),
    Refused { error: String },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Real {
    Number(f64),
    Named(String),
}

impl Real {
    fn value(&self) -> Result<f64, String> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Named(name) => name.parse().map_err(|_| format!("{name} is no number")),
        }
    }
}

fn values(weights: &[Real]) -> Result<Vec<f64>, String> {
    weights.iter().map(Real::value).collect()
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "network/weights.json")?;
    let cases = each("cases", &file.cases, |case| run_case(case).map_err(|e| format!("{}: {e}", case.note)))?;
    let clips = each("clip_to_max_weight", &file.clip_to_max_weight, run_clip)?;
    Ok(cases + clips)
}

fn run_case(case: &Case) -> Result<(), String> {
    let weights = values(&case.weights)?;
    // A uid outside u16 cannot even be passed.
    let uids: Result<Vec<u16>, String> = case.uids.iter().map(|u| u16::try_from(*u).map_err(text)).collect();
    let normalised = uids.clone().and_then(|uids| normalise(&uids, &weights).map_err(text));
    expected("normalize", normalised, &case.normalize)?;
    let conformed = each("conform", &case.conform, |c| {
        let sent = uids.clone().and_then(|uids| {
            conform(&uids, &weights, c.own_uid, c.min_allowed_weights, c.max_weight_limit).map_err(text)
        });
        expected("result", sent, &c.result)
    });
    conformed.map(|_| ())
}

fn expected(what: &str, found: Result<ConformedWeights, String>, expected: &Expected) -> Result<(), String> {
    match (found, expected) {
        (Ok(found), Expected::Sent { uids, values }) => same(what, (&found.uids, &found.values), (uids, values)),
        (Err(_), Expected::Refused { .. }) => Ok(()),
        (Ok(found), Expected::Refused { error }) => Err(format!("{what}: {found:?} instead of {error}")),
        (Err(error), Expected::Sent { .. }) => Err(format!("{what}: {error} instead of weights")),
    }
}

fn run_clip(clip: &Clip) -> Result<(), String> {
    match (clip_to_max_weight(&values(&clip.weights)?, clip.limit), &clip.result) {
        (Ok(found), Clipped::Weights(expected)) => {
            same("length", found.len(), expected.len())?;
            let far = found.iter().zip(expected).position(|(f, e)| (f - e).abs() > 1e-12);
            far.map_or(Ok(()), |i| Err(format!("result[{i}]: found {}, expected {}", found[i], expected[i])))
        }
        (Err(_), Clipped::Refused { .. }) => Ok(()),
        (found, Clipped::Refused { error }) => Err(format!("{found:?} instead of {error}")),
        (Err(error), Clipped::Weights(_)) => Err(format!("{error} instead of weights")),
    }
}
