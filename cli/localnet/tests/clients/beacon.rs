//! The beacon's client against the local relay and against relays that lie, lag or are gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use grail_beacon::client::{Client, ClientError, Problem, RelayFailure, Settings};
use grail_beacon::{ChainInfo, Clock, LocalBeacon, verify};
use grail_localnet::beacon::BeaconServer;
use grail_protocol::encoding::sha256;

use crate::fault::{Fault, FaultProxy};

const GENESIS: u64 = 1_700_000_000;
/// Rounds that are out.
const OUT: u64 = 1000;

fn chain() -> LocalBeacon {
    LocalBeacon::from_seed(&[1; 32], GENESIS, 3).unwrap()
}

fn clock() -> Clock {
    Clock::from_fn(|| (GENESIS + 3 * (OUT - 1)) * 1000)
}

async fn relay() -> BeaconServer {
    BeaconServer::start(0, chain(), clock()).await.unwrap()
}

fn settings() -> Settings {
    Settings { random_start: false, clock: clock(), ..Settings::default() }
}

fn client(relays: &[String]) -> Client {
    Client::new(chain().info().clone(), relays, settings()).unwrap()
}

/// An answer that a relay might give.
fn json(text: String) -> Fault {
    Fault::status("200 OK", "content-type: application/json\r\n", &text)
}

fn round_of(beacon: &LocalBeacon, stated: u64, signed: u64) -> Fault {
    json(format!(r#"{{"round":{stated},"signature":"{}"}}"#, hex::encode(beacon.sign(signed).unwrap())))
}

async fn refusal(fault: Fault) -> (Vec<RelayFailure>, String) {
    let proxy = FaultProxy::always(fault).await;
    let error = client(&[proxy.url()]).round(500).await.unwrap_err();
    let text = error.to_string();
    match error {
        ClientError::AllFailed { failures, .. } => (failures, text),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_round_comes_verified_from_the_relay() {
    let server = relay().await;
    let client = client(&[server.url()]);
    for round in [1, 2, 999, OUT] {
        let beacon = client.round(round).await.unwrap();
        assert_eq!(beacon.round, round);
        assert_eq!(verify(chain().info(), round, &beacon.signature, None), Ok(beacon.randomness));
        assert_eq!(beacon.randomness, sha256(&beacon.signature));
    }
    assert_eq!(client.info().await.unwrap(), *chain().info());
    let discovered = Client::discover(chain().info().hash(), &[server.url()], settings()).await.unwrap();
    assert_eq!(discovered.chain(), chain().info());
    server.shutdown().await;
    assert!(client.round(1).await.is_err());
}

#[tokio::test]
async fn a_round_is_early_until_its_time_and_then_until_the_relay_has_it() {
    let server = relay().await;
    let now = Arc::new(AtomicU64::new((GENESIS + 3 * (OUT - 1)) * 1000));
    let shown = Arc::clone(&now);
    let clock = Clock::from_fn(move || shown.load(Ordering::Relaxed));
    let settings = Settings { clock, ..settings() };
    let client = Client::new(chain().info().clone(), &[server.url()], settings).unwrap();
    let early = client.round(OUT + 1).await.unwrap_err();
    assert!(
        matches!(&early, ClientError::TooEarly { wait, failures, .. } if *wait == Duration::from_secs(3) && failures.is_empty())
    );
    assert!(early.to_string().contains("3.0 s"), "{early}");
    // By our clock it is out, by the relay's not yet.
    now.fetch_add(3_000, Ordering::Relaxed);
    let lagging = client.round(OUT + 1).await.unwrap_err();
    assert!(
        matches!(&lagging, ClientError::TooEarly { wait, failures, .. } if *wait <= Duration::from_secs(3) && !failures.is_empty())
    );
    // Long after its time it is not early but missing.
    now.fetch_add(60_000, Ordering::Relaxed);
    let missing = client.round(OUT + 1).await.unwrap_err();
    assert!(matches!(&missing, ClientError::AllFailed { .. }) && missing.to_string().contains("425"), "{missing}");
    for round in [0, u64::MAX] {
        assert!(matches!(client.round(round).await, Err(ClientError::NoSuchRound { .. })));
    }
}

#[tokio::test]
async fn one_honest_relay_is_enough() {
    let server = relay().await;
    let liar = LocalBeacon::from_seed(&[2; 32], GENESIS, 3).unwrap();
    let dead = { FaultProxy::always(Fault::Reset).await.url() };
    let wrong = FaultProxy::always(round_of(&liar, 500, 500)).await;
    let right = FaultProxy::before(&server.url()).await;
    let relays = [dead.clone(), wrong.url(), right.url()];
    let beacon = client(&relays).round(500).await.unwrap();
    assert_eq!(beacon.signature, chain().sign(500).unwrap());
    assert_eq!((wrong.seen().len(), right.seen().len()), (1, 1), "each was asked once");
    // From whichever relay one starts.
    let random = Settings { random_start: true, ..settings() };
    let random = Client::new(chain().info().clone(), &relays, random).unwrap();
    for _ in 0..10 {
        assert_eq!(random.round(500).await.unwrap(), beacon);
    }
    let (asked, spared) = (right.seen().len(), wrong.seen().len());
    assert!(asked == 10 && spared < 20, "{asked} {spared}");

    // Without it there is no round, and the error names everybody.
    let error = client(&relays[..2]).round(500).await.unwrap_err();
    let text = error.to_string();
    let ClientError::AllFailed { failures, .. } = error else { panic!("{error}") };
    assert!(matches!(failures[0].problem, Problem::Unreachable(_)), "{text}");
    assert!(matches!(failures[1].problem, Problem::Signature(_)), "{text}");
    assert_eq!(failures.len(), 2);
    assert!(text.contains(&dead) && text.contains(&wrong.url()) && text.contains("round 500"), "{text}");
}

#[tokio::test]
async fn a_relay_of_the_first_version_is_asked_in_its_words() {
    let server = relay().await;
    let old = FaultProxy::before(&server.url()).await;
    for refusal in [
        Fault::status("404 Not Found", "", ""),
        Fault::status("501 Not Implemented", "", ""),
        json("<html>".to_owned()),
    ] {
        old.then([refusal.clone()]);
        assert_eq!(client(&[old.url()]).round(7).await.unwrap().round, 7);
        let seen = old.seen();
        assert!(seen[0].contains("/v2/chains/") && seen[1].ends_with("/public/7 HTTP/1.1"), "{seen:?}");
        old.then([refusal]);
        assert_eq!(client(&[old.url()]).info().await.unwrap(), *chain().info());
        assert!(old.seen()[1].ends_with("/info HTTP/1.1"));
    }
}

#[tokio::test]
async fn every_lie_is_told_by_its_name() {
    let other = LocalBeacon::from_seed(&[2; 32], GENESIS, 3).unwrap();
    let (failures, _) = refusal(round_of(&chain(), 501, 501)).await;
    assert!(matches!(failures[0].problem, Problem::WrongRound { asked: 500, found: 501 }));
    for lie in [round_of(&chain(), 500, 501), round_of(&other, 500, 500)] {
        let (failures, text) = refusal(lie).await;
        assert!(matches!(failures[0].problem, Problem::Signature(_)), "{text}");
    }
    let signature = hex::encode(chain().sign(500).unwrap());
    let (failures, _) =
        refusal(json(format!(r#"{{"round":500,"signature":"{signature}","randomness":"{}"}}"#, "11".repeat(32)))).await;
    assert!(matches!(failures[0].problem, Problem::WrongRandomness(_)));
    let (failures, text) = refusal(json("{}".to_owned())).await;
    assert!(failures.len() == 2 && failures.iter().all(|f| matches!(f.problem, Problem::Malformed(_))), "{text}");
    // Another chain's description, whatever hash it states.
    let mut lie = other.info().to_value().to_text(grail_protocol::json::Style::Canonical);
    lie = lie.replace(&hex::encode(other.info().hash()), &hex::encode(chain().info().hash()));
    let proxy = FaultProxy::always(json(lie)).await;
    let error = Client::discover(chain().info().hash(), &[proxy.url()], settings()).await.unwrap_err();
    assert!(error.to_string().contains(&hex::encode(other.info().hash())), "{error}");
}

#[tokio::test]
async fn no_fault_holds_the_client_up_or_feeds_it_too_much() {
    let server = relay().await;
    let proxy = FaultProxy::before(&server.url()).await;
    let hasty = Settings { request_timeout: Duration::from_millis(600), max_answer_bytes: 4096, ..settings() };
    let client = Client::new(chain().info().clone(), &[proxy.url()], hasty).unwrap();
    let long = json(format!("{}{{}}", " ".repeat(5000)));
    let redirect = Fault::status("302 Found", &format!("location: {}/health\r\n", server.url()), "");
    type Is = fn(&Problem) -> bool;
    let cases: [(Fault, Is); 8] = [
        (Fault::Silence, |p| matches!(p, Problem::Timeout(_))),
        (Fault::Drip(Duration::from_millis(20)), |p| matches!(p, Problem::Timeout(_))),
        (Fault::Reset, |p| matches!(p, Problem::Unreachable(_))),
        (Fault::Cut(40), |p| matches!(p, Problem::Unreachable(_))),
        (Fault::Claim(Some(4000)), |p| matches!(p, Problem::Unreachable(_))),
        (Fault::Endless, |p| matches!(p, Problem::TooLong { cap: 4096 })),
        (long, |p| matches!(p, Problem::TooLong { cap: 4096 })),
        (redirect, |p| matches!(p, Problem::Status(302))),
    ];
    for (fault, expected) in cases {
        proxy.forever(fault.clone());
        let started = Instant::now();
        match client.round(500).await.unwrap_err() {
            ClientError::AllFailed { failures, .. } => {
                assert!(failures.iter().all(|f| expected(&f.problem)), "{fault:?}: {failures:?}");
            }
            other => panic!("{fault:?}: {other}"),
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{fault:?}: {:?}", started.elapsed());
        proxy.then([]);
        assert!(client.round(500).await.is_ok(), "after {fault:?}");
    }
}

#[test]
fn relays_that_are_none_are_refused() {
    let of = |relays: &[&str]| Client::new(ChainInfo::quicknet(), relays, settings()).map(|_| ()).unwrap_err();
    assert!(matches!(of(&[]), ClientError::NoRelays));
    for relay in ["", "api.drand.sh", "ftp://api.drand.sh", "http://", "https://x/?a=b", "https://name:word@host"] {
        let refusal = of(&["https://api.drand.sh", relay]);
        assert!(matches!(refusal, ClientError::BadRelay { .. }), "{relay}");
        assert!(!refusal.to_string().contains("word@"), "{refusal}");
    }
    assert!(Client::new(ChainInfo::quicknet(), &grail_beacon::client::PUBLIC_RELAYS, settings()).is_ok());
}

/// Genuine rounds of the public chains, from the vectors, as a relay of either version would give them.
#[tokio::test]
async fn genuine_rounds_of_the_public_chains_come_verified_and_no_others() {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../../../tests/vectors/network/drand.json")).unwrap();
    let mut chains = Vec::new();
    for case in file["cases"].as_array().unwrap() {
        let name = case["chain"].as_str().unwrap();
        let chain = if name == "quicknet" { ChainInfo::quicknet() } else { ChainInfo::default_chain() };
        if case["public_key"] != hex::encode(&chain.parts().public_key) {
            continue;
        }
        let mut answer = serde_json::json!({ "round": case["round"], "signature": case["signature"] });
        for (field, of) in [("previous_signature", "previous_signature"), ("randomness", "claimed_randomness")] {
            if !case[of].is_null() {
                answer[field] = case[of].clone();
            }
        }
        let round = case["round"].as_u64().unwrap();
        let settings = Settings { clock: Clock::from_fn(|| u64::MAX / 2), ..settings() };
        let proxy = FaultProxy::always(json(answer.to_string())).await;
        let client = Client::new(chain, &[proxy.url()], settings).unwrap();
        let found = client.round(round).await;
        assert_eq!(found.is_ok(), case["accept"] == true, "{name} {}: {found:?}", case["kind"]);
        match found {
            Ok(beacon) => {
                assert_eq!(case["expected_randomness"], hex::encode(beacon.randomness));
                chains.push(name.to_owned());
            }
            // A round that no chain has is not even asked for.
            Err(ClientError::NoSuchRound { .. }) => assert!(proxy.seen().is_empty()),
            Err(error) => assert!(error.to_string().contains(&proxy.url()), "{error}"),
        }
    }
    assert!(chains.iter().any(|name| name == "quicknet") && chains.iter().any(|name| name == "default"), "{chains:?}");
}
