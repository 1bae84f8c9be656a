//! Flags for whoever watches a program that runs for months.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::DurationText;

/// For whoever watches a miner or a validator.
#[derive(Debug, Args)]
pub struct MonitorFlags {
    /// Also appends what happens to a file, one JSON object a line; one that cannot be written stops nothing
    #[arg(long, value_name = "FILE", env = "GRAIL_EVENTS")]
    pub events: Option<PathBuf>,
    /// Serves metrics for Prometheus at this address, such as 127.0.0.1:9100, as /metrics
    #[arg(long, value_name = "ADDR", env = "GRAIL_METRICS_ADDR")]
    pub metrics_addr: Option<SocketAddr>,
    /// Ends the program with exit code 4 if it makes no progress for this long, so that it can be started again; or off
    #[arg(long, value_name = "TIME", env = "GRAIL_WATCHDOG", default_value = "10m")]
    pub watchdog: WatchdogTime,
}

/// The time after which a program hangs, if that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchdogTime(pub Option<Duration>);

impl FromStr for WatchdogTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let time = text.parse::<DurationText>().map_err(|error| format!("{error}; or off"))?.0;
        // What takes longer than a moment would be a hang, otherwise.
        match time >= Duration::from_secs(1) {
            true => Ok(Self(Some(time))),
            false => Err(format!("{text:?}: expected at least 1s; or off")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_has_a_time_or_is_off() {
        assert_eq!("off".parse(), Ok(WatchdogTime(None)));
        assert_eq!("10m".parse(), Ok(WatchdogTime(Some(Duration::from_secs(600)))));
        for text in ["0", "0s", "999ms", "Off", ""] {
            assert!(text.parse::<WatchdogTime>().is_err_and(|e| e.contains("or off")), "{text}");
        }
    }
}
