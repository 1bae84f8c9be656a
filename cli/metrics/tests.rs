use super::*;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

fn event(window: u64) -> Event {
    Event::WindowMissed { window, why: "no group was finished in time".to_owned() }
}

fn text(path: &str) -> String {
    std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn a_client_that_neither_reads_nor_writes_holds_up_no_event_and_no_other_client() {
    let listener = listen(Some("127.0.0.1:0".parse().unwrap())).unwrap().unwrap();
    let address = listener.local_addr().unwrap();
    let told = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&told);
    let further = Events::to(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let events = with_metrics(further, Some(listener), Metrics::of_miner()).unwrap();
    let _silent = TcpStream::connect(address).unwrap();
    let mut asks_only = TcpStream::connect(address).unwrap();
    asks_only.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    let begun = Instant::now();
    (0..1000).for_each(|window| events.tell(event(window)));
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    let mut page = String::new();
    client.read_to_string(&mut page).unwrap();
    // The others' deadline is five seconds away.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(page.contains("\nmining_empty_windows 1000\n") && page.contains("\nblock_number 999\n"), "{page}");
    assert_eq!(told.load(Ordering::Relaxed), 1000, "and whoever listened before still does");
}

#[test]
fn an_address_in_use_is_an_error_that_names_flag_and_address() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    let error = format!("{:#}", listen(Some(address)).unwrap_err());
    assert!(error.starts_with(&format!("--metrics-addr {address}: Address already in use")), "{error}");
    assert!(listen(None).unwrap().is_none());
}

/// Names under which a family's values are read.
fn read_as(family: &Family) -> Vec<String> {
    let parts: &[&str] = match family.kind {
        Kind::Counter | Kind::Gauge => &[""],
        Kind::Summary => &["_sum", "_count"],
        Kind::Histogram => &["_bucket", "_sum", "_count"],
    };
    parts.iter().map(|part| format!("{}{part}", family.name)).collect()
}

/// Names of metrics in an expression of PromQL: what is neither a function, nor a label, nor a duration.
fn metrics_of(expression: &str) -> Vec<String> {
    let (mut plain, mut depth) = (String::new(), 0);
    for c in expression.chars() {
        depth -= i32::from(matches!(c, '}' | ']'));
        if depth == 0 {
            plain.push(c);
        }
        depth += i32::from(matches!(c, '{' | '['));
    }
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let mut names = Vec::new();
    let mut rest = plain.as_str();
    while let Some(at) = rest.find(is_of_name) {
        let word = &rest[at..];
        let (name, after) = word.split_at(word.find(|c| !is_of_name(c)).unwrap_or(word.len()));
        rest = after;
        let is_called = ["(", "by (", "without ("].iter().any(|next| after.trim_start().starts_with(next));
        if matches!(name, "by" | "without") {
            rest = after.split_once(')').expect("labels in brackets").1;
        } else if !is_called && name.parse::<f64>().is_err() {
            names.push(name.to_owned());
        }
    }
    names
}

/// Every `expr` of panels, at any depth.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| match value.as_str() {
            Some(text) if name == "expr" => found.push(text.to_owned()),
            _ => expressions(value, found),
        }),
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn expressions_of_the_dashboard_name_only_what_is_exported_and_leave_out_no_family() {
    let exported: BTreeSet<String> = [MINING, VALIDATION].concat().iter().flat_map(read_as).collect();
    let unknown = |expression: &str| metrics_of(expression).iter().any(|name| !exported.contains(name));
    // The check itself: what is no metric is not taken for one, and what is none of ours is found.
    let known =
        "sum by (uid) (rate(mining_reward_distribution_bucket{instance=~\"$instance\"}[5m])) * 2 > block_number";
    assert_eq!(metrics_of(known), ["mining_reward_distribution_bucket", "block_number"]);
    assert!(!unknown(known));
    for other in ["mining_block", "rate(mining_reward_distribution[5m])", "mining_success_rate_sum", "block_number + x"]
    {
        assert!(unknown(other), "{other}");
    }
    let dashboard: Value = serde_json::from_str(&text("docs/grafana.json")).unwrap();
    let mut found = Vec::new();
    expressions(&dashboard["panels"], &mut found);
    for expression in &found {
        assert!(!metrics_of(expression).is_empty() && !unknown(expression), "{expression}");
    }
    let shown: BTreeSet<String> = found.iter().flat_map(|expression| metrics_of(expression)).collect();
    for family in [MINING, VALIDATION].concat() {
        assert!(read_as(&family).iter().any(|name| shown.contains(name)), "{}", family.name);
    }
    let instances = dashboard["templating"]["list"][1]["query"].as_str().unwrap();
    let (metric, label) = instances.strip_prefix("label_values(").unwrap().split_once(", ").unwrap();
    assert!(exported.contains(metric) && label == "instance)", "{instances}");
}

#[test]
fn panels_of_the_dashboard_have_a_place_a_source_and_an_id_of_their_own() {
    let dashboard: Value = serde_json::from_str(&text("docs/grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let mut taken = BTreeSet::new();
    for panel in panels {
        let at = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        for (x, y) in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
            assert!(x < 24 && taken.insert((x, y)), "{}: {x} {y}", panel["title"]);
        }
        assert!(panel["type"] == "row" || panel["datasource"]["uid"] == "${source}", "{}", panel["title"]);
    }
}

#[test]
fn the_manual_names_what_is_exported_and_nothing_else() {
    let manual = text("docs/operations.md");
    let (_, section) = manual.split_once("\n## Metrics\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let named: Vec<&str> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
    let names: BTreeSet<&str> = [MINING, VALIDATION].concat().iter().map(|family| family.name).collect();
    assert_eq!((named.len(), named.into_iter().collect()), (names.len(), names));
}
