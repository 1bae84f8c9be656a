//! One rollout, token by token: what was asked, what was answered, how probable each token was, and, where one was
//! edited, what the verifier derived instead.

use super::escape::{escape, escape_lines};
use super::model::{Edit, Report, RolloutDetail, Token, TokenName};
use super::numbers::number;
use super::sections::wide_table;

/// Least probabilities of the colours, and their words.
const SHADES: [(f32, &str); 5] =
    [(0.9, "at least 0.9"), (0.5, "0.5"), (0.1, "0.1"), (0.01, "0.01"), (f32::NEG_INFINITY, "less")];

/// Rows of the table of sketches before and after its middle.
const AROUND: usize = 4;

/// The section; nothing where there is no rollout.
pub fn rollout(report: &Report) -> String {
    let Some(detail) = &report.rollout else { return String::new() };
    format!(
        "<section aria-labelledby=\"rollout\"><h2 id=\"rollout\">One rollout in detail</h2>{}{}{}{}{}</section>",
        facts(detail),
        prompt(detail),
        completion(detail),
        detail.edit.as_ref().map(|edit| edit_words(detail, edit)).unwrap_or_default(),
        sketches(detail),
    )
}

fn facts(detail: &RolloutDetail) -> String {
    let solved = if detail.success { "yes" } else { "no" };
    let facts = [
        ("published by", escape(&detail.party)),
        ("window", detail.window.to_string()),
        ("problem", detail.problem.to_string()),
        ("difficulty", escape(&detail.difficulty)),
        ("tokens", format!("{} prompt + {} completion", detail.prompt_tokens, detail.completion.len())),
        ("reward", number(detail.reward)),
        ("claims to be solved", solved.to_owned()),
    ];
    let fact = |(label, value)| format!("<div><dt>{label}</dt><dd>{value}</dd></div>");
    format!("<dl class=\"facts\">{}</dl>", facts.into_iter().map(fact).collect::<String>())
}

fn prompt(detail: &RolloutDetail) -> String {
    format!("<h3>Prompt</h3><pre class=\"text\" tabindex=\"0\">{}</pre>", escape_lines(&detail.prompt))
}

fn completion(detail: &RolloutDetail) -> String {
    let edited = detail.edit.as_ref().and_then(|edit| edit.position.checked_sub(detail.prompt_tokens));
    let difference = detail.edit.as_ref().and_then(|edit| edit.difference.as_ref());
    let differs = difference.and_then(|difference| difference.position.checked_sub(detail.prompt_tokens));
    let tokens = detail.completion.iter().enumerate().map(|(i, token)| {
        let position = detail.prompt_tokens.saturating_add(i);
        let flag = if differs == Some(i) { "<b class=\"flag\">\u{2691}</b>" } else { "" };
        let class = if differs == Some(i) { " differs" } else { "" };
        let body = match detail.edit.as_ref().filter(|_| edited == Some(i)) {
            Some(edit) => format!(
                "<mark class=\"edit\"><del>{}</del><ins>{}</ins></mark>",
                shown(&edit.original.text),
                shown(&edit.claimed.text)
            ),
            None => shown(&token.text),
        };
        let shade = shade(token.logprob);
        format!("{flag}<span class=\"t p{shade}{class}\" title=\"{}\">{body}</span>", tip(position, token))
    });
    let legend = SHADES.iter().enumerate().map(|(i, (_, words))| format!("<span class=\"t p{i}\">{words}</span>"));
    let marks = match (&detail.edit, differs) {
        (None, _) => String::new(),
        (Some(_), at) => {
            let flag = at.map(|_| " <b class=\"flag\">\u{2691}</b> first difference found").unwrap_or_default();
            format!(
                " <span class=\"also\"><mark class=\"edit\"><del>sampled</del><ins>published</ins></mark>{flag}</span>"
            )
        }
    };
    format!(
        "<h3>Completion</h3><p class=\"legend\">Probability of each token: {}{marks}</p>\
         <div class=\"text completion\" role=\"region\" aria-label=\"Completion\" tabindex=\"0\">{}</div>\
         <p class=\"faint\">Point at a token, or touch it, for its number, log-probabilities and sketch.</p>",
        legend.collect::<Vec<_>>().join(" "),
        tokens.collect::<String>(),
    )
}

/// A token without letters still has to be seen.
fn shown(text: &str) -> String {
    if text.is_empty() { "\u{2205}".to_owned() } else { escape_lines(text) }
}

/// The same by itself, where spaces at the ends would not be seen.
fn quoted(text: &str) -> String {
    let inner = text.trim_matches(' ');
    let before = text.len() - text.trim_start_matches(' ').len();
    let after = text.len() - inner.len() - before;
    match inner {
        "" if !text.is_empty() => "\u{2423}".repeat(text.len()),
        _ => format!("{}{}{}", "\u{2423}".repeat(before), shown(inner), "\u{2423}".repeat(after)),
    }
}

fn shade(logprob: f32) -> usize {
    let probability = logprob.exp();
    SHADES.iter().position(|(least, _)| probability >= *least).unwrap_or(SHADES.len() - 1)
}

fn tip(position: usize, token: &Token) -> String {
    let Token { id, sketch, .. } = token;
    let (probability, sampling) = (number(f64::from(token.logprob.exp())), logprob(token.logprob));
    let (raw, text) = (logprob(token.raw_logprob), escape(&token.text));
    format!(
        "position {position}: token {id} \u{201c}{text}\u{201d}, probability {probability}, \
         log-probability {sampling} (raw {raw}), sketch {sketch}"
    )
}

fn logprob(x: f32) -> String {
    if x.is_finite() { format!("{x:.4}") } else { super::numbers::ABSENT.to_owned() }
}

fn edit_words(detail: &RolloutDetail, edit: &Edit) -> String {
    let named = |token: &TokenName| format!("<code>{}</code> (id {})", quoted(&token.text), token.id);
    let place = |position: usize| match position.checked_sub(detail.prompt_tokens) {
        Some(i) => format!("position {position} (token {i} of the completion)"),
        None => format!("position {position} (in the prompt)"),
    };
    let (class, found) = match &edit.difference {
        Some(difference) => (
            "finding fraud",
            format!(
                "The verifier runs the model over the published tokens, and finds the first difference at {}: \
                 <b>{}</b> had to be <code>{}</code>, the file says <code>{}</code>.",
                place(difference.position),
                escape(&difference.field),
                escape(&difference.expected),
                escape(&difference.found),
            ),
        ),
        None => ("finding void", "The verifier found no difference.".to_owned()),
    };
    format!(
        "<p class=\"{class}\">At {} the sampler emitted {}; {} published {} instead, and signed it. {found}</p>",
        place(edit.position),
        named(&edit.original),
        escape(&detail.party),
        named(&edit.claimed),
    )
}

fn sketches(detail: &RolloutDetail) -> String {
    let edit = detail.edit.as_ref();
    let middle = edit.map_or(detail.prompt_tokens, |edit| {
        edit.difference.as_ref().map_or(edit.position, |difference| difference.position)
    });
    let middle = middle.saturating_sub(detail.prompt_tokens);
    let rows: Vec<(usize, &Token)> = detail
        .completion
        .iter()
        .enumerate()
        .skip(middle.saturating_sub(AROUND))
        .take(2 * AROUND + 1)
        .map(|(i, token)| (detail.prompt_tokens.saturating_add(i), token))
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let is_derived = rows.iter().any(|(_, token)| token.derived_sketch.is_some());
    let derived_heading = if is_derived { "<th class=\"n\" scope=\"col\">derived sketch</th><td></td>" } else { "" };
    let body = rows.iter().map(|&(position, token)| {
        let mark = edit.filter(|edit| edit.position == position).map_or("", |_| " class=\"edited\"");
        let derived = if is_derived { derived_cells(token) } else { String::new() };
        format!(
            "<tr{mark}><th class=\"n\" scope=\"row\">{position}</th><td><code>{}</code></td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td>{derived}</tr>",
            quoted(&token.text),
            token.id,
            logprob(token.logprob),
            token.sketch,
        )
    });
    let head = format!(
        "<tr><th class=\"n\" scope=\"col\">position</th><th scope=\"col\">token</th><th class=\"n\" scope=\"col\">id</th>\
         <th class=\"n\" scope=\"col\">log-probability</th><th class=\"n\" scope=\"col\">published sketch</th>\
         {derived_heading}</tr>"
    );
    format!(
        "<h3>Sketches {}</h3><p class=\"faint\">A sketch is a number below 2<sup>31</sup> made from the hidden state \
         at a position. It depends on every token so far, and is compared exactly.</p>{}",
        if edit.is_some() { "around the edit" } else { "of the first tokens" },
        wide_table("Sketches", &head, &body.collect::<String>()),
    )
}

fn derived_cells(token: &Token) -> String {
    let (value, class, sign) = match token.derived_sketch {
        None => (super::numbers::ABSENT.to_owned(), "unknown", "not derived"),
        Some(derived) if derived == token.sketch => (derived.to_string(), "valid", "\u{2713} same"),
        Some(derived) => (derived.to_string(), "fraud", "\u{2715} differs"),
    };
    format!("<td class=\"n\">{value}</td><td class=\"mark {class}\">{sign}</td>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_less_probable_token_has_a_stronger_shade() {
        let shades: Vec<usize> = [1.0_f32, 0.95, 0.6, 0.2, 0.02, 0.001].into_iter().map(|p| shade(p.ln())).collect();
        assert_eq!(shades, [0, 0, 1, 2, 3, 4]);
        assert_eq!((shade(f32::NEG_INFINITY), shade(f32::NAN)), (4, 4));
    }

    #[test]
    fn every_token_can_be_seen() {
        let shown = ["", " ", "  a", "a ", "a b", "\n", "<"].map(quoted);
        assert_eq!(shown, ["∅", "␣", "␣␣a", "a␣", "a b", "↵\n", "&lt;"]);
    }

    #[test]
    fn the_edited_token_and_the_finding_are_told() {
        let mut report = Report::example();
        let shown = rollout(&report);
        let edit = report.rollout.as_ref().unwrap().edit.clone().unwrap();
        let marks = format!("<del>{}</del><ins>{}</ins>", edit.original.text, edit.claimed.text);
        assert_eq!(shown.matches(&marks).count(), 1);
        assert!(shown.contains(&format!("first difference at position {}", edit.position)));
        assert_eq!(shown.matches("class=\"edited\"").count(), 1);

        report.rollout.as_mut().unwrap().edit = None;
        let honest = rollout(&report);
        assert!(!honest.contains("<del>") && !honest.contains("first difference") && honest.contains("<h3>Completion"));
    }

    #[test]
    fn places_outside_of_the_completion_are_words_only() {
        let mut report = Report::example();
        let edit = report.rollout.as_mut().unwrap().edit.as_mut().unwrap();
        edit.position = 0;
        edit.difference.as_mut().unwrap().position = usize::MAX;
        let shown = rollout(&report);
        assert!(shown.contains("position 0 (in the prompt)") && !shown.contains("class=\"edited\""));
        report.rollout.as_mut().unwrap().prompt_tokens = usize::MAX;
        assert!(rollout(&report).contains(&format!("position {}", usize::MAX)));
    }
}
