//! What can be typed. What it means is the business of the commands: values that can be judged alone are judged
//! here by their types (`values`), relations between flags by clap, everything else where it is used.

mod bench;
mod files;
mod help;
mod monitor;
mod program;
mod subnet;
mod values;
mod wallet;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use grail_engine::types::Sampling;
use grail_engine::{DeviceChoice, EngineOptions};

pub use bench::{Bench, BenchCommand, BenchKernels, BenchRollouts, Growth};
pub use files::{DatasetFlags, Export, Inspect, NetworkFlags, Rollouts, SignerFlags, Soak, Verify};
pub use help::command;
pub use monitor::{MonitorFlags, WatchdogTime};
pub use program::{Completions, Config, GlobalFlags, LogFormat, Train, Version};
pub use subnet::{DataFlag, Doctor, DurationText, Localnet, Mine, NetworkName, Policy, Role, SubnetFlags, Validate};
pub use values::{Bytes, Counts, Hex32, SeedText, ShapeName, TokenList};
pub use wallet::{
    Address, HexBytes, Message, Origin, SecretKind, SecretText, Wallet, WalletCommand, WalletFlags, WalletPlace,
    WalletRoot,
};

/// Verifiable LLM rollouts from a bit-exact Qwen3 engine.
#[derive(Debug, Parser)]
#[command(name = "grail", version, after_help = help::AFTER)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub global: GlobalFlags,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)]
pub enum Command {
    /// Run a whole subnet in one process: miners, a cheater, a validator, weights on a chain
    Demo(Demo),
    /// Mine: answer the problems of window after window, and publish the answers with proofs
    Mine(Mine),
    /// Validate: judge the miners of window after window, and set weights
    Validate(Validate),
    /// Serve a whole network on this machine: chain, beacon and buckets
    Localnet(Localnet),
    /// Check all that mining or validating needs, and say what to do about what is missing
    Doctor(Doctor),
    /// Answer a window's problems offline, with proofs, into a signed window file
    Rollouts(Rollouts),
    /// Derive a window file again and say what it is worth
    Verify(Verify),
    /// Write the rollouts of window files that hold as Parquet
    Export(Export),
    /// Show what a window file says
    Inspect(Inspect),
    /// Make and verify window files of random models until many tokens have held
    Soak(Soak),
    /// Continue a prompt
    Generate(Generate),
    /// Show what the model computes, bit by bit, to compare machines and implementations
    Trace(Trace),
    /// Show or fetch a model
    Model(Model),
    /// Measure speed
    Bench(Bench),
    /// Make, store, list and show hotkeys, and sign with them
    Wallet(Wallet),
    /// Planned: train a model on valid rollouts
    Train(Train),
    /// Show each setting of a command and where it comes from
    Config(Config),
    /// Write a script that completes commands and flags in a shell
    Completions(Completions),
    /// Show what this program is
    Version(Version),
}

/// Flags of everything that runs a model. None of them changes a result.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Engine (changes speed, never a result)")]
pub struct EngineFlags {
    /// cpu, cuda, cuda:0,1 or auto: the first usable GPU, else the CPU
    #[arg(long, value_name = "DEVICE", default_value_t = DeviceChoice::Auto, env = "GRAIL_DEVICE")]
    pub device: DeviceChoice,
    /// Threads [default: one per core]
    #[arg(long, value_name = "N", env = "GRAIL_THREADS")]
    pub threads: Option<NonZeroUsize>,
    /// Memory for weights, activations and cache, such as 8GiB or 500MB [default: four fifths of what is free, of a GPU's nine tenths]
    #[arg(long, value_name = "SIZE", env = "GRAIL_MEMORY")]
    pub memory: Option<Bytes>,
    /// Instruction set [default: the machine's best]
    #[arg(long, value_name = "SET", env = "GRAIL_CPU")]
    pub cpu: Option<Cpu>,
}

/// Instruction sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cpu {
    /// Any machine.
    Portable,
    /// AVX2 and FMA.
    Avx2,
    /// AVX2, FMA and AVX-VNNI.
    #[value(name = "avxvnni")]
    AvxVnni,
    /// AVX-512 with VNNI.
    Avx512,
}

impl EngineFlags {
    /// The engine's options.
    #[must_use]
    pub fn options(&self) -> EngineOptions {
        let cpu = self.cpu.map(|cpu| match cpu {
            Cpu::Portable => "portable",
            Cpu::Avx2 => "avx2",
            Cpu::AvxVnni => "avxvnni",
            Cpu::Avx512 => "avx512",
        });
        EngineOptions {
            device: self.device.clone(),
            threads: self.threads.map(NonZeroUsize::get),
            cpu: cpu.map(str::to_owned),
            memory_bytes: self.memory.map(|m| m.0),
            ..EngineOptions::default()
        }
    }
}

/// The model.
#[derive(Debug, Clone, Args)]
pub struct ModelFlag {
    /// A folder in Hugging Face layout, sat-tiny (inside the binary), or a hub id org/name[@revision]
    #[arg(long, value_name = "MODEL", default_value = "sat-tiny", env = "GRAIL_MODEL_NAME")]
    pub model: String,
}

/// How tokens are chosen.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingFlags {
    /// 0 takes the most probable token
    #[arg(long, value_name = "T", default_value_t = Sampling::default().temperature, allow_negative_numbers = true)]
    pub temperature: f64,
    /// Keeps the K most probable tokens; 0 keeps all
    #[arg(long, value_name = "K", default_value_t = Sampling::default().top_k)]
    pub top_k: u32,
    /// Keeps the smallest set of tokens with this probability; 1 keeps all
    #[arg(long, value_name = "P", default_value_t = Sampling::default().top_p, allow_negative_numbers = true)]
    pub top_p: f64,
    /// Over tokens of prompt and completion; 1 changes nothing
    #[arg(long, value_name = "R", default_value_t = Sampling::default().repetition_penalty, allow_negative_numbers = true)]
    pub repetition_penalty: f64,
}

impl SamplingFlags {
    /// The engine's sampling, not yet checked.
    #[must_use]
    pub fn sampling(&self) -> Sampling {
        let Self { temperature, top_k, top_p, repetition_penalty } = *self;
        Sampling { temperature, top_k, top_p, repetition_penalty }
    }
}

/// `grail demo`.
#[derive(Debug, Args)]
#[command(after_help = "\
A local network, two honest miners, one that edits a token of its best answer and signs it again, and a validator: in one
process, over the real protocols. Exits with 0 only if every honest miner has accepted rollouts and weight on chain, and
the cheater a fraud record for the edit and no weight; with 3 if not.

Examples:
  grail demo
  grail demo --windows 5 --report demo.html")]
pub struct Demo {
    #[command(flatten)]
    pub model: ModelFlag,
    /// Windows
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub windows: u64,
    /// Blocks per window
    #[arg(long, value_name = "BLOCKS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(8..=10_000))]
    pub window_length: u64,
    /// Time between blocks
    #[arg(long, value_name = "TIME", default_value = "500ms")]
    pub block_time: DurationText,
    /// Most problems of a miner in a window; each is answered four times
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub problems: u32,
    /// Most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 160, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub max_new_tokens: u32,
    /// Where the HTML report goes [default: grail-demo.html in the system's folder for temporary files]
    #[arg(long, value_name = "FILE", default_value_os_t = std::env::temp_dir().join("grail-demo.html"), hide_default_value = true)]
    pub report: PathBuf,
    /// The report's data as one JSON object instead of words
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub engine: EngineFlags,
}

/// `grail generate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  grail generate --sat my-seed
  echo 'The capital of France is' | grail generate --model ./Qwen3-0.6B --prompt - --max-new-tokens 20
  grail generate --sat my-seed -n 4 --json --randomness 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff")]
pub struct Generate {
    #[command(flatten)]
    pub model: ModelFlag,
    /// The text to continue; - reads it from standard input
    #[arg(
        long,
        value_name = "TEXT",
        required_unless_present = "sat",
        conflicts_with = "sat",
        allow_hyphen_values = true
    )]
    pub prompt: Option<String>,
    /// Instead of a prompt: the SAT problem of this seed text, as the network asks it
    #[arg(long, value_name = "SEED", conflicts_with = "chat")]
    pub sat: Option<String>,
    /// Difficulty of the SAT problem
    #[arg(long, value_name = "D", default_value_t = 0.5, conflicts_with = "prompt")]
    pub difficulty: f64,
    /// Wrap the prompt as one user message with <|im_start|> and <|im_end|>, as Qwen's chat models expect it
    #[arg(long)]
    pub chat: bool,
    /// Rollouts of the prompt
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub rollouts: u32,
    /// Most new tokens [default: 256, or what the model has room for]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_new_tokens: Option<u32>,
    /// Decides every random choice: 64 hex digits, or any text, which is hashed. Rollout 0 uses it as it is, rollout i > 0
    /// the SHA-256 of it and i (4 bytes, big-endian)
    #[arg(long, value_name = "SEED", default_value = "grail")]
    pub seed: SeedText,
    /// One JSON object per rollout: tokens, text and trace
    #[arg(long)]
    pub json: bool,
    /// Adds a sketch per position for this randomness to --json
    #[arg(long, value_name = "HEX", requires = "json")]
    pub randomness: Option<Hex32>,
    #[command(flatten)]
    pub sampling: SamplingFlags,
    #[command(flatten)]
    pub engine: EngineFlags,
}

/// `grail trace`.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("what").required(true).args(["cases", "layers"]),
    group = clap::ArgGroup::new("input").args(["tokens", "text"]),
    after_help = "\
--cases prints an object with the same sequences and generations as the file, computed here: equality is a diff after
sorting keys.

--layers prints one line per (position, layer, stage): SHA-256 of the f32 values (little-endian) and the first four of
them as bits; then hidden state, logits and sketch of the position. `diff` of two outputs finds the first difference.

Examples:
  grail trace --cases tests/vectors/exact/model-sat-tiny.json --check
  grail trace --model tests/vectors/tiny-qwen3/tied-2l --cases tests/vectors/exact/model-tied-2l.json --batch 64
  grail trace --layers --tokens 1,2,3"
)]
pub struct Trace {
    #[command(flatten)]
    pub model: ModelFlag,
    /// File of vectors (tests/vectors/exact/README.md): its inputs are computed, its results ignored
    #[arg(long, value_name = "FILE")]
    pub cases: Option<PathBuf>,
    /// Compare with the file's results instead of printing; exits with 3 at the first difference
    #[arg(long, conflicts_with = "layers")]
    pub check: bool,
    /// Sequences at once: each generation runs among N-1 others, which are the file's prompts in turn
    #[arg(long, value_name = "N", default_value_t = 8, conflicts_with = "layers", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub batch: u32,
    /// Every stage of every layer, for --tokens or --text
    #[arg(long, requires = "input")]
    pub layers: bool,
    /// Token ids
    #[arg(long, value_name = "1,2,3", conflicts_with = "cases")]
    pub tokens: Option<TokenList>,
    /// Text, tokenised as it is
    #[arg(long, value_name = "TEXT", conflicts_with = "cases", allow_hyphen_values = true)]
    pub text: Option<String>,
    /// Adds sketches for this randomness, 64 hex digits
    #[arg(long, value_name = "HEX", conflicts_with = "cases")]
    pub randomness: Option<Hex32>,
    /// Rows of one forward pass at most: how a prompt is cut into chunks
    #[arg(long, value_name = "N")]
    pub step_rows: Option<NonZeroUsize>,
    #[command(flatten)]
    pub engine: EngineFlags,
}

/// `grail model`.
#[derive(Debug, Args)]
#[command(after_help = "\
The weights digest of a folder's files is remembered in $XDG_CACHE_HOME/grail or ~/.cache/grail, and taken from there by
every command while path, size, times, inode and device of each file stay the same; info --rehash hashes them again.

Examples:
  grail model info sat-tiny
  grail model info --json Qwen/Qwen3-0.6B@main
  grail model pull Qwen/Qwen3-0.6B")]
pub struct Model {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ModelCommand,
}

/// The commands of `grail model`.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Shape, size, identity and memory of a model
    Info {
        /// A folder in Hugging Face layout, sat-tiny, or a hub id org/name[@revision]
        model: String,
        /// One JSON object
        #[arg(long)]
        json: bool,
        /// Hash the weights even if the digest of these very files is remembered
        #[arg(long)]
        rehash: bool,
    },
    /// Download a model into the cache that all Hugging Face tools share; prints its folder
    Pull {
        /// A hub id org/name[@revision]
        model: String,
        /// Branch, tag or commit
        #[arg(long)]
        revision: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_of_the_flags_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn contradicting_flags_are_refused() {
        for line in [
            "grail generate",
            "grail generate --prompt a --sat b",
            "grail generate --sat b --chat",
            "grail generate --prompt a --randomness 00",
            "grail trace",
            "grail trace --layers",
            "grail trace --layers --cases x --tokens 1",
            "grail trace --cases x --tokens 1",
            "grail trace --cases x --randomness 00",
            "grail trace --layers --tokens 1 --check",
            "grail trace --layers --tokens 1 --batch 2",
            "grail trace --tokens 1",
            "grail generate --prompt a --difficulty 0.3",
            "grail bench --make-model tiny x --runs 3",
            "grail trace --layers --tokens 1 --text a",
            "grail bench",
            "grail bench dir bf16",
            "grail bench --make-model tiny",
            "grail bench growth",
            "grail bench growth m --contexts 0",
            "grail bench --json growth m",
            "grail bench rollouts m --rollouts 0",
            "grail bench kernels m",
            "grail bench kernels --runs 0",
            "grail demo --problems 0",
            "grail demo --threads 0",
            "grail demo --cpu sse",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
        for line in [
            "grail demo",
            "grail generate --prompt -",
            "grail trace --cases x --check --batch 2",
            "grail bench m f32 pp1",
            "grail bench growth m --contexts 256,1k --plot x.svg",
            "grail bench rollouts m --json --threads 2",
            "grail bench kernels --device cuda --shape 0.6b --batches 1,16 --quick",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}
