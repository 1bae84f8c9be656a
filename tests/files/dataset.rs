//! Rollouts as Parquet in a data set of the hub, by a stand-in for it.

use std::path::Path;
use std::process::Output;

use grail::sat::Sat;
use grail_export::{Source, same_rollouts, table};
use grail_hub_standin::{Fault, Hub, Kind, READER, Step, WRITER};
use serde_json::Value;

use crate::made::{Made, altered, ends, grail, made, read, resign, text};

const ID: &str = "org/rollouts";

fn hub() -> Hub {
    let hub = Hub::start().unwrap();
    hub.create(ID, false);
    hub
}

/// `grail export` of files to the hub.
fn export(hub: &Hub, files: &[&Path], more: &[&str], token: Option<&str>) -> Output {
    let mut command = grail(&["export", "--network", text(&made().network), "--dataset", ID]);
    command.args(files).args(more).env("HF_HUB_OFFLINE", "0").env("HF_ENDPOINT", hub.url());
    command.env("HF_HOME", "/nonexistent").env_remove("HF_TOKEN_PATH").env_remove("HUGGING_FACE_HUB_TOKEN");
    match token {
        Some(token) => command.env("HF_TOKEN", token),
        None => command.env_remove("HF_TOKEN"),
    };
    command.output().unwrap()
}

/// What a call that ends with a code says, in lines of JSON, and its error.
fn told(output: &Output, code: i32) -> (Vec<Value>, String) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    for secret in [WRITER, READER, "signature="] {
        assert!(!out.contains(secret) && !err.contains(secret), "{out}{err}");
    }
    (out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(), err.into_owned())
}

/// Another miner's file of the same window.
fn second(name: &str, uri: &str) -> std::path::PathBuf {
    let Made { folder, file, network } = made();
    let path = folder.path().join(name);
    let args = ["rollouts", "--problems", "1", "--network", text(network), "--head", text(file), "--uri", uri];
    ends(&[&args[..], &["--out", text(&path)]].concat(), 0);
    path
}

fn path_of(file: &Path) -> String {
    format!("data/train-window-1000-{}.parquet", read(file).wallet)
}

fn rows(file: &Path) -> Vec<u8> {
    table::<Sat>(Source { file: &read(file), window: 1000, uploaded_at: "2020-01-01T00:00:00Z" }).unwrap()
}

#[test]
fn what_holds_becomes_new_files_by_one_commit_however_often_it_is_asked() {
    let (hub, folder) = (hub(), tempfile::tempdir().unwrap());
    hub.commit(ID, "main", "README.md", b"a card");
    let before = hub.log(ID, "main").len();
    let (first, other) = (&made().file, second("dataset-alice.json.gz", "//Alice"));
    let forged = altered("dataset-forged.json.gz", |file| {
        file.inferences[5].commit.s_vals[3] ^= 1;
        resign(file, 5);
    });
    // A file that does not hold takes no name.
    let files = [&forged, first.as_path(), &other];
    let args = ["--json", "--out", text(folder.path())];
    let (lines, _) = told(&export(&hub, &files, &args, Some(WRITER)), 3);
    assert_eq!(lines.len(), 4, "{lines:?}");
    let outcomes: Vec<&Value> = lines[..3].iter().map(|line| &line["outcome"]).collect();
    assert_eq!(outcomes, ["fraud", "valid", "valid"]);
    assert_eq!((&lines[0]["path"], &lines[1]["path"]), (&Value::Null, &path_of(first).into()));

    let (log, stored) = (hub.log(ID, "main"), hub.files(ID, "main"));
    assert_eq!(log.len(), before + 1);
    assert_eq!((&lines[3]["commit"], &lines[3]["added"]), (&log[before].id.clone().into(), &2.into()));
    assert_eq!(log[before].summary, "Add rollouts of window 1000");
    assert_eq!(stored.len(), 4, "{:?}", stored.keys());
    assert_eq!(stored["README.md"], b"a card");
    for file in [first, &other] {
        let path = path_of(file);
        assert!(same_rollouts(&stored[&path], &rows(file)));
        let local = folder.path().join(path.trim_start_matches("data/"));
        assert!(std::fs::read(local).unwrap() == stored[&path], "the folder and the data set have the same bytes");
    }

    let (lines, _) = told(&export(&hub, &[first, &other], &args, Some(WRITER)), 0);
    assert_eq!(lines.iter().map(|line| &line["there"]).collect::<Vec<_>>(), ["same", "same"]);
    // Without the folder, too, and in words.
    let output = export(&hub, &[first], &[], Some(WRITER));
    assert!(told(&output, 0).0.is_empty());
    assert!(String::from_utf8_lossy(&output.stdout).contains("skipped: its 6 rollouts are in data/train-window-1000-"));
    assert_eq!((hub.log(ID, "main"), hub.files(ID, "main")), (log, stored));
}

#[test]
fn a_name_that_is_taken_by_other_rollouts_is_an_error_after_the_rest() {
    let (hub, other) = (hub(), second("dataset-bob.json.gz", "//Bob"));
    let first = &made().file;
    let theirs = {
        let mut file = read(first);
        file.inferences[0].commit.rollout.advantage += 1.0;
        table::<Sat>(Source { file: &file, window: 1000, uploaded_at: "2020-01-01T00:00:00Z" }).unwrap()
    };
    hub.commit(ID, "main", &path_of(first), &theirs);
    let (lines, error) = told(&export(&hub, &[first, &other], &["--json"], Some(WRITER)), 1);
    assert_eq!(
        (&lines[0]["there"], &lines[1]["outcome"], &lines[2]["added"]),
        (&"other".into(), &"valid".into(), &1.into())
    );
    let path = path_of(first);
    assert!(error.contains(&format!("{path} exists already with other content, and is not replaced")), "{error}");
    let stored = hub.files(ID, "main");
    assert!(stored[&path] == theirs && same_rollouts(&stored[&path_of(&other)], &rows(&other)));
    // One call has one file of a name, too.
    let copy = altered("dataset-copy.json.gz", |_| {});
    let hub = crate::dataset::hub();
    let (lines, _) = told(&export(&hub, &[first, &copy], &["--json"], Some(WRITER)), 0);
    assert_eq!((&lines[1]["there"], &lines[2]["paths"]), (&"same".into(), &vec![path_of(first)].into()));
}

#[test]
fn an_answer_that_is_lost_leaves_one_commit() {
    let hub = hub();
    hub.misbehave(Fault::new(Step::Commit, Kind::LostAnswer, 1));
    let (lines, _) = told(&export(&hub, &[&made().file], &["--json"], Some(WRITER)), 0);
    let log = hub.log(ID, "main");
    assert_eq!((log.len(), &lines[1]["commit"]), (2, &log[1].id.clone().into()));
}

#[test]
fn a_data_set_is_made_only_when_asked() {
    let file = made().file.as_path();
    for private in [false, true] {
        let hub = Hub::start().unwrap();
        let (_, error) = told(&export(&hub, &[file], &[], Some(WRITER)), 1);
        assert!(error.contains("--create would make it") && error.contains("has no data set org/rollouts"), "{error}");
        assert_eq!(hub.is_private(ID), None);
        let more: &[&str] = if private { &["--create", "--private"] } else { &["--create"] };
        told(&export(&hub, &[file], more, Some(WRITER)), 0);
        assert_eq!(hub.is_private(ID), Some(private));
        assert!(hub.files(ID, "main").contains_key(&path_of(file)));
    }
    let hub = hub();
    hub.branch(ID, "dev");
    told(&export(&hub, &[file], &["--revision", "dev"], Some(WRITER)), 0);
    assert!(hub.files(ID, "dev").contains_key(&path_of(file)) && !hub.files(ID, "main").contains_key(&path_of(file)));
    let (_, error) = told(&export(&hub, &[file], &["--revision", "none"], Some(WRITER)), 1);
    assert!(error.contains("org/rollouts has no branch none"), "{error}");
}

#[test]
fn who_may_not_write_hears_it_before_the_models_work_and_sees_no_token() {
    let (hub, file) = (hub(), made().file.as_path());
    let cases = [
        (None, "no token: set HF_TOKEN"),
        (Some("hf_expiredsecret"), "did not accept the token"),
        (Some(READER), "needs write access"),
        (Some("hf_odd secret"), "characters that no token"),
    ];
    for (token, part) in cases {
        // With the log at its loudest.
        let (lines, error) = told(&export(&hub, &[file], &["--json", "-vv"], token), 1);
        assert!(lines.is_empty() && error.contains(part), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    assert_eq!(hub.log(ID, "main").len(), 1);
    // As the hub's own tools leave it.
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("token"), format!("{WRITER}\n")).unwrap();
    let mut command = grail(&["export", text(file), "--network", text(&made().network), "--dataset", ID]);
    command.env("HF_HUB_OFFLINE", "0").env("HF_ENDPOINT", hub.url()).env("HF_HOME", home.path()).env_remove("HF_TOKEN");
    told(&command.output().unwrap(), 0);
    assert_eq!(hub.log(ID, "main").len(), 2);
}

#[test]
fn what_was_typed_is_understood_or_refused() {
    let hub = hub();
    let file = made().file.as_path();
    let said = ends(&["export", text(file)], 2).1;
    assert!(said.contains("--out"), "{said}");
    for (more, part) in [
        (&["--dataset", "rollouts"][..], "expected OWNER/NAME of a data set"),
        (&["--dataset", "a/b", "--private"], "--create"),
        (&["--dataset", "a/b", "--create", "--revision", "dev"], "cannot be used with"),
        (&["--dataset", "a/b", "--revision", "../x"], "expected the name of a branch"),
        (&["--out", "/tmp", "--create"], "--dataset"),
    ] {
        let said = ends(&[&["export", text(file)][..], more].concat(), 2).1;
        assert!(said.contains(part), "{more:?}: {said}");
    }
    let mut command = grail(&["export", text(file), "--network", text(&made().network), "--dataset", ID]);
    command.env("HF_ENDPOINT", hub.url()).env("HF_TOKEN", WRITER).env("HF_HUB_OFFLINE", "1");
    let (_, error) = told(&command.output().unwrap(), 2);
    assert!(error.contains("HF_HUB_OFFLINE forbids"), "{error}");
    assert!(hub.seen().is_empty());
}
