//! The client of one bucket: what is not an upload or a download, and what all requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    self, BehaviorVersion, ConfigBag, Credentials, Intercept, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, RuntimeComponents, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

use crate::bucket::{Bucket, ConfigError, Secret};
use crate::checksum::stated_sha256;
use crate::error::{Error, Request};
use crate::settings::Settings;

/// Where [`Store::probe`] writes; a random name follows.
const PROBE_PREFIX: &str = "grail/probe/";

/// One bucket. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) client: Client,
    pub(crate) bucket: Arc<Bucket>,
    pub(crate) settings: Arc<Settings>,
    http: SharedHttpClient,
}

/// What a store says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// Changes whenever the content does.
    pub etag: Option<String>,
    /// SHA-256 of the content as its writer stated it; none in a list, nor of an object that another program wrote.
    pub sha256: Option<[u8; 32]>,
}

impl Store {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// [`ConfigError`] for a bucket that cannot be one.
    pub fn new(bucket: Bucket, settings: Settings) -> Result<Self, ConfigError> {
        bucket.check()?;
        let http = http_client(&bucket)?;
        Ok(Self::over(http, bucket, Arc::new(settings)))
    }

    /// A client of another bucket with the same settings and, where both go over TLS or both do not, the same
    /// connections: a validator reads hundreds of buckets.
    ///
    /// # Errors
    /// [`ConfigError`] for a bucket that cannot be one.
    pub fn of(&self, bucket: Bucket) -> Result<Self, ConfigError> {
        bucket.check()?;
        let http = match bucket.is_https() == self.bucket.is_https() {
            true => self.http.clone(),
            false => http_client(&bucket)?,
        };
        Ok(Self::over(http, bucket, Arc::clone(&self.settings)))
    }

    fn over(http: SharedHttpClient, bucket: Bucket, settings: Arc<Settings>) -> Self {
        let keys = Credentials::new(&bucket.access_key_id, bucket.secret_access_key.expose(), None, None, "grail");
        let retry = RetryConfig::standard()
            .with_max_attempts(settings.attempts.max(1))
            .with_initial_backoff(settings.first_backoff)
            .with_max_backoff(settings.longest_backoff);
        let config = config::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http.clone())
            .endpoint_url(&bucket.endpoint)
            .region(Region::new(bucket.region.clone()))
            .credentials_provider(keys)
            .force_path_style(bucket.force_path_style)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .retry_config(retry)
            // Of its own, so that one dead bucket does not use up the retries of all the others.
            .retry_partition(RetryPartition::custom("bucket").build())
            .timeout_config(timeouts(&settings, 0))
            // Bodies have time limits of their own here.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Self { client: Client::from_conf(config), bucket: Arc::new(bucket), settings, http }
    }

    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// What the store says of an object.
    ///
    /// # Errors
    /// [`Error::NotFound`] and the kinds of every request.
    pub async fn head(&self, key: &str) -> Result<ObjectInfo, Error> {
        let watch = self.watch("head", Some(key));
        let asked = self.client.head_object().bucket(&self.bucket.name).key(key);
        let head = asked.customize().interceptor(watch.counter()).send().await.map_err(|e| watch.failed(e))?;
        let bytes = head.content_length().and_then(|length| u64::try_from(length).ok());
        let bytes = bytes.ok_or_else(|| watch.other("the store does not say how long it is"))?;
        let sha256 = stated_sha256(head.metadata());
        Ok(ObjectInfo { key: key.to_owned(), bytes, etag: head.e_tag().map(str::to_owned), sha256 })
    }

    /// The objects whose keys begin with `prefix`, in the order of their keys, page by page up to `most` of them.
    ///
    /// # Errors
    /// The kinds of every request; [`Error::Other`] for an entry without key or length.
    pub async fn list(&self, prefix: &str, most: usize) -> Result<Vec<ObjectInfo>, Error> {
        let watch = self.watch("list", Some(prefix));
        let (mut found, mut token) = (Vec::new(), None::<String>);
        while found.len() < most {
            let left = i32::try_from(most - found.len()).unwrap_or(i32::MAX);
            let asked = self.client.list_objects_v2().bucket(&self.bucket.name).prefix(prefix);
            let asked = asked.max_keys(left.min(self.settings.page_entries)).set_continuation_token(token.take());
            let page = asked.customize().interceptor(watch.counter()).send().await.map_err(|e| watch.failed(e))?;
            for object in page.contents() {
                let bytes = object.size().and_then(|bytes| u64::try_from(bytes).ok());
                let (Some(key), Some(bytes)) = (object.key(), bytes) else {
                    return Err(watch.other("an entry without a key or a length"));
                };
                let etag = object.e_tag().map(str::to_owned);
                found.push(ObjectInfo { key: key.to_owned(), bytes, etag, sha256: None });
            }
            token = page.next_continuation_token().map(str::to_owned);
            // A page of nothing that says there is more would be asked for forever.
            if page.is_truncated() != Some(true) || token.is_none() || page.contents().is_empty() {
                break;
            }
        }
        found.truncate(most);
        Ok(found)
    }

    /// Removes an object. One that is not there is no error.
    ///
    /// # Errors
    /// The kinds of every request.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        let watch = self.watch("delete", Some(key));
        let asked = self.client.delete_object().bucket(&self.bucket.name).key(key);
        match asked.customize().interceptor(watch.counter()).send().await.map_err(|e| watch.failed(e)) {
            Err(Error::NotFound { .. }) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// An address under which anybody can read an object, without keys, for a time of at most a week. It opens the
    /// object to whoever sees it, so it is a secret. Whether the object is there is not asked.
    ///
    /// # Errors
    /// [`Error::Other`] for a time that the protocol does not have.
    pub async fn presigned_get(&self, key: &str, valid_for: Duration) -> Result<Secret, Error> {
        let watch = self.watch("presign", Some(key));
        let terms = PresigningConfig::expires_in(valid_for).map_err(|error| watch.other(error.to_string()))?;
        let asked = self.client.get_object().bucket(&self.bucket.name).key(key);
        let signed = asked.presigned(terms).await.map_err(|e| watch.failed(e))?;
        Ok(signed.uri().into())
    }

    /// Whether the bucket can be reached, written and read: a small object is written, read back and removed.
    ///
    /// # Errors
    /// The kinds of every request; [`Error::Other`] when something else is read than was written.
    pub async fn probe(&self) -> Result<(), Error> {
        let watch = self.watch("probe", None);
        let name = random_name().map_err(|problem| watch.other(problem))?;
        let key = format!("{PROBE_PREFIX}{name}");
        self.put(&key, name.clone().into_bytes()).await?;
        let read = self.get_capped(&key, 1 << 10).await;
        // Also after a failed reading: nothing is left behind where it can be helped.
        let removed = self.delete(&key).await;
        if read? != name.as_bytes() {
            return Err(watch.other("another content was read than had been written"));
        }
        removed
    }

    pub(crate) fn watch(&self, method: &'static str, key: Option<&str>) -> Watch {
        Watch {
            method,
            key: key.map(str::to_owned),
            bucket: Arc::clone(&self.bucket),
            started: Instant::now(),
            attempts: Arc::new(AtomicU32::new(0)),
        }
    }

    /// Changes to the configuration for a request with a body of so many bytes.
    pub(crate) fn patience(&self, bytes: u64) -> config::Builder {
        config::Config::builder().timeout_config(timeouts(&self.settings, bytes))
    }
}

/// A random name of 16 hex digits.
pub(crate) fn random_name() -> Result<String, String> {
    let number = getrandom::u64().map_err(|error| format!("the system's random numbers: {error}"))?;
    Ok(format!("{number:016x}"))
}

fn timeouts(settings: &Settings, bytes: u64) -> TimeoutConfig {
    let more = settings.allowance(bytes);
    TimeoutConfig::builder()
        .connect_timeout(settings.connect_timeout)
        .read_timeout(settings.attempt_timeout.saturating_add(rounded(more)))
        .operation_attempt_timeout(settings.attempt_timeout.saturating_add(more))
        .operation_timeout(settings.operation_timeout.saturating_add(more))
        .build()
}

/// Up to a power of two in seconds. The SDK keeps a pool of connections for ever for each read timeout that it ever saw:
/// one for each length of a body would be no bound. An attempt's own limit is not rounded, and ends it.
fn rounded(more: Duration) -> Duration {
    match more.is_zero() {
        true => more,
        false => Duration::from_secs(more.as_secs().saturating_add(1).checked_next_power_of_two().unwrap_or(u64::MAX)),
    }
}

fn http_client(bucket: &Bucket) -> Result<SharedHttpClient, ConfigError> {
    // Without TLS the system's certificates are not needed, and a bare machine may have none.
    let trust = if bucket.is_https() { TrustStore::default() } else { TrustStore::empty() };
    let context = TlsContext::builder().with_trust_store(trust).build();
    let context = context.map_err(|error| ConfigError::field("endpoint", format!("TLS: {error}")))?;
    Ok(Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(context).build_https())
}

/// A request on its way: counts attempts and time for the error that may come of it.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    method: &'static str,
    key: Option<String>,
    bucket: Arc<Bucket>,
    started: Instant,
    attempts: Arc<AtomicU32>,
}

impl Watch {
    pub(crate) fn counter(&self) -> Attempts {
        Attempts(Arc::clone(&self.attempts))
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn request(&self) -> Request {
        Request {
            method: self.method,
            key: self.key.clone(),
            bucket: self.bucket.name.clone(),
            endpoint: self.bucket.endpoint.clone(),
            attempts: self.attempts(),
            elapsed: self.elapsed(),
        }
    }

    pub(crate) fn failed<E>(&self, error: SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        Error::of(self.request(), error)
    }

    pub(crate) fn other(&self, reason: impl Into<String>) -> Error {
        Error::Other { request: Box::new(self.request()), reason: reason.into(), source: None }
    }
}

/// Counts what is sent.
#[derive(Debug)]
pub(crate) struct Attempts(Arc<AtomicU32>);

impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "attempts"
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn bodies_of_all_lengths_share_a_few_read_timeouts_that_are_never_shorter_than_an_attempt() {
        let settings = Settings::default();
        let limits = (0..20_000).map(|step| timeouts(&settings, step * 9973));
        let read: BTreeSet<Duration> = limits
            .map(|limits| {
                let (read, attempt) = (limits.read_timeout().unwrap(), limits.operation_attempt_timeout().unwrap());
                assert!(read >= attempt, "{read:?} {attempt:?}");
                read
            })
            .collect();
        assert!(read.len() <= 13, "{read:?}");
        assert_eq!(read.first(), Some(&settings.attempt_timeout));
        assert_eq!(
            timeouts(&settings, u64::MAX).read_timeout().map(|read| read > settings.attempt_timeout),
            Some(true)
        );
    }
}
