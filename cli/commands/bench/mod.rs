//! `grail bench`: speed of the engine on the cases by which other engines are measured, and how near it comes to what
//! the machine can do; how speed grows; what a miner's and a validator's work costs; and the kernels of a GPU, one by one.

mod cases;
mod growth;
mod kernels;
mod limits;
mod machine;
mod plot;
mod rollouts;
mod spread;

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use grail_engine::checkpoint::synthetic;
use grail_engine::{Engine, EngineOptions};
use serde_json::json;

use super::{Outcome, Usage};
use crate::flags::{Bench, BenchCommand, ShapeName};
use crate::identity::{self, cache::Cache};
use crate::load;
use crate::terminal::{StatusLine, size};
use cases::Case;
use limits::{Limit, Work};
use machine::Machine;
use spread::Spread;

/// Seed of the weights of `--make-model`.
const WEIGHTS_SEED: u64 = 1234;

const LEGEND: &str = "\
of limit: ppN by the multiply-adds of the matrices outside the head; tgB by the greater of reading all weights once a step
and of a step's multiply-adds; groupB by both, one after the other. Attention is not in any limit.";

pub fn run(flags: &Bench, out: &mut dyn Write) -> Result<Outcome> {
    match &flags.command {
        Some(BenchCommand::Growth(growth)) => return growth::run(growth, out),
        Some(BenchCommand::Rollouts(rollouts)) => return rollouts::run(rollouts, out),
        Some(BenchCommand::Kernels(kernels)) => return kernels::run(kernels, out),
        None => {}
    }
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
    if flags.json {
        return lines(model, options, &cases, out);
    }
    table(model, options, &cases, flags.runs, out)
}

/// One line a result, for harnesses.
fn lines(model: &str, options: EngineOptions, cases: &[Case], out: &mut dyn Write) -> Result<Outcome> {
    let (mut engine, load_s) = loaded(model, options)?;
    line(out, "load_s", load_s)?;
    for case in cases {
        line(out, &case.to_string(), case.run(&mut engine).with_context(|| case.to_string())?)?;
    }
    Ok(Outcome::Done)
}

fn line(out: &mut dyn Write, test: &str, value: f64) -> Result<()> {
    writeln!(out, "{}", json!({ "test": test, "value": value }))?;
    Ok(out.flush()?)
}

fn table(model: &str, options: EngineOptions, cases: &[Case], runs: u32, out: &mut dyn Write) -> Result<Outcome> {
    let digest = digest_times(model)?;
    let (mut engine, load_s) = loaded(model, options)?;
    let (machine, work) = head(&engine, model, out)?;
    writeln!(out, "load     {load_s:.2} s to open, quantize and pack; weights digest {digest}")?;
    writeln!(out, "runs     {runs}\n")?;
    writeln!(out, "{:<10} {:>10}  {:<21} of limit", "case", "tokens/s", "range")?;
    let mut line = StatusLine::stderr();
    for (i, case) in cases.iter().enumerate() {
        let mut values = Vec::new();
        for run in 1..=runs {
            line.show(|| format!("{case} (case {} of {}): run {run} of {runs}", i + 1, cases.len()));
            values.push(case.run(&mut engine).with_context(|| case.to_string())?);
        }
        line.clear();
        let spread = Spread::of(values).with_context(|| case.to_string())?;
        writeln!(out, "{}", row(*case, &spread, &work.limit(&machine, *case)))?;
        out.flush()?;
    }
    writeln!(out, "\n{LEGEND}")?;
    Ok(Outcome::Done)
}

fn row(case: Case, speed: &Spread, limit: &Limit) -> String {
    let share = 100.0 * speed.median / limit.tokens_per_s;
    let (case, range) = (case.to_string(), speed.range());
    format!("{case:<10} {:>10.1}  {range:<21} {share:>3.0} % ({}: {:.0})", speed.median, limit.by, limit.tokens_per_s)
}

/// An engine that has touched its buffers once, and the seconds of opening, quantizing and packing.
fn loaded(model: &str, options: EngineOptions) -> Result<(Engine, f64)> {
    let begun = Instant::now();
    let mut engine = load::engine(model, options)?;
    let load_s = begun.elapsed().as_secs_f64();
    cases::warm_up(&mut engine)?;
    Ok((engine, load_s))
}

/// What is measured, and the limits of the machine at this moment.
fn head(engine: &Engine, model: &str, out: &mut dyn Write) -> Result<(Machine, Work)> {
    let (isa, threads) =
        engine.cpu().context("the limits that these cases are held against are a CPU's: --device cpu")?;
    let machine = Machine::measure(isa, threads).context("measuring the machine's limits")?;
    let work = Work::of(engine.checkpoint())?;
    writeln!(
        out,
        "machine  {}; {}: reads {}/s, {:.0} G multiply-adds/s (i16)",
        processor(),
        engine.device(),
        size(machine.read_bytes_per_s as u64),
        machine.macs_per_s / 1e9
    )?;
    writeln!(
        out,
        "model    {model}: {} read per pass, {:.1} M multiply-adds a token and {:.1} M in its head",
        size(work.pass_bytes as u64),
        work.body_macs / 1e6,
        work.head_macs / 1e6
    )?;
    Ok((machine, work))
}

/// Seconds of the weights digest, computed and remembered. Leaves the files in the system's cache.
fn digest_times(model: &str) -> Result<String> {
    let (opened, cache) = (load::open(model)?, Cache::of_user());
    let timed = |rehash: bool| -> Result<(bool, f64)> {
        let begun = Instant::now();
        let found = identity::find(&opened, cache.as_ref(), rehash)?;
        Ok((found.is_remembered, begun.elapsed().as_secs_f64()))
    };
    let (_, computed_s) = timed(true)?;
    Ok(match timed(false)? {
        (true, remembered_s) => format!("{computed_s:.2} s, {remembered_s:.3} s where it is remembered"),
        (false, _) => format!("{computed_s:.2} s, not remembered"),
    })
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
    fn a_row_says_speed_range_share_and_limit() {
        let speed = Spread::of(vec![50.0, 52.04, 49.0]).unwrap();
        let limit = Limit { tokens_per_s: 70.0, by: "read" };
        let expected = "tg1              50.0  49.0 to 52.0           71 % (read: 70)";
        assert_eq!(row(Case::Decode(1), &speed, &limit), expected);
    }
}
