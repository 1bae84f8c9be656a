//! network/chain_storage.json: storage keys, values and the answer of `get_metagraph` over the local network's
//! metadata.

use std::path::Path;

use grail_chain::{Field, Metagraph, offline};
use serde::Deserialize;
use serde_json::Value as Json;
use subxt::ext::frame_decode;
use subxt::ext::scale_decode::IntoVisitor;
use subxt::ext::scale_value::Value;

use super::super::protocol::support::{Hex, Hex32, each, load, same, text};
use super::values::{agrees, number, to_value};
use super::{AtBlock, offline_client};

#[derive(Deserialize)]
struct File {
    entries: Vec<Entry>,
    keys: Vec<Key>,
    values: Vec<Stored>,
    get_metagraph: GetMetagraph,
}

#[derive(Deserialize)]
struct Entry {
    pallet: String,
    entry: String,
    prefix_hex: Hex32,
    keys: Vec<KeyPart>,
    modifier: String,
    default_hex: Hex,
}

#[derive(Deserialize)]
struct KeyPart {
    #[serde(rename = "type")]
    ty: String,
}

#[derive(Deserialize)]
struct Key {
    pallet: String,
    entry: String,
    keys: Vec<Json>,
    key_hex: Hex,
}

#[derive(Deserialize)]
struct Stored {
    pallet: String,
    entry: String,
    decoded: Json,
    value_hex: Hex,
}

#[derive(Deserialize)]
struct GetMetagraph {
    state_call: String,
    examples: Vec<Example>,
}

#[derive(Deserialize)]
struct Example {
    netuid: u16,
    request_params_hex: Hex,
    response_hex: Hex,
    summary: Option<Summary>,
}

#[derive(Deserialize)]
struct Summary {
    block: u64,
    hotkeys: Vec<Account>,
    coldkeys: Vec<Account>,
    active: Vec<bool>,
    validator_permit: Vec<bool>,
    last_update: Vec<u64>,
    total_stake: Vec<u64>,
}

#[derive(Deserialize)]
struct Account {
    account_hex: Hex32,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "network/chain_storage.json")?;
    let at = offline_client([0; 32], 365, 1)?;
    let entries = each("entries", &file.entries, |e| named(&e.pallet, &e.entry, run_entry(&at, e)))?;
    let keys = each("keys", &file.keys, |k| named(&k.pallet, &k.entry, run_key(&at, &file.entries, k)))?;
    let values = each("values", &file.values, |v| named(&v.pallet, &v.entry, run_value(&at, v)))?;
    let answers = each("examples", &file.get_metagraph.examples, |e| run_example(&at, &file.get_metagraph, e))?;
    Ok(entries + keys + values + answers)
}

fn named(pallet: &str, entry: &str, result: Result<(), String>) -> Result<(), String> {
    result.map_err(|e| format!("{pallet}.{entry}: {e}"))
}

fn run_entry(at: &AtBlock, expected: &Entry) -> Result<(), String> {
    let storage = at.storage();
    let entry = storage.entry((&expected.pallet, &expected.entry)).map_err(text)?;
    same("prefix", entry.key_prefix(), expected.prefix_hex.0)?;
    let default = entry.default_value().map(|v| v.bytes().to_vec());
    match expected.modifier.as_str() {
        "Default" => same("default", default, Some(expected.default_hex.0.clone())),
        _ => same("default", default, None),
    }
}

fn run_key(at: &AtBlock, entries: &[Entry], key: &Key) -> Result<(), String> {
    let of_key = |e: &&Entry| e.pallet == key.pallet && e.entry == key.entry;
    let types = &entries.iter().find(of_key).ok_or("no such entry")?.keys;
    let parts = types.iter().zip(&key.keys).map(|(part, json)| to_value(&part.ty, json));
    let parts = parts.collect::<Result<Vec<Value>, _>>()?;
    let whole = parts.len() == types.len();
    let storage = at.storage();
    let entry = storage.entry((&key.pallet, &key.entry)).map_err(text)?;
    let encoded = if whole { entry.fetch_key(parts) } else { entry.iter_key(parts) };
    same("key", hex::encode(encoded.map_err(text)?), hex::encode(&key.key_hex.0))
}

fn run_value(at: &AtBlock, stored: &Stored) -> Result<(), String> {
    let metadata = at.metadata_ref();
    let mut bytes = &stored.value_hex.0[..];
    let value: Value = frame_decode::storage::decode_storage_value(
        &stored.pallet,
        &stored.entry,
        &mut bytes,
        metadata,
        metadata.types(),
        Value::<()>::into_visitor(),
    )
    .map_err(text)?;
    same("bytes left over", bytes.len(), 0)?;
    if !agrees(&value, &stored.decoded) {
        return Err(format!("found {value}, expected {}", stored.decoded));
    }
    match stored.entry.as_str() {
        "CommitmentOf" => run_commitment(at, stored),
        _ => Ok(()),
    }
}

/// The client's own reading.
fn run_commitment(at: &AtBlock, stored: &Stored) -> Result<(), String> {
    let found = offline::commitment(at.metadata_ref(), &stored.value_hex.0)?;
    same("block", Some(u128::from(found.block)), number(&stored.decoded["block"]))?;
    let fields = stored.decoded["info"]["fields"].as_array().ok_or("no fields")?;
    same("number of fields", found.fields.len(), fields.len())?;
    for (field, expected) in found.fields.iter().zip(fields) {
        let variant = expected["variant"].as_str().ok_or("no variant")?;
        match field {
            Field::Raw(bytes) => {
                same("kind", format!("Raw{}", bytes.len()).as_str(), variant)?;
                same("bytes", Some(hex::encode(bytes).as_str()), expected["bytes"].as_str())?;
            }
            Field::Opaque { kind } => {
                same("kind", kind.as_str(), variant)?;
                same("raw", variant.starts_with("Raw"), false)?;
            }
        }
    }
    Ok(())
}

fn run_example(at: &AtBlock, expected: &GetMetagraph, example: &Example) -> Result<(), String> {
    let call = subxt::runtime_apis::dynamic::<_, Value>("SubnetInfoRuntimeApi", "get_metagraph", (example.netuid,));
    let apis = at.runtime_apis();
    same("name", apis.encode_name(&call), expected.state_call.clone())?;
    same("arguments", apis.encode_args(&call).map_err(text)?, example.request_params_hex.0.clone())?;
    let block = example.summary.as_ref().map_or(0, |s| s.block);
    let found = offline::metagraph(at.metadata_ref(), example.netuid, block, &example.response_hex.0)?;
    match (found, &example.summary) {
        (None, None) => Ok(()),
        (Some(found), Some(summary)) => run_summary(&found, summary),
        (found, _) => Err(format!("found {found:?}")),
    }
}

fn run_summary(found: &Metagraph, expected: &Summary) -> Result<(), String> {
    let accounts = |list: &[Account]| list.iter().map(|a| a.account_hex.0).collect::<Vec<_>>();
    let neurons = &found.neurons;
    same("hotkeys", neurons.iter().map(|n| n.hotkey).collect(), accounts(&expected.hotkeys))?;
    same("coldkeys", neurons.iter().map(|n| n.coldkey).collect(), accounts(&expected.coldkeys))?;
    same("active", neurons.iter().map(|n| n.active).collect(), expected.active.clone())?;
    same("permits", neurons.iter().map(|n| n.validator_permit).collect(), expected.validator_permit.clone())?;
    same("last_update", neurons.iter().map(|n| n.last_update).collect(), expected.last_update.clone())?;
    same("stake", neurons.iter().map(|n| n.stake).collect(), expected.total_stake.clone())
}
