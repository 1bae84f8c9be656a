//! The local network's store: who may do what, what survives, what leaves no folder.

use std::path::PathBuf;
use std::time::Duration;

use grail_localnet::bucket::{Access, BucketServer};
use grail_store::{Endpoint, Error, ReadCredentials, Settings, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::suite::{CAP, bucket, local, settings};

#[tokio::test]
async fn the_published_pair_reads_and_never_writes() {
    let local = local().await;
    local.writer().put("key", b"content".to_vec()).await.unwrap();
    // By way of the chain: 128 bytes, and the bucket they name.
    let published = ReadCredentials::new(&local.access.bucket, &local.access.read.id, &local.access.read.secret);
    let published = ReadCredentials::from_commitment(&published.unwrap().to_commitment()).unwrap();
    let reader = Store::new(published.bucket(&Endpoint::At(local.server.url())).unwrap(), settings()).unwrap();
    assert_eq!(reader.get_capped("key", CAP).await.unwrap(), b"content");
    assert_eq!(reader.head("key").await.unwrap().bytes, 7);
    assert_eq!(reader.list("", 10).await.unwrap().len(), 1);
    let long = reader_with(&local.reader(), Settings { multipart_bytes: 1, ..settings() });
    for refusal in [
        reader.put("key", b"other".to_vec()).await.unwrap_err(),
        reader.put_new("new", b"other".to_vec()).await.unwrap_err(),
        long.put("key", b"other".to_vec()).await.unwrap_err(),
        reader.delete("key").await.unwrap_err(),
        reader.probe().await.unwrap_err(),
    ] {
        assert!(matches!(refusal, Error::Forbidden { .. }), "{refusal}");
        assert!(refusal.to_string().contains("this key can only read"), "{refusal}");
    }
    assert_eq!(reader.get_capped("key", CAP).await.unwrap(), b"content");
}

fn reader_with(reader: &Store, settings: Settings) -> Store {
    Store::new(reader.bucket().clone(), settings).unwrap()
}

#[tokio::test]
async fn a_wrong_secret_or_key_or_bucket_is_forbidden_and_never_shown() {
    let local = local().await;
    local.writer().put("key", b"content".to_vec()).await.unwrap();
    let other = Access::derive(&[1; 32], &[3; 32]);
    local.server.grant(&other).unwrap();
    let good = local.writer().bucket().clone();
    let mut wrong_secret = good.clone();
    wrong_secret.secret_access_key = "wrong-but-secret".into();
    let mut unknown_key = good.clone();
    unknown_key.access_key_id = "unknown".to_owned();
    let others_key = bucket(local.server.url(), &local.access, &other.write);
    for bad in [wrong_secret, unknown_key, others_key] {
        let store = Store::new(bad, settings()).unwrap();
        for refusal in [
            store.get_capped("key", CAP).await.unwrap_err(),
            store.head("key").await.unwrap_err(),
            store.put("key", b"other".to_vec()).await.unwrap_err(),
            store.list("", 1).await.unwrap_err(),
            store.probe().await.unwrap_err(),
        ] {
            assert!(matches!(refusal, Error::Forbidden { .. }), "{refusal}");
            assert_eq!(refusal.request().unwrap().attempts, 1, "asking again does not help");
            let shown = format!("{refusal} {refusal:?}");
            assert!(!shown.contains("wrong-but-secret") && !shown.contains(&other.write.secret), "{shown}");
        }
    }
    assert_eq!(local.writer().get_capped("key", CAP).await.unwrap(), b"content");
}

#[tokio::test]
async fn a_bucket_that_was_not_granted_is_closed() {
    let local = local().await;
    let mut elsewhere = local.writer().bucket().clone();
    elsewhere.name = "elsewhere".to_owned();
    let refusal = Store::new(elsewhere, settings()).unwrap().put("key", b"x".to_vec()).await.unwrap_err();
    assert!(matches!(refusal, Error::Forbidden { .. }), "{refusal}");
    assert!(!local.folder.path().join("elsewhere").exists());
}

#[tokio::test]
async fn no_key_leaves_its_bucket() {
    let local = local().await;
    let other = Access::derive(&[1; 32], &[3; 32]);
    local.server.grant(&other).unwrap();
    let theirs = Store::new(bucket(local.server.url(), &other, &other.write), settings()).unwrap();
    theirs.put("key", b"theirs".to_vec()).await.unwrap();
    let store = local.writer();
    for key in [format!("../{}/key", other.bucket), "a/../b".to_owned(), "..".to_owned(), "a//b".to_owned()] {
        let refusal = store.put(&key, b"mine".to_vec()).await.unwrap_err();
        assert!(refusal.to_string().contains("InvalidArgument"), "{key}: {refusal}");
        assert!(store.get_capped(&key, CAP).await.is_err(), "{key}");
        assert!(store.delete(&key).await.is_err(), "{key}");
    }
    assert_eq!(theirs.get_capped("key", CAP).await.unwrap(), b"theirs");
    let long = store.put(&"k".repeat(200), b"x".to_vec()).await.unwrap_err();
    assert!(long.to_string().contains("KeyTooLong"), "{long}");
}

#[tokio::test]
async fn objects_outlive_the_server() {
    let local = local().await;
    local.writer().put("deep/key", b"content".to_vec()).await.unwrap();
    let etag = local.writer().head("deep/key").await.unwrap().etag;
    let stopped = local.writer();
    local.server.shutdown().await;
    let gone = stopped.get_capped("deep/key", CAP).await.unwrap_err();
    assert!(matches!(gone, Error::Unreachable { .. }) && gone.is_transient(), "{gone}");
    assert_eq!(gone.request().unwrap().attempts, 3);

    let again = BucketServer::start(0, local.folder.path()).await.unwrap();
    again.grant(&local.access).unwrap();
    let store = stopped.of(bucket(again.url(), &local.access, &local.access.write)).unwrap();
    assert_eq!(store.get_capped("deep/key", CAP).await.unwrap(), b"content");
    assert_eq!(store.head("deep/key").await.unwrap().etag, etag);
}

#[tokio::test]
async fn a_port_in_use_and_a_file_for_a_folder_are_named() {
    let local = local().await;
    let port: u16 = local.server.url().rsplit(':').next().unwrap().parse().unwrap();
    let busy = BucketServer::start(port, local.folder.path()).await.unwrap_err();
    assert!(busy.to_string().contains(&format!("bucket port {port}")), "{busy}");
    let file = local.folder.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    let refused = BucketServer::start(0, &file).await.unwrap_err();
    assert!(refused.to_string().contains("file"), "{refused}");
}

#[tokio::test]
async fn of_several_creators_one_succeeds() {
    let local = local().await;
    let mut creators = tokio::task::JoinSet::new();
    for i in 0..8_u8 {
        let store = local.writer();
        creators.spawn(async move { store.put_new("one", vec![i; 10_000]).await.map(|()| i) });
    }
    let mut winners = Vec::new();
    for outcome in creators.join_all().await {
        match outcome {
            Ok(winner) => winners.push(winner),
            Err(error) => assert!(matches!(error, Error::AlreadyExists { .. }), "{error}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(local.writer().get_capped("one", CAP).await.unwrap(), vec![winners[0]; 10_000]);
}

#[tokio::test]
async fn a_signed_address_opens_one_object_to_anybody_and_nothing_else() {
    let local = local().await;
    for key in ["one", "two"] {
        local.writer().put(key, key.as_bytes().to_vec()).await.unwrap();
    }
    let address = local.reader().presigned_get("one", Duration::from_secs(60)).await.unwrap();
    let ask = async |method: &str, url: &str| {
        let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let mut stream = TcpStream::connect(host).await.unwrap();
        let request = format!("{method} /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = ask("GET", address.expose()).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("one"), "{answer}");
    for (method, url) in [
        ("GET", address.expose().replace("/one", "/two")),
        ("DELETE", address.expose().to_owned()),
        ("GET", address.expose().split_once('?').unwrap().0.to_owned()),
    ] {
        let answer = ask(method, &url).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{method} {answer}");
    }
    assert_eq!(local.writer().get_capped("one", CAP).await.unwrap(), b"one");
}

/// Of 11 MiB in parts of 5.
fn in_parts() -> Settings {
    Settings { multipart_bytes: 6 << 20, part_bytes: 5 << 20, parts_at_once: 2, ..settings() }
}

fn long_body() -> Vec<u8> {
    (0..11_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[tokio::test]
async fn a_long_object_goes_in_parts_from_memory_and_from_a_file() {
    let local = local().await;
    let store = Store::new(local.writer().bucket().clone(), in_parts()).unwrap();
    let body = long_body();
    store.put("from/memory", body.clone()).await.unwrap();
    let path: PathBuf = local.folder.path().join("source");
    std::fs::write(&path, &body).unwrap();
    store.put_new("from/file", path.clone()).await.unwrap();
    for key in ["from/memory", "from/file"] {
        assert!(store.get_capped(key, CAP).await.unwrap() == body, "{key}");
    }
    let parts = store.head("from/file").await.unwrap().etag.unwrap();
    assert!(parts.contains("-3"), "{parts}: not sent in three parts");
    let refusal = store.put_new("from/memory", path).await.unwrap_err();
    assert!(matches!(refusal, Error::AlreadyExists { .. }), "{refusal}");
    let missing = store.put("key", local.folder.path().join("none")).await.unwrap_err();
    assert!(matches!(missing, Error::File { .. }) && missing.to_string().contains("none"), "{missing}");
}
