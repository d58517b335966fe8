//! WebSocket over streams of HTTP/2 (RFC 8441): the same tunnels, asked for by an extended CONNECT.

use core::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::support::https::Tls;
use crate::support::outputs::{field, total};
use crate::support::pki::Authority;
use crate::support::wire::value;
use crate::support::{eventually, within_patience};
use crate::{Asked, Web, assert_silent, echo, exactly, rest, talk, web, web_with};

/// A connection that may CONNECT to more than hosts.
async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> SendRequest<Bytes> {
    let (sender, connection) = within_patience("HTTP/2", h2::client::handshake(stream))
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    eventually("extended CONNECT is offered", || async {
        sender.is_extended_connect_protocol_enabled().then_some(())
    })
    .await;
    sender
}

async fn connect(to: SocketAddr) -> SendRequest<Bytes> {
    over(TcpStream::connect(to).await.expect("a connection")).await
}

/// What asks for `protocol`.
fn ask(host: &str, path: &str, protocol: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(format!("http://{host}{path}"))
        .header("sec-websocket-version", "13")
        .extension(Protocol::from(protocol));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request")
}

async fn send(sender: &mut SendRequest<Bytes>, request: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
    let mut ready = within_patience("room for a stream", sender.clone().ready())
        .await
        .expect("a connection");
    ready.send_request(request, false).expect("a request")
}

async fn answered(answer: ResponseFuture) -> Response<RecvStream> {
    within_patience("an answer", answer).await.expect("an answer")
}

/// The status, and the body up to the end of the stream.
async fn whole(answer: ResponseFuture) -> (u16, String) {
    let (head, mut body) = answered(answer).await.into_parts();
    let mut text = Vec::new();
    while let Some(piece) = within_patience("the rest", body.data()).await {
        text.extend(piece.expect("the rest"));
    }
    (head.status.as_u16(), String::from_utf8(text).expect("text"))
}

/// A stream as bytes.
fn bytes_of(mut to: SendStream<Bytes>, mut from: RecvStream) -> DuplexStream {
    let (near, far) = duplex(64 * 1024);
    let (mut read, mut write) = tokio::io::split(far);
    tokio::spawn(async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            let mut piece = Bytes::copy_from_slice(&buffer[..count]);
            while !piece.is_empty() {
                to.reserve_capacity(piece.len());
                let Some(Ok(room)) = core::future::poll_fn(|cx| to.poll_capacity(cx)).await else {
                    return;
                };
                let now = piece.split_to(room.min(piece.len()));
                if to.send_data(now, false).is_err() {
                    return;
                }
            }
        }
        let _ = to.send_data(Bytes::new(), true);
    });
    tokio::spawn(async move {
        while let Some(Ok(piece)) = from.data().await {
            let _ = from.flow_control().release_capacity(piece.len());
            if write.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = write.shutdown().await;
    });
    near
}

/// What a host says that agrees to `key`.
fn agreement(key: &str) -> Vec<u8> {
    let accept = derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nx-own: 1\r\nsec-websocket-accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

/// A stream and the host, with the tunnel between them open and nothing said in it.
async fn open(web: &Web, sender: &mut SendRequest<Bytes>) -> (DuplexStream, TcpStream) {
    let (answer, to) = send(sender, ask("ws.test", "/", "websocket", &[])).await;
    let Asked { reader, fields, .. } = web.asked().await;
    let mut host = reader.into_stream();
    let key = value(&fields, "sec-websocket-key").expect("a key");
    host.write_all(&agreement(key)).await.expect("agreeing");
    let answer = answered(answer).await;
    assert_eq!(answer.status(), 200);
    (bytes_of(to, answer.into_body()), host)
}

#[tokio::test]
async fn clients_and_servers_that_know_nothing_of_the_gateway_talk_through_streams() {
    let ca = Authority::new();
    let issued = ca.issue("ws.test", 1);
    let web = web_with("", |setup| {
        let chain = setup.aside("cert.pem", &issued.certificate);
        let key = setup.aside("key.pem", &issued.key);
        let https = format!(
            "  - {{port: {{number: 443, name: https, protocol: HTTPS}}, hosts: ['*'], tls: {{mode: SIMPLE, serverCertificate: {}, privateKey: {}}}}}\n",
            chain.display(),
            key.display()
        );
        let http = "  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]\n";
        let both = format!("  servers:\n  - {{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ['*']}}\n{https}");
        setup.edit("web.yaml", http, &both)
    })
    .await;
    let Web { host, gateway } = web;
    tokio::spawn(echo(host));
    let tls = Tls::new(&ca).alpn(&["h2"]);
    let secure = tls.connect(gateway.https, "ws.test").await.expect("TLS");
    for mut sender in [connect(gateway.http).await, over(secure).await] {
        let mut talks = Vec::new();
        for _ in 0..2 {
            let (answer, to) = send(&mut sender, ask("ws.test", "/chat?x=y", "WebSocket", &[])).await;
            let answer = answered(answer).await;
            assert_eq!(answer.status(), 200);
            assert!(answer.headers().contains_key("x-request-id"));
            for name in ["connection", "upgrade", "sec-websocket-accept", "content-length"] {
                assert!(!answer.headers().contains_key(name), "{name}");
            }
            let stream = bytes_of(to, answer.into_body());
            let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
            talks.push(tokio::spawn(talk(socket)));
        }
        // Other streams of the connection go on meanwhile.
        let get = Request::get("http://ws.test/denied").body(()).expect("a request");
        assert_eq!(whole(send(&mut sender, get).await.0).await.0, 403);
        for talk in talks {
            within_patience("the talk", talk).await.expect("a talk");
        }
    }
    let lines = gateway.log_of(6).await;
    let tunnels = lines.iter().filter(|line| field(line, "response_code") == "101");
    let mut count = 0;
    for line in tunnels {
        count += 1;
        for (name, value) in [
            ("response_flags", "-"),
            ("response_code_details", "via_upstream"),
            ("method", "GET"),
            ("path", "/chat"),
            ("protocol", "HTTP/2"),
            ("upstream_cluster", "a.test"),
        ] {
            assert_eq!(field(line, name), value, "{name} in {line}");
        }
        for name in ["bytes_sent", "bytes_received"] {
            let counted: u64 = field(line, name).parse().expect("a number");
            assert!((5_000_000..6_000_000).contains(&counted), "{name}: {counted}");
        }
    }
    assert_eq!(count, 4);
    let samples = gateway.metrics().await;
    let counted = total(&samples, "istio_requests_total", &[("response_code", "101")]);
    assert!((counted - 4.0).abs() < 0.5, "{counted}");
}

#[tokio::test]
async fn the_host_is_asked_in_http1_and_gets_nothing_before_it_agrees() {
    let web = web("", &[]).await;
    let mut sender = connect(web.gateway.http).await;
    let own = "dGhlIHNhbXBsZSBub25jZQ==";
    for sent in [None, Some(own)] {
        let fields: Vec<(&str, &str)> = sent.iter().map(|key| ("sec-websocket-key", *key)).collect();
        let more = [("sec-websocket-protocol", "chat"), ("x-own", "1")];
        let (answer, mut to) = send(
            &mut sender,
            ask("ws.test", "/a/../chat?x=y", "websocket", &[&fields[..], &more].concat()),
        )
        .await;
        to.send_data("early".into(), false).expect("sending");
        let Asked { reader, line, fields } = web.asked().await;
        assert_eq!(line, "GET /chat?x=y HTTP/1.1");
        let key = value(&fields, "sec-websocket-key").expect("a key").to_owned();
        assert_eq!(sent.is_some(), key == own);
        for (name, wanted) in [
            ("host", Some("ws.test")),
            ("connection", Some("upgrade")),
            ("upgrade", Some("websocket")),
            ("sec-websocket-version", Some("13")),
            ("sec-websocket-protocol", Some("chat")),
            ("x-own", Some("1")),
            ("transfer-encoding", None),
            ("content-length", None),
        ] {
            assert_eq!(value(&fields, name), wanted, "{name}");
        }
        let mut host = reader.into_stream();
        assert_silent(&mut host).await;
        host.write_all(&[&agreement(&key)[..], b"hello"].concat())
            .await
            .expect("agreeing");
        let answer = answered(answer).await;
        assert_eq!(answer.status(), 200);
        let accept = answer.headers().get("sec-websocket-accept");
        assert_eq!(
            accept.is_some(),
            sent.is_some(),
            "who has sent a key reads the answer to it"
        );
        assert_eq!(answer.headers()["x-own"], "1");
        let mut client = bytes_of(to, answer.into_body());
        assert_eq!(exactly(&mut client, 5).await, b"hello");
        assert_eq!(exactly(&mut host, 5).await, b"early");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_agreement_is_none_to_the_client() {
    let web = web("", &[]).await;
    let mut sender = connect(web.gateway.http).await;
    let wrong = String::from_utf8(agreement("dGhlIHNhbXBsZSBub25jZQ==")).expect("text");
    let other = wrong.replace("upgrade: websocket", "upgrade: h2c");
    let without = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    for (said, status) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", 502),
        ("HTTP/1.1 204 No Content\r\n\r\n", 502),
        (&wrong, 502),
        (&other, 502),
        (without, 502),
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", 403),
        ("HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n", 302),
    ] {
        let (answer, mut to) = send(&mut sender, ask("ws.test", "/", "websocket", &[])).await;
        to.send_data("early".into(), false).expect("sending");
        let mut host = web.asked().await.reader.into_stream();
        host.write_all(said.as_bytes()).await.expect("answering");
        let (seen, body) = whole(answer).await;
        assert_eq!(seen, status, "{said:?}");
        if status == 403 {
            assert_eq!(body, "no");
        }
        // The bytes for the tunnel are no request, and nobody's.
        drop(to);
    }
    // Other streams of the connection are none the worse.
    drop(open(&web, &mut sender).await);
}

#[tokio::test]
async fn what_leads_to_no_tunnel_is_refused() {
    let web = web("", &[]).await;
    let mut sender = connect(web.gateway.http).await;
    for (host, path, protocol, status, says) in [
        ("ws.test", "/", "connect-udp", 400, "path"),
        ("ws.test", "/", "webtransport", 400, "path"),
        ("ws.test", "/denied", "websocket", 403, "RBAC: access denied"),
        ("llm.test", "/", "websocket", 403, "upgrade_not_allowed"),
    ] {
        let (answer, to) = send(&mut sender, ask(host, path, protocol, &[])).await;
        let (seen, body) = whole(answer).await;
        assert_eq!(seen, status, "{host}{path} {protocol}: {body}");
        assert!(body.contains(says), "{host}{path} {protocol}: {body}");
        drop(to);
    }
    // A CONNECT that names no protocol is what it always was.
    let plain = Request::builder().method(Method::CONNECT).uri("ws.test:443").body(());
    let (answer, _to) = send(&mut sender, plain.expect("a request")).await;
    assert_eq!(whole(answer).await.0, 400);
    let asked = tokio::time::timeout(core::time::Duration::from_millis(200), web.host.accept()).await;
    assert!(asked.is_err(), "the host was contacted");
}

#[tokio::test]
async fn either_side_may_end_its_direction_and_a_reset_ends_both() {
    let web = web("", &[]).await;
    let mut sender = connect(web.gateway.http).await;
    let (mut client, mut host) = open(&web, &mut sender).await;
    client.write_all(b"last").await.expect("sending");
    client.shutdown().await.expect("ending");
    assert_eq!(rest(&mut host).await, b"last");
    host.write_all(b"still here").await.expect("sending");
    assert_eq!(exactly(&mut client, 10).await, b"still here");
    drop(host);
    assert_eq!(rest(&mut client).await, b"");
    web.gateway.log_of(1).await;

    let (mut client, mut host) = open(&web, &mut sender).await;
    host.shutdown().await.expect("ending");
    assert_eq!(rest(&mut client).await, b"");
    client.write_all(b"still here").await.expect("sending");
    assert_eq!(exactly(&mut host, 10).await, b"still here");
    client.shutdown().await.expect("ending");
    assert_eq!(rest(&mut host).await, b"");
    web.gateway.log_of(2).await;

    // A host that goes on listening would wait for long, if a reset were an end of one direction.
    let (answer, mut to) = send(&mut sender, ask("ws.test", "/", "websocket", &[])).await;
    let Asked { reader, fields, .. } = web.asked().await;
    let mut host = reader.into_stream();
    let key = value(&fields, "sec-websocket-key").expect("a key");
    host.write_all(&agreement(key)).await.expect("agreeing");
    let _body = answered(answer).await.into_body();
    to.send_reset(Reason::CANCEL);
    assert_eq!(rest(&mut host).await, b"");
    let lines = web.gateway.log_of(3).await;
    for (line, flags) in lines.iter().zip(["-", "-", "DC"]) {
        assert_eq!(field(line, "response_flags"), flags, "{line}");
    }
}

#[tokio::test]
async fn limits_are_those_of_other_tunnels() {
    let web = web("", &["--stream-idle-timeout", "1s", "--max-requests", "1"]).await;
    let mut sender = connect(web.gateway.http).await;
    let (mut client, mut host) = open(&web, &mut sender).await;
    client.write_all(b"x").await.expect("sending");
    assert_eq!(exactly(&mut host, 1).await, b"x");
    let (answer, _to) = send(&mut sender, ask("ws.test", "/", "websocket", &[])).await;
    assert_eq!(whole(answer).await.0, 503);
    assert_eq!(rest(&mut client).await, b"");
    assert_eq!(rest(&mut host).await, b"");
    let lines = web.gateway.log_of(2).await;
    assert_eq!(field(&lines[1], "response_flags"), "SI", "{}", lines[1]);
    assert_eq!(field(&lines[1], "bytes_received"), "1");
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_the_host() {
    let web = web("", &[]).await;
    let mut sender = connect(web.gateway.http).await;
    let (answer, _to) = send(&mut sender, ask("ws.test", "/", "websocket", &[])).await;
    let Asked { reader, fields, .. } = web.asked().await;
    let mut host = reader.into_stream();
    let key = value(&fields, "sec-websocket-key").expect("a key");
    host.write_all(&agreement(key)).await.expect("agreeing");
    // It grants no window beyond the first.
    let mut body = answered(answer).await.into_body();
    let first = crate::fill(&mut host).await;
    assert!(
        first < 16 * 1024 * 1024,
        "{first} bytes are taken for a client that does not read"
    );
    let mut seen = 0;
    while seen < first {
        let piece = within_patience("a piece", body.data())
            .await
            .expect("a piece")
            .expect("a piece");
        body.flow_control().release_capacity(piece.len()).expect("a window");
        seen += piece.len();
    }
    assert_eq!(seen, first);
}

#[tokio::test]
async fn a_drain_waits_for_them_and_then_ends_them() {
    let mut web = web("", &["--drain-timeout", "2s"]).await;
    let mut sender = connect(web.gateway.http).await;
    let (mut client, mut host) = open(&web, &mut sender).await;
    web.gateway.signal("TERM");
    client.write_all(b"still").await.expect("sending");
    assert_eq!(exactly(&mut host, 5).await, b"still");
    assert_eq!(rest(&mut host).await, b"");
    assert_eq!(rest(&mut client).await, b"");
    assert_eq!(web.gateway.ends().await.code(), Some(0));
    let line = web.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "response_flags"), "LR", "{line}");
    assert_eq!(field(&line, "response_code_details"), "drain_timeout");
}

#[tokio::test]
async fn policies_are_shown_a_get() {
    let methods = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: methods, namespace: istio-system}
spec:
  action: DENY
  rules:
  - to: [{operation: {methods: [CONNECT]}}]
  - to: [{operation: {methods: [GET], paths: [/get]}}]
  - to: [{operation: {paths: [/upgrade]}}]
    when: [{key: 'request.headers[upgrade]', values: [websocket]}]
";
    let web = web_with("", |setup| setup.file("methods.yaml", methods)).await;
    let mut sender = connect(web.gateway.http).await;
    for path in ["/get", "/upgrade"] {
        let (answer, _to) = send(&mut sender, ask("ws.test", path, "websocket", &[])).await;
        assert_eq!(whole(answer).await, (403, "RBAC: access denied".to_owned()), "{path}");
    }
    drop(open(&web, &mut sender).await);
}

#[tokio::test]
async fn explain_says_so() {
    let web = web("", &[]).await;
    let config = web.gateway.config().display().to_string();
    let args = ["explain", "-f", &config, "--protocol", "websocket"].map(str::to_owned);
    for (url, wanted) in [
        ("http://ws.test/", "upgrade: websocket"),
        ("http://ws.test/", "sec-websocket-key"),
        ("http://llm.test/", "upgrade_not_allowed"),
    ] {
        let said = crate::support::gateway::run(&[], &[&args[..], &[url.to_owned()]].concat()).await;
        assert_eq!(said.code, 0, "{}", said.all());
        assert!(said.stdout.contains(wanted), "{wanted} is not in\n{}", said.stdout);
    }
    let args = ["explain", "-f", &config, "--protocol", "masque", "/"].map(str::to_owned);
    let said = crate::support::gateway::run(&[], &args).await;
    assert_eq!(said.code, 2, "{}", said.all());
}
