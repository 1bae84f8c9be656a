//! Every file of vectors, and who covers it.
//!
//! `GRAIL_VECTORS` names another folder of the same formats; the default is the project's copy. A file that no
//! line of the table names is a failure: nobody would notice that it is not looked at.

mod runners;

use std::path::Path;

use grail_engine::cpu::isa::Isa;
use grail_engine::{DeviceChoice, EngineOptions};
use runners::generated::Outcome;
use runners::{beacon, chain, exact_model, exact_ops, legacy, program, protocol, store, transformers, wallet};
use serde_json::Value;

/// How a file is covered.
enum By {
    /// Run here; the cases are counted against the file's own number where it has one.
    Run(fn(&Path, &Path) -> Outcome<usize>),
    /// Input of the files that are run.
    InputOf(&'static str),
    /// Never run, and why.
    Not(&'static str),
}
use By::{InputOf, Not, Run};

/// Path, with at most one `*` for a part of a name and a trailing `/` for everything below.
const TABLE: &[(&str, By)] = &[
    ("README.md", Not("text")),
    ("advantages.json", Run(program_file)),
    ("chain_commitment.json", Run(store_file)),
    ("exact/README.md", Not("text")),
    ("exact/model-*.json", Run(model)),
    ("exact/ops.json", Run(ops)),
    ("exact/protocol.json", Run(both_halves)),
    ("exact/sweeps.json", Run(sweeps)),
    ("exact/window-sat-tiny.json", Run(program_file)),
    ("hf_rows.json", Run(legacy_file)),
    ("indices.json", Run(protocol_file)),
    ("int_hash.json", Run(protocol_file)),
    ("mod_tolerance.json", Run(protocol_file)),
    ("mt19937.json", Run(protocol_file)),
    ("network/README.md", Not("text")),
    ("network/chain_*.json", Run(chain_file)),
    ("network/drand.json", Run(beacon_file)),
    ("network/ss58.json", Run(protocol_file)),
    ("network/wallet/expected.json", Run(wallet_files)),
    ("network/wallet/wallets/", InputOf("network/wallet/expected.json")),
    ("network/metadata_subset.json", Not("run by the tests of grail-localnet, whose metadata has to agree with it")),
    ("network/weights.json", Run(chain_file)),
    ("network/tlock.json", Run(chain_file)),
    ("prf.json", Run(protocol_file)),
    ("python_json.json", Run(protocol_file)),
    ("r_vec.json", Run(protocol_file)),
    ("randomness.json", Run(legacy_file)),
    ("sampling_shape.json", Not("PROTOCOL 5.4, replaced entirely by DESIGN 4")),
    ("sampling_warpers.json", Run(warpers)),
    ("sat.json", Run(program_file)),
    ("sat_check.json", Run(program_file)),
    ("sat_rewards.json", Run(program_file)),
    ("signatures.json", Run(protocol_file)),
    ("sketch.json", Run(protocol_file)),
    ("tiny-qwen3/*-reference.json", Run(truth)),
    ("tiny-qwen3/*-verify.json", Not("PROTOCOL 5.1-5.2, replaced entirely by DESIGN 4")),
    ("tiny-qwen3/*-window.json", Not("input of the verify files")),
    ("tiny-qwen3/tokenizer-cases.json", Run(tokenizer)),
    ("tiny-qwen3/*/", InputOf("exact/model-*.json and tiny-qwen3/*-reference.json")),
    ("vnext.json", Not("PROTOCOL 17, background only")),
    ("wallet_window.json", Not("PROTOCOL 5.1 and 5.3, replaced entirely by DESIGN 4")),
    ("weights.json", Run(program_file)),
    ("windows.json", Run(legacy_file)),
];

fn matches(pattern: &str, path: &str) -> bool {
    if let Some(folder) = pattern.strip_suffix('/') {
        let depth = folder.matches('/').count() + 1;
        let parts: Vec<&str> = path.split('/').collect();
        return parts.len() > depth && matches(folder, &parts[..depth].join("/"));
    }
    match pattern.split_once('*') {
        None => pattern == path,
        Some((start, end)) => {
            let middle = path.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
            middle.is_some_and(|m| !m.is_empty() && !m.contains('/'))
        }
    }
}

fn covered(path: &str) -> Option<&'static By> {
    TABLE.iter().find(|(pattern, _)| matches(pattern, path)).map(|(_, by)| by)
}

fn json(path: &Path) -> Outcome<Value> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    serde_json::from_str(&text).map_err(|e| e.to_string())
}

fn by_name(table: &[(&str, protocol::support::Runner)], folder: &Path, path: &Path) -> Outcome<usize> {
    let name = path.strip_prefix(folder).map_err(|e| e.to_string())?.to_string_lossy();
    let run = table.iter().find(|(file, _)| *file == name).ok_or("no runner has this file")?;
    run.1(folder)
}

fn protocol_file(folder: &Path, path: &Path) -> Outcome<usize> {
    by_name(protocol::RUNNERS, folder, path)
}

fn program_file(folder: &Path, path: &Path) -> Outcome<usize> {
    by_name(program::RUNNERS, folder, path)
}

fn beacon_file(folder: &Path, path: &Path) -> Outcome<usize> {
    by_name(beacon::RUNNERS, folder, path)
}

fn store_file(folder: &Path, path: &Path) -> Outcome<usize> {
    by_name(store::RUNNERS, folder, path)
}

fn chain_file(folder: &Path, path: &Path) -> Outcome<usize> {
    by_name(chain::RUNNERS, folder, path)
}

fn legacy_file(folder: &Path, path: &Path) -> Outcome<usize> {
    by_name(legacy::RUNNERS, folder, path)
}

fn both_halves(folder: &Path, path: &Path) -> Outcome<usize> {
    Ok(protocol_file(folder, path)? + program_file(folder, path)?)
}

fn ops(_: &Path, path: &Path) -> Outcome<usize> {
    exact_ops::ops(&json(path)?, exact_model::r_vector)
}

fn sweeps(_: &Path, path: &Path) -> Outcome<usize> {
    exact_ops::sweeps(&json(path)?)
}

/// The reference, then each path of this machine with 1, 2 and 5 threads, in several batch sizes and chunkings.
fn model(folder: &Path, path: &Path) -> Outcome<usize> {
    let file = json(path)?;
    let cases = exact_model::by_reference(folder, &file)?;
    for isa in Isa::available() {
        for (threads, max_batch, step_rows) in [(1, 1, 512), (2, 64, 64), (5, 7, 37)] {
            let cpu = Some(isa.to_string());
            let options = EngineOptions {
                device: DeviceChoice::Cpu,
                threads: Some(threads),
                cpu,
                memory_bytes: Some(2 << 30),
                max_batch,
                step_rows,
                steps_ahead: None,
            };
            let engine = exact_model::by_engine(folder, &file, options)
                .map_err(|e| format!("{isa}, {threads} threads, batch {max_batch}, steps of {step_rows}: {e}"))?;
            if engine != cases {
                return Err(format!("{engine} cases by the engine, {cases} by the reference"));
            }
        }
    }
    Ok(cases)
}

fn wallet_files(_: &Path, path: &Path) -> Outcome<usize> {
    wallet::run(path)
}

fn warpers(_: &Path, path: &Path) -> Outcome<usize> {
    transformers::warpers(&json(path)?)
}

fn tokenizer(folder: &Path, path: &Path) -> Outcome<usize> {
    transformers::tokenizer(folder, &json(path)?)
}

fn truth(folder: &Path, path: &Path) -> Outcome<usize> {
    transformers::truth(folder, &json(path)?)
}

/// Files below a folder, as `a/b.json`.
fn files(folder: &Path, below: &str, found: &mut Vec<String>) {
    let entries = std::fs::read_dir(folder.join(below)).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries.map(|e| e.expect("a folder's entry")) {
        let name = entry.file_name().into_string().expect("names of vectors are UTF-8");
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        match entry.file_type().expect("a file's type").is_dir() {
            true => files(folder, &path, found),
            false => found.push(path),
        }
    }
}

/// Runs the files of one kind, slow ones apart so that they share the machine's cores.
fn run(choose: impl Fn(&str) -> bool) {
    let folder = protocol::support::folder(env!("CARGO_MANIFEST_DIR"));
    let (mut paths, mut failures, mut ran) = (Vec::new(), Vec::new(), 0);
    files(&folder, "", &mut paths);
    paths.sort();
    for path in paths.iter().filter(|p| choose(p)) {
        let start = std::time::Instant::now();
        match covered(path) {
            None => failures.push(format!("{path}: no line of the table names it")),
            Some(Run(runner)) => match runner(&folder, &folder.join(path)) {
                Ok(0) => failures.push(format!("{path}: no cases")),
                Ok(cases) => {
                    ran += 1;
                    println!("{path}: {cases} cases, {:.1} s", start.elapsed().as_secs_f64());
                }
                Err(problem) => failures.push(format!("{path}: {problem}")),
            },
            Some(InputOf(what)) => println!("{path}: input of {what}"),
            Some(Not(reason)) => println!("{path}: not run: {reason}"),
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    assert!(ran > 0, "nothing was run");
}

const SLOW: [&str; 2] = ["exact/model-", "exact/sweeps"];

#[test]
fn every_small_file_conforms() {
    run(|path| !SLOW.iter().any(|s| path.starts_with(s)));
}

#[test]
fn models_conform() {
    run(|path| path.starts_with(SLOW[0]));
}

#[test]
fn sweeps_conform() {
    run(|path| path.starts_with(SLOW[1]));
}

#[test]
fn a_file_outside_the_table_is_noticed() {
    assert!(covered("exact/ops.json").is_some() && covered("network/wallet/wallets/test/coldkey").is_some());
    assert!(covered("tiny-qwen3/tied-2l/config.json").is_some());
    for stranger in ["new.json", "exact/new.json", "exact/model-.json", "network/new/deep.json", "tiny-qwen3/x.json"] {
        assert!(covered(stranger).is_none(), "{stranger}");
    }
}
