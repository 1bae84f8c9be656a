//! Flags of `grail bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use grail_engine::DeviceChoice;

use super::{Counts, EngineFlags};

/// `grail bench`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Cases:
  ppN      one prompt of N tokens, up to and with the choice of the first new token: tokens/s
  tgB      B continuations of one 256-token prompt, 64 greedy tokens each, prefill not timed: new tokens/s
  groupB   one 1024-token prompt, B rollouts of 64 tokens with the protocol's sampling and sketches, prefill timed:
           new tokens/s
  load_s   always printed: opening, quantizing and packing the checkpoint, seconds

The table begins with what this machine can do, measured in the same run (bytes read and integer multiply-adds a second,
on the same threads and instruction set), and says of each case how much of that it reaches. Flags of growth, rollouts and
kernels stand behind their names: grail bench growth --help.

Examples:
  grail bench --make-model 0.6b ./qwen3-0.6b
  grail bench ./qwen3-0.6b bf16 pp512,tg1,tg16,group16
  grail bench --json ./qwen3-0.6b bf16 pp512
  grail bench growth ./qwen3-0.6b --plot growth.svg
  grail bench rollouts ./qwen3-0.6b
  grail bench kernels --device cuda"
)]
pub struct Bench {
    /// What else to measure.
    #[command(subcommand)]
    pub command: Option<BenchCommand>,
    /// Write a checkpoint of random weights into the empty folder DIR. SHAPE, those of Qwen3: 0.6b (1.2 GB), 1.7b
    /// (3.4 GB), 4b (8.0 GB) or 8b (16.4 GB); or tiny
    #[arg(long, num_args = 2, value_names = ["SHAPE", "DIR"], conflicts_with_all = ["json", "runs", "model"])]
    pub make_model: Option<Vec<String>>,
    /// One line {"test": NAME, "value": NUMBER} per case, from one run, instead of a table
    #[arg(long)]
    pub json: bool,
    /// Runs of each case; the table shows median and range
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000), conflicts_with = "json")]
    pub runs: u32,
    /// A folder in Hugging Face layout, sat-tiny, or a hub id org/name[@revision]
    #[arg(required_unless_present = "make_model", requires_all = ["dtype", "cases"])]
    pub model: Option<String>,
    /// bf16 or f32: accepted for comparison harnesses and not used, since the engine has one arithmetic
    #[arg(value_parser = ["bf16", "f32"])]
    pub dtype: Option<String>,
    /// Cases, separated by commas
    pub cases: Option<String>,
    #[command(flatten)]
    pub engine: EngineFlags,
}

/// The commands of `grail bench`.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// How speed grows with the batch, and the cost of a token with its context
    Growth(Growth),
    /// What a miner and a validator do: seconds per 1000 new tokens, with and without the proof
    Rollouts(BenchRollouts),
    /// Each kernel of a GPU: time, and its share of what the device can copy and multiply
    Kernels(BenchKernels),
}

/// `grail bench kernels`.
#[derive(Debug, Args)]
#[command(after_help = "\
Every kernel at a model's shapes, on random numbers; no model is needed. The limits, a copy within the device and int8
mma.sync with everything in registers, are measured in the same run, and their results checked. Products stand beside the
bf16 products of cuBLASLt where libcublasLt is on the machine. Bytes and operations are those that the compiled kernels
were counted to move and to issue.

Examples:
  grail bench kernels --device cuda
  grail bench kernels --shape 0.6b --batches 1,64 --prompt 512 --json
  grail bench kernels --quick --shape tiny")]
pub struct BenchKernels {
    /// cuda, cuda:N or auto: the first usable GPU
    #[arg(long, value_name = "DEVICE", default_value_t = DeviceChoice::Auto, env = "GRAIL_DEVICE")]
    pub device: DeviceChoice,
    /// The shape of a model: 0.6b, 1.7b, 4b, 8b (those of Qwen3) or tiny
    #[arg(long, value_name = "SHAPE", default_value = "4b")]
    pub shape: String,
    /// Rows of decoding steps
    #[arg(long, value_name = "1,16", default_value = "1,16,64,256")]
    pub batches: Counts,
    /// Rows of a prefill
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..=1 << 16))]
    pub prompt: u32,
    /// Positions that a decoding row attends to
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1 << 16))]
    pub context: u32,
    /// Runs of each; medians and ranges are shown
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: u32,
    /// As few and as small launches as there can be: that everything runs, with times that say nothing
    #[arg(long)]
    pub quick: bool,
    /// One line of JSON a row instead of a table; the first has the device and its limits
    #[arg(long)]
    pub json: bool,
}

/// `grail bench growth`.
#[derive(Debug, Args)]
#[command(after_help = "\
Batch: continuations of one 256-token prompt, 64 greedy tokens each, prefill not timed. Context: one sequence, whose prompt
is prefilled once; a run is 16 tokens after it. The limit of a context is the time to read the weights and the keys and
values of all its positions once. A context or batch that the model or the memory has no room for is left out, with a line
that says so.

Examples:
  grail bench growth ./qwen3-0.6b --plot growth.svg
  grail bench growth ./qwen3-0.6b --batches 1,16 --contexts 256,4k --runs 3")]
pub struct Growth {
    /// A folder in Hugging Face layout, sat-tiny, or a hub id org/name[@revision]
    pub model: String,
    /// Sequences at once
    #[arg(long, value_name = "1,2,4", default_value = "1,2,4,8,16,32,64")]
    pub batches: Counts,
    /// Positions before the first timed token; 1k is 1024
    #[arg(long, value_name = "256,1k", default_value = "256,1k,2k,4k,8k,16k")]
    pub contexts: Counts,
    /// Runs of each; the table shows medians
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// Also draw both tables, as one SVG file that needs no other
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    #[command(flatten)]
    pub engine: EngineFlags,
}

/// `grail bench rollouts`.
#[derive(Debug, Args)]
#[command(after_help = "\
A group of rollouts of one prompt of random ids, with the protocol's sampling and no end before the last token:

  miner              tokens, sketches and log-probabilities of the group, in one pass
  miner, no proof    the same tokens alone
  proof              what the first takes longer, in percent: the median over pairs of runs, which alternate
  validator          full replay: every token, sketch and log-probability of the group derived again

Each is in seconds per 1000 new tokens, the prompt's share included. Fails if the validator derives anything else than
the miner made, or the miner without proof other tokens.

Examples:
  grail bench rollouts ./qwen3-0.6b
  grail bench rollouts ./qwen3-0.6b --rollouts 4 --new-tokens 64 --runs 3 --json")]
pub struct BenchRollouts {
    /// A folder in Hugging Face layout, sat-tiny, or a hub id org/name[@revision]
    pub model: String,
    /// Tokens of the prompt
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub prompt: u32,
    /// New tokens of a rollout
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub new_tokens: u32,
    /// Rollouts of the prompt
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub rollouts: u32,
    /// Runs of each; medians and ranges are shown
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: u32,
    /// One line {"test": NAME, "value": NUMBER} per row instead of a table
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub engine: EngineFlags,
}
