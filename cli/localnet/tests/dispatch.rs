//! Every rule of the pallets can be broken, and breaking it gives the pallet's error and changes nothing else.

mod support;

use grail_localnet::chain::call::{Call, ServeAxon, SubtensorCall, SystemCall, TimestampCall};
use grail_localnet::chain::state::Slot;
use grail_localnet::chain::{Chain, GenesisConfig};
use parity_scale_codec::{Decode, Encode};

use support::{
    NETUID, account, chain, commit, events, genesis, outcome, register, set_weights, signer, submit, vectors,
};

const SUBTENSOR: u8 = 7;
const COMMITMENTS: u8 = 18;

/// Pallet and index of an error by its name on the real chain.
fn error(pallet: u8, name: &str) -> Result<(), (u8, u8)> {
    let file = vectors("metadata_subset.json");
    let found = file["pallets"].as_array().expect("pallets").iter().find(|p| p["index"] == pallet).expect("a pallet");
    let found = found["errors"].as_array().expect("errors").iter().find(|e| e["name"] == name);
    let index = found.unwrap_or_else(|| panic!("no error {name}"))["index"].as_u64().expect("an index");
    Err((pallet, u8::try_from(index).expect("a byte")))
}

fn read<T: Decode>(chain: &Chain, slot: &Slot<T>) -> Option<T> {
    let bytes = chain.storage(slot.key(), chain.heads().best).expect("reads")?;
    Some(T::decode(&mut bytes.as_slice()).expect("decodes"))
}

fn weights_of(chain: &Chain, uid: u16) -> Option<Vec<(u16, u16)>> {
    read(chain, &Slot::new("SubtensorModule", "Weights").identity(NETUID).identity(uid))
}

/// A chain with these settings, the outcome of the validator's `set_weights`, and nothing stored if it failed.
fn weigh(genesis: GenesisConfig, by: u8, call: &Call) -> Result<(), (u8, u8)> {
    let chain = chain(genesis);
    let result = outcome(&chain, &signer(by), call);
    if result.is_err() {
        assert_eq!([weights_of(&chain, 0), weights_of(&chain, 1)], [None, None], "a failed call stored weights");
    }
    result
}

#[test]
fn weights_are_stored_scaled_with_their_event_and_time() {
    let chain = chain(genesis());
    assert_eq!(outcome(&chain, &signer(10), &set_weights(&[0, 1], &[1, 2], 0)), Ok(()));
    assert_eq!(weights_of(&chain, 0), Some(vec![(0, 32768), (1, 65535)]));
    let last = read(&chain, &Slot::<Vec<u64>>::new("SubtensorModule", "LastUpdate").identity(NETUID));
    assert_eq!(last, Some(vec![1, 0]));
    assert!(events(&chain, 1).contains(&(SUBTENSOR, 5, (NETUID, 0u16).encode())));
}

#[test]
fn each_rule_of_set_weights_has_its_error() {
    let ok = set_weights(&[1], &[5], 0);
    let base = genesis;
    let other = |change: fn(&mut GenesisConfig)| {
        let mut genesis = base();
        change(&mut genesis);
        genesis
    };
    let subtensor = |name| error(SUBTENSOR, name);
    assert_eq!(weigh(base(), 10, &ok), Ok(()));
    assert_eq!(weigh(other(|g| g.commit_reveal = true), 10, &ok), subtensor("CommitRevealEnabled"));
    assert_eq!(weigh(base(), 10, &set_weights(&[1], &[5, 6], 0)), subtensor("WeightVecNotEqualSize"));
    assert_eq!(weigh(base(), 10, &set_weights(&[0, 1, 2], &[1; 3], 0)), subtensor("UidsLengthExceedUidsInSubNet"));
    assert_eq!(weigh(base(), 1, &ok), subtensor("HotKeyNotRegisteredInSubNet"));
    let poor = other(|g| g.stake_threshold = 5_000_000_001);
    assert_eq!(weigh(poor, 10, &ok), subtensor("NotEnoughStakeToSetWeights"));
    let exact = other(|g| g.stake_threshold = 5_000_000_000);
    assert_eq!(weigh(exact, 10, &ok), Ok(()));
    let versioned = || other(|g| g.weights_version_key = 9);
    assert_eq!(weigh(versioned(), 10, &set_weights(&[1], &[5], 8)), subtensor("IncorrectWeightVersionKey"));
    assert_eq!(weigh(versioned(), 10, &set_weights(&[1], &[5], 9)), Ok(()));
    assert_eq!(weigh(base(), 11, &set_weights(&[0], &[5], 0)), subtensor("NeuronNoValidatorPermit"));
    assert_eq!(weigh(base(), 11, &set_weights(&[1], &[5], 0)), Ok(()), "weight on itself needs no permit");
    assert_eq!(weigh(base(), 10, &set_weights(&[1, 1], &[5, 6], 0)), subtensor("DuplicateUids"));
    assert_eq!(weigh(base(), 10, &set_weights(&[1, 2], &[5, 6], 0)), subtensor("UidVecContainInvalidOne"));
    let two = || other(|g| g.min_allowed_weights = 2);
    assert_eq!(weigh(two(), 10, &ok), subtensor("WeightVecLengthIsLow"));
    assert_eq!(weigh(two(), 10, &set_weights(&[0], &[5], 0)), Ok(()), "weight on itself may stand alone");
    let many = other(|g| g.min_allowed_weights = 100);
    assert_eq!(weigh(many, 10, &set_weights(&[0, 1], &[1, 1], 0)), Ok(()), "no more weights than neurons are asked");
    let limited = || other(|g| g.max_weights_limit = 40000);
    assert_eq!(weigh(limited(), 10, &set_weights(&[0, 1], &[1, 9], 0)), subtensor("MaxWeightExceeded"));
    assert_eq!(weigh(limited(), 10, &set_weights(&[0, 1], &[5, 5], 0)), Ok(()));
}

#[test]
fn weights_may_be_set_again_only_after_the_rate_limit() {
    let chain = chain(GenesisConfig { weights_rate_limit: 3, ..genesis() });
    let (validator, call) = (signer(10), set_weights(&[1], &[5], 0));
    assert_eq!(outcome(&chain, &validator, &call), Ok(()));
    assert_eq!(outcome(&chain, &validator, &call), error(SUBTENSOR, "SettingWeightsTooFast"));
    assert_eq!(outcome(&chain, &validator, &call), error(SUBTENSOR, "SettingWeightsTooFast"));
    assert_eq!(outcome(&chain, &validator, &call), Ok(()));
    assert_eq!(outcome(&chain, &signer(1), &register(20)), Ok(()));
    let own = set_weights(&[2], &[5], 0);
    assert_eq!(outcome(&chain, &signer(20), &own), error(SUBTENSOR, "SettingWeightsTooFast"), "just registered");
}

#[test]
fn registration_gives_the_next_uid_and_burns_its_price() {
    let chain = chain(genesis());
    assert_eq!(outcome(&chain, &signer(1), &register(20)), Ok(()));
    let slot = Slot::<u16>::new("SubtensorModule", "Uids").identity(NETUID).blake2_128_concat(account(20));
    assert_eq!(read(&chain, &slot), Some(2));
    let n = read(&chain, &Slot::<u16>::new("SubtensorModule", "SubnetworkN").identity(NETUID));
    assert_eq!(n, Some(3));
    let info = Slot::<grail_localnet::chain::AccountInfo>::new("System", "Account").blake2_128_concat(account(1));
    let info = read(&chain, &info).expect("an account");
    assert_eq!((info.nonce, info.free), (1, 10_000_000 - 500_000));
    assert!(events(&chain, 1).contains(&(SUBTENSOR, 6, (NETUID, 2u16, account(20)).encode())));
}

#[test]
fn each_rule_of_registration_has_its_error() {
    let subtensor = |name| error(SUBTENSOR, name);
    let on = |netuid| Call::Subtensor(SubtensorCall::BurnedRegister { netuid, hotkey: account(20) });
    let run = |change: fn(&mut GenesisConfig), by: u8, call: &Call| {
        let mut genesis = genesis();
        change(&mut genesis);
        outcome(&chain(genesis), &signer(by), call)
    };
    assert_eq!(run(|_| {}, 1, &on(0)), subtensor("RegistrationNotPermittedOnRootSubnet"));
    assert_eq!(run(|_| {}, 1, &on(82)), subtensor("SubnetNotExists"));
    assert_eq!(run(|g| g.registration_allowed = false, 1, &register(20)), subtensor("SubNetRegistrationDisabled"));
    assert_eq!(run(|_| {}, 1, &register(10)), subtensor("HotKeyAlreadyRegisteredInSubNet"));
    assert_eq!(run(|_| {}, 2, &register(20)), subtensor("NotEnoughBalanceToStake"));
    assert_eq!(run(|g| g.max_uids = 2, 1, &register(20)), subtensor("NoNeuronIdAvailable"));

    let two_a_block = chain(GenesisConfig { max_registrations_per_block: 2, ..genesis() });
    for hotkey in [20, 21, 22] {
        submit(&two_a_block, &signer(1), &register(hotkey));
    }
    let number = two_a_block.seal().expect("seals").number;
    assert_eq!(support::failure_in(&two_a_block, number), subtensor("TooManyRegistrationsThisBlock"));
    assert_eq!(outcome(&two_a_block, &signer(1), &register(22)), Ok(()), "the next block has room again");

    let settings = GenesisConfig { target_registrations_per_interval: 1, adjustment_interval: 5, ..genesis() };
    let slow = chain(settings);
    for hotkey in [20, 21, 22] {
        assert_eq!(outcome(&slow, &signer(1), &register(hotkey)), Ok(()));
    }
    assert_eq!(outcome(&slow, &signer(1), &register(23)), subtensor("TooManyRegistrationsThisInterval"));
    assert_eq!(outcome(&slow, &signer(1), &register(23)), Ok(()), "the next interval has room again");
}

#[test]
fn a_hotkey_of_another_coldkey_cannot_be_registered() {
    let owned_by = |coldkey| GenesisConfig { owned_hotkeys: vec![(account(20), account(coldkey))], ..genesis() };
    let refused = outcome(&chain(owned_by(2)), &signer(1), &register(20));
    assert_eq!(refused, error(SUBTENSOR, "NonAssociatedColdKey"));
    assert_eq!(outcome(&chain(owned_by(1)), &signer(1), &register(20)), Ok(()));
}

#[test]
fn commitments_are_stored_for_registered_accounts_only() {
    let chain = chain(genesis());
    let call = commit(&[&[7; 128], &[8; 48]]);
    assert_eq!(outcome(&chain, &signer(1), &call), error(COMMITMENTS, "AccountNotAllowedCommit"));
    assert_eq!(outcome(&chain, &signer(11), &call), Ok(()));
    let slot = Slot::<Vec<u8>>::new("Commitments", "CommitmentOf").identity(NETUID).twox_64_concat(account(11));
    let stored = chain.storage(slot.key(), 2).expect("reads").expect("stored");
    assert_eq!(stored.len(), 8 + 4 + 1 + 129 + 49);
    assert_eq!(stored[8..12], 2u32.to_le_bytes());
    let last = Slot::<u32>::new("Commitments", "LastCommitment").identity(NETUID).twox_64_concat(account(11));
    assert_eq!(read(&chain, &last), Some(2));
    assert!(events(&chain, 2).contains(&(COMMITMENTS, 0, (NETUID, account(11)).encode())));
    assert_eq!(chain.storage(slot.key(), 1).expect("reads"), None, "not there before");
}

#[test]
fn space_for_commitments_is_per_epoch() {
    // 250 bytes: two small ones (100 each) and no third of more than 50.
    let chain = chain(GenesisConfig { max_space: 250, tempo: 9, ..genesis() });
    let miner = signer(11);
    // Epochs of subnet 81 begin where (block + 82) is a multiple of 10: block 8 is the first of the next.
    assert_eq!(outcome(&chain, &miner, &commit(&[&[1; 10]])), Ok(()));
    assert_eq!(outcome(&chain, &miner, &commit(&[&[2; 10]])), Ok(()));
    assert_eq!(outcome(&chain, &miner, &commit(&[&[3; 51]])), error(COMMITMENTS, "SpaceLimitExceeded"));
    assert_eq!(outcome(&chain, &miner, &commit(&[&[4; 50]])), Ok(()), "compared by its bytes");
    assert_eq!(outcome(&chain, &miner, &commit(&[&[5; 1]])), error(COMMITMENTS, "SpaceLimitExceeded"));
    while chain.heads().best < 7 {
        chain.seal().expect("seals");
    }
    assert_eq!(outcome(&chain, &miner, &commit(&[&[6; 128], &[7; 122]])), Ok(()), "a new epoch");
}

#[test]
fn each_rule_of_serve_axon_has_its_error() {
    let axon = ServeAxon {
        netuid: NETUID,
        version: 1,
        ip: 0x0808_0808,
        port: 8091,
        ip_type: 4,
        protocol: 4,
        placeholder1: 0,
        placeholder2: 0,
    };
    let serve = |change: fn(&mut ServeAxon)| {
        let mut axon = axon.clone();
        change(&mut axon);
        Call::Subtensor(SubtensorCall::ServeAxon(axon))
    };
    let run = |by: u8, call: &Call| outcome(&chain(genesis()), &signer(by), call);
    let subtensor = |name| error(SUBTENSOR, name);
    assert_eq!(run(11, &serve(|_| {})), Ok(()));
    assert_eq!(run(11, &serve(|a| a.netuid = 3)), subtensor("MechanismDoesNotExist"));
    assert_eq!(run(1, &serve(|_| {})), subtensor("HotKeyNotRegisteredInNetwork"));
    assert_eq!(run(11, &serve(|a| a.ip_type = 5)), subtensor("InvalidIpType"));
    assert_eq!(run(11, &serve(|a| a.ip = 0)), subtensor("InvalidIpAddress"));
    assert_eq!(run(11, &serve(|a| a.ip = 0x7f00_0001)), subtensor("InvalidIpAddress"));
    assert_eq!(run(11, &serve(|a| a.ip = 1 << 40)), subtensor("InvalidIpAddress"));
    assert_eq!(run(11, &serve(|a| a.port = 0)), subtensor("InvalidPort"));
    let limited = chain(GenesisConfig { serving_rate_limit: 2, ..genesis() });
    let call = serve(|_| {});
    assert_eq!(outcome(&limited, &signer(11), &call), Ok(()));
    assert_eq!(outcome(&limited, &signer(11), &call), subtensor("ServingRateLimitExceeded"));
    assert_eq!(outcome(&limited, &signer(11), &call), Ok(()));
}

#[test]
fn a_remark_succeeds_and_nobody_but_the_author_sets_the_time() {
    let chain = chain(genesis());
    let remark = Call::System(SystemCall::Remark { remark: vec![1; 300] });
    assert_eq!(outcome(&chain, &signer(1), &remark), Ok(()));
    submit(&chain, &signer(1), &Call::Timestamp(TimestampCall::Set { now: 1 }));
    let number = chain.seal().expect("seals").number;
    let bad_origin = 2;
    let failed = events(&chain, number).into_iter().find(|(pallet, variant, _)| (*pallet, *variant) == (0, 1));
    assert_eq!(failed.expect("it failed").2[0], bad_origin);
    assert!(chain.timestamp_ms(number).expect("reads") > Some(1_700_000_000_000));
}
