//! What was found.

use serde::Serialize;

/// The checks, in their order.
pub const CHECKS: [&str; 14] = [
    "wallet",
    "model",
    "device",
    "disk",
    "parameters",
    "model digest",
    "chain",
    "clock",
    "registration",
    "beacon",
    "bucket write",
    "bucket read",
    "bucket list",
    "read key",
];

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should.
    Ok,
    /// Something has to be done.
    Failed,
    /// Something before it failed.
    Skipped,
}

impl Status {
    /// In a table.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// One of [`CHECKS`].
    pub check: &'static str,
    /// How it ended.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What to do about a failure.
    pub advice: Option<String>,
}

/// All checks so far.
#[derive(Debug, Clone, Default)]
pub struct Report {
    checks: Vec<Check>,
    hidden: Vec<(String, String)>,
}

impl Report {
    /// From now on a text is shown as another.
    pub fn hide(&mut self, secret: &str, shown: String) {
        if !secret.is_empty() && secret != shown {
            self.hidden.push((secret.to_owned(), shown));
        }
    }

    fn add(&mut self, check: &'static str, status: Status, found: String, advice: Option<String>) {
        let found = self.hidden.iter().fold(found, |text, (secret, shown)| text.replace(secret, shown));
        self.checks.push(Check { check, status, found: found.replace('\n', " "), advice });
    }

    /// A check that went well.
    pub fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(check, Status::Ok, found.into(), None);
    }

    /// One that did not, with what to do.
    pub fn failed(&mut self, check: &'static str, found: impl Into<String>, advice: impl Into<String>) {
        self.add(check, Status::Failed, found.into(), Some(advice.into()));
    }

    /// One that could not be made because of another.
    pub fn skipped(&mut self, check: &'static str, because_of: &str) {
        self.add(check, Status::Skipped, format!("not looked at: it needs {because_of}"), None);
    }

    /// In order.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The check of a name.
    #[must_use]
    pub fn check(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.check == name)
    }

    /// Whether every check was made and went well.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let went_well = |name: &&str| self.check(name).is_some_and(|check| check.status == Status::Ok);
        CHECKS.iter().all(went_well)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_report_with_every_check_well_is_whole() {
        let mut report = Report::default();
        CHECKS[1..].iter().for_each(|&check| report.ok(check, ""));
        assert!(!report.is_whole(), "a check was forgotten");
        let mut whole = report.clone();
        whole.ok(CHECKS[0], "");
        assert!(whole.is_whole());
        let mut failed = report.clone();
        failed.failed(CHECKS[0], "", "");
        report.skipped(CHECKS[0], "another");
        assert!(!failed.is_whole() && !report.is_whole());
    }

    #[test]
    fn what_is_hidden_is_not_shown() {
        let mut report = Report::default();
        report.hide("wss://h/key", "wss://h".to_owned());
        report.failed("chain", "wss://h/key: away", "");
        assert_eq!(report.check("chain").unwrap().found, "wss://h: away");
    }
}
