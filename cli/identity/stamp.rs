//! What tells, without reading it, that a checkpoint's folder is the one of before.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use grail_protocol::Hash;
use grail_protocol::encoding::sha256;
use serde::{Deserialize, Serialize};

/// Names the shards and which tensor is in which.
const INDEX: &str = "model.safetensors.index.json";
const WEIGHTS: &str = ".safetensors";

/// A file whose times are nearer to now may change once more without their changing: clocks of file systems tick in
/// milliseconds, those of some in two seconds.
const SETTLED: Duration = Duration::from_secs(3);

/// The files of a folder that can hold weights, as the system describes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    folder: PathBuf,
    files: Vec<FileStamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileStamp {
    name: String,
    /// Where the name leads, through any links.
    path: PathBuf,
    size: u64,
    /// Of the contents and of the file itself: whoever sets the first back cannot set the second.
    modified_ns: i64,
    changed_ns: i64,
    inode: u64,
    device: u64,
}

impl Stamp {
    /// Of a folder now. Every file that could be a shard counts, also one that no index names.
    ///
    /// # Errors
    /// What the system says.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let folder = folder.canonicalize()?;
        let mut files = Vec::new();
        for entry in folder.read_dir()? {
            // A shard's name is plain ASCII.
            let Ok(name) = entry?.file_name().into_string() else { continue };
            if name.ends_with(WEIGHTS) || name == INDEX {
                files.push(FileStamp::of(&folder, name)?);
            }
        }
        files.sort();
        Ok(Self { folder, files })
    }

    /// Names the folder, whatever is in it.
    pub fn folder_hash(&self) -> Hash {
        sha256(self.folder.as_os_str().as_encoded_bytes())
    }

    /// Whether no file can have changed since without its times telling.
    pub fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, nanoseconds);
        let old = |time: i64| time.saturating_add(nanoseconds(SETTLED)) <= now;
        !self.files.is_empty() && self.files.iter().all(|f| old(f.modified_ns) && old(f.changed_ns))
    }
}

impl FileStamp {
    fn of(folder: &Path, name: String) -> io::Result<Self> {
        let path = folder.join(&name).canonicalize()?;
        let metadata = path.metadata()?;
        let modified_ns = metadata.modified()?.duration_since(UNIX_EPOCH).map_or(-1, nanoseconds);
        let (changed_ns, inode, device) = system(&metadata)?;
        Ok(Self { name, path, size: metadata.len(), modified_ns, changed_ns, inode, device })
    }
}

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX / 2)
}

#[cfg(unix)]
fn system(metadata: &Metadata) -> io::Result<(i64, u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let changed_ns = metadata.ctime().saturating_mul(1_000_000_000).saturating_add(metadata.ctime_nsec());
    Ok((changed_ns, metadata.ino(), metadata.dev()))
}

/// Without inodes nothing is remembered.
#[cfg(not(unix))]
fn system(_: &Metadata) -> io::Result<(i64, u64, u64)> {
    Err(io::ErrorKind::Unsupported.into())
}
