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
mod watchdog;
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
pub use watchdog::{Hung, Part, Watchdog, Watching, end};
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
    /// Knows whoever has to get on.
    pub watchdog: Watchdog,
}

impl Subnet {
    /// Clients of a network, which nobody watches as yet.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    #[must_use]
    pub fn new(network: NetworkFile, chain: Chain, beacon: Client, buckets: Endpoint) -> Self {
        let watchdog = Watchdog::default();
        let heads = Heads::follow(&chain, watchdog.part("following the chain"));
        let patience = Patience::of_block_time(chain.settings().block_time);
        Self { network, chain, beacon, buckets, heads, patience, watchdog }
    }

    /// The same for a part of the program that has to get on.
    #[must_use]
    pub fn as_part(&self, name: &str) -> Self {
        let patience = self.patience.clone().of(self.watchdog.part(name), self.chain.longest_call());
        Self { patience, ..self.clone() }
    }

    /// The part of the program that this is for.
    #[must_use]
    pub fn part(&self) -> &Part {
        self.patience.part()
    }

    /// Waits until the finalised head has reached a block; none if told to stop.
    pub async fn reach(&self, number: u64, stop: &Stop) -> Option<Seen> {
        self.part().waiting(self.heads.reach(number, stop)).await
    }
}
