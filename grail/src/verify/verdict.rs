//! What a verifier says, and why.

use std::fmt;

/// What becomes of a miner's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It counts.
    Valid,
    /// It counts zero, nothing else.
    Void,
    /// It counts zero, and so does the miner while the window is among the last.
    Fraud,
    /// The validator could not tell, by trouble of its own. Never a punishment.
    NoVerdict,
}

impl Outcome {
    /// The word used in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Void => "void",
            Self::Fraud => "fraud",
            Self::NoVerdict => "no verdict",
        }
    }
}

/// Why a file does not count, in the order the rules are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReasonKind {
    /// The miner put no root for the window on chain.
    NoRoot,
    /// The file came too late.
    Late,
    /// The file could not be fetched, or is not the one of the root.
    Unreadable,
    /// A size, a depth or a count is over its cap.
    OverCap,
    /// The file is not of the format.
    Malformed,
    /// The file is of another network.
    WrongNetwork,
    /// The file or an entry is of another window or other randomness.
    WrongRandomness,
    /// The file or an entry is another hotkey's.
    WrongHotkey,
    /// Groups are not numbered 0, 1, 2, ...
    IndexGap,
    /// A group has not exactly its rollouts, in order.
    GroupIncomplete,
    /// A proof names another model.
    WrongModel,
    /// A signature is not the hotkey's over what had to be signed.
    BadSignature,
    /// A problem is not the one assigned.
    ProblemMismatch,
    /// Tokens of the prompt are not the problem's.
    PromptMismatch,
    /// A completion ends where it must not, or lengths are misstated.
    BadLength,
    /// A sketch is more than the tolerance away from the model's.
    SketchMismatch,
    /// A sketch is not the model's, though close.
    SketchInexact,
    /// A token is not the one an honest sampler had to emit.
    ReplayMismatch,
    /// A log-probability is not the model's.
    LogprobMismatch,
    /// A reward, or what it follows from, is misstated.
    RewardMismatch,
    /// An advantage is misstated.
    AdvantageMismatch,
}

impl ReasonKind {
    /// Every kind, in the order of the rules.
    pub const ALL: [Self; 21] = [
        Self::NoRoot,
        Self::Late,
        Self::Unreadable,
        Self::OverCap,
        Self::Malformed,
        Self::WrongNetwork,
        Self::WrongRandomness,
        Self::WrongHotkey,
        Self::IndexGap,
        Self::GroupIncomplete,
        Self::WrongModel,
        Self::BadSignature,
        Self::ProblemMismatch,
        Self::PromptMismatch,
        Self::BadLength,
        Self::SketchMismatch,
        Self::SketchInexact,
        Self::ReplayMismatch,
        Self::LogprobMismatch,
        Self::RewardMismatch,
        Self::AdvantageMismatch,
    ];

    /// What a file with this reason is. Fraud is a signed lie; everything else may be an accident.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        if self >= Self::ProblemMismatch { Outcome::Fraud } else { Outcome::Void }
    }
}

impl fmt::Display for ReasonKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The names of the record are the names of the variants.
        fmt::Debug::fmt(self, f)
    }
}

/// One thing found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Which rule it breaks.
    pub kind: ReasonKind,
    /// Place in the file's list of rollouts; none where the rule is about the file.
    pub rollout: Option<usize>,
    /// Position in the rollout's tokens; none where the rule has none.
    pub position: Option<usize>,
    /// What was compared, by the format's name of it.
    pub field: String,
    /// What it had to be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

impl Reason {
    /// A reason about a whole file.
    #[must_use]
    pub fn of_file(kind: ReasonKind, field: &str, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        let (expected, found) = (excerpt(&expected.to_string()), excerpt(&found.to_string()));
        Self { kind, rollout: None, position: None, field: field.to_owned(), expected, found }
    }

    /// The same about one rollout.
    #[must_use]
    pub fn at(mut self, rollout: usize, position: Option<usize>) -> Self {
        (self.rollout, self.position) = (Some(rollout), position);
        self
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(rollout) = self.rollout {
            write!(f, ", rollout {rollout}")?;
        }
        if let Some(position) = self.position {
            write!(f, ", position {position}")?;
        }
        write!(f, ": {} is {}, expected {}", self.field, self.found, self.expected)
    }
}

/// Keeps a hostile text from filling a record, and from talking to the terminal of whoever reads it.
fn excerpt(text: &str) -> String {
    const MOST: usize = 160;
    let mut characters = text.chars();
    let shown = characters.by_ref().take(MOST).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
    let mut short: String = shown.collect();
    if characters.next().is_some() {
        short.push_str("...");
    }
    short
}

/// What was found of one rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutVerdict {
    /// Every rule was asked, not only the cheap ones.
    pub is_checked: bool,
    /// The first rule it breaks.
    pub reason: Option<Reason>,
    /// Derived: whether it solved its problem, and its reward; none where that could not be derived.
    pub reward: Option<(bool, f64)>,
}

/// What a verifier says of a window file.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What becomes of it.
    pub outcome: Outcome,
    /// The reason that decided; none for a valid file.
    pub reason: Option<Reason>,
    /// Groups in the file.
    pub groups: usize,
    /// Places of the groups that were checked in full, ascending.
    pub checked: Vec<usize>,
    /// Checked rollouts that solved their problem; 0 unless valid.
    pub successful: usize,
    /// Those distinct by (index, answer); 0 unless valid.
    pub distinct: usize,
    /// Per rollout of the file, as far as the verifier came.
    pub rollouts: Vec<RolloutVerdict>,
}

impl Verdict {
    /// The verdict on a file that was refused before its rollouts were looked at.
    #[must_use]
    pub fn refused(reason: Reason) -> Self {
        Self { outcome: reason.kind.outcome(), reason: Some(reason), ..Self::no_verdict() }
    }

    /// No verdict: the validator's own trouble.
    #[must_use]
    pub fn no_verdict() -> Self {
        Self {
            outcome: Outcome::NoVerdict,
            reason: None,
            groups: 0,
            checked: Vec::new(),
            successful: 0,
            distinct: 0,
            rollouts: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_says_neither_fills_a_reason_nor_reaches_the_terminal() {
        let hostile = format!("\u{1b}[2J{}\n", "x".repeat(1000));
        let reason = Reason::of_file(ReasonKind::WrongHotkey, "wallet", "5H", hostile);
        assert!(reason.found.chars().count() == 163 && reason.found.ends_with("..."));
        assert!(!reason.to_string().contains(char::is_control));
        let exact = Reason::of_file(ReasonKind::WrongHotkey, "wallet", "5H", "x".repeat(160));
        assert_eq!(exact.found, "x".repeat(160));
    }

    #[test]
    fn only_a_signed_lie_is_fraud_and_the_order_of_kinds_is_that_of_the_rules() {
        let fraud: Vec<ReasonKind> =
            ReasonKind::ALL.into_iter().filter(|kind| kind.outcome() == Outcome::Fraud).collect();
        assert_eq!(fraud.first(), Some(&ReasonKind::ProblemMismatch));
        assert_eq!(fraud.len(), 9);
        assert!(ReasonKind::ALL.is_sorted());
    }
}
