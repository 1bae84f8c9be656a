//! `grail wallet` as it is called, and a control for the runner of its vectors.

mod commands;
#[path = "../runners/protocol/mod.rs"]
mod protocol;
#[path = "../runners/wallet.rs"]
mod runner;
mod secrets;

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
const PHRASE: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
const PHRASE_ADDRESS: &str = "5EPCUjPxiHAcNooYipQFWr9NmmXJKpNG5RhcntXwbtUySrgH";

fn vectors() -> PathBuf {
    protocol::support::folder(env!("CARGO_MANIFEST_DIR")).join("network/wallet")
}

/// A folder of wallets, and the program with nothing else to go by.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The wallets of the vectors, with the modes that the library gives its files.
    fn of_vectors() -> Self {
        let home = Self::new();
        for (wallet, files) in [("test", "test/hotkeys"), ("locked", "locked/hotkeys")] {
            fs::create_dir_all(home.path().join(wallet).join("hotkeys")).unwrap();
            for entry in fs::read_dir(vectors().join("wallets").join(files)).unwrap() {
                let from = entry.unwrap().path();
                let to = home.path().join(files).join(from.file_name().unwrap());
                fs::copy(&from, &to).unwrap();
                fs::set_permissions(&to, Permissions::from_mode(0o600)).unwrap();
            }
        }
        home
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn hotkey(&self, name: &str) -> PathBuf {
        self.path().join("default/hotkeys").join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grail"));
        command.arg("wallet").args(args).env_clear().env("GRAIL_WALLET_PATH", self.path()).stdin(Stdio::null());
        command
    }

    /// Exit code, standard output, standard error.
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        told(&self.command(args).output().unwrap())
    }

    fn run_with(&self, args: &[&str], input: &str) -> (i32, String, String) {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        told(&child.wait_with_output().unwrap())
    }

    /// What a call prints that has to succeed and has nothing to complain about.
    fn ok(&self, args: &[&str]) -> String {
        let (code, out, err) = self.run(args);
        assert_eq!((code, err.as_str()), (0, ""), "{args:?}: {out}");
        out
    }

    /// The one line of a call that has to end with a code and print nothing.
    fn refused(&self, args: &[&str], code: i32) -> String {
        let (found, out, err) = self.run(args);
        assert_eq!((found, out.as_str()), (code, ""), "{args:?}: {err}");
        assert!(code == 2 || err.lines().count() == 1, "{args:?}: {err}");
        err
    }
}

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn row<'a>(text: &'a str, label: &str) -> &'a str {
    let found = text.lines().find_map(|line| line.strip_prefix(label));
    found.unwrap_or_else(|| panic!("no row {label} in {text}")).trim()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn an_altered_vector_does_not_hold() {
    let altered = [
        ("/hotkeys/0/made_from/value", json!("//Alice")),
        ("/hotkeys/1/public_key_hex", json!("00".repeat(32))),
        ("/hotkeys/2/ss58", json!(ALICE)),
        ("/hotkeys/3/secret_seed_hex", json!("00".repeat(32))),
        ("/hotkeys/4/private_key_hex", json!("00".repeat(64))),
        ("/hotkeys/5/secret_seed_hex", json!("00".repeat(32))),
        ("/hotkeys/6/fields_present", json!([])),
        ("/hotkeys/7/public_file", json!("wallets/test/hotkeys/alicepub.txt")),
        ("/unreadable_by_its_writer/true_public_key_hex", json!("00".repeat(32))),
        ("/sign_verify/0/valid", json!(false)),
        ("/sign_verify/13/valid", json!(true)),
        ("/sign_text/0/signs_utf8", json!(true)),
        ("/sign_text/3/text", json!("0x00")),
        ("/wrapped/schnorrkel_accepts_for_plain", json!(true)),
        ("/wallets/0/coldkeypub/ss58", json!(ALICE)),
    ];
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(vectors().join("wallets"), dir.path().join("wallets")).unwrap();
    let path = dir.path().join("expected.json");
    for (place, value) in altered {
        let mut file = read_json(&vectors().join("expected.json"));
        *file.pointer_mut(place).unwrap_or_else(|| panic!("no {place}")) = value;
        fs::write(&path, file.to_string()).unwrap();
        let problem = runner::run(&path).expect_err(place);
        assert!(!problem.contains(" at line "), "{place}: the altered file cannot be read: {problem}");
    }
}
