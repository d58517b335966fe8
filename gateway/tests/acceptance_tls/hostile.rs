//! Clients that mean no good, beside one that does.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::case::{all_gone, gateway, secret_of, simple, start, turned_away};
use crate::support::bed::Bed;
use crate::support::client::{Client, post};
use crate::support::gateway::Setup;
use crate::support::https::{Tls, VERSIONS};
use crate::support::pki::Authority;
use crate::support::upstream::{Answer, STREAM_HEAD, Step};
use crate::support::wire::{Part, chunk};
use crate::support::{QUESTION, within_patience};

async fn bed(args: &[&str]) -> (Authority, Bed) {
    let ca = Authority::new();
    let bed = start(simple(&ca.issue("a.test", 1)).args(args)).await;
    (ca, bed)
}

/// The bytes with which a handshake begins.
fn hello(ca: &Authority) -> Vec<u8> {
    let name = ServerName::try_from("a.test").expect("a name");
    let mut connection = ClientConnection::new(Tls::new(ca).config(), name).expect("a client");
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).expect("a hello");
    bytes
}

/// Reads to the end, however the connection ends.
async fn end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = within_patience("the end", stream.read_to_end(&mut all)).await;
    all
}

#[tokio::test]
async fn what_is_no_tls_is_turned_away_at_once() {
    let (ca, bed) = bed(&[]).await;
    let begun = Instant::now();
    let good = hello(&ca);
    let mut bad_length = good.clone();
    bad_length[3..5].copy_from_slice(&[0xff, 0xff]);
    let mut endless = good.clone();
    endless[6..9].copy_from_slice(&[0xff, 0xff, 0xff]);
    endless.extend(core::iter::repeat_n(0x16, 70_000));
    let cases: [(&str, &[u8]); 6] = [
        ("zeros", &[0; 2000]),
        ("plain HTTP", b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n"),
        ("HTTP/2 in plain text", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("an alert", &[0x15, 3, 3, 0, 2, 2, 40]),
        ("a record that is too long", &bad_length),
        ("a hello that is too long", &endless),
    ];
    for (what, bytes) in cases {
        let mut stream = TcpStream::connect(bed.gateway.https).await.expect("a connection");
        let _ = stream.write_all(bytes).await;
        let said = end(&mut stream).await;
        assert!(said.len() < 16 && !said.starts_with(b"HTTP"), "{what}: {said:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    turned_away(&bed.gateway, "protocol", 6.0).await;
    all_gone(&bed.gateway).await;
}

#[tokio::test]
async fn handshake_has_its_time_and_others_go_on() {
    let (ca, bed) = bed(&[]).await;
    let hello = hello(&ca);
    let connect = || async { TcpStream::connect(bed.gateway.https).await.expect("a connection") };
    let (mut silent, mut halfway, mut closed) = (connect().await, connect().await, connect().await);
    halfway.write_all(&hello).await.expect("sending");
    closed.write_all(&hello[..50]).await.expect("sending");
    closed.shutdown().await.expect("closing a half");
    let (mut reading, mut dripping) = connect().await.into_split();
    let bytes = hello.clone();
    let drip = tokio::spawn(async move {
        for byte in bytes {
            tokio::time::sleep(Duration::from_millis(150)).await;
            if dripping.write_all(&[byte]).await.is_err() {
                return;
            }
        }
        panic!("all of a hello was taken, however slowly it came");
    });
    let begun = Instant::now();
    assert!(end(&mut closed).await.len() < 16);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "half-closed: {:?}",
        begun.elapsed()
    );
    let tls = Tls::new(&ca);
    let answer = tls
        .ask(bed.gateway.https, "a.test", &post("a.test", &[], QUESTION))
        .await;
    assert_eq!(answer.expect("an answer").status, 200);

    end(&mut silent).await;
    end(&mut halfway).await;
    let mut rest = Vec::new();
    let _ = within_patience("the end", reading.read_to_end(&mut rest)).await;
    assert!(begun.elapsed() >= Duration::from_secs(9), "{:?}", begun.elapsed());
    drip.await.expect("a slow hello is refused");
    turned_away(&bed.gateway, "timeout", 2.0).await;
    all_gone(&bed.gateway).await;
}

#[tokio::test]
async fn who_only_asks_whether_the_port_is_open_is_no_failure() {
    let (ca, mut bed) = bed(&[]).await;
    for _ in 0..20 {
        TcpStream::connect(bed.gateway.https).await.expect("a connection");
    }
    let silent = TcpStream::connect(bed.gateway.https).await.expect("a connection");
    let answer = Tls::new(&ca)
        .ask(bed.gateway.https, "a.test", &post("a.test", &[], QUESTION))
        .await;
    assert_eq!(answer.expect("an answer").status, 200);
    let begun = Instant::now();
    for reason in ["protocol", "timeout", "server_name", "client_certificate"] {
        turned_away(&bed.gateway, reason, 0.0).await;
    }
    bed.gateway.signal("TERM");
    assert_eq!(bed.gateway.ends().await.code(), Some(0));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "a silent client is waited for: {:?}",
        begun.elapsed()
    );
    drop(silent);
}

#[tokio::test]
async fn tls_at_a_port_in_plain_text_is_a_bad_request() {
    let ca = Authority::new();
    let bed = start(Setup::seed()).await;
    let mut stream = TcpStream::connect(bed.http()).await.expect("a connection");
    stream.write_all(&hello(&ca)).await.expect("sending");
    let said = end(&mut stream).await;
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 400"), "{said:?}");
    all_gone(&bed.gateway).await;
}

/// What each of many clients costs at most that ask for a large answer and do not read it.
async fn cost_of_not_reading<S, F>(bed: &Bed, connect: impl Fn(usize) -> F) -> u64
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Client<S>>,
{
    // Enough of them that what the allocator takes at once, about 2 MiB, is little to each.
    const MANY: usize = 60;
    let body = "x".repeat(8 * 1024 * 1024);
    bed.upstream
        .answer(Answer::whole("200 OK", &[("connection", "close")], "first"));
    let mut first = connect(0).await;
    assert_eq!(first.ask("a.test", QUESTION).await.status, 200);
    drop(first);
    let before = bed.gateway.resident();
    let mut clients = Vec::new();
    for index in 0..MANY {
        bed.upstream.answer(Answer::whole("200 OK", &[], &body));
        let mut client = connect(index).await;
        client.send(post("a.test", &[], QUESTION)).await;
        clients.push(client);
    }
    for index in 0..=MANY {
        bed.upstream.closed(index).await;
    }
    let peak = bed.gateway.peak();
    for client in &mut clients {
        assert_eq!(client.response().await.end, Part::Cut);
    }
    all_gone(&bed.gateway).await;
    peak.saturating_sub(before) / MANY as u64
}

#[tokio::test]
async fn who_does_not_read_costs_little_and_is_let_go() {
    let args = ["--stream-idle-timeout", "1s"];
    let (ca, tls) = bed(&args).await;
    let text = gateway(&[("'*'", "")]).replace("HTTPS}, tls: {}", "HTTP}");
    let plain = start(simple(&ca.issue("a.test", 1)).file("gateway.yaml", &text).args(&args)).await;
    let in_plain_text = cost_of_not_reading(&plain, |_| Client::connect(plain.gateway.https)).await;
    let of_tls = cost_of_not_reading(&tls, |index| {
        let speaks = Tls::with(&ca, &[VERSIONS[index % 2]], None);
        let to = tls.gateway.https;
        async move { speaks.client(to, "a.test").await }
    })
    .await;
    println!("a client that does not read: {of_tls} bytes, in plain text {in_plain_text}");
    assert!(
        of_tls < in_plain_text + 256 * 1024,
        "{of_tls} bytes, in plain text {in_plain_text}"
    );
    assert!(of_tls < 2 * 1024 * 1024, "{of_tls} bytes");
}

#[tokio::test]
async fn who_reads_late_keeps_the_connection() {
    let (ca, bed) = bed(&["--stream-idle-timeout", "1s"]).await;
    let body = "x".repeat(12 * 1024 * 1024);
    for version in VERSIONS {
        bed.upstream.answer(Answer::whole("200 OK", &[], &body));
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(64 * 1024).expect("a small buffer");
        let stream = socket.connect(bed.gateway.https).await.expect("a connection");
        let stream = Tls::with(&ca, &[version], None).over(stream, "a.test").await;
        let mut client = Client::over(stream.expect("a handshake"));
        client.send(post("a.test", &[], QUESTION)).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(client.head().await.status, 200);
        // Slower than the gateway, which so is left with the last of it when the answer is over.
        let mut read = 0;
        while let Part::Data(data) = client.part().await {
            read += data.len();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(read, body.len());
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(client.ask("a.test", QUESTION).await.status, 200);
    }
}

#[tokio::test]
async fn records_that_are_forged_end_the_connection() {
    let (ca, bed) = bed(&[]).await;
    let steps = |_| Step::Send([STREAM_HEAD, &chunk(b"data: 1\n\n")].concat());
    for version in VERSIONS {
        bed.upstream.answer(Answer(vec![
            steps(()),
            Step::Wait(crate::support::upstream::Gate::new()),
        ]));
        let tls = Tls::with(&ca, &[version], None);
        for under_way in [false, true] {
            let mut client = tls.client(bed.gateway.https, "a.test").await;
            if under_way {
                client.send(post("a.test", &[], QUESTION)).await;
                assert_eq!(client.head().await.status, 200);
            }
            let forged = [&[0x17, 3, 3, 0, 40][..], &[7; 40]].concat();
            client.stream().get_mut().0.write_all(&forged).await.expect("sending");
            let _ = client.closes().await;
        }
    }
    all_gone(&bed.gateway).await;
}

#[tokio::test]
async fn many_that_leave_in_the_middle_leave_nothing() {
    let ca = Arc::new(Authority::new());
    let text = gateway(&[("'*'", "mode: SIMPLE, credentialName: a")]);
    let setup = simple(&ca.issue("a.test", 1))
        .file("gateway.yaml", &text)
        .file("secret-a.yaml", &secret_of("a", &ca.issue("a.test", 1)));
    let bed = start(setup).await;
    let hello = hello(&ca);
    for round in 0..200 {
        let mut stream = TcpStream::connect(bed.gateway.https).await.expect("a connection");
        let part = hello.len() * (round % 10 + 1) / 10;
        stream.write_all(&hello[..part]).await.expect("sending");
        if round % 2 == 0 {
            stream.set_zero_linger().expect("linger");
        }
    }
    let mut client = Client::over(
        Tls::new(&ca)
            .connect(bed.gateway.https, "a.test")
            .await
            .expect("a handshake"),
    );
    assert_eq!(client.ask("a.test", QUESTION).await.status, 200);
    drop(client);
    turned_away(&bed.gateway, "timeout", 0.0).await;
    all_gone(&bed.gateway).await;
}
