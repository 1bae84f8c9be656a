//! `grail version`: what must be equal for two programs to agree, and what this one can do here.

use std::env::consts::{ARCH, OS};
use std::io::Write;

use anyhow::Result;
use grail_engine::checkpoint::Checkpoint;
use grail_engine::cpu::isa::Isa;
use grail_protocol::NUMERICS;
use serde_json::json;

use super::Outcome;
use crate::flags::Version;
use crate::identity;

const MODEL: &str = "sat-tiny";

pub fn run(flags: &Version, verbose: bool, out: &mut dyn Write) -> Result<Outcome> {
    let version = env!("CARGO_PKG_VERSION");
    if !verbose && !flags.json {
        writeln!(out, "grail {version}")?;
        return Ok(Outcome::Done);
    }
    let sets: Vec<String> = Isa::available().iter().map(Isa::to_string).collect();
    let digest = hex::encode(identity::digest(&Checkpoint::sat_tiny()?)?);
    if flags.json {
        // A window file's proof version names the numerics it was made with: one word serves both.
        let facts = json!({
            "version": version, "numerics": NUMERICS, "proof_version": NUMERICS, "instruction_sets": sets,
            "model": {"name": MODEL, "weights_digest": digest}, "arch": ARCH, "os": OS, "abi": abi(),
        });
        writeln!(out, "{facts}")?;
        return Ok(Outcome::Done);
    }
    writeln!(out, "grail {version}")?;
    let rows = [
        ("numerics", NUMERICS.to_owned()),
        ("proof version", NUMERICS.to_owned()),
        ("instruction sets", sets.join(", ")),
        ("model inside", format!("{MODEL}, weights digest {digest}")),
        ("built for", [ARCH, OS, abi()].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")),
    ];
    for (label, value) in rows {
        writeln!(out, "{label:<16} {value}")?;
    }
    Ok(Outcome::Done)
}

fn abi() -> &'static str {
    match () {
        () if cfg!(target_env = "gnu") => "gnu",
        () if cfg!(target_env = "musl") => "musl",
        () if cfg!(target_env = "msvc") => "msvc",
        () => "",
    }
}
