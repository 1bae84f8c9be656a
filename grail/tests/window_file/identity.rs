//! Reading undoes writing, and only values count: not the order of keys, blanks, escapes, or the size of pieces.

use std::io::{self, Read};

use grail_protocol::window::{Form, GroupText, GrowingFile, Integer, Schema, WindowFile, read, read_stored};
use proptest::prelude::*;
use serde_json::Value;

use super::mutations::Dice;
use super::sample::{WIDE, files, small, small_text};
use super::{LIMITS, SCHEMA, malformed_at, read_text, replaced};

fn reads_back(file: &WindowFile, schema: &Schema) -> Result<(), TestCaseError> {
    let text = file.to_text(schema, Form::Whole);
    let found = read(text.as_bytes(), schema, &LIMITS).map_err(|e| TestCaseError::fail(e.to_string()))?;
    prop_assert_eq!(&found, file);
    // The text tells zeros apart, which `==` does not.
    prop_assert_eq!(found.to_text(schema, Form::Whole), text);
    Ok(())
}

proptest! {
    #[test]
    fn what_is_written_reads_back(file in files(SCHEMA)) {
        reads_back(&file, &SCHEMA)?;
    }

    #[test]
    fn what_is_written_under_a_schema_of_every_shape_reads_back(file in files(WIDE)) {
        reads_back(&file, &WIDE)?;
    }

    #[test]
    fn a_file_that_grew_group_by_group_is_the_file(file in files(SCHEMA), cut in 1_usize..4) {
        let mut growing = GrowingFile::begin(Vec::new()).unwrap();
        for group in file.inferences.chunks(cut) {
            let text = GroupText::new(group, &SCHEMA);
            prop_assert!(!text.line().contains('\n'));
            growing.push(&GroupText::from_line(text.line(), group.len())).unwrap();
        }
        let head = WindowFile { inferences: Vec::new(), ..file.clone() };
        let stored = growing.finish(&head).unwrap();
        let found = read_stored(&stored[..], &SCHEMA, &LIMITS).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(found.to_text(&SCHEMA, Form::Whole), file.to_text(&SCHEMA, Form::Whole));
    }

    #[test]
    fn order_blanks_and_escapes_do_not_count(file in files(WIDE), seed: u64) {
        let text = file.to_text(&WIDE, Form::Whole);
        let mut other = String::new();
        restyle(&text, &mut Dice::new(seed), &mut other);
        prop_assert_ne!(&other, &text);
        let found = read(other.as_bytes(), &WIDE, &LIMITS).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(found.to_text(&WIDE, Form::Whole), text);
    }
}

/// The same value in another style. `text` is canonical JSON.
fn restyle(text: &str, dice: &mut Dice, out: &mut String) {
    blanks(dice, out);
    match text.as_bytes()[0] {
        open @ (b'{' | b'[') => {
            let mut parts = split(&text[1..text.len() - 1], b',');
            if open == b'{' {
                (1..parts.len()).rev().for_each(|i| parts.swap(i, dice.below(i + 1)));
            }
            out.push(char::from(open));
            for (i, part) in parts.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                match (open, split(part, b':').as_slice()) {
                    (b'{', &[key, value]) => {
                        restyle(key, dice, out);
                        out.push(':');
                        restyle(value, dice, out);
                    }
                    _ => restyle(part, dice, out),
                }
            }
            blanks(dice, out);
            out.push(if open == b'{' { '}' } else { ']' });
        }
        b'"' => restyle_text(&serde_json::from_str::<String>(text).unwrap(), dice, out),
        _ => out.push_str(text),
    }
    blanks(dice, out);
}

/// The parts between marks that stand in no string and no bracket.
fn split(text: &str, mark: u8) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0);
    let (mut in_text, mut is_escaped) = (false, false);
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth -= 1,
            _ if byte == mark && !in_text && depth == 0 => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    if !text.is_empty() {
        parts.push(&text[start..]);
    }
    parts
}

fn restyle_text(text: &str, dice: &mut Dice, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        let is_plain = character >= ' ' && character != '"' && character != '\\';
        match dice.below(3) {
            0 if is_plain => out.push(character),
            1 if character == '/' => out.push_str("\\/"),
            0 | 1 => character.encode_utf16(&mut [0; 2]).iter().for_each(|u| out.push_str(&format!("\\u{u:04X}"))),
            _ => character.encode_utf16(&mut [0; 2]).iter().for_each(|u| out.push_str(&format!("\\u{u:04x}"))),
        }
    }
    out.push('"');
}

fn blanks(dice: &mut Dice, out: &mut String) {
    (0..dice.below(3)).for_each(|_| out.push([' ', '\t', '\n', '\r'][dice.below(4)]));
}

#[test]
fn an_integer_of_any_size_is_read_as_the_nearest_that_fits() {
    let text = small_text();
    let huge = format!("1{}", "0".repeat(400));
    let with = |digits: &str| read_text(replaced(&text, "\"number\":6001", &format!("\"number\":{digits}")));
    assert_eq!(with(&huge).unwrap().block.number, Integer::MAX);
    assert_eq!(with(&format!("-{huge}")).unwrap().block.number, Integer::MIN);
    assert_eq!(with(&Integer::MIN.to_string()).unwrap().block.number, Integer::MIN);
    assert_eq!(with("6001").unwrap(), small());
    // What an environment adds keeps its text.
    let file = read_text(replaced(&text, "\"num_vars\":66", &format!("\"num_vars\":{huge}"))).unwrap();
    assert_eq!(file.inferences[0].commit.problem.fields[1], huge);
}

#[test]
fn reals_of_an_environment_have_one_text() {
    let text = small_text();
    let file = read_text(replaced(&text, ",2.125]]", ", 212500E-5 ]]")).unwrap();
    assert_eq!(file, small());
    let file = read_text(replaced(&text, ",2.125]]", ",-0]]")).unwrap();
    assert_eq!(file.inferences[0].commit.rollout.trajectory, "[[0,[true,false],-0.0]]");
}

/// A source that gives one byte at a time, and is interrupted between them.
struct Dripping<'a> {
    text: &'a [u8],
    is_interrupted: bool,
}

impl Read for Dripping<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.is_interrupted = !self.is_interrupted;
        if self.is_interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.text.read(&mut out[..1])
    }
}

#[test]
fn the_size_of_pieces_does_not_count() {
    let drip = |text: &str| read(Dripping { text: text.as_bytes(), is_interrupted: false }, &SCHEMA, &LIMITS);
    let text = small_text();
    assert_eq!(drip(&text).unwrap(), small());
    let escaped = replaced(&text, "\"wallet\":\"wallet\"", "\"wallet\":\"\\ud83d\\ude00 \u{1f600}\"");
    assert_eq!(drip(&escaped).unwrap().wallet, "\u{1f600} \u{1f600}");
    for broken in [replaced(&text, ":6001", ":six thousand and one"), replaced(&text, ":\"0xhash\"", ":[1]")] {
        assert_eq!(drip(&broken).unwrap_err().to_string(), read_text(&broken).unwrap_err().to_string());
    }
}

#[test]
fn trouble_of_the_source_is_no_fault_of_the_file() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let text = small_text();
    for length in [0, 1, 100, text.len() - 1, text.len()] {
        let error = read(text.as_bytes()[..length].chain(Broken), &SCHEMA, &LIMITS).unwrap_err();
        let grail_protocol::window::ReadError::Io(error) = error else { panic!("{length}: {error}") };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
    malformed_at(read_text(&text[..100]));
}

#[test]
fn serde_reads_the_same_values() {
    // A second opinion on the lexer: the honest window as serde_json has it.
    let windows = super::protocol::window_variants::Windows::load(&super::vectors()).unwrap();
    let file = read_text(windows.text().unwrap()).unwrap();
    for (i, entry) in windows.window["inferences"].as_array().unwrap().iter().enumerate() {
        let found = &file.inferences[i];
        let rollout = &entry["commit"]["rollout"];
        assert_eq!(Value::from(found.commit.tokens.clone()), entry["commit"]["tokens"]);
        assert_eq!(Value::from(found.commit.s_vals.clone()), entry["commit"]["s_vals"]);
        let wide = |list: &[f32]| list.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
        assert_eq!(Value::from(wide(&found.commit.rollout.token_logprobs)), rollout["token_logprobs"]);
        assert_eq!(Value::from(wide(&found.commit.rollout.raw_token_logprobs)), rollout["raw_token_logprobs"]);
        assert_eq!(Value::from(found.sat_seed.as_str()), entry["sat_seed"]);
        assert_eq!(Value::from(found.nonce as u64), entry["nonce"]);
    }
}
