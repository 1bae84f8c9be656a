//! `grail doctor`: everything that mining or validating needs, looked at once, with what to do about each failure.
//!
//! The clients are those that `grail mine` uses, made of the same flags and variables. Nothing is started, registered
//! or put on chain. What depends on something that failed is not looked at, and says so.

mod bucket;
mod examine;
mod report;

use std::io::Write;

use anyhow::Result;
use serde_json::json;

use super::Outcome;
use super::subnet::runtime;
use crate::beacon::Clock;
use crate::flags::Doctor;
use crate::terminal::{Paint, printable};
pub use examine::examine;
pub use report::{CHECKS, Check, Report, Status};

pub fn run(flags: &Doctor, out: &mut dyn Write) -> Result<Outcome> {
    let report = runtime()?.block_on(examine(flags, &Clock::system()));
    if flags.json {
        writeln!(out, "{}", json!({"ok": report.is_whole(), "checks": report.checks()}))?;
    } else {
        table(&report, out)?;
    }
    Ok(if report.is_whole() { Outcome::Done } else { Outcome::Failed })
}

fn table(report: &Report, out: &mut dyn Write) -> Result<()> {
    let paint = Paint::stdout();
    for check in report.checks() {
        let status = format!("{:<8}", check.status.word());
        let status = match check.status {
            Status::Ok => paint.green(status),
            Status::Failed => paint.red(status),
            Status::Skipped => paint.yellow(status),
        };
        writeln!(out, "{status} {:<13} {}", check.check, printable(&check.found))?;
        if let Some(advice) = &check.advice {
            writeln!(out, "{:22} {}", "", paint.bold(format!("what to do: {advice}")))?;
        }
    }
    let failed = report.checks().iter().filter(|check| check.status == Status::Failed).count();
    match failed {
        0 => writeln!(out, "everything is whole")?,
        n => writeln!(out, "{n} of {} checks failed", CHECKS.len())?,
    }
    Ok(())
}
