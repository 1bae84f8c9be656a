//! The top of `--help`: commands in groups, in the order in which one meets them.

use std::fmt::Write;

use clap::{Command, CommandFactory};

use super::Cli;

/// Commands of each group. A name without a command is passed over, a command without a group comes last.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Run a subnet", &["demo", "localnet", "mine", "validate", "doctor", "train"]),
    ("Work on files", &["rollouts", "verify", "export", "inspect", "soak"]),
    ("Look and measure", &["generate", "trace", "model", "bench"]),
    ("Keys", &["wallet"]),
    ("The program", &["config", "completions", "version", "help"]),
];

pub(super) const AFTER: &str = "\
A setting comes from the highest place that has it: flag, environment variable, ./.env, file of settings, default.
`grail config COMMAND` shows each with its place.

Exit codes:
  0  done
  1  failure: a file, the network, the model or the machine
  2  usage: a flag, a variable or a file of settings
  3  rejected: something differs from what was claimed
  4  hung: a miner or a validator made no progress any more, and ended itself

Examples:
  grail demo
  grail rollouts --problems 3 --out window.json.gz && grail verify window.json.gz
  grail generate --sat my-seed
  grail generate --model Qwen/Qwen3-0.6B --chat --prompt 'Name three rivers.'
  grail trace --cases tests/vectors/exact/model-sat-tiny.json --check";

/// The program's commands and flags, with help in groups.
#[must_use]
pub fn command() -> Command {
    let command = Cli::command();
    let template =
        format!("{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}{{options}}{{after-help}}", groups(&command));
    command.help_template(template)
}

fn groups(command: &Command) -> String {
    let mut built = command.clone();
    built.build();
    let about = |name: &str| {
        let sub = built.get_subcommands().find(|sub| sub.get_name() == name)?;
        Some(sub.get_about().map_or(String::new(), ToString::to_string))
    };
    let header = built.get_styles().get_header();
    let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let visible = built.get_subcommands().filter(|sub| !sub.is_hide_set()).map(Command::get_name);
    let others: Vec<&str> = visible.filter(|name| !grouped.contains(name)).collect();
    let mut text = String::new();
    for (title, names) in GROUPS.into_iter().chain([("More", &others[..])]) {
        let rows: Vec<(&str, String)> = names.iter().filter_map(|&name| Some((name, about(name)?))).collect();
        if rows.is_empty() {
            continue;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{header}{title}:{header:#}");
        for (name, about) in rows {
            let _ = writeln!(text, "  {name:<12} {about}");
        }
        text.push('\n');
    }
    let _ = writeln!(text, "{header}Options:{header:#}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_stands_in_one_group_and_is_listed_once() {
        let mut command = command();
        let help = command.render_help().to_string();
        let mut count = 0;
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let line = format!("  {:<12} ", sub.get_name());
            assert_eq!(help.matches(&format!("\n{line}")).count(), 1, "{}: {help}", sub.get_name());
            count += 1;
        }
        assert!(count >= 14 && !help.contains("More:"), "{help}");
    }

    #[test]
    fn the_help_of_every_command_has_an_example() {
        for sub in Cli::command().get_subcommands_mut() {
            let help = sub.render_long_help().to_string();
            assert!(help.contains("Example") && help.contains(&format!("grail {}", sub.get_name())), "{help}");
        }
    }
}
