//! Where a bucket is and what opens it, checked before anything is sent.

use std::fmt;

use zeroize::Zeroizing;

/// Text that is never shown and is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text, for those who sign with it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for Secret {
    fn from(text: T) -> Self {
        Self(Zeroizing::new(text.into()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// A bucket and a pair of keys to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// `http://` or `https://` with a host.
    pub endpoint: String,
    /// Region that requests are signed for; `auto` for R2.
    pub region: String,
    /// The bucket's name.
    pub name: String,
    /// Public half of the pair.
    pub access_key_id: String,
    /// Secret half of the pair.
    pub secret_access_key: Secret,
    /// The bucket's name goes into the path instead of the host.
    pub force_path_style: bool,
}

/// Why a bucket's configuration or published credentials are refused. No message contains a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A field that cannot be what it stands for.
    #[error("bucket: {field}: {problem}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What is wrong with it, or what was expected.
        problem: String,
    },
    /// The pair that was about to be published can write.
    #[error("bucket: {field} to be published is also that of the pair that writes; make a pair that can only read")]
    WriteKeyPublished {
        /// Which half.
        field: &'static str,
    },
    /// A commitment that is no 128 bytes of ASCII text.
    #[error("commitment: {0}")]
    Commitment(String),
}

impl ConfigError {
    pub(crate) fn field(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Field { field, problem: problem.into() }
    }
}

impl Bucket {
    /// An error unless every field can be what it stands for.
    ///
    /// # Errors
    /// [`ConfigError::Field`] names the first that cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_endpoint(&self.endpoint)?;
        check_name(&self.name)?;
        for (field, text) in [
            ("region", self.region.as_str()),
            ("access_key_id", &self.access_key_id),
            ("secret_access_key", self.secret_access_key.expose()),
        ] {
            if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(ConfigError::field(field, "expected visible ASCII text, at least one character"));
            }
        }
        Ok(())
    }

    /// Whether requests go over TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.endpoint.starts_with("https://")
    }
}

fn check_endpoint(endpoint: &str) -> Result<(), ConfigError> {
    let bad = |problem: &str| Err(ConfigError::field("endpoint", format!("{endpoint:?}: {problem}")));
    let Some(rest) = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://")) else {
        return bad("expected http:// or https://");
    };
    if rest.is_empty() || rest.starts_with(['/', ':']) {
        return bad("no host");
    }
    match rest.chars().find(|c| !c.is_ascii_graphic() || "@?#\\".contains(*c)) {
        Some(stranger) => bad(&format!("{stranger:?} is not expected in it")),
        None => Ok(()),
    }
}

/// The rules of S3: the name becomes part of a path or of a host.
fn check_name(name: &str) -> Result<(), ConfigError> {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let inner = name.bytes().all(|b| alphanumeric(b) || b == b'-' || b == b'.');
    let ends = name.bytes().next().is_some_and(alphanumeric) && name.bytes().next_back().is_some_and(alphanumeric);
    match (3..=63).contains(&name.len()) && inner && ends && !name.contains("..") {
        true => Ok(()),
        false => Err(ConfigError::field(
            "name",
            format!("{name:?}: expected 3 to 63 of a-z, 0-9, '-' and '.', a letter or digit at both ends"),
        )),
    }
}

/// The endpoint of an R2 account. The id may come from somebody else's commitment, so nothing but an id goes into the
/// address of the host.
///
/// # Errors
/// [`ConfigError::Field`] unless it is 32 lower-case hex digits.
pub fn r2_endpoint(account_id: &str) -> Result<String, ConfigError> {
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    match account_id.len() == 32 && account_id.bytes().all(digit) {
        true => Ok(format!("https://{account_id}.r2.cloudflarestorage.com")),
        false => Err(ConfigError::field("account_id", format!("{account_id:?}: expected 32 lower-case hex digits"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bucket() -> Bucket {
        Bucket {
            endpoint: "http://127.0.0.1:9000".to_owned(),
            region: "auto".to_owned(),
            name: "0123456789abcdef0123456789abcdef".to_owned(),
            access_key_id: "key".to_owned(),
            secret_access_key: "hidden-value".into(),
            force_path_style: true,
        }
    }

    #[test]
    fn no_form_of_a_bucket_shows_its_secret() {
        let bucket = bucket();
        assert_eq!(bucket.check(), Ok(()));
        assert!(format!("{bucket:?}").contains("127.0.0.1"));
        assert!(!format!("{bucket:?} {bucket:#?}").contains("hidden-value"));
        let broken = Bucket { secret_access_key: "hidden value".into(), ..bucket };
        let refusal = broken.check().unwrap_err().to_string();
        assert!(refusal.contains("secret_access_key") && !refusal.contains("hidden"), "{refusal}");
    }

    #[test]
    fn every_refusal_names_its_field() {
        let of = |change: &dyn Fn(&mut Bucket)| {
            let mut bucket = bucket();
            change(&mut bucket);
            bucket.check().unwrap_err().to_string()
        };
        for endpoint in [
            "",
            "ftp://x",
            "127.0.0.1",
            "http://",
            "https:///x",
            "http://:80",
            "http://a@b",
            "http://a?b",
            "http://a b",
        ] {
            assert!(of(&|b| b.endpoint = endpoint.to_owned()).contains("endpoint"), "{endpoint}");
        }
        for name in ["", "ab", "-abc", "abc.", "a..b", "a/b", "Abc", "a b", &"a".repeat(64)] {
            assert!(of(&|b| b.name = name.to_owned()).contains("name"), "{name}");
        }
        assert!(of(&|b| b.region = String::new()).contains("region"));
        assert!(of(&|b| b.access_key_id = "a\nb".to_owned()).contains("access_key_id"));
        assert!(of(&|b| b.secret_access_key = "".into()).contains("secret_access_key"));
    }

    #[test]
    fn an_r2_host_is_made_of_an_id_only() {
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(r2_endpoint(id), Ok(format!("https://{id}.r2.cloudflarestorage.com")));
        for other in [&id[1..], &format!("{id}0"), &id.to_uppercase(), "example.com/0123456789abcdef0123", ""] {
            assert!(r2_endpoint(other).is_err(), "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_id_or_refused(text: String) {
            prop_assert_eq!(r2_endpoint(&text).is_ok(), text.len() == 32 && text.chars().all(|c| "0123456789abcdef".contains(c)));
            let _ = Bucket { endpoint: format!("http://{text}"), name: text, ..bucket() }.check();
        }
    }
}
