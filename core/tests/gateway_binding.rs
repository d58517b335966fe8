//! Which requests reach which routes through Gateways, sentence by sentence:
//!
//! | rule | where | test |
//! | --- | --- | --- |
//! | The server's port decides the listener. | `compile/listeners.rs` | `the_port_decides_the_listener` |
//! | Servers in plain text of one port are one, whosever Gateway they are of. | `compile/listeners.rs` | `plain_servers_of_one_port_are_one_listener` |
//! | HTTPS servers are told apart by server name. | `route.rs` | `listeners.rs`: `the_server_name_leads_to_the_server_with_the_narrowest_host` |
//! | Of two HTTPS servers of one port with one host that of the older Gateway stays, all of the other goes. | `compile/openings.rs` | `of_two_servers_for_one_name_the_older_stays_and_the_other_is_named` |
//! | A port is in plain text or in TLS, as the older Gateway has it. | `compile/openings.rs` | `of_plain_text_and_tls_the_older_stays_and_the_other_is_named` |
//! | A route binds where its hosts meet the server's; the narrower one is the virtual host. | `compile/listeners.rs` | `a_route_binds_where_hosts_meet` |
//! | `ns/host`, `./host` and `*/host` say whose routes may bind. | `compile/routes/bind.rs` | `a_server_says_whose_routes_may_bind` |
//! | A Gateway is one of this proxy's when its labels are among the proxy's. | `compile/openings.rs` | `a_gateway_is_for_the_proxies_that_it_selects` |
//! | `gateways` names Gateways of the route's own namespace, or in full; `mesh` is not here. | `compile/routes/bind.rs` | `a_route_binds_to_the_gateways_that_it_names` |
//! | `exportTo` must reach the proxy's namespace. | `compile/routes/virtual_service.rs` | `a_route_that_is_not_exported_here_is_not_here` |
//! | Port and case of a host do not count; a dot at its end does. | `route.rs` | `the_narrowest_host_takes_a_request` |
//! | A name comes before the longest `*.suffix`, that before `*`; a star stands for a character at least. | `route.rs` | `the_narrowest_host_takes_a_request` |
//! | `prefix.*` is no host, as Istio's validation has it. | `config/format` | `a_star_stands_at_the_beginning_only` |
//! | There is no falling back to a wider host, and without one 404. | `route.rs` | `there_is_no_falling_back` |
//! | Policy sees the host with its port and in its case, routes without. | `authz`, `route.rs` | `policy_sees_the_port_that_routes_do_not` |
//! | `httpsRedirect` comes after policy, for all that any server opens so. | `decide.rs` | `listeners.rs`: `a_server_for_tls_only_sends_away_whatever_it_opens` |
//! | Over TLS a host of another server is 421. | `route.rs` | `listeners.rs`: `a_host_of_another_server_is_misdirected` |
//! | Port names are unique in a Gateway, and what Istio's validation refuses is refused. | `config/decode/gateway` | `diagnostics/gateway-*.yaml` |

#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use lockgate_core::build;
use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use lockgate_core::explain::Verdict;
use lockgate_core::request::Scheme;
use support::{GET, Sent, compiled};

/// A Gateway; `more` is of its metadata.
fn gateway(name: &str, more: &str, servers: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap_or(("istio-system", name));
    format!(
        "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: {namespace}{more}}}
spec: {{selector: {{istio: ingressgateway}}, servers: {servers}}}
---
"
    )
}

const OLD: &str = ", creationTimestamp: '2026-01-01T00:00:00Z'";

fn http(port: u16, hosts: &str) -> String {
    format!("[{{port: {{number: {port}, name: http, protocol: HTTP}}, hosts: {hosts}}}]")
}

fn https(hosts: &str) -> String {
    format!(
        "[{{port: {{number: 443, name: https, protocol: HTTPS}}, hosts: {hosts}, \
         tls: {{mode: SIMPLE, serverCertificate: a.crt, privateKey: a.key}}}}]"
    )
}

/// A VirtualService that answers with its name.
fn answering(name: &str, gateways: &str, hosts: &str) -> String {
    answering_with(name, gateways, hosts, "")
}

fn answering_with(name: &str, gateways: &str, hosts: &str, more: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap_or(("istio-system", name));
    format!(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{hosts: {hosts}, gateways: {gateways}{more}, http: [{{directResponse: {{status: 200, body: {{string: {name}}}}}}}]}}
---
"
    )
}

fn built(text: &str) -> Compiled {
    compiled(text, &Settings::default())
}

/// Code, line and message of each finding.
fn findings(text: &str, settings: &Settings) -> Vec<(String, usize, String)> {
    let source = Source::new("edge.yaml".to_owned(), text.to_owned());
    let options = LoadOptions {
        env: &|_| None,
        ignore_kinds: &[],
    };
    let built = build(&[source], &options, settings);
    let found = built.diagnostics.as_slice().iter();
    found
        .map(|finding| {
            let start = usize::try_from(finding.at.start).unwrap();
            let line = text.get(..start).unwrap().matches('\n').count() + 1;
            (finding.code.to_string(), line, finding.message.clone())
        })
        .collect()
}

/// What answers: the route, or the status.
fn came(compiled: &Compiled, sent: &Sent<'_>) -> String {
    match sent.explained_by(compiled).verdict {
        Verdict::Respond(answer) => answer.body,
        Verdict::Refuse(refused) => refused.status.to_string(),
        other => panic!("{other:?}"),
    }
}

fn to(host: &str) -> Sent<'_> {
    Sent { host, ..GET }
}

#[track_caller]
fn answers(compiled: &Compiled, expected: &[(&str, &str)]) {
    for (host, answer) in expected {
        assert_eq!(came(compiled, &to(host)), *answer, "{host}");
    }
}

#[test]
fn the_port_decides_the_listener() {
    let compiled = built(
        &(gateway("a", "", &http(80, "['*']"))
            + &gateway("b", "", &http(8080, "['*']"))
            + &answering("on-80", "[a]", "['*']")
            + &answering("on-8080", "[b]", "['*']")),
    );
    for (port, answer) in [(80, "on-80"), (8080, "on-8080"), (81, "404")] {
        // The port that the host names is not asked.
        let sent = Sent {
            port,
            ..to("test.com:8080")
        };
        assert_eq!(came(&compiled, &sent), answer, "{port}");
    }
}

#[test]
fn plain_servers_of_one_port_are_one_listener() {
    let compiled = built(
        &(gateway("a", "", &http(80, "[a.test, '*.both.test']"))
            + &gateway("team/b", "", &http(80, "[b.test, '*.both.test']"))
            + &answering("first", "[a]", "['*']")
            + &answering("second", "[team/b]", "['*']")
            + &answering("narrow", "[team/b]", "[x.both.test]")),
    );
    answers(
        &compiled,
        &[
            ("a.test", "first"),
            ("b.test", "second"),
            // Routes of both Gateways stand on one virtual host, in their own order.
            ("y.both.test", "first"),
            ("x.both.test", "narrow"),
            ("c.test", "404"),
        ],
    );
    // A match may still be for one of the Gateways only.
    let narrowed = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: vs, namespace: istio-system}
spec:
  hosts: ['*']
  gateways: [a, team/b]
  http:
  - {match: [{gateways: [team/b]}], directResponse: {status: 200, body: {string: of-b}}}
  - {match: [{gateways: [mesh]}], directResponse: {status: 200, body: {string: of-mesh}}}
  - {directResponse: {status: 200, body: {string: of-any}}}
";
    let compiled = built(
        &(gateway("a", "", &http(80, "[a.test, c.test]"))
            + &gateway("team/b", "", &http(80, "[b.test, c.test]"))
            + narrowed),
    );
    answers(
        &compiled,
        &[("a.test", "of-any"), ("b.test", "of-b"), ("c.test", "of-b")],
    );
}

#[test]
fn of_two_servers_for_one_name_the_older_stays_and_the_other_is_named() {
    let text = gateway("young", "", &https("[new.test, both.test]"))
        + &gateway("old", OLD, &https("[Both.test]"))
        + &answering("of-young", "[young]", "['*']")
        + &answering("of-old", "[old]", "['*']");
    let compiled = built(&text);
    for (host, answer) in [("both.test", "of-old"), ("new.test", "421")] {
        let sent = Sent {
            sni: Some(host),
            port: 443,
            scheme: Scheme::Https,
            ..to(host)
        };
        assert_eq!(came(&compiled, &sent), answer, "{host}");
    }
    let found = findings(&text, &Settings::default());
    let (_, line, message) = found.iter().find(|(code, ..)| code == "duplicate-server-name").unwrap();
    assert_eq!(*line, 4);
    assert!(
        message.contains("`both.test`") && message.contains("edge.yaml:9"),
        "{message}"
    );
}

#[test]
fn of_plain_text_and_tls_the_older_stays_and_the_other_is_named() {
    for (first, second, line, older) in [
        (
            gateway("a", "", &http(443, "['*']")),
            gateway("b", OLD, &https("['*']")),
            4,
            9,
        ),
        (
            gateway("a", OLD, &http(443, "['*']")),
            gateway("b", "", &https("['*']")),
            9,
            4,
        ),
        (
            gateway("a", "", &https("['*']")),
            gateway("b", "", &http(443, "['*']")),
            9,
            4,
        ),
    ] {
        let text = first + &second;
        let found = findings(&text, &Settings::default());
        let (_, at, message) = found.iter().find(|(code, ..)| code == "port-conflict").unwrap();
        assert_eq!(*at, line, "{text}");
        assert!(message.contains(&format!("edge.yaml:{older}")), "{message}");
        let is_tls = text.lines().nth(older - 1).unwrap().contains("HTTPS");
        assert_eq!(built(&text).snapshot.is_tls(443), is_tls, "{text}");
    }
}

#[test]
fn a_route_binds_where_hosts_meet() {
    let compiled = built(
        &(gateway("edge", "", &http(80, "['*.a.com', b.com, '*.c.com']"))
            + &answering("narrow", "[edge]", "[x.a.com]")
            + &answering("wide", "[edge]", "['*.com']")
            + &answering("elsewhere", "[edge]", "[d.org, c.com]")),
    );
    answers(
        &compiled,
        &[
            ("x.a.com", "narrow"),
            ("y.a.com", "wide"),
            ("b.com", "wide"),
            ("x.c.com", "wide"),
            // Not of the server's hosts, though of the route's.
            ("e.com", "404"),
            ("c.com", "404"),
            ("d.org", "404"),
        ],
    );
}

#[test]
fn a_server_says_whose_routes_may_bind() {
    let hosts = "[./own.test, team/team.test, '*/any.test', open.test, 'team/*.wild.test']";
    let text = gateway("edge", "", &http(80, hosts))
        + &answering("here", "[edge]", "['*']")
        + &answering("team/there", "[istio-system/edge]", "['*']");
    answers(
        &built(&text),
        &[
            ("own.test", "here"),
            ("team.test", "there"),
            ("any.test", "here"),
            ("open.test", "here"),
            ("x.wild.test", "there"),
        ],
    );
    // `.` is the Gateway's namespace, wherever its proxy is.
    let text = gateway("team/edge", "", &http(80, "[./own.test]"))
        + &answering("here", "[team/edge]", "['*']")
        + &answering("team/there", "[edge]", "['*']");
    answers(&built(&text), &[("own.test", "there")]);
    let found = findings(&text, &Settings::default());
    assert!(
        found
            .iter()
            .any(|(code, line, _)| code == "route-not-bound" && *line == 9),
        "{found:?}"
    );
}

#[test]
fn a_gateway_is_for_the_proxies_that_it_selects() {
    let of = |selector: &str| {
        format!(
            "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge, namespace: istio-system}}
spec: {{{selector}servers: {}}}
---
{}",
            http(80, "['*']"),
            answering("vs", "[edge]", "['*']")
        )
    };
    let labels = [("istio", "ingressgateway"), ("tier", "a")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let settings = Settings {
        labels: labels.into(),
        ..Settings::default()
    };
    for (selector, is_here) in [
        ("selector: {istio: ingressgateway}, ", true),
        ("selector: {istio: ingressgateway, tier: a}, ", true),
        ("selector: {tier: a}, ", true),
        ("selector: {}, ", true),
        ("", true),
        ("selector: {istio: egressgateway}, ", false),
        ("selector: {istio: ingressgateway, tier: b}, ", false),
        ("selector: {istio: ingressgateway, zone: x}, ", false),
    ] {
        let text = of(selector);
        assert_eq!(
            came(&compiled(&text, &settings), &GET),
            if is_here { "vs" } else { "404" },
            "{selector}"
        );
        let found = findings(&text, &settings);
        assert_eq!(
            found.iter().any(|(code, ..)| code == "no-listener"),
            !is_here,
            "{selector}: {found:?}"
        );
    }
}

#[test]
fn a_route_binds_to_the_gateways_that_it_names() {
    let gateways = gateway("edge", "", &http(80, "['*']")) + &gateway("team/edge", "", &http(8080, "['*']"));
    for (route, gateways_of, on_80, on_8080) in [
        ("vs", "[edge]", "vs", "404"),
        ("team/vs", "[edge]", "404", "vs"),
        ("team/vs", "[istio-system/edge]", "vs", "404"),
        ("vs", "[edge, team/edge]", "vs", "vs"),
        ("vs", "[mesh, team/edge]", "404", "vs"),
    ] {
        let compiled = built(&(gateways.clone() + &answering(route, gateways_of, "['*']")));
        for (port, answer) in [(80, on_80), (8080, on_8080)] {
            assert_eq!(came(&compiled, &Sent { port, ..GET }), answer, "{route} {gateways_of}");
        }
    }
    let text = gateways + &answering("other/vs", "[edge]", "[a.test]");
    let found = findings(&text, &Settings::default());
    assert!(
        found
            .iter()
            .any(|(code, _, message)| code == "unknown-gateway" && message.contains("other/edge")),
        "{found:?}"
    );
}

#[test]
fn a_route_that_is_not_exported_here_is_not_here() {
    for (export_to, is_here) in [
        ("['*']", true),
        ("[istio-system]", true),
        ("[., istio-system]", true),
        ("[.]", false),
        ("[other]", false),
        ("['~']", false),
    ] {
        let text = gateway("edge", "", &http(80, "['*']"))
            + &answering_with(
                "team/vs",
                "[istio-system/edge]",
                "['*']",
                &format!(", exportTo: {export_to}"),
            );
        let answer = came(&built(&text), &GET);
        assert_eq!(answer, if is_here { "vs" } else { "404" }, "{export_to}");
    }
}

#[test]
fn the_narrowest_host_takes_a_request() {
    let text = gateway("edge", "", &http(80, "['*']"))
        + &answering("any", "[edge]", "['*']")
        + &answering("test", "[edge]", "['*.test.com']")
        + &answering("b", "[edge]", "['*.b.test.com']")
        + &answering("exact", "[edge]", "[a.b.test.com]");
    answers(
        &built(&text),
        &[
            ("a.b.test.com", "exact"),
            ("A.B.Test.COM:8443", "exact"),
            ("x.b.test.com", "b"),
            ("b.test.com", "test"),
            ("x.y.test.com:1", "test"),
            ("test.com", "any"),
            (".test.com", "any"),
            ("a.b.test.com.", "any"),
            ("other", "any"),
        ],
    );
}

#[test]
fn a_star_stands_at_the_beginning_only() {
    for host in ["a.*", "*a.test", "a.*.test"] {
        for text in [
            gateway("edge", "", &http(80, &format!("['{host}']"))),
            gateway("edge", "", &http(80, "['*']")) + &answering("vs", "[edge]", &format!("['{host}']")),
        ] {
            let found = findings(&text, &Settings::default());
            assert!(
                found.iter().any(|(code, ..)| code == "invalid-host"),
                "{host}: {found:?}"
            );
        }
    }
}

#[test]
fn there_is_no_falling_back() {
    let narrow = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: narrow, namespace: istio-system}
spec:
  hosts: [a.test]
  gateways: [edge]
  http: [{match: [{uri: {exact: /a}}], directResponse: {status: 200, body: {string: narrow}}}]
";
    let text = gateway("edge", "", &http(80, "['*.test']")) + &answering("wide", "[edge]", "['*.test']") + narrow;
    let compiled = built(&text);
    let at = |host, target| Sent { host, target, ..GET };
    for (sent, answer) in [
        (at("a.test", "/a"), "narrow"),
        (at("a.test", "/b"), "404"),
        (at("b.test", "/b"), "wide"),
        (at("test", "/a"), "404"),
    ] {
        assert_eq!(came(&compiled, &sent), answer, "{sent:?}");
    }
}

#[test]
fn policy_sees_the_port_that_routes_do_not() {
    let deny = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: istio-system}
spec: {action: DENY, rules: [{to: [{operation: {hosts: [test.com]}}]}]}
---
";
    let text = gateway("edge", "", &http(80, "[test.com]")) + &answering("vs", "[edge]", "[test.com]") + deny;
    answers(
        &built(&text),
        &[
            ("test.com", "403"),
            ("Test.Com", "403"),
            ("test.com:80", "vs"),
            ("other", "404"),
        ],
    );
}
