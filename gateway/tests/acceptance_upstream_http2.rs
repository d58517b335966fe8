//! HTTP/2 with upstreams: where it is spoken, many requests over one connection, and what an upstream cannot do to them.

#![allow(clippy::panic, clippy::expect_used, reason = "a helper of tests fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "a test may panic")]

#[cfg(test)]
mod support;

use core::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Response, Version};
use support::bed::OPEN;
use support::client::{Client, Response as Whole, post, request};
use support::eventually;
use support::frames::{
    ACK, CONTINUATION, Connection, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, PING,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, settings,
};
use support::gateway::{Gateway, Setup, edit};
use support::http2_upstream::{Http2Upstream, Raw};
use support::outputs::{field, total};
use support::pki::Authority;
use support::upstream::{Answer, COMPLETION, Step, Upstream};
use support::wire::Part;
use support::{KEY, PROVIDER, QUESTION};
use tokio::net::TcpStream;

const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;

/// A host under every name, at this port of this machine, which speaks `protocol`.
fn plain(port: u16, protocol: &str, more: &str) -> Setup {
    let text = format!(
        "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gw, namespace: istio-system}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{hosts: ['*'], port: {{name: http, number: 80, protocol: HTTP}}}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: host, namespace: istio-system}}
spec:
  hosts: [host.test]
  resolution: STATIC
  ports: [{{name: main, number: 80, protocol: {protocol}}}]
  endpoints: [{{address: 127.0.0.1, ports: {{main: {port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: host, namespace: istio-system}}
spec:
  hosts: ['*']
  gateways: [gw]
  http: [{{{more} route: [{{destination: {{host: host.test}}}}]}}]
"
    );
    Setup::empty().file("plain.yaml", &text).args(&["--workers", "1"])
}

/// A DestinationRule of the host.
fn rule(http: &str) -> String {
    format!(
        "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: host, namespace: istio-system}}
spec: {{host: host.test, trafficPolicy: {{connectionPool: {{http: {{{http}}}}}}}}}
"
    )
}

/// A client that has asked.
async fn asks(gateway: &Gateway, target: &str) -> Client<TcpStream> {
    let mut client = Client::connect(gateway.http).await;
    client.send(request("GET", target, "host.test", &[], "")).await;
    client
}

async fn get(gateway: &Gateway, target: &str) -> Whole {
    asks(gateway, target).await.response().await
}

/// A client of HTTP/2.
async fn http2(gateway: &Gateway) -> h2::client::SendRequest<Bytes> {
    let stream = TcpStream::connect(gateway.http).await.expect("a connection");
    let (sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

fn http2_get(target: &str) -> http::Request<()> {
    let uri = format!("http://host.test{target}");
    http::Request::get(uri).body(()).expect("a request")
}

#[tokio::test]
async fn a_provider_is_spoken_to_in_http2_by_tls_and_by_prior_knowledge() {
    let ca = Authority::new();
    for is_tls in [false, true] {
        let upstream = match is_tls {
            true => Http2Upstream::tls(ca.acceptor_of(PROVIDER, b"h2")).await,
            false => Http2Upstream::plain().await,
        };
        let setup = Setup::seed()
            .provider_port(upstream.addr.port())
            .args(&["--workers", "1"]);
        let roots = setup.aside("ca.pem", &ca.pem());
        let tls = match is_tls {
            true => format!("{{mode: SIMPLE, caCertificates: {}}}", roots.display()),
            false => "{mode: DISABLE}".to_owned(),
        };
        let policy = format!("    tls: {tls}\n    connectionPool: {{http: {{h2UpgradePolicy: UPGRADE}}}}");
        let setup = setup.edit("local-provider.yaml", "    tls:\n      mode: DISABLE", &policy);
        let said = setup
            .run("explain", &["-X", "POST", "-d", QUESTION, "http://test.com/"])
            .await;
        assert!(said.stdout.contains("protocol   HTTP/2\n"), "{}", said.all());
        let gateway = setup.start().await;
        let mut client = Client::connect(gateway.http).await;
        for _ in 0..2 {
            client
                .send(post("test.com", &[("connection", "te"), ("te", "trailers")], QUESTION))
                .await;
            let mut asked = upstream.asked().await;
            assert_eq!(asked.request.version(), Version::HTTP_2);
            let scheme = if is_tls { "https" } else { "http" };
            let uri = format!("{scheme}://{PROVIDER}/compatible-mode/v1/chat/completions");
            assert_eq!(asked.request.uri().to_string(), uri);
            assert_eq!(asked.header("authorization"), Some(&*format!("Bearer {KEY}")));
            for name in ["host", "connection", "te", "transfer-encoding", "keep-alive"] {
                assert!(!asked.request.headers().contains_key(name), "{name}");
            }
            let length = asked.header("content-length").expect("a length").to_owned();
            let (body, trailers) = asked.body().await;
            assert_eq!((length, trailers), (body.len().to_string(), None));
            let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(body["model"], "qwen1.5-72b-chat");
            asked.answer(COMPLETION);
            let answer = client.response().await;
            assert_eq!((answer.status, answer.text().as_str()), (200, COMPLETION));
        }
        assert_eq!(upstream.connection_count(), 1);
        let line = gateway.log_of(2).await.remove(1);
        assert_eq!(field(&line, "request_completion_tokens"), "72");
        assert_eq!(field(&line, "upstream_host"), upstream.addr.to_string());
    }
}

#[tokio::test]
async fn the_protocol_of_the_port_and_the_rule_decide() {
    for (protocol, http, version) in [
        ("HTTP2", None, Version::HTTP_2),
        ("grpc", None, Version::HTTP_2),
        ("HTTP", Some("h2UpgradePolicy: UPGRADE"), Version::HTTP_2),
        // As istiod: what is HTTP/2 anyway is no upgrade.
        ("HTTP2", Some("h2UpgradePolicy: DO_NOT_UPGRADE"), Version::HTTP_2),
        ("HTTP", Some("h2UpgradePolicy: DEFAULT"), Version::HTTP_11),
        ("HTTP2", Some("useClientProtocol: true"), Version::HTTP_11),
        (
            "HTTP",
            Some("useClientProtocol: true, h2UpgradePolicy: UPGRADE"),
            Version::HTTP_11,
        ),
    ] {
        let (new, old) = (Http2Upstream::plain().await, Upstream::plain().await);
        let port = match version {
            Version::HTTP_2 => new.addr.port(),
            _ => old.addr.port(),
        };
        let mut setup = plain(port, protocol, "");
        if let Some(http) = http {
            setup = setup.file("rule.yaml", &rule(http));
        }
        let gateway = setup.start().await;
        let client = asks(&gateway, "/").await;
        if version == Version::HTTP_2 {
            new.asked().await.answer("{}");
        }
        let answer = { client }.response().await;
        assert_eq!(answer.status, 200, "{protocol} {http:?}");
    }
}

#[tokio::test]
async fn a_client_of_http2_has_its_protocol_used_where_the_rule_says_so() {
    let upstream = Http2Upstream::plain().await;
    let setup = plain(upstream.addr.port(), "HTTP", "").file("rule.yaml", &rule("useClientProtocol: true"));
    let gateway = setup.start().await;
    let mut sender = http2(&gateway).await;
    let (answer, _) = sender.send_request(http2_get("/a"), true).expect("a request");
    let mut asked = upstream.asked().await;
    assert_eq!(asked.request.uri().path(), "/a");
    asked.answer("{}");
    assert_eq!(answer.await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn many_requests_share_a_connection_as_far_as_its_server_lets_them() {
    for (of_server, configured, connections) in [(None, None, 1), (Some(3), None, 4), (None, Some(2), 5)] {
        let upstream = match of_server {
            Some(most) => Http2Upstream::with_streams(most).await,
            None => Http2Upstream::plain().await,
        };
        let mut setup = plain(upstream.addr.port(), "HTTP2", "");
        if let Some(most) = configured {
            setup = setup.file("rule.yaml", &rule(&format!("maxConcurrentStreams: {most}")));
        }
        let gateway = setup.start().await;
        let mut clients = Vec::new();
        for _ in 0..10 {
            clients.push(asks(&gateway, "/").await);
        }
        // All of them are there before any is answered.
        let mut all = Vec::new();
        for _ in 0..10 {
            all.push(upstream.asked().await);
        }
        let most = of_server.or(configured).unwrap_or(100) as usize;
        for connection in 0..upstream.connection_count() {
            let on_it = all.iter().filter(|asked| asked.connection == connection).count();
            assert!(on_it <= most, "{on_it} on one connection");
        }
        assert!(upstream.connection_count() >= connections);
        if connections == 1 {
            assert_eq!(upstream.connection_count(), 1);
        }
        for mut asked in all {
            asked.answer("{}");
        }
        for mut client in clients {
            assert_eq!(client.response().await.text(), "{}");
        }
        let before = upstream.connection_count();
        let mut client = asks(&gateway, "/").await;
        upstream.asked().await.answer("{}");
        assert_eq!(
            (client.response().await.status, upstream.connection_count()),
            (200, before)
        );
    }
}

#[tokio::test]
async fn a_burst_for_a_server_that_takes_one_request_at_a_time_is_served() {
    const BURST: usize = 50;
    let raw = Raw::bind().await;
    let gateway = plain(raw.port(), "HTTP2", "retries: {attempts: 0},").start().await;
    let mut clients = Vec::new();
    for _ in 0..BURST {
        clients.push(asks(&gateway, "/").await);
    }
    // All of them wait for one connection, which is not answered before.
    eventually("all requests are there", || async {
        let active = total(&gateway.metrics().await, "lockgate_requests_active", &[]);
        (active == BURST as f64).then_some(())
    })
    .await;
    let mut open = Vec::new();
    for _ in 0..BURST {
        let mut one = raw.accept_with(&[(3, 1)]).await;
        let stream = one.asked().await;
        open.push((one, stream));
    }
    for (one, stream) in &mut open {
        assert!(one.send(&answer(*stream, b"{}")).await);
    }
    for mut client in clients {
        assert_eq!(client.response().await.status, 200);
    }
}

#[tokio::test]
async fn a_client_that_leaves_resets_its_stream_and_no_other() {
    let upstream = Http2Upstream::plain().await;
    let gateway = plain(upstream.addr.port(), "HTTP2", "").start().await;
    // Before the answer's head, and within its body.
    for begins in [false, true] {
        let leaver = asks(&gateway, "/leaver").await;
        let mut left = upstream.asked().await;
        let mut stayer = asks(&gateway, "/stayer").await;
        let mut stays = upstream.asked().await;
        assert_eq!(left.connection, stays.connection);
        let mut body = stays.begin(Response::new(()));
        body.send_data("half".into(), false).expect("data");
        let mut leaver = leaver;
        if begins {
            let mut body = left.begin(Response::new(()));
            body.send_data("x".into(), false).expect("data");
            assert_eq!((leaver.head().await.status, leaver.text(1).await.as_str()), (200, "x"));
            drop(leaver);
            let reset = core::future::poll_fn(|cx| body.poll_reset(cx));
            let code = support::within_patience("a reset", reset).await.expect("a code");
            assert_eq!(code, Reason::CANCEL);
        } else {
            drop(leaver);
            assert_eq!(left.is_reset().await, CANCEL);
        }
        body.send_data("half".into(), true).expect("data");
        assert_eq!(stayer.response().await.text(), "halfhalf");
    }
    assert_eq!(upstream.connection_count(), 1);
}

#[tokio::test]
async fn a_request_that_was_not_begun_with_goes_out_over_another_connection() {
    let raw = Raw::bind().await;
    let gateway = plain(raw.port(), "HTTP2", "").start().await;
    for goes_away in [false, true] {
        let mut first = asks(&gateway, "/").await;
        let mut one = raw.accept().await;
        let stream = one.asked().await;
        // One answer is under way, and a second request comes.
        let head = frame(HEADERS, END_HEADERS, stream, &block(&[(":status", b"200")]));
        assert!(one.send(&[head, frame(DATA, 0, stream, b"half")].concat()).await);
        assert_eq!(first.head().await.status, 200);
        let mut second = Client::connect(gateway.http).await;
        let (method, body) = if goes_away { ("GET", "") } else { ("POST", "body") };
        second.send(request(method, "/", "host.test", &[], body)).await;
        let refused = one.asked().await;
        assert!(refused > stream);
        let no = if goes_away {
            frame(GOAWAY, 0, 0, &[stream.to_be_bytes(), [0; 4]].concat())
        } else {
            frame(RST_STREAM, 0, refused, &REFUSED_STREAM.to_be_bytes())
        };
        assert!(one.send(&no).await);
        if goes_away {
            let mut other = raw.accept().await;
            let again = other.asked().await;
            assert!(other.send(&answer(again, b"again")).await);
            assert_eq!(second.response().await.text(), "again");
        } else {
            // A body that was passed on is not at hand any more: that is seen.
            assert_eq!(second.response().await.status, 502);
            let mut third = asks(&gateway, "/").await;
            let mut other = raw.accept().await;
            let stream = other.asked().await;
            assert!(
                other
                    .send(&frame(RST_STREAM, 0, stream, &REFUSED_STREAM.to_be_bytes()))
                    .await
            );
            let mut last = raw.accept().await;
            let stream = last.asked().await;
            assert!(last.send(&answer(stream, b"third")).await);
            assert_eq!(third.response().await.text(), "third");
            drop(last);
        }
        // What was under way ends where it began.
        assert!(one.send(&frame(DATA, END_STREAM, stream, b"half")).await);
        assert_eq!(first.text(8).await, "halfhalf");
        assert_eq!(first.part().await, Part::End);
    }
}

#[tokio::test]
async fn a_large_body_is_not_kept_to_go_out_over_another_connection() {
    const MIB: usize = 1 << 20;
    let raw = Raw::bind().await;
    let policy = "apiVersion: lockgate.dev/v1\nkind: AuthorizationPolicy\nmetadata: {name: small, namespace: \
                  istio-system}\nspec: {action: DENY, rules: [{when: [{key: 'request.llm[model]', values: [large]}]}]}\n";
    let gateway = plain(raw.port(), "HTTP2", "").file("policy.yaml", policy).start().await;
    for (bytes, is_sent_again) in [(MIB, true), (MIB + 1, false)] {
        let mut client = Client::connect(gateway.http).await;
        let body = format!("{{}}{}", " ".repeat(bytes - 2));
        client.send(request("POST", "/", "host.test", &[], &body)).await;
        let mut first = raw.accept().await;
        let refused = begun(&mut first).await;
        let no = frame(RST_STREAM, 0, refused, &REFUSED_STREAM.to_be_bytes());
        assert!(first.send(&no).await);
        if is_sent_again {
            let mut other = raw.accept().await;
            let stream = begun(&mut other).await;
            assert!(other.send(&answer(stream, b"again")).await);
            assert_eq!(client.response().await.text(), "again");
        } else {
            assert_eq!(client.response().await.status, 502);
        }
    }
}

/// The number of the next stream that is opened, whose body may wait for a window.
async fn begun(connection: &mut Connection) -> u32 {
    loop {
        let (kind, _, stream, _) = connection.next().await.expect("a frame");
        if kind == HEADERS {
            return stream;
        }
    }
}

/// A whole answer of a raw upstream.
fn answer(stream: u32, body: &[u8]) -> Vec<u8> {
    let head = frame(HEADERS, END_HEADERS, stream, &block(&[(":status", b"200")]));
    [head, frame(DATA, END_STREAM, stream, body)].concat()
}

#[tokio::test]
async fn a_stream_that_is_cut_never_looks_whole() {
    let raw = Raw::bind().await;
    let gateway = plain(raw.port(), "HTTP2", "").start().await;
    let reset = |stream: u32, code: u32| frame(RST_STREAM, 0, stream, &code.to_be_bytes());
    for case in 0..6 {
        let mut client = asks(&gateway, "/").await;
        let mut sender = http2(&gateway).await;
        let mut one = raw.accept().await;
        let stream = one.asked().await;
        let (other, _) = sender.send_request(http2_get("/"), true).expect("a request");
        let second = one.asked().await;
        let fields: &[(&str, &[u8])] = match case {
            5 => &[(":status", b"200"), ("content-length", b"9")],
            _ => &[(":status", b"200")],
        };
        for stream in [stream, second] {
            let head = frame(HEADERS, END_HEADERS, stream, &block(fields));
            assert!(one.send(&[head, frame(DATA, 0, stream, b"half")].concat()).await);
        }
        assert_eq!(client.head().await.status, 200);
        assert_eq!(client.text(4).await, "half");
        let mut body = other.await.expect("an answer").into_body();
        assert_eq!(body.data().await.expect("data").expect("data"), "half");
        for stream in [stream, second] {
            let end = match case {
                0 => reset(stream, 0),
                1 => reset(stream, CANCEL),
                2 => reset(stream, 2),
                3 => frame(GOAWAY, 0, 0, &[second.to_be_bytes(), [0; 4]].concat()),
                4 => frame(PING, 0, 0, &[0; 8]),
                _ => frame(DATA, END_STREAM, stream, b""),
            };
            assert!(one.send(&end).await);
        }
        drop(one);
        assert_eq!(client.part().await, Part::Cut, "{case}");
        let end = support::within_patience("an end", body.data()).await;
        assert!(matches!(end, Some(Err(_))), "{case}: {end:?}");
    }
}

const EVENT: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"choices\":[]}\n\n";

#[tokio::test]
async fn an_llms_stream_that_breaks_off_is_told_of_before_it_is_cut() {
    let raw = Raw::bind().await;
    let setup = Setup::empty().file("open.yaml", OPEN).provider_port(raw.port());
    let gateway = setup
        .edit(
            "local-provider.yaml",
            "    tls:\n      mode: DISABLE",
            "    tls: {mode: DISABLE}\n    connectionPool: {http: {h2UpgradePolicy: UPGRADE}}",
        )
        .args(&["--workers", "1", "--stream-idle-timeout", "700ms"])
        .start()
        .await;
    let reset = |stream: u32, code: u32| Some(frame(RST_STREAM, 0, stream, &code.to_be_bytes()));
    for (index, (what, code)) in [
        ("a reset", "upstream_reset"),
        ("a reset that says nothing of an error", "upstream_reset"),
        ("a crash", "upstream_reset"),
        ("an upstream that goes away without it", "upstream_reset"),
        ("silence", "stream_idle_timeout"),
    ]
    .into_iter()
    .enumerate()
    {
        let stream_of = r#"{"messages":[],"stream":true}"#;
        let mut client = Client::connect(gateway.http).await;
        client
            .send(request("POST", "/v1/chat/completions", "test.com", &[], stream_of))
            .await;
        let mut provider = raw.accept().await;
        let stream = provider.asked().await;
        let fields: &[(&str, &[u8])] = &[(":status", b"200"), ("content-type", b"text/event-stream")];
        let head = frame(HEADERS, END_HEADERS, stream, &block(fields));
        assert!(
            provider
                .send(&[head, frame(DATA, 0, stream, EVENT.as_bytes())].concat())
                .await
        );
        assert_eq!(client.head().await.status, 200);
        assert_eq!(client.text(EVENT.len()).await, EVENT);
        let end = match index {
            0 => reset(stream, 2),
            1 => reset(stream, 0),
            2 | 4 => None,
            _ => Some(frame(
                GOAWAY,
                0,
                0,
                &[0_u32.to_be_bytes(), 2_u32.to_be_bytes()].concat(),
            )),
        };
        if let Some(end) = end {
            assert!(provider.send(&end).await, "{what}");
        }
        let held = (index == 4).then_some(provider);
        let mut rest = Vec::new();
        loop {
            match client.part().await {
                Part::Data(bytes) => rest.extend(bytes),
                end => {
                    assert_eq!(end, Part::Cut, "{what}");
                    break;
                }
            }
        }
        drop(held);
        let rest = String::from_utf8(rest).expect("text");
        let error = rest.strip_prefix("data: ").and_then(|rest| rest.strip_suffix("\n\n"));
        let error: serde_json::Value = serde_json::from_str(error.expect("an event")).expect("JSON");
        assert_eq!(error["error"]["code"], code, "{what}");
    }
    let lines = gateway.log_of(5).await;
    let flags: Vec<String> = lines.iter().map(|line| field(line, "response_flags")).collect();
    assert_eq!(flags, ["UC", "UC", "UC", "UC", "SI"]);
}

#[tokio::test]
async fn an_early_answer_that_is_as_long_as_it_said_is_whole() {
    let raw = Raw::bind().await;
    let gateway = plain(raw.port(), "HTTP2", "").start().await;
    let mut client = Client::connect(gateway.http).await;
    let head = "POST / HTTP/1.1\r\nhost: host.test\r\ncontent-length: 9\r\n\r\nhalf";
    client.send(head).await;
    let mut one = raw.accept().await;
    while one.next().await.expect("a frame").0 != DATA {}
    // All of it at once, with the reset by which a server says that it reads no further (RFC 9113 §8.1).
    let head = block(&[(":status", b"413"), ("content-length", b"4")]);
    let head = frame(HEADERS, END_HEADERS, 1, &head);
    let rest = [frame(DATA, END_STREAM, 1, b"none"), frame(RST_STREAM, 0, 1, &[0; 4])].concat();
    assert!(one.send(&[head, rest].concat()).await);
    let answer = client.response().await;
    assert_eq!(
        (answer.status, answer.text().as_str(), answer.end),
        (413, "none", Part::End)
    );
}

#[tokio::test]
async fn trailers_reach_clients_of_http2_without_what_is_none() {
    let upstream = Http2Upstream::plain().await;
    let gateway = plain(upstream.addr.port(), "GRPC", "").start().await;
    let mut sender = http2(&gateway).await;
    let call = http::Request::post("http://host.test/pkg.Service/Call")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request");
    let (answer, mut body) = sender.send_request(call, false).expect("a request");
    body.send_data("question".into(), false).expect("data");
    let mut sent = HeaderMap::new();
    sent.insert("authorization", "Bearer smuggled".parse().expect("a value"));
    body.send_trailers(sent).expect("trailers");
    let mut asked = upstream.asked().await;
    assert_eq!(asked.header("te"), Some("trailers"));
    // Those of requests come after all that was decided.
    assert_eq!(asked.body().await, (b"question".to_vec(), None));
    let mut body = asked.begin(Response::new(()));
    body.send_data("answer".into(), false).expect("data");
    let mut trailers = HeaderMap::new();
    for (name, value) in [
        ("grpc-status", "0"),
        ("grpc-message", "fine"),
        ("content-length", "3"),
        ("set-cookie", "a=b"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("access-control-allow-origin", "*"),
    ] {
        trailers.insert(name, value.parse().expect("a value"));
    }
    body.send_trailers(trailers).expect("trailers");
    let mut body = answer.await.expect("an answer").into_body();
    assert_eq!(body.data().await.expect("data").expect("data"), "answer");
    assert!(body.data().await.is_none());
    let trailers = body.trailers().await.expect("trailers").expect("some");
    let mut names: Vec<&str> = trailers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["grpc-message", "grpc-status"]);
}

#[tokio::test]
async fn trailers_of_http1_are_cleaned_as_well() {
    let upstream = Upstream::plain().await;
    let gateway = plain(upstream.addr.port(), "HTTP", "").start().await;
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n";
    let trailers = "x-checksum: 1\r\nset-cookie: a=b\r\ncontent-length: 4\r\nconnection: close\r\n\r\n";
    upstream.answer(Answer(vec![Step::Send([chunked, trailers].concat().into_bytes())]));
    let mut sender = http2(&gateway).await;
    let (answer, _) = sender.send_request(http2_get("/"), true).expect("a request");
    let mut body = answer.await.expect("an answer").into_body();
    assert_eq!(body.data().await.expect("data").expect("data"), "body");
    assert!(body.data().await.is_none());
    let trailers = body.trailers().await.expect("trailers").expect("some");
    let names: Vec<&str> = trailers.keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["x-checksum"]);
}

#[tokio::test]
async fn a_slow_client_holds_back_its_own_stream_and_no_other() {
    const ALL: usize = 32 << 20;
    let upstream = Http2Upstream::plain().await;
    let gateway = plain(upstream.addr.port(), "HTTP2", "").start().await;
    let before = gateway.resident();
    let mut slow = Vec::new();
    let mut bodies = Vec::new();
    for _ in 0..8 {
        slow.push(asks(&gateway, "/slow").await);
        let mut body = upstream.asked().await.begin(Response::new(()));
        // h2 keeps what the window does not take.
        body.send_data(vec![b'x'; ALL].into(), true).expect("data");
        bodies.push(body);
    }
    for client in &mut slow {
        assert_eq!(client.head().await.status, 200);
    }
    // The others go on over the same connection.
    for _ in 0..20 {
        let mut client = asks(&gateway, "/fast").await;
        upstream.asked().await.answer(vec![b'y'; 1 << 20]);
        assert_eq!(client.response().await.body.len(), 1 << 20);
    }
    assert_eq!(upstream.connection_count(), 1);
    let grown = gateway.resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes for eight slow clients");
    // And who reads at last gets all of it.
    let mut client = slow.remove(0);
    assert_eq!(client.text(ALL).await.len(), ALL);
}

#[tokio::test]
async fn a_client_that_reads_nothing_of_tiny_frames_costs_others_of_its_connection_nothing() {
    let raw = Raw::bind().await;
    let gateway = plain(raw.port(), "HTTP2", "").start().await;
    let mut bystander = asks(&gateway, "/").await;
    let mut one = raw.accept().await;
    let bystanders = one.asked().await;
    let head = block(&[(":status", b"200")]);
    assert!(one.send(&frame(HEADERS, END_HEADERS, bystanders, &head)).await);
    assert_eq!(bystander.head().await.status, 200);
    let mut slow = Connection::open_with(gateway.http, &[(INITIAL_WINDOW_SIZE, 1)]).await;
    for stream in (1..).step_by(2).take(8) {
        let ask = frame(HEADERS, END_HEADERS | END_STREAM, stream, &asked());
        assert!(slow.send(&ask).await);
        let stream = one.asked().await;
        // All that the stream's window has room for, an event of eight bytes at a time.
        let events = frame(DATA, 0, stream, b"data: x\n").repeat(65_000 / 8);
        let answer = [frame(HEADERS, END_HEADERS, stream, &head), events].concat();
        assert!(one.send(&answer).await);
    }
    assert!(one.send(&frame(DATA, END_STREAM, bystanders, b"lives")).await);
    assert_eq!(bystander.text(5).await, "lives");
    drop(slow);
}

#[tokio::test]
async fn empty_frames_end_no_connection_as_long_as_they_are_few_at_a_time() {
    let raw = Raw::bind().await;
    let gateway = plain(raw.port(), "HTTP2", "").start().await;
    let head = block(&[(":status", b"200")]);
    let mut client = asks(&gateway, "/").await;
    let mut one = raw.accept().await;
    for answers in 0..300 {
        let stream = one.asked().await;
        let answer = [
            frame(HEADERS, END_HEADERS, stream, &head),
            frame(DATA, 0, stream, b""),
            frame(DATA, 0, stream, b"ok"),
            frame(DATA, 0, stream, b""),
            frame(DATA, END_STREAM, stream, b""),
        ];
        assert!(one.send(&answer.concat()).await, "after {answers} answers");
        let Whole { status, body, .. } = client.response().await;
        assert_eq!((status, &*body), (200, &b"ok"[..]), "after {answers} answers");
        client.send(request("GET", "/", "host.test", &[], "")).await;
    }
}

/// The block of a request for the host.
fn asked() -> Vec<u8> {
    block(&[
        (":method", b"GET"),
        (":scheme", b"http"),
        (":authority", b"host.test"),
        (":path", b"/"),
    ])
}

/// What comes of a request when its upstream answers it with `bytes` for ever.
async fn flooded(gateway: &Gateway, raw: &Raw, bytes: impl Fn(u32) -> Vec<u8>) -> u16 {
    let mut client = asks(gateway, "/").await;
    let mut one = raw.accept().await;
    let stream = one.asked().await;
    let flood = bytes(stream);
    while one.send(&flood).await {}
    client.response().await.status
}

#[tokio::test]
async fn an_upstream_that_floods_is_let_go() {
    let raw = Raw::bind().await;
    let gateway = plain(raw.port(), "HTTP2", "").start().await;
    let before = gateway.resident();
    let many = |one: Vec<u8>| one.repeat(1000);
    let interim = block(&[(":status", b"103"), ("link", b"</x>")]);
    let big = block(&[("x", &[b'a'; 8000])]);
    for (what, status) in [
        (
            "ping",
            flooded(&gateway, &raw, |_| many(frame(PING, 0, 0, &[0; 8]))).await,
        ),
        (
            "settings",
            flooded(&gateway, &raw, |_| many(settings(&[(4, 65_535)]))).await,
        ),
        (
            "window",
            flooded(&gateway, &raw, |stream| {
                many(frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 1]))
            })
            .await,
        ),
        (
            "priority",
            flooded(&gateway, &raw, |stream| many(frame(2, 0, stream, &[0; 5]))).await,
        ),
        (
            "interim",
            flooded(&gateway, &raw, |stream| {
                many(frame(HEADERS, END_HEADERS, stream, &interim))
            })
            .await,
        ),
        (
            "continuation",
            flooded(&gateway, &raw, |stream| {
                let begin = frame(HEADERS, 0, stream, &block(&[(":status", b"200")]));
                [begin, frame(CONTINUATION, 0, stream, &big).repeat(1000)].concat()
            })
            .await,
        ),
        (
            "resets",
            flooded(&gateway, &raw, |stream| {
                many(frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()))
            })
            .await,
        ),
        (
            "unknown",
            flooded(&gateway, &raw, |_| many(frame(0x42, 0, 0, &[0; 8]))).await,
        ),
    ] {
        assert!([502, 503].contains(&status), "{what}: {status}");
    }
    let grown = gateway.peak().saturating_sub(before);
    assert!(grown < 48 << 20, "{grown} bytes");
    // The next one is served.
    let mut client = asks(&gateway, "/").await;
    let mut one = raw.accept().await;
    let stream = one.asked().await;
    assert!(one.send(&answer(stream, b"fine")).await);
    assert_eq!(client.response().await.text(), "fine");
}

#[tokio::test]
async fn answers_that_cannot_be_trusted_are_502() {
    let raw = Raw::bind().await;
    let gateway = plain(raw.port(), "HTTP2", "").start().await;
    for fields in [
        &[(":status", &b"200"[..]), ("connection", b"close")][..],
        &[(":status", b"200"), ("transfer-encoding", b"chunked")],
        &[(":status", b"200"), ("content-length", b"4"), ("content-length", b"4")],
        &[(":status", b"200"), ("X-Upper", b"1")],
        &[(":status", b"101")],
        &[(":status", b"700")],
        &[(":status", b"ok")],
        &[("x", b"1")],
        &[(":status", b"200"), ("x", b"a\r\nb: c")],
    ] {
        let mut client = asks(&gateway, "/").await;
        let mut one = raw.accept().await;
        let stream = one.asked().await;
        let head = frame(HEADERS, END_HEADERS, stream, &block(fields));
        assert!(
            one.send(&[head, frame(DATA, END_STREAM, stream, b"body")].concat())
                .await
        );
        assert_eq!(client.response().await.status, 502, "{fields:?}");
        // Nothing of it is reused.
        drop(one);
        gone(&gateway).await;
    }
}

#[tokio::test]
async fn an_answer_without_content_is_its_head_alone_whatever_comes_behind_it() {
    let raw = Raw::bind().await;
    let gateway = plain(raw.port(), "HTTP2", "").start().await;
    let mut sender = http2(&gateway).await;
    let mut one = None;
    for (method, status, length) in [
        ("GET", "204", None),
        ("GET", "304", Some("4")),
        ("HEAD", "200", Some("4")),
    ] {
        let fields: [(&str, &[u8]); 2] = [(":status", status.as_bytes()), ("content-length", b"4")];
        let answer = async |one: &mut Connection| {
            let stream = one.asked().await;
            let head = frame(HEADERS, END_HEADERS, stream, &block(&fields));
            assert!(
                one.send(&[head, frame(DATA, END_STREAM, stream, b"EVIL")].concat())
                    .await
            );
        };
        let mut client = Client::connect(gateway.http).await;
        client.send(request(method, "/", "host.test", &[], "")).await;
        let one = match &mut one {
            Some(one) => one,
            None => one.insert(raw.accept().await),
        };
        answer(one).await;
        let head = client.head().await;
        assert_eq!(head.status.to_string(), status);
        // hyper says none with a 304.
        if status != "304" {
            assert_eq!(head.header("content-length"), length, "{status}");
        }
        // What comes next is the next answer.
        client.send(request("GET", "/", "nowhere.test", &[], "")).await;
        let stream = one.asked().await;
        assert!(one.send(&self::answer(stream, b"next")).await);
        assert_eq!(client.response().await.text(), "next");

        let question = http::Request::builder().method(method).uri("http://host.test/");
        let (answered, _) = sender
            .send_request(question.body(()).expect("a request"), true)
            .expect("a request");
        answer(one).await;
        let head = answered.await.expect("an answer");
        let said = head.headers().get("content-length");
        assert_eq!(said.map(|value| value.to_str().expect("text")), length, "{status}");
        let data = support::within_patience("the end", head.into_body().data()).await;
        assert!(
            data.as_ref()
                .is_none_or(|data| data.as_ref().is_ok_and(Bytes::is_empty)),
            "{method} {status}: {data:?}"
        );
    }
    for line in gateway.log_of(9).await {
        assert_eq!(field(&line, "response_flags"), "-", "{line}");
    }
}

/// Waits until no upstream is connected.
async fn gone(gateway: &Gateway) {
    eventually("no upstream is connected", || async {
        let open = total(&gateway.metrics().await, "lockgate_upstream_connections", &[]);
        (open == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn times_are_those_of_http1() {
    let upstream = Http2Upstream::plain().await;
    let setup = plain(upstream.addr.port(), "HTTP2", "");
    let gateway = setup
        .args(&["--first-byte-timeout", "300ms", "--stream-idle-timeout", "300ms"])
        .start()
        .await;
    let mut client = asks(&gateway, "/").await;
    let mut asked = upstream.asked().await;
    assert_eq!(client.response().await.status, 504);
    assert_eq!(asked.is_reset().await, CANCEL);
    let mut client = asks(&gateway, "/").await;
    let mut body = upstream.asked().await.begin(Response::new(()));
    body.send_data("half".into(), false).expect("data");
    assert_eq!(client.response().await.end, Part::Cut);
    assert_eq!(upstream.connection_count(), 1);
}

#[tokio::test]
async fn a_server_without_http2_is_503_at_once() {
    let ca = Authority::new();
    let old = Upstream::plain().await;
    let gateway = plain(old.addr.port(), "HTTP2", "").start().await;
    assert_eq!(get(&gateway, "/").await.status, 503);
    // Over TLS it takes nothing but HTTP/1.1.
    let old = Upstream::tls(ca.acceptor(PROVIDER)).await;
    let setup = Setup::seed().provider_at(&old);
    let roots = setup.aside("ca.pem", &ca.pem());
    let policy = format!(
        "    connectionPool: {{http: {{h2UpgradePolicy: UPGRADE}}}}\n    tls: {{mode: SIMPLE, caCertificates: {}}}",
        roots.display()
    );
    let setup = setup.edit("local-provider.yaml", "    tls:\n      mode: DISABLE", &policy);
    let gateway = setup.start().await;
    let answer = support::client::ask(gateway.http, "test.com", QUESTION).await;
    assert_eq!(answer.status, 503);
}

#[tokio::test]
async fn a_server_that_goes_away_at_once_is_not_asked_for_ever() {
    let raw = Raw::bind().await;
    let gateway = plain(raw.port(), "HTTP2", "retries: {attempts: 0},").start().await;
    let mut client = asks(&gateway, "/").await;
    let mut open = Vec::new();
    let goes_away = async {
        loop {
            let mut one = raw.accept().await;
            one.send(&frame(GOAWAY, 0, 0, &[0; 8])).await;
            open.push(one);
        }
    };
    let answer = tokio::select! {
        answer = client.response() => answer,
        () = goes_away => panic!("for ever"),
    };
    assert!([502, 503].contains(&answer.status), "{}", answer.status);
    assert!(open.len() <= 4, "{} connections", open.len());
}

#[tokio::test]
async fn a_request_body_waits_for_the_upstreams_window() {
    let raw = Raw::bind().await;
    let gateway = plain(raw.port(), "HTTP2", "").start().await;
    let mut client = Client::connect(gateway.http).await;
    let body = vec![b'x'; 300_000];
    client.send(request("POST", "/", "host.test", &[], &body)).await;
    let mut one = raw.accept().await;
    let mut got = 0;
    while got < 65_535 {
        let (kind, _, _, payload) = one.next().await.expect("a frame");
        got += if kind == DATA { payload.len() } else { 0 };
    }
    assert_eq!(got, 65_535);
    let more = [
        frame(WINDOW_UPDATE, 0, 0, &300_000_u32.to_be_bytes()),
        frame(WINDOW_UPDATE, 0, 1, &300_000_u32.to_be_bytes()),
    ];
    assert!(one.send(&more.concat()).await);
    let mut has_ended = false;
    while got < body.len() || !has_ended {
        let (kind, flags, _, payload) = one.next().await.expect("a frame");
        got += if kind == DATA { payload.len() } else { 0 };
        has_ended = kind == DATA && flags & END_STREAM != 0;
    }
    assert_eq!(got, body.len());
    assert!(one.send(&answer(1, b"thanks")).await);
    assert_eq!(client.response().await.text(), "thanks");
}

/// A provider of HTTP/2 at this port.
fn provider(port: u16) -> Setup {
    let setup = Setup::empty().file("open.yaml", OPEN).provider_port(port);
    setup
        .edit(
            "local-provider.yaml",
            "    tls:\n      mode: DISABLE",
            "    tls: {mode: DISABLE}\n    connectionPool: {http: {h2UpgradePolicy: UPGRADE}}",
        )
        .args(&["--workers", "1"])
}

/// A question of so many bytes.
fn question(bytes: usize) -> Vec<u8> {
    let text = "x".repeat(bytes);
    let body = format!("{{\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]}}");
    request("POST", "/v1/chat/completions", "test.com", &[], body)
}

/// Reads as much of a request body as an upstream that grants nothing gets.
async fn fill(one: &mut Connection) {
    let mut got = 0;
    while got < 65_535 {
        let (kind, _, _, payload) = one.next().await.expect("a frame");
        got += if kind == DATA { payload.len() } else { 0 };
    }
}

/// The stream that is reset next, and the code.
async fn reset(one: &mut Connection) -> (u32, u32) {
    loop {
        let (kind, _, stream, payload) = one.next().await.expect("a frame");
        if kind == RST_STREAM {
            return (stream, u32::from_be_bytes(payload.try_into().expect("a code")));
        }
    }
}

/// Waits until no request body is held.
async fn nothing_is_held(gateway: &Gateway) {
    eventually("no body is held", || async {
        (total(&gateway.metrics().await, "lockgate_buffered_bytes", &[]) == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_along_what_its_upstream_does_not_read() {
    // Far more than the window, and little more, whose end goes to h2 with the last piece.
    for bytes in [1_000_000, 70_000] {
        let raw = Raw::bind().await;
        let gateway = provider(raw.port()).start().await;
        let mut client = Client::connect(gateway.http).await;
        client.send(question(bytes)).await;
        let mut one = raw.accept().await;
        fill(&mut one).await;
        let head = frame(HEADERS, END_HEADERS, 1, &block(&[(":status", b"200")]));
        assert!(one.send(&[head, frame(DATA, 0, 1, b"half")].concat()).await);
        assert_eq!(
            (client.head().await.status, client.text(4).await.as_str()),
            (200, "half")
        );
        drop(client);
        assert_eq!(reset(&mut one).await, (1, CANCEL));
        nothing_is_held(&gateway).await;
    }
}

#[tokio::test]
async fn an_upload_whose_answer_is_whole_is_let_go_when_its_upstream_does_not_read_the_rest() {
    for bytes in [1_000_000, 70_000] {
        let raw = Raw::bind().await;
        let gateway = provider(raw.port()).start().await;
        let mut client = Client::connect(gateway.http).await;
        client.send(question(bytes)).await;
        let mut one = raw.accept().await;
        fill(&mut one).await;
        assert!(one.send(&answer(1, b"early")).await);
        assert_eq!(client.response().await.text(), "early");
        let answered = Instant::now();
        assert_eq!(reset(&mut one).await, (1, CANCEL));
        assert!(answered.elapsed() > Duration::from_secs(8), "{:?}", answered.elapsed());
        nothing_is_held(&gateway).await;
    }
}

#[tokio::test]
async fn an_upload_keeps_its_place_in_a_connection_after_its_answer() {
    let raw = Raw::bind().await;
    let gateway = plain(raw.port(), "HTTP2", "").start().await;
    let mut sender = http2(&gateway).await;
    let upload = || http::Request::post("http://host.test/").body(()).expect("a request");
    let mut uploads = Vec::new();
    let (answer_to, body) = sender.send_request(upload(), false).expect("a request");
    uploads.push((answer_to, body));
    let mut one = raw.accept_with(&[(3, 2)]).await;
    uploads.push(sender.send_request(upload(), false).expect("a request"));
    for stream in [1, 3] {
        while one.next().await.expect("a frame").2 != stream {}
        assert!(one.send(&answer(stream, b"early")).await);
    }
    let mut bodies = Vec::new();
    for (answer, body) in uploads {
        let mut early = answer.await.expect("an answer").into_body();
        assert_eq!(early.data().await.expect("data").expect("data"), "early");
        bodies.push((early, body));
    }
    // The server takes two at once, and both are still sent to it.
    let mut other_client = asks(&gateway, "/").await;
    let mut other = raw.accept().await;
    let stream = other.asked().await;
    assert!(other.send(&answer(stream, b"other")).await);
    assert_eq!(other_client.response().await.text(), "other");
    // One that ends makes room.
    bodies[0].1.send_data("all".into(), true).expect("data");
    let ended = one.asked().await;
    assert!([1, 3].contains(&ended), "{ended}");
    drop(other);
    let mut next = asks(&gateway, "/").await;
    let stream = one.asked().await;
    assert!(one.send(&answer(stream, b"next")).await);
    assert_eq!(next.response().await.text(), "next");
}

/// A client that has sent the head of a request, on stream 1, and a part of its body.
async fn half_sent(gateway: &Gateway) -> Connection {
    let mut client = Connection::open(gateway.http).await;
    let head = block(&[
        (":method", b"POST"),
        (":scheme", b"http"),
        (":authority", b"host.test"),
        (":path", b"/"),
    ]);
    let begin = [frame(HEADERS, END_HEADERS, 1, &head), frame(DATA, 0, 1, b"half")].concat();
    assert!(client.send(&begin).await);
    client
}

#[tokio::test]
async fn a_request_body_that_its_client_breaks_off_never_looks_whole() {
    let upstream = Upstream::plain().await;
    let gateway = plain(upstream.addr.port(), "HTTP", "retries: {attempts: 0},")
        .start()
        .await;
    // The last code says that nothing went wrong.
    for (count, code) in [CANCEL, 2, 0].repeat(10).into_iter().enumerate() {
        let mut client = half_sent(&gateway).await;
        eventually("the upstream is connected", || async {
            (upstream.connection_count() > count).then_some(())
        })
        .await;
        assert!(client.send(&frame(RST_STREAM, 0, 1, &code.to_be_bytes())).await);
        upstream.closed(count).await;
        assert_eq!(upstream.request_count(), 0, "after a reset with {code}");
    }
}

/// Nor when it was answered before, after which nobody but the body's own reader looks at the client.
#[tokio::test]
async fn a_request_body_that_breaks_off_behind_its_answer_never_looks_whole() {
    let upstream = Http2Upstream::plain().await;
    let gateway = plain(upstream.addr.port(), "HTTP2", "retries: {attempts: 0},")
        .start()
        .await;
    for code in [CANCEL, 0] {
        let mut client = half_sent(&gateway).await;
        let mut asked = upstream.asked().await;
        asked.answer("early");
        let _ = client.end(1).await;
        assert!(client.send(&frame(RST_STREAM, 0, 1, &code.to_be_bytes())).await);
        assert_ne!(asked.is_reset().await, 0, "after a reset with {code}");
    }
}

#[tokio::test]
async fn retries_and_mirrors_go_on_in_http2() {
    let upstream = Http2Upstream::plain().await;
    let more = "retries: {attempts: 1, retryOn: 5xx}, mirror: {host: host.test},";
    let gateway = plain(upstream.addr.port(), "HTTP2", more).start().await;
    let mut client = Client::connect(gateway.http).await;
    client.send(request("POST", "/", "host.test", &[], "body")).await;
    let mut answered = 0;
    let mut shadows = 0;
    while answered < 2 || shadows < 1 {
        let mut asked = upstream.asked().await;
        assert_eq!(asked.body().await.0, b"body");
        if asked
            .request
            .uri()
            .authority()
            .expect("a host")
            .as_str()
            .contains("-shadow")
        {
            shadows += 1;
            asked.answer("shadow");
            continue;
        }
        answered += 1;
        if answered == 1 {
            let mut body = asked.begin(Response::builder().status(503).body(()).expect("an answer"));
            body.send_data(Bytes::new(), true).expect("an end");
        } else {
            asked.answer("second");
        }
    }
    assert_eq!(client.response().await.text(), "second");
}

#[tokio::test]
async fn a_reload_keeps_connections_and_ends_those_of_other_settings() {
    let upstream = Http2Upstream::plain().await;
    let setup = plain(upstream.addr.port(), "HTTP2", "").file("rule.yaml", &rule("maxConcurrentStreams: 50"));
    let gateway = setup.start().await;
    let mut client = asks(&gateway, "/").await;
    let mut held = upstream.asked().await;
    edit(&gateway.config().join("rule.yaml"), "50", "51");
    eventually("a new connection", || async {
        let mut other = asks(&gateway, "/").await;
        let mut asked = upstream.asked().await;
        asked.answer("{}");
        assert_eq!(other.response().await.status, 200);
        (asked.connection == 1).then_some(())
    })
    .await;
    held.answer("whole");
    assert_eq!(client.response().await.text(), "whole");
}

#[tokio::test]
async fn settings_that_change_are_followed() {
    let raw = Raw::bind().await;
    let gateway = plain(raw.port(), "HTTP2", "").start().await;
    let mut first = asks(&gateway, "/").await;
    let mut one: Connection = raw.accept().await;
    let stream = one.asked().await;
    // From now on one at a time.
    assert!(one.send(&settings(&[(3, 1)])).await);
    loop {
        let (kind, flags, ..) = one.next().await.expect("a frame");
        if kind == SETTINGS && flags & ACK != 0 {
            break;
        }
    }
    assert!(one.send(&settings(&[])).await);
    let mut second = asks(&gateway, "/").await;
    let mut other = raw.accept().await;
    let on_other = other.asked().await;
    assert!(other.send(&answer(on_other, b"second")).await);
    assert_eq!(second.response().await.text(), "second");
    assert!(one.send(&answer(stream, b"first")).await);
    assert_eq!(first.response().await.text(), "first");
}
