//! Blocks, hashes and the state of every block; restarts.

mod support;

use std::sync::Arc;

use grail_localnet::chain::block::Header;
use grail_localnet::chain::call::{Call, SystemCall};
use grail_localnet::chain::state::{Slot, root};
use grail_localnet::chain::{Chain, ChainConfig, ChainError, GenesisConfig, Heads, ManualClock};
use parity_scale_codec::{Decode, Encode};

use support::{NETUID, account, chain, commit, config, genesis, register, set_weights, signer, submit};

/// A few blocks with calls in them.
fn work(chain: &Chain) {
    submit(chain, &signer(1), &register(20));
    submit(chain, &signer(11), &commit(&[&[1; 64]]));
    chain.seal().expect("seals");
    submit(chain, &signer(10), &set_weights(&[1], &[1], 0));
    submit(chain, &signer(11), &commit(&[&[2; 64], &[3; 48]]));
    chain.seal().expect("seals");
    chain.seal().expect("seals");
}

#[test]
fn headers_form_a_chain_and_commit_to_state_and_extrinsics() {
    let chain = chain(genesis());
    work(&chain);
    for number in 1..=3 {
        let block = chain.block(number).expect("reads").expect("a block");
        let Header { parent_hash, state_root, extrinsics_root, .. } = block.header.clone();
        assert_eq!(Some(parent_hash), chain.block_hash(number - 1).expect("reads"));
        assert_eq!(state_root, root(&chain.state(number).expect("reads")));
        assert_eq!(extrinsics_root, sp_crypto_hashing::blake2_256(&block.extrinsics.encode()));
        assert_eq!(block.header.hash(), sp_crypto_hashing::blake2_256(&block.header.encode()));
        assert_eq!(chain.block_number(&block.header.hash()).expect("reads"), Some(number));
    }
    assert_eq!(chain.block_hash(0).expect("reads"), Some(chain.genesis_hash()));
    assert_eq!(chain.block(4).expect("reads"), None);
    assert_eq!(chain.block_number(&[9; 32]).expect("reads"), None);
    let roots = (0..=3).map(|n| chain.block(n).expect("reads").expect("a block").header.state_root);
    assert_eq!(roots.collect::<std::collections::BTreeSet<_>>().len(), 4, "every block changes the state");
}

#[test]
fn what_was_read_at_a_block_is_read_there_for_ever() {
    let chain = chain(genesis());
    work(&chain);
    let before = (0..=3).map(|number| chain.state(number).expect("reads")).collect::<Vec<_>>();
    let commitment = Slot::<()>::new("Commitments", "CommitmentOf").identity(NETUID).twox_64_concat(account(11));
    let lengths = |chain: &Chain| {
        (0..=3).map(|n| chain.storage(commitment.key(), n).expect("reads").map(|v| v.len())).collect::<Vec<_>>()
    };
    assert_eq!(lengths(&chain), [None, Some(78), Some(127), Some(127)]);
    work(&chain);
    let after = (0..=3).map(|number| chain.state(number).expect("reads")).collect::<Vec<_>>();
    assert_eq!(before, after);
    assert_eq!(lengths(&chain), [None, Some(78), Some(127), Some(127)]);
}

#[test]
fn keys_are_listed_in_order_in_pages_as_of_a_block() {
    let chain = chain(genesis());
    work(&chain);
    for number in 0..=3 {
        let state = chain.state(number).expect("reads");
        for prefix in [vec![], Slot::<()>::new("SubtensorModule", "Keys").key().to_vec()] {
            let expected = state.keys().filter(|key| key.starts_with(&prefix)).cloned().collect::<Vec<_>>();
            for page in [1, 3, 1000] {
                let (mut found, mut after) = (vec![], None::<Vec<u8>>);
                loop {
                    let keys = chain.storage_keys(&prefix, after.as_deref(), page, number).expect("reads");
                    let Some(last) = keys.last() else { break };
                    after = Some(last.clone());
                    found.extend(keys);
                }
                assert_eq!(found, expected);
            }
        }
    }
    assert!(chain.storage_keys(&[], None, 0, 3).expect("reads").is_empty());
}

#[test]
fn a_reopened_chain_goes_on_with_the_same_hashes() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || Chain::open(config(genesis()), Some(folder.path()));
    let chain = open().expect("opens");
    work(&chain);
    let hashes = |chain: &Chain| (0..=3).map(|n| chain.block_hash(n).expect("reads")).collect::<Vec<_>>();
    let (before, heads, state) = (hashes(&chain), chain.heads(), chain.state(3).expect("reads"));
    assert!(matches!(open(), Err(ChainError::Database { .. })), "one process at a time");
    drop(chain);
    let again = open().expect("opens again");
    assert_eq!((hashes(&again), again.heads(), again.state(3).expect("reads")), (before, heads, state));
    assert_eq!(again.next_nonce(&account(11)), 2);
    work(&again);
    assert_eq!(again.heads().best, 6);

    drop(again);
    let other = GenesisConfig { tempo: 1, ..genesis() };
    assert!(matches!(Chain::open(config(other), Some(folder.path())), Err(ChainError::OtherGenesis)));
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("chain.redb"), vec![7; 10_000]).expect("writes");
    assert!(matches!(Chain::open(config(genesis()), Some(folder.path())), Err(ChainError::Database { .. })));
    let file = folder.path().join("file");
    std::fs::write(&file, b"").expect("writes");
    assert!(matches!(Chain::open(config(genesis()), Some(&file)), Err(ChainError::Folder { .. })));
}

#[test]
fn equal_settings_and_times_give_equal_chains() {
    let (one, two) = (chain(genesis()), chain(genesis()));
    let remark = Call::System(SystemCall::Remark { remark: vec![1] });
    let bytes = support::Extrinsic::new(&one, 0, &remark).signed(&signer(1));
    for chain in [&one, &two] {
        chain.submit(bytes.clone()).expect("taken");
        chain.seal().expect("seals");
    }
    assert_eq!(one.block(1).expect("reads"), two.block(1).expect("reads"));
    let other = chain(GenesisConfig { tempo: 1, ..genesis() });
    assert_ne!(one.genesis_hash(), other.genesis_hash());
}

#[test]
fn block_times_follow_the_clock_and_never_stand_still() {
    let clock = Arc::new(ManualClock::at(5_000));
    let settings = ChainConfig { clock: clock.clone(), ..config(genesis()) };
    let chain = Chain::open(settings, None).expect("opens");
    assert_eq!(chain.timestamp_ms(0).expect("reads"), Some(5_000));
    assert_eq!(chain.seal().expect("seals").timestamp_ms, 5_001, "the clock stands");
    clock.set(9_000);
    assert_eq!(chain.seal().expect("seals").timestamp_ms, 9_000);
    clock.set(1);
    assert_eq!(chain.seal().expect("seals").timestamp_ms, 9_001, "the clock went back");
    assert_eq!(chain.timestamp_ms(2).expect("reads"), Some(9_000));
    assert_eq!(chain.timestamp_ms(4).expect("reads"), None);
}

#[test]
fn the_finalised_head_lags_by_the_blocks_set() {
    let chain = Chain::open(ChainConfig { finality_lag: 2, ..config(genesis()) }, None).expect("opens");
    let mut heads = vec![chain.heads()];
    for _ in 0..4 {
        chain.seal().expect("seals");
        heads.push(chain.heads());
    }
    let expected = [(0, 0), (1, 0), (2, 0), (3, 1), (4, 2)];
    assert_eq!(heads, expected.map(|(best, finalized)| Heads { best, finalized }));
}

#[test]
fn block_hashes_in_the_state_reach_back_as_far_as_they_should() {
    let chain = chain(genesis());
    for _ in 0..5 {
        chain.seal().expect("seals");
    }
    for number in 0..5u32 {
        let slot = Slot::<[u8; 32]>::new("System", "BlockHash").twox_64_concat(number);
        let bytes = chain.storage(slot.key(), 5).expect("reads").expect("known");
        assert_eq!(<[u8; 32]>::decode(&mut bytes.as_slice()).ok(), chain.block_hash(number).expect("reads"));
    }
}

#[test]
fn settings_that_no_chain_can_have_are_refused_by_name() {
    let refused = |change: fn(&mut GenesisConfig)| {
        let mut genesis = genesis();
        change(&mut genesis);
        match Chain::open(config(genesis), None) {
            Err(ChainError::Genesis { field, .. }) => field,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("opened"),
        }
    };
    assert_eq!(refused(|g| g.netuid = 0), "netuid");
    assert_eq!(refused(|g| g.adjustment_interval = 0), "adjustment_interval");
    assert_eq!(refused(|g| g.max_uids = 1), "neurons");
    assert_eq!(refused(|g| g.neurons.push(g.neurons[0].clone())), "neurons");
    assert_eq!(refused(|g| g.balances.push(g.balances[0])), "balances");
}
