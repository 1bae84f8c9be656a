//! From events to values.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use grail_protocol::verify::{Outcome, ReasonKind};

use super::board::Board;
use super::families::{MINING, VALIDATION};
use crate::scoring::statistics;
use crate::subnet::{Event, Judged, WindowWork};

/// When something happened.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// For durations.
    pub clock: Instant,
    /// Since 1970.
    pub unix: Duration,
}

/// Who tells events.
#[derive(Debug)]
enum Teller {
    Miner(Mining),
    Validator(Judging),
}

/// What events have said so far.
#[derive(Debug)]
pub struct Record {
    board: Board,
    teller: Teller,
}

/// What a miner's events say of windows that are under way.
#[derive(Debug, Default)]
struct Mining {
    /// The newest window that was begun, and its groups from before.
    begun: Option<(u64, u64)>,
    /// Windows whose file is closed: when, and how many rollouts.
    closed: BTreeMap<u64, (Instant, u64)>,
    rollouts: u64,
    solved: u64,
}

/// What a validator's events say of a window that is under way.
#[derive(Debug)]
struct Judging {
    rollouts_per_problem: u64,
    window: u64,
    files: u64,
    failed: u64,
    valid: BTreeSet<u16>,
}

impl Record {
    /// Of a miner.
    pub fn of_miner() -> Self {
        Self { board: Board::new(MINING), teller: Teller::Miner(Mining::default()) }
    }

    /// Of a validator.
    pub fn of_validator(rollouts_per_problem: u64, weights_interval: u64) -> Self {
        let mut board = Board::new(VALIDATION);
        board.set("weights_submission_interval_blocks", weights_interval as f64);
        let judging = Judging { rollouts_per_problem, window: 0, files: 0, failed: 0, valid: BTreeSet::new() };
        Self { board, teller: Teller::Validator(judging) }
    }

    /// The values.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Takes an event.
    pub fn tell(&mut self, event: &Event, at: Moment) {
        self.board.set("block_number", window_of(event) as f64);
        self.board.set("last_event_timestamp_seconds", at.unix.as_secs_f64());
        match &mut self.teller {
            Teller::Miner(mining) => mining.tell(&mut self.board, event, at.clock),
            Teller::Validator(judging) => judging.tell(&mut self.board, event),
        }
    }
}

fn window_of(event: &Event) -> u64 {
    match event {
        Event::WindowClosed(work) => work.window,
        Event::Judged(judged) => judged.window,
        Event::WindowBegun { window, .. }
        | Event::Working { window, .. }
        | Event::WindowPublished { window, .. }
        | Event::WindowMissed { window, .. }
        | Event::WindowJudged { window, .. }
        | Event::WindowUnseen { window, .. }
        | Event::WeightsSet { window, .. }
        | Event::WeightsNotSet { window, .. }
        | Event::RecordsPublished { window, .. } => *window,
    }
}

/// A share; none of nothing.
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl Mining {
    fn tell(&mut self, board: &mut Board, event: &Event, at: Instant) {
        match event {
            Event::WindowBegun { window, groups, .. } => self.begun = Some((*window, *groups)),
            Event::WindowClosed(work) => self.closed(board, work, at),
            Event::WindowPublished { window, .. } => {
                board.add("mining_successful_uploads", 1);
                if let Some((since, rollouts)) = self.closed.remove(window) {
                    board.add("mining_uploaded_rollouts", rollouts);
                    board.took("mining_upload_duration", at.saturating_duration_since(since).as_secs_f64(), 1);
                }
            }
            Event::WindowMissed { window, .. } => match self.closed.remove(window) {
                Some(_) => board.add("mining_failed_uploads", 1),
                None => board.add("mining_empty_windows", 1),
            },
            _ => {}
        }
    }

    fn closed(&mut self, board: &mut Board, work: &WindowWork, at: Instant) {
        let WindowWork { window, groups, rollouts, solved, .. } = *work;
        self.closed.insert(window, (at, rollouts));
        self.rollouts += rollouts;
        self.solved += solved;
        board.add("mining_windows_completed", 1);
        board.add("mining_problems_processed", groups);
        board.add("mining_rollouts_generated", rollouts);
        board.add("mining_successful_rollouts", solved);
        board.add("mining_failed_rollouts", rollouts.saturating_sub(solved));
        board.took("mining_window_duration", work.generation_s, 1);
        board.set("mining_total_rollouts_in_window", rollouts as f64);
        work.rewards.iter().for_each(|&reward| board.observe("mining_reward_distribution", reward));
        let before = self.begun.filter(|(begun, _)| *begun == window).map_or(0, |(_, groups)| groups);
        if let Some(made) = share(groups.saturating_sub(before), groups).filter(|_| work.generation_s > 0.0) {
            board.set("mining_rollouts_per_second", made * rollouts as f64 / work.generation_s);
        }
        if let Some(rate) = share(self.solved, self.rollouts) {
            board.set("mining_success_rate", rate);
        }
        if let Some(rate) = share(solved, rollouts) {
            board.set("mining_final_success_rate", rate);
            board.set("mining_average_reward", work.rewards.iter().sum::<f64>() / rollouts as f64);
        }
    }
}

impl Judging {
    fn tell(&mut self, board: &mut Board, event: &Event) {
        match event {
            Event::Judged(judged) => self.judged(board, judged),
            Event::WindowJudged { window, records, .. } => {
                self.turn_to(board, *window);
                self.end(board, *records);
            }
            Event::WindowUnseen { .. } => board.add("validation_processing_errors", 1),
            Event::WeightsSet { window, weights } => {
                due(board, *window, true);
                weigh(board, weights);
            }
            Event::WeightsNotSet { window, .. } => due(board, *window, false),
            _ => {}
        }
    }

    /// Forgets what was found in another window.
    fn turn_to(&mut self, board: &mut Board, window: u64) {
        if self.window != window {
            *self = Self { window, files: 0, failed: 0, valid: BTreeSet::new(), ..*self };
            // Numbers of neurons change hands.
            board.clear("had_failure");
        }
    }

    fn judged(&mut self, board: &mut Board, judged: &Judged) {
        self.turn_to(board, judged.window);
        if judged.outcome == Outcome::NoVerdict.name() {
            return board.add("validation_processing_errors", 1);
        }
        let kind = judged.reason.as_ref().map(|reason| reason.kind);
        board.set_of("had_failure", judged.uid, f64::from(u8::from(judged.outcome == Outcome::Fraud.name())));
        // Who has no file has none that could fail.
        if matches!(kind, Some(ReasonKind::NoRoot | ReasonKind::Late)) {
            return;
        }
        self.files += 1;
        let rollouts = judged.checked * self.rollouts_per_problem;
        board.add("validation_total_rollouts_processed", rollouts);
        board.took("validation_rollout_verification_duration", judged.scoring_s, rollouts);
        if judged.outcome == Outcome::Valid.name() {
            self.valid.insert(judged.uid);
            board.add("validation_valid_rollouts", rollouts);
            board.add("validation_grail_verification_successes", 1);
            return;
        }
        self.failed += 1;
        board.add("validation_grail_verification_failures", 1);
        match kind {
            Some(ReasonKind::BadSignature) => board.add("validation_invalid_signatures", 1),
            Some(ReasonKind::SketchMismatch | ReasonKind::SketchInexact) => board.add("validation_invalid_proofs", 1),
            Some(ReasonKind::PromptMismatch | ReasonKind::BadLength | ReasonKind::ReplayMismatch) => {
                board.add("grail_token_validation_failures", 1);
            }
            _ => {}
        }
    }

    fn end(&self, board: &mut Board, records: u64) {
        let valid = self.valid.len() as u64;
        board.add("validation_windows_processed", 1);
        board.set("validation_total_registered_miners", records as f64);
        board.set("validation_files_found", self.files as f64);
        board.set("validation_failed_wallets_window", self.failed as f64);
        board.set("validation_active_miners", valid as f64);
        board.clear("validation_active_miners_uids");
        self.valid.iter().for_each(|&uid| board.set_of("validation_active_miners_uids", uid, 1.0));
        if let Some(rate) = share(valid, self.files) {
            board.set("validation_success_rate", rate);
        }
    }
}

/// Weights were due, and are on chain or not.
fn due(board: &mut Board, window: u64, submitted: bool) {
    board.set("weights_submission_target_window", window as f64);
    board.set("weights_submission_submitted", f64::from(u8::from(submitted)));
}

fn weigh(board: &mut Board, weights: &[(u16, f64)]) {
    board.clear("weights_weight");
    weights.iter().for_each(|&(uid, weight)| board.set_of("weights_weight", uid, weight));
    let all: Vec<f64> = weights.iter().map(|&(_, weight)| weight).collect();
    let some: Vec<f64> = all.iter().copied().filter(|&weight| weight > 0.0).collect();
    let of_all = statistics(&all);
    board.set("weights_stats_min", of_all.min);
    board.set("weights_stats_mean", of_all.mean);
    board.set("weights_stats_max", of_all.max);
    board.set("weights_stats_gini", of_all.gini);
    board.set("validation_miners_with_weights", some.len() as f64);
    board.set("validation_max_weight", of_all.max);
    board.set("validation_average_weight", statistics(&some).mean);
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
