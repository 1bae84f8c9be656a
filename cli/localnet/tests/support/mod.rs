//! Accounts, extrinsics and vectors for the tests of the chain.

#![allow(dead_code, reason = "each test program uses a part")]

use std::path::PathBuf;
use std::sync::Arc;

use grail_localnet::chain::call::{Call, CommitmentsCall, SubtensorCall};
use grail_localnet::chain::extrinsic::Era;
use grail_localnet::chain::version::{Runtime, SPEC_VERSION, TRANSACTION_VERSION};
use grail_localnet::chain::{Chain, ChainConfig, GenesisConfig, GenesisNeuron, ManualClock};
use grail_protocol::signature::Signer;
use grail_protocol::{AccountId, Hash};
use parity_scale_codec::{Compact, Decode, Encode};
use serde_json::Value;

pub const NETUID: u16 = 81;

/// A vector file of `tests/vectors/network`.
pub fn vectors(name: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/network").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("vectors are JSON")
}

pub fn unhex(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("hex text")).expect("hex")
}

/// A signer with a known key.
pub fn signer(number: u8) -> Signer {
    Signer::from_seed(&[number; 32])
}

pub fn account(number: u8) -> AccountId {
    signer(number).account()
}

/// Coldkey 1 with money; hotkey 10 a validator with stake and permit, hotkey 11 a miner, both from the start.
pub fn genesis() -> GenesisConfig {
    let neuron = |hotkey, stake, validator_permit| GenesisNeuron {
        hotkey: account(hotkey),
        coldkey: account(1),
        stake,
        validator_permit,
    };
    GenesisConfig {
        owner_coldkey: account(1),
        owner_hotkey: account(10),
        balances: vec![(account(1), 10_000_000)],
        neurons: vec![neuron(10, 5_000_000_000, true), neuron(11, 0, false)],
        ..GenesisConfig::default()
    }
}

pub fn config(genesis: GenesisConfig) -> ChainConfig {
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    ChainConfig { genesis, block_time: None, clock, ..ChainConfig::default() }
}

/// A chain in memory that is sealed by hand.
pub fn chain(genesis: GenesisConfig) -> Chain {
    Chain::open(config(genesis), None).expect("opens")
}

/// What a test may get wrong on purpose.
pub struct Extrinsic {
    pub call: Vec<u8>,
    pub nonce: u32,
    pub tip: u64,
    pub era: Era,
    pub birth_hash: Hash,
    pub genesis_hash: Hash,
    pub spec_version: u32,
    pub transaction_version: u32,
    pub mode: u8,
}

impl Extrinsic {
    pub fn new(chain: &Chain, nonce: u32, call: &Call) -> Self {
        Self {
            call: call.encode(),
            nonce,
            tip: 0,
            era: Era::Immortal,
            birth_hash: chain.genesis_hash(),
            genesis_hash: chain.genesis_hash(),
            spec_version: SPEC_VERSION,
            transaction_version: TRANSACTION_VERSION,
            mode: 0,
        }
    }

    fn extra(&self) -> Vec<u8> {
        (self.era, Compact(self.nonce), Compact(self.tip), self.mode).encode()
    }

    pub fn payload(&self) -> Vec<u8> {
        let versions = (self.spec_version, self.transaction_version);
        let hashes = (self.genesis_hash, self.birth_hash, None::<Hash>);
        let payload = [self.call.clone(), self.extra(), versions.encode(), hashes.encode()].concat();
        if payload.len() > 256 { sp_crypto_hashing::blake2_256(&payload).to_vec() } else { payload }
    }

    /// The extrinsic's bytes, with its length prefix.
    pub fn signed(&self, by: &Signer) -> Vec<u8> {
        self.with_signature(by.account(), by.sign(&self.payload()))
    }

    pub fn with_signature(&self, account: AccountId, signature: [u8; 64]) -> Vec<u8> {
        let address = (0u8, account).encode();
        let signature = (1u8, signature).encode();
        [vec![0x84], address, signature, self.extra(), self.call.clone()].concat().encode()
    }
}

/// Submits a call with the account's next nonce.
pub fn submit(chain: &Chain, by: &Signer, call: &Call) {
    let nonce = chain.next_nonce(&by.account());
    chain.submit(Extrinsic::new(chain, nonce, call).signed(by)).expect("taken");
}

/// Submits a call, seals a block and gives what became of it: the error's pallet and index, if it failed.
pub fn outcome(chain: &Chain, by: &Signer, call: &Call) -> Result<(), (u8, u8)> {
    submit(chain, by, call);
    let number = chain.seal().expect("seals").number;
    failure_in(chain, number)
}

/// The first failed extrinsic of a block: the error's pallet and index.
pub fn failure_in(chain: &Chain, number: u32) -> Result<(), (u8, u8)> {
    for (pallet, variant, fields) in events(chain, number) {
        if (pallet, variant) == (0, 1) {
            assert_eq!(fields[0], 3, "a module's error");
            return Err((fields[1], fields[2]));
        }
    }
    Ok(())
}

pub fn key(pallet: &str, entry: &str) -> Vec<u8> {
    let hash = |text: &str| sp_crypto_hashing::twox_128(text.as_bytes());
    [hash(pallet), hash(entry)].concat()
}

/// Pallet, variant and the encoded fields of every event of a block, decoded by the chain's own metadata.
pub fn events(chain: &Chain, number: u32) -> Vec<(u8, u8, Vec<u8>)> {
    use frame_metadata::RuntimeMetadata;
    let prefixed = frame_metadata::RuntimeMetadataPrefixed::decode(
        &mut grail_localnet::chain::metadata::v15(Runtime::FIRST).as_slice(),
    );
    let RuntimeMetadata::V15(metadata) = prefixed.expect("metadata decodes").1 else { panic!("not V15") };
    let ty = metadata.outer_enums.event_enum_ty.id;
    let bytes = chain.storage(&key("System", "Events"), number).expect("read").expect("there are events");
    let mut input = bytes.as_slice();
    let count = Compact::<u32>::decode(&mut input).expect("a count").0;
    let mut events = vec![];
    for _ in 0..count {
        if u8::decode(&mut input).expect("a phase") == 0 {
            u32::decode(&mut input).expect("an extrinsic's position");
        }
        let before = input;
        scale_value::scale::decode_as_type(&mut input, ty, &metadata.types).expect("an event");
        let event = &before[..before.len() - input.len()];
        events.push((event[0], event[1], event[2..].to_vec()));
        assert_eq!(Vec::<Hash>::decode(&mut input).expect("topics"), Vec::<Hash>::new());
    }
    assert!(input.is_empty());
    events
}

pub fn set_weights(dests: &[u16], weights: &[u16], version_key: u64) -> Call {
    Call::Subtensor(SubtensorCall::SetWeights {
        netuid: NETUID,
        dests: dests.to_vec(),
        weights: weights.to_vec(),
        version_key,
    })
}

pub fn register(hotkey: u8) -> Call {
    Call::Subtensor(SubtensorCall::BurnedRegister { netuid: NETUID, hotkey: account(hotkey) })
}

/// A commitment of fields of these bytes.
pub fn commit(fields: &[&[u8]]) -> Call {
    let encoded = fields.iter().map(|bytes| [&[bytes.len() as u8 + 1], *bytes].concat()).collect::<Vec<_>>();
    let bytes = [Compact(fields.len() as u32).encode(), encoded.concat()].concat();
    let info = Decode::decode(&mut bytes.as_slice()).expect("a commitment");
    Call::Commitments(CommitmentsCall::SetCommitment { netuid: NETUID, info })
}
