//! State and calls, against the local network's chain.

mod support;

use std::sync::Arc;
use std::time::Duration;

use grail_beacon::LocalBeacon;
use grail_chain::{Chain as Client, CommitmentError, Field, NodeError, StateError, SubmitError, Wait, WeightsError};
use grail_localnet::chain::{ChainConfig, GenesisConfig, ManualClock};
use grail_protocol::window_root::WindowRoot;
use support::{
    MINER, NETUID, Node, START_MS, STRANGER, VALIDATOR, account, config, genesis, register, settings, signer,
};

async fn node(change: impl FnOnce(&mut GenesisConfig)) -> Node {
    let mut genesis = genesis();
    change(&mut genesis);
    Node::start(config(genesis)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_and_root_are_read_back_at_their_blocks() {
    let node = node(|_| {}).await;
    let client = node.client().await;
    let (miner, who) = (signer(MINER), account(MINER));
    let credentials = vec![b'c'; 128];
    let root = WindowRoot::of_file(50, b"file").to_bytes().to_vec();
    for fields in [vec![credentials.clone()], vec![credentials.clone(), root.clone()]] {
        let (set, ()) = tokio::join!(client.set_commitment(&miner, &fields, Wait::Finality), node.seal_with(1));
        let head = client.head().await.unwrap();
        assert_eq!(set.unwrap().block_hash, head.hash);
        let found = client.commitment(&head, &who).await.unwrap().unwrap();
        assert_eq!(found.block, head.number);
        assert_eq!(found.fields, fields.into_iter().map(Field::Raw).collect::<Vec<_>>());
    }
    let [before, first, second] = [0, 1, 2].map(|number| client.block(number));
    let (before, first, second) = (before.await.unwrap(), first.await.unwrap(), second.await.unwrap());
    assert!(client.commitments(&before).await.unwrap().is_empty());
    let first = client.commitments(&first).await.unwrap();
    assert_eq!((first.len(), first[&who].raw(0), first[&who].raw(1)), (1, Some(&credentials[..]), None));
    let second = client.commitments(&second).await.unwrap();
    assert_eq!(second[&who].raw(1).and_then(WindowRoot::from_bytes), Some(WindowRoot::of_file(50, b"file")));
    assert_eq!(client.commitment(&before, &who).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_commitment_says_why() {
    let node = node(|g| g.max_space = 300).await;
    let client = node.client().await;
    let fields = vec![vec![1; 128]];
    let stranger = signer(STRANGER);
    let (refused, ()) = tokio::join!(client.set_commitment(&stranger, &fields, Wait::Inclusion), node.seal_with(1));
    let error = refused.unwrap_err();
    assert!(
        matches!(&error, CommitmentError::Submit(SubmitError::Dispatch { error, .. }) if error == "AccountNotAllowedCommit")
    );
    assert!(error.to_string().contains("only hotkeys registered on the subnet may commit"), "{error}");
    assert!(!error.is_transient());

    let miner = signer(MINER);
    let mut last = None;
    for _ in 0..3 {
        let (set, ()) = tokio::join!(client.set_commitment(&miner, &fields, Wait::Inclusion), node.seal_with(1));
        last = Some(set);
    }
    let error = last.unwrap().unwrap_err().to_string();
    assert!(error.contains("SpaceLimitExceeded") && error.contains("renewed at the next"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_of_each_window_fits_into_the_space_of_the_real_chain() {
    let rules = GenesisConfig::default();
    assert_eq!((rules.max_space, rules.tempo), (3100, 360));
    // Netuid and tempo put the ends of two epochs at blocks 278 and 639.
    let (first, last) = (279, 639);
    for (window_length, fits) in [(50, true), (16, false)] {
        let node = node(|_| {}).await;
        node.seal(first);
        let client = node.client().await;
        let miner = signer(MINER);
        let mut outcome = Ok(());
        for window in (first..last).filter(|block| block % window_length == 0) {
            node.seal(window - 1 - node.chain.heads().best);
            let root = WindowRoot::of_file(window.into(), b"file").to_bytes().to_vec();
            let fields = [vec![b'c'; 128], root];
            let (set, ()) = tokio::join!(client.set_commitment(&miner, &fields, Wait::Inclusion), node.seal_with(1));
            outcome = outcome.and(set.map(|_| ()));
        }
        match outcome {
            Ok(()) => assert!(fits, "windows of {window_length} blocks"),
            Err(error) => assert!(!fits && error.to_string().contains("SpaceLimitExceeded"), "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commitment_that_cannot_be_is_not_sent() {
    let node = node(|_| {}).await;
    let client = node.client().await;
    let set = async |fields: &[Vec<u8>]| client.set_commitment(&signer(MINER), fields, Wait::Inclusion).await;
    assert_eq!(set(&[]).await, Err(CommitmentError::FieldCount { found: 0 }));
    assert_eq!(set(&vec![vec![]; 4]).await, Err(CommitmentError::FieldCount { found: 4 }));
    let error = set(&[vec![0; 128], vec![0; 129]]).await;
    assert_eq!(error, Err(CommitmentError::FieldTooLong { index: 1, found: 129 }));
    assert!(node.chain.pending().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metagraph_is_that_of_its_block() {
    let node = node(|_| {}).await;
    let client = node.client().await;
    let before = client.head().await.unwrap();
    assert_eq!(client.registration(&before, &account(STRANGER)).await.unwrap(), None);
    let text = client.not_registered(&account(STRANGER));
    assert!(text.contains("btcli subnet register --netuid 81"), "{text}");
    register(&node, STRANGER).await;
    let after = client.head().await.unwrap();

    let [old, new] = [client.metagraph(&before).await.unwrap(), client.metagraph(&after).await.unwrap()];
    assert_eq!((old.neurons.len(), new.neurons.len()), (2, 3));
    assert_eq!(client.registration(&after, &account(STRANGER)).await.unwrap(), Some(2));
    assert_eq!(client.registration(&before, &account(STRANGER)).await.unwrap(), None);
    let validator = &new.neurons[0];
    assert_eq!((validator.hotkey, validator.coldkey), (account(VALIDATOR), account(support::COLDKEY)));
    assert_eq!((validator.stake, validator.validator_permit), (5_000_000_000, true));
    assert!(!new.neurons[1].validator_permit);
    assert_eq!(new.neuron(&account(STRANGER)).map(|n| (n.uid, n.last_update)), Some((2, after.number)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subnet_that_does_not_exist_is_named() {
    let node = node(|_| {}).await;
    let mut elsewhere = settings();
    elsewhere.netuid = 7;
    let client = support::client(&[node.url()], elsewhere).await;
    let head = client.head().await.unwrap();
    assert_eq!(client.metagraph(&head).await, Err(StateError::NoSubnet { netuid: 7, block: 0 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_the_node_does_not_know_has_no_state() {
    let node = node(|_| {}).await;
    let client = node.client().await;
    let mut unknown = client.head().await.unwrap();
    unknown.hash = [7; 32];
    let error = client.metagraph(&unknown).await.unwrap_err();
    assert!(error.is_state_unavailable() && !error.is_transient(), "{error}");
    assert!(matches!(error, StateError::Node { source: NodeError::StateUnavailable { .. }, .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_are_set_and_read_back() {
    let node = node(|_| {}).await;
    let client = node.client().await;
    let before = client.head().await.unwrap();
    let validator = signer(VALIDATOR);
    let (set, ()) =
        tokio::join!(client.submit_weights(&validator, &[0, 1], &[0.5, 2.0], 0, Wait::Finality), node.seal_with(1));
    set.unwrap();
    let head = client.head().await.unwrap();
    assert_eq!(client.weights(&head, 0).await.unwrap(), [(0, 16384), (1, 65535)]);
    assert_eq!(client.weights(&before, 0).await.unwrap(), []);
    assert_eq!(client.metagraph(&head).await.unwrap().neurons[0].last_update, head.number);
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_that_the_chain_would_refuse_are_not_sent() {
    let refused = async |change: fn(&mut GenesisConfig), who: u8, key: u64| {
        let node = node(change).await;
        node.seal(1);
        let client = node.client().await;
        let error = client.submit_weights(&signer(who), &[0, 1], &[1.0, 1.0], key, Wait::Inclusion).await.unwrap_err();
        assert!(node.chain.pending().is_empty());
        error
    };
    let stranger = refused(|_| {}, STRANGER, 0).await;
    assert_eq!(stranger, WeightsError::NotRegistered { account: account(STRANGER), netuid: NETUID });
    assert!(stranger.to_string().contains("btcli subnet register"), "{stranger}");
    assert!(matches!(refused(|_| {}, MINER, 0).await, WeightsError::NoPermit { uid: 1, .. }));
    let old = refused(|g| g.weights_version_key = 5, VALIDATOR, 4).await;
    assert!(matches!(old, WeightsError::VersionKey { required: 5, given: 4, .. }));
    let poor = refused(|g| g.stake_threshold = u64::MAX, VALIDATOR, 0).await;
    assert!(matches!(poor, WeightsError::NotEnoughStake { uid: 0, .. }));
}

/// A chain with commit-reveal, epochs of five blocks of 12 s, and a client of it.
async fn committing(change: impl FnOnce(&mut GenesisConfig)) -> (Node, Arc<ManualClock>, Client) {
    let clock = Arc::new(ManualClock::at(START_MS));
    let mut genesis = genesis();
    (genesis.commit_reveal, genesis.tempo) = (true, 4);
    change(&mut genesis);
    let beacon = || LocalBeacon::from_seed(&[3; 32], START_MS / 1000 - 60, 3).unwrap();
    let config = ChainConfig { clock: clock.clone(), beacon: Some(Arc::new(beacon())), ..config(genesis) };
    let node = Node::start(config).await;
    let mut settings = settings();
    (settings.block_time, settings.timelock) = (Duration::from_secs(12), beacon().info().clone());
    let client = support::client(&[node.url()], settings).await;
    (node, clock, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn committed_weights_count_after_their_epoch_and_round_and_not_before() {
    let (node, clock, client) = committing(|_| {}).await;
    let seal = |blocks: u32| {
        (0..blocks).for_each(|_| {
            clock.advance(12_000);
            node.seal(1)
        })
    };
    seal(3);
    let sealing = async {
        clock.advance(12_000);
        node.seal_with(1).await;
    };
    let validator = signer(VALIDATOR);
    let (set, ()) = tokio::join!(client.submit_weights(&validator, &[0, 1], &[1.0, 2.0], 0, Wait::Finality), sealing);
    let set = set.unwrap();
    // The subnet's epochs begin at blocks 3, 8, 13; the margin is three blocks.
    let reveal = set.reveal.expect("a commitment");
    assert_eq!(reveal.block, 8);
    let round_ms = client.settings().timelock.schedule().time_of_round(reveal.round).unwrap();
    let uid_0 = async || client.weights(&client.head().await.unwrap(), 0).await.unwrap();
    let mut shown_at = None;
    while shown_at.is_none() {
        let head = client.head().await.unwrap();
        assert!(head.number < 13, "never revealed");
        match uid_0().await {
            weights if weights.is_empty() => assert!(head.number < 8 || head.timestamp_ms < round_ms, "{head:?}"),
            weights => {
                assert_eq!(weights, [(0, 32_768), (1, 65_535)]);
                shown_at = Some(head);
            }
        }
        seal(1);
    }
    let shown = shown_at.unwrap();
    assert_eq!(shown.number, 11);
    assert!(shown.timestamp_ms >= round_ms);
    // The rate limit counts from the commitment.
    assert_eq!(client.metagraph(&client.head().await.unwrap()).await.unwrap().neurons[0].last_update, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commitment_obeys_the_rules_of_weights_before_it_is_sent() {
    let refused = async |change: fn(&mut GenesisConfig), who: u8, key: u64| {
        let (node, _, client) = committing(change).await;
        node.seal(1);
        let error = client.submit_weights(&signer(who), &[0, 1], &[1.0, 1.0], key, Wait::Inclusion).await.unwrap_err();
        assert!(node.chain.pending().is_empty());
        error
    };
    assert!(matches!(refused(|_| {}, STRANGER, 0).await, WeightsError::NotRegistered { .. }));
    assert!(matches!(refused(|_| {}, MINER, 0).await, WeightsError::NoPermit { uid: 1, .. }));
    let old = refused(|g| g.weights_version_key = 5, VALIDATOR, 4).await;
    assert!(matches!(old, WeightsError::VersionKey { required: 5, given: 4, .. }));
    let poor = refused(|g| g.stake_threshold = u64::MAX, VALIDATOR, 0).await;
    assert!(matches!(poor, WeightsError::NotEnoughStake { uid: 0, .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_wait_for_the_rate_limit_to_the_block() {
    let node = node(|g| g.weights_rate_limit = 3).await;
    node.seal(1);
    let client = node.client().await;
    let validator = signer(VALIDATOR);
    let (set, ()) = tokio::join!(client.submit_weights(&validator, &[1], &[1.0], 0, Wait::Finality), node.seal_with(1));
    set.unwrap();
    for left in [2, 1] {
        let error = client.submit_weights(&validator, &[1], &[1.0], 0, Wait::Inclusion).await.unwrap_err();
        assert_eq!(error, WeightsError::RateLimited { last_update: 2, rate_limit: 3, blocks_left: left });
        assert!(error.is_transient());
        node.seal(1);
    }
    let (set, ()) = tokio::join!(client.submit_weights(&validator, &[1], &[1.0], 0, Wait::Finality), node.seal_with(1));
    set.unwrap();
    assert_eq!(client.metagraph(&client.head().await.unwrap()).await.unwrap().neurons[0].last_update, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_one_hotkey_need_not_wait_for_each_other() {
    let node = node(|_| {}).await;
    let client = node.client().await;
    let validator = signer(VALIDATOR);
    let fields = [vec![b'a']];
    let (commitment, weights, ()) = tokio::join!(
        client.set_commitment(&validator, &fields, Wait::Inclusion),
        client.submit_weights(&validator, &[1], &[1.0], 0, Wait::Inclusion),
        node.seal_with(2),
    );
    let (commitment, weights) = (commitment.unwrap(), weights.unwrap().included);
    assert_eq!(commitment.block_hash, weights.block_hash);
    assert_ne!(commitment.extrinsic, weights.extrinsic);
    assert_eq!(node.chain.next_nonce(&account(VALIDATOR)), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn inclusion_does_not_wait_for_finality() {
    let mut lagging = config(genesis());
    lagging.finality_lag = 2;
    let node = Node::start(lagging).await;
    let client = node.client().await;
    let (miner, fields) = (signer(MINER), [vec![b'a']]);
    let (set, ()) = tokio::join!(client.set_commitment(&miner, &fields, Wait::Inclusion), node.seal_with(1));
    assert_eq!(Some(set.unwrap().block_hash), node.chain.block_hash(1).unwrap());
    assert_eq!(client.head().await.unwrap().number, 0);
    let final_set = client.set_commitment(&miner, &fields, Wait::Finality);
    let sealing = async {
        node.seal_with(1).await;
        node.seal(2);
    };
    let (set, ()) = tokio::join!(final_set, sealing);
    assert_eq!(set.unwrap().block_hash, client.head().await.unwrap().hash);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_node_dies_has_an_unknown_outcome() {
    let Node { chain, server } = node(|_| {}).await;
    let client = support::client(&[server.url()], settings()).await;
    let (miner, fields) = (signer(MINER), [vec![b'a']]);
    let dying = async {
        let mut look = tokio::time::interval(Duration::from_millis(2));
        while chain.pending().is_empty() {
            look.tick().await;
        }
        server.shutdown().await;
    };
    let (set, ()) = tokio::join!(client.set_commitment(&miner, &fields, Wait::Inclusion), dying);
    let error = set.unwrap_err();
    assert!(matches!(error, CommitmentError::Submit(SubmitError::OutcomeUnknown { .. })), "{error}");
    assert!(error.is_transient());
}

#[tokio::test(flavor = "multi_thread")]
async fn hyperparameters_are_the_subnets() {
    let node = node(|g| (g.tempo, g.weights_rate_limit, g.max_weights_limit) = (99, 7, 1000)).await;
    let client = node.client().await;
    let rules = client.hyperparameters(&client.head().await.unwrap()).await.unwrap();
    assert_eq!((rules.tempo, rules.weights_rate_limit, rules.max_weight_limit), (99, 7, 1000));
    assert_eq!((rules.min_allowed_weights, rules.neurons, rules.commit_reveal_enabled), (1, 2, false));
}
