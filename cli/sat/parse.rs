//! Reading an answer out of a completion (PROTOCOL 4.4).
//!
//! Four tags are looked for as CPython's `re` would with IGNORECASE on text: white space is Unicode's plus
//! U+001C to U+001F, and the letters s, i and k have partners outside ASCII. That set is small and fixed, so
//! it is written out here instead of being left to another engine's idea of case.

use grail_protocol::encoding::is_python_space;

/// What a completion was understood to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// One value per variable: the answer's bits, cut or padded with false.
    pub assignment: Vec<bool>,
    /// The text between the tags, empty without an answer.
    pub text: String,
    /// Number of `0` and `1` in the text.
    pub bit_count: usize,
    /// An opening and a closing tag of the working out are somewhere. No reward depends on it.
    pub has_thinking: bool,
    /// An opening answer tag is followed by a closing one.
    pub has_answer: bool,
    /// The text consists of bits and white space.
    pub only_bits_and_spaces: bool,
    /// Code points after the closing tag.
    pub trailing: usize,
    /// Exactly one tag of each kind, nothing after it, and one bit per variable.
    pub is_strict: bool,
}

/// A closing tag has a slash; white space may stand around it and around the name.
#[derive(Clone, Copy)]
struct Tag {
    is_closing: bool,
    name: &'static str,
}

const OPEN_ANSWER: Tag = Tag { is_closing: false, name: "solution" };
const CLOSE_ANSWER: Tag = Tag { is_closing: true, name: "solution" };
const OPEN_THINKING: Tag = Tag { is_closing: false, name: "start_working_out" };
const CLOSE_THINKING: Tag = Tag { is_closing: false, name: "end_working_out" };

impl Answer {
    /// Reads a completion for a problem with `num_vars` variables.
    #[must_use]
    pub fn parse(completion: &str, num_vars: usize) -> Self {
        let opens: Vec<Match> = OPEN_ANSWER.all(completion).collect();
        let closes: Vec<Match> = CLOSE_ANSWER.all(completion).collect();
        let span = opens.first().and_then(|open| {
            let close = closes.iter().find(|close| close.start >= open.end)?;
            Some((open.end, *close))
        });
        let text = span.map_or("", |(start, close)| &completion[start..close.start]);
        let trailing = span.map_or(0, |(_, close)| completion[close.end..].chars().count());
        let bits: Vec<bool> = text.chars().filter_map(bit).collect();
        let only_bits_and_spaces = text.chars().all(|c| bit(c).is_some() || is_python_space(c));
        let one_of_each = opens.len() == 1 && closes.len() == 1;
        let is_clean = trailing == 0 && only_bits_and_spaces && bits.len() == num_vars;
        let mut assignment = bits.clone();
        assignment.resize(num_vars, false);
        Self {
            assignment,
            text: text.to_owned(),
            bit_count: bits.len(),
            has_thinking: OPEN_THINKING.is_in(completion) && CLOSE_THINKING.is_in(completion),
            has_answer: span.is_some(),
            only_bits_and_spaces,
            trailing,
            is_strict: one_of_each && is_clean,
        }
    }
}

fn bit(c: char) -> Option<bool> {
    match c {
        '0' => Some(false),
        '1' => Some(true),
        _ => None,
    }
}

/// Byte offsets of a tag.
#[derive(Clone, Copy)]
struct Match {
    start: usize,
    end: usize,
}

impl Tag {
    fn is_in(self, text: &str) -> bool {
        self.all(text).next().is_some()
    }

    /// All places of the tag. They cannot overlap, since a tag holds one `<`, at its start.
    fn all(self, text: &str) -> impl Iterator<Item = Match> + '_ {
        text.match_indices('<').filter_map(move |(start, _)| {
            let rest = self.strip(&text[start + 1..])?;
            Some(Match { start, end: text.len() - rest.len() })
        })
    }

    /// The text after the rest of the tag, whose `<` has been read.
    fn strip(self, text: &str) -> Option<&str> {
        let mut text = text.trim_start_matches(is_python_space);
        if self.is_closing {
            text = text.strip_prefix('/')?.trim_start_matches(is_python_space);
        }
        for letter in self.name.chars() {
            text = text.strip_prefix(|c| is_letter(c, letter))?;
        }
        text.trim_start_matches(is_python_space).strip_prefix('>')
    }
}

/// Whether CPython matches `c` against the lower-case pattern letter `letter` when case is ignored.
fn is_letter(c: char, letter: char) -> bool {
    match c {
        '\u{17f}' => letter == 's',
        '\u{130}' | '\u{131}' => letter == 'i',
        '\u{212a}' => letter == 'k',
        _ => c.to_ascii_lowercase() == letter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every code point beside the two ASCII ones that CPython 3.11 matches with `re.compile(letter, re.I)`.
    const PARTNERS: &[(char, &[char])] = &[('s', &['\u{17f}']), ('i', &['\u{130}', '\u{131}']), ('k', &['\u{212a}'])];

    #[test]
    fn letters_match_exactly_what_cpython_matches() {
        for letter in "solutionstartworkingend_".chars() {
            let mut expected = vec![letter.to_ascii_uppercase(), letter];
            expected.dedup();
            for (_, partners) in PARTNERS.iter().filter(|p| p.0 == letter) {
                expected.extend_from_slice(partners);
            }
            let found: Vec<char> = ('\0'..=char::MAX).filter(|&c| is_letter(c, letter)).collect();
            assert_eq!(found, expected, "{letter}");
        }
    }

    #[test]
    fn only_the_first_answer_counts() {
        let answer = Answer::parse("<solution>10<solution>01</solution>x</solution>", 4);
        assert_eq!(answer.text, "10<solution>01");
        assert_eq!(answer.assignment, [true, false, false, true]);
        assert_eq!(answer.trailing, 12);
        assert!(!answer.is_strict && answer.has_answer && !answer.only_bits_and_spaces);
    }

    #[test]
    fn a_close_before_the_open_is_no_answer() {
        let answer = Answer::parse("</solution>101<solution>", 3);
        assert!(!answer.has_answer && !answer.is_strict && answer.text.is_empty());
        assert_eq!(answer.assignment, [false; 3]);
        assert_eq!((answer.trailing, answer.bit_count), (0, 0));
    }

    #[test]
    fn tags_of_thinking_count_in_any_order() {
        assert!(Answer::parse("<end_working_out>< START_wor\u{212a}\u{131}ng_out\u{1c}>", 3).has_thinking);
        assert!(!Answer::parse("<end_working_out><start_working_out", 3).has_thinking);
        assert!(!Answer::parse("<end_working_out></start_working_out>", 3).has_thinking);
    }

    #[test]
    fn long_runs_of_half_tags_take_linear_time() {
        // Quadratic time would take minutes here.
        let text = "<  solutio ".repeat(200_000) + &"<".repeat(1_000_000) + &" ".repeat(1_000_000);
        assert!(!Answer::parse(&text, 3).has_answer);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text: String, num_vars in 0_usize..12) {
            let answer = Answer::parse(&text, num_vars);
            prop_assert_eq!(answer.assignment.len(), num_vars);
        }

        #[test]
        fn fragments_of_tags_are_read_without_a_panic(parts in prop::collection::vec(
            prop::sample::select(vec!["<", ">", "/", " ", "solution", "SOLUT\u{130}ON", "\u{17f}olution", "0", "1", "\u{3000}", "é",
                "<solution>", "</solution>", "<start_working_out>", "<end_working_out>"]), 0..30), num_vars in 0_usize..12) {
            let text = parts.concat();
            let answer = Answer::parse(&text, num_vars);
            prop_assert!(text.contains(&answer.text));
            prop_assert!(answer.trailing <= text.chars().count());
            prop_assert!(!answer.is_strict || answer.has_answer || num_vars == 0);
        }

        #[test]
        fn a_written_answer_reads_back(bits: Vec<bool>) {
            let digits: Vec<&str> = bits.iter().map(|&b| if b { "1" } else { "0" }).collect();
            let answer = Answer::parse(&format!("so<SOLUTION>{}</SOLUTION>", digits.join(" ")), bits.len());
            prop_assert_eq!(&answer.assignment, &bits);
            prop_assert!(answer.is_strict);
        }
    }
}
