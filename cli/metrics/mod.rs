//! Metrics for Prometheus, of the same events that the file of events has: a scraper asks, nobody who works waits.
//!
//! Telling an event changes numbers in memory under a lock that is otherwise held for a copy of them. The text is made,
//! and clients are waited for, on threads of their own.

mod board;
mod families;
mod record;
mod server;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::subnet::{Event, Events};

pub use board::{Board, Family, Kind};
pub use families::{MINING, VALIDATION};
pub use server::Server;

use record::{Moment, Record};

/// Numbers that follow from a miner's or a validator's events.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Mutex<Record>>);

impl Metrics {
    /// Of a miner.
    #[must_use]
    pub fn of_miner() -> Self {
        Self(Arc::new(Mutex::new(Record::of_miner())))
    }

    /// Of a validator, on a network with so many rollouts to a group, that sets weights every so many blocks.
    #[must_use]
    pub fn of_validator(rollouts_per_problem: u64, weights_interval: u64) -> Self {
        Self(Arc::new(Mutex::new(Record::of_validator(rollouts_per_problem, weights_interval))))
    }

    /// Takes an event.
    pub fn tell(&self, event: &Event) {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = Moment { clock: Instant::now(), unix };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).tell(event, at);
    }

    /// The page that a scraper reads.
    #[must_use]
    pub fn text(&self) -> String {
        let board = self.0.lock().unwrap_or_else(PoisonError::into_inner).board().clone();
        board.text()
    }
}

/// Takes the address, if there is one; early, so that one in use is told before anything else is done.
///
/// # Errors
/// An address that is in use, or not this machine's.
pub fn listen(address: Option<SocketAddr>) -> Result<Option<TcpListener>> {
    let listen = |address| TcpListener::bind(address).with_context(|| format!("--metrics-addr {address}"));
    address.map(listen).transpose()
}

/// Events that are also counted for whoever scrapes, if there is a listener.
///
/// # Errors
/// The system's, if it gives no thread.
pub fn with_metrics(events: Events, listener: Option<TcpListener>, metrics: Metrics) -> io::Result<Events> {
    let Some(listener) = listener else {
        return Ok(events);
    };
    let page = metrics.clone();
    let server = Server::start(listener, move || page.text())?;
    tracing::info!(address = %server.address(), "metrics are served as /metrics");
    Ok(Events::to(move |event| {
        // As long as events are told, the page is served.
        let _serving = &server;
        metrics.tell(&event);
        events.tell(event);
    }))
}

#[cfg(test)]
mod tests;
