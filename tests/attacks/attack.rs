//! One forgery, and the two laws it must keep: its rule refuses it, and no other rule would.

use grail::sat::Sat;
use grail_protocol::verify::{Extent, Outcome, Reason, ReasonKind, RuleId, Rules};
use grail_protocol::window::WindowFile;

use crate::forge::{Forger, forged};
use crate::world::world;

pub struct Attack {
    pub name: String,
    /// The rule it needs.
    pub rule: RuleId,
    pub reason: ReasonKind,
    pub rollout: Option<usize>,
    pub position: Option<usize>,
    /// Its number in PROTOCOL 18, where it is a known weakness of the original.
    pub weakness: Option<u8>,
    pub file: WindowFile,
}

impl Attack {
    pub fn new(rule: RuleId, name: &str, lie: impl FnOnce(&mut Forger)) -> Self {
        let (reason, file) = (reason_of(rule), forged(lie));
        Self { name: name.into(), rule, reason, rollout: None, position: None, weakness: None, file }
    }

    pub fn at(mut self, rollout: usize) -> Self {
        self.rollout = Some(rollout);
        self
    }

    pub fn position(mut self, position: usize) -> Self {
        self.position = Some(position);
        self
    }

    pub fn known(mut self, weakness: u8) -> Self {
        self.weakness = Some(weakness);
        self
    }

    pub fn inexact(mut self) -> Self {
        self.reason = ReasonKind::SketchInexact;
        self
    }

    /// Judges the forgery with every rule, and without its own.
    pub fn run(&self) -> Result<(), String> {
        let expected = (self.reason, self.rollout, self.position);
        for extent in [Extent::Deciding, Extent::EveryRollout] {
            let verdict = world().verdict(Rules::all(), &self.file, extent);
            let reason = verdict.reason.ok_or_else(|| format!("{}: accepted", self.name))?;
            if (reason.kind, reason.rollout, reason.position) != expected {
                return Err(format!("{}: refused for {reason}, expected {expected:?}", self.name));
            }
            if verdict.outcome != outcome_of(self.rule) {
                return Err(format!("{}: {:?}, expected {:?}", self.name, verdict.outcome, outcome_of(self.rule)));
            }
        }
        let shorter = Rules::all().without(self.rule);
        let verdict = world().verdict(shorter, &self.file, Extent::Deciding);
        match (verdict.outcome, verdict.reason) {
            (Outcome::Valid, None) => Ok(()),
            (_, Some(reason)) => Err(format!("{}: without {:?} still refused for {reason}", self.name, self.rule)),
            (outcome, None) => Err(format!("{}: without {:?} {outcome:?} for no reason", self.name, self.rule)),
        }
    }

    /// A line of the table.
    pub fn line(&self) -> String {
        let number = |n: Option<usize>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let weakness = self.weakness.map_or_else(String::new, |n| format!("18.{n}"));
        let (reason, rule) = (self.reason.to_string(), format!("{:?}", self.rule));
        let (rollout, position) = (number(self.rollout), number(self.position));
        format!("{:<58} {reason:<17} {rollout:>7} {position:>8}  {rule:<15} {weakness}", self.name)
    }
}

pub fn heading() -> String {
    format!("{:<58} {:<17} {:>7} {:>8}  {:<15} known", "attack", "reason", "rollout", "position", "needs")
}

/// What a rule says, stated here a second time.
fn reason_of(rule: RuleId) -> ReasonKind {
    match rule {
        RuleId::Network => ReasonKind::WrongNetwork,
        RuleId::Head | RuleId::EntryRandomness => ReasonKind::WrongRandomness,
        RuleId::Wallet | RuleId::Hotkey => ReasonKind::WrongHotkey,
        RuleId::Indices => ReasonKind::IndexGap,
        RuleId::Groups => ReasonKind::GroupIncomplete,
        RuleId::Model => ReasonKind::WrongModel,
        RuleId::Signatures => ReasonKind::BadSignature,
        RuleId::Problem => ReasonKind::ProblemMismatch,
        RuleId::Prompt => ReasonKind::PromptMismatch,
        RuleId::Length => ReasonKind::BadLength,
        RuleId::Sketch | RuleId::Spot => ReasonKind::SketchMismatch,
        RuleId::Replay => ReasonKind::ReplayMismatch,
        RuleId::Logprobs => ReasonKind::LogprobMismatch,
        RuleId::Reward => ReasonKind::RewardMismatch,
        RuleId::Advantage => ReasonKind::AdvantageMismatch,
    }
}

fn outcome_of(rule: RuleId) -> Outcome {
    use RuleId::{Advantage, Length, Logprobs, Problem, Prompt, Replay, Reward, Sketch, Spot};
    match rule {
        Problem | Prompt | Length | Sketch | Spot | Replay | Logprobs | Reward | Advantage => Outcome::Fraud,
        _ => Outcome::Void,
    }
}

/// The rule behind a reason.
pub fn rule_of(reason: &Reason) -> RuleId {
    let all: Vec<RuleId> = Rules::<Sat>::all().ids().collect();
    let is_of_file = reason.rollout.is_none();
    match reason.kind {
        ReasonKind::WrongRandomness if is_of_file => RuleId::Head,
        ReasonKind::WrongRandomness => RuleId::EntryRandomness,
        ReasonKind::WrongHotkey if is_of_file => RuleId::Wallet,
        ReasonKind::WrongHotkey => RuleId::Hotkey,
        ReasonKind::SketchInexact => RuleId::Sketch,
        kind => *all.iter().find(|&&rule| reason_of(rule) == kind).expect("a reason of a rule"),
    }
}
