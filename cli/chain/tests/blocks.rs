//! Blocks and endpoints, against the local network's chain.

mod support;

use std::time::Duration;

use grail_chain::{Block, BlockError, Blocks, Chain, ConnectError, EndpointFailure};
use support::{Node, START_MS, client, config, folder, genesis, lying, settings};

async fn take(blocks: &mut Blocks, count: usize) -> Vec<Block> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(blocks.next().await.expect("a block"));
    }
    taken
}

/// Numbers without gaps, and hashes that follow each other.
fn assert_chained(blocks: &[Block], first: u64) {
    let numbers: Vec<u64> = blocks.iter().map(|b| b.number).collect();
    assert_eq!(numbers, (first..first + blocks.len() as u64).collect::<Vec<_>>());
    assert!(blocks.windows(2).all(|pair| pair[0].hash == pair[1].parent_hash));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_what_the_chain_says() {
    let node = Node::start(config(genesis())).await;
    node.seal(3);
    let client = node.client().await;
    assert_eq!(client.genesis_hash(), node.chain.genesis_hash());
    let block = client.block(2).await.unwrap();
    assert_eq!(Some(block.hash), node.chain.block_hash(2).unwrap());
    assert_eq!(Some(block.parent_hash), node.chain.block_hash(1).unwrap());
    assert_eq!(Some(block.timestamp_ms), node.chain.timestamp_ms(2).unwrap());
    assert!(block.timestamp_ms >= START_MS);
    assert_eq!(client.head().await.unwrap().number, 3);
    assert_eq!(client.block(0).await.unwrap().hash, client.genesis_hash());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_final_is_not_given() {
    let mut lagging = config(genesis());
    lagging.finality_lag = 2;
    let node = Node::start(lagging).await;
    node.seal(5);
    let client = node.client().await;
    assert_eq!((client.head().await.unwrap().number, client.best().await.unwrap().number), (3, 5));
    let error = client.block(4).await.unwrap_err();
    assert_eq!(error, BlockError::NotFinalised { number: 4, head: 3 });
    assert!(error.is_transient());
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_follow_each_other_however_they_are_announced() {
    let node = Node::start(config(genesis())).await;
    let client = node.client().await;
    let mut blocks = client.follow();
    let mut taken = take(&mut blocks, 1).await;
    node.seal(4);
    taken.extend(take(&mut blocks, 4).await);
    node.seal(1);
    taken.extend(take(&mut blocks, 1).await);
    assert_chained(&taken, 0);
    assert_chained(&take(&mut client.follow_from(2), 4).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_dropped_loses_no_block() {
    let node = Node::start(config(genesis())).await;
    let mut blocks = node.client().await.follow();
    let mut taken = take(&mut blocks, 1).await;
    for _ in 0..3 {
        let early = tokio::time::timeout(Duration::from_millis(20), blocks.next()).await;
        assert!(early.is_err(), "nothing was sealed: {early:?}");
        node.seal(1);
        taken.extend(take(&mut blocks, 1).await);
    }
    assert_chained(&taken, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_comes_back_leaves_no_gap_and_repeats_nothing() {
    let folder = folder("endpoint-comes-back");
    let node = Node::open(config(genesis()), Some(&folder), ([127, 0, 0, 1], 0).into()).await;
    let address = node.server.address();
    let mut blocks = node.client().await.follow();
    let mut taken = take(&mut blocks, 1).await;
    node.seal(2);
    taken.extend(take(&mut blocks, 2).await);

    node.server.shutdown().await;
    node.chain.seal().unwrap();
    drop(node.chain);
    let away = tokio::time::timeout(Duration::from_millis(300), blocks.next()).await;
    assert!(away.is_err(), "no node is there: {away:?}");

    let node = Node::open(config(genesis()), Some(&folder), address).await;
    node.seal(2);
    taken.extend(take(&mut blocks, 3).await);
    assert_chained(&taken, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_endpoint_takes_over() {
    let node = Node::start(config(genesis())).await;
    let second = node.chain.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let client = client(&[node.url(), second.url()], settings()).await;
    assert_eq!(client.endpoint().await, Some(node.url()));
    let mut blocks = client.follow();
    let mut taken = take(&mut blocks, 1).await;
    node.server.shutdown().await;
    node.chain.seal().unwrap();
    node.chain.seal().unwrap();
    taken.extend(take(&mut blocks, 2).await);
    assert_chained(&taken, 0);
    assert_eq!(client.head().await.unwrap().number, 2);
    assert_eq!(client.endpoint().await, Some(second.url()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_endpoint_is_given_up_for_another() {
    let node = Node::start(config(genesis())).await;
    let second = node.chain.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let mut settings = settings();
    settings.stall_blocks = 1;
    let client = client(&[node.url(), second.url()], settings).await;
    let mut blocks = client.follow();
    let first = take(&mut blocks, 1).await;
    let mut met = std::collections::BTreeSet::new();
    let waited = async {
        while met.len() < 2 {
            let _ = tokio::time::timeout(Duration::from_millis(30), blocks.next()).await;
            met.extend(client.endpoint().await);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waited).await.expect("both endpoints are tried");
    node.seal(2);
    let rest = take(&mut blocks, 2).await;
    assert_chained(&[first, rest].concat(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_chain_is_refused() {
    let node = Node::start(config(genesis())).await;
    let mut expecting = settings();
    expecting.expected_genesis = Some([9; 32]);
    let error = Chain::connect(&[node.url()], expecting).await.map(|_| ()).unwrap_err();
    assert!(!error.is_transient());
    let ConnectError::Unreachable { failures } = &error else { panic!("{error}") };
    let found = node.chain.genesis_hash();
    assert_eq!(failures[..], [EndpointFailure::WrongGenesis { url: node.url(), expected: [9; 32], found }]);
    let mut expecting = settings();
    expecting.expected_genesis = Some(found);
    assert!(Chain::connect(&[node.url()], expecting).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_chain_never_takes_over() {
    let node = Node::start(config(genesis())).await;
    let mut different = genesis();
    different.tempo += 1;
    let other = Node::start(config(different)).await;
    assert_ne!(node.chain.genesis_hash(), other.chain.genesis_hash());
    let client = client(&[node.url(), other.url()], settings()).await;
    let url = node.url();
    node.server.shutdown().await;
    let error = client.head().await.unwrap_err();
    assert!(error.is_transient(), "the right one may come back: {error}");
    let text = error.to_string();
    assert!(text.contains("node of another chain") && text.contains(&url), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_beyond_what_exists_is_waited_for() {
    let node = Node::start(config(genesis())).await;
    let mut blocks = node.client().await.follow_from(3);
    let early = tokio::time::timeout(Duration::from_millis(50), blocks.next()).await;
    assert!(early.is_err(), "{early:?}");
    node.seal(4);
    assert_chained(&take(&mut blocks, 2).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_not_of_its_hash_is_refused_and_looked_for_elsewhere() {
    let node = Node::start(config(genesis())).await;
    node.seal(2);
    let liar = lying(&node).await;
    let alone = client(std::slice::from_ref(&liar), settings()).await;
    for error in [alone.head().await.unwrap_err(), alone.follow().next().await.unwrap_err()] {
        assert!(matches!(&error, BlockError::Conflict { url, .. } if *url == liar), "{error}");
        let text = error.to_string();
        assert!(text.contains("serves another history") && text.contains("not that of the hash"), "{text}");
    }
    let both = client(&[liar.clone(), node.url()], settings()).await;
    assert_eq!(both.endpoint().await, Some(liar));
    assert_eq!(both.head().await.unwrap().number, 2);
    assert_eq!(both.endpoint().await, Some(node.url()));
    assert_chained(&take(&mut both.follow_from(0), 3).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_on_a_fork_is_refused_in_words_and_the_right_one_waited_for() {
    let node = Node::start(config(genesis())).await;
    // The same first block, and other times after it.
    let later = std::sync::Arc::new(grail_localnet::chain::ManualClock::at(START_MS));
    let fork = Node::start(grail_localnet::chain::ChainConfig { clock: later.clone(), ..config(genesis()) }).await;
    assert_eq!(node.chain.genesis_hash(), fork.chain.genesis_hash());
    later.advance(1000);
    let client = client(&[node.url(), fork.url()], settings()).await;
    let mut blocks = client.follow();
    let mut taken = take(&mut blocks, 1).await;
    node.seal(2);
    fork.seal(4);
    taken.extend(take(&mut blocks, 2).await);
    let Node { chain, server } = node;
    let address = server.address();
    server.shutdown().await;
    // It is away, and the fork alone answers: with blocks that do not follow from those before.
    let wrong = tokio::time::timeout(Duration::from_millis(500), blocks.next()).await;
    match wrong {
        Err(_) => {}
        Ok(Err(error)) => assert!(error.to_string().contains("serves another history at block 3"), "{error}"),
        Ok(Ok(block)) => panic!("a block of the fork: {block:?}"),
    }
    let _server = chain.serve(address).await.unwrap();
    chain.seal().unwrap();
    let third = async {
        loop {
            if let Ok(block) = blocks.next().await {
                return block;
            }
        }
    };
    taken.push(tokio::time::timeout(Duration::from_secs(20), third).await.expect("the right endpoint is back"));
    assert_chained(&taken, 0);
    assert_eq!(chain.block_hash(3).unwrap(), Some(taken[3].hash));
}
