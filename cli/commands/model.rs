//! `grail model`: what a model is, and how it gets here.

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::{Result, bail};
use grail_engine::checkpoint::Checkpoint;
use grail_engine::cpu::cache::PageLayout;
use grail_engine::cpu::isa::Isa;
use grail_engine::cpu::weights::Weights;
use grail_engine::hub::Location;
use grail_engine::kv::PAGE;
use grail_protocol::Hash;
use serde_json::{Value, json};

use super::{Outcome, Usage};
use crate::flags::{Model, ModelCommand};
use crate::identity::cache::Cache;
use crate::terminal::{count, size};
use crate::{identity, load};

pub fn run(flags: &Model, out: &mut dyn Write) -> Result<Outcome> {
    match &flags.command {
        ModelCommand::Info { model, json, rehash } => info(model, *json, *rehash, out),
        ModelCommand::Pull { model, revision } => pull(model, revision.as_deref(), out),
    }
}

fn pull(model: &str, revision: Option<&str>, out: &mut dyn Write) -> Result<Outcome> {
    let model = match revision {
        Some(_) if model.contains('@') => {
            bail!(Usage(format!("{model} names a revision already; leave out --revision")));
        }
        Some(revision) => format!("{model}@{revision}"),
        None => model.to_owned(),
    };
    match load::locate(&model)? {
        Location::SatTiny => writeln!(out, "sat-tiny is part of this program")?,
        Location::Folder(folder) => writeln!(out, "{}", folder.display())?,
    }
    Ok(Outcome::Done)
}

fn info(model: &str, as_json: bool, rehash: bool, out: &mut dyn Write) -> Result<Outcome> {
    let opened = load::open(model)?;
    let digest = identity::find(&opened, Cache::of_user().as_ref(), rehash)?.digest;
    let checkpoint = opened.checkpoint;
    let tokenizer = load::tokenizer(&checkpoint)?;
    let facts = facts(model, &checkpoint, &digest)?;
    let eos = tokenizer.eos_id().map(|id| json!({"id": id, "text": tokenizer.eos_token()}));
    if as_json {
        let mut facts = facts;
        facts["tokenizer_eos"] = json!(eos);
        writeln!(out, "{facts}")?;
        return Ok(Outcome::Done);
    }
    let config = checkpoint.config();
    let n = |name: &str| facts[name].as_u64().unwrap_or_default();
    let mut row = |label: &str, value: String| writeln!(out, "{label:<16} {value}");
    row("model", model.to_owned())?;
    row("architecture", format!("Qwen3, {} layers of {}", config.num_hidden_layers, config.hidden_size))?;
    row(
        "attention",
        format!(
            "{} query and {} key/value heads of {}",
            config.num_attention_heads, config.num_key_value_heads, config.head_dim
        ),
    )?;
    row("intermediate", config.intermediate_size.to_string())?;
    row("vocabulary", config.vocab_size.to_string())?;
    row("positions", config.max_position_embeddings.to_string())?;
    row("embeddings", if config.tie_word_embeddings { "tied" } else { "untied" }.to_owned())?;
    row("parameters", count(n("parameters")))?;
    row(
        "types",
        facts["dtypes"]
            .as_array()
            .map_or(String::new(), |d| d.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")),
    )?;
    row("weights", format!("{} in the file", size(n("file_bytes"))))?;
    row(
        "memory",
        format!(
            "{} for weights, {} per 1000 positions of cache",
            size(n("weight_bytes")),
            size(1000 * n("cache_bytes_per_position"))
        ),
    )?;
    row(
        "eos",
        tokenizer
            .eos_id()
            .map_or("none".to_owned(), |id| format!("{id} {:?}", tokenizer.eos_token().unwrap_or_default())),
    )?;
    row("stops at", format!("{:?} (generation_config.json, else config.json)", checkpoint.eos_ids()))?;
    row("weights digest", facts["weights_digest"].as_str().unwrap_or_default().to_owned())?;
    Ok(Outcome::Done)
}

fn facts(model: &str, checkpoint: &Checkpoint, digest: &Hash) -> Result<Value> {
    let config = checkpoint.config();
    let elements = |shape: &[usize]| shape.iter().map(|&n| n as u64).product::<u64>();
    let page_bytes = PageLayout::new(config).page_bytes() as u64;
    Ok(json!({
        "model": model,
        "layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "attention_heads": config.num_attention_heads,
        "key_value_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "vocab_size": config.vocab_size,
        "max_positions": config.max_position_embeddings,
        "tied": config.tie_word_embeddings,
        "parameters": checkpoint.tensors().map(|t| elements(t.shape())).sum::<u64>(),
        "dtypes": checkpoint.tensors().map(|t| t.dtype().name()).collect::<BTreeSet<_>>(),
        "file_bytes": checkpoint.tensors().map(|t| t.bytes().len() as u64).sum::<u64>(),
        "weight_bytes": packed_bytes(checkpoint)? + embedding_bytes(checkpoint),
        "cache_bytes_per_position": page_bytes.div_ceil(PAGE as u64),
        "eos_ids": checkpoint.eos_ids(),
        "weights_digest": hex::encode(digest),
    }))
}

/// Bytes of the matrices as an engine holds them on this machine's CPU: what one decoding pass reads.
///
/// # Errors
/// An instruction set by name that this machine lacks.
pub fn packed_bytes(checkpoint: &Checkpoint) -> Result<u64> {
    Ok(Weights::bytes_for(checkpoint, Isa::from_environment()?)?)
}

fn embedding_bytes(checkpoint: &Checkpoint) -> u64 {
    checkpoint.embedding().bytes().len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use grail_engine::{Engine, EngineOptions};

    #[test]
    fn the_estimate_of_memory_is_what_an_engine_reports() {
        let expected = {
            let checkpoint = Checkpoint::sat_tiny().unwrap();
            packed_bytes(&checkpoint).unwrap() + embedding_bytes(&checkpoint)
        };
        let options = EngineOptions { threads: Some(1), memory_bytes: Some(1 << 30), ..EngineOptions::default() };
        let engine = Engine::load(Checkpoint::sat_tiny().unwrap(), options).unwrap();
        assert_eq!(engine.weight_bytes(), expected);
    }
}
