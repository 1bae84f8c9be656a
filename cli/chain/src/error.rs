//! One error type per operation; each tells trouble on the way, which waiting may cure, from an answer.

use std::time::Duration;

use grail_protocol::{AccountId, ss58};

use crate::weights::ConformError;

/// No endpoint could be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The list of endpoints is empty.
    #[error("no chain endpoint is given")]
    NoEndpoint,
    /// An endpoint is not a WebSocket address.
    #[error("chain endpoint {url}: expected ws:// or wss:// and a host")]
    BadEndpoint {
        /// As given.
        url: String,
    },
    /// Every endpoint failed.
    #[error("no chain endpoint can be used: {}", listed(failures))]
    Unreachable {
        /// Each endpoint with its trouble, in the order tried.
        failures: Vec<EndpointFailure>,
    },
}

/// Why one endpoint could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointFailure {
    /// Nothing answered, or not in time, or not as a Substrate node does.
    #[error("{url}: {problem}")]
    Away {
        /// The endpoint.
        url: String,
        /// What the transport said.
        problem: String,
    },
    /// It is a node of another chain.
    #[error(
        "{url} is a node of another chain: its genesis is 0x{}, expected 0x{}",
        hex::encode(found),
        hex::encode(expected)
    )]
    WrongGenesis {
        /// The endpoint.
        url: String,
        /// The genesis hash configured, or that of the first endpoint reached.
        expected: [u8; 32],
        /// The endpoint's.
        found: [u8; 32],
    },
}

fn listed(failures: &[EndpointFailure]) -> String {
    failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl ConnectError {
    /// Whether waiting may help: some endpoint is merely away.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { failures } => failures.iter().any(|f| matches!(f, EndpointFailure::Away { .. })),
            Self::NoEndpoint | Self::BadEndpoint { .. } => false,
        }
    }
}

/// A node did not give what was asked of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// No node could be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection failed.
    #[error("chain endpoint {url}: {problem}")]
    Transport {
        /// The endpoint.
        url: String,
        /// What the transport said.
        problem: String,
    },
    /// No answer in time.
    #[error("chain endpoint {url}: no answer within {} s", limit.as_secs_f64())]
    Timeout {
        /// The endpoint.
        url: String,
        /// The limit.
        limit: Duration,
    },
    /// The node does not have the state of a block: it is pruned, or the block is unknown to it.
    #[error("chain endpoint {url} does not have the state of that block ({problem}); an archive endpoint has it")]
    StateUnavailable {
        /// The endpoint.
        url: String,
        /// What the node said.
        problem: String,
    },
    /// The node answered with an error.
    #[error("chain endpoint {url} answered with error {code}: {message}")]
    Refused {
        /// The endpoint.
        url: String,
        /// JSON-RPC code.
        code: i32,
        /// The node's message, and its data where there is some.
        message: String,
    },
    /// The node has trouble of its own: a disk, a database, too much to do.
    #[error("chain endpoint {url} cannot answer now: error {code}: {message}")]
    Trouble {
        /// The endpoint.
        url: String,
        /// JSON-RPC code.
        code: i32,
        /// The node's message, and its data where there is some.
        message: String,
    },
    /// What the node serves is not what this client can use: an entry is missing from its metadata, or a value has
    /// another type.
    #[error("chain endpoint {url}: {problem}")]
    Unexpected {
        /// The endpoint.
        url: String,
        /// What was missing or could not be decoded.
        problem: String,
    },
}

impl NodeError {
    /// Whether waiting, or another endpoint, may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect(e) => e.is_transient(),
            Self::Transport { .. } | Self::Timeout { .. } | Self::Trouble { .. } => true,
            Self::StateUnavailable { .. } | Self::Refused { .. } | Self::Unexpected { .. } => false,
        }
    }
}

/// A block could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// A node did not give it.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The block is not finalised yet.
    #[error("block {number} is not finalised yet: the finalised head is {head}")]
    NotFinalised {
        /// The block asked for.
        number: u64,
        /// The finalised head.
        head: u64,
    },
    /// A header does not belong to its hash, or a block does not continue the one before it: an endpoint serves
    /// another history.
    #[error("chain endpoint {url} serves another history at block {number}: {problem}")]
    Conflict {
        /// The endpoint.
        url: String,
        /// The block.
        number: u64,
        /// What does not agree.
        problem: String,
    },
}

impl BlockError {
    /// Whether waiting may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Node(e) => e.is_transient(),
            Self::NotFinalised { .. } => true,
            Self::Conflict { .. } => false,
        }
    }

    /// Whether the node no longer has, or never had, the block's state.
    #[must_use]
    pub fn is_state_unavailable(&self) -> bool {
        matches!(self, Self::Node(NodeError::StateUnavailable { .. }))
    }
}

/// The state of a block could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// A node did not give it.
    #[error("{what} at block {block}: {source}")]
    Node {
        /// What was read.
        what: &'static str,
        /// At which block.
        block: u64,
        /// Why not.
        source: NodeError,
    },
    /// The subnet does not exist at that block.
    #[error("subnet {netuid} does not exist at block {block}")]
    NoSubnet {
        /// The subnet.
        netuid: u16,
        /// The block.
        block: u64,
    },
    /// The lists of a metagraph do not belong together.
    #[error("the metagraph at block {block} has {found} entries in {list}, {expected} in hotkeys")]
    Ragged {
        /// The block.
        block: u64,
        /// The list.
        list: &'static str,
        /// Its length.
        found: usize,
        /// The number of hotkeys.
        expected: usize,
    },
}

impl StateError {
    /// Whether waiting may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Node { source, .. } if source.is_transient())
    }

    /// Whether the node no longer has, or never had, the block's state.
    #[must_use]
    pub fn is_state_unavailable(&self) -> bool {
        matches!(self, Self::Node { source: NodeError::StateUnavailable { .. }, .. })
    }
}

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
