//! Reading a file of vectors and comparing with it.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use grail_protocol::Hash;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// From the folder of vectors to the number of cases that hold, or to what the first other one says.
pub type Runner = fn(&Path) -> Result<usize, String>;

/// The folder of vectors: `GRAIL_VECTORS`, else the copies beside the tests of the root package.
pub fn folder(root: &str) -> PathBuf {
    std::env::var_os("GRAIL_VECTORS").map_or_else(|| Path::new(root).join("tests/vectors"), Into::into)
}

/// One file of vectors.
pub fn load<T: DeserializeOwned>(dir: &Path, name: &str) -> Result<T, String> {
    let path = dir.join(name);
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Runs every case of a list; an empty list is an error, since it would prove nothing.
pub fn each<T>(list: &str, cases: &[T], mut run: impl FnMut(&T) -> Result<(), String>) -> Result<usize, String> {
    if cases.is_empty() {
        return Err(format!("{list}: no cases"));
    }
    for (i, case) in cases.iter().enumerate() {
        run(case).map_err(|e| format!("{list}[{i}]: {e}"))?;
    }
    Ok(cases.len())
}

/// An error unless both are equal.
pub fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: found {found:?}, expected {expected:?}"))
}

/// An error unless `result` is one.
pub fn refused<T: Debug, E>(what: &str, result: Result<T, E>) -> Result<(), String> {
    match result {
        Err(_) => Ok(()),
        Ok(value) => Err(format!("{what}: {value:?} instead of an error")),
    }
}

/// Any error as text.
pub fn text<E: std::fmt::Display>(error: E) -> String {
    error.to_string()
}

/// Bytes written as hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hex(pub Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Thirty-two bytes written as hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hex32(pub Hash);

impl<'de> Deserialize<'de> for Hex32 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Hex::deserialize(deserializer)?.0;
        bytes.try_into().map(Self).map_err(|_| serde::de::Error::custom("not 32 bytes"))
    }
}

/// The bits of f32 values written as hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bits(pub u32);

impl<'de> Deserialize<'de> for Bits {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u32::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}
