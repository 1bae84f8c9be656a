//! The data of a report: who took part, what every window brought, and what the chain says at the end.

use std::collections::BTreeSet;
use std::fmt;

use grail_protocol::verify;
use serde::Serialize;

use super::numbers::ratio;
use super::totals::Totals;

/// A run, as it is reported. Plain data: whoever ran the subnet fills it in.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// What was run, in a few words.
    pub title: String,
    /// What to know of the run: network id, model, chain, block time, window length, machine, wall seconds.
    pub facts: Vec<Fact>,
    /// Everyone who took part, in the order of display.
    pub parties: Vec<Party>,
    /// Weights on chain at the end; empty where none were set.
    pub weights: Vec<Weight>,
    /// One rollout token by token.
    pub rollout: Option<RolloutDetail>,
    /// How a reader repeats the checks.
    pub commands: Vec<CheckCommand>,
}

/// One fact of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Fact {
    /// What it is: `block time`.
    pub label: String,
    /// Its value, with its unit.
    pub value: String,
}

/// Someone with a hotkey.
#[derive(Debug, Clone, Serialize)]
pub struct Party {
    /// What it is called: `miner A`.
    pub name: String,
    /// Its hotkey's SS58 address.
    pub hotkey: String,
    /// Its place on the subnet; none where it is not registered.
    pub uid: Option<u16>,
    /// What it set out to do.
    pub role: Role,
    /// What it did, window by window, ascending; empty for a validator.
    pub entries: Vec<Entry>,
}

/// What a party set out to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Mines by the rules.
    Honest,
    /// Mines, and lies about it.
    Cheater,
    /// Judges the others.
    Validator,
}

/// One miner in one window.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Entry {
    /// First block of the window.
    pub window: u64,
    /// Groups published.
    pub groups: u64,
    /// Rollouts published; 0 where nothing was.
    pub rollouts: u64,
    /// Those that claim to solve their problem.
    pub solved: u64,
    /// Tokens generated, without prompts.
    pub completion_tokens: u64,
    /// Seconds spent generating them.
    pub generation_seconds: f64,
    /// Claimed reward of every rollout.
    pub rewards: Vec<f64>,
    /// What the validator said; none where it has not.
    pub verdict: Option<Verdict>,
    /// Groups the validator checked in full.
    pub checked_groups: u64,
    /// Tokens it derived again.
    pub verified_tokens: u64,
    /// Seconds it spent on them.
    pub verification_seconds: f64,
}

/// What a validator said of a window file.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// What becomes of it.
    pub outcome: Outcome,
    /// The reason that decided; none for a valid file.
    pub reason: Option<Reason>,
}

/// What becomes of a miner's window ([`verify::Outcome`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It counts.
    Valid,
    /// It counts zero.
    Void,
    /// It counts zero, and so does the miner for a while.
    Fraud,
    /// The validator could not tell.
    #[serde(rename = "no verdict")]
    NoVerdict,
}

/// Why a file does not count ([`verify::Reason`]), as text.
#[derive(Debug, Clone, Serialize)]
pub struct Reason {
    /// Name of the rule: `ReplayMismatch`.
    pub rule: String,
    /// Place in the file's list of rollouts; none where the rule is about the file.
    pub rollout: Option<usize>,
    /// Position in the rollout's tokens, prompt first; none where the rule has none.
    pub position: Option<usize>,
    /// What was compared.
    pub field: String,
    /// What it had to be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

/// A weight on chain.
#[derive(Debug, Clone, Serialize)]
pub struct Weight {
    /// Whose.
    pub uid: u16,
    /// What the owner is called.
    pub name: String,
    /// As the chain holds it, 0 to 65535.
    pub raw: u16,
    /// Its part of the sum, 0 to 1; 0 where the sum is.
    pub share: f64,
}

/// One rollout, token by token.
#[derive(Debug, Clone, Serialize)]
pub struct RolloutDetail {
    /// Name of the party that published it.
    pub party: String,
    /// First block of its window.
    pub window: u64,
    /// Which of the window's problems it answers.
    pub problem: u64,
    /// How hard the problem is, in the environment's words.
    pub difficulty: String,
    /// The prompt's text.
    pub prompt: String,
    /// Tokens of the prompt: positions count from its first token.
    pub prompt_tokens: usize,
    /// The completion as published.
    pub completion: Vec<Token>,
    /// Its reward.
    pub reward: f64,
    /// Whether it solves its problem.
    pub success: bool,
    /// The token that was changed after sampling; none where the rollout is honest.
    pub edit: Option<Edit>,
}

/// One token of a completion.
#[derive(Debug, Clone, Serialize)]
pub struct Token {
    /// Its text; may be empty, or a part of a letter shown as U+FFFD.
    pub text: String,
    /// Its number in the vocabulary.
    pub id: u32,
    /// Log-probability the sampler gave it, natural.
    pub logprob: f32,
    /// Log-probability of the model alone, natural.
    pub raw_logprob: f32,
    /// The published sketch of the hidden state at its position.
    pub sketch: u32,
    /// The sketch the verifier derived; none where it did not come so far.
    pub derived_sketch: Option<u32>,
}

/// A token that was changed after sampling.
#[derive(Debug, Clone, Serialize)]
pub struct Edit {
    /// Its position in the rollout, the prompt's tokens first.
    pub position: usize,
    /// What was sampled.
    pub original: TokenName,
    /// What was published instead.
    pub claimed: TokenName,
    /// Where the verifier found the first difference; none where it found none.
    pub difference: Option<Difference>,
}

/// A token without its traces.
#[derive(Debug, Clone, Serialize)]
pub struct TokenName {
    /// Its text.
    pub text: String,
    /// Its number in the vocabulary.
    pub id: u32,
}

/// Where a verifier found a rollout to differ from what the model derives.
#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    /// Position in the rollout, the prompt's tokens first.
    pub position: usize,
    /// What differs.
    pub field: String,
    /// What the model derives.
    pub expected: String,
    /// What the file says.
    pub found: String,
}

/// A command a reader can run.
#[derive(Debug, Clone, Serialize)]
pub struct CheckCommand {
    /// As typed.
    pub command: String,
    /// What it shows.
    pub shows: String,
}

impl Fact {
    /// A fact of anything with words.
    #[must_use]
    pub fn new(label: &str, value: impl fmt::Display) -> Self {
        Self { label: label.to_owned(), value: value.to_string() }
    }
}

impl Report {
    /// Everyone who mines, honest or not, in the order of display.
    pub fn miners(&self) -> impl Iterator<Item = &Party> {
        self.parties.iter().filter(|party| party.role != Role::Validator)
    }

    /// First blocks of all windows anyone has an entry for, ascending.
    #[must_use]
    pub fn windows(&self) -> Vec<u64> {
        let windows: BTreeSet<u64> = self.miners().flat_map(|party| &party.entries).map(|entry| entry.window).collect();
        windows.into_iter().collect()
    }

    /// The part of all weight that a party holds, 0 to 1: none where no weights were set or it has no uid, 0 where
    /// weights were set and none for it.
    #[must_use]
    pub fn share(&self, party: &Party) -> Option<f64> {
        let uid = party.uid.filter(|_| !self.weights.is_empty())?;
        Some(self.weights.iter().filter(|weight| weight.uid == uid).map(|weight| weight.share).sum())
    }

    /// Sums over all miners.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals::of(self.miners().flat_map(|party| &party.entries))
    }
}

impl Party {
    /// Sums over its windows.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals::of(&self.entries)
    }

    /// Its entry of a window.
    #[must_use]
    pub fn entry(&self, window: u64) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.window == window)
    }

    /// Windows with an outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.entries.iter().filter(|entry| entry.outcome() == Some(outcome)).count()
    }
}

impl Entry {
    /// The verdict's outcome.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.verdict.as_ref().map(|verdict| verdict.outcome)
    }
}

impl Outcome {
    /// From good to unknown.
    pub const ALL: [Self; 4] = [Self::Valid, Self::Void, Self::Fraud, Self::NoVerdict];

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

impl From<verify::Outcome> for Outcome {
    fn from(outcome: verify::Outcome) -> Self {
        match outcome {
            verify::Outcome::Valid => Self::Valid,
            verify::Outcome::Void => Self::Void,
            verify::Outcome::Fraud => Self::Fraud,
            verify::Outcome::NoVerdict => Self::NoVerdict,
        }
    }
}

impl From<&verify::Reason> for Reason {
    fn from(reason: &verify::Reason) -> Self {
        Self {
            rule: reason.kind.to_string(),
            rollout: reason.rollout,
            position: reason.position,
            field: reason.field.clone(),
            expected: reason.expected.clone(),
            found: reason.found.clone(),
        }
    }
}

impl From<&verify::Verdict> for Verdict {
    fn from(verdict: &verify::Verdict) -> Self {
        Self { outcome: verdict.outcome.into(), reason: verdict.reason.as_ref().map(Reason::from) }
    }
}

impl Reason {
    /// In one sentence, as records have it.
    #[must_use]
    pub fn sentence(&self) -> String {
        let rollout = self.rollout.map(|i| format!(", rollout {i}")).unwrap_or_default();
        let position = self.position.map(|i| format!(", position {i}")).unwrap_or_default();
        format!("{}{rollout}{position}: {} is {}, expected {}", self.rule, self.field, self.found, self.expected)
    }
}

impl Weight {
    /// Weights of (uid, name, raw weight), with their shares of the sum.
    #[must_use]
    pub fn shared(rows: impl IntoIterator<Item = (u16, String, u16)>) -> Vec<Self> {
        let rows: Vec<_> = rows.into_iter().collect();
        let sum: f64 = rows.iter().map(|row| f64::from(row.2)).sum();
        let share = |raw: u16| ratio(f64::from(raw), sum).unwrap_or(0.0);
        rows.into_iter().map(|(uid, name, raw)| Self { uid, name, raw, share: share(raw) }).collect()
    }
}
