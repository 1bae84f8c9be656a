//! One question to several relays, and the reading of an answer of bounded length in bounded time.

use std::net::IpAddr;

use reqwest::{Response, StatusCode, Url, redirect};

use super::Settings;
use super::error::{ClientError, Problem, RelayFailure};

/// The relays of a client.
#[derive(Debug, Clone)]
pub(super) struct Relays {
    http: reqwest::Client,
    addresses: Vec<String>,
    pub(super) settings: Settings,
}

impl Relays {
    pub(super) fn new<S: AsRef<str>>(relays: &[S], settings: Settings) -> Result<Self, ClientError> {
        let urls = relays.iter().map(|relay| address(relay.as_ref())).collect::<Result<Vec<_>, _>>()?;
        if urls.is_empty() {
            return Err(ClientError::NoRelays);
        }
        let mut builder = reqwest::Client::builder()
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.request_timeout)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("grail/", env!("CARGO_PKG_VERSION")));
        // One provider of cryptography for all clients of the program. An error says that it has one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        if urls.iter().all(|url| url.scheme() == "http") {
            // The system's certificates are not needed, and a bare machine may have none.
            builder = builder.tls_certs_only([]);
        }
        if urls.iter().all(is_loopback) {
            // A proxy of the environment cannot reach this machine's own servers.
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(ClientError::Setup)?;
        let addresses = urls.iter().map(|url| url.as_str().trim_end_matches('/').to_owned()).collect();
        Ok(Self { http, addresses, settings })
    }

    /// What `read` makes of the first answer that it accepts. `paths` are versions of one question.
    pub(super) async fn first<T>(
        &self,
        paths: &[String],
        read: impl Fn(&str) -> Result<T, Problem>,
    ) -> Result<T, Vec<RelayFailure>> {
        let mut failures = Vec::new();
        let start = if self.settings.random_start { random(self.addresses.len()) } else { 0 };
        let (before, from) = self.addresses.split_at(start);
        for relay in from.iter().chain(before) {
            for path in paths {
                let problem = match self.get(relay, path).await.and_then(|text| read(&text)) {
                    Ok(found) => return Ok(found),
                    Err(problem) => problem,
                };
                let go_on = problem.leaves_the_other_version();
                failures.push(RelayFailure { relay: relay.clone(), path: path.clone(), problem });
                if !go_on {
                    break;
                }
            }
        }
        Err(failures)
    }

    async fn get(&self, relay: &str, path: &str) -> Result<String, Problem> {
        let sent = self.http.get(format!("{relay}/{path}")).send().await;
        let response = sent.map_err(|error| self.problem_of(error))?;
        match response.status() {
            StatusCode::OK => self.body(response).await,
            status @ (StatusCode::NOT_FOUND | StatusCode::TOO_EARLY) => Err(Problem::NotYet(status.as_u16())),
            status => Err(Problem::Status(status.as_u16())),
        }
    }

    async fn body(&self, mut response: Response) -> Result<String, Problem> {
        let cap = self.settings.max_answer_bytes;
        let mut bytes = Vec::new();
        if response.content_length().is_some_and(|length| length > cap as u64) {
            return Err(Problem::TooLong { cap });
        }
        while let Some(chunk) = response.chunk().await.map_err(|error| self.problem_of(error))? {
            if bytes.len() + chunk.len() > cap {
                return Err(Problem::TooLong { cap });
            }
            bytes.extend_from_slice(&chunk);
        }
        String::from_utf8(bytes).map_err(|_| Problem::Malformed("the answer is no text".to_owned()))
    }

    fn problem_of(&self, error: reqwest::Error) -> Problem {
        // The address stands in the failure already.
        let error = error.without_url();
        match error.is_timeout() {
            true if error.is_connect() => Problem::Timeout(self.settings.connect_timeout),
            true => Problem::Timeout(self.settings.request_timeout),
            false => Problem::Unreachable(error),
        }
    }
}

fn address(relay: &str) -> Result<Url, ClientError> {
    let bad = |problem: &str| ClientError::BadRelay { relay: relay.to_owned(), problem: problem.to_owned() };
    let url = Url::parse(relay).map_err(|error| bad(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad("neither http nor https"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("a query or a fragment in it"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // It would be shown in every error.
        return Err(ClientError::BadRelay {
            relay: url.host_str().unwrap_or("").to_owned(),
            problem: "a name or a password in it".to_owned(),
        });
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or("").trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Below `count`, or 0 if the system has no random numbers: the order is a courtesy, not a protection.
fn random(count: usize) -> usize {
    (getrandom::u64().unwrap_or(0) % count as u64) as usize
}
