//! Signing an extrinsic, sending it, and seeing what became of it.
//!
//! An extrinsic that was sent is never sent again from here: its fate may be known only to a node that is away.
//! What could not be sent is retried like any read.

use std::sync::Arc;
use std::time::Instant;

use grail_protocol::signature::Signer;
use subxt::client::OnlineClientAtBlockImpl;
use subxt::config::{DefaultExtrinsicParamsBuilder, Header};
use subxt::error::{BackendError, DispatchError, ExtrinsicError, RpcError, TransactionEventsError};
use subxt::rpcs;
use subxt::transactions::{
    Payload, SubmittableTransaction, TransactionInBlock, TransactionProgress, TransactionStatus,
};
use subxt::utils::{AccountId32, H256, MultiSignature};
use tokio::time::{Instant as Deadline, timeout_at};

use crate::link::{AtBlock, Link};
use crate::runtimes::{Runtimes, Version, in_state, version_of};
use crate::trouble::{in_words, of_node, of_rpc};
use crate::words::{custom_error, pallet_error};
use crate::{Chain, NodeError, SubmitError, blocks};

type Client = OnlineClientAtBlockImpl<Runtimes>;

/// How far to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until it is in a best block, which may still be replaced.
    Inclusion,
    /// Until its block is final.
    Finality,
}

/// An extrinsic that succeeded in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Included {
    /// Hash of the extrinsic.
    pub extrinsic: [u8; 32],
    /// Hash of its block.
    pub block_hash: [u8; 32],
}

/// A hotkey as the client library wants it.
pub(crate) struct Hotkey<'a>(pub &'a Signer);

impl subxt::transactions::Signer<Runtimes> for Hotkey<'_> {
    fn account_id(&self) -> AccountId32 {
        AccountId32(self.0.account())
    }

    fn sign(&self, payload: &[u8]) -> MultiSignature {
        MultiSignature::Sr25519(self.0.sign(payload))
    }
}

/// A signed extrinsic and where it goes.
struct Signed {
    link: Arc<Link>,
    extrinsic: SubmittableTransaction<Runtimes, Client>,
    nonce: u64,
    /// The runtime's, without which the signature is none.
    version: Version,
}

/// An extrinsic that a node has.
struct Sent {
    link: Arc<Link>,
    progress: TransactionProgress<Runtimes, Client>,
    version: Version,
}

/// How often one call is signed again because the runtime was upgraded meanwhile.
const MOST_RENEWALS: u32 = 3;

impl Chain {
    /// Signs a call with a hotkey, submits it and waits. Calls of one process follow each other by nonce, whether or
    /// not the one before is in a block yet.
    pub(crate) async fn submit<C: Payload + Sync>(
        &self,
        signer: &Signer,
        call: &C,
        wait: Wait,
    ) -> Result<Included, SubmitError> {
        let name = format!("{}.{}", call.pallet_name(), call.call_name());
        let mut renewals = 0;
        loop {
            let sent = self.send(signer, call, &name, &mut renewals).await?;
            let version = sent.version;
            let error = match self.await_outcome(signer, &name, sent, wait).await {
                Err(error @ SubmitError::Dropped { .. }) => error,
                outcome => return outcome,
            };
            // Signed for a runtime that makes no block any more, it never comes into one.
            if !self.is_upgraded(version, &mut renewals).await {
                return Err(error);
            }
        }
    }

    async fn await_outcome(
        &self,
        signer: &Signer,
        name: &str,
        sent: Sent,
        wait: Wait,
    ) -> Result<Included, SubmitError> {
        let Sent { link, progress, .. } = sent;
        let extrinsic = progress.extrinsic_hash().0;
        let deadline = Deadline::now() + self.settings().submission_timeout();
        let unknown = |problem: String| SubmitError::OutcomeUnknown { call: name.to_owned(), extrinsic, problem };
        match timeout_at(deadline, outcome(&link, name, progress, wait)).await {
            Ok(Ok(block_hash)) => Ok(Included { extrinsic, block_hash }),
            Ok(Err(Ended::Unseen(problem))) => {
                // It may be lost. A nonce used twice costs one refusal, a hole would hold up all that follow.
                self.inner.nonces.lock().await.forget(&signer.account());
                self.inner.links.discard(&link).await;
                Err(unknown(problem))
            }
            Ok(Err(Ended::Failed(error))) => {
                if matches!(error, SubmitError::Dropped { .. }) {
                    self.inner.nonces.lock().await.forget(&signer.account());
                }
                Err(error)
            }
            Err(_) => {
                Err(unknown(format!("not in a block after {} s", self.settings().submission_timeout().as_secs())))
            }
        }
    }

    /// Until a node has it.
    async fn send<C: Payload + Sync>(
        &self,
        signer: &Signer,
        call: &C,
        name: &str,
        renewals: &mut u32,
    ) -> Result<Sent, SubmitError> {
        let account = signer.account();
        let mut nonces = self.inner.nonces.lock().await;
        let mut stale = false;
        loop {
            let valid_for = self.settings().submission_timeout();
            let at_least = |from_node: u64| nonces.next(&account, from_node, Instant::now(), valid_for);
            let signed = self.attempt(|link| self.sign(link, signer, call, at_least)).await?;
            let limit = self.settings().request_timeout;
            let sent = tokio::time::timeout(limit, signed.extrinsic.submit_and_watch()).await;
            let error = match sent {
                Ok(Ok(progress)) => {
                    nonces.sent(account, signed.nonce, Instant::now());
                    return Ok(Sent { link: signed.link, progress, version: signed.version });
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    nonces.forget(&account);
                    self.inner.links.discard(&signed.link).await;
                    let problem = format!("the node did not confirm it within {} s", limit.as_secs_f64());
                    return Err(unseen(name, &signed.extrinsic, problem));
                }
            };
            nonces.forget(&account);
            let Some(answer) = refusal(&error) else {
                self.inner.links.discard(&signed.link).await;
                return Err(unseen(name, &signed.extrinsic, of_node(&signed.link.url, error).to_string()));
            };
            // Another process of the same hotkey was faster, once.
            if is_nonce_taken(answer) && !std::mem::replace(&mut stale, true) {
                continue;
            }
            let refused = pool_error(name, answer);
            if !self.is_upgraded(signed.version, renewals).await {
                return Err(refused);
            }
        }
    }

    /// Whether what was signed for a version has to be signed again, as another runtime makes the next block.
    async fn is_upgraded(&self, version: Version, renewals: &mut u32) -> bool {
        let next = self.attempt(|link| async move { Ok::<_, NodeError>(version_of(&next_maker(&link).await?)) }).await;
        let is_upgraded = next.is_ok_and(|next| next != version) && *renewals < MOST_RENEWALS;
        if is_upgraded {
            *renewals += 1;
            tracing::info!(from = version.0, "the chain's runtime was upgraded meanwhile; signing again");
        }
        is_upgraded
    }

    async fn sign<C: Payload>(
        &self,
        link: Arc<Link>,
        signer: &Signer,
        call: &C,
        at_least: impl Fn(u64) -> u64,
    ) -> Result<Signed, NodeError> {
        let from_node = link.rpc.system_account_next_index(&AccountId32(signer.account())).await;
        let nonce = at_least(from_node.map_err(|e| of_rpc(&link.url, &e))?);
        let (number, hash) = finalised_number(&link).await?;
        let at = next_maker(&link).await?;
        let extrinsic = sign_by(&at, signer, call, nonce, self.settings().mortality_blocks, (number, hash));
        let extrinsic = extrinsic.map_err(|e| of_node(&link.url, e))?;
        Ok(Signed { link, extrinsic, nonce, version: version_of(&at) })
    }
}

async fn finalised_number(link: &Link) -> Result<(u64, H256), NodeError> {
    blocks::finalised_number(link).await.map_err(|error| match error {
        crate::BlockError::Node(error) => error,
        other => NodeError::Unexpected { url: link.url.clone(), problem: other.to_string() },
    })
}

/// The runtime that makes the next block: a signature covers its version, and calls are where it has them.
async fn next_maker(link: &Link) -> Result<AtBlock, NodeError> {
    let best = link.rpc.chain_get_block_hash(None).await.map_err(|e| of_rpc(&link.url, &e))?;
    let problem = || NodeError::Unexpected { url: link.url.clone(), problem: "it has no best block".to_owned() };
    in_state(link, best.ok_or_else(problem)?).await
}

/// Signs a call so that it may be included in the `mortality` blocks after a finalised one.
fn sign_by<C: Payload>(
    at: &AtBlock,
    signer: &Signer,
    call: &C,
    nonce: u64,
    mortality: u64,
    (number, hash): (u64, H256),
) -> Result<SubmittableTransaction<Runtimes, Client>, ExtrinsicError> {
    let parameters = DefaultExtrinsicParamsBuilder::new()
        .nonce(nonce)
        .mortal_from_unchecked(mortality.clamp(4, 4096).next_power_of_two(), number, hash)
        .build();
    at.tx().create_signable_offline(call, parameters)?.sign(&Hotkey(signer))
}

/// How the wait for an outcome ended without success.
enum Ended {
    /// The outcome was seen.
    Failed(SubmitError),
    /// It was not.
    Unseen(String),
}

async fn outcome(
    link: &Link,
    call: &str,
    mut progress: TransactionProgress<Runtimes, Client>,
    wait: Wait,
) -> Result<[u8; 32], Ended> {
    let dropped = |problem: String| Ended::Failed(SubmitError::Dropped { call: call.to_owned(), problem });
    while let Some(status) = progress.next().await {
        match status.map_err(|e| Ended::Unseen(of_node(&link.url, e).to_string()))? {
            TransactionStatus::InBestBlock(block) if wait == Wait::Inclusion => {
                return succeeded(link, call, &block).await;
            }
            TransactionStatus::InFinalizedBlock(block) => return succeeded(link, call, &block).await,
            TransactionStatus::Error { message }
            | TransactionStatus::Invalid { message }
            | TransactionStatus::Dropped { message } => return Err(dropped(message)),
            _ => {}
        }
    }
    Err(Ended::Unseen("the node ended its reports".to_owned()))
}

async fn succeeded(link: &Link, call: &str, block: &TransactionInBlock<Runtimes, Client>) -> Result<[u8; 32], Ended> {
    // Its events are read by the runtime that made it, which has to be known first.
    let unseen = |error: NodeError| Ended::Unseen(error.to_string());
    let hash = block.block_hash();
    let header = link.rpc.chain_get_header(Some(hash)).await.map_err(|e| unseen(of_rpc(&link.url, &e)))?;
    if let Some(header) = header {
        link.runtimes.at(link, hash, header.number()).await.map_err(unseen)?;
    }
    match block.wait_for_success().await {
        Ok(_) => Ok(block.block_hash().0),
        Err(TransactionEventsError::ExtrinsicFailed(error)) => Err(Ended::Failed(dispatch_error(call, &error))),
        Err(error) => Err(unseen(of_node(&link.url, error))),
    }
}

fn dispatch_error(call: &str, error: &DispatchError) -> SubmitError {
    let call = call.to_owned();
    if let DispatchError::Module(module) = error
        && let Ok(details) = module.details()
    {
        let (pallet, error) = (details.pallet.name().to_owned(), details.variant.name.clone());
        let words = pallet_error(&pallet, &error);
        return SubmitError::Dispatch { call, pallet, error, words };
    }
    let words = error.to_string();
    SubmitError::Dispatch { call, pallet: "System".to_owned(), error: format!("{error:?}"), words }
}

/// A node's answer to a submission that it did not take; `None` when it may have.
fn refusal(error: &ExtrinsicError) -> Option<&rpcs::UserError> {
    match error {
        ExtrinsicError::ErrorSubmittingTransaction(BackendError::Rpc(RpcError::ClientError(rpcs::Error::User(
            answer,
        )))) => Some(answer),
        _ => None,
    }
}

fn is_nonce_taken(answer: &rpcs::UserError) -> bool {
    // 1014: another extrinsic of that nonce is in the pool. Outdated: one is in a block.
    answer.code == 1014 || in_words(answer).contains("outdated")
}

fn pool_error(call: &str, answer: &rpcs::UserError) -> SubmitError {
    let message = in_words(answer);
    let custom = message.rsplit_once("Custom error: ").and_then(|(_, code)| code.trim().parse().ok());
    let words = match custom {
        Some(code) => custom_error(code),
        None if answer.code == 1010 => "the extrinsic is not valid (signature, nonce, mortality or fee)".to_owned(),
        None if answer.code == 1016 => "its pool is full".to_owned(),
        None => "it gives no more words than these".to_owned(),
    };
    SubmitError::Pool { call: call.to_owned(), words, code: answer.code, message }
}

fn unseen(call: &str, extrinsic: &SubmittableTransaction<Runtimes, Client>, problem: String) -> SubmitError {
    SubmitError::OutcomeUnknown { call: call.to_owned(), extrinsic: extrinsic.hash().0, problem }
}
