//! `grail rollouts`: what a miner does in one window, without a chain: problems, answers, proofs, a signed file.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use grail_engine::EngineOptions;
use grail_engine::types::{Event, Observer};
use grail_protocol::assignment::{Protocol, WindowHead};
use grail_protocol::params::Network;
use grail_protocol::prove::{self, Moment};
use grail_protocol::ss58;
use grail_protocol::verify::{Verifier, scorer};
use grail_protocol::window::{self, Form, Schema, WindowFile};
use serde::Deserialize;
use serde_json::json;

use super::subnet::named_signer;
use super::{Outcome, Usage};
use crate::flags::Rollouts;
use crate::load;
use crate::miner::check_own;
use crate::network::NetworkFile;
use crate::offline::{Setting, head_of, made_head, open, public_signer};
use crate::sat::Sat;
use crate::terminal::{Paint, StatusLine, size};

pub fn run(flags: &Rollouts, out: &mut dyn Write) -> Result<Outcome> {
    // Hours of work must not end at a file that cannot be written.
    ensure!(!flags.out.exists(), Usage(format!("--out: {} exists already", flags.out.display())));
    let folder = flags.out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    ensure!(folder.is_dir(), "--out: {} is no folder", folder.display());
    let Setting { checkpoint, tokenizer, network } = Setting::open(&flags.network)?;
    let parameters = network.network().parameters();
    let most = parameters.max_groups;
    ensure!(flags.problems <= most, Usage(format!("--problems: {}, the network's files hold {most}", flags.problems)));
    let protocol = Protocol::new(network.network(), &Sat, &tokenizer, checkpoint.config())?;
    let head = match &flags.head {
        Some(path) => given_head(path, &network)?,
        None => made_head(&network, &flags.seed)?,
    };
    if let Some(path) = &flags.write_network {
        network.write(path)?;
    }
    let signer = named_signer(&flags.signer)?.unwrap_or_else(public_signer);
    let is_public = signer.account() == public_signer().account();
    let assignment = protocol.assignment(&head, signer.account());
    let options = EngineOptions { max_batch: flags.batch as usize, ..flags.engine.options() };
    let mut engine = load::on_device(checkpoint, options).context("the model")?;

    let begun = Instant::now();
    let moment = Moment { block: head.block_number, timestamp: now() };
    let problems = 0..u64::from(flags.problems);
    let proven = prove::answer(&assignment, &mut engine, problems, &signer, moment, &mut *watch("answering"))?;
    let seconds = begun.elapsed().as_secs_f64();
    let ended = proven.ended;
    let file = prove::window_file(network.network(), &head, &signer.account(), proven.entries, now());
    let verifier = Verifier::new(&protocol);
    // Any group will do, so the clock is random enough.
    let random = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| u64::from(t.subsec_nanos()));
    check_own(&verifier, &file, &head, &signer, random, &mut scorer(&mut engine)).context("nothing was written")?;
    let stored = window::store(&file.to_text(&Schema::of::<Sat>(), Form::Whole));
    create(&flags.out, &stored)?;

    if flags.json {
        let told = json!({
            "file": flags.out,
            "bytes": stored.len(),
            "hotkey": ss58::encode(&signer.account()),
            "network_id": hex::encode(network.network().id()),
            "window_start": head.block_number,
            "randomness": hex::encode(assignment.r_w()),
            "rollouts": file.inferences.len(),
            "solved": file.inferences.iter().filter(|e| e.commit.rollout.success).count(),
            "tokens": file.inferences.iter().map(|e| e.commit.rollout.completion_length as u64).sum::<u64>(),
            "seconds": seconds,
            "ended": ended.map(|ended| ended.to_string()),
        });
        writeln!(out, "{told}")?;
        return match ended {
            None => Ok(Outcome::Done),
            Some(ended) => bail!("the file ends early: {ended}"),
        };
    }
    let paint = Paint::stdout();
    let mut row = |label: &str, value: String| writeln!(out, "{} {value}", paint.dim(format!("{label:<12}")));
    let tokens: i128 = file.inferences.iter().map(|e| e.commit.rollout.completion_length).sum();
    let solved = file.inferences.iter().filter(|e| e.commit.rollout.success).count();
    row("file", format!("{}, {}", flags.out.display(), size(stored.len() as u64)))?;
    let public = if is_public { " (public key for offline use)" } else { "" };
    row("hotkey", format!("{}{public}", ss58::encode(&signer.account())))?;
    row("network", hex::encode(network.network().id()))?;
    row("block", format!("{} 0x{}", head.block_number, hex::encode(head.block_hash)))?;
    row("randomness", hex::encode(assignment.r_w()))?;
    let rollouts = file.inferences.len();
    row("rollouts", format!("{rollouts} of {} problems, {solved} solved", groups(&file, network.network())))?;
    row("generation", format!("{tokens} tokens in {seconds:.2} s, {:.0} tokens/s", tokens as f64 / seconds))?;
    match ended {
        None => Ok(Outcome::Done),
        // The groups before it are published; that is the rule of the format, but not what was asked for.
        Some(ended) => bail!("the file ends early: {ended}"),
    }
}

fn groups(file: &WindowFile, network: &Network) -> usize {
    file.inferences.len() / network.parameters().rollouts_per_problem as usize
}

/// Writes a file that did not exist, whole or not at all under its name.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().context("--out: no file name")?.to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        // Refuses to replace what came into being meanwhile.
        OpenOptions::new().write(true).create_new(true).open(path)?;
        std::fs::rename(&part, path)
    };
    // If the name is taken by now, the work is in the part file.
    write().with_context(|| format!("{}, written as {}", path.display(), part.display()))
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64())
}

/// Progress on standard error.
pub(super) fn watch(what: &'static str) -> Box<Observer<'static>> {
    let mut line = StatusLine::stderr();
    let begun = Instant::now();
    Box::new(move |event| {
        if let Event::Step(p) = event {
            let seconds = begun.elapsed().max(Duration::from_millis(1)).as_secs_f64();
            line.show(|| {
                let speed = p.rows as f64 / seconds;
                format!("{what}: {} of {} rollouts, {speed:.0} positions/s", p.finished, p.total)
            });
        }
        ControlFlow::Continue(())
    })
}

#[derive(Deserialize)]
struct GivenHead {
    block: GivenBlock,
    beacon: GivenBeacon,
}

#[derive(Deserialize)]
struct GivenBlock {
    number: u64,
    hash: String,
    timestamp_ms: u64,
}

#[derive(Deserialize)]
struct GivenBeacon {
    round: u64,
    signature: String,
}

/// Block and beacon of a window file, or of an object with at least these two.
fn given_head(path: &Path, network: &NetworkFile) -> Result<WindowHead> {
    const MOST: u64 = 64 << 20;
    let context = || format!("--head {}", path.display());
    let mut text = Vec::new();
    File::open(path).and_then(|f| BufReader::new(f).take(MOST).read_to_end(&mut text)).with_context(context)?;
    if text.starts_with(&[0x1f, 0x8b]) {
        let limits = window::Limits {
            text_bytes: window::MAX_TEXT_BYTES,
            inferences: usize::MAX,
            positions: usize::MAX,
            vocab_size: u32::MAX,
        };
        let file = open(path, &Schema::of::<Sat>(), &limits)?.file;
        let file = file.map_err(|reason| Usage(format!("{}: {reason}", context())))?;
        return head_of(&file.block, &file.beacon, network)
            .map_err(|reason| Usage(format!("{}: {reason}", context())).into());
    }
    let GivenHead { block, beacon } = serde_json::from_slice(&text).with_context(context)?;
    let block =
        window::Block { number: block.number.into(), hash: block.hash, timestamp_ms: block.timestamp_ms.into() };
    let beacon = window::Beacon { round: beacon.round.into(), signature: beacon.signature };
    head_of(&block, &beacon, network).map_err(|reason| Usage(format!("{}: {reason}", context())).into())
}
