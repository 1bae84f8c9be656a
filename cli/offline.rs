//! Window files without a chain: what stands in for one, and what can be derived from a file's own head.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use grail_engine::checkpoint::Checkpoint;
use grail_engine::tokenizer::Tokenizer;
use grail_protocol::Hash;
use grail_protocol::assignment::WindowHead;
use grail_protocol::encoding::sha256;
use grail_protocol::problem::block_hash_text;
use grail_protocol::signature::Signer;
use grail_protocol::verify::{Reason, ReasonKind};
use grail_protocol::window::{self, Beacon, Block, Limits, MAX_STORED_BYTES, ReadError, Schema, WindowFile};
use grail_protocol::window_root::WindowRoot;

use crate::beacon::{signature_from_text, verify};
use crate::commands::Usage;
use crate::flags::NetworkFlags;
use crate::network::{NetworkFile, offline, offline_beacon};
use crate::{identity, load};

/// Public: nobody may trust what this hotkey signs.
const HOTKEY_SEED: &[u8] = b"grail offline hotkey";

/// Windows of the offline network before the made one.
const MADE_WINDOWS: u64 = 20;

/// Milliseconds of a made block.
const BLOCK_MS: u64 = 12_000;

/// A model, and a network it can serve.
pub struct Setting {
    /// The model.
    pub checkpoint: Checkpoint,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Parameters and beacon.
    pub network: NetworkFile,
}

impl Setting {
    /// Opens a model and reads or makes its network.
    ///
    /// # Errors
    /// A model or a file that cannot be read, and a network of another model.
    pub fn open(flags: &NetworkFlags) -> Result<Self> {
        let opened = load::open(&flags.model.model)?;
        let tokenizer = load::tokenizer(&opened.checkpoint)?;
        let digest = identity::of(&opened)?;
        let network = match &flags.network {
            Some(path) => NetworkFile::read(path).with_context(|| format!("--network {}", path.display()))?,
            None => {
                let eos = tokenizer.eos_id().context("the model's tokenizer names no eos token, which prompts need")?;
                let name = model_name(&flags.model.model);
                offline(&name, digest, vec![eos], flags.max_new_tokens, flags.rollouts_per_problem)?
            }
        };
        let named = network.network().parameters().weights_digest;
        if named != digest {
            let (named, digest) = (hex::encode(named), hex::encode(digest));
            bail!(Usage(format!("--model: its weights digest is {digest}, the network's is {named}")));
        }
        Ok(Self { checkpoint: opened.checkpoint, tokenizer, network })
    }
}

/// A name, never a path.
fn model_name(argument: &str) -> String {
    argument.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or("model").to_owned()
}

/// The public hotkey for files that nobody needs to trust.
#[must_use]
pub fn public_signer() -> Signer {
    Signer::from_seed(&sha256(HOTKEY_SEED))
}

/// The first block of a window that no chain has, with its beacon.
///
/// # Errors
/// A network whose beacon is not the offline one: only its own relays can sign its rounds.
pub fn made_head(network: &NetworkFile, seed: &str) -> Result<WindowHead> {
    let offline = offline_beacon();
    ensure!(
        network.beacon().hash() == offline.info().hash(),
        Usage("--head: needed, since this network's beacon is not the offline one".into())
    );
    let parameters = network.network().parameters();
    let block_number = MADE_WINDOWS.saturating_mul(parameters.window_length);
    let genesis_ms = offline.info().parts().genesis_time * 1000;
    let timestamp_ms = genesis_ms.saturating_add(block_number.saturating_mul(BLOCK_MS));
    let round = network.beacon().schedule().round_of_block(timestamp_ms, parameters.beacon_delay_ms)?;
    let beacon_signature = offline.sign(round)?;
    Ok(WindowHead {
        block_number,
        block_hash: sha256(format!("grail offline block {seed}").as_bytes()),
        timestamp_ms,
        round,
        beacon_randomness: sha256(&beacon_signature),
        beacon_signature,
    })
}

/// What a file says of its window, as far as it can be held to it without a chain: the beacon's signature is verified,
/// and the round is the one of the block's time.
///
/// # Errors
/// The reason the file is void for.
pub fn head_of(block: &Block, beacon: &Beacon, network: &NetworkFile) -> Result<WindowHead, Reason> {
    let parameters = network.network().parameters();
    let refused = |field: &str, expected: String, found: String| {
        Reason::of_file(ReasonKind::WrongRandomness, field, expected, found)
    };
    let number = |field: &str, value: i128| {
        u64::try_from(value).map_err(|_| refused(field, "an integer of 64 bits".into(), value.to_string()))
    };
    let block_number = number("block.number", block.number)?;
    let timestamp_ms = number("block.timestamp_ms", block.timestamp_ms)?;
    let round = number("beacon.round", beacon.round)?;
    if !block_number.is_multiple_of(parameters.window_length) {
        let expected = format!("a multiple of the window length {}", parameters.window_length);
        return Err(refused("block.number", expected, block_number.to_string()));
    }
    let block_hash = block_hash(&block.hash)
        .ok_or_else(|| refused("block.hash", "0x and 64 lower-case hex digits".into(), block.hash.clone()))?;
    let due = network.beacon().schedule().round_of_block(timestamp_ms, parameters.beacon_delay_ms);
    let due = due.map_err(|e| refused("block.timestamp_ms", e.to_string(), timestamp_ms.to_string()))?;
    if due != round {
        return Err(refused(
            "beacon.round",
            format!("{due}, the first that is due after the block"),
            round.to_string(),
        ));
    }
    let signed = signature_from_text(&beacon.signature)
        .and_then(|bytes| Ok((verify(network.beacon(), round, &bytes, None)?, bytes)));
    let (beacon_randomness, beacon_signature) =
        signed.map_err(|e| refused("beacon.signature", e.to_string(), beacon.signature.clone()))?;
    Ok(WindowHead { block_number, block_hash, timestamp_ms, round, beacon_signature, beacon_randomness })
}

fn block_hash(text: &str) -> Option<Hash> {
    let bytes: Hash = hex::decode(text.strip_prefix("0x")?).ok()?.try_into().ok()?;
    (block_hash_text(&bytes) == text).then_some(bytes)
}

/// A window file from disk.
pub struct Opened {
    /// What it says; or why it cannot be read as one, which makes it void.
    pub file: Result<WindowFile, Reason>,
    /// Bytes on disk.
    pub stored_bytes: u64,
    /// What its miner would put on chain; none for a file that is not stored as it would be published.
    pub file_hash: Option<Hash>,
}

impl Opened {
    /// The root that belongs to the file, for a window.
    #[must_use]
    pub fn root(&self, window_start: u64) -> Option<WindowRoot> {
        self.file_hash.map(|file_hash| WindowRoot { window_start, file_hash })
    }
}

/// Reads a window file: gzip as it is published, or the bare text.
///
/// # Errors
/// The disk's. What is wrong with the contents is part of the result.
pub fn open(path: &Path, schema: &Schema, limits: &Limits) -> Result<Opened> {
    let context = || path.display().to_string();
    let mut disk = File::open(path).with_context(context)?;
    let stored_bytes = disk.metadata().with_context(context)?.len();
    let mut magic = [0; 2];
    let is_gzip = match disk.read_exact(&mut magic) {
        Ok(()) => magic == [0x1f, 0x8b],
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => false,
        Err(e) => return Err(e).with_context(context),
    };
    disk.seek(SeekFrom::Start(0)).with_context(context)?;
    let (read, file_hash) = if is_gzip {
        let mut stored = Vec::new();
        disk.take(MAX_STORED_BYTES + 1).read_to_end(&mut stored).with_context(context)?;
        let is_whole = stored.len() as u64 <= MAX_STORED_BYTES;
        (window::read_stored(&stored[..], schema, limits), is_whole.then(|| sha256(&stored)))
    } else {
        (window::read(BufReader::new(disk), schema, limits), None)
    };
    let file = match read {
        Ok(file) => Ok(file),
        Err(error) => Err(reason(error).with_context(context)?),
    };
    Ok(Opened { file, stored_bytes, file_hash })
}

/// What a file that cannot be read is void for; an error of the disk stays one.
fn reason(error: ReadError) -> Result<Reason> {
    match error {
        ReadError::OverCap { what, limit } => {
            Ok(Reason::of_file(ReasonKind::OverCap, what, format!("at most {limit}"), "more"))
        }
        ReadError::Malformed { path, expected, found } => {
            Ok(Reason::of_file(ReasonKind::Malformed, &path, expected, found))
        }
        ReadError::Io(error) => Err(error.into()),
        other => Err(other.into()),
    }
}
