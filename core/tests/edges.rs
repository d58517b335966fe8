//! Requests at the edge of what a route may take, each once decided wrongly and found by the reference evaluator.
#![cfg(feature = "yaml")]
#![allow(clippy::panic, reason = "a test may panic")]

use lockgate_core::build;
use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use lockgate_core::decide::{Body, Known, Scratch, decide};
use lockgate_core::decision::{BadRequest, Decision, Refusal};
use lockgate_core::llm::body::BodyError;
use lockgate_core::request::{Connection, Request, Scheme, SentAuthority};

const CONFIG: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - hosts: ['*']
    port: {name: http, number: 80, protocol: HTTP}
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: provider, namespace: istio-system}
spec:
  host: provider.test
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMRoute
metadata: {name: route, namespace: istio-system}
spec:
  host: '*.test'
  gateways: [gw]
  rules:
  - backendRefs:
    - providerHost: provider.test
";

fn compiled() -> Compiled {
    let source = Source::new("edges.yaml".to_owned(), CONFIG.to_owned());
    let options = LoadOptions {
        env: &|_| None,
        ignore_kinds: &[],
    };
    let built = build(&[source], &options, &Settings::default());
    let diagnostics = built.diagnostics;
    built.compiled.unwrap_or_else(|| panic!("{diagnostics:?}"))
}

/// The refusal, `None` when the request is sent on.
fn refusal(method: &str, host: &str, target: &str) -> Option<Refusal> {
    refusal_knowing(method, host, target, Known::NOTHING)
}

fn refusal_knowing(method: &str, host: &str, target: &str, known: Known<'_>) -> Option<Refusal> {
    let headers: &[(&str, &[u8])] = &[("host", host.as_bytes())];
    let request = Request {
        method,
        authority: None,
        target,
        headers: &headers,
        connection: Connection::plain([10, 0, 0, 1].into(), 80),
    };
    refusal_of(&request, known)
}

fn refusal_of(request: &Request<'_>, known: Known<'_>) -> Option<Refusal> {
    let compiled = compiled();
    match decide(compiled.snapshot.tables(), request, known, 0, &mut Scratch::new()) {
        Decision::Refuse(refusal) => Some(refusal),
        _ => None,
    }
}

#[test]
fn an_asterisk_is_never_sent_on() {
    assert_eq!(refusal("GET", "a.test", "/"), None);
    for method in ["GET", "POST", "PROPFIND"] {
        let refused = refusal(method, "a.test", "*");
        assert_eq!(refused, Some(Refusal::BadRequest(BadRequest::Path)), "{method}");
    }
    assert_eq!(refusal("OPTIONS", "a.test", "*"), Some(Refusal::NoRoute));
}

#[test]
fn a_method_that_http_does_not_have_is_refused() {
    for method in ["post", "Get", "GETX", "GE", "", "QUERY", "PRI", "M-SEARCH", "\u{e4}"] {
        let refused = refusal(method, "a.test", "/");
        assert_eq!(refused, Some(Refusal::BadRequest(BadRequest::Method)), "{method}");
    }
    assert_eq!(refusal("UNSUBSCRIBE", "a.test", "/"), None);
}

/// Of a body that a policy has read, only the part before what is wrong with it is there.
#[test]
fn a_body_that_cannot_be_read_goes_to_no_provider() {
    for (method, error, is_refused) in [
        ("POST", BodyError::TooLarge, true),
        ("REPORT", BodyError::TooLarge, true),
        ("SEARCH", BodyError::TooLarge, true),
        ("GET", BodyError::TooLarge, true),
        ("DELETE", BodyError::TooLarge, true),
        ("POST", BodyError::Empty, true),
        // These need none.
        ("GET", BodyError::Empty, false),
        ("DELETE", BodyError::Empty, false),
    ] {
        let refused = refusal_knowing(method, "a.test", "/", Known::of_body(Body::Read(Err(error))));
        let is_for_body = matches!(refused, Some(Refusal::Body(Some(_), told)) if told == error);
        assert_eq!((refused.is_some(), is_for_body), (is_refused, is_refused), "{method}");
    }
}

/// Its answer would hold the provider's key.
#[test]
fn trace_is_refused_wherever_it_goes() {
    for (host, target) in [
        ("a.test", "/"),
        ("a.test", "/v1"),
        ("nowhere.test", "/"),
        ("a.test", "*"),
    ] {
        let refused = refusal("TRACE", host, target);
        assert_eq!(refused, Some(Refusal::BadRequest(BadRequest::Trace)), "{host}{target}");
    }
}

#[test]
fn connect_is_refused_whatever_it_names() {
    for target in ["/", "", "a.test:443", "*"] {
        let refused = refusal("CONNECT", "a.test", target);
        assert_eq!(refused, Some(Refusal::BadRequest(BadRequest::Path)), "{target}");
    }
}

#[test]
fn a_host_must_agree_with_authority_and_means_nothing_beside_a_target() {
    let (pseudo, target) = (SentAuthority::pseudo, SentAuthority::target);
    let two = Some(Refusal::BadRequest(BadRequest::TwoHosts));
    for (authority, hosts, refused) in [
        (pseudo("a.test"), &["A.test"][..], None),
        (pseudo("a.test"), &[], None),
        (pseudo("a.test"), &["b.test"], two),
        (pseudo("a.test"), &["a.test:80"], two),
        (pseudo("a.test"), &["a.test", "a.test"], two),
        (target("a.test"), &["other"], None),
        (target("a.test"), &[], None),
        (target("a.test"), &["a.test", "a.test"], two),
        (target("other"), &["a.test"], Some(Refusal::NoRoute)),
    ] {
        let headers: Vec<(&str, &[u8])> = hosts.iter().map(|host| ("host", host.as_bytes())).collect();
        let request = Request {
            method: "GET",
            authority: Some(authority),
            target: "/",
            headers: &headers.as_slice(),
            connection: Connection::plain([10, 0, 0, 1].into(), 80),
        };
        assert_eq!(refusal_of(&request, Known::NOTHING), refused, "{authority:?} {hosts:?}");
    }
}

#[test]
fn a_target_of_another_scheme_is_refused() {
    let scheme = |authority, scheme| SentAuthority {
        scheme: Some(scheme),
        ..authority
    };
    let (pseudo, target) = (SentAuthority::pseudo("a.test"), SentAuthority::target("a.test"));
    for (authority, spoken, passes) in [
        (scheme(target, "HTTP"), Scheme::Http, true),
        (scheme(target, "https"), Scheme::Http, false),
        (scheme(target, "HttpS"), Scheme::Https, true),
        (scheme(target, "http"), Scheme::Https, false),
        (scheme(pseudo, "http"), Scheme::Https, true),
        (scheme(target, "ftp"), Scheme::Http, false),
        (scheme(target, ""), Scheme::Http, false),
        (scheme(pseudo, "https"), Scheme::Http, true),
        (scheme(pseudo, "ftp"), Scheme::Http, false),
    ] {
        let request = Request {
            method: "GET",
            authority: Some(authority),
            target: "/",
            headers: &(),
            connection: Connection {
                scheme: spoken,
                ..Connection::plain([10, 0, 0, 1].into(), 80)
            },
        };
        let refused = (!passes).then_some(Refusal::BadRequest(BadRequest::Scheme));
        assert_eq!(
            refusal_of(&request, Known::NOTHING),
            refused,
            "{authority:?} {spoken:?}"
        );
    }
}

#[test]
fn the_star_of_a_wildcard_host_stands_for_at_least_one_character() {
    for (host, refused) in [
        ("a.test", None),
        ("a.b.test", None),
        ("..test", None),
        (".test", Some(Refusal::NoRoute)),
        ("test", Some(Refusal::NoRoute)),
    ] {
        assert_eq!(refusal("GET", host, "/"), refused, "{host}");
    }
}
