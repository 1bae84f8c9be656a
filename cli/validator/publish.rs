//! What a validator shows the world once its weights are on chain: its records, and the rollouts it found valid.
//!
//! Until then both wait on disk: whoever saw verdicts earlier could copy them into weights without any work.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use grail_protocol::ss58;
use grail_protocol::window::{GroupText, store};
use grail_store::Body;

use super::Book;
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
