//! What two configurations decide differently, and that nothing is said of those that only say the same in other words.

#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use lockgate_core::build;
use lockgate_core::compile::Settings;
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use lockgate_core::diff::{Difference, Options, Report, diff};
use lockgate_core::explain::Verdict;
use lockgate_core::snapshot::Snapshot;

const BASE: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: hosts, namespace: istio-system}
spec: {hosts: [one.test, two.test], ports: [{number: 8080, name: http, protocol: HTTP}], resolution: DNS}
---
";

fn snapshot(text: &str) -> Snapshot {
    let source = Source::new("a.yaml".to_owned(), format!("{BASE}{text}"));
    let options = LoadOptions {
        env: &|_| Some("k".to_owned()),
        ignore_kinds: &[],
    };
    let built = build(&[source], &options, &Settings::default());
    let diagnostics = built.diagnostics;
    built
        .compiled
        .unwrap_or_else(|| panic!("{diagnostics:#?}\n{text}"))
        .snapshot
}

fn route(rules: &str) -> String {
    format!(
        "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: it, namespace: istio-system}}
spec:
  hosts: [a.test]
  gateways: [edge]
  http:
{rules}"
    )
}

fn policy(spec: &str) -> String {
    format!(
        "
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: it, namespace: istio-system}}
spec: {spec}
"
    )
}

const ALL_TO_ONE: &str = "  - {name: all, route: [{destination: {host: one.test}}]}\n";

fn report(old: &str, new: &str) -> Report {
    let (old, new) = (snapshot(old), snapshot(new));
    let options = Options {
        requests: 2_000,
        differences: 10,
        seed: 1,
    };
    let report = diff(&old, &new, &options);
    for difference in &report.differences {
        holds(&old, &new, difference);
    }
    report
}

/// What is reported is what the engine says, and no part of it could be left away.
fn holds(old: &Snapshot, new: &Snapshot, difference: &Difference) {
    for (snapshot, side) in [(old, &difference.old), (new, &difference.new)] {
        assert_eq!(side.asked.verdict(snapshot).as_ref(), Ok(&side.verdict));
    }
    assert_ne!(difference.old.verdict, difference.new.verdict);
}

/// The one difference.
fn only(old: &str, new: &str) -> Difference {
    let mut report = report(old, new);
    assert_eq!(report.differences.len(), 1, "{:#?}", said(&report));
    report.differences.remove(0)
}

fn said(report: &Report) -> Vec<String> {
    report.differences.iter().map(ToString::to_string).collect()
}

#[test]
fn one_snapshot_needs_no_search() {
    let text = route(ALL_TO_ONE);
    let report = report(&text, &text);
    assert!(report.is_same_snapshot() && report.tried == 0 && report.differences.is_empty());
}

#[test]
fn the_same_in_other_words_is_no_difference() {
    let rules = "
  - {name: x, match: [{uri: {exact: /x}}, {uri: {prefix: /x/}}], route: [{destination: {host: one.test}}]}
  - {name: all, route: [{destination: {host: two.test}}]}
";
    let in_other_words = "
  - {name: x1, match: [{uri: {regex: '/x(/.*)?'}}], route: [{destination: {host: one.test}}]}
  - {name: dead, match: [{uri: {exact: /x}}], directResponse: {status: 500}}
  - {name: rest, match: [{uri: {prefix: /}}], route: [{destination: {host: two.test}}]}
";
    let old = route(rules) + &policy("{action: DENY, rules: [{to: [{operation: {methods: [PUT], paths: [/x]}}]}]}");
    let new = route(in_other_words)
        + &policy(
            "{action: DENY, rules: [{to: [{operation: {methods: [PUT]}}], when: [{key: 'request.headers[:path]', values: [/x, '/x?*']}]}]}",
        );
    let report = report(&old, &new);
    assert!(!report.is_same_snapshot() && report.tried > 2_000);
    assert_eq!(said(&report), Vec::<String>::new());
}

#[test]
fn one_request_names_each_difference() {
    let all = route(ALL_TO_ONE);
    let deny = |rule: &str| all.clone() + &policy(&format!("{{action: DENY, rules: [{rule}]}}"));
    let two = ALL_TO_ONE.replace("one.test", "two.test");
    let split = |one: u32, two: u32| {
        let to = |host, weight| format!("{{destination: {{host: {host}}}, weight: {weight}}}");
        let (one, two) = (to("one.test", one), to("two.test", two));
        route(&format!("  - {{name: all, route: [{one}, {two}]}}\n"))
    };
    for (old, new, request) in [
        (&all, &route(&two), "GET /\n  host: a.test\n  old"),
        (
            &all,
            &deny("{to: [{operation: {paths: [/admin*]}}]}"),
            "GET /admin\n  host: a.test\n  old",
        ),
        (
            &deny("{from: [{source: {ipBlocks: [10.0.0.0/8]}}], to: [{operation: {paths: [/a]}}]}"),
            &deny("{from: [{source: {ipBlocks: [10.0.0.0/8, 192.168.0.0/16]}}], to: [{operation: {paths: [/a]}}]}"),
            "GET /a  peer 192.168.0.0\n  host: a.test\n  old",
        ),
        (
            &deny("{when: [{key: 'request.headers[x-team]', values: [red]}]}"),
            &deny("{when: [{key: 'request.headers[x-team]', values: ['red*']}]}"),
            "GET /\n  host: a.test\n  x-team: redx\n  old",
        ),
        (
            &deny("{to: [{operation: {paths: [/a]}}]}"),
            &deny("{from: [{source: {notPrincipals: [cluster.local/ns/x/sa/y]}}], to: [{operation: {paths: [/a]}}]}"),
            "GET /a  certificate of spiffe://cluster.local/ns/x/sa/y\n  host: a.test\n  old",
        ),
        (
            &all,
            &route("  - {name: all, timeout: 3s, route: [{destination: {host: one.test}}]}\n"),
            "GET /\n  host: a.test\n  old",
        ),
        (
            &route("  - {name: r, match: [{uri: {regex: '/v[0-9]+/x'}}], route: [{destination: {host: one.test}}]}\n"),
            &route("  - {name: r, match: [{uri: {regex: '/v[0-9]/x'}}], route: [{destination: {host: one.test}}]}\n"),
            "GET /v00/x\n  host: a.test\n  old",
        ),
        (
            &split(90, 10),
            &split(10, 90),
            "GET /\n  host: a.test\n  when chance draws ",
        ),
    ] {
        let difference = only(old, new);
        let text = difference.to_string();
        assert!(text.starts_with(request), "{request}\n{text}\n{new}");
    }
}

#[test]
fn what_differs_of_two_requests_to_one_upstream_is_told() {
    let rule = |more: &str| {
        route(&format!(
            "  - {{name: all, {more}route: [{{destination: {{host: one.test}}}}]}}\n"
        ))
    };
    let text = only(&rule(""), &rule("timeout: 3s, rewrite: {uri: /v1/}, ")).to_string();
    for told in ["path: / → /v1/", "timeout in ms: none → 3000"] {
        assert!(text.contains(told), "{told}\n{text}");
    }
}

#[test]
fn tokens_count_where_a_rule_looks_for_them() {
    const AUTHENTICATION: &str = "
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: it, namespace: istio-system}
spec: {jwtRules: [{issuer: me, audiences: [us], jwksUri: 'https://keys.test/'}]}
";
    let asks = policy("{action: ALLOW, rules: [{from: [{source: {requestPrincipals: ['me/*']}}]}]}");
    let all = route(ALL_TO_ONE);
    let without = all.clone() + &asks;
    let with = all.clone() + AUTHENTICATION + &asks;
    let difference = only(&without, &with);
    let text = difference.to_string();
    assert!(text.contains("no RequestAuthentication looks for its token"), "{text}");
    assert!(
        matches!(difference.new.verdict, Verdict::Refuse(_) | Verdict::Forward(_)),
        "{text}"
    );
}

#[test]
fn what_is_widened_a_little_is_found() {
    let all = route(ALL_TO_ONE);
    let blocks = |blocks: &str| {
        let rule = format!("{{from: [{{source: {{ipBlocks: [{blocks}]}}}}]}}");
        all.clone() + &policy(&format!("{{action: ALLOW, rules: [{rule}]}}"))
    };
    for (old, new) in [
        ("10.0.0.0/16", "10.0.0.0/8"),
        ("'2001:db8::/48'", "'2001:db8::/32'"),
        ("10.0.0.0/28", "10.0.0.0/29, 10.0.0.12/30"),
    ] {
        only(&blocks(old), &blocks(new));
        only(&blocks(new), &blocks(old));
    }
    let cors = |cors: &str| {
        route(&format!(
            "  - {{name: all, corsPolicy: {cors}, route: [{{destination: {{host: one.test}}}}]}}\n"
        ))
    };
    let base = "{allowOrigins: [{exact: 'https://a.test'}]}";
    for other in [
        "{allowOrigins: [{regex: '.*'}]}",
        "{allowOrigins: [{prefix: 'https://a.test'}]}",
        "{allowOrigins: [{exact: 'https://a.test'}], maxAge: 1h}",
        "{allowOrigins: [{exact: 'https://a.test'}], allowCredentials: true}",
        "{allowOrigins: [{exact: 'https://a.test'}], allowMethods: [GET]}",
    ] {
        let found = report(&cors(base), &cors(other)).differences.len();
        assert!(found > 0, "{other}");
    }
}

#[test]
fn what_becomes_of_tokens_is_found() {
    let all = route(ALL_TO_ONE);
    let rule = |more: &str| {
        format!(
            "{all}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: it, namespace: istio-system}}
spec: {{jwtRules: [{{issuer: me, audiences: [us], jwksUri: 'https://keys.test/'{more}}}]}}
"
        )
    };
    for more in [
        ", forwardOriginalToken: true",
        ", outputClaimToHeaders: [{header: x-team, claim: team}]",
        ", outputPayloadToHeader: x-payload",
    ] {
        only(&rule(""), &rule(more));
    }
    let asks = |value: &str| {
        rule("")
            + &policy(&format!(
                "{{action: ALLOW, rules: [{{when: [{{key: 'request.auth.claims[group]', values: ['{value}']}}]}}]}}"
            ))
    };
    only(&asks("x"), &asks("x*"));
    assert_eq!(report(&asks("x"), &asks("y")).differences.len(), 2);
}

#[test]
fn what_stands_behind_an_authorizer_is_found() {
    let mesh = "
---
apiVersion: lockgate.dev/v1
kind: MeshConfig
metadata: {name: mesh, namespace: istio-system}
spec: {extensionProviders: [{name: asked, envoyExtAuthzGrpc: {service: one.test, port: 8080}}]}
";
    let custom = "
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: asks, namespace: istio-system}
spec: {action: CUSTOM, provider: {name: asked}, rules: [{}]}
";
    let text = |deny: &str| route(ALL_TO_ONE) + mesh + custom + deny;
    let deny = policy("{action: DENY, rules: [{to: [{operation: {methods: [PUT]}}]}]}");
    let difference = only(&text(""), &text(&deny));
    assert!(difference.to_string().starts_with("PUT "), "{difference}");
    assert_eq!(difference.new.asked.checks.len(), 1);
}
