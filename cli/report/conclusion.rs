//! A run in a sentence or two, said no better than it was.

use super::model::{Outcome, Party, Report, Role};
use super::numbers::{counted, percent};

/// What came of the run: how many windows of honest miners held, how many of each cheater were found out, and what
/// weight is left to them.
#[must_use]
pub fn conclusion(report: &Report) -> String {
    if report.miners().all(|party| party.entries.is_empty()) {
        return "Nothing was published.".to_owned();
    }
    let honest: Vec<&Party> = report.miners().filter(|party| party.role == Role::Honest).collect();
    let cheaters = report.miners().filter(|party| party.role == Role::Cheater);
    let sentences = honest_sentence(&honest).into_iter().chain(cheaters.map(|party| cheater_sentence(report, party)));
    sentences.collect::<Vec<_>>().join(" ")
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

fn cheater_sentence(report: &Report, party: &Party) -> String {
    let (found, all) = (party.count(Outcome::Fraud), party.entries.len());
    let caught = match found {
        _ if all == 0 => "published nothing".to_owned(),
        0 => format!("was not found out in {}", counted(all, "window")),
        _ => format!("was found out in {found} of {}", counted(all, "window")),
    };
    let weight = match report.share(party) {
        None => String::new(),
        Some(share) if share > 0.0 => format!(" and holds {} % of the weight", percent(Some(share))),
        Some(_) => " and holds no weight".to_owned(),
    };
    format!("The party \u{201c}{}\u{201d} {caught}{weight}.", party.name)
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
