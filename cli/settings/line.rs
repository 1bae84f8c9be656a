//! A command line as far as clap's results do not tell: where its command's own arguments begin.

use std::ffi::OsString;

use clap::{Arg, Command};

/// The command that a line calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// Names from the program's commands down to it; not empty.
    pub path: Vec<String>,
    /// Place in the line right behind its name.
    pub behind: usize,
}

/// Finds the command that is called, if the line gets as far as one that has no commands below it, or has values of its
/// own and no command of its follows.
///
/// `root` must be built: global flags are known to every command then.
pub fn called(root: &Command, line: &[OsString]) -> Option<Called> {
    let (mut command, mut path, mut i, mut behind) = (root, Vec::new(), 1, 1);
    while command.has_subcommands() {
        // `bench MODEL ...` beside `bench growth`.
        let itself = || command.get_positionals().next().map(|_| Called { path: path.clone(), behind });
        let Some(word) = line.get(i).and_then(|word| word.to_str()) else { return itself() };
        i += 1;
        if word == "--" {
            return itself();
        }
        if let Some(long) = word.strip_prefix("--") {
            let arg = command.get_arguments().find(|arg| arg.get_long() == Some(long));
            i += usize::from(arg.is_some_and(takes_value));
            continue;
        }
        match word.strip_prefix('-') {
            Some(cluster) => i += usize::from(value_follows(command, cluster)),
            None => {
                let Some(below) = command.find_subcommand(word) else { return itself() };
                command = below;
                path.push(command.get_name().to_owned());
                behind = i;
            }
        }
    }
    Some(Called { path, behind })
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

/// Whether the last of these short flags takes the next word: `-vn 3` does, `-n3` does not.
fn value_follows(command: &Command, cluster: &str) -> bool {
    let arg = |c: char| command.get_arguments().find(|arg| arg.get_short() == Some(c));
    let taker = cluster.char_indices().find(|&(_, c)| arg(c).is_some_and(takes_value));
    taker.is_some_and(|(at, c)| at + c.len_utf8() == cluster.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Option<(String, usize)> {
        let mut root = Command::new("p")
            .arg(Arg::new("file").long("file").short('f').global(true))
            .arg(Arg::new("loud").short('l').global(true).action(clap::ArgAction::Count))
            .subcommand(Command::new("one").arg(Arg::new("rest").num_args(0..)))
            .subcommand(
                Command::new("both")
                    .arg(Arg::new("pair").long("pair").num_args(2))
                    .arg(Arg::new("value"))
                    .args_conflicts_with_subcommands(true)
                    .subcommand(Command::new("deep")),
            )
            .subcommand(Command::new("two").subcommand(Command::new("deep").alias("low")));
        root.build();
        let line: Vec<OsString> = text.split(' ').map(Into::into).collect();
        called(&root, &line).map(|c| (c.path.join(" "), c.behind))
    }

    #[test]
    fn the_called_command_is_found_behind_global_flags() {
        for (line, path, behind) in [
            ("p one", "one", 2),
            ("p --file one one two", "one", 4),
            ("p --file=one one", "one", 3),
            ("p -f one one", "one", 4),
            ("p -lf one one", "one", 4),
            ("p -fone one", "one", 3),
            ("p -ll one -- one", "one", 3),
            ("p two -l low --file x", "two deep", 4),
            ("p both deep", "both deep", 3),
            ("p both x deep", "both", 2),
            ("p both", "both", 2),
            ("p -l both --pair a b", "both", 3),
            ("p both -- deep", "both", 2),
        ] {
            assert_eq!(place(line), Some((path.to_owned(), behind)), "{line}");
        }
        for line in ["p", "p two", "p on", "p --file one", "p -l", "p -- one"] {
            assert_eq!(place(line), None, "{line}");
        }
    }
}
