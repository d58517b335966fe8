//! WebSocket through the gateway: where a route allows it, after the upstream has agreed, and nothing before.

#![allow(clippy::panic, clippy::expect_used, reason = "a helper of tests fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "a test may panic")]

#[cfg(test)]
mod http2;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::BTreeSet;

use futures_util::{SinkExt, StreamExt};
use support::bed::EDGE;
use support::client::Client;
use support::gateway::{Gateway, Setup, edit};
use support::https::Tls;
use support::outputs::{field, total};
use support::pki::Authority;
use support::ports::Port;
use support::wire::{Fields, Framing, Part, Reader, framing, parse_head, value, values};
use support::{eventually, within_patience};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

/// The Gateway, a plain host at a port of this machine under `ws.test` and a rule of a VirtualService, under
/// `route.test` and an HTTPRoute, and a provider at the same place under `llm.test`.
fn config(port: u16, rule: &str) -> String {
    format!(
        "
{EDGE}apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: a, namespace: istio-system}}
spec:
  hosts: [a.test, dashscope.aliyuncs.com]
  ports: [{{number: 80, name: http, protocol: HTTP, targetPort: {port}}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: provider, namespace: istio-system}}
spec: {{host: dashscope.aliyuncs.com, trafficPolicy: {{tls: {{mode: DISABLE}}}}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web, namespace: istio-system}}
spec:
  hosts: [ws.test]
  gateways: [edge]
  http: [{{{rule}route: [{{destination: {{host: a.test, port: {{number: 80}}}}}}]}}]
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {{name: provider, namespace: istio-system}}
spec: {{host: dashscope.aliyuncs.com}}
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMRoute
metadata: {{name: llm, namespace: istio-system}}
spec:
  host: '*'
  gateways: [edge]
  rules: [{{backendRefs: [{{providerHost: dashscope.aliyuncs.com}}]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: denied, namespace: istio-system}}
spec: {{action: DENY, rules: [{{to: [{{operation: {{paths: [/denied]}}}}]}}]}}
"
    )
}

/// A host that a test plays itself, and a gateway in front of it.
struct Web {
    host: TcpListener,
    gateway: Gateway,
}

async fn web(rule: &str, args: &[&str]) -> Web {
    web_with(rule, |setup| setup.args(args)).await
}

async fn web_with(rule: &str, more: impl FnOnce(Setup) -> Setup) -> Web {
    let host = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = host.local_addr().expect("its address").port();
    let setup = more(Setup::empty().file("web.yaml", &config(port, rule)));
    let gateway = setup.start().await;
    Web { host, gateway }
}

/// A connection at the host, and the head of the first request on it.
struct Asked {
    reader: Reader<TcpStream>,
    line: String,
    fields: Fields,
}

impl Web {
    async fn asked(&self) -> Asked {
        let (stream, _) = within_patience("a connection at the host", self.host.accept())
            .await
            .expect("a connection");
        stream.set_nodelay(true).expect("nodelay");
        let mut reader = Reader::new(stream);
        let head = within_patience("a request", reader.head()).await.expect("a request");
        let (line, fields) = parse_head(&head);
        Asked { reader, line, fields }
    }

    async fn client(&self) -> Client {
        Client::connect(self.gateway.http).await
    }

    /// A client and the host, with the tunnel between them open and nothing said in it.
    async fn open(&self) -> (TcpStream, TcpStream) {
        let mut client = TcpStream::connect(self.gateway.http).await.expect("a connection");
        client.write_all(&ask("ws.test", "/", &[])).await.expect("sending");
        let mut host = self.asked().await.reader;
        host.stream().write_all(AGREED).await.expect("agreeing");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within_patience("an answer", client.read_u8()).await.expect("an answer"));
        }
        assert!(
            head.starts_with(b"HTTP/1.1 101 "),
            "{:?}",
            String::from_utf8_lossy(&head)
        );
        (client, host.into_stream())
    }

    /// The line of the only request.
    async fn line(&self) -> serde_json::Value {
        self.gateway.log_of(1).await.remove(0)
    }
}

const AGREED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: WebSocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

const WANTED: [&str; 4] = [
    "connection: keep-alive, Upgrade",
    "upgrade: websocket",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version: 13",
];

/// A request with these lines of its own.
fn request(method: &str, host: &str, path: &str, lines: &[&str]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n");
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// A request for a WebSocket.
fn ask(host: &str, path: &str, more: &[&str]) -> Vec<u8> {
    request("GET", host, path, &[&WANTED[..], more].concat())
}

/// Asserts that nothing comes for a while.
async fn assert_silent<S: AsyncRead + Unpin>(stream: &mut S) {
    let read = tokio::time::timeout(Duration::from_millis(200), stream.read_u8()).await;
    assert!(read.is_err(), "something came: {read:?}");
}

/// Reads to the end, however it ends.
async fn rest<S: AsyncRead + Unpin>(stream: &mut S) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = within_patience("the end of a connection", stream.read_to_end(&mut bytes)).await;
    bytes
}

async fn exactly<S: AsyncRead + Unpin>(stream: &mut S, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    within_patience("bytes", stream.read_exact(&mut bytes))
        .await
        .expect("bytes");
    bytes
}

/// Sends messages of many sizes and gets each back, pings, and says goodbye.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocketStream<S>) -> u64 {
    let mut bytes = 0;
    for size in [0, 1, 125, 126, 65_535, 65_536, 5_000_000] {
        let message = Message::binary(vec![7_u8; size]);
        socket.send(message.clone()).await.expect("sending");
        let back = within_patience("a message", socket.next()).await.expect("a message");
        assert!(back.expect("a message") == message, "{size} bytes");
        bytes += size as u64;
    }
    socket.send(Message::text("grüße")).await.expect("sending");
    let back = within_patience("a message", socket.next()).await.expect("a message");
    assert_eq!(back.expect("a message"), Message::text("grüße"));
    socket
        .send(Message::Ping("still there?".into()))
        .await
        .expect("sending");
    let pong = within_patience("a pong", socket.next()).await.expect("a pong");
    assert_eq!(pong.expect("a pong"), Message::Pong("still there?".into()));
    socket.close(None).await.expect("closing");
    while within_patience("the end", socket.next())
        .await
        .is_some_and(|message| message.is_ok())
    {}
    bytes
}

/// Sends back what comes.
async fn echo(host: TcpListener) {
    while let Ok((stream, _)) = host.accept().await {
        tokio::spawn(async move {
            let mut socket = accept_async(stream).await.expect("a handshake");
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() || message.is_binary() {
                    socket.send(message).await.expect("sending back");
                }
            }
        });
    }
}

#[tokio::test]
async fn a_client_and_a_server_that_know_nothing_of_the_gateway_talk_through_it() {
    let Web { host, gateway } = web("", &[]).await;
    tokio::spawn(echo(host));
    let stream = TcpStream::connect(gateway.http).await.expect("a connection");
    let (socket, answer) = client_async("ws://ws.test/chat?x=y", stream)
        .await
        .expect("a handshake");
    assert_eq!(answer.status(), 101);
    assert!(answer.headers().contains_key("x-request-id"));
    let bytes = talk(socket).await;
    let line = gateway.log_of(1).await.remove(0);
    for (name, value) in [
        ("response_code", "101"),
        ("response_flags", "-"),
        ("response_code_details", "via_upstream"),
        ("method", "GET"),
        ("path", "/chat"),
        ("upstream_cluster", "a.test"),
        ("provider", "-"),
    ] {
        assert_eq!(field(&line, name), value, "{name} in {line}");
    }
    for name in ["bytes_sent", "bytes_received"] {
        let counted: u64 = field(&line, name).parse().expect("a number");
        assert!((bytes..bytes + 500).contains(&counted), "{name}: {counted} of {bytes}");
    }
    let samples = gateway.metrics().await;
    let counted = total(&samples, "istio_requests_total", &[("response_code", "101")]);
    assert!((counted - 1.0).abs() < 0.5, "{counted}");
}

#[tokio::test]
async fn over_tls_it_is_the_same() {
    let ca = Authority::new();
    let issued = ca.issue("ws.test", 1);
    let Web { host, gateway } = web_with("", |setup| {
        let chain = setup.aside("cert.pem", &issued.certificate);
        let key = setup.aside("key.pem", &issued.key);
        let tls = format!(
            "port: {{number: 443, name: https, protocol: HTTPS}}, tls: {{mode: SIMPLE, serverCertificate: {}, privateKey: {}}}",
            chain.display(),
            key.display()
        );
        setup.edit("web.yaml", "port: {number: 80, name: http, protocol: HTTP}, hosts", &format!("{tls}, hosts"))
    })
    .await;
    tokio::spawn(echo(host));
    let stream = Tls::new(&ca).connect(gateway.https, "ws.test").await.expect("TLS");
    let (socket, answer) = client_async("ws://ws.test/", stream).await.expect("a handshake");
    assert_eq!(answer.status(), 101);
    talk(socket).await;
    assert_eq!(field(&gateway.log_of(1).await.remove(0), "response_flags"), "-");
}

#[tokio::test]
async fn the_hosts_request_is_as_the_route_says_and_nothing_comes_with_it() {
    let rule = "match: [{uri: {prefix: /chat}}], rewrite: {uri: /rooms}, \
                headers: {request: {set: {x-team: red}, remove: [x-secret]}, response: {set: {x-by: gateway}, remove: [server]}}, ";
    let web = web(rule, &[]).await;
    let mut client = web.client().await;
    // What is said too early waits here for the host's agreement.
    let early = b"\x81\x85\0\0\0\0no HTTP\n\nGET /smuggled HTTP/1.1\r\nhost: ws.test\r\n\r\n";
    let sent = ask("ws.test", "/chat/7?x=y", &["x-secret: 1", "cookie: a=b"]);
    client.send([&sent[..], early].concat()).await;
    let Asked {
        mut reader,
        line,
        fields,
    } = web.asked().await;
    assert_eq!(line, "GET /rooms/7?x=y HTTP/1.1");
    assert_eq!(values(&fields, "connection"), ["upgrade"]);
    assert_eq!(values(&fields, "upgrade"), ["websocket"]);
    for (name, wanted) in [
        ("host", Some("ws.test")),
        ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZQ==")),
        ("sec-websocket-version", Some("13")),
        ("cookie", Some("a=b")),
        ("x-team", Some("red")),
        ("x-secret", None),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-envoy-original-path", Some("/chat/7?x=y")),
        ("content-length", None),
        ("transfer-encoding", None),
    ] {
        assert_eq!(value(&fields, name), wanted, "{name}");
    }
    assert_silent(reader.stream()).await;
    let agreed = String::from_utf8(AGREED.to_vec()).expect("text");
    let agreed = agreed.replace("\r\n\r\n", "\r\nserver: x\r\nkeep-alive: x\r\n\r\nwelcome");
    reader.stream().write_all(agreed.as_bytes()).await.expect("agreeing");
    let head = client.head().await;
    assert_eq!(head.status, 101);
    for (name, wanted) in [
        ("connection", Some("upgrade")),
        ("upgrade", Some("WebSocket")),
        ("sec-websocket-accept", Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
        ("x-by", Some("gateway")),
        ("server", None),
        ("keep-alive", None),
        ("content-length", None),
        ("transfer-encoding", None),
    ] {
        assert_eq!(head.header(name), wanted, "{name}");
    }
    // What was said on either side before the other had heard of the agreement comes first, whole and in order.
    client.send("later").await;
    let mut host = reader.into_stream();
    assert_eq!(exactly(&mut host, early.len()).await, early);
    assert_eq!(exactly(&mut host, 5).await, b"later");
    assert_eq!(client.text(7).await, "welcome");
}

#[tokio::test]
async fn either_side_may_end_its_direction_and_listen_on() {
    let web = web("", &[]).await;
    let (mut client, mut host) = web.open().await;
    client.write_all(b"last words").await.expect("sending");
    client.shutdown().await.expect("half an end");
    assert_eq!(rest(&mut host).await, b"last words");
    assert_silent(&mut client).await;
    host.write_all(b"an answer").await.expect("sending");
    drop(host);
    assert_eq!(rest(&mut client).await, b"an answer");
    web.gateway.log_of(1).await;
    let (mut client, mut host) = web.open().await;
    host.write_all(b"bye").await.expect("sending");
    host.shutdown().await.expect("half an end");
    assert_eq!(rest(&mut client).await, b"bye");
    client.write_all(b"and yet").await.expect("sending");
    drop(client);
    assert_eq!(rest(&mut host).await, b"and yet");
    for (line, (sent, received)) in web.gateway.log_of(2).await.iter().zip([("9", "10"), ("3", "7")]) {
        assert_eq!(field(line, "response_flags"), "-", "{line}");
        assert_eq!(
            (
                field(line, "bytes_sent").as_str(),
                field(line, "bytes_received").as_str()
            ),
            (sent, received)
        );
    }
}

/// Ends a connection as a crash does.
fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("no lingering");
    drop(stream);
}

#[tokio::test]
async fn when_one_side_breaks_off_the_other_is_let_go() {
    let web = web("", &[]).await;
    let (client, mut host) = web.open().await;
    reset(client);
    assert_eq!(rest(&mut host).await, b"");
    web.gateway.log_of(1).await;
    let (mut client, host) = web.open().await;
    reset(host);
    assert_eq!(rest(&mut client).await, b"");
    let flags: Vec<_> = web
        .gateway
        .log_of(2)
        .await
        .iter()
        .map(|line| field(line, "response_flags"))
        .collect();
    assert_eq!(flags, ["DC", "UC"]);
    eventually("no connection to the host", || async {
        let samples = web.gateway.metrics().await;
        (total(&samples, "lockgate_upstream_connections", &[]) < 0.5).then_some(())
    })
    .await;
}

/// Writes until nobody has read any of it for a while; how much that was.
async fn fill(stream: &mut TcpStream) -> usize {
    let piece = vec![b'x'; 256 * 1024];
    let mut written = 0;
    while let Ok(count) = tokio::time::timeout(Duration::from_millis(700), stream.write(&piece)).await {
        written += count.expect("writing");
        assert!(written < 256 << 20, "nothing holds this up");
    }
    written
}

#[tokio::test]
async fn who_does_not_read_holds_up_who_writes() {
    let web = web("", &["--workers", "1"]).await;
    for client_reads in [true, false] {
        let (client, host) = web.open().await;
        let before = web.gateway.anonymous();
        let (mut from, mut to) = if client_reads { (host, client) } else { (client, host) };
        let written = fill(&mut from).await;
        let grown = web.gateway.anonymous().saturating_sub(before);
        println!("{written} bytes wait, {grown} of them in the gateway at most");
        assert!(grown < 1 << 20, "{grown} bytes in the gateway");
        // Nothing of it is lost.
        drop(from);
        assert_eq!(rest(&mut to).await.len(), written);
    }
}

#[tokio::test]
async fn a_silent_tunnel_is_closed_and_one_that_drips_is_not() {
    let web = web("", &["--stream-idle-timeout", "2s"]).await;
    let (mut client, mut host) = web.open().await;
    // Longer than that in all, and never for as long at once, however busy the machine is.
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.write_all(b"x").await.expect("sending");
        assert_eq!(exactly(&mut host, 1).await, b"x");
    }
    assert_eq!(rest(&mut client).await, b"");
    assert_eq!(rest(&mut host).await, b"");
    let line = web.line().await;
    assert_eq!(field(&line, "response_flags"), "SI");
    assert_eq!(field(&line, "bytes_received"), "8");
}

#[tokio::test]
async fn a_drain_waits_for_tunnels_and_then_ends_them() {
    let mut web = web("", &["--drain-timeout", "2s"]).await;
    let (mut client, mut host) = web.open().await;
    let (mut short_client, mut short_host) = web.open().await;
    web.gateway.signal("TERM");
    eventually("the gateway drains", || async {
        let metrics = Client::try_connect_from([127, 0, 0, 1], web.gateway.http).await;
        metrics.is_err().then_some(())
    })
    .await;
    for (client, host) in [(&mut client, &mut host), (&mut short_client, &mut short_host)] {
        client.write_all(b"still").await.expect("sending");
        assert_eq!(exactly(host, 5).await, b"still");
        host.write_all(b"here").await.expect("sending");
        assert_eq!(exactly(client, 4).await, b"here");
    }
    drop(short_client);
    drop(short_host);
    assert_eq!(rest(&mut client).await, b"");
    assert_eq!(rest(&mut host).await, b"");
    assert_eq!(web.gateway.ends().await.code(), Some(0));
    let lines = web.gateway.log_of(2).await;
    for (line, flags) in lines.iter().zip(["-", "LR"]) {
        assert_eq!(field(line, "response_flags"), flags);
        let bytes = (field(line, "bytes_sent"), field(line, "bytes_received"));
        assert_eq!((bytes.0.as_str(), bytes.1.as_str()), ("4", "5"));
    }
}

#[tokio::test]
async fn tunnels_of_a_port_that_is_gone_end_after_the_time_to_drain() {
    let other = Port::lease();
    let listen = format!("81=127.0.0.1:{}", other.number);
    let web = web("", &["--listen", &listen, "--drain-timeout", "1s"]).await;
    let (mut client, mut host) = web.open().await;
    client.write_all(b"x").await.expect("sending");
    assert_eq!(exactly(&mut host, 1).await, b"x");
    edit(
        &web.gateway.config().join("web.yaml"),
        "{number: 80, name: http, protocol: HTTP}, hosts",
        "{number: 81, name: http, protocol: HTTP}, hosts",
    );
    assert_eq!(rest(&mut client).await, b"");
    assert_eq!(rest(&mut host).await, b"");
    let line = web.line().await;
    assert_eq!(field(&line, "response_flags"), "LR");
    assert_eq!(field(&line, "response_code_details"), "drain_timeout");
    assert_eq!(field(&line, "bytes_received"), "1");
}

#[tokio::test]
async fn a_tunnel_keeps_nothing_of_its_configuration_but_names() {
    const GENERATIONS: usize = 16;
    const ROUTES: usize = 4_000;
    let web = web("name: told, ", &["--workers", "1"]).await;
    let path = web.gateway.config().join("many.yaml");
    let tunnel_after_reload = async |generation: usize| {
        // Whole, so that no reload finds half of it.
        let next = path.with_extension("next");
        std::fs::write(&next, many(ROUTES, generation)).expect("writing");
        std::fs::rename(&next, &path).expect("renaming");
        eventually("a reload", || async {
            let loaded = web.gateway.read("stderr").matches("configuration loaded").count();
            (loaded == generation + 2).then_some(())
        })
        .await;
        web.open().await
    };
    let mut tunnels = Vec::new();
    let mut memory = Vec::new();
    for generation in 0..GENERATIONS {
        tunnels.push(tunnel_after_reload(generation).await);
        memory.push(web.gateway.anonymous());
    }
    // Kept whole, the eight between them take fifteen and more. What a reload itself takes comes and goes.
    let least = |memory: &[u64]| memory.iter().copied().min().unwrap_or_default();
    let (early, late) = memory.split_at(GENERATIONS / 2);
    let grown = least(late).saturating_sub(least(early));
    assert!(grown < 8 * 1024 * 1024, "{grown} bytes more, of {memory:?}");
    drop(tunnels);
    let lines = web.gateway.log_of(GENERATIONS).await;
    let snapshots: BTreeSet<String> = lines.iter().map(|line| field(line, "snapshot")).collect();
    assert_eq!(snapshots.len(), GENERATIONS, "each has that of its own");
    for line in &lines {
        assert_eq!(field(line, "rule"), "istio-system/web/told");
        assert_eq!(field(line, "upstream_cluster"), "a.test");
    }
    let told = web.gateway.metrics().await;
    let counted = total(&told, "istio_requests_total", &[("route", "istio-system/web/told")]);
    assert!((counted - GENERATIONS as f64).abs() < 0.5, "{counted}");
}

/// A VirtualService with so many rules, of which the last is another in each generation.
fn many(rules: usize, generation: usize) -> String {
    let mut text = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: many, namespace: istio-system}
spec:
  hosts: [many.test]
  gateways: [edge]
  http:
"
    .to_owned();
    let rule = |path: &str| {
        format!(
            "  - {{match: [{{uri: {{exact: {path}}}}}], route: [{{destination: {{host: a.test, port: {{number: 80}}}}}}]}}\n"
        )
    };
    text.extend((1..rules).map(|number| rule(&format!("/a/path/of/some/length/{number}"))));
    text.push_str(&rule(&format!("/generation/{generation}")));
    text
}

/// The answer to a request, as a client that knows nothing of upgrades reads it.
async fn whole(client: &mut Client) -> (u16, Option<String>, String, Part) {
    let answer = client.response().await;
    let connection = answer.header("connection").map(str::to_owned);
    (answer.status, connection, answer.text(), answer.end)
}

#[tokio::test]
async fn an_answer_that_does_not_switch_is_one_like_any_other_and_the_last() {
    for (line, body) in [
        ("200 OK", "no"),
        ("426 Upgrade Required", "version 13 only"),
        ("403 Forbidden", ""),
        ("302 Found", ""),
    ] {
        let web = web("", &[]).await;
        let mut client = web.client().await;
        // Behind it what a front end that takes this for a tunnel would let pass.
        let smuggled = request("GET", "ws.test", "/smuggled", &[]);
        client.send([ask("ws.test", "/", &[]), smuggled.clone()].concat()).await;
        let mut host = web.asked().await.reader;
        let length = body.len();
        let answer = format!("HTTP/1.1 {line}\r\nx-a: b\r\ncontent-length: {length}\r\n\r\n{body}");
        host.stream().write_all(answer.as_bytes()).await.expect("answering");
        let (status, _) = line.split_once(' ').expect("a status");
        let status: u16 = status.parse().expect("a status");
        let (seen, connection, text, end) = whole(&mut client).await;
        assert_eq!(
            (seen, connection.as_deref(), text.as_str(), end),
            (status, Some("close"), body, Part::End)
        );
        // Not even when it is sent again.
        let _ = client.try_send(&smuggled).await;
        assert!(client.closes().await, "{line}");
        assert_silent(host.stream()).await;
        let paths: Vec<_> = web
            .gateway
            .log_of(1)
            .await
            .iter()
            .map(|line| field(line, "path"))
            .collect();
        assert_eq!(paths, ["/"], "{line}");
    }
}

#[tokio::test]
async fn what_an_upstream_may_not_switch_to_is_502() {
    let web = web("", &[]).await;
    for (what, fields) in [
        ("another protocol", "connection: upgrade\r\nupgrade: h2c\r\n"),
        ("a list", "connection: upgrade\r\nupgrade: websocket, h2c\r\n"),
        ("two", "connection: upgrade\r\nupgrade: websocket\r\nupgrade: h2c\r\n"),
        ("none", "connection: upgrade\r\n"),
        ("no connection", "upgrade: websocket\r\n"),
        (
            "a length",
            "connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 5\r\n",
        ),
        (
            "a coding",
            "connection: upgrade\r\nupgrade: websocket\r\ntransfer-encoding: chunked\r\n",
        ),
    ] {
        let mut client = web.client().await;
        client.send([&ask("ws.test", "/", &[])[..], b"early"].concat()).await;
        let mut host = web.asked().await.reader;
        let answer = format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\nraw");
        host.stream().write_all(answer.as_bytes()).await.expect("answering");
        let (status, connection, _, end) = whole(&mut client).await;
        assert_eq!(
            (status, connection.as_deref(), end),
            (502, Some("close"), Part::End),
            "{what}"
        );
        assert!(client.closes().await, "{what}");
        assert_eq!(rest(host.stream()).await, b"", "{what}");
    }
    for line in web.gateway.log_of(7).await {
        assert_eq!(field(&line, "response_flags"), "UPE", "{line}");
    }
}

#[tokio::test]
async fn what_is_said_early_waits_behind_a_pipelined_request_too() {
    let web = web("", &[]).await;
    let mut client = web.client().await;
    let early = b"\x81\x85\0\0\0\0no\nd\n";
    let plain = request("GET", "ws.test", "/", &[]);
    let upgrade = ask("ws.test", "/", &[]);
    client.send([&plain[..], &upgrade, early].concat()).await;
    let mut host = web.asked().await.reader;
    let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    host.stream().write_all(answer).await.expect("answering");
    assert_eq!(whole(&mut client).await.0, 200);
    let mut host = web.asked().await.reader;
    host.stream().write_all(AGREED).await.expect("agreeing");
    assert_eq!(client.head().await.status, 101);
    assert_eq!(exactly(host.stream(), early.len()).await, early);
}

#[tokio::test]
async fn an_unasked_101_is_502_from_a_plain_host_too() {
    let web = web("", &[]).await;
    for lines in [&[][..], &["connection: upgrade", "upgrade: h2c"]] {
        let mut client = web.client().await;
        client.send(request("GET", "ws.test", "/", lines)).await;
        let mut host = web.asked().await.reader;
        host.stream().write_all(AGREED).await.expect("answering");
        assert_eq!(whole(&mut client).await.0, 502, "{lines:?}");
    }
}

#[tokio::test]
async fn what_asks_for_something_else_or_in_another_way_is_passed_on_without_it() {
    let web = web("", &[]).await;
    let connection = "connection: upgrade";
    let websocket = "upgrade: websocket";
    for (what, method, lines, body) in [
        (
            "h2c",
            "GET",
            &[
                "connection: upgrade, http2-settings",
                "upgrade: h2c",
                "http2-settings: AAMAAABk",
            ][..],
            "",
        ),
        ("two protocols", "GET", &[connection, "upgrade: websocket, h2c"], ""),
        ("two fields", "GET", &[connection, websocket, "upgrade: h2c"], ""),
        ("no connection", "GET", &[websocket], ""),
        ("a POST", "POST", &[connection, websocket, "content-length: 0"], ""),
        ("a body", "GET", &[connection, websocket, "content-length: 4"], "body"),
        (
            "chunks",
            "GET",
            &[connection, websocket, "transfer-encoding: chunked"],
            "4\r\nbody\r\n0\r\n\r\n",
        ),
    ] {
        let mut client = web.client().await;
        // What follows is the next request, judged as one.
        let next = request("GET", "ws.test", "/denied", &[]);
        client
            .send([&request(method, "ws.test", "/", lines)[..], body.as_bytes(), &next].concat())
            .await;
        let Asked { mut reader, fields, .. } = web.asked().await;
        for name in ["connection", "upgrade", "http2-settings"] {
            assert_eq!(value(&fields, name), None, "{what}: {name}");
        }
        reader.expect_body(framing(&fields, Framing::Empty));
        let (seen, end) = reader.body().await;
        assert_eq!(end, Part::End, "{what}");
        assert!(!String::from_utf8_lossy(&seen).contains("GET"), "{what}: {seen:?}");
        let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
        reader.stream().write_all(answer).await.expect("answering");
        assert_eq!(
            whole(&mut client).await,
            (200, None, "ok".to_owned(), Part::End),
            "{what}"
        );
        assert_eq!(whole(&mut client).await.0, 403, "{what}");
    }
}

#[tokio::test]
async fn an_llms_route_allows_none() {
    let web = web("", &[]).await;
    let mut client = web.client().await;
    let next = request("GET", "llm.test", "/denied", &[]);
    client.send([ask("llm.test", "/v1/realtime", &[]), next].concat()).await;
    let Asked {
        mut reader,
        line,
        fields,
    } = web.asked().await;
    assert_eq!(line, "GET /v1/realtime HTTP/1.1");
    for name in ["connection", "upgrade"] {
        assert_eq!(value(&fields, name), None, "{name}");
    }
    let answer = b"HTTP/1.1 426 Upgrade Required\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    reader.stream().write_all(answer).await.expect("answering");
    assert_eq!(whole(&mut client).await.0, 426);
    assert_eq!(whole(&mut client).await.0, 403);
    // And one that switches all the same is not believed.
    let mut client = web.client().await;
    client.send(ask("llm.test", "/v1/realtime", &[])).await;
    let mut host = web.asked().await.reader;
    host.stream().write_all(AGREED).await.expect("answering");
    assert_eq!(whole(&mut client).await.0, 502);
}

#[tokio::test]
async fn policy_and_routes_judge_it_as_any_request() {
    let web = web("match: [{uri: {prefix: /chat}}], ", &[]).await;
    let mut client = web.client().await;
    // Refused here, it is no tunnel, so what follows is a request.
    for (path, status) in [("/denied", 403), ("/elsewhere", 404)] {
        let next = request("GET", "ws.test", "/denied", &[]);
        client.send([ask("ws.test", path, &[]), next].concat()).await;
        assert_eq!(whole(&mut client).await.0, status);
        assert_eq!(whole(&mut client).await.0, 403);
    }
    let accepted = tokio::time::timeout(Duration::from_millis(100), web.host.accept()).await;
    assert!(accepted.is_err(), "the host was contacted");
}

#[tokio::test]
async fn a_host_that_does_not_answer_in_time_is_504_and_the_client_is_let_go() {
    let web = web("", &["--first-byte-timeout", "500ms"]).await;
    let mut client = web.client().await;
    client.send([&ask("ws.test", "/", &[])[..], b"early"].concat()).await;
    let mut host = web.asked().await.reader;
    let (status, connection, _, _) = whole(&mut client).await;
    assert_eq!((status, connection.as_deref()), (504, Some("close")));
    assert_eq!(rest(host.stream()).await, b"");
}

#[tokio::test]
async fn a_client_that_leaves_before_the_agreement_frees_the_host() {
    let web = web("", &[]).await;
    let mut client = web.client().await;
    client.send(ask("ws.test", "/", &[])).await;
    let mut host = web.asked().await.reader;
    drop(client);
    assert_eq!(rest(host.stream()).await, b"");
    assert_eq!(field(&web.line().await, "response_flags"), "DC");
}

#[tokio::test]
async fn a_tunnel_needs_room_among_the_requests() {
    let web = web("", &["--max-requests", "1"]).await;
    let (mut client, mut host) = web.open().await;
    let mut other = web.client().await;
    other.send(ask("ws.test", "/", &[])).await;
    assert_eq!(whole(&mut other).await.0, 503);
    client.write_all(b"x").await.expect("sending");
    assert_eq!(exactly(&mut host, 1).await, b"x");
}

#[tokio::test]
async fn frames_of_a_role_pass_as_they_are() {
    // The gateway does not look into a tunnel: masks, reserved bits and lengths are the two sides' own affair.
    let web = web("", &[]).await;
    let (client, host) = web.open().await;
    let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
    let mut host = host;
    client.send(Message::text("masked")).await.expect("sending");
    let bytes = exactly(&mut host, 12).await;
    assert_eq!(bytes[..2], [0x81, 0x86]);
    host.write_all(b"\xf1\x00").await.expect("sending");
    assert!(
        within_patience("an error", client.next())
            .await
            .expect("a frame")
            .is_err()
    );
}
