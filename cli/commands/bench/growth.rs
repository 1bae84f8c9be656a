//! `grail bench growth`: speed against batch, and the cost of a token against its context, each beside its limit.

use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result};
use grail_engine::Engine;
use grail_engine::kv::PAGE;

use super::cases::{Case, DECODE_PROMPT, NEW_TOKENS, Passes, ids, passes};
use super::limits::Work;
use super::machine::Machine;
use super::spread::Spread;
use super::{Outcome, head, loaded, plot, processor};
use crate::flags::Growth;
use crate::report;
use crate::terminal::StatusLine;

/// Decoding passes of a run after a context.
const RUN_PASSES: usize = 16;
/// Seed of a context's ids.
const CONTEXT_SEED: u32 = 11;

/// A measurement beside its limit, in the unit of its table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Sequences at once, or positions before.
    pub at: usize,
    /// What was measured.
    pub value: f64,
    /// What cannot be passed.
    pub limit: f64,
}

pub fn run(flags: &Growth, out: &mut dyn Write) -> Result<Outcome> {
    let mut options = flags.engine.options();
    options.max_batch = flags.batches.0.iter().copied().fold(options.max_batch, usize::max);
    let (mut engine, _) = loaded(&flags.model, options)?;
    let (machine, work) = head(&engine, &flags.model, out)?;
    writeln!(out, "runs     {}", flags.runs)?;
    let title = format!("{}, {}: {}", flags.model, processor(), engine.device());
    let mut bench = Bench { engine: &mut engine, machine, work, runs: flags.runs as usize, line: StatusLine::stderr() };
    let batches = bench.batches(&flags.batches.0, out)?;
    let contexts = bench.contexts(&flags.contexts.0, out)?;
    if let Some(path) = &flags.plot {
        report::write(path, &plot::svg(&title, &batches, &contexts)).with_context(|| path.display().to_string())?;
        writeln!(out, "\n{}", path.display())?;
    }
    Ok(Outcome::Done)
}

struct Bench<'a> {
    engine: &'a mut Engine,
    machine: Machine,
    work: Work,
    runs: usize,
    line: StatusLine,
}

impl Bench<'_> {
    /// Tokens a second of all sequences together.
    fn batches(&mut self, batches: &[usize], out: &mut dyn Write) -> Result<Vec<Point>> {
        writeln!(out, "\n{:>7} {:>10} {:>10}  {:<21} of limit", "batch", "tokens/s", "of each", "range")?;
        let mut points = Vec::new();
        for &at in batches {
            let case = Case::Decode(at);
            // A sequence forks its prompt's pages and writes its own.
            let own = (NEW_TOKENS + 1).next_multiple_of(PAGE);
            if let Some(problem) = self.lacks(DECODE_PROMPT + NEW_TOKENS + 1, DECODE_PROMPT + at * own) {
                writeln!(out, "{at:>7} {problem}")?;
                continue;
            }
            let mut values = Vec::new();
            for run in 1..=self.runs {
                self.line.show(|| format!("batch {at}: run {run} of {}", self.runs));
                values.push(case.run(self.engine)?);
            }
            self.line.clear();
            let (spread, limit) = (Spread::of(values)?, self.work.limit(&self.machine, case));
            let (value, range) = (spread.median, spread.range());
            let share = 100.0 * value / limit.tokens_per_s;
            let each = value / at as f64;
            writeln!(out, "{at:>7} {value:>10.1} {each:>10.1}  {range:<21} {share:>3.0} % ({})", limit.by)?;
            out.flush()?;
            points.push(Point { at, value, limit: limit.tokens_per_s });
        }
        Ok(points)
    }

    /// Milliseconds of a token at batch 1.
    fn contexts(&mut self, contexts: &[usize], out: &mut dyn Write) -> Result<Vec<Point>> {
        writeln!(
            out,
            "\n{:>7} {:>10} {:>10}  {:<21} {:>8} {:>8} {:>18}",
            "context", "tokens/s", "ms/token", "range", "at least", "ratio", "prefill tokens/s"
        )?;
        let mut points = Vec::new();
        for &at in contexts {
            let count = RUN_PASSES * self.runs;
            let positions = at + count + 1;
            if let Some(problem) = self.lacks(positions, positions) {
                writeln!(out, "{at:>7} {problem}")?;
                continue;
            }
            self.line.show(|| format!("context {at}"));
            let prompt = ids(self.engine, at, CONTEXT_SEED);
            let passes = passes(self.engine, prompt, 1, count)?;
            self.line.clear();
            let spread = Spread::of(run_ms(&passes))?;
            // Of the pass in the middle.
            let limit = 1000.0 * self.work.token_at(&self.machine, at as f64 + count as f64 / 2.0);
            let (value, range) = (spread.median, format!("{:.2} to {:.2}", spread.least, spread.greatest));
            let prefill = at as f64 / (passes.begun - passes.asked).as_secs_f64();
            let (speed, ratio) = (1000.0 / value, value / limit);
            writeln!(
                out,
                "{at:>7} {speed:>10.1} {value:>10.2}  {range:<21} {limit:>8.2} {ratio:>7.2}x {prefill:>18.0}"
            )?;
            out.flush()?;
            points.push(Point { at, value, limit });
        }
        Ok(points)
    }

    /// Why a sequence of so many positions does not fit the model, or so many positions together not the memory.
    fn lacks(&self, sequence: usize, together: usize) -> Option<String> {
        let most = self.engine.config().max_position_embeddings;
        if sequence > most {
            return Some(format!("left out: {sequence} positions, the model has {most}"));
        }
        let room = self.engine.cache_positions();
        (together.next_multiple_of(PAGE) + PAGE > room)
            .then(|| format!("left out: {together} positions, the memory has room for {room}"))
    }
}

/// Milliseconds a pass, run by run.
fn run_ms(passes: &Passes) -> Vec<f64> {
    let ends = passes.ends.chunks_exact(RUN_PASSES).map(|run| run[RUN_PASSES - 1]);
    let run = |begun: &mut Instant, end: Instant| {
        let seconds = (end - std::mem::replace(begun, end)).as_secs_f64();
        Some(1000.0 * seconds / RUN_PASSES as f64)
    };
    ends.scan(passes.begun, run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn runs_follow_each_other_without_a_gap() {
        let asked = Instant::now();
        let begun = asked + Duration::from_secs(1);
        let second = |i: u64| if i <= 16 { 2 * i } else { 32 + 4 * (i - 16) };
        let ends = (1..=40).map(|i| begun + Duration::from_millis(second(i))).collect();
        let ms = run_ms(&Passes { asked, begun, ends });
        assert_eq!(ms.len(), 2);
        assert!((ms[0] - 2.0).abs() < 1e-9 && (ms[1] - 4.0).abs() < 1e-9, "{ms:?}");
    }
}
