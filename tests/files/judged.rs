//! What is made, judged, shown and soaked.

use std::path::Path;

use grail_protocol::encoding::sha256;
use grail_protocol::window::{Form, WindowFile};
use serde_json::Value;

use crate::made::{Made, altered, ends, made, read, refusal, resign, schema, text, verify};

#[test]
fn what_is_made_verifies_rollout_by_rollout() {
    let Made { file, network, .. } = made();
    let verdict = verify(file, &[], 0);
    assert_eq!(verdict["outcome"], "valid");
    assert_eq!((verdict["groups"].as_u64(), verdict["checked"].as_array().map(Vec::len)), (Some(2), Some(2)));
    let rollouts = verdict["rollouts"].as_array().unwrap();
    assert!(rollouts.len() == 6 && rollouts.iter().all(|r| r["verdict"] == "valid" && r["is_checked"] == true));
    let root = format!("677261696c31773a{:016x}{}", 1000, hex::encode(sha256(&std::fs::read(file).unwrap())));
    assert_eq!(verdict["root"], root);
    let (out, _) = ends(&["verify", text(file), "--network", text(network)], 0);
    for said in ["signature of chain", "derived", "valid: 2 groups", "Not checked, for lack of a chain", "tokens/s"] {
        assert!(out.contains(said), "{said}: {out}");
    }
    assert!(!out.contains('\x1b'), "colours only at a terminal");
}

#[test]
fn a_forged_file_is_rejected_with_the_numbers_that_decided() {
    let honest = read(&made().file).inferences[4].commit.s_vals[170];
    // Unsigned, so the signature goes first; every other rollout keeps its own verdict.
    let path = altered("sketch.json.gz", |file| file.inferences[4].commit.s_vals[170] ^= 1);
    let verdict = verify(&path, &[], 3);
    assert_eq!((verdict["outcome"].as_str(), verdict["reason"]["rule"].as_str()), (Some("void"), Some("BadSignature")));
    assert_eq!(verdict["reason"]["rollout"], 4);
    let rollouts = verdict["rollouts"].as_array().unwrap();
    assert!((0..6).all(|i| (rollouts[i]["verdict"] == "valid") == (i != 4)), "{verdict}");
    // The same, signed as a miner can.
    let path = altered("signed.json.gz", |file| {
        file.inferences[4].commit.s_vals[170] ^= 1;
        resign(file, 4);
    });
    let verdict = verify(&path, &[], 3);
    assert_eq!(verdict["outcome"], "fraud");
    let reason = &verdict["reason"];
    assert_eq!((reason["rule"].as_str(), reason["position"].as_u64()), (Some("SketchInexact"), Some(170)));
    assert_eq!(reason["expected"], honest.to_string());
    assert_eq!(reason["found"], (honest ^ 1).to_string());
    let (out, _) = ends(&["verify", text(&path), "--network", text(&made().network)], 3);
    assert!(out.contains(&format!("commit.s_vals is {}, expected {honest}", honest ^ 1)), "{out}");
}

#[test]
fn a_head_that_its_beacon_did_not_sign_is_void() {
    for (name, change) in [
        ("round.json.gz", (|f: &mut WindowFile| f.beacon.round += 1) as fn(&mut WindowFile)),
        ("time.json.gz", |f| f.block.timestamp_ms += 60_000),
        ("sig.json.gz", |f| f.beacon.signature.replace_range(20..21, "x")),
        ("hash.json.gz", |f| f.block.hash.make_ascii_uppercase()),
        ("start.json.gz", |f| f.block.number += 1),
    ] {
        let verdict = verify(&altered(name, change), &[], 3);
        assert_eq!(verdict["reason"]["rule"], "WrongRandomness", "{name}: {verdict}");
    }
    // A block that was made up as a whole has another R_w, and signatures over another.
    let verdict = verify(&altered("made.json.gz", |f| f.block.hash.replace_range(2..6, "0000")), &[], 3);
    assert_eq!(
        (verdict["reason"]["rule"].as_str(), verdict["reason"]["rollout"].as_u64()),
        (Some("WrongRandomness"), Some(0))
    );
}

#[test]
fn a_file_that_is_no_window_file_is_rejected_with_its_place() {
    let folder = made().folder.path();
    let bytes = std::fs::read(&made().file).unwrap();
    let whole = read(&made().file).to_text(&schema(), Form::Whole);
    let cases: [(&str, Vec<u8>, &str); 5] = [
        ("cut.json.gz", bytes[..bytes.len() / 2].to_vec(), "Malformed"),
        ("tail.json.gz", [&bytes[..], b"x"].concat(), "Malformed"),
        ("empty", Vec::new(), "Malformed"),
        ("deep.json", [&b"{\"timestamp\":"[..], &[b'['; 8]].concat(), "OverCap"),
        ("token.json", whole.replacen("\"tokens\":[", "\"tokens\":[1e0,", 1).into_bytes(), "Malformed"),
    ];
    for (name, content, rule) in cases {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        let verdict = verify(&path, &[], 3);
        assert_eq!(
            (verdict["outcome"].as_str(), verdict["reason"]["rule"].as_str()),
            (Some("void"), Some(rule)),
            "{name}"
        );
        refusal(&["inspect", text(&path)], 3);
    }
    // The bare text of a file is a file, too.
    let path = folder.join("plain.json");
    std::fs::write(&path, whole).unwrap();
    assert_eq!(verify(&path, &[], 0)["root"], Value::Null);
    assert!(refusal(&["verify", "/nonexistent/w.json.gz"], 1).contains("/nonexistent/w.json.gz"));
}

#[test]
fn another_network_hotkey_or_model_is_named() {
    let Made { file, network, .. } = made();
    let verdict = verify(file, &["--address", "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"], 3);
    assert_eq!(verdict["reason"]["rule"], "WrongHotkey");
    // The default offline network has other parameters.
    let (out, _) = ends(&["verify", text(file), "--json"], 3);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["reason"]["rule"], "WrongNetwork");
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/tiny-qwen3/tied-2l");
    let said = refusal(&["verify", text(file), "--network", text(network), "--model", text(&tiny)], 2);
    assert!(said.contains("weights digest"), "{said}");
    assert!(refusal(&["verify", text(file), "--address", "5Grw"], 2).contains("--address"));
}

#[test]
fn a_spot_check_opens_what_the_challenge_draws() {
    let challenge = "5a".repeat(32);
    assert_eq!(verify(&made().file, &["--spot"], 0)["outcome"], "valid");
    let zeros = altered("zeros.json.gz", |file| {
        file.inferences[2].commit.s_vals.fill(0);
        resign(file, 2);
    });
    let verdict = verify(&zeros, &["--spot", "--challenge", &challenge], 3);
    assert_eq!(
        (verdict["reason"]["rule"].as_str(), verdict["reason"]["rollout"].as_u64()),
        (Some("SketchMismatch"), Some(2))
    );
    assert_eq!(verdict["challenge"], challenge);
    let other = verify(&zeros, &["--spot", "--challenge", &"5b".repeat(32)], 3);
    assert_ne!(verdict["reason"]["position"], other["reason"]["position"]);
}

#[test]
fn batch_threads_and_instruction_set_do_not_change_the_file() {
    let Made { folder, file, network } = made();
    let canonical = |file: &Path| ends(&["inspect", text(file), "--canonical"], 0).0;
    let expected = canonical(file);
    assert_eq!(expected, read(file).to_text(&schema(), Form::Deterministic));
    for (i, machine) in [
        ["--batch", "1", "--threads", "1", "--cpu", "portable"],
        ["--batch", "7", "--threads", "2", "--cpu", "portable"],
    ]
    .iter()
    .enumerate()
    {
        let out = folder.path().join(format!("again{i}.json.gz"));
        let args = ["rollouts", "--problems", "2", "--network", text(network), "--out", text(&out)];
        ends(&[&args[..], machine].concat(), 0);
        assert_eq!(canonical(&out), expected, "{machine:?}");
        assert_eq!(verify(file, &machine[..4], 0)["outcome"], "valid");
    }
    for machine in [["--batch", "1", "--threads", "1"], ["--batch", "64", "--threads", "5"]] {
        let out = folder.path().join(format!("best{}.json.gz", machine[1]));
        let args = ["rollouts", "--problems", "2", "--network", text(network), "--out", text(&out)];
        ends(&[&args[..], &machine].concat(), 0);
        assert_eq!(canonical(&out), expected, "{machine:?}");
    }
    // Another block gives another window.
    let other = folder.path().join("other.json.gz");
    ends(&["rollouts", "--problems", "1", "--network", text(network), "--seed", "b", "--out", text(&other)], 0);
    assert_ne!(canonical(&other), expected);
}

#[test]
fn a_window_can_begin_where_another_file_does_and_be_signed_by_anyone() {
    let Made { folder, file, network } = made();
    let out = folder.path().join("alice.json.gz");
    let args = ["rollouts", "--problems", "1", "--network", text(network), "--head", text(file), "--uri", "//Alice"];
    ends(&[&args[..], &["--out", text(&out)]].concat(), 0);
    let (made, copy) = (read(file), read(&out));
    assert_eq!((copy.block, copy.beacon), (made.block, made.beacon));
    assert_eq!(copy.wallet, "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY");
    assert_ne!(copy.inferences[0].commit.tokens, made.inferences[0].commit.tokens);
    assert_eq!(verify(&out, &[], 0)["outcome"], "valid");
    let missing = folder.path().join("missing.json.gz");
    let said = refusal(&["rollouts", "--problems", "1", "--hotkey", "nobody", "--out", text(&missing)], 1);
    assert!(said.contains("nobody") && !missing.exists(), "{said}");
}

#[test]
fn an_existing_file_is_never_replaced() {
    let before = std::fs::read(&made().file).unwrap();
    let said = refusal(&["rollouts", "--problems", "1", "--out", text(&made().file)], 2);
    assert!(said.contains("exists"), "{said}");
    assert_eq!(std::fs::read(&made().file).unwrap(), before);
    let folder = made().folder.path().join("no/such/folder/w.json.gz");
    // Found before the work, which would be lost: there are more problems here than a test has time for.
    let said = refusal(&["rollouts", "--problems", "512", "--max-new-tokens", "2000", "--out", text(&folder)], 1);
    assert!(said.contains("is no folder"), "{said}");
}

#[test]
fn a_person_can_read_a_rollout() {
    let file = &made().file;
    let (out, _) = ends(&["inspect", text(file), "--rollout", "3"], 0);
    let claim = read(file).inferences[3].commit.rollout.clone();
    for said in ["Variables: ", "Rollout 3: problem 1, answer 0", "<SOLUTION>", "position", "sketches", "probability"] {
        assert!(out.contains(said), "{said}: {out}");
    }
    assert!(out.contains(&claim.total_reward.to_string()) && out.contains(&claim.answer[0]), "{out}");
    assert!(refusal(&["inspect", text(file), "--rollout", "6"], 2).contains("6 rollouts"));
}

#[test]
fn a_short_soak_rejects_nothing_and_says_what_it_did() {
    let (out, _) = ends(&["soak", "--tokens", "2500", "--seed", "5"], 0);
    let words: Vec<&str> = out.split_whitespace().collect();
    let tokens: u64 = words[0].parse().unwrap();
    // Random models as well as sat-tiny.
    let rounds = words.iter().position(|&word| word == "rounds,").unwrap();
    assert!(words[rounds - 1].parse::<u64>().unwrap() >= 2, "{out}");
    assert!(tokens >= 2500 && out.trim_end().ends_with("0 rejections"), "{out}");
}

#[test]
fn what_a_person_reads_a_program_can_read_too() {
    let made = made();
    let folder = tempfile::tempdir().unwrap();
    let again = folder.path().join("w.json.gz");
    let json = |args: &[&str]| serde_json::from_str::<Value>(&ends(args, 0).0).unwrap();
    let network = ["--network", text(&made.network)];
    let told = json(&[&["rollouts", "--problems", "2", "--json", "--out", text(&again)][..], &network].concat());
    let shown = json(&["inspect", text(&again), "--rollout", "4", "--json"]);
    assert_eq!(told["rollouts"], 6);
    assert_eq!(shown["rollouts"].as_array().unwrap().len(), 6);
    assert_eq!((&told["network_id"], &told["hotkey"]), (&shown["network_id"], &shown["wallet"]));
    let lengths = shown["rollouts"].as_array().unwrap().iter().map(|rollout| rollout["completion_length"].as_u64());
    assert_eq!(lengths.map(Option::unwrap).sum::<u64>(), told["tokens"].as_u64().unwrap());
    assert_eq!((&shown["shown"]["rollout_group"], &shown["shown"]["rollout_index"]), (&1.into(), &1.into()));
    assert!(shown["shown"]["completion_text"].as_str().unwrap().contains("SOLUTION"));
    let soaked = json(&["soak", "--tokens", "200", "--json"]);
    assert!(soaked["tokens"].as_u64().unwrap() >= 200 && soaked["rejected"].is_null());
}
