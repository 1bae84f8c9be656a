//! The methods over HTTP and WebSocket, and what they refuse.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use grail_localnet::chain::call::{Call, SystemCall};
use grail_localnet::chain::version::Runtime;
use grail_localnet::chain::{Chain, ChainConfig, ChainServer, SystemClock};
use grail_protocol::ss58;
use parity_scale_codec::{Decode, Encode};
use proptest::prelude::*;
use serde_json::{Value, json};
use subxt::rpcs::{RpcClient, client::RpcParams};

use support::{Extrinsic, NETUID, account, chain, config, genesis, signer};

fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime"))
}

fn serve(chain: &Chain) -> ChainServer {
    runtime().block_on(chain.serve(([127, 0, 0, 1], 0).into())).expect("serves")
}

/// Posts a body and gives the answer's body.
fn post(address: SocketAddr, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("sets a timeout");
    let head = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n";
    write!(stream, "{head}content-length: {}\r\n\r\n", body.len()).expect("writes");
    // A server that refuses a large body early closes the connection while it is written.
    let _ = stream.write_all(body.as_bytes());
    let mut answer = vec![];
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned())
}

fn call(address: SocketAddr, method: &str, params: &Value) -> Result<Value, Value> {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let answer = post(address, &body);
    let mut answer: Value = serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{method}: {e}: {answer}"));
    match answer["error"].take() {
        Value::Null => Ok(answer["result"].take()),
        error => Err(error),
    }
}

fn ok(address: SocketAddr, method: &str, params: &Value) -> Value {
    call(address, method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
}

fn hex0x(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn remark() -> Call {
    Call::System(SystemCall::Remark { remark: vec![1] })
}

#[test]
fn blocks_and_storage_are_read_by_hash() {
    let chain = chain(genesis());
    chain.seal().expect("seals");
    chain.seal().expect("seals");
    let server = serve(&chain);
    let at = server.address();
    let hash = |number: u32| hex0x(&chain.block_hash(number).expect("reads").expect("a block"));
    assert_eq!(ok(at, "chain_getBlockHash", &json!([1])), json!(hash(1)));
    assert_eq!(ok(at, "chain_getBlockHash", &json!(["0x1"])), json!(hash(1)));
    assert_eq!(ok(at, "chain_getBlockHash", &json!([[0, 2, 3]])), json!([hash(0), hash(2), null_value()]));
    assert_eq!(ok(at, "chain_getBlockHash", &json!([])), json!(hash(2)));
    assert_eq!(ok(at, "chain_getHead", &json!([])), json!(hash(2)));
    assert_eq!(ok(at, "chain_getFinalizedHead", &json!([])), json!(hash(2)));
    let header = ok(at, "chain_getHeader", &json!([hash(1)]));
    assert_eq!((header["number"].as_str(), header["parentHash"].as_str()), (Some("0x1"), Some(hash(0).as_str())));
    assert_eq!(ok(at, "chain_getHeader", &json!([hex0x(&[9; 32])])), Value::Null);
    let block = ok(at, "chain_getBlock", &json!([]));
    assert_eq!(block["block"]["extrinsics"].as_array().map(Vec::len), Some(1));
    let now = hex0x(&support::key("Timestamp", "Now"));
    for method in ["state_getStorage", "state_getStorageAt"] {
        let value = ok(at, method, &json!([now, hash(0)]));
        assert_eq!(value, json!(hex0x(&1_700_000_000_000u64.encode())));
        assert_ne!(ok(at, method, &json!([now])), value);
    }
    assert_eq!(
        ok(at, "state_getStorage", &json!([now[2..], hash(0)])),
        ok(at, "state_getStorage", &json!([now, hash(0)]))
    );
    let unknown = call(at, "state_getStorage", &json!([now, hex0x(&[9; 32])])).expect_err("no such block");
    assert_eq!(unknown["code"], 4003);
    let keys = ok(at, "state_getKeysPaged", &json!([hex0x(&support::key("SubtensorModule", "Keys")), 10]));
    assert_eq!(keys.as_array().map(Vec::len), Some(2));
    let rest = ok(at, "state_getKeysPaged", &json!([hex0x(&support::key("SubtensorModule", "Keys")), 10, keys[0]]));
    assert_eq!(rest, json!([keys[1]]));
    assert_eq!(call(at, "state_getKeysPaged", &json!(["0x", 1001])).expect_err("too many")["code"], 4002);
    let queried = ok(at, "state_queryStorageAt", &json!([[now, "0x00"], hash(1)]));
    assert_eq!(queried[0]["block"], json!(hash(1)));
    assert_eq!(queried[0]["changes"][1], json!(["0x00", null_value()]));
}

fn null_value() -> Value {
    Value::Null
}

#[test]
fn runtime_calls_answer_in_scale() {
    let chain = chain(genesis());
    let server = serve(&chain);
    let at = server.address();
    let state_call = |name: &str, input: &[u8]| {
        let text = ok(at, "state_call", &json!([name, hex0x(input)]));
        hex::decode(&text.as_str().expect("hex")[2..]).expect("hex")
    };
    assert!(state_call("Core_version", &[]).starts_with(&"node-subtensor".encode()));
    assert_eq!(state_call("Metadata_metadata_versions", &[]), vec![14u32, 15].encode());
    let v15 = Option::<Vec<u8>>::decode(&mut state_call("Metadata_metadata_at_version", &15u32.encode()).as_slice());
    assert_eq!(v15.expect("decodes"), Some(grail_localnet::chain::metadata::v15(Runtime::FIRST)));
    assert_eq!(state_call("Metadata_metadata_at_version", &16u32.encode()), [0]);
    let v14 = grail_localnet::chain::metadata::v14(Runtime::FIRST);
    assert_eq!(state_call("Metadata_metadata", &[]), v14.encode());
    assert_eq!(ok(at, "state_getMetadata", &json!([])), json!(hex0x(&v14)));
    assert_eq!(state_call("AccountNonceApi_account_nonce", &account(1)), 0u32.encode());
    assert_eq!(state_call("SubnetInfoRuntimeApi_get_metagraph", &7u16.encode()), [0]);
    assert_eq!(state_call("SubnetInfoRuntimeApi_get_metagraph", &NETUID.encode())[0], 1);
    let validate = |extrinsic: Vec<u8>| {
        let input = [vec![2], extrinsic, vec![0; 32]].concat();
        state_call("TaggedTransactionQueue_validate_transaction", &input)
    };
    assert_eq!(validate(Extrinsic::new(&chain, 0, &remark()).signed(&signer(1)))[0], 0);
    assert_eq!(validate(Extrinsic::new(&chain, 5, &remark()).signed(&signer(1))), [1, 0, 2]);
    assert_eq!(validate(Extrinsic::new(&chain, 0, &remark()).signed(&signer(1)).tap(50)), [1, 0, 4]);
    for (name, input) in [("No_such", "0x"), ("Core_version", "0x00"), ("AccountNonceApi_account_nonce", "0x01")] {
        assert_eq!(call(at, "state_call", &json!([name, input])).expect_err("refused")["code"], 4003, "{name}");
    }
}

/// Flips a bit.
trait Tap {
    fn tap(self, at: usize) -> Self;
}

impl Tap for Vec<u8> {
    fn tap(mut self, at: usize) -> Self {
        self[at] ^= 1;
        self
    }
}

#[test]
fn refused_extrinsics_have_substrates_codes() {
    let chain = chain(genesis());
    let server = serve(&chain);
    let at = server.address();
    let code = |bytes: &[u8]| {
        call(at, "author_submitExtrinsic", &json!([hex0x(bytes)])).map_err(|error| error["code"].as_i64())
    };
    let good = |nonce| Extrinsic::new(&chain, nonce, &remark()).signed(&signer(1));
    assert_eq!(code(&[1, 2, 3]), Err(Some(1001)));
    assert_eq!(code(&[4, 0x99]), Err(Some(1002)));
    assert_eq!(code(&good(0).tap(50)), Err(Some(1010)));
    assert_eq!(code(&good(3)), Err(Some(1010)));
    assert_eq!(code(&[vec![4], remark().encode()].concat().encode()), Err(Some(1011)));
    let first = good(0);
    assert_eq!(code(&first), Ok(json!(hex0x(&sp_crypto_hashing::blake2_256(&first)))));
    assert_eq!(code(&first), Err(Some(1013)));
    assert_eq!(code(&good(0)), Err(Some(1014)), "another signature, the same nonce");
    assert_eq!(ok(at, "author_pendingExtrinsics", &json!([])), json!([hex0x(&first)]));
    for method in ["system_accountNextIndex", "account_nextIndex"] {
        assert_eq!(ok(at, method, &json!([ss58::encode(&account(1))])), json!(1));
        assert_eq!(call(at, method, &json!(["5abc"])).expect_err("no address")["code"], -32602);
    }
}

#[test]
fn every_method_that_clients_call_is_listed() {
    let chain = chain(genesis());
    let server = serve(&chain);
    let listed = ok(server.address(), "rpc_methods", &json!([]));
    let listed = listed["methods"].as_array().expect("a list").iter().filter_map(Value::as_str).collect::<Vec<_>>();
    for method in [
        "account_nextIndex",
        "author_pendingExtrinsics",
        "author_submitAndWatchExtrinsic",
        "author_submitExtrinsic",
        "author_unwatchExtrinsic",
        "chain_getBlock",
        "chain_getBlockHash",
        "chain_getFinalizedHead",
        "chain_getHead",
        "chain_getHeader",
        "chain_subscribeAllHeads",
        "chain_subscribeFinalizedHeads",
        "chain_subscribeNewHeads",
        "chain_unsubscribeNewHeads",
        "rpc_methods",
        "state_call",
        "state_getKeysPaged",
        "state_getMetadata",
        "state_getRuntimeVersion",
        "state_getStorage",
        "state_getStorageAt",
        "state_queryStorageAt",
        "state_subscribeRuntimeVersion",
        "state_subscribeStorage",
        "system_accountNextIndex",
        "system_chain",
        "system_health",
        "system_name",
        "system_properties",
        "system_version",
    ] {
        assert!(listed.contains(&method), "{method}");
    }
    assert!(!listed.iter().any(|method| method.starts_with("chainHead") || method.starts_with("archive")));
}

#[test]
fn requests_and_batches_have_limits() {
    let chain = chain(genesis());
    let server = serve(&chain);
    let at = server.address();
    let one = json!({ "jsonrpc": "2.0", "id": 1, "method": "system_chain" });
    let batch = |count: usize| post(at, &Value::Array(vec![one.clone(); count]).to_string());
    assert_eq!(batch(64).matches("grail localnet").count(), 64);
    assert_eq!(batch(65).matches("grail localnet").count(), 0);
    let large = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"system_chain\",\"params\":[\"{}\"]}}",
        "a".repeat(3 << 20)
    );
    assert!(!post(at, &large).contains("grail localnet"));
    assert_eq!(ok(at, "system_chain", &json!([])), json!("grail localnet"), "it still answers");
}

#[test]
fn heads_are_sent_in_order_and_watched_extrinsics_become_final() {
    let chain = Chain::open(ChainConfig { finality_lag: 1, ..config(genesis()) }, None).expect("opens");
    let server = serve(&chain);
    runtime().block_on(async {
        let client = RpcClient::from_insecure_url(server.url()).await.expect("connects");
        let subscribe = |name: &'static str, end: &'static str| client.subscribe::<Value>(name, RpcParams::new(), end);
        let mut best = subscribe("chain_subscribeNewHeads", "chain_unsubscribeNewHeads").await.expect("subscribes");
        let mut last =
            subscribe("chain_subscribeFinalizedHeads", "chain_unsubscribeFinalizedHeads").await.expect("subscribes");
        let mut version =
            subscribe("state_subscribeRuntimeVersion", "state_unsubscribeRuntimeVersion").await.expect("subscribes");
        assert_eq!(version.next().await.expect("sent").expect("a version")["specVersion"], 365);
        let mut params = RpcParams::new();
        params.push(vec![hex0x(&support::key("System", "Number"))]).expect("a parameter");
        let mut number = client
            .subscribe::<Value>("state_subscribeStorage", params, "state_unsubscribeStorage")
            .await
            .expect("subscribes");
        assert_eq!(number.next().await.expect("sent").expect("a set")["changes"][0][1], "0x00000000");

        let mut params = RpcParams::new();
        params.push(hex0x(&Extrinsic::new(&chain, 0, &remark()).signed(&signer(1)))).expect("a parameter");
        let watched = "author_submitAndWatchExtrinsic";
        let mut status = client.subscribe::<Value>(watched, params, "author_unwatchExtrinsic").await.expect("taken");
        assert_eq!(status.next().await.expect("sent").expect("a status"), json!("ready"));
        let first = hex0x(&chain.seal().expect("seals").hash);
        assert_eq!(status.next().await.expect("sent").expect("a status"), json!({ "inBlock": first }));
        chain.seal().expect("seals");
        assert_eq!(status.next().await.expect("sent").expect("a status"), json!({ "finalized": first }));
        assert_eq!(
            number.next().await.expect("sent").expect("a set")["changes"][0][1].as_str().map(str::len),
            Some(10)
        );
        for expected in ["0x0", "0x1", "0x2"] {
            assert_eq!(best.next().await.expect("sent").expect("a header")["number"], expected);
        }
        for expected in ["0x0", "0x1"] {
            assert_eq!(last.next().await.expect("sent").expect("a header")["number"], expected);
        }
        server.shutdown().await;
        assert!(client.request::<Value>("system_chain", RpcParams::new()).await.is_err(), "it has stopped");
    });
}

#[test]
fn a_served_chain_makes_blocks_by_itself_and_a_busy_port_is_an_error() {
    let block_time = Some(Duration::from_millis(20));
    let settings = ChainConfig { block_time, clock: std::sync::Arc::new(SystemClock), ..config(genesis()) };
    let chain = Chain::open(settings, None).expect("opens");
    let server = serve(&chain);
    runtime().block_on(async {
        let mut heads = chain.watch_heads();
        heads.wait_for(|heads| heads.best >= 3).await.expect("blocks are made");
        assert!(chain.serve(server.address()).await.is_err(), "the port is taken");
        server.shutdown().await;
    });
    let stopped = chain.heads();
    let times = (0..=stopped.best).map(|n| chain.timestamp_ms(n).expect("reads").expect("a time")).collect::<Vec<_>>();
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
}

fn server_once() -> SocketAddr {
    static SERVER: OnceLock<(Chain, ChainServer)> = OnceLock::new();
    SERVER
        .get_or_init(|| {
            let chain = chain(genesis());
            let server = serve(&chain);
            (chain, server)
        })
        .1
        .address()
}

fn parameter() -> impl Strategy<Value = Value> {
    let hex_text = proptest::collection::vec(any::<u8>(), 0..80).prop_map(|bytes| json!(hex0x(&bytes)));
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        hex_text,
    ];
    leaf.prop_recursive(2, 8, 4, |inner| proptest::collection::vec(inner, 0..4).prop_map(Value::Array))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_parameters_are_answered(
        which in any::<proptest::sample::Index>(),
        params in proptest::collection::vec(parameter(), 0..5),
    ) {
        let methods = [
            "account_nextIndex", "author_submitExtrinsic", "chain_getBlock", "chain_getBlockHash", "chain_getHeader",
            "state_call", "state_getKeysPaged", "state_getMetadata", "state_getRuntimeVersion", "state_getStorage",
            "state_getStorageHash", "state_getStorageSize", "state_queryStorageAt",
        ];
        let method = methods[which.index(methods.len())];
        // An error or a result; a panic would close the connection without an answer.
        let _ = call(server_once(), method, &Value::Array(params));
        prop_assert_eq!(ok(server_once(), "system_chain", &json!([])), json!("grail localnet"));
    }

    #[test]
    fn any_bytes_are_a_storage_key_without_a_value(key in proptest::collection::vec(any::<u8>(), 0..100)) {
        prop_assert_eq!(ok(server_once(), "state_getStorage", &json!([hex0x(&key)])), Value::Null);
    }

    #[test]
    fn any_bytes_are_arguments_of_a_runtime_call(
        which in any::<proptest::sample::Index>(),
        input in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let methods = [
            "AccountNonceApi_account_nonce", "Core_version", "Metadata_metadata_at_version",
            "SubnetInfoRuntimeApi_get_metagraph", "TaggedTransactionQueue_validate_transaction",
        ];
        let method = methods[which.index(methods.len())];
        let _ = call(server_once(), "state_call", &json!([method, hex0x(&input)]));
    }
}
