//! Files of miners, from their buckets to this machine: bounded in number, size and time, and hashed on the way.
//!
//! Nothing is inflated before its hash is the one on chain. The first attempt is made when the window's challenge is
//! known: a file that is not there then is late. What fails otherwise is tried three times over a window's length, and
//! once more when this validator has reached its own bucket after that: then the miner's file is unreadable. If it
//! cannot reach its own bucket, that is its own trouble.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use grail_protocol::AccountId;
use grail_protocol::ss58;
use grail_protocol::verify::{Reason, ReasonKind};
use grail_protocol::window::MAX_STORED_BYTES;
use grail_store::{Error as StoreError, ReadCredentials, Store};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Mutex, Semaphore};

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
    /// Whether our own bucket worked when it was last asked, and since when that holds.
    pub probed: Mutex<Option<(Instant, Result<(), String>)>>,
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
        // What kept us from their bucket may have been on our side, and over before we look at our own.
        if self.probe().await.is_ok() {
            match self.attempt(&store, &key, &path, &root.file_hash, &part).await {
                Ok(()) => return Fetched::File(path),
                Err(Miss::Disk(error)) => return Fetched::Trouble(format!("{}: {error}", path.display())),
                Err(_) => {}
            }
        }
        self.blame(ReasonKind::Unreadable, "file", format!("sha256 {expected}"), last).await
    }

    /// The miner's fault, if we can reach a bucket at all.
    async fn blame(&self, kind: ReasonKind, field: &str, expected: String, found: String) -> Fetched {
        match self.probe().await {
            Ok(()) => Fetched::Void(Reason::of_file(kind, field, expected, found)),
            Err(error) => Fetched::Trouble(format!("the own bucket: {error}")),
        }
    }

    /// Whether our own bucket works: asked from now on, by us or somebody else.
    async fn probe(&self) -> Result<(), String> {
        let asked = Instant::now();
        let mut probed = self.probed.lock().await;
        if let Some((begun, result)) = &*probed
            && *begun >= asked
        {
            return result.clone();
        }
        let begun = Instant::now();
        let result = self.own.store.probe().await.map_err(|e| e.to_string());
        *probed = Some((begun, result.clone()));
        result
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subnet::local::{Description, LocalNet, LocalOptions, Ports, Sizes, VALIDATOR, development_key};
    use crate::subnet::{ModelIdentity, Stopper, clients, local_store, settle};
    use grail_localnet::bucket::Access;
    use grail_protocol::window_root::WindowRoot;
    use grail_store::Endpoint;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::io::copy_bidirectional;
    use tokio::net::{TcpListener, TcpStream};

    const WINDOW: u64 = 4;

    fn options(folder: &Path) -> LocalOptions {
        let sizes = Sizes { window_length: Some(WINDOW), ..Sizes::default() };
        LocalOptions {
            folder: folder.to_owned(),
            ports: Ports::default(),
            block_time: Some(Duration::from_millis(100)),
            sizes,
            commit_reveal: None,
            upgrade_at: None,
            model: ModelIdentity { name: "none".into(), digest: [7; 32], eos_ids: vec![1] },
            validators: Vec::new(),
            miners: Vec::new(),
        }
    }

    /// A way to the buckets that is open while `is_open` says so. Whoever comes sets `asked`.
    async fn gate(at: &Description, is_open: &Arc<AtomicBool>, asked: &Arc<AtomicBool>) -> String {
        let service = at.bucket.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (is_open, asked) = (Arc::clone(is_open), Arc::clone(asked));
        tokio::spawn(async move {
            while let Ok((mut party, _)) = listener.accept().await {
                asked.store(true, Ordering::SeqCst);
                if is_open.load(Ordering::SeqCst) {
                    let mut service = TcpStream::connect(&service).await.unwrap();
                    tokio::spawn(async move { copy_bidirectional(&mut party, &mut service).await });
                }
            }
        });
        url
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn trouble_that_ends_before_the_own_bucket_is_asked_costs_no_honest_miner_a_window() {
        let folder = tempfile::tempdir().unwrap();
        let net = LocalNet::start(&options(folder.path())).await.unwrap();
        let at = net.description();
        let subnet = clients(net.network().clone(), at).await.unwrap();
        let (validator, miner) = (development_key(VALIDATOR).account(), development_key("//Bob"));
        let bucket = settle(&subnet, at, &miner).await.unwrap();
        let account = miner.account();
        bucket.store.put(&file_key(&ss58::encode(&account), WINDOW), b"a file".to_vec()).await.unwrap();
        let root = WindowRoot::of_file(WINDOW, b"a file");
        let committed = Committed { root, credentials: bucket.read.to_commitment().to_vec() };
        let (_stopper, stop) = Stopper::new();
        let flag = |is: bool| Arc::new(AtomicBool::new(is));
        let fetch = async |to_miners: &Arc<AtomicBool>, to_own: &Arc<AtomicBool>, own_asked: &Arc<AtomicBool>| {
            let tried = flag(false);
            let miners = gate(at, to_miners, &tried).await;
            let own = gate(at, to_own, own_asked).await;
            let own = OwnBucket::local(&own, &Access::derive(&at.secret, &validator), local_store()).unwrap();
            let fetcher = Fetcher {
                subnet: Subnet { buckets: Endpoint::At(miners), ..subnet.clone() },
                own,
                folder: folder.path().to_owned(),
                permits: Arc::new(Semaphore::new(1)),
                window: WINDOW,
                stop: stop.clone(),
                probed: Mutex::default(),
            };
            let fetched = fetcher.fetch(&account, Some(&committed)).await;
            assert!(tried.load(Ordering::SeqCst));
            fetched
        };
        // Nothing is reached until the own bucket is asked, and all of it from then on.
        let both = flag(false);
        assert!(matches!(fetch(&both, &flag(true), &both).await, Fetched::File(_)));
        // Controls: a miner's bucket that stays away is the miner's trouble, an own one that is away the validator's.
        let (away, asked) = (flag(false), flag(false));
        let fetched = fetch(&away, &flag(true), &asked).await;
        assert!(matches!(&fetched, Fetched::Void(r) if r.kind == ReasonKind::Unreadable), "{fetched:?}");
        let fetched = fetch(&away, &away, &asked).await;
        assert!(matches!(&fetched, Fetched::Trouble(why) if why.contains("the own bucket")), "{fetched:?}");
        assert!(asked.load(Ordering::SeqCst));
        net.shutdown().await;
    }
}
