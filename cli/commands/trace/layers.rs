//! Every stage of one sequence as lines of text, in an order that does not depend on how the pass was cut.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Result;
use grail_engine::Engine;
use grail_engine::types::Stage;

use super::{bits, sha256_f32};
use crate::commands::Outcome;

/// Lines of a position that was not shown yet, by layer and stage.
type Pending = BTreeMap<usize, Vec<(i64, Stage, String)>>;

pub fn print(engine: &mut Engine, tokens: &[u32], projection: &[i32], out: &mut dyn Write) -> Result<Outcome> {
    let pending = RefCell::new(Pending::new());
    let mut written = Ok(());
    let mut probe = |layer: i64, stage: Stage, position: usize, values: &[f32]| {
        let line = line(position, layer, stage.name(), values);
        pending.borrow_mut().entry(position).or_default().push((layer, stage, line));
    };
    engine.trace(tokens, projection, Some(&mut probe), &mut |row| {
        let mut lines = pending.borrow_mut().remove(&row.position).unwrap_or_default();
        lines.sort_by_key(|&(layer, stage, _)| (layer, stage));
        let mut write = || -> std::io::Result<()> {
            lines.iter().try_for_each(|(_, _, line)| writeln!(out, "{line}"))?;
            let head = lines.last().map_or(0, |l| l.0);
            writeln!(out, "{}", line(row.position, head, "hidden", row.hidden))?;
            writeln!(out, "{}", line(row.position, head, "logits", row.logits))?;
            match row.sketch {
                Some(sketch) => writeln!(out, "{} {head} sketch {sketch}", row.position),
                None => Ok(()),
            }
        };
        if written.is_ok() {
            written = write();
        }
    })?;
    written?;
    Ok(Outcome::Done)
}

fn line(position: usize, layer: i64, name: &str, values: &[f32]) -> String {
    let first: Vec<String> = values.iter().take(4).map(|&x| bits(&[x])).collect();
    format!("{position} {layer} {name} {} {}", sha256_f32(values), first.join(" "))
}
