//! Fetching a snapshot into the cache, with `hf-hub`'s synchronous client.
//!
//! Around it stand the things it leaves out: names from the server are checked before they become
//! paths, a finished file is measured, a partial file that cannot be resumed is thrown away, and a
//! panic on an odd answer becomes an error. It has no time limit of its own: a hub that accepts a
//! connection and then says nothing is waited for until the connection breaks.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo, Metadata};
use hf_hub::{Cache, Repo, RepoType};

use super::cache::{is_commit, repo_folder};
use super::{Event, HubId, Settings, is_plain};
use crate::Error;
use crate::checkpoint::{
    INDEX, INDEX_LIMIT_BYTES, TOKENIZER_CONFIG_LIMIT_BYTES, TOKENIZER_LIMIT_BYTES, parse_index, read_required,
};
use crate::config::{CONFIG_LIMIT_BYTES, Config};
use crate::json::clip;

const ATTEMPTS: usize = 4;
const SINGLE: &str = "model.safetensors";

/// Why there is no snapshot.
pub(super) enum Failure {
    /// No answer, or one that says the hub is in trouble.
    Unreachable(String),
    /// The hub, or the disk, said no.
    Refused(String),
    /// The model is there and not supported, or its small files are broken.
    Model(Box<Error>),
}

type Outcome<T> = Result<T, Failure>;

fn refused<T>(problem: impl Into<String>) -> Outcome<T> {
    Err(Failure::Refused(problem.into()))
}

/// Makes the snapshot of a revision complete and returns its folder.
pub(super) fn fetch(id: &HubId, settings: &Settings, progress: &mut dyn FnMut(Event)) -> Outcome<PathBuf> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let session = Session::start(id, settings)?;
        session.fetch_all(progress)
    }));
    outcome.unwrap_or_else(|_| refused("the hub's answer made the client panic"))
}

struct Session<'a> {
    id: &'a HubId,
    settings: &'a Settings,
    api: Api,
    repo: ApiRepo,
    commit: String,
    files: BTreeSet<String>,
    folder: PathBuf,
}

impl<'a> Session<'a> {
    /// Asks the hub which commit the revision is and which files it has.
    fn start(id: &'a HubId, settings: &'a Settings) -> Outcome<Self> {
        let words = |error| in_words(error, id, settings);
        let api = ApiBuilder::from_cache(Cache::new(settings.cache.clone()))
            .with_endpoint(settings.endpoint.clone())
            .with_token(settings.token.clone())
            .with_progress(false)
            .with_user_agent("grail", env!("CARGO_PKG_VERSION"))
            .build()
            .map_err(words)?;
        let at = |revision: &str| Repo::with_revision(id.repo().to_owned(), RepoType::Model, revision.to_owned());
        let info = api.repo(at(id.revision())).info().map_err(words)?;
        if !is_commit(&info.sha) {
            return refused(format!("the hub's sha {} is no commit", clip(&info.sha)));
        }
        Ok(Session {
            repo: api.repo(at(&info.sha)),
            api,
            id,
            settings,
            folder: repo_folder(settings, id).join("snapshots").join(&info.sha),
            commit: info.sha,
            files: info.siblings.into_iter().map(|s| s.rfilename).collect(),
        })
    }

    /// Small files first: what is wrong with them is known before gigabytes are fetched. The
    /// required ones and the weights come last, so their presence means the snapshot is complete.
    fn fetch_all(&self, progress: &mut dyn FnMut(Event)) -> Outcome<PathBuf> {
        let optional =
            [("generation_config.json", CONFIG_LIMIT_BYTES), ("tokenizer_config.json", TOKENIZER_CONFIG_LIMIT_BYTES)];
        for (file, limit) in optional {
            if self.files.contains(file) {
                self.get(file, Some(limit), progress)?;
            }
        }
        self.get("config.json", Some(CONFIG_LIMIT_BYTES), progress)?;
        self.read("config.json", CONFIG_LIMIT_BYTES)
            .and_then(|bytes| Config::parse(&bytes))
            .map_err(|error| Failure::Model(Box::new(error)))?;
        self.get("tokenizer.json", Some(TOKENIZER_LIMIT_BYTES), progress)?;
        if self.files.contains(SINGLE) || !self.files.contains(INDEX) {
            self.get(SINGLE, None, progress)?;
        } else {
            self.get(INDEX, Some(INDEX_LIMIT_BYTES), progress)?;
            let weight_map = self
                .read(INDEX, INDEX_LIMIT_BYTES)
                .and_then(|bytes| parse_index(&bytes))
                .map_err(|error| Failure::Model(Box::new(error)))?;
            for shard in weight_map.into_values().collect::<BTreeSet<_>>() {
                self.get(&shard, None, progress)?;
            }
        }
        self.write_ref()?;
        Ok(self.folder.clone())
    }

    fn read(&self, file: &str, limit: usize) -> crate::Result<Vec<u8>> {
        read_required(&self.folder, file, limit)
    }

    /// Points the revision at the commit, now that all is there.
    fn write_ref(&self) -> Outcome<()> {
        let refs = repo_folder(self.settings, self.id).join("refs");
        if self.id.revision() != self.commit {
            let path = refs.join(self.id.revision());
            let parent = path.parent().unwrap_or(&refs);
            fs::create_dir_all(parent)
                .and_then(|()| fs::write(&path, &self.commit))
                .or_else(|error| refused(format!("{}: {error}", path.display())))?;
        }
        // The client leaves a ref named like the commit, which no other tool does.
        fs::remove_file(refs.join(&self.commit)).ok();
        Ok(())
    }

    /// One file, unless the snapshot has it.
    fn get(&self, file: &str, limit: Option<usize>, progress: &mut dyn FnMut(Event)) -> Outcome<()> {
        if self.folder.join(file).is_file() {
            return Ok(());
        }
        if !self.files.contains(file) {
            return refused(format!("{file} is not in the repository"));
        }
        let mut failure = None;
        for _ in 0..ATTEMPTS {
            match self.try_get(file, limit, progress) {
                Ok(()) => return Ok(()),
                Err(Failure::Unreachable(problem)) => {
                    failure = Some(Failure::Unreachable(format!("{file}: {problem}")));
                }
                Err(other) => return Err(other),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    fn try_get(&self, file: &str, limit: Option<usize>, progress: &mut dyn FnMut(Event)) -> Outcome<()> {
        let words = |error| in_words(error, self.id, self.settings);
        let metadata = self.api.metadata(&self.repo.url(file)).map_err(words)?;
        self.check_metadata(file, &metadata, limit)?;
        let etag = metadata.etag();
        let blob = repo_folder(self.settings, self.id).join("blobs").join(etag);
        // Nothing is left to ask for, and the hub answers that with an error.
        let partial = blob.with_extension("part");
        if length(&partial).is_some_and(|bytes| bytes >= metadata.size() as u64) {
            remove(&partial)?;
        }
        let meter = Meter { file, done: 0, total: metadata.size() as u64, progress };
        let path = self.repo.download_with_progress(file, meter).map_err(words)?;
        if length(&path) == Some(metadata.size() as u64) {
            return Ok(());
        }
        let problem = format!("{} of {} bytes arrived", length(&path).unwrap_or(0), metadata.size());
        remove(&path)?;
        remove(&blob)?;
        Err(Failure::Unreachable(problem))
    }

    /// The etag becomes a file name and the commit a folder: neither may lead elsewhere.
    fn check_metadata(&self, file: &str, metadata: &Metadata, limit: Option<usize>) -> Outcome<()> {
        let etag = metadata.etag();
        let plain = etag.strip_prefix("W/").unwrap_or(etag);
        if plain.is_empty() || plain.starts_with('.') || !plain.bytes().all(is_plain) {
            return refused(format!("{file}: the hub's etag {} is odd", clip(etag)));
        }
        if metadata.commit_hash() != self.commit {
            return refused(format!(
                "{file}: commit {} was asked for, the hub has {}",
                self.commit,
                clip(metadata.commit_hash())
            ));
        }
        match limit {
            Some(limit) if metadata.size() > limit => {
                refused(format!("{file} has {} bytes, at most {limit} are accepted", metadata.size()))
            }
            _ => Ok(()),
        }
    }
}

fn length(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.len())
}

fn remove(path: &Path) -> Outcome<()> {
    fs::remove_file(path).or_else(|error| refused(format!("{}: {error}", path.display())))
}

/// Turns the client's calls into events.
struct Meter<'a> {
    file: &'a str,
    done: u64,
    total: u64,
    progress: &'a mut dyn FnMut(Event),
}

impl Meter<'_> {
    fn report(&mut self) {
        (self.progress)(Event::Download { file: self.file.to_owned(), done_bytes: self.done, total_bytes: self.total });
    }
}

impl Progress for Meter<'_> {
    fn init(&mut self, size: usize, _filename: &str) {
        self.done = 0;
        self.total = size as u64;
    }

    fn update(&mut self, size: usize) {
        self.done += size as u64;
        self.report();
    }

    fn finish(&mut self) {
        self.report();
    }
}

fn in_words(error: ApiError, id: &HubId, settings: &Settings) -> Failure {
    let endpoint = &settings.endpoint;
    let status = match &error {
        ApiError::RequestError(inner) => match **inner {
            ureq::Error::StatusCode(status) => status,
            _ => return Failure::Unreachable(clip(&inner.to_string())),
        },
        // A connection that breaks in the middle of a file arrives as an I/O error, too.
        ApiError::IoError(inner) if is_of_connection(inner) => {
            return Failure::Unreachable(clip(&inner.to_string()));
        }
        ApiError::LockAcquisition(path) => {
            let problem = format!("another process is fetching it: {} is locked", path.display());
            return Failure::Refused(problem);
        }
        other => return Failure::Refused(clip(&other.to_string())),
    };
    Failure::Refused(match (status, &settings.token) {
        (401, None) => {
            format!("{endpoint} has no such public model; if it is private or gated, set HF_TOKEN")
        }
        (401, Some(_)) => format!("{endpoint} did not accept the token, or has no such model"),
        (403, _) => {
            format!("access is gated: accept its terms at {endpoint}/{} with the account of HF_TOKEN", id.repo())
        }
        (404, _) => format!("{endpoint} has no such model or no revision {}", id.revision()),
        (429 | 500..=599, _) => {
            return Failure::Unreachable(format!("the hub answered with status {status}"));
        }
        _ => format!("{endpoint} answered with status {status}"),
    })
}

fn is_of_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, Interrupted, Other, TimedOut, UnexpectedEof,
    };
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | Interrupted | Other | TimedOut | UnexpectedEof
    )
}
