//! What surrounds the commands: where settings come from, logs, and the commands about the program itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use clap::CommandFactory;
use serde_json::Value;
use tempfile::TempDir;

const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

/// A working directory and a home, and nothing else of this machine.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for folder in ["work", "home/.config/grail"] {
            fs::create_dir_all(place.at(folder)).unwrap();
        }
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> &Self {
        fs::write(self.at(name), text).unwrap();
        self
    }

    fn call(&self, words: &str, variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grail"));
        command.args(words.split(' ').filter(|word| !word.is_empty()));
        command.env_clear().env("HOME", self.at("home")).env("HF_HUB_OFFLINE", "1").envs(variables.iter().copied());
        command.current_dir(self.at("work")).output().unwrap()
    }

    /// Both outputs of a call that ends with a code.
    fn ends(&self, words: &str, variables: &[(&str, &str)], code: i32) -> (String, String) {
        let Output { status, stdout, stderr } = self.call(words, variables);
        let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        assert_eq!(status.code(), Some(code), "{words}: {out}{err}");
        (out, err)
    }

    /// The one line of a usage error.
    fn refusal(&self, words: &str, variables: &[(&str, &str)]) -> String {
        let (out, err) = self.ends(words, variables, 2);
        assert!(out.is_empty() && err.lines().count() == 1 && err.starts_with("grail: "), "{words}: {out}{err}");
        err
    }

    /// A row of `grail config --json`.
    fn setting(&self, words: &str, variables: &[(&str, &str)], name: &str) -> Value {
        let (out, _) = self.ends(&format!("config --json {words}"), variables, 0);
        let all: Value = serde_json::from_str(&out).unwrap();
        let rows = all["settings"].as_array().unwrap();
        rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name} in {out}")).clone()
    }
}

/// A flag with a value for each place, highest first, the default's last; what a call makes of it.
struct Law {
    command: &'static str,
    flag: &'static str,
    variable: &'static str,
    values: [&'static str; 6],
    seen: fn(&Place, words: &str, variables: &[(&str, &str)]) -> String,
}

const SOURCES: [&str; 6] = ["flag", "env", ".env", "file", "file", "default"];

fn most_tokens(place: &Place, words: &str, variables: &[(&str, &str)]) -> String {
    let _ = fs::remove_file(place.at("work/w"));
    let _ = fs::remove_file(place.at("work/n"));
    place.ends(&format!("{words} --problems 1 --out w --write-network n --rollouts-per-problem 1"), variables, 0);
    let network: Value = serde_json::from_slice(&fs::read(place.at("work/n")).unwrap()).unwrap();
    let found = network.pointer("/parameters/max_new_tokens").or(network.get("max_new_tokens"));
    found.unwrap_or_else(|| panic!("{network}")).to_string()
}

fn wallet_path(place: &Place, words: &str, variables: &[(&str, &str)]) -> String {
    let (out, _) = place.ends(&format!("{words} --json"), variables, 0);
    let path = serde_json::from_str::<Value>(&out).unwrap()["path"].as_str().unwrap().to_owned();
    Path::new(&path).strip_prefix(place.at("home")).map_or(path.clone(), |below| below.display().to_string())
}

fn log_format(place: &Place, words: &str, variables: &[(&str, &str)]) -> String {
    // That a file of settings was read is logged.
    let (_, err) = place.ends(&format!("-vv {words}"), variables, 0);
    assert!(!err.is_empty() && !err.contains('\x1b'), "{err:?}");
    let is_json = err.lines().all(|line| serde_json::from_str::<Value>(line).is_ok());
    if is_json { "json" } else { "human" }.to_owned()
}

fn laws() -> [Law; 3] {
    [
        Law {
            command: "rollouts",
            flag: "max-new-tokens",
            variable: "GRAIL_MAX_NEW_TOKENS",
            values: ["2", "3", "4", "5", "6", "160"],
            seen: most_tokens,
        },
        Law {
            command: "wallet list",
            flag: "wallet-path",
            variable: "GRAIL_WALLET_PATH",
            values: ["a", "b", "c", "d", "e", ".bittensor/wallets"],
            seen: wallet_path,
        },
        Law {
            command: "version",
            flag: "log-format",
            variable: "GRAIL_LOG_FORMAT",
            // Each differs from the next.
            values: ["json", "human", "json", "human", "json", "human"],
            seen: log_format,
        },
    ]
}

#[test]
fn each_place_wins_over_all_lower_ones() {
    for Law { command, flag, variable, values, seen } in laws() {
        let place = Place::new();
        for folder in ["work/a", "work/b", "work/c", "work/d", "work/e", "home/.bittensor/wallets"] {
            fs::create_dir_all(place.at(folder)).unwrap();
        }
        for highest in 0..6 {
            let below = |at: usize| highest <= at;
            let words = if below(0) { format!("{command} --{flag} {}", values[0]) } else { command.to_owned() };
            // An empty variable is none.
            let variables = [(variable, if below(1) { values[1] } else { "" })];
            place.write("work/.env", &if below(2) { format!("{variable}={}\n", values[2]) } else { String::new() });
            let table = format!("[{}]\n{} = \"{}\"\n", command.replace(' ', "."), flag.replace('-', "_"), values[3]);
            let top = format!("{flag} = \"{}\"\n", values[4]);
            let file = [(4, &top), (3, &table)].map(|(at, text)| if below(at) { text.as_str() } else { "" }).concat();
            place.write("work/grail.toml", &file);
            assert_eq!(seen(&place, &words, &variables), values[highest], "{flag} from {}", SOURCES[highest]);
            let row = place.setting(&words, &variables, flag);
            assert_eq!(row["source"], SOURCES[highest], "{row}");
            let expected = if flag == "wallet-path" && highest == 5 { Value::Null } else { values[highest].into() };
            assert_eq!(row["value"], expected, "{row}");
        }
    }
}

#[test]
fn a_switch_is_typed_or_of_the_deepest_table_or_off() {
    let place = Place::new();
    fs::create_dir_all(place.at("home/.bittensor/wallets")).unwrap();
    let is_json = |words: &str, file: &str| {
        place.write("work/grail.toml", file);
        let (out, _) = place.ends(words, &[], 0);
        serde_json::from_str::<Value>(&out).is_ok()
    };
    assert!(!is_json("wallet list", ""));
    assert!(is_json("wallet list", "json = true"));
    assert!(!is_json("wallet list", "json = true\n[wallet]\njson = false"));
    assert!(is_json("wallet list", "[wallet]\njson = false\n[wallet.list]\njson = true"));
    assert!(is_json("wallet list --json", "json = true\n[wallet.list]\njson = false"));
    assert!(!is_json("wallet list", "[wallet.show]\njson = true"), "another command's table");
}

#[test]
fn the_file_is_the_named_one_else_that_here_else_the_users() {
    let place = Place::new();
    let threads = |words: &str, variables: &[(&str, &str)]| {
        let row = place.setting(&format!("{words} demo"), variables, "threads");
        row["value"].as_str().map(|n| n.parse::<u32>().unwrap())
    };
    assert_eq!(threads("", &[]), None);
    place.write("home/.config/grail/config.toml", "threads = 5");
    assert_eq!(threads("", &[]), Some(5));
    fs::create_dir_all(place.at("xdg/grail")).unwrap();
    place.write("xdg/grail/config.toml", "threads = 4");
    let xdg = place.at("xdg");
    let xdg = [("XDG_CONFIG_HOME", xdg.to_str().unwrap())];
    assert_eq!(threads("", &xdg), Some(4));
    place.write("work/grail.toml", "threads = 3");
    assert_eq!(threads("", &xdg), Some(3));
    place.write("work/of-variable.toml", "threads = 2").write("work/typed.toml", "threads = 1");
    assert_eq!(threads("", &[("GRAIL_CONFIG", "of-variable.toml")]), Some(2));
    assert_eq!(threads("--config typed.toml", &[("GRAIL_CONFIG", "of-variable.toml")]), Some(1));
    assert_eq!(threads("--config /dev/null", &[]), None);
    place.write("work/.env", "GRAIL_CONFIG=of-variable.toml");
    assert_eq!(threads("", &[]), Some(2));
    for (words, variables) in [("--config nowhere version", &[][..]), ("version", &[("GRAIL_CONFIG", "nowhere")])] {
        assert!(place.refusal(words, variables).contains("nowhere: there is no such file of settings"));
    }
}

#[test]
fn a_refused_value_is_told_with_its_place() {
    let place = Place::new();
    for (file, variables, words, says) in [
        ("threads = 'x'", &[][..], "demo", "grail.toml: threads: invalid value 'x' for '--threads <N>'"),
        ("[demo]\nproblems = 0", &[], "demo", "grail.toml: [demo] problems: invalid value '0'"),
        ("[verify]\njson = 1", &[], "verify x", "grail.toml: [verify] json: expected true or false"),
        ("threads = [1]", &[], "demo", "grail.toml: threads: takes one value, not a list"),
        ("verbose = -1", &[], "version", "grail.toml: verbose: expected a whole number"),
        ("cpu = 'sse'", &[], "demo", "[possible values: portable, avx2, avxvnni, avx512]"),
        ("thread = 1", &[], "version", "grail.toml: thread: there is no such flag; near it: threads"),
        ("[dmo]", &[], "version", "grail.toml: dmo: there is no such command; near it: demo"),
        ("x", &[], "version", "grail.toml: line 1: "),
        ("", &[("GRAIL_THREADS", "0")], "demo", "grail: GRAIL_THREADS: invalid value '0'"),
        ("", &[("BT_WALLET_HOT", "../x")], "wallet show", "grail: BT_WALLET_HOT: invalid value"),
        ("", &[("RUST_LOG", "grail=loud")], "version", "grail: RUST_LOG: "),
    ] {
        let line = place.write("work/grail.toml", file).refusal(words, variables);
        assert!(line.contains(says), "{file}: {line}");
    }
    // What is refused for one command does not stop another that has no such flag.
    place.write("work/grail.toml", "threads = 'x'").ends("version", &[], 0);
    place.write("work/grail.toml", "").write("work/.env", "GRAIL_THREADS=x");
    assert!(place.refusal("demo", &[]).starts_with("grail: .env: GRAIL_THREADS: "));
    place.write("work/grail.toml", "[demo").ends("demo --help", &[], 0);
}

#[test]
fn a_malformed_env_file_is_told_by_line_and_never_shown() {
    let place = Place::new();
    for (text, says) in [
        ("A=1\nR2_WRITE_SECRET_ACCESS_KEY hush\n", ".env: line 2:"),
        ("# x\n\nKEY='hush\nB=1\n", ".env: line 3:"),
        ("KEY=hush hush\n", ".env: line 1:"),
    ] {
        place.write("work/.env", text);
        for words in ["version", "-vvv version", "config demo", "wallet list"] {
            let line = place.refusal(words, &[]);
            assert!(line.contains(says) && !line.contains("hush"), "{line}");
        }
        place.ends("--help", &[], 0);
    }
    place.write("work/.env", "KEY='hush'\n");
    let (out, err) = place.ends("-vvv version", &[], 0);
    assert!(err.contains(".env") && !err.contains("hush") && !out.contains("hush"), "{err}");
    fs::remove_file(place.at("work/.env")).unwrap();
    fs::create_dir(place.at("work/.env")).unwrap();
    place.ends("version", &[], 0);
    // Only of the working directory, not of one above it.
    place.write(".env", "hush").ends("version", &[], 0);
}

#[test]
fn what_is_typed_wins_over_what_it_excludes() {
    let place = Place::new();
    let wallet = [("BT_WALLET_COLD", "none"), ("BT_WALLET_HOT", "none"), ("GRAIL_WALLET_PATH", "none")];
    let rollouts = "rollouts --problems 1 --max-new-tokens 2 --rollouts-per-problem 1 --out";
    let (out, _) = place.ends(&format!("{rollouts} a --uri //Alice --write-network net"), &wallet, 0);
    assert!(out.contains(ALICE), "{out}");
    let (_, err) = place.ends(&format!("{rollouts} b"), &wallet, 1);
    assert!(err.contains("none"), "the variables hold where nothing excludes them: {err}");
    place.ends(&format!("{rollouts} c --uri //Alice --wallet none"), &[], 2);
    place.ends(&format!("{rollouts} d --network net"), &[], 2);

    // Here the file's network gives way to what is typed, and a variable to a typed network.
    place.write("work/grail.toml", "[rollouts]\nnetwork = 'nowhere'");
    place.ends(&format!("{rollouts} e"), &[], 0);
    let (_, err) = place.ends("rollouts --problems 1 --out f", &[], 1);
    assert!(err.contains("nowhere"), "{err}");
    let variable = [("GRAIL_MAX_NEW_TOKENS", "2")];
    let row = place.setting("rollouts --network net", &variable, "max-new-tokens");
    assert_eq!(
        (row["source"].as_str(), row["gives_way"]["excluded_by"].as_str()),
        (Some("default"), Some("--network"))
    );
    let (_, err) = place.ends("-v rollouts --problems 1 --out g --network net", &variable, 0);
    assert!(err.contains("GRAIL_MAX_NEW_TOKENS is not used: --network excludes it"), "{err}");
    // A variable is a higher place than the file.
    let row = place.setting("rollouts", &variable, "network");
    assert_eq!(row["gives_way"]["from"], "grail.toml: [rollouts] network");
    let (_, err) = place.ends("rollouts --problems 1 --out i", &variable, 0);
    assert!(err.contains("WARN") && err.contains("network is not used: --max-new-tokens excludes it"), "{err}");
    place.write("work/grail.toml", "[rollouts]\nnetwork = 'net'\nmax-new-tokens = 2");
    assert!(place.refusal("rollouts --problems 1 --out h", &[]).contains("exclude each other"));
    // A group of which one is needed: a message that is typed wins over one of the file, which else is taken.
    place.write("work/grail.toml", "[wallet.sign]\nhex = '00'");
    assert_eq!(place.setting("wallet sign hello", &[], "hex")["gives_way"]["excluded_by"], "<MESSAGE>");
    assert_eq!(place.setting("wallet sign", &[], "hex")["source"], "file");
}

#[test]
fn what_is_required_can_come_from_a_file_and_errors_name_what_was_not_typed() {
    let place = Place::new();
    place.write("work/grail.toml", "max-new-tokens = 2\n[rollouts]\nproblems = 1\nout = 'w'\nrollouts-per-problem = 1");
    place.ends("rollouts", &[], 0);
    assert!(place.at("work/w").is_file());
    place.write("work/grail.toml", "[generate]\nrandomness = '00'");
    let line = place.refusal("generate --prompt a", &[]);
    assert!(line.contains("[generate] randomness"), "{line}");
    place.write("work/grail.toml", &format!("[generate]\nrandomness = '{}'", "00".repeat(32)));
    let (_, err) = place.ends("generate --prompt a", &[], 2);
    assert!(err.contains("--json") && err.contains("note: --randomness is set by grail.toml: [generate] randomness"));
    // An error about what was typed does not speak of what was not.
    let (_, err) = place.ends("generate --prompt a --nothing", &[], 2);
    assert!(err.contains("unexpected argument '--nothing'") && !err.contains("randomness"), "{err}");
}

#[test]
fn secrets_are_neither_shown_nor_taken_from_a_file() {
    let place = Place::new();
    let (out, _) = place.ends("config wallet import --uri //hush", &[], 0);
    assert!(out.contains("(not shown)") && !out.contains("hush"), "{out}");
    let (out, _) = place.ends("config --json rollouts --uri //hush", &[("GRAIL_WALLET_PASSWORD", "hush")], 0);
    assert!(out.contains("\"secret\":true") && !out.contains("hush"), "{out}");
    for file in ["uri = '//hush'", "[wallet.import]\nuri = '//hush'"] {
        let line = place.write("work/grail.toml", file).refusal("version", &[]);
        assert!(line.contains("uri: is a secret") && !line.contains("hush"), "{line}");
    }
}

#[test]
fn flags_decide_how_much_is_logged_and_the_filter_decides_instead() {
    let place = Place::new();
    place.write("work/grail.toml", "");
    let logs = |words: &str, variables: &[(&str, &str)]| place.ends(&format!("{words} version"), variables, 0).1;
    for (words, variables) in [("", &[][..]), ("-v", &[]), ("-q", &[]), ("-vv", &[("RUST_LOG", "warn")])] {
        assert_eq!(logs(words, variables), "", "{words}");
    }
    for (words, variables) in [("-vv", &[][..]), ("-q", &[("RUST_LOG", "debug")]), ("-vv", &[("RUST_LOG", "")])] {
        let text = logs(words, variables);
        assert!(text.contains("DEBUG") && text.contains("Z ") && text.contains("grail.toml"), "{words}: {text}");
    }
    let text = logs("-vv --log-format json", &[]);
    let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((line["level"].as_str(), line["path"].as_str()), (Some("DEBUG"), Some("grail.toml")));
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    place.ends("-v -q version", &[], 2);
    place.write("work/grail.toml", "verbose = 2");
    assert!(logs("", &[]).contains("DEBUG") && logs("-q", &[]).is_empty());
}

#[test]
fn the_version_says_what_must_be_equal() {
    let place = Place::new();
    let plain = format!("grail {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(place.ends("version", &[], 0).0, plain);
    assert_eq!(place.ends("--version", &[], 0).0, plain);
    let facts: Value = serde_json::from_str(&place.ends("version --json", &[], 0).0).unwrap();
    assert_eq!(
        (&facts["numerics"], &facts["proof_version"]),
        (&grail_protocol::NUMERICS.into(), &"grail-exact-1".into())
    );
    assert!(facts["instruction_sets"].as_array().unwrap().contains(&"portable".into()), "{facts}");
    assert_eq!(facts["model"]["weights_digest"].as_str().map(str::len), Some(64));
    let long = place.ends("version -v", &[], 0).0;
    assert!(long.contains(facts["model"]["weights_digest"].as_str().unwrap()) && long.contains(std::env::consts::ARCH));
}

#[test]
fn every_shell_completes_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.ends(&format!("completions {shell}"), &[], 0).0;
        for command in grail::flags::Cli::command().get_subcommands() {
            assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
        }
    }
    place.ends("completions tcsh", &[], 2);
    assert!(place.ends("completions --help", &[], 0).0.contains("bash-completion"));
}

#[test]
fn training_is_said_to_be_absent() {
    let place = Place::new();
    let (out, err) = place.ends("train", &[], 1);
    assert!(out.is_empty() && err.lines().count() == 1 && err.contains("absent from this version"), "{err}");
    assert!(place.ends("train --help", &[], 0).0.contains("not in this version"));
}

#[test]
fn without_a_command_help_is_shown_and_a_slip_is_answered() {
    let place = Place::new();
    place.write("work/grail.toml", "verbose = 1\nlog-format = 'json'");
    let (out, err) = place.ends("", &[("GRAIL_THREADS", "1")], 2);
    assert!(out.is_empty() && err.contains("Run a subnet:") && err.contains("Exit codes:"), "{err}");
    let (_, err) = place.ends("vrify", &[], 2);
    assert!(err.contains("a similar subcommand exists: 'verify'"), "{err}");
    let help = place.ends("--help", &[], 0).0;
    assert!(help.contains("flag, environment variable, ./.env, file of settings, default"), "{help}");
    assert!(place.ends("demo --help", &[], 0).0.contains("[env: GRAIL_THREADS"));
}

fn variables_of(command: &clap::Command, names: &mut Vec<String>) {
    names.extend(command.get_arguments().filter_map(|arg| arg.get_env()).map(|name| name.to_str().unwrap().to_owned()));
    command.get_subcommands().for_each(|sub| variables_of(sub, names));
}

#[test]
fn the_example_of_an_env_file_names_every_variable() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.example");
    let listed: Vec<(String, String)> = dotenvy::from_path_iter(&path).unwrap().map(Result::unwrap).collect();
    let mut known = Vec::new();
    variables_of(&grail::flags::Cli::command(), &mut known);
    assert!(known.len() > 10);
    let of_network = "BT_NETWORK BT_CHAIN_ENDPOINT NETUID R2_BUCKET_ID R2_ACCOUNT_ID R2_READ_ACCESS_KEY_ID \
        R2_READ_SECRET_ACCESS_KEY R2_WRITE_ACCESS_KEY_ID R2_WRITE_SECRET_ACCESS_KEY R2_ENDPOINT_URL R2_REGION \
        R2_FORCE_PATH_STYLE GRAIL_WALLET_PASSWORD RUST_LOG";
    known.extend(of_network.split_whitespace().map(str::to_owned));
    for name in known {
        let found = listed.iter().filter(|(listed, _)| *listed == name).count();
        assert_eq!(found, 1, "{name}");
    }
    assert!(listed.iter().all(|(_, value)| value.is_empty()), "a copy changes nothing until it is filled in");
    // Copied as it is, it is read and sets nothing.
    let place = Place::new();
    fs::copy(path, place.at("work/.env")).unwrap();
    assert_eq!(place.setting("demo", &[], "threads")["source"], "default");
}
