//! A local network's chain, sealed by hand, and a client of it.
#![allow(dead_code, reason = "each test program uses a part")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use grail_chain::{Chain, Settings};
use grail_localnet::chain::{Chain as Localnet, ChainConfig, ChainServer, GenesisConfig, GenesisNeuron, ManualClock};
use grail_protocol::AccountId;
use grail_protocol::signature::Signer;
use subxt::OnlineClient;
use subxt::config::SubstrateConfig;
use subxt::dynamic::{self, Value};
use subxt::utils::{AccountId32, MultiSignature};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub const NETUID: u16 = 81;
pub const START_MS: u64 = 1_700_000_000_000;

/// Owner of the neurons, with money.
pub const COLDKEY: u8 = 1;
/// Uid 0: stake and permit.
pub const VALIDATOR: u8 = 10;
/// Uid 1: neither.
pub const MINER: u8 = 11;
/// Not registered.
pub const STRANGER: u8 = 20;

pub fn signer(number: u8) -> Signer {
    Signer::from_seed(&[number; 32])
}

pub fn account(number: u8) -> AccountId {
    signer(number).account()
}

pub fn genesis() -> GenesisConfig {
    let neuron = |hotkey, stake, validator_permit| GenesisNeuron {
        hotkey: account(hotkey),
        coldkey: account(COLDKEY),
        stake,
        validator_permit,
    };
    GenesisConfig {
        owner_coldkey: account(COLDKEY),
        owner_hotkey: account(VALIDATOR),
        balances: vec![(account(COLDKEY), 10_000_000)],
        neurons: vec![neuron(VALIDATOR, 5_000_000_000, true), neuron(MINER, 0, false)],
        ..GenesisConfig::default()
    }
}

/// A chain that makes blocks only when told to.
pub fn config(genesis: GenesisConfig) -> ChainConfig {
    ChainConfig { genesis, block_time: None, clock: Arc::new(ManualClock::at(START_MS)), ..ChainConfig::default() }
}

pub struct Node {
    pub chain: Localnet,
    pub server: ChainServer,
}

impl Node {
    pub async fn start(config: ChainConfig) -> Self {
        Self::open(config, None, ([127, 0, 0, 1], 0).into()).await
    }

    pub async fn open(config: ChainConfig, folder: Option<&PathBuf>, address: SocketAddr) -> Self {
        let chain = Localnet::open(config, folder.map(PathBuf::as_path)).expect("opens");
        let server = chain.serve(address).await.expect("serves");
        Self { chain, server }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    pub fn seal(&self, blocks: u32) {
        for _ in 0..blocks {
            self.chain.seal().expect("seals");
        }
    }

    /// Seals a block once so many extrinsics wait for it.
    pub async fn seal_with(&self, extrinsics: usize) {
        let mut look = tokio::time::interval(Duration::from_millis(2));
        while self.chain.pending().len() < extrinsics {
            look.tick().await;
        }
        self.seal(1);
    }

    pub async fn client(&self) -> Chain {
        client(&[self.url()], settings()).await
    }
}

/// Impatient, as everything is on this machine.
pub fn settings() -> Settings {
    let mut settings = Settings::new(NETUID, Duration::from_millis(200));
    (settings.first_backoff, settings.longest_backoff) = (Duration::from_millis(10), Duration::from_millis(100));
    settings.request_timeout = Duration::from_secs(10);
    settings
}

pub async fn client(endpoints: &[String], settings: Settings) -> Chain {
    Chain::connect(endpoints, settings).await.expect("connects")
}

/// An empty folder of this test.
pub fn folder(test: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
    match std::fs::remove_dir_all(&folder) {
        Ok(()) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}"),
    }
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// A way to a node on which every header that it sends has one digit changed: the server's frames are plain text,
/// and stay as long as they were.
pub async fn lying(node: &Node) -> String {
    let target = node.server.address();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = format!("ws://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(target).await.expect("the node");
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                let mut buffer = vec![0; 1 << 20];
                while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
                    falsify(&mut buffer[..length]);
                    if to_client.write_all(&buffer[..length]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}

fn falsify(bytes: &mut [u8]) {
    const FIELD: &[u8] = b"\"stateRoot\":\"0x";
    let places: Vec<usize> =
        bytes.windows(FIELD.len()).enumerate().filter(|(_, w)| *w == FIELD).map(|(i, _)| i).collect();
    for digit in places.into_iter().map(|at| at + FIELD.len()) {
        bytes[digit] = if bytes[digit] == b'0' { b'1' } else { b'0' };
    }
}

struct Key(Signer);

impl subxt::tx::Signer<SubstrateConfig> for Key {
    fn account_id(&self) -> AccountId32 {
        AccountId32(self.0.account())
    }

    fn sign(&self, payload: &[u8]) -> MultiSignature {
        MultiSignature::Sr25519(self.0.sign(payload))
    }
}

/// Registers a hotkey with the coldkey, which the client itself never does.
pub async fn register(node: &Node, hotkey: u8) {
    let api = OnlineClient::<SubstrateConfig>::from_insecure_url(node.url()).await.expect("connects");
    let arguments = vec![Value::u128(NETUID.into()), Value::from_bytes(account(hotkey))];
    let call = dynamic::tx("SubtensorModule", "burned_register", arguments);
    let mut client = api.tx().await.expect("a block");
    let progress = client.sign_and_submit_then_watch_default(&call, &Key(signer(COLDKEY))).await.expect("taken");
    node.seal(1);
    progress.wait_for_finalized_success().await.expect("registered");
}
