//! JSON text as Python writes it, and the exact grammar of numbers (PROTOCOL 2, DESIGN 4.9).
//!
//! Hashes are taken over this text, so every byte of it is defined: floats in Python's shortest form,
//! ASCII only, keys sorted by code point in the canonical style. Large documents are written piece by
//! piece with the `push_` functions; [`Value`] is for small ones.

mod read;

use std::fmt::Write;

pub use read::Members;

/// Separators and the order of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Sorted keys, no white space: what is hashed.
    Canonical,
    /// `json.dumps` without arguments: `, ` and `: `, keys in the order given.
    Python,
}

/// A JSON document. Integers and reals stay apart, as they do in Python.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without fraction or exponent.
    Integer(i128),
    /// Any other number; NaN and infinities are written as Python's bare words.
    Real(f64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Value>),
    /// An object; members keep their order until they are written canonically.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// The text of this document.
    #[must_use]
    pub fn to_text(&self, style: Style) -> String {
        let mut out = String::new();
        self.push(&mut out, style);
        out
    }

    fn push(&self, out: &mut String, style: Style) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Self::Integer(i) => push_integer(out, *i),
            Self::Real(x) => push_f64(out, *x),
            Self::Text(text) => push_text(out, text),
            Self::List(items) => push_list(out, items, style),
            Self::Object(members) => push_object(out, members, style),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

fn push_list(out: &mut String, items: &[Value], style: Style) {
    out.push('[');
    for (i, item) in items.iter().enumerate() {
        push_comma(out, i, style);
        item.push(out, style);
    }
    out.push(']');
}

fn push_object(out: &mut String, members: &[(String, Value)], style: Style) {
    let mut members: Vec<&(String, Value)> = members.iter().collect();
    if style == Style::Canonical {
        // The order of UTF-8 bytes is the order of code points.
        members.sort_by(|a, b| a.0.cmp(&b.0));
    }
    out.push('{');
    for (i, (key, value)) in members.into_iter().enumerate() {
        push_comma(out, i, style);
        push_text(out, key);
        out.push_str(match style {
            Style::Canonical => ":",
            Style::Python => ": ",
        });
        value.push(out, style);
    }
    out.push('}');
}

fn push_comma(out: &mut String, place: usize, style: Style) {
    if place > 0 {
        out.push_str(match style {
            Style::Canonical => ",",
            Style::Python => ", ",
        });
    }
}

/// Appends an integer.
pub fn push_integer(out: &mut String, value: impl Into<i128>) {
    write!(out, "{}", value.into()).expect("writing to a String");
}

/// Appends a string in quotes, everything but printable ASCII escaped.
pub fn push_text(out: &mut String, text: &str) {
    push_utf16(out, text.encode_utf16());
}

/// Appends a string given as UTF-16 units, which may hold unpaired surrogates as Python's strings may.
pub fn push_utf16(out: &mut String, units: impl IntoIterator<Item = u16>) {
    out.push('"');
    for unit in units {
        match unit {
            0x08 => out.push_str("\\b"),
            0x09 => out.push_str("\\t"),
            0x0a => out.push_str("\\n"),
            0x0c => out.push_str("\\f"),
            0x0d => out.push_str("\\r"),
            0x22 => out.push_str("\\\""),
            0x5c => out.push_str("\\\\"),
            0x20..=0x7e => out.push(char::from(unit as u8)),
            _ => write!(out, "\\u{unit:04x}").expect("writing to a String"),
        }
    }
    out.push('"');
}

/// Appends a real in Python's form: the shortest decimal that reads back, positional for decimal
/// exponents in [-4, 16), always with a fraction or an exponent.
pub fn push_f64(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("NaN");
        return;
    }
    if value.is_sign_negative() {
        out.push('-');
    }
    if value.is_infinite() {
        out.push_str("Infinity");
        return;
    }
    let scientific = shortest(value.abs());
    let (mantissa, exponent) = scientific.split_once('e').expect("LowerExp writes an e");
    let exponent: i32 = exponent.parse().expect("LowerExp writes an integer");
    if (-4..16).contains(&exponent) {
        push_positional(out, mantissa, exponent);
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        let magnitude = exponent.unsigned_abs();
        write!(out, "{mantissa}e{sign}{magnitude:02}").expect("writing to a String");
    }
}

/// The shortest decimal that reads back, as `1.5e0`. Of two that are equally near, Python takes the one with an even
/// last digit; the standard library may not.
fn shortest(magnitude: f64) -> String {
    let shortest = format!("{magnitude:e}");
    let mantissa = shortest.split_once('e').map_or(0, |(mantissa, _)| mantissa.len());
    let even = format!("{magnitude:.*e}", mantissa.saturating_sub(2));
    if even.parse() == Ok(magnitude) { even } else { shortest }
}

/// Appends an f32 as the shortest decimal of the widened f64 (DESIGN 4.9).
pub fn push_f32(out: &mut String, value: f32) {
    push_f64(out, f64::from(value));
}

/// Python's text of a real.
#[must_use]
pub fn f64_text(value: f64) -> String {
    let mut out = String::new();
    push_f64(&mut out, value);
    out
}

fn push_positional(out: &mut String, mantissa: &str, exponent: i32) {
    let digits: String = mantissa.chars().filter(|&c| c != '.').collect();
    if exponent < 0 {
        out.push_str("0.");
        (1..-exponent).for_each(|_| out.push('0'));
        out.push_str(&digits);
        return;
    }
    let whole = exponent as usize + 1;
    if digits.len() > whole {
        let (before, after) = digits.split_at(whole);
        out.push_str(before);
        out.push('.');
        out.push_str(after);
    } else {
        out.push_str(&digits);
        (digits.len()..whole).for_each(|_| out.push('0'));
        out.push_str(".0");
    }
}

/// The integer that `text` is: `0|-?[1-9][0-9]*` (DESIGN 4.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integer {
    /// A value that fits.
    Value(i128),
    /// An integer by its grammar, but beyond every range of the format.
    Huge,
}

/// Reads an integer; `None` when the grammar does not hold.
#[must_use]
pub fn read_integer(text: &str) -> Option<Integer> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let well_formed = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !well_formed || (digits.starts_with('0') && text != "0") {
        return None;
    }
    Some(text.parse().map_or(Integer::Huge, Integer::Value))
}

/// Reads a JSON number as the nearest f64; `None` when it is none or not finite.
#[must_use]
pub fn read_f64(text: &str) -> Option<f64> {
    if !is_number(text.as_bytes()) {
        return None;
    }
    // The standard library rounds correctly, and reads `-0` as -0.0.
    text.parse().ok().filter(|x: &f64| x.is_finite())
}

/// Reads a JSON number whose f64 is exactly an f32; `None` for any other text.
#[must_use]
pub fn read_f32(text: &str) -> Option<f32> {
    let wide = read_f64(text)?;
    let narrow = wide as f32;
    (f64::from(narrow).to_bits() == wide.to_bits()).then_some(narrow)
}

/// `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`
fn is_number(text: &[u8]) -> bool {
    let rest = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, rest) = split_digits(rest);
    if whole.is_empty() || (whole.len() > 1 && whole[0] == b'0') {
        return false;
    }
    let rest = match rest.strip_prefix(b".") {
        None => rest,
        Some(fraction) => match split_digits(fraction) {
            ([], _) => return false,
            (_, rest) => rest,
        },
    };
    match rest {
        [] => true,
        [b'e' | b'E', exponent @ ..] => {
            let digits = match exponent {
                [b'+' | b'-', digits @ ..] => digits,
                digits => digits,
            };
            let (digits, rest) = split_digits(digits);
            !digits.is_empty() && rest.is_empty()
        }
        _ => false,
    }
}

fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|b| b.is_ascii_digit()).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_f32_that_is_not_one_is_refused() {
        assert_eq!(read_f32("0.10000000149011612"), Some(0.1));
        assert_eq!(read_f32("0.1"), None);
        assert_eq!(read_f32("-0").map(f32::to_bits), Some(0x8000_0000));
    }

    #[test]
    fn of_two_equally_near_decimals_the_even_one_is_written() {
        // 1.31604766845703125 lies halfway between ...312 and ...313; so do the others.
        for text in ["1.3160476684570312", "-1.3160476684570312", "1125899906842624.2", "1125899906842625.8"] {
            let value = text.parse().unwrap();
            assert_eq!(f64_text(value), text);
        }
        // Powers of two, where the lower half of what reads back is narrower, and the ends of the range.
        for text in [
            "5e-324",
            "2.2250738585072014e-308",
            "9007199254740992.0",
            "9.5367431640625e-07",
            "1.7976931348623157e+308",
        ] {
            let value = text.parse().unwrap();
            assert_eq!(f64_text(value), text);
        }
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(|i| Value::Integer(i.into())),
            proptest::num::f64::NORMAL.prop_map(Value::Real),
            any::<String>().prop_map(Value::Text),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    fn as_serde(value: &Value) -> serde_json::Value {
        match value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(b) => (*b).into(),
            Value::Integer(i) => i64::try_from(*i).expect("generated from i64").into(),
            Value::Real(x) => (*x).into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(as_serde).collect(),
            Value::Object(members) => {
                members.iter().map(|(k, v)| (k.clone(), as_serde(v))).collect::<serde_json::Map<_, _>>().into()
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_ascii_and_reads_back(value in documents()) {
            for style in [Style::Canonical, Style::Python] {
                let text = value.to_text(style);
                prop_assert!(text.is_ascii());
                let read: serde_json::Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(read, as_serde(&value));
            }
        }

        #[test]
        fn a_real_reads_back_with_its_bits(bits: u64) {
            let value = f64::from_bits(bits);
            let read = read_f64(&f64_text(value));
            prop_assert_eq!(read.map(f64::to_bits), value.is_finite().then_some(bits));
        }

        #[test]
        fn an_f32_reads_back_with_its_bits(bits: u32) {
            let value = f32::from_bits(bits);
            let mut text = String::new();
            push_f32(&mut text, value);
            prop_assert_eq!(read_f32(&text).map(f32::to_bits), value.is_finite().then_some(bits));
        }

        #[test]
        fn an_integer_reads_back(value: i128) {
            prop_assert_eq!(read_integer(&value.to_string()), Some(Integer::Value(value)));
        }

        #[test]
        fn a_number_is_what_serde_calls_one(text in "-?[0-9.eE+-]{0,8}") {
            let theirs = serde_json::from_str::<serde_json::Value>(&text).ok().and_then(|v| v.as_f64());
            prop_assert_eq!(read_f64(&text), theirs);
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text: String) {
            let _ = (read_integer(&text), read_f64(&text), read_f32(&text));
        }
    }
}
