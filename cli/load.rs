//! From a model argument to an engine, with the download shown on standard error.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use grail_engine::checkpoint::Checkpoint;
use grail_engine::hub::{Event, Location, ModelArg, Settings, resolve};
use grail_engine::tokenizer::Tokenizer;
use grail_engine::{Engine, EngineOptions};

use crate::identity::stamp::Stamp;
use crate::terminal::{StatusLine, size};

/// Finds a model, downloading it if need be.
///
/// # Errors
/// A name that leads to no model, or a failed download.
pub fn locate(model: &str) -> Result<Location> {
    let mut line = StatusLine::stderr();
    let mut begun = BTreeSet::new();
    let mut show = |event: Event| match event {
        Event::Download { file, done_bytes, total_bytes } => {
            if begun.insert(file.clone()) {
                line.note(&format!("downloading {file}, {}", size(total_bytes)));
            }
            line.show(|| format!("{file}: {} of {}", size(done_bytes), size(total_bytes)));
        }
        Event::HubUnreachable { problem } => {
            line.note(&format!("using the cached model; the hub is unreachable: {problem}"))
        }
        _ => {}
    };
    Ok(resolve(&ModelArg::parse(model)?, &Settings::from_env(), &mut show)?)
}

/// A checkpoint, and the files it came from.
#[derive(Debug)]
pub struct Opened {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Its files right before they were opened; none for the model inside the binary or if the system cannot tell.
    pub stamp: Option<Stamp>,
    location: Location,
}

impl Opened {
    /// Its files as they are now.
    #[must_use]
    pub fn stamp_now(&self) -> Option<Stamp> {
        stamp(&self.location)
    }
}

fn stamp(location: &Location) -> Option<Stamp> {
    match location {
        Location::SatTiny => None,
        Location::Folder(folder) => Stamp::of(folder).ok(),
    }
}

/// Opens a model.
///
/// # Errors
/// As [`locate`], and files that are no supported checkpoint.
pub fn open(model: &str) -> Result<Opened> {
    let location = locate(model)?;
    let stamp = stamp(&location);
    let checkpoint = location.open().with_context(|| format!("model {model}"))?;
    Ok(Opened { checkpoint, stamp, location })
}

/// Opens a model's checkpoint, where only that is wanted.
///
/// # Errors
/// As [`open`].
pub fn checkpoint(model: &str) -> Result<Checkpoint> {
    Ok(open(model)?.checkpoint)
}

/// Loads a model.
///
/// # Errors
/// As [`checkpoint`], and what the engine refuses.
pub fn engine(model: &str, options: EngineOptions) -> Result<Engine> {
    on_device(checkpoint(model)?, options).with_context(|| format!("model {model}"))
}

/// A checkpoint's model on its device, which the log names. That `auto` took the CPU is a warning where there is an NVIDIA
/// driver: somebody expects a GPU to be used.
///
/// # Errors
/// What the engine refuses.
pub fn on_device(checkpoint: Checkpoint, options: EngineOptions) -> grail_engine::Result<Engine> {
    let engine = Engine::load(checkpoint, options)?;
    tracing::info!(device = engine.device(), "the model is loaded");
    match engine.no_gpu() {
        Some(why) if grail_engine::cuda::driver_is_there() => tracing::warn!("no GPU is used: {why}"),
        Some(why) => tracing::info!("no GPU is used: {why}"),
        None => {}
    }
    Ok(engine)
}

/// A model's tokenizer.
///
/// # Errors
/// A tokenizer that is not supported.
pub fn tokenizer(checkpoint: &Checkpoint) -> Result<Tokenizer> {
    Ok(Tokenizer::from_checkpoint(checkpoint)?)
}
