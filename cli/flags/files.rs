//! Flags of the commands that make and judge window files.

use std::path::PathBuf;

use clap::{Args, value_parser};
use grail_hub::{Branch, DatasetId};

use super::{EngineFlags, Hex32, ModelFlag, WalletFlags, WalletPlace, WalletRoot};
use crate::wallet::Name;

/// Which network a file is of.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkFlags {
    #[command(flatten)]
    pub model: ModelFlag,
    /// The network's parameters and beacon [default: a network for offline use of this model]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["max_new_tokens", "rollouts_per_problem"])]
    pub network: Option<PathBuf>,
    /// Most tokens of an answer, in the offline network
    #[arg(long, value_name = "N", default_value_t = 160, env = "GRAIL_MAX_NEW_TOKENS", value_parser = value_parser!(u32).range(1..=1 << 20))]
    pub max_new_tokens: u32,
    /// Answers to each problem, in the offline network
    #[arg(long, value_name = "N", default_value_t = 4, env = "GRAIL_ROLLOUTS_PER_PROBLEM", value_parser = value_parser!(u32).range(1..=4096))]
    pub rollouts_per_problem: u32,
}

/// Which key signs.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Signing [default: a public key for offline use]")]
pub struct SignerFlags {
    /// Wallet of the hotkey [default with --hotkey: default]
    #[arg(long, value_name = "NAME", env = "BT_WALLET_COLD")]
    pub wallet: Option<Name>,
    /// Hotkey in it [default with --wallet: default]
    #[arg(long, value_name = "NAME", env = "BT_WALLET_HOT")]
    pub hotkey: Option<Name>,
    #[command(flatten)]
    pub root: WalletRoot,
    /// File with the password of an encrypted hotkey, - for standard input
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// A development key such as //Alice: everybody knows it
    // Hidden as a variable's value would be: what marks a secret for `crate::settings`.
    #[arg(long, value_name = "URI", hide_env_values = true, conflicts_with_all = ["wallet", "hotkey", "wallet_path", "password_file"])]
    pub uri: Option<String>,
}

impl SignerFlags {
    /// The hotkey's place, if one was named.
    #[must_use]
    pub fn wallet(&self) -> Option<WalletFlags> {
        if self.wallet.is_none() && self.hotkey.is_none() {
            return None;
        }
        let name = |name: &Option<Name>| name.clone().unwrap_or_default();
        let place = WalletPlace { root: self.root.clone(), wallet: name(&self.wallet), hotkey: name(&self.hotkey) };
        Some(WalletFlags { place, password_file: self.password_file.clone() })
    }
}

/// `grail rollouts`.
#[derive(Debug, Args)]
#[command(after_help = "\
The file is what a miner would publish, with proofs and signatures; `grail verify` judges it. Without --head the window
begins with a made block of the offline network. Signed by --wallet and --hotkey, or by a public key for offline use.

Examples:
  grail rollouts --problems 3 --out window.json.gz && grail verify window.json.gz
  grail rollouts --problems 3 --out w.json.gz --head other.json.gz --network net.json --hotkey miner-1")]
pub struct Rollouts {
    #[command(flatten)]
    pub network: NetworkFlags,
    /// Problems to answer
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1 << 20))]
    pub problems: u32,
    /// The file to write, gzip; must not exist
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Takes block and beacon from this window file, or from an object {\"block\": ..., \"beacon\": ...}
    #[arg(long, value_name = "FILE")]
    pub head: Option<PathBuf>,
    /// Text that the offline network's block is made from
    #[arg(long, value_name = "TEXT", default_value = "grail", conflicts_with = "head")]
    pub seed: String,
    /// Also writes the network's parameters and beacon, for --network
    #[arg(long, value_name = "FILE")]
    pub write_network: Option<PathBuf>,
    #[command(flatten)]
    pub signer: SignerFlags,
    /// Sequences at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = value_parser!(u32).range(1..=4096))]
    pub batch: u32,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub engine: EngineFlags,
}

/// `grail verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Everything is derived again: the beacon's signature, R_w, problems, prompts, rewards, and, by one pass of the model, every
sketch, token and log-probability. Exits with 3 if the file is void or fraud. What needs a chain is listed, not assumed.

Examples:
  grail verify window.json.gz
  grail verify window.json.gz --network net.json --model Qwen/Qwen3-4B-Instruct-2507 --json")]
pub struct Verify {
    /// The window file
    pub file: PathBuf,
    #[command(flatten)]
    pub network: NetworkFlags,
    /// The hotkey whose file this must be [default: the one it names]
    #[arg(long, value_name = "SS58")]
    pub address: Option<String>,
    /// C_w, 64 hex digits: checks the groups it draws, or with --spot the positions it opens [default: all groups]
    #[arg(long, value_name = "HEX")]
    pub challenge: Option<Hex32>,
    /// Instead of everything: 16 positions of each rollout's sketches, with a tolerance of 3, under --challenge or fresh
    /// random bytes. Weaker; for comparison with other systems
    #[arg(long)]
    pub spot: bool,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Sequences at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = value_parser!(u32).range(1..=4096))]
    pub batch: u32,
    #[command(flatten)]
    pub engine: EngineFlags,
}

/// A data set of the Hugging Face hub.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Data set of the Hugging Face hub")]
pub struct DatasetFlags {
    /// Also, or only, adds the files to this data set, as data/train-window-..., all by one commit. Needs a token that may
    /// write: HF_TOKEN, or that of `hf auth login`
    #[arg(long, value_name = "OWNER/NAME")]
    pub dataset: Option<DatasetId>,
    /// Its branch
    #[arg(long, value_name = "BRANCH", default_value = "main", requires = "dataset")]
    pub revision: Branch,
    /// Makes the data set if there is none
    #[arg(long, requires = "dataset", conflicts_with = "revision")]
    pub create: bool,
    /// A data set that is made is private
    #[arg(long, requires = "create")]
    pub private: bool,
}

/// `grail export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Every rollout of a file is verified by the model first, as by `grail verify`; of a file that is not valid nothing is written,
and the exit code is 3. One file of Parquet for each, train-window-WINDOW-HOTKEY.parquet. None is ever replaced: a file whose
rollouts are there already is skipped, unverified; one whose name is taken by others is an error, after the rest is done.

In a data set nothing but new files in data/ changes: no card is written. If it has files of other columns than ours, whoever
reads it finds out. A call that was cut off can be repeated.

Examples:
  grail export window.json.gz --out data
  grail export *.json.gz --network net.json --model Qwen/Qwen3-4B-Instruct-2507 --out data --json
  grail export *.json.gz --network net.json --model Qwen/Qwen3-4B-Instruct-2507 --dataset me/rollouts --create")]
pub struct Export {
    /// Window files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The folder to write to; required without --dataset
    #[arg(long, value_name = "FOLDER", required_unless_present = "dataset")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub dataset: DatasetFlags,
    #[command(flatten)]
    pub network: NetworkFlags,
    /// One JSON object per file, and one per commit
    #[arg(long)]
    pub json: bool,
    /// Sequences at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = value_parser!(u32).range(1..=4096))]
    pub batch: u32,
    #[command(flatten)]
    pub engine: EngineFlags,
}

/// `grail inspect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Shows what a file says. Nothing is verified but the format: that is what `grail verify` is for.

Examples:
  grail inspect window.json.gz --rollout 5
  grail inspect window.json.gz --canonical | sha256sum")]
pub struct Inspect {
    /// The window file
    pub file: PathBuf,
    #[command(flatten)]
    pub model: ModelFlag,
    /// The rollout to show, by its place in the file
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "canonical")]
    pub rollout: usize,
    /// Canonical JSON without signatures and free fields: the same for every run over one miner's window
    #[arg(long)]
    pub canonical: bool,
    /// One JSON object: what the file says of itself, every rollout in short, and the shown one whole
    #[arg(long, conflicts_with = "canonical")]
    pub json: bool,
}

/// `grail soak`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each round makes a window file with a random network, model, batch, thread count and instruction set, and verifies it with
others. One rejected rollout ends it with exit code 3, and the seed that repeats the round.

Example:
  grail soak --tokens 1000000")]
pub struct Soak {
    /// Ends after the round in which this many completion tokens are verified
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub tokens: u64,
    /// Decides every random choice
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Threads at most [default: one per core]
    #[arg(long, value_name = "N", env = "GRAIL_THREADS")]
    pub threads: Option<std::num::NonZeroUsize>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}
