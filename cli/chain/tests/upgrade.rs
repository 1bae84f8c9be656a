//! An upgrade of the runtime while a client is connected: versions count up, and the subnet's calls, events and errors move.
//!
//! The block of the upgrade was made by the runtime before it, and says that the next one makes its successor: both
//! sides of that are tested, at the block itself, before and after.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use grail_chain::{Block, Chain, CommitmentError, SubmitError, Wait};
use grail_localnet::chain::version::Runtime;
use grail_localnet::chain::{ChainConfig, SubmitError as PoolError};
use subxt::OnlineClient;
use subxt::config::SubstrateConfig;
use subxt::dynamic::{self, Value};
use subxt::utils::{AccountId32, MultiSignature};
use support::{MINER, NETUID, Node, VALIDATOR, account, config, genesis, settings, signer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The block of the upgrade.
const UPGRADE: u32 = 4;

async fn upgrading() -> Node {
    Node::start(ChainConfig { upgrade_at: Some(UPGRADE), ..config(genesis()) }).await
}

/// Puts a commitment into the next block.
async fn commit(node: &Node, client: &Chain, text: &[u8]) -> Result<u64, CommitmentError> {
    let (miner, fields) = (signer(MINER), [text.to_vec()]);
    let (set, ()) = tokio::join!(client.set_commitment(&miner, &fields, Wait::Inclusion), node.seal_with(1));
    let number = node.chain.block_number(&set?.block_hash).expect("the database").expect("a block of it");
    Ok(number.into())
}

async fn weigh(node: &Node, client: &Chain, weight: f64) {
    let validator = signer(VALIDATOR);
    let weights = [weight, 1.0];
    let set = client.submit_weights(&validator, &[0, 1], &weights, 0, Wait::Finality);
    let (set, ()) = tokio::join!(set, node.seal_with(1));
    set.expect("set");
}

async fn committed(client: &Chain, number: u64) -> Option<Vec<u8>> {
    let block = client.block(number).await.expect("a block");
    let there = client.commitment(&block, &account(MINER)).await.expect("its state");
    there.and_then(|there| there.raw(0).map(<[u8]>::to_vec))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stays_connected_commits_weighs_and_reads_before_in_and_after_an_upgrade() {
    let node = upgrading().await;
    let client = node.client().await;
    let mut blocks = client.follow_from(0);
    assert_eq!(commit(&node, &client, b"1").await, Ok(1));
    weigh(&node, &client, 2.0).await;
    assert_eq!(commit(&node, &client, b"3").await, Ok(3));
    // In the block of the upgrade, whose state has the next runtime already.
    assert_eq!(commit(&node, &client, b"4").await, Ok(u64::from(UPGRADE)));
    assert_eq!(node.chain.runtime(UPGRADE - 1).unwrap(), Runtime::FIRST);
    assert_eq!(node.chain.runtime(UPGRADE).unwrap(), Runtime::FIRST.next());
    assert_eq!(commit(&node, &client, b"5").await, Ok(5));
    weigh(&node, &client, 4.0).await;
    assert_eq!(client.endpoint().await, Some(node.url()));
    // History by the runtimes of its time, also for a client that comes later and looks back.
    let late = node.client().await;
    for client in [&client, &late] {
        for (number, text) in [(6, b"5"), (5, b"5"), (4, b"4"), (3, b"3"), (2, b"1"), (1, b"1")] {
            assert_eq!(committed(client, number).await.as_deref(), Some(&text[..]), "block {number}");
        }
        for number in 0..=6 {
            let block = client.block(number).await.unwrap();
            assert_eq!(client.metagraph(&block).await.unwrap().neurons.len(), 2, "block {number}");
            let first = client.weights(&block, 0).await.unwrap().first().map(|(_, weight)| *weight);
            // 2 : 1 and 4 : 1, the larger one full.
            assert_eq!(first, (number >= 2).then_some(u16::MAX), "block {number}");
        }
    }
    let mut numbers = Vec::new();
    while numbers.len() < 7 {
        numbers.push(blocks.next().await.expect("a block").number);
    }
    assert_eq!(numbers, (0..7).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pallets_refusal_has_its_words_after_an_upgrade_too() {
    let node = upgrading().await;
    let client = node.client().await;
    for _ in 0..2 {
        let (stranger, fields) = (signer(support::STRANGER), [vec![1]]);
        let (set, ()) = tokio::join!(client.set_commitment(&stranger, &fields, Wait::Inclusion), node.seal_with(1));
        let CommitmentError::Submit(SubmitError::Dispatch { pallet, error, .. }) = set.unwrap_err() else {
            panic!("not the pallet's")
        };
        assert_eq!((pallet.as_str(), error.as_str()), ("Commitments", "AccountNotAllowedCommit"));
        node.seal(UPGRADE);
    }
}

/// The control: who goes on with what was right before the upgrade is refused, and cannot read the block of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_notice_the_upgrade_is_refused_and_cannot_read_its_events() {
    let node = upgrading().await;
    let unaware = OnlineClient::<SubstrateConfig>::from_insecure_url(node.url()).await.expect("connects");
    // Its metadata and its version are those of the first block, for good.
    let before = unaware.at_current_block().await.expect("a block");
    let field = Value::unnamed_variant("Raw1", [Value::from_bytes([1])]);
    let info = Value::named_composite([("fields", Value::unnamed_composite([Value::unnamed_composite([field])]))]);
    let call = dynamic::tx("Commitments", "set_commitment", vec![Value::u128(NETUID.into()), info]);
    let signed = async |nonce: u64| {
        let mut client = before.tx();
        let parameters = subxt::config::DefaultExtrinsicParamsBuilder::new().nonce(nonce).immortal().build();
        client.create_signed(&call, &Key(signer(MINER)), parameters).await.expect("signs").encoded().to_vec()
    };
    node.chain.submit(signed(0).await).expect("right before the upgrade");
    node.seal(UPGRADE);
    let refused = node.chain.submit(signed(1).await).map(|_| ()).unwrap_err();
    assert!(matches!(refused, PoolError::Verification(_)), "its pallet has moved: {refused}");
    // A call that did not move has the old versions under its signature all the same.
    let remark = dynamic::tx("System", "remark", vec![Value::from_bytes([1])]);
    let parameters = subxt::config::DefaultExtrinsicParamsBuilder::new().nonce(1).immortal().build();
    let remark = before.tx().create_signed(&remark, &Key(signer(MINER)), parameters).await.expect("signs");
    let refused = node.chain.submit(remark.encoded().to_vec()).map(|_| ()).unwrap_err();
    assert_eq!(refused.to_string(), "Transaction has a bad signature");
}

struct Key(grail_protocol::signature::Signer);

impl subxt::tx::Signer<SubstrateConfig> for Key {
    fn account_id(&self) -> AccountId32 {
        AccountId32(self.0.account())
    }

    fn sign(&self, payload: &[u8]) -> MultiSignature {
        MultiSignature::Sr25519(self.0.sign(payload))
    }
}

/// The client library alone reads a block by the runtime in its state: in the block of an upgrade that is the wrong one.
#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_the_upgrades_block_need_the_runtime_before_it() {
    let node = upgrading().await;
    let client = node.client().await;
    node.seal(UPGRADE - 1);
    assert_eq!(commit(&node, &client, b"x").await, Ok(u64::from(UPGRADE)));
    let library = OnlineClient::<SubstrateConfig>::from_insecure_url(node.url()).await.expect("connects");
    let events = library.at_block(u64::from(UPGRADE)).await.expect("the block").events().fetch().await.expect("bytes");
    let names: Vec<String> = events.iter().map_while(|event| Some(event.ok()?.pallet_name().to_owned())).collect();
    assert!(!names.contains(&"Commitments".to_owned()), "nothing moved: {names:?}");
    assert!(events.iter().any(|event| event.is_err()), "it was read whole: {names:?}");
}

/// A way to a node on which it seals a block when it first answers with its version, before that answer goes on.
async fn overtaken(node: &Node, armed: Arc<AtomicBool>) -> String {
    /// `node-subtensor`, as it is in the answer of `Core_version`.
    const ANSWER: &[u8] = b"6e6f64652d73756274656e736f72";
    let (target, chain) = (node.server.address(), node.chain.clone());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = format!("ws://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(target).await.expect("the node");
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            let (chain, armed) = (chain.clone(), Arc::clone(&armed));
            tokio::spawn(async move {
                let mut buffer = vec![0; 1 << 20];
                while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
                    let is_version = buffer[..length].windows(ANSWER.len()).any(|bytes| bytes == ANSWER);
                    if is_version && armed.swap(false, Ordering::AcqRel) {
                        chain.seal().expect("seals");
                    }
                    if to_client.write_all(&buffer[..length]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_signed_just_before_an_upgrade_is_refused_and_signed_again() {
    let node = upgrading().await;
    let armed = Arc::new(AtomicBool::new(false));
    let client = support::client(&[overtaken(&node, Arc::clone(&armed)).await], settings()).await;
    node.seal(UPGRADE - 1);
    armed.store(true, Ordering::Release);
    assert_eq!(commit(&node, &client, b"late").await, Ok(u64::from(UPGRADE) + 1));
    assert!(!armed.load(Ordering::Acquire), "nothing was overtaken");
    assert_eq!(node.chain.next_nonce(&account(MINER)), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_while_the_runtime_is_upgraded_is_signed_again() {
    let node = upgrading().await;
    let client = node.client().await;
    node.seal(UPGRADE - 1);
    let (miner, fields) = (signer(MINER), [b"waits".to_vec()]);
    let setting = client.set_commitment(&miner, &fields, Wait::Inclusion);
    let others = async {
        // More than fits into the block of the upgrade, before ours.
        let large = 5;
        for nonce in 0..large {
            node.chain.submit(remark(&node, nonce).await).expect("taken");
        }
        large as usize
    };
    let large = others.await;
    let sealing = async {
        let ours = large + 1;
        let mut look = tokio::time::interval(Duration::from_millis(2));
        while node.chain.pending().len() < ours {
            look.tick().await;
        }
        node.seal(1);
        assert!(!node.chain.pending().is_empty(), "everything fitted");
        // It waited for the next block, which takes none of its signature.
        node.seal(1);
        node.seal_with(1).await;
    };
    let (set, ()) = tokio::join!(setting, sealing);
    let hash = set.expect("set").block_hash;
    assert_eq!(node.chain.block_number(&hash).unwrap(), Some(UPGRADE + 2));
    assert_eq!(committed(&client, u64::from(UPGRADE) + 1).await, None);
    assert_eq!(committed(&client, u64::from(UPGRADE) + 2).await.as_deref(), Some(&b"waits"[..]));
}

/// An extrinsic of the coldkey nearly as large as one may be.
async fn remark(node: &Node, nonce: u64) -> Vec<u8> {
    let api = OnlineClient::<SubstrateConfig>::from_insecure_url(node.url()).await.expect("connects");
    let call = dynamic::tx("System", "remark", vec![Value::from_bytes(vec![0; (1 << 20) - 1024])]);
    let parameters = subxt::config::DefaultExtrinsicParamsBuilder::new().nonce(nonce).immortal().build();
    let at = api.at_current_block().await.expect("a block");
    at.tx().create_signed(&call, &Key(signer(support::COLDKEY)), parameters).await.expect("signs").encoded().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_and_times_are_those_of_the_chain_at_the_upgrades_block() {
    let node = upgrading().await;
    let client = node.client().await;
    node.seal(UPGRADE);
    let block: Block = client.head().await.unwrap();
    assert_eq!(Some(block.timestamp_ms), node.chain.timestamp_ms(UPGRADE).unwrap());
    assert_eq!(client.best().await.unwrap(), block);
}
