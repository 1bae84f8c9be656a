//! What a miner and a validator share: a network's parameters with one client each for its chain, its beacon and its
//! buckets, and how they wait for what is away.
//!
//! The clients are the real ones on every network. Where nothing is configured, `local` starts servers of the same
//! protocols on loopback, or finds those that run.

mod bucket;
mod event;
mod heads;
mod join;
pub mod local;
mod patience;
mod stop;
mod window;

use grail_beacon::client::Client;
use grail_chain::Chain;
use grail_store::Endpoint;

use crate::network::NetworkFile;
pub use bucket::OwnBucket;
pub use event::{Event, Events, Judged, WindowWork};
pub use heads::{Heads, Seen};
pub use join::{
    Joined, ModelIdentity, clients, join, local_chain, local_store, remote_beacon, remote_chain, remote_network, settle,
};
pub use patience::{Ended, Patience, Retry};
pub use stop::{Stop, Stopper};
pub use window::{HeadError, file_key, head_of, records_key, rollouts_key, window_of};

/// A network with its clients.
#[derive(Clone)]
pub struct Subnet {
    /// What all parties agree on.
    pub network: NetworkFile,
    /// The chain.
    pub chain: Chain,
    /// The beacon.
    pub beacon: Client,
    /// Where credentials that others published are used.
    pub buckets: Endpoint,
    /// The newest finalised block.
    pub heads: Heads,
    /// How to wait.
    pub patience: Patience,
}
