//! A host that answers before it has read what it was sent, and clients that send more than their request.
//!
//! Where one request ends and the next begins only the whole of the first says: a connection whose answer was whole
//! before its request was serves no other, or a body would be read as requests.

#![allow(clippy::expect_used, reason = "a helper of tests fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "a test may panic")]

#[cfg(test)]
mod support;

use core::time::Duration;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use support::bed::{Bed, plain_host};
use support::client::{Client, post};
use support::gateway::{Gateway, Setup};
use support::upstream::{Answer, Gate};
use support::{QUESTION, eventually, within_patience};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What must never arrive as a request.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: early.test\r\n\r\n";

/// What a host does once it has a head.
#[derive(Debug, Clone, Copy)]
enum Then {
    Answers,
    AnswersAndReadsOn,
    ReadsOn,
}

/// A gateway before a host that looks at heads only.
struct Early {
    gateway: Gateway,
    /// The bytes of each of the host's connections.
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Early {
    async fn start(then: Then, route: &str, args: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let seen = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let connections = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let number = {
                    let mut all = connections.lock().expect("unpoisoned");
                    all.push(Vec::new());
                    all.len() - 1
                };
                tokio::spawn(host(socket, then, Arc::clone(&connections), number));
            }
        });
        let plain = plain_host(port, "ingress-gw", "early.test").replace("  http: [{", &format!("  http: [{{{route}"));
        let gateway = Setup::seed().file("early.yaml", &plain).args(args).start().await;
        Self { gateway, seen }
    }

    async fn client(&self) -> Client {
        Client::connect(self.gateway.http).await
    }

    /// Heads that came to the host, as far as they stand at a connection's beginning.
    fn connections(&self) -> usize {
        self.seen.lock().expect("unpoisoned").len()
    }
}

async fn host(mut socket: TcpStream, then: Then, seen: Arc<Mutex<Vec<Vec<u8>>>>, number: usize) {
    let mut buffer = vec![0; 64 * 1024];
    let mut has_head = false;
    loop {
        let Ok(bytes @ 1..) = socket.read(&mut buffer).await else {
            return;
        };
        let is_head = {
            let mut seen = seen.lock().expect("unpoisoned");
            let all = &mut seen[number];
            all.extend_from_slice(&buffer[..bytes]);
            all.windows(4).any(|four| four == b"\r\n\r\n")
        };
        if is_head && !has_head && !matches!(then, Then::ReadsOn) {
            has_head = true;
            let answer = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 5\r\n\r\nlarge";
            socket.write_all(answer).await.expect("answering");
            if matches!(then, Then::Answers) {
                // Holds the connection and reads no more.
                core::future::pending::<()>().await;
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_comes_after_its_answer_is_no_request() {
    for then in [Then::Answers, Then::AnswersAndReadsOn] {
        for framing in [
            format!("content-length: {}\r\n\r\n", SMUGGLED.len()),
            "transfer-encoding: chunked\r\n\r\n".to_owned(),
        ] {
            let early = Early::start(then, "", &[]).await;
            let mut client = early.client().await;
            client
                .send(format!("POST /early HTTP/1.1\r\nhost: early.test\r\n{framing}"))
                .await;
            assert_eq!(client.response().await.status, 413, "{then:?} {framing}");
            tokio::time::sleep(Duration::from_millis(700)).await;
            let _ = client.try_send(SMUGGLED).await;
            assert!(client.closes().await, "{then:?} {framing}");
            let lines = early.gateway.log_of(1).await;
            assert_eq!(
                (lines.len(), early.connections()),
                (1, 1),
                "{then:?} {framing} {lines:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_no_request_however_much_of_it_has_come() {
    for repeats in [20, 1_000, 200_000] {
        let early = Early::start(Then::Answers, "", &[]).await;
        let body = SMUGGLED.repeat(repeats);
        let mut client = early.client().await;
        client
            .send(format!(
                "POST /early HTTP/1.1\r\nhost: early.test\r\ncontent-length: {}\r\n\r\n",
                body.len()
            ))
            .await;
        let _ = tokio::time::timeout(Duration::from_secs(2), client.try_send(&body)).await;
        assert_eq!(client.response().await.status, 413, "{repeats}");
        // What fits into the host's own buffers is passed on, and then the connection lives.
        let next = tokio::time::timeout(Duration::from_secs(1), client.try_response()).await;
        assert!(!matches!(next, Ok(Some(_))), "{repeats}");
        let lines = early.gateway.log_of(1).await;
        assert_eq!((lines.len(), early.connections()), (1, 1), "{repeats} {lines:?}");
    }
}

#[tokio::test]
async fn a_body_that_ends_soon_after_its_answer_costs_no_connection() {
    let early = Early::start(Then::AnswersAndReadsOn, "", &[]).await;
    let mut client = early.client().await;
    client
        .send("POST /early HTTP/1.1\r\nhost: early.test\r\ncontent-length: 2\r\n\r\n")
        .await;
    assert_eq!(client.response().await.status, 413);
    client.send("ab").await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    client.send(post("test.com", &[], QUESTION)).await;
    assert!(client.try_response().await.is_some());
    assert_eq!(early.gateway.log_of(2).await.len(), 2);
}

#[tokio::test]
async fn a_timeout_begins_at_the_end_of_a_body_with_trailers_too() {
    let early = Early::start(Then::ReadsOn, "timeout: 1s, ", &["--first-byte-timeout", "30s"]).await;
    for end in ["0\r\n\r\n", "0\r\nx-checksum: 1\r\n\r\n"] {
        let mut client = early.client().await;
        let began = Instant::now();
        client
            .send(format!(
                "POST / HTTP/1.1\r\nhost: early.test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n{end}"
            ))
            .await;
        assert_eq!(client.response().await.status, 504, "{end:?}");
        assert!(began.elapsed() < Duration::from_secs(10), "{end:?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_seen_to_whatever_it_sent_behind_its_request() {
    for behind in ["", "\r\n", "GET / HTTP/1.1\r\n", SMUGGLED] {
        let bed = Bed::seed().await;
        let gate = Gate::new();
        bed.upstream.answer(Answer::gated_stream(&["{}"], &gate));
        let mut client = Client::connect(bed.http()).await;
        client
            .send([&post("test.com", &[], QUESTION)[..], behind.as_bytes()].concat())
            .await;
        bed.upstream.request().await;
        drop(client);
        within_patience("the provider's connection to be closed", bed.upstream.closed(0)).await;
        let line = bed.gateway.log_of(1).await.remove(0);
        assert_eq!(line["response_flags"], "DC", "{behind:?} {line}");
    }
}

#[tokio::test]
async fn empty_lines_between_requests_are_nothing() {
    let bed = Bed::seed().await;
    let mut client = Client::connect(bed.http()).await;
    for _ in 0..3 {
        client
            .send([&post("test.com", &[], QUESTION)[..], b"\r\n"].concat())
            .await;
        assert_eq!(client.response().await.status, 200);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let count = eventually("three lines", || async {
        Some(bed.gateway.log().len()).filter(|count| *count >= 3)
    })
    .await;
    assert_eq!(count, 3);
}

#[tokio::test]
async fn a_slow_upload_is_no_silence_of_its_host() {
    let early = Early::start(Then::ReadsOn, "", &["--first-byte-timeout", "1s"]).await;
    let mut client = early.client().await;
    client
        .send("POST / HTTP/1.1\r\nhost: early.test\r\ncontent-length: 1000\r\n\r\n")
        .await;
    for _ in 0..10 {
        client.send([b'x'; 10]).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(early.gateway.log().is_empty(), "cut while it went on");
    }
    let began = Instant::now();
    assert_eq!(client.response().await.status, 504);
    assert!(began.elapsed() < Duration::from_secs(10));
}
