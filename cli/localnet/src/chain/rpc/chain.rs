//! `chain_*`: blocks and headers, and subscriptions to them.

use jsonrpsee::server::{PendingSubscriptionSink, RegisterMethodError, RpcModule, SubscriptionSink};
use serde::Serialize;
use serde_json::{Value, json};

use super::params::{Answer, Arguments, failed, hex_text, invalid};
use crate::chain::node::{Chain, Heads};

/// Numbers in one request of `chain_getBlockHash`.
const MOST_NUMBERS: usize = 1000;

pub(super) fn register(module: &mut RpcModule<Chain>) -> Result<(), RegisterMethodError> {
    module.register_method("chain_getHeader", |params, chain, _| {
        let Some(number) = block_number(&mut Arguments::of(&params), chain)? else { return Ok(Value::Null) };
        let block = chain.block(number).map_err(|failure| failed(&failure))?;
        Answer::Ok(block.map_or(Value::Null, |block| block.header.json()))
    })?;
    module.register_method("chain_getBlock", |params, chain, _| {
        let Some(number) = block_number(&mut Arguments::of(&params), chain)? else { return Ok(Value::Null) };
        let block = chain.block(number).map_err(|failure| failed(&failure))?;
        Answer::Ok(block.map_or(Value::Null, |block| block.json()))
    })?;
    module.register_method("chain_getBlockHash", |params, chain, _| match Arguments::of(&params).value()? {
        None => hash_of(chain, chain.heads().best),
        Some(Value::Array(numbers)) if numbers.len() > MOST_NUMBERS => {
            Err(invalid(format!("at most {MOST_NUMBERS} numbers")))
        }
        Some(Value::Array(numbers)) => {
            numbers.iter().map(|number| hash_of_text(chain, number)).collect::<Result<Vec<_>, _>>().map(Value::Array)
        }
        Some(number) => hash_of_text(chain, &number),
    })?;
    module.register_alias("chain_getHead", "chain_getBlockHash")?;
    module.register_method("chain_getFinalizedHead", |_, chain, _| hash_of(chain, chain.heads().finalized))?;
    module.register_alias("chain_getFinalisedHead", "chain_getFinalizedHead")?;
    register_subscriptions(module)
}

fn register_subscriptions(module: &mut RpcModule<Chain>) -> Result<(), RegisterMethodError> {
    module.register_subscription(
        "chain_subscribeNewHeads",
        "chain_newHead",
        "chain_unsubscribeNewHeads",
        |_, pending, chain, _| follow(pending, chain.as_ref().clone(), |heads| heads.best),
    )?;
    module.register_alias("chain_subscribeNewHead", "chain_subscribeNewHeads")?;
    module.register_alias("chain_unsubscribeNewHead", "chain_unsubscribeNewHeads")?;
    module.register_subscription(
        "chain_subscribeAllHeads",
        "chain_allHead",
        "chain_unsubscribeAllHeads",
        |_, pending, chain, _| follow(pending, chain.as_ref().clone(), |heads| heads.best),
    )?;
    module.register_subscription(
        "chain_subscribeFinalizedHeads",
        "chain_finalizedHead",
        "chain_unsubscribeFinalizedHeads",
        |_, pending, chain, _| follow(pending, chain.as_ref().clone(), |heads| heads.finalized),
    )?;
    module.register_alias("chain_subscribeFinalisedHeads", "chain_subscribeFinalizedHeads")?;
    module.register_alias("chain_unsubscribeFinalisedHeads", "chain_unsubscribeFinalizedHeads")
}

/// Sends the header of the head and then every later one, in order and without a gap.
async fn follow(pending: PendingSubscriptionSink, chain: Chain, pick: fn(Heads) -> u32) {
    let Ok(sink) = pending.accept().await else { return };
    let mut heads = chain.watch_heads();
    let mut next = pick(*heads.borrow_and_update());
    loop {
        let newest = pick(*heads.borrow_and_update());
        while next <= newest {
            let Ok(Some(block)) = chain.block(next) else { return };
            if !send(&sink, &block.header.json()).await {
                return;
            }
            next += 1;
        }
        tokio::select! {
            () = sink.closed() => return,
            changed = heads.changed() => if changed.is_err() { return },
        }
    }
}

/// Sends a notification; false: the subscriber is gone.
pub(super) async fn send(sink: &SubscriptionSink, value: &impl Serialize) -> bool {
    let Ok(message) = jsonrpsee::core::to_json_raw_value(value) else { return false };
    sink.send(message).await.is_ok()
}

/// The number of the block that a hash names, of the best block without one; none if no block has that hash.
fn block_number(arguments: &mut Arguments, chain: &Chain) -> Result<Option<u32>, jsonrpsee::types::ErrorObjectOwned> {
    match arguments.hash("block hash")? {
        None => Ok(Some(chain.heads().best)),
        Some(hash) => chain.block_number(&hash).map_err(|failure| failed(&failure)),
    }
}

fn hash_of(chain: &Chain, number: u32) -> Answer {
    let hash = chain.block_hash(number).map_err(|failure| failed(&failure))?;
    Ok(json!(hash.map(|hash| hex_text(&hash))))
}

/// A number as JSON number or as hex text.
fn hash_of_text(chain: &Chain, number: &Value) -> Answer {
    let number = match number {
        Value::String(text) => text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok()),
        other => other.as_u64(),
    };
    let number = number.ok_or_else(|| invalid("a block number, or hex with 0x"))?;
    u32::try_from(number).map_or(Ok(Value::Null), |number| hash_of(chain, number))
}
