//! `corsPolicy`: what a browser is told, as a real Envoy tells it.

#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::explain::{HeaderChanged, Verdict};
use support::{GET, Sent, compiled};

const EDGE: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: istio-system}
spec: {hosts: [a.test], resolution: DNS, ports: [{number: 8000, name: http}]}
---
";

fn rule_and(fields: &str, more: &str) -> Compiled {
    let service = format!(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web, namespace: istio-system}}
spec: {{hosts: ['*'], gateways: [edge], http: [{{{fields}}}]}}
---
"
    );
    compiled(&format!("{EDGE}{service}{more}"), &Settings::default())
}

fn rule(policy: &str) -> Compiled {
    rule_and(
        &format!(
            "route: [{{destination: {{host: a.test}}, headers: {{response: {{set: {{access-control-allow-origin: own}}}}}}}}], corsPolicy: {policy}"
        ),
        "",
    )
}

fn shown(changes: &[HeaderChanged]) -> Vec<String> {
    let value = |change: &HeaderChanged| match change {
        HeaderChanged::Set { name, value } => {
            format!("{}: {value}", name.strip_prefix("access-control-").unwrap_or(name))
        }
        other => panic!("{other:?}"),
    };
    changes.iter().map(value).collect()
}

/// `sent on` or `answered`, and the fields that the answer gets.
fn came(compiled: &Compiled, method: &str, headers: &[(&str, &str)]) -> (&'static str, Vec<String>) {
    let sent = Sent { method, headers, ..GET };
    match sent.explained_by(compiled).verdict {
        Verdict::Forward(upstream) => ("sent on", shown(&upstream.change_response_headers)),
        Verdict::Respond(answer) => {
            assert_eq!((answer.status, answer.body.as_str()), (200, ""));
            ("answered", shown(&answer.change_headers))
        }
        Verdict::Refuse(refused) => ("refused", vec![refused.status.to_string()]),
        other => panic!("{other:?}"),
    }
}

const ASKS: (&str, &str) = ("access-control-request-method", "PATCH");
const WHOLE: &str = "{allowOrigins: [{exact: 'https://a.test'}, {prefix: 'https://p.'}, {regex: 'http://[a-z]+'}], allowMethods: [GET, POST], allowHeaders: [x-1, X-2], exposeHeaders: [x-e], maxAge: 1m, allowCredentials: true}";

#[test]
fn a_preflight_of_an_allowed_origin_is_answered_and_any_other_request_of_it_sent_on() {
    let compiled = rule(WHOLE);
    for origin in ["https://a.test", "https://p.x", "http://abc"] {
        let allow = format!("allow-origin: {origin}");
        assert_eq!(
            came(&compiled, "OPTIONS", &[("origin", origin), ASKS]),
            (
                "answered",
                [
                    &*allow,
                    "allow-credentials: true",
                    "allow-methods: GET,POST",
                    "allow-headers: x-1,X-2",
                    "max-age: 60",
                    "expose-headers: x-e",
                ]
                .map(String::from)
                .to_vec()
            )
        );
        let own = [
            "allow-origin: own",
            &*allow,
            "allow-credentials: true",
            "expose-headers: x-e",
        ];
        let sent_on = ("sent on", own.map(String::from).to_vec());
        for (method, more) in [("GET", ASKS), ("OPTIONS", ("x", "y")), ("OPTIONS", (ASKS.0, ""))] {
            assert_eq!(
                came(&compiled, method, &[("origin", origin), more]),
                sent_on,
                "{method} {more:?}"
            );
        }
    }
}

#[test]
fn other_origins_are_sent_on_without_a_word() {
    let compiled = rule(WHOLE);
    let silent = ("sent on", vec!["allow-origin: own".to_owned()]);
    for origins in [
        &["https://A.test"][..],
        &["https://a.test:8443"],
        &["xhttps://p.x"],
        &["http://abc/"],
        &["null"],
        &[""],
        &[],
        &["https://a.test", "https://evil"],
    ] {
        let mut headers: Vec<_> = origins.iter().map(|origin| ("origin", *origin)).collect();
        assert_eq!(came(&compiled, "GET", &headers), silent, "{origins:?}");
        headers.push(ASKS);
        assert_eq!(came(&compiled, "OPTIONS", &headers), silent, "{origins:?}");
    }
}

#[test]
fn ignored_preflights_of_other_origins_are_answered_without_an_origin() {
    let compiled = rule(
        "{allowOrigin: [https://a.test], unmatchedPreflights: IGNORE, allowMethods: ['*'], maxAge: 5s, allowCredentials: true, exposeHeaders: [x-e]}",
    );
    let (how, fields) = came(&compiled, "OPTIONS", &[("origin", "https://evil"), ASKS]);
    assert_eq!(
        (how, fields.join(" ").as_str()),
        ("answered", "allow-credentials: true allow-methods: PATCH max-age: 5")
    );
    let (how, fields) = came(&compiled, "GET", &[("origin", "https://evil")]);
    assert_eq!((how, fields.len()), ("sent on", 1));
}

#[test]
fn a_star_is_any_origin_and_what_is_asked_for() {
    for any in ["{exact: '*'}", "{regex: '.*'}"] {
        let compiled = rule(&format!(
            "{{allowOrigins: [{any}], allowMethods: ['*'], allowHeaders: ['*'], allowCredentials: false}}"
        ));
        let (how, fields) = came(
            &compiled,
            "OPTIONS",
            &[("origin", "null"), ASKS, ("access-control-request-headers", "x-3, x-4")],
        );
        let told = "allow-origin: null allow-methods: PATCH allow-headers: x-3, x-4";
        assert_eq!((how, fields.join(" ").as_str()), ("answered", told), "{any}");
    }
    // As Envoy says it of a star among others: literally.
    let compiled = rule("{allowOrigins: [{exact: 'null'}], allowMethods: ['*', GET]}");
    assert_eq!(
        came(&compiled, "OPTIONS", &[("origin", "null"), ASKS]).1,
        ["allow-origin: null", "allow-methods: *,GET"]
    );
}

#[test]
fn policy_judges_a_preflight_before_it_is_answered_and_tokens_are_not_asked_for() {
    let policies = "apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: istio-system}
spec: {jwtRules: [{issuer: me, jwksUri: 'https://me.test/keys'}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: istio-system}
spec: {action: DENY, rules: [{to: [{operation: {methods: [OPTIONS]}}]}]}
";
    let compiled = rule_and(
        &format!("route: [{{destination: {{host: a.test}}}}], corsPolicy: {WHOLE}"),
        policies,
    );
    let headers = [("origin", "https://a.test"), ASKS, ("authorization", "Bearer x.y.z")];
    assert_eq!(
        came(&compiled, "OPTIONS", &headers),
        ("refused", vec!["403".to_owned()])
    );
}

#[test]
fn a_connection_field_must_not_name_what_is_judged() {
    let compiled = rule(WHOLE);
    let named = |name| came(&compiled, "GET", &[("origin", "https://a.test"), ("connection", name)]).0;
    assert_eq!((named("origin"), named("x-other")), ("refused", "sent on"));
}

#[test]
fn the_verdict_is_explained() {
    let text = |origin| {
        let headers: &[_] = &[("origin", origin)];
        Sent { headers, ..GET }.explained_by(&rule(WHOLE)).to_string()
    };
    assert!(text("https://a.test").contains("  cors       the origin is allowed\n"));
    assert!(text("https://b.test").contains("  cors       the origin is not allowed\n"));
    assert!(!text("").contains("  cors  "));
}
