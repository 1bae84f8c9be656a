//! What a validator shows the world once its weights are on chain: its records, and the rollouts it found valid.
//!
//! Until then both wait on disk: whoever saw verdicts earlier could copy them into weights without any work.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use grail_export::same_rollouts;
use grail_protocol::ss58;
use grail_protocol::window::{GroupText, store};
use grail_store::Body;

use super::Book;
use crate::commands::{create, table_name};
use crate::subnet::{Event, Events, OwnBucket, Part, records_key, rollouts_key};

/// The rollouts of windows that are not published yet.
pub struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    /// In a folder, which is made.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        Ok(Self { folder: folder.to_owned() })
    }

    fn path(&self, window: u64) -> PathBuf {
        self.folder.join(format!("{window}.json.gz"))
    }

    /// Keeps a window's valid rollouts, groups of all miners in their order.
    ///
    /// # Errors
    /// The disk's.
    pub fn keep(&self, window: u64, timestamp_ms: u64, groups: &[GroupText], rollouts: usize) -> Result<()> {
        let lines: Vec<&str> = groups.iter().map(GroupText::line).collect();
        let timestamp = timestamp_ms as f64 / 1000.0;
        let text = format!(
            "{{\"window\":{window},\"count\":{rollouts},\"rollouts\":[{}],\"timestamp\":{timestamp:?}}}",
            lines.join(",")
        );
        let (path, part) = (self.path(window), self.folder.join(format!("{window}.part")));
        let write = || -> std::io::Result<()> {
            fs::write(&part, store(&text))?;
            fs::rename(&part, &path)
        };
        write().with_context(|| path.display().to_string())
    }

    /// Keeps a miner's valid rollouts of a window as Parquet.
    ///
    /// # Errors
    /// The disk's.
    pub fn keep_table(&self, window: u64, miner: &str, table: &[u8]) -> Result<()> {
        let (path, part) = (self.folder.join(format!("{window}.{miner}.{TABLE}")), self.folder.join("table.part"));
        let write = || -> std::io::Result<()> {
            fs::write(&part, table)?;
            fs::rename(&part, &path)
        };
        write().with_context(|| path.display().to_string())
    }

    /// Moves what was kept as Parquet, up to a window, to where people look for it. A file that is there with the same
    /// rollouts is left as it is; one with others is, too, and keeps no other from being moved.
    ///
    /// # Errors
    /// The disk's, and a name that is taken; the first of them.
    pub fn hand_over(&self, up_to: u64, to: &Path) -> Result<()> {
        let context = || self.folder.display().to_string();
        let mut outcome = Ok(());
        for entry in fs::read_dir(&self.folder).with_context(context)? {
            let path = entry.with_context(context)?.path();
            let parts = path.file_name().and_then(|name| name.to_str()).map(|name| name.splitn(3, '.'));
            let parts: Vec<&str> = parts.into_iter().flatten().collect();
            let [window, miner, TABLE] = parts[..] else { continue };
            if window.parse::<u64>().is_ok_and(|window| window <= up_to) {
                outcome = outcome.and(move_table(&path, &to.join(table_name(window, miner))));
            }
        }
        outcome
    }

    /// Forgets all windows before one.
    ///
    /// # Errors
    /// The disk's.
    pub fn forget_before(&self, window: u64) -> Result<()> {
        let context = || self.folder.display().to_string();
        for entry in fs::read_dir(&self.folder).with_context(context)? {
            let path = entry.with_context(context)?.path();
            let of = path.file_name().and_then(|name| name.to_str()?.split('.').next()?.parse::<u64>().ok());
            if of.is_some_and(|of| of < window) {
                fs::remove_file(&path).with_context(context)?;
            }
        }
        Ok(())
    }
}

/// What Parquet on the shelf ends with.
const TABLE: &str = "parquet";

fn move_table(from: &Path, to: &Path) -> Result<()> {
    let rows = fs::read(from).with_context(|| from.display().to_string())?;
    match fs::read(to) {
        Ok(there) if same_rollouts(&there, &rows) => {}
        Ok(_) => bail!("{} exists already with other content, and is not replaced", to.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => create(to, &rows)?,
        Err(error) => return Err(error).with_context(|| to.display().to_string()),
    }
    fs::remove_file(from).with_context(|| from.display().to_string())
}

/// Publishes what was judged up to a window and waits for it.
pub struct Publication<'a> {
    /// Records.
    pub book: &'a Book,
    /// Rollouts.
    pub shelf: &'a Shelf,
    /// The validator's bucket.
    pub bucket: &'a OwnBucket,
    /// Its address.
    pub validator: [u8; 32],
    /// Who hears of it.
    pub events: &'a Events,
    /// The part of the program that does it.
    pub part: &'a Part,
}

impl Publication<'_> {
    async fn put(&self, key: &str, body: Body) -> Result<()> {
        let longest = self.bucket.store.longest_put(body.length().await?);
        Ok(self.part.within(longest, self.bucket.store.put(key, body)).await?)
    }

    /// Puts everything up to a window into the bucket. What fails is tried again with the next window.
    ///
    /// # Errors
    /// The database's, the disk's and the bucket's.
    pub async fn up_to(&self, window: u64) -> Result<()> {
        for window in self.book.unpublished(window)? {
            let records = self.book.records(window)?.unwrap_or_default();
            let text = format!("{{\"window\":{window},\"records\":[{}]}}", records.join(","));
            let key = records_key(&ss58::encode(&self.validator), window);
            self.put(&key, store(&text).into()).await?;
            let path = self.shelf.path(window);
            let has_rollouts = path.exists();
            if has_rollouts {
                self.put(&rollouts_key(window), Body::File(path.clone())).await?;
            }
            self.book.published(window, records.len() as u64)?;
            if has_rollouts {
                fs::remove_file(&path).with_context(|| path.display().to_string())?;
            }
            self.events.tell(Event::RecordsPublished { window, records: records.len() as u64, rollouts: has_rollouts });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use grail_export::{Source, table};
    use grail_protocol::window::{Beacon, Block, WindowFile};

    use super::*;
    use crate::sat::Sat;

    /// Parquet of a network without rollouts.
    fn rows(uploaded_at: &str) -> Vec<u8> {
        let file = WindowFile {
            proof_version: "grail-exact-1".into(),
            network_id: String::new(),
            window_start: 0,
            window_length: 50,
            wallet: String::new(),
            block: Block { number: 0, hash: String::new(), timestamp_ms: 0 },
            beacon: Beacon { round: 1, signature: String::new() },
            timestamp: 0.0,
            inferences: Vec::new(),
        };
        table::<Sat>(Source { file: &file, window: 0, uploaded_at }).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn only_what_is_published_leaves_the_shelf_and_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (to, shelf) = (folder.path().join("to"), Shelf::open(&folder.path().join("shelf")).unwrap());
        fs::create_dir(&to).unwrap();
        shelf.keep(50, 0, &[], 0).unwrap();
        for (window, miner) in [(50, "5A"), (50, "5B"), (100, "5A"), (150, "5A"), (200, "5A")] {
            shelf.keep_table(window, miner, format!("{window} of {miner}").as_bytes()).unwrap();
        }
        fs::write(to.join("train-window-100-5A.parquet"), "theirs").unwrap();
        let told = shelf.hand_over(150, &to).unwrap_err().to_string();
        assert!(told.contains("train-window-100-5A.parquet exists already with other content"), "{told}");
        let moved = ["50-5A", "50-5B", "150-5A"].map(|name| format!("train-window-{name}.parquet"));
        for (name, content) in moved.iter().zip(["50 of 5A", "50 of 5B", "150 of 5A"]) {
            assert_eq!(fs::read_to_string(to.join(name)).unwrap(), content);
        }
        assert_eq!(fs::read_to_string(to.join("train-window-100-5A.parquet")).unwrap(), "theirs");
        assert_eq!(names(&to).len(), 4);
        assert_eq!(names(&shelf.folder), ["100.5A.parquet", "200.5A.parquet", "50.json.gz"]);
        // What was forgotten is not handed over, and what is there with the same rollouts is done.
        shelf.forget_before(200).unwrap();
        assert_eq!(names(&shelf.folder), ["200.5A.parquet"]);
        let before = rows("2026-01-01T00:00:00Z");
        fs::write(to.join("train-window-200-5A.parquet"), &before).unwrap();
        shelf.keep_table(200, "5A", &rows("2026-01-02T00:00:00Z")).unwrap();
        shelf.hand_over(200, &to).unwrap();
        assert!(names(&shelf.folder).is_empty());
        assert!(fs::read(to.join("train-window-200-5A.parquet")).unwrap() == before);
    }
}
