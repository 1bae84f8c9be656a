//! What a `tokenizer.json` may contain, checked before the library reads it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::TokenTable;
use super::byte_level::byte_chars;
use crate::checkpoint::TOKENIZER_LIMIT_BYTES;
use crate::json::{UniqueObject, clip};

/// Added tokens go into an automaton that takes many times their length.
const ADDED_LIMIT_BYTES: usize = 1 << 20;
const PATTERN_LIMIT_BYTES: usize = 4096;
/// Counted repetitions multiply when they are nested; the product of all is an upper bound.
const REPETITION_LIMIT: u64 = 1000;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    truncation: Option<IgnoredAny>,
    #[serde(default)]
    padding: Option<IgnoredAny>,
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Value,
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    decoder: Value,
    model: Model,
}

#[derive(Deserialize)]
pub(super) struct Added {
    pub(super) id: u32,
    pub(super) content: String,
    special: bool,
}

#[derive(Deserialize)]
struct Model {
    r#type: String,
    vocab: UniqueObject<u32>,
    #[serde(default)]
    dropout: Option<f64>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
}

/// The tokens of a file that passed.
pub(super) struct Checked {
    pub(super) added: Vec<Added>,
    vocab: BTreeMap<String, u32>,
}

/// Checks the file as a whole; the error is in words and names the component or token.
pub(super) fn check(bytes: &[u8], vocab_size: usize) -> Result<Checked, String> {
    if bytes.len() > TOKENIZER_LIMIT_BYTES {
        return Err(format!("{} bytes, at most {TOKENIZER_LIMIT_BYTES} are accepted", bytes.len()));
    }
    let file: File = serde_json::from_slice(bytes).map_err(|error| clip(&error.to_string()))?;
    if file.truncation.is_some() {
        return Err("truncation: is not supported, expected null".to_owned());
    }
    if file.padding.is_some() {
        return Err("padding: is not supported, expected null".to_owned());
    }
    check_component(&file.normalizer, "normalizer", &["NFC"])?;
    check_pre_tokenizer(&file.pre_tokenizer)?;
    check_post_processor(&file.post_processor)?;
    if kind(&file.decoder) != Some("ByteLevel") {
        return Err(unsupported("decoder", &file.decoder, &["ByteLevel"]));
    }
    check_model(&file.model)?;
    let checked = Checked { added: file.added_tokens, vocab: file.model.vocab.0 };
    checked.check_ids(vocab_size)?;
    Ok(checked)
}

impl Checked {
    fn check_ids(&self, vocab_size: usize) -> Result<(), String> {
        let mut owners: BTreeMap<u32, &str> = BTreeMap::new();
        for (token, &id) in &self.vocab {
            if let Some(first) = owners.insert(id, token) {
                let (a, b) = (clip(first), clip(token));
                return Err(format!("model.vocab: {a} and {b} both have id {id}"));
            }
        }
        for c in byte_chars() {
            // A byte without a token would be dropped from the text without a word.
            if !self.vocab.contains_key(c.encode_utf8(&mut [0; 4]) as &str) {
                return Err(format!("model.vocab: the byte-level token {c} is missing"));
            }
        }
        let mut contents = BTreeSet::new();
        for token in &self.added {
            let shown = clip(&token.content);
            if token.content.is_empty() || !contents.insert(&token.content) {
                return Err(format!("added_tokens: {shown:?} is empty or there twice"));
            }
            match owners.insert(token.id, &token.content) {
                Some(other) if other != token.content => {
                    let other = clip(other);
                    return Err(format!("added_tokens: {shown} and {other} both have id {}", token.id));
                }
                _ => {}
            }
        }
        if self.added.iter().map(|t| t.content.len()).sum::<usize>() > ADDED_LIMIT_BYTES {
            return Err(format!("added_tokens: more than {ADDED_LIMIT_BYTES} bytes of text"));
        }
        match owners.last_key_value() {
            Some((&id, token)) if id as usize >= vocab_size => {
                Err(format!("{} has id {id}, the model's vocab_size is {vocab_size}", clip(token)))
            }
            _ => Ok(()),
        }
    }

    /// The bytes of every token below `vocab_size`, by the library's rule: each character stands
    /// for a byte, or, if one of them stands for none, the token is its own UTF-8.
    pub(super) fn table(&self, vocab_size: usize) -> TokenTable {
        let bytes_of: BTreeMap<char, u8> = byte_chars().into_iter().zip(0u8..=255).collect();
        let mut texts: Vec<(&str, bool)> = vec![("", false); vocab_size];
        let specials: BTreeSet<&str> =
            self.added.iter().filter(|token| token.special).map(|token| token.content.as_str()).collect();
        let added = self.added.iter().map(|t| (t.content.as_str(), t.id));
        let model = self.vocab.iter().map(|(token, &id)| (token.as_str(), id));
        for (text, id) in model.chain(added) {
            // `check_ids` made sure of the bound.
            if let Some(slot) = texts.get_mut(id as usize) {
                *slot = (text, specials.contains(text));
            }
        }
        let mut table = TokenTable::default();
        table.starts.push(0);
        for (text, special) in texts {
            let mapped: Option<Vec<u8>> = text.chars().map(|c| bytes_of.get(&c).copied()).collect();
            match mapped {
                Some(bytes) => table.bytes.extend(bytes),
                None => table.bytes.extend_from_slice(text.as_bytes()),
            }
            table.starts.push(table.bytes.len() as u32);
            table.special.push(special);
        }
        table
    }
}

fn kind(component: &Value) -> Option<&str> {
    component.get("type").and_then(Value::as_str)
}

fn unsupported(name: &str, component: &Value, expected: &[&str]) -> String {
    let found = match kind(component) {
        Some(kind) => format!("type {}", clip(kind)),
        None => clip(&component.to_string()),
    };
    format!("{name}: {found} is not supported, expected {}", expected.join(" or "))
}

/// Null, or one of the types.
fn check_component(component: &Value, name: &str, expected: &[&str]) -> Result<(), String> {
    match kind(component) {
        Some(kind) if expected.contains(&kind) => Ok(()),
        None if component.is_null() => Ok(()),
        _ => Err(unsupported(name, component, expected)),
    }
}

/// The parts of a `Sequence`, or the component itself.
fn parts<'a>(component: &'a Value, list: &str) -> &'a [Value] {
    match (kind(component), component.get(list)) {
        (Some("Sequence"), Some(Value::Array(parts))) => parts,
        _ => std::slice::from_ref(component),
    }
}

fn check_pre_tokenizer(component: &Value) -> Result<(), String> {
    const NAME: &str = "pre_tokenizer";
    let parts = parts(component, "pretokenizers");
    for part in parts {
        match kind(part) {
            Some("ByteLevel" | "Digits") => {}
            Some("Split") => check_pattern(part)?,
            _ => return Err(unsupported(NAME, part, &["Split", "Digits", "ByteLevel"])),
        }
    }
    match parts.last().and_then(kind) {
        Some("ByteLevel") => Ok(()),
        _ => Err(format!("{NAME}: does not end with ByteLevel")),
    }
}

fn check_pattern(split: &Value) -> Result<(), String> {
    let pattern = split.get("pattern");
    let Some(regex) = pattern.and_then(|p| p.get("Regex").or(p.get("String"))) else {
        return Err("pre_tokenizer: pattern is neither Regex nor String".to_owned());
    };
    let text = regex.as_str().unwrap_or_default();
    if text.is_empty() || text.len() > PATTERN_LIMIT_BYTES {
        return Err(format!("pre_tokenizer: the pattern is no text of 1 to {PATTERN_LIMIT_BYTES} bytes"));
    }
    if repetitions(text) > REPETITION_LIMIT {
        return Err(format!(
            "pre_tokenizer: the pattern's counted repetitions multiply to more than {REPETITION_LIMIT}"
        ));
    }
    Ok(())
}

/// The product of the numbers in `{n}`, `{n,}`, `{n,m}`: what nested repetitions can expand to.
fn repetitions(pattern: &str) -> u64 {
    let mut product = 1u64;
    for braces in pattern.split('{').skip(1) {
        let inside = braces.split('}').next().unwrap_or_default();
        let numbers = inside.split(',').filter_map(|n| {
            let n = n.trim();
            let digits = !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| n.parse::<u64>().unwrap_or(u64::MAX))
        });
        product = product.saturating_mul(numbers.max().unwrap_or(1).max(1));
    }
    product
}

fn check_post_processor(component: &Value) -> Result<(), String> {
    const ACCEPTED: [&str; 2] = ["ByteLevel", "TemplateProcessing"];
    parts(component, "processors").iter().try_for_each(|part| check_component(part, "post_processor", &ACCEPTED))
}

fn check_model(model: &Model) -> Result<(), String> {
    if model.r#type != "BPE" {
        let found = clip(&model.r#type);
        return Err(format!("model.type: {found} is not supported, expected BPE"));
    }
    if model.dropout.is_some_and(|p| p != 0.0) {
        return Err("model.dropout: is random and not supported, expected null".to_owned());
    }
    if model.byte_fallback {
        return Err("model.byte_fallback: true is not supported".to_owned());
    }
    let affixes = [
        ("continuing_subword_prefix", &model.continuing_subword_prefix),
        ("end_of_word_suffix", &model.end_of_word_suffix),
    ];
    for (name, affix) in affixes {
        if affix.as_ref().is_some_and(|text| !text.is_empty()) {
            return Err(format!("model.{name}: is not supported, expected null"));
        }
    }
    Ok(())
}
