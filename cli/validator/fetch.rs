//! Files of miners, from their buckets to this machine: bounded in number, size and time, and hashed on the way.
//!
//! Nothing is inflated before its hash is the one on chain. The first attempt is made when the window's challenge is
//! known: a file that is not there then is late. What fails otherwise is tried three times over a window's length; then
//! the miner's file is unreadable, if this validator can reach its own bucket. If it cannot, that is its own trouble.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use grail_protocol::AccountId;
use grail_protocol::ss58;
use grail_protocol::verify::{Reason, ReasonKind};
use grail_protocol::window::MAX_STORED_BYTES;
use grail_store::{Error as StoreError, ReadCredentials, Store};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::sync::{OnceCell, Semaphore};

use super::Committed;
use crate::subnet::{OwnBucket, Part, Stop, Subnet, file_key};

/// Attempts at a file.
const ATTEMPTS: u32 = 3;
/// Over which they are spread, unless the window is shorter.
const SPREAD: Duration = Duration::from_secs(600);

/// What came of a file.
#[derive(Debug)]
pub enum Fetched {
    /// It is here, and its hash is the root's.
    File(PathBuf),
    /// The miner's window is void.
    Void(Reason),
    /// This validator could not look; no verdict.
    Trouble(String),
}

/// Fetches the files of one window.
pub struct Fetcher {
    /// The network.
    pub subnet: Subnet,
    /// Our own bucket, to tell our trouble from others'.
    pub own: OwnBucket,
    /// Where files go.
    pub folder: PathBuf,
    /// Attempts that may run at once.
    pub permits: Arc<Semaphore>,
    /// First block of the window.
    pub window: u64,
    /// Whether to stop.
    pub stop: Stop,
    /// Whether our own bucket works, once somebody had to know.
    pub probed: OnceCell<Result<(), String>>,
}

/// Why an attempt gave no file.
enum Miss {
    Absent,
    TooLarge { bytes: u64 },
    OtherHash(String),
    Failed(String),
    Disk(std::io::Error),
}

impl Fetcher {
    /// Gets one miner's file.
    pub async fn fetch(&self, account: &AccountId, committed: Option<&Committed>) -> Fetched {
        let void = |kind, field: &str, expected: String, found: String| {
            Fetched::Void(Reason::of_file(kind, field, expected, found))
        };
        let wanted = || format!("one of window {}", self.window);
        let Some(committed) = committed else {
            return void(ReasonKind::NoRoot, "root", wanted(), "none".into());
        };
        let root = committed.root;
        if root.window_start != self.window {
            return void(ReasonKind::NoRoot, "root", wanted(), format!("one of window {}", root.window_start));
        }
        let credentials = ReadCredentials::from_commitment(&committed.credentials);
        let store = credentials.and_then(|c| c.bucket(&self.subnet.buckets)).and_then(|b| self.own.store.of(b));
        let store = match store {
            Ok(store) => store,
            Err(error) => {
                return void(ReasonKind::Unreadable, "commitment", "read credentials".into(), error.to_string());
            }
        };
        let address = ss58::encode(account);
        let (key, path) = (file_key(&address, self.window), self.folder.join(format!("{address}.json.gz")));
        let expected = hex::encode(root.file_hash);
        let part = self.subnet.watchdog.part(&format!("fetching the file of {address}"));
        let mut last = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 && !self.pause(&part).await {
                return Fetched::Trouble("stopped".into());
            }
            match self.attempt(&store, &key, &path, &root.file_hash, &part).await {
                Ok(()) => return Fetched::File(path),
                Err(Miss::Absent) if attempt == 0 => {
                    let expected = "in the bucket before the challenge was known".to_owned();
                    return self.blame(ReasonKind::Late, "file", expected, "no object".into()).await;
                }
                Err(Miss::Absent) => last = "no object".into(),
                Err(Miss::TooLarge { bytes }) => {
                    let expected = format!("at most {MAX_STORED_BYTES} bytes");
                    return void(ReasonKind::OverCap, "file", expected, format!("{bytes}"));
                }
                Err(Miss::OtherHash(found)) => last = found,
                Err(Miss::Failed(error)) => last = error,
                Err(Miss::Disk(error)) => return Fetched::Trouble(format!("{}: {error}", path.display())),
            }
            tracing::debug!(hotkey = address, attempt, "file: {last}");
        }
        self.blame(ReasonKind::Unreadable, "file", format!("sha256 {expected}"), last).await
    }

    /// The miner's fault, if we can reach a bucket at all.
    async fn blame(&self, kind: ReasonKind, field: &str, expected: String, found: String) -> Fetched {
        let probe = || async { self.own.store.probe().await.map_err(|e| e.to_string()) };
        match self.probed.get_or_init(probe).await {
            Ok(()) => Fetched::Void(Reason::of_file(kind, field, expected, found)),
            Err(error) => Fetched::Trouble(format!("the own bucket: {error}")),
        }
    }

    /// Between attempts; whether to go on.
    async fn pause(&self, part: &Part) -> bool {
        let blocks = u32::try_from(self.subnet.window_length()).unwrap_or(u32::MAX);
        let block_time = self.subnet.heads.latest().map_or(Duration::from_secs(12), |seen| seen.block_time);
        let spread = block_time.saturating_mul(blocks).min(SPREAD);
        let pause = spread / ATTEMPTS;
        tokio::select! {
            () = part.within(pause, tokio::time::sleep(pause)) => true,
            () = self.stop.wait() => false,
        }
    }

    async fn attempt(
        &self,
        store: &Store,
        key: &str,
        path: &Path,
        expected: &[u8; 32],
        part: &Part,
    ) -> Result<(), Miss> {
        let _permit = part.waiting(self.permits.acquire()).await.map_err(|e| Miss::Failed(e.to_string()))?;
        let failed = |error: StoreError| match error {
            StoreError::NotFound { .. } => Miss::Absent,
            StoreError::TooLarge { bytes, .. } => Miss::TooLarge { bytes },
            other => Miss::Failed(other.to_string()),
        };
        let mut download = store.get(key, MAX_STORED_BYTES).await.map_err(failed)?;
        let mut file = tokio::fs::File::create(path).await.map_err(Miss::Disk)?;
        let mut hash = Sha256::new();
        while let Some(chunk) = download.chunk().await.map_err(failed)? {
            part.mark();
            hash.update(&chunk);
            file.write_all(&chunk).await.map_err(Miss::Disk)?;
        }
        file.flush().await.map_err(Miss::Disk)?;
        let found: [u8; 32] = hash.finalize().into();
        match found == *expected {
            true => Ok(()),
            false => Err(Miss::OtherHash(format!("sha256 {}", hex::encode(found)))),
        }
    }
}
