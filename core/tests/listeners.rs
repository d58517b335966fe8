//! Which server a connection reaches, and what may be asked over it: each row is one sentence of `docs/tls.md`.

#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::explain::{Verdict, presumed_server_name};
use lockgate_core::request::Scheme;
use support::{GET, Sent, compiled};

/// A Gateway of `istio-system` with these servers.
fn gateway(name: &str, created: &str, servers: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: istio-system{created}}}
spec: {{selector: {{istio: ingressgateway}}, servers: {servers}}}
---
"
    )
}

/// An HTTPS server of port 443, and its certificate by files.
fn https(name: &str, hosts: &str) -> String {
    format!(
        "{{port: {{number: 443, name: {name}, protocol: HTTPS}}, hosts: {hosts}, \
         tls: {{mode: SIMPLE, serverCertificate: {name}.crt, privateKey: {name}.key}}}}"
    )
}

/// A VirtualService that answers with its name.
fn answering(name: &str, gateways: &str, hosts: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: istio-system}}
spec: {{hosts: {hosts}, gateways: {gateways}, http: [{{directResponse: {{status: 200, body: {{string: {name}}}}}}}]}}
---
"
    )
}

fn built(text: &str) -> Compiled {
    compiled(text, &Settings::default())
}

/// What comes of a request, in a word or two.
fn came(compiled: &Compiled, sent: &Sent<'_>) -> String {
    match sent.explained_by(compiled).verdict {
        Verdict::Redirect(redirect) => format!("{} {}", redirect.status, redirect.location),
        Verdict::Respond(answer) => answer.body,
        Verdict::Refuse(refused) => refused.status.to_string(),
        other => panic!("{other:?}"),
    }
}

fn over_tls<'s>(sni: Option<&'s str>, host: &'s str) -> Sent<'s> {
    Sent {
        sni,
        host,
        port: 443,
        scheme: Scheme::Https,
        ..GET
    }
}

#[test]
fn the_server_name_leads_to_the_server_with_the_narrowest_host() {
    let servers = [
        https("exact", "[a.b.test]"),
        https("suffix", "['*.b.test']"),
        https("wide", "['team/*.test', c.test]"),
    ];
    let compiled = built(&gateway("edge", "", &format!("[{}]", servers.join(", "))));
    let label = |name: Option<&str>| {
        let id = compiled.snapshot.tables().tls_server(443, name)?;
        let server = compiled.snapshot.tls_servers().get(id.0 as usize)?;
        Some(server.label.to_string())
    };
    for (name, server) in [
        (Some("a.b.test"), Some(0)),
        (Some("x.b.test"), Some(1)),
        (Some("y.x.b.test"), Some(1)),
        (Some("b.test"), Some(2)),
        (Some("c.test"), Some(2)),
        (Some("c.test."), None),
        (Some(".b.test"), Some(2)),
        (Some("test"), None),
        (Some("other"), None),
        (None, None),
    ] {
        let expected = server.map(|index| format!("istio-system/edge servers[{index}]"));
        assert_eq!(label(name), expected, "{name:?}");
    }
    assert_eq!(compiled.snapshot.tables().tls_server(80, Some("a.b.test")), None);
    let any = built(&gateway("edge", "", &format!("[{}]", https("any", "['*']"))));
    for name in [None, Some("x"), Some("a.b.test")] {
        assert!(any.snapshot.tables().tls_server(443, name).is_some(), "{name:?}");
    }
}

#[test]
fn a_host_of_another_server_is_misdirected() {
    let servers = [
        https("a", "[a.test, aa.test]"),
        https("b", "[b.test, '*.b.test']"),
        https("any", "['*']"),
    ];
    let text = gateway("edge", "", &format!("[{}]", servers.join(", ")));
    let compiled = built(&(text + &answering("all", "[edge]", "['*']")));
    for (sni, host, came_of) in [
        (Some("a.test"), "a.test", "all"),
        (Some("a.test"), "A.test:443", "all"),
        (Some("a.test"), "aa.test", "all"),
        (Some("b.test"), "x.b.test", "all"),
        (Some("other"), "else", "all"),
        (None, "203.0.113.1", "all"),
        (None, "else", "all"),
        (Some("a.test"), "b.test", "421"),
        (Some("a.test"), "else", "421"),
        (Some("other"), "a.test", "421"),
        (None, "a.test", "421"),
        (Some("a.test"), "a.test.", "421"),
        (Some("a.test"), "xa.test", "421"),
    ] {
        assert_eq!(came(&compiled, &over_tls(sni, host)), came_of, "{sni:?} {host}");
    }
    // A connection from before the port spoke TLS, whatever the servers want of clients now.
    for host in ["a.test", "else"] {
        let in_plain_text = Sent {
            scheme: Scheme::Http,
            ..over_tls(None, host)
        };
        assert_eq!(came(&compiled, &in_plain_text), "421", "{host}");
    }
}

/// Else a route behind a server that asks for certificates could be had through one that does not.
#[test]
fn a_route_is_reached_only_through_the_servers_of_its_gateways() {
    let wide = gateway("wide", "", &format!("[{}]", https("wide", "['*.a.test']")));
    let narrow = gateway("narrow", "", &format!("[{}]", https("narrow", "[x.a.test]")));
    let compiled = built(&(wide + &narrow + &answering("behind", "[wide]", "[x.a.test, y.a.test]")));
    assert_eq!(came(&compiled, &over_tls(Some("y.a.test"), "y.a.test")), "behind");
    assert_eq!(came(&compiled, &over_tls(Some("x.a.test"), "x.a.test")), "404");
    assert_eq!(came(&compiled, &over_tls(Some("y.a.test"), "x.a.test")), "421");
    assert_eq!(came(&compiled, &over_tls(Some("x.a.test"), "y.a.test")), "421");
}

#[test]
fn what_cannot_be_there_together_is_decided_by_age() {
    let old = ", creationTimestamp: '2026-01-01T00:00:00Z'";
    let plain = "[{port: {number: 443, name: plain, protocol: HTTP}, hosts: ['*']}]";
    let tls = format!("[{}]", https("tls", "[test.com]"));
    for (first, second, is_tls) in [
        (gateway("a", "", plain), gateway("b", old, &tls), true),
        (gateway("a", old, plain), gateway("b", "", &tls), false),
        (gateway("a", "", plain), gateway("b", "", &tls), false),
        (gateway("b", old, plain), gateway("a", old, &tls), true),
    ] {
        assert_eq!(built(&(first + &second)).snapshot.is_tls(443), is_tls);
    }
    let names = format!("[{}]", https("names", "[test.com, b.test]"));
    let compiled = built(&(gateway("young", "", &names) + &gateway("old", old, &tls)));
    let labels: Vec<_> = compiled
        .snapshot
        .tls_servers()
        .iter()
        .map(|server| &*server.label)
        .collect();
    assert_eq!(labels, ["istio-system/old servers[0]"]);
}

#[test]
fn a_server_for_tls_only_sends_away_whatever_it_opens() {
    let servers = "[{port: {number: 80, name: http, protocol: HTTP}, hosts: [test.com, '*.test.com'], tls: {httpsRedirect: true}}]";
    let plain = "[{port: {number: 80, name: http, protocol: HTTP}, hosts: [open.test.com]}]";
    let deny = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: istio-system}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/secret]}}]}]}
---
";
    let text =
        gateway("edge", "", servers) + &gateway("open", "", plain) + &answering("open", "[open]", "[open.test.com]");
    let compiled = built(&(text + &answering("vs", "[edge]", "[x.test.com]") + deny));
    let of = |host, target| Sent { host, target, ..GET };
    for (sent, came_of) in [
        (of("test.com", "/"), "301 https://test.com/"),
        (of("Test.com:8080", "/a?b=c"), "301 https://Test.com/a?b=c"),
        (of("x.test.com", "/a/../b"), "301 https://x.test.com/b"),
        (of("open.test.com", "/"), "open"),
        (of("other.test", "/"), "404"),
        // Policy comes first: who may not pass is told so, not where to go.
        (of("test.com", "/secret"), "403"),
    ] {
        assert_eq!(came(&compiled, &sent), came_of, "{sent:?}");
    }
}

#[test]
fn what_a_trusted_proxy_was_spoken_to_by_counts() {
    let servers = "[{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*'], tls: {httpsRedirect: true}}]";
    let text = gateway("edge", "", servers) + &answering("vs", "[edge]", "['*']");
    let mesh = "apiVersion: lockgate.dev/v1
kind: MeshConfig
metadata: {name: mesh}
spec: {defaultConfig: {gatewayTopology: {numTrustedProxies: 1}}}
---
";
    let told = |proto| Sent {
        headers: match proto {
            "https" => &[("x-forwarded-proto", "https")],
            _ => &[("x-forwarded-proto", "http")],
        },
        ..GET
    };
    let away = "301 https://test.com/";
    let trusting = built(&(text.clone() + mesh));
    assert_eq!(came(&trusting, &told("https")), "vs");
    assert_eq!(came(&trusting, &told("http")), away);
    assert_eq!(came(&trusting, &GET), away);
    assert_eq!(came(&built(&text), &told("https")), away);
}

#[test]
fn an_explanation_names_the_server_that_is_not_there() {
    let compiled = built(&gateway("edge", "", &format!("[{}]", https("a", "[a.test]"))));
    let explained = over_tls(Some("b.test"), "b.test").explained_by(&compiled).to_string();
    assert!(
        explained.contains("no HTTPS server of port 443 takes the server name `b.test`"),
        "{explained}"
    );
    let presumed = |port, host| presumed_server_name(&compiled.snapshot, port, host);
    assert_eq!(presumed(443, "A.test:8443").as_deref(), Some("a.test"));
    assert_eq!(presumed(443, "203.0.113.1"), None);
    assert_eq!(presumed(443, "[::1]:443"), None);
    assert_eq!(presumed(80, "a.test"), None);
}

#[test]
fn a_certificate_in_a_secret_changes_no_snapshot() {
    let of = |certificate: &str| {
        let servers = "[{port: {number: 443, name: a, protocol: HTTPS}, hosts: ['*'], tls: {mode: MUTUAL, credentialName: cert}}]";
        let secret = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: cert, namespace: istio-system}}\n\
             stringData: {{tls.crt: {certificate}, tls.key: key, ca.crt: ca}}\n---\n"
        );
        built(&(gateway("edge", "", servers) + &secret))
            .snapshot
            .id()
            .to_owned()
    };
    assert_eq!(of("one"), of("another"));
}
