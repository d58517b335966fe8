//! External authorization over gRPC: the real binary asks a real HTTP/2 server, which reads and writes Envoy's published
//! messages.

#![allow(clippy::panic, clippy::expect_used, reason = "a helper of tests fails by panicking")]

#[cfg(test)]
mod support;

use core::net::Ipv4Addr;
use core::time::Duration;
use std::time::Instant;

use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption, QueryParameter, address};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use support::authorizer::{Answer, Authorizer, verdict, yes};
use support::bed::{Bed, Transport};
use support::client::{Client, Response, post, request};
use support::frames::{PING, frame};
use support::gateway::Setup;
use support::http2_upstream::Raw;
use support::outputs::field;
use support::pki;
use support::wire::values;
use support::{QUESTION, eventually, within_patience};
use tokio::net::TcpListener;

fn asks(port: u16, fields: &str) -> String {
    format!(
        "apiVersion: lockgate.dev/v1
kind: MeshConfig
metadata: {{name: edge, namespace: istio-system}}
spec:
  extensionProviders:
  - name: team-authz
    envoyExtAuthzGrpc:
      service: istio-system/Authz.test
      port: '9000'
{fields}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: authz, namespace: istio-system}}
spec:
  hosts: [authz.test]
  ports: [{{number: 9000, name: grpc, protocol: HTTP2, targetPort: {port}}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: ask, namespace: istio-system}}
spec:
  action: CUSTOM
  provider: {{name: team-authz}}
  rules: [{{}}]
"
    )
}

async fn bed(fields: &str) -> (Authorizer, Bed) {
    let authorizer = Authorizer::plain().await;
    let setup = Setup::seed()
        .args(&["--workers", "1"])
        .file("authz.yaml", &asks(authorizer.addr.port(), fields));
    let bed = Bed::start(Transport::Plain, setup).await;
    (authorizer, bed)
}

async fn send(bed: &Bed, bytes: impl AsRef<[u8]>) -> Response {
    let mut client = Client::connect(bed.http()).await;
    client.send(bytes).await;
    client.response().await
}

fn http_of(message: &CheckRequest) -> HttpRequest {
    let attributes = message.attributes.as_ref().expect("attributes");
    let request = attributes.request.as_ref().expect("a request");
    assert!(request.time.as_ref().is_some_and(|time| time.seconds > 1_700_000_000));
    request.http.clone().expect("an HTTP request")
}

fn address_of(peer: Option<&Peer>) -> (String, bool) {
    let address = peer.and_then(|peer| peer.address.as_ref()).expect("an address");
    match address.address.as_ref() {
        Some(address::Address::SocketAddress(socket)) => (socket.address.clone(), socket.port_specifier.is_some()),
        other => panic!("{other:?}"),
    }
}

fn header(key: &str, value: &str) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue {
            key: key.to_owned(),
            value: value.to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[expect(deprecated, reason = "authorizers still write it, and Envoy reads it")]
fn appended(key: &str, value: &str, append: bool) -> HeaderValueOption {
    HeaderValueOption {
        append: Some(envoy_types::pb::google::protobuf::BoolValue { value: append }),
        ..header(key, value)
    }
}

fn allow(ok: OkHttpResponse) -> CheckResponse {
    verdict(0, Some(HttpResponse::OkResponse(ok)))
}

fn deny(code: i32, status: i32, headers: Vec<HeaderValueOption>, body: &str) -> CheckResponse {
    let denied = DeniedHttpResponse {
        status: Some(HttpStatus { code: status }),
        headers,
        body: body.to_owned(),
    };
    verdict(code, Some(HttpResponse::DeniedResponse(denied)))
}

#[tokio::test]
async fn an_authorizer_is_sent_the_request_as_envoy_tells_it() {
    let (authorizer, bed) = bed("").await;
    let answer = send(
        &bed,
        request(
            "POST",
            "/x/../chat?key=1",
            "TEST.com:80",
            &[
                ("x-token", "user"),
                ("x-token", "admin"),
                ("cookie", "a=1"),
                ("cookie", "b=2"),
                ("authorization", "Bearer t"),
                ("x-envoy-internal", "true"),
                ("x-forwarded-for", "9.9.9.9"),
                ("x-request-id", "req-1"),
                ("connection", "keep-alive, x-hop"),
                ("x-hop", "h"),
                ("content-type", "application/json"),
            ],
            QUESTION,
        ),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let asked = authorizer.asked().await;
    assert_eq!(asked.path, "/envoy.service.auth.v3.Authorization/Check");
    assert_eq!(asked.authority.as_deref(), Some("authz.test"));
    let http = http_of(&asked.message);
    assert_eq!((&*http.method, &*http.path), ("POST", "/chat?key=1"));
    assert_eq!(
        (&*http.host, &*http.scheme, &*http.protocol),
        ("TEST.com:80", "http", "HTTP/1.1")
    );
    assert_eq!((&*http.id, http.size), ("req-1", QUESTION.len() as i64));
    assert_eq!((&*http.body, http.raw_body.len()), ("", 0));
    let mut headers: Vec<(&str, &str)> = http.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    headers.sort_unstable();
    let length = QUESTION.len().to_string();
    assert_eq!(
        headers,
        [
            (":authority", "TEST.com:80"),
            (":method", "POST"),
            (":path", "/chat?key=1"),
            (":scheme", "http"),
            ("authorization", "Bearer t"),
            ("content-length", length.as_str()),
            ("content-type", "application/json"),
            ("cookie", "a=1; b=2"),
            ("x-envoy-external-address", "127.0.0.1"),
            ("x-forwarded-for", "9.9.9.9,127.0.0.1"),
            ("x-forwarded-proto", "http"),
            ("x-request-id", "req-1"),
            ("x-token", "user,admin"),
        ]
    );
    let attributes = asked.message.attributes.as_ref().expect("attributes");
    assert_eq!(address_of(attributes.source.as_ref()), ("127.0.0.1".to_owned(), true));
    assert_eq!(
        address_of(attributes.destination.as_ref()),
        ("127.0.0.1".to_owned(), true)
    );
}

#[tokio::test]
async fn the_body_goes_as_text_or_as_bytes() {
    let (authorizer, bed) =
        bed("      includeRequestBodyInCheck: {maxRequestBytes: 12, allowPartialMessage: true}").await;
    assert_eq!(bed.ask("test.com").await.status, 200);
    let http = http_of(&authorizer.asked().await.message);
    assert_eq!(
        (&*http.body, http.raw_body.len()),
        (&*QUESTION.chars().take(12).collect::<String>(), 0)
    );
    assert_eq!(
        http.headers.get("x-envoy-auth-partial-body").map(String::as_str),
        Some("true")
    );

    let raw = "      includeRequestBodyInCheck: {maxRequestBytes: 1000, packAsBytes: true}";
    let (authorizer, bed) = self::bed(raw).await;
    assert_eq!(bed.ask("test.com").await.status, 200);
    let http = http_of(&authorizer.asked().await.message);
    assert_eq!((&*http.body, &http.raw_body[..]), ("", QUESTION.as_bytes()));
    assert_eq!(
        http.headers.get("x-envoy-auth-partial-body").map(String::as_str),
        Some("false")
    );
    bed.assert_forwarded(&bed.upstream.request().await);
}

#[tokio::test]
async fn a_large_body_is_sent_without_a_copy_of_it() {
    const BYTES: usize = 24 << 20;
    for (fields, wanted) in [
        ("maxRequestBytes: 33554432", "\u{20ac}!"),
        ("maxRequestBytes: 33554432, packAsBytes: true", ""),
    ] {
        let (authorizer, bed) = bed(&format!("      includeRequestBodyInCheck: {{{fields}}}")).await;
        assert_eq!(bed.ask("test.com").await.status, 200);
        authorizer.asked().await;
        let before = bed.gateway.peak();
        authorizer.say(deny(7, 401, Vec::new(), ""));
        // Characters of three bytes that no two pieces of the body begin alike, and what is none.
        let sent = b"\xe2\x82\xac\xff".repeat(BYTES / 4);
        assert_eq!(send(&bed, post("test.com", &[], &sent)).await.status, 401);
        let http = http_of(&authorizer.asked().await.message);
        match wanted {
            "" => assert!(http.body.is_empty() && http.raw_body == sent),
            wanted => assert!(http.raw_body.is_empty() && http.body == wanted.repeat(BYTES / 4)),
        }
        let grown = bed.gateway.peak().saturating_sub(before);
        assert!(grown < BYTES as u64 * 3 / 2, "{grown} bytes");
    }
}

#[tokio::test]
async fn the_size_is_what_the_client_says_or_what_was_read() {
    let whole = "      includeRequestBodyInCheck: {maxRequestBytes: 4, allowPartialMessage: true}";
    for (fields, chunked) in [("", -1), (whole, 10)] {
        let (authorizer, bed) = bed(fields).await;
        let head = "POST / HTTP/1.1\r\nhost: test.com\r\ncontent-type: application/json\r\n";
        for (framing, wanted) in [
            (
                "transfer-encoding: chunked\r\n\r\na\r\n          \r\n0\r\n\r\n",
                chunked,
            ),
            ("content-length: 10\r\n\r\n          ", 10),
            ("content-length: 0\r\n\r\n", 0),
        ] {
            authorizer.say(deny(7, 401, Vec::new(), ""));
            assert_eq!(send(&bed, format!("{head}{framing}")).await.status, 401);
            assert_eq!(
                http_of(&authorizer.asked().await.message).size,
                wanted,
                "{fields}: {framing}"
            );
        }
    }
}

/// A host whose answer tells what an authorizer has made of two fields.
const SHOP: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: istio-system}
spec:
  hosts: [shop.test]
  gateways: [ingress-gw]
  http:
  - match: [{headers: {x-from: {regex: caf.}, x-place: {regex: caf.}, x-colour: {exact: 'blue,dark'}}}]
    directResponse: {status: 297}
  - directResponse: {status: 296}
";

#[tokio::test]
async fn what_a_permission_changes_is_decided_again_from_its_capsule() {
    let authorizer = Authorizer::plain().await;
    let text = asks(authorizer.addr.port(), "      clearRouteCache: true");
    let setup = || Setup::seed().file("authz.yaml", &text).file("shop.yaml", SHOP);
    let serving = setup();
    let file = serving.aside("capsules.jsonl", "");
    let path = file.display().to_string();
    let mut bed = Bed::start(Transport::Plain, serving.args(&["--capsule", &path])).await;
    let place = HeaderValueOption {
        header: Some(HeaderValue {
            key: "x-place".to_owned(),
            raw_value: b"caf\xe9".to_vec(),
            ..Default::default()
        }),
        ..Default::default()
    };
    authorizer.say(allow(OkHttpResponse {
        headers: vec![place, appended("x-colour", "dark", true)],
        headers_to_remove: vec!["x-old".to_owned()],
        ..Default::default()
    }));
    let head = b"GET /a HTTP/1.1\r\nhost: shop.test\r\nx-colour: blue\r\nx-colour: red\r\nx-from: caf\xe9\r\n\r\n";
    assert_eq!(send(&bed, head).await.status, 297);
    bed.gateway.signal("TERM");
    assert!(bed.gateway.ends().await.success());

    let text = std::fs::read_to_string(&file).expect("capsules");
    let capsule: serde_json::Value = serde_json::from_str(&text).expect("one capsule");
    assert_eq!(
        (&capsule["reproduces"], &capsule["verdict"]["status"]),
        (&true.into(), &297.into())
    );
    let bytes = serde_json::json!({ "base64": "Y2Fm6Q==" });
    let sent = capsule["request"]["headers"].as_array().expect("header fields");
    assert!(sent.contains(&serde_json::json!(["x-from", bytes])), "{text}");
    assert_eq!(
        capsule["request"]["checks"]["team-authz"],
        serde_json::json!({
            "decision": "allow",
            "setHeaders": [["x-place", bytes], ["x-colour", "blue,dark"], ["x-colour", "red"]],
            "removeHeaders": ["x-old"],
        })
    );
    let again = setup().provider_at(&bed.upstream);
    let file = again.aside("capsules.jsonl", &text);
    let said = again.run("explain", &["--capsule", &file.display().to_string()]).await;
    assert_eq!(said.code, 0, "{}", said.all());
    for part in [
        "RESPOND with 297",
        "1 decided as recorded, 0 otherwise; all by this snapshot",
    ] {
        assert!(said.stdout.contains(part), "no {part} in {}", said.stdout);
    }
}

#[tokio::test]
async fn what_a_permission_changes_goes_on() {
    let (authorizer, bed) = bed("").await;
    authorizer.say(allow(OkHttpResponse {
        headers: vec![
            header("x-user", "ann"),
            appended("x-token", "more", true),
            appended("x-absent", "left alone", true),
            appended("x-early", "2", true),
            header("x-early", "1"),
            appended("x-set", "yes", false),
            header("X-Upper", "u"),
        ],
        headers_to_remove: vec!["x-secret".to_owned(), "Host".to_owned(), ":path".to_owned()],
        response_headers_to_add: vec![header("x-quota", "7"), header("x-quota", "8")],
        ..Default::default()
    }));
    let fields = [
        ("x-user", "root"),
        ("x-token", "1"),
        ("x-token", "2"),
        ("x-secret", "s"),
    ];
    let answer = send(&bed, post("test.com", &fields, QUESTION)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(values(&answer.fields, "x-quota"), ["7", "8"]);
    let sent = bed.upstream.request().await;
    bed.assert_forwarded(&sent);
    for (name, wanted) in [
        ("x-user", &["ann"][..]),
        ("x-token", &["1,more", "2"]),
        ("x-absent", &[]),
        ("x-early", &["1,2"]),
        ("x-set", &["yes"]),
        ("x-upper", &["u"]),
        ("x-secret", &[]),
        ("x-quota", &[]),
    ] {
        assert_eq!(values(&sent.fields, name), wanted, "{name}");
    }
}

/// As Envoy 1.40 does, which was asked with the same messages.
#[tokio::test]
async fn a_permission_changes_the_answer_in_envoys_ways() {
    let (authorizer, bed) = bed("").await;
    let added = |value| header("x-a", value);
    let set = |value| appended("x-a", value, false);
    let [if_absent, overwrite, if_there] = [1, 2, 3].map(|action| {
        move |value: &str| HeaderValueOption {
            append_action: action,
            ..header("x-a", value)
        }
    });
    let both = |append, action, value: &str| HeaderValueOption {
        append_action: action,
        ..appended("x-a", value, append)
    };
    for (changes, with_one, without) in [
        (vec![added("1")], &["up", "1"][..], &["1"][..]),
        (vec![appended("x-a", "1", true)], &["up", "1"], &["1"]),
        (vec![set("1")], &["1"], &["1"]),
        (vec![overwrite("1")], &["1"], &["1"]),
        (vec![if_absent("1")], &["up"], &["1"]),
        (vec![if_there("1")], &["1"], &[]),
        (vec![both(true, 2, "1")], &["up", "1"], &["1"]),
        (vec![both(false, 1, "1")], &["1"], &["1"]),
        (vec![both(false, 3, "1")], &["1"], &["1"]),
        (
            vec![HeaderValueOption {
                append_action: 9,
                ..added("1")
            }],
            &["up"],
            &[],
        ),
        (vec![set("1"), added("2")], &["1"], &["1"]),
        (vec![set("1"), set("2")], &["2"], &["2"]),
        (vec![if_absent("1"), added("2")], &["up", "2"], &["2"]),
        (vec![if_absent("1"), if_absent("2")], &["up"], &["1"]),
        (vec![if_there("1"), if_absent("2")], &["1"], &["1"]),
        (vec![if_there("1"), added("2")], &["1"], &["1"]),
    ] {
        for (upstreams, wanted) in [(&[("x-a", "up")][..], with_one), (&[], without)] {
            authorizer.say(allow(OkHttpResponse {
                response_headers_to_add: changes.clone(),
                ..Default::default()
            }));
            bed.upstream
                .answer(support::upstream::Answer::whole("200 OK", upstreams, "{}"));
            let answer = bed.ask("test.com").await;
            assert_eq!(values(&answer.fields, "x-a"), wanted, "{changes:?}");
        }
    }
}

#[tokio::test]
async fn a_denial_is_the_authorizers_own_answer() {
    let (authorizer, bed) = bed("").await;
    authorizer.say(deny(
        7,
        401,
        vec![
            header("x-reason", "1"),
            header("x-reason", "2"),
            header("set-cookie", "a=b"),
        ],
        "go away",
    ));
    let answer = bed.ask("test.com").await;
    assert_eq!((answer.status, answer.text().as_str()), (401, "go away"));
    assert_eq!(values(&answer.fields, "x-reason"), ["1", "2"]);
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    for (what, said) in [
        ("no more than a status", verdict(16, None)),
        ("no status for the client", deny(7, 0, Vec::new(), "")),
        ("a yes and a no", deny(0, 0, Vec::new(), "")),
        (
            "a no with a permission",
            verdict(7, Some(HttpResponse::OkResponse(OkHttpResponse::default()))),
        ),
    ] {
        authorizer.say(said);
        let answer = bed.ask("test.com").await;
        assert_eq!((answer.status, answer.text().as_str()), (403, ""), "{what}");
    }
    bed.assert_no_contact();
    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "response_flags"), "UAEX");
    assert_eq!(field(&line, "response_code_details"), "ext_authz_denied");
}

/// What is wrong with the answer for the client makes no permission of a denial.
#[tokio::test]
async fn a_denial_stands_whatever_is_wrong_with_its_answer() {
    let (authorizer, bed) = bed("      failOpen: true").await;
    for (name, value) in [
        ("content-length", "3"),
        ("Connection", "x-reason"),
        ("transfer-encoding", "chunked"),
        ("host", "evil.test"),
        ("te", "trailers"),
        (":status", "200"),
        ("x-a", "b\nc: d"),
        ("x a", "b"),
    ] {
        let fields = vec![
            header("location", "/login"),
            header(name, value),
            header("x-reason", "r"),
        ];
        authorizer.say(deny(7, 302, fields, "log in"));
        let answer = bed.ask("test.com").await;
        assert_eq!((answer.status, answer.text().as_str()), (302, "log in"), "{name}");
        assert_eq!(answer.header("location"), Some("/login"), "{name}");
        assert_eq!(answer.header("x-reason"), Some("r"), "{name}");
        assert_eq!(values(&answer.fields, "content-length"), ["6"], "{name}");
        for left_out in ["transfer-encoding", "host", "te", "c", "x-a"] {
            assert_eq!(answer.header(left_out), None, "{name}");
        }
    }
    for status in [-1, 42, 99, 101, 600, 999, 1000, 70_000] {
        authorizer.say(deny(7, status, vec![header("x-reason", "r")], "no"));
        let answer = bed.ask("test.com").await;
        assert_eq!((answer.status, answer.text().as_str()), (403, "no"), "{status}");
        assert_eq!(answer.header("x-reason"), Some("r"), "{status}");
    }
    let many = (0..25_000).map(|index| header(&format!("{index:x}"), "")).collect();
    authorizer.say(deny(7, 401, many, ""));
    assert_eq!(bed.ask("test.com").await.status, 401);
    let huge = deny(7, 401, Vec::new(), &"x".repeat(300 * 1024));
    for answer in [Answer::Message(Box::new(huge)), Answer::Bytes(vec![0; 300 * 1024])] {
        authorizer.answer(answer);
        let answer = bed.ask("test.com").await;
        assert_eq!((answer.status, answer.text().as_str()), (403, ""), "over the bound");
    }
    bed.assert_no_contact();
    authorizer.answer(Answer::Status(11));
    assert_eq!(bed.ask("test.com").await.status, 200, "a failed call is no denial");
}

/// Envoy 1.40 takes the last one, be it a permission after a denial.
#[tokio::test]
async fn more_messages_than_one_deny() {
    let (authorizer, bed) = bed("      failOpen: true").await;
    let no = || deny(7, 401, Vec::new(), "no");
    for messages in [vec![yes(), no()], vec![no(), yes()], vec![yes(), yes()]] {
        authorizer.answer(Answer::Messages(messages));
        let answer = bed.ask("test.com").await;
        assert_eq!((answer.status, answer.text().as_str()), (403, ""));
    }
    bed.assert_no_contact();
    authorizer.answer(Answer::Messages(Vec::new()));
    assert_eq!(bed.ask("test.com").await.status, 200, "no message is no denial");
}

#[tokio::test]
async fn a_permission_may_leave_its_status_out() {
    let (authorizer, bed) = bed("").await;
    authorizer.say(CheckResponse {
        status: None,
        ..allow(OkHttpResponse::default())
    });
    assert_eq!(bed.ask("test.com").await.status, 200);
    authorizer.say(yes());
    assert_eq!(bed.ask("test.com").await.status, 200);
}

#[tokio::test]
async fn without_an_answer_that_counts_requests_are_refused() {
    let (authorizer, bed) = bed("      statusOnError: '503'").await;
    let failure = DeniedHttpResponse::default();
    let changes = |header| {
        allow(OkHttpResponse {
            headers: vec![header],
            ..Default::default()
        })
    };
    let message = |message: CheckResponse| Answer::Message(Box::new(message));
    let cases = [
        ("an empty message", message(CheckResponse::default())),
        (
            "a failure of its own",
            message(verdict(0, Some(HttpResponse::ErrorResponse(failure)))),
        ),
        ("rubbish", Answer::Bytes(vec![0xff; 9])),
        ("no gRPC", Answer::NotGrpc),
        ("a failed call", Answer::Status(14)),
        // Where a request goes is not the authorizer's to say, whatever Envoy lets through.
        ("another path", message(changes(header(":path", "/evil")))),
        ("another host", message(changes(header("Host", "evil.test")))),
        (
            "another framing",
            message(changes(header("Transfer-Encoding", "chunked"))),
        ),
        ("a line break", message(changes(header("x-a", "b\r\nx-c: d")))),
        ("no header name", message(changes(header("x a", "b")))),
        (
            "more fields than there may be",
            message(allow(OkHttpResponse {
                headers: vec![header("x-a", ""); 1001],
                ..Default::default()
            })),
        ),
        (
            "another query",
            message(allow(OkHttpResponse {
                query_parameters_to_set: vec![QueryParameter {
                    key: "a".to_owned(),
                    value: "b".to_owned(),
                }],
                ..Default::default()
            })),
        ),
    ];
    let count = cases.len();
    for (what, answer) in cases {
        authorizer.answer(answer);
        let answer = bed.ask("test.com").await;
        assert_eq!((answer.status, answer.text().as_str()), (503, ""), "{what}");
    }
    bed.assert_no_contact();
    for line in bed.gateway.log_of(count).await {
        assert_eq!(field(&line, "response_code_details"), "ext_authz_error", "{line}");
        assert!(field(&line, "ext_authz").starts_with("team-authz=error ("), "{line}");
    }
}

#[tokio::test]
async fn one_connection_carries_all_questions_and_is_made_again_when_it_is_gone() {
    let (authorizer, bed) = bed("      timeout: 500ms").await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = Client::connect(bed.http()).await;
        client.send(post("test.com", &[], QUESTION)).await;
        clients.push(client);
    }
    for client in &mut clients {
        assert_eq!(client.response().await.status, 200);
    }
    assert_eq!((authorizer.count(), authorizer.connection_count()), (20, 1));

    // One that gives no answers is not given more questions.
    authorizer.answer(Answer::Silence);
    let began = Instant::now();
    assert_eq!(bed.ask("test.com").await.status, 403);
    assert!(began.elapsed() >= Duration::from_millis(490));
    assert_eq!(bed.ask("test.com").await.status, 200);
    assert_eq!(authorizer.connection_count(), 2);

    drop(authorizer);
    eventually("the authorizer is gone", || async {
        (bed.ask("test.com").await.status == 403).then_some(())
    })
    .await;
}

#[tokio::test]
async fn all_who_wait_for_one_connection_fail_with_it() {
    // It takes connections and never shakes hands.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let rule = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: authz, namespace: istio-system}
spec:
  host: authz.test
  trafficPolicy:
    connectionPool: {tcp: {connectTimeout: 2s}}
    tls: {mode: SIMPLE, sni: authz.test}
";
    let setup = Setup::seed()
        .args(&["--workers", "1"])
        .file("authz.yaml", &asks(silent.local_addr().expect("an address").port(), ""))
        .file("tls.yaml", rule);
    let bed = Bed::start(Transport::Plain, setup).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = Client::connect(bed.http()).await;
        client.send(post("test.com", &[], QUESTION)).await;
        clients.push(client);
    }
    let _kept = within_patience("a connection", silent.accept()).await.expect("one");
    for client in &mut clients {
        assert_eq!(client.response().await.status, 403);
    }
    let more = futures_util::FutureExt::now_or_never(silent.accept());
    assert!(more.is_none(), "another connection was tried for those who waited");
    for line in bed.gateway.log_of(8).await {
        assert_eq!(
            field(&line, "ext_authz"),
            "team-authz=error (connection timeout)",
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_question_back() {
    let (authorizer, bed) = bed("").await;
    authorizer.answer(Answer::Silence);
    let mut client = Client::connect(bed.http()).await;
    client.send(post("test.com", &[], QUESTION)).await;
    authorizer.asked().await;
    client.reset();
    eventually("the question is taken back", || async {
        (authorizer.taken_back() == 1).then_some(())
    })
    .await;
    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "ext_authz"), "team-authz=cancelled");
    assert_eq!(bed.ask("test.com").await.status, 200);
    assert_eq!(authorizer.connection_count(), 1, "the connection is still good");
}

#[tokio::test]
async fn an_authorizer_that_floods_is_let_go() {
    let raw = Raw::bind().await;
    let setup = Setup::seed()
        .args(&["--workers", "1"])
        .file("authz.yaml", &asks(raw.port(), ""));
    let bed = Bed::start(Transport::Plain, setup).await;
    let mut client = Client::connect(bed.http()).await;
    client.send(post("test.com", &[], QUESTION)).await;
    let mut one = raw.accept().await;
    one.asked().await;
    let flood = frame(PING, 0, 0, &[0; 8]).repeat(1000);
    let mut rounds = 0;
    while one.send(&flood).await {
        rounds += 1;
        assert!(rounds < 1000, "all of it is taken");
    }
    assert_eq!(client.response().await.status, 403);
}

/// CVE-2024-23324: such a field turned the check off.
#[tokio::test]
async fn no_field_of_a_proxy_header_keeps_the_authorizer_from_being_asked() {
    let authorizer = Authorizer::plain().await;
    let mesh = asks(authorizer.addr.port(), "").replace(
        "spec:\n  extensionProviders:",
        "spec:\n  defaultConfig: {gatewayTopology: {proxyProtocol: {}}}\n  extensionProviders:",
    );
    assert!(mesh.contains("proxyProtocol"), "{mesh}");
    let bed = Bed::start(Transport::Plain, Setup::seed().file("authz.yaml", &mesh)).await;
    authorizer.say(deny(7, 401, Vec::new(), "no"));
    let ends = [192, 0, 2, 1, 198, 51, 100, 1, 0xc8, 0x22, 1, 187];
    let not_text = [0xe0, 0, 2, 0xff, 0xfe];
    let header = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x11", &ends[..], &not_text].concat();
    let answer = send(&bed, [&header[..], &post("test.com", &[], QUESTION)].concat()).await;
    assert_eq!((answer.status, answer.text().as_str()), (401, "no"));
    let asked = authorizer.asked().await;
    let attributes = asked.message.attributes.as_ref().expect("attributes");
    assert_eq!(address_of(attributes.source.as_ref()).0, "192.0.2.1");
    assert_eq!(address_of(attributes.destination.as_ref()).0, "198.51.100.1");
    let headers = http_of(&asked.message).headers;
    assert_eq!(headers.get("x-forwarded-for").map(String::as_str), Some("192.0.2.1"));
    bed.assert_no_contact();
}

#[tokio::test]
async fn a_destination_rule_puts_the_questions_behind_tls() {
    let authority = pki::Authority::new();
    let authorizer = Authorizer::tls(authority.acceptor_of("authz.test", b"h2")).await;
    let ca = std::env::temp_dir().join(format!("lockgate-authz-{}.pem", std::process::id()));
    std::fs::write(&ca, authority.pem()).expect("writing the CA");
    let tls = |name: &str| {
        format!(
            "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: authz, namespace: istio-system}}
spec:
  host: authz.test
  trafficPolicy: {{tls: {{mode: SIMPLE, sni: {name}, caCertificates: {}}}}}
",
            ca.display()
        )
    };
    let start = async |name: &str| {
        let setup = Setup::seed()
            .file("authz.yaml", &asks(authorizer.addr.port(), ""))
            .file("tls.yaml", &tls(name));
        Bed::start(Transport::Plain, setup).await
    };
    let good = start("authz.test").await;
    assert_eq!(good.ask("test.com").await.status, 200);
    assert_eq!(authorizer.count(), 1);
    let wrong = start("other.test").await;
    assert_eq!(wrong.ask("test.com").await.status, 403, "a certificate of another name");
    wrong.assert_no_contact();
    std::fs::remove_file(&ca).expect("removing the CA");
}
