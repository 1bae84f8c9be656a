//! What the commands that take part in a network share: a runtime, a key, and how events are told.

use std::io::{BufRead, IsTerminal, Write, stderr, stdin, stdout};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use grail_engine::checkpoint::Checkpoint;
use grail_engine::tokenizer::Tokenizer;
use grail_protocol::signature::Signer;
use grail_protocol::ss58;
use tokio::runtime::Runtime;

use super::Usage;
use super::confirm::{Place, is_local};
use crate::flags::{ModelFlag, NetworkName, SignerFlags, SubnetFlags};
use crate::load;
use crate::subnet::local::development_key;
use crate::subnet::{Event, Events, Joined, ModelIdentity, Stop, join};
use crate::terminal::{Paint, StatusLine, size};
use crate::wallet;

/// Threads for what waits; the model has its own.
const WORKERS: usize = 4;

/// Runs clients and servers.
///
/// # Errors
/// The system's, if it gives no threads.
pub fn runtime() -> Result<Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    built.context("threads for network connections")
}

/// A model as a network knows it.
pub struct Model {
    /// The files.
    pub checkpoint: Checkpoint,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The identity.
    pub identity: ModelIdentity,
}

impl Model {
    /// Opens what was named.
    ///
    /// # Errors
    /// A model that is not there or not supported.
    pub fn open(flag: &ModelFlag) -> Result<Self> {
        let opened = load::open(&flag.model)?;
        let tokenizer = load::tokenizer(&opened.checkpoint)?;
        let identity = ModelIdentity::of(&flag.model, &opened, &tokenizer)?;
        Ok(Self { checkpoint: opened.checkpoint, tokenizer, identity })
    }
}

/// The key that was named, if one was.
///
/// # Errors
/// A key that cannot be opened.
pub fn named_signer(flags: &SignerFlags) -> Result<Option<Signer>> {
    match (&flags.uri, flags.wallet()) {
        (Some(uri), _) => {
            let key = wallet::uri::parse(uri).map_err(|e| Usage(format!("--uri: {e}")))?;
            Ok(Some(key.into_signer()))
        }
        (None, Some(place)) => Ok(Some(wallet::signer(&place)?)),
        (None, None) => Ok(None),
    }
}

/// The key that signs: the one that was named, or on the local network a development key.
///
/// # Errors
/// A key that cannot be opened, and none on another network.
pub fn signer(flags: &SignerFlags, subnet: &SubnetFlags, development: &str) -> Result<Signer> {
    let is_local = subnet.network == NetworkName::Local && subnet.chain_endpoint.is_empty();
    match named_signer(flags)? {
        Some(signer) => Ok(signer),
        None if is_local => Ok(development_key(development)),
        None => Err(Usage("--hotkey: needed on every network but local".into()).into()),
    }
}

/// Joins a network; none if told to stop before that.
///
/// # Errors
/// As [`join`].
pub async fn joined(
    flags: &SubnetFlags,
    model: &ModelIdentity,
    signer: &Signer,
    stop: &Stop,
) -> Result<Option<Joined>> {
    let joined = tokio::select! {
        joined = join(flags, model, signer) => joined?,
        () = stop.wait() => return Ok(None),
    };
    if !flags.yes && !is_local(flags) {
        let parameters = joined.subnet.network.network().parameters();
        let (genesis, netuid) = (parameters.genesis_hash, parameters.netuid);
        let place = Place { network: &flags.network, genesis, netuid, hotkey: signer.account() };
        // Nothing else is to do until there is an answer.
        tokio::task::block_in_place(|| {
            let mut input = stdin().lock();
            let terminal = stdin().is_terminal().then_some(&mut input as &mut dyn BufRead);
            place.confirm(&joined.data, terminal, &mut stderr())
        })?;
    }
    let (hotkey, id) = (ss58::encode(&signer.account()), hex::encode(joined.subnet.network.network().id()));
    tracing::info!(hotkey, network = id, "joined");
    Ok(Some(joined))
}

/// Tells events to standard output: a line for a person, or a JSON object a line.
pub fn printer(json: bool) -> Events {
    let line = Mutex::new(StatusLine::stderr());
    Events::to(move |event| {
        let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
        if json {
            let text = serde_json::to_string(&event)
                .unwrap_or_else(|e| format!("{{\"event\":\"unwritable\",\"why\":\"{e}\"}}"));
            print(&text);
        } else if let Event::Working { window, groups, rollouts, positions_per_s } = event {
            line.show(|| {
                format!("window {window}: {groups} groups done, {rollouts} rollouts under way, {positions_per_s:.0} positions/s")
            });
        } else {
            line.clear();
            print(&words(&event, Paint::stdout()));
        }
    })
}

/// Whoever closed standard output wants no more; the work goes on.
fn print(text: &str) {
    let mut out = stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// An event in a line for a person.
pub fn words(event: &Event, paint: Paint) -> String {
    let window = |window: &u64| paint.dim(format!("window {window:<7}"));
    match event {
        Event::WindowBegun { window: w, groups, left_s } => {
            let before = if *groups > 0 { format!(", {groups} groups from before") } else { String::new() };
            format!("{} begun, {left_s:.1} s left{before}", window(w))
        }
        Event::Working { window: w, groups, .. } => format!("{} {groups} groups", window(w)),
        Event::WindowClosed(work) => {
            let speed = match work.generation_s > 0.0 {
                true => format!(", {:.0} tokens/s", work.generated_tokens as f64 / work.generation_s),
                false => String::new(),
            };
            let (groups, rollouts, solved) = (work.groups, work.rollouts, work.solved);
            let text = format!("{groups} groups, {rollouts} rollouts, {solved} solved{speed}; {}", work.ended);
            format!("{} {text}", window(&work.window))
        }
        Event::WindowPublished { window: w, file_hash, stored_bytes } => {
            let root = &hex::encode(file_hash)[..12];
            let text = format!("published: root {root}... on chain, {} in the bucket", size(*stored_bytes));
            format!("{} {}", window(w), paint.green(text))
        }
        Event::WindowMissed { window: w, why } => format!("{} {}", window(w), paint.red(format!("missed: {why}"))),
        Event::Judged(judged) => {
            let address = ss58::encode(&judged.hotkey);
            let who = format!("uid {:<3} {}...", judged.uid, &address[..8]);
            let text = match &judged.reason {
                Some(reason) => paint.red(format!("{}: {reason}", judged.outcome)),
                None if judged.outcome == "valid" => {
                    let speed = match judged.scoring_s > 0.0 {
                        true => format!(", {:.0} tokens/s", judged.scored_tokens as f64 / judged.scoring_s),
                        false => String::new(),
                    };
                    let (checked, groups) = (judged.checked, judged.groups);
                    paint.green(format!(
                        "valid: {checked} of {groups} groups checked, {} distinct successes{speed}",
                        judged.distinct
                    ))
                }
                None => paint.yellow(judged.outcome),
            };
            format!("{} {who} {text}", window(&judged.window))
        }
        Event::WindowJudged { window: w, records, seconds } => {
            format!("{} judged: {records} records in {seconds:.1} s", window(w))
        }
        Event::WindowUnseen { window: w, why } => {
            format!("{} {}", window(w), paint.yellow(format!("not judged: {why}")))
        }
        Event::WeightsSet { window: w, weights } => {
            let some = weights.iter().filter(|(_, weight)| *weight > 0.0);
            let some: Vec<String> = some.map(|(uid, weight)| format!("{uid}: {:.1} %", weight * 100.0)).collect();
            format!("{} weights on chain: {}", window(w), some.join(", "))
        }
        Event::WeightsNotSet { window: w, why } => {
            format!("{} {}", window(w), paint.yellow(format!("weights not set: {why}")))
        }
        Event::RecordsPublished { window: w, records, rollouts } => {
            let rollouts = if *rollouts { " and the valid rollouts" } else { "" };
            format!("{} published: {records} records{rollouts}", window(w))
        }
    }
}
