//! Each setting of a command from the highest place that has it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, Id, parser::ValueSource};
use toml::Value;

use super::dotenv::Variables;
use super::file::{SettingsFile, is_secret, is_setting};

/// Read and judged where it is used, not here: the engine has its own words for a bad one.
const JUDGED_ELSEWHERE: [&str; 1] = ["GRAIL_CPU"];

/// Where a value comes from, highest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Typed.
    Flag,
    /// This variable of the process.
    Environment(String),
    /// This variable of `./.env`.
    Dotenv(String),
    /// This key of the file of settings.
    File {
        /// The file.
        path: PathBuf,
        /// With its table: `[mine] threads`.
        key: String,
        /// Tables around it.
        depth: usize,
    },
    /// Built in.
    Default,
}

impl Source {
    /// One word: `flag`, `env`, `.env`, `file`, `default`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment(_) => "env",
            Self::Dotenv(_) => ".env",
            Self::File { .. } => "file",
            Self::Default => "default",
        }
    }

    /// Which variable or key.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Flag | Self::Default => None,
            Self::Environment(name) | Self::Dotenv(name) => Some(name.clone()),
            Self::File { path, key, .. } => Some(format!("{}: {key}", path.display())),
        }
    }

    /// Lower is stronger.
    fn rank(&self) -> usize {
        match self {
            Self::Flag => 0,
            Self::Environment(_) => 1,
            Self::Dotenv(_) => 2,
            Self::File { depth, .. } => usize::MAX - 1 - depth,
            Self::Default => usize::MAX,
        }
    }
}

/// As an error names it.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("command line"),
            Self::Environment(name) => f.write_str(name),
            Self::Dotenv(name) => write!(f, ".env: {name}"),
            Self::File { path, key, .. } => write!(f, "{}: {key}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// None.
    Nothing,
    /// A switch.
    Switch(bool),
    /// A value, or several.
    Values(Vec<String>),
    /// There is one that is not shown.
    Secret,
}

/// One setting of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Long name of its flag.
    pub name: String,
    /// Its value.
    pub value: Shown,
    /// Where that comes from.
    pub source: Source,
    /// A value that gives way, and the flag it contradicts.
    pub gives_way: Option<(Source, String)>,
    /// What to put into the command line.
    pub(super) words: Vec<OsString>,
    id: Id,
}

/// All settings of a command, by name.
///
/// `typed` are the results of what was typed alone, for this command.
///
/// # Errors
/// In words: a value that its flag refuses, or two of the same place that exclude each other.
pub fn settings(
    command: &Command,
    path: &[String],
    typed: &ArgMatches,
    variables: &Variables,
    file: &SettingsFile,
) -> Result<Vec<Setting>, String> {
    let is_typed = |id: &Id| typed.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    let typed_ids: Vec<&Id> = typed.ids().filter(|id| is_typed(id)).collect();
    let mut found = Vec::new();
    for arg in command.get_arguments().filter(|arg| is_setting(arg)) {
        found.push(match typed_ids.contains(&arg.get_id()) {
            true => setting(arg, typed_value(arg, typed), Source::Flag, Vec::new()),
            false => from_elsewhere(arg, path, variables, file)?,
        });
    }
    found.sort_by_key(|s| s.source.rank());
    let typed_args = command.get_arguments().filter(|arg| typed_ids.contains(&arg.get_id()));
    let mut in_force: Vec<(&Arg, usize)> = typed_args.map(|arg| (arg, 0)).collect();
    for place in 0..found.len() {
        let rank = found[place].source.rank();
        let has_no_say = found[place].source == Source::Default || found[place].value == Shown::Switch(false);
        let arg = command.get_arguments().find(|arg| *arg.get_id() == found[place].id);
        let Some(arg) = arg.filter(|_| rank > 0 && !has_no_say) else { continue };
        match in_force.iter().find(|(other, _)| exclude(command, arg, other)) {
            None => in_force.push((arg, rank)),
            Some((other, same)) if *same == rank => {
                let other =
                    found.iter().find(|s| s.id == *other.get_id()).map_or(String::new(), |s| s.source.to_string());
                return Err(format!("{} and {other} exclude each other", found[place].source));
            }
            Some((other, _)) => {
                let name = name(other);
                let source = std::mem::replace(&mut found[place], default(arg)).source;
                found[place].gives_way = Some((source, name));
            }
        }
    }
    for setting in found.iter().filter(|s| !s.words.is_empty()) {
        let arg = command.get_arguments().find(|arg| *arg.get_id() == setting.id);
        arg.map_or(Ok(()), |arg| accepts(arg, &setting.words).map_err(|e| format!("{}: {e}", setting.source)))?;
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn name(arg: &Arg) -> String {
    let value = || arg.get_value_names().and_then(|names| names.first()).map_or(arg.get_id().as_str(), |name| name);
    arg.get_long().map_or_else(|| format!("<{}>", value()), |long| format!("--{long}"))
}

fn setting(arg: &Arg, value: Shown, source: Source, words: Vec<OsString>) -> Setting {
    let value = if is_secret(arg) && value != Shown::Nothing { Shown::Secret } else { value };
    let name = arg.get_long().unwrap_or_default().to_owned();
    Setting { name, value, source, gives_way: None, words, id: arg.get_id().clone() }
}

fn default(arg: &Arg) -> Setting {
    let values: Vec<String> = arg.get_default_values().iter().map(|v| v.to_string_lossy().into_owned()).collect();
    let value = match arg.get_action() {
        ArgAction::SetTrue => Shown::Switch(false),
        _ if values.is_empty() => Shown::Nothing,
        _ => Shown::Values(values),
    };
    setting(arg, value, Source::Default, Vec::new())
}

fn typed_value(arg: &Arg, typed: &ArgMatches) -> Shown {
    let id = arg.get_id().as_str();
    match arg.get_action() {
        ArgAction::SetTrue => Shown::Switch(true),
        ArgAction::Count => Shown::Values(vec![typed.get_count(id).to_string()]),
        _ => {
            let raw = typed.get_raw(id).into_iter().flatten();
            Shown::Values(raw.map(|v| v.to_string_lossy().into_owned()).collect())
        }
    }
}

fn from_elsewhere(arg: &Arg, path: &[String], variables: &Variables, file: &SettingsFile) -> Result<Setting, String> {
    if let Some(name) = arg.get_env()
        && let Some((value, is_dotenv)) = variables.get(name)
    {
        let name = name.to_string_lossy().into_owned();
        let judged_elsewhere = JUDGED_ELSEWHERE.contains(&name.as_str());
        let source = if is_dotenv { Source::Dotenv(name) } else { Source::Environment(name) };
        if judged_elsewhere {
            return Ok(setting(arg, Shown::Values(vec![value.to_string_lossy().into_owned()]), source, Vec::new()));
        }
        return of_variable(arg, value, &source).map_err(|e| format!("{source}: {e}"));
    }
    let long = arg.get_long().unwrap_or_default();
    let Some((depth, key, value)) = file.get(path, long).filter(|_| !is_secret(arg)) else { return Ok(default(arg)) };
    let source = Source::File { path: file.path.clone(), key, depth };
    of_file(arg, value, &source).map_err(|e| format!("{source}: {e}"))
}

fn of_variable(arg: &Arg, value: &OsStr, source: &Source) -> Result<Setting, String> {
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        let on = match value.to_str().unwrap_or_default().to_ascii_lowercase().as_str() {
            "1" | "on" | "true" | "yes" => true,
            "0" | "off" | "false" | "no" => false,
            _ => return Err("is neither true nor false; expected 1, on, true, yes, 0, off, false or no".to_owned()),
        };
        return Ok(switch(arg, on, source));
    }
    Ok(values(arg, vec![value.to_owned()], source))
}

fn of_file(arg: &Arg, value: &Value, source: &Source) -> Result<Setting, String> {
    match (arg.get_action(), value) {
        (ArgAction::SetTrue, Value::Boolean(on)) => Ok(switch(arg, *on, source)),
        (ArgAction::SetTrue, _) => Err("expected true or false".to_owned()),
        (ArgAction::Count, Value::Integer(n @ 0..=255)) => {
            let long = OsString::from(format!("--{}", arg.get_long().unwrap_or_default()));
            let words = vec![long; *n as usize];
            Ok(setting(arg, Shown::Values(vec![n.to_string()]), source.clone(), words))
        }
        (ArgAction::Count, _) => Err("expected a whole number from 0 to 255".to_owned()),
        (_, Value::Array(list)) if takes_list(arg) => {
            let texts: Option<Vec<OsString>> = list.iter().map(|v| scalar(v).map(OsString::from)).collect();
            Ok(values(arg, texts.ok_or("expected a list of plain values")?, source))
        }
        (_, Value::Array(_)) => Err("takes one value, not a list".to_owned()),
        (_, value) => {
            let text = scalar(value).ok_or("expected a plain value")?;
            Ok(values(arg, vec![text.into()], source))
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(n) => Some(n.to_string()),
        Value::Float(x) => Some(x.to_string()),
        Value::Boolean(on) => Some(on.to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

fn takes_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append) || takes_several_words(arg)
}

fn takes_several_words(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|range| range.max_values() > 1)
}

fn switch(arg: &Arg, on: bool, source: &Source) -> Setting {
    let words = if on { vec![format!("--{}", arg.get_long().unwrap_or_default()).into()] } else { Vec::new() };
    setting(arg, Shown::Switch(on), source.clone(), words)
}

/// A value behind its flag with `=`, so that one that begins with a hyphen is no flag.
fn values(arg: &Arg, texts: Vec<OsString>, source: &Source) -> Setting {
    let shown = Shown::Values(texts.iter().map(|v| v.to_string_lossy().into_owned()).collect());
    let long = OsString::from(format!("--{}", arg.get_long().unwrap_or_default()));
    let words = match takes_several_words(arg) {
        true => std::iter::once(long).chain(texts).collect(),
        false => texts.iter().map(|text| [long.as_os_str(), OsStr::new("="), text].into_iter().collect()).collect(),
    };
    setting(arg, shown, source.clone(), words)
}

/// Whether two arguments cannot be given together.
fn exclude(command: &Command, a: &Arg, b: &Arg) -> bool {
    let names = |a: &Arg, b: &Arg| command.get_arg_conflicts_with(a).iter().any(|c| c.get_id() == b.get_id());
    let alone = |group: &ArgGroup| {
        let has = |arg: &Arg| group.get_args().any(|id| id == arg.get_id());
        has(a) && has(b) && !group.clone().is_multiple()
    };
    a.get_id() != b.get_id() && (names(a, b) || names(b, a) || command.get_groups().any(alone))
}

/// Lets the flag's own parser judge words, apart from all other flags.
fn accepts(arg: &Arg, words: &[OsString]) -> Result<(), String> {
    let mut alone = Arg::new("value")
        .long(arg.get_long().unwrap_or_default().to_owned())
        .action(arg.get_action().clone())
        .value_parser(arg.get_value_parser().clone());
    if arg.get_action().takes_values() {
        alone = alone.value_names(arg.get_value_names().unwrap_or_default().to_vec());
        alone = arg.get_num_args().map_or(alone.clone(), |range| alone.num_args(range));
        alone = arg.get_value_delimiter().map_or(alone.clone(), |c| alone.value_delimiter(c));
    }
    let line = std::iter::once(OsString::from("grail")).chain(words.iter().cloned());
    match Command::new("grail").arg(alone).try_get_matches_from(line) {
        Ok(_) => Ok(()),
        Err(_) if is_secret(arg) => Err("is no value for this flag".to_owned()),
        Err(told) => {
            let text = told.render().to_string();
            let lines = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim);
            let line = lines.collect::<Vec<_>>().join(" ");
            Err(line.strip_prefix("error: ").unwrap_or(&line).to_owned())
        }
    }
}

/// The folder for settings of a user's programs.
pub fn user_folder(variables: &Variables) -> Option<PathBuf> {
    let set = |name: &str| variables.get(OsStr::new(name)).map(|(value, _)| Path::new(value).to_owned());
    set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))
}
