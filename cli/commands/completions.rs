//! `grail completions`: a shell's script, from the same definition that parses.

use std::io::Write;

use anyhow::Result;

use super::Outcome;
use crate::flags::{self, Completions};

pub fn run(flags: &Completions, out: &mut dyn Write) -> Result<Outcome> {
    // The generator panics at a closed pipe: it writes here first.
    let mut script = Vec::new();
    clap_complete::generate(flags.shell, &mut flags::command(), "grail", &mut script);
    out.write_all(&script)?;
    Ok(Outcome::Done)
}
