//! Who may do what: pairs of keys, each of one bucket, and whether it may write there.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use grail_protocol::AccountId;
use grail_protocol::encoding::sha256;
use s3s::auth::{Credentials, S3Auth, SecretKey};
use s3s::{S3Result, s3_error};

/// A pair of keys.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// Its public half.
    pub id: String,
    /// Its secret half.
    pub secret: String,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "KeyPair({}, secret)", self.id)
    }
}

/// A bucket and what opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The bucket's name.
    pub bucket: String,
    /// Writes and reads.
    pub write: KeyPair,
    /// Only reads; this one is published.
    pub read: KeyPair,
}

/// Why a bucket is not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// A name that is none of a bucket, or a pair that is none.
    #[error("bucket {bucket:?}: {problem}")]
    Name {
        /// The bucket's name.
        bucket: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A key that opens something else already.
    #[error("bucket {bucket:?}: key {id} is in use with another secret, bucket or right")]
    KeyInUse {
        /// The bucket's name.
        bucket: String,
        /// Public half of the pair.
        id: String,
    },
    /// The bucket's folder cannot be made.
    #[error("{path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Access {
    /// The bucket of a hotkey on a local network: all names and keys follow from the network's secret and the account.
    /// Widths are those of a commitment: 32 digits of hexadecimal text for the bucket and key ids, 64 for secrets.
    #[must_use]
    pub fn derive(network_secret: &[u8; 32], account: &AccountId) -> Self {
        let text = |label: &str| {
            let parts: [&[u8]; 4] = [b"grail-localnet-bucket-v1", network_secret, account, label.as_bytes()];
            hex::encode(sha256(&parts.concat()))
        };
        let id = |label| text(label)[..32].to_owned();
        Self {
            bucket: id("bucket"),
            write: KeyPair { id: id("write id"), secret: text("write secret") },
            read: KeyPair { id: id("read id"), secret: text("read secret") },
        }
    }

    pub(super) fn check(&self) -> Result<(), GrantError> {
        let refused = |problem| Err(GrantError::Name { bucket: self.bucket.clone(), problem });
        let name = &self.bucket;
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(3..=63).contains(&name.len()) || !name.bytes().all(good) || name.starts_with('-') || name.ends_with('-') {
            return refused("expected 3 to 63 of a-z, 0-9 and '-', none of them at an end");
        }
        if [&self.write, &self.read].iter().any(|pair| pair.id.is_empty() || pair.secret.is_empty()) {
            return refused("an empty key");
        }
        if self.write.id == self.read.id || self.write.secret == self.read.secret {
            return refused("the pair that writes and the pair that is published share a key");
        }
        Ok(())
    }
}

#[derive(Clone, PartialEq, Eq)]
struct Grant {
    secret: String,
    bucket: String,
    writes: bool,
}

/// All pairs by their ids.
#[derive(Default)]
pub(super) struct Grants(RwLock<HashMap<String, Grant>>);

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Grants")
    }
}

impl Grants {
    pub(super) fn add(&self, access: &Access) -> Result<(), GrantError> {
        let mut grants = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let new = [(&access.write, true), (&access.read, false)].map(|(pair, writes)| {
            (pair.id.clone(), Grant { secret: pair.secret.clone(), bucket: access.bucket.clone(), writes })
        });
        for (id, grant) in &new {
            if grants.get(id).is_some_and(|known| known != grant) {
                return Err(GrantError::KeyInUse { bucket: access.bucket.clone(), id: id.clone() });
            }
        }
        grants.extend(new);
        Ok(())
    }

    fn of(&self, id: &str) -> Option<Grant> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// The bucket of whoever asks.
    pub(super) fn bucket(&self, credentials: Option<&Credentials>) -> S3Result<String> {
        let grant = credentials.and_then(|credentials| self.of(&credentials.access_key));
        grant.map(|grant| grant.bucket).ok_or_else(|| s3_error!(AccessDenied, "this key opens no bucket"))
    }

    /// An error unless whoever asks may use the bucket, and write there if need be.
    pub(super) fn allow(&self, credentials: Option<&Credentials>, bucket: &str, write: bool) -> S3Result<()> {
        match credentials.and_then(|credentials| self.of(&credentials.access_key)) {
            Some(grant) if grant.bucket != bucket => Err(s3_error!(AccessDenied, "this key opens another bucket")),
            Some(grant) if write && !grant.writes => Err(s3_error!(AccessDenied, "this key can only read")),
            Some(_) => Ok(()),
            None => Err(s3_error!(AccessDenied, "no key")),
        }
    }
}

/// Tells the library the secrets that requests are signed with.
pub(super) struct Auth(pub(super) Arc<Grants>);

#[async_trait::async_trait]
impl S3Auth for Auth {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let grant = self.0.of(access_key);
        let grant = grant.ok_or_else(|| s3_error!(InvalidAccessKeyId, "this key is not known"))?;
        Ok(SecretKey::from(grant.secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hotkey_has_one_bucket_and_four_keys_of_its_own() {
        let of = |secret: u8, account: u8| Access::derive(&[secret; 32], &[account; 32]);
        assert_eq!(of(1, 2), of(1, 2));
        let mut texts = Vec::new();
        for access in [of(1, 2), of(1, 3), of(2, 2)] {
            access.check().unwrap();
            assert_eq!((access.bucket.len(), access.read.id.len(), access.read.secret.len()), (32, 32, 64));
            assert!(!format!("{access:?}").contains(&access.write.secret));
            texts.extend([access.bucket, access.write.id, access.write.secret, access.read.id, access.read.secret]);
        }
        let count = texts.len();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), count);
    }

    #[test]
    fn what_could_leave_the_folder_or_leak_the_writer_is_refused() {
        let good = Access::derive(&[1; 32], &[2; 32]);
        for bucket in ["", "ab", "..", "a/b", "../x", "-abc", "Abc", "a.b", &"a".repeat(64)] {
            assert!(Access { bucket: bucket.to_owned(), ..good.clone() }.check().is_err(), "{bucket}");
        }
        let shared = Access { read: KeyPair { id: "other".to_owned(), ..good.write.clone() }, ..good.clone() };
        assert!(shared.check().is_err());
        assert!(Access { read: good.write.clone(), ..good.clone() }.check().is_err());
    }

    #[test]
    fn a_key_opens_one_bucket() {
        let grants = Grants::default();
        let first = Access::derive(&[1; 32], &[2; 32]);
        grants.add(&first).unwrap();
        grants.add(&first).unwrap();
        let second = Access { bucket: "another".to_owned(), ..first.clone() };
        assert!(matches!(grants.add(&second), Err(GrantError::KeyInUse { .. })));
        let key = |pair: &KeyPair| Credentials { access_key: pair.id.clone(), secret_key: pair.secret.clone().into() };
        let (write, read) = (key(&first.write), key(&first.read));
        assert!(grants.allow(Some(&write), &first.bucket, true).is_ok());
        assert!(grants.allow(Some(&read), &first.bucket, false).is_ok());
        assert!(grants.allow(Some(&read), &first.bucket, true).is_err());
        assert!(grants.allow(Some(&write), "another", false).is_err());
        assert!(grants.allow(None, &first.bucket, false).is_err());
    }
}
