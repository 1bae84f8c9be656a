//! Flags of the commands that take part in a network.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum, value_parser};

use super::{Address, EngineFlags, ModelFlag, MonitorFlags, SignerFlags};

/// Where a network is.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Network")]
pub struct SubnetFlags {
    /// local (on this machine: joined if it runs, else started), finney, test, or a chain's ws:// or wss:// address
    #[arg(long, value_name = "NAME", env = "BT_NETWORK", default_value = "local")]
    pub network: NetworkName,
    /// Addresses of the chain, separated by commas, instead of those of the network's name
    #[arg(long, value_name = "URL,...", env = "BT_CHAIN_ENDPOINT", value_delimiter = ',', hide_env_values = true)]
    pub chain_endpoint: Vec<String>,
    /// What the parties of a network agree on; the local network has its own
    #[arg(long, value_name = "FILE", env = "GRAIL_PARAMETERS")]
    pub parameters: Option<PathBuf>,
    /// The subnet's number, which must be that of the parameters: nothing is signed for another by mistake
    #[arg(long, value_name = "N", env = "NETUID", default_value_t = 81)]
    pub netuid: u16,
    /// Relays of the beacon, separated by commas [default: drand's public ones]
    #[arg(long, value_name = "URL,...", env = "GRAIL_BEACON_RELAYS", value_delimiter = ',')]
    pub beacon_relay: Vec<String>,
    /// One endpoint for the buckets of all miners [default: R2's, by their account]
    #[arg(long, value_name = "URL", env = "GRAIL_BUCKETS_ENDPOINT")]
    pub buckets_endpoint: Option<String>,
    /// Time between blocks, such as 12s or 500ms, until it has been measured [default: 12s]
    #[arg(long, value_name = "TIME")]
    pub block_time: Option<DurationText>,
    /// Signs on a real network without asking, also the first time
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub data: DataFlag,
}

/// Where state is kept.
#[derive(Debug, Clone, Args)]
pub struct DataFlag {
    /// Folder for all state [default: grail in the user's data folder]
    #[arg(long = "data", value_name = "DIR", env = "GRAIL_DATA")]
    pub data: Option<PathBuf>,
}

impl SubnetFlags {
    /// Where state is kept.
    ///
    /// # Errors
    /// There is no home folder to find it in.
    pub fn data_folder(&self) -> Result<PathBuf> {
        self.data.folder()
    }
}

impl DataFlag {
    /// As typed, else of the environment, else as systems have it.
    ///
    /// # Errors
    /// There is no home folder to find it in.
    pub fn folder(&self) -> Result<PathBuf> {
        if let Some(folder) = &self.data {
            return Ok(folder.clone());
        }
        let absolute = |path: PathBuf| Some(path).filter(|path| path.is_absolute());
        let base = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).and_then(absolute);
        let home = || std::env::home_dir().and_then(absolute).map(|home| home.join(".local/share"));
        let base =
            base.or_else(home).context("there is no home folder; --data or GRAIL_DATA says where state is kept")?;
        Ok(base.join("grail"))
    }
}

/// A network by its name, or a chain by its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkName {
    /// On this machine.
    Local,
    /// Bittensor's main network.
    Finney,
    /// Bittensor's test network.
    Test,
    /// A chain's address.
    At(String),
}

impl NetworkName {
    /// Public addresses of the chain.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        match self {
            Self::Local => Vec::new(),
            Self::Finney => vec!["wss://entrypoint-finney.opentensor.ai:443".into()],
            Self::Test => vec!["wss://test.finney.opentensor.ai:443".into()],
            Self::At(url) => vec![url.clone()],
        }
    }
}

impl FromStr for NetworkName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "local" => Ok(Self::Local),
            "finney" => Ok(Self::Finney),
            "test" => Ok(Self::Test),
            url if url.starts_with("ws://") || url.starts_with("wss://") => Ok(Self::At(url.to_owned())),
            _ => Err("expected local, finney, test, or an address that begins with ws:// or wss://".to_owned()),
        }
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Finney => "finney",
            Self::Test => "test",
            // An address may hold a key.
            Self::At(_) => "of an address",
        })
    }
}

/// A time: `12s`, `500ms`, `2m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationText(pub Duration);

impl FromStr for DurationText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?} is no time; expected a whole number and ms, s or m");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| expected())?;
        let ms: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            _ => return Err(expected()),
        };
        match number.checked_mul(ms).filter(|&ms| (1..=86_400_000).contains(&ms)) {
            Some(ms) => Ok(Self(Duration::from_millis(ms))),
            None => Err(format!("{text:?}: expected 1ms to 1440m")),
        }
    }
}

/// `grail localnet`.
#[derive(Debug, Args)]
#[command(after_help = "\
Serves a chain (Substrate JSON-RPC over WebSocket), a beacon (drand HTTP) and buckets (S3) on loopback, from one folder
whose state survives. `grail mine` and `grail validate` on this machine find it. Development keys such as //Alice work;
//Validator has stake and a permit.

Examples:
  grail localnet
  grail localnet --block-time 500ms --window-length 20 --data ./net
  curl http://127.0.0.1:9945/info")]
pub struct Localnet {
    #[command(flatten)]
    pub model: ModelFlag,
    /// Port of the chain; 0 takes any that is free
    #[arg(long, value_name = "PORT", default_value_t = 9944)]
    pub chain_port: u16,
    /// Port of the beacon
    #[arg(long, value_name = "PORT", default_value_t = 9945)]
    pub beacon_port: u16,
    /// Port of the buckets
    #[arg(long, value_name = "PORT", default_value_t = 9946)]
    pub bucket_port: u16,
    /// Time between blocks, such as 12s or 500ms [default of a new network: 1s]
    #[arg(long, value_name = "TIME")]
    pub block_time: Option<DurationText>,
    /// Blocks per window [default of a new network: 50]
    #[arg(long, value_name = "BLOCKS", value_parser = value_parser!(u64).range(4..=100_000))]
    pub window_length: Option<u64>,
    /// Most tokens of an answer [default of a new network: 160]
    #[arg(long, value_name = "N", env = "GRAIL_MAX_NEW_TOKENS", value_parser = value_parser!(u32).range(1..=1 << 20))]
    pub max_new_tokens: Option<u32>,
    /// Answers to each problem [default of a new network: 4]
    #[arg(long, value_name = "N", env = "GRAIL_ROLLOUTS_PER_PROBLEM", value_parser = value_parser!(u32).range(1..=4096))]
    pub rollouts_per_problem: Option<u32>,
    /// Most groups of a window file [default of a new network: 512]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1 << 20))]
    pub max_groups: Option<u32>,
    /// Weights are committed, and revealed an epoch of this many blocks later [default of a new network: set openly]
    #[arg(long, value_name = "BLOCKS", value_parser = value_parser!(u16).range(2..))]
    pub commit_reveal: Option<u16>,
    /// The runtime is upgraded in this block, to rehearse that: versions count up, and the subnet's calls move
    #[arg(long, value_name = "BLOCK", value_parser = value_parser!(u32).range(1..))]
    pub upgrade_at: Option<u32>,
    /// Address of a hotkey that gets stake and a permit in the first block
    #[arg(long, value_name = "SS58")]
    pub validator: Vec<Address>,
    /// One JSON object that says where everything is, when it is up
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub data: DataFlag,
}

/// `grail mine`.
#[derive(Debug, Args)]
#[command(after_help = "\
Follows windows of blocks: draws the problems that a window assigns to the hotkey, lets the model answer them until the
time is nearly up, checks a group of its own, and publishes root and file. What is made is on disk at once: a miner that
was killed goes on where it was. Without a wallet, on the local network, the development key //Miner signs.

Examples:
  grail mine
  grail mine --windows 3 --uri //Bob
  grail mine --network wss://node.example --parameters net.json --wallet miner --hotkey first")]
pub struct Mine {
    #[command(flatten)]
    pub model: ModelFlag,
    #[command(flatten)]
    pub subnet: SubnetFlags,
    #[command(flatten)]
    pub signer: SignerFlags,
    /// Ends after this many windows
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub windows: Option<u64>,
    /// Blocks at the end of a window that are kept for putting its root on chain
    #[arg(long, value_name = "BLOCKS", env = "GRAIL_MINER_SAFETY_BLOCKS", default_value_t = 2, value_parser = value_parser!(u64).range(1..))]
    pub upload_blocks: u64,
    /// Most problems that are answered at once; all of a batch are lost if a miner is killed meanwhile
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = value_parser!(u32).range(1..=4096))]
    pub batch: u32,
    /// One JSON object a line for everything that happens
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub monitor: MonitorFlags,
    #[command(flatten)]
    pub engine: EngineFlags,
}

/// `grail validate`.
#[derive(Debug, Args)]
#[command(after_help = "\
For every finished window, in order: fetches the files whose roots were on chain in time, derives everything in them
again, runs the model once over the groups that the window's end draws, keeps signed records, and sets weights. Records
and valid rollouts are published when the weights that use them are on chain. Own trouble is no verdict. Without a
wallet, on the local network, the development key //Validator signs.

Examples:
  grail validate
  grail validate --windows 3 --json
  grail validate --test-mode --uri //Miner")]
pub struct Validate {
    #[command(flatten)]
    pub model: ModelFlag,
    #[command(flatten)]
    pub subnet: SubnetFlags,
    #[command(flatten)]
    pub signer: SignerFlags,
    /// Ends after this many windows
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub windows: Option<u64>,
    /// Judges the own hotkey alone, and sets no weights
    #[arg(long)]
    pub test_mode: bool,
    /// Blocks between two settings of weights [default: 360; one window on the local network]
    #[arg(long, value_name = "BLOCKS", value_parser = value_parser!(u64).range(1..))]
    pub weights_interval: Option<u64>,
    /// Files that are fetched at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = value_parser!(u32).range(1..=256))]
    pub fetches: u32,
    /// How verdicts become weights
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub policy: Policy,
    /// The neuron that burnt weight goes to
    #[arg(long, value_name = "UID", env = "GRAIL_BURN_UID", default_value_t = 0)]
    pub burn_uid: u16,
    /// How much of all weight is burnt
    #[arg(long, value_name = "PERCENT", env = "GRAIL_BURN_PERCENTAGE", default_value_t = 0.0)]
    pub burn_percentage: f64,
    /// Writes the rollouts that were found valid into this folder, too, as Parquet, once they are published
    #[arg(long, value_name = "FOLDER")]
    pub export: Option<PathBuf>,
    /// One JSON object a line for everything that happens
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub monitor: MonitorFlags,
    #[command(flatten)]
    pub engine: EngineFlags,
}

/// `grail doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Looks at wallet, model, device, disk, the network's parameters, chain, clock, registration, beacon and bucket, each as
`grail mine` or `grail validate` with the same flags and variables would use it, and says what to do about each failure.
It starts no network, registers nobody and puts nothing on chain; a small object is written to the bucket and removed.
Exits with 0 if everything is whole, else with 1. No secret is shown.

Examples:
  grail doctor
  grail doctor --role validate --json
  grail doctor --network finney --parameters net.json --wallet miner --hotkey first")]
pub struct Doctor {
    #[command(flatten)]
    pub model: ModelFlag,
    #[command(flatten)]
    pub subnet: SubnetFlags,
    #[command(flatten)]
    pub signer: SignerFlags,
    /// What the hotkey is for; a validator needs a permit
    #[arg(long, value_name = "ROLE", default_value = "mine")]
    pub role: Role,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub engine: EngineFlags,
}

/// What a hotkey is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Mining.
    Mine,
    /// Validating.
    Validate,
}

/// How verdicts become weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// Distinct successes of twelve windows to the power of 1.4.
    Default,
    /// That of the protocol's first version: saturates at ten, and needs a burn.
    Seed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_numbers_with_units() {
        for (text, ms) in [("12s", 12_000), ("500ms", 500), ("2m", 120_000)] {
            assert_eq!(text.parse::<DurationText>().unwrap().0, Duration::from_millis(ms), "{text}");
        }
        for text in ["", "12", "s", "1.5s", "0s", "-1s", "9999999999m", "12 s", "1h"] {
            assert!(text.parse::<DurationText>().is_err(), "{text}");
        }
    }

    #[test]
    fn networks_are_names_or_addresses() {
        assert_eq!("finney".parse(), Ok(NetworkName::Finney));
        assert_eq!("ws://h:1".parse(), Ok(NetworkName::At("ws://h:1".into())));
        assert!("http://h".parse::<NetworkName>().is_err() && "Local".parse::<NetworkName>().is_err());
        assert!(!NetworkName::At("wss://h/?key=secret".into()).to_string().contains("secret"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_time_or_an_error(text: String) {
            let _ = text.parse::<DurationText>();
        }
    }
}
