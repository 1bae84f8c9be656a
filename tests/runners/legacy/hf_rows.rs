//! hf_rows.json (PROTOCOL 8.1): from a published rollout to a row of the data set.

use std::path::Path;

use grail_export::row;
use grail_protocol::json::{Style, Value};
use serde::Deserialize;

use super::super::protocol::support::{each, load, same};

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    rollout: Value,
    window: u64,
    row: Value,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "hf_rows.json")?;
    each("cases", &file.cases, |case| {
        // As text: integers stay apart from reals, and members in their order.
        let (found, expected) = (row(&case.rollout, case.window)?, &case.row);
        same("row", found.to_text(Style::Python), expected.to_text(Style::Python))
    })
}
