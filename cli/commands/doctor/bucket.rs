//! The bucket, as its owner writes it and as others read it with the published pair of keys.

use grail_store::{Endpoint, Error, Store};

use super::Report;
use crate::subnet::OwnBucket;

/// Where the object of a check is put.
const PREFIX: &str = "grail/probe/doctor-";

const OWN_KEYS: &str =
    "R2_WRITE_ACCESS_KEY_ID and R2_WRITE_SECRET_ACCESS_KEY must be a pair that may write and read this bucket";
const READ_KEYS: &str =
    "R2_READ_ACCESS_KEY_ID and R2_READ_SECRET_ACCESS_KEY must be a pair that may get and list objects of this bucket";
const NOT_A_READ_KEY: &str =
    "R2_READ_ACCESS_KEY_ID: it is published for everybody, so make a pair that may only read, and revoke this one";

/// Writes, reads, lists and removes an object, and tries to write with the pair that is published.
pub async fn examine(report: &mut Report, own: &OwnBucket, readers: &Endpoint) {
    const READERS: [&str; 3] = ["bucket read", "bucket list", "read key"];
    let name = match getrandom::u64() {
        Ok(number) => format!("{PREFIX}{number:016x}"),
        Err(error) => {
            report.failed("bucket write", format!("the system's random numbers: {error}"), "look at /dev/urandom");
            return READERS.iter().for_each(|check| report.skipped(check, "bucket write"));
        }
    };
    match written(&own.store, &name).await {
        Ok(()) => report.ok("bucket write", format!("{} at {}", own.store.bucket().name, own.store.bucket().endpoint)),
        Err(error) => {
            report.failed("bucket write", error.to_string(), advice(&error, OWN_KEYS));
            return READERS.iter().for_each(|check| report.skipped(check, "bucket write"));
        }
    }
    match own.read.bucket(readers).and_then(|bucket| own.store.of(bucket)) {
        Ok(store) => as_others(report, &store, &name).await,
        Err(error) => {
            report.failed("bucket read", error.to_string(), READ_KEYS);
            READERS[1..].iter().for_each(|check| report.skipped(check, "bucket read"));
        }
    }
    if let Err(error) = own.store.delete(&name).await {
        tracing::warn!("{name}: {error}; it stays in the bucket");
    }
}

async fn written(store: &Store, name: &str) -> Result<(), Error> {
    store.put(name, name.as_bytes().to_vec()).await?;
    store.get_capped(name, 1 << 10).await.map(drop)
}

/// With the pair of keys that is published, where others look.
async fn as_others(report: &mut Report, store: &Store, name: &str) {
    let read = store.get_capped(name, 1 << 10).await;
    let may_read = match read {
        Ok(bytes) if bytes == name.as_bytes() => {
            report.ok("bucket read", format!("with the read key at {}", store.bucket().endpoint));
            true
        }
        Ok(bytes) => {
            let found = format!("{} other bytes than were written", bytes.len());
            report.failed("bucket read", found, "readers look at another bucket: R2_ACCOUNT_ID, --buckets-endpoint");
            false
        }
        Err(error) => {
            report.failed("bucket read", error.to_string(), advice(&error, READ_KEYS));
            false
        }
    };
    match store.list(name, 2).await {
        Ok(found) if found.iter().any(|object| object.key == name) => report.ok("bucket list", "with the read key"),
        Ok(_) => {
            let why = "the object that was written is not in the list";
            report.failed("bucket list", why, "readers look at another bucket: R2_ACCOUNT_ID, --buckets-endpoint");
        }
        Err(error) => report.failed("bucket list", error.to_string(), advice(&error, READ_KEYS)),
    }
    if !may_read {
        return report.skipped("read key", "bucket read");
    }
    let other = format!("{name}-by-read-key");
    let put = store.put(&other, other.as_bytes().to_vec()).await;
    if put.is_ok()
        && let Err(error) = store.delete(&other).await
    {
        tracing::warn!("{other}: {error}; it stays in the bucket");
    }
    read_key(report, put);
}

/// What an attempt to write with the published pair says.
fn read_key(report: &mut Report, put: Result<(), Error>) {
    match put {
        Err(Error::Forbidden { .. }) => report.ok("read key", "may not write"),
        Ok(()) => report.failed("read key", "the read key may write", NOT_A_READ_KEY),
        Err(error) => report.failed("read key", error.to_string(), advice(&error, NOT_A_READ_KEY)),
    }
}

/// What to do about an error of a bucket; `keys` if it is the keys'.
fn advice(error: &Error, keys: &str) -> String {
    match error {
        Error::NotFound { .. } => "make the bucket, or name the right one: R2_BUCKET_ID, R2_ACCOUNT_ID".to_owned(),
        Error::ClockSkew { .. } => "set this machine's clock right, such as by `timedatectl set-ntp true`".to_owned(),
        Error::Timeout { .. } | Error::Unreachable { .. } => {
            "look at R2_ENDPOINT_URL, --buckets-endpoint and the connection; on the local network run `grail localnet`"
                .to_owned()
        }
        _ => keys.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn a_read_key_that_may_write_is_a_failure() {
        let mut report = Report::default();
        read_key(&mut report, Ok(()));
        let check = report.check("read key").unwrap();
        assert_eq!(check.status, Status::Failed);
        assert!(check.advice.as_deref().unwrap().contains("may only read"));
    }
}
