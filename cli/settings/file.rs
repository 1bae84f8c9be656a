//! The file of settings: which one, and that every key in it is one.
//!
//! TOML. Keys at the top are flags of every command that has them; a table named after a command holds for that command
//! and those below it, and a deeper table wins. The whole file is checked at every call, not only what the call needs:
//! a slip in `[validate]` is told to whoever runs `mine`. Secrets do not belong into it, and flags that take one are
//! refused here.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use toml::{Table, Value};

use super::nearest::nearest;

/// Longest file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// In the working directory.
const HERE: &str = "grail.toml";
/// Below the folder for settings of a user's programs.
const OF_USER: &str = "grail/config.toml";

/// A file whose keys are all known.
#[derive(Debug, Clone, Default)]
pub struct SettingsFile {
    /// As it was named or found; empty where there is none.
    pub path: PathBuf,
    table: Table,
}

impl SettingsFile {
    /// Reads the named file, else `./grail.toml`, else the user's; `None` where none is there.
    ///
    /// # Errors
    /// In words: a file that is named and missing, cannot be read, is no TOML, or has a key that is no setting of
    /// `root`.
    pub fn find(named: Option<&Path>, user: Option<PathBuf>, root: &Command) -> Result<Option<Self>, String> {
        let found = match named {
            Some(path) => Some((path.to_owned(), text_of(path)?.ok_or_else(|| missing(path))?)),
            None => {
                let user = user.map(|folder| folder.join(OF_USER));
                first_of([Some(PathBuf::from(HERE)), user].into_iter().flatten())?
            }
        };
        let Some((path, text)) = found else { return Ok(None) };
        let file = Self::parse(&text, root).map_err(|problem| format!("{}: {problem}", path.display()))?;
        Ok(Some(Self { path, ..file }))
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// As [`SettingsFile::find`].
    pub fn parse(text: &str, root: &Command) -> Result<Self, String> {
        let table: Table = text.parse().map_err(|e: toml::de::Error| {
            let line = e.span().map_or(1, |span| 1 + text.bytes().take(span.start).filter(|&b| b == b'\n').count());
            format!("line {line}: {}", e.message().replace('\n', " "))
        })?;
        check(&table, root, "")?;
        Ok(Self { table, ..Self::default() })
    }

    /// The value of a flag for a command, with its key as a person would name it, and how deep its table is.
    #[must_use]
    pub fn get(&self, command: &[String], long: &str) -> Option<(usize, String, &Value)> {
        let mut table = &self.table;
        let mut found = None;
        for depth in 0..=command.len() {
            if let Some((key, value)) = table.iter().find(|(key, value)| is(key, long) && !value.is_table()) {
                found = Some((depth, format!("{}{key}", prefix(&command[..depth])), value));
            }
            let deeper = command.get(depth).and_then(|name| table.iter().find(|(key, _)| is(key, name)));
            match deeper.and_then(|(_, value)| value.as_table()) {
                Some(below) => table = below,
                None => break,
            }
        }
        found
    }
}

fn missing(path: &Path) -> String {
    format!("{}: there is no such file of settings (--config or GRAIL_CONFIG names it)", path.display())
}

fn first_of(paths: impl Iterator<Item = PathBuf>) -> Result<Option<(PathBuf, String)>, String> {
    for path in paths {
        if let Some(text) = text_of(&path)? {
            return Ok(Some((path, text)));
        }
    }
    Ok(None)
}

fn text_of(path: &Path) -> Result<Option<String>, String> {
    let told = |problem: String| format!("{}: {problem}", path.display());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(told(e.to_string())),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|e| told(e.to_string()))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(told(format!("more than {MAX_FILE_BYTES} bytes")));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| told("is no UTF-8 text".to_owned()))
}

/// Whether a key names a flag or command; `_` stands for `-`.
fn is(key: &str, name: &str) -> bool {
    key == name || key.replace('_', "-") == name
}

fn prefix(path: &[String]) -> String {
    if path.is_empty() { String::new() } else { format!("[{}] ", path.join(".")) }
}

/// Whether a flag can be set by a file and is shown as a setting.
pub fn is_setting(arg: &Arg) -> bool {
    arg.get_long().is_some_and(|long| !["help", "version", "config"].contains(&long))
}

/// Flags whose values are not shown and not kept in files: marked by `hide_env_values`.
pub fn is_secret(arg: &Arg) -> bool {
    arg.is_hide_env_values_set()
}

fn check(table: &Table, command: &Command, place: &str) -> Result<(), String> {
    for (i, (key, value)) in table.iter().enumerate() {
        let told = |problem: String| {
            let place = if place.is_empty() { String::new() } else { format!("[{place}] ") };
            format!("{place}{key}: {problem}")
        };
        if table.keys().take(i).any(|other| is(other, &key.replace('_', "-")) || is(key, &other.replace('_', "-"))) {
            return Err(told("is there twice, with - and with _".to_owned()));
        }
        match value {
            Value::Table(below) => {
                let sub = subcommands(command).find(|sub| is(key, sub.get_name()));
                let sub = sub.ok_or_else(|| told(no_command(key, command)))?;
                let deeper = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
                check(below, sub, &deeper)?;
            }
            _ => known(key, command).map_err(told)?,
        }
    }
    Ok(())
}

fn subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| sub.get_name() != "help")
}

fn no_command(key: &str, command: &Command) -> String {
    let names = subcommands(command).map(Command::get_name);
    format!("there is no such command{}", meant(nearest(&key.replace('_', "-"), names)))
}

fn meant(near: Vec<&str>) -> String {
    if near.is_empty() { String::new() } else { format!("; near it: {}", near.join(", ")) }
}

/// Checks that a key is a flag of a command or of one below it.
fn known(key: &str, command: &Command) -> Result<(), String> {
    let mut flags = Vec::new();
    collect(command, &mut flags);
    let named: Vec<&Arg> = flags.iter().copied().filter(|arg| arg.get_long().is_some_and(|l| is(key, l))).collect();
    if named.is_empty() {
        if subcommands(command).any(|sub| is(key, sub.get_name())) {
            return Err(format!("is a command; its settings stand below [{key}]"));
        }
        let names = flags.iter().filter(|arg| is_setting(arg)).filter_map(|arg| arg.get_long());
        return Err(format!("there is no such flag{}", meant(nearest(&key.replace('_', "-"), names))));
    }
    match named.iter().all(|arg| is_secret(arg)) {
        true => Err("is a secret, and secrets do not belong into this file".to_owned()),
        false if !named.iter().any(|arg| is_setting(arg)) => Err("cannot be set by a file".to_owned()),
        false => Ok(()),
    }
}

fn collect<'a>(command: &'a Command, flags: &mut Vec<&'a Arg>) {
    flags.extend(command.get_arguments().filter(|arg| arg.get_long().is_some()));
    subcommands(command).for_each(|sub| collect(sub, flags));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn root() -> Command {
        let mut root = crate::flags::command();
        root.build();
        root
    }

    #[test]
    fn a_deeper_table_wins() {
        let file =
            SettingsFile::parse("json = true\n[wallet]\njson = false\n[wallet.show]\njson = true", &root()).unwrap();
        let found = |path: &str| {
            let path: Vec<String> = path.split(' ').map(str::to_owned).collect();
            file.get(&path, "json").map(|(depth, key, value)| (depth, key, value.as_bool().unwrap()))
        };
        assert_eq!(found("verify"), Some((0, "json".into(), true)));
        assert_eq!(found("wallet list"), Some((1, "[wallet] json".into(), false)));
        assert_eq!(found("wallet show"), Some((2, "[wallet.show] json".into(), true)));
        assert_eq!(file.get(&["demo".to_owned()], "threads"), None);
    }

    #[test]
    fn a_key_that_is_no_setting_is_told_with_what_is_near() {
        for (text, says) in [
            ("thread = 1", "thread: there is no such flag; near it: threads"),
            ("colour_of_it = 1", "colour_of_it: there is no such flag"),
            ("[vrify]", "vrify: there is no such command; near it: verify"),
            ("[demo]\nrollouts-per-problm = 1", "[demo] rollouts-per-problm: there is no such flag"),
            ("[wallet.shw]\njson = true", "[wallet] shw: there is no such command; near it: show"),
            ("[demo]\nbatch = 1", "[demo] batch: there is no such flag"),
            ("demo = 1", "demo: is a command; its settings stand below [demo]"),
            ("config = 'x'", "config: cannot be set by a file"),
            ("[demo]\nconfig = 'x'", "[demo] config: cannot be set by a file"),
            ("help = true", "help: cannot be set by a file"),
            ("[wallet.import]\nuri = '//hush'", "[wallet.import] uri: is a secret"),
            ("max_new_tokens = 1\nmax-new-tokens = 2", "is there twice"),
            ("[verify]\nfile = 'x'", "[verify] file: there is no such flag"),
            ("threads = 1\n\nthreads = 2", "line 3: "),
            ("threads 1", "line 1: "),
        ] {
            let problem = SettingsFile::parse(text, &root()).unwrap_err();
            assert!(problem.contains(says) && !problem.contains("hush"), "{text:?}: {problem}");
            assert_eq!(problem.lines().count(), 1, "{problem}");
        }
        for text in ["", "model = 'x'", "[model.info]\njson = true", "[rollouts]\nrollouts_per_problem = 3"] {
            assert!(SettingsFile::parse(text, &root()).is_ok(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_file_or_an_error(text in "([a-z_]{1,8}|\\[|\\]|=|\n|'|\"| |1|true){0,30}") {
            let _ = SettingsFile::parse(&text, &Command::new("p"));
        }
    }
}
