//! Commitments that wait for their reveal: the client counts them before it sends another.

mod support;

use std::sync::Arc;
use std::time::Duration;

use grail_beacon::LocalBeacon;
use grail_chain::{Chain, Wait, WeightsError};
use grail_localnet::chain::{ChainConfig, ManualClock};
use support::{Node, START_MS, VALIDATOR, config, genesis, settings, signer};

/// Blocks of an epoch, and what the subnet's number shifts them by.
const LENGTH: u64 = 40;
const SHIFT: u64 = support::NETUID as u64 + 1;

async fn commit(node: &Node, client: &Chain) -> Result<(), WeightsError> {
    let validator = signer(VALIDATOR);
    let set = client.submit_weights(&validator, &[0, 1], &[1.0, 2.0], 0, Wait::Inclusion);
    let sealing = async {
        // Nothing is sent where the client refuses; then nothing is to be waited for.
        let mut look = tokio::time::interval(Duration::from_millis(2));
        while node.chain.pending().is_empty() {
            look.tick().await;
        }
        node.seal(1);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        set = set => set.map(drop),
        () = sealing => unreachable!("it waits for ever"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_eleventh_commitment_of_an_epoch_is_refused_in_words_before_it_is_sent_and_taken_in_the_next() {
    let mut genesis = genesis();
    (genesis.commit_reveal, genesis.tempo) = (true, LENGTH as u16 - 1);
    let beacon = || LocalBeacon::from_seed(&[3; 32], START_MS / 1000 - 60, 3).unwrap();
    let clock = Arc::new(ManualClock::at(START_MS));
    let node = Node::start(ChainConfig { clock, beacon: Some(Arc::new(beacon())), ..config(genesis) }).await;
    let mut settings = settings();
    (settings.block_time, settings.timelock) = (Duration::from_secs(12), beacon().info().clone());
    let client = support::client(&[node.url()], settings).await;
    let epoch = |block: u64| (block + 1 + SHIFT) / LENGTH;
    // The first commitment is in the first block of an epoch.
    while epoch(u64::from(node.chain.heads().best) + 1) == epoch(u64::from(node.chain.heads().best)) {
        node.seal(1);
    }
    let first = u64::from(node.chain.heads().best) + 1;
    for _ in 0..10 {
        commit(&node, &client).await.expect("one of ten");
    }
    let nonce = node.chain.next_nonce(&signer(VALIDATOR).account());
    for _ in 0..3 {
        let best = u64::from(node.chain.heads().best);
        let refused = commit(&node, &client).await.unwrap_err();
        let blocks_left = first + LENGTH - (best + 1);
        assert_eq!(refused, WeightsError::TooManyUnrevealed { waiting: 10, blocks_left });
        assert!(
            refused.is_transient() && refused.to_string().contains(&format!("in {blocks_left} blocks")),
            "{refused}"
        );
        node.seal(1);
    }
    assert_eq!(node.chain.next_nonce(&signer(VALIDATOR).account()), nonce, "something was sent");
    // The last block before the next epoch, and the first of it.
    while u64::from(node.chain.heads().best) + 2 < first + LENGTH {
        node.seal(1);
    }
    let refused = commit(&node, &client).await.unwrap_err();
    assert_eq!(refused, WeightsError::TooManyUnrevealed { waiting: 10, blocks_left: 1 });
    node.seal(1);
    commit(&node, &client).await.expect("the first of the next epoch");
    assert_eq!(u64::from(node.chain.heads().best), first + LENGTH);
}
