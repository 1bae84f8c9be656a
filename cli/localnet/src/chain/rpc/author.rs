//! `author_*`: extrinsics on their way into a block.

use std::sync::Arc;

use jsonrpsee::server::{PendingSubscriptionSink, RegisterMethodError, RpcModule};
use jsonrpsee::types::{ErrorObjectOwned, Params};
use serde_json::json;

use super::chain::send;
use super::params::{Answer, Arguments, hex_text};
use crate::chain::node::Chain;
use crate::chain::pool::{Fate, SubmitError};

const BAD_FORMAT: i32 = 1001;
const VERIFICATION_ERROR: i32 = 1002;
const INVALID_TRANSACTION: i32 = 1010;
const UNKNOWN_VALIDITY: i32 = 1011;
const TEMPORARILY_BANNED: i32 = 1012;
const ALREADY_IMPORTED: i32 = 1013;
const TOO_LOW_PRIORITY: i32 = 1014;
const IMMEDIATELY_DROPPED: i32 = 1016;

pub(super) fn register(module: &mut RpcModule<Chain>) -> Result<(), RegisterMethodError> {
    module.register_method("author_submitExtrinsic", |params, chain, _| {
        let extrinsic = Arguments::of(&params).bytes("extrinsic")?;
        let (hash, _) = chain.submit(extrinsic).map_err(|refused| refusal(&refused))?;
        Answer::Ok(json!(hex_text(&hash)))
    })?;
    module.register_method("author_pendingExtrinsics", |_, chain, _| {
        json!(chain.pending().iter().map(|extrinsic| hex_text(extrinsic)).collect::<Vec<_>>())
    })?;
    module.register_subscription(
        "author_submitAndWatchExtrinsic",
        "author_extrinsicUpdate",
        "author_unwatchExtrinsic",
        watch,
    )?;
    Ok(())
}

/// Substrate's code, message and data of a refusal.
fn refusal(refused: &SubmitError) -> ErrorObjectOwned {
    let (code, message) = match refused {
        SubmitError::BadFormat(_) => return ErrorObjectOwned::owned(BAD_FORMAT, refused.to_string(), None::<()>),
        SubmitError::Verification(problem) => (VERIFICATION_ERROR, ("Verification Error", problem.clone())),
        SubmitError::Invalid(invalid) => (INVALID_TRANSACTION, ("Invalid Transaction", invalid.to_string())),
        SubmitError::Unknown(unknown) => (UNKNOWN_VALIDITY, ("Unknown Transaction Validity", unknown.to_string())),
        SubmitError::Banned => return ErrorObjectOwned::owned(TEMPORARILY_BANNED, refused.to_string(), None::<()>),
        SubmitError::AlreadyImported => {
            return ErrorObjectOwned::owned(ALREADY_IMPORTED, refused.to_string(), None::<()>);
        }
        SubmitError::TooLowPriority => {
            let data = "An extrinsic of this account with this nonce waits already.".to_owned();
            (TOO_LOW_PRIORITY, ("Priority is too low", data))
        }
        SubmitError::ImmediatelyDropped => {
            let data = "The transaction couldn't enter the pool because of the limit".to_owned();
            (IMMEDIATELY_DROPPED, ("Immediately Dropped", data))
        }
    };
    ErrorObjectOwned::owned(code, message.0, Some(message.1))
}

/// Takes an extrinsic and tells what becomes of it, until it is final or dropped.
async fn watch(params: Params<'static>, pending: PendingSubscriptionSink, chain: Arc<Chain>, _: jsonrpsee::Extensions) {
    let submitted = Arguments::of(&params)
        .bytes("extrinsic")
        .and_then(|extrinsic| chain.submit(extrinsic).map_err(|refused| refusal(&refused)));
    let (_, mut fate) = match submitted {
        Ok(submitted) => submitted,
        Err(refused) => return pending.reject(refused).await,
    };
    let Ok(sink) = pending.accept().await else { return };
    if !send(&sink, &"ready").await {
        return;
    }
    let decided = tokio::select! {
        () = sink.closed() => return,
        decided = fate.recv() => decided,
    };
    let (number, hash) = match decided {
        Some(Fate::InBlock { number, hash }) => (number, hex_text(&hash)),
        Some(Fate::Invalid) => {
            send(&sink, &"invalid").await;
            return;
        }
        None => {
            send(&sink, &"dropped").await;
            return;
        }
    };
    if !send(&sink, &json!({ "inBlock": hash })).await {
        return;
    }
    let mut heads = chain.watch_heads();
    let finalized = tokio::select! {
        () = sink.closed() => false,
        heads = heads.wait_for(|heads| heads.finalized >= number) => heads.is_ok(),
    };
    if finalized {
        send(&sink, &json!({ "finalized": hash })).await;
    }
}
