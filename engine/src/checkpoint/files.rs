//! The files of a checkpoint folder, each opened with a bound.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use serde_json::Value;

use super::shard::{Shard, Storage};
use crate::json::{self, clip};
use crate::{Error, Result};

const SINGLE: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";
/// The largest index that is read, in bytes (a 32B model's has 0.06 MB).
pub(crate) const INDEX_LIMIT_BYTES: usize = 16 << 20;
const MAX_SHARDS: usize = 1024;

/// Tensor name to file name.
pub(crate) type WeightMap = BTreeMap<String, String>;

fn io_error(path: PathBuf, source: std::io::Error) -> Error {
    Error::Io { path, source }
}

/// Opens a regular file; anything else (a pipe, a folder) could block or never end.
fn open_regular(path: &Path) -> std::io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("is not a regular file"));
    }
    File::open(path)
}

/// A file of at most `limit` bytes, or `None` if there is none of that name.
pub(crate) fn read_optional(dir: &Path, name: &str, limit: usize) -> Result<Option<Vec<u8>>> {
    let path = dir.join(name);
    let file = match open_regular(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path, error)),
    };
    let mut bytes = Vec::new();
    if let Err(error) = file.take(limit as u64 + 1).read_to_end(&mut bytes) {
        return Err(io_error(path, error));
    }
    if bytes.len() > limit {
        return Err(Error::Checkpoint {
            file: name.to_owned(),
            problem: format!("is larger than the {limit} bytes that are accepted"),
        });
    }
    Ok(Some(bytes))
}

/// A file of at most `limit` bytes that has to be there.
pub(crate) fn read_required(dir: &Path, name: &str, limit: usize) -> Result<Vec<u8>> {
    match read_optional(dir, name, limit)? {
        Some(bytes) => Ok(bytes),
        None if !dir.is_dir() => {
            Err(io_error(dir.to_owned(), std::io::Error::new(ErrorKind::NotFound, "there is no such folder")))
        }
        None => Err(Error::Checkpoint { file: name.to_owned(), problem: format!("is missing in {}", dir.display()) }),
    }
}

/// `model.safetensors` if it is there (as transformers prefers it), else the shards of the index.
pub(super) fn open_shards(dir: &Path) -> Result<(Vec<Shard>, Option<WeightMap>)> {
    if let Some(shard) = open_shard(dir, SINGLE)? {
        return Ok((vec![shard], None));
    }
    let Some(index) = read_optional(dir, INDEX, INDEX_LIMIT_BYTES)? else {
        return Err(Error::Checkpoint {
            file: SINGLE.to_owned(),
            problem: format!("neither it nor {INDEX} is in {}; other weight formats are not read", dir.display()),
        });
    };
    let weight_map = parse_index(&index)?;
    let files: BTreeSet<&str> = weight_map.values().map(String::as_str).collect();
    let shards = files
        .into_iter()
        .map(|file| {
            open_shard(dir, file)?.ok_or_else(|| Error::Checkpoint {
                file: clip(file),
                problem: format!("is missing in {}, and {INDEX} names it", dir.display()),
            })
        })
        .collect::<Result<_>>()?;
    Ok((shards, Some(weight_map)))
}

fn open_shard(dir: &Path, name: &str) -> Result<Option<Shard>> {
    let path = dir.join(name);
    let file = match open_regular(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path, error)),
    };
    // SAFETY: the map is read-only and private to this process's reading; the module's contract is
    // that nobody changes a checkpoint in use. Weights are plain bytes: any content is valid.
    let map = match unsafe { Mmap::map(&file) } {
        Ok(map) => map,
        Err(error) => return Err(io_error(path, error)),
    };
    Shard::new(name.to_owned(), Storage::Mapped(map)).map(Some)
}

/// The index; every file name is a plain one in the same folder.
pub(crate) fn parse_index(bytes: &[u8]) -> Result<WeightMap> {
    let error = |problem: String| Error::Checkpoint { file: INDEX.to_owned(), problem };
    let mut fields: BTreeMap<String, Value> = json::object(bytes, INDEX_LIMIT_BYTES).map_err(error)?;
    let Some(Value::Object(map)) = fields.remove("weight_map") else {
        return Err(error("weight_map: is missing or no object".to_owned()));
    };
    let mut weight_map = WeightMap::new();
    let mut files = BTreeSet::new();
    for (tensor, value) in map {
        let Value::String(file) = value else {
            let problem = format!("weight_map: {}: is no file name", clip(&tensor));
            return Err(error(problem));
        };
        if !is_plain_shard_name(&file) {
            return Err(error(format!(
                "weight_map: {}: {} is not the plain name of a .safetensors file",
                clip(&tensor),
                clip(&file)
            )));
        }
        files.insert(file.clone());
        weight_map.insert(tensor, file);
    }
    if files.len() > MAX_SHARDS || files.is_empty() {
        let problem = format!("weight_map: names {} files, 1 to {MAX_SHARDS} are accepted", files.len());
        return Err(error(problem));
    }
    Ok(weight_map)
}

/// No separators, no leading dot: the name cannot leave the folder.
fn is_plain_shard_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.len() <= 255 && name.ends_with(".safetensors") && !name.starts_with('.') && name.chars().all(plain)
}
