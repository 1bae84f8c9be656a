//! Small JSON documents read strictly: repeated keys are refused, integers and reals stay apart, and the members of
//! an object are taken by name, so that every error says which field it means.
//!
//! For parameters and the like. It is not for window files, which are too large to hold as a [`Value`].

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::Value;
use crate::{Error, Result};

impl Value {
    /// Reads a document. Nesting is limited by serde_json, to 128; the caller limits the length of the text.
    ///
    /// # Errors
    /// [`Error::Json`] names `what` for text that is no JSON, has something after its end, or repeats a key.
    pub fn read(what: &str, text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| refused(what, e.to_string()))
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a truth value",
            Self::Integer(_) => "an integer",
            Self::Real(_) => "a real",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

fn refused(field: &str, problem: String) -> Error {
    Error::Json { field: field.to_owned(), problem }
}

/// The members of an object, each taken once by its name.
#[derive(Debug)]
pub struct Members<'a> {
    path: String,
    left: Vec<(&'a str, &'a Value)>,
}

impl<'a> Members<'a> {
    /// The members of what stands at `path`, a name for errors; empty for the document itself.
    ///
    /// # Errors
    /// [`Error::Json`] for anything but an object.
    pub fn of(path: &str, value: &'a Value) -> Result<Self> {
        match value {
            Value::Object(members) => {
                let left = members.iter().map(|(key, value)| (key.as_str(), value)).collect();
                Ok(Self { path: path.to_owned(), left })
            }
            other => Err(mistyped(if path.is_empty() { "document" } else { path }, "an object", other)),
        }
    }

    /// Where a member stands, for errors.
    #[must_use]
    pub fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// A member of any type.
    ///
    /// # Errors
    /// [`Error::Json`] when there is none, or it was taken before.
    pub fn take(&mut self, key: &str) -> Result<&'a Value> {
        match self.left.iter().position(|(k, _)| *k == key) {
            Some(place) => Ok(self.left.swap_remove(place).1),
            None => Err(refused(&self.path(key), "missing".to_owned())),
        }
    }

    /// A member that is an object.
    ///
    /// # Errors
    /// [`Error::Json`] when it is missing or of another type.
    pub fn object(&mut self, key: &str) -> Result<Members<'a>> {
        Members::of(&self.path(key), self.take(key)?)
    }

    /// A member that is a string.
    ///
    /// # Errors
    /// [`Error::Json`] when it is missing or of another type.
    pub fn text(&mut self, key: &str) -> Result<&'a str> {
        match self.take(key)? {
            Value::Text(text) => Ok(text),
            other => Err(mistyped(&self.path(key), "a text", other)),
        }
    }

    /// A member that is an integer of type `T`.
    ///
    /// # Errors
    /// [`Error::Json`] when it is missing, of another type or out of range.
    pub fn integer<T: TryFrom<i128>>(&mut self, key: &str) -> Result<T> {
        let value = self.take(key)?;
        integer(&self.path(key), value)
    }

    /// A member that is a list of integers of type `T`.
    ///
    /// # Errors
    /// [`Error::Json`] when it is missing, of another type, or one of them out of range.
    pub fn integers<T: TryFrom<i128>>(&mut self, key: &str) -> Result<Vec<T>> {
        match self.take(key)? {
            Value::List(items) => items.iter().map(|item| integer(&self.path(key), item)).collect(),
            other => Err(mistyped(&self.path(key), "a list", other)),
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`Error::Json`] names a member that nobody took.
    pub fn end(self) -> Result<()> {
        match self.left.first() {
            None => Ok(()),
            Some((key, _)) => Err(refused(&self.path(key), "unknown".to_owned())),
        }
    }
}

fn integer<T: TryFrom<i128>>(path: &str, value: &Value) -> Result<T> {
    let Value::Integer(wide) = *value else {
        return Err(mistyped(path, "an integer", value));
    };
    T::try_from(wide).map_err(|_| refused(path, format!("{wide} does not fit {}", std::any::type_name::<T>())))
}

fn mistyped(path: &str, expected: &str, found: &Value) -> Error {
    refused(path, format!("{} where {expected} is expected", found.kind()))
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Document)
    }
}

struct Document;

impl<'de> Visitor<'de> for Document {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Real(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members: Vec<(String, Value)> = Vec::new();
        let mut keys = std::collections::BTreeSet::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            if !keys.insert(key.clone()) {
                return Err(A::Error::custom(format_args!("key {key:?} is repeated")));
            }
            members.push((key, value));
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Style;
    use proptest::prelude::*;

    fn field_of(result: Result<impl fmt::Debug>) -> String {
        match result {
            Err(Error::Json { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn integers_and_reals_stay_apart() {
        let read = |text| Value::read("test", text).unwrap();
        assert_eq!(read("1"), Value::Integer(1));
        assert_eq!(read("1.0"), Value::Real(1.0));
        assert_eq!(read("18446744073709551615"), Value::Integer(u64::MAX.into()));
        // Wider than 64 bits: no integer of any field.
        assert_eq!(read("18446744073709551616"), Value::Real(18_446_744_073_709_551_616.0));
    }

    #[test]
    fn repeated_keys_and_trailing_text_are_refused() {
        assert!(Value::read("test", r#"{"a":1,"b":2}"#).is_ok());
        for text in [r#"{"a":1,"a":1}"#, r#"[{"a":{"b":1,"\u0062":2}}]"#, "{} {}", "", "NaN"] {
            assert_eq!(field_of(Value::read("test", text)), "test", "{text}");
        }
        assert!(Value::read("test", &"[".repeat(100_000)).is_err());
    }

    #[test]
    fn every_error_names_its_field() {
        let document = Value::read("test", r#"{"a": {"n": 300, "t": "x", "l": [1, -1]}, "rest": null}"#).unwrap();
        let mut top = Members::of("", &document).unwrap();
        let mut a = top.object("a").unwrap();
        assert_eq!(field_of(a.take("m")), "a.m");
        assert_eq!(field_of(a.integer::<u8>("n")), "a.n");
        assert_eq!(field_of(a.integer::<u16>("n")), "a.n", "taken before");
        assert_eq!(field_of(a.integers::<u32>("l")), "a.l");
        assert_eq!(field_of(a.integer::<u8>("t")), "a.t");
        a.end().unwrap();
        assert_eq!(field_of(top.end()), "rest");
        assert_eq!(field_of(Members::of("", &Value::Null)), "document");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text: String) {
            let _ = Value::read("test", &text);
        }

        #[test]
        fn what_is_read_is_written_again(keys in prop::collection::btree_set("[a-z]{0,3}", 0..5), n: i64, x in -1e30..1e30) {
            let members = keys.iter().map(|k| (k.clone(), Value::List(vec![Value::Integer(n.into()), Value::Real(x)])));
            let value = Value::Object(members.collect());
            for style in [Style::Canonical, Style::Python] {
                prop_assert_eq!(&Value::read("test", &value.to_text(style)).unwrap(), &value);
            }
        }
    }
}
