//! The golden scenarios over real sockets: what the engine says of each case is what the gateway then does.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a helper of tests fails by panicking"
)]

#[cfg(test)]
mod support;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;
use serde_json::Value;
use support::client::{Client, Response, request};
use support::gateway::{Setup, example};
use support::upstream::{Recorded, Upstream};
use support::wire::values;

/// A Scenario, as far as a client can carry it out.
#[derive(Deserialize)]
struct Scenario {
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    env: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    request: Sent,
}

#[derive(Deserialize)]
struct Sent {
    method: Option<String>,
    url: String,
    #[serde(default)]
    headers: Vec<Header>,
    #[serde(default)]
    body: Option<String>,
    peer: Option<String>,
    /// Over sockets chance chooses.
    entropy: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: String,
}

/// The resources with every upstream at a port of this machine, in plain text.
fn moved(text: &str, port: u16) -> String {
    let mut moved = text.to_owned();
    for fixed in ["targetPort: 8081", "targetPort: 8082"] {
        moved = moved.replace(fixed, &format!("targetPort: {port}"));
    }
    for host in ["dashscope.aliyuncs.com", "api.deepseek.com"] {
        if moved.contains(&format!("  host: {host}")) {
            let local = example("local-provider/local-provider.yaml");
            let local = local
                .replace("dashscope.aliyuncs.com", host)
                .replace("name: local-provider", &format!("name: local-{host}"))
                .replace("https: 8000", &format!("https: {port}"));
            moved = format!("{moved}\n---\n{local}");
        }
    }
    moved
}

async fn tried(name: &str, files: &[&str]) -> usize {
    let text = example(&format!("scenarios/{name}.yaml"));
    let written: Scenario = serde_saphyr::from_str(&text).expect("a Scenario");
    let env = written.spec.env.iter();
    let replaced = env.fold(text.clone(), |text, (name, value)| {
        text.replace(&format!("${{{name}}}"), value)
    });
    let scenario: Scenario = serde_saphyr::from_str(&replaced).expect("a Scenario");
    let upstream = Upstream::plain().await;
    let mut setup = Setup::empty();
    for file in files {
        let text = moved(&example(&format!("{name}/{file}")), upstream.addr.port());
        setup = setup.file(file, &text);
    }
    for (variable, value) in &scenario.spec.env {
        setup = setup.without_env(variable).env(variable, value);
    }
    let path = setup.aside("scenarios.yaml", &text);
    let said = setup.run("test", &[&path.to_string_lossy(), "-o", "json"]).await;
    // Where upstreams are was changed, so that a case that expects the real place fails.
    assert!(said.code <= 1, "{}", said.all());
    let report = said.json();
    let gateway = setup.start().await;

    let mut count = 0;
    for (index, case) in scenario.spec.cases.iter().enumerate() {
        let tried = &report["cases"][index];
        assert_eq!(tried["name"], case.name.as_str());
        if case.request.entropy.is_some() {
            continue;
        }
        count += 1;
        let verdict = &tried["verdict"];
        let answer = send(&case.request, gateway.http).await;
        match verdict["decision"].as_str() {
            Some("forward") => {
                assert_eq!(answer.status, 200, "{}", case.name);
                assert_sent(verdict, &upstream.request().await, &case.name, &scenario.spec.env);
            }
            Some("redirect") => {
                let location = verdict["location"].as_str();
                assert_eq!(answer.header("location"), location, "{}", case.name);
                assert_eq!(Value::from(answer.status), verdict["status"], "{}", case.name);
            }
            Some("respond" | "refuse") => {
                let (status, body) = (Value::from(answer.status), Value::from(answer.text()));
                assert_eq!(
                    (&status, &body),
                    (&verdict["status"], &verdict["body"]),
                    "{}",
                    case.name
                );
                let kind = verdict["contentType"].as_str();
                assert!(kind.is_none() || kind == answer.header("content-type"), "{}", case.name);
            }
            other => panic!("{}: {other:?} cannot be seen over sockets", case.name),
        }
    }
    assert_eq!(
        upstream.request_count(),
        forwarded(&report, &scenario),
        "requests that nobody meant"
    );
    count
}

fn forwarded(report: &Value, scenario: &Scenario) -> usize {
    let cases = scenario.spec.cases.iter().enumerate();
    let carried_out = cases.filter(|(_, case)| case.request.entropy.is_none());
    carried_out
        .filter(|(index, _)| report["cases"][index]["verdict"]["decision"] == "forward")
        .count()
}

async fn send(sent: &Sent, to: std::net::SocketAddr) -> Response {
    let (host, path) = match sent.url.strip_prefix("http://") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => panic!("{} is no URL of plain text", sent.url),
    };
    let body = sent.body.as_deref().unwrap_or_default();
    let method = match &sent.method {
        Some(method) => method,
        None if sent.body.is_some() => "POST",
        None => "GET",
    };
    let fields: Vec<(&str, &str)> = sent
        .headers
        .iter()
        .map(|header| (header.name.as_str(), header.value.as_str()))
        .collect();
    let peer = sent.peer.as_deref().map(str::parse);
    let peer = peer.map_or(Ipv4Addr::LOCALHOST, |peer| peer.expect("an address"));
    assert!(IpAddr::V4(peer).is_loopback(), "{peer} is not of this machine");
    let mut client = Client::connect_from(peer.octets(), to).await;
    client.send(request(method, path, host, &fields, body)).await;
    client.response().await
}

/// The upstream got what the verdict says: line, fields, and what is set in the body.
fn assert_sent(verdict: &Value, seen: &Recorded, name: &str, env: &BTreeMap<String, String>) {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let line = format!("{} {} HTTP/1.1", text(&verdict["method"]), text(&verdict["path"]));
    assert_eq!(seen.request_line, line, "{name}");
    let mut wanted: BTreeMap<String, Option<String>> = BTreeMap::new();
    for field in verdict["removeHeaders"].as_array().into_iter().flatten() {
        wanted.insert(text(field), None);
    }
    for field in verdict["setHeaders"].as_array().into_iter().flatten() {
        wanted.insert(text(&field[0]), Some(text(&field[1])));
    }
    for change in verdict["changeHeaders"].as_array().into_iter().flatten() {
        let value = (change["change"] != "remove").then(|| text(&change["value"]));
        wanted.insert(text(&change["name"]), value);
    }
    for (field, value) in wanted.iter().filter(|(field, _)| !field.contains('*')) {
        let seen = values(&seen.fields, field);
        match value {
            Some(value) if value.contains('«') => {
                let is_key = |seen: &str| env.values().any(|key| seen == format!("Bearer {key}"));
                assert!(seen.len() == 1 && is_key(seen[0]), "{name}: {field} {seen:?}");
            }
            Some(value) => assert_eq!(seen, [value.as_str()], "{name}: {field}"),
            None => assert!(seen.is_empty(), "{name}: {field} {seen:?}"),
        }
    }
    for field in verdict["bodyFields"].as_array().into_iter().flatten() {
        if field["set"] == true {
            let value: Value = serde_json::from_str(&text(&field["value"])).expect("JSON");
            assert_eq!(seen.json()[text(&field["name"])], value, "{name}");
        }
    }
}

#[tokio::test]
async fn the_seed_does_what_its_scenarios_say() {
    let files = [
        "authorization-policy.yaml",
        "gateway.yaml",
        "llm-provider.yaml",
        "llm-route.yaml",
    ];
    assert_eq!(tried("seed", &files).await, 13);
}

#[tokio::test]
async fn rules_by_model_do_what_their_scenarios_say() {
    assert_eq!(tried("models", &["models.yaml"]).await, 4);
}

#[tokio::test]
async fn virtual_services_do_what_their_scenarios_say() {
    assert_eq!(tried("routing", &["routing.yaml"]).await, 13);
}

#[tokio::test]
async fn http_routes_do_what_their_scenarios_say() {
    assert_eq!(tried("gateway-api", &["gateway-api.yaml"]).await, 7);
}
