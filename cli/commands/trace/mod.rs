//! `grail trace`: what the model computes, for comparing machines, builds and implementations.

mod cases;
mod check;
mod layers;

use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use grail_engine::EngineOptions;
use grail_protocol::randomness::random_vector;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Outcome, Usage};
use crate::flags::Trace;
use crate::load;

/// The largest file of vectors that is read.
const FILE_LIMIT_BYTES: u64 = 256 << 20;

pub fn run(flags: &Trace, out: &mut dyn Write) -> Result<Outcome> {
    let mut options = flags.engine.options();
    options.step_rows = flags.step_rows.map_or(EngineOptions::default().step_rows, usize::from);
    if let Some(path) = &flags.cases {
        let file = read(path)?;
        let cases = cases::Cases::parse(&file).with_context(|| path.display().to_string())?;
        options.max_batch = flags.batch as usize;
        let mut engine = load::engine(&flags.model.model, options)?;
        let computed = cases.compute(&mut engine, flags.batch as usize)?;
        if flags.check {
            return check::report(&file, &computed, out).with_context(|| path.display().to_string());
        }
        writeln!(out, "{computed:#}")?;
        return Ok(Outcome::Done);
    }
    let checkpoint = load::checkpoint(&flags.model.model)?;
    let tokens = match (&flags.tokens, &flags.text) {
        (Some(list), _) => list.0.clone(),
        (None, Some(text)) => load::tokenizer(&checkpoint)?.encode(text)?,
        (None, None) => return Err(Usage("--layers needs --tokens or --text".into()).into()),
    };
    let projection = match &flags.randomness {
        Some(randomness) => random_vector(&randomness.0, checkpoint.config().hidden_size)?,
        None => Vec::new(),
    };
    let mut engine = load::on_device(checkpoint, options)?;
    layers::print(&mut engine, &tokens, &projection, out)
}

fn read(path: &Path) -> Result<Value> {
    let name = || path.display().to_string();
    let file = std::fs::File::open(path).with_context(name)?;
    let mut text = String::new();
    file.take(FILE_LIMIT_BYTES + 1).read_to_string(&mut text).with_context(name)?;
    ensure!(text.len() as u64 <= FILE_LIMIT_BYTES, "{}: larger than {FILE_LIMIT_BYTES} bytes", name());
    serde_json::from_str(&text).with_context(name)
}

/// Bits of values, 8 hex digits each, without separators.
fn bits(values: &[f32]) -> String {
    values.iter().map(|x| format!("{:08x}", x.to_bits())).collect()
}

/// SHA-256 of values as little-endian bytes.
fn sha256_f32(values: &[f32]) -> String {
    let mut hasher = Sha256::new();
    values.iter().for_each(|x| hasher.update(x.to_le_bytes()));
    hex::encode(hasher.finalize())
}
