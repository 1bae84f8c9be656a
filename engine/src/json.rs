//! Bounded reading of the JSON files that come with a checkpoint.
//!
//! A repeated key is an error here: two readers could take different values from such a file, and
//! a model's identity must not depend on the reader. Depth is limited by `serde_json` (128),
//! size by the caller.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};

/// An object whose keys are all different.
#[derive(Debug)]
pub(crate) struct UniqueObject<V>(pub BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for UniqueObject<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueVisitor(PhantomData))
    }
}

struct UniqueVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for UniqueVisitor<V> {
    type Value = UniqueObject<V>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some(key) = access.next_key::<String>()? {
            let value = access.next_value()?;
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("key {} is there twice", clip(&key))));
            }
            map.insert(key, value);
        }
        Ok(UniqueObject(map))
    }
}

/// Parses one object of at most `limit_bytes`; the error is in words, without the file's name.
pub(crate) fn object<V: DeserializeOwned>(bytes: &[u8], limit_bytes: usize) -> Result<BTreeMap<String, V>, String> {
    if bytes.len() > limit_bytes {
        return Err(format!("{} bytes, and at most {limit_bytes} are accepted", bytes.len()));
    }
    match serde_json::from_slice::<UniqueObject<V>>(bytes) {
        Ok(object) => Ok(object.0),
        Err(error) => Err(format!("not a JSON object of the expected form: {error}")),
    }
}

/// Text from a file, short enough for an error message and without control characters.
pub(crate) fn clip(text: &str) -> String {
    const LIMIT: usize = 120;
    let mut shown: String = text.chars().take(LIMIT).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(LIMIT).is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_repeated_key_is_an_error() {
        assert!(object::<Value>(br#"{"a":1,"b":2}"#, 100).is_ok());
        let error = object::<Value>(br#"{"a":1,"b":2,"a":1}"#, 100).unwrap_err();
        assert!(error.contains("key a is there twice"), "{error}");
    }

    #[test]
    fn size_and_depth_are_bounded() {
        assert!(object::<Value>(b"{}", 2).is_ok());
        assert!(object::<Value>(b"{} ", 2).unwrap_err().contains("3 bytes"));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
        assert!(object::<Value>(deep.as_bytes(), 100_000).unwrap_err().contains("recursion"));
    }

    #[test]
    fn clipped_text_is_short_and_printable() {
        assert_eq!(clip("ab\n"), "ab\u{fffd}");
        assert_eq!(clip(&"é".repeat(500)).chars().count(), 123);
    }
}
