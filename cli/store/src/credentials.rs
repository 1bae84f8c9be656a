//! The pair of keys that a miner publishes so that validators can read its bucket (PROTOCOL 10).
//!
//! Whoever reads the chain can read these, by design; a pair that can write must never get there.

use crate::bucket::{Bucket, ConfigError, Secret, r2_endpoint};

/// Length of a commitment.
pub const COMMITMENT_BYTES: usize = 128;

/// Name and width of each part, in order.
const PARTS: [(&str, usize); 3] = [("account_id", 32), ("access_key_id", 32), ("secret_access_key", 64)];

/// Where published credentials are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// Each account's own host at R2.
    R2,
    /// One endpoint for all buckets: the local network's, or another store.
    At(String),
}

/// Read access to a bucket, whose name is the account id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadCredentials {
    account_id: String,
    access_key_id: String,
    secret_access_key: Secret,
}

impl ReadCredentials {
    /// Credentials that can be published.
    ///
    /// # Errors
    /// [`ConfigError::Field`] for a part that is empty, too long for its place or no visible ASCII text: cut to its
    /// place it would open nothing.
    pub fn new(account_id: &str, access_key_id: &str, secret_access_key: &str) -> Result<Self, ConfigError> {
        for ((field, width), text) in PARTS.into_iter().zip([account_id, access_key_id, secret_access_key]) {
            if text.is_empty() || text.len() > width || !text.bytes().all(|b| b.is_ascii_graphic()) {
                let problem = format!("{} bytes; expected 1 to {width}, visible ASCII", text.len());
                return Err(ConfigError::field(field, problem));
            }
        }
        Ok(Self {
            account_id: account_id.to_owned(),
            access_key_id: access_key_id.to_owned(),
            secret_access_key: secret_access_key.into(),
        })
    }

    /// Reads a commitment, each part without the white space around it.
    ///
    /// # Errors
    /// [`ConfigError::Commitment`] for another length or for bytes that are no ASCII, [`ConfigError::Field`] for an
    /// empty part or white space within one.
    pub fn from_commitment(bytes: &[u8]) -> Result<Self, ConfigError> {
        if bytes.len() != COMMITMENT_BYTES {
            return Err(ConfigError::Commitment(format!("{} bytes, expected {COMMITMENT_BYTES}", bytes.len())));
        }
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii());
        let text = text.ok_or_else(|| ConfigError::Commitment("no ASCII text".to_owned()))?;
        let (account_id, keys) = text.split_at(PARTS[0].1);
        let (access_key_id, secret) = keys.split_at(PARTS[1].1);
        Self::new(account_id.trim(), access_key_id.trim(), secret.trim())
    }

    /// The commitment: each part with spaces after it, up to its width.
    #[must_use]
    pub fn to_commitment(&self) -> [u8; COMMITMENT_BYTES] {
        let mut bytes = [b' '; COMMITMENT_BYTES];
        let mut start = 0;
        for ((_, width), text) in
            PARTS.into_iter().zip([self.account_id(), self.access_key_id(), self.secret_access_key.expose()])
        {
            bytes[start..start + text.len()].copy_from_slice(text.as_bytes());
            start += width;
        }
        bytes
    }

    /// The account, which is also the bucket's name.
    #[must_use]
    pub fn account_id(&self) -> &str {
        &self.account_id
    }

    /// Public half of the pair.
    #[must_use]
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// An error if either half is that of the pair that writes. It is asked before a commitment is made.
    ///
    /// # Errors
    /// [`ConfigError::WriteKeyPublished`].
    pub fn refuse_write_pair(&self, write: &Bucket) -> Result<(), ConfigError> {
        let halves = [
            ("access_key_id", self.access_key_id == write.access_key_id),
            ("secret_access_key", self.secret_access_key == write.secret_access_key),
        ];
        match halves.into_iter().find(|(_, same)| *same) {
            Some((field, _)) => Err(ConfigError::WriteKeyPublished { field }),
            None => Ok(()),
        }
    }

    /// The bucket that these open.
    ///
    /// # Errors
    /// [`ConfigError::Field`]: for [`Endpoint::R2`] unless the account is 32 hex digits, always for a name that no
    /// bucket has.
    pub fn bucket(&self, endpoint: &Endpoint) -> Result<Bucket, ConfigError> {
        let endpoint = match endpoint {
            Endpoint::R2 => r2_endpoint(&self.account_id)?,
            Endpoint::At(endpoint) => endpoint.clone(),
        };
        let bucket = Bucket {
            endpoint,
            region: "auto".to_owned(),
            name: self.account_id.clone(),
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret_access_key.clone(),
            force_path_style: true,
        };
        bucket.check()?;
        Ok(bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

    fn credentials() -> ReadCredentials {
        ReadCredentials::new(ACCOUNT, "read-key", "read-secret").unwrap()
    }

    #[test]
    fn a_pair_that_writes_is_not_published() {
        let read = credentials();
        let bucket = read.bucket(&Endpoint::R2).unwrap();
        let write = |id: &str, secret: &str| Bucket {
            access_key_id: id.to_owned(),
            secret_access_key: secret.into(),
            ..bucket.clone()
        };
        assert_eq!(read.refuse_write_pair(&write("write-key", "write-secret")), Ok(()));
        for (id, secret, field) in
            [("read-key", "write-secret", "access_key_id"), ("write-key", "read-secret", "secret_access_key")]
        {
            assert_eq!(read.refuse_write_pair(&write(id, secret)), Err(ConfigError::WriteKeyPublished { field }));
        }
    }

    #[test]
    fn a_commitment_does_not_choose_the_host() {
        let read = credentials();
        assert_eq!(read.bucket(&Endpoint::R2).unwrap().endpoint, format!("https://{ACCOUNT}.r2.cloudflarestorage.com"));
        let elsewhere = ReadCredentials::new("evil.example/", "k", "s").unwrap();
        assert!(elsewhere.bucket(&Endpoint::R2).unwrap_err().to_string().contains("account_id"));
        let local = Endpoint::At("http://127.0.0.1:9000".to_owned());
        assert!(elsewhere.bucket(&local).unwrap_err().to_string().contains("name"));
        assert_eq!(read.bucket(&local).unwrap().name, ACCOUNT);
    }

    #[test]
    fn a_part_that_does_not_fit_is_refused_not_cut() {
        assert!(ReadCredentials::new(&"a".repeat(32), &"b".repeat(32), &"c".repeat(64)).is_ok());
        for (parts, field) in [
            (["a".repeat(33), "b".to_owned(), "c".to_owned()], "account_id"),
            (["a".to_owned(), "b".repeat(33), "c".to_owned()], "access_key_id"),
            (["a".to_owned(), "b".to_owned(), "c".repeat(65)], "secret_access_key"),
            (["a".to_owned(), String::new(), "c".to_owned()], "access_key_id"),
            (["a".to_owned(), "b".to_owned(), "c d".to_owned()], "secret_access_key"),
            (["é".to_owned(), "b".to_owned(), "c".to_owned()], "account_id"),
        ] {
            let refusal = ReadCredentials::new(&parts[0], &parts[1], &parts[2]).unwrap_err();
            assert!(matches!(&refusal, ConfigError::Field { field: named, .. } if *named == field), "{refusal}");
        }
    }

    #[test]
    fn what_is_no_commitment_is_refused_without_showing_it() {
        let good = credentials().to_commitment();
        assert_eq!(ReadCredentials::from_commitment(&good), Ok(credentials()));
        assert!(!format!("{:?}", credentials()).contains("read-secret"));
        let mut other = good;
        other[3] = 0xc3;
        for bytes in [&good[..127], &[&good[..], b" "].concat(), &other[..], &[b' '; 128], &[]] {
            let refusal = ReadCredentials::from_commitment(bytes).unwrap_err();
            assert!(!format!("{refusal} {refusal:?}").contains("read-secret"));
        }
    }

    proptest! {
        #[test]
        fn credentials_read_back(account in "[!-~]{1,32}", id in "[!-~]{1,32}", secret in "[!-~]{1,64}") {
            let read = ReadCredentials::new(&account, &id, &secret).unwrap();
            prop_assert_eq!(ReadCredentials::from_commitment(&read.to_commitment()), Ok(read));
        }

        #[test]
        fn any_bytes_are_credentials_or_refused(bytes in prop::collection::vec(any::<u8>(), 120..136)) {
            let _ = ReadCredentials::from_commitment(&bytes);
        }
    }
}
