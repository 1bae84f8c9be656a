//! Calls, extrinsics, storage keys and values are, byte for byte, those of the real chain.

mod support;

use frame_metadata::v14::{StorageEntryType, StorageHasher};
use frame_metadata::v15::RuntimeMetadataV15;
use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};
use grail_localnet::chain::call::Call;
use grail_localnet::chain::commitment::Registration;
use grail_localnet::chain::extrinsic::{Era, Extrinsic};
use grail_localnet::chain::metadata;
use grail_localnet::chain::state::Slot;
use grail_localnet::chain::version::Runtime;
use grail_localnet::chain::{AccountInfo, AxonInfo, max_upscale};
use grail_protocol::{AccountId, Hash, signature, ss58};
use parity_scale_codec::{Compact, Decode, DecodeAll, Encode};
use serde_json::Value;

use support::{unhex, vectors};

/// Calls of the vectors that this chain does not offer.
const NOT_OFFERED: [&str; 4] =
    ["commit_weights", "reveal_weights", "commit_timelocked_mechanism_weights", "set_mechanism_weights"];

fn v15() -> RuntimeMetadataV15 {
    match RuntimeMetadataPrefixed::decode(&mut metadata::v15(Runtime::FIRST).as_slice()).expect("decodes").1 {
        RuntimeMetadata::V15(metadata) => metadata,
        _ => panic!("not V15"),
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

#[test]
fn calls_are_read_and_written_as_on_the_real_chain() {
    let file = vectors("chain_calls.json");
    let metadata = v15();
    let call_type = metadata.outer_enums.call_enum_ty.id;
    let mut offered = 0;
    for case in items(&file["cases"]) {
        let bytes = unhex(&case["call_data_hex"]);
        let name = case["call"].as_str().expect("text");
        let ours = Call::decode_all(&mut bytes.as_slice());
        let by_metadata = scale_value::scale::decode_as_type(&mut bytes.as_slice(), call_type, &metadata.types);
        if NOT_OFFERED.contains(&name) {
            assert!(ours.is_err() && by_metadata.is_err(), "{name}");
            continue;
        }
        let fields = case["args"]["info"]["fields"].as_array().map_or(0, Vec::len);
        assert!(fields <= 3);
        assert_eq!(ours.unwrap_or_else(|e| panic!("{name}: {e}")).encode(), bytes, "{name}");
        let mut again = vec![];
        let value = by_metadata.unwrap_or_else(|e| panic!("{name}: {e}"));
        scale_value::scale::encode_as_type(&value, call_type, &metadata.types, &mut again).expect("encodes");
        assert_eq!(again, bytes, "{name} by the metadata");
        offered += 1;
    }
    assert!(offered > 20, "{offered}");
}

#[test]
fn extrinsics_are_taken_apart_and_their_payloads_are_the_signed_bytes() {
    let file = vectors("chain_calls.json");
    let (mut good, mut bad) = (0, 0);
    for case in items(&file["extrinsics"]) {
        if NOT_OFFERED.contains(&case["call"].as_str().expect("text")) {
            continue;
        }
        let genesis: Hash = unhex(&case["genesis_hash_hex"]).try_into().expect("a hash");
        let era = &case["era"];
        let birth: Hash = match era["block_hash_hex"].as_str() {
            Some(text) => hex::decode(text).expect("hex").try_into().expect("a hash"),
            None => genesis,
        };
        let public: AccountId = unhex(&case["public_key_hex"]).try_into().expect("a key");
        assert_eq!(ss58::encode(&public), case["ss58"].as_str().expect("text"));
        let payload = unhex(&case["signer_payload_hex"]);
        for signed in items(&case["signed"]) {
            let signature = unhex(&signed["signature_hex"]);
            if signed["valid"] == false {
                let message = unhex(&signed["message_hex"]);
                assert!(!signature::verify(&public, &message, &signature));
                bad += 1;
                continue;
            }
            let bytes = unhex(&signed["extrinsic_hex"]);
            let Extrinsic::Signed(parts) = Extrinsic::decode(&bytes, Runtime::FIRST).expect("decodes") else {
                panic!("not signed")
            };
            assert_eq!(parts.signer, Some(public));
            assert_eq!(parts.signature.expect("sr25519").as_slice(), signature);
            assert_eq!(u64::from(parts.nonce), case["nonce"].as_u64().expect("a nonce"));
            assert_eq!(parts.tip, case["tip"].as_u64().expect("a tip"));
            assert_eq!(parts.era.encode(), unhex(&era["encoded_hex"]));
            if let Some(block) = era["block"].as_u64() {
                assert_eq!(Some(parts.era.birth(block)), era["birth_block"].as_u64());
            }
            assert_eq!(parts.call.encode(), unhex(&case["call_data_hex"]));
            assert_eq!(parts.payload(&genesis, &birth), payload);
            assert!(signature::verify(&public, &parts.payload(&genesis, &birth), &signature));
            assert!(!signature::verify(&public, &parts.payload(&birth, &[9; 32]), &signature));
            let hash = sp_crypto_hashing::blake2_256(&bytes);
            assert_eq!(hash.to_vec(), unhex(&signed["extrinsic_hash_hex"]));
            good += 1;
        }
    }
    assert!(good >= 20 && bad >= 10, "{good} {bad}");
}

#[test]
fn eras_are_read_as_they_are_written() {
    for (period, phases) in [(4, 4), (64, 64), (4096, 4096), (65536, 4096)] {
        for part in 0..phases {
            let era = Era::Mortal { period, phase: part * (period / phases) };
            assert_eq!(Era::decode_all(&mut era.encode().as_slice()).expect("an era"), era);
        }
    }
    let refused = (1..=u16::MAX).filter(|bits| bits & 0xff != 0 && Era::decode(&mut bits.encode().as_slice()).is_err());
    assert!(refused.count() > 1000, "phases outside the period are refused");
}

/// The storage key that our metadata leads a client to.
fn key_by_metadata(metadata: &RuntimeMetadataV15, case: &Value) -> Option<Vec<u8>> {
    let (pallet, entry) = (case["pallet"].as_str()?, case["entry"].as_str()?);
    let storage = metadata.pallets.iter().find(|p| p.name == pallet)?.storage.as_ref()?;
    let found = storage.entries.iter().find(|e| e.name == entry)?;
    let mut slot = Slot::<()>::new(&storage.prefix, entry);
    let StorageEntryType::Map { hashers, key, .. } = &found.ty else { return Some(slot.key().to_vec()) };
    let types = match &metadata.types.resolve(key.id)?.type_def {
        scale_info::TypeDef::Tuple(tuple) if hashers.len() > 1 => tuple.fields.iter().map(|ty| ty.id).collect(),
        _ => vec![key.id],
    };
    for ((hasher, ty), value) in hashers.iter().zip(types).zip(items(&case["keys"])) {
        let bytes = match value {
            Value::Number(number) => {
                let mut bytes = vec![];
                let number = scale_value::Value::u128(u128::from(number.as_u64()?));
                scale_value::scale::encode_as_type(&number, ty, &metadata.types, &mut bytes).expect("a number");
                bytes
            }
            Value::Object(account) => unhex(account.get("account_hex")?),
            other => panic!("a key of another kind: {other}"),
        };
        let raw = Raw(bytes);
        slot = match hasher {
            StorageHasher::Identity => slot.identity(raw),
            StorageHasher::Twox64Concat => slot.twox_64_concat(raw),
            StorageHasher::Blake2_128Concat => slot.blake2_128_concat(raw),
            other => panic!("a hasher that no entry has: {other:?}"),
        };
    }
    Some(slot.key().to_vec())
}

/// Bytes that are SCALE already.
struct Raw(Vec<u8>);

impl Encode for Raw {
    fn encode_to<T: parity_scale_codec::Output + ?Sized>(&self, output: &mut T) {
        output.write(&self.0);
    }
}

#[test]
fn storage_keys_are_those_of_the_real_chain() {
    let file = vectors("chain_storage.json");
    let metadata = v15();
    let mut compared = 0;
    for case in items(&file["keys"]) {
        let key = key_by_metadata(&metadata, case).unwrap_or_else(|| panic!("not offered: {case}"));
        assert_eq!(key, unhex(&case["key_hex"]), "{case}");
        compared += 1;
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn stored_values_are_read_and_written_as_on_the_real_chain() {
    let file = vectors("chain_storage.json");
    let metadata = v15();
    let mut compared = 0;
    for case in items(&file["values"]) {
        let bytes = unhex(&case["value_hex"]);
        let entry = case["entry"].as_str().expect("text");
        let again = match entry {
            "CommitmentOf" => again::<Registration>(&bytes),
            "Account" => again::<AccountInfo>(&bytes),
            "Axons" => again::<AxonInfo>(&bytes),
            "ValidatorPermit" | "Active" => again::<Vec<bool>>(&bytes),
            "LastUpdate" => again::<Vec<u64>>(&bytes),
            "Weights" => again::<Vec<(u16, u16)>>(&bytes),
            "Keys" | "BlockHash" => again::<[u8; 32]>(&bytes),
            "CommitRevealWeightsEnabled" => again::<bool>(&bytes),
            "LastCommitment" | "Number" => again::<u32>(&bytes),
            "SubnetworkN" | "Tempo" | "MinAllowedWeights" | "CommitRevealWeightsVersion" | "Uids" => {
                again::<u16>(&bytes)
            }
            "WeightsSetRateLimit" | "WeightsVersionKey" | "RevealPeriodEpochs" | "TotalHotkeyAlpha" | "Now" => {
                again::<u64>(&bytes)
            }
            other => panic!("a value of another kind: {other}"),
        };
        assert_eq!(again, bytes, "{case}");
        let pallet = metadata.pallets.iter().find(|pallet| case["pallet"] == pallet.name).expect("offered");
        let entries = &pallet.storage.as_ref().expect("storage").entries;
        let ty = match &entries.iter().find(|found| found.name == entry).expect("offered").ty {
            StorageEntryType::Plain(value) | StorageEntryType::Map { value, .. } => value.id,
        };
        let value = scale_value::scale::decode_as_type(&mut bytes.as_slice(), ty, &metadata.types).expect("decodes");
        let mut by_metadata = vec![];
        scale_value::scale::encode_as_type(&value, ty, &metadata.types, &mut by_metadata).expect("encodes");
        assert_eq!(by_metadata, bytes, "{case} by the metadata");
        compared += 1;
    }
    assert!(compared > 40, "{compared}");
}

fn again<T: Decode + Encode>(bytes: &[u8]) -> Vec<u8> {
    T::decode_all(&mut &*bytes).expect("decodes").encode()
}

#[test]
fn a_length_prefix_that_promises_too_much_is_refused_at_once() {
    let huge = Compact(u32::MAX >> 2).encode();
    let weights = [vec![7, 0, 81, 0], huge.clone()].concat();
    assert!(Call::decode(&mut weights.as_slice()).is_err());
    let commitment = [vec![18, 0, 81, 0], huge.clone()].concat();
    assert!(Call::decode(&mut commitment.as_slice()).is_err());
    let big_raw = [vec![18, 0, 81, 0, 4, 136], huge.clone()].concat();
    assert!(Call::decode(&mut big_raw.as_slice()).is_err());
    let four_fields = [18, 0, 81, 0, 16, 0, 0, 0, 0];
    assert!(Call::decode(&mut four_fields.as_slice()).is_err());
    let three_fields = [18, 0, 81, 0, 12, 0, 0, 0];
    assert!(Call::decode(&mut three_fields.as_slice()).is_ok());
    assert!(Extrinsic::decode(&[huge, vec![0x84]].concat(), Runtime::FIRST).is_err());
}

#[test]
fn weights_are_scaled_by_the_pallets_arithmetic() {
    assert_eq!(max_upscale(&[1, 3]), [21845, 65535]);
    // Above 32768 the factor is cut to 32 fraction bits first: 32767.4999... and not 32767.5.
    assert_eq!(max_upscale(&[40000, 20000]), [65535, 32767]);
    assert_eq!(max_upscale(&[32768, 16384]), [65535, 32768]);
}
