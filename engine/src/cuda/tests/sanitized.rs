//! Small cases of every kernel again, in child processes: under the sanitizers, without optimisation, and in other
//! schedules with work deferred to the synchronisation that the backend asked for. That each of these can fail is shown
//! by the planted faults in kernels/host/tests.

use grail_standin::{Build, Unavailable, rerun};

/// At least one case of every kernel, small enough for ThreadSanitizer.
const SMALL: [&str; 12] = [
    "append::a_sequence_ends_once_and_its_last_token_passes_through",
    "attention::decode::a_copied_page_is_the_page",
    "attention::decode::equal_scores_and_zero_rows_are_the_reference",
    "attention::prefill::decode_equals_prefill",
    "embed::rows_beyond_the_count_are_left_alone",
    "final_norm::faults_are_told_in_the_order_of_the_pass_and_move_no_other_row",
    "head::another_weight_is_another_logit",
    "norm_quantize::one_bit_of_one_element_shows",
    "products::one_unit_of_one_element_shows",
    "quantize_rows::a_fault_is_its_rows_alone",
    "quantize_weights::gate_and_up_alternate_by_eight_rows",
    "reading::a_changed_question_is_another_answer",
];

fn pass_again(build: Build, variables: &[(&str, &str)]) {
    let names = SMALL.map(|name| format!("cuda::tests::{name}"));
    match rerun(build, &names.each_ref().map(String::as_str), variables) {
        Ok(run) => assert!(run.passed, "{build:?} {variables:?}:\n{}", run.text),
        Err(Unavailable::NoCompiler) => eprintln!("skipped: {}", Unavailable::NoCompiler),
        Err(why) => panic!("{why}"),
    }
}

#[test]
fn kernels_stay_in_bounds_and_defined() {
    pass_again(Build::Address, &[]);
}

#[test]
fn kernels_do_not_race() {
    pass_again(Build::Races, &[]);
}

#[test]
fn the_optimiser_of_the_host_does_not_matter() {
    pass_again(Build::Unoptimised, &[]);
}

#[test]
fn no_schedule_and_no_deferral_matters() {
    let schedules = [("descending", "eager", "1"), ("random", "coin", "1"), ("random", "coin", "2")];
    for (order, copies, seed) in schedules {
        let mode = if seed == "1" { "deferred" } else { "eager" };
        let variables =
            [("STANDIN_ORDER", order), ("STANDIN_COPIES", copies), ("STANDIN_SEED", seed), ("STANDIN_MODE", mode)];
        pass_again(Build::Plain, &variables);
    }
}
