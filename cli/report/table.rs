//! The closing table of a run, for a terminal.
//!
//! Cells are measured as plain text and coloured afterwards, so that colours never move a column. One letter is taken
//! for one column: of names in wide scripts the columns may shift.

use super::model::{Entry, Outcome, Party, Report};
use super::numbers::{ABSENT, percent, speed, whole};
use crate::terminal::{Paint, printable};

/// Letters in a line, at most.
pub const WIDTH: usize = 110;

const GAP: &str = "  ";
const NAME: usize = 0;
const VERDICTS: usize = 7;
const COLUMNS: usize = 9;

/// Heading, unit, and the most letters of each column. The verdicts get what the others leave.
const HEADINGS: [(&str, &str, usize); COLUMNS] = [
    ("miner", "", 18),
    ("windows", "", 9),
    ("rollouts", "", 11),
    ("solved", "%", 6),
    ("generate", "tokens/s", 11),
    ("verify", "tokens/s", 11),
    ("ratio", "ver/gen", 9),
    ("verdicts", "", WIDTH),
    ("weight", "%", 6),
];

/// How a cell is to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    Plain,
    Heading,
    Unit,
    Good,
    Doubtful,
    Bad,
}

/// One row per miner: windows published of all, sums and speeds over all its windows, verdicts, and the weight on chain
/// at the end. Every line ends with a line break and holds at most [`WIDTH`] letters.
#[must_use]
pub fn table(report: &Report, paint: Paint) -> String {
    render(report, |tone, text| match tone {
        Tone::Plain => text,
        Tone::Heading => paint.bold(text),
        Tone::Unit => paint.dim(text),
        Tone::Good => paint.green(text),
        Tone::Doubtful => paint.yellow(text),
        Tone::Bad => paint.red(text),
    })
}

fn render(report: &Report, paint: impl Fn(Tone, String) -> String) -> String {
    let windows = report.windows().len();
    let miners: Vec<&Party> = report.miners().collect();
    let rows: Vec<[String; COLUMNS]> = miners.iter().map(|party| cells(report, party, windows)).collect();
    let widths = widths(&rows);
    let line = |cells: [&str; COLUMNS], tone: Tone, verdicts: Tone| {
        let cells = (0..COLUMNS).map(|column| {
            let padded = pad(cells[column], column, widths[column]);
            paint(if column == VERDICTS { verdicts } else { tone }, padded)
        });
        cells.collect::<Vec<_>>().join(GAP) + "\n"
    };
    let mut out = line(HEADINGS.map(|heading| heading.0), Tone::Heading, Tone::Heading);
    out += &line(HEADINGS.map(|heading| heading.1), Tone::Unit, Tone::Unit);
    for (cells, party) in rows.iter().zip(&miners) {
        out += &line(cells.each_ref().map(String::as_str), Tone::Plain, tone(party));
    }
    out
}

fn cells(report: &Report, party: &Party, windows: usize) -> [String; COLUMNS] {
    let totals = party.totals();
    [
        printable(&party.name),
        format!("{}/{windows}", totals.published),
        whole(totals.rollouts),
        percent(totals.success_rate()),
        speed(totals.generation_speed()),
        speed(totals.verification_speed()),
        totals.advantage().map_or_else(|| ABSENT.to_owned(), |times| format!("{}\u{d7}", speed(Some(times)))),
        printable(&verdicts(&party.entries)),
        percent(report.share(party)),
    ]
}

/// Outcomes with their counts and rules: `2 valid, 1 fraud: ReplayMismatch`.
pub fn verdicts(entries: &[Entry]) -> String {
    let mut parts = Vec::new();
    for outcome in Outcome::ALL {
        let of_outcome: Vec<&Entry> = entries.iter().filter(|entry| entry.outcome() == Some(outcome)).collect();
        let mut rules: Vec<&str> = Vec::new();
        for reason in of_outcome.iter().filter_map(|entry| entry.verdict.as_ref()?.reason.as_ref()) {
            if !rules.contains(&reason.rule.as_str()) {
                rules.push(&reason.rule);
            }
        }
        let rules = if rules.is_empty() { String::new() } else { format!(": {}", rules.join("/")) };
        if !of_outcome.is_empty() {
            parts.push(format!("{} {}{rules}", of_outcome.len(), outcome.name()));
        }
    }
    let unjudged = entries.iter().filter(|entry| entry.verdict.is_none()).count();
    if unjudged > 0 {
        parts.push(format!("{unjudged} not judged"));
    }
    if parts.is_empty() { ABSENT.to_owned() } else { parts.join(", ") }
}

fn tone(party: &Party) -> Tone {
    let is_any = |outcome| party.count(outcome) > 0;
    match party.entries.len() {
        0 => Tone::Plain,
        _ if is_any(Outcome::Fraud) => Tone::Bad,
        all if party.count(Outcome::Valid) == all => Tone::Good,
        _ => Tone::Doubtful,
    }
}

fn widths(rows: &[[String; COLUMNS]]) -> [usize; COLUMNS] {
    let mut widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        let (heading, unit, most) = HEADINGS[column];
        let cells = rows.iter().map(|row| letters(&row[column]));
        cells.chain([letters(heading), letters(unit)]).max().unwrap_or(0).min(most)
    });
    let others: usize = (0..COLUMNS).filter(|&column| column != VERDICTS).map(|column| widths[column]).sum();
    widths[VERDICTS] = widths[VERDICTS].min(WIDTH.saturating_sub(others + GAP.len() * (COLUMNS - 1)));
    widths
}

fn letters(text: &str) -> usize {
    text.chars().count()
}

/// Words to the left, numbers to the right; what is too long ends in an ellipsis.
fn pad(text: &str, column: usize, width: usize) -> String {
    let mut text = text.to_owned();
    if letters(&text) > width {
        text = text.chars().take(width.saturating_sub(1)).chain(['\u{2026}']).collect();
    }
    if matches!(column, NAME | VERDICTS) { format!("{text:<width$}") } else { format!("{text:>width$}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(report: &Report) -> String {
        render(report, |_, text| text)
    }

    #[test]
    fn columns_align_and_hold_at_most_the_width() {
        let mut report = Report::example();
        let lengths = |text: &str| text.lines().map(letters).collect::<Vec<_>>();
        let usual = lengths(&plain(&report));
        assert!(usual.len() == 5 && usual.iter().all(|&n| n == usual[0] && n <= WIDTH), "{usual:?}");

        report.parties[0].name = "m".repeat(200);
        for entry in &mut report.parties[0].entries {
            (entry.rollouts, entry.verified_tokens, entry.generation_seconds) = (u64::MAX, u64::MAX, 1e-300);
        }
        let verdict = report.parties[2].entries[0].verdict.as_mut().unwrap();
        verdict.reason.as_mut().unwrap().rule = "Rule".repeat(100);
        let text = plain(&report);
        let long = lengths(&text);
        assert!(long.iter().all(|&n| n == long[0] && n <= WIDTH), "{text}");
        assert!(long[0] > usual[0] && text.contains("mmm\u{2026}") && text.contains("RuleR"));
    }

    #[test]
    fn numbers_are_the_sums_of_the_data() {
        let report = Report::example();
        let text = plain(&report);
        for party in report.miners() {
            let line = text.lines().find(|line| line.starts_with(&party.name)).unwrap();
            let entries = &party.entries;
            let rollouts: u64 = entries.iter().map(|entry| entry.rollouts).sum();
            let solved: u64 = entries.iter().map(|entry| entry.solved).sum();
            let tokens: u64 = entries.iter().map(|entry| entry.completion_tokens).sum();
            let seconds: f64 = entries.iter().map(|entry| entry.generation_seconds).sum();
            let words: Vec<&str> = line[party.name.len()..].split_whitespace().collect();
            assert_eq!(words[0], format!("{}/3", entries.len()));
            assert_eq!(words[1], rollouts.to_string());
            assert_eq!(words[2], format!("{:.1}", solved as f64 / rollouts as f64 * 100.0));
            assert_eq!(words[3], format!("{:.0}", tokens as f64 / seconds));
            assert_eq!(words.last().copied(), Some(percent(report.share(party)).as_str()));
        }
    }

    #[test]
    fn colours_move_no_column_and_tell_a_cheater() {
        let report = Report::example();
        let marked = render(&report, |tone, text| format!("\x1b[{}m{text}\x1b[0m", tone as u8));
        let bare: String = marked.split('\x1b').map(|part| part.split_once('m').map_or(part, |p| p.1)).collect();
        assert_eq!(bare, plain(&report));
        let tones: Vec<Tone> = report.miners().map(tone).collect();
        assert_eq!(tones, [Tone::Good, Tone::Good, Tone::Bad]);
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        let mut report = Report::example();
        report.weights.clear();
        for party in &mut report.parties {
            party.entries.truncate(1);
            party.entries.iter_mut().for_each(|entry| *entry = Entry { window: entry.window, ..Entry::default() });
        }
        let text = plain(&report);
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        let line = text.lines().nth(2).unwrap();
        let expected = ["miner", "A", "0/1", "0", "-", "-", "-", "-", "1", "not", "judged", "-"];
        assert_eq!(line.split_whitespace().collect::<Vec<_>>(), expected);
        assert_eq!(plain(&Report::default()).lines().count(), 2);
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        let mut report = Report::example();
        report.parties[0].name = "\x1b[2Ja\nb".to_owned();
        assert!(!plain(&report).contains('\x1b') && plain(&report).lines().count() == 5);
    }
}
