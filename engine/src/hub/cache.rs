//! The shared Hugging Face cache: where it is, and what it holds.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::HubId;
use crate::checkpoint::{INDEX, INDEX_LIMIT_BYTES, parse_index, read_optional};
use crate::json::clip;

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
/// A ref holds a commit, a token file a token.
const SMALL_FILE_BYTES: usize = 4096;

/// What the environment says about the hub, with the meaning that users know from its other tools.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The cache folder: `HF_HUB_CACHE`, else `HUGGINGFACE_HUB_CACHE`, else `hub` in `HF_HOME`,
    /// else in `XDG_CACHE_HOME/huggingface`, else in `~/.cache/huggingface`.
    pub cache: PathBuf,
    /// `HF_ENDPOINT`, without a slash at the end.
    pub endpoint: String,
    /// `HF_TOKEN`, else `HUGGING_FACE_HUB_TOKEN`, else what the file `HF_TOKEN_PATH` or `token` in
    /// `HF_HOME` holds.
    pub token: Option<String>,
    /// `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE` is 1, on, yes or true: never use the network.
    pub offline: bool,
}

/// Without the token.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("cache", &self.cache)
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "..."))
            .field("offline", &self.offline)
            .finish()
    }
}

impl Settings {
    /// The settings of this process's environment.
    pub fn from_env() -> Self {
        Self::from_vars(|name| std::env::var_os(name))
    }

    /// The settings of an environment given as a function; an empty variable counts as unset.
    pub fn from_vars(var: impl Fn(&str) -> Option<OsString>) -> Self {
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let home = var("HOME").map(PathBuf::from);
        let folder = |name: &str| {
            let path = PathBuf::from(var(name)?);
            Some(match (path.strip_prefix("~"), &home) {
                (Ok(rest), Some(home)) => home.join(rest),
                _ => path,
            })
        };
        let text = |name: &str| {
            let value = var(name)?.into_string().ok()?;
            let value = value.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        let hf_home = folder("HF_HOME").unwrap_or_else(|| {
            folder("XDG_CACHE_HOME")
                .unwrap_or_else(|| home.clone().unwrap_or_default().join(".cache"))
                .join("huggingface")
        });
        let token_file = folder("HF_TOKEN_PATH").unwrap_or_else(|| hf_home.join("token"));
        let switched_on = |name: &str| {
            let on = ["1", "on", "yes", "true"];
            text(name).is_some_and(|value| on.contains(&value.to_ascii_lowercase().as_str()))
        };
        Settings {
            cache: folder("HF_HUB_CACHE")
                .or_else(|| folder("HUGGINGFACE_HUB_CACHE"))
                .unwrap_or_else(|| hf_home.join("hub")),
            endpoint: text("HF_ENDPOINT")
                .map(|url| url.trim_end_matches('/').to_owned())
                .unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned()),
            token: text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN")).or_else(|| small_file(&token_file)),
            offline: switched_on("HF_HUB_OFFLINE") || switched_on("TRANSFORMERS_OFFLINE"),
        }
    }
}

/// The trimmed text of a small file, if it is there and has any.
fn small_file(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let bytes = read_optional(path.parent()?, name, SMALL_FILE_BYTES).ok()??;
    let text = String::from_utf8(bytes).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Whether a revision is a full commit hash, whose files never change.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The cache folder of a repository.
pub(super) fn repo_folder(settings: &Settings, id: &HubId) -> PathBuf {
    let name = format!("models--{}", id.repo().replace('/', "--"));
    settings.cache.join(name)
}

/// The folder of a complete cached snapshot, or what is missing, in words.
pub(super) fn snapshot(settings: &Settings, id: &HubId) -> Result<PathBuf, String> {
    let repo = repo_folder(settings, id);
    let commit = if is_commit(id.revision()) {
        id.revision().to_owned()
    } else {
        let path = repo.join("refs").join(id.revision());
        small_file(&path)
            .filter(|commit| is_commit(commit))
            .ok_or_else(|| format!("it is not in the cache {}", settings.cache.display()))?
    };
    let dir = repo.join("snapshots").join(commit);
    match missing_file(&dir)? {
        None => Ok(dir),
        Some(file) => Err(format!("{} is not in the cache {}", clip(&file), dir.display())),
    }
}

/// The first file that a usable snapshot lacks.
fn missing_file(dir: &Path) -> Result<Option<String>, String> {
    let there = |name: &str| dir.join(name).is_file();
    for name in ["config.json", "tokenizer.json"] {
        if !there(name) {
            return Ok(Some(name.to_owned()));
        }
    }
    if there("model.safetensors") {
        return Ok(None);
    }
    let index = read_optional(dir, INDEX, INDEX_LIMIT_BYTES).map_err(|error| error.to_string())?;
    let Some(index) = index else {
        return Ok(Some("model.safetensors".to_owned()));
    };
    let weight_map = parse_index(&index).map_err(|error| error.to_string())?;
    Ok(weight_map.into_values().find(|shard| !there(shard)))
}
