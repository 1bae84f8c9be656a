//! The verifier: derives what can be derived, runs the model once over the rollouts that are checked, and compares.
//!
//! The rules are one list, asked in order ([`rules`]); the first that fails decides, at its lowest rollout. There is no
//! score, no threshold and no rule that only warns. Trouble of the verifier's own is an error and never a verdict.

mod case;
mod entry;
mod file;
mod model;
pub mod rules;
mod verdict;

use grail_engine::types::ScoreRequest;
use grail_engine::{Engine, Scored};

use crate::assignment::{Protocol, WindowHead};
use crate::environment::Environment;
use crate::groups::checked_groups;
use crate::window::WindowFile;
use crate::{AccountId, Error, Hash};
use case::Case;
pub use rules::{Rule, RuleId, Rules};
pub use verdict::{Outcome, Reason, ReasonKind, RolloutVerdict, Verdict};

/// What ends a verification without a verdict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// The engine could not score: memory, or a request it refuses.
    #[error(transparent)]
    Engine(#[from] grail_engine::Error),
    /// The network's parameters do not fit the model, or the selection is out of range.
    #[error(transparent)]
    Protocol(#[from] Error),
    /// The scorer's results are not those of the completions it was given.
    #[error("scores of group {group}: {problem}")]
    Scores {
        /// Index of the group in the request.
        group: usize,
        /// What was found and what was expected.
        problem: String,
    },
    /// Scoring was broken off.
    #[error("scoring was cancelled")]
    Cancelled,
}

/// Which groups every rule is applied to.
#[derive(Debug, Clone, Copy)]
pub enum Selection<'a> {
    /// All of them.
    All,
    /// Those that C_w draws (DESIGN 4.12).
    Drawn {
        /// C_w of the window.
        c_w: &'a Hash,
        /// The g of a validator that cannot keep up.
        lowered_to: Option<usize>,
    },
    /// The groups at these places, ascending: a miner's check of its own file.
    Places(&'a [usize]),
}

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// At the reason that decides.
    Deciding,
    /// When every rollout has its own first reason.
    EveryRollout,
}

/// What is said to be in a file.
#[derive(Debug, Clone, Copy)]
pub struct Claimed<'a> {
    /// The file.
    pub file: &'a WindowFile,
    /// The window it must be of.
    pub head: &'a WindowHead,
    /// The hotkey it must be of.
    pub account: &'a AccountId,
}

/// Scores completions: [`Engine::score`], perhaps watched.
pub type Scorer<'a> = dyn FnMut(&ScoreRequest<'_>) -> grail_engine::Result<Scored> + 'a;

/// An engine as a scorer.
pub fn scorer(engine: &mut Engine) -> impl FnMut(&ScoreRequest<'_>) -> grail_engine::Result<Scored> + '_ {
    |request| engine.score(request, &mut grail_engine::types::unobserved)
}

/// Verifies window files of one network.
pub struct Verifier<'a, E: Environment> {
    protocol: &'a Protocol<'a, E>,
    rules: Rules<E>,
}

impl<'a, E: Environment> Verifier<'a, E> {
    /// A verifier with every rule.
    #[must_use]
    pub fn new(protocol: &'a Protocol<'a, E>) -> Self {
        Self { protocol, rules: Rules::all() }
    }

    /// A verifier with other rules, for the tests of rules; who judges asks every one ([`Verifier::new`]).
    #[must_use]
    pub fn with_rules(protocol: &'a Protocol<'a, E>, rules: Rules<E>) -> Self {
        Self { protocol, rules }
    }

    /// The network it verifies for.
    #[must_use]
    pub fn protocol(&self) -> &'a Protocol<'a, E> {
        self.protocol
    }

    /// The verdict on a file.
    ///
    /// # Errors
    /// [`Trouble`], which is no verdict.
    pub fn verify(
        &self,
        claimed: Claimed<'_>,
        selection: Selection<'_>,
        extent: Extent,
        scorer: &mut Scorer<'_>,
    ) -> Result<Verdict, Trouble> {
        self.judge(&self.rules, claimed, selection, extent, None, scorer)
    }

    /// The cheap rules, then the sketches of every rollout at the positions that a challenge opens, with the
    /// tolerance. Weaker than [`Self::verify`]; it serves comparison with other systems.
    ///
    /// # Errors
    /// [`Trouble`], which is no verdict.
    pub fn spot(
        &self,
        claimed: Claimed<'_>,
        challenge: &Hash,
        extent: Extent,
        scorer: &mut Scorer<'_>,
    ) -> Result<Verdict, Trouble> {
        self.judge(&Rules::spot(), claimed, Selection::All, extent, Some(*challenge), scorer)
    }

    fn judge(
        &self,
        rules: &Rules<E>,
        claimed: Claimed<'_>,
        selection: Selection<'_>,
        extent: Extent,
        challenge: Option<Hash>,
        scorer: &mut Scorer<'_>,
    ) -> Result<Verdict, Trouble> {
        let assignment = self.protocol.assignment(claimed.head, *claimed.account);
        if let Some(reason) = file::shape::<E>(&claimed) {
            return Ok(Verdict::refused(reason));
        }
        if let Some(reason) = rules.of_file().find_map(|rule| rule(&assignment, &claimed)) {
            return Ok(Verdict { groups: file::runs(claimed.file).count(), ..Verdict::refused(reason) });
        }
        let mut case = Case::new(&assignment, claimed.file, challenge)?;
        for rule in rules.of_entries() {
            if case.apply(rule) && extent == Extent::Deciding {
                return Ok(case.verdict(Vec::new()));
            }
        }
        let groups = case.runs.len();
        let mut checked = match selection {
            Selection::All => (0..groups).collect(),
            Selection::Places(places) => places.iter().copied().filter(|&place| place < groups).collect(),
            Selection::Drawn { c_w, lowered_to } => checked_groups(c_w, claimed.account, groups, lowered_to)?,
        };
        checked.sort_unstable();
        case.score(&checked, scorer)?;
        for rule in rules.of_checked() {
            if case.apply(rule) && extent == Extent::Deciding {
                break;
            }
        }
        Ok(case.verdict(checked))
    }
}
