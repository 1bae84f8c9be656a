//! `grail train`: planned, and said to be.

use anyhow::{Result, bail};

use super::Outcome;

pub fn run() -> Result<Outcome> {
    bail!("train: is planned and absent from this version; it will train a model on the valid rollouts of a subnet")
}
