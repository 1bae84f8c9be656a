//! From a command line to flags, through all places.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{ArgMatches, Command};

use super::dotenv::Variables;
use super::file::SettingsFile;
use super::layers::{Setting, Source, settings, user_folder};
use super::line::{Called, called};

/// How a command line was understood.
#[derive(Debug, Clone, Default)]
pub struct Resolution {
    /// Names of the command, `wallet show` in two.
    pub path: Vec<String>,
    /// The file of settings that was read.
    pub file: Option<PathBuf>,
    /// All settings of the command by name.
    pub settings: Vec<Setting>,
}

impl Resolution {
    /// The setting of a flag by its long name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.settings.iter().find(|s| s.name == name)
    }
}

/// Why no command runs.
#[derive(Debug)]
pub enum Stop {
    /// Help, a version or an error, as clap tells it; then lines of our own.
    Clap(Box<clap::Error>, String),
    /// A usage error, in one line.
    Usage(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clap(told, note) => write!(f, "{told}{note}"),
            Self::Usage(line) => f.write_str(line),
        }
    }
}

impl std::error::Error for Stop {}

impl From<clap::Error> for Stop {
    fn from(told: clap::Error) -> Self {
        Self::Clap(Box::new(told), String::new())
    }
}

/// Parses a line with the values of all places.
///
/// # Errors
/// [`Stop`]: help or a version was asked for, or something that was typed or set is wrong.
pub fn parse(command: Command, line: &[OsString], variables: &Variables) -> Result<(ArgMatches, Resolution), Stop> {
    let Some((called, resolution)) = resolve(&command, line, variables)? else {
        return Ok((command.try_get_matches_from(line)?, Resolution::default()));
    };
    match without_variables(command.clone()).try_get_matches_from(filled(line, &called, &resolution)) {
        Ok(matches) => Ok((matches, resolution)),
        Err(told) => Err(stop(told, command, line, &resolution)),
    }
}

/// What [`parse`] would take for each setting, of a line that may lack what is required.
///
/// # Errors
/// As [`parse`], but for what is lacking.
pub fn explain(command: Command, line: &[OsString], variables: &Variables) -> Result<Resolution, Stop> {
    let Some((called, resolution)) = resolve(&command, line, variables)? else {
        command.try_get_matches_from(line)?;
        return Ok(Resolution::default());
    };
    let lacking = [ErrorKind::MissingRequiredArgument, ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand];
    match without_variables(command.clone()).try_get_matches_from(filled(line, &called, &resolution)) {
        Err(told) if !lacking.contains(&told.kind()) => Err(stop(told, command, line, &resolution)),
        _ => Ok(resolution),
    }
}

/// `None` where clap alone has the answer: no command is called, or help is asked for.
fn resolve(command: &Command, line: &[OsString], variables: &Variables) -> Result<Option<(Called, Resolution)>, Stop> {
    let mut root = command.clone();
    root.build();
    let Some(called) = called(&root, line) else { return Ok(None) };
    let lenient = without_variables(command.clone()).ignore_errors(true);
    let Ok(matches) = lenient.try_get_matches_from(line) else { return Ok(None) };
    let (mut leaf, mut typed) = (&root, &matches);
    for name in &called.path {
        let (Some(sub), Some((found, below))) = (leaf.find_subcommand(name), typed.subcommand()) else {
            return Ok(None);
        };
        if found != name {
            return Ok(None);
        }
        (leaf, typed) = (sub, below);
    }
    if let Some(problem) = variables.problem() {
        return Err(Stop::Usage(problem.to_owned()));
    }
    let named = named_file(&root, typed, variables);
    let file = SettingsFile::find(named.as_deref(), user_folder(variables), &root).map_err(Stop::Usage)?;
    let path = file.as_ref().map(|file| file.path.clone());
    let settings = settings(leaf, &called.path, typed, variables, &file.unwrap_or_default()).map_err(Stop::Usage)?;
    let resolution = Resolution { path: called.path.clone(), file: path, settings };
    Ok(Some((called, resolution)))
}

/// The file that `--config` or its variable names.
fn named_file(root: &Command, typed: &ArgMatches, variables: &Variables) -> Option<PathBuf> {
    let arg = root.get_arguments().find(|arg| arg.get_long() == Some("config"))?;
    let typed = typed.get_raw(arg.get_id().as_str()).and_then(|mut values| values.next());
    let set = || variables.get(arg.get_env()?).map(|(value, _)| value);
    typed.or_else(set).map(|path: &OsStr| Path::new(path).to_owned())
}

/// The line with what is not typed behind the command's name.
fn filled(line: &[OsString], called: &Called, resolution: &Resolution) -> Vec<OsString> {
    let (before, behind) = line.split_at(called.behind);
    let words = resolution.settings.iter().flat_map(|s| s.words.iter());
    before.iter().chain(words).chain(behind).cloned().collect()
}

/// Clap reads no variable: an empty one counts for it, and one that gives way, too.
fn without_variables(command: Command) -> Command {
    command.mut_args(|arg| arg.env(Resettable::Reset)).mut_subcommands(without_variables)
}

/// An error that is not about how flags go together is told as if nothing but the line were there; one that is names
/// those that were not typed.
fn stop(told: clap::Error, command: Command, line: &[OsString], resolution: &Resolution) -> Stop {
    if !matches!(told.kind(), ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict) {
        let alone = without_variables(command).try_get_matches_from(line).err();
        return alone.filter(|alone| alone.kind() == told.kind()).unwrap_or(told).into();
    }
    let set = |s: &&Setting| !matches!(s.source, Source::Flag | Source::Default) && !s.words.is_empty();
    let note = |s: &Setting| format!("note: --{} is set by {}\n", s.name, s.source);
    let notes = resolution.settings.iter().filter(set).map(note).collect();
    Stop::Clap(Box::new(told), notes)
}
