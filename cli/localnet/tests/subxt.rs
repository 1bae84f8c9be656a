//! An unmodified subxt client against the chain.

mod support;

use grail_protocol::signature::Signer as Keypair;
use subxt::OnlineClient;
use subxt::config::PolkadotConfig;
use subxt::dynamic::{self, Value};
use subxt::utils::{AccountId32, MultiSignature};

use support::{NETUID, account, chain, genesis, signer};

struct Signer(Keypair);

impl subxt::tx::Signer<PolkadotConfig> for Signer {
    fn account_id(&self) -> AccountId32 {
        AccountId32(self.0.account())
    }

    fn sign(&self, payload: &[u8]) -> MultiSignature {
        MultiSignature::Sr25519(self.0.sign(payload))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subxt_registers_commits_reads_back_and_sets_weights() {
    let chain = chain(genesis());
    let server = chain.serve(([127, 0, 0, 1], 0).into()).await.expect("serves");
    let api = OnlineClient::<PolkadotConfig>::from_insecure_url(server.url()).await.expect("connects");
    let at = api.at_current_block().await.expect("a block");
    let now = dynamic::storage::<(), u64>("Timestamp", "Now");
    let ms = at.storage().fetch(now, ()).await.expect("fetches").decode().expect("decodes");
    assert_eq!(ms, 1_700_000_000_000);

    let hotkey = Value::from_bytes(account(20));
    let calls = [
        (1, dynamic::tx("SubtensorModule", "burned_register", vec![Value::u128(u128::from(NETUID)), hotkey])),
        (
            20,
            dynamic::tx("Commitments", "set_commitment", vec![Value::u128(u128::from(NETUID)), commitment(&[7; 128])]),
        ),
        (
            10,
            dynamic::tx(
                "SubtensorModule",
                "set_weights",
                vec![
                    Value::u128(u128::from(NETUID)),
                    Value::unnamed_composite([Value::u128(2)]),
                    Value::unnamed_composite([Value::u128(3)]),
                    Value::u128(0),
                ],
            ),
        ),
    ];
    for (who, call) in calls {
        let progress = api.tx().await.expect("a transaction client");
        let mut progress = progress;
        let watched = progress.sign_and_submit_then_watch_default(&call, &Signer(signer(who))).await.expect("taken");
        chain.seal().expect("seals");
        watched.wait_for_finalized_success().await.expect("succeeds");
    }
    let at = api.at_current_block().await.expect("a block");
    let address = dynamic::storage::<(u16, [u8; 32]), Value>("Commitments", "CommitmentOf");
    let stored = at.storage().fetch(address.clone(), (NETUID, account(20))).await.expect("fetches");
    assert_eq!(stored.bytes().len(), 142);
    assert_eq!(stored.bytes()[14..], [7; 128]);
    let mut found = at.storage().iter(address, (NETUID,)).await.expect("iterates");
    let mut count = 0;
    while let Some(entry) = found.next().await {
        entry.expect("an entry");
        count += 1;
    }
    assert_eq!(count, 1);
    let call = dynamic::runtime_api_call::<Vec<Value>, Value>(
        "SubnetInfoRuntimeApi",
        "get_metagraph",
        vec![Value::u128(u128::from(NETUID))],
    );
    let graph = at.runtime_apis().call(call).await.expect("a metagraph").to_string();
    assert!(graph.contains("hotkeys"), "{graph}");
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subxt_names_the_pallets_error() {
    let chain = chain(genesis());
    let server = chain.serve(([127, 0, 0, 1], 0).into()).await.expect("serves");
    let api = OnlineClient::<PolkadotConfig>::from_insecure_url(server.url()).await.expect("connects");
    let call = dynamic::tx("Commitments", "set_commitment", vec![Value::u128(u128::from(NETUID)), commitment(&[1; 3])]);
    let mut client = api.tx().await.expect("a transaction client");
    let watched = client.sign_and_submit_then_watch_default(&call, &Signer(signer(1))).await.expect("taken");
    chain.seal().expect("seals");
    let error = watched.wait_for_finalized_success().await.expect_err("not registered").to_string();
    assert!(error.contains("AccountNotAllowedCommit"), "{error}");
    server.shutdown().await;
}

fn commitment(bytes: &[u8]) -> Value {
    let field = Value::unnamed_variant(format!("Raw{}", bytes.len()), [Value::from_bytes(bytes)]);
    Value::named_composite([("fields", Value::unnamed_composite([Value::unnamed_composite([field])]))])
}
