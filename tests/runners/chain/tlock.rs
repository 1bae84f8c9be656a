//! network/tlock.json: ciphertexts of the real network's libraries, and rounds at which weights are revealed.
//!
//! Not run: `reveal_round_simple`, the round of functions that this client has no use for.

use std::path::Path;
use std::time::Duration;

use grail_beacon::{ChainInfo, timelock, verify};
use grail_chain::{ConformedWeights, Epochs, offline, reveal_block, reveal_round};
use serde::Deserialize;

use super::super::protocol::support::{Hex, Hex32, each, load, same, text};

#[derive(Deserialize)]
struct File {
    chain: Beacon,
    ciphertexts: Vec<Ciphertext>,
    weights_commits: Vec<Commit>,
    text_commitment: Plain,
    negative: Vec<Negative>,
    reveal_round_v1: Rounds<Fixed>,
    reveal_round_v2: Rounds<Counted>,
}

#[derive(Deserialize)]
struct Beacon {
    hash: Hex32,
}

#[derive(Deserialize)]
struct Ciphertext {
    round: u64,
    envelope_hex: Hex,
    #[serde(flatten)]
    plain: Plain,
}

#[derive(Deserialize)]
struct Plain {
    ciphertext_hex: Hex,
    signature_hex: Hex,
    plaintext_hex: Hex,
}

#[derive(Deserialize)]
struct Commit {
    hotkey_hex: Hex32,
    uids: Vec<u16>,
    values: Vec<u16>,
    version_key: u64,
    payload_hex: Hex,
    reveal_round: u64,
    signature_hex: Hex,
    commit_hex: Hex,
}

#[derive(Deserialize)]
struct Negative {
    envelope_hex: Hex,
    /// Not always hexadecimal.
    signature_hex: String,
    any_returned_the_plaintext: bool,
}

#[derive(Deserialize)]
struct Rounds<T> {
    cases: Vec<Round<T>>,
}

#[derive(Deserialize)]
struct Round<T> {
    #[serde(flatten)]
    epochs: T,
    current_block: u64,
    reveal_period_epochs: u64,
    block_time_s: f64,
    now_unix_ns: u64,
    reveal_round: Option<u64>,
}

#[derive(Deserialize)]
struct Fixed {
    tempo: u16,
    netuid: u16,
}

#[derive(Deserialize)]
struct Counted {
    tempo: u16,
    last_epoch_block: u64,
    pending_epoch_at: u64,
    blocks_since_last_step: u64,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "network/tlock.json")?;
    let quicknet = ChainInfo::quicknet();
    same("chain", *quicknet.hash(), file.chain.hash.0)?;
    let opened = each("ciphertexts", &file.ciphertexts, |case| run_ciphertext(&quicknet, case))?;
    let commits = each("weights_commits", &file.weights_commits, |case| run_commit(&quicknet, case))?;
    run_plain(&file.text_commitment).map_err(|e| format!("text_commitment: {e}"))?;
    let refused = each("negative", &file.negative, run_negative)?;
    let fixed = |e: &Fixed| Epochs::Fixed { tempo: e.tempo, netuid: e.netuid };
    let counted = |e: &Counted| Epochs::Counted {
        tempo: e.tempo,
        last_epoch_block: e.last_epoch_block,
        pending_epoch_at: e.pending_epoch_at,
        blocks_since_last_step: e.blocks_since_last_step,
    };
    let fixed = each("reveal_round_v1", &file.reveal_round_v1.cases, |case| run_round(case, fixed(&case.epochs)))?;
    let counted = each("reveal_round_v2", &file.reveal_round_v2.cases, |case| run_round(case, counted(&case.epochs)))?;
    Ok(opened + commits + 1 + refused + fixed + counted)
}

fn run_plain(case: &Plain) -> Result<(), String> {
    let opened = timelock::open(&case.ciphertext_hex.0, &case.signature_hex.0).map_err(text)?;
    same("plaintext", hex::encode(opened), hex::encode(&case.plaintext_hex.0))
}

/// Opened, and what is sealed here opens with the same genuine signature.
fn run_ciphertext(quicknet: &ChainInfo, case: &Ciphertext) -> Result<(), String> {
    run_plain(&case.plain)?;
    same("inside", inside(&case.envelope_hex.0)?, &case.plain.ciphertext_hex.0[..])?;
    let signature = &case.plain.signature_hex.0;
    verify(quicknet, case.round, signature, None).map_err(text)?;
    let sealed = timelock::seal(quicknet, case.round, &case.plain.plaintext_hex.0).map_err(text)?;
    same("length", sealed.len(), case.plain.ciphertext_hex.0.len())?;
    same("own", timelock::open(&sealed, signature), Ok(case.plain.plaintext_hex.0.clone()))
}

fn run_commit(quicknet: &ChainInfo, case: &Commit) -> Result<(), String> {
    let weights = ConformedWeights { uids: case.uids.clone(), values: case.values.clone() };
    let payload = offline::weights_payload(&case.hotkey_hex.0, &weights, case.version_key);
    same("payload", hex::encode(&payload), hex::encode(&case.payload_hex.0))?;
    let signature = &case.signature_hex.0;
    same("opened", timelock::open(&case.commit_hex.0, signature), Ok(payload.clone()))?;
    let own = offline::seal_weights(quicknet, case.reveal_round, &case.hotkey_hex.0, &weights, case.version_key);
    let own = own.map_err(text)?;
    same("length", own.len(), case.commit_hex.0.len())?;
    same("own", timelock::open(&own, signature), Ok(payload))
}

fn run_negative(case: &Negative) -> Result<(), String> {
    same("any_returned_the_plaintext", case.any_returned_the_plaintext, false)?;
    let opened = inside(&case.envelope_hex.0).and_then(|bytes| {
        let signature = hex::decode(&case.signature_hex).map_err(text)?;
        timelock::open(bytes, &signature).map_err(text)
    });
    match opened {
        Ok(plaintext) => Err(format!("opened as {}", hex::encode(plaintext))),
        Err(_) => Ok(()),
    }
}

/// What an envelope holds beside the round.
fn inside(envelope: &[u8]) -> Result<&[u8], String> {
    use subxt::ext::codec::{Compact, Decode};
    let mut rest = envelope;
    let length = Compact::<u32>::decode(&mut rest).map_err(text)?.0 as usize;
    let bytes = rest.split_at_checked(length).ok_or("an envelope that is too short")?.0;
    same("bytes after the ciphertext", rest.len() - length, 8)?;
    Ok(bytes)
}

fn run_round<T>(case: &Round<T>, epochs: Epochs) -> Result<(), String> {
    let round = reveal_block(epochs, case.current_block, case.reveal_period_epochs).map(|block| {
        let quicknet = ChainInfo::quicknet();
        let (beacon, block_time) = (quicknet.parts(), Duration::from_secs_f64(case.block_time_s));
        let now = Duration::from_nanos(case.now_unix_ns);
        reveal_round(block, case.current_block, block_time, now, beacon.genesis_time, beacon.period)
    });
    same("round", round.ok(), case.reveal_round)
}
