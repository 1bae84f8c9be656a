//! network/chain_calls.json: call data, signed payloads and extrinsics over the local network's metadata.
//!
//! That metadata offers the calls a subnet's participants make on the local network; cases of the real chain's
//! other calls are counted out by name. `set_weights` and `set_commitment` of raw fields are encoded twice: from
//! the arguments by name, and by the client's own call.

use std::path::Path;

use grail_chain::{ConformedWeights, offline};
use grail_protocol::signature;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use subxt::config::{DefaultExtrinsicParamsBuilder, SubstrateConfig};
use subxt::ext::scale_value::{Composite, Value};
use subxt::transactions::DynamicPayload;
use subxt::utils::{AccountId32, H256, MultiSignature};

use super::super::protocol::support::{Hex, Hex32, each, load, same, text};
use super::values::{bytes, number, to_value};
use super::{AtBlock, offline_client};

/// Calls of the real chain that the local network does not offer.
const NOT_OFFERED: [&str; 4] =
    ["commit_timelocked_mechanism_weights", "commit_weights", "reveal_weights", "set_mechanism_weights"];

#[derive(Deserialize)]
struct File {
    signatures: Vec<Signature>,
    cases: Vec<Case>,
    extrinsics: Vec<Extrinsic>,
}

#[derive(Deserialize)]
struct Signature {
    pallet: String,
    pallet_index: u8,
    call: String,
    call_index: u8,
    args: Vec<Argument>,
}

#[derive(Deserialize)]
struct Argument {
    name: String,
    #[serde(rename = "type")]
    ty: String,
}

#[derive(Deserialize)]
struct Case {
    pallet: String,
    call: String,
    args: Map<String, Json>,
    call_data_hex: Hex,
}

#[derive(Deserialize)]
struct Extrinsic {
    #[serde(flatten)]
    case: Case,
    public_key_hex: Hex32,
    nonce: u64,
    tip: u128,
    era: Era,
    genesis_hash_hex: Hex32,
    spec_version: u32,
    transaction_version: u32,
    extra_hex: Hex,
    signer_payload_hex: Hex,
    extrinsic_prefix_hex: Hex,
    extrinsic_suffix_hex: Hex,
    signed: Vec<Signed>,
}

#[derive(Deserialize)]
struct Era {
    period: Option<u64>,
    block: Option<u64>,
    block_hash_hex: Option<Hex32>,
    encoded_hex: Hex,
}

#[derive(Deserialize)]
struct Signed {
    signature_hex: Hex,
    /// What was verified instead of the payload.
    message_hex: Option<Hex>,
    extrinsic_hex: Option<Hex>,
    extrinsic_hash_hex: Option<Hex32>,
    valid: bool,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "network/chain_calls.json")?;
    let at = offline_client([0; 32], 365, 1)?;
    let offered = |call: &str| !NOT_OFFERED.contains(&call);
    let signatures: Vec<&Signature> = file.signatures.iter().filter(|s| offered(&s.call)).collect();
    let cases: Vec<&Case> = file.cases.iter().filter(|c| offered(&c.call)).collect();
    let extrinsics: Vec<&Extrinsic> = file.extrinsics.iter().filter(|e| offered(&e.case.call)).collect();
    let indices = each("signatures", &signatures, |s| run_signature(&at, s))?;
    let calls = each("cases", &cases, |case| run_case(&at, &signatures, case))?;
    let signed = each("extrinsics", &extrinsics, |e| run_extrinsic(&signatures, e))?;
    Ok(indices + calls + signed)
}

fn run_signature(at: &AtBlock, signature: &Signature) -> Result<(), String> {
    let metadata = at.metadata_ref();
    let pallet = metadata.pallet_by_name(&signature.pallet).ok_or("no such pallet")?;
    let call = pallet.call_variant_by_name(&signature.call).ok_or("no such call")?;
    same("pallet index", pallet.call_index(), signature.pallet_index)?;
    same("call index", call.index, signature.call_index)?;
    let names: Vec<&str> = call.fields.iter().filter_map(|f| f.name.as_deref()).collect();
    same("arguments", names, signature.args.iter().map(|a| a.name.as_str()).collect())
}

fn call(signatures: &[&Signature], case: &Case) -> Result<DynamicPayload<Composite<()>>, String> {
    let of_case = |s: &&&Signature| s.pallet == case.pallet && s.call == case.call;
    let signature = signatures.iter().find(of_case).ok_or("no such signature")?;
    let arguments = signature.args.iter().map(|a| Ok((a.name.clone(), to_value(&a.ty, &case.args[&a.name])?)));
    let arguments: Vec<(String, Value)> = arguments.collect::<Result<_, String>>()?;
    Ok(subxt::dynamic::tx(&case.pallet, &case.call, Composite::named(arguments)))
}

fn run_case(at: &AtBlock, signatures: &[&Signature], case: &Case) -> Result<(), String> {
    let encoded = at.tx().call_data(&call(signatures, case)?).map_err(text)?;
    same("call data", hex::encode(&encoded), hex::encode(&case.call_data_hex.0))?;
    match own_call(case)? {
        Some(own) => same("call data of the client", at.tx().call_data(&own).map_err(text)?, encoded),
        None => Ok(()),
    }
}

/// The client's own call, where it is one that the client makes.
fn own_call(case: &Case) -> Result<Option<DynamicPayload<Composite<()>>>, String> {
    let netuid = number(&case.args["netuid"]).and_then(|n| u16::try_from(n).ok()).ok_or("no netuid")?;
    let list = |name: &str| -> Option<Vec<u16>> {
        case.args[name].as_array()?.iter().map(|n| number(n)?.try_into().ok()).collect()
    };
    match case.call.as_str() {
        "set_weights" => {
            let key = number(&case.args["version_key"]).and_then(|k| u64::try_from(k).ok()).ok_or("no version_key")?;
            let (uids, values) = (list("dests").ok_or("no dests")?, list("weights").ok_or("no weights")?);
            Ok(Some(offline::set_weights(netuid, &ConformedWeights { uids, values }, key)))
        }
        "set_commitment" => {
            let fields = case.args["info"]["fields"].as_array().ok_or("no fields")?;
            let raw = |f: &Json| f["variant"].as_str().is_some_and(|v| v.starts_with("Raw"));
            if !fields.iter().all(raw) {
                return Ok(None);
            }
            let fields = fields.iter().map(|f| bytes(&f["bytes"])).collect::<Result<Vec<_>, _>>()?;
            Ok(Some(offline::set_commitment(netuid, &fields)))
        }
        "commit_timelocked_weights" => {
            let of = |name: &str| number(&case.args[name]).ok_or("no number");
            let (round, version) = (of("reveal_round")?, of("commit_reveal_version")?);
            let (round, version) = (u64::try_from(round).map_err(text)?, u16::try_from(version).map_err(text)?);
            Ok(Some(offline::commit_timelocked_weights(netuid, &bytes(&case.args["commit"])?, round, version)))
        }
        _ => Ok(None),
    }
}

fn run_extrinsic(signatures: &[&Signature], extrinsic: &Extrinsic) -> Result<(), String> {
    let at = offline_client(extrinsic.genesis_hash_hex.0, extrinsic.spec_version, extrinsic.transaction_version)?;
    let call = call(signatures, &extrinsic.case)?;
    let mut signable = at.tx().create_v4_signable_offline(&call, parameters(extrinsic)?).map_err(text)?;
    let payload = signable.signer_payload().map_err(text)?;
    same("signed payload", hex::encode(&payload), hex::encode(&extrinsic.signer_payload_hex.0))?;
    let call_data = &extrinsic.case.call_data_hex.0;
    let suffix = [&extrinsic.extra_hex.0[..], call_data].concat();
    same("suffix", &suffix, &extrinsic.extrinsic_suffix_hex.0)?;
    same("era", suffix.starts_with(&extrinsic.era.encoded_hex.0), true)?;
    let account = extrinsic.public_key_hex.0;
    let checked = each("signed", &extrinsic.signed, |signed| {
        let bytes = &signed.signature_hex.0;
        let message = signed.message_hex.as_ref().map_or(&payload, |m| &m.0);
        same("valid", signature::verify(&account, message, bytes), signed.valid)?;
        let Some(expected) = &signed.extrinsic_hex else {
            return Ok(());
        };
        let bytes: [u8; 64] = bytes.as_slice().try_into().map_err(text)?;
        let whole = [&extrinsic.extrinsic_prefix_hex.0[..], &bytes, &suffix].concat();
        let made = signable.sign_with_account_and_signature(&AccountId32(account), &MultiSignature::Sr25519(bytes));
        let made = made.map_err(text)?;
        same("extrinsic", hex::encode(made.encoded()), hex::encode(&expected.0))?;
        same("its parts", hex::encode(whole), hex::encode(&expected.0))?;
        let hash = signed.extrinsic_hash_hex.as_ref();
        hash.map_or(Ok(()), |hash| same("extrinsic hash", made.hash().0, hash.0))
    });
    checked.map(|_| ())
}

fn parameters(extrinsic: &Extrinsic) -> Result<subxt::config::ParamsFor<SubstrateConfig>, String> {
    let builder = DefaultExtrinsicParamsBuilder::new().nonce(extrinsic.nonce).tip(extrinsic.tip);
    let era = &extrinsic.era;
    Ok(match (era.period, era.block, era.block_hash_hex) {
        (Some(period), Some(block), Some(hash)) => builder.mortal_from_unchecked(period, block, H256(hash.0)).build(),
        (None, None, None) => builder.immortal().build(),
        _ => return Err("half an era".to_owned()),
    })
}
