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
mod tests {
    use super::*;
    use grail_protocol::verify::Reason;

    fn at(seconds: u64, begun: Instant) -> Moment {
        Moment { clock: begun + Duration::from_secs(seconds), unix: Duration::from_secs(seconds) }
    }

    fn work(window: u64, solved: u64) -> Event {
        let ended = "the time was up".to_owned();
        let rewards = (0..8).map(|i| if i < solved { 1.0 } else { 0.0 }).collect();
        Event::WindowClosed(WindowWork {
            window,
            groups: 2,
            rollouts: 8,
            solved,
            tokens: 80,
            generation_s: 2.0,
            generated_tokens: 40,
            rewards,
            ended,
        })
    }

    fn judged(window: u64, uid: u16, outcome: Outcome, kind: Option<ReasonKind>, checked: u64) -> Event {
        let text = || String::new();
        let reason = kind.map(|kind| Reason {
            kind,
            rollout: None,
            position: None,
            field: text(),
            expected: text(),
            found: text(),
        });
        let (hotkey, outcome) = ([uid as u8; 32], outcome.name());
        let (groups, successful, distinct, scored_tokens, scoring_s) = (9, 3, 2, 100, 0.5);
        Event::Judged(Judged {
            window,
            uid,
            hotkey,
            outcome,
            reason,
            groups,
            checked,
            successful,
            distinct,
            scored_tokens,
            scoring_s,
        })
    }

    /// Whether each line is in the text, whole.
    fn assert_lines(record: &Record, lines: &[&str]) {
        let text = record.board().text();
        for line in lines {
            assert!(text.lines().any(|l| l == *line), "{line}\n{text}");
        }
    }

    fn of_miner() -> Record {
        let (mut record, begun) = (Record::of_miner(), Instant::now());
        let published = |window| Event::WindowPublished { window, file_hash: [0; 32], stored_bytes: 1 };
        let missed = |window| Event::WindowMissed { window, why: String::new() };
        // 0 is of an earlier run; of 20, one of two groups is; 40 comes to nothing; 60 has a file, but no root.
        record.tell(&published(0), at(1, begun));
        record.tell(&Event::WindowBegun { window: 20, groups: 1, left_s: 9.0 }, at(2, begun));
        record.tell(&work(20, 2), at(5, begun));
        record.tell(&Event::WindowBegun { window: 40, groups: 0, left_s: 9.0 }, at(6, begun));
        record.tell(&published(20), at(8, begun));
        record.tell(&missed(40), at(9, begun));
        record.tell(&work(60, 6), at(10, begun));
        record.tell(&missed(60), at(11, begun));
        record
    }

    fn of_validator() -> Record {
        let (mut record, begun) = (Record::of_validator(4, 360), Instant::now());
        let mut tell = |event: Event| record.tell(&event, at(7, begun));
        tell(judged(20, 9, Outcome::Fraud, Some(ReasonKind::SketchInexact), 1));
        tell(Event::WindowJudged { window: 20, records: 1, seconds: 1.0 });
        tell(judged(40, 1, Outcome::Valid, None, 5));
        tell(judged(40, 2, Outcome::Fraud, Some(ReasonKind::ReplayMismatch), 2));
        tell(judged(40, 3, Outcome::Void, Some(ReasonKind::BadSignature), 0));
        tell(judged(40, 4, Outcome::Void, Some(ReasonKind::NoRoot), 0));
        tell(judged(40, 5, Outcome::NoVerdict, None, 0));
        tell(judged(40, 6, Outcome::Void, Some(ReasonKind::Malformed), 0));
        tell(Event::WindowJudged { window: 40, records: 6, seconds: 1.0 });
        tell(Event::WindowUnseen { window: 60, why: String::new() });
        tell(Event::WeightsSet { window: 20, weights: vec![(8, 1.0)] });
        tell(Event::WeightsSet { window: 40, weights: vec![(0, 0.0), (1, 0.75), (2, 0.25), (3, 0.0)] });
        tell(Event::WeightsNotSet { window: 60, why: String::new() });
        record
    }

    #[test]
    fn a_window_counts_once_and_its_speed_is_of_what_this_run_made() {
        let record = of_miner();
        assert_lines(
            &record,
            &[
                "block_number 60",
                "last_event_timestamp_seconds 11",
                "mining_windows_completed 2",
                "mining_problems_processed 4",
                "mining_rollouts_generated 16",
                "mining_successful_rollouts 8",
                "mining_failed_rollouts 8",
                "mining_success_rate 0.5",
                "mining_final_success_rate 0.75",
                "mining_average_reward 0.75",
                "mining_total_rollouts_in_window 8",
                "mining_reward_distribution_bucket{le=\"0.75\"} 8",
                "mining_reward_distribution_count 16",
                "mining_window_duration_sum 4",
                "mining_rollouts_per_second 4",
                "mining_upload_duration_sum 3",
                "mining_upload_duration_count 1",
                "mining_successful_uploads 2",
                "mining_uploaded_rollouts 8",
                "mining_failed_uploads 1",
                "mining_empty_windows 1",
            ],
        );
        let (mut half, begun) = (Record::of_miner(), Instant::now());
        half.tell(&Event::WindowBegun { window: 20, groups: 1, left_s: 9.0 }, at(0, begun));
        half.tell(&work(20, 2), at(0, begun));
        assert_lines(&half, &["mining_rollouts_per_second 2"]);
    }

    #[test]
    fn what_a_validator_found_is_told_by_window_and_by_neuron() {
        let record = of_validator();
        assert_lines(
            &record,
            &[
                "validation_windows_processed 2",
                "validation_total_rollouts_processed 32",
                "validation_valid_rollouts 20",
                "validation_rollout_verification_duration_count 32",
                "validation_rollout_verification_duration_sum 2.5",
                "validation_invalid_signatures 1",
                "validation_invalid_proofs 1",
                "grail_token_validation_failures 1",
                "validation_processing_errors 2",
                "validation_files_found 4",
                "validation_failed_wallets_window 3",
                "validation_success_rate 0.25",
                "validation_active_miners 1",
                "validation_active_miners_uids{uid=\"1\"} 1",
                "validation_total_registered_miners 6",
                "validation_grail_verification_failures 4",
                "validation_grail_verification_successes 1",
                "had_failure{uid=\"2\"} 1",
                "had_failure{uid=\"3\"} 0",
                "validation_miners_with_weights 2",
                "validation_max_weight 0.75",
                "validation_average_weight 0.5",
                "weights_stats_min 0",
                "weights_stats_mean 0.25",
                "weights_stats_max 0.75",
                "weights_stats_gini 0.625",
                "weights_weight{uid=\"2\"} 0.25",
                "weights_submission_interval_blocks 360",
                "weights_submission_target_window 60",
                "weights_submission_submitted 0",
            ],
        );
        let text = record.board().text();
        // No word on whoever had the number before, nor on whom there is no opinion.
        for gone in ["{uid=\"9\"}", "{uid=\"8\"}", "{uid=\"5\"}"] {
            assert!(!text.contains(gone), "{gone}\n{text}");
        }
    }

    #[test]
    fn families_and_values_have_the_same_names() {
        for (record, families) in [(of_miner(), MINING), (of_validator(), VALIDATION)] {
            let names: BTreeSet<&str> = families.iter().map(|family| family.name).collect();
            assert_eq!((names.len(), record.board().named()), (families.len(), names));
        }
    }
}
