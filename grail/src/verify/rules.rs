//! The rules of DESIGN 4.13 that need a parsed file, in their order.
//!
//! A shorter list serves tests alone, as what a verifier is given by name ([`super::Verifier::with_rules`]): an attack
//! test shows that its rule refuses a forgery, and that nothing else does.

use super::Claimed;
use super::case::Case;
use super::verdict::Reason;
use super::{entry, file, model};
use crate::assignment::Assignment;
use crate::environment::Environment;

/// Names of the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleId {
    /// proof_version, network_id and window_length of the file.
    Network,
    /// window_start, block and beacon of the file.
    Head,
    /// wallet of the file.
    Wallet,
    /// Runs of equal rollout_group are 0, 1, 2, ...
    Indices,
    /// Each run has its rollouts in order.
    Groups,
    /// window_start, block_hash, randomness and use_drand of an entry.
    EntryRandomness,
    /// hotkey of an entry.
    Hotkey,
    /// commit.model of an entry.
    Model,
    /// Both signatures of an entry.
    Signatures,
    /// What an entry says of its problem.
    Problem,
    /// The prompt's tokens.
    Prompt,
    /// Where the completion ends, and the stated lengths.
    Length,
    /// Sketches, every position.
    Sketch,
    /// Sketches, the positions a challenge opens, with the tolerance.
    Spot,
    /// The sampler, token by token.
    Replay,
    /// Both log-probabilities of every token.
    Logprobs,
    /// assignment, satisfied_clauses, success, reward, trajectory.
    Reward,
    /// The advantage.
    Advantage,
}

pub(super) type FileRule<E> = fn(&Assignment<'_, E>, &Claimed<'_>) -> Option<Reason>;
pub(super) type EntryRule<E> = fn(&Case<'_, E>, usize) -> Option<Reason>;

enum Check<E: Environment> {
    File(FileRule<E>),
    Entry(EntryRule<E>),
    Checked(EntryRule<E>),
}

/// One rule.
pub struct Rule<E: Environment> {
    id: RuleId,
    check: Check<E>,
}

impl<E: Environment> Rule<E> {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> RuleId {
        self.id
    }
}

/// A list of rules in order.
pub struct Rules<E: Environment> {
    list: Vec<Rule<E>>,
}

impl<E: Environment> Rules<E> {
    /// Every rule.
    #[must_use]
    pub fn all() -> Self {
        use RuleId as Id;
        let mut list = Self::cheap();
        let checked: [(Id, EntryRule<E>); 5] = [
            (Id::Sketch, model::sketches),
            (Id::Replay, model::replay),
            (Id::Logprobs, model::logprobs),
            (Id::Reward, model::reward),
            (Id::Advantage, model::advantage),
        ];
        list.extend(checked.map(|(id, rule)| Rule { id, check: Check::Checked(rule) }));
        Self { list }
    }

    /// The cheap rules and the spot check.
    pub(super) fn spot() -> Self {
        let mut list = Self::cheap();
        list.push(Rule { id: RuleId::Spot, check: Check::Checked(model::spot) });
        Self { list }
    }

    /// The rules that need no model.
    fn cheap() -> Vec<Rule<E>> {
        use RuleId as Id;
        let of_file: [(Id, FileRule<E>); 5] = [
            (Id::Network, file::network),
            (Id::Head, file::head),
            (Id::Wallet, file::wallet),
            (Id::Indices, file::indices),
            (Id::Groups, file::groups),
        ];
        let of_entries: [(Id, EntryRule<E>); 7] = [
            (Id::EntryRandomness, entry::randomness),
            (Id::Hotkey, entry::hotkey),
            (Id::Model, entry::model),
            (Id::Signatures, entry::signatures),
            (Id::Problem, entry::problem),
            (Id::Prompt, entry::prompt),
            (Id::Length, entry::length),
        ];
        let of_file = of_file.into_iter().map(|(id, rule)| Rule { id, check: Check::File(rule) });
        of_file.chain(of_entries.map(|(id, rule)| Rule { id, check: Check::Entry(rule) })).collect()
    }

    /// The rules' names, in order.
    pub fn ids(&self) -> impl Iterator<Item = RuleId> + '_ {
        self.list.iter().map(Rule::id)
    }

    /// The list without one rule, for a test of that rule.
    ///
    /// # Panics
    /// If the rule is not in the list.
    #[must_use]
    pub fn without(mut self, id: RuleId) -> Self {
        let before = self.list.len();
        self.list.retain(|rule| rule.id != id);
        assert_eq!(self.list.len() + 1, before, "{id:?} is in the list once");
        self
    }

    pub(super) fn of_file(&self) -> impl Iterator<Item = FileRule<E>> + '_ {
        self.list.iter().filter_map(|rule| match rule.check {
            Check::File(check) => Some(check),
            _ => None,
        })
    }

    pub(super) fn of_entries(&self) -> impl Iterator<Item = EntryRule<E>> + '_ {
        self.list.iter().filter_map(|rule| match rule.check {
            Check::Entry(check) => Some(check),
            _ => None,
        })
    }

    pub(super) fn of_checked(&self) -> impl Iterator<Item = EntryRule<E>> + '_ {
        self.list.iter().filter_map(|rule| match rule.check {
            Check::Checked(check) => Some(check),
            _ => None,
        })
    }
}
