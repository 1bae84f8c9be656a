//! One branch of one data set: what is in it, and what is about to be.

use std::fmt;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::error::{HubError, Said};
use crate::http::{Call, Http, JSON_BYTES, Patience, odd};
use crate::name::{Branch, DatasetId, is_commit};

/// What decides where files go.
#[derive(Clone)]
pub struct Settings {
    /// The hub's URL.
    pub endpoint: String,
    /// With write access; none is refused.
    pub token: Option<String>,
    /// The data set.
    pub id: DatasetId,
    /// Its branch.
    pub branch: Branch,
    /// Between attempts.
    pub patience: Patience,
}

/// Without the token.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, id, branch, .. } = self;
        f.debug_struct("Settings").field("endpoint", endpoint).field("id", id).field("branch", branch).finish()
    }
}

/// A branch that files are added to.
#[derive(Debug)]
pub struct Dataset {
    pub(crate) http: Http,
    pub(crate) id: DatasetId,
    pub(crate) branch: Branch,
}

/// A file that the data set has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its size.
    pub bytes: u64,
    /// SHA-256 in hex, of files in the large store; of others the hub tells another hash.
    pub sha256: Option<String>,
}

/// A file that the hub would take, and how.
#[derive(Debug, Clone)]
pub struct Planned {
    pub(crate) path: String,
    pub(crate) content: Vec<u8>,
    pub(crate) is_large: bool,
}

/// A file that only a commit is missing to. Of a large one the bytes are at the hub.
#[derive(Debug, Clone)]
pub struct Staged {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    /// Of a file that goes into the commit itself.
    pub(crate) content: Option<Vec<u8>>,
}

impl Staged {
    /// Its path in the data set.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether these are its bytes.
    #[must_use]
    pub fn is_of(&self, content: &[u8]) -> bool {
        self.sha256 == sha256(content)
    }
}

impl Dataset {
    /// Names a data set; nothing is asked yet.
    ///
    /// # Errors
    /// [`HubError::NoToken`], [`HubError::OddToken`] and [`HubError::Address`].
    pub fn new(settings: Settings) -> Result<Self, HubError> {
        let Settings { endpoint, token, id, branch, patience } = settings;
        Ok(Self { http: Http::new(&endpoint, token.as_deref(), patience)?, id, branch })
    }

    /// Its page.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/datasets/{}", self.http.endpoint(), self.id)
    }

    fn api(&self, what: &str, revision: &str) -> String {
        format!("{}/api/datasets/{}/{what}/{revision}", self.http.endpoint(), self.id)
    }

    pub(crate) fn branch_url(&self, what: &str) -> String {
        self.api(what, &self.branch.in_path())
    }

    /// A call in JSON with the token.
    pub(crate) fn ask<'a>(&self, doing: &'a str, method: &'a str, url: &'a str, body: Option<&'a [u8]>) -> Call<'a> {
        let headers: &[_] = if body.is_some() { &[("content-type", "application/json")] } else { &[] };
        Call { doing, method, url, signed: true, headers, body, limit: JSON_BYTES }
    }

    /// The branch's newest commit.
    ///
    /// # Errors
    /// [`HubError::NoDataset`], [`HubError::Moved`] and [`HubError::NoBranch`]; and as every method here, what may happen to a call.
    pub fn head(&self) -> Result<String, HubError> {
        let doing = format!("looking up {}", self.id);
        let url = self.branch_url("revision");
        let call = self.ask(&doing, "GET", &url, None);
        let answer = self.http.send(&call)?;
        if matches!(answer.status, 301 | 302 | 307 | 308) {
            let to = answer.header("location").unwrap_or_default().split("/datasets/").nth(1).unwrap_or_default();
            let to = to.split("/revision/").next().unwrap_or_default();
            return Err(HubError::Moved { dataset: self.id.to_string(), to: Said::new(to) });
        }
        if answer.status == 404 {
            return Err(match answer.header("x-error-code") {
                Some("RevisionNotFound") => {
                    HubError::NoBranch { dataset: self.id.to_string(), branch: self.branch.to_string() }
                }
                _ => HubError::NoDataset { host: self.http.host(), dataset: self.id.to_string() },
            });
        }
        let told = answer.success(&call)?.json(&call)?;
        match told["sha"].as_str().filter(|sha| is_commit(sha)) {
            Some(sha) => Ok(sha.to_owned()),
            None => Err(odd(&call, "sha", "40 hex digits of a commit", &told["sha"])),
        }
    }

    /// Makes the data set. One that is there already is left as it is.
    ///
    /// # Errors
    /// As [`Dataset::head`].
    pub fn create(&self, private: bool) -> Result<(), HubError> {
        let doing = format!("making {}", self.id);
        let url = format!("{}/api/repos/create", self.http.endpoint());
        let visibility = if private { "private" } else { "public" };
        let body = json!({
            "type": "dataset",
            "name": self.id.name(),
            "organization": self.id.owner(),
            "visibility": visibility,
        });
        let body = body.to_string();
        let call = self.ask(&doing, "POST", &url, Some(body.as_bytes()));
        let answer = self.http.send(&call)?;
        // Ours, from an attempt whose answer was lost, or somebody else's: the next call tells.
        if answer.status == 409 {
            return Ok(());
        }
        answer.success(&call).map(drop)
    }

    /// A file of a commit, if it is there.
    ///
    /// # Errors
    /// As [`Dataset::head`].
    pub fn find(&self, commit: &str, path: &str) -> Result<Option<Stored>, HubError> {
        Ok(self.find_all(commit, &[path])?.pop().flatten())
    }

    /// For each path, what a commit has there.
    pub(crate) fn find_all(&self, commit: &str, paths: &[&str]) -> Result<Vec<Option<Stored>>, HubError> {
        let doing = format!("listing {}", self.id);
        let url = self.api("paths-info", commit);
        let body = json!({ "paths": paths, "expand": false }).to_string();
        let call = self.ask(&doing, "POST", &url, Some(body.as_bytes()));
        let told = self.http.send(&call)?.success(&call)?.json(&call)?;
        let entries = told.as_array().ok_or_else(|| odd(&call, "body", "a list of files", &told))?;
        let mut found = Vec::new();
        for path in paths {
            let entry = entries.iter().find(|entry| entry["path"].as_str() == Some(path));
            found.push(entry.map(|entry| stored(&call, entry)).transpose()?);
        }
        Ok(found)
    }

    /// The bytes of a file of a commit.
    ///
    /// # Errors
    /// [`HubError::Damaged`] if they are not those that the data set lists; and as [`Dataset::head`].
    pub fn read(&self, commit: &str, path: &str, stored: &Stored) -> Result<Vec<u8>, HubError> {
        let doing = format!("reading {path} of {}", self.id);
        let url = format!("{}/resolve/{commit}/{path}", self.url());
        // One more than there is, so that a longer file is seen as what it is.
        let call = Call { limit: stored.bytes.saturating_add(1), ..self.ask(&doing, "GET", &url, None) };
        let content = self.http.follow(&call)?.body;
        let found = sha256(&content);
        match &stored.sha256 {
            Some(expected) if *expected != found => {
                Err(HubError::Damaged { path: path.to_owned(), expected: expected.clone(), found })
            }
            None if content.len() as u64 != stored.bytes => {
                let expected = format!("of {} bytes", stored.bytes);
                Err(HubError::Damaged { path: path.to_owned(), expected, found })
            }
            _ => Ok(content),
        }
    }

    /// Asks how the hub would take a file, which also tells whether it would: before any work is done for it.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for a token without the right to write, [`HubError::Ignored`]; and as [`Dataset::head`].
    pub fn plan(&self, path: &str, content: Vec<u8>) -> Result<Planned, HubError> {
        let doing = format!("offering {path} to {}", self.id);
        let url = self.branch_url("preupload");
        let sample = base64_simd::STANDARD.encode_to_string(&content[..content.len().min(512)]);
        let body = json!({ "files": [{ "path": path, "sample": sample, "size": content.len() }] }).to_string();
        let call = self.ask(&doing, "POST", &url, Some(body.as_bytes()));
        let told = self.http.send(&call)?.success(&call)?.json(&call)?;
        let file = &told["files"][0];
        if file["path"].as_str() != Some(path) {
            return Err(odd(&call, "files[0].path", "that of the file", &file["path"]));
        }
        if file["shouldIgnore"].as_bool() == Some(true) {
            return Err(HubError::Ignored { dataset: self.id.to_string(), path: path.to_owned() });
        }
        let is_large = match file["uploadMode"].as_str() {
            Some("lfs") => true,
            Some("regular") => false,
            _ => return Err(odd(&call, "files[0].uploadMode", "lfs or regular", &file["uploadMode"])),
        };
        Ok(Planned { path: path.to_owned(), content, is_large })
    }

    /// Brings a file to where a commit can name it. Bytes that the hub has are not sent again.
    ///
    /// # Errors
    /// [`HubError::Unconfirmed`] if the store got other bytes; and as [`Dataset::head`].
    pub fn stage(&self, planned: Planned) -> Result<Staged, HubError> {
        let Planned { path, content, is_large } = planned;
        let (sha256, bytes) = (sha256(&content), content.len() as u64);
        if !is_large {
            return Ok(Staged { path, bytes, sha256, content: Some(content) });
        }
        self.store(&path, &sha256, &content)?;
        Ok(Staged { path, bytes, sha256, content: None })
    }
}

fn stored(call: &Call<'_>, entry: &Value) -> Result<Stored, HubError> {
    let path = entry["path"].as_str().unwrap_or_default();
    if entry["type"].as_str() != Some("file") {
        return Err(odd(call, format!("{path}: type"), "file", &entry["type"]));
    }
    let large = &entry["lfs"];
    let size = if large.is_null() { &entry["size"] } else { &large["size"] };
    let bytes = size.as_u64().ok_or_else(|| odd(call, format!("{path}: size"), "a number of bytes", size))?;
    let oid = large["oid"].as_str().map(|oid| oid.strip_prefix("sha256:").unwrap_or(oid));
    let sha256 = match oid {
        None if large.is_null() => None,
        Some(oid) if oid.len() == 64 && oid.bytes().all(|b| b.is_ascii_hexdigit()) => Some(oid.to_ascii_lowercase()),
        _ => return Err(odd(call, format!("{path}: lfs.oid"), "64 hex digits", &large["oid"])),
    };
    Ok(Stored { bytes, sha256 })
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
