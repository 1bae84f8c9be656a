//! What every store of the protocol has to do, as functions of a client; and the local network's store does it,
//! asked directly and through a proxy that changes nothing.

use std::time::Duration;

use grail_localnet::bucket::{Access, BucketServer, KeyPair};
use grail_store::{Bucket, Error, Settings, Store};
use tempfile::TempDir;

use crate::fault::FaultProxy;

/// No request is hurried, and the next attempt comes at once.
pub fn settings() -> Settings {
    Settings {
        attempts: 3,
        first_backoff: Duration::from_millis(1),
        longest_backoff: Duration::from_millis(2),
        page_entries: 2,
        ..Settings::default()
    }
}

pub struct Local {
    pub server: BucketServer,
    pub access: Access,
    pub folder: TempDir,
}

pub async fn local() -> Local {
    let folder = tempfile::tempdir().unwrap();
    let server = BucketServer::start(0, folder.path()).await.unwrap();
    let access = Access::derive(&[1; 32], &[2; 32]);
    server.grant(&access).unwrap();
    Local { server, access, folder }
}

pub fn bucket(endpoint: String, access: &Access, pair: &KeyPair) -> Bucket {
    Bucket {
        endpoint,
        region: "auto".to_owned(),
        name: access.bucket.clone(),
        access_key_id: pair.id.clone(),
        secret_access_key: pair.secret.clone().into(),
        force_path_style: true,
    }
}

impl Local {
    pub fn writer(&self) -> Store {
        self.writer_at(self.server.url(), settings())
    }

    pub fn writer_at(&self, endpoint: String, settings: Settings) -> Store {
        Store::new(bucket(endpoint, &self.access, &self.access.write), settings).unwrap()
    }

    pub fn reader(&self) -> Store {
        self.writer().of(bucket(self.server.url(), &self.access, &self.access.read)).unwrap()
    }
}

pub const CAP: u64 = 64 << 20;

async fn objects_are_kept(store: &Store) {
    for (key, body) in [
        ("plain", b"content".to_vec()),
        ("empty", Vec::new()),
        ("deep/er/and-er_.json.gz", vec![0, 1, 2, 255]),
        ("odd/a b+c%2f=~'(é)&;,@$", b"odd".to_vec()),
        ("large", (0..1_000_003_u32).map(|i| (i % 251) as u8).collect()),
    ] {
        store.put(key, body.clone()).await.unwrap();
        assert_eq!(store.get_capped(key, CAP).await.unwrap(), body, "{key}");
        let head = store.head(key).await.unwrap();
        assert_eq!((head.key.as_str(), head.bytes), (key, body.len() as u64));
        store.delete(key).await.unwrap();
        assert!(matches!(store.head(key).await, Err(Error::NotFound { .. })), "{key}");
    }
}

async fn what_is_missing_is_not_found(store: &Store) {
    for error in [store.get_capped("none", CAP).await.unwrap_err(), store.head("none").await.unwrap_err()] {
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
        let request = error.request().unwrap();
        assert_eq!((request.key.as_deref(), request.attempts), (Some("none"), 1));
        assert!(error.to_string().contains("none in bucket"), "{error}");
    }
    store.delete("none").await.unwrap();
    // The beginning of another key is no object.
    store.put("folder/object", b"x".to_vec()).await.unwrap();
    assert!(matches!(store.head("folder").await, Err(Error::NotFound { .. })));
    assert!(matches!(store.get_capped("folder", CAP).await, Err(Error::NotFound { .. })));
    store.delete("folder/object").await.unwrap();
}

async fn the_last_writer_wins_unless_it_must_be_new(store: &Store) {
    store.put("key", b"first".to_vec()).await.unwrap();
    let refusal = store.put_new("key", b"second".to_vec()).await.unwrap_err();
    assert!(matches!(refusal, Error::AlreadyExists { .. }), "{refusal}");
    assert_eq!(store.get_capped("key", CAP).await.unwrap(), b"first");
    let before = store.head("key").await.unwrap().etag;
    store.put("key", b"third".to_vec()).await.unwrap();
    assert_eq!(store.get_capped("key", CAP).await.unwrap(), b"third");
    assert_ne!(store.head("key").await.unwrap().etag, before);
    store.delete("key").await.unwrap();
    store.put_new("key", b"second".to_vec()).await.unwrap();
    assert_eq!(store.get_capped("key", CAP).await.unwrap(), b"second");
    store.delete("key").await.unwrap();
}

async fn lists_are_whole_and_in_order(store: &Store) {
    let keys = ["list/a", "list/b/c", "list/b/d", "list/e", "list/f"];
    for key in keys.iter().rev() {
        store.put(key, key.as_bytes().to_vec()).await.unwrap();
    }
    store.put("listing", b"x".to_vec()).await.unwrap();
    let of = async |prefix: &str, most| {
        let found = store.list(prefix, most).await.unwrap();
        assert!(found.iter().all(|object| object.bytes > 0));
        found.into_iter().map(|object| object.key).collect::<Vec<_>>()
    };
    assert_eq!(of("list/", 100).await, keys);
    assert_eq!(of("list/b", 100).await, keys[1..3]);
    assert_eq!(of("list/", 3).await, keys[..3]);
    assert_eq!(of("list/", 0).await, [""; 0]);
    assert_eq!(of("nothing", 100).await, [""; 0]);
    assert_eq!(of("", 100).await.len(), 6);
    for key in keys.into_iter().chain(["listing"]) {
        store.delete(key).await.unwrap();
    }
}

async fn more_than_the_cap_is_not_taken(store: &Store) {
    store.put("capped", vec![7; 1000]).await.unwrap();
    assert_eq!(store.get_capped("capped", 1000).await.unwrap().len(), 1000);
    let refusal = store.get("capped", 999).await.unwrap_err();
    assert!(matches!(refusal, Error::TooLarge { bytes: 1000, cap: 999, .. }), "{refusal}");
    store.delete("capped").await.unwrap();
}

pub async fn all(store: &Store) {
    objects_are_kept(store).await;
    what_is_missing_is_not_found(store).await;
    the_last_writer_wins_unless_it_must_be_new(store).await;
    lists_are_whole_and_in_order(store).await;
    more_than_the_cap_is_not_taken(store).await;
    store.probe().await.unwrap();
    assert_eq!(store.list("", 10).await.unwrap(), [], "nothing is left behind");
}

#[tokio::test]
async fn the_local_store_keeps_every_promise() {
    let local = local().await;
    all(&local.writer()).await;
}

#[tokio::test]
async fn a_proxy_without_faults_changes_nothing() {
    let local = local().await;
    let proxy = FaultProxy::before(&local.server.url()).await;
    all(&local.writer_at(proxy.url(), settings())).await;
    assert!(proxy.seen().len() > 50, "it was asked");
}
