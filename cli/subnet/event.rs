//! What a miner and a validator tell whoever runs them, as it happens: a terminal, a program that reads JSON lines,
//! or the demo's report.

use std::sync::Arc;
use std::time::Duration;

use grail_protocol::AccountId;
use grail_protocol::ss58;
use grail_protocol::verify::Reason;
use grail_protocol::window::WindowFile;
use serde::{Serialize, Serializer};

/// Something that happened. As JSON, `event` names it and blocks name windows by their first one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A miner began or resumed a window's work.
    WindowBegun {
        /// First block of the window.
        window: u64,
        /// Groups that were there from before.
        groups: u64,
        /// Seconds until the root must be on its way.
        left_s: f64,
    },
    /// A miner's work in a window, so far.
    Working {
        /// First block of the window.
        window: u64,
        /// Complete groups on disk.
        groups: u64,
        /// Rollouts that are being made.
        rollouts: u64,
        /// Positions the model computed per second, lately.
        positions_per_s: f64,
    },
    /// A miner has made a window's file.
    WindowClosed(WindowWork),
    /// A window's file and root are where they have to be.
    WindowPublished {
        /// First block of the window.
        window: u64,
        /// Hash of the file, which is in the root on chain.
        #[serde(with = "hex::serde")]
        file_hash: [u8; 32],
        /// Bytes of the file.
        stored_bytes: u64,
    },
    /// A miner's window counts nothing.
    WindowMissed {
        /// First block of the window.
        window: u64,
        /// Why.
        why: String,
    },
    /// A validator's word on one miner's window.
    Judged(Judged),
    /// A validator has judged all miners of a window.
    WindowJudged {
        /// First block of the window.
        window: u64,
        /// Records made.
        records: u64,
        /// Seconds from the challenge's beacon to the last verdict.
        seconds: f64,
    },
    /// A window that a validator did not see in time.
    WindowUnseen {
        /// First block of the window.
        window: u64,
        /// Why.
        why: String,
    },
    /// A validator's weights are on chain.
    WeightsSet {
        /// The newest window that counts.
        window: u64,
        /// Number and weight of every neuron.
        weights: Vec<(u16, f64)>,
    },
    /// Weights that were due are not on chain.
    WeightsNotSet {
        /// The newest window that would have counted.
        window: u64,
        /// Why.
        why: String,
    },
    /// A validator's records and the valid rollouts of a window are in its bucket.
    RecordsPublished {
        /// First block of the window.
        window: u64,
        /// Records.
        records: u64,
        /// Whether there were valid rollouts to publish.
        rollouts: bool,
    },
}

/// What a miner did in a window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WindowWork {
    /// First block of the window.
    pub window: u64,
    /// Complete groups.
    pub groups: u64,
    /// Rollouts in them.
    pub rollouts: u64,
    /// Those that solved their problem.
    pub solved: u64,
    /// Tokens of their completions.
    pub tokens: u64,
    /// Seconds of generation in this run of the program.
    pub generation_s: f64,
    /// Tokens made in that time.
    pub generated_tokens: u64,
    /// Reward of every rollout.
    pub rewards: Vec<f64>,
    /// Why the work ended.
    pub ended: String,
}

impl WindowWork {
    /// What a window's file says of the work in it. `before` groups are of an earlier run of the program.
    #[must_use]
    pub fn of(window: u64, file: &WindowFile, size: usize, before: u64, generation: Duration, ended: String) -> Self {
        let claims = || file.inferences.iter().map(|entry| &entry.commit.rollout);
        let tokens = |claims: &mut dyn Iterator<Item = i128>| claims.map(|n| u64::try_from(n).unwrap_or(0)).sum();
        let earlier = usize::try_from(before).unwrap_or(usize::MAX).saturating_mul(size);
        Self {
            window,
            groups: (file.inferences.len() / size.max(1)) as u64,
            rollouts: file.inferences.len() as u64,
            solved: claims().filter(|claim| claim.success).count() as u64,
            tokens: tokens(&mut claims().map(|claim| claim.completion_length)),
            generation_s: generation.as_secs_f64(),
            generated_tokens: tokens(&mut claims().skip(earlier).map(|claim| claim.completion_length)),
            rewards: claims().map(|claim| claim.total_reward).collect(),
            ended,
        }
    }
}

/// What a validator found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// First block of the window.
    pub window: u64,
    /// The miner's number.
    pub uid: u16,
    /// The miner.
    #[serde(serialize_with = "as_ss58")]
    pub hotkey: AccountId,
    /// valid, void, fraud or no verdict.
    pub outcome: &'static str,
    /// The reason that decided.
    #[serde(serialize_with = "as_text")]
    pub reason: Option<Reason>,
    /// Groups in the file.
    pub groups: u64,
    /// Groups checked in full.
    pub checked: u64,
    /// Checked rollouts that solved their problem.
    pub successful: u64,
    /// Those distinct by problem and answer.
    pub distinct: u64,
    /// Completion tokens that the model was run over.
    pub scored_tokens: u64,
    /// Seconds that took.
    pub scoring_s: f64,
}

fn as_ss58<S: Serializer>(account: &AccountId, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&ss58::encode(account))
}

fn as_text<S: Serializer>(reason: &Option<Reason>, to: S) -> Result<S::Ok, S::Error> {
    reason.as_ref().map(Reason::to_string).serialize(to)
}

/// Where events go. Whoever listens must not block: work waits for it.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(Event) + Send + Sync>);

impl Events {
    /// To a listener.
    pub fn to(listener: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    /// Tells it.
    pub fn tell(&self, event: Event) {
        (self.0)(event);
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}
