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
    let reason =
        kind.map(|kind| Reason { kind, rollout: None, position: None, field: text(), expected: text(), found: text() });
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
