//! `grail wallet` as it is called, and a control for the runner of its vectors.

#[path = "runners/protocol/mod.rs"]
mod protocol;
#[path = "runners/wallet.rs"]
mod runner;

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
fn files_are_for_their_owner_alone_under_any_umask() {
    let home = Home::new();
    let root = home.path().join("made/here");
    let line = "umask 000; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", line, "sh", env!("CARGO_BIN_EXE_grail"), "wallet", "new", "--wallet-path"]).arg(&root);
    let (code, out, err) = told(&command.output().unwrap());
    assert_eq!(code, 0, "{err}");
    let hotkeys = root.join("default/hotkeys");
    assert_eq!(row(&out, "path"), hotkeys.join("default").to_str().unwrap());
    for file in ["default", "defaultpub.txt"] {
        assert_eq!(mode(&hotkeys.join(file)), 0o600, "{file}");
    }
    for folder in [&hotkeys, hotkeys.parent().unwrap(), &root] {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
}

#[test]
fn a_new_hotkey_can_be_restored_from_its_phrase() {
    let home = Home::new();
    for (words, count) in [("12", 12), ("24", 24)] {
        let out = home.ok(&["new", "--words", words, "--hotkey", words, "--show-phrase"]);
        let phrase = row(&out, "phrase");
        assert_eq!(phrase.split(' ').count(), count);
        assert_eq!(row(&home.ok(&["show", "--hotkey", words, "--secret", "phrase"]), "phrase"), phrase);
        let again = format!("again-{words}");
        let (code, restored, err) = home.run_with(&["import", "--phrase-file", "-", "--hotkey", &again], phrase);
        assert_eq!((code, row(&restored, "address")), (0, row(&out, "address")), "{err}");
        assert_eq!(read_json(&home.hotkey(words)), read_json(&home.hotkey(&again)));
    }
    assert_ne!(read_json(&home.hotkey("12"))["secretSeed"], read_json(&home.hotkey("24"))["secretSeed"]);
}

#[test]
fn a_hotkey_is_imported_from_phrase_seed_and_uri() {
    let home = Home::new();
    let address = |args: &[&str], input: &str| {
        let (code, out, err) = home.run_with(&[&["import", "--overwrite"], args].concat(), input);
        assert_eq!((code, err.as_str()), (0, ""), "{args:?}");
        row(&out, "address").to_owned()
    };
    let seed = "4ed8d4b17698ddeaa1f1559f152f87b5d472f725ca86d341bd0276f1b61197e2";
    assert_eq!(address(&["--uri", "//Alice"], ""), ALICE);
    assert_eq!(address(&["--uri", "-"], "//Alice\n"), ALICE);
    assert_eq!(address(&["--phrase-file", "-"], &format!("  {}\r\n", PHRASE.replace(' ', "  "))), PHRASE_ADDRESS);
    assert_eq!(address(&["--seed-file", "-"], &format!("0x{seed}\n")), PHRASE_ADDRESS);
    assert_eq!(address(&["--seed-file", "-"], seed), PHRASE_ADDRESS);
    write(&home.path().join("phrase"), PHRASE);
    let file = home.path().join("phrase");
    assert_eq!(address(&["--phrase-file", file.to_str().unwrap()], ""), PHRASE_ADDRESS);
    for (args, input, says) in [
        (["--phrase-file", "-"], "abandon ability", "secretPhrase: has 2 words"),
        (["--seed-file", "-"], "hush", "seed: expected 64 hex digits"),
        (["--uri", "-"], "", "secret URI: 0 bytes"),
        (["--seed-file", "/nowhere"], "", "/nowhere: "),
    ] {
        let (code, out, err) = home.run_with(&[&["import", "--hotkey", "none"][..], &args].concat(), input);
        assert_eq!((code, out.as_str()), (1, ""), "{args:?}");
        assert!(err.contains(says) && !err.contains("hush") && !err.contains("ability"), "{err}");
    }
    assert!(!home.hotkey("none").exists());
}

#[test]
fn nothing_is_overwritten_unasked() {
    let home = Home::new();
    home.ok(&["import", "--uri", "//Alice"]);
    let before = fs::read(home.hotkey("default")).unwrap();
    for args in [&["new"][..], &["import", "--uri", "//Bob"]] {
        let line = home.refused(args, 1);
        assert!(line.contains("exists") && line.contains("--overwrite"), "{line}");
        assert_eq!(fs::read(home.hotkey("default")).unwrap(), before);
    }
    let out = home.ok(&["import", "--uri", "//Bob", "--overwrite"]);
    assert_ne!(row(&out, "address"), ALICE);
    assert_eq!(row(&home.ok(&["show"]), "address"), row(&out, "address"));
    assert_eq!(fs::read_dir(home.hotkey("default").parent().unwrap()).unwrap().count(), 2);
}

#[test]
fn a_name_that_leads_elsewhere_is_a_usage_error() {
    let home = Home::new();
    for name in ["", ".", "..", "../coldkey", "a/b", "/tmp/x", ".x", "a\nb", "xpub.txt"] {
        for flag in ["--hotkey", "--wallet"] {
            for command in [&["new"][..], &["show"], &["sign", "m"], &["import", "--uri", "//Alice"]] {
                home.refused(&[command, &[flag, name]].concat(), 2);
            }
        }
    }
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn a_secret_that_others_can_read_is_warned_of() {
    let home = Home::new();
    home.ok(&["import", "--uri", "//Alice"]);
    for bad in [0o640, 0o604, 0o644, 0o660, 0o620] {
        fs::set_permissions(home.hotkey("default"), Permissions::from_mode(bad)).unwrap();
        for args in [&["show"][..], &["show", "--secret", "private-key"], &["sign", "m"], &["list"]] {
            let (code, out, err) = home.run(args);
            assert_eq!(code, 0, "{err}");
            assert!(!out.is_empty() && err.lines().count() == 1, "{err}");
            let advice = format!("chmod 600 '{}'", home.hotkey("default").display());
            assert!(err.starts_with("warning: ") && err.trim_end().ends_with(&advice), "{err}");
            assert!(err.contains(&format!("{bad:o}")), "{err}");
        }
    }
    fs::set_permissions(home.hotkey("default"), Permissions::from_mode(0o400)).unwrap();
    home.ok(&["sign", "m"]);
}

#[test]
fn a_signature_is_valid_for_its_bytes_alone_however_they_are_given() {
    let home = Home::new();
    home.ok(&["import", "--uri", "//Alice"]);
    let message = home.path().join("message");
    fs::write(&message, "hello").unwrap();
    let file = message.to_str().unwrap();
    let forms = [&["hello"][..], &["--file", file], &["--hex", "68656c6c6f"], &["--hex", "0x68656C6C6F"]];
    let verify = |signature: &str, message: &[&str]| {
        let (code, out, _) = home.run(&[&["verify", "--address", ALICE, "--signature", signature], message].concat());
        assert_eq!(out, if code == 0 { "valid\n" } else { "not valid\n" });
        code
    };
    for form in forms {
        let signature = home.ok(&[&["sign"], form].concat());
        let signature = signature.trim_end();
        assert_eq!(signature.len(), 128);
        assert!(forms.iter().all(|form| verify(signature, form) == 0 && verify(&format!("0x{signature}"), form) == 0));
        for other in [&["hellp"][..], &["0x68656c6c6f"], &["<Bytes>hello</Bytes>"], &["--hex", ""]] {
            assert_eq!(verify(signature, other), 3, "{other:?}");
        }
        assert_eq!(verify(&signature[2..], &["hello"]), 3);
        assert_eq!(verify("", &["hello"]), 3);
    }
    let (_, signature, _) = home.run_with(&["sign", "--file", "-"], "hello");
    assert_eq!(verify(signature.trim_end(), &["hello"]), 0);
    let wrapped = home.ok(&["sign", "<Bytes>hello</Bytes>"]);
    assert_eq!(verify(wrapped.trim_end(), &["hello"]), 3);

    let (code, text, note) = home.run(&["sign", "0x68656c6c6f"]);
    assert!(code == 0 && note.contains("--hex"), "{note}");
    assert_eq!(verify(text.trim_end(), &["0x68656c6c6f"]), 0);
    assert_eq!(verify(text.trim_end(), &["hello"]), 3);
    home.refused(&["verify", "--address", &ALICE[1..], "--signature", "00", "m"], 2);
    home.refused(&["verify", "--address", ALICE, "--signature", "0g", "m"], 2);
}

#[test]
fn a_damaged_file_is_an_error_that_names_the_field() {
    let home = Home::of_vectors();
    let path = home.path().join("test/hotkeys/abandon-about");
    let whole = read_json(&path);
    let other = read_json(&home.path().join("test/hotkeys/dev-phrase"));
    let mut cases = vec![("{\"secretSeed\":".to_owned(), "not the JSON of a hotkey (line 1, column".to_owned())];
    for field in ["secretPhrase", "secretSeed", "publicKey", "accountId", "ss58Address"] {
        let mut changed = whole.clone();
        changed[field] = other[field].clone();
        cases.push((changed.to_string(), format!("abandon-about: {field}: is ")));
        changed[field] = json!("hush");
        cases.push((changed.to_string(), format!("abandon-about: {field}: ")));
    }
    cases.push((json!({"ss58Address": whole["ss58Address"]}).to_string(), "holds none of privateKey".to_owned()));
    for (text, says) in cases {
        write(&path, &text);
        for args in [&["show"][..], &["sign", "m"], &["show", "--secret", "private-key"]] {
            let line = home.refused(&[args, &["--wallet", "test", "--hotkey", "abandon-about"]].concat(), 1);
            assert!(line.contains(&says) && !line.contains("hush"), "{line}");
        }
        let list = home.ok(&["list"]);
        assert!(list.contains(&says) && list.contains(PHRASE_ADDRESS) && list.contains(ALICE), "{list}");
    }
    let line = home.refused(&["sign", "m", "--hotkey", "nobody"], 1);
    assert!(line.contains("hotkeys/nobody: there is no such hotkey"), "{line}");
}

#[test]
fn wallets_are_listed_and_shown_without_a_password() {
    let home = Home::of_vectors();
    let list: Value = serde_json::from_str(&home.ok(&["list", "--json"])).unwrap();
    assert_eq!(list["path"], json!(home.path()));
    let expected = read_json(&vectors().join("expected.json"));
    let (locked, test) = (&list["wallets"][0], &list["wallets"][1]);
    assert_eq!((&locked["name"], &test["name"]), (&json!("locked"), &json!("test")));
    assert_eq!(locked["hotkeys"][0]["form"], "encrypted");
    assert_eq!(locked["hotkeys"][0]["public_key"], expected["wallets"][1]["encrypted_hotkey"]["public_key_hex"]);
    let hotkeys = test["hotkeys"].as_array().unwrap();
    assert_eq!(hotkeys.len(), 9);
    for hotkey in expected["hotkeys"].as_array().unwrap() {
        let name = hotkey["file"].as_str().unwrap().rsplit('/').next().unwrap();
        let listed = hotkeys.iter().find(|listed| listed["name"] == name).unwrap();
        assert_eq!((&listed["address"], &listed["form"]), (&hotkey["ss58"], &json!("plain")));
        let shown = home.ok(&["show", "--json", "--wallet", "test", "--hotkey", name]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!((&shown["address"], &shown["public_key"]), (&hotkey["ss58"], &hotkey["public_key_hex"]));
        assert_eq!(shown.as_object().unwrap().len(), 5);
    }
    assert!(home.ok(&["list"]).lines().any(|line| line.contains("alice ") && line.contains(ALICE)));
    let shown = home.ok(&["show", "--wallet", "locked", "--hotkey", "locked"]);
    assert_eq!(row(&shown, "public key"), expected["wallets"][1]["encrypted_hotkey"]["public_key_hex"]);
    let line = home.refused(&["sign", "m", "--wallet", "locked", "--hotkey", "locked"], 1);
    assert!(line.contains("is encrypted") && line.contains("--password-file"), "{line}");
}

#[test]
fn an_encrypted_hotkey_signs_with_its_password() {
    let home = Home::of_vectors();
    let secret = home.path().join("password");
    write(&secret, "throw-away\n");
    let locked = ["--wallet", "locked", "--hotkey", "locked"];
    let args = ["sign", "m", "--password-file", secret.to_str().unwrap()];
    let signature = home.ok(&[&args[..], &locked].concat());
    let address = row(&home.ok(&[&["show"][..], &locked].concat()), "address").to_owned();
    home.ok(&["verify", "--address", &address, "--signature", signature.trim_end(), "m"]);
}

#[test]
fn no_secret_is_printed_unless_it_is_named() {
    let home = Home::new();
    let mut printed = String::new();
    let mut run = |args: &[&str], input: &str| {
        let (_, out, err) = home.run_with(args, input);
        assert!(!out.is_empty() || !err.is_empty(), "{args:?}");
        printed.push_str(&out);
        printed.push_str(&err);
    };
    run(&["new"], "");
    run(&["new"], "");
    run(&["import", "--hotkey", "phrase", "--phrase-file", "-"], PHRASE);
    run(&["import", "--hotkey", "phrase", "--phrase-file", "-"], PHRASE);
    for args in [&["show"][..], &["show", "--json"], &["list"], &["list", "--json"], &["sign", "m"], &["--help"]] {
        run(args, "");
    }
    for args in [&["show"][..], &["show", "--json"], &["sign", "m"]] {
        run(&[args, &["--hotkey", "phrase"]].concat(), "");
    }
    // Each file once more with a field of the other, so that every error is about secrets.
    let (one, other) = (home.hotkey("default"), home.hotkey("phrase"));
    let (own, foreign) = (read_json(&one), read_json(&other));
    for field in ["secretPhrase", "secretSeed", "privateKey", "publicKey", "cryptoType"] {
        let mut changed = own.clone();
        changed[field] = foreign["secretSeed"].clone();
        write(&one, &changed.to_string());
        for args in [&["show"][..], &["list"], &["sign", "m"], &["show", "--secret", "seed"]] {
            run(args, "");
        }
    }
    write(&one, &format!("{}{}", own["secretPhrase"], own["privateKey"]));
    run(&["show"], "");
    let secrets = |file: &Value| {
        let text = |name: &str| file[name].as_str().unwrap().to_owned();
        [text("secretPhrase"), text("secretSeed")[2..].to_owned(), text("privateKey")[2..].to_owned()]
    };
    for secret in secrets(&own).iter().chain(&secrets(&foreign)) {
        assert!(!printed.contains(secret.as_str()), "{secret} in {printed}");
        let part = secret.split(' ').take(3).collect::<Vec<_>>().join(" ");
        assert!(!printed.contains(&part[..part.len().min(40)]), "a part of {secret} in {printed}");
    }
    // The control: named, each is printed, and alone.
    for (kind, name) in [("phrase", "secretPhrase"), ("seed", "secretSeed"), ("private-key", "privateKey")] {
        let shown = home.ok(&["show", "--hotkey", "phrase", "--secret", kind]);
        assert_eq!(row(&shown, kind), foreign[name]);
        let count = secrets(&foreign).iter().filter(|secret| shown.contains(secret.as_str())).count();
        assert_eq!(count, 1, "{shown}");
    }
    let (_, _, err) = home.run_with(&["import", "--hotkey", "alice", "--uri", "-"], "//Alice");
    assert_eq!(err, "");
    let line = home.refused(&["show", "--hotkey", "alice", "--secret", "phrase"], 1);
    assert!(line.contains("holds no phrase"), "{line}");
}

/// A pipe in place of the coldkey: whoever opened it would wait for ever.
#[test]
fn a_coldkey_is_never_opened() {
    let home = Home::new();
    home.ok(&["import", "--uri", "//Alice"]);
    fs::copy(vectors().join("wallets/test/coldkeypub.txt"), home.path().join("default/coldkeypub.txt")).unwrap();
    assert!(Command::new("mkfifo").arg(home.path().join("default/coldkey")).status().unwrap().success());
    let commands: [&[&str]; 6] = [
        &["list"],
        &["list", "--json"],
        &["show"],
        &["show", "--secret", "private-key"],
        &["sign", "m"],
        &["new", "--hotkey", "other"],
    ];
    for args in commands {
        let mut command = Command::new("timeout");
        command.args(["20", env!("CARGO_BIN_EXE_grail"), "wallet"]).args(args);
        let output = command.env("GRAIL_WALLET_PATH", home.path()).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
    }
    assert!(home.ok(&["list"]).contains("5EHgWw2Af1pnoc7f1A8bfmM97W3DAYW8xr82RfhLL9oAabAe"), "its public file is read");
}

#[test]
fn wallets_are_where_the_flag_the_environment_or_the_home_says() {
    let (home, flag) = (Home::new(), tempfile::tempdir().unwrap());
    let mut command = home.command(&["import", "--uri", "//Alice"]);
    let output = command.env_remove("GRAIL_WALLET_PATH").env("HOME", home.path()).output().unwrap();
    assert_eq!(told(&output).0, 0);
    assert!(home.path().join(".bittensor/wallets/default/hotkeys/default").is_file());
    home.ok(&["import", "--uri", "//Alice", "--wallet-path", flag.path().to_str().unwrap()]);
    assert!(flag.path().join("default/hotkeys/defaultpub.txt").is_file());
    assert!(!home.hotkey("default").exists());
    home.ok(&["import", "--uri", "//Alice"]);
    assert!(home.hotkey("default").exists());
    let line = home.refused(&["list", "--wallet-path", "/nowhere"], 1);
    assert!(line.contains("/nowhere: there is no such folder"), "{line}");
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
