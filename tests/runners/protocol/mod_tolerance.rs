//! mod_tolerance.json (PROTOCOL 3.3, 5.2).
//!
//! The original computes `min(diff, Q - diff)` without a range check, so that values far outside [0, Q)
//! are accepted (PROTOCOL 18.1). The file records that verdict; ours is: out of range is refused.

use std::path::Path;

use grail_protocol::sketch::{Closeness, PRIME_Q, TOLERANCE, compare, residue, s_val};
use serde::Deserialize;

use super::support::{each, load, same, text};

#[derive(Deserialize)]
struct File {
    trunc_mod_cases: Vec<TruncMod>,
    tolerance_cases: Vec<Tolerance>,
}

#[derive(Deserialize)]
struct TruncMod {
    dot: f64,
    sketch: u32,
}

#[derive(Deserialize)]
struct Tolerance {
    local: u32,
    committed: i128,
    diff: i128,
    mod_diff: i128,
    accepted: bool,
    out_of_range: bool,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "mod_tolerance.json")?;
    let dots = each("trunc_mod_cases", &file.trunc_mod_cases, |case| {
        same("sketch", residue(case.dot.trunc() as i128), case.sketch)
    })?;
    let distances = each("tolerance_cases", &file.tolerance_cases, run_tolerance)?;
    let defect = |c: &&Tolerance| c.out_of_range && c.accepted;
    if file.tolerance_cases.iter().filter(defect).count() == 0 {
        return Err("no case shows the original's defect".into());
    }
    Ok(dots + distances)
}

fn run_tolerance(case: &Tolerance) -> Result<(), String> {
    let q = i128::from(PRIME_Q);
    same("diff", (i128::from(case.local) - case.committed).abs(), case.diff)?;
    same("original mod_diff", case.diff.min(q - case.diff), case.mod_diff)?;
    same("original verdict", case.mod_diff <= i128::from(TOLERANCE), case.accepted)?;
    let committed = s_val(case.committed);
    same("out of range", committed.is_err(), case.out_of_range)?;
    let Ok(committed) = committed else {
        return Ok(());
    };
    let local = s_val(case.local.into()).map_err(text)?;
    let expected = match case.mod_diff {
        0 => Closeness::Exact,
        1..=3 => Closeness::Inexact,
        _ => Closeness::Different,
    };
    same("closeness", compare(local, committed), expected)
}
