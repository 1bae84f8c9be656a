//! Errors of what is sent.

use grail_protocol::{AccountId, ss58};

use super::{BlockError, NodeError, StateError};
use crate::weights::ConformError;

/// An extrinsic was not included, or failed, or its fate is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// It could not be prepared or sent: nothing has been submitted.
    #[error("nothing was submitted: {0}")]
    Node(#[from] NodeError),
    /// The node refused it: it has not been submitted.
    #[error("the node refused {call}: {words} (error {code}: {message})")]
    Pool {
        /// Pallet and call.
        call: String,
        /// What it means.
        words: String,
        /// JSON-RPC code.
        code: i32,
        /// The node's message and data.
        message: String,
    },
    /// It is in a block and failed there.
    #[error("the chain refused {call}: {words} ({pallet}::{error})")]
    Dispatch {
        /// Pallet and call.
        call: String,
        /// The pallet whose rule it broke.
        pallet: String,
        /// The pallet's name of the error.
        error: String,
        /// What it means.
        words: String,
    },
    /// It left the node's pool without being in a block.
    #[error("{call} was dropped by the node before it was in a block: {problem}")]
    Dropped {
        /// Pallet and call.
        call: String,
        /// What the node said.
        problem: String,
    },
    /// It was sent, and the connection or the patience ended before its outcome was seen. Read the state back
    /// before submitting again.
    #[error("{call} was sent as 0x{} and its outcome is not known: {problem}", hex::encode(extrinsic))]
    OutcomeUnknown {
        /// Pallet and call.
        call: String,
        /// Hash of the extrinsic.
        extrinsic: [u8; 32],
        /// What ended the wait.
        problem: String,
    },
}

impl SubmitError {
    /// Whether submitting again later may help, the call unchanged.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Node(e) => e.is_transient(),
            Self::Dropped { .. } | Self::OutcomeUnknown { .. } => true,
            Self::Pool { .. } | Self::Dispatch { .. } => false,
        }
    }
}

/// A commitment was not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitmentError {
    /// None, or more than the chain keeps.
    #[error("a commitment has 1 to {} fields, this one {found}", crate::MOST_FIELDS)]
    FieldCount {
        /// Number of fields.
        found: usize,
    },
    /// A field is longer than the chain keeps.
    #[error("field {index} of the commitment has {found} bytes, at most {} are possible", crate::MOST_FIELD_BYTES)]
    FieldTooLong {
        /// Which.
        index: usize,
        /// Its bytes.
        found: usize,
    },
    /// It could not be submitted, or was refused.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

impl CommitmentError {
    /// Whether submitting again later may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Submit(e) if e.is_transient())
    }
}

/// Weights were not set.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// They are no weights that the subnet could take.
    #[error(transparent)]
    Conform(#[from] ConformError),
    /// The hotkey has no uid on the subnet.
    #[error("{}", not_registered(account, *netuid))]
    NotRegistered {
        /// The hotkey.
        account: AccountId,
        /// The subnet.
        netuid: u16,
    },
    /// The subnet takes commitments to weights, and its runtime no time-locked ones.
    #[error(
        "subnet {netuid} has commit-reveal switched on, and its runtime knows no time-locked commitments: nothing can be set"
    )]
    NoTimelockedCommits {
        /// The subnet.
        netuid: u16,
    },
    /// The block of the reveal cannot be told.
    #[error("a commitment would be revealed after {epochs} epochs, and no block can be told for that")]
    RevealPeriod {
        /// The subnet's reveal period.
        epochs: u64,
    },
    /// The commitment is longer than the chain takes.
    #[error("the commitment to the weights has {found} bytes, the chain takes {most}: weigh fewer uids")]
    CommitTooLong {
        /// Its bytes.
        found: usize,
        /// The chain's limit.
        most: usize,
    },
    /// The weights could not be encrypted.
    #[error("the weights cannot be committed: {0}")]
    Timelock(#[from] grail_beacon::timelock::TimelockError),
    /// The last weights are too recent.
    #[error(
        "weights were set at block {last_update} and may be set again {rate_limit} blocks later: in {blocks_left} blocks"
    )]
    RateLimited {
        /// Block of the last weights.
        last_update: u64,
        /// Blocks between two of them.
        rate_limit: u64,
        /// Blocks to wait.
        blocks_left: u64,
    },
    /// Too many commitments wait for their reveal.
    #[error(
        "{waiting} commitments to weights wait for their reveal, as many as the chain takes in one epoch: another may be set in {blocks_left} blocks"
    )]
    TooManyUnrevealed {
        /// How many.
        waiting: usize,
        /// Blocks to wait.
        blocks_left: u64,
    },
    /// The subnet asks for newer software.
    #[error(
        "subnet {netuid} takes weights of version key {required} or higher, these have {given}: update this program"
    )]
    VersionKey {
        /// The subnet.
        netuid: u16,
        /// The subnet's.
        required: u64,
        /// This program's.
        given: u64,
    },
    /// Only validators with a permit may weigh others.
    #[error(
        "uid {uid} has no validator permit on subnet {netuid}: permits go to the hotkeys with the most stake, once per epoch ({tempo} blocks)"
    )]
    NoPermit {
        /// The hotkey's uid.
        uid: u16,
        /// The subnet.
        netuid: u16,
        /// Blocks of an epoch.
        tempo: u16,
    },
    /// Too little stake.
    #[error(
        "uid {uid} has a stake weight of {stake}, and setting weights takes {required}: more stake must be delegated to the hotkey"
    )]
    NotEnoughStake {
        /// The hotkey's uid.
        uid: u16,
        /// Its stake, in rao.
        stake: u64,
        /// The threshold, in rao.
        required: u64,
    },
    /// A uid that the subnet does not have.
    #[error("uid {uid} does not exist: the subnet has uids 0 to {}", neurons.saturating_sub(1))]
    UnknownUid {
        /// The uid.
        uid: u16,
        /// Number of neurons.
        neurons: usize,
    },
    /// The state for these checks could not be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The best block could not be read.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// They could not be submitted, or were refused.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

impl WeightsError {
    /// Whether submitting the same weights again later may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::TooManyUnrevealed { .. } => true,
            Self::State(e) => e.is_transient(),
            Self::Block(e) => e.is_transient(),
            Self::Submit(e) => e.is_transient(),
            _ => false,
        }
    }
}

/// What to tell the owner of a hotkey that has no uid.
pub(crate) fn not_registered(account: &AccountId, netuid: u16) -> String {
    let address = ss58::encode(account);
    format!(
        "hotkey {address} is not registered on subnet {netuid}; register it with the coldkey that will own it, for \
         example `btcli subnet register --netuid {netuid}`, and wait until that block is finalised"
    )
}
