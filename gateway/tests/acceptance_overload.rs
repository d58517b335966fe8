//! Overload: who asks for too much is refused or let go, and a client beside it that asks for little notices nothing.
#![allow(clippy::panic, clippy::expect_used, reason = "a helper of tests fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "a test may panic")]

#[cfg(test)]
mod support;

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use support::bed::{Bed, Transport, plain_host};
use support::client::{Client, Response, post, request};
use support::frames;
use support::gateway::{Gateway, Setup};
use support::outputs::{field, total};
use support::upstream::{Answer, Gate};
use support::{QUESTION, eventually, within_patience};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A host that is answered here, and one that a plain upstream answers; the seed's provider beside them.
fn hosts(port: u16) -> String {
    let plain = plain_host(port, "ingress-gw", "plain.test");
    format!(
        "{plain}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: here, namespace: istio-system}}
spec:
  hosts: [here.test]
  gateways: [ingress-gw]
  http: [{{directResponse: {{status: 200, body: {{string: here}}}}}}]
"
    )
}

async fn bed(args: &[&str]) -> Bed {
    let (upstream, setup) = support::bed::join(Transport::Plain, Setup::seed().args(args)).await;
    start(upstream, setup).await
}

async fn start(upstream: support::upstream::Upstream, setup: Setup) -> Bed {
    let port = upstream.addr.port();
    Bed::of(upstream, setup.file("hosts.yaml", &hosts(port)).start().await)
}

fn here() -> Vec<u8> {
    request("GET", "/", "here.test", &[], "")
}

/// A client that asks all the time, on one connection, and must always be answered.
struct Bystander {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<u32>,
}

impl Bystander {
    async fn begin(to: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let mut client = Client::connect_from([127, 0, 0, 9], to).await;
        client.send(here()).await;
        assert_eq!(client.response().await.status, 200);
        let task = tokio::spawn(async move {
            let mut answers = 0;
            while !is_over.load(Ordering::Relaxed) {
                client.send(here()).await;
                assert_eq!(client.response().await.text(), "here", "after {answers} answers");
                answers += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            answers
        });
        Self { stop, task }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let answers = within_patience("the bystander", self.task)
            .await
            .expect("a client without an error");
        assert!(answers > 0, "the bystander was not answered at all");
    }
}

async fn metric(gateway: &Gateway, name: &str, labels: &[(&str, &str)]) -> f64 {
    total(&gateway.metrics().await, name, labels)
}

async fn becomes(gateway: &Gateway, name: &str, labels: &[(&str, &str)], value: f64) {
    eventually(&format!("{name} is {value}"), || async {
        (metric(gateway, name, labels).await == value).then_some(())
    })
    .await;
}

const REFUSED: &str = "lockgate_downstream_connections_refused_total";
const BY_SOURCE: [(&str, &str); 1] = [("limit", "max_connections_per_source")];

fn assert_overloaded(answer: &Response, code: &str) {
    assert_eq!(answer.openai_error(503)["code"], code);
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn one_source_has_its_share_of_connections_and_others_have_theirs() {
    let bed = bed(&["--max-connections-per-source", "3"]).await;
    let bystander = Bystander::begin(bed.http()).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(bed.http()).await;
        client.send(here()).await;
        assert_eq!(client.response().await.status, 200);
        clients.push(client);
    }
    for _ in 0..50 {
        assert!(Client::connect(bed.http()).await.closes().await);
    }
    assert_eq!(metric(&bed.gateway, REFUSED, &BY_SOURCE).await, 50.0);
    assert_eq!(
        metric(&bed.gateway, REFUSED, &[("limit", "max_connections")]).await,
        0.0
    );
    clients.pop();
    eventually("room for one more", || async {
        let mut client = Client::connect(bed.http()).await;
        client.try_send(here()).await.ok()?;
        client.try_response().await.map(drop)
    })
    .await;
    bystander.end().await;
}

fn mesh(topology: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |-\n    \
         defaultConfig:\n      gatewayTopology: {{{topology}}}\n"
    )
}

#[tokio::test]
async fn behind_a_balancer_the_source_is_whom_its_header_names() {
    let setup = Setup::seed()
        .args(&["--max-connections-per-source", "2"])
        .file("mesh.yaml", &mesh("proxyProtocol: {}"));
    let (upstream, setup) = support::bed::join(Transport::Plain, setup).await;
    let bed = start(upstream, setup).await;
    let mut open = Vec::new();
    let mut is_served = async |header: &str| {
        let mut client = Client::connect(bed.http()).await;
        let sent = client.try_send([header.as_bytes(), &here()].concat()).await.is_ok();
        let answer = if sent { client.try_response().await } else { None };
        open.push(client);
        answer.is_some_and(|answer| answer.status == 200)
    };
    let v4 = |last: u8| format!("PROXY TCP4 192.0.2.{last} 198.51.100.1 51234 80\r\n");
    let v6 = |address: &str| format!("PROXY TCP6 {address} 2001:db8::2 51234 80\r\n");
    for (header, wanted) in [
        (v4(1), true),
        (v4(1), true),
        (v4(1), false),
        (v4(2), true),
        // One customer's network is one source, whatever address in it.
        (v6("2001:db8::1"), true),
        (v6("2001:db8::ffff:ffff:ffff:ffff"), true),
        (v6("2001:db8::2"), false),
        (v6("2001:db8:0:1::1"), true),
    ] {
        assert_eq!(is_served(&header).await, wanted, "{header}");
    }
    assert_eq!(metric(&bed.gateway, REFUSED, &BY_SOURCE).await, 2.0);
}

#[tokio::test]
async fn proxies_of_ones_own_are_no_sources() {
    let setup = Setup::seed()
        .args(&["--max-connections-per-source", "2"])
        .file("mesh.yaml", &mesh("numTrustedProxies: 1"));
    let (upstream, setup) = support::bed::join(Transport::Plain, setup).await;
    let bed = start(upstream, setup).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = Client::connect(bed.http()).await;
        client.send(here()).await;
        assert_eq!(client.response().await.status, 200);
        clients.push(client);
    }
}

#[tokio::test]
async fn requests_beyond_their_limit_are_told_to_come_again() {
    let bed = bed(&["--max-requests", "3"]).await;
    let bystander = Bystander::begin(bed.http()).await;
    let gate = Gate::new();
    let mut running = Vec::new();
    for _ in 0..2 {
        bed.upstream.answer(Answer::gated_stream(&["data: 1\n\n"], &gate));
        let mut client = Client::connect(bed.http()).await;
        client.send(post("test.com", &[], QUESTION)).await;
        assert_eq!(client.head().await.status, 200);
        running.push(client);
    }
    bystander.end().await;
    // The third place, and who comes after it.
    bed.upstream.answer(Answer::gated_stream(&["data: 1\n\n"], &gate));
    let mut third = Client::connect(bed.http()).await;
    third.send(post("test.com", &[], QUESTION)).await;
    assert_eq!(third.head().await.status, 200);
    running.push(third);
    let seen = bed.upstream.request_count();
    for _ in 0..20 {
        assert_overloaded(&bed.ask("test.com").await, "max_requests_reached");
    }
    assert_eq!(bed.upstream.request_count(), seen, "a refused request was sent on");
    assert_eq!(metric(&bed.gateway, "lockgate_requests_active", &[]).await, 3.0);
    assert_eq!(
        metric(&bed.gateway, "lockgate_limit", &[("limit", "max_requests")]).await,
        3.0
    );
    let flagged = [("response_code", "503"), ("response_flags", "OM")];
    assert_eq!(metric(&bed.gateway, "istio_requests_total", &flagged).await, 20.0);
    for client in &mut running {
        gate.open();
        assert_eq!(client.text(9).await, "data: 1\n\n");
    }
    becomes(&bed.gateway, "lockgate_requests_active", &[], 0.0).await;
    assert_eq!(bed.ask("test.com").await.status, 200);
}

/// A client of HTTP/2 that takes one byte of each answer, and asks so for `hosts`.
async fn takes_a_byte_each(bed: &Bed, hosts: &[&str]) -> frames::Connection {
    let mut client = frames::Connection::open_with(bed.http(), &[(frames::INITIAL_WINDOW_SIZE, 1)]).await;
    for (stream, host) in (1..).step_by(2).zip(hosts) {
        let block = frames::block(&[
            (":method", b"GET"),
            (":scheme", b"http"),
            (":authority", host.as_bytes()),
            (":path", b"/"),
        ]);
        let flags = frames::END_HEADERS | frames::END_STREAM;
        client
            .send(&frames::frame(frames::HEADERS, flags, stream, &block))
            .await;
    }
    client
}

#[tokio::test]
async fn an_answer_counts_until_its_client_has_all_of_it() {
    const ACTIVE: &str = "lockgate_requests_active";
    let mut bed = bed(&["--max-requests", "5", "--drain-timeout", "1s"]).await;
    let hosts = ["plain.test", "plain.test", "plain.test", "here.test", "here.test"];
    for _ in 0..3 {
        bed.upstream.answer(Answer::whole("200 OK", &[], &"x".repeat(5000)));
    }
    let mut client = takes_a_byte_each(&bed, &hosts).await;
    // The gateway has no more to do with them than to send them.
    bed.gateway.log_of(hosts.len()).await;
    assert_eq!(metric(&bed.gateway, ACTIVE, &[]).await, 5.0);
    let seen = bed.upstream.request_count();
    assert_overloaded(&bed.ask("test.com").await, "max_requests_reached");
    assert_eq!(bed.upstream.request_count(), seen, "a refused request was sent on");
    // One is given up, and one is taken.
    let cancel = 8_u32.to_be_bytes();
    client.send(&frames::frame(frames::RST_STREAM, 0, 1, &cancel)).await;
    becomes(&bed.gateway, ACTIVE, &[], 4.0).await;
    assert_eq!(bed.ask("test.com").await.status, 200);
    let more = 0xffff_u32.to_be_bytes();
    client.send(&frames::frame(frames::WINDOW_UPDATE, 0, 7, &more)).await;
    becomes(&bed.gateway, ACTIVE, &[], 3.0).await;
    client.send(&frames::frame(frames::WINDOW_UPDATE, 0, 5, &more)).await;
    becomes(&bed.gateway, ACTIVE, &[], 2.0).await;
    drop(client);
    becomes(&bed.gateway, ACTIVE, &[], 0.0).await;
    // Nor is the process kept by one.
    let _client = takes_a_byte_each(&bed, &["here.test"]).await;
    bed.gateway.log_of(hosts.len() + 3).await;
    bed.gateway.signal("TERM");
    assert_eq!(bed.gateway.ends().await.code(), Some(0));
}

/// A question of about so many bytes.
fn large(bytes: usize) -> String {
    let text = "a".repeat(bytes);
    format!("{{\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]}}")
}

#[tokio::test]
async fn bodies_beyond_the_memory_for_them_are_told_to_come_again() {
    let bed = bed(&["--max-buffered-bytes", "300000"]).await;
    let warned = bed.gateway.read("stderr");
    assert!(
        warned.contains("`--max-body-bytes` is more than `--max-buffered-bytes`"),
        "{warned}"
    );
    let bystander = Bystander::begin(bed.http()).await;
    let body = large(250_000);
    let all = post("test.com", &[], &body);
    let (most, rest) = all.split_at(all.len() - 1000);
    let mut slow = Client::connect(bed.http()).await;
    slow.send(most).await;
    eventually("the body is counted", || async {
        (metric(&bed.gateway, "lockgate_buffered_bytes", &[]).await > 200_000.0).then_some(())
    })
    .await;
    // One that says how long it is, before it is read; one that does not, when there is no more room.
    let mut announced = Client::connect(bed.http()).await;
    announced
        .send("POST / HTTP/1.1\r\nhost: test.com\r\ncontent-length: 100000\r\n\r\n")
        .await;
    assert_overloaded(&announced.response().await, "max_buffered_bytes_reached");
    let mut chunked = Client::connect(bed.http()).await;
    chunked
        .send("POST / HTTP/1.1\r\nhost: test.com\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    let chunk = support::wire::chunk(&[b' '; 20_000]);
    for _ in 0..10 {
        if chunked.try_send(&chunk).await.is_err() {
            break;
        }
    }
    assert_overloaded(&chunked.response().await, "max_buffered_bytes_reached");
    // A small one fits beside the large one, and that one is not harmed.
    assert_eq!(bed.ask("test.com").await.status, 200);
    slow.send(rest).await;
    assert_eq!(slow.response().await.status, 200);
    bed.upstream.request().await;
    assert!(bed.upstream.request().await.body.len() > body.len());
    becomes(&bed.gateway, "lockgate_buffered_bytes", &[], 0.0).await;
    bystander.end().await;
}

#[tokio::test]
async fn a_body_that_drips_in_is_given_up_whether_it_is_read_or_passed_on() {
    let bed = bed(&[]).await;
    let bystander = Bystander::begin(bed.http()).await;
    let drip = async |host: &str| {
        let mut client = Client::connect(bed.http()).await;
        client
            .send(format!(
                "POST / HTTP/1.1\r\nhost: {host}\r\ncontent-length: 1000\r\n\r\n"
            ))
            .await;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(18) {
            if client.try_send(" ").await.is_err() {
                break;
            }
            let answered = tokio::time::timeout(Duration::from_secs(1), client.try_response()).await;
            if let Ok(Some(answer)) = answered {
                return (answer, start.elapsed());
            }
        }
        panic!(
            "{host}: a body that drips in was still read after {:?}",
            start.elapsed()
        );
    };
    let (of_provider, of_host) = tokio::join!(drip("test.com"), drip("plain.test"));
    assert_eq!(of_provider.0.openai_error(408)["code"], "body_timeout");
    assert_eq!(of_host.0.status, 408);
    for (_, after) in [of_provider, of_host] {
        assert!(after > Duration::from_secs(8), "given up too soon: {after:?}");
    }
    assert_eq!(bed.upstream.request_count(), 0, "half a body looked whole");
    bystander.end().await;
}

/// A host that answers the head of each request with `answer` and then reads nothing.
async fn hasty(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).await.expect("a head");
                    head.push(byte[0]);
                }
                stream.write_all(answer).await.expect("answering");
                core::future::pending::<()>().await;
            });
        }
    });
    port
}

/// A gateway before such a host, and the provider's place.
async fn before(port: u16) -> Gateway {
    Setup::seed()
        .provider_port(port)
        .file("hosts.yaml", &hosts(port))
        .start()
        .await
}

#[tokio::test]
async fn a_body_that_breaks_off_after_its_answer_began_is_the_clients_fault() {
    let begun = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let port = hasty(begun).await;
    let gateway = before(port).await;
    let head = "POST / HTTP/1.1\r\nhost: plain.test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let (mut broken, mut slow, mut gone) = (
        Client::connect(gateway.http).await,
        Client::connect(gateway.http).await,
        Client::connect(gateway.http).await,
    );
    for client in [&mut broken, &mut slow, &mut gone] {
        client.send(head).await;
        assert_eq!(client.head().await.status, 200);
        assert_eq!(client.text(5).await, "hello");
    }
    drop(gone);
    let line = gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "response_flags"), "DC");
    broken.send("zz\r\n").await;
    assert!(broken.closes().await);
    let line = gateway.log_of(2).await.remove(1);
    assert_eq!(field(&line, "response_flags"), "DPE");
    assert_eq!(field(&line, "response_code_details"), "bad_body_framing");
    assert!(slow.closes().await);
    let line = gateway.log_of(3).await.remove(2);
    assert_eq!(field(&line, "response_flags"), "SI");
    assert_eq!(field(&line, "response_code_details"), "body_timeout");
}

#[tokio::test]
async fn an_upload_to_a_host_that_has_answered_and_reads_nothing_is_let_go() {
    let port = hasty(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let gateway = before(port).await;
    let mut client = frames::Connection::open(gateway.http).await;
    let fields: [(&str, &[u8]); 4] = [
        (":method", b"POST"),
        (":scheme", b"http"),
        (":authority", b"plain.test"),
        (":path", b"/"),
    ];
    let head = frames::frame(frames::HEADERS, frames::END_HEADERS, 1, &frames::block(&fields));
    client.send(&head).await;
    assert_eq!(client.end(1).await, frames::End::Answered(200));
    let answered = Instant::now();
    // As much as there is room for.
    let mut window: usize = 65_535;
    let code = loop {
        let bytes = window.min(16_384);
        if bytes > 0 {
            window -= bytes;
            client
                .send(&frames::frame(frames::DATA, 0, 1, &vec![b'x'; bytes]))
                .await;
            continue;
        }
        match client.frame().await.expect("a connection that goes on") {
            (frames::WINDOW_UPDATE, 1, by) => {
                window += u32::from_be_bytes(by.try_into().expect("four bytes")) as usize;
            }
            (frames::RST_STREAM, 1, code) => break u32::from_be_bytes(code.try_into().expect("a code")),
            _ => {}
        }
    };
    assert_eq!(code, frames::NO_ERROR);
    assert!(answered.elapsed() > Duration::from_secs(8), "{:?}", answered.elapsed());
    becomes(&gateway, "lockgate_upstream_connections", &[], 0.0).await;
}

/// A host that reads four bytes of each request, and gives the beginning of an answer at most.
async fn deaf(begun: &'static [u8]) -> u16 {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let listener = socket.listen(16).expect("listening");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.read_exact(&mut [0; 4]).await.expect("a request");
            stream.write_all(begun).await.expect("answering");
            held.push(stream);
        }
    });
    port
}

#[tokio::test]
async fn a_client_that_leaves_takes_along_what_its_host_does_not_read() {
    // More than the sockets take.
    let question = post("test.com", &[], large(12_000_000));
    let begun = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    for begun in [&b""[..], begun] {
        let gateway = before(deaf(begun).await).await;
        let mut client = Client::connect(gateway.http).await;
        client.send(&question).await;
        if begun.is_empty() {
            becomes(&gateway, "lockgate_upstream_connections", &[], 1.0).await;
        } else {
            assert_eq!(client.head().await.status, 200);
        }
        assert!(metric(&gateway, "lockgate_buffered_bytes", &[]).await > 0.0);
        drop(client);
        becomes(&gateway, "lockgate_buffered_bytes", &[], 0.0).await;
        becomes(&gateway, "lockgate_upstream_connections", &[], 0.0).await;
    }
}

/// Bytes that `of` has received and nobody has read yet.
fn unread(gateway: &Gateway, of: SocketAddr) -> u64 {
    let hex = |port: u16| format!(":{port:04X}");
    let table = std::fs::read_to_string(format!("/proc/{}/net/tcp", gateway.pid())).expect("connections");
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = lines
        .find(|line| line[1].ends_with(&hex(gateway.http.port())) && line[2].ends_with(&hex(of.port())))
        .expect("the connection");
    let (_, unread) = line[4].split_once(':').expect("two queues");
    u64::from_str_radix(unread, 16).expect("bytes")
}

/// A client that has sent its host as much of a body as that takes, and a little more.
async fn stalled_upload(gateway: &Gateway) -> TcpStream {
    let mut client = TcpStream::connect(gateway.http).await.expect("a connection");
    let head = b"POST / HTTP/1.1\r\nhost: plain.test\r\ncontent-length: 100000000\r\n\r\n";
    client.write_all(head).await.expect("a head");
    let from = client.local_addr().expect("an address");
    let mut stands = 0;
    while stands < 40 {
        if unread(gateway, from) == 0 {
            stands = 0;
            client.write_all(&[b'x'; 50_000]).await.expect("a body");
        } else {
            stands += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client
}

#[tokio::test]
async fn a_client_that_leaves_is_seen_to_although_its_host_reads_nothing_of_its_upload() {
    let begun = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    for begun in [&b""[..], begun] {
        let gateway = before(deaf(begun).await).await;
        let upload = || stalled_upload(&gateway);
        let (ends, resets, _stays) = tokio::join!(upload(), upload(), upload());
        drop(ends);
        becomes(&gateway, "lockgate_upstream_connections", &[], 2.0).await;
        resets.set_zero_linger().expect("a reset");
        drop(resets);
        becomes(&gateway, "lockgate_upstream_connections", &[], 1.0).await;
        for line in gateway.log_of(2).await {
            assert_eq!(field(&line, "response_flags"), "DC", "{line}");
        }
    }
}

/// The processor time that a process has used, in hundredths of a second.
fn ticks(gateway: &Gateway) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", gateway.pid())).expect("the state of a process");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let mut fields = fields
        .split_whitespace()
        .skip(11)
        .map(|field| field.parse::<u64>().expect("ticks"));
    fields.next().expect("of the user") + fields.next().expect("of the system")
}

/// Descriptors that are open.
fn descriptors(gateway: &Gateway) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", gateway.pid()))
        .expect("descriptors")
        .count()
}

#[tokio::test]
async fn without_descriptors_it_stays_calm_and_recovers_at_once() {
    let bed = bed(&["--workers", "2"]).await;
    let bystander = Bystander::begin(bed.http()).await;
    let mut asking = Client::connect(bed.http()).await;
    asking.send(here()).await;
    assert_eq!(asking.response().await.status, 200);
    let limit = descriptors(&bed.gateway) + 20;
    let set = std::process::Command::new("prlimit")
        .arg(format!("--pid={}", bed.gateway.pid()))
        .arg(format!("--nofile={limit}:{limit}"))
        .status();
    assert!(set.expect("prlimit").success());
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(Client::connect(bed.http()).await);
    }
    eventually("no descriptor is left", || async {
        (descriptors(&bed.gateway) >= limit).then_some(())
    })
    .await;
    let before = ticks(&bed.gateway);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let used = ticks(&bed.gateway) - before;
    println!("{used} hundredths of a second in two, among them the bystander's");
    assert!(
        used < 60,
        "{used} hundredths of a second of processor time in two seconds of want"
    );
    // Who is connected is told that the provider cannot be reached.
    asking.send(post("test.com", &[], QUESTION)).await;
    assert_eq!(
        asking.response().await.openai_error(503)["code"],
        "upstream_unavailable"
    );
    assert!(
        bed.gateway.read("stderr").matches("cannot accept").count() <= 4,
        "each attempt is logged"
    );
    drop(crowd);
    let begun = Instant::now();
    eventually("it serves again", || async {
        let mut client = Client::connect(bed.http()).await;
        client.send(post("test.com", &[], QUESTION)).await;
        (client.response().await.status == 200).then_some(())
    })
    .await;
    println!("served again after {:?}", begun.elapsed());
    bystander.end().await;
}

/// Where a gateway of `setup` writes its access log.
fn access_log(setup: &Setup) -> PathBuf {
    setup.config().parent().expect("a directory").join("access.log")
}

#[tokio::test]
async fn a_full_disk_costs_lines_and_no_answer() {
    let (upstream, setup) = support::bed::join(Transport::Plain, Setup::seed()).await;
    std::os::unix::fs::symlink("/dev/full", access_log(&setup)).expect("a link");
    let mut bed = start(upstream, setup).await;
    let mut client = Client::connect(bed.http()).await;
    for _ in 0..100 {
        client.send(here()).await;
        assert_eq!(client.response().await.status, 200);
    }
    assert_eq!(bed.ask("test.com").await.status, 200);
    becomes(&bed.gateway, "lockgate_access_log_dropped_total", &[], 101.0).await;
    drop(client);
    bed.gateway.signal("TERM");
    assert_eq!(bed.gateway.ends().await.code(), Some(0));
}

#[tokio::test]
async fn a_log_that_nobody_reads_costs_lines_and_no_answer() {
    let (upstream, setup) = support::bed::join(Transport::Plain, Setup::seed()).await;
    let path = access_log(&setup);
    support::make_pipe(&path);
    // Open, so that the gateway can open it too, and never read.
    let pipe = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .expect("a pipe");
    let mut bed = start(upstream, setup).await;
    let mut client = Client::connect(bed.http()).await;
    // Some 600 bytes a line, into a pipe of 64 KiB.
    for _ in 0..500 {
        client.send(here()).await;
        assert_eq!(client.response().await.status, 200);
    }
    drop(client);
    bed.gateway.signal("TERM");
    assert_eq!(
        bed.gateway.ends().await.code(),
        Some(0),
        "it waits for who does not read"
    );
    drop(pipe);
}
