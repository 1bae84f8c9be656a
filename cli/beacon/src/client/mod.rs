//! Rounds from drand's relays (DESIGN 4.2; PROTOCOL 9.2).
//!
//! Relays are asked one after another, from a random one on so that all share the load; each by version 2 of the
//! interface, then by version 1 if it does not speak the other. The first answer that verifies is taken, so a relay
//! can withhold a round but not forge one. When none has it the error says which relay failed how; nothing is made up
//! in its place, and trying again is the caller's business.

mod answer;
mod error;
mod relay;

use std::time::Duration;

use grail_protocol::Hash;

use crate::{ChainInfo, Clock};
pub use error::{ClientError, Problem, RelayFailure};
use relay::Relays;

/// Relays of drand's public chains.
pub const PUBLIC_RELAYS: [&str; 5] = [
    "https://api.drand.sh",
    "https://api2.drand.sh",
    "https://api3.drand.sh",
    "https://drand.cloudflare.com",
    "https://api.drand.secureweb3.com:6875",
];

/// For so long after its time a round that relays do not have yet is early, not missing: they lag, clocks differ.
const LAG: Duration = Duration::from_secs(30);

/// How relays are asked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For a connection to a relay.
    pub connect_timeout: Duration,
    /// For a whole request to a relay, the connection included.
    pub request_timeout: Duration,
    /// Longest answer that is read.
    pub max_answer_bytes: usize,
    /// Begin with a random relay instead of the first.
    pub random_start: bool,
    /// Says whether a round's time has come.
    pub clock: Clock,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_millis(1500),
            request_timeout: Duration::from_millis(3500),
            max_answer_bytes: 64 << 10,
            random_start: true,
            clock: Clock::steady(),
        }
    }
}

/// A verified round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beacon {
    /// Its number, from 1.
    pub round: u64,
    /// The chain's signature, compressed.
    pub signature: Vec<u8>,
    /// SHA-256 of the signature.
    pub randomness: Hash,
}

/// Asks relays for rounds of one chain.
#[derive(Debug, Clone)]
pub struct Client {
    info: ChainInfo,
    relays: Relays,
}

impl Client {
    /// A client of a chain that is known already.
    ///
    /// # Errors
    /// [`ClientError::NoRelays`], [`ClientError::BadRelay`] or [`ClientError::Setup`]; nothing is asked yet.
    pub fn new<S: AsRef<str>>(info: ChainInfo, relays: &[S], settings: Settings) -> Result<Self, ClientError> {
        Ok(Self { info, relays: Relays::new(relays, settings)? })
    }

    /// A client of a chain of which only the hash is known, from the first relay that describes it.
    ///
    /// # Errors
    /// As [`Client::new`] and [`Client::info`].
    pub async fn discover<S: AsRef<str>>(hash: &Hash, relays: &[S], settings: Settings) -> Result<Self, ClientError> {
        let relays = Relays::new(relays, settings)?;
        let info = describe(&relays, hash).await?;
        Ok(Self { info, relays })
    }

    /// The chain.
    #[must_use]
    pub fn chain(&self) -> &ChainInfo {
        &self.info
    }

    /// A relay's description of the chain, which hashes to the chain's hash: at least one relay serves it.
    ///
    /// # Errors
    /// [`ClientError::AllFailed`].
    pub async fn info(&self) -> Result<ChainInfo, ClientError> {
        describe(&self.relays, self.info.hash()).await
    }

    /// A round whose time has come, verified.
    ///
    /// # Errors
    /// [`ClientError::NoSuchRound`], [`ClientError::TooEarly`] with the time to wait, [`ClientError::AllFailed`].
    pub async fn round(&self, round: u64) -> Result<Beacon, ClientError> {
        let schedule = self.info.schedule();
        let due = schedule.time_of_round(round).ok_or(ClientError::NoSuchRound { round })?;
        let now = self.relays.settings.clock.now_ms();
        if now < due {
            let wait = Duration::from_millis(due - now);
            return Err(ClientError::TooEarly { round, wait, failures: Vec::new() });
        }
        let hash = hex::encode(self.info.hash());
        let paths = [format!("v2/chains/{hash}/rounds/{round}"), format!("{hash}/public/{round}")];
        let read = |text: &str| answer::round(&self.info, round, text);
        let failures = match self.relays.first(&paths, read).await {
            Ok(beacon) => return Ok(beacon),
            Err(failures) => failures,
        };
        let lagging = failures.iter().any(|failure| failure.problem.is_not_yet());
        if lagging && Duration::from_millis(now - due) < LAG {
            let period = Duration::from_secs(self.info.parts().period.into());
            return Err(ClientError::TooEarly { round, wait: period.min(Duration::from_secs(1)), failures });
        }
        Err(ClientError::AllFailed { wanted: format!("round {round} of chain {hash}"), failures })
    }
}

async fn describe(relays: &Relays, hash: &Hash) -> Result<ChainInfo, ClientError> {
    let text = hex::encode(hash);
    let paths = [format!("v2/chains/{text}/info"), format!("{text}/info")];
    let found = relays.first(&paths, |answer| answer::info(hash, answer)).await;
    found.map_err(|failures| ClientError::AllFailed { wanted: format!("the description of chain {text}"), failures })
}
