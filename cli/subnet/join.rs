//! From what was typed to a network with its clients, a key and a bucket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use grail_beacon::client::{Client, ClientError, PUBLIC_RELAYS, Settings as BeaconSettings};
use grail_beacon::{ChainInfo, Scheme};
use grail_chain::{Chain, ConnectError, Settings as ChainSettings, Wait};
use grail_engine::tokenizer::Tokenizer;
use grail_localnet::bucket::Access;
use grail_protocol::Hash;
use grail_protocol::signature::Signer;
use grail_protocol::ss58;
use grail_store::{Endpoint, Settings as StoreSettings};

use super::local::{COLDKEY, Description, LocalNet, LocalOptions, Ports, Sizes, development_key};
use super::{OwnBucket, Subnet};
use crate::commands::Usage;
use crate::flags::{NetworkName, SubnetFlags};
use crate::identity;
use crate::load::Opened;
use crate::network::NetworkFile;

/// How long a local network is waited for that another process is starting.
const STARTING: Duration = Duration::from_secs(15);
/// For the first answer of a local network that may be gone.
const LOCAL_CONNECT: Duration = Duration::from_secs(3);
/// Block time of the real chain.
const BLOCK_TIME: Duration = Duration::from_secs(12);

/// What a network needs to know of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelIdentity {
    /// Its name on the network.
    pub name: String,
    /// Its weights digest.
    pub digest: Hash,
    /// Tokens that end an answer.
    pub eos_ids: Vec<u32>,
}

impl ModelIdentity {
    /// Of a model that was named by a flag.
    ///
    /// # Errors
    /// Files that cannot be read, and a tokenizer without an eos token.
    pub fn of(argument: &str, opened: &Opened, tokenizer: &Tokenizer) -> Result<Self> {
        let eos = tokenizer.eos_id().context("the model's tokenizer names no eos token, which prompts need")?;
        let name = argument.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or("model").to_owned();
        Ok(Self { name, digest: identity::of(opened)?, eos_ids: vec![eos] })
    }
}

/// A place on a network.
pub struct Joined {
    /// The network.
    pub subnet: Subnet,
    /// Our bucket.
    pub bucket: OwnBucket,
    /// The network itself, if this process serves it.
    pub local: Option<LocalNet>,
    /// Where state is kept.
    pub data: PathBuf,
}

/// Connects to the network that was named, starting a local one if none runs.
///
/// # Errors
/// What was typed, what cannot be reached, and a model that is not the network's.
pub async fn join(flags: &SubnetFlags, model: &ModelIdentity, signer: &Signer) -> Result<Joined> {
    let data = flags.data_folder()?;
    let joined = match &flags.network {
        NetworkName::Local if flags.chain_endpoint.is_empty() => local(flags, model, signer, data).await?,
        _ => remote(flags, data).await?,
    };
    let parameters = joined.subnet.network.network().parameters();
    let (named, digest) = (hex::encode(parameters.weights_digest), hex::encode(model.digest));
    ensure!(
        named == digest,
        Usage(format!("--model: its weights digest is {digest}, the network's is {named} ({})", parameters.model_name))
    );
    let (asked, netuid) = (flags.netuid, parameters.netuid);
    ensure!(
        asked == netuid,
        Usage(format!("--netuid: {asked}, the network's parameters say {netuid}; --netuid {netuid}, if that is meant"))
    );
    let genesis = joined.subnet.chain.genesis_hash();
    ensure!(
        genesis == parameters.genesis_hash,
        "the chain's genesis is 0x{}, the network's parameters say 0x{}",
        hex::encode(genesis),
        hex::encode(parameters.genesis_hash)
    );
    Ok(joined)
}

/// Clients of a local network.
///
/// # Errors
/// What cannot be reached.
pub async fn clients(network: NetworkFile, at: &Description) -> Result<Subnet> {
    let chain = local_chain(&network, at).await?;
    let beacon = Client::new(network.beacon().clone(), &[&at.beacon], BeaconSettings::default())?;
    Ok(Subnet::new(network, chain, beacon, Endpoint::At(at.bucket.clone())))
}

/// The beacon that a chain ties committed weights to. Of those that can be encrypted to, a real chain knows quicknet
/// alone, and a local one its own, which is the network's too.
fn timelock(network: &NetworkFile) -> ChainInfo {
    match network.beacon().parts().scheme {
        Scheme::UnchainedG1 => network.beacon().clone(),
        Scheme::Chained => ChainInfo::quicknet(),
    }
}

/// A client of a local network's chain.
///
/// # Errors
/// A chain that cannot be reached.
pub async fn local_chain(network: &NetworkFile, at: &Description) -> Result<Chain, ConnectError> {
    let block_time = Duration::from_millis(at.block_time_ms);
    let mut settings = ChainSettings::new(network.network().parameters().netuid, block_time);
    settings.timelock = timelock(network);
    // Windows of seconds cannot wait for half a minute.
    settings.request_timeout = LOCAL_CONNECT.max(block_time * 4);
    settings.longest_backoff = Duration::from_secs(2).max(block_time * 2);
    Chain::connect(std::slice::from_ref(&at.chain), settings).await
}

/// A client of the chain that was named by its addresses, or by its network's name.
///
/// # Errors
/// A chain that cannot be reached, or is not that of the parameters.
pub async fn remote_chain(flags: &SubnetFlags, network: &NetworkFile) -> Result<Chain, ConnectError> {
    let endpoints = match flags.chain_endpoint.is_empty() {
        true => flags.network.endpoints(),
        false => flags.chain_endpoint.clone(),
    };
    let parameters = network.network().parameters();
    let mut settings = ChainSettings::new(parameters.netuid, flags.block_time.map_or(BLOCK_TIME, |time| time.0));
    settings.expected_genesis = Some(parameters.genesis_hash);
    settings.timelock = timelock(network);
    Chain::connect(&endpoints, settings).await
}

/// A client of the relays that were named, else of drand's public ones.
///
/// # Errors
/// A relay's address that is none.
pub fn remote_beacon(flags: &SubnetFlags, network: &NetworkFile) -> Result<Client, ClientError> {
    let public: Vec<String> = PUBLIC_RELAYS.iter().map(|&relay| relay.to_owned()).collect();
    let relays = if flags.beacon_relay.is_empty() { &public } else { &flags.beacon_relay };
    Client::new(network.beacon().clone(), relays, BeaconSettings::default())
}

/// The network file that was named.
///
/// # Errors
/// None was named, or it cannot be read as one.
pub fn remote_network(flags: &SubnetFlags) -> Result<NetworkFile> {
    let Some(path) = &flags.parameters else {
        let name = &flags.network;
        bail!(Usage(format!("--network {name}: needs --parameters FILE, what the parties of the network agree on")));
    };
    NetworkFile::read(path).with_context(|| format!("--parameters {}", path.display()))
}

/// How a local network's buckets are tried: near, so an answer that takes long does not come.
#[must_use]
pub fn local_store() -> StoreSettings {
    StoreSettings {
        connect_timeout: Duration::from_secs(2),
        first_backoff: Duration::from_millis(100),
        longest_backoff: Duration::from_secs(1),
        attempts: 3,
        ..StoreSettings::default()
    }
}

/// Takes a place on a local network for a hotkey: registered if it is not, and with its bucket.
///
/// # Errors
/// What the chain refuses.
pub async fn settle(subnet: &Subnet, at: &Description, signer: &Signer) -> Result<OwnBucket> {
    let account = signer.account();
    let head = subnet.chain.head().await?;
    if subnet.chain.registration(&head, &account).await?.is_none() {
        tracing::info!(hotkey = ss58::encode(&account), "registering with the development coldkey {COLDKEY}");
        let registered = subnet.chain.burned_register(&development_key(COLDKEY), &account, Wait::Finality).await;
        registered.with_context(|| format!("registering {}", ss58::encode(&account)))?;
    }
    OwnBucket::local(&at.bucket, &Access::derive(&at.secret, &account), local_store())
}

async fn local(flags: &SubnetFlags, model: &ModelIdentity, signer: &Signer, data: PathBuf) -> Result<Joined> {
    if flags.parameters.is_some() || !flags.beacon_relay.is_empty() {
        bail!(Usage("--parameters and --beacon-relay are for other networks than local, which knows its own".into()));
    }
    let folder = data.join("localnet");
    let (subnet, at, local) = match running(&folder).await? {
        Some((subnet, at)) => (subnet, at, None),
        None => start(&folder, model).await?,
    };
    let bucket = settle(&subnet, &at, signer).await?;
    Ok(Joined { subnet, bucket, local, data })
}

/// A network that runs in a folder, if there is one.
async fn running(folder: &Path) -> Result<Option<(Subnet, Description)>> {
    let Some(at) = Description::read(folder)? else {
        return Ok(None);
    };
    let network = NetworkFile::read(&folder.join("network.json"))?;
    match clients(network, &at).await {
        Ok(subnet) => {
            tracing::info!(chain = at.chain, "joining the local network");
            Ok(Some((subnet, at)))
        }
        Err(error) => {
            tracing::debug!(%error, "no local network is running");
            Ok(None)
        }
    }
}

/// Starts a network in this process; or joins one that another process started just now.
async fn start(folder: &Path, model: &ModelIdentity) -> Result<(Subnet, Description, Option<LocalNet>)> {
    let options = LocalOptions {
        folder: folder.to_owned(),
        ports: Ports::default(),
        block_time: None,
        sizes: Sizes::default(),
        commit_reveal: None,
        upgrade_at: None,
        model: model.clone(),
        validators: Vec::new(),
        miners: Vec::new(),
    };
    let refused = match LocalNet::start(&options).await {
        Ok(local) => {
            let at = local.description().clone();
            tracing::info!(chain = at.chain, "started a local network, which ends with this program");
            let subnet = clients(local.network().clone(), &at).await?;
            return Ok((subnet, at, Some(local)));
        }
        Err(refused) => refused,
    };
    let begun = std::time::Instant::now();
    while is_in_use(&refused) && begun.elapsed() < STARTING {
        if let Some((subnet, at)) = running(folder).await? {
            return Ok((subnet, at, None));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Err(refused)
}

/// Whether an error means that another process has the network's folder.
pub(super) fn is_in_use(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.to_string().contains("already open"))
}

async fn remote(flags: &SubnetFlags, data: PathBuf) -> Result<Joined> {
    let network = remote_network(flags)?;
    let chain = remote_chain(flags, &network).await?;
    let beacon = remote_beacon(flags, &network)?;
    let bucket = OwnBucket::from_env(StoreSettings::default())?;
    let buckets = flags.buckets_endpoint.clone().map_or(Endpoint::R2, Endpoint::At);
    Ok(Joined { subnet: Subnet::new(network, chain, beacon, buckets), bucket, local: None, data })
}
