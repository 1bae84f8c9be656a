//! Flags that every command has, and the commands about the program itself.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

/// Flags of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Program")]
pub struct GlobalFlags {
    /// File of settings, TOML [default: ./grail.toml, else ~/.config/grail/config.toml, where there is one]
    #[arg(long, value_name = "FILE", global = true, env = "GRAIL_CONFIG")]
    pub config: Option<PathBuf>,
    /// Log more: -v what happens, -vv details, -vvv everything. RUST_LOG, where it is set, decides instead
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Log errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// How logs are written to standard error
    #[arg(long, value_name = "FORMAT", global = true, env = "GRAIL_LOG_FORMAT", default_value = "human")]
    pub log_format: LogFormat,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines to read, coloured at a terminal.
    Human,
    /// One JSON object per line.
    Json,
}

/// `grail config`.
#[derive(Debug, Args)]
#[command(after_help = "\
A setting comes from the highest place that has it: flag, environment variable, ./.env, file of settings, default. A value
that contradicts one of a higher place gives way to it.

The file is --config FILE, else ./grail.toml, else $XDG_CONFIG_HOME/grail/config.toml or ~/.config/grail/config.toml:

  threads = 4                  # for every command with --threads
  log-format = \"json\"          # _ may stand for -

  [verify]                     # for this command alone
  batch = 16

  [wallet.show]                # a command below a command
  json = true

Paths are relative to the working directory. A key that no flag has is an error. What stands behind no flag (a window file)
cannot be set, nor can --config. A flag and a table of one name (model, wallet) cannot both stand at the top of one file.
Secrets are no settings: passwords and bucket keys are variables (.env.example names them all), or files.

Examples:
  grail config demo
  grail config --json rollouts --threads 2
  grail config wallet show")]
pub struct Config {
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// A command, with flags if you like
    #[arg(value_name = "COMMAND", required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true)]
    pub line: Vec<OsString>,
}

/// `grail version`.
#[derive(Debug, Args)]
#[command(after_help = "\
Two programs agree on every bit if they have the same numerics, and on every file if they have the same proof version, too.

Examples:
  grail version
  grail version -v
  grail version --json")]
pub struct Version {
    /// One JSON object with all that -v shows
    #[arg(long)]
    pub json: bool,
}

/// `grail completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples, which install them:
  grail completions bash > ~/.local/share/bash-completion/completions/grail
  grail completions zsh > ~/.zfunc/_grail         # with fpath+=(~/.zfunc) before compinit in ~/.zshrc
  grail completions fish > ~/.config/fish/completions/grail.fish
  grail completions elvish >> ~/.config/elvish/rc.elv
  grail completions powershell >> $PROFILE")]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// `grail train`.
#[derive(Debug, Args)]
#[command(after_help = "\
Planned, and not in this version: calling it says so and exits with 1. It will train a model with GRPO on the valid rollouts
that validators publish, checking each file again before it is used.

Example, once it is there:
  grail train")]
pub struct Train {}
