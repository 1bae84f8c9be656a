//! Laws of the page as a whole.

use proptest::prelude::*;

use super::*;
use crate::terminal::Paint;

/// Tags of the page, in order, checked to be balanced and to have only attributes in double quotes. The style sheet's
/// own text is skipped.
fn tags(html: &str) -> Result<Vec<String>, String> {
    const VOID: [&str; 2] = ["meta", "br"];
    let mut rest = html.strip_prefix("<!DOCTYPE html>").ok_or("no doctype")?;
    let (mut open, mut seen): (Vec<&str>, Vec<String>) = (Vec::new(), Vec::new());
    while let Some((text, tail)) = rest.split_once('<') {
        check_text(text)?;
        let (tag, tail) = split_tag(tail)?;
        rest = tail;
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or("");
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(format!("no tag: {tag:?}"));
        }
        seen.push(name.to_owned());
        if tag.starts_with('/') {
            (open.pop() == Some(name)).then_some(()).ok_or(format!("{name} closes another, in {open:?}"))?;
        } else if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
        if tag == "style" {
            rest = &rest[rest.find("</style>").ok_or("style stays open")?..];
        }
    }
    check_text(rest)?;
    if open.is_empty() { Ok(seen) } else { Err(format!("stay open: {open:?}")) }
}

fn check_text(text: &str) -> Result<(), String> {
    let is_entity = |part: &str| ["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|entity| part.starts_with(entity));
    if text.contains('>') || !text.split('&').skip(1).all(is_entity) {
        return Err(format!("raw markup in {text:?}"));
    }
    Ok(())
}

/// A tag up to its `>`, which may not be in a quoted value.
fn split_tag(text: &str) -> Result<(&str, &str), String> {
    let mut is_quoted = false;
    for (i, c) in text.char_indices() {
        match c {
            '"' => is_quoted = !is_quoted,
            '>' if !is_quoted => return Ok((&text[..i], &text[i + 1..])),
            '<' => return Err(format!("{c} in a tag: {:?}", &text[..i])),
            '\'' if !is_quoted => return Err(format!("{c} in a tag: {:?}", &text[..i])),
            _ => {}
        }
    }
    Err("a tag stays open".to_owned())
}

/// Replaces every text of a report.
fn with_texts(mut report: Report, mut text: impl FnMut() -> String) -> Report {
    report.title = text();
    report.facts.iter_mut().for_each(|it| (it.label, it.value) = (text(), text()));
    report.weights.iter_mut().for_each(|it| it.name = text());
    report.commands.iter_mut().for_each(|it| (it.command, it.shows) = (text(), text()));
    for party in &mut report.parties {
        (party.name, party.hotkey) = (text(), text());
        let verdicts = party.entries.iter_mut().filter_map(|entry| entry.verdict.as_mut());
        for reason in verdicts.filter_map(|verdict| verdict.reason.as_mut()) {
            (reason.rule, reason.field, reason.expected, reason.found) = (text(), text(), text(), text());
        }
    }
    if let Some(detail) = &mut report.rollout {
        (detail.party, detail.difficulty, detail.prompt) = (text(), text(), text());
        detail.completion.iter_mut().for_each(|token| token.text = text());
        if let Some(edit) = &mut detail.edit {
            (edit.original.text, edit.claimed.text) = (text(), text());
            if let Some(difference) = &mut edit.difference {
                (difference.field, difference.expected, difference.found) = (text(), text(), text());
            }
        }
    }
    report
}

/// Balanced tags, finite drawings, nothing unseen.
fn check(html: &str) -> Result<(), String> {
    tags(html)?;
    let body = html.split_once("<body>").ok_or("no body")?.1;
    if let Some(word) = ["NaN", "inf<", ">inf", "\"inf", " inf "].iter().find(|word| body.contains(**word)) {
        return Err(format!("the page says {word}"));
    }
    for name in [" x=\"", " y=\"", " width=\"", " height=\"", " x1=\"", " y1=\""] {
        let values = body.split(name).skip(1).filter_map(|part| part.split('"').next());
        for value in values {
            let is_finite = value.trim_end_matches('%').parse::<f64>().is_ok_and(f64::is_finite);
            is_finite.then_some(()).ok_or(format!("{name}{value}"))?;
        }
    }
    match html.find(|c: char| c.is_control() && c != '\n') {
        Some(at) => Err(format!("a control character at {at}")),
        None => Ok(()),
    }
}

#[test]
fn the_page_is_balanced_deterministic_and_loads_nothing() {
    for report in [Report::example(), Report::long_example(), Report::default()] {
        let page = html(&report);
        assert_eq!(check(&page), Ok(()));
        assert_eq!(page, html(&report));
        for word in ["http", "//", "<script", "<img", "<link", "url(", "@import", " src=", " onload"] {
            assert!(!page.replace("http-equiv", "").contains(word), "{word}");
        }
        assert!(page.contains("default-src 'none'") && page.contains("prefers-color-scheme: dark"));
    }
}

#[test]
fn the_checker_of_tags_finds_what_it_looks_for() {
    let page = html(&Report::example());
    assert!(tags(&page).is_ok());
    for (from, to) in [("</td>", ""), ("<td", "<td<"), ("miner A", "miner <b>A"), ("miner A", "a & b"), ("\">", "'>")] {
        assert!(tags(&page.replacen(from, to, 1)).is_err(), "{from} -> {to}");
    }
}

#[test]
fn a_script_in_any_text_never_is_one() {
    let page = html(&with_texts(Report::example(), || "</span></title><script>alert(1)</script>\0\u{202e}".to_owned()));
    assert_eq!(check(&page), Ok(()));
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(1)"));
    assert!(page.contains('\u{2400}') && page.contains("[U+202E]") && !page.contains('\u{202e}'));
}

#[test]
fn one_window_and_no_window_are_reports_too() {
    let mut report = Report::example();
    report.parties.iter_mut().for_each(|party| party.entries.truncate(1));
    assert_eq!(check(&html(&report)), Ok(()));
    report.parties.iter_mut().for_each(|party| party.entries.clear());
    let page = html(&report);
    assert_eq!(check(&page), Ok(()));
    assert!(page.contains("Nothing was published."));
    assert!(table(&report, Paint::stdout()).contains("0/0"));
    report.rollout.as_mut().unwrap().completion.clear();
    assert_eq!(check(&html(&report)), Ok(()));
}

#[test]
fn a_changed_verdict_changes_both_outputs() {
    let report = Report::example();
    let mut changed = report.clone();
    changed.parties[0].entries[1].verdict = Some(Verdict { outcome: Outcome::Void, reason: None });
    assert_ne!(html(&report), html(&changed));
    assert_ne!(table(&report, Paint::stdout()), table(&changed, Paint::stdout()));
    let words = |report: &Report| html(report).matches("void</span>").count();
    assert_eq!(words(&changed), words(&report) + 2, "its cell, and its miner's verdicts");
}

#[test]
fn every_number_is_drawn_for_every_miner_and_window() {
    let report = Report::long_example();
    let page = html(&report);
    let entries: usize = report.miners().map(|party| party.entries.len()).sum();
    assert_eq!(page.matches("<rect class=\"generation\"").count(), entries);
    assert_eq!(page.matches("<rect class=\"verification\"").count(), entries);
    assert_eq!(page.matches(": mean reward").count(), entries);
    assert_eq!(page.matches("<rect class=\"weight\"").count(), report.weights.len());
}

#[test]
fn data_keep_the_words_of_records() {
    let json = serde_json::to_value(Report::example()).unwrap();
    assert_eq!(json["parties"][2]["entries"][0]["verdict"]["outcome"], "fraud");
    assert_eq!(json["parties"][3]["role"], "validator");
    let named = serde_json::to_value(Outcome::NoVerdict).unwrap();
    assert_eq!(named, Outcome::NoVerdict.name());
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    write(&path, "before").unwrap();
    write(&path, "after").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "after");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no part is left");

    std::fs::create_dir(folder.path().join("taken")).unwrap();
    assert!(write(&folder.path().join("taken"), "x").is_err() && write(Path::new("/"), "x").is_err());
    assert!(write(&folder.path().join("missing/report.html"), "x").is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no part is left");
}

/// `cargo test --release -p grail --lib report -- --ignored`, to look at the pages.
#[test]
#[ignore = "writes pages to look at into the folder for temporary files"]
fn pages_to_look_at() {
    for (name, report) in [("report.html", Report::example()), ("report-long.html", Report::long_example())] {
        let path = std::env::temp_dir().join(name);
        write(&path, &html(&report)).unwrap();
        println!("{}\n{}", path.display(), table(&report, Paint::stdout()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_changes_a_tag(texts in prop::collection::vec("(<|>|&|\"|'|/|=|`|&lt;|<!--|]]>|\\PC|\\pC|a){0,12}", 1..20)) {
        let mut next = texts.iter().cycle();
        let hostile = html(&with_texts(Report::example(), || next.next().cloned().unwrap_or_default()));
        let plain = html(&with_texts(Report::example(), || "a".to_owned()));
        prop_assert_eq!(tags(&hostile), tags(&plain));
        prop_assert!(!hostile.contains(|c: char| c.is_control() && c != '\n'));
    }

    #[test]
    fn no_number_gets_past_the_drawings(
        numbers in prop::collection::vec(prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), -2.0..2.0], 8),
        counts in prop::collection::vec(prop_oneof![any::<u64>(), 0..5_u64], 6),
    ) {
        let mut report = Report::example();
        for entry in report.parties.iter_mut().flat_map(|party| &mut party.entries) {
            (entry.generation_seconds, entry.verification_seconds) = (numbers[0], numbers[1]);
            entry.rewards = numbers[2..6].to_vec();
            (entry.groups, entry.rollouts, entry.solved) = (counts[0], counts[1], counts[2]);
            (entry.completion_tokens, entry.verified_tokens, entry.checked_groups) = (counts[3], counts[4], counts[5]);
        }
        report.weights.iter_mut().for_each(|weight| weight.share = numbers[6]);
        let detail = report.rollout.as_mut().unwrap();
        detail.reward = numbers[7];
        detail.completion[0].logprob = numbers[7] as f32;
        prop_assert_eq!(check(&html(&report)), Ok(()));
        let text = table(&report, Paint::stdout());
        prop_assert!(!text.contains("NaN") && !text.contains("inf"));
        prop_assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
    }
}
