//! What goes wrong between us and the relays.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::time::Duration;

use grail_protocol::Hash;

use crate::{BeaconError, ChainError};

/// Why there is no round, or no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody to ask.
    #[error("beacon: no relays are configured")]
    NoRelays,
    /// An address that is none of a relay.
    #[error(
        "beacon: relay {relay:?}: {problem}; expected http://host or https://host, with a port or a path if need be"
    )]
    BadRelay {
        /// As configured.
        relay: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The HTTP client cannot be made.
    #[error("beacon: HTTP client: {0}")]
    Setup(#[source] reqwest::Error),
    /// Round 0, or one whose time is beyond the milliseconds of 64 bits.
    #[error("beacon: round {round} does not exist")]
    NoSuchRound {
        /// The round.
        round: u64,
    },
    /// The round's time has not come, or it came just now and no relay has it yet.
    #[error("beacon: round {round} is not out yet, ask again in {:.1} s", wait.as_secs_f64())]
    TooEarly {
        /// The round.
        round: u64,
        /// When to ask again.
        wait: Duration,
        /// What relays said, empty if none was asked.
        failures: Vec<RelayFailure>,
    },
    /// Every relay failed.
    #[error("beacon: no relay gave {wanted}: {}", list(failures))]
    AllFailed {
        /// What was asked for.
        wanted: String,
        /// One or two for each relay, in the order in which they were asked.
        failures: Vec<RelayFailure>,
    },
}

/// How one request to a relay failed.
#[derive(Debug, thiserror::Error)]
#[error("{relay}/{path}: {problem}")]
pub struct RelayFailure {
    /// Address of the relay.
    pub relay: String,
    /// What was asked for.
    pub path: String,
    /// What happened.
    #[source]
    pub problem: Problem,
}

/// What happened to a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// No connection, or it broke before the answer's end.
    #[error("unreachable: {}", chain_of(.0))]
    Unreachable(#[source] reqwest::Error),
    /// No whole answer in time.
    #[error("no answer in {:.1} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// 404 or 425: what is asked for is not there, or not yet.
    #[error("status {0}: not there, or not yet")]
    NotYet(u16),
    /// Another status than 200.
    #[error("status {0}")]
    Status(u16),
    /// More bytes than any answer has.
    #[error("an answer of more than {cap} bytes")]
    TooLong {
        /// The limit.
        cap: usize,
    },
    /// No JSON, or not with the fields it should have.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Another round than asked for.
    #[error("round {found} where {asked} was asked for")]
    WrongRound {
        /// In the request.
        asked: u64,
        /// In the answer.
        found: u64,
    },
    /// A signature that does not verify.
    #[error("{0}")]
    Signature(#[from] BeaconError),
    /// Stated randomness that is not the hash of the signature.
    #[error("randomness {} is not that of the signature", hex::encode(.0))]
    WrongRandomness(Hash),
    /// A description that is none of a chain.
    #[error("{0}")]
    Chain(#[from] ChainError),
    /// A description of another chain.
    #[error("a description of chain {}", hex::encode(.0))]
    OtherChain(Hash),
}

impl Problem {
    /// Whether the relay says that it does not have it.
    #[must_use]
    pub fn is_not_yet(&self) -> bool {
        matches!(self, Self::NotYet(_))
    }

    /// Whether the other version of the interface is worth a request: the relay is there, and speaks something else.
    pub(super) fn leaves_the_other_version(&self) -> bool {
        matches!(self, Self::NotYet(_) | Self::Status(_) | Self::Malformed(_))
    }
}

impl From<grail_protocol::Error> for Problem {
    fn from(error: grail_protocol::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

fn list(failures: &[RelayFailure]) -> String {
    failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// An error with its causes: those of an HTTP client say nothing without them.
fn chain_of(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
