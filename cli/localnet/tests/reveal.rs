//! Committed weights: the pallet's rules, and what becomes of a commitment that is not what it should be.

mod support;

use std::sync::Arc;

use grail_beacon::{LocalBeacon, timelock};
use grail_localnet::chain::call::{Call, SubtensorCall};
use grail_localnet::chain::state::Slot;
use grail_localnet::chain::{Chain, ChainConfig, GenesisConfig, GenesisNeuron, ManualClock};
use parity_scale_codec::{Decode, Encode};
use support::{NETUID, account, config, events, genesis, outcome, signer, vectors};

const START_MS: u64 = 1_700_000_000_000;
const BLOCK_MS: u64 = 12_000;
const VALIDATORS: [u8; 2] = [10, 12];

/// Two validators, epochs of five blocks that begin at blocks 3, 8, 13, ..., and a block every 12 s.
struct Net {
    chain: Chain,
    clock: Arc<ManualClock>,
    beacon: Arc<LocalBeacon>,
}

impl Net {
    fn new(change: impl FnOnce(&mut GenesisConfig)) -> Self {
        let mut genesis = genesis();
        (genesis.commit_reveal, genesis.tempo) = (true, 4);
        let (hotkey, coldkey) = (account(VALIDATORS[1]), account(1));
        genesis.neurons.push(GenesisNeuron { hotkey, coldkey, stake: 5_000_000_000, validator_permit: true });
        change(&mut genesis);
        let beacon = Arc::new(LocalBeacon::from_seed(&[3; 32], START_MS / 1000 - 60, 3).expect("a beacon"));
        let clock = Arc::new(ManualClock::at(START_MS));
        let config = ChainConfig { clock: clock.clone(), beacon: Some(beacon.clone()), ..config(genesis) };
        Self { chain: Chain::open(config, None).expect("opens"), clock, beacon }
    }

    fn seal_to(&self, number: u32) {
        while self.chain.heads().best < number {
            self.clock.advance(BLOCK_MS);
            self.chain.seal().expect("seals");
        }
    }

    /// Round that is out with a block and not with the one before.
    fn round_of(&self, number: u32) -> u64 {
        let at = START_MS + u64::from(number) * BLOCK_MS;
        self.beacon.info().schedule().round_at_time(at).expect("a round")
    }

    fn sealed(&self, hotkey: u8, values: &[u16], round: u64) -> Vec<u8> {
        let payload = (account(hotkey).to_vec(), vec![0u16, 1], values, 0u64).encode();
        timelock::seal(self.beacon.info(), round, &payload).expect("sealed")
    }

    fn commit(&self, by: u8, commit: Vec<u8>, round: u64) -> Result<(), (u8, u8)> {
        self.clock.advance(BLOCK_MS);
        outcome(&self.chain, &signer(by), &call(commit, round, 4))
    }

    fn weights(&self, uid: u16) -> Option<Vec<(u16, u16)>> {
        let slot = Slot::<Vec<(u16, u16)>>::new("SubtensorModule", "Weights").identity(NETUID).identity(uid);
        let bytes = self.chain.storage(slot.key(), self.chain.heads().best).expect("reads")?;
        Some(Decode::decode(&mut bytes.as_slice()).expect("weights"))
    }
}

fn call(commit: Vec<u8>, reveal_round: u64, commit_reveal_version: u16) -> Call {
    let commit = commit.try_into().expect("short enough");
    Call::Subtensor(SubtensorCall::CommitTimelockedWeights {
        netuid: NETUID,
        commit,
        reveal_round,
        commit_reveal_version,
    })
}

fn error(name: &str) -> Result<(), (u8, u8)> {
    let file = vectors("metadata_subset.json");
    let pallet = file["pallets"].as_array().expect("pallets").iter().find(|p| p["index"] == 7).expect("a pallet");
    let found = pallet["errors"].as_array().expect("errors").iter().find(|e| e["name"] == name);
    let index = found.unwrap_or_else(|| panic!("no error {name}"))["index"].as_u64().expect("an index");
    Err((7, u8::try_from(index).expect("a byte")))
}

#[test]
fn a_commitment_is_revealed_in_its_epoch_when_its_round_is_out() {
    let net = Net::new(|_| {});
    net.seal_to(3);
    let round = net.round_of(10);
    assert_eq!(net.commit(10, net.sealed(10, &[1, 2], round), round), Ok(()));
    assert!(events(&net.chain, 4).iter().any(|(pallet, variant, _)| (*pallet, *variant) == (7, 101)));
    net.seal_to(9);
    assert_eq!(net.weights(0), None);
    net.seal_to(10);
    assert_eq!(net.weights(0), Some(vec![(0, 32_768), (1, 65_535)]));
    assert!(events(&net.chain, 10).contains(&(7, 102, (NETUID, account(10)).encode())));
    // Once.
    net.seal_to(11);
    assert!(events(&net.chain, 11).iter().all(|(pallet, ..)| *pallet != 7));
}

#[test]
fn a_round_that_is_out_too_late_loses_the_weights() {
    let net = Net::new(|_| {});
    net.seal_to(3);
    let round = net.round_of(13);
    assert_eq!(net.commit(10, net.sealed(10, &[1, 2], round), round), Ok(()));
    net.seal_to(20);
    assert_eq!(net.weights(0), None);
}

#[test]
fn each_rule_of_commitments_has_its_error() {
    let of = |change: fn(&mut GenesisConfig), by: u8, version: u16| {
        let net = Net::new(change);
        outcome(&net.chain, &signer(by), &call(vec![1], 99, version))
    };
    assert_eq!(of(|_| {}, 10, 4), Ok(()));
    assert_eq!(of(|g| g.commit_reveal = false, 10, 4), error("CommitRevealDisabled"));
    assert_eq!(of(|_| {}, 10, 3), error("IncorrectCommitRevealVersion"));
    assert_eq!(of(|_| {}, 1, 4), error("HotKeyNotRegisteredInSubNet"));
    let hasty = Net::new(|g| g.weights_rate_limit = 3);
    let again = || outcome(&hasty.chain, &signer(10), &call(vec![1], 99, 4));
    assert_eq!(
        [again(), again(), again(), again()],
        [Ok(()), error("CommittingWeightsTooFast"), error("CommittingWeightsTooFast"), Ok(())]
    );
    let many = Net::new(|g| g.tempo = 360);
    let again = || outcome(&many.chain, &signer(10), &call(vec![1], 99, 4));
    assert!((0..10).all(|_| again() == Ok(())));
    assert_eq!(again(), error("TooManyUnrevealedCommits"));
}

#[test]
fn a_copied_or_damaged_commitment_sets_nothing_and_stops_nobody() {
    let net = Net::new(|_| {});
    net.seal_to(2);
    let round = net.round_of(8);
    let good = net.sealed(10, &[1, 2], round);
    // Another validator's commitment as it is, one byte of it changed, and one to another round than it says.
    assert_eq!(net.commit(12, good.clone(), round), Ok(()));
    let mut damaged = net.sealed(12, &[3, 4], round);
    damaged[150] ^= 1;
    assert_eq!(net.commit(12, damaged, round), Ok(()));
    assert_eq!(net.commit(12, net.sealed(12, &[3, 4], round + 1), round), Ok(()));
    assert_eq!(net.commit(10, good, round), Ok(()));
    net.seal_to(12);
    assert_eq!(net.weights(2), None);
    assert_eq!(net.weights(0), Some(vec![(0, 32_768), (1, 65_535)]));
}

#[test]
fn revealed_weights_obey_the_rules_of_weights() {
    let net = Net::new(|g| g.weights_version_key = 1);
    net.seal_to(3);
    let round = net.round_of(8);
    assert_eq!(net.commit(10, net.sealed(10, &[1, 2], round), round), Ok(()));
    net.seal_to(12);
    assert_eq!(net.weights(0), None, "its version key is too old");
}
