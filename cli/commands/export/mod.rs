//! `grail export`: window files that hold, to the bit, as Parquet, in a folder or a data set of the hub.

mod place;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use grail_engine::{Engine, EngineOptions};
use grail_export::{Source, table, utc};
use grail_hub::HubError;
use grail_protocol::assignment::Protocol;
use grail_protocol::verify::{Claimed, Extent, Outcome as VerdictOutcome, Selection, Verdict, Verifier};
use grail_protocol::window::Schema;
use serde_json::{Value, json};

use super::rollouts::watch;
use super::verify::judged;
use super::{Outcome, Usage};
use crate::flags::Export;
use crate::load;
use crate::network::NetworkFile;
use crate::offline::{Setting, open};
use crate::sat::Sat;
use crate::terminal::printable;
use place::{Commit, Folder, Hub, There};

pub fn run(flags: &Export, out: &mut dyn Write) -> Result<Outcome> {
    if let Some(folder) = &flags.out {
        ensure!(folder.is_dir(), Usage(format!("--out: {} is no folder", folder.display())));
    }
    let Setting { checkpoint, tokenizer, network } = Setting::open(&flags.network)?;
    // Before the model's work: whether the data set is there, and may be written to.
    let hub = Hub::open(&flags.dataset)?;
    let protocol = Protocol::new(network.network(), &Sat, &tokenizer, checkpoint.config())?;
    let options = EngineOptions { max_batch: flags.batch as usize, ..flags.engine.options() };
    let mut exporter = Exporter {
        engine: load::on_device(checkpoint, options).context("the model")?,
        verifier: Verifier::new(&protocol),
        network: &network,
        folder: flags.out.clone().map(Folder),
        hub,
        now: utc(SystemTime::now()),
    };
    let told = all(flags, &mut exporter, out);
    // What was verified is not lost to what came after it; a hub that is in trouble is not asked once more.
    if told.as_ref().err().is_none_or(|error| !error.is::<HubError>()) {
        exporter.commit(flags.json, out)?;
    }
    told
}

/// Every file in turn. One whose name is taken by other rollouts does not keep the rest from being exported.
fn all(flags: &Export, exporter: &mut Exporter<'_>, out: &mut dyn Write) -> Result<Outcome> {
    let (mut outcome, mut taken) = (Outcome::Done, Vec::new());
    for file in &flags.files {
        let exported = exporter.export(file)?;
        match &exported.found {
            Found::Rejected(_) => outcome = Outcome::Rejected,
            Found::Taken(by) => taken.push(format!("{}: {by} {NOT_REPLACED}", file.display())),
            Found::Written(..) | Found::There(..) => {}
        }
        match flags.json {
            true => writeln!(out, "{}", exported.json(file))?,
            false => writeln!(out, "{}", exported.line(file))?,
        }
        if exporter.hub.as_ref().is_some_and(Hub::is_full) {
            exporter.commit(flags.json, out)?;
        }
    }
    match &taken[..] {
        [] => Ok(outcome),
        [one] => bail!("{one}"),
        [one, rest @ ..] => bail!("{one}; the same of {} more", rest.len()),
    }
}

const NOT_REPLACED: &str = "exists already with other content, and is not replaced";

/// The name of a Parquet file, by which it is of the split `train`.
pub(crate) fn table_name(window: &str, miner: &str) -> String {
    format!("train-window-{window}-{miner}.parquet")
}

struct Exporter<'a> {
    engine: Engine,
    verifier: Verifier<'a, Sat>,
    network: &'a NetworkFile,
    folder: Option<Folder>,
    hub: Option<Hub>,
    now: String,
}

/// What came of a file.
struct Exported {
    found: Found,
    /// The Parquet file in the folder.
    out: Option<PathBuf>,
    /// The path in the data set.
    path: Option<String>,
}

enum Found {
    /// So many rows were written to wherever they were not.
    Written(usize),
    /// So many rows are everywhere already.
    There(usize),
    /// A place has other rollouts under the name.
    Taken(String),
    /// It does not hold.
    Rejected(Verdict),
}

impl Exporter<'_> {
    /// Verifies every rollout of a file by the model, and writes them only if all hold. What is there is left alone.
    fn export(&mut self, path: &Path) -> Result<Exported> {
        let context = || path.display().to_string();
        let nowhere = |verdict| Exported { found: Found::Rejected(verdict), out: None, path: None };
        let opened = open(path, &Schema::of::<Sat>(), &self.verifier.protocol().limits())?;
        let (file, head, account) = match judged(&opened, self.network, None) {
            Ok(judged) => judged,
            Err(reason) => return Ok(nowhere(Verdict::refused(reason))),
        };
        // The address was decoded, so it is no path.
        let name = table_name(&head.block_number.to_string(), &file.wallet);
        let source = Source { file, window: head.block_number, uploaded_at: &self.now };
        // Of a file that does not hold there may be no rows; that it does not is to be said then.
        let rows = table::<Sat>(source);
        let there = match &rows {
            Ok(bytes) => self.look(&name, bytes).with_context(context)?,
            Err(_) => [None, None],
        };
        let target = self.folder.as_ref().map(|folder| folder.0.join(&name));
        let path_there = self.hub.is_some().then(|| Hub::path(&name));
        let exported = |found| Exported { found, out: target.clone(), path: path_there.clone() };
        let places = [target.as_ref().map(|out| out.display().to_string()), path_there.clone()];
        let taken = |(place, there): (Option<String>, Option<There>)| place.filter(|_| there == Some(There::Other));
        if let Some(place) = places.into_iter().zip(there).find_map(taken) {
            return Ok(exported(Found::Taken(place)));
        }
        if rows.is_ok() && there.into_iter().flatten().all(|there| there == There::Same) {
            return Ok(exported(Found::There(file.inferences.len())));
        }
        let claimed = Claimed { file, head: &head, account: &account };
        let engine = &mut self.engine;
        let mut scorer =
            |request: &grail_engine::types::ScoreRequest<'_>| engine.score(request, &mut *watch("verifying"));
        let verdict = self.verifier.verify(claimed, Selection::All, Extent::Deciding, &mut scorer);
        let verdict = verdict.with_context(context)?;
        if verdict.outcome != VerdictOutcome::Valid {
            return Ok(nowhere(verdict));
        }
        let bytes = rows.with_context(context)?;
        if let (Some(folder), Some(There::Nothing)) = (&self.folder, there[0]) {
            folder.put(&name, &bytes)?;
        }
        if let (Some(hub), Some(There::Nothing)) = (&mut self.hub, there[1]) {
            hub.put(head.block_number)?;
        }
        Ok(exported(Found::Written(file.inferences.len())))
    }

    /// What the folder and the data set have, if they are asked for.
    fn look(&mut self, name: &str, bytes: &[u8]) -> Result<[Option<There>; 2]> {
        let folder = self.folder.as_ref().map(|folder| folder.look(name, bytes)).transpose()?;
        let hub = self.hub.as_mut().map(|hub| hub.look(name, bytes)).transpose()?;
        Ok([folder, hub])
    }

    fn commit(&mut self, json: bool, out: &mut dyn Write) -> Result<()> {
        let Some(hub) = &mut self.hub else {
            return Ok(());
        };
        if let Some(commit) = hub.commit()? {
            match json {
                true => writeln!(out, "{}", commit.json())?,
                false => writeln!(out, "{}", commit.line())?,
            }
        }
        Ok(())
    }
}

impl Exported {
    /// Both places, or that which there is.
    fn places(&self) -> String {
        let out = self.out.as_ref().map(|out| out.display().to_string());
        [out, self.path.clone()].into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }

    fn line(&self, file: &Path) -> String {
        let (file, places) = (file.display(), self.places());
        match &self.found {
            Found::Written(rows) => format!("{file}: {rows} rollouts in {places}"),
            Found::There(rows) => format!("{file}: skipped: its {rows} rollouts are in {places} already"),
            Found::Taken(by) => format!("{file}: {by} {NOT_REPLACED}"),
            Found::Rejected(verdict) => {
                let said = verdict.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
                format!("{file}: {}{}; nothing is exported", verdict.outcome.name(), printable(&said))
            }
        }
    }

    fn json(&self, file: &Path) -> Value {
        let (outcome, reason) = match &self.found {
            Found::Written(_) => (Some(VerdictOutcome::Valid.name()), None),
            // Not looked at by the model in this call.
            Found::There(_) | Found::Taken(_) => (None, None),
            Found::Rejected(verdict) => {
                (Some(verdict.outcome.name()), verdict.reason.as_ref().map(ToString::to_string))
            }
        };
        let (rows, there) = match &self.found {
            Found::Written(rows) => (*rows, None),
            Found::There(rows) => (*rows, Some("same")),
            Found::Taken(_) => (0, Some("other")),
            Found::Rejected(_) => (0, None),
        };
        json!({
            "file": file,
            "outcome": outcome,
            "reason": reason,
            "out": self.out,
            "path": self.path,
            "there": there,
            "rollouts": rows,
        })
    }
}

impl Commit {
    fn line(&self) -> String {
        let Self { dataset, url, appended, paths } = self;
        let files = match paths.len() {
            1 => "1 file".to_owned(),
            files => format!("{files} files"),
        };
        match appended.added {
            0 => format!("{dataset}: {files} were there already"),
            _ => format!("{dataset}: {files} added: {url}"),
        }
    }

    fn json(&self) -> Value {
        let Self { dataset, url, appended, paths } = self;
        json!({ "dataset": dataset, "commit": appended.commit, "url": url, "added": appended.added, "paths": paths })
    }
}
