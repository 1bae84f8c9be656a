//! exact/window-sat-tiny.json: a whole honest window file, and what becomes of it after one change.
//!
//! No runner: the texts made here are judged by the reader's tests and by the verifier's.

use std::path::Path;

use grail_protocol::json::{push_f64, push_integer, push_text};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::support::{Hex32, load, same};

/// The part of the file that makes texts.
#[derive(Deserialize)]
pub struct Windows {
    pub window: Value,
    pub text_sha256: Hex32,
    pub deterministic_sha256: Hex32,
    pub variants: Vec<Variant>,
}

/// A change of the window, and the outcome it must have.
#[derive(Deserialize)]
pub struct Variant {
    pub name: String,
    pub patch: Vec<Operation>,
    pub text: Option<Replacement>,
    pub text_sha256: Hex32,
    pub outcome: String,
    pub reason: Option<String>,
    pub rollout: Option<usize>,
    pub position: Option<usize>,
}

/// An operation of RFC 6902.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Operation {
    Add { path: String, value: Value },
    Replace { path: String, value: Value },
    Remove { path: String },
}

/// A replacement of the first occurrence.
#[derive(Deserialize)]
pub struct Replacement {
    pub find_first: String,
    pub replace: String,
}

impl Windows {
    pub fn load(dir: &Path) -> Result<Self, String> {
        load(dir, "exact/window-sat-tiny.json")
    }

    /// The honest file's text.
    pub fn text(&self) -> Result<String, String> {
        checked(canonical(&self.window)?, self.text_sha256)
    }

    /// A variant's text.
    pub fn text_of(&self, variant: &Variant) -> Result<String, String> {
        let mut window = self.window.clone();
        variant.patch.iter().try_for_each(|operation| operation.apply(&mut window))?;
        let mut text = canonical(&window)?;
        if let Some(Replacement { find_first, replace }) = &variant.text {
            let at = text.find(find_first).ok_or_else(|| format!("no {find_first}"))?;
            text.replace_range(at..at + find_first.len(), replace);
        }
        checked(text, variant.text_sha256)
    }
}

fn checked(text: String, digest: Hex32) -> Result<String, String> {
    let found: [u8; 32] = Sha256::digest(&text).into();
    same("text_sha256", Hex32(found), digest)?;
    Ok(text)
}

impl Operation {
    fn apply(&self, document: &mut Value) -> Result<(), String> {
        let (Self::Add { path, .. } | Self::Replace { path, .. } | Self::Remove { path }) = self;
        let (parent, last) = path.rsplit_once('/').ok_or_else(|| format!("{path}: the whole document"))?;
        // Whether `last` is escaped is no question here: `~` in a key is refused.
        let parent = document.pointer_mut(parent).filter(|_| !last.contains('~'));
        let done = match parent {
            Some(Value::Object(members)) => self.apply_to_member(members, last),
            Some(Value::Array(items)) => self.apply_to_item(items, last),
            _ => None,
        };
        done.ok_or_else(|| format!("{path}: no such place"))
    }

    fn apply_to_member(&self, members: &mut serde_json::Map<String, Value>, key: &str) -> Option<()> {
        match self {
            Self::Add { value, .. } => _ = members.insert(key.into(), value.clone()),
            Self::Replace { value, .. } => *members.get_mut(key)? = value.clone(),
            Self::Remove { .. } => _ = members.remove(key)?,
        }
        Some(())
    }

    fn apply_to_item(&self, items: &mut Vec<Value>, place: &str) -> Option<()> {
        let place = if place == "-" { items.len() } else { place.parse().ok()? };
        match self {
            Self::Add { value, .. } if place <= items.len() => items.insert(place, value.clone()),
            Self::Replace { value, .. } => *items.get_mut(place)? = value.clone(),
            Self::Remove { .. } if place < items.len() => _ = items.remove(place),
            _ => return None,
        }
        Some(())
    }
}

/// Canonical JSON of a document.
pub fn canonical(document: &Value) -> Result<String, String> {
    let mut out = String::new();
    push(&mut out, document)?;
    Ok(out)
}

fn push(out: &mut String, value: &Value) -> Result<(), String> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), ..) => push_integer(out, value),
            (_, Some(value), _) => push_integer(out, value),
            (.., Some(value)) => push_f64(out, value),
            _ => return Err(format!("{number}: no number")),
        },
        Value::String(text) => push_text(out, text),
        Value::Array(items) => {
            let pushes = items.iter().map(|item| move |out: &mut String| push(out, item));
            push_between(out, '[', pushes, ']')?;
        }
        Value::Object(members) => {
            // serde_json's map is sorted by key unless a crate asks for the order of the text.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|&(key, _)| key);
            let pushes = members.into_iter().map(|(key, value)| {
                move |out: &mut String| {
                    push_text(out, key);
                    out.push(':');
                    push(out, value)
                }
            });
            push_between(out, '{', pushes, '}')?;
        }
    }
    Ok(())
}

fn push_between<F: FnOnce(&mut String) -> Result<(), String>>(
    out: &mut String,
    open: char,
    pushes: impl Iterator<Item = F>,
    close: char,
) -> Result<(), String> {
    out.push(open);
    for (i, push) in pushes.enumerate() {
        if i > 0 {
            out.push(',');
        }
        push(out)?;
    }
    out.push(close);
    Ok(())
}
