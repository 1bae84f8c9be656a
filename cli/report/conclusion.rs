//! A run in a sentence or two, said no better than it was.

use super::model::{Outcome, Party, Report, Role};
use super::numbers::{counted, percent};

/// What came of the run: how many windows of honest miners held, in how many the cheaters were found out, and what
/// weight is left to them.
#[must_use]
pub fn conclusion(report: &Report) -> String {
    if report.miners().all(|party| party.entries.is_empty()) {
        return "Nothing was published.".to_owned();
    }
    let honest: Vec<&Party> = report.miners().filter(|party| party.role == Role::Honest).collect();
    let cheaters: Vec<&Party> = report.miners().filter(|party| party.role == Role::Cheater).collect();
    let sentences = [honest_sentence(&honest), cheating_sentence(report, &cheaters)];
    sentences.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Whether everything went as it must: every window of an honest miner valid, every window of a cheater fraud.
#[must_use]
pub fn is_as_expected(report: &Report) -> bool {
    let expected = |role| if role == Role::Cheater { Outcome::Fraud } else { Outcome::Valid };
    let mut entries =
        report.miners().flat_map(|party| party.entries.iter().map(|entry| (party.role, entry))).peekable();
    entries.peek().is_some() && entries.all(|(role, entry)| entry.outcome() == Some(expected(role)))
}

fn honest_sentence(honest: &[&Party]) -> Option<String> {
    let all: usize = honest.iter().map(|party| party.entries.len()).sum();
    let valid: usize = honest.iter().map(|party| party.count(Outcome::Valid)).sum();
    let whose = counted(honest.len(), "honest miner");
    match all {
        0 => None,
        _ if valid == all => Some(format!("Every window of {whose} held, bit for bit: {valid} of {all} valid.")),
        _ => Some(format!("Of {} by {whose}, {valid} held, bit for bit.", counted(all, "window"))),
    }
}

fn cheating_sentence(report: &Report, cheaters: &[&Party]) -> Option<String> {
    let (who, holds) = match cheaters {
        [] => return None,
        [party] => (format!("Cheating miner \u{201c}{}\u{201d} was", party.name), "holds"),
        many => (format!("{} cheating miners were", many.len()), "hold"),
    };
    let all: usize = cheaters.iter().map(|party| party.entries.len()).sum();
    let found: usize = cheaters.iter().map(|party| party.count(Outcome::Fraud)).sum();
    let found = if found == 0 { "not found out in any".to_owned() } else { format!("found out in {found}") };
    let shares: Vec<f64> = cheaters.iter().filter_map(|party| report.share(party)).collect();
    let weight = match shares.iter().sum::<f64>() {
        _ if shares.is_empty() => String::new(),
        share if share > 0.0 => format!(" and {holds} {} % of the weight", percent(Some(share))),
        _ => format!(" and {holds} no weight"),
    };
    Some(format!("{who} {found} of {}{weight}.", counted(all, "window")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_said_no_better_than_it_was() {
        let mut report = Report::example();
        assert!(is_as_expected(&report));
        let said = conclusion(&report);
        assert!(said.contains("Every window of 2 honest miners held") && said.contains("found out in 3 of 3 windows"));
        assert!(said.contains("holds no weight"));

        let verdict = |outcome| Some(super::super::Verdict { outcome, reason: None });
        report.parties[0].entries[0].verdict = verdict(Outcome::Void);
        report.parties[2].entries[0].verdict = verdict(Outcome::Valid);
        assert!(!is_as_expected(&report));
        let said = conclusion(&report);
        assert!(
            said.contains("Of 6 windows by 2 honest miners, 5 held") && said.contains("in 2 of 3 windows"),
            "{said}"
        );
    }

    #[test]
    fn nothing_is_not_success() {
        let report = Report::default();
        assert_eq!(conclusion(&report), "Nothing was published.");
        assert!(!is_as_expected(&report));
    }
}
