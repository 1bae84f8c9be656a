//! What is exported: the names of PROTOCOL 15, with `_` for what Prometheus does not take in a name and a number of a
//! neuron as the label `uid`. Of windows, each is counted once, also where the program was restarted within it.

use super::board::{Family, Kind};

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, help }
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, help }
}

const fn histogram(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Histogram, help }
}

const fn summary(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Summary, help }
}

const BLOCK_NUMBER: Family = gauge("block_number", "First block of the window that the newest event is about");
const LAST_EVENT: Family = gauge("last_event_timestamp_seconds", "Unix time of the newest event");

/// Of a miner.
pub const MINING: &[Family] = &[
    BLOCK_NUMBER,
    LAST_EVENT,
    counter("mining_rollouts_generated", "Rollouts in closed files"),
    counter("mining_problems_processed", "Groups in closed files"),
    counter("mining_successful_rollouts", "Rollouts in closed files that solved their problem"),
    counter("mining_failed_rollouts", "Rollouts in closed files that did not solve their problem"),
    gauge("mining_success_rate", "Share of all rollouts in closed files that solved their problem"),
    histogram("mining_reward_distribution", "Rewards of rollouts in closed files"),
    counter("mining_windows_completed", "Windows whose file was closed"),
    summary("mining_window_duration", "Seconds of work in windows whose file was closed, of this run of the program"),
    gauge(
        "mining_rollouts_per_second",
        "Rollouts made in the last closed window by this run, by the seconds of its work",
    ),
    gauge("mining_total_rollouts_in_window", "Rollouts in the last closed file"),
    gauge("mining_final_success_rate", "Share of the rollouts in the last closed file that solved their problem"),
    gauge("mining_average_reward", "Mean reward in the last closed file"),
    summary("mining_upload_duration", "Seconds from closing a file until root and file were where they have to be"),
    counter("mining_successful_uploads", "Windows whose root and file are where they have to be"),
    counter("mining_failed_uploads", "Windows missed although this run had closed their file"),
    counter("mining_uploaded_rollouts", "Rollouts in files that this run closed and uploaded"),
    counter("mining_empty_windows", "Windows missed for another reason, most often since no group was finished"),
];

/// Of a validator. Groups are drawn, so rollouts are those of the groups that were checked in full.
pub const VALIDATION: &[Family] = &[
    BLOCK_NUMBER,
    LAST_EVENT,
    counter("validation_windows_processed", "Windows judged"),
    counter("validation_total_rollouts_processed", "Rollouts checked in full"),
    counter("validation_valid_rollouts", "Rollouts checked in full, of valid files"),
    counter("validation_invalid_signatures", "Files refused for a signature"),
    counter("validation_invalid_proofs", "Files refused for a sketch"),
    counter(
        "validation_processing_errors",
        "Files without a verdict and windows not seen in time: own or others' trouble",
    ),
    gauge("validation_files_found", "Miners of the last window with a root in time and a file that was judged"),
    gauge("validation_failed_wallets_window", "Miners of the last window whose file was void or fraud"),
    gauge("validation_success_rate", "Share of the last window's judged files that are valid"),
    gauge("validation_active_miners", "Miners of the last window with a valid file"),
    gauge("validation_active_miners_uids", "1 for each miner of the last window with a valid file"),
    gauge("validation_miners_with_weights", "Neurons with weight above 0"),
    gauge("validation_total_registered_miners", "Miners that the last window was judged for"),
    gauge("validation_max_weight", "Greatest weight"),
    gauge("validation_average_weight", "Mean of the weights above 0"),
    summary(
        "validation_rollout_verification_duration",
        "Seconds the model ran over files, and rollouts checked in full",
    ),
    counter("validation_grail_verification_failures", "Files that were void or fraud"),
    counter("validation_grail_verification_successes", "Files that were valid"),
    counter("grail_token_validation_failures", "Files refused for prompt, length or replay of tokens"),
    gauge("weights_stats_min", "Smallest weight of all neurons"),
    gauge("weights_stats_mean", "Mean weight of all neurons"),
    gauge("weights_stats_max", "Greatest weight of all neurons"),
    gauge("weights_stats_gini", "Gini coefficient of the weights of all neurons"),
    gauge("weights_submission_interval_blocks", "Blocks between two settings of weights"),
    gauge("weights_submission_target_window", "Newest window that counts for the last weights that were due"),
    gauge("weights_submission_submitted", "Whether the last weights that were due are on chain"),
    gauge("had_failure", "Whether the miner's file of the last window was fraud"),
    gauge("weights_weight", "The neuron's weight"),
];
