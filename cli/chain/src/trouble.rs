//! What stands behind an error of the client library: the way, the state, or an answer.
//!
//! Its errors are one enum per operation without a common source, so the few variants that hold an error of the
//! transport are named here. Whatever is not named is an answer that this client cannot use.

use subxt::error::{
    AccountNonceError, BackendError, EventsError, ExtrinsicError, OnlineClientAtBlockError, OnlineClientError,
    RpcError, RuntimeApiError, StorageError, TransactionEventsError, TransactionProgressError,
};
use subxt::rpcs;

use crate::NodeError;

/// A node's words for a state that it does not keep, or a block that it does not know.
const GONE: [&str; 4] = ["state already discarded", "unknown block", "unknownblock", "header was not found"];

/// JSON-RPC's code of an error inside the server.
const INTERNAL_ERROR: i32 = -32603;
/// How a node begins an error that is its own and not of the request.
const CLIENT_ERROR: &str = "Client error: ";
/// But for this: the runtime's answer to a call, which is the same at every attempt.
const EXECUTION_FAILED: &str = "Client error: Execution failed";

/// The error of a read at an endpoint.
pub(crate) fn of_node(url: &str, error: impl Into<subxt::Error>) -> NodeError {
    let error = error.into();
    if let Some(error) = behind(&error) {
        return match error {
            BackendError::Rpc(RpcError::ClientError(e)) => of_rpc(url, e),
            other => NodeError::Transport { url: url.to_owned(), problem: other.to_string() },
        };
    }
    let problem = error.to_string();
    match &error {
        // The reason is text by then; only the calls, not the decoding, are trouble on the way.
        subxt::Error::OnlineClientAtBlockError(OnlineClientAtBlockError::CannotGetMetadata { reason, .. })
            if reason.starts_with("Error calling") =>
        {
            match is_gone(reason) {
                true => NodeError::StateUnavailable { url: url.to_owned(), problem },
                false => NodeError::Transport { url: url.to_owned(), problem },
            }
        }
        _ => NodeError::Unexpected { url: url.to_owned(), problem },
    }
}

/// The error of a request by its method.
pub(crate) fn of_rpc(url: &str, error: &rpcs::Error) -> NodeError {
    let url = url.to_owned();
    match error {
        rpcs::Error::User(answer) => {
            let (code, message) = (answer.code, in_words(answer));
            match () {
                () if is_gone(&message) => NodeError::StateUnavailable { url, problem: message },
                () if is_own_trouble(code, &message) => NodeError::Trouble { url, code, message },
                () => NodeError::Refused { url, code, message },
            }
        }
        rpcs::Error::Client(_) | rpcs::Error::DisconnectedWillReconnect(_) => {
            NodeError::Transport { url, problem: error.to_string() }
        }
        other => NodeError::Unexpected { url, problem: other.to_string() },
    }
}

/// A node's message with its data, which holds the reason.
pub(crate) fn in_words(answer: &rpcs::UserError) -> String {
    match &answer.data {
        Some(data) => format!("{}: {}", answer.message, data.get().trim_matches('"')),
        None => answer.message.clone(),
    }
}

fn is_own_trouble(code: i32, message: &str) -> bool {
    code == INTERNAL_ERROR || message.starts_with(CLIENT_ERROR) && !message.starts_with(EXECUTION_FAILED)
}

fn is_gone(message: &str) -> bool {
    let message = message.to_lowercase();
    GONE.iter().any(|words| message.contains(words))
}

fn behind(error: &subxt::Error) -> Option<&BackendError> {
    match error {
        subxt::Error::BackendError(e) => Some(e),
        subxt::Error::OnlineClientError(OnlineClientError::CannotGetGenesisHash(e)) => Some(e),
        subxt::Error::OnlineClientAtBlockError(e) => at_block(e),
        subxt::Error::StorageError(
            StorageError::CannotFetchValue(e) | StorageError::CannotIterateValues(e) | StorageError::StreamFailure(e),
        ) => Some(e),
        subxt::Error::RuntimeApiError(RuntimeApiError::CannotCallApi(e)) => Some(e),
        subxt::Error::EventsError(EventsError::CannotFetchEventBytes(e)) => Some(e),
        subxt::Error::ExtrinsicError(e) => extrinsic(e),
        subxt::Error::TransactionProgressError(TransactionProgressError::CannotGetNextProgressUpdate(e)) => Some(e),
        subxt::Error::TransactionEventsError(e) => events(e),
        _ => None,
    }
}

fn at_block(error: &OnlineClientAtBlockError) -> Option<&BackendError> {
    match error {
        OnlineClientAtBlockError::CannotGetCurrentBlock { reason }
        | OnlineClientAtBlockError::CannotGetBlockHash { reason, .. }
        | OnlineClientAtBlockError::CannotGetBlockHeader { reason, .. }
        | OnlineClientAtBlockError::CannotGetSpecVersion { reason, .. } => Some(reason),
        _ => None,
    }
}

fn extrinsic(error: &ExtrinsicError) -> Option<&BackendError> {
    match error {
        ExtrinsicError::CannotGetBlockBody(e)
        | ExtrinsicError::ErrorSubmittingTransaction(e)
        | ExtrinsicError::TransactionStatusStreamError(e) => Some(e),
        ExtrinsicError::AccountNonceError { reason: AccountNonceError::CouldNotRetrieve(e), .. } => Some(e),
        _ => None,
    }
}

fn events(error: &TransactionEventsError) -> Option<&BackendError> {
    match error {
        TransactionEventsError::CannotFetchBlockBody { error, .. } => Some(error),
        TransactionEventsError::CannotFetchEventsForTransaction {
            error: EventsError::CannotFetchEventBytes(e),
            ..
        } => Some(e),
        TransactionEventsError::CannotInstantiateClientAtBlock(e) => at_block(e),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: i32, message: &str) -> subxt::Error {
        let answer = rpcs::UserError { code, message: message.to_owned(), data: None };
        StorageError::CannotFetchValue(rpcs::Error::User(answer).into()).into()
    }

    #[test]
    fn a_pruned_or_unknown_state_is_not_trouble_on_the_way() {
        for message in [
            "Client error: Api called for an unknown Block: State already discarded for 0x01",
            "Client error: UnknownBlock: Header was not found in the database: 0x01",
            "State already discarded for 0x01",
        ] {
            let error = of_node("ws://a", answered(4003, message));
            assert!(matches!(error, NodeError::StateUnavailable { .. }), "{error}");
            assert!(!error.is_transient());
        }
        let error = of_node("ws://a", answered(-32601, "Method not found"));
        assert!(matches!(error, NodeError::Refused { code: -32601, .. }) && !error.is_transient(), "{error}");
    }

    #[test]
    fn a_broken_connection_is_transient_wherever_it_shows() {
        let broken = || rpcs::Error::Client("connection reset".into());
        let errors: [subxt::Error; 4] = [
            StorageError::StreamFailure(broken().into()).into(),
            RuntimeApiError::CannotCallApi(broken().into()).into(),
            OnlineClientAtBlockError::CannotGetCurrentBlock { reason: broken().into() }.into(),
            BackendError::Rpc(RpcError::SubscriptionDropped).into(),
        ];
        for error in errors {
            let error = of_node("ws://a", error);
            assert!(matches!(error, NodeError::Transport { .. }) && error.is_transient(), "{error}");
        }
    }

    #[test]
    fn a_node_that_has_trouble_of_its_own_may_have_none_later() {
        for (code, message) in
            [(4003, "Client error: the chain's database failed while reading a block"), (-32603, "Internal error")]
        {
            let error = of_node("ws://a", answered(code, message));
            assert!(matches!(error, NodeError::Trouble { .. }) && error.is_transient(), "{error}");
        }
        let error = of_node("ws://a", answered(4003, "Client error: Execution failed: a trap"));
        assert!(matches!(error, NodeError::Refused { .. }) && !error.is_transient(), "{error}");
    }

    #[test]
    fn a_missing_entry_is_an_answer() {
        let missing = StorageError::PalletNameNotFound("Commitments".to_owned());
        let error = of_node("ws://a", missing);
        assert!(matches!(error, NodeError::Unexpected { .. }) && !error.is_transient(), "{error}");
    }
}
