//! The recording upstream and the raw client are themselves tested, against each other:
//! what the acceptance tests conclude is worth what these two see.

#[cfg(test)]
mod support;

use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::net::TcpStream;
use std::time::Instant;

use support::client::{Client, ask, post, request};
use support::outputs::{samples, total};
use support::pki::Authority;
use support::ports::Port;
use support::upstream::{Answer, COMPLETION, Gate, Step, Upstream};
use support::wire::{Framing, Part, chunk};
use support::{PROVIDER, QUESTION};

#[tokio::test]
async fn a_request_is_recorded_byte_for_byte() {
    let upstream = Upstream::plain().await;
    let answer = ask(upstream.addr, "test.com", QUESTION).await;
    assert_eq!(
        (answer.status, answer.text().as_str(), answer.end),
        (200, COMPLETION, Part::End)
    );
    let seen = upstream.request().await;
    assert_eq!(seen.request_line, "POST / HTTP/1.1");
    assert_eq!(seen.raw_head.split("\r\n").nth(1), Some("host: test.com"));
    assert_eq!(seen.text(), QUESTION);
    assert_eq!(seen.framing, Framing::Length(QUESTION.len()));
    assert_eq!((upstream.connection_count(), upstream.request_count()), (1, 1));
}

#[tokio::test]
async fn a_chunked_body_is_decoded_however_it_is_cut() {
    for size in [1, 2, 3, 7, 1000] {
        let upstream = Upstream::plain().await;
        let mut client = Client::connect(upstream.addr).await;
        client
            .send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        let body: Vec<u8> = [chunk(b"hello, "), chunk(b"world"), b"0\r\n\r\n".to_vec()].concat();
        for piece in body.chunks(size) {
            client.send(piece).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(upstream.request().await.text(), "hello, world", "in pieces of {size}");
        assert_eq!(client.response().await.status, 200);
        client.send(post("b", &[], "{}")).await;
        assert_eq!(
            upstream.request().await.header("host"),
            Some("b"),
            "the next request on the connection"
        );
    }
}

#[tokio::test]
async fn a_gated_event_waits_for_its_gate() {
    let (upstream, gate) = (Upstream::plain().await, Gate::new());
    upstream.answer(Answer::gated_stream(&["data: 1\n\n", "data: 2\n\n"], &gate));
    let mut client = Client::connect(upstream.addr).await;
    client.send(post("test.com", &[], "{}")).await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.part().await, Part::Data(b"data: 1\n\n".to_vec()));
    let early = tokio::time::timeout(Duration::from_millis(50), client.part()).await;
    assert!(early.is_err(), "the second event came through a closed gate");
    gate.open();
    assert_eq!(client.part().await, Part::Data(b"data: 2\n\n".to_vec()));
    gate.open();
    assert_eq!(client.part().await, Part::End);
}

#[tokio::test]
async fn a_cut_answer_is_told_from_a_whole_one() {
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let half = [head, chunk(b"half")].concat();
    let short = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_vec();
    for (bytes, last) in [(half.clone(), Step::Cut), (half, Step::Close), (short, Step::Cut)] {
        let upstream = Upstream::plain().await;
        upstream.answer(Answer(vec![Step::Send(bytes), last]));
        let answer = ask(upstream.addr, "test.com", "{}").await;
        assert_eq!((answer.text().as_str(), answer.end), ("half", Part::Cut));
    }
}

#[tokio::test]
async fn a_closed_connection_is_noticed_while_the_answer_waits() {
    for reset in [false, true] {
        let (upstream, gate) = (Upstream::plain().await, Gate::new());
        upstream.answer(Answer(vec![Step::Wait(gate)]));
        let mut client = Client::connect(upstream.addr).await;
        client.send(post("test.com", &[], "{}")).await;
        let connection = upstream.request().await.connection;
        assert_eq!(upstream.closed_at(connection), None);
        let before = Instant::now();
        if reset {
            client.reset();
        } else {
            drop(client);
        }
        assert!(upstream.closed(connection).await - before < Duration::from_millis(100));
    }
}

#[tokio::test]
async fn a_tls_upstream_refuses_plain_text() {
    let authority = Authority::new();
    assert!(authority.pem().starts_with("-----BEGIN CERTIFICATE-----"));
    let upstream = Upstream::tls(authority.acceptor(PROVIDER)).await;
    let mut client = Client::connect(upstream.addr).await;
    client.send(request("GET", "/", PROVIDER, &[], "")).await;
    assert!(client.closes().await);
    assert_eq!(upstream.request_count(), 0);
}

#[test]
fn a_leased_port_is_given_once() {
    let ports: Vec<Port> = (0..50).map(|_| Port::lease()).collect();
    let mut numbers: Vec<u16> = ports.iter().map(|port| port.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), ports.len());
}

#[test]
fn nobody_listens_on_a_leased_port_while_processes_start() {
    let is_over = AtomicBool::new(false);
    let start_processes = || {
        while !is_over.load(Ordering::Relaxed) {
            let status = std::process::Command::new("true").status();
            assert!(status.expect("starting a process").success());
        }
    };
    let answered = std::thread::scope(|scope| {
        (0..3).for_each(|_| drop(scope.spawn(start_processes)));
        let answers = |_: &u32| TcpStream::connect((Ipv4Addr::LOCALHOST, Port::lease().number)).is_ok();
        let answered = (0..5_000).filter(answers).count();
        is_over.store(true, Ordering::Relaxed);
        answered
    });
    assert_eq!(answered, 0);
}

#[test]
fn samples_are_read_from_the_text_format() {
    let text = "# TYPE a counter\na_total{x=\"1\",y=\"q\\\"{}, z\"} 2\na_total{x=\"2\"} 3.5\nb 7\n";
    let samples = samples(text);
    assert_eq!(total(&samples, "a_total", &[]).to_bits(), 5.5_f64.to_bits());
    assert_eq!(
        total(&samples, "a_total", &[("y", "q\"{}, z")]).to_bits(),
        2.0_f64.to_bits()
    );
    assert_eq!(total(&samples, "b", &[]).to_bits(), 7.0_f64.to_bits());
}
