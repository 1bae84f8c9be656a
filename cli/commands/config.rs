//! `grail config`: each setting of a command, its value, and where that comes from.

use std::ffi::OsString;
use std::io::Write;

use anyhow::Result;
use serde_json::{Value, json};

use super::Outcome;
use crate::flags::{self, Config};
use crate::settings::{self, Resolution, Setting, Shown, Variables};
use crate::terminal::printable;

/// `line` is the whole command line that called this.
pub fn run(flags: &Config, line: &[OsString], variables: &Variables, out: &mut dyn Write) -> Result<Outcome> {
    let resolution = settings::explain(flags::command(), &line_of(flags, line), variables)?;
    if flags.json {
        writeln!(out, "{}", as_json(&resolution))?;
        return Ok(Outcome::Done);
    }
    let file = resolution.file.as_ref().map_or("none".to_owned(), |path| path.display().to_string());
    writeln!(out, "settings of grail {}; file: {file}", resolution.path.join(" "))?;
    for setting in &resolution.settings {
        let place = match setting.source.detail() {
            Some(detail) => format!("{} ({detail})", setting.source.word()),
            None => setting.source.word().to_owned(),
        };
        writeln!(out, "  {:<22} {:<28} {}", setting.name, printable(&shown(&setting.value)), printable(&place))?;
        if let Some((source, other)) = &setting.gives_way {
            writeln!(out, "  {:<22} {}", "", printable(&format!("(not that of {source}: {other} excludes it)")))?;
        }
    }
    Ok(Outcome::Done)
}

/// The command's line as it would be called, with the program's flags that stand before it.
fn line_of(flags: &Config, line: &[OsString]) -> Vec<OsString> {
    let own = line.len().saturating_sub(flags.line.len());
    let mut is_named = false;
    let mut kept: Vec<OsString> = Vec::with_capacity(line.len());
    for word in &line[..own] {
        // The first `config` that is no value of --config is this command's own name.
        let is_value = kept.last().is_some_and(|last| last == "--config" || last == "--log-format");
        let is_name = !is_named && !is_value && word == "config";
        is_named |= is_name;
        if !is_name && (is_value || (word != "--json" && word != "--")) {
            kept.push(word.clone());
        }
    }
    kept.extend_from_slice(&line[own..]);
    kept
}

fn shown(value: &Shown) -> String {
    match value {
        Shown::Nothing => "-".to_owned(),
        Shown::Switch(on) => on.to_string(),
        Shown::Values(values) => values.join(", "),
        Shown::Secret => "(not shown)".to_owned(),
    }
}

fn as_json(resolution: &Resolution) -> Value {
    json!({
        "command": resolution.path.join(" "),
        "file": resolution.file,
        "settings": resolution.settings.iter().map(row).collect::<Vec<_>>(),
    })
}

fn row(setting: &Setting) -> Value {
    let value = match &setting.value {
        Shown::Nothing => Value::Null,
        Shown::Switch(on) => json!(on),
        Shown::Values(values) if values.len() == 1 => json!(values[0]),
        Shown::Values(values) => json!(values),
        Shown::Secret => json!({"secret": true}),
    };
    let gives_way = setting.gives_way.as_ref();
    let gives_way = gives_way.map(|(source, other)| json!({"from": source.to_string(), "excluded_by": other}));
    json!({"name": setting.name, "value": value, "source": setting.source.word(),
           "from": setting.source.detail(), "gives_way": gives_way})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_asked_line_keeps_the_programs_flags_and_loses_the_commands_own() {
        for (typed, asked, expected) in [
            ("grail config demo", 1, "grail demo"),
            ("grail --config config config --json demo --json", 2, "grail --config config demo --json"),
            ("grail config -v --json -- wallet show", 2, "grail -v wallet show"),
            ("grail config config demo", 2, "grail config demo"),
        ] {
            let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
            let line = words(typed);
            let flags = Config { json: false, line: line[line.len() - asked..].to_vec() };
            assert_eq!(line_of(&flags, &line), words(expected), "{typed}");
        }
    }
}
