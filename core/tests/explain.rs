//! What `explain` says of the seed, word for word. `LOCKGATE_UPDATE=1` rewrites
//! the expectations in `tests/explain/`; read the diff.
#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::path::Path;

use lockgate_core::build;
use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use lockgate_core::decide::{Body, Known};
use lockgate_core::explain::{Explanation, Question, Target, Verdict, explain};
use lockgate_core::limits::{HEAD_BYTES_MAX, HEADER_FIELDS_MAX};
use lockgate_core::llm::body::{BodyError, BodyScan};
use lockgate_core::proxy_header;
use lockgate_core::request::{Connection, Request};

const KEY: &str = "sk-very-secret";

fn compiled(edit: impl Fn(&str) -> String) -> Compiled {
    let sources: Vec<Source> = [
        (
            "llm-provider.yaml",
            include_str!("../../examples/seed/llm-provider.yaml"),
        ),
        ("gateway.yaml", include_str!("../../examples/seed/gateway.yaml")),
        ("llm-route.yaml", include_str!("../../examples/seed/llm-route.yaml")),
        (
            "authorization-policy.yaml",
            include_str!("../../examples/seed/authorization-policy.yaml"),
        ),
    ]
    .into_iter()
    .map(|(name, text)| Source::new(name.into(), edit(text)))
    .collect();
    let env = |name: &str| Some(if name == "API_KEY" { KEY } else { "203.0.113.9" }.to_owned());
    let built = build(
        &sources,
        &LoadOptions {
            env: &env,
            ignore_kinds: &[],
        },
        &Settings::default(),
    );
    built.compiled.unwrap_or_else(|| panic!("{:?}", built.diagnostics))
}

fn ask(compiled: &Compiled, host: &str, peer: &str, body: Option<&str>) -> Explanation {
    let headers: &[(&str, &[u8])] = &[("host", host.as_bytes()), ("authorization", b"Bearer of-the-client")];
    let peer = peer.parse().unwrap();
    let request = Request {
        method: "POST",
        authority: None,
        target: "/v1/./chat",
        headers: &headers,
        connection: Connection::plain(peer, 80),
    };
    let mut scan = BodyScan::new(1 << 20);
    let body = match body {
        Some(body) => Body::Read(scan.feed(body.as_bytes()).and_then(|()| scan.finish())),
        None => Body::Unread,
    };
    explain(&compiled.snapshot, &request, Known::of_body(body), 0)
}

#[track_caller]
fn golden(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain").join(name);
    if std::env::var_os("LOCKGATE_UPDATE").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(actual, expected, "{name}: run with LOCKGATE_UPDATE=1 and read the diff");
    assert!(
        !actual.contains(KEY) && !actual.contains("of-the-client"),
        "{name} shows a credential"
    );
}

#[test]
fn a_forwarded_request_shows_both_passes_and_what_is_sent() {
    let it = ask(
        &compiled(str::to_owned),
        "test.com",
        "198.51.100.1",
        Some(r#"{"stream":true}"#),
    );
    golden("forwarded.txt", &it.to_string());
    golden("forwarded.json", &(serde_json::to_string_pretty(&it).unwrap() + "\n"));
}

#[test]
fn a_denied_request_shows_the_rule() {
    golden(
        "denied.txt",
        &ask(&compiled(str::to_owned), "TEST.com", "203.0.113.9", None).to_string(),
    );
}

#[test]
fn an_unknown_host_shows_what_every_rule_wanted() {
    golden(
        "no-route.txt",
        &ask(&compiled(str::to_owned), "other.com", "203.0.113.9", None).to_string(),
    );
}

#[test]
fn without_a_body_the_verdict_says_so() {
    golden(
        "no-body.txt",
        &ask(&compiled(str::to_owned), "test.com", "198.51.100.1", None).to_string(),
    );
}

#[test]
fn a_bad_body_names_its_fault() {
    let body = r#"{"model":"a","model":"b"}"#;
    golden(
        "bad-body.txt",
        &ask(&compiled(str::to_owned), "test.com", "198.51.100.1", Some(body)).to_string(),
    );
}

#[test]
fn a_rule_that_the_second_pass_refuses_shows_why() {
    let without = |text: &str| text.replace("exact: dashscope.aliyuncs.com", "exact: another.com");
    golden(
        "second-pass.txt",
        &ask(&compiled(without), "test.com", "198.51.100.1", Some("{}")).to_string(),
    );
}

#[test]
fn a_bad_head_shows_only_the_refusal() {
    golden(
        "bad-head.txt",
        &ask(&compiled(str::to_owned), "a b", "198.51.100.1", None).to_string(),
    );
}

#[test]
fn a_proxied_connection_shows_whom_it_is_for_and_what_it_came_to() {
    let compiled = compiled(str::to_owned);
    let first_line = |connection: Connection<'_>| {
        let headers: &[(&str, &[u8])] = &[("host", b"test.com")];
        let request = Request {
            method: "POST",
            authority: None,
            target: "/",
            headers: &headers,
            connection,
        };
        let it = explain(&compiled.snapshot, &request, Known::NOTHING, 0).to_string();
        it.lines().next().unwrap().to_owned()
    };
    let plain = Connection::plain("192.0.2.1".parse().unwrap(), 80);
    let header = b"PROXY TCP4 198.51.100.1 203.0.113.1 51234 443\r\n";
    let proxied = proxy_header::read(header).unwrap().unwrap().proxied.unwrap();
    let port_alone = Connection {
        destination_port: 443,
        ..plain
    };
    for (connection, wanted) in [
        (plain, "peer 192.0.2.1"),
        (port_alone, "peer 192.0.2.1  destination port 443"),
        (
            plain.behind(proxied),
            "peer 192.0.2.1  client 198.51.100.1  destination 203.0.113.1:443",
        ),
    ] {
        let line = first_line(connection);
        assert!(line.ends_with(&format!("port 80  {wanted}")), "{line}");
    }
}

#[test]
fn what_explain_matches_is_what_decide_matches_even_for_the_target_star() {
    let headers: &[(&str, &[u8])] = &[("host", b"test.com")];
    let peer = "198.51.100.1".parse().unwrap();
    let request = Request {
        method: "OPTIONS",
        authority: None,
        target: "*",
        headers: &headers,
        connection: Connection::plain(peer, 80),
    };
    let it = explain(&compiled(str::to_owned).snapshot, &request, Known::NOTHING, 0);
    assert!(it.to_string().contains("REFUSE with 404"), "{it}");
    assert!(
        it.passes.iter().flat_map(|pass| &pass.rules).all(|rule| !rule.matched),
        "{it}"
    );
}

fn asked(url: &str, headers: &[(&str, &str)]) -> Result<Explanation, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).into());
    let question = Question {
        target: Target::parse(url).unwrap(),
        headers: headers.iter().map(owned).collect(),
        ..Question::default()
    };
    question.explain(&compiled(str::to_owned).snapshot)
}

/// A plain host beside the seed's provider, and a policy on bodies of one path.
const PLAIN: &str = "
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: plain, namespace: istio-system}
spec:
  hosts: [plain.internal]
  resolution: STATIC
  ports: [{name: http, number: 80, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: plain, namespace: istio-system}
spec:
  hosts: [plain.test]
  gateways: [istio-system/ingress-gw]
  http: [{route: [{destination: {host: plain.internal}}]}]
---
apiVersion: lockgate.dev/v1
kind: AuthorizationPolicy
metadata: {name: models, namespace: istio-system}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/judged]}}], when: [{key: 'request.llm[model]', values: [huge]}]}, {when: [{key: 'request.headers[x-team]', values: [blue]}]}]}
";

#[test]
fn a_body_that_nobody_asks_for_goes_on_as_it_comes() {
    let compiled = compiled(|text| match text.contains("kind: Gateway") {
        true => format!("{text}{PLAIN}"),
        false => text.to_owned(),
    });
    let text = (Some("hello"), None);
    let large = (None, Some(BodyError::TooLarge));
    for (url, media, (body, body_error), status) in [
        ("http://plain.test/a", "multipart/form-data; boundary=b", text, None),
        ("http://plain.test/a", "text/plain", text, None),
        ("http://plain.test/a", "application/json", text, None),
        ("http://plain.test/a", "application/json", large, None),
        (
            "http://plain.test/judged",
            "multipart/form-data; boundary=b",
            text,
            Some(415),
        ),
        ("http://plain.test/judged", "application/json", text, Some(400)),
        ("http://plain.test/judged", "application/json", large, Some(413)),
        ("http://test.com/a", "multipart/form-data; boundary=b", text, Some(415)),
        ("http://test.com/a", "application/json", large, Some(413)),
    ] {
        let question = Question {
            target: Target::parse(url).unwrap(),
            headers: vec![("content-type".to_owned(), media.into())],
            body: body.map(str::to_owned),
            body_error,
            ..Question::default()
        };
        let refused = match question.verdict(&compiled.snapshot).unwrap() {
            Verdict::Forward(_) => None,
            Verdict::Refuse(refused) => Some(refused.status),
            other => panic!("{url}: {other:?}"),
        };
        assert_eq!(refused, status, "{url} {media} {body_error:?}");
    }
}

#[test]
fn what_goes_of_the_clients_own_fields_is_listed_for_each_request() {
    let compiled = compiled(|text| match text.contains("kind: Gateway") {
        true => format!("{text}{PLAIN}"),
        false => text.to_owned(),
    });
    let sent = [
        ("Connection", "keep-alive, X-Once"),
        ("X-Once", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("trailer", "x-sum"),
        ("http2-settings", "AAMAAABk"),
        ("expect", "100-continue"),
        ("x_api_key", "k"),
        ("x_team", "red"),
        ("x_own", "1"),
        ("content-length", "2"),
        ("accept-encoding", "gzip"),
    ];
    let gone = [
        "connection",
        "x-once",
        "keep-alive",
        "te",
        "trailer",
        "http2-settings",
        "expect",
        "x_api_key",
        "x_team",
    ];
    for url in ["http://plain.test/a", "http://test.com/a"] {
        let question = Question {
            target: Target::parse(url).unwrap(),
            headers: sent
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).into()))
                .collect(),
            body: Some("{}".to_owned()),
            ..Question::default()
        };
        let Verdict::Forward(forward) = question.verdict(&compiled.snapshot).unwrap() else {
            panic!("it is forwarded")
        };
        let count = |name: &str| forward.remove_headers.iter().filter(|removed| *removed == name).count();
        for name in gone {
            assert_eq!(count(name), 1, "{url}: {name} in {:?}", forward.remove_headers);
        }
        for name in ["x_own", "content-length", "accept-encoding", "host"] {
            assert_eq!(count(name), 0, "{url}: {name} in {:?}", forward.remove_headers);
        }
        let identity = ("accept-encoding".to_owned(), "identity".to_owned());
        assert_eq!(
            forward.set_headers.contains(&identity),
            url.contains("test.com"),
            "{url}"
        );
    }
}

#[test]
fn a_port_of_no_gateway_is_told_with_those_that_there_are() {
    // What one curls with `--listen 80=127.0.0.1:8080`.
    let it = asked("http://127.0.0.1:8080/", &[]).unwrap();
    assert_eq!(it.open_ports, Some(vec![80]));
    assert!(
        it.to_string()
            .contains("listener   none on this port: ask for the Gateway's, which is 80"),
        "{it}"
    );
    for url in ["http://test.com/", "http://test.com:80/", "/"] {
        assert_eq!(asked(url, &[]).unwrap().open_ports, None, "{url}");
    }
    let closed = compiled(|text| text.replace("istio: ingressgateway", "istio: another"));
    let it = ask(&closed, "test.com", "198.51.100.1", None);
    assert_eq!(it.open_ports, Some(Vec::new()));
    assert!(
        it.to_string().contains("listener   none: no Gateway opens a port"),
        "{it}"
    );
}

#[test]
fn a_field_that_no_request_can_have_is_refused_as_the_gateway_refuses_it() {
    for name in ["a b", "", "a:", "a\tb", "ü", "a(b)"] {
        let refused = asked("http://test.com/", &[(name, "c")]).unwrap_err();
        assert!(refused.contains("is no name of a header field"), "{name}: {refused}");
    }
    assert!(asked("http://test.com/", &[("X-a_b.~!#$%&'*+-^`|9", "c")]).is_ok());
    for value in ["a\u{1}", "a\r\nx-team: red", "a\n", "\r", "a\0b", "\u{7f}"] {
        let refused = asked("http://test.com/", &[("x-a", value)]).unwrap_err();
        assert!(
            refused.contains("`x-a` has a control character"),
            "{value:?}: {refused}"
        );
        assert!(!refused.contains("red"), "{refused}");
    }
    assert!(asked("http://test.com/", &[("x-a", "\ta\tb ü ")]).is_ok());
}

/// A head of HTTP/1.1, whose fields come beside a `Host`, or with an `authority` of HTTP/2.
fn headed(method: &str, target: &str, authority: Option<&str>, fields: &[(&str, &str)]) -> Result<Verdict, String> {
    let host = authority.is_none().then_some(("host", "test.com"));
    let fields = host.iter().chain(fields);
    let question = Question {
        method: Some(method.to_owned()),
        target: Target::parse(target).unwrap(),
        authority: authority.map(str::to_owned),
        headers: fields
            .map(|(name, value)| ((*name).to_owned(), (*value).into()))
            .collect(),
        ..Question::default()
    };
    question.verdict(&compiled(str::to_owned).snapshot)
}

/// What is answered in place of a decision, if anything is.
fn answer(verdict: Result<Verdict, String>) -> Option<String> {
    let why = verdict.err()?;
    let (_, answer) = why.rsplit_once(": a gateway answers ").unwrap();
    Some(answer.strip_suffix(" before anything is decided").unwrap().to_owned())
}

#[test]
fn a_method_or_target_that_no_parser_takes_comes_to_no_decision() {
    for (method, target, refuses, refuses_in_http2) in [
        ("", "/", true, true),
        ("GE T", "/", true, true),
        ("G\"T", "/", true, true),
        ("Gé", "/", true, true),
        // These the engine refuses, with an answer of its own.
        ("get", "/", false, false),
        ("G!", "/", false, false),
        ("GET", "/a<b", true, true),
        ("GET", "/a>b", true, true),
        ("GET", "/a`b", true, true),
        ("GET", "/a b", true, true),
        ("GET", "/a\u{1}", true, true),
        ("GET", "/a\u{7f}", true, true),
        ("GET", "/?a=\"b\"", true, true),
        ("GET", "/?a=<", true, true),
        ("GET", "/?a=>", true, true),
        ("GET", "/?a b", true, true),
        ("GET", "http://test.com/a<b#c", true, true),
        ("GET", "/{\"a\"}|^[\\]?`{|}^[\\]'", false, false),
        ("GET", "/é", false, false),
        ("GET", "/#\"<>`", false, false),
        ("GET", "/?a#?\"", false, false),
        // Of HTTP/2 a fragment is dropped unread.
        ("GET", "/#a b", true, false),
        ("GET", "/?a#\t", true, false),
        ("OPTIONS", "*", false, false),
    ] {
        let of_http1 = answer(headed(method, target, None, &[]));
        assert_eq!(of_http1.as_deref(), refuses.then_some("400"), "{method:?} {target:?}");
        let of_http2 = answer(headed(method, target, Some("test.com"), &[]));
        let refusal = refuses_in_http2.then_some("PROTOCOL_ERROR");
        assert_eq!(of_http2.as_deref(), refusal, "{method:?} {target:?} in HTTP/2");
    }
    let why = headed("GET", "/?token=secret\"", None, &[]).unwrap_err();
    assert!(why.starts_with("`\"` stands where") && !why.contains("secret"), "{why}");
}

#[test]
fn fields_that_the_protocol_does_not_have_come_to_no_decision() {
    for (fields, answered, answered_in_http2) in [
        (&[("Connection", "close")][..], None, Some("PROTOCOL_ERROR")),
        (&[("keep-alive", "timeout=5")], None, Some("PROTOCOL_ERROR")),
        (&[("proxy-connection", "close")], None, Some("PROTOCOL_ERROR")),
        (&[("transfer-encoding", "Chunked")], None, Some("PROTOCOL_ERROR")),
        (&[("upgrade", "websocket")], None, Some("PROTOCOL_ERROR")),
        (&[("te", "gzip")], None, Some("PROTOCOL_ERROR")),
        (&[("te", "trailers")], None, None),
        (&[("x-a", "a\u{1}")], Some("400"), Some("PROTOCOL_ERROR")),
        (&[("x a", "a")], Some("400"), Some("PROTOCOL_ERROR")),
        (
            &[("transfer-encoding", "gzip, chunked")],
            Some("501"),
            Some("PROTOCOL_ERROR"),
        ),
        (&[("transfer-encoding", "")], Some("501"), Some("PROTOCOL_ERROR")),
        (
            &[("transfer-encoding", "chunked"), ("Transfer-Encoding", "chunked")],
            Some("501"),
            Some("PROTOCOL_ERROR"),
        ),
        (
            &[("content-length", "1"), ("transfer-encoding", "chunked")],
            Some("400"),
            Some("PROTOCOL_ERROR"),
        ),
        (&[("content-length", "1"), ("content-length", "1")], Some("400"), None),
        (&[("content-length", "+1")], Some("400"), None),
        (&[("content-length", "")], Some("400"), None),
        (&[("content-length", " 12 ")], None, None),
    ] {
        let of_http1 = answer(headed("POST", "/", None, fields));
        assert_eq!(of_http1.as_deref(), answered, "{fields:?}");
        let of_http2 = answer(headed("POST", "/", Some("test.com"), fields));
        assert_eq!(of_http2.as_deref(), answered_in_http2, "{fields:?} in HTTP/2");
    }
}

#[test]
fn a_head_over_its_limits_comes_to_no_decision() {
    let some = [("x-a", "1"); HEADER_FIELDS_MAX + 1];
    let cookies = [("cookie", "a=1"); HEADER_FIELDS_MAX + 1];
    let (fits, too_long) = (&*"a".repeat(HEAD_BYTES_MAX - 100), &*"a".repeat(HEAD_BYTES_MAX - 10));
    for (authority, fields, target, is_too_much) in [
        // The `Host` counts.
        (None, &some[..HEADER_FIELDS_MAX - 1], "/", false),
        (None, &some[..HEADER_FIELDS_MAX], "/", true),
        (Some("test.com"), &some[..HEADER_FIELDS_MAX], "/", false),
        (Some("test.com"), &some, "/", true),
        // They are put together before they are counted.
        (Some("test.com"), &cookies, "/", false),
        (None, &cookies, "/", true),
        (None, &[("x-a", fits)], "/", false),
        (None, &[("x-a", too_long)], "/", true),
        (Some("test.com"), &[("x-a", too_long)], "/", true),
        (None, &[], &format!("/{fits}"), false),
        (None, &[], &format!("/{too_long}"), true),
    ] {
        let answered = answer(headed("GET", target, authority, fields));
        let count = fields.len();
        assert_eq!(
            answered.as_deref(),
            is_too_much.then_some("431"),
            "{authority:?}, {count} fields"
        );
    }
}

#[test]
fn an_extended_connect_may_be_written_with_the_fields_that_it_becomes() {
    let asked = |fields: &[(&str, &str)]| {
        let question = Question {
            target: Target::parse("/").unwrap(),
            authority: Some("test.com".to_owned()),
            protocol: Some("websocket".to_owned()),
            headers: fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).into()))
                .collect(),
            ..Question::default()
        };
        answer(question.verdict(&compiled(str::to_owned).snapshot))
    };
    assert_eq!(asked(&[]), None);
    assert_eq!(asked(&[("connection", "upgrade"), ("upgrade", "websocket")]), None);
    assert_eq!(asked(&[("keep-alive", "upgrade")]).as_deref(), Some("PROTOCOL_ERROR"));
}
