//! One error type per operation; each tells trouble on the way, which waiting may cure, from an answer.

mod sent;

use std::time::Duration;

pub(crate) use sent::not_registered;
pub use sent::{CommitmentError, SubmitError, WeightsError};

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
