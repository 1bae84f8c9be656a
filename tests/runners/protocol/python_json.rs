//! python_json.json (PROTOCOL 2).

use std::path::Path;

use grail_protocol::encoding::sha256;
use grail_protocol::json::{Style, Value, f64_text, push_text, push_utf16};
use serde::Deserialize;

use super::support::{Hex32, each, load, same, text};

#[derive(Deserialize)]
struct File {
    floats: Vec<Float>,
    strings: Vec<Text>,
    objects: Vec<Object>,
    python_str_of_bool_lists: Vec<BoolList>,
}

#[derive(Deserialize)]
struct Float {
    f64_bits_hex: String,
    json: String,
}

#[derive(Deserialize)]
struct Text {
    utf16_units: Vec<u16>,
    json: String,
}

#[derive(Deserialize)]
struct Object {
    value: Value,
    default_dumps: String,
    canonical_dumps: String,
    sha256_canonical: Hex32,
}

#[derive(Deserialize)]
struct BoolList {
    value: Vec<bool>,
    str: String,
    sha256: Hex32,
}

pub fn run(dir: &Path) -> Result<usize, String> {
    let file: File = load(dir, "python_json.json")?;
    let floats = each("floats", &file.floats, |case| {
        let bits = u64::from_str_radix(&case.f64_bits_hex, 16).map_err(text)?;
        same("text", &f64_text(f64::from_bits(bits)), &case.json)
    })?;
    let strings = each("strings", &file.strings, |case| {
        let mut written = String::new();
        push_utf16(&mut written, case.utf16_units.iter().copied());
        same("units", &written, &case.json)?;
        // Rust's strings hold everything but unpaired surrogates.
        String::from_utf16(&case.utf16_units).map_or(Ok(()), |string| {
            let mut written = String::new();
            push_text(&mut written, &string);
            same("text", &written, &case.json)
        })
    })?;
    let objects = each("objects", &file.objects, |case| {
        let canonical = case.value.to_text(Style::Canonical);
        same("default", &case.value.to_text(Style::Python), &case.default_dumps)?;
        same("canonical", &canonical, &case.canonical_dumps)?;
        same("hash", sha256(canonical.as_bytes()), case.sha256_canonical.0)
    })?;
    let lists = each("bool lists", &file.python_str_of_bool_lists, |case| {
        let items: Vec<&str> = case.value.iter().map(|&b| if b { "True" } else { "False" }).collect();
        let written = format!("[{}]", items.join(", "));
        same("text", &written, &case.str)?;
        same("hash", sha256(written.as_bytes()), case.sha256.0)
    })?;
    Ok(floats + strings + objects + lists)
}
