//! A program that runs for months, as a service: what it tells whoever started it, and how it ends when it hangs.

use std::time::Duration;

use anyhow::{Context, Result};
use sd_notify::NotifyState;

use super::HUNG;
use crate::flags::MonitorFlags;
use crate::subnet::{Hung, Watchdog, Watching, end};

/// Looks in one timeout.
const LOOKS: u32 = 3;

/// From now on the program is up, and is watched: if a part of it hangs, the process ends with an exit code of its own.
/// A service manager that asked for it hears after every good look that all is well. Until what is returned is dropped.
///
/// # Errors
/// The system's, if it gives no thread.
pub fn watched(flags: &MonitorFlags, watchdog: &Watchdog) -> Result<Option<Watching>> {
    tell(&[NotifyState::Ready]);
    let (timeout, asked) = (flags.watchdog.0, sd_notify::watchdog_enabled());
    let own = timeout.map(|timeout| timeout / LOOKS);
    // With half of its patience left, as its manual has it.
    let Some(every) = own.into_iter().chain(asked.map(|asked| asked / 2)).min() else {
        return Ok(None);
    };
    let well = move || {
        if asked.is_some() {
            tell(&[NotifyState::Watchdog]);
        }
    };
    let watching = watchdog.watch(every, timeout.unwrap_or(Duration::MAX), well, hung);
    Ok(Some(watching.context("a thread for the watchdog")?))
}

/// The program is ending.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn hung(hung: &Hung) {
    end(HUNG.into(), || {
        tell(&[NotifyState::Stopping]);
        eprintln!("grail: {hung}; ending, as a restart may help (--watchdog)");
    })
}

/// Nothing, where nobody asked to be told.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
