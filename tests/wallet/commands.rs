//! What each command does.

use super::*;

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
    home.refused(&["sign", "--file", "-", "--password-file", "-"], 2);
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
