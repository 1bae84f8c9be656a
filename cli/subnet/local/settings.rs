//! What a local network's folder holds beside the servers' own data.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use grail_engine::types::Sampling;
use grail_protocol::params::{ENVIRONMENT, Parameters};
use grail_protocol::{AccountId, Hash};
use serde::{Deserialize, Serialize};

use super::{private, unix_seconds};
use crate::beacon::ChainInfo;
use crate::commands::Usage;
use crate::network::NetworkFile;
use crate::subnet::ModelIdentity;

/// Says where a network that is running can be reached.
pub const DESCRIPTION: &str = "localnet.json";
/// What the parties agree on.
pub const NETWORK: &str = "network.json";
const KEPT: &str = "kept.json";

const NETUID: u16 = 81;
const DEFAULT_BLOCK_TIME: Duration = Duration::from_secs(1);
const DEFAULT_MAX_NEW_TOKENS: u32 = 160;
const DEFAULT_ROLLOUTS: u32 = 4;
const DEFAULT_MAX_GROUPS: u32 = 512;

/// Ports of the servers; 0 is any that is free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ports {
    /// Of the chain.
    pub chain: u16,
    /// Of the beacon.
    pub beacon: u16,
    /// Of the buckets.
    pub bucket: u16,
}

/// Sizes that a new network gets; a network that is there already keeps its own, and refuses others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Blocks per window.
    pub window_length: Option<u64>,
    /// Most tokens of an answer.
    pub max_new_tokens: Option<u32>,
    /// Answers to each problem.
    pub rollouts_per_problem: Option<u32>,
    /// Most groups of a file.
    pub max_groups: Option<u32>,
}

/// How to start a network.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// Its folder.
    pub folder: PathBuf,
    /// Its ports.
    pub ports: Ports,
    /// Time between blocks.
    pub block_time: Option<Duration>,
    /// Sizes.
    pub sizes: Sizes,
    /// Blocks of an epoch, after which committed weights are revealed; `None`: weights are set openly.
    pub commit_reveal: Option<u16>,
    /// The block that brings the next version of the chain's runtime.
    pub upgrade_at: Option<u32>,
    /// The model that its miners run.
    pub model: ModelIdentity,
    /// Hotkeys with stake and a permit from the first block on.
    pub validators: Vec<AccountId>,
    /// Hotkeys that are registered from the first block on.
    pub miners: Vec<AccountId>,
}

/// Where a running network is, for those who join it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// WebSocket URL of the chain.
    pub chain: String,
    /// URL of the beacon's relay.
    pub beacon: String,
    /// URL of the store that holds all buckets.
    pub bucket: String,
    /// All credentials follow from it.
    #[serde(with = "hex::serde")]
    pub secret: Hash,
    /// Time between blocks in milliseconds.
    pub block_time_ms: u64,
}

impl Description {
    /// Reads a folder's; none if no network runs there.
    ///
    /// # Errors
    /// A file that cannot be read as one.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        read(&folder.join(DESCRIPTION))
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        write(&folder.join(DESCRIPTION), self)
    }
}

/// What must not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    #[serde(with = "hex::serde")]
    pub secret: Hash,
    pub genesis_time: u64,
    pub block_time_ms: u64,
    pub validators: Vec<AccountId>,
    pub miners: Vec<AccountId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_reveal: Option<u16>,
}

impl Kept {
    /// The folder's, or new ones if it has none.
    pub fn of(options: &LocalOptions) -> Result<Self> {
        let path = options.folder.join(KEPT);
        let asked = options.block_time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        if let Some(kept) = read::<Self>(&path)? {
            let has = kept.block_time_ms;
            if let Some(asked) = asked.filter(|&asked| asked != has) {
                bail!(other(options, "--block-time", format!("{has} ms"), format!("{asked} ms")));
            }
            if let Some(asked) = options.commit_reveal.filter(|&asked| kept.commit_reveal != Some(asked)) {
                let has = kept.commit_reveal.map_or("none".to_owned(), |blocks| format!("{blocks} blocks"));
                bail!(other(options, "--commit-reveal", has, format!("{asked} blocks")));
            }
            if let Some(missing) = options.validators.iter().find(|v| !kept.validators.contains(v)) {
                let missing = grail_protocol::ss58::encode(missing);
                bail!(other(options, "--validator", "others".into(), missing));
            }
            return Ok(kept);
        }
        let block_time_ms = asked.unwrap_or(DEFAULT_BLOCK_TIME.as_millis() as u64);
        ensure!(block_time_ms >= 50, Usage(format!("--block-time: {block_time_ms} ms; at least 50 ms")));
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|e| anyhow::anyhow!("the system's random numbers: {e}"))?;
        // Rounds begin before the first block does.
        let genesis_time = unix_seconds().saturating_sub(60);
        let kept = Self {
            secret,
            genesis_time,
            block_time_ms,
            validators: options.validators.clone(),
            miners: options.miners.clone(),
            commit_reveal: options.commit_reveal,
        };
        write(&path, &kept)?;
        Ok(kept)
    }

    /// Seconds between rounds.
    pub fn beacon_period(&self) -> u32 {
        if self.block_time_ms < 3000 { 1 } else { 3 }
    }
}

fn other(options: &LocalOptions, flag: &str, has: String, asked: String) -> Usage {
    let folder = options.folder.display();
    Usage(format!("{flag}: {asked}, but the network in {folder} has {has}; leave it out, or use another --data folder"))
}

/// The folder's parameters, which the options must not contradict; or new ones if it has none.
pub fn network(
    folder: &Path,
    options: &LocalOptions,
    kept: &Kept,
    genesis_hash: Hash,
    beacon: &ChainInfo,
) -> Result<NetworkFile> {
    let path = folder.join(NETWORK);
    let (model, sizes) = (&options.model, &options.sizes);
    if path.exists() {
        let found = NetworkFile::read(&path).with_context(|| path.display().to_string())?;
        let p = found.network().parameters();
        ensure!(p.genesis_hash == genesis_hash, "{}: of another chain than the one in its folder", path.display());
        let texts = |asked: Option<u64>, has: u64| {
            asked.filter(|&asked| asked != has).map(|asked| (has.to_string(), asked.to_string()))
        };
        for (flag, differ) in [
            ("--window-length", texts(sizes.window_length, p.window_length)),
            ("--max-new-tokens", texts(sizes.max_new_tokens.map(u64::from), p.max_new_tokens.into())),
            ("--rollouts-per-problem", texts(sizes.rollouts_per_problem.map(u64::from), p.rollouts_per_problem.into())),
            ("--max-groups", texts(sizes.max_groups.map(u64::from), p.max_groups.into())),
        ] {
            if let Some((has, asked)) = differ {
                bail!(other(options, flag, has, asked));
            }
        }
        if p.weights_digest != model.digest {
            bail!(other(options, "--model", format!("the model {}", p.model_name), model.name.clone()));
        }
        return Ok(found);
    }
    let Sampling { temperature, top_k, top_p, repetition_penalty } = Sampling::default();
    let parameters = Parameters {
        genesis_hash,
        netuid: NETUID,
        window_length: sizes.window_length.unwrap_or(grail_protocol::params::DEFAULT_WINDOW_LENGTH),
        beacon_chain_hash: *beacon.hash(),
        beacon_delay_ms: kept.block_time_ms,
        model_name: model.name.clone(),
        weights_digest: model.digest,
        environment: ENVIRONMENT.into(),
        rollouts_per_problem: sizes.rollouts_per_problem.unwrap_or(DEFAULT_ROLLOUTS),
        max_new_tokens: sizes.max_new_tokens.unwrap_or(DEFAULT_MAX_NEW_TOKENS),
        eos_ids: model.eos_ids.clone(),
        temperature,
        top_k,
        top_p,
        repetition_penalty,
        max_groups: sizes.max_groups.unwrap_or(DEFAULT_MAX_GROUPS),
    };
    let network = NetworkFile::new(parameters, beacon.clone())?;
    private(&path, &network.to_text()).with_context(|| path.display().to_string())?;
    Ok(network)
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(serde_json::from_str(&text).with_context(|| path.display().to_string())?)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| path.display().to_string()),
    }
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value).context("JSON")?;
    private(path, &text).with_context(|| path.display().to_string())
}
