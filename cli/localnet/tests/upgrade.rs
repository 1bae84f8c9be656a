//! Upgrades of the runtime: what the chain says of itself before and after, and that the state remembers.

mod support;

use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};
use grail_localnet::chain::version::Runtime;
use grail_localnet::chain::{Chain, ChainConfig, metadata};
use parity_scale_codec::Decode;
use serde_json::Value;
use subxt::rpcs::{RpcClient, client::RpcParams};
use support::{config, genesis};

fn upgrading(at: u32) -> ChainConfig {
    ChainConfig { upgrade_at: Some(at), ..config(genesis()) }
}

/// Places of pallets, and of their calls, events and errors in the enums over all of them.
fn places(runtime: Runtime) -> Vec<(String, u8)> {
    let decoded = RuntimeMetadataPrefixed::decode(&mut metadata::v15(runtime).as_slice()).expect("decodes").1;
    let RuntimeMetadata::V15(metadata) = decoded else { panic!("not V15") };
    let mut places: Vec<_> = metadata.pallets.iter().map(|p| (p.name.clone(), p.index)).collect();
    for id in
        [metadata.outer_enums.call_enum_ty, metadata.outer_enums.event_enum_ty, metadata.outer_enums.error_enum_ty]
    {
        let outer = &metadata.types.resolve(id.id).expect("a type").type_def;
        let scale_info::TypeDef::Variant(outer) = outer else { panic!("not an enum") };
        places.extend(outer.variants.iter().map(|variant| (variant.name.clone(), variant.index)));
    }
    places
}

#[test]
fn an_upgrade_moves_the_subnets_pallets_everywhere_by_one_and_no_other() {
    let (first, second) = (places(Runtime::FIRST), places(Runtime::FIRST.next()));
    assert_eq!(first.len(), second.len());
    for ((name, before), (same, after)) in first.into_iter().zip(second) {
        let moved = u8::from(matches!(name.as_str(), "SubtensorModule" | "Commitments"));
        assert_eq!((&name, after), (&same, before + moved));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_block_says_which_runtime_is_in_its_state_and_subscribers_hear_of_the_next() {
    let chain = Chain::open(upgrading(2), None).expect("opens");
    let server = chain.serve(([127, 0, 0, 1], 0).into()).await.expect("serves");
    let rpc = RpcClient::from_insecure_url(server.url()).await.expect("connects");
    let mut versions = rpc
        .subscribe::<Value>("state_subscribeRuntimeVersion", RpcParams::new(), "state_unsubscribeRuntimeVersion")
        .await
        .expect("subscribes");
    assert_eq!(versions.next().await.expect("one").expect("decodes")["specVersion"], 365);
    for _ in 0..3 {
        chain.seal().expect("seals");
    }
    assert_eq!(versions.next().await.expect("another").expect("decodes")["specVersion"], 366);
    for (number, spec, transaction) in [(0, 365, 1), (1, 365, 1), (2, 366, 2), (3, 366, 2)] {
        let mut params = RpcParams::new();
        let hash = format!("0x{}", hex::encode(chain.block_hash(number).unwrap().expect("a block")));
        params.push(hash).expect("text");
        let version: Value = rpc.request("state_getRuntimeVersion", params.clone()).await.expect("answers");
        assert_eq!((&version["specVersion"], &version["transactionVersion"]), (&spec.into(), &transaction.into()));
        let served: String = rpc.request("state_getMetadata", params).await.expect("answers");
        let expected = metadata::v14(chain.runtime(number).unwrap());
        assert!(served == format!("0x{}", hex::encode(expected)), "block {number}");
    }
    server.shutdown().await;
}

#[test]
fn a_chain_that_is_opened_again_goes_on_with_the_runtime_in_its_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = |settings: ChainConfig| Chain::open(settings, Some(folder.path())).expect("opens");
    let chain = open(upgrading(1));
    chain.seal().expect("seals");
    drop(chain);
    // Without the option, and with one for later.
    let chain = open(config(genesis()));
    chain.seal().expect("seals");
    assert_eq!(chain.runtime(2).unwrap(), Runtime::FIRST.next());
    drop(chain);
    let chain = open(upgrading(3));
    chain.seal().expect("seals");
    assert_eq!((chain.runtime(3).unwrap().spec_version(), chain.runtime(0).unwrap()), (367, Runtime::FIRST));
}
