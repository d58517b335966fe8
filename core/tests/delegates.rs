//! `delegate` and `subset` of VirtualServices: rules and endpoints that stand elsewhere.

#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use lockgate_core::build;
use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use lockgate_core::explain::{UpstreamRequest, Verdict};
use support::{GET, Sent, compiled};

const EDGE: &str = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}
  - {port: {number: 8080, name: other, protocol: HTTP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: istio-system}
spec:
  hosts: [a.test]
  resolution: STATIC
  ports: [{number: 8000, name: http}]
  endpoints:
  - {address: 10.0.0.1, labels: {version: v1, zone: a}}
  - {address: 10.0.0.2, labels: {version: v2, zone: a}}
  - {address: 10.0.0.3, labels: {version: v2, zone: b}, weight: 3}
  - {address: 10.0.0.4, labels: {version: v3}, weight: 0}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: named, namespace: istio-system}
spec: {hosts: [named.test], resolution: DNS, ports: [{number: 443, name: https}]}
---
";

/// A VirtualService of `istio-system` for every host.
fn root(http: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: outer, namespace: istio-system}}
spec: {{hosts: ['*'], gateways: [edge], http: {http}}}
---
"
    )
}

/// One without hosts.
fn delegate(name: &str, http: &str) -> String {
    delegate_with(name, "", http)
}

fn delegate_with(name: &str, more: &str, http: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    format!(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{{more}http: {http}}}
---
"
    )
}

fn built(text: &str) -> Compiled {
    compiled(&format!("{EDGE}{text}"), &Settings::default())
}

/// Code and message of each finding, and whether there is a snapshot.
fn findings(text: &str) -> (Vec<(String, String)>, bool) {
    let source = Source::new("edge.yaml".to_owned(), format!("{EDGE}{text}"));
    let options = LoadOptions {
        env: &|_| None,
        ignore_kinds: &[],
    };
    let built = build(&[source], &options, &Settings::default());
    let found = built.diagnostics.as_slice().iter();
    let found = found.map(|finding| (finding.code.to_string(), finding.message.clone()));
    (found.collect(), built.compiled.is_some())
}

#[track_caller]
fn finds(text: &str, code: &str, part: &str, loads: bool) {
    let (found, is_loaded) = findings(text);
    assert!(
        found
            .iter()
            .any(|(found, message)| found == code && message.contains(part)),
        "{text}: {found:?}"
    );
    assert_eq!(is_loaded, loads, "{text}: {found:?}");
}

fn came(compiled: &Compiled, sent: &Sent<'_>) -> String {
    match sent.explained_by(compiled).verdict {
        Verdict::Respond(answer) => answer.body,
        Verdict::Forward(upstream) => upstream.path,
        Verdict::Refuse(refused) => refused.status.to_string(),
        other => panic!("{other:?}"),
    }
}

fn upstream(compiled: &Compiled, sent: &Sent<'_>) -> UpstreamRequest {
    match sent.explained_by(compiled).verdict {
        Verdict::Forward(upstream) => *upstream,
        other => panic!("{other:?}"),
    }
}

fn at(target: &str) -> Sent<'_> {
    Sent { target, ..GET }
}

fn says(what: &str) -> String {
    format!("directResponse: {{status: 200, body: {{string: {what}}}}}")
}

#[test]
fn the_rules_of_the_other_stand_where_they_are_delegated_to() {
    let http = format!(
        "[{{match: [{{uri: {{prefix: /team}}}}], delegate: {{name: team, namespace: team}}}}, {{{}}}]",
        says("rest")
    );
    let other = format!(
        "[{{match: [{{uri: {{exact: /team/a}}}}], {}}}, {{match: [{{method: {{exact: POST}}}}], {}}}, {{name: last, {}}}]",
        says("exact"),
        says("post"),
        says("all")
    );
    let compiled = built(&(root(&http) + &delegate("team/team", &other)));
    for (method, target, answer) in [
        ("GET", "/team/a", "exact"),
        ("POST", "/team/b", "post"),
        ("GET", "/team/b", "all"),
        ("GET", "/teams", "all"),
        // Without a match that of the delegating rule holds, with one both.
        ("POST", "/other", "rest"),
        ("GET", "/", "rest"),
    ] {
        let sent = Sent { method, ..at(target) };
        assert_eq!(came(&compiled, &sent), answer, "{method} {target}");
    }
    let explained = at("/team/b").explained_by(&compiled).to_string();
    assert!(explained.contains("istio-system/outer/last  ("), "{explained}");
    assert!(
        explained.contains("istio-system/outer/http[0].delegate.http[1]"),
        "{explained}"
    );
}

#[test]
fn a_match_must_be_within_one_that_delegates() {
    let roots = "{uri: {prefix: /a}}, {uri: {exact: /x}, headers: {x-team: {prefix: red}}, port: 80}";
    for (leaf, is_within) in [
        ("{uri: {prefix: /a}}", true),
        ("{uri: {prefix: /ab}}", true),
        ("{uri: {exact: /a/b}}", true),
        ("{method: {exact: GET}}", true),
        ("{uri: {exact: /x}}", true),
        ("{uri: {exact: /x}, headers: {x-team: {exact: red1}}, port: 80}", true),
        ("{uri: {prefix: /}}", false),
        ("{uri: {exact: /b}}", false),
        ("{uri: {prefix: /x}}", false),
        ("{uri: {exact: /x}, headers: {x-team: {exact: blue}}}", false),
        ("{uri: {exact: /x}, port: 8080}", false),
        ("{uri: {exact: /x}, ignoreUriCase: true}", false),
        // Expressions cannot be compared.
        ("{uri: {regex: '/a.*'}}", false),
        // All of its matches must be.
        ("{uri: {prefix: /ab}}, {uri: {exact: /b}}", false),
    ] {
        let http = format!("[{{match: [{roots}], delegate: {{name: other}}}}]");
        let text = root(&http) + &delegate("istio-system/other", &format!("[{{match: [{leaf}], {}}}]", says("it")));
        let (found, is_loaded) = findings(&text);
        let conflicts = found.iter().any(|(code, _)| code == "delegate-conflict");
        assert_eq!((conflicts, is_loaded), (!is_within, true), "{leaf}: {found:?}");
    }
    let http = "[{match: [{uri: {prefix: /a}, headers: {x-team: {exact: red}}}], delegate: {name: other}}]";
    let other = format!("[{{match: [{{queryParams: {{q: {{exact: '1'}}}}}}], {}}}]", says("it"));
    let compiled = built(&(root(http) + &delegate("istio-system/other", &other)));
    let red = Sent {
        headers: &[("x-team", "red")],
        ..at("/a?q=1")
    };
    assert_eq!(came(&compiled, &red), "it");
    for sent in [
        Sent { headers: &[], ..red },
        Sent { target: "/a", ..red },
        Sent {
            target: "/b?q=1",
            ..red
        },
    ] {
        assert_eq!(came(&compiled, &sent), "404", "{sent:?}");
    }
}

#[test]
fn what_the_other_leaves_open_the_delegating_rule_says() {
    let http = "[{name: api, match: [{uri: {prefix: /api/}}], delegate: {name: other}, rewrite: {uri: /}, timeout: 5s,
        retries: {attempts: 7}, headers: {request: {set: {x-by: root}}}}]";
    let other = "[
        {name: own, match: [{uri: {prefix: /api/own}}], route: [{destination: {host: a.test}}], rewrite: {uri: /mine},
         timeout: 1s, retries: {attempts: 1}, headers: {request: {set: {x-by: leaf}}}},
        {route: [{destination: {host: a.test}}]}]";
    let compiled = built(&(root(http) + &delegate("istio-system/other", other)));
    for (target, rule, path, timeout, attempts, by) in [
        ("/api/own/x", "istio-system/outer/api-own", "/mine/x", 1000, 1, "leaf"),
        ("/api/x", "istio-system/outer/api", "/x", 5000, 7, "root"),
    ] {
        let sent = upstream(&compiled, &at(target));
        assert_eq!((sent.rule.as_str(), sent.path.as_str()), (rule, path));
        assert_eq!(
            (sent.timeout_ms, sent.retries.as_ref().unwrap().attempts),
            (Some(timeout), attempts)
        );
        assert!(format!("{:?}", sent.change_headers).contains(by), "{sent:?}");
    }
}

#[test]
fn what_the_root_keeps_out_no_leaf_lets_in() {
    let outer = root(&format!(
        "[{{match: [{{withoutHeaders: {{x-int: {{prefix: f}}}}}}], delegate: {{name: leaf, namespace: team}}}}, {{{}}}]",
        says("rest")
    ));
    let http = format!(
        "[{{match: [{{withoutHeaders: {{x-int: {{exact: foo}}}}}}], {}}}]",
        says("leaf")
    );
    for (http, value, answer) in [
        (&*http, "fab", "rest"),
        (&http, "foo", "rest"),
        (&http, "bar", "leaf"),
        // Negated, what is wider is narrower.
        (&http.replace("exact: foo", "prefix: ''"), "bar", "rest"),
        (&http.replace("exact: foo", "regex: 'b.*'"), "bar", "rest"),
        (&http.replace("exact: foo", "regex: 'b.*'"), "fab", "rest"),
        (&http.replace("exact: foo", "regex: 'b.*'"), "car", "leaf"),
    ] {
        let http = http.replace("prefix: ''", "regex: '.*'");
        let compiled = built(&(outer.clone() + &delegate("team/leaf", &http)));
        let sent = Sent {
            headers: &[("x-int", value)],
            ..at("/")
        };
        assert_eq!(came(&compiled, &sent), answer, "{http} {value}");
    }
}

#[test]
fn who_delegates_and_to_whom_is_checked() {
    let other = format!("[{{{}}}]", says("it"));
    let to = |name: &str| root(&format!("[{{delegate: {{{name}}}}}]"));
    let of = |name: &str, more: &str| delegate_with(name, more, &other);
    for (text, code, part) in [
        (
            to("name: othr") + &of("istio-system/other", ""),
            "unknown-delegate",
            "istio-system/othr",
        ),
        (
            to("name: other") + &of("team/other", ""),
            "unknown-delegate",
            "istio-system/other",
        ),
        (
            to("name: other, namespace: team") + &of("team/other", "exportTo: [.], "),
            "unknown-delegate",
            "not exported to namespace `istio-system`",
        ),
        (to("name: outer"), "unknown-delegate", "without `hosts`"),
        (
            to("name: other") + &of("istio-system/other", "gateways: [edge], "),
            "conflicting-fields",
            "`gateways` and no `hosts`",
        ),
        (
            to("name: other") + &delegate("istio-system/other", "[{delegate: {name: more}}]"),
            "conflicting-fields",
            "delegates itself",
        ),
        (
            root(&format!("[{{delegate: {{name: other}}, {}}}]", says("no"))) + &of("istio-system/other", ""),
            "conflicting-fields",
            "`directResponse` and `delegate` at once",
        ),
        (root("[{delegate: {}}]"), "missing-field", "`name`"),
    ] {
        finds(&text, code, part, false);
    }
    for exported in ["exportTo: ['*'], ", "exportTo: [istio-system], ", ""] {
        let compiled = built(&(to("name: other, namespace: team") + &of("team/other", exported)));
        assert_eq!(came(&compiled, &GET), "it", "{exported}");
    }
    finds(&of("team/other", ""), "unused-delegate", "team/other", true);
    // What another gateway's route delegates to need not be here.
    let elsewhere = to("name: absent").replace("gateways: [edge]", "gateways: [mesh]");
    let (found, is_loaded) = findings(&elsewhere);
    assert!(is_loaded, "{found:?}");
}

/// A DestinationRule of `a.test` with these fields.
fn rule(fields: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: a, namespace: istio-system}}
spec: {{host: a.test, {fields}}}
---
"
    )
}

const VERSIONS: &str = "subsets: [
  {name: v1, labels: {version: v1}},
  {name: v2, labels: {version: v2}},
  {name: v2-b, labels: {version: v2, zone: b}},
  {name: v3, labels: {version: v3}},
  {name: all}]";

fn to_subset(subset: &str) -> String {
    root(&format!(
        "[{{route: [{{destination: {{host: a.test, subset: {subset}}}}}]}}]"
    ))
}

#[test]
fn a_subset_is_the_endpoints_with_its_labels() {
    for (subset, addresses) in [
        ("v1", &["10.0.0.1"][..]),
        ("v2", &["10.0.0.2", "10.0.0.3"]),
        ("v2-b", &["10.0.0.3"]),
        ("all", &["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
    ] {
        let compiled = built(&(rule(VERSIONS) + &to_subset(subset)));
        let sent = upstream(&compiled, &GET);
        let expected: Vec<String> = addresses
            .iter()
            .map(|address| format!("http://{address}:8000"))
            .collect();
        assert_eq!((sent.connect, sent.subset.as_deref()), (expected, Some(subset)));
        assert_eq!(sent.upstream, "a.test");
    }
    // Several of one host are upstreams of their own, and so is the host itself.
    let http = "[
      {match: [{uri: {exact: /1}}], route: [{destination: {host: a.test, subset: v1}}], mirror: {host: a.test, subset: v2}},
      {match: [{uri: {exact: /2}}], route: [{destination: {host: a.test, subset: v2}}]},
      {route: [{destination: {host: a.test}}]}]";
    let compiled = built(&(rule(VERSIONS) + &root(http)));
    for (target, subset, endpoints) in [("/1", Some("v1"), 1), ("/2", Some("v2"), 2), ("/", None, 3)] {
        let sent = upstream(&compiled, &at(target));
        assert_eq!(
            (sent.subset.as_deref(), sent.connect.len()),
            (subset, endpoints),
            "{target}"
        );
    }
    assert_eq!(upstream(&compiled, &at("/1")).mirrors, ["a.test"]);
}

#[test]
fn fields_of_a_subsets_policy_stand_in_place_of_the_hosts() {
    let fields = "trafficPolicy: {tls: {mode: SIMPLE, sni: host.test}, connectionPool: {tcp: {connectTimeout: 2s}}},
      subsets: [
        {name: own, trafficPolicy: {tls: {mode: DISABLE}}},
        {name: quick, trafficPolicy: {connectionPool: {tcp: {connectTimeout: 1s}}}},
        {name: pool, trafficPolicy: {connectionPool: {tcp: {}}}}]";
    for (subset, sni, connect_timeout_ms) in [
        ("own", None, 2000),
        ("quick", Some("host.test"), 1000),
        // The pool as a whole, so that its default holds.
        ("pool", Some("host.test"), 10_000),
    ] {
        let compiled = built(&(rule(fields) + &to_subset(subset)));
        assert_eq!(upstream(&compiled, &GET).sni.as_deref(), sni, "{subset}");
        let mut upstreams = compiled.snapshot.upstreams().iter();
        let own = upstreams
            .find(|upstream| upstream.subset.as_deref() == Some(subset))
            .unwrap();
        assert_eq!(own.connect_timeout_ms, connect_timeout_ms, "{subset}");
    }
}

#[test]
fn a_subset_that_is_not_there_or_empty_is_refused() {
    for (text, code, part) in [
        (rule(VERSIONS) + &to_subset("v22"), "unknown-subset", "no subset `v22`"),
        (to_subset("v1"), "unknown-subset", "no DestinationRule of `a.test`"),
        (rule(VERSIONS) + &to_subset("v3"), "empty-subset", "`v3`"),
        (
            rule("subsets: [{name: v1}, {name: v1}]") + &to_subset("v1"),
            "duplicate-name",
            "v1",
        ),
        // A host at its own name has no labels.
        (
            rule("subsets: [{name: v1, labels: {version: v1}}]").replace("a.test", "named.test")
                + &to_subset("v1").replace("a.test", "named.test"),
            "empty-subset",
            "`v1`",
        ),
    ] {
        finds(&text, code, part, false);
    }
    // In Istio they would get as much as others.
    let none = "- {address: 10.0.0.4, labels: {version: v3}, weight: 0}";
    for (text, code, loads) in [
        (EDGE.to_owned(), "dead-weight", true),
        (
            EDGE.replace(
                "resolution: DNS",
                &format!("resolution: DNS, endpoints: [{}]", none.trim_start_matches("- ")),
            ),
            "missing-endpoints",
            false,
        ),
    ] {
        let text = text + &root("[{route: [{destination: {host: a.test}}]}]");
        let source = Source::new("edge.yaml".to_owned(), text);
        let options = LoadOptions {
            env: &|_| None,
            ignore_kinds: &[],
        };
        let built = build(&[source], &options, &Settings::default());
        let codes: Vec<String> = built
            .diagnostics
            .as_slice()
            .iter()
            .map(|finding| finding.code.to_string())
            .collect();
        assert!(codes.iter().any(|found| found == code), "{code}: {codes:?}");
        assert_eq!(built.compiled.is_some(), loads, "{code}");
    }
    let named = rule("subsets: [{name: tls, trafficPolicy: {tls: {mode: SIMPLE}}}]").replace("a.test", "named.test")
        + &to_subset("tls").replace("a.test", "named.test");
    assert_eq!(upstream(&built(&named), &GET).connect, ["https://named.test:443"]);
}
