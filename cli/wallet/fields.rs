//! The fields of a hotkey file before anything is known about them.
//!
//! serde's own errors quote the text they stumble over, which here can be a secret. So every value of a known field
//! is taken whatever it is, and judged afterwards by code that names the field only.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::{Error, Result};

pub const ACCOUNT: &str = "accountId";
pub const ADDRESS: &str = "ss58Address";
pub const CRYPTO: &str = "cryptoType";
pub const PHRASE: &str = "secretPhrase";
pub const PRIVATE: &str = "privateKey";
pub const PUBLIC: &str = "publicKey";
pub const SEED: &str = "secretSeed";

const KNOWN: [&str; 7] = [ACCOUNT, ADDRESS, CRYPTO, PHRASE, PRIVATE, PUBLIC, SEED];

/// What stood in a file, other fields left out.
#[derive(Default)]
pub struct Fields {
    values: [Option<Value>; KNOWN.len()],
    repeated: Option<&'static str>,
}

enum Value {
    Text(Zeroizing<String>),
    Number(u64),
    Null,
    Other,
}

impl Fields {
    /// The fields of a JSON object.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let fields: Self =
            serde_json::from_slice(bytes).map_err(|e| Error::Json { line: e.line(), column: e.column() })?;
        match fields.repeated {
            Some(field) => Err(Error::field(field, "stands there twice")),
            None => Ok(fields),
        }
    }

    fn value(&self, field: &'static str) -> Option<&Value> {
        let place = KNOWN.iter().position(|&known| known == field)?;
        self.values[place].as_ref()
    }

    /// A text; `null` is the same as absence.
    pub fn text(&self, field: &'static str) -> Result<Option<&str>> {
        match self.value(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(Error::field(field, "expected a text")),
        }
    }

    /// A whole number; `null` is the same as absence.
    pub fn number(&self, field: &'static str) -> Result<Option<u64>> {
        match self.value(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) => Ok(Some(*number)),
            Some(_) => Err(Error::field(field, "expected a whole number")),
        }
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields, M::Error> {
        let mut fields = Fields::default();
        while let Some(name) = map.next_key::<String>()? {
            let Some(place) = KNOWN.iter().position(|&known| known == name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if fields.values[place].replace(map.next_value()?).is_some() {
                fields.repeated = Some(KNOWN[place]);
            }
        }
        Ok(fields)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(Zeroizing::new(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(Zeroizing::new(text)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Value, M::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}
