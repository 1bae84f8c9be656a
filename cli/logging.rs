//! What the program tells about its work: lines on standard error, for people or for machines.
//!
//! Results go to standard output and are no logs; neither is the one line of an error that ends a command.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// How much is told. Other crates are one step more silent than this program's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Errors only.
    Error,
    /// What somebody should look at.
    Warn,
    /// What happens.
    Info,
    /// Details.
    Debug,
    /// Everything.
    Trace,
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text, coloured at a terminal.
    Human,
    /// One JSON object.
    Json,
}

impl Level {
    /// What `--quiet` and so many `--verbose` ask for, where a command tells `usual` without them.
    #[must_use]
    pub fn asked(quiet: bool, verbose: u8, usual: Level) -> Self {
        match (quiet, verbose) {
            (true, _) => Self::Error,
            (false, 0) => usual,
            (false, 1) => Self::Info.max(usual),
            (false, 2) => Self::Debug,
            (false, _) => Self::Trace,
        }
    }

    /// Crates of this program begin with its name.
    fn filter(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "warn,grail=info",
            Self::Debug => "info,grail=debug",
            Self::Trace => "debug,grail=trace",
        }
    }
}

/// Begins to log, with times in UTC. `RUST_LOG`, where it is set and not empty, decides instead of `level`.
///
/// Without effect where this process logs already.
///
/// # Errors
/// In words: `RUST_LOG` is no filter.
pub fn init(level: Level, format: Format) -> Result<(), String> {
    let filter = filter(std::env::var_os("RUST_LOG").as_deref(), level)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(colours());
    // An error means that somebody else listens already, such as a program that has this one inside.
    let _ = match format {
        Format::Human => lines.try_init(),
        Format::Json => lines.json().flatten_event(true).with_ansi(false).try_init(),
    };
    Ok(())
}

fn filter(variable: Option<&std::ffi::OsStr>, level: Level) -> Result<EnvFilter, String> {
    let told = |problem: String| format!("RUST_LOG: {problem}; expected for example info, or warn,grail=debug");
    let text = match variable.filter(|text| !text.is_empty()) {
        Some(text) => text.to_str().ok_or_else(|| told("is no UTF-8 text".to_owned()))?,
        None => level.filter(),
    };
    EnvFilter::builder().parse(text).map_err(|e| told(e.to_string()))
}

fn colours() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
    stderr().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_ask_for_a_level_and_more_is_never_less() {
        assert_eq!(Level::asked(false, 0, Level::Warn), Level::Warn);
        assert_eq!(Level::asked(false, 1, Level::Warn), Level::Info);
        assert_eq!(Level::asked(false, 1, Level::Debug), Level::Debug);
        assert_eq!(Level::asked(false, 2, Level::Info), Level::Debug);
        assert_eq!(Level::asked(false, 9, Level::Info), Level::Trace);
        assert_eq!(Level::asked(true, 0, Level::Info), Level::Error);
    }

    #[test]
    fn the_variable_decides_unless_it_is_empty_and_must_be_a_filter() {
        let text = |variable: &str| filter(Some(variable.as_ref()), Level::Info).map(|f| f.to_string());
        assert_eq!(text("trace"), Ok("trace".to_owned()));
        assert!(text("").unwrap().contains("grail=info"));
        assert!(text("grail=loud").unwrap_err().starts_with("RUST_LOG: "));
        for level in [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace] {
            assert!(filter(None, level).is_ok(), "{level:?}");
        }
    }
}
