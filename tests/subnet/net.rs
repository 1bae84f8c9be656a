//! A local network served by the real binary, and what a test reads from it: the chain's state, buckets, windows.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use grail::network::NetworkFile;
use grail::subnet::local::{Description, development_key};
use grail::subnet::{OwnBucket, Stop, Stopper, Subnet, clients, file_key, head_of, settle, window_of};
use grail_chain::{Block, Commitment};
use grail_localnet::bucket::Access;
use grail_protocol::AccountId;
use grail_protocol::assignment::WindowHead;
use grail_protocol::signature::Signer;
use grail_protocol::ss58;
use grail_store::{Bucket, Settings, Store};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::process::{Process, eventually};

/// For what takes seconds on a quiet machine; this one may be busy.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Held by every network. Most wait for blocks nearly all of their time and run side by side, as many as the test harness
/// has threads; one that keeps the processors busy has them to itself.
static PLACES: RwLock<()> = RwLock::new(());

/// A place on this machine.
pub enum Place {
    Beside { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

impl Place {
    /// Beside others.
    pub fn beside() -> Self {
        Self::Beside { _guard: PLACES.read().unwrap_or_else(PoisonError::into_inner) }
    }

    /// With no other network.
    pub fn alone() -> Self {
        Self::Alone { _guard: PLACES.write().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// Where the test's own clients run.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads")
    })
}

/// Ports that nobody has, all different.
pub fn free_ports() -> [u16; 3] {
    let held: [TcpListener; 3] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
    held.map(|listener| listener.local_addr().expect("an address").port())
}

/// A data folder, and at most one network in it.
pub struct Net {
    // Fields are dropped in this order: first what uses the folder.
    pub localnet: Option<Process>,
    stopper: Stopper,
    pub stop: Stop,
    pub ports: [u16; 3],
    sizes: Vec<String>,
    /// What the network's process has in its environment.
    pub variables: Vec<(&'static str, String)>,
    folder: TempDir,
    _place: Place,
}

/// The variables of a miner's own bucket, at the servers of a local network.
pub fn bucket_variables(access: Access, url: String) -> [(&'static str, String); 8] {
    [
        ("R2_ACCOUNT_ID", access.bucket.clone()),
        ("R2_BUCKET_ID", access.bucket),
        ("R2_ENDPOINT_URL", url),
        ("R2_FORCE_PATH_STYLE", "true".to_owned()),
        ("R2_WRITE_ACCESS_KEY_ID", access.write.id),
        ("R2_WRITE_SECRET_ACCESS_KEY", access.write.secret),
        ("R2_READ_ACCESS_KEY_ID", access.read.id),
        ("R2_READ_SECRET_ACCESS_KEY", access.read.secret),
    ]
}

impl Net {
    /// A folder with no network yet. `sizes` are flags of `grail localnet`.
    pub fn planned(sizes: &[&str]) -> Self {
        Self::planned_at(Place::beside(), sizes)
    }

    fn planned_at(place: Place, sizes: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("grail-subnet-").tempdir().expect("a folder");
        let (stopper, stop) = Stopper::new();
        let sizes = sizes.iter().map(|&flag| flag.to_owned()).collect();
        let variables = Vec::new();
        Self { localnet: None, stopper, stop, ports: free_ports(), sizes, variables, folder, _place: place }
    }

    /// A network that runs.
    pub fn start(sizes: &[&str]) -> Self {
        let mut net = Self::planned(sizes);
        net.serve();
        net
    }

    /// A network that runs and whose parties take all of both cores.
    pub fn start_alone(sizes: &[&str]) -> Self {
        let mut net = Self::planned_at(Place::alone(), sizes);
        net.serve();
        net
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn home(&self) -> &Path {
        self.folder.path()
    }

    /// Flags that serve this network.
    pub fn flags(&self) -> Vec<String> {
        let mut flags = vec!["localnet".to_owned(), "--json".to_owned(), "--data".to_owned(), text(&self.data())];
        for (flag, port) in ["--chain-port", "--beacon-port", "--bucket-port"].into_iter().zip(self.ports) {
            flags.extend([flag.to_owned(), port.to_string()]);
        }
        flags.extend(self.sizes.clone());
        flags
    }

    /// Starts the network, or starts it again, on its ports.
    pub fn serve(&mut self) {
        let flags = self.flags();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let mut localnet = Process::start_with(self.home(), &flags, &self.variables);
        localnet.event("the local network", PATIENCE, |told| told["chain"].is_string());
        self.localnet = Some(localnet);
    }

    /// SIGKILL of the whole network.
    pub fn kill(&mut self) {
        self.localnet.as_mut().expect("a network that runs").kill();
        self.localnet = None;
    }

    /// A party's process in this folder.
    pub fn party(&self, command: &str, flags: &[&str]) -> Process {
        let data = text(&self.data());
        let args = [&[command, "--data", &data, "--json", "--threads", "1", "--memory", "1GiB"], flags].concat();
        Process::start(self.home(), &args)
    }

    pub fn network(&self) -> NetworkFile {
        NetworkFile::read(&self.localnet_folder().join("network.json")).expect("a network file")
    }

    pub fn localnet_folder(&self) -> PathBuf {
        self.data().join("localnet")
    }

    pub fn description(&self) -> Description {
        Description::read(&self.localnet_folder()).expect("a file of ours").expect("a network that runs")
    }

    /// The clients that the program has.
    pub fn subnet(&self) -> Subnet {
        runtime().block_on(clients(self.network(), &self.description())).expect("a network that runs")
    }

    pub fn settle(&self, subnet: &Subnet, signer: &Signer) -> OwnBucket {
        runtime().block_on(settle(subnet, &self.description(), signer)).expect("a place")
    }

    /// A hotkey's bucket as its owner sees it.
    pub fn bucket(&self, account: &AccountId) -> Store {
        let at = self.description();
        let access = Access::derive(&at.secret, account);
        let bucket = Bucket {
            endpoint: at.bucket,
            region: "auto".to_owned(),
            name: access.bucket,
            access_key_id: access.write.id,
            secret_access_key: access.write.secret.as_str().into(),
            force_path_style: true,
        };
        Store::new(bucket, Settings::default()).expect("a bucket")
    }

    /// Keys in a hotkey's bucket that begin with a prefix.
    pub fn keys(&self, account: &AccountId, prefix: &str) -> Vec<String> {
        let store = self.bucket(account);
        let listed = runtime().block_on(store.list(prefix, 1000)).expect("a listing");
        listed.into_iter().map(|object| object.key).collect()
    }

    pub fn object(&self, account: &AccountId, key: &str) -> Option<Vec<u8>> {
        let store = self.bucket(account);
        match runtime().block_on(store.get_capped(key, 64 << 20)) {
            Ok(bytes) => Some(bytes),
            Err(grail_store::Error::NotFound { .. }) => None,
            Err(error) => panic!("{key}: {error}"),
        }
    }

    /// A miner's file of a window.
    pub fn file(&self, account: &AccountId, window: u64) -> Option<Vec<u8>> {
        self.object(account, &file_key(&ss58::encode(account), window))
    }

    /// Number of the newest block.
    pub fn best(&self, subnet: &Subnet) -> u64 {
        runtime().block_on(subnet.chain.best()).expect("the chain").number
    }

    /// First block of the window that is under way.
    pub fn window(&self, subnet: &Subnet) -> u64 {
        window_of(self.best(subnet), subnet.window_length())
    }

    /// Waits for a finalised block.
    pub fn reach(&self, subnet: &Subnet, number: u64) -> Block {
        let what = format!("block {number}");
        let look = || runtime().block_on(subnet.chain.block(number)).ok();
        eventually(&what, PATIENCE, look, || self.localnet.as_ref().map_or_else(String::new, Process::story))
    }

    /// A window's head, as every honest party derives it.
    pub fn head(&self, subnet: &Subnet, window: u64) -> WindowHead {
        let block = self.reach(subnet, window);
        let beacon = subnet.beacon_of(block.timestamp_ms, &self.stop, || PATIENCE);
        head_of(&block, runtime().block_on(beacon).expect("a beacon"))
    }

    /// What a hotkey had committed at a block.
    pub fn commitment(&self, subnet: &Subnet, number: u64, account: &AccountId) -> Option<Commitment> {
        let block = self.reach(subnet, number);
        runtime().block_on(subnet.chain.commitment(&block, account)).expect("the chain's state")
    }

    /// Weights that a validator has on chain now, by uid.
    pub fn weights(&self, subnet: &Subnet, validator: &AccountId) -> Vec<(u16, u16)> {
        let weights = async {
            let best = subnet.chain.best().await?;
            let uid = subnet.chain.registration(&best, validator).await?.expect("a validator with a place");
            Ok::<_, anyhow::Error>(subnet.chain.weights(&best, uid).await?)
        };
        runtime().block_on(weights).expect("the chain's state")
    }

    /// The number of a hotkey now.
    pub fn uid(&self, subnet: &Subnet, account: &AccountId) -> u16 {
        let uid = async {
            let best = subnet.chain.best().await?;
            Ok::<_, anyhow::Error>(subnet.chain.registration(&best, account).await?)
        };
        runtime().block_on(uid).expect("the chain's state").expect("a place")
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.stopper.stop();
    }
}

pub fn text(path: &Path) -> String {
    path.to_str().expect("Unicode").to_owned()
}

pub fn account(name: &str) -> AccountId {
    development_key(name).account()
}

/// An event about a window.
pub fn of_window(event: &Value, name: &str, window: u64) -> bool {
    event["event"] == name && event["window"] == window
}
