//! What goes wrong with a request, by what a user does about it.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};

use crate::bucket::ConfigError;

/// A store signs for 15 minutes at most; a refusal with a clock further away than this is the clock's fault.
const CLOCK_TOLERANCE_SECONDS: u64 = 300;

/// What was asked for, and what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What was to be done: `get`, `put`, ...
    pub method: &'static str,
    /// The key, or a prefix of keys; `None` for the bucket.
    pub key: Option<String>,
    /// The bucket's name.
    pub bucket: String,
    /// Where the bucket is.
    pub endpoint: String,
    /// How often it was sent.
    pub attempts: u32,
    /// From the beginning to the failure.
    pub elapsed: Duration,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { method, key, bucket, endpoint, attempts, elapsed } = self;
        write!(f, "{method} ")?;
        if let Some(key) = key {
            write!(f, "{key} in ")?;
        }
        let plural = if *attempts == 1 { "" } else { "s" };
        write!(f, "bucket {bucket} at {endpoint} ({attempts} attempt{plural} in {:.1} s)", elapsed.as_secs_f64())
    }
}

/// The error underneath.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// Why there is no result. `reason` is the store's own words or the cause's; no message contains a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such object, or no such bucket.
    #[error("{request}: not found: {reason}")]
    NotFound {
        /// What was asked for.
        request: Box<Request>,
        /// In words.
        reason: String,
        /// What lies beneath.
        source: Cause,
    },
    /// The keys are wrong, or may not do this.
    #[error("{request}: refused, the access key or its secret is wrong or may not do this: {reason}")]
    Forbidden {
        /// What was asked for.
        request: Box<Request>,
        /// In words.
        reason: String,
        /// What lies beneath.
        source: Cause,
    },
    /// The object that was to be created is there already, and was left as it is.
    #[error("{request}: the object exists already: {reason}")]
    AlreadyExists {
        /// What was asked for.
        request: Box<Request>,
        /// In words.
        reason: String,
        /// What lies beneath.
        source: Cause,
    },
    /// The object is larger than the caller takes.
    #[error("{request}: {bytes} bytes, at most {cap} are taken")]
    TooLarge {
        /// What was asked for.
        request: Box<Request>,
        /// Length of the object.
        bytes: u64,
        /// The caller's limit.
        cap: u64,
    },
    /// Other bytes came than its writer had sent.
    #[error("{request}: the content is damaged: sha256 {found}, its writer stated {stated}")]
    Damaged {
        /// What was asked for.
        request: Box<Request>,
        /// What the writer stated, in hex.
        stated: String,
        /// What came, in hex.
        found: String,
    },
    /// This machine's clock and the store's differ, and requests are signed with the time.
    #[error("{request}: refused, this machine's clock is wrong{}: {reason}", by(*.seconds_ahead))]
    ClockSkew {
        /// What was asked for.
        request: Box<Request>,
        /// How far this machine's clock is ahead of the store's, where the store says its time.
        seconds_ahead: Option<i64>,
        /// In words.
        reason: String,
        /// What lies beneath.
        source: Cause,
    },
    /// No answer, or no whole one, in time.
    #[error("{request}: no answer in time: {reason}")]
    Timeout {
        /// What was asked for.
        request: Box<Request>,
        /// In words.
        reason: String,
        /// What lies beneath.
        source: Cause,
    },
    /// No connection, one that broke, or a store that says that it cannot work now.
    #[error("{request}: the store cannot be reached: {reason}")]
    Unreachable {
        /// What was asked for.
        request: Box<Request>,
        /// In words.
        reason: String,
        /// What lies beneath.
        source: Cause,
    },
    /// Anything else.
    #[error("{request}: {reason}")]
    Other {
        /// What was asked for.
        request: Box<Request>,
        /// In words.
        reason: String,
        /// What lies beneath, if anything does.
        source: Option<Cause>,
    },
    /// A file of this machine that was to be sent cannot be read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bucket's configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl Error {
    /// What was asked for, if anything was.
    #[must_use]
    pub fn request(&self) -> Option<&Request> {
        match self {
            Self::NotFound { request, .. }
            | Self::Forbidden { request, .. }
            | Self::AlreadyExists { request, .. }
            | Self::TooLarge { request, .. }
            | Self::Damaged { request, .. }
            | Self::ClockSkew { request, .. }
            | Self::Timeout { request, .. }
            | Self::Unreachable { request, .. }
            | Self::Other { request, .. } => Some(request),
            Self::File { .. } | Self::Config(_) => None,
        }
    }

    /// Whether the same request may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::Unreachable { .. })
    }

    /// Sorts what the S3 library reports.
    pub(crate) fn of<E>(request: Request, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let request = Box::new(request);
        let reason = reason(&error);
        let kind = Kind::of(&error);
        let seconds_ahead = error.raw_response().and_then(seconds_ahead);
        let source: Cause = error.into();
        match kind {
            Kind::Forbidden if seconds_ahead.is_some_and(|s| s.unsigned_abs() > CLOCK_TOLERANCE_SECONDS) => {
                Self::ClockSkew { request, seconds_ahead, reason, source }
            }
            Kind::NotFound => Self::NotFound { request, reason, source },
            Kind::Forbidden => Self::Forbidden { request, reason, source },
            Kind::AlreadyExists => Self::AlreadyExists { request, reason, source },
            Kind::ClockSkew => Self::ClockSkew { request, seconds_ahead, reason, source },
            Kind::Timeout => Self::Timeout { request, reason, source },
            Kind::Unreachable => Self::Unreachable { request, reason, source },
            Kind::Other => Self::Other { request, reason, source: Some(source) },
        }
    }
}

enum Kind {
    NotFound,
    Forbidden,
    AlreadyExists,
    ClockSkew,
    Timeout,
    Unreachable,
    Other,
}

impl Kind {
    fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        match error {
            SdkError::TimeoutError(_) => Self::Timeout,
            SdkError::DispatchFailure(failure) if failure.is_timeout() => Self::Timeout,
            SdkError::DispatchFailure(failure) if failure.is_user() => Self::Other,
            SdkError::DispatchFailure(_) => Self::Unreachable,
            // No answer of this protocol: cut off, or somebody else's page. By its status if that says something.
            SdkError::ResponseError(response) => match Self::of_status(response.raw().status().as_u16()) {
                Self::Other => Self::Unreachable,
                kind => kind,
            },
            SdkError::ServiceError(service) => {
                let by_code = service.err().code().and_then(Self::of_code);
                by_code.unwrap_or_else(|| Self::of_status(service.raw().status().as_u16()))
            }
            _ => Self::Other,
        }
    }

    fn of_code(code: &str) -> Option<Self> {
        Some(match code {
            "NoSuchBucket" | "NoSuchKey" | "NoSuchUpload" | "NotFound" => Self::NotFound,
            "AccessDenied"
            | "ExpiredToken"
            | "InvalidAccessKeyId"
            | "InvalidToken"
            | "SignatureDoesNotMatch"
            | "Unauthorized" => Self::Forbidden,
            "ConditionalRequestConflict" | "PreconditionFailed" => Self::AlreadyExists,
            "RequestTimeTooSkewed" => Self::ClockSkew,
            "RequestTimeout" => Self::Timeout,
            "InternalError" | "ServiceUnavailable" | "SlowDown" | "TooManyRequests" => Self::Unreachable,
            _ => return None,
        })
    }

    /// HEAD has no body and so no code.
    fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Forbidden,
            404 => Self::NotFound,
            412 => Self::AlreadyExists,
            408 => Self::Timeout,
            429 | 500.. => Self::Unreachable,
            _ => Self::Other,
        }
    }
}

/// The store's code and words if it sent any, else the innermost cause and the status.
fn reason<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    if let SdkError::ServiceError(service) = error {
        match (service.err().code(), service.err().message()) {
            (Some(code), Some(message)) => return format!("{message} ({code})"),
            (Some(text), None) | (None, Some(text)) => return text.to_owned(),
            (None, None) => return format!("status {}", service.raw().status().as_u16()),
        }
    }
    let mut cause: &dyn StdError = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// This machine's time less that of an answer.
fn seconds_ahead(response: &HttpResponse) -> Option<i64> {
    let date = DateTime::from_str(response.headers().get("date")?, DateTimeFormat::HttpDate).ok()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    i64::try_from(now).ok()?.checked_sub(date.secs())
}

fn by(seconds_ahead: Option<i64>) -> String {
    match seconds_ahead {
        Some(seconds) if seconds < 0 => format!(", {} s behind the store's", seconds.unsigned_abs()),
        Some(seconds) => format!(", {seconds} s ahead of the store's"),
        None => String::new(),
    }
}
