//! The folder and the data set that rows go to. Neither ever replaces what it has.

use std::path::PathBuf;

use anyhow::{Context, Result};
use grail_engine::hub::Settings as Environment;
use grail_export::same_rollouts;
use grail_hub::{Appended, Dataset, HubError, Patience, Planned, Settings, Staged};

use super::super::Usage;
use super::super::rollouts::create;
use crate::flags::DatasetFlags;

/// Files of one commit.
const MOST_FILES: usize = 100;

/// Whether a place has a file of this name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    /// No.
    Nothing,
    /// With the same rollouts.
    Same,
    /// With others.
    Other,
}

/// A file that has the name of ours is at most so much larger, if it says the same.
fn limit(bytes: &[u8]) -> u64 {
    2 * bytes.len() as u64 + (1 << 20)
}

/// A folder of this machine.
pub(super) struct Folder(pub PathBuf);

impl Folder {
    pub(super) fn look(&self, name: &str, bytes: &[u8]) -> Result<There> {
        let path = self.0.join(name);
        let context = || path.display().to_string();
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(There::Nothing),
            Err(error) => Err(error).with_context(context),
            Ok(found) if !found.is_file() || found.len() > limit(bytes) => Ok(There::Other),
            Ok(_) => {
                let found = std::fs::read(&path).with_context(context)?;
                Ok(if same_rollouts(&found, bytes) { There::Same } else { There::Other })
            }
        }
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        create(&self.0.join(name), bytes)
    }
}

/// A data set of the hub. What is put waits for one commit.
pub(super) struct Hub {
    dataset: Dataset,
    /// As it is called by its user.
    name: String,
    head: String,
    planned: Option<Planned>,
    waiting: Vec<(u64, Staged)>,
}

/// A commit that was made, or none because all was there.
pub(super) struct Commit {
    pub dataset: String,
    pub url: String,
    pub appended: Appended,
    pub paths: Vec<String>,
}

impl Hub {
    /// Looks the data set up, or makes it.
    pub(super) fn open(flags: &DatasetFlags) -> Result<Option<Self>> {
        let Some(id) = &flags.dataset else {
            return Ok(None);
        };
        let environment = Environment::from_env();
        if environment.offline {
            return Err(Usage("--dataset: HF_HUB_OFFLINE forbids to use the network".into()).into());
        }
        let settings = Settings {
            endpoint: environment.endpoint,
            token: environment.token,
            id: id.clone(),
            branch: flags.revision.clone(),
            patience: Patience::real(),
        };
        let dataset = Dataset::new(settings).with_context(|| format!("--dataset {id}"))?;
        let head = match dataset.head() {
            Err(HubError::NoDataset { .. }) if flags.create => {
                dataset.create(flags.private)?;
                dataset.head()
            }
            head => head,
        };
        let head = match head {
            Err(error @ HubError::NoDataset { .. }) if !flags.create => {
                return Err(error).context("--create would make it");
            }
            head => head?,
        };
        Ok(Some(Self { dataset, name: id.to_string(), head, planned: None, waiting: Vec::new() }))
    }

    /// Where a file is in the data set.
    pub(super) fn path(name: &str) -> String {
        format!("data/{name}")
    }

    /// Whether the data set has it, and if not, whether it would take it.
    pub(super) fn look(&mut self, name: &str, bytes: &[u8]) -> Result<There> {
        let path = Self::path(name);
        if let Some((_, staged)) = self.waiting.iter().find(|(_, staged)| staged.path() == path) {
            return Ok(if staged.is_of(bytes) { There::Same } else { There::Other });
        }
        let Some(stored) = self.dataset.find(&self.head, &path)? else {
            self.planned = Some(self.dataset.plan(&path, bytes.to_vec())?);
            return Ok(There::Nothing);
        };
        if stored.bytes > limit(bytes) {
            return Ok(There::Other);
        }
        let found = self.dataset.read(&self.head, &path, &stored)?;
        Ok(if same_rollouts(&found, bytes) { There::Same } else { There::Other })
    }

    /// Brings the file that was looked for last to the hub, for the next commit.
    pub(super) fn put(&mut self, window: u64) -> Result<()> {
        if let Some(planned) = self.planned.take() {
            self.waiting.push((window, self.dataset.stage(planned)?));
        }
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST_FILES
    }

    /// Commits what waits, if anything does.
    pub(super) fn commit(&mut self) -> Result<Option<Commit>> {
        let waiting = std::mem::take(&mut self.waiting);
        let windows = waiting.iter().map(|(window, _)| *window);
        let (Some(first), Some(last)) = (windows.clone().min(), windows.max()) else {
            return Ok(None);
        };
        let summary = match first == last {
            true => format!("Add rollouts of window {first}"),
            false => format!("Add rollouts of windows {first} to {last}"),
        };
        let files: Vec<Staged> = waiting.into_iter().map(|(_, staged)| staged).collect();
        let appended = self.dataset.append(&files, &summary)?;
        self.head.clone_from(&appended.commit);
        Ok(Some(Commit {
            dataset: self.name.clone(),
            url: format!("{}/commit/{}", self.dataset.url(), appended.commit),
            appended,
            paths: files.iter().map(|file| file.path().to_owned()).collect(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use grail_hub_standin::{Hub as Standin, WRITER};

    use super::*;

    #[test]
    fn a_commit_has_at_most_a_hundred_files() {
        let standin = Standin::start().unwrap();
        standin.create("org/rollouts", false);
        let settings = Settings {
            endpoint: standin.url().to_owned(),
            token: Some(WRITER.into()),
            id: "org/rollouts".parse().unwrap(),
            branch: "main".parse().unwrap(),
            patience: Patience::real(),
        };
        let dataset = Dataset::new(settings).unwrap();
        let head = dataset.head().unwrap();
        let mut hub = Hub { dataset, name: "org/rollouts".into(), head, planned: None, waiting: Vec::new() };
        for window in 0..MOST_FILES {
            assert!(!hub.is_full());
            assert_eq!(hub.look(&format!("train-{window}.parquet"), b"rows").unwrap(), There::Nothing);
            hub.put(window as u64).unwrap();
        }
        assert!(hub.is_full());
        let commit = hub.commit().unwrap().unwrap();
        assert_eq!((commit.paths.len(), commit.appended.added), (100, 100));
        assert!(!hub.is_full() && hub.commit().unwrap().is_none());
        assert_eq!(standin.log("org/rollouts", "main").len(), 2);
        assert_eq!(standin.log("org/rollouts", "main")[1].summary, "Add rollouts of windows 0 to 99");
    }
}
