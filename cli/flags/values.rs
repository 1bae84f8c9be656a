//! Values of flags that can be judged alone.

use std::str::FromStr;

use grail_engine::checkpoint::synthetic::Shape;
use grail_engine::types::Seed;
use grail_protocol::encoding::sha256;

/// A size in bytes: `8GiB`, `512MiB`, `3GB`, `1000000`. A fraction is not a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?} is no size; expected a whole number and B, KB, MB, GB, KiB, MiB or GiB");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| expected())?;
        let factor: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "kib" | "k" => 1 << 10,
            "mib" | "m" => 1 << 20,
            "gib" | "g" => 1 << 30,
            _ => return Err(expected()),
        };
        number.checked_mul(factor).map(Bytes).ok_or_else(|| format!("{text:?} is more than 64 bits can count"))
    }
}

/// 32 bytes as 64 hex digits of either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hex32(pub [u8; 32]);

impl FromStr for Hex32 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = [0; 32];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err("expected 64 hex digits".to_owned()),
        }
    }
}

/// A seed: 64 hex digits are its bytes, any other text is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeedText(pub [u8; 32]);

impl FromStr for SeedText {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.parse::<Hex32>().map_or_else(|_| sha256(text.as_bytes()), |hex| hex.0)))
    }
}

impl SeedText {
    /// The seed of one rollout.
    #[must_use]
    pub fn rollout(&self, index: u32) -> Seed {
        match index {
            0 => Seed(self.0),
            i => Seed(sha256(&[&self.0[..], &i.to_be_bytes()].concat())),
        }
    }
}

/// Token ids separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenList(pub Vec<u32>);

impl FromStr for TokenList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let id = |part: &str| part.trim().parse().map_err(|_| format!("{part:?} is no token id"));
        text.split(',').map(id).collect::<Result<_, _>>().map(Self)
    }
}

/// Counts separated by commas, each at least 1; `2k` is 2048.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts(pub Vec<usize>);

impl FromStr for Counts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let count = |part: &str| {
            let (digits, factor) = part.trim().strip_suffix('k').map_or((part.trim(), 1), |digits| (digits, 1024));
            let number =
                digits.parse::<u32>().ok().filter(|&n| n > 0 && digits.starts_with(|c: char| c.is_ascii_digit()));
            let number = number.map(|n| n as usize * factor).filter(|&n| n <= 1 << 24);
            number.ok_or_else(|| format!("{part:?} is no count from 1 to 16384k, such as 512 or 4k"))
        };
        text.split(',').map(count).collect::<Result<_, _>>().map(Self)
    }
}

/// A shape of `grail bench --make-model`.
#[derive(Debug, Clone, PartialEq)]
pub struct ShapeName(pub Shape);

impl FromStr for ShapeName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = if text == "tiny" { Some(Shape::tiny()) } else { Shape::qwen3(text) };
        shape.map(Self).ok_or_else(|| format!("{text:?} is no shape; expected 0.6b, 1.7b, 4b, 8b or tiny"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_binary_with_an_i_and_decimal_without() {
        let bytes = |text: &str| text.parse::<Bytes>().map(|b| b.0);
        assert_eq!(bytes("8GiB"), Ok(8 << 30));
        assert_eq!(bytes("3 MB"), Ok(3_000_000));
        assert_eq!(bytes("17"), Ok(17));
        for text in ["", "GiB", "1.5GiB", "-1", "8 parsecs", "99999999999999999999", "18446744073709551615KiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts_are_at_least_1_and_k_is_1024() {
        assert_eq!("1, 2,16k".parse::<Counts>().map(|c| c.0), Ok(vec![1, 2, 16 << 10]));
        for text in ["", "0", "1,,2", "k", "+1", "-1", "0k", "4G", "99999k", "4294967296"] {
            assert!(text.parse::<Counts>().is_err(), "{text}");
        }
    }

    #[test]
    fn hex_digits_are_a_seed_and_other_text_is_hashed() {
        let digits = "00ff".repeat(16);
        assert_eq!(digits.parse::<SeedText>().unwrap().0.to_vec(), hex::decode(&digits).unwrap());
        assert_eq!("00f".parse::<SeedText>().unwrap().0, sha256(b"00f"));
    }

    #[test]
    fn rollouts_have_distinct_seeds_and_the_first_is_the_seed() {
        let seed: SeedText = "x".parse().unwrap();
        assert_eq!(seed.rollout(0).0, seed.0);
        let all: std::collections::BTreeSet<_> = (0..100).map(|i| seed.rollout(i).0).collect();
        assert_eq!(all.len(), 100);
    }

    proptest! {
        #[test]
        fn any_text_is_a_value_or_an_error(text: String) {
            let _ = text.parse::<Bytes>();
            let _ = text.parse::<Hex32>();
            let _ = text.parse::<TokenList>();
            let _ = text.parse::<ShapeName>();
            let _ = text.parse::<Counts>();
        }

        #[test]
        fn written_ids_read_back(ids in prop::collection::vec(any::<u32>(), 1..20)) {
            let text = ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            prop_assert_eq!(text.parse::<TokenList>().map(|l| l.0), Ok(ids));
        }
    }
}
