//! What every store of the protocol has to do, as functions of a client.

use std::collections::BTreeSet;
use std::time::Duration;

use grail_store::{Error, Settings, Store};

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

/// More than any object here has.
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

async fn a_range_is_what_was_asked_for_or_an_error(store: &Store) {
    let body: Vec<u8> = (0..1000_u32).map(|i| (i % 251) as u8).collect();
    store.put("ranged", body.clone()).await.unwrap();
    for (start, bytes) in [(0_usize, 1_usize), (0, 1000), (999, 1), (100, 250)] {
        let read = store.get_range("ranged", start as u64, bytes as u64).await.unwrap();
        assert_eq!(read, body[start..start + bytes], "{start} {bytes}");
    }
    for (start, bytes) in [(0, 0), (0, 1001), (999, 2), (1000, 1), (u64::MAX, 2)] {
        assert!(store.get_range("ranged", start, bytes).await.is_err(), "{start} {bytes}");
    }
    assert!(matches!(store.get_range("none", 0, 1).await, Err(Error::NotFound { .. })));
    store.delete("ranged").await.unwrap();
}

async fn the_writers_hash_goes_with_the_object(store: &Store) {
    // FIPS 180-2.
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    store.put("hashed", b"abc".to_vec()).await.unwrap();
    let stated = store.head("hashed").await.unwrap().sha256.unwrap();
    assert_eq!(stated.map(|byte| format!("{byte:02x}")).concat(), abc);
    store.delete("hashed").await.unwrap();
}

async fn a_long_object_goes_in_parts(store: &Store) {
    let parts = Settings { multipart_bytes: 6 << 20, part_bytes: 5 << 20, parts_at_once: 2, ..settings() };
    let store = Store::new(store.bucket().clone(), parts).unwrap();
    let body: Vec<u8> = (0..11_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    store.put("long", body.clone()).await.unwrap();
    let head = store.head("long").await.unwrap();
    assert_eq!(head.bytes, body.len() as u64);
    assert!(head.etag.unwrap().contains("-3"), "not sent in three parts");
    assert!(head.sha256.is_some());
    assert!(store.get_capped("long", CAP).await.unwrap() == body);
    // Across the border of two parts.
    let border = 5 << 20;
    let read = store.get_range("long", border - 10, 20).await.unwrap();
    assert_eq!(read, body[border as usize - 10..border as usize + 10]);
    let refusal = store.put_new("long", body).await.unwrap_err();
    assert!(matches!(refusal, Error::AlreadyExists { .. }), "{refusal}");
    store.delete("long").await.unwrap();
}

async fn a_signed_address_is_made_for_a_week_at_most(store: &Store) {
    let mut made = BTreeSet::new();
    for key in ["a", "b"] {
        let address = store.presigned_get(key, Duration::from_secs(60)).await.unwrap();
        assert!(!format!("{address:?}").contains("X-Amz"), "it is a secret");
        assert!(address.expose().contains("X-Amz-Signature="), "it is signed");
        assert!(!address.expose().contains(store.bucket().secret_access_key.expose()));
        made.insert(address.expose().to_owned());
    }
    assert_eq!(made.len(), 2);
    assert!(store.presigned_get("a", Duration::from_secs(8 * 24 * 3600)).await.is_err());
}

/// Every law, on a bucket with nothing in it; what is broken panics.
pub async fn all(store: &Store) {
    assert_eq!(store.list("", 1).await.unwrap(), [], "the laws want an empty bucket");
    objects_are_kept(store).await;
    what_is_missing_is_not_found(store).await;
    the_last_writer_wins_unless_it_must_be_new(store).await;
    lists_are_whole_and_in_order(store).await;
    more_than_the_cap_is_not_taken(store).await;
    a_range_is_what_was_asked_for_or_an_error(store).await;
    the_writers_hash_goes_with_the_object(store).await;
    a_long_object_goes_in_parts(store).await;
    a_signed_address_is_made_for_a_week_at_most(store).await;
    store.probe().await.unwrap();
    assert_eq!(store.list("", 10).await.unwrap(), [], "nothing is left behind");
}
