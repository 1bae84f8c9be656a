//! The commands, and what all of them share: exit codes and how an error is told.

mod bench;
mod completions;
mod config;
mod confirm;
mod demo;
pub mod doctor;
mod export;
mod generate;
mod inspect;
mod localnet;
mod mine;
mod model;
mod rollouts;
pub(crate) mod service;
mod soak;
mod subnet;
mod trace;
mod train;
mod validate;
mod verify;
mod version;
mod wallet;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufWriter, Write, stderr, stdout};
use std::process::ExitCode;

use anyhow::Result;
use clap::FromArgMatches;

use crate::flags::{self, Cli, Command, LogFormat};
use crate::logging::{self, Format, Level};
use crate::settings::{self, Resolution, Source, Stop, Variables};

pub(crate) use export::table_name;
pub(crate) use rollouts::create;

/// How a command that did its work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it should. Exit code 0.
    Done,
    /// Something that was looked at does not work; what was printed says what. Exit code 1.
    Failed,
    /// Something is not what it was claimed to be. Exit code 3.
    Rejected,
}

/// An error in what was typed that only the command could find. Exit code 2.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// A claim that cannot even be compared. Exit code 3.
#[derive(Debug)]
pub struct Rejection(pub String);

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Rejection {}

const FAILURE: u8 = 1;
const USAGE: u8 = 2;
const REJECTED: u8 = 3;
/// Ended by the watchdog.
const HUNG: u8 = 4;

/// The program.
///
/// The first thing a process does, before it has a second thread: variables of `./.env` are set in it.
pub fn main(line: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line: Vec<OsString> = line.into_iter().collect();
    let variables = Variables::read();
    // SAFETY: this is called before any thread is started, as said above.
    unsafe { variables.apply() };
    let typed = match understand(&line, &variables) {
        Ok(typed) => typed,
        Err(stop) => return told(&stop).into(),
    };
    // Not locked: commands that run for days tell what happens from several threads.
    let mut out = BufWriter::new(stdout());
    let result = run(typed, &line, &variables, &mut out).and_then(|outcome| Ok(out.flush().map(|()| outcome)?));
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => FAILURE.into(),
        Ok(Outcome::Rejected) => REJECTED.into(),
        Err(error) => {
            let _ = out.flush();
            if let Some(stop) = error.downcast_ref::<Stop>() {
                return told(stop).into();
            }
            // Whoever closed the pipe wants no more, not even this.
            if !is_broken_pipe(&error) {
                let _ = writeln!(stderr(), "grail: {}", one_line(&error));
            }
            exit_code(&error).into()
        }
    }
}

/// The flags of a line, of all places; logging begins.
fn understand(line: &[OsString], variables: &Variables) -> Result<Cli, Stop> {
    let (matches, settings) = settings::parse(flags::command(), line, variables)?;
    let cli = Cli::from_arg_matches(&matches)?;
    let format = match cli.global.log_format {
        LogFormat::Human => Format::Human,
        LogFormat::Json => Format::Json,
    };
    let level = Level::asked(cli.global.quiet, cli.global.verbose, usual_level(&cli.command));
    logging::init(level, format).map_err(Stop::Usage)?;
    log_settings(&settings, variables);
    Ok(cli)
}

/// What a command logs without `-v` and `-q`. One that runs for hours tells more from here.
fn usual_level(command: &Command) -> Level {
    match command {
        Command::Mine(_) | Command::Validate(_) | Command::Localnet(_) => Level::Info,
        _ => Level::Warn,
    }
}

fn log_settings(settings: &Resolution, variables: &Variables) {
    if let Some(path) = &settings.file {
        tracing::debug!(path = %path.display(), "file of settings");
    }
    if variables.of_dotenv() > 0 {
        tracing::debug!(variables = variables.of_dotenv(), ".env");
    }
    for setting in &settings.settings {
        let Some((source, other)) = &setting.gives_way else { continue };
        let winner = settings.get(other.trim_start_matches('-'));
        // What is typed is meant. Between a variable and a file it may be news.
        match winner.is_some_and(|winner| winner.source != Source::Flag) {
            true => tracing::warn!("{source} is not used: {other} excludes it"),
            false => tracing::info!("{source} is not used: {other} excludes it"),
        }
    }
}

/// Says why no command runs; the exit code.
fn told(stop: &Stop) -> u8 {
    // Help and version are told this way, too; a broken output is no reason to complain.
    match stop {
        Stop::Clap(told, note) => {
            let _ = told.print();
            let _ = write!(stderr(), "{note}");
            if told.use_stderr() { USAGE } else { 0 }
        }
        Stop::Usage(line) => {
            let _ = writeln!(stderr(), "grail: {}", line.replace('\n', " "));
            USAGE
        }
    }
}

fn run(cli: Cli, line: &[OsString], variables: &Variables, out: &mut dyn Write) -> Result<Outcome> {
    match cli.command {
        Command::Demo(flags) => demo::run(&flags, out),
        Command::Mine(flags) => mine::run(&flags),
        Command::Validate(flags) => validate::run(&flags),
        Command::Localnet(flags) => localnet::run(&flags, out),
        Command::Doctor(flags) => doctor::run(&flags, out),
        Command::Rollouts(flags) => rollouts::run(&flags, out),
        Command::Verify(flags) => verify::run(&flags, out),
        Command::Export(flags) => export::run(&flags, out),
        Command::Inspect(flags) => inspect::run(&flags, out),
        Command::Soak(flags) => soak::run(&flags, out),
        Command::Generate(flags) => generate::run(&flags, out),
        Command::Trace(flags) => trace::run(&flags, out),
        Command::Model(flags) => model::run(&flags, out),
        Command::Bench(flags) => bench::run(&flags, out),
        Command::Wallet(flags) => wallet::run(&flags, out),
        Command::Train(_) => train::run(),
        Command::Config(flags) => config::run(&flags, line, variables, out),
        Command::Completions(flags) => completions::run(&flags, out),
        Command::Version(flags) => version::run(&flags, cli.global.verbose > 0, out),
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    match error {
        e if e.is::<Usage>() => USAGE,
        e if e.is::<Rejection>() => REJECTED,
        _ => FAILURE,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let of = |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<io::Error>().map(io::Error::kind);
    error.chain().any(|cause| of(cause) == Some(io::ErrorKind::BrokenPipe))
}

/// An error with its causes; one that already says its cause does not say it twice.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if line.ends_with(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    line.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn an_error_is_one_line_with_each_cause_once() {
        let source = io::Error::other("no such\nluck");
        let error = anyhow::Error::from(grail_engine::Error::Io { path: "weights".into(), source }).context("model x");
        assert_eq!(one_line(&error), "model x: weights: no such luck");
        let nested = Err::<(), _>(anyhow::anyhow!("cause")).context("outer").unwrap_err();
        assert_eq!(one_line(&nested), "outer: cause");
    }

    #[test]
    fn an_error_keeps_its_exit_code_under_any_context() {
        let outer = |e: anyhow::Error| exit_code(&Err::<(), _>(e).context("outer").unwrap_err());
        assert_eq!(outer(Usage("x".into()).into()), 2);
        assert_eq!(outer(Rejection("x".into()).into()), 3);
        assert_eq!(outer(anyhow::anyhow!("x")), 1);
    }
}
