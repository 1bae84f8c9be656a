//! prf.json (PROTOCOL 2.1).

use std::path::Path;

use grail_protocol::encoding::sha256;
use grail_protocol::prf::prf;
use serde::Deserialize;

use super::support::{Hex, Hex32, each, load, refused, same, text};

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
    errors: Vec<Failure>,
}

#[derive(Deserialize)]
struct Case {
    label_hex: Hex,
    parts_hex: Vec<Hex>,
    out_bytes: usize,
    out_hex: Option<Hex>,
    out_first64_hex: Option<Hex>,
    out_last64_hex: Option<Hex>,
    sha256_of_out: Hex32,
}

#[derive(Deserialize)]
struct Failure {
    out_bytes: i64,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "prf.json")?;
    let cases = each("cases", &file.cases, run_case)?;
    let errors = each("errors", &file.errors, |failure| {
        // A negative length is refused by its type.
        match usize::try_from(failure.out_bytes) {
            Ok(bytes) => refused("output", prf(b"sketch", &[], bytes)),
            Err(_) => Ok(()),
        }
    })?;
    Ok(cases + errors)
}

fn run_case(case: &Case) -> Result<(), String> {
    let parts: Vec<&[u8]> = case.parts_hex.iter().map(|p| p.0.as_slice()).collect();
    let out = prf(&case.label_hex.0, &parts, case.out_bytes).map_err(text)?;
    same("digest", sha256(&out), case.sha256_of_out.0)?;
    match (&case.out_hex, &case.out_first64_hex, &case.out_last64_hex) {
        (Some(all), _, _) => same("output", &out, &all.0),
        (None, Some(first), Some(last)) => {
            same("first bytes", &out[..64], &first.0)?;
            same("last bytes", &out[out.len() - 64..], &last.0)
        }
        _ => Err("a case without output".into()),
    }
}
