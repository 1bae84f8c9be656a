//! Bytes of integers, of lists and of the protocol's lenient hexadecimal text (PROTOCOL 2).

use sha2::{Digest, Sha256};

use crate::{Error, Hash, Result};

/// be32 of the low 32 bits: two's complement truncation of any value.
///
/// Wider integers than `i128` never get here: a file that holds one is malformed.
#[must_use]
pub fn int_to_bytes(value: i128) -> [u8; 4] {
    (value as u32).to_be_bytes()
}

/// SHA-256 of the concatenated [`int_to_bytes`].
#[must_use]
pub fn hash_integers(values: impl IntoIterator<Item = i128>) -> Hash {
    let mut hasher = Sha256::new();
    for value in values {
        hasher.update(int_to_bytes(value));
    }
    hasher.finalize().into()
}

/// SHA-256 of the be32 of each word.
#[must_use]
pub fn hash_words(words: impl IntoIterator<Item = u32>) -> Hash {
    hash_integers(words.into_iter().map(i128::from))
}

/// The hash that commits to a sequence of token ids.
#[must_use]
pub fn hash_tokens(tokens: &[u32]) -> Hash {
    hash_words(tokens.iter().copied())
}

/// The hash that commits to a sequence of sketch values.
#[must_use]
pub fn hash_s_vals(s_vals: &[u32]) -> Hash {
    hash_words(s_vals.iter().copied())
}

/// SHA-256 of bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// What CPython's `str.isspace`, `str.strip` and the `\s` of its `re` call white space.
#[must_use]
pub fn is_python_space(c: char) -> bool {
    matches!(c, '\u{1c}'..='\u{1f}') || c.is_whitespace()
}

/// Bytes of hexadecimal text after the normalisation of PROTOCOL 2: surrounding white space and every
/// `0x`, then every `0X`, removed; an odd count of characters padded by a leading `0`; ASCII white space
/// allowed between pairs. Empty text gives no bytes.
///
/// # Errors
/// [`Error::Hex`] for any other character, or white space inside a pair.
pub fn normalised_hex(field: &'static str, text: &str) -> Result<Vec<u8>> {
    let cleaned = text.trim_matches(is_python_space);
    let mut cleaned = cleaned.replace("0x", "").replace("0X", "");
    if cleaned.chars().count() % 2 == 1 {
        cleaned.insert(0, '0');
    }
    // `bytes.fromhex` skips what C's isspace calls white space, which includes the vertical tab.
    let is_skipped = |b: &u8| b.is_ascii_whitespace() || *b == 0x0b;
    let mut bytes = Vec::with_capacity(cleaned.len() / 2);
    let mut rest = cleaned.as_bytes();
    loop {
        let skipped = rest.iter().take_while(|b| is_skipped(b)).count();
        rest = &rest[skipped..];
        match rest {
            [] => return Ok(bytes),
            [high, low, tail @ ..] => {
                bytes.push(hex_digit(field, *high)? << 4 | hex_digit(field, *low)?);
                rest = tail;
            }
            [_] => {
                let problem = "a hexadecimal digit without its pair".to_owned();
                return Err(Error::Hex { field, problem });
            }
        }
    }
}

/// [`normalised_hex`] of text that must hold at least one byte.
///
/// # Errors
/// [`Error::Hex`], also for text that is empty after normalisation.
pub fn randomness_bytes(field: &'static str, text: &str) -> Result<Vec<u8>> {
    let bytes = normalised_hex(field, text)?;
    if bytes.is_empty() {
        let problem = "no hexadecimal digits".to_owned();
        return Err(Error::Hex { field, problem });
    }
    Ok(bytes)
}

/// Exactly 32 bytes as 64 lower-case digits, the one form of `grail-exact-1`.
///
/// # Errors
/// [`Error::Hex`] for any other text.
pub fn hash_from_text(field: &'static str, text: &str) -> Result<Hash> {
    let bytes = bytes_from_text(field, text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| {
        let problem = format!("{} bytes of text are not 64 lower-case hexadecimal digits", text.len());
        Error::Hex { field, problem }
    })
}

/// Bytes as pairs of lower-case digits, without a prefix: the one form where bytes are read that are no hash.
///
/// # Errors
/// [`Error::Hex`] for any other text.
pub fn bytes_from_text(field: &'static str, text: &str) -> Result<Vec<u8>> {
    let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
    let bytes = lower.then(|| hex::decode(text).ok()).flatten();
    bytes.ok_or_else(|| {
        let problem = format!("{} bytes of text are not pairs of lower-case hexadecimal digits", text.len());
        Error::Hex { field, problem }
    })
}

fn hex_digit(field: &'static str, byte: u8) -> Result<u8> {
    let digit = char::from(byte).to_digit(16);
    digit
        .map(|d| d as u8)
        .ok_or_else(|| Error::Hex { field, problem: format!("byte 0x{byte:02x} is not a hexadecimal digit") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every code point for which CPython 3.11's `re.fullmatch(r"\s", c)` holds.
    const PYTHON_SPACES: &[u32] = &[
        0x9, 0xa, 0xb, 0xc, 0xd, 0x1c, 0x1d, 0x1e, 0x1f, 0x20, 0x85, 0xa0, 0x1680, 0x2000, 0x2001, 0x2002, 0x2003,
        0x2004, 0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200a, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000,
    ];

    #[test]
    fn python_space_is_exactly_cpythons_list() {
        let found: Vec<u32> =
            (0..=0x0010_ffff).filter_map(char::from_u32).filter(|&c| is_python_space(c)).map(u32::from).collect();
        assert_eq!(found, PYTHON_SPACES);
    }

    #[test]
    fn prefixes_go_wherever_they_stand_and_odd_counts_are_padded() {
        let read = |text| normalised_hex("test", text);
        assert_eq!(read("0xabc").unwrap(), [0x0a, 0xbc]);
        assert_eq!(read("ab0xcd0Xef").unwrap(), [0xab, 0xcd, 0xef]);
        // Removing `0x` can join a new `0X`, which goes too; a new `0x` stays and is refused.
        assert_eq!(read("00xXab").unwrap(), [0xab]);
        assert!(read("00xxab").is_err());
        assert_eq!(read("\u{a0}12 34\tAB\u{1c}").unwrap(), [0x12, 0x34, 0xab]);
        assert_eq!(read("0x").unwrap(), Vec::<u8>::new());
        assert!(randomness_bytes("test", "0x").is_err());
        assert!(read("1 2").is_err());
        assert!(read("12\u{3000}34").is_err());
        assert!(read("zz").is_err());
    }

    #[test]
    fn a_hash_has_one_spelling() {
        let text = "ab".repeat(32);
        assert_eq!(hash_from_text("test", &text).unwrap(), [0xab; 32]);
        for bad in [text.to_uppercase(), format!("0x{text}"), format!(" {text}"), text[1..].to_owned(), String::new()] {
            assert!(hash_from_text("test", &bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn bytes_have_one_spelling() {
        assert_eq!(bytes_from_text("test", "00ab").unwrap(), [0, 0xab]);
        assert_eq!(bytes_from_text("test", "").unwrap(), Vec::<u8>::new());
        for bad in ["00AB", "0x00ab", "00a", " 00ab", "00 ab", "zz", "\u{e9}\u{e9}"] {
            assert!(bytes_from_text("test", bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text: String) {
            let _ = normalised_hex("test", &text);
            let _ = hash_from_text("test", &text);
            let _ = bytes_from_text("test", &text);
        }

        #[test]
        fn hex_of_bytes_reads_back(bytes: Vec<u8>, prefix in "(0x|0X|)") {
            let text = format!("  {prefix}{}\n", hex::encode(&bytes));
            prop_assert_eq!(normalised_hex("test", &text), Ok(bytes));
        }

        #[test]
        fn truncation_is_the_value_modulo_2_to_the_32(value: i128) {
            prop_assert_eq!(u32::from_be_bytes(int_to_bytes(value)), value.rem_euclid(1 << 32) as u32);
        }
    }
}
