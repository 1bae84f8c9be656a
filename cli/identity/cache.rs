//! Weights digests that were computed before, one small file for each folder of a checkpoint.
//!
//! Hashing reads every weight: half a second for a gigabyte, a minute for a large model, at each start of a miner or a
//! validator. A digest is taken from the cache only if path, size, both times, inode and device of every file that can
//! hold weights are those of when it was computed, and config and tokenizer, which are read anyway, are the same.
//!
//! What it trusts: that the system's description of a file changes with the file, and that nobody else writes into the
//! user's cache folder, as nobody else may write into the folder of the model. Not noticed is a file that is changed in
//! place and then described falsely, which takes root, a file system that keeps no times, or a clock set back to the
//! nanosecond. `grail model info --rehash` hashes again, compares with nothing and remembers the result.
//!
//! Losing or spoiling the cache costs time only: what cannot be read, or does not add up, is as good as absent.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use grail_protocol::Hash;
use grail_protocol::encoding::sha256;
use serde::{Deserialize, Serialize};

use super::stamp::Stamp;

/// Read of an entry at most: a checkpoint has up to a thousand shards.
const LIMIT_BYTES: u64 = 1 << 20;

/// The digests of a user.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// What a digest follows from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The weights.
    pub stamp: Stamp,
    /// Config and tokenizer, as they go into a digest.
    #[serde(with = "hex::serde")]
    pub others: Hash,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    key: Key,
    #[serde(with = "hex::serde")]
    digest: Hash,
    /// SHA-256 of the two, against a file that rotted or was cut.
    #[serde(with = "hex::serde")]
    check: Hash,
}

impl Cache {
    /// In the user's folder for caches; none where there is no home.
    #[must_use]
    pub fn of_user() -> Option<Self> {
        let absolute = |path: PathBuf| Some(path).filter(|path| path.is_absolute());
        let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).and_then(absolute);
        let home = || std::env::home_dir().and_then(absolute).map(|home| home.join(".cache"));
        base.or_else(home).map(|base| Self { folder: base.join("grail").join("digests") })
    }

    /// In a folder, which need not be there.
    #[must_use]
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The digest that was remembered for exactly this key.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Hash> {
        let path = self.path(key);
        let mut text = Vec::new();
        let file = File::open(&path).ok()?;
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        file.take(LIMIT_BYTES).read_to_end(&mut text).ok()?;
        let Ok(entry) = serde_json::from_slice::<Entry>(&text) else {
            tracing::debug!(path = %path.display(), "no entry of the digest cache; hashing");
            return None;
        };
        (entry.key == *key && entry.check == check(key, &entry.digest)).then_some(entry.digest)
    }

    /// Remembers a digest in place of an older one of the same folder; a reader sees one of them whole. Files that
    /// changed a moment ago are not remembered: they might change again unseen.
    ///
    /// # Errors
    /// What the system says; nothing depends on it.
    pub fn put(&self, key: &Key, digest: &Hash, now: SystemTime) -> io::Result<()> {
        if !key.stamp.is_settled(now) {
            return Ok(());
        }
        std::fs::create_dir_all(&self.folder)?;
        let entry = Entry { key: key.clone(), digest: *digest, check: check(key, digest) };
        // Only the owner may read or write it, and no two writers share one.
        let mut part = tempfile::Builder::new().prefix(".part-").tempfile_in(&self.folder)?;
        part.write_all(&serde_json::to_vec(&entry)?)?;
        part.persist(self.path(key)).map(drop).map_err(|e| e.error)
    }

    fn path(&self, key: &Key) -> PathBuf {
        Path::new(&self.folder).join(format!("{}.json", hex::encode(key.stamp.folder_hash())))
    }
}

fn check(key: &Key, digest: &Hash) -> Hash {
    let key = serde_json::to_vec(key).unwrap_or_default();
    sha256(&[&key[..], digest].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Duration;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            let place = Self(tempfile::tempdir().unwrap());
            fs::create_dir(place.model()).unwrap();
            fs::write(place.model().join("model.safetensors"), b"weights").unwrap();
            place
        }

        fn model(&self) -> PathBuf {
            self.0.path().join("model")
        }

        fn cache(&self) -> Cache {
            Cache::at(self.0.path().join("cache/grail"))
        }

        fn key(&self) -> Key {
            Key { stamp: Stamp::of(&self.model()).unwrap(), others: [7; 32] }
        }

        /// The one file of the cache.
        fn entry(&self) -> PathBuf {
            let files: Vec<_> = fs::read_dir(self.cache().folder).unwrap().map(|f| f.unwrap().path()).collect();
            assert_eq!(files.len(), 1, "{files:?}");
            files[0].clone()
        }
    }

    fn later() -> SystemTime {
        SystemTime::now() + Duration::from_secs(60)
    }

    #[test]
    fn what_was_remembered_is_found_again() {
        let place = Place::new();
        assert_eq!(place.cache().get(&place.key()), None);
        place.cache().put(&place.key(), &[1; 32], later()).unwrap();
        assert_eq!(place.cache().get(&place.key()), Some([1; 32]));
        place.cache().put(&place.key(), &[2; 32], later()).unwrap();
        assert_eq!(place.cache().get(&place.key()), Some([2; 32]));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(place.entry()).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn any_change_of_the_files_is_another_key() {
        type Change = fn(&Place, &Path);
        let changes: [(&str, Change); 7] = [
            ("size", |_, weights| fs::write(weights, b"weight").unwrap()),
            ("time", |_, weights| {
                let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
                File::options().write(true).open(weights).unwrap().set_modified(time).unwrap();
            }),
            ("inode", |_, weights| {
                let copy = weights.with_extension("copy");
                fs::copy(weights, &copy).unwrap();
                fs::rename(&copy, weights).unwrap();
            }),
            ("another shard", |place, _| fs::write(place.model().join("b.safetensors"), b"").unwrap()),
            ("an index", |place, _| fs::write(place.model().join("model.safetensors.index.json"), b"{}").unwrap()),
            ("name", |place, weights| fs::rename(weights, place.model().join("c.safetensors")).unwrap()),
            ("folder", |place, _| {
                fs::rename(place.model(), place.0.path().join("other")).unwrap();
                fs::create_dir(place.model()).unwrap();
                fs::rename(place.0.path().join("other/model.safetensors"), place.model().join("model.safetensors"))
                    .unwrap();
            }),
        ];
        for (what, change) in changes {
            let place = Place::new();
            let key = place.key();
            place.cache().put(&key, &[1; 32], later()).unwrap();
            change(&place, &place.model().join("model.safetensors"));
            assert_ne!(place.key(), key, "{what}");
            assert_eq!(place.cache().get(&place.key()), None, "{what}");
        }
    }

    #[test]
    fn another_config_or_tokenizer_is_another_key() {
        let place = Place::new();
        place.cache().put(&place.key(), &[1; 32], later()).unwrap();
        assert_eq!(place.cache().get(&Key { others: [8; 32], ..place.key() }), None);
    }

    #[test]
    fn every_part_of_a_description_counts() {
        let place = Place::new();
        place.cache().put(&place.key(), &[1; 32], later()).unwrap();
        let plain = serde_json::to_value(place.key()).unwrap();
        let file = &plain["stamp"]["files"][0];
        for part in file.as_object().unwrap().keys() {
            let mut other = plain.clone();
            let value = &mut other["stamp"]["files"][0][part];
            *value = match value.as_str() {
                Some(text) => format!("{text}x").into(),
                None => (value.as_i64().unwrap() + 1).into(),
            };
            let other: Key = serde_json::from_value(other).unwrap();
            assert_eq!(place.cache().get(&other), None, "{part}");
        }
        assert_eq!(file.as_object().unwrap().len(), 7);
    }

    #[test]
    fn a_spoilt_entry_is_absent() {
        let place = Place::new();
        place.cache().put(&place.key(), &[0x11; 32], later()).unwrap();
        let whole = fs::read(place.entry()).unwrap();
        let text = String::from_utf8(whole.clone()).unwrap();
        let spoilt = [
            Vec::new(),
            b"null".to_vec(),
            vec![0xff; 64],
            whole[..whole.len() - 1].to_vec(),
            text.replacen(&"11".repeat(32), &"22".repeat(32), 1).into_bytes(),
            text.replacen("\"digest\"", "\"more\":1,\"digest\"", 1).into_bytes(),
        ];
        for bytes in spoilt {
            fs::write(place.entry(), &bytes).unwrap();
            assert_eq!(place.cache().get(&place.key()), None, "{}", String::from_utf8_lossy(&bytes));
        }
        for cut in 0..whole.len() {
            fs::write(place.entry(), &whole[..cut]).unwrap();
            assert_eq!(place.cache().get(&place.key()), None, "cut at {cut}");
        }
        place.cache().put(&place.key(), &[0x11; 32], later()).unwrap();
        assert_eq!(place.cache().get(&place.key()), Some([0x11; 32]));
        // A folder in its place.
        let entry = place.entry();
        fs::remove_file(&entry).unwrap();
        fs::create_dir(&entry).unwrap();
        assert_eq!(place.cache().get(&place.key()), None);
        assert!(place.cache().put(&place.key(), &[1; 32], later()).is_err());
    }

    #[test]
    fn files_that_changed_a_moment_ago_are_not_remembered() {
        let place = Place::new();
        place.cache().put(&place.key(), &[1; 32], SystemTime::now()).unwrap();
        assert_eq!(place.cache().get(&place.key()), None);
    }

    #[test]
    fn writers_at_once_leave_one_whole_entry() {
        let place = Place::new();
        let (cache, key) = (place.cache(), place.key());
        std::thread::scope(|scope| {
            for writer in 0..4_u8 {
                let (cache, key) = (&cache, &key);
                scope.spawn(move || {
                    for _ in 0..50 {
                        cache.put(key, &[writer; 32], later()).unwrap();
                        let found = cache.get(key).expect("always whole");
                        assert!(found[0] < 4 && found.iter().all(|b| *b == found[0]), "{found:?}");
                    }
                });
            }
        });
        assert!(place.entry().extension().is_some_and(|e| e == "json"));
    }
}
