//! Laws over all flags of the program, and over a made one whose switch has a variable.

use std::collections::HashMap;
use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

use super::{Resolution, Shown, Variables, explain, parse};

/// Values of which each flag takes at least one.
const VALUES: [&str; 16] = [
    "1",
    "x",
    "portable",
    "\"00000000000000000000000000000000000000000000000000000000000000ff\"",
    "\"5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY\"",
    "12",
    "phrase",
    "json",
    "local",
    "12s",
    "cpu",
    "default",
    "0.5",
    "127.0.0.1:9100",
    "mine",
    "owner/name",
];

fn leaves<'a>(command: &'a Command, path: &[String], found: &mut Vec<(Vec<String>, &'a Command)>) {
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let path = [path, &[sub.get_name().to_owned()]].concat();
        // `bench` has both: commands, and values of its own.
        if !sub.has_subcommands() || sub.get_positionals().next().is_some() {
            found.push((path.clone(), sub));
        }
        leaves(sub, &path, found);
    }
}

fn with_file(command: &Command, path: &[String], text: &str) -> Result<Resolution, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let mut line: Vec<OsString> = vec!["grail".into(), "--config".into(), file.path().into()];
    line.extend(path.iter().map(OsString::from));
    explain(command.clone(), &line, &Variables::default()).map_err(|stop| stop.to_string())
}

#[test]
fn every_flag_of_every_command_can_be_set_by_a_file() {
    let command = crate::flags::command();
    let mut root = command.clone();
    root.build();
    let (mut all, mut count) = (Vec::new(), 0);
    leaves(&root, &[], &mut all);
    for (path, leaf) in all {
        for arg in leaf.get_arguments().filter(|arg| super::file::is_setting(arg) && !super::file::is_secret(arg)) {
            let long = arg.get_long().unwrap();
            let values: Vec<String> = match arg.get_action() {
                ArgAction::SetTrue => vec!["true".into()],
                ArgAction::Count => vec!["1".into()],
                _ if arg.get_num_args().unwrap().min_values() == 2 => vec!["[\"tiny\", \"folder\"]".into()],
                _ => VALUES.map(|v| if v.starts_with('"') { v.to_owned() } else { format!("\"{v}\"") }).into(),
            };
            let text = |value: &str| format!("[{}]\n{long} = {value}", path.join("."));
            let results: Vec<_> = values.iter().map(|value| with_file(&command, &path, &text(value))).collect();
            let set = results.iter().flatten().any(|r| r.get(long).is_some_and(|s| s.source.word() == "file"));
            assert!(set, "{path:?} --{long}: {results:?}");
            count += 1;
        }
    }
    assert!(count > 60, "{count}");
}

fn made() -> Command {
    let switch = Arg::new("style").long("path-style").action(ArgAction::SetTrue).env("STYLE");
    let list = Arg::new("tag").long("tag").action(ArgAction::Append).env("TAGS").value_delimiter(',');
    let secret = Arg::new("key").long("key").env("KEY").hide_env_values(true);
    let config = Arg::new("config").long("config").global(true);
    Command::new("grail")
        .arg(config)
        .subcommand_required(true)
        .subcommand(Command::new("go").arg(switch).arg(list).arg(secret))
}

fn call(
    typed: &str,
    process: &[(&str, &str)],
    dotenv: &[(&str, &str)],
    file: &str,
) -> Result<(bool, Vec<String>), String> {
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), file).unwrap();
    let words = typed.split(' ').filter(|word| !word.is_empty());
    let mut line: Vec<OsString> = vec!["grail".into(), "--config".into(), path.path().into(), "go".into()];
    line.extend(words.map(OsString::from));
    let process: HashMap<OsString, OsString> = process.iter().map(|&(n, v)| (n.into(), v.into())).collect();
    let dotenv = dotenv.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect();
    let (matches, _) = parse(made(), &line, &Variables::of(process, dotenv)).map_err(|stop| stop.to_string())?;
    let go = matches.subcommand_matches("go").unwrap();
    Ok((go.get_flag("style"), go.get_many("tag").into_iter().flatten().cloned().collect()))
}

#[test]
fn a_switch_with_a_variable_is_of_the_highest_place() {
    let on = |typed: &str, process: &str, dotenv: &str, file: &str| {
        call(typed, &[("STYLE", process)], &[("STYLE", dotenv)], file).map(|(style, _)| style)
    };
    assert_eq!(on("", "", "", ""), Ok(false));
    assert_eq!(on("", "", "", "path-style = true"), Ok(true));
    assert_eq!(on("", "", "no", "path-style = true"), Ok(false));
    assert_eq!(on("", "YES", "no", ""), Ok(true));
    assert_eq!(on("", "0", "1", "path-style = true"), Ok(false));
    assert_eq!(on("--path-style", "0", "0", "path-style = false"), Ok(true));
    assert!(on("", "perhaps", "", "").unwrap_err().starts_with("STYLE: is neither true nor false"));
    assert!(on("", "", "perhaps", "").unwrap_err().starts_with(".env: STYLE: "));
}

#[test]
fn a_list_is_of_one_place_and_not_mixed() {
    let tags = |typed: &str, variable: &str, file: &str| call(typed, &[("TAGS", variable)], &[], file).unwrap().1;
    assert_eq!(tags("", "", "tag = ['a', 'b']"), ["a", "b"]);
    assert_eq!(tags("", "c,d", "tag = ['a', 'b']"), ["c", "d"]);
    assert_eq!(tags("--tag e --tag f", "c,d", "tag = ['a']"), ["e", "f"]);
    assert_eq!(tags("", "", "tag = 1"), ["1"]);
    assert!(tags("", "", "tag = []").is_empty());
}

#[test]
fn a_secret_of_a_variable_is_used_and_not_shown() {
    let line = ["grail", "go"].map(OsString::from);
    let variables = Variables::of(HashMap::from([("KEY".into(), "hush".into())]), Vec::new());
    let (matches, resolution) = parse(made(), &line, &variables).unwrap();
    let key = matches.subcommand_matches("go").unwrap().get_one::<String>("key");
    assert_eq!(key.map(String::as_str), Some("hush"));
    assert_eq!(resolution.get("key").map(|s| &s.value), Some(&Shown::Secret));
}

#[test]
fn a_value_that_looks_like_a_flag_is_a_value() {
    assert_eq!(call("", &[("TAGS", "--path-style")], &[], ""), Ok((false, vec!["--path-style".to_owned()])));
}
