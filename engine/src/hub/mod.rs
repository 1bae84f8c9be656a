//! From a model argument to a folder: an existing folder, `sat-tiny`, or a Hugging Face hub id.
//!
//! Hub models live in the cache that every Hugging Face tool shares (`models--org--name` with
//! `refs`, `blobs` and `snapshots`), found by the same environment variables, so a model that
//! another program fetched is not fetched again. The download itself is `hf-hub`'s, behind the
//! feature `hub`; without the feature, cached models still resolve. One revision is resolved to one
//! commit first, and every file is taken from that commit. This is deliberately not a hub client:
//! six kinds of file of one repository, read only.

mod cache;
#[cfg(feature = "hub")]
mod download;

#[cfg(all(test, feature = "hub"))]
mod standin;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

use crate::checkpoint::Checkpoint;
use crate::json::clip;
use crate::{Error, Result};

pub use cache::Settings;

/// The name of the checkpoint inside the binary.
pub const SAT_TINY: &str = "sat-tiny";

/// A model as a user names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelArg {
    /// A folder that exists.
    Folder(PathBuf),
    /// The checkpoint inside the binary.
    SatTiny,
    /// A repository of the hub.
    Hub(HubId),
}

/// `org/name`, and optionally `@revision`: a branch, a tag or a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubId {
    repo: String,
    revision: String,
}

impl HubId {
    /// `org/name`.
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// The revision; `main` unless one was given.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    fn parse(text: &str) -> Option<HubId> {
        let (repo, revision) = text.split_once('@').unwrap_or((text, "main"));
        let (org, name) = repo.split_once('/')?;
        let plain = |part: &str| {
            (1..=96).contains(&part.len())
                && part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && !part.contains("--")
                && !part.contains("..")
                && part.bytes().all(is_plain)
        };
        // A revision becomes part of a path, so none of its components may be special.
        let path = |text: &str| {
            text.len() <= 200
                && text.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && part.bytes().all(is_plain))
        };
        (plain(org) && plain(name) && path(revision))
            .then(|| HubId { repo: repo.to_owned(), revision: revision.to_owned() })
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repo, self.revision)
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

impl ModelArg {
    /// What an argument means: a folder if there is one of that path, else `sat-tiny`, else a hub
    /// id `org/name[@revision]`.
    ///
    /// # Errors
    /// [`Error::Model`] if it is none of them.
    pub fn parse(text: &str) -> Result<Self> {
        let path = PathBuf::from(text);
        if path.is_dir() {
            return Ok(ModelArg::Folder(path));
        }
        if text == SAT_TINY {
            return Ok(ModelArg::SatTiny);
        }
        HubId::parse(text).map(ModelArg::Hub).ok_or_else(|| Error::Model {
            model: clip(text),
            problem: format!(
                "there is no such folder, and it is neither {SAT_TINY} nor a hub id such as Qwen/Qwen3-0.6B"
            ),
        })
    }
}

/// What happens on the way to a model; for showing to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The hub could not be reached; the cached snapshot, which is complete, is used instead.
    HubUnreachable {
        /// What happened.
        problem: String,
    },
    /// Part of a file has arrived. Comes at the start, for every block, and at the end.
    Download {
        /// The file's name in the repository.
        file: String,
        /// Bytes that are there, those of an earlier attempt included.
        done_bytes: u64,
        /// The size of the file.
        total_bytes: u64,
    },
}

/// Where a model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// Inside the binary.
    SatTiny,
    /// In this folder.
    Folder(PathBuf),
}

impl Location {
    /// Opens the checkpoint.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open(&self) -> Result<Checkpoint> {
        match self {
            Location::SatTiny => Checkpoint::sat_tiny(),
            Location::Folder(dir) => Checkpoint::open(dir),
        }
    }
}

/// Finds a model, downloading it if it is a hub id whose snapshot is not in the cache.
///
/// A commit that is in the cache is taken from there without a network. A branch or tag is looked
/// up at the hub; if that cannot be reached, a complete cached snapshot is used and reported as
/// [`Event::HubUnreachable`].
///
/// # Errors
/// [`Error::Model`] saying what is missing where and what would help; [`Error::Config`] for a hub
/// model that is not supported (found out before its weights are fetched).
pub fn resolve(arg: &ModelArg, settings: &Settings, progress: &mut dyn FnMut(Event)) -> Result<Location> {
    let id = match arg {
        ModelArg::Folder(dir) => return Ok(Location::Folder(dir.clone())),
        ModelArg::SatTiny => return Ok(Location::SatTiny),
        ModelArg::Hub(id) => id,
    };
    let error = |problem| Error::Model { model: id.to_string(), problem };
    let cached = cache::snapshot(settings, id);
    match cached {
        Ok(dir) if settings.offline || cache::is_commit(id.revision()) => Ok(Location::Folder(dir)),
        Err(missing) if settings.offline => Err(error(format!("{missing}, and HF_HUB_OFFLINE forbids to fetch it"))),
        cached => fetch(id, settings, progress, cached).map(Location::Folder),
    }
}

#[cfg(feature = "hub")]
fn fetch(
    id: &HubId,
    settings: &Settings,
    progress: &mut dyn FnMut(Event),
    cached: Result<PathBuf, String>,
) -> Result<PathBuf> {
    use download::Failure;
    let error = |problem| Error::Model { model: id.to_string(), problem };
    match (download::fetch(id, settings, progress), cached) {
        (Ok(dir), _) => Ok(dir),
        (Err(Failure::Unreachable(problem)), Ok(dir)) => {
            progress(Event::HubUnreachable { problem });
            Ok(dir)
        }
        (Err(Failure::Unreachable(problem)), Err(missing)) => {
            Err(error(format!("{missing}, and {} cannot be reached: {problem}", settings.endpoint)))
        }
        (Err(Failure::Refused(problem)), _) => Err(error(problem)),
        (Err(Failure::Model(refused)), _) => Err(*refused),
    }
}

#[cfg(not(feature = "hub"))]
fn fetch(
    id: &HubId,
    _settings: &Settings,
    _progress: &mut dyn FnMut(Event),
    cached: Result<PathBuf, String>,
) -> Result<PathBuf> {
    cached.map_err(|missing| Error::Unsupported {
        what: format!("model {id}"),
        problem: format!("{missing}, and this build cannot download (feature `hub`)"),
    })
}
