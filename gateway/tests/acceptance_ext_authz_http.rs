//! External authorization over HTTP: the real binary asks a real server, byte for byte as Envoy does.

#![allow(clippy::panic, reason = "a helper of tests fails by panicking")]

#[cfg(test)]
mod support;

use core::time::Duration;
use std::time::Instant;

use support::bed::{Bed, Transport};
use support::client::{Client, Response, post, request};
use support::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, NO_ERROR, RST_STREAM, block, frame};
use support::gateway::Setup;
use support::http2_upstream::Raw;
use support::outputs::{field, total};
use support::upstream::{Answer, Gate, Step, Upstream};
use support::wire::values;
use support::{QUESTION, eventually};

/// MeshConfig's entry of one authorizer at a port of this machine, and a policy that asks it about everything.
fn asks(port: u16, fields: &str, rules: &str) -> String {
    format!(
        "apiVersion: lockgate.dev/v1
kind: MeshConfig
metadata: {{name: edge, namespace: istio-system}}
spec:
  extensionProviders:
  - name: team-authz
    envoyExtAuthzHttp:
      service: authz.test
      port: 8000
{fields}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: authz, namespace: istio-system}}
spec:
  hosts: [authz.test]
  ports: [{{number: 8000, name: http, protocol: HTTP, targetPort: {port}}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: ask, namespace: istio-system}}
spec:
  action: CUSTOM
  provider: {{name: team-authz}}
  rules: {rules}
"
    )
}

/// A gateway, its provider, and an authorizer that is configured by `fields`.
async fn bed(fields: &str) -> (Upstream, Bed) {
    bed_with(fields, |setup| setup).await
}

async fn bed_with(fields: &str, more: impl FnOnce(Setup) -> Setup) -> (Upstream, Bed) {
    let authorizer = Upstream::plain().await;
    let text = asks(authorizer.addr.port(), fields, "[{}]");
    let setup = more(Setup::seed().file("authz.yaml", &text));
    let bed = Bed::start(Transport::Plain, setup).await;
    (authorizer, bed)
}

fn ok(fields: &[(&str, &str)]) -> Answer {
    Answer::whole("200 OK", fields, "")
}

async fn send(bed: &Bed, bytes: impl AsRef<[u8]>) -> Response {
    let mut client = Client::connect(bed.http()).await;
    client.send(bytes).await;
    client.response().await
}

const LISTS: &str = "      pathPrefix: /check
      includeRequestHeadersInCheck: [x-token, x-p*, x-fixed, x-forwarded-for, x-real-ip, x-request-id]
      includeAdditionalHeadersInCheck: {X-Fixed: 'Bearer ${CHECK_KEY}'}
      headersToUpstreamOnAllow: [x-user, x-groups]
      headersToDownstreamOnAllow: [x-quota]
      headersToDownstreamOnDeny: [x-reason]";

#[tokio::test]
async fn an_authorizer_is_sent_what_istio_lists_and_what_it_allows_goes_on() {
    let (authorizer, bed) = bed_with(LISTS, |setup| setup.env("CHECK_KEY", "sesame-5tQ")).await;
    authorizer.answer(ok(&[
        ("x-user", "first"),
        ("x-user", "ann"),
        ("x-quota", "7"),
        ("x-other", "o"),
        ("set-cookie", "a=b"),
        ("x-envoy-auth-headers-to-remove", "x-secret, x-pq"),
    ]));
    let answer = send(
        &bed,
        request(
            "POST",
            "/x/../chat?key=1",
            "TEST.com:80",
            &[
                ("x-token", "user"),
                ("x-token", "admin"),
                ("x-pq", "p"),
                ("x-fixed", "mine"),
                ("x-user", "root"),
                ("x-secret", "s"),
                ("x-keep", "k"),
                // Servers may take them for what the authorizer was asked about.
                ("x_token", "root"),
                ("x_pq", "root"),
                ("X-P_q", "root"),
                ("x_keep", "k"),
                ("authorization", "Bearer t"),
                ("cookie", "c=1"),
                ("x-forwarded-for", "9.9.9.9"),
                // Nobody trusted says so.
                ("x-real-ip", "9.9.9.9"),
                ("x-request-id", "req-1"),
                ("content-type", "application/json"),
            ],
            QUESTION,
        ),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!((answer.header("x-quota"), answer.header("x-other")), (Some("7"), None));

    let check = authorizer.request().await;
    assert_eq!(check.request_line, "POST /check/chat?key=1 HTTP/1.1");
    assert_eq!(check.header("host"), Some("TEST.com:80"));
    assert_eq!(check.body, b"");
    let mut names: Vec<&str> = check.fields.iter().map(|(name, _)| name.as_str()).collect();
    names.retain(|name| *name != "content-length");
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "authorization",
            "host",
            "x-fixed",
            "x-forwarded-for",
            "x-p_q",
            "x-pq",
            "x-request-id",
            "x-token"
        ]
    );
    // CVE-2021-32777: no value hides behind another.
    assert_eq!(check.header("x-token"), Some("user,admin"));
    assert_eq!(check.header("authorization"), Some("Bearer t"));
    assert_eq!(check.header("x-fixed"), Some("Bearer sesame-5tQ"));
    assert_eq!(check.header("x-forwarded-for"), Some("9.9.9.9,127.0.0.1"));
    assert_eq!(check.header("x-request-id"), Some("req-1"));

    let sent = bed.upstream.request().await;
    assert_eq!(
        values(&sent.fields, "x-user"),
        ["ann"],
        "the authorizer's word, not the client's"
    );
    assert_eq!(sent.header("x-keep"), Some("k"));
    assert_eq!(sent.header("x_keep"), Some("k"), "no authorizer is sent x-keep either");
    for gone in [
        "x_token",
        "x_pq",
        "x-secret",
        "x-pq",
        "x-quota",
        "x-other",
        "x-fixed-by",
        "cookie",
        "x-forwarded-for",
    ] {
        assert_eq!(values(&sent.fields, gone), [""; 0], "{gone}");
    }

    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "ext_authz"), "team-authz=allowed");
    let metrics = bed.gateway.metrics().await;
    let labels = [("authorizer", "team-authz"), ("result", "allowed")];
    assert_eq!(
        total(&metrics, "lockgate_ext_authz_duration_milliseconds_count", &labels),
        1.0
    );
    let dump = support::client::get(bed.gateway.admin, "/config_dump").await.text();
    let said = format!("{dump}{}{}", bed.gateway.read("stderr"), bed.gateway.read("access.log"));
    assert!(!said.contains("sesame-5tQ"), "the authorizer's key is shown");
}

#[tokio::test]
async fn an_authorizer_is_not_shown_a_certificate_that_the_client_made_up() {
    const FIELD: &str = "x-forwarded-client-cert";
    for (forwarding, shown) in [("SANITIZE_SET", None), ("ALWAYS_FORWARD_ONLY", Some("By=me"))] {
        let fields = "      includeRequestHeadersInCheck: [x-forwarded-client-cert, x-user]";
        let authorizer = Upstream::plain().await;
        let topology =
            format!("spec:\n  defaultConfig: {{gatewayTopology: {{forwardClientCertDetails: {forwarding}}}}}\n  ext");
        let text = asks(authorizer.addr.port(), fields, "[{}]").replacen("spec:\n  ext", &topology, 1);
        let bed = Bed::start(Transport::Plain, Setup::seed().file("authz.yaml", &text)).await;
        authorizer.answer(ok(&[]));
        let answer = send(&bed, post("test.com", &[(FIELD, "By=me"), ("x-user", "ann")], QUESTION)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let asked = authorizer.request().await;
        assert_eq!(asked.header("x-user"), Some("ann"));
        assert_eq!(asked.header(FIELD), shown, "{forwarding}");
    }
}

#[tokio::test]
async fn a_denial_is_the_authorizers_own_answer() {
    let denial = |fields: &[(&str, &str)], body: &str| Answer::whole("401 Nope", fields, body);
    let (authorizer, bed) = bed("").await;
    authorizer.answer(denial(
        &[
            ("content-type", "text/html"),
            ("www-authenticate", "Basic"),
            ("set-cookie", "a=b"),
            ("set-cookie", "c=d"),
            ("x-reason", "r"),
            ("server", "authz"),
            ("connection", "x-reason"),
        ],
        "log in",
    ));
    let answer = bed.ask("test.com").await;
    assert_eq!((answer.status, answer.text().as_str()), (401, "log in"));
    assert_eq!(answer.header("content-type"), Some("text/html"));
    assert_eq!(answer.header("www-authenticate"), Some("Basic"));
    assert_eq!(values(&answer.fields, "set-cookie"), ["a=b", "c=d"]);
    assert_eq!(values(&answer.fields, "content-length"), ["6"]);
    assert_eq!(answer.header("server"), None);
    assert!(answer.header("x-request-id").is_some());
    bed.assert_no_contact();
    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "response_flags"), "UAEX");
    assert_eq!(field(&line, "response_code_details"), "ext_authz_denied");
    assert_eq!(field(&line, "ext_authz"), "team-authz=denied");

    // Redirects of a login, and answers without a body or a type.
    authorizer.answer(Answer::whole("302 Found", &[("location", "http://idp.test/")], ""));
    let answer = bed.ask("test.com").await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (302, Some("http://idp.test/"))
    );
    authorizer.answer(Answer::whole("403 Forbidden", &[], "no"));
    let answer = bed.ask("test.com").await;
    assert_eq!(answer.header("content-type"), Some("text/plain"));

    let (authorizer, bed) = bed_with(LISTS, |setup| setup.env("CHECK_KEY", "k")).await;
    authorizer.answer(denial(
        &[
            ("x-reason", "r"),
            ("location", "/l"),
            ("set-cookie", "a=b"),
            ("content-type", "text/html"),
        ],
        "no",
    ));
    let answer = bed.ask("test.com").await;
    assert_eq!((answer.status, answer.text().as_str()), (401, "no"));
    assert_eq!(
        (answer.header("x-reason"), answer.header("location")),
        (Some("r"), Some("/l"))
    );
    assert_eq!(
        (answer.header("set-cookie"), answer.header("content-type")),
        (None, Some("text/plain"))
    );
    bed.assert_no_contact();
}

/// The status alone denies.
#[tokio::test]
async fn a_denial_stands_whatever_is_wrong_with_its_body_or_status() {
    let (authorizer, bed) = bed("      failOpen: true").await;
    for status in ["600 No", "999 No"] {
        authorizer.answer(Answer::whole(status, &[("x-reason", "r")], "no"));
        let answer = bed.ask("test.com").await;
        assert_eq!((answer.status, answer.text().as_str()), (403, ""), "{status}");
    }
    let long = "x".repeat(256 * 1024 + 1);
    for (what, answer) in [
        ("too long", Answer::whole("401 No", &[("x-reason", "r")], &long)),
        (
            "broken off",
            Answer::raw(b"HTTP/1.1 401 No\r\nx-reason: r\r\ncontent-length: 5\r\n\r\nabc"),
        ),
    ] {
        authorizer.answer(answer);
        let answer = bed.ask("test.com").await;
        assert_eq!((answer.status, answer.text().as_str()), (401, ""), "{what}");
        assert_eq!(answer.header("x-reason"), Some("r"), "{what}");
    }
    bed.assert_no_contact();
}

/// What must not be taken for a permission.
fn no_answers() -> Vec<(&'static str, Answer)> {
    let huge = "x".repeat(300 * 1024);
    vec![
        ("garbage", Answer::raw(b"hello\r\n\r\n")),
        ("nothing", Answer(vec![Step::Close])),
        ("half a head", Answer::raw(b"HTTP/1.1 200 OK\r\ncontent-le")),
        (
            "half a body",
            Answer::raw(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc"),
        ),
        ("a failure", Answer::whole("503 Busy", &[("x-reason", "r")], "busy")),
        ("a huge answer", Answer::whole("200 OK", &[], &huge)),
        (
            "two lengths",
            Answer::raw(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncontent-length: 1\r\n\r\na"),
        ),
        (
            "an upgrade",
            Answer::raw(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
        ),
    ]
}

#[tokio::test]
async fn without_an_answer_that_counts_requests_are_refused() {
    let (authorizer, bed) = bed("      statusOnError: '503'").await;
    for (what, answer) in no_answers() {
        authorizer.answer(answer);
        let answer = bed.ask("test.com").await;
        assert_eq!((answer.status, answer.text().as_str()), (503, ""), "{what}");
        assert_eq!(answer.header("x-reason"), None, "{what}");
    }
    bed.assert_no_contact();
    let lines = bed.gateway.log_of(no_answers().len()).await;
    for line in &lines {
        assert_eq!(field(line, "response_flags"), "UAEX", "{line}");
        assert_eq!(field(line, "response_code_details"), "ext_authz_error", "{line}");
        assert!(field(line, "ext_authz").starts_with("team-authz=error ("), "{line}");
    }
    let metrics = bed.gateway.metrics().await;
    let errors = total(
        &metrics,
        "lockgate_ext_authz_duration_milliseconds_count",
        &[("result", "error")],
    );
    assert_eq!(errors, f64::from(u32::try_from(no_answers().len()).expect("a few")));
}

/// In HTTP/2 a stream that is reset without an error ends like a whole one.
#[tokio::test]
async fn a_permission_over_http2_that_is_reset_does_not_count() {
    let raw = Raw::bind().await;
    let text = asks(raw.port(), "", "[{}]").replace("protocol: HTTP", "protocol: HTTP2");
    let setup = Setup::seed().args(&["--workers", "1"]).file("authz.yaml", &text);
    let bed = Bed::start(Transport::Plain, setup).await;
    let mut connection = None;
    for (is_reset, status) in [(true, 403), (false, 200)] {
        let mut client = Client::connect(bed.http()).await;
        client.send(post("test.com", &[], QUESTION)).await;
        if connection.is_none() {
            connection = Some(raw.accept().await);
        }
        let authorizer = connection.as_mut().expect("a connection");
        let stream = authorizer.asked().await;
        let head = frame(HEADERS, END_HEADERS, stream, &block(&[(":status", b"200")]));
        let end = match is_reset {
            true => [
                frame(DATA, 0, stream, b"x"),
                frame(RST_STREAM, 0, stream, &NO_ERROR.to_be_bytes()),
            ]
            .concat(),
            false => frame(DATA, END_STREAM, stream, b"x"),
        };
        assert!(authorizer.send(&[head, end].concat()).await);
        assert_eq!(client.response().await.status, status);
    }
}

#[tokio::test]
async fn an_authorizer_that_is_down_refuses_unless_it_fails_open() {
    let nobody = support::ports::Port::lease();
    let start = async |fields: &str| {
        let setup = Setup::seed().file("authz.yaml", &asks(nobody.number, fields, "[{}]"));
        Bed::start(Transport::Plain, setup).await
    };
    let closed = start("").await;
    let answer = closed.ask("test.com").await;
    assert_eq!((answer.status, answer.text().as_str()), (403, ""), "Envoy's default");
    closed.assert_no_contact();

    let open = start("      failOpen: true").await;
    assert_eq!(open.ask("test.com").await.status, 200);
    let line = open.gateway.log_of(1).await.remove(0);
    assert!(
        field(&line, "ext_authz").starts_with("team-authz=error (connect:"),
        "{line}"
    );
}

#[tokio::test]
async fn a_slow_authorizer_is_waited_for_as_long_as_it_may_take() {
    let (authorizer, bed) = bed("      timeout: 300ms").await;
    let never = Gate::new();
    authorizer.answer(Answer(vec![Step::Wait(never.clone())]));
    let began = Instant::now();
    assert_eq!(bed.ask("test.com").await.status, 403);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(290), "{took:?}");
    // A head alone is no answer: a drip-fed body must not hold a request either.
    let drip = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\na".to_vec();
    authorizer.answer(Answer(vec![Step::Send(drip), Step::Wait(never)]));
    assert_eq!(bed.ask("test.com").await.status, 403);
    bed.assert_no_contact();
    let lines = bed.gateway.log_of(2).await;
    assert_eq!(field(&lines[0], "ext_authz"), "team-authz=error (no answer in time)");
    assert_eq!(
        bed.ask("test.com").await.status,
        200,
        "the next question is on a new connection"
    );
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_question_back() {
    let (authorizer, bed) = bed("").await;
    let gate = Gate::new();
    let late = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec();
    authorizer.answer(Answer(vec![Step::Wait(gate.clone()), Step::Send(late)]));
    let mut client = Client::connect(bed.http()).await;
    client.send(post("test.com", &[], QUESTION)).await;
    authorizer.request().await;
    let left = Instant::now();
    client.reset();
    let closed = authorizer.closed(0).await;
    assert!(
        closed.duration_since(left) < Duration::from_secs(1),
        "the question was not taken back"
    );
    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "ext_authz"), "team-authz=cancelled");
    let labels = [("authorizer", "team-authz"), ("result", "cancelled")];
    let metrics = bed.gateway.metrics().await;
    let name = "lockgate_ext_authz_duration_milliseconds_count";
    assert_eq!(total(&metrics, name, &labels), 1.0);
    gate.open();
    // CVE-2026-47205: an answer that comes too late goes nowhere, and the gateway goes on.
    assert_eq!(bed.ask("test.com").await.status, 200);
    assert_eq!(bed.upstream.request_count(), 1);
}

#[tokio::test]
async fn only_requests_that_a_policy_matches_and_a_route_takes_are_asked_about() {
    let authorizer = Upstream::plain().await;
    let rules = "[{to: [{operation: {paths: [/secret*]}}]}]";
    let setup = Setup::seed().file("authz.yaml", &asks(authorizer.addr.port(), "", rules));
    let bed = Bed::start(Transport::Plain, setup).await;
    assert_eq!(bed.ask("test.com").await.status, 200);
    let secret = |host| {
        request(
            "POST",
            "/x/../secret",
            host,
            &[("content-type", "application/json")],
            QUESTION,
        )
    };
    assert_eq!(send(&bed, secret("nowhere.test")).await.status, 404);
    assert_eq!(authorizer.request_count(), 0);
    assert_eq!(send(&bed, secret("test.com")).await.status, 200);
    assert_eq!(authorizer.request().await.request_line, "POST /secret HTTP/1.1");
    // CVE-2026-73547: a request without a path is refused, and nobody falls over.
    let connect = send(&bed, "CONNECT test.com:443 HTTP/1.1\r\nhost: test.com:443\r\n\r\n").await;
    assert!((400..500).contains(&connect.status), "{}", connect.status);
    assert_eq!(bed.ask("test.com").await.status, 200);
}

const WHOLE_BODY: &str = "      includeRequestBodyInCheck: {maxRequestBytes: 300}";
const PARTIAL_BODY: &str = "      includeRequestBodyInCheck: {maxRequestBytes: 8, allowPartialMessage: true}";

#[tokio::test]
async fn an_authorizer_that_asks_for_the_body_gets_it() {
    let (authorizer, bed) = bed(WHOLE_BODY).await;
    assert_eq!(bed.ask("test.com").await.status, 200);
    let check = authorizer.request().await;
    assert_eq!(check.text(), QUESTION);
    assert_eq!(check.header("x-envoy-auth-partial-body"), Some("false"));
    bed.assert_forwarded(&bed.upstream.request().await);

    // One that is no JSON is judged as it is, and refused only when the authorizer has let it pass.
    authorizer.answer(Answer::whole("403 Forbidden", &[], "no"));
    assert_eq!(bed.ask_body("test.com", "hello").await.text(), "no");
    assert_eq!(authorizer.request().await.text(), "hello");
    bed.ask_body("test.com", "hello").await.openai_error(400);
    assert_eq!(authorizer.request().await.text(), "hello");

    let (authorizer, bed) = self::bed(PARTIAL_BODY).await;
    assert_eq!(bed.ask("test.com").await.status, 200);
    let check = authorizer.request().await;
    assert_eq!(check.text(), QUESTION.chars().take(8).collect::<String>());
    assert_eq!(check.header("x-envoy-auth-partial-body"), Some("true"));
    bed.assert_forwarded(&bed.upstream.request().await);
    let get = send(&bed, "GET / HTTP/1.1\r\nhost: test.com\r\n\r\n").await;
    assert_eq!(get.status, 405, "the provider's path is fixed");
    assert_eq!(authorizer.request().await.header("x-envoy-auth-partial-body"), None);
}

/// Its policy stops reading at what is wrong with it; the authorizer reads it differently.
#[tokio::test]
async fn an_authorizer_gets_all_of_a_body_that_its_policy_cannot_read() {
    let authorizer = Upstream::plain().await;
    let rules = "[{when: [{key: 'request.llm[model]', values: [x]}]}]";
    let text = asks(authorizer.addr.port(), WHOLE_BODY, rules).replace("security.istio.io/v1", "lockgate.dev/v1");
    let bed = Bed::start(Transport::Plain, Setup::seed().file("authz.yaml", &text)).await;
    for pieces in [&["hello"][..], &["{\"model\":\"x\"}", " junk", " and more"]] {
        authorizer.answer(Answer::whole("403 Forbidden", &[], "no"));
        let mut client = Client::connect(bed.http()).await;
        client
            .send("POST / HTTP/1.1\r\nhost: test.com\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        for piece in pieces {
            client.send(&support::wire::chunk(piece.as_bytes())).await;
        }
        client.send("0\r\n\r\n").await;
        assert_eq!(client.response().await.text(), "no");
        let check = authorizer.request().await;
        assert_eq!(check.text(), pieces.concat());
        assert_eq!(check.header("x-envoy-auth-partial-body"), Some("false"));
    }
    let form = [("content-type", "multipart/form-data; boundary=a")];
    let answer = send(&bed, request("POST", "/", "test.com", &form, "--a--")).await;
    answer.openai_error(415);
    assert_eq!(authorizer.request().await.text(), "--a--");
    bed.assert_no_contact();
}

#[tokio::test]
async fn a_body_that_is_too_large_to_be_judged_is_refused_before_it_is_read() {
    // Even when the authorizer may fail: its maxRequestBytes is a bound (CVE-2024-34364).
    let (authorizer, bed) = bed(&format!("{WHOLE_BODY}\n      failOpen: true")).await;
    let head = "POST / HTTP/1.1\r\nhost: test.com\r\ncontent-type: application/json\r\n";
    let mut told = Client::connect(bed.http()).await;
    told.send(format!("{head}content-length: 1000000000\r\n\r\n{{")).await;
    told.response().await.openai_error(413);
    let mut chunked = Client::connect(bed.http()).await;
    chunked.send(format!("{head}transfer-encoding: chunked\r\n\r\n")).await;
    let piece = support::wire::chunk(&[b' '; 200]);
    chunked.send(&piece).await;
    chunked.send(&piece).await;
    chunked.response().await.openai_error(413);
    assert_eq!(authorizer.request_count(), 0);
    bed.assert_no_contact();
    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "ext_authz"), "team-authz=body_too_large");
}

#[tokio::test]
async fn what_the_authorizer_says_of_a_request_is_what_policy_judges() {
    let allow = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow, namespace: istio-system}
spec: {rules: [{when: [{key: 'request.headers[x-user]', values: [ann]}]}]}
";
    let fields = "      headersToUpstreamOnAllow: [x-user]";
    let (authorizer, bed) = bed_with(fields, |setup| setup.file("allow.yaml", allow)).await;
    authorizer.answer(ok(&[("x-user", "eve")]));
    let spoofed = send(&bed, post("test.com", &[("x-user", "ann")], QUESTION)).await;
    bed.assert_denied(&spoofed);
    authorizer.answer(ok(&[("x-user", "ann")]));
    assert_eq!(bed.ask("test.com").await.status, 200);
}

/// What an authorizer says of the client is not the client's own word.
#[tokio::test]
async fn what_the_authorizer_sets_reaches_plain_hosts_whatever_it_is_called() {
    const NAMES: [&str; 9] = [
        "x-forwarded-user",
        "x-forwarded-access-token",
        "x-forwarded-host",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-real-ip",
        "forwarded",
        "x-envoy-foo",
        "x_forwarded_user",
    ];
    let fields = format!(
        "      includeRequestHeadersInCheck: ['x*', forwarded]\n      headersToUpstreamOnAllow: [{}, x-forwarded-client-cert]",
        NAMES.join(", ")
    );
    let host = Upstream::plain().await;
    let route = support::bed::plain_host(host.addr.port(), "ingress-gw", "plain.example");
    let policy = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: only, namespace: istio-system}
spec:
  action: DENY
  rules:
  - when: [{key: 'request.headers[x-forwarded-user]', notValues: [said]}]
";
    let more = |setup: Setup| setup.file("plain.yaml", &route).file("only.yaml", policy);
    let (authorizer, bed) = bed_with(&fields, more).await;
    let said: Vec<_> = NAMES.iter().map(|name| (*name, "said")).collect();
    let claimed: Vec<_> = NAMES.iter().map(|name| (*name, "claimed")).collect();
    authorizer.answer(ok(&[&said[..], &[("x-forwarded-client-cert", "By=me")]].concat()));
    let answer = send(&bed, request("GET", "/", "plain.example", &claimed, "")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let asked = authorizer.request().await;
    let sent = host.request().await;
    for name in NAMES {
        let shown = match name {
            "x-forwarded-for" => Some("claimed,127.0.0.1"),
            "x-forwarded-proto" => Some("http"),
            _ => None,
        };
        assert_eq!(asked.header(name), shown, "{name}");
        assert_eq!(values(&sent.fields, name), ["said"], "{name}");
    }
    assert_eq!(sent.header("x-envoy-external-address"), Some("127.0.0.1"));
    // It is the gateway's to say.
    assert_eq!(sent.header("x-forwarded-client-cert"), None);
}

#[tokio::test]
async fn a_client_cannot_have_taken_away_what_the_authorizer_adds() {
    let fields = "      includeRequestHeadersInCheck: [x-plain, x-once]
      headersToUpstreamOnAllow: [x-user]";
    let (authorizer, bed) = bed(fields).await;
    authorizer.answer(ok(&[("x-user", "ann")]));
    let sent = [
        ("connection", "x-user, x-once"),
        ("x-user", "root"),
        ("x-once", "1"),
        ("x-plain", "2"),
    ];
    assert_eq!(send(&bed, post("test.com", &sent, QUESTION)).await.status, 200);
    let check = authorizer.request().await;
    assert_eq!((check.header("x-once"), check.header("x-plain")), (None, Some("2")));
    let sent = bed.upstream.request().await;
    assert_eq!((sent.header("x-once"), sent.header("x-plain")), (None, Some("2")));
    assert_eq!(values(&sent.fields, "x-user"), ["ann"]);
}

/// CVE-2026-73547 and what Envoy 1.40 does: such a request stopped the check, or was not checked at all.
#[tokio::test]
async fn a_request_that_names_no_path_is_refused_without_a_question() {
    let (authorizer, bed) = bed("").await;
    for head in ["CONNECT h:443", "OPTIONS *", "GET *"] {
        let answer = send(&bed, format!("{head} HTTP/1.1\r\nhost: h:443\r\n\r\n")).await;
        let wanted = if head == "OPTIONS *" { 404 } else { 400 };
        assert_eq!(answer.status, wanted, "{head}");
    }
    assert_eq!(authorizer.request_count(), 0);
    assert_eq!(bed.ask("test.com").await.status, 200);
    assert_eq!(authorizer.request_count(), 1);
}

#[tokio::test]
async fn a_reload_asks_the_new_authorizer_and_a_broken_one_changes_nothing() {
    let (before, bed) = bed("").await;
    let after = Upstream::plain().await;
    assert_eq!(bed.ask("test.com").await.status, 200);
    assert_eq!(before.request_count(), 1);
    let file = bed.gateway.config().join("authz.yaml");
    let port = |upstream: &Upstream| format!("targetPort: {}", upstream.addr.port());
    support::gateway::edit(&file, "provider: {name: team-authz}", "provider: {name: nobody}");
    eventually("the reload is refused", || async {
        bed.gateway.read("stderr").contains("nobody").then_some(())
    })
    .await;
    assert_eq!(bed.ask("test.com").await.status, 200);
    assert_eq!(before.request_count(), 2);
    support::gateway::edit(&file, "provider: {name: nobody}", "provider: {name: team-authz}");
    support::gateway::edit(&file, &port(&before), &port(&after));
    eventually("the new authorizer is asked", || async {
        assert_eq!(bed.ask("test.com").await.status, 200);
        (after.request_count() > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn explain_says_whom_it_would_ask_and_takes_what_they_would_say() {
    let setup = Setup::seed().file(
        "authz.yaml",
        &support::gateway::example("external-authorization/external-authorization.yaml"),
    );
    let explain = async |checks: &[&str]| {
        let rest = ["-d", QUESTION, "http://test.com/chat"];
        setup.run("explain", &[checks, &rest].concat()).await
    };
    let asked = explain(&[]).await;
    assert_eq!(asked.code, 0, "{}", asked.all());
    for wanted in [
        "CUSTOM istio-system/ask-team-authz (asks team-authz) matches",
        "connect    http://127.0.0.1:8000",
        "call       POST /check/chat",
    ] {
        assert!(asked.stdout.contains(wanted), "no {wanted:?} in {}", asked.stdout);
    }
    let allowed = explain(&[
        "--checks",
        r#"{"team-authz": {"decision": "allow", "setHeaders": [["x-user", "ann"]]}}"#,
    ])
    .await;
    assert!(allowed.stdout.contains("x-user: ann"), "{}", allowed.all());
    let denied = explain(&["--checks", r#"{"team-authz": {"decision": "deny", "status": 401}}"#]).await;
    assert!(
        denied.stdout.contains("REFUSE with 401 (ext_authz_denied)"),
        "{}",
        denied.all()
    );
    for (checks, wanted) in [
        (r#"{"team-auth": {"decision": "deny"}}"#, "did you mean `team-authz`?"),
        (
            r#"{"team-authz": {"decision": "allow", "setHeaders": [["x-team", "red"]]}}"#,
            "the authorizer `team-authz` cannot set `x-team`: its `headersToUpstreamOnAllow` has `x-user`",
        ),
        (
            r#"{"team-authz": {"decision": "maybe"}}"#,
            "--checks: unknown variant `maybe`",
        ),
        ("{", "--checks: not JSON"),
    ] {
        let wrong = explain(&["--checks", checks]).await;
        assert_eq!(wrong.code, 2, "{}", wrong.all());
        assert!(wrong.stderr.contains(wanted), "no {wanted:?} in {}", wrong.stderr);
    }
}
