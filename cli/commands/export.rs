//! `grail export`: window files that hold, to the bit, as Parquet.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use grail_engine::{Engine, EngineOptions};
use grail_export::{Source, table, utc};
use grail_protocol::assignment::Protocol;
use grail_protocol::verify::{Claimed, Extent, Outcome as VerdictOutcome, Selection, Verdict, Verifier};
use grail_protocol::window::Schema;
use serde_json::{Value, json};

use super::rollouts::{create, watch};
use super::verify::judged;
use super::{Outcome, Usage};
use crate::flags::Export;
use crate::load;
use crate::network::NetworkFile;
use crate::offline::{Setting, open};
use crate::sat::Sat;
use crate::terminal::printable;

pub fn run(flags: &Export, out: &mut dyn Write) -> Result<Outcome> {
    ensure!(flags.out.is_dir(), Usage(format!("--out: {} is no folder", flags.out.display())));
    let Setting { checkpoint, tokenizer, network } = Setting::open(&flags.network)?;
    let protocol = Protocol::new(network.network(), &Sat, &tokenizer, checkpoint.config())?;
    let options = EngineOptions { max_batch: flags.batch as usize, ..flags.engine.options() };
    let mut engine = load::on_device(checkpoint, options).context("the model")?;
    let exporter = Exporter {
        verifier: Verifier::new(&protocol),
        network: &network,
        folder: &flags.out,
        now: utc(SystemTime::now()),
    };
    let mut outcome = Outcome::Done;
    for file in &flags.files {
        let exported = exporter.export(file, &mut engine)?;
        if exported.verdict.outcome != VerdictOutcome::Valid {
            outcome = Outcome::Rejected;
        }
        match flags.json {
            true => writeln!(out, "{}", exported.json(file))?,
            false => writeln!(out, "{}", exported.line(file))?,
        }
    }
    Ok(outcome)
}

struct Exporter<'a> {
    verifier: Verifier<'a, Sat>,
    network: &'a NetworkFile,
    folder: &'a Path,
    now: String,
}

/// What came of a file.
struct Exported {
    verdict: Verdict,
    /// The Parquet file and its rows; none unless the verdict is valid.
    written: Option<(PathBuf, usize)>,
}

impl Exporter<'_> {
    /// Verifies every rollout of a file by the model, and writes them only if all hold.
    fn export(&self, path: &Path, engine: &mut Engine) -> Result<Exported> {
        let opened = open(path, &Schema::of::<Sat>(), &self.verifier.protocol().limits())?;
        let (file, head, account) = match judged(&opened, self.network, None) {
            Ok(judged) => judged,
            Err(reason) => return Ok(Exported { verdict: Verdict::refused(reason), written: None }),
        };
        // Before the model's work. The address was decoded, so it is no path.
        let name = format!("train-window-{}-{}.parquet", head.block_number, file.wallet);
        let target = self.folder.join(name);
        ensure!(
            !target.try_exists().with_context(|| target.display().to_string())?,
            "{}: {} exists already, and is not replaced",
            path.display(),
            target.display()
        );
        let claimed = Claimed { file, head: &head, account: &account };
        let mut scorer =
            |request: &grail_engine::types::ScoreRequest<'_>| engine.score(request, &mut *watch("verifying"));
        let verdict = self.verifier.verify(claimed, Selection::All, Extent::Deciding, &mut scorer);
        let verdict = verdict.with_context(|| path.display().to_string())?;
        if verdict.outcome != VerdictOutcome::Valid {
            return Ok(Exported { verdict, written: None });
        }
        let source = Source { file, window: head.block_number, uploaded_at: &self.now };
        let bytes = table::<Sat>(source).with_context(|| path.display().to_string())?;
        create(&target, &bytes)?;
        Ok(Exported { verdict, written: Some((target, file.inferences.len())) })
    }
}

impl Exported {
    fn line(&self, file: &Path) -> String {
        match (&self.written, &self.verdict.reason) {
            (Some((target, rows)), _) => format!("{}: {rows} rollouts in {}", file.display(), target.display()),
            (None, Some(reason)) => {
                let said = printable(&reason.to_string());
                format!("{}: {}: {said}; nothing is exported", file.display(), self.verdict.outcome.name())
            }
            (None, None) => format!("{}: {}; nothing is exported", file.display(), self.verdict.outcome.name()),
        }
    }

    fn json(&self, file: &Path) -> Value {
        json!({
            "file": file,
            "outcome": self.verdict.outcome.name(),
            "reason": self.verdict.reason.as_ref().map(ToString::to_string),
            "out": self.written.as_ref().map(|(target, _)| target),
            "rollouts": self.written.as_ref().map_or(0, |(_, rows)| *rows),
        })
    }
}
