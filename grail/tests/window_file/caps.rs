//! What is over a cap is over a cap, whatever else is wrong; what is at the cap is not.

use std::io::{self, Read};

use grail_protocol::window::{Limits, MAX_NESTING, read};

use super::sample::{small, small_text};
use super::{LIMITS, SCHEMA, malformed_at, over_cap, read_text, replaced};

const NESTING: &str = "objects and lists inside each other";

#[test]
fn a_cap_is_the_most_there_may_be() {
    let text = small_text();
    let read_with = |limits: Limits| read(text.as_bytes(), &SCHEMA, &limits);
    let bytes = text.len() as u64;
    assert_eq!(read_with(Limits { text_bytes: bytes, inferences: 1, positions: 3, vocab_size: 400 }).unwrap(), small());
    assert_eq!(over_cap(read_with(Limits { text_bytes: bytes - 1, ..LIMITS })), "bytes of text");
    assert_eq!(over_cap(read_with(Limits { inferences: 0, ..LIMITS })), "rollouts");
    assert_eq!(over_cap(read_with(Limits { positions: 2, ..LIMITS })), "entries of a list per token");
    malformed_at(read_with(Limits { vocab_size: 399, ..LIMITS }));
}

/// A value's text in the small file, and the objects and lists around it.
const PLACES: &[(&str, usize)] = &[
    ("1692806371.25", 1),
    ("\"wallet\"}", 1),
    ("\"0xhash\"", 2),
    ("1000", 2),
    ("7,\"proof\"", 3),
    ("{},\"randomness\"", 3),
    ("\"commit signature\"", 4),
    ("399", 5),
    ("66,\"seed\"", 5),
    ("\"model\",", 5),
    ("1.125", 5),
    ("true]", 6),
    ("-3", 7),
    ("2.125", 7),
    ("false],2", 8),
];

#[test]
fn nesting_is_over_its_cap_at_nine_in_any_place() {
    let text = small_text().replace(",\"window_length\":12,\"window_start\":6000}", "}");
    let text = format!("{{\"window_length\":12,\"window_start\":6000,{}", &text[1..]);
    assert_eq!(read_text(&text).unwrap(), small());
    for &(find, around) in PLACES {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = |depth: usize| {
                let levels = depth - around;
                replaced(&text, find, &format!("{}0{}{find}", open.repeat(levels), close.repeat(levels)))
            };
            assert_eq!(over_cap(read_text(nested(MAX_NESTING + 1))), NESTING, "{find}");
            malformed_at(read_text(nested(MAX_NESTING)));
        }
    }
}

#[test]
fn brackets_in_strings_are_no_nesting() {
    let text = small_text();
    for inside in ["[[[[[[[[[[", "\\\"[[[[[[[[[[", "{{{{{{{{{{\\\\", "]]]]]]]]]]"] {
        read_text(replaced(&text, "\"0xhash\"", &format!("\"{inside}\""))).unwrap();
    }
    assert_eq!(over_cap(read_text(replaced(&text, "\"0xhash\"", "\"\\\\\"[[[[[[[[[["))), NESTING);
}

#[test]
fn a_text_that_is_malformed_first_and_over_a_cap_later_is_over_the_cap() {
    let text = replaced(&small_text(), "\"round\":1000", "\"round\":\"x\"");
    malformed_at(read_text(&text));
    assert_eq!(over_cap(read_text(format!("{text}{{\"a\":[[[[[[[["))), NESTING);
    malformed_at(read_text(format!("{text}{{\"a\":[[[[[[[")));
    let limits = Limits { text_bytes: 100_000, ..LIMITS };
    let padded = |bytes: usize| format!("{text}{}", " ".repeat(bytes - text.len()));
    assert_eq!(over_cap(read(padded(100_001).as_bytes(), &SCHEMA, &limits)), "bytes of text");
    assert_eq!(malformed_at(read(padded(100_000).as_bytes(), &SCHEMA, &limits)), "beacon.round");
}

#[test]
fn lists_around_the_object_are_malformed_and_not_deep() {
    let text = small_text();
    assert_eq!(malformed_at(read_text(format!("{}{text}{}", "[".repeat(20), "]".repeat(20)))), "file");
    assert_eq!(over_cap(read_text(format!("{}{text}{}", "{\"a\":".repeat(20), "}".repeat(20)))), NESTING);
}

/// A source without end that counts what was asked of it.
struct Endless<'a> {
    text: &'a [u8],
    given: &'a mut u64,
}

impl Read for Endless<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        for (place, byte) in out.iter_mut().enumerate() {
            *byte = self.text[(*self.given as usize + place) % self.text.len()];
        }
        *self.given += out.len() as u64;
        Ok(out.len())
    }
}

#[test]
fn an_endless_text_is_read_no_further_than_the_cap() {
    let limits = Limits { text_bytes: 1 << 20, ..LIMITS };
    for text in [" ", "\"", "0", "x", "{", "[", "{\"wallet\":\"", "\\", "\u{e9}", "]}", "\"\""] {
        let mut given = 0;
        over_cap(read(Endless { text: text.as_bytes(), given: &mut given }, &SCHEMA, &limits));
        assert!(given <= limits.text_bytes + (64 << 10), "{text}: {given}");
    }
}
