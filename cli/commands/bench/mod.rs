//! `grail bench`: speed of the engine on the cases by which other engines are measured, and how near it comes to what
//! the machine can read.

mod bandwidth;
mod cases;

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use grail_engine::Engine;
use grail_engine::checkpoint::synthetic;
use serde_json::json;

use super::model::packed_bytes;
use super::{Outcome, Usage};
use crate::flags::{Bench, ShapeName};
use crate::load;
use crate::terminal::{StatusLine, size};
use cases::Case;

/// Seed of the weights of `--make-model`.
const WEIGHTS_SEED: u64 = 1234;

pub fn run(flags: &Bench, out: &mut dyn Write) -> Result<Outcome> {
    if let Some([shape, dir]) = flags.make_model.as_deref() {
        let ShapeName(shape) = shape.parse().map_err(Usage)?;
        synthetic::write(&shape, WEIGHTS_SEED, Path::new(dir))?;
        writeln!(out, "{dir}")?;
        return Ok(Outcome::Done);
    }
    let (Some(model), Some(cases)) = (&flags.model, &flags.cases) else {
        return Err(Usage("MODEL, DTYPE and CASES are needed".into()).into());
    };
    let cases =
        cases.split(',').filter(|c| *c != "load_s").map(str::parse).collect::<Result<Vec<Case>, _>>().map_err(Usage)?;
    let mut options = flags.engine.options();
    options.max_batch = cases.iter().map(Case::batch).fold(options.max_batch, usize::max);
    let begun = Instant::now();
    let mut engine = load::engine(model, options)?;
    let load_s = begun.elapsed().as_secs_f64();
    cases::warm_up(&mut engine)?;
    if flags.json {
        let mut line = |test: &str, value: f64| -> Result<()> {
            writeln!(out, "{}", json!({ "test": test, "value": value }))?;
            Ok(out.flush()?)
        };
        line("load_s", load_s)?;
        for case in &cases {
            line(&case.to_string(), case.run(&mut engine).with_context(|| case.to_string())?)?;
        }
        return Ok(Outcome::Done);
    }
    table(&mut engine, model, &cases, flags.runs, load_s, out)
}

fn table(
    engine: &mut Engine,
    model: &str,
    cases: &[Case],
    runs: u32,
    load_s: f64,
    out: &mut dyn Write,
) -> Result<Outcome> {
    let read_bytes_per_s = bandwidth::measure(engine.threads());
    let pass_bytes = packed_bytes(engine.checkpoint());
    writeln!(
        out,
        "machine  {}; {}, {} threads, reads {}/s",
        processor(),
        engine.isa(),
        engine.threads(),
        size(read_bytes_per_s as u64)
    )?;
    writeln!(out, "model    {model}, {} read per pass, loaded in {load_s:.2} s", size(pass_bytes))?;
    writeln!(out, "runs     {runs}\n")?;
    writeln!(out, "{:<10} {:>10}  {:<21} of what reading the weights allows", "case", "tokens/s", "range")?;
    let mut line = StatusLine::stderr();
    for case in cases {
        let mut values = Vec::new();
        for run in 1..=runs {
            line.show(|| format!("{case}: run {run} of {runs}"));
            values.push(case.run(engine).with_context(|| case.to_string())?);
        }
        line.clear();
        ensure!(values.iter().all(|v| v.is_finite()), "{case}: too fast for this machine's clock");
        values.sort_by(f64::total_cmp);
        let range = format!("{:.1} to {:.1}", values[0], values[values.len() - 1]);
        let middle = median(&values);
        // A decoding pass reads every weight once, whatever the batch.
        let passes = |tokens_per_s: f64| tokens_per_s / case.batch() as f64;
        let share = match case {
            Case::Decode(_) => format!("{:.0} %", 100.0 * passes(middle) * pass_bytes as f64 / read_bytes_per_s),
            _ => "-".to_owned(),
        };
        writeln!(out, "{:<10} {middle:>10.1}  {range:<21} {share}", case.to_string())?;
        out.flush()?;
    }
    Ok(Outcome::Done)
}

/// Of ascending values; there is at least one.
fn median(values: &[f64]) -> f64 {
    let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    (low + high) / 2.0
}

/// The processor's name, where the system tells.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()));
    name.unwrap_or(std::env::consts::ARCH).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_two() {
        assert_eq!(median(&[1.0]), 1.0);
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
    }
}
