//! What no command does: expose, lose or print a secret, or go where it has no business.

use super::*;

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
