//! What goes wrong between the client and a store: every fault ends in time in an error of the right kind, or in
//! success after other attempts; never in half an object.

use std::time::{Duration, Instant};

use grail_store::{Body, Error, Settings, Store};

use crate::fault::{Fault, FaultProxy};
use crate::suite::{CAP, Local, local, settings};

async fn faulty() -> (Local, FaultProxy, Store) {
    let local = local().await;
    let proxy = FaultProxy::before(&local.server.url()).await;
    let store = local.writer_at(proxy.url(), settings());
    local.writer().put("key", content()).await.unwrap();
    (local, proxy, store)
}

fn content() -> Vec<u8> {
    (0..10_000_u32).map(|i| (i % 253) as u8).collect()
}

/// For faults that take time.
fn hasty() -> Settings {
    Settings {
        attempt_timeout: Duration::from_millis(150),
        operation_timeout: Duration::from_millis(400),
        idle_timeout: Duration::from_millis(60),
        slowest_bytes_per_second: 1 << 20,
        ..settings()
    }
}

fn busy() -> Fault {
    Fault::status("503 Slow Down", "", "<Error><Code>SlowDown</Code><Message>later</Message></Error>")
}

#[tokio::test]
async fn two_failed_attempts_are_made_good_by_the_third() {
    let (_local, proxy, store) = faulty().await;
    for fault in [Fault::Reset, busy(), Fault::status("500 Internal Server Error", "", "")] {
        proxy.then([fault.clone(), fault.clone()]);
        assert_eq!(store.get_capped("key", CAP).await.unwrap(), content(), "{fault:?}");
        proxy.then([fault.clone(), fault.clone()]);
        store.put("other", b"x".to_vec()).await.unwrap();
        proxy.then([fault.clone(), fault.clone()]);
        assert_eq!(store.list("", 1).await.unwrap().len(), 1, "{fault:?}");
        assert_eq!(proxy.seen().len(), 9, "{fault:?}");
    }
}

#[tokio::test]
async fn after_the_last_attempt_the_error_tells_them() {
    let (_local, proxy, store) = faulty().await;
    for (fault, word) in [(Fault::Reset, "reset"), (busy(), "SlowDown")] {
        proxy.forever(fault);
        for error in [
            store.get_capped("key", CAP).await.unwrap_err(),
            store.put("key", b"x".to_vec()).await.unwrap_err(),
            store.list("", 1).await.unwrap_err(),
        ] {
            assert!(matches!(error, Error::Unreachable { .. }) && error.is_transient(), "{error}");
            assert_eq!(error.request().unwrap().attempts, 3, "{error}");
            assert!(error.to_string().contains("3 attempts in") && error.to_string().contains(word), "{error}");
        }
        assert_eq!(proxy.seen().len(), 9);
    }
}

#[tokio::test]
async fn silence_ends_in_a_timeout() {
    let (local, proxy, _) = faulty().await;
    let store = local.writer_at(proxy.url(), hasty());
    proxy.forever(Fault::Silence);
    let started = Instant::now();
    for error in [store.get_capped("key", CAP).await.unwrap_err(), store.put("key", vec![1]).await.unwrap_err()] {
        assert!(matches!(error, Error::Timeout { .. }) && error.is_transient(), "{error}");
        assert!(error.request().unwrap().attempts >= 2, "{error}");
    }
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_cut_body_is_continued_where_it_broke() {
    let (_local, proxy, store) = faulty().await;
    for places in [vec![0], vec![1], vec![9_999], vec![5_000, 4_999]] {
        proxy.then(places.iter().map(|place| Fault::Cut(*place)));
        assert_eq!(store.get_capped("key", CAP).await.unwrap(), content(), "{places:?}");
        assert_eq!(proxy.seen().len(), places.len() + 1);
    }
}

#[tokio::test]
async fn a_cut_body_is_never_taken_for_whole() {
    let (_local, proxy, store) = faulty().await;
    for place in [0, 1, 5_000, 9_999] {
        // Each attempt is cut short of the end: the last byte never comes.
        proxy.then([Fault::Cut(place), Fault::Cut(0), Fault::Cut(0)]);
        let mut download = store.get("key", CAP).await.unwrap();
        let mut read = Vec::new();
        let error = loop {
            match download.chunk().await {
                Ok(Some(chunk)) => read.extend_from_slice(&chunk),
                Ok(None) => panic!("cut after {place} bytes and taken for whole"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains(&format!("after {place} of 10000 bytes")), "{error}");
        assert_eq!(read, content()[..place]);
        assert_eq!(error.request().unwrap().attempts, 3);
    }
}

#[tokio::test]
async fn a_claimed_length_is_held_to() {
    let (_local, proxy, store) = faulty().await;
    // More than there is: the rest never comes, whichever attempt.
    proxy.then([Fault::Claim(Some(10_001)), Fault::Claim(Some(10_001)), Fault::Claim(Some(10_001))]);
    assert!(store.get_capped("key", CAP).await.is_err());
    // Less than there is: the end of what was stated is not the end of what was written.
    proxy.then([Fault::Claim(Some(10)), Fault::Claim(Some(0))]);
    for _ in 0..2 {
        let error = store.get_capped("key", CAP).await.unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
    }
    // None: such a body cannot be told from a cut one.
    for fault in [Fault::Claim(None), Fault::Endless] {
        proxy.then([fault]);
        let error = store.get_capped("key", CAP).await.unwrap_err();
        assert!(error.to_string().contains("does not say how long"), "{error}");
    }
    // Far more than anybody takes, before a byte of it is read.
    proxy.then([Fault::Claim(Some(1 << 60))]);
    let error = store.get_capped("key", CAP).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { cap: CAP, .. }), "{error}");
}

#[tokio::test]
async fn a_dripping_body_is_given_up() {
    let (local, proxy, _) = faulty().await;
    // No pause is too long, but all of it would be.
    proxy.forever(Fault::Drip(Duration::from_millis(5)));
    let started = Instant::now();
    let error = local.writer_at(proxy.url(), hasty()).get_capped("key", CAP).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    // A pause that is too long.
    proxy.forever(Fault::Drip(Duration::from_millis(90)));
    let patient = Settings { operation_timeout: Duration::from_secs(60), ..hasty() };
    let started = Instant::now();
    let error = local.writer_at(proxy.url(), patient).get_capped("key", CAP).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_object_that_changes_while_it_is_read_is_not_put_together() {
    let (local, proxy, store) = faulty().await;
    proxy.then([Fault::Cut(5_000)]);
    let mut download = store.get("key", CAP).await.unwrap();
    assert!(!download.chunk().await.unwrap().unwrap().is_empty());
    let other: Vec<u8> = content().iter().map(|byte| !byte).collect();
    local.writer().put("key", other).await.unwrap();
    let error = loop {
        match download.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("two objects were put together"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("changed while it was read"), "{error}");
}

#[tokio::test]
async fn an_upload_whose_answer_was_lost_knows_its_own_object() {
    let (local, proxy, store) = faulty().await;
    proxy.then([Fault::LoseAnswer]);
    store.put_new("new", b"mine".to_vec()).await.unwrap();
    assert_eq!(local.writer().get_capped("new", CAP).await.unwrap(), b"mine");
    assert!(proxy.seen().len() >= 3, "sent, sent again, looked");
    // Somebody else's object after a failed attempt is still somebody else's.
    proxy.then([Fault::Reset]);
    let error = store.put_new("new", b"mine".to_vec()).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
}

#[tokio::test]
async fn a_failed_upload_in_parts_leaves_nothing() {
    let (local, proxy, _) = faulty().await;
    let settings = Settings { multipart_bytes: 6 << 20, part_bytes: 5 << 20, parts_at_once: 1, ..settings() };
    let store = local.writer_at(proxy.url(), settings);
    let parts = || {
        let entries = std::fs::read_dir(local.folder.path()).unwrap();
        entries.filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with(".upload_id")).count()
    };
    let body = vec![9; 11 << 20];
    // Begun, one part, then the second fails as often as it is tried.
    proxy.then([Fault::Pass, Fault::Pass, Fault::Reset, Fault::Reset, Fault::Reset]);
    let error = store.put("long", body.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert!(proxy.seen().last().unwrap().starts_with("DELETE"), "the upload was aborted");
    assert_eq!(parts(), 0);
    assert!(matches!(local.writer().head("long").await, Err(Error::NotFound { .. })));
    // The last answer lost: the object is there, its parts are gone, and it is ours.
    proxy.then([Fault::Pass, Fault::Pass, Fault::Pass, Fault::Pass, Fault::LoseAnswer]);
    store.put_new("long", body.clone()).await.unwrap();
    assert!(local.writer().get_capped("long", CAP).await.unwrap() == body);
}

#[tokio::test]
async fn a_body_that_changed_on_its_way_is_never_taken_for_the_object() {
    let (local, proxy, store) = faulty().await;
    proxy.then([Fault::Garble]);
    let error = store.get_capped("key", CAP).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }) && error.to_string().contains("damaged"), "{error}");
    // A break does not make the hash forget what came before it.
    proxy.then([Fault::Cut(5_000), Fault::Garble]);
    assert!(matches!(store.get_capped("key", CAP).await, Err(Error::Damaged { .. })));
    assert_eq!(store.get_capped("key", CAP).await.unwrap(), content());
    // To the store: from memory the signature covers it, of a file only the checksum does.
    let file = local.folder.path().join("source");
    std::fs::write(&file, content()).unwrap();
    for (body, word) in [(Body::from(content()), "InternalError"), (Body::from(file), "BadDigest")] {
        proxy.forever(Fault::GarbleRequest);
        let error = store.put("other", body.clone()).await.unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        proxy.then([]);
        store.put("other", body).await.unwrap();
        assert_eq!(local.writer().get_capped("other", CAP).await.unwrap(), content());
    }
}

#[tokio::test]
async fn an_upload_that_breaks_in_its_body_is_sent_again() {
    let (local, proxy, store) = faulty().await;
    let body = vec![5; 3 << 20];
    let file = local.folder.path().join("source");
    std::fs::write(&file, &body).unwrap();
    for source in [Body::from(body.clone()), Body::from(file)] {
        proxy.then([Fault::CutRequest(100_000), Fault::CutRequest(0)]);
        store.put("sent", source).await.unwrap();
        assert_eq!(proxy.seen().len(), 3);
        assert!(local.writer().get_capped("sent", CAP).await.unwrap() == body);
        local.writer().delete("sent").await.unwrap();
    }
    // A store that stops reading.
    proxy.forever(Fault::Deaf);
    let started = Instant::now();
    let hasty = Settings { slowest_bytes_per_second: 1 << 30, ..hasty() };
    let error = local.writer_at(proxy.url(), hasty).put("sent", vec![5; 32 << 20]).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(matches!(local.writer().head("sent").await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_range_is_read_again_after_a_break_and_never_another() {
    let (_local, proxy, store) = faulty().await;
    for faults in [vec![Fault::Cut(3)], vec![Fault::Reset, Fault::Cut(0)], vec![busy(), busy()]] {
        proxy.then(faults.clone());
        assert_eq!(store.get_range("key", 100, 50).await.unwrap(), content()[100..150], "{faults:?}");
    }
    proxy.forever(Fault::Cut(3));
    let error = store.get_range("key", 100, 50).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }) && error.to_string().contains("after 3 of 50"), "{error}");
    for length in [Some(49), Some(51), None] {
        proxy.then([Fault::Claim(length)]);
        assert!(store.get_range("key", 100, 50).await.is_err(), "{length:?}");
    }
    // A store that knows no ranges.
    proxy.then([Fault::status("200 OK", "", "the whole object")]);
    let error = store.get_range("key", 0, 3).await.unwrap_err();
    assert!(error.to_string().contains("the whole object came"), "{error}");
}

#[tokio::test]
async fn an_error_in_an_answer_of_200_is_no_success() {
    let (local, proxy, _) = faulty().await;
    let settings = Settings { multipart_bytes: 6 << 20, part_bytes: 5 << 20, parts_at_once: 1, ..settings() };
    let store = local.writer_at(proxy.url(), settings);
    let error = "<Error><Code>InternalError</Code><Message>late</Message></Error>";
    let late = Fault::status("200 OK", "", error);
    let body = vec![9; 6 << 20];
    // Begun, two parts, and the end of it only at the second attempt.
    proxy.then([Fault::Pass, Fault::Pass, Fault::Pass, late.clone()]);
    store.put("long", body.clone()).await.unwrap();
    assert!(local.writer().get_capped("long", CAP).await.unwrap() == body);
    local.writer().delete("long").await.unwrap();
    proxy.then([Fault::Pass, Fault::Pass, Fault::Pass, late.clone(), late.clone(), late]);
    let error = store.put("long", body).await.unwrap_err();
    assert!(error.to_string().contains("InternalError"), "{error}");
    assert!(matches!(local.writer().head("long").await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_wrong_clock_is_told_from_wrong_keys() {
    let (_local, proxy, store) = faulty().await;
    let skewed = "<Error><Code>RequestTimeTooSkewed</Code><Message>too far</Message></Error>";
    proxy.forever(Fault::status("403 Forbidden", "date: Mon, 01 Jan 2024 00:00:00 GMT\r\n", skewed));
    let error = store.get_capped("key", CAP).await.unwrap_err();
    assert!(matches!(error, Error::ClockSkew { seconds_ahead: Some(60_000_000..), .. }), "{error}");
    assert!(error.to_string().contains("clock is wrong") && error.to_string().contains("ahead"), "{error}");
    // HEAD has no body to say so: the date does.
    proxy.forever(Fault::status("403 Forbidden", "date: Fri, 01 Jan 2100 00:00:00 GMT\r\n", ""));
    let error = store.head("key").await.unwrap_err();
    assert!(matches!(error, Error::ClockSkew { seconds_ahead: Some(..=-60_000_000), .. }), "{error}");
    proxy.forever(Fault::status("403 Forbidden", "", ""));
    let error = store.head("key").await.unwrap_err();
    assert!(matches!(error, Error::Forbidden { .. }), "{error}");
}

#[tokio::test]
async fn what_is_no_store_is_an_error() {
    let (_local, proxy, store) = faulty().await;
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\n<html>",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
    ] {
        proxy.forever(Fault::Answer(answer.as_bytes().to_vec()));
        assert!(store.get_capped("key", CAP).await.is_err(), "{answer}");
        assert!(store.list("", 10).await.is_err(), "{answer}");
        assert!(store.probe().await.is_err(), "{answer}");
    }
}
