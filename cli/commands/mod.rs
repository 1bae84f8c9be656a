//! The commands, and what all of them share: exit codes and how an error is told.

mod bench;
mod demo;
mod generate;
mod inspect;
mod localnet;
mod mine;
mod model;
mod rollouts;
mod soak;
mod subnet;
mod trace;
mod validate;
mod verify;
mod wallet;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufWriter, Write, stderr, stdout};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::flags::{Cli, Command};

/// How a command that did its work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it should. Exit code 0.
    Done,
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

/// The program.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let typed = match Cli::try_parse_from(args) {
        Ok(typed) => typed,
        Err(told) => {
            // Help and version are told this way, too; a broken output is no reason to complain.
            let _ = told.print();
            return if told.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    // Not locked: commands that run for days tell what happens from several threads.
    let mut out = BufWriter::new(stdout());
    let result = run(typed.command, &mut out).and_then(|outcome| Ok(out.flush().map(|()| outcome)?));
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Rejected) => REJECTED.into(),
        Err(error) => {
            let _ = out.flush();
            // Whoever closed the pipe wants no more, not even this.
            if !is_broken_pipe(&error) {
                let _ = writeln!(stderr(), "grail: {}", one_line(&error));
            }
            exit_code(&error).into()
        }
    }
}

fn run(command: Command, out: &mut dyn Write) -> Result<Outcome> {
    match command {
        Command::Demo(flags) => demo::run(&flags, out),
        Command::Mine(flags) => mine::run(&flags),
        Command::Validate(flags) => validate::run(&flags),
        Command::Localnet(flags) => localnet::run(&flags, out),
        Command::Rollouts(flags) => rollouts::run(&flags, out),
        Command::Verify(flags) => verify::run(&flags, out),
        Command::Inspect(flags) => inspect::run(&flags, out),
        Command::Soak(flags) => soak::run(&flags, out),
        Command::Generate(flags) => generate::run(&flags, out),
        Command::Trace(flags) => trace::run(&flags, out),
        Command::Model(flags) => model::run(&flags, out),
        Command::Bench(flags) => bench::run(&flags, out),
        Command::Wallet(flags) => wallet::run(&flags, out),
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
fn one_line(error: &anyhow::Error) -> String {
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
