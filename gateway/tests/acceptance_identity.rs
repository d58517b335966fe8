//! What a client says of itself in header fields, and what its upstream gets of it.
#![allow(clippy::panic, clippy::expect_used, reason = "a helper of tests fails by panicking")]

#[cfg(test)]
mod support;

use serde_json::{Value, json};
use support::KEY;
use support::bed::{Bed, Transport, assert_none, plain_host};
use support::client::{Client, request};
use support::gateway::Setup;
use support::outputs::field;
use support::upstream::Recorded;
use support::wire::values;

const TEAMS: &str = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: teams, namespace: istio-system}
spec:
  action: DENY
  rules: [{when: [{key: 'request.headers[x-team]', values: [red]}, {key: 'request.headers[x_own]', values: [red]}]}]
";

/// A plain host beside the seed's provider, behind so many trusted proxies.
async fn bed(trusted_proxies: u32) -> Bed {
    let (upstream, setup) = support::bed::join(Transport::Plain, Setup::seed()).await;
    let mesh = format!(
        "apiVersion: lockgate.dev/v1
kind: MeshConfig
metadata: {{name: mesh, namespace: istio-system}}
spec: {{defaultConfig: {{gatewayTopology: {{numTrustedProxies: {trusted_proxies}}}}}}}
"
    );
    let hosts = plain_host(upstream.addr.port(), "ingress-gw", "plain.test");
    let setup = setup
        .file("hosts.yaml", &hosts)
        .file("mesh.yaml", &mesh)
        .file("teams.yaml", TEAMS);
    Bed::of(upstream, setup.start().await)
}

async fn sent(bed: &Bed, host: &str, fields: &[(&str, &str)]) -> Recorded {
    let mut client = Client::connect(bed.http()).await;
    client
        .send(request("POST", "/", host, fields, "{\"messages\":[]}"))
        .await;
    assert_eq!(client.response().await.status, 200);
    bed.upstream.request().await
}

/// What only a proxy can know.
const HEARSAY: [(&str, &str); 6] = [
    ("forwarded", "for=10.0.0.1"),
    ("x-real-ip", "10.0.0.1"),
    ("x-forwarded-host", "admin.test"),
    ("x-forwarded-port", "1"),
    ("x-forwarded-prefix", "/admin"),
    ("x-forwarded-proto", "https"),
];

/// What no client may say, whoever stands between.
const NEVER: [(&str, &str); 9] = [
    ("x-forwarded-client-cert", "By=spiffe://a"),
    ("x_forwarded_client_cert", "By=spiffe://a"),
    ("x-envoy-internal", "true"),
    ("x_envoy_internal", "true"),
    ("x_envoy-external_address", "10.0.0.1"),
    ("x_forwarded_for", "10.0.0.1"),
    ("x_forwarded-proto", "https"),
    ("x_request_id", "1"),
    ("x_team", "blue"),
];

const KEPT: [(&str, &str); 3] = [("x-team", "green"), ("x_own", "1"), ("my_field", "1")];

fn names(fields: &[(&'static str, &str)]) -> Vec<&'static str> {
    fields.iter().map(|(name, _)| *name).collect()
}

fn all() -> Vec<(&'static str, &'static str)> {
    [&HEARSAY[..], &NEVER, &KEPT, &[("x-forwarded-for", "203.0.113.7")]].concat()
}

#[tokio::test]
async fn without_trusted_proxies_a_client_says_nothing_of_itself() {
    let bed = bed(0).await;
    let seen = sent(&bed, "plain.test", &all()).await;
    let (told, hearsay) = (["x-forwarded-proto"], names(&HEARSAY));
    assert_none(&seen, &names(&NEVER));
    let hearsay: Vec<&str> = hearsay.into_iter().filter(|name| !told.contains(name)).collect();
    assert_none(&seen, &hearsay);
    // As Istio sends them: the peer after what was there, and what is spoken here.
    assert_eq!(seen.header("x-forwarded-for"), Some("203.0.113.7,127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    for (name, value) in KEPT {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn what_a_trusted_proxy_says_goes_on() {
    let bed = bed(1).await;
    let seen = sent(&bed, "plain.test", &all()).await;
    assert_none(&seen, &names(&NEVER));
    for (name, value) in HEARSAY.iter().chain(&KEPT) {
        assert_eq!(seen.header(name), Some(*value), "{name}");
    }
    assert_eq!(seen.header("x-forwarded-for"), Some("203.0.113.7,127.0.0.1"));
    let seen = sent(&bed, "plain.test", &[("x-forwarded-proto", "gopher")]).await;
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
}

#[tokio::test]
async fn a_provider_learns_nothing_of_the_client_or_of_proxies() {
    for trusted in [0, 1] {
        let bed = bed(trusted).await;
        let seen = sent(&bed, "test.com", &all()).await;
        assert_none(&seen, &names(&NEVER));
        assert_none(&seen, &names(&HEARSAY));
        assert_none(&seen, &["x-forwarded-for"]);
    }
}

#[tokio::test]
async fn the_log_names_the_client_that_was_judged() {
    let lines = [
        ("x-forwarded-for", "198.51.100.7"),
        ("x-forwarded-for", "203.0.113.9"),
        ("user-agent", "one"),
        ("user-agent", "two"),
    ];
    for (trusted, remote) in [
        (0, "127.0.0.1:"),
        (1, "203.0.113.9:0"),
        (2, "198.51.100.7:0"),
        (3, "127.0.0.1:"),
    ] {
        let bed = bed(trusted).await;
        sent(&bed, "plain.test", &lines).await;
        let line = bed.gateway.log_of(1).await.remove(0);
        let logged = field(&line, "downstream_remote_address");
        assert!(logged.starts_with(remote), "{trusted}: {logged}");
        assert_eq!(field(&line, "x_forwarded_for"), "198.51.100.7,203.0.113.9");
        assert_eq!(field(&line, "user_agent"), "one,two");
    }
}

#[tokio::test]
async fn a_field_of_one_value_goes_on_as_the_line_that_was_judged() {
    let bed = bed(1).await;
    let lines = [
        ("origin", "https://a.test"),
        ("x-own", "1"),
        ("origin", ""),
        ("Origin", "https://b.test"),
        ("user-agent", "one"),
        ("authorization", "Basic a"),
        ("x-own", "2"),
        ("authorization", "Basic b"),
        ("x-forwarded-host", "a.test"),
        ("x-forwarded-host", "b.test"),
        ("accept-encoding", "gzip"),
        ("accept-encoding", "br"),
    ];
    let to_host = [
        ("authorization", "Basic a,Basic b"),
        ("x-forwarded-host", "a.test,b.test"),
        ("accept-encoding", "gzip,br"),
    ];
    for (host, beside) in [("plain.test", &to_host[..]), ("test.com", &[])] {
        let seen = sent(&bed, host, &lines).await;
        let said = explained(&bed, host, &lines).await;
        for (name, value) in [("origin", "https://a.test,https://b.test")].iter().chain(beside) {
            assert_eq!(values(&seen.fields, name), [*value], "{host}");
            let shown = if *name == "authorization" {
                "«not shown»"
            } else {
                *value
            };
            assert!(said.contains(&json!([name, shown])), "{name} of {host}: {said:?}");
        }
        assert_eq!(values(&seen.fields, "user-agent"), ["one"], "{host}");
        assert_eq!(values(&seen.fields, "x-own"), ["1", "2"], "{host}");
    }
    let seen = sent(&bed, "test.com", &lines).await;
    assert_eq!(values(&seen.fields, "accept-encoding"), ["identity"]);
    assert_eq!(values(&seen.fields, "authorization"), [format!("Bearer {KEY}")]);
}

/// What `explain` says is set in the request to the upstream.
async fn explained(bed: &Bed, host: &str, fields: &[(&str, &str)]) -> Vec<Value> {
    let config = bed.gateway.config().display().to_string();
    let mut args = vec!["explain", "-f", &config, "-o", "json", "-X", "POST", "-d", "{}", "/"];
    let fields: Vec<String> = [("host", host)]
        .iter()
        .chain(fields)
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    args.extend(fields.iter().flat_map(|field| ["-H", field]));
    let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
    let said = support::gateway::run(&[("API_KEY".to_owned(), KEY.to_owned())], &args).await;
    assert_eq!(said.code, 0, "{}", said.all());
    let said = said.json();
    let set = said
        .pointer("/upstream/setHeaders")
        .or(said.pointer("/verdict/setHeaders"));
    set.and_then(Value::as_array)
        .cloned()
        .unwrap_or_else(|| panic!("no fields in {said}"))
}

#[tokio::test]
async fn explain_says_so() {
    let bed = bed(0).await;
    let config = bed.gateway.config().display().to_string();
    let args = ["explain", "-f", &config, "-H", "Host: plain.test", "/"].map(str::to_owned);
    let said = support::gateway::run(&[("API_KEY".to_owned(), "k".to_owned())], &args).await;
    assert_eq!(said.code, 0, "{}", said.all());
    for name in ["forwarded", "x-real-ip", "x-forwarded-*", "x-envoy-*"] {
        assert!(said.stdout.contains(name), "{name} is not in\n{}", said.stdout);
    }
}
