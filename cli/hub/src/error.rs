//! What can go wrong, told apart as a user can act on it. Neither a token nor a signed address is in any of it.

use std::fmt;
use std::time::Duration;

/// Of what a server says, at most this many characters are shown.
const SAID_CHARS: usize = 200;

/// Why nothing, or not all, was added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// Nobody may write without one.
    #[error("no token: set HF_TOKEN, or log in with `hf auth login`")]
    NoToken,
    /// It cannot stand in a header.
    #[error("the token has characters that no token of the hub has")]
    OddToken,
    /// The address of the hub is no http or https address.
    #[error("{field}: expected an http or https address, found {found:?}")]
    Address {
        /// Where it came from.
        field: &'static str,
        /// The text.
        found: String,
    },
    /// 401.
    #[error("{doing}: {host} did not accept the token; it may have expired, or be of another hub{said}")]
    Unauthorized {
        /// What was being done.
        doing: String,
        /// Who answered.
        host: String,
        /// In its words.
        said: Said,
    },
    /// 403.
    #[error("{doing}: the token has no right to; it needs write access to the data set{said}")]
    Forbidden {
        /// What was being done.
        doing: String,
        /// In the server's words.
        said: Said,
    },
    /// There is no such data set, or it is private and another's: the hub does not tell which.
    #[error("{host} has no data set {dataset} that the token may see")]
    NoDataset {
        /// The hub.
        host: String,
        /// The data set.
        dataset: String,
    },
    /// It was given another name, which the hub tells readers and not writers.
    #[error("{dataset} has another name now{to}")]
    Moved {
        /// The data set.
        dataset: String,
        /// Its new name.
        to: Said,
    },
    /// The data set has no such branch.
    #[error("{dataset} has no branch {branch}")]
    NoBranch {
        /// The data set.
        dataset: String,
        /// The branch.
        branch: String,
    },
    /// A file of this name with other bytes.
    #[error("{dataset}: {path} is there already with other content, and is not replaced")]
    Exists {
        /// The data set.
        dataset: String,
        /// The file's path in it.
        path: String,
    },
    /// The data set's `.gitignore` names the file.
    #[error("{dataset}: its .gitignore excludes {path}")]
    Ignored {
        /// The data set.
        dataset: String,
        /// The file's path in it.
        path: String,
    },
    /// Every attempt at a commit found that another had been made meanwhile.
    #[error("{dataset}: other commits came first, {attempts} times; the files are stored, and a later call finds them")]
    Raced {
        /// The data set.
        dataset: String,
        /// Attempts that were made.
        attempts: u32,
    },
    /// 413.
    #[error("{doing}: too large for {host}{said}")]
    TooLarge {
        /// What was being done.
        doing: String,
        /// Who answered.
        host: String,
        /// In its words.
        said: Said,
    },
    /// 429, and again after waiting, or with a longer wait than anybody should sit through.
    #[error("{doing}: {host} takes no more requests for now, tried {attempts} times{}", wait_of(*wait))]
    RateLimited {
        /// What was being done.
        doing: String,
        /// Who answered.
        host: String,
        /// Attempts that were made.
        attempts: u32,
        /// What it asks to wait.
        wait: Option<Duration>,
    },
    /// 5xx, again and again.
    #[error("{doing}: {host} is in trouble, status {status}, tried {attempts} times{said}")]
    Server {
        /// What was being done.
        doing: String,
        /// Who answered.
        host: String,
        /// The last status.
        status: u16,
        /// Attempts that were made.
        attempts: u32,
        /// In its words.
        said: Said,
    },
    /// Another status that means no.
    #[error("{doing}: {host} answered with status {status}{said}")]
    Refused {
        /// What was being done.
        doing: String,
        /// Who answered.
        host: String,
        /// The status.
        status: u16,
        /// In its words.
        said: Said,
    },
    /// No connection, or it broke.
    #[error("{doing}: {host} cannot be reached, tried {attempts} times: {source}")]
    Unreachable {
        /// What was being done.
        doing: String,
        /// Who should have answered.
        host: String,
        /// Attempts that were made.
        attempts: u32,
        /// What happened to the last one.
        source: Box<ureq::Error>,
    },
    /// The answer is not what this program knows.
    #[error("{doing}: {host}: {field}: expected {expected}, found {found}")]
    Answer {
        /// What was being done.
        doing: String,
        /// Who answered.
        host: String,
        /// The field.
        field: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// The store has other bytes than were sent, again and again.
    #[error("{path}: the hub's store does not have the bytes that were sent, tried {attempts} times{said}")]
    Unconfirmed {
        /// The file's path in the data set.
        path: String,
        /// Attempts that were made.
        attempts: u32,
        /// In the server's words.
        said: Said,
    },
    /// What was read is not what the data set says of itself.
    #[error("{path}: damaged on its way: expected sha256 {expected}, found {found}")]
    Damaged {
        /// The file's path in the data set.
        path: String,
        /// In the data set's listing.
        expected: String,
        /// Of what arrived.
        found: String,
    },
}

/// Words of a server, cut short and without control characters; shown after a colon, or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said(String);

impl Said {
    pub(crate) fn new(text: &str) -> Self {
        let clean = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        let mut said: String = text.trim().chars().take(SAID_CHARS).map(clean).collect();
        if text.trim().chars().nth(SAID_CHARS).is_some() {
            said.push_str("...");
        }
        Self(said)
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", self.0),
        }
    }
}

fn wait_of(wait: Option<Duration>) -> String {
    wait.map_or_else(String::new, |wait| format!("; it asks to wait {} s", wait.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_words_are_short_and_move_no_cursor() {
        assert_eq!(Said::new(" no\x1b[2J\n").to_string(), ": no\u{fffd}[2J");
        assert_eq!(Said::new("").to_string(), "");
        let long = Said::new(&"ä".repeat(201)).to_string();
        assert_eq!(long, format!(": {}...", "ä".repeat(200)));
        assert_eq!(Said::new(&"ä".repeat(200)).to_string(), format!(": {}", "ä".repeat(200)));
    }
}
