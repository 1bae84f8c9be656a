//! `state_*`: storage of any block, metadata, runtime calls, and subscriptions.

use std::sync::Arc;

use jsonrpsee::server::{PendingSubscriptionSink, RegisterMethodError, RpcModule};
use jsonrpsee::types::Params;
use serde_json::{Value, json};
use sp_crypto_hashing::blake2_256;

use super::chain::send;
use super::params::{Answer, Arguments, error, failed, hex_text, invalid};
use crate::chain::api::{self, CallError};
use crate::chain::node::Chain;
use crate::chain::version::runtime_version_json;

/// Keys in one page of `state_getKeysPaged`.
const MOST_KEYS: u64 = 1000;

/// Keys in one request of `state_queryStorageAt`, and in one subscription.
const MOST_QUERIED: usize = 4096;

const INVALID_COUNT: i32 = 4002;
const CALL_FAILED: i32 = 4003;

pub(super) fn register(module: &mut RpcModule<Chain>) -> Result<(), RegisterMethodError> {
    module.register_method("state_getStorage", |params, chain, _| {
        Answer::Ok(json!(value(&params, chain)?.map(|value| hex_text(&value))))
    })?;
    module.register_alias("state_getStorageAt", "state_getStorage")?;
    module.register_method("state_getStorageHash", |params, chain, _| {
        Answer::Ok(json!(value(&params, chain)?.map(|value| hex_text(&blake2_256(&value)))))
    })?;
    module.register_alias("state_getStorageHashAt", "state_getStorageHash")?;
    module.register_method("state_getStorageSize", |params, chain, _| {
        Answer::Ok(json!(value(&params, chain)?.map(|value| value.len())))
    })?;
    module.register_alias("state_getStorageSizeAt", "state_getStorageSize")?;
    module.register_method("state_getKeysPaged", |params, chain, _| keys_paged(&params, chain))?;
    module.register_alias("state_getKeysPagedAt", "state_getKeysPaged")?;
    module.register_method("state_queryStorageAt", |params, chain, _| {
        let mut arguments = Arguments::of(&params);
        let keys = queried(&mut arguments)?;
        let at = arguments.at(chain)?;
        Answer::Ok(json!([changes(chain, &keys, at)?]))
    })?;
    module.register_method("state_getMetadata", |params, chain, _| {
        let at = Arguments::of(&params).at(chain)?;
        let metadata = chain.metadata(14, at).map_err(|failure| failed(&failure))?;
        Answer::Ok(json!(metadata.map(|metadata| hex_text(&metadata))))
    })?;
    module.register_method("state_getRuntimeVersion", |params, chain, _| {
        let at = Arguments::of(&params).at(chain)?;
        Answer::Ok(runtime_version_json(chain.runtime(at).map_err(|failure| failed(&failure))?))
    })?;
    module.register_alias("chain_getRuntimeVersion", "state_getRuntimeVersion")?;
    module.register_method("state_call", |params, chain, _| {
        let mut arguments = Arguments::of(&params);
        let (name, input) = (arguments.text("method")?, arguments.bytes("data")?);
        let at = arguments.at(chain)?;
        match api::call(chain, &name, &input, at) {
            Ok(output) => Answer::Ok(json!(hex_text(&output))),
            Err(CallError::Chain(failure)) => Err(failed(&failure)),
            Err(refused) => Err(error(CALL_FAILED, format!("Client error: Execution failed: {refused}"))),
        }
    })?;
    module.register_alias("state_callAt", "state_call")?;
    register_subscriptions(module)
}

fn register_subscriptions(module: &mut RpcModule<Chain>) -> Result<(), RegisterMethodError> {
    module.register_subscription(
        "state_subscribeRuntimeVersion",
        "state_runtimeVersion",
        "state_unsubscribeRuntimeVersion",
        follow_version,
    )?;
    module.register_alias("chain_subscribeRuntimeVersion", "state_subscribeRuntimeVersion")?;
    module.register_alias("chain_unsubscribeRuntimeVersion", "state_unsubscribeRuntimeVersion")?;
    module.register_subscription("state_subscribeStorage", "state_storage", "state_unsubscribeStorage", follow)?;
    Ok(())
}

/// Sends the best block's runtime version, and again after every upgrade.
async fn follow_version(
    _: Params<'static>,
    pending: PendingSubscriptionSink,
    chain: Arc<Chain>,
    _: jsonrpsee::Extensions,
) {
    let Ok(sink) = pending.accept().await else { return };
    let mut heads = chain.watch_heads();
    let mut sent = None;
    loop {
        let best = heads.borrow_and_update().best;
        let Ok(runtime) = chain.runtime(best) else { return };
        if sent != Some(runtime) {
            if !send(&sink, &runtime_version_json(runtime)).await {
                return;
            }
            sent = Some(runtime);
        }
        tokio::select! {
            () = sink.closed() => return,
            changed = heads.changed() => if changed.is_err() { return },
        }
    }
}

fn value(params: &Params, chain: &Chain) -> Result<Option<Vec<u8>>, jsonrpsee::types::ErrorObjectOwned> {
    let mut arguments = Arguments::of(params);
    let key = arguments.bytes("storage key")?;
    let at = arguments.at(chain)?;
    chain.storage(&key, at).map_err(|failure| failed(&failure))
}

fn keys_paged(params: &Params, chain: &Chain) -> Answer {
    let mut arguments = Arguments::of(params);
    let prefix = arguments.optional_bytes("prefix")?.unwrap_or_default();
    let count = arguments.value()?.and_then(|count| count.as_u64()).ok_or_else(|| invalid("count must be a number"))?;
    if count > MOST_KEYS {
        return Err(error(INVALID_COUNT, format!("count exceeds maximum value. value: {count}, max: {MOST_KEYS}")));
    }
    let after = arguments.optional_bytes("start key")?;
    let at = arguments.at(chain)?;
    let keys = chain.storage_keys(&prefix, after.as_deref(), count as usize, at).map_err(|failure| failed(&failure))?;
    Ok(json!(keys.iter().map(|key| hex_text(key)).collect::<Vec<_>>()))
}

fn queried(arguments: &mut Arguments) -> Result<Vec<Vec<u8>>, jsonrpsee::types::ErrorObjectOwned> {
    let keys = arguments.list("storage keys")?;
    if keys.len() > MOST_QUERIED { Err(invalid(format!("at most {MOST_QUERIED} keys"))) } else { Ok(keys) }
}

/// `StorageChangeSet` of these keys at a block.
fn changes(chain: &Chain, keys: &[Vec<u8>], at: u32) -> Answer {
    let hash = chain.block_hash(at).map_err(|failure| failed(&failure))?;
    let changes = keys
        .iter()
        .map(|key| {
            let value = chain.storage(key, at).map_err(|failure| failed(&failure))?;
            Answer::Ok(json!([hex_text(key), value.map(|value| hex_text(&value))]))
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(json!({ "block": hash.map(|hash| hex_text(&hash)), "changes": changes }))
}

/// Sends the values of these keys, and again after every block that changes one of them.
async fn follow(
    params: Params<'static>,
    pending: PendingSubscriptionSink,
    chain: Arc<Chain>,
    _: jsonrpsee::Extensions,
) {
    let keys = match queried(&mut Arguments::of(&params)) {
        Ok(keys) => keys,
        Err(refused) => return pending.reject(refused).await,
    };
    let Ok(sink) = pending.accept().await else { return };
    let mut heads = chain.watch_heads();
    let mut sent = Value::Null;
    loop {
        let best = heads.borrow_and_update().best;
        let Ok(set) = changes(&chain, &keys, best) else { return };
        if set["changes"] != sent {
            if !send(&sink, &set).await {
                return;
            }
            sent = set["changes"].clone();
        }
        tokio::select! {
            () = sink.closed() => return,
            changed = heads.changed() => if changed.is_err() { return },
        }
    }
}
