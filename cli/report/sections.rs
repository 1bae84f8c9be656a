//! The sections of the page that are words and tables.

use super::conclusion::{conclusion, is_as_expected};
use super::escape::escape;
use super::figures::sign;
use super::model::{Entry, Outcome, Party, Report, Role};
use super::numbers::{ABSENT, number_or_absent, percent, speed, whole};
use super::table::verdicts;

/// Windows up to which a cell of the matrix has room for its word.
const WORDED: usize = 8;

/// Title, conclusion, and the four numbers to remember.
pub fn head(report: &Report) -> String {
    let totals = report.totals();
    let is_good = is_as_expected(report);
    let (class, sign) = if is_good { ("valid", "\u{2713}") } else { ("void", "!") };
    let tiles = [
        ("rollouts published", whole(totals.rollouts)),
        ("tokens generated", whole(totals.completion_tokens)),
        ("tokens verified", whole(totals.verified_tokens)),
        (
            "verified / generated, tokens/s",
            totals.advantage().map_or(ABSENT.into(), |x| format!("{}\u{d7}", speed(Some(x)))),
        ),
    ];
    let tile = |(label, value)| format!("<div><dt>{label}</dt><dd>{value}</dd></div>");
    format!(
        "<header><h1>{}</h1><p class=\"conclusion {class}\"><span class=\"mark {class}\" aria-hidden=\"true\">{sign}\
         </span><span>{}</span></p><dl class=\"tiles\">{}</dl></header>",
        escape(&report.title),
        escape(&conclusion(report)),
        tiles.into_iter().map(tile).collect::<String>()
    )
}

/// What to know of the run, and who took part.
pub fn facts(report: &Report) -> String {
    let fact = |label: &str, value: &str| format!("<div><dt>{}</dt><dd>{}</dd></div>", escape(label), escape(value));
    let facts: String = report.facts.iter().map(|it| fact(&it.label, &it.value)).collect();
    let party = |party: &Party| {
        let uid = party.uid.map_or_else(|| ABSENT.to_owned(), |uid| uid.to_string());
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"n\">{uid}</td><td><code>{}</code></td></tr>",
            escape(&party.name),
            role(party.role),
            escape(&party.hotkey)
        )
    };
    let head = headings(&[("who", false), ("role", false), ("uid", true), ("hotkey", false)]);
    let parties: String = report.parties.iter().map(party).collect();
    format!("<dl class=\"facts\">{facts}</dl>{}", wide_table("Parties", &head, &parties))
}

/// One row per miner, sums over all windows.
pub fn miners(report: &Report) -> String {
    let windows = report.windows().len() as u64;
    let row = |party: &Party| {
        let totals = party.totals();
        let cells = [
            format!("{}/{windows}", totals.published),
            whole(totals.rollouts),
            percent(totals.success_rate()),
            speed(totals.generation_speed()),
            speed(totals.verification_speed()),
            totals.advantage().map_or(ABSENT.into(), |x| format!("{}\u{d7}", speed(Some(x)))),
            format!("{}/{}", whole(totals.checked_groups), whole(totals.groups)),
            percent(report.share(party)),
        ];
        let cells: String = cells.iter().map(|cell| format!("<td class=\"n\">{cell}</td>")).collect();
        let (words, class) = (escape(&verdicts(&party.entries)), class_of(party));
        format!(
            "<tr><th scope=\"row\">{}</th>{cells}<td><span class=\"mark {class}\">{words}</span></td></tr>",
            escape(&party.name),
        )
    };
    let head = headings(&[
        ("miner", false),
        ("windows published", true),
        ("rollouts", true),
        ("solved, %", true),
        ("generated, tokens/s", true),
        ("verified, tokens/s", true),
        ("verified / generated", true),
        ("groups checked", true),
        ("weight, %", true),
        ("verdicts", false),
    ]);
    wide_table("Miners", &head, &report.miners().map(row).collect::<String>())
}

/// Verdicts, windows by miners, and every reason in words below.
pub fn matrix(report: &Report) -> String {
    let windows = report.windows();
    let worded = windows.len() <= WORDED;
    let row = |party: &Party| {
        let cells = windows.iter().map(|&window| match party.entry(window) {
            Some(entry) => matrix_cell(party, entry, worded),
            None => "<td class=\"cell\" title=\"nothing published\">\u{2013}</td>".to_owned(),
        });
        format!("<tr><th scope=\"row\">{}</th>{}</tr>", escape(&party.name), cells.collect::<String>())
    };
    let head = windows.iter().map(|window| format!("<th class=\"cell\" scope=\"col\">{window}</th>"));
    let head = format!("<tr><th scope=\"col\">miner \\ window</th>{}</tr>", head.collect::<String>());
    let legend = Outcome::ALL.map(|outcome| {
        let (sign, class) = sign(Some(outcome));
        format!("<span class=\"mark {class}\">{sign} {}</span> {}", outcome.name(), meaning(outcome))
    });
    let class = if worded { "matrix" } else { "matrix dense" };
    format!(
        "<p class=\"legend\">{}; \u{2013} nothing published</p>\
         <div class=\"wide\" role=\"region\" aria-label=\"Verdicts\" tabindex=\"0\"><table class=\"{class}\"><thead>{head}</thead><tbody>{}</tbody>\
         </table></div>{}",
        legend.join("; "),
        report.miners().map(row).collect::<String>(),
        reasons(report)
    )
}

fn matrix_cell(party: &Party, entry: &Entry, worded: bool) -> String {
    let (sign, class) = sign(entry.outcome());
    let outcome = entry.outcome().map_or("not judged", Outcome::name);
    let reason = entry.verdict.as_ref().and_then(|verdict| verdict.reason.as_ref());
    let reason = reason.map(|reason| format!(": {}", reason.sentence())).unwrap_or_default();
    let tip = escape(&format!("{}, window {}: {outcome}{reason}", party.name, entry.window));
    let word = if worded { format!(" {outcome}") } else { format!("<span class=\"unseen\"> {outcome}</span>") };
    format!("<td class=\"cell\" title=\"{tip}\"><span class=\"mark {class}\">{sign}{word}</span></td>")
}

fn reasons(report: &Report) -> String {
    let rows: Vec<String> = report
        .miners()
        .flat_map(|party| party.entries.iter().map(move |entry| (party, entry)))
        .filter_map(|(party, entry)| {
            let reason = entry.verdict.as_ref()?.reason.as_ref()?;
            Some(format!(
                "<li><b>{}</b>, window {}: {}</li>",
                escape(&party.name),
                entry.window,
                escape(&reason.sentence())
            ))
        })
        .collect();
    match rows.len() {
        0 => String::new(),
        n => {
            let open = if n <= WORDED { " open=\"\"" } else { "" };
            format!("<details{open}><summary>Reasons ({n})</summary><ul>{}</ul></details>", rows.concat())
        }
    }
}

/// Every entry in numbers: what the drawings are made from.
pub fn entries(report: &Report) -> String {
    let row = |(party, entry): (&Party, &Entry)| {
        let outcome = entry.outcome().map_or(ABSENT, Outcome::name);
        let cells = [
            whole(entry.groups),
            whole(entry.rollouts),
            whole(entry.solved),
            number_or_absent(super::numbers::mean(&entry.rewards)),
            whole(entry.completion_tokens),
            number_or_absent(Some(entry.generation_seconds)),
            whole(entry.checked_groups),
            whole(entry.verified_tokens),
            number_or_absent(Some(entry.verification_seconds)),
        ];
        let cells: String = cells.iter().map(|cell| format!("<td class=\"n\">{cell}</td>")).collect();
        let (name, window) = (escape(&party.name), entry.window);
        format!("<tr><th scope=\"row\">{name}</th><td class=\"n\">{window}</td>{cells}<td>{outcome}</td></tr>")
    };
    let head = headings(&[
        ("miner", false),
        ("window", true),
        ("groups", true),
        ("rollouts", true),
        ("solved", true),
        ("mean reward", true),
        ("tokens generated", true),
        ("seconds", true),
        ("groups checked", true),
        ("tokens verified", true),
        ("seconds", true),
        ("verdict", false),
    ]);
    let entries = report.miners().flat_map(|party| party.entries.iter().map(move |entry| (party, entry)));
    let table = wide_table("Windows in numbers", &head, &entries.map(row).collect::<String>());
    format!("<details><summary>Every window in numbers</summary>{table}</details>")
}

/// What a reader can run.
pub fn commands(report: &Report) -> String {
    let item = |it: &super::CheckCommand| {
        format!("<li><p>{}</p><pre><code>{}</code></pre></li>", escape(&it.shows), escape(&it.command))
    };
    format!("<ol class=\"commands\">{}</ol>", report.commands.iter().map(item).collect::<String>())
}

fn class_of(party: &Party) -> &'static str {
    let all = party.entries.len();
    match () {
        () if party.count(Outcome::Fraud) > 0 => "fraud",
        () if all > 0 && party.count(Outcome::Valid) == all => "valid",
        () => "void",
    }
}

fn meaning(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Valid => "counts",
        Outcome::Void => "counts zero",
        Outcome::Fraud => "counts zero, and so does the miner for a while",
        Outcome::NoVerdict => "the validator could not tell",
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Honest => "honest miner",
        Role::Cheater => "cheating miner",
        Role::Validator => "validator",
    }
}

fn headings(columns: &[(&str, bool)]) -> String {
    let heading = |(words, is_number): &(&str, bool)| {
        format!("<th{} scope=\"col\">{words}</th>", if *is_number { " class=\"n\"" } else { "" })
    };
    format!("<tr>{}</tr>", columns.iter().map(heading).collect::<String>())
}

/// A table that scrolls by itself where the page is too narrow, from the keyboard too.
pub fn wide_table(name: &str, head: &str, body: &str) -> String {
    format!(
        "<div class=\"wide\" role=\"region\" aria-label=\"{name}\" tabindex=\"0\"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>"
    )
}
