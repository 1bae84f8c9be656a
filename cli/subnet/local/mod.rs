//! A whole network on loopback: chain, beacon and buckets served over their real protocols from one folder (DESIGN 5).
//!
//! What must stay the same when a folder is opened again is kept in it: the network's parameters, and a secret that
//! the beacon's key and all credentials follow from. It proves nothing to strangers and is not made for them.

mod settings;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use grail_beacon::{Clock, LocalBeacon};
use grail_localnet::beacon::BeaconServer;
use grail_localnet::bucket::{Access, BucketServer};
use grail_localnet::chain::{self, ChainConfig, ChainServer, GenesisConfig, GenesisNeuron};
use grail_protocol::AccountId;
use grail_protocol::encoding::sha256;
use grail_protocol::signature::Signer;
use tokio::task::JoinHandle;

use crate::network::NetworkFile;
use crate::wallet::uri;
use settings::{DESCRIPTION, Kept};
pub use settings::{Description, LocalOptions, Ports, Sizes};

/// The development coldkey that pays registrations.
pub const COLDKEY: &str = "//Alice";
/// The development hotkey that a miner uses where none is named.
pub const MINER: &str = "//Miner";
/// The development hotkey that a validator uses where none is named; it has stake and a permit.
pub const VALIDATOR: &str = "//Validator";

/// Enough for thousands of registrations, in rao.
const BALANCE: u64 = 1_000_000_000_000_000;
const STAKE: u64 = 1_000_000_000_000;

/// A local network that is being served. Dropping it ends the service.
pub struct LocalNet {
    chain: ChainServer,
    beacon: BeaconServer,
    bucket: Arc<BucketServer>,
    granter: JoinHandle<()>,
    folder: PathBuf,
    description: Description,
    network: NetworkFile,
}

/// The clock that blocks are made by.
struct BlockClock(Clock);

impl chain::Clock for BlockClock {
    fn now_ms(&self) -> u64 {
        self.0.now_ms()
    }
}

/// A development key by its name.
///
/// # Panics
/// For a text that is no such name.
#[must_use]
pub fn development_key(name: &str) -> Signer {
    uri::parse(name).expect("a development key").into_signer()
}

impl LocalNet {
    /// Begins a network in a folder, or goes on with the one there.
    ///
    /// # Errors
    /// A folder that cannot be used or is in use, options that are not those of the network there, a busy port.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub async fn start(options: &LocalOptions) -> Result<Self> {
        Self::start_by(options, Clock::system()).await
    }

    /// The same by a clock that may be set at any time.
    ///
    /// # Errors
    /// As [`LocalNet::start`].
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub async fn start_by(options: &LocalOptions, clock: Clock) -> Result<Self> {
        let folder = &options.folder;
        fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
        let kept = Kept::of(options)?;
        let block_time = Duration::from_millis(kept.block_time_ms);
        // One for both: rounds of the beacon follow from times of blocks.
        let clock = Clock::steady_over(clock);
        let config = ChainConfig {
            genesis: genesis(&kept),
            block_time: Some(block_time),
            finality_lag: 0,
            upgrade_at: options.upgrade_at,
            clock: Arc::new(BlockClock(clock.clone())),
            beacon: Some(Arc::new(seeded(&kept)?)),
        };
        let node =
            chain::Chain::open(config, Some(&folder.join("chain"))).map_err(|error| in_use(folder, error.into()))?;
        let beacon = seeded(&kept)?;
        let network = settings::network(folder, options, &kept, node.genesis_hash(), beacon.info())?;

        let Ports { chain, beacon: beacon_port, bucket } = options.ports;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, chain));
        let bucket = BucketServer::start(bucket, &folder.join("bucket")).await;
        let bucket = bucket.map_err(|error| port_taken("--bucket-port", error.into()))?;
        let beacon = BeaconServer::start(beacon_port, beacon, clock);
        let beacon = beacon.await.with_context(|| format!("beacon port {beacon_port}"));
        let beacon = beacon.map_err(|error| port_taken("--beacon-port", error))?;
        let bucket = Arc::new(bucket);
        grant(&bucket, &kept.secret, &node.hotkeys());
        let granter = tokio::spawn(grant_new(Arc::clone(&bucket), kept.secret, node.clone()));
        // Last: whoever finds the chain finds the rest.
        let chain = node.serve(address).await.map_err(|error| port_taken("--chain-port", error.into()))?;
        let description = Description {
            chain: chain.url(),
            beacon: beacon.url(),
            bucket: bucket.url(),
            secret: kept.secret,
            block_time_ms: kept.block_time_ms,
        };
        description.write(folder)?;
        Ok(Self { chain, beacon, bucket, granter, folder: folder.clone(), description, network })
    }

    /// Where everything is.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// What its parties agree on.
    #[must_use]
    pub fn network(&self) -> &NetworkFile {
        &self.network
    }

    /// Ends the service; its state stays in the folder.
    pub async fn shutdown(self) {
        // Nobody is to look for what is not there any more; who does all the same is refused.
        let _ = fs::remove_file(self.folder.join(DESCRIPTION));
        self.granter.abort();
        let _ = self.granter.await;
        self.chain.shutdown().await;
        self.beacon.shutdown().await;
        if let Ok(bucket) = Arc::try_unwrap(self.bucket) {
            bucket.shutdown().await;
        }
    }
}

fn seeded(kept: &Kept) -> Result<LocalBeacon> {
    let seed = sha256(&[b"beacon".as_slice(), &kept.secret].concat());
    Ok(LocalBeacon::from_seed(&seed, kept.genesis_time, kept.beacon_period())?)
}

/// A port that another process has is told with the flag that takes another.
fn port_taken(flag: &str, error: anyhow::Error) -> anyhow::Error {
    let of = |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<io::Error>().map(io::Error::kind);
    match error.chain().any(|cause| of(cause) == Some(io::ErrorKind::AddrInUse)) {
        true => error.context(format!("{flag}: another program has this port; {flag} 0 takes any that is free")),
        false => error.context(flag.to_owned()),
    }
}

/// A folder whose chain another process has open is told as what it means.
fn in_use(folder: &Path, error: anyhow::Error) -> anyhow::Error {
    let folder = folder.display();
    match super::join::is_in_use(&error) {
        true => error.context(format!(
            "{folder}: another process serves this network; mine and validate join it, another network needs another --data folder"
        )),
        false => error.context(format!("{folder}: chain")),
    }
}

/// Opens the buckets of new hotkeys as they are registered.
async fn grant_new(bucket: Arc<BucketServer>, secret: [u8; 32], node: chain::Chain) {
    let mut heads = node.watch_heads();
    let mut known = 0;
    loop {
        let hotkeys = node.hotkeys();
        grant(&bucket, &secret, &hotkeys[known..]);
        known = hotkeys.len();
        if heads.changed().await.is_err() {
            return;
        }
    }
}

fn grant(bucket: &BucketServer, secret: &[u8; 32], hotkeys: &[AccountId]) {
    for hotkey in hotkeys {
        if let Err(error) = bucket.grant(&Access::derive(secret, hotkey)) {
            tracing::error!(%error, "a hotkey's bucket");
        }
    }
}

fn genesis(kept: &Kept) -> GenesisConfig {
    let coldkey = development_key(COLDKEY).account();
    let named = kept.validators.iter().copied();
    let validators = [development_key(VALIDATOR).account()].into_iter().chain(named);
    let validator = |hotkey| GenesisNeuron { hotkey, coldkey, stake: STAKE, validator_permit: true };
    let miner = |&hotkey: &AccountId| GenesisNeuron { hotkey, coldkey, stake: 0, validator_permit: false };
    let usual = GenesisConfig::default();
    GenesisConfig {
        owner_coldkey: coldkey,
        owner_hotkey: development_key(VALIDATOR).account(),
        commit_reveal: kept.commit_reveal.is_some(),
        // The chain's number is one less than the blocks of an epoch.
        tempo: kept.commit_reveal.map_or(usual.tempo, |blocks| blocks - 1),
        // Windows of seconds commit more often than the real chain's windows of ten minutes.
        max_space: u32::MAX,
        balances: vec![(coldkey, BALANCE)],
        neurons: validators.map(validator).chain(kept.miners.iter().map(miner)).collect(),
        ..usual
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Writes a file that only its owner can read, whole or not at all.
fn private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let part = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, path)
}
