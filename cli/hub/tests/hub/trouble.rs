//! What goes wrong on the way: nothing is added twice, nothing is lost without being said.

use grail_hub::{Dataset, HubError, Patience, Settings};
use grail_hub_standin::{Fault, Kind, READER, Step, WRITER};

use crate::support::{ID, PATH, add, dataset, hub, patient, settings, stage};

/// All that an upload asks, in its order.
const STEPS: [Step; 7] =
    [Step::Preupload, Step::Batch, Step::Put, Step::Verify, Step::Revision, Step::Paths, Step::Commit];

#[test]
fn a_commit_whose_answer_is_lost_is_not_made_twice() {
    let hub = hub();
    let before = hub.log(ID, "main").len();
    hub.misbehave(Fault::new(Step::Commit, Kind::LostAnswer, 1));
    let (dataset, waits) = patient(&hub);
    let appended = add(&dataset, PATH, b"rows").unwrap();
    let log = hub.log(ID, "main");
    assert_eq!(log.len(), before + 1);
    assert_eq!((appended.commit, appended.added), (log.last().unwrap().id.clone(), 1));
    assert_eq!(*waits.lock().unwrap(), [1]);
}

#[test]
fn a_commit_of_somebody_else_that_comes_first_is_kept() {
    let hub = hub();
    let before = hub.log(ID, "main").len();
    for i in 0..2 {
        let race = Kind::Race(format!("data/theirs-{i}.parquet"), vec![i; 9]);
        hub.misbehave(Fault::new(Step::Commit, race, 1));
    }
    let appended = add(&dataset(&hub), PATH, b"rows").unwrap();
    let (log, files) = (hub.log(ID, "main"), hub.files(ID, "main"));
    assert_eq!(log.len(), before + 3);
    assert_eq!(appended.commit, log.last().unwrap().id);
    assert_eq!((&files["data/theirs-0.parquet"][..], &files[PATH][..]), (&[0; 9][..], &b"rows"[..]));
    assert_eq!(files["data/theirs-1.parquet"], [1; 9]);
}

#[test]
fn who_always_comes_second_gives_up_and_says_so() {
    let hub = hub();
    for i in 0..9 {
        hub.misbehave(Fault::new(Step::Commit, Kind::Race(format!("theirs-{i}.parquet"), vec![i]), 1));
    }
    let (dataset, waits) = patient(&hub);
    let told = add(&dataset, PATH, b"rows").unwrap_err();
    assert!(matches!(told, HubError::Raced { attempts: 5, .. }), "{told}");
    assert_eq!(waits.lock().unwrap().len(), 4);
    assert!(!hub.files(ID, "main").contains_key(PATH));
}

#[test]
fn somebody_elses_file_of_the_same_name_is_not_replaced_even_at_the_last_moment() {
    let hub = hub();
    hub.misbehave(Fault::new(Step::Commit, Kind::Race(PATH.into(), b"theirs".to_vec()), 1));
    let told = add(&dataset(&hub), PATH, b"ours").unwrap_err();
    assert!(matches!(told, HubError::Exists { .. }), "{told}");
    assert_eq!(hub.files(ID, "main")[PATH], b"theirs");
    // The same bytes are the same file.
    let hub = crate::support::hub();
    hub.misbehave(Fault::new(Step::Commit, Kind::Race(PATH.into(), b"rows".to_vec()), 1));
    add(&dataset(&hub), PATH, b"rows").unwrap();
    assert_eq!(hub.log(ID, "main").last().unwrap().summary, format!("Upload {PATH}"));
}

#[test]
fn trouble_at_any_step_is_waited_for() {
    for step in STEPS {
        let kinds = [Kind::Status(500), Kind::Status(503), Kind::Later(429, 7), Kind::Dropped, Kind::LostAnswer];
        for kind in kinds {
            let hub = hub();
            let before = hub.log(ID, "main").len();
            hub.misbehave(Fault::new(step, kind.clone(), 2));
            let (dataset, waits) = patient(&hub);
            let appended = add(&dataset, PATH, b"rows").unwrap_or_else(|told| panic!("{step:?} {kind:?}: {told}"));
            assert_eq!((hub.log(ID, "main").len(), appended.added), (before + 1, 1), "{step:?} {kind:?}");
            assert_eq!(hub.files(ID, "main")[PATH], b"rows", "{step:?} {kind:?}");
            let expected: &[u64] = match kind {
                Kind::Later(..) => &[7, 7],
                // What was verified or committed is found at the second attempt.
                Kind::LostAnswer if matches!(step, Step::Verify | Step::Commit) => &[1],
                _ => &[1, 2],
            };
            assert_eq!(*waits.lock().unwrap(), expected, "{step:?} {kind:?}");
        }
    }
}

#[test]
fn trouble_that_does_not_end_is_told_with_its_attempts() {
    for step in STEPS {
        let hub = hub();
        hub.misbehave(Fault::new(step, Kind::Status(502), u32::MAX));
        let (dataset, waits) = patient(&hub);
        let told = add(&dataset, PATH, b"rows").unwrap_err();
        assert!(matches!(told, HubError::Server { status: 502, attempts: 5, .. }), "{step:?}: {told}");
        assert!(told.to_string().contains("tried 5 times"), "{told}");
        assert_eq!(*waits.lock().unwrap(), [1, 2, 4, 8], "{step:?}");
        assert_eq!(hub.log(ID, "main").len(), 1);
    }
    let hub = hub();
    hub.misbehave(Fault::new(Step::Preupload, Kind::Later(429, 30), u32::MAX));
    let told = add(&dataset(&hub), PATH, b"rows").unwrap_err().to_string();
    assert!(told.contains("takes no more requests for now, tried 5 times; it asks to wait 30 s"), "{told}");
}

#[test]
fn a_wait_that_nobody_sits_through_is_told_at_once() {
    let hub = hub();
    hub.misbehave(Fault::new(Step::Commit, Kind::Later(429, 3600), 1));
    let (dataset, waits) = patient(&hub);
    let told = add(&dataset, PATH, b"rows").unwrap_err();
    assert!(matches!(told, HubError::RateLimited { attempts: 1, .. }), "{told}");
    assert!(waits.lock().unwrap().is_empty());
}

#[test]
fn bytes_that_arrive_damaged_are_sent_again_and_never_committed() {
    let hub = hub();
    hub.misbehave(Fault::new(Step::Put, Kind::Damaged, 3));
    add(&dataset(&hub), PATH, b"rows").unwrap();
    assert_eq!(hub.files(ID, "main")[PATH], b"rows");
    assert_eq!(hub.seen().iter().filter(|seen| seen.method == "PUT").count(), 4);

    hub.misbehave(Fault::new(Step::Put, Kind::Damaged, u32::MAX));
    let told = add(&dataset(&hub), "data/train-2.parquet", b"more").unwrap_err();
    assert!(matches!(told, HubError::Unconfirmed { attempts: 5, .. }), "{told}");
    assert!(told.to_string().contains("data/train-2.parquet") && told.to_string().contains("sha256"), "{told}");
    assert!(!hub.files(ID, "main").contains_key("data/train-2.parquet"));
}

#[test]
fn what_a_user_can_do_something_about_is_told_apart() {
    let hub = hub();
    let with = |token: Option<&str>| Dataset::new(Settings { token: token.map(str::to_owned), ..settings(&hub) });
    assert!(matches!(with(None).unwrap_err(), HubError::NoToken));
    let told = with(Some("hf_expiredsecret")).unwrap().head().unwrap_err();
    assert!(matches!(told, HubError::Unauthorized { .. }) && told.to_string().contains("did not accept"), "{told}");
    for (step, status, part) in [
        (Step::Put, 413, "too large for 127.0.0.1:"),
        (Step::Commit, 400, "status 400: made to fail"),
        (Step::Put, 403, "status 403"),
    ] {
        let hub = crate::support::hub();
        hub.misbehave(Fault::new(step, Kind::Status(status), 1));
        let told = add(&dataset(&hub), PATH, b"rows").unwrap_err().to_string();
        assert!(told.contains(part), "{step:?} {status}: {told}");
    }
    // A port that nobody listens to.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = Settings { endpoint: format!("http://{port}"), ..settings(&hub) };
    let told = Dataset::new(gone).unwrap().head().unwrap_err();
    assert!(matches!(told, HubError::Unreachable { attempts: 5, .. }), "{told}");
    assert!(told.to_string().contains(&format!("looking up {ID}: {port} cannot be reached")), "{told}");
}

#[test]
fn an_answer_that_is_none_is_told_with_its_field() {
    let other = "0".repeat(64);
    let upload = |href: &str, oid: &str| {
        format!(
            r#"{{"transfer":"basic","objects":[{{"oid":"{oid}","size":4,"actions":{{"upload":{{"href":"{href}"}}}}}}]}}"#
        )
    };
    let own = "afad0de5c3a2ce4a8a2dc72bb0f2ad4d7b2d6a6e5b50d9eabfcd6ba60f5ac6fd";
    let cases = [
        (Step::Revision, "no json".to_owned(), "body: expected JSON"),
        (Step::Revision, r#"{"sha":"main"}"#.into(), "sha: expected 40 hex digits of a commit, found \"main\""),
        (Step::Paths, "{}".into(), "body: expected a list of files"),
        (Step::Paths, format!(r#"[{{"path":"{PATH}","type":"directory"}}]"#), "type: expected file"),
        (Step::Paths, format!(r#"[{{"path":"{PATH}","type":"file"}}]"#), "size: expected a number of bytes"),
        (
            Step::Paths,
            format!(r#"[{{"path":"{PATH}","type":"file","lfs":{{"oid":"../x","size":4}}}}]"#),
            "lfs.oid: expected 64 hex digits",
        ),
        (Step::Preupload, r#"{"files":[]}"#.into(), "files[0].path: expected that of the file, found null"),
        (
            Step::Preupload,
            format!(r#"{{"files":[{{"path":"{PATH}","uploadMode":"xet","shouldIgnore":false}}]}}"#),
            "uploadMode: expected lfs or regular, found \"xet\"",
        ),
        (Step::Batch, r#"{"transfer":"multipart"}"#.into(), "transfer: expected basic, found \"multipart\""),
        (Step::Batch, upload("http://127.0.0.1:1/", &other), "objects[0].oid: expected that of the file"),
        (
            Step::Batch,
            upload("ftp://x?signature=secret", own),
            "href: expected an http or https address, found something else",
        ),
        (Step::Commit, r#"{"commitOid":1}"#.into(), "commitOid: expected 40 hex digits, found 1"),
    ];
    for (step, answer, part) in cases {
        let hub = hub();
        let answer = answer.replace(own, &hex::encode(<sha2::Sha256 as sha2::Digest>::digest(b"rows")));
        hub.misbehave(Fault::new(step, Kind::Answer(answer.clone()), 1));
        let told = add(&dataset(&hub), PATH, b"rows").unwrap_err().to_string();
        assert!(told.contains(part), "{answer}: {told}");
    }
}

#[test]
fn no_error_shows_a_token_or_a_signed_address() {
    let statuses = [400, 401, 403, 404, 409, 413, 422, 429, 500];
    let mut shown = 0;
    for step in STEPS {
        for status in statuses {
            let hub = hub();
            hub.misbehave(Fault::new(step, Kind::Status(status), u32::MAX));
            let Err(told) = add(&dataset(&hub), PATH, b"rows") else { continue };
            let text = format!("{told} {told:?}");
            assert!(!text.contains(WRITER) && !text.contains("signature="), "{text}");
            shown += 1;
        }
    }
    assert_eq!(shown, STEPS.len() * statuses.len());
    let hub = hub();
    let (dataset, _) = patient(&hub);
    let shown = format!("{:?} {:?} {:?}", settings(&hub), dataset, stage(&dataset, PATH, b"rows").unwrap());
    assert!(!shown.contains(WRITER) && !shown.contains(READER), "{shown}");
    let odd = Settings { token: Some("hf_odd secret".into()), patience: Patience::real(), ..settings(&hub) };
    assert!(!Dataset::new(odd).unwrap_err().to_string().contains("secret"));
}
