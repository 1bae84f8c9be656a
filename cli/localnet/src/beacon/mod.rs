//! The local network's beacon: one chain of our own behind drand's HTTP interface, versions 1 and 2 (DESIGN 5).
//!
//! A round is served from its time on and not before, as a real relay would: whoever asks earlier gets 425. The time
//! is handed in. Rounds are signed when they are asked for; nothing is stored.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;

use grail_beacon::{ChainInfo, ChainParts, Clock, LocalBeacon};
use grail_protocol::encoding::sha256;
use grail_protocol::json::{Style, Value};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::service::Service;
use hyper::{Method, Request, Response, StatusCode};

use crate::serve::Server;

/// A running beacon.
#[derive(Debug)]
pub struct BeaconServer {
    server: Server,
    info: ChainInfo,
}

impl BeaconServer {
    /// Serves a chain on a port of the loopback interface, 0 for any that is free.
    ///
    /// # Errors
    /// The system's, when the port cannot be had.
    pub async fn start(port: u16, beacon: LocalBeacon, clock: Clock) -> std::io::Result<Self> {
        let info = beacon.info().clone();
        let relay = Relay(Arc::new(Chain { hash: hex::encode(info.hash()), beacon, clock }));
        Ok(Self { server: Server::start(port, relay).await?, info })
    }

    /// The chain that is served.
    #[must_use]
    pub fn info(&self) -> &ChainInfo {
        &self.info
    }

    /// Where it is, as relays are configured: `http://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Ends it; requests that are being answered are finished.
    pub async fn shutdown(self) {
        self.server.shutdown().await;
    }
}

#[derive(Clone)]
struct Relay(Arc<Chain>);

struct Chain {
    beacon: LocalBeacon,
    hash: String,
    clock: Clock,
}

/// Versions of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// What a request comes to.
enum Answer {
    Json(Value),
    Missing,
    /// With the seconds to wait.
    TooEarly(u64),
}

impl Chain {
    fn answer(&self, path: &str) -> Answer {
        use Version::{V1, V2};
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match parts[..] {
            ["health"] => self.health(),
            // As relays serve their default chain: this is the only one here.
            ["info"] => self.info(V1),
            ["public", round] => self.round(V1, round),
            ["chains"] | ["v2", "chains"] => Answer::Json(Value::List(vec![self.hash.as_str().into()])),
            ["v2", "chains", chain, ref rest @ ..] if chain == self.hash => match *rest {
                ["info"] => self.info(V2),
                ["health"] => self.health(),
                ["rounds", round] => self.round(V2, round),
                _ => Answer::Missing,
            },
            [chain, ref rest @ ..] if chain == self.hash => match *rest {
                ["info"] => self.info(V1),
                ["health"] => self.health(),
                ["public", round] => self.round(V1, round),
                _ => Answer::Missing,
            },
            _ => Answer::Missing,
        }
    }

    fn latest(&self) -> Option<u64> {
        self.beacon.info().schedule().round_at_time(self.clock.now_ms())
    }

    fn health(&self) -> Answer {
        let round = Value::Integer(self.latest().unwrap_or(0).into());
        Answer::Json(object([("current", round.clone()), ("expected", round)]))
    }

    fn info(&self, version: Version) -> Answer {
        if version == Version::V1 {
            return Answer::Json(self.beacon.info().to_value());
        }
        let ChainParts { scheme, public_key, period, genesis_time, group_hash, beacon_id } = self.beacon.info().parts();
        Answer::Json(object([
            ("public_key", hex::encode(public_key).as_str().into()),
            ("period", Value::Integer((*period).into())),
            ("genesis_time", Value::Integer((*genesis_time).into())),
            ("genesis_seed", hex::encode(group_hash).as_str().into()),
            ("chain_hash", self.hash.as_str().into()),
            ("scheme", scheme.name().into()),
            ("beacon_id", beacon_id.as_str().into()),
        ]))
    }

    fn round(&self, version: Version, text: &str) -> Answer {
        let schedule = self.beacon.info().schedule();
        let latest = self.latest();
        let asked = match text {
            "latest" => latest.unwrap_or(1),
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().unwrap_or(0),
            _ => 0,
        };
        let Some(due) = schedule.time_of_round(asked) else { return Answer::Missing };
        if latest.is_none_or(|latest| asked > latest) {
            return Answer::TooEarly(due.saturating_sub(self.clock.now_ms()).div_ceil(1000));
        }
        let Ok(signature) = self.beacon.sign(asked) else { return Answer::Missing };
        let mut members = vec![("round", Value::Integer(asked.into()))];
        if version == Version::V1 {
            members.push(("randomness", hex::encode(sha256(&signature)).as_str().into()));
        }
        members.push(("signature", hex::encode(&signature).as_str().into()));
        Answer::Json(object(members))
    }
}

fn object<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

impl<B> Service<Request<B>> for Relay {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = of_status(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return ready(Ok(response));
        }
        ready(Ok(match self.0.answer(request.uri().path()) {
            Answer::Json(value) => {
                let mut response = Response::new(value.to_text(Style::Canonical));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                response
            }
            Answer::Missing => of_status(StatusCode::NOT_FOUND),
            Answer::TooEarly(seconds) => {
                let mut response = of_status(StatusCode::TOO_EARLY);
                response.headers_mut().insert(RETRY_AFTER, seconds.into());
                response
            }
        }))
    }
}

fn of_status(status: StatusCode) -> Response<String> {
    let mut response = Response::new(format!("{status}\n"));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GENESIS: u64 = 1_700_000_000;

    /// A chain at so many milliseconds after its genesis.
    fn chain(after_ms: u64) -> Chain {
        let beacon = LocalBeacon::from_seed(&[1; 32], GENESIS, 3).unwrap();
        let clock = Clock::from_fn(move || GENESIS * 1000 + after_ms);
        Chain { hash: hex::encode(beacon.info().hash()), beacon, clock }
    }

    fn status(chain: &Chain, path: &str) -> u16 {
        match chain.answer(path) {
            Answer::Json(_) => 200,
            Answer::Missing => 404,
            Answer::TooEarly(_) => 425,
        }
    }

    #[test]
    fn a_round_is_served_from_its_time_on() {
        for (after_ms, round, expected) in
            [(0, 1, 200), (2_999, 2, 425), (3_000, 2, 200), (3_000, 3, 425), (3_000, 0, 404), (3_000, u64::MAX, 404)]
        {
            let chain = chain(after_ms);
            for path in [format!("/{}/public/{round}", chain.hash), format!("/v2/chains/{}/rounds/{round}", chain.hash)]
            {
                assert_eq!(status(&chain, &path), expected, "{path} after {after_ms} ms");
            }
        }
    }

    #[test]
    fn before_genesis_there_is_no_latest_round() {
        let mut early = chain(0);
        early.clock = Clock::from_fn(|| GENESIS * 1000 - 1500);
        let path = format!("/{}/public/latest", early.hash);
        assert!(matches!(early.answer(&path), Answer::TooEarly(2)));
        assert_eq!(status(&early, "/health"), 200);
        let Answer::Json(latest) = chain(3_000).answer(&path) else { panic!("no answer") };
        assert!(latest.to_text(Style::Canonical).contains("\"round\":2"));
    }

    #[test]
    fn other_chains_and_paths_are_not_served() {
        let chain = chain(0);
        let hash = chain.hash.clone();
        let own = [format!("/{hash}/info"), format!("/v2/chains/{hash}/info")];
        for path in ["/chains", "/v2/chains", "/health", "/info"].into_iter().chain(own.iter().map(String::as_str)) {
            assert_eq!(status(&chain, path), 200, "{path}");
        }
        assert_eq!(status(&chain, "/public/1"), status(&chain, &format!("/{hash}/public/1")));
        for path in [
            String::new(),
            "/".to_owned(),
            "/v2/info".to_owned(),
            format!("/{}/info", "0".repeat(64)),
            format!("/{hash}"),
            format!("/{hash}/public/+1"),
            format!("/{hash}/public/1/2"),
            format!("/{hash}/public/99999999999999999999999"),
            format!("/v2/chains/{hash}/public/1"),
        ] {
            assert_eq!(status(&chain, &path), 404, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_has_an_answer(path: String, round: u64, now: u64) {
            let mut chain = chain(0);
            chain.clock = Clock::from_fn(move || now);
            status(&chain, &path);
            status(&chain, &format!("/{}/public/{round}", chain.hash));
        }
    }
}
