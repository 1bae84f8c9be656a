//! Any bytes give a value or an error, never a panic; and a value that comes out of broken bytes is a whole one.

use grail_protocol::window::{Form, ReadError, WindowFile, read_stored, store};
use proptest::prelude::*;

use super::sample::{small, small_text};
use super::{LIMITS, SCHEMA, read_text};

/// SplitMix64: the same mutations for the same seed, on every machine.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// What a mutation inserts beside single bytes: pieces at which parsers stumble.
const PIECES: &[&str] = &[
    "\"",
    "\\",
    "\\u",
    "\\ud800",
    "\\u0000",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "[[[[[[[[[",
    "{}",
    "null",
    "NaN",
    "-Infinity",
    "true",
    "-0",
    "1e0",
    "1e999",
    "0.5",
    "00",
    "9999999999999999999999999999999999999999999",
    "\u{feff}",
    "\u{2028}",
    " ",
    "\"wallet\":\"\"",
    "2147483647",
];

/// Changes `text` in one to four places.
fn mutate(text: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        if text.is_empty() {
            return;
        }
        let at = dice.below(text.len());
        let end = (at + 1 + dice.below(40)).min(text.len());
        match dice.below(7) {
            0 => text[at] ^= 1 << dice.below(8),
            1 => text[at] = dice.below(256) as u8,
            2 => text.insert(at, dice.below(256) as u8),
            3 => drop(text.drain(at..end)),
            4 => {
                let range = text[at..end].to_vec();
                let to = dice.below(text.len());
                text.splice(to..to, range);
            }
            5 => {
                let from = dice.below(text.len());
                let range = text[from..(from + end - at).min(text.len())].to_vec();
                text.splice(at..end, range);
            }
            _ => drop(text.splice(at..at, PIECES[dice.below(PIECES.len())].bytes())),
        }
    }
}

/// How many texts came to what.
#[derive(Debug, Default)]
struct Counts {
    read: usize,
    malformed: usize,
    over_cap: usize,
}

impl Counts {
    /// Judges the result of reading mutated bytes; there is no trouble of the source here.
    fn count(&mut self, result: Result<WindowFile, ReadError>) {
        match result {
            Ok(file) => {
                let text = file.to_text(&SCHEMA, Form::Whole);
                let again = read_text(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
                assert_eq!(again, file);
                assert_eq!(again.to_text(&SCHEMA, Form::Whole), text);
                self.read += 1;
            }
            Err(ReadError::Malformed { path, expected, found }) => {
                assert!(!path.is_empty() && !expected.is_empty() && !found.is_empty());
                assert!(found.is_ascii() && found.len() < 200, "{found}");
                self.malformed += 1;
            }
            Err(ReadError::OverCap { .. }) => self.over_cap += 1,
            Err(e) => panic!("{e}"),
        }
    }
}

fn judge_mutations(original: &[u8], times: usize, seed: u64, judge: impl Fn(&[u8]) -> Result<WindowFile, ReadError>) {
    let (mut counts, mut dice) = (Counts::default(), Dice::new(seed));
    for _ in 0..times {
        let mut bytes = original.to_vec();
        mutate(&mut bytes, &mut dice);
        counts.count(judge(&bytes));
    }
    println!("{times} mutations: {counts:?}");
    assert!(counts.read > 0 && counts.malformed > 0, "{counts:?}");
}

fn stored(bytes: &[u8]) -> Result<WindowFile, ReadError> {
    read_stored(bytes, &SCHEMA, &LIMITS)
}

#[test]
fn a_mutated_text_is_a_value_or_an_error() {
    judge_mutations(small_text().as_bytes(), 20_000, 1, |bytes| read_text(bytes));
}

#[test]
fn a_mutated_gzip_is_a_value_or_an_error() {
    let gzip = store(&small_text());
    judge_mutations(&gzip, 20_000, 2, stored);
}

/// Run by hand: `cargo test --release -p grail-protocol --test window_file -- --ignored --nocapture million`.
#[test]
#[ignore = "takes a minute"]
fn million_mutations() {
    judge_mutations(small_text().as_bytes(), 1_000_000, 3, |bytes| read_text(bytes));
    judge_mutations(&store(&small_text()), 1_000_000, 4, stored);
}

#[test]
fn a_mutated_honest_window_is_a_value_or_an_error() {
    let text = super::protocol::window_variants::Windows::load(&super::vectors()).unwrap().text().unwrap();
    judge_mutations(text.as_bytes(), 500, 5, |bytes| read_text(bytes));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_without_a_panic(bytes: Vec<u8>) {
        prop_assert!(read_text(&bytes).is_err());
        prop_assert!(stored(&bytes).is_err());
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in r#"[\[\]{},:"\\ 0-9a-u.+-]{0,60}"#) {
        prop_assert!(read_text(&text).is_err());
    }

    #[test]
    fn any_string_is_read_as_serde_reads_it(inside in r#"([ -~]|\\[\\"/bfnrtu]|\\u[dD][89c][0-9]{2}|[0-9a-f]|\u{e9})*"#) {
        let literal = format!("\"{inside}\"");
        let text = super::replaced(&small_text(), "\"wallet\":\"wallet\"", &format!("\"wallet\":{literal}"));
        let theirs = serde_json::from_str::<String>(&literal).ok();
        prop_assert_eq!(read_text(&text).ok().map(|file| file.wallet), theirs);
    }
}

#[test]
fn the_seeds_of_the_fuzz_targets_are_the_small_file() {
    let corpus = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus"));
    let seed = |name: &str| std::fs::read(corpus.join(name)).unwrap();
    assert_eq!(seed("window_text/small.json"), small_text().as_bytes());
    assert_eq!(read_text(seed("window_text/small.json")).unwrap(), small());
    assert_eq!(stored(&seed("window_gzip/small.json.gz")).unwrap(), small());
}
