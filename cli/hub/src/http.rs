//! Calls of the hub, each made again while what is wrong with it may pass.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::{HeaderMap, Request, StatusCode, Uri};

use crate::error::{HubError, Said};

/// Attempts at anything.
pub(crate) const ATTEMPTS: u32 = 5;
/// The wait after the first attempt, which doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait that a server is granted; the hub's limits are over periods of five minutes.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// A connection that carries nothing for this long is broken.
const SILENCE: Duration = Duration::from_secs(60);
/// From one address to the next.
const REDIRECTS: u32 = 5;
/// Of an answer in JSON.
pub(crate) const JSON_BYTES: u64 = 16 << 20;

/// How to wait between attempts.
#[derive(Clone)]
pub struct Patience(Arc<dyn Fn(Duration) + Send + Sync>);

impl Patience {
    /// Sleeps.
    #[must_use]
    pub fn real() -> Self {
        Self::from_fn(std::thread::sleep)
    }

    /// Calls a function instead of sleeping.
    pub fn from_fn(wait: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        Self(Arc::new(wait))
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Patience")
    }
}

/// One request.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    /// What is being done, for errors.
    pub doing: &'a str,
    pub method: &'a str,
    pub url: &'a str,
    /// With the token. Never to another host than the hub's.
    pub signed: bool,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: Option<&'a [u8]>,
    /// The longest body of an answer.
    pub limit: u64,
}

/// An answer, of whatever status but those that may pass.
pub(crate) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Why a call has no answer.
pub(crate) struct Trouble {
    what: What,
    /// Whether another attempt may help.
    pub passes: bool,
    /// What the server asks to wait.
    wait: Option<Duration>,
}

enum What {
    Status(u16, Said),
    Transport(Box<ureq::Error>),
}

/// The hub with a token.
pub(crate) struct Http {
    agent: Agent,
    endpoint: String,
    token: String,
    patience: Patience,
}

/// Without the token.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Http {
    pub(crate) fn new(endpoint: &str, token: Option<&str>, patience: Patience) -> Result<Self, HubError> {
        let token = token.ok_or(HubError::NoToken)?;
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(HubError::OddToken);
        }
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        check(&endpoint).map_err(|()| HubError::Address { field: "HF_ENDPOINT", found: endpoint.clone() })?;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // Whether the token goes along is for us to decide: the library's rule looks at the host without its port.
            .max_redirects(0)
            .timeout_connect(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .timeout_per_write(Some(SILENCE))
            .user_agent(concat!("grail/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { agent, endpoint, token: format!("Bearer {token}"), patience })
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Host and port of the hub, for errors.
    pub(crate) fn host(&self) -> String {
        host_of(&self.endpoint)
    }

    /// An address that the hub named. Not shown whole: what signs a request for storage stands in it.
    pub(crate) fn named(&self, doing: &str, field: &str, url: &Value) -> Result<String, HubError> {
        let url = url.as_str().unwrap_or_default();
        check(url).map_err(|()| HubError::Answer {
            doing: doing.to_owned(),
            host: self.host(),
            field: field.to_owned(),
            expected: "an http or https address",
            found: "something else".into(),
        })?;
        Ok(url.to_owned())
    }

    /// Whether an address is the hub's own, which may see the token.
    pub(crate) fn is_own(&self, url: &str) -> bool {
        origin(url).is_some_and(|found| Some(found) == origin(&self.endpoint))
    }

    /// A call that reads, wherever the hub sends it to. The token does not go along to other addresses than its own.
    pub(crate) fn follow(&self, call: &Call<'_>) -> Result<Answer, HubError> {
        let mut url = call.url.to_owned();
        for _ in 0..REDIRECTS {
            let call = Call { url: &url, signed: call.signed && self.is_own(&url), ..*call };
            let answer = self.send(&call)?;
            let to = match answer.status {
                301 | 302 | 303 | 307 | 308 => answer.header("location").unwrap_or_default().to_owned(),
                _ => return answer.success(&call),
            };
            url = match to.starts_with('/') && !to.starts_with("//") {
                true => format!("{}{to}", origin(&url).unwrap_or_default()),
                false => self.named(call.doing, "location", &to.into())?,
            };
        }
        let (doing, host) = (call.doing.to_owned(), host_of(&url));
        let found = format!("more than {REDIRECTS}");
        Err(HubError::Answer { doing, host, field: "location".into(), expected: "few redirections", found })
    }

    /// One attempt.
    pub(crate) fn once(&self, call: &Call<'_>) -> Result<Answer, Trouble> {
        let mut request = Request::builder().method(call.method).uri(call.url);
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        if call.signed {
            request = request.header("authorization", &self.token);
        }
        let sent = match call.body {
            Some(body) => request.body(body).map_err(ureq::Error::from).and_then(|request| self.agent.run(request)),
            None => request.body(()).map_err(ureq::Error::from).and_then(|request| self.agent.run(request)),
        };
        let mut response = sent.map_err(Trouble::of)?;
        let status = response.status();
        let headers = response.headers().clone();
        let limit = if status.is_success() { call.limit } else { JSON_BYTES };
        let body = response.body_mut().with_config().limit(limit).read_to_vec().map_err(Trouble::of)?;
        let answer = Answer { status: status.as_u16(), headers, body };
        let passes = status.is_server_error()
            || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY);
        if !passes {
            return Ok(answer);
        }
        let wait = answer.header("retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let passes = wait.is_none_or(|wait| wait <= LONGEST_WAIT);
        Err(Trouble { what: What::Status(answer.status, answer.said()), passes, wait })
    }

    /// A call, again while what is wrong may pass.
    pub(crate) fn send(&self, call: &Call<'_>) -> Result<Answer, HubError> {
        let mut attempt = 1;
        loop {
            match self.once(call) {
                Ok(answer) => return Ok(answer),
                Err(trouble) if trouble.passes && attempt < ATTEMPTS => self.pause(attempt, trouble.wait),
                Err(trouble) => return Err(trouble.told(call, attempt)),
            }
            attempt += 1;
        }
    }

    /// Between two attempts.
    pub(crate) fn pause(&self, attempt: u32, wait: Option<Duration>) {
        let usual = FIRST_WAIT * 2u32.pow(attempt.min(ATTEMPTS) - 1);
        (self.patience.0)(wait.unwrap_or(usual));
    }
}

impl Trouble {
    fn of(error: ureq::Error) -> Self {
        use ureq::Error::{ConnectionFailed, HostNotFound, Io, Protocol, Timeout};
        let passes = matches!(error, ConnectionFailed | HostNotFound | Io(_) | Protocol(_) | Timeout(_));
        Self { what: What::Transport(Box::new(error)), passes, wait: None }
    }

    /// What the server asks to wait.
    pub(crate) fn wait(&self) -> Option<Duration> {
        self.wait
    }

    /// In words, after so many attempts.
    pub(crate) fn told(self, call: &Call<'_>, attempts: u32) -> HubError {
        let (doing, host) = (call.doing.to_owned(), host_of(call.url));
        match self.what {
            What::Transport(source) => HubError::Unreachable { doing, host, attempts, source },
            What::Status(429, _) => HubError::RateLimited { doing, host, attempts, wait: self.wait },
            What::Status(status, said) => HubError::Server { doing, host, status, attempts, said },
        }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What the server says about it.
    pub(crate) fn said(&self) -> Said {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let words = ["error", "message"].iter().find_map(|key| body[*key].as_str());
        Said::new(self.header("x-error-message").or(words).unwrap_or_default())
    }

    /// The answer, if its status is one of success.
    pub(crate) fn success(self, call: &Call<'_>) -> Result<Self, HubError> {
        let (doing, host, said) = (call.doing.to_owned(), host_of(call.url), self.said());
        match self.status {
            200..=299 => Ok(self),
            401 => Err(HubError::Unauthorized { doing, host, said }),
            403 if call.signed => Err(HubError::Forbidden { doing, said }),
            413 => Err(HubError::TooLarge { doing, host, said }),
            status => Err(HubError::Refused { doing, host, status, said }),
        }
    }

    /// The JSON of an answer.
    pub(crate) fn json(&self, call: &Call<'_>) -> Result<Value, HubError> {
        serde_json::from_slice(&self.body).map_err(|error| HubError::Answer {
            doing: call.doing.to_owned(),
            host: host_of(call.url),
            field: "body".into(),
            expected: "JSON",
            found: error.to_string(),
        })
    }
}

/// A field of an answer that is not what it should be.
pub(crate) fn odd(call: &Call<'_>, field: impl Into<String>, expected: &'static str, found: &Value) -> HubError {
    HubError::Answer {
        doing: call.doing.to_owned(),
        host: host_of(call.url),
        field: field.into(),
        expected,
        found: Said::new(&found.to_string()).into_text(),
    }
}

fn check(url: &str) -> Result<(), ()> {
    let uri: Uri = url.parse().map_err(|_| ())?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(()),
        _ => Err(()),
    }
}

/// Scheme, host and port.
fn origin(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?))
}

/// Host and port, which is all of an address that is shown.
fn host_of(url: &str) -> String {
    let uri: Option<Uri> = url.parse().ok();
    let authority = uri.as_ref().and_then(Uri::authority).map_or("", |authority| authority.as_str());
    // Without a name and password before the host.
    authority.rsplit('@').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(endpoint: &str, token: Option<&str>) -> Result<Http, HubError> {
        Http::new(endpoint, token, Patience::real())
    }

    #[test]
    fn a_hub_has_an_address_and_a_token_that_can_stand_in_a_header() {
        for odd in ["", "hf_a b", "hf_\n", "hf_\u{e9}"] {
            let told = http("https://hub", Some(odd)).unwrap_err();
            assert!(
                matches!(told, HubError::OddToken) && (odd.is_empty() || !told.to_string().contains(odd)),
                "{told}"
            );
        }
        assert!(matches!(http("https://hub", None), Err(HubError::NoToken)));
        for odd in ["", "hub", "ftp://hub", "https://", "https:///x"] {
            let told = http(odd, Some("hf_a")).unwrap_err().to_string();
            assert!(told.starts_with("HF_ENDPOINT: expected an http or https address, found"), "{odd}: {told}");
        }
        let hub = http("https://hub:8443/", Some("hf_secret")).unwrap();
        assert_eq!((hub.endpoint(), hub.host().as_str()), ("https://hub:8443", "hub:8443"));
        assert!(!format!("{hub:?}").contains("hf_secret"));
    }

    #[test]
    fn only_the_hubs_own_addresses_may_see_the_token() {
        let hub = http("https://hub:8443", Some("hf_a")).unwrap();
        assert!(hub.is_own("https://hub:8443/x?y"));
        for other in ["http://hub:8443/x", "https://hub/x", "https://hub:8443.evil/x", "https://a@hub:8443/", "/x", ""]
        {
            assert!(!hub.is_own(other), "{other}");
        }
    }

    #[test]
    fn of_an_address_only_the_host_is_shown() {
        assert_eq!(host_of("https://user:password@store.example:1/key?X-Signature=secret"), "store.example:1");
        assert_eq!(host_of("no address"), "");
    }
}
