//! What a person at a terminal gets beyond plain lines: colours, and a line that changes in place.
//!
//! Colours only where standard output is a terminal and `NO_COLOR` is not set. The changing line goes to standard
//! error, and where that is no terminal only its plain form is written.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::time::{Duration, Instant};

const REDRAW: Duration = Duration::from_millis(100);

/// What is over sooner needs no line.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether to colour.
#[derive(Debug, Clone, Copy)]
pub struct Paint(bool);

impl Paint {
    /// For standard output, as the environment wants it.
    #[must_use]
    pub fn stdout() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        Self(stdout().is_terminal() && !set("NO_COLOR") && !dumb)
    }

    fn wrap(self, code: &str, text: impl Display) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    /// Something to look at.
    #[must_use]
    pub fn bold(self, text: impl Display) -> String {
        self.wrap("1", text)
    }

    /// Something to overlook.
    #[must_use]
    pub fn dim(self, text: impl Display) -> String {
        self.wrap("2", text)
    }

    /// Good.
    #[must_use]
    pub fn green(self, text: impl Display) -> String {
        self.wrap("32", text)
    }

    /// Neither.
    #[must_use]
    pub fn yellow(self, text: impl Display) -> String {
        self.wrap("33", text)
    }

    /// Bad.
    #[must_use]
    pub fn red(self, text: impl Display) -> String {
        self.wrap("31", text)
    }
}

/// Text of strangers, without what would move a cursor or change a colour.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// One line about what is going on.
#[derive(Debug)]
pub struct StatusLine {
    live: bool,
    since: Option<Instant>,
    drawn: Option<Instant>,
}

impl StatusLine {
    /// On standard error.
    #[must_use]
    pub fn stderr() -> Self {
        Self { live: stderr().is_terminal(), since: None, drawn: None }
    }

    /// Redraws the line, a few times a second, from two seconds after the first call on; nothing where there is no
    /// terminal.
    pub fn show(&mut self, text: impl FnOnce() -> String) {
        let since = *self.since.get_or_insert_with(Instant::now);
        if self.live && since.elapsed() >= PATIENCE && self.drawn.is_none_or(|at| at.elapsed() >= REDRAW) {
            // A broken standard error is no reason to stop.
            let _ = write!(stderr(), "\r\x1b[K{}", text());
            self.drawn = Some(Instant::now());
        }
    }

    /// Takes the line away and writes a plain one instead.
    pub fn note(&mut self, text: &str) {
        self.clear();
        let _ = writeln!(stderr(), "{text}");
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A size for people: `5.1 MB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    let b = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", b / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", b / 1e6),
        _ => format!("{:.2} GB", b / 1e9),
    }
}

/// A count for people: `2.6 M`.
#[must_use]
pub fn count(n: u64) -> String {
    match n {
        0..1_000_000 => n.to_string(),
        1_000_000..1_000_000_000 => format!("{:.1} M", n as f64 / 1e6),
        _ => format!("{:.2} G", n as f64 / 1e9),
    }
}
