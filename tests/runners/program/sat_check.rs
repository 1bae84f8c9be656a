//! sat_check.json (PROTOCOL 4.1): whether an assignment solves an instance of sat.json.

use std::path::Path;

use serde::Deserialize;

use super::super::protocol::support::{each, load, same};
use super::sat::instances;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    sat_case: usize,
    assignment: Vec<bool>,
    solves: bool,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "sat_check.json")?;
    let instances = instances(dir)?;
    for solves in [true, false] {
        if !file.cases.iter().any(|c| c.solves == solves) {
            return Err(format!("no case with solves = {solves}"));
        }
    }
    each("cases", &file.cases, |case| {
        let instance = instances.get(case.sat_case).ok_or("no such instance")?;
        same("solves", instance.is_solved_by(&case.assignment), case.solves)
    })
}
