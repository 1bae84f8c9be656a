//! Rollouts as Parquet in a folder.

use std::path::{Path, PathBuf};

use grail::sat::Sat;
use grail_export::{Source, same_rollouts, table};
use grail_protocol::encoding::sha256;
use grail_protocol::window::WindowFile;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Row, RowAccessor};
use serde_json::Value;

use crate::made::{Made, altered, ends, made, read, refusal, resign, text};

/// The Parquet files in a folder.
fn exports(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn what_holds_is_exported_row_by_row_and_never_replaced() {
    let Made { file, network, .. } = made();
    let folder = tempfile::tempdir().unwrap();
    let args = ["export", text(file), "--network", text(network), "--out", text(folder.path())];
    let (out, _) = ends(&args, 0);
    assert!(out.contains("6 rollouts in"), "{out}");
    let written = exports(folder.path());
    assert_eq!(written.len(), 1, "{written:?}");
    let source = read(file);
    assert_eq!(written[0].file_name().unwrap(), format!("train-window-1000-{}.parquet", source.wallet).as_str());
    let bytes = std::fs::read(&written[0]).unwrap();
    let reader = SerializedFileReader::new(std::fs::File::open(&written[0]).unwrap()).unwrap();
    let names: Vec<&str> = grail_export::columns().iter().map(|column| column.name).collect();
    let rows: Vec<Row> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), source.inferences.len());
    for (row, entry) in rows.iter().zip(&source.inferences) {
        assert_eq!(row.get_column_iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);
        let at = |name: &str| names.iter().position(|n| *n == name).unwrap();
        let string = |name: &str| row.get_string(at(name)).unwrap().as_str();
        let integer = |name: &str| i128::from(row.get_long(at(name)).unwrap());
        let real = |name: &str| row.get_double(at(name)).unwrap();
        let list = |name: &str| serde_json::from_str::<Value>(string(name)).unwrap();
        let (commit, claim) = (&entry.commit, &entry.commit.rollout);
        let id = sha256(format!("{}_1000_{}", entry.hotkey, entry.nonce).as_bytes());
        assert_eq!(string("id"), hex::encode(&id[..8]));
        assert_eq!((string("miner"), string("challenge_signature")), (entry.hotkey.as_str(), entry.signature.as_str()));
        assert_eq!((string("sat_seed"), string("grail_signature")), (&*entry.sat_seed, &*commit.signature));
        assert_eq!(
            (string("network_id"), string("beacon_signature")),
            (&*source.network_id, &*source.beacon.signature)
        );
        assert_eq!(
            (integer("window"), integer("nonce"), integer("beacon_round")),
            (1000, entry.nonce, source.beacon.round)
        );
        assert_eq!(integer("completion_length"), claim.completion_length);
        assert_eq!(integer("token_count"), commit.tokens.len() as i128);
        assert_eq!(row.get_bool(at("solution_success")).unwrap(), claim.success);
        assert_eq!((real("solution_total_reward"), real("advantage")), (claim.total_reward, claim.advantage));
        assert_eq!(list("grail_tokens"), serde_json::json!(commit.tokens));
        assert_eq!(list("grail_s_vals"), serde_json::json!(commit.s_vals));
        let logprobs: Vec<f32> = serde_json::from_value(list("token_logprobs")).unwrap();
        assert_eq!(logprobs, claim.token_logprobs);
        assert!(string("uploaded_at").ends_with('Z') && string("sat_clauses").starts_with("[["));
    }
    // Again: skipped, and what is there stays.
    let (again, _) = ends(&args, 0);
    assert!(again.contains("skipped: its 6 rollouts are in") && again.lines().count() == 1, "{again}");
    assert_eq!(exports(folder.path()), written);
    assert!(std::fs::read(&written[0]).unwrap() == bytes);
    let nowhere = refusal(&["export", text(file), "--out", "/nonexistent"], 2);
    assert!(nowhere.contains("--out"), "{nowhere}");
}

#[test]
fn of_a_file_that_does_not_hold_nothing_is_exported() {
    let Made { file, network, .. } = made();
    let folder = tempfile::tempdir().unwrap();
    let reward = altered("exported-reward.json.gz", |file| file.inferences[4].commit.rollout.total_reward += 0.5);
    // Signed as a miner can, so that only the model finds it; in the last rollout.
    let sketch = altered("exported-sketch.json.gz", |file| {
        file.inferences[5].commit.s_vals[3] ^= 1;
        resign(file, 5);
    });
    let other = altered("exported-network.json.gz", |file| file.network_id = "00".repeat(32));
    let bad = [text(&reward), text(&sketch), text(&other)];
    let rest = ["--network", text(network), "--out", text(folder.path()), "--json"];
    let (out, _) = ends(&[&["export"][..], &bad, &rest].concat(), 3);
    let told: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let outcomes: Vec<&Value> = told.iter().map(|told| &told["outcome"]).collect();
    assert_eq!(outcomes, ["fraud", "fraud", "void"]);
    let rules = ["RewardMismatch", "SketchInexact", "WrongNetwork"];
    for (told, rule) in told.iter().zip(rules) {
        assert!(told["out"].is_null() && told["rollouts"] == 0, "{told}");
        assert!(told["reason"].as_str().unwrap().contains(rule), "{told}");
    }
    assert!(exports(folder.path()).is_empty());
    // An honest one beside it is exported, and the call still says that one was not.
    let (out, _) = ends(&[&["export", text(&sketch), text(file)][..], &rest].concat(), 3);
    assert_eq!((out.lines().count(), exports(folder.path()).len()), (2, 1), "{out}");
}

#[test]
fn a_number_that_no_column_holds_is_an_error_that_names_rollout_and_column() {
    let mut file = read(&made().file);
    let export = |file: &WindowFile| table::<Sat>(Source { file, window: 1000, uploaded_at: "2026-01-01T00:00:00Z" });
    assert!(export(&file).is_ok());
    file.inferences[3].nonce = i128::from(i64::MAX) + 1;
    let told = export(&file).unwrap_err().to_string();
    assert_eq!(told, "rollout 3: nonce: expected an integer of 64 bits, found 9223372036854775808");
    file.inferences[3].nonce = i128::from(i64::MAX);
    assert!(export(&file).is_ok());
}

/// The rows of a file at a time of export.
fn rows(file: &WindowFile, uploaded_at: &str) -> Vec<u8> {
    table::<Sat>(Source { file, window: 1000, uploaded_at }).unwrap()
}

#[test]
fn a_call_goes_on_past_what_is_there_and_replaces_nothing() {
    let Made { file, network, .. } = made();
    let (folder, source) = (tempfile::tempdir().unwrap(), read(file));
    let more = folder.path().join("more.json.gz");
    let args = ["rollouts", "--problems", "1", "--network", text(network), "--head", text(file), "--uri", "//Alice"];
    ends(&[&args[..], &["--out", text(&more)]].concat(), 0);
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let target = out.join(format!("train-window-1000-{}.parquet", source.wallet));
    let export = ["export", text(file), text(&more), "--network", text(network), "--out", text(&out), "--json"];

    // The same rollouts, exported at another time.
    let before = rows(&source, "2020-01-01T00:00:00Z");
    std::fs::write(&target, &before).unwrap();
    let (said, _) = ends(&export, 0);
    let told: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&told[0]["there"], &told[0]["rollouts"], &told[0]["outcome"]),
        (&"same".into(), &6.into(), &Value::Null)
    );
    assert_eq!((&told[1]["there"], &told[1]["outcome"]), (&Value::Null, &"valid".into()));
    assert_eq!(exports(&out).len(), 2);
    assert!(std::fs::read(&target).unwrap() == before);

    // Other rollouts, and no Parquet at all, under the name: an error, after the rest.
    let mut other = source.clone();
    other.inferences[5].commit.rollout.total_reward += 0.5;
    for taken in [rows(&other, "2020-01-01T00:00:00Z"), b"something else".to_vec(), Vec::new()] {
        std::fs::remove_dir_all(&out).unwrap();
        std::fs::create_dir(&out).unwrap();
        std::fs::write(&target, &taken).unwrap();
        let (said, error) = ends(&export, 1);
        let told: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&told[0]["there"], &told[1]["outcome"]), (&"other".into(), &"valid".into()));
        assert!(error.contains("exists already with other content, and is not replaced"), "{error}");
        assert!(error.lines().count() == 1 && error.contains(text(&target)), "{error}");
        assert!(std::fs::read(&target).unwrap() == taken);
        assert_eq!(exports(&out).len(), 2);
    }
}

#[test]
fn one_rollout_that_does_not_hold_keeps_its_whole_file_out_wherever_it_is() {
    let (folder, count) = (tempfile::tempdir().unwrap(), read(&made().file).inferences.len());
    // Signed as a miner can, so that only the model finds it.
    let files: Vec<PathBuf> = (0..count)
        .map(|place| {
            altered(&format!("exported-{place}.json.gz"), |file| {
                file.inferences[place].commit.s_vals[9] ^= 1;
                resign(file, place);
            })
        })
        .collect();
    let mut args = vec!["export"];
    args.extend(files.iter().map(|file| text(file)));
    args.extend(["--network", text(&made().network), "--out", text(folder.path()), "--json"]);
    let (out, _) = ends(&args, 3);
    let told: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.len(), count);
    for (place, told) in told.iter().enumerate() {
        let reason = told["reason"].as_str().unwrap();
        assert!(reason.contains("SketchInexact") && reason.contains(&format!("rollout {place}")), "{reason}");
    }
    assert!(exports(folder.path()).is_empty());
}

#[test]
fn exports_are_the_same_if_every_column_but_the_time_of_export_is() {
    let file = read(&made().file);
    let ours = rows(&file, "2026-01-01T00:00:00Z");
    assert!(same_rollouts(&ours, &rows(&file, "2026-01-02T00:00:00Z")));
    let mut fewer = file.clone();
    fewer.inferences.pop();
    let mut swapped = file.clone();
    swapped.inferences.swap(0, 1);
    for other in [&fewer, &swapped] {
        assert!(!same_rollouts(&ours, &rows(other, "2026-01-01T00:00:00Z")));
        assert!(!same_rollouts(&rows(other, "2026-01-01T00:00:00Z"), &ours));
    }
    let changes: [fn(&mut WindowFile); 5] = [
        |file| file.inferences[5].commit.s_vals[0] ^= 1,
        |file| file.inferences[0].commit.rollout.advantage += 1e-9,
        |file| file.inferences[2].nonce += 1,
        |file| file.inferences[3].commit.rollout.success ^= true,
        |file| file.network_id.replace_range(..1, "x"),
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut other = file.clone();
        change(&mut other);
        assert!(!same_rollouts(&ours, &rows(&other, "2026-01-01T00:00:00Z")), "{i}");
    }
    for damaged in [&b""[..], b"PAR1", &ours[..ours.len() - 1], &ours[1..]] {
        assert!(!same_rollouts(&ours, damaged) && !same_rollouts(damaged, &ours) && !same_rollouts(damaged, damaged));
    }
}
