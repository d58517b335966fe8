//! PROXY protocol: whom a balancer names is the client that policies and logs see, and without a name nobody is served.
#![allow(clippy::panic, clippy::expect_used, reason = "a helper of tests fails by panicking")]

#[cfg(test)]
mod support;

use core::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::bed::{Bed, Transport, assert_spliced};
use support::client::{Client, Response, post, request};
use support::gateway::{Setup, edit};
use support::outputs::field;
use support::{QUESTION, eventually, within_patience};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What `x-ask` asks: denied is yes.
const QUESTIONS: &str = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: questions, namespace: istio-system}
spec:
  action: DENY
  rules:
  - from: [{source: {remoteIpBlocks: ['192.0.2.1', '2001:db8::1']}}]
    when: [{key: 'request.headers[x-ask]', values: [remote is the client]}]
  - from: [{source: {remoteIpBlocks: ['127.0.0.1']}}]
    when: [{key: 'request.headers[x-ask]', values: [remote is the peer]}]
  - from: [{source: {remoteIpBlocks: ['203.0.113.7']}}]
    when: [{key: 'request.headers[x-ask]', values: [remote is forwarded]}]
  - from: [{source: {notRemoteIpBlocks: ['0.0.0.0/0']}}]
    when: [{key: 'request.headers[x-ask]', values: [remote is not v4]}]
  - from: [{source: {ipBlocks: ['127.0.0.1']}}]
    when: [{key: 'request.headers[x-ask]', values: [source is the peer]}, {key: source.ip, values: ['127.0.0.1']}]
  - from: [{source: {notIpBlocks: ['127.0.0.1']}}]
    when: [{key: 'request.headers[x-ask]', values: [source is another]}]
  - to: [{operation: {ports: ['443']}}]
    when: [{key: 'request.headers[x-ask]', values: [port is named]}, {key: destination.port, values: ['443']}]
  - to: [{operation: {ports: ['80']}}]
    when: [{key: 'request.headers[x-ask]', values: [port is the listener's]}]
  - when:
    - {key: 'request.headers[x-ask]', values: [destination is named]}
    - {key: destination.ip, values: ['198.51.100.1', '2001:db8::2']}
  - when:
    - {key: 'request.headers[x-ask]', values: [destination is the socket's]}
    - {key: destination.ip, values: ['127.0.0.1']}
";

const ON: &str = "proxyProtocol: {}";
const OFF: &str = "forwardClientCertDetails: SANITIZE";

fn mesh(trusted_proxies: u32, proxy_protocol: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |-\n    \
         defaultConfig:\n      gatewayTopology:\n        numTrustedProxies: {trusted_proxies}\n        {proxy_protocol}\n"
    )
}

fn setup(trusted_proxies: u32) -> Setup {
    Setup::seed()
        .file("mesh.yaml", &mesh(trusted_proxies, ON))
        .file("questions.yaml", QUESTIONS)
}

async fn bed() -> Bed {
    Bed::start(Transport::Plain, setup(0)).await
}

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 51234 443\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("a block that can be announced");
    [SIGNATURE, &[command, family], &length.to_be_bytes(), block].concat()
}

fn ends_v4(fields: &[u8]) -> Vec<u8> {
    [&[192, 0, 2, 1, 198, 51, 100, 1, 0xc8, 0x22, 1, 187], fields].concat()
}

fn ends_v6(source: &str, destination: &str) -> Vec<u8> {
    let octets = |text: &str| text.parse::<core::net::Ipv6Addr>().expect("an address").octets();
    [&octets(source)[..], &octets(destination), &[0xc8, 0x22, 1, 187]].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("a short value");
    [&[kind][..], &length.to_be_bytes(), value].concat()
}

/// The seed's question with `x-ask`.
fn asking(question: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    post("test.com", &[&[("x-ask", question)], fields].concat(), QUESTION)
}

async fn send(bed: &Bed, header: &[u8], request: &[u8]) -> Response {
    let mut client = Client::connect(bed.http()).await;
    client.send([header, request].concat()).await;
    client.response().await
}

/// Whether a question is answered with yes after a header.
async fn says(bed: &Bed, header: &[u8], question: &str) -> bool {
    is_denied(&send(bed, header, &asking(question, &[])).await)
}

fn is_denied(answer: &Response) -> bool {
    match (answer.status, &*answer.text()) {
        (403, "RBAC: access denied") => true,
        (200, _) => false,
        other => panic!("{other:?}"),
    }
}

async fn refused_so_far(bed: &Bed) -> f64 {
    let metrics = bed.gateway.metrics().await;
    let mut found = metrics
        .iter()
        .filter(|sample| sample.name == "lockgate_proxy_headers_refused_total");
    found.next().expect("the counter of refused headers").value
}

#[tokio::test]
async fn a_header_of_any_form_names_client_and_destination_and_the_peer_stays() {
    let bed = bed().await;
    let v6 = "PROXY TCP6 2001:db8::1 2001:db8::2 51234 443\r\n";
    let many = [
        tlv(0x01, b"h2"),
        tlv(0x02, b"\xff\xfe"),
        tlv(0xea, b""),
        tlv(0x04, &[0; 4000]),
    ]
    .concat();
    for (header, is_v6) in [
        (V1.to_vec(), false),
        (
            b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.1 51234 443\r\n".to_vec(),
            false,
        ),
        (v6.into(), true),
        (v2(PROXY, TCP4, &ends_v4(&[])), false),
        (v2(PROXY, 0x12, &ends_v4(&[])), false),
        (v2(PROXY, TCP4, &ends_v4(&many)), false),
        (
            v2(PROXY, TCP6, &ends_v6("::ffff:192.0.2.1", "::ffff:198.51.100.1")),
            false,
        ),
        (v2(PROXY, TCP6, &ends_v6("2001:db8::1", "2001:db8::2")), true),
    ] {
        for (question, wanted) in [
            ("remote is the client", true),
            ("remote is the peer", false),
            ("remote is not v4", is_v6),
            ("source is the peer", true),
            ("source is another", false),
            ("port is named", true),
            ("port is the listener's", false),
            ("destination is named", true),
            ("destination is the socket's", false),
        ] {
            let answer = says(&bed, &header, question).await;
            assert_eq!(answer, wanted, "{question}, after {}", header.escape_ascii());
        }
    }
    assert_eq!(refused_so_far(&bed).await, 0.0);
}

#[tokio::test]
async fn a_header_that_names_nobody_leaves_what_the_socket_says() {
    let bed = bed().await;
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 192.0.2.1 198.51.100.1 51234 443\r\n".to_vec(),
        v2(LOCAL, 0, &[]),
        v2(LOCAL, TCP4, &ends_v4(&[])),
        v2(LOCAL, 0x31, &[0xff; 300]),
    ] {
        for (question, wanted) in [
            ("remote is the client", false),
            ("remote is the peer", true),
            ("source is the peer", true),
            ("port is named", false),
            ("port is the listener's", true),
            ("destination is named", false),
            ("destination is the socket's", true),
        ] {
            let answer = says(&bed, &header, question).await;
            assert_eq!(answer, wanted, "{question}, after {}", header.escape_ascii());
        }
    }
}

#[tokio::test]
async fn whoever_sends_no_good_header_is_closed_without_a_byte() {
    let bed = bed().await;
    let line = |line: &str| format!("{line}\r\n").into_bytes();
    let cases = [
        Vec::new(),
        b"GET / HTTP/1.1\r\nhost: test.com\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        b" ".to_vec(),
        line(""),
        line("PROXY"),
        line("PROXY TCP4"),
        line("PROXY TCP4 192.0.2.1 198.51.100.1 51234"),
        line("PROXY TCP4 192.0.2.1 198.51.100.1 51234 443 "),
        line("PROXY TCP4 192.0.2.1 198.51.100.1 51234 65536"),
        line("PROXY TCP4 192.0.2.1 198.51.100.1 051234 443"),
        line("PROXY TCP4 192.0.2.1 198.51.100.1 +51234 443"),
        line("PROXY TCP4 192.0.2.01 198.51.100.1 51234 443"),
        line("PROXY TCP4 2001:db8::1 2001:db8::2 51234 443"),
        line("PROXY TCP4 0.0.0.0 198.51.100.1 51234 443"),
        line("PROXY TCP4 224.0.0.1 198.51.100.1 51234 443"),
        line("PROXY TCP6 192.0.2.1 198.51.100.1 51234 443"),
        line("PROXY TCP6 fe80::1%lo ::1 51234 443"),
        line("PROXY TCP5 192.0.2.1 198.51.100.1 51234 443"),
        line("proxy TCP4 192.0.2.1 198.51.100.1 51234 443"),
        line("PROXY\tTCP4 192.0.2.1 198.51.100.1 51234 443"),
        line(&format!("PROXY UNKNOWN {}", "x".repeat(92))),
        b"PROXY TCP4 192.0.2.1 198.51.100.1 51234 443\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 198.51.100.1 51234 443\r".to_vec(),
        v2(0x11, TCP4, &ends_v4(&[])),
        v2(0x22, TCP4, &ends_v4(&[])),
        v2(PROXY, 0x00, &[]),
        v2(PROXY, 0x01, &ends_v4(&[])),
        v2(PROXY, 0x10, &ends_v4(&[])),
        v2(PROXY, 0x31, &[b'/'; 216]),
        v2(PROXY, 0xff, &ends_v4(&[])),
        v2(PROXY, TCP6, &ends_v4(&[])),
        v2(PROXY, TCP4, &[192, 0, 2, 1]),
        v2(PROXY, TCP4, &ends_v4(&[1])),
        v2(PROXY, TCP4, &ends_v4(&[1, 0])),
        v2(PROXY, TCP4, &ends_v4(&[1, 0xff, 0xff, 1])),
        v2(PROXY, TCP4, &ends_v4(&[1, 0, 0, 9])),
        v2(PROXY, TCP4, &ends_v4(&tlv(4, &[0; 8178]))),
        v2(LOCAL, TCP4, &[0; 8193]),
        [SIGNATURE, &[PROXY, TCP4, 0xff, 0xff]].concat(),
        [&SIGNATURE[..11], b"\r"].concat(),
    ];
    for header in &cases {
        let mut client = Client::connect(bed.http()).await;
        // It may be closed while this is still being sent.
        let _ = client.try_send([&header[..], &asking("", &[])].concat()).await;
        let answer = client.try_response().await;
        assert!(answer.is_none(), "{answer:?} after {}", header.escape_ascii());
    }
    bed.assert_no_contact();
    assert!(bed.gateway.log().is_empty());
    assert_eq!(refused_so_far(&bed).await, cases.len() as f64);
    assert_eq!(send(&bed, V1, &asking("", &[])).await.status, 200);
}

#[tokio::test]
async fn a_header_may_be_cut_anywhere_and_nothing_after_it_is_lost() {
    let bed = bed().await;
    let question = asking("remote is the client", &[]);
    for header in [
        V1.to_vec(),
        v2(PROXY, TCP6, &ends_v6("2001:db8::1", "::1")),
        v2(LOCAL, 0, &[]),
    ] {
        let whole = [&header[..], &question].concat();
        for cut in 1..header.len() + 30 {
            let mut client = Client::connect(bed.http()).await;
            let (first, second) = whole.split_at(cut);
            client.send(first).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
            client.send(second).await;
            let denied = is_denied(&client.response().await);
            assert_eq!(denied, header[12] != LOCAL, "{} cut at {cut}", header.escape_ascii());
        }
        let mut client = Client::connect(bed.http()).await;
        for byte in &whole {
            client.send([*byte]).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(is_denied(&client.response().await), header[12] != LOCAL);
    }
}

#[tokio::test]
async fn requests_in_the_segment_of_the_header_arrive_whole_and_in_order() {
    let bed = bed().await;
    let image: String = "QUJD0129+/".chars().cycle().take(300_000).collect();
    let large = format!("{{\"messages\":[{{\"role\":\"user\",\"content\":\"{image}\"}}]}}");
    let mut client = Client::connect(bed.http()).await;
    let first = post("test.com", &[], &large);
    let second = asking("remote is the client", &[]);
    client.send([V1, &first, &second].concat()).await;
    assert_eq!(client.response().await.status, 200);
    assert_spliced(&large, &bed.upstream.request().await.text());
    assert!(
        is_denied(&client.response().await),
        "the second request is of the same client"
    );
}

#[tokio::test]
async fn there_is_one_header_and_later_requests_need_none() {
    let bed = bed().await;
    let other = b"PROXY TCP4 203.0.113.7 198.51.100.1 51234 443\r\n";
    let mut client = Client::connect(bed.http()).await;
    client.send([V1, &asking("", &[])].concat()).await;
    assert_eq!(client.response().await.status, 200);
    // Long enough for the connection to be taken apart in between.
    tokio::time::sleep(Duration::from_millis(350)).await;
    client.send(asking("remote is the client", &[])).await;
    assert!(is_denied(&client.response().await));
    client.send([other, &asking("", &[])[..]].concat()).await;
    assert_eq!(client.response().await.status, 400, "a header later on is no HTTP");
    for second in [other.to_vec(), v2(PROXY, TCP4, &ends_v4(&[])), v2(LOCAL, 0, &[])] {
        for first in [V1.to_vec(), v2(LOCAL, 0, &[])] {
            let answer = send(&bed, &first, &[&second[..], &asking("", &[])].concat()).await;
            assert_eq!(answer.status, 400, "{}", second.escape_ascii());
        }
    }
    assert_eq!(bed.upstream.request_count(), 1);
}

#[tokio::test]
async fn http2_follows_a_header_at_once_or_later() {
    let bed = bed().await;
    let header = v2(PROXY, TCP4, &ends_v4(&tlv(0x01, b"h2")));
    // An empty SETTINGS frame, which is answered with the gateway's own.
    const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", SETTINGS].concat();
    let whole = [&header[..], &preface].concat();
    for cut in [0, header.len(), header.len() + 3, header.len() + 24] {
        let mut stream = tokio::net::TcpStream::connect(bed.http()).await.expect("a connection");
        for part in [&whole[..cut], &whole[cut..]] {
            stream.write_all(part).await.expect("sending");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut frame = [0; 9];
        within_patience("a frame", stream.read_exact(&mut frame))
            .await
            .expect("a frame");
        assert_eq!(frame[3], 4, "cut at {cut}: {frame:?} is no SETTINGS frame");
    }
    let mut stream = tokio::net::TcpStream::connect(bed.http()).await.expect("a connection");
    stream.write_all(&header).await.expect("sending");
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    for (question, wanted) in [("remote is the client", 403), ("remote is the peer", 200)] {
        let request = Request::builder()
            .method(Method::POST)
            .uri("http://test.com/")
            .header("content-type", "application/json")
            .header("x-ask", question)
            .body(Full::<Bytes>::from(QUESTION))
            .expect("a request");
        let answer = within_patience("an answer", sender.send_request(request)).await;
        assert_eq!(answer.expect("an answer").status(), wanted, "{question}");
    }
}

#[tokio::test]
async fn trusted_proxies_go_before_the_header_and_the_header_before_the_peer() {
    let forwarded = "remote is forwarded";
    let named = "remote is the client";
    for (trusted, header, fields, yes) in [
        (0, V1, &["203.0.113.7"][..], named),
        (1, V1, &["203.0.113.7"], forwarded),
        (1, V1, &["10.0.0.1, 203.0.113.7"], forwarded),
        (1, V1, &["10.0.0.1", "203.0.113.7"], forwarded),
        (1, V1, &[], named),
        (1, V1, &["unknown"], named),
        (1, V1, &["203.0.113.7:80"], named),
        (2, V1, &["203.0.113.7, 10.0.0.1"], forwarded),
        (2, V1, &["203.0.113.7"], named),
        (0, b"PROXY UNKNOWN\r\n", &["203.0.113.7"], "remote is the peer"),
        (1, b"PROXY UNKNOWN\r\n", &["203.0.113.7"], forwarded),
        (2, b"PROXY UNKNOWN\r\n", &["203.0.113.7"], "remote is the peer"),
    ] {
        let bed = Bed::start(Transport::Plain, setup(trusted)).await;
        for question in [forwarded, named, "remote is the peer"] {
            let fields: Vec<_> = fields.iter().map(|value| ("x-forwarded-for", *value)).collect();
            let answer = send(&bed, header, &asking(question, &fields)).await;
            assert_eq!(
                is_denied(&answer),
                question == yes,
                "N = {trusted}, {fields:?}: {question}"
            );
        }
        let answer = send(&bed, header, &asking("source is another", &[])).await;
        assert!(!is_denied(&answer), "nothing changes the peer");
    }
}

#[tokio::test]
async fn the_access_log_names_the_ends_that_the_header_names() {
    let bed = bed().await;
    let local = format!("{}", bed.http());
    for (index, (header, remote, reached)) in [
        (V1.to_vec(), "192.0.2.1:51234", "198.51.100.1:443"),
        (
            v2(PROXY, TCP6, &ends_v6("2001:db8::1", "2001:db8::2")),
            "[2001:db8::1]:51234",
            "[2001:db8::2]:443",
        ),
        (v2(LOCAL, 0, &[]), "127.0.0.1:", &*local),
    ]
    .into_iter()
    .enumerate()
    {
        send(&bed, &header, &asking("", &[])).await;
        let line = bed.gateway.log_of(index + 1).await.remove(index);
        let logged = field(&line, "downstream_remote_address");
        assert!(logged.starts_with(remote), "{logged} is not {remote}");
        assert_eq!(field(&line, "downstream_local_address"), reached);
    }
    // What is no HTTP after the header is logged with the same ends.
    assert_eq!(send(&bed, V1, b"no http\r\n\r\n").await.status, 400);
    let line = bed.gateway.log_of(4).await.remove(3);
    assert_eq!(field(&line, "downstream_remote_address"), "192.0.2.1:51234");
    assert_eq!(field(&line, "response_flags"), "DPE");
}

#[tokio::test]
async fn a_reload_changes_what_new_connections_begin_with() {
    let bed = Bed::start(Transport::Plain, Setup::seed().file("mesh.yaml", &mesh(0, OFF))).await;
    let file = bed.gateway.config().join("mesh.yaml");
    let ask = async |header: &[u8]| {
        let mut client = Client::connect(bed.http()).await;
        let _ = client.try_send([header, &asking("", &[])].concat()).await;
        client.try_response().await.map(|answer| answer.status)
    };
    let (mut before, waiting) = (Client::connect(bed.http()).await, Client::connect(bed.http()).await);
    assert_eq!(before.ask("test.com", QUESTION).await.status, 200);
    assert_eq!(ask(V1).await, Some(400), "nobody expects a header");
    edit(&file, OFF, ON);
    eventually("headers are expected", async || {
        (ask(V1).await == Some(200)).then_some(())
    })
    .await;
    assert_eq!(ask(b"").await, None, "without a header");
    let mut waiting = waiting;
    for client in [&mut before, &mut waiting] {
        let answer = client.ask("test.com", QUESTION).await;
        assert_eq!(answer.status, 421, "a connection from before names nobody");
        assert!(client.closes().await, "and makes room for one that does");
    }
    let mut named = Client::connect(bed.http()).await;
    named.send([V1, &asking("", &[])].concat()).await;
    assert_eq!(named.response().await.status, 200);
    edit(&file, ON, OFF);
    eventually("no header is expected", async || {
        (ask(b"").await == Some(200)).then_some(())
    })
    .await;
    assert_eq!(named.ask("test.com", QUESTION).await.status, 200);
    let line = eventually("its line", async || bed.gateway.log().pop()).await;
    assert_eq!(
        field(&line, "downstream_remote_address"),
        "192.0.2.1:51234",
        "it keeps its name"
    );
}

/// The time for a head: Envoy has 15 s for a header.
const HEADER_TIME: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_header_has_its_time_however_it_drips() {
    let bed = bed().await;
    let ends = async |first: &[u8], drip: &[u8]| {
        let mut client = Client::connect(bed.http()).await;
        let began = Instant::now();
        client.send(first).await;
        for byte in drip {
            tokio::time::sleep(Duration::from_millis(500)).await;
            if began.elapsed() > HEADER_TIME * 2 || client.try_send([*byte]).await.is_err() {
                break;
            }
        }
        assert!(client.try_response().await.is_none());
        began.elapsed()
    };
    let long = v2(PROXY, TCP4, &ends_v4(&tlv(4, &[0; 1000])));
    let (silent, cut, line, dripping) = tokio::join!(
        ends(b"", b""),
        ends(&V1[..20], b""),
        ends(b"PROXY UNKNOWN ", &[b'x'; 60]),
        ends(&long[..17], &long[17..]),
    );
    for (what, took) in [("silent", silent), ("cut", cut), ("line", line), ("dripping", dripping)] {
        assert!(took > HEADER_TIME - Duration::from_millis(500), "{what}: {took:?}");
        assert!(took < HEADER_TIME + Duration::from_secs(4), "{what}: {took:?}");
    }
    bed.assert_no_contact();
    assert_eq!(refused_so_far(&bed).await, 3.0, "silence is not counted");
}

#[tokio::test]
async fn a_named_connection_may_wait_for_its_first_request() {
    let bed = bed().await;
    let mut client = Client::connect(bed.http()).await;
    client.send(V1).await;
    tokio::time::sleep(HEADER_TIME + Duration::from_secs(1)).await;
    client.send(asking("remote is the client", &[])).await;
    assert!(is_denied(&client.response().await));
}

#[tokio::test]
async fn connections_that_wait_for_a_header_do_not_hold_up_the_end() {
    let mut bed = bed().await;
    let mut silent = Client::connect(bed.http()).await;
    let mut named = Client::connect(bed.http()).await;
    named.send(V1).await;
    // Both are taken by the gateway when a third, later, was answered.
    assert_eq!(send(&bed, V1, &asking("", &[])).await.status, 200);
    let began = Instant::now();
    bed.gateway.signal("TERM");
    assert!(bed.gateway.ends().await.success());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(silent.closes().await && named.closes().await);
}

#[tokio::test]
async fn explain_can_be_told_what_a_header_would_tell() {
    let setup = setup(0);
    let ask = async |question: &str, flags: &[&str]| {
        let field = format!("x-ask: {question}");
        let mut args = vec!["-H", "host: test.com", "-H", &field, "-d", QUESTION];
        args.extend_from_slice(flags);
        args.push("/");
        let said = setup.run("explain", &args).await;
        assert_eq!(said.code, 0, "{}", said.all());
        said
    };
    let header = [
        "--peer=127.0.0.1",
        "--proxied=192.0.2.1",
        "--destination-ip=198.51.100.1",
        "--destination-port=443",
    ];
    for (question, with, without) in [
        ("remote is the client", true, false),
        ("remote is the peer", false, true),
        ("source is the peer", true, true),
        ("port is named", true, false),
        ("port is the listener's", false, true),
        ("destination is named", true, false),
    ] {
        for (flags, wanted) in [(&header[..], with), (&header[..1], without)] {
            let said = ask(question, flags).await;
            let denied = said.stdout.contains("REFUSE with 403");
            assert_eq!(denied, wanted, "{question} {flags:?}: {}", said.stdout);
        }
    }
    let said = ask("", &header).await.stdout;
    let line = "peer 127.0.0.1  client 192.0.2.1  destination 198.51.100.1:443";
    assert!(said.contains(line), "{said}");

    let bed = Bed::start(Transport::Plain, setup).await;
    let question = serde_json::json!({
        "url": "/", "method": "POST", "body": QUESTION,
        "headers": [["host", "test.com"], ["x-ask", "destination is named"]],
        "proxied": "::ffff:192.0.2.1", "destinationIp": "::ffff:198.51.100.1", "destinationPort": 443,
    });
    let mut client = Client::connect(bed.gateway.admin).await;
    client
        .send(request("POST", "/explain", "localhost", &[], question.to_string()))
        .await;
    let said = client.response().await.json();
    assert_eq!(said["verdict"]["status"], 403, "{said}");
    assert_eq!(said["request"]["remote"], "192.0.2.1");
    assert_eq!(said["request"]["peer"], "127.0.0.1");
    assert_eq!(said["request"]["destinationIp"], "198.51.100.1");
    assert_eq!(said["request"]["destinationPort"], 443);
}
