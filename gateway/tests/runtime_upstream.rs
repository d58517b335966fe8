//! Connections to a provider: kept when clean, thrown away when not, never trusted.

#[cfg(test)]
mod support;

use core::time::Duration;

use support::bed::{Bed, Transport};
use support::client::{Client, get, post};
use support::gateway::{Setup, edit};
use support::outputs::field;
use support::ports::Port;
use support::upstream::{Answer, COMPLETION, Gate, Step};
use support::wire::Part;
use support::{QUESTION, eventually};

/// One worker, so that there is one pool.
async fn one_worker() -> Bed {
    Bed::start(Transport::Plain, Setup::seed().args(&["--workers", "1"])).await
}

#[tokio::test]
async fn connection_with_bytes_nobody_asked_for_is_thrown_away() {
    let bed = one_worker().await;
    let smuggled = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled".to_vec();
    // Once with the answer itself, once a moment later.
    let whole = Answer::completion().0.remove(0);
    let Step::Send(bytes) = &whole else { panic!("one piece") };
    bed.upstream
        .answer(Answer(vec![Step::Send([bytes.clone(), smuggled.clone()].concat())]));
    bed.upstream.answer(Answer(vec![
        whole,
        Step::Pause(Duration::from_millis(20)),
        Step::Send(smuggled),
    ]));
    for _ in 0..3 {
        assert_eq!(bed.ask("test.com").await.text(), COMPLETION);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    assert_eq!(bed.upstream.connection_count(), 3);
}

#[tokio::test]
async fn switched_protocol_that_nobody_asked_for_is_502() {
    let bed = Bed::seed().await;
    bed.upstream.answer(Answer(vec![Step::Send(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nraw".to_vec(),
    )]));
    assert_eq!(
        bed.ask("test.com").await.openai_error(502)["code"],
        "upstream_protocol_error"
    );
    bed.upstream.closed(0).await;
}

#[tokio::test]
async fn interim_answers_are_passed_over() {
    let bed = Bed::seed().await;
    let whole = Answer::completion().0.remove(0);
    let Step::Send(bytes) = &whole else { panic!("one piece") };
    let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".to_vec();
    bed.upstream
        .answer(Answer(vec![Step::Send([interim, bytes.clone()].concat())]));
    let answer = bed.ask("test.com").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, COMPLETION));
}

#[tokio::test]
async fn upgrade_of_a_client_is_not_passed_on() {
    let bed = Bed::seed().await;
    let mut client = Client::connect(bed.http()).await;
    let fields = [
        ("connection", "Upgrade, HTTP2-Settings"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
        ("te", "trailers"),
    ];
    client.send(post("test.com", &fields, QUESTION)).await;
    assert_eq!(client.response().await.status, 200);
    let seen = bed.upstream.request().await;
    for (name, _) in fields {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn connection_field_that_names_a_protected_one_is_400() {
    let bed = Bed::seed().await;
    for named in ["authorization", "close, Host", "x-forwarded-for", "cookie"] {
        let mut client = Client::connect(bed.http()).await;
        client.send(post("test.com", &[("connection", named)], QUESTION)).await;
        let error = client.response().await.openai_error(400);
        assert_eq!(error["code"], "bad_connection_header", "{named}");
    }
    bed.assert_no_contact();
}

#[tokio::test]
async fn providers_request_id_is_shown_and_both_are_logged() {
    let bed = Bed::seed().await;
    bed.upstream
        .answer(Answer::whole("200 OK", &[("x-request-id", "req_provider")], "{}"));
    let answer = bed
        .ask_with([127, 0, 0, 1], "test.com", &[("x-request-id", "mine-1")])
        .await;
    assert_eq!(answer.header("x-request-id"), Some("req_provider"));
    assert_eq!(bed.upstream.request().await.header("x-request-id"), Some("mine-1"));
    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "request_id"), "mine-1");
    assert_eq!(field(&line, "upstream_request_id"), "req_provider");
    let answer = bed
        .ask_with([127, 0, 0, 1], "test.com", &[("x-request-id", "mine-2")])
        .await;
    assert_eq!(answer.header("x-request-id"), Some("mine-2"));
}

#[tokio::test]
async fn reload_opens_a_new_port_and_closes_the_old_one() {
    let other = Port::lease();
    let listen = format!("81=127.0.0.1:{}", other.number);
    let bed = Bed::start(Transport::Plain, Setup::seed().args(&["--listen", &listen])).await;
    let moved = core::net::SocketAddr::from(([127, 0, 0, 1], other.number));
    assert_eq!(bed.ask("test.com").await.status, 200);
    let mut kept = Client::connect(bed.http()).await;
    assert_eq!(kept.ask("test.com", QUESTION).await.status, 200);
    edit(&bed.gateway.config().join("gateway.yaml"), "number: 80", "number: 81");
    eventually("the new port answers", || async {
        let mut client = Client::try_connect_from([127, 0, 0, 1], moved).await.ok()?;
        (client.ask("test.com", QUESTION).await.status == 200).then_some(())
    })
    .await;
    eventually("the old port refuses", || async {
        Client::try_connect_from([127, 0, 0, 1], bed.http())
            .await
            .is_err()
            .then_some(())
    })
    .await;
    // Who is still connected there finds that nothing is configured for the old port.
    assert_eq!(kept.ask("test.com", QUESTION).await.status, 404);
}

/// Nobody will use those of other settings again, however long a request that began with them goes on.
#[tokio::test]
async fn idle_connections_of_a_replaced_upstream_are_closed_beside_a_stream_of_it() {
    let bed = one_worker().await;
    let (gate, events) = (Gate::new(), ["data: 1\n\n", "data: 2\n\n"]);
    bed.upstream.answer(Answer::gated_stream(&events, &gate));
    let mut streamed = Client::connect(bed.http()).await;
    streamed.send(post("test.com", &[], QUESTION)).await;
    assert_eq!(streamed.head().await.status, 200);
    assert_eq!(bed.ask("test.com").await.status, 200);
    assert_eq!(bed.upstream.connection_count(), 2);
    edit(
        &bed.gateway.config().join("local-provider.yaml"),
        "trafficPolicy:",
        "trafficPolicy:\n    connectionPool: {tcp: {connectTimeout: 7s}}",
    );
    eventually("the other connection takes over", || async {
        let _ = bed.ask("test.com").await;
        (bed.upstream.connection_count() == 3).then_some(())
    })
    .await;
    bed.upstream.closed(1).await;
    gate.open();
    gate.open();
    assert_eq!(streamed.text(18).await, events.concat());
}

#[tokio::test]
async fn metrics_count_connections_both_ways() {
    let bed = one_worker().await;
    let mut client = Client::connect(bed.http()).await;
    assert_eq!(client.ask("test.com", QUESTION).await.status, 200);
    let text = get(bed.gateway.admin, "/metrics").await.text();
    for line in [
        "lockgate_downstream_connections 1",
        "lockgate_upstream_connections 1",
        "lockgate_upstream_connections_total 1",
        "lockgate_requests_active 0",
    ] {
        assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
    }
}

/// What the client gets of these bytes of a provider: a status, or a cut. The next one gets its own answer, over another
/// connection.
async fn answered(bytes: impl AsRef<[u8]>) -> Option<u16> {
    let shown: String = bytes.as_ref().escape_ascii().take(200).map(char::from).collect();
    let bed = one_worker().await;
    bed.upstream.answer(Answer(vec![Step::Send(bytes.as_ref().to_vec())]));
    let mut client = Client::connect(bed.http()).await;
    client.send(post("test.com", &[], QUESTION)).await;
    // Of what is broken off at once the client may see no head either.
    let head = client.try_head().await;
    let mut end = Part::Cut;
    if head.is_some() {
        end = client.part().await;
        while let Part::Data(_) = end {
            end = client.part().await;
        }
    }
    assert_eq!(bed.ask("test.com").await.text(), COMPLETION, "after {shown}");
    assert_eq!(bed.upstream.connection_count(), 2, "after {shown}");
    head.filter(|_| end == Part::End).map(|head| head.status)
}

#[tokio::test]
async fn heads_that_two_readers_would_frame_differently_are_502() {
    for head in [
        "content-length: 2\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 2",
        "content-length: 2\r\ncontent-length: 2",
        "content-length: 2\r\ncontent-length: 3",
        "content-length: 2, 3",
        "content-length: 2, 2",
        "content-length: +2",
        "content-length: -2",
        "content-length: 0x2",
        "content-length: 99999999999999999999",
        "content-length : 2",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, gzip",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: xchunked",
        "transfer-encoding: identity",
        "x-folded: a\r\n b",
        "x-nul: a\0b",
        "x name: a",
        ": a",
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n");
        assert_eq!(answered(bytes).await, Some(502), "{head:?}");
    }
    for line in [
        "HELLO",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 20",
        "HTTP/1.1 099 No",
        "HTTP/1.1 600 No",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 200 O\0K",
        "HTTP/2.0 200 OK",
        "http/1.1 200 OK",
    ] {
        let bytes = format!("{line}\r\ncontent-length: 2\r\n\r\n{{}}");
        assert_eq!(answered(bytes).await, Some(502), "{line:?}");
    }
}

#[tokio::test]
async fn chunks_that_cannot_be_read_are_a_cut() {
    for chunks in [
        "zz\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "2\n{}\n0\n\n",
        "ffffffffffffffff1\r\n{}",
        "-2\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
        assert_eq!(answered(bytes).await, None, "{chunks:?}");
    }
}

#[tokio::test]
async fn heads_without_end_are_502_at_once() {
    let many = "x-a: b\r\n".repeat(300);
    let many = format!("HTTP/1.1 200 OK\r\n{many}content-length: 2\r\n\r\n{{}}");
    assert_eq!(answered(many).await, Some(502));
    let long = "a".repeat(2 << 20);
    let long = format!("HTTP/1.1 200 OK\r\nx-a: {long}\r\ncontent-length: 2\r\n\r\n{{}}");
    assert_eq!(answered(long).await, Some(502));
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(20_000);
    assert_eq!(answered(interim).await, Some(502));
}

#[tokio::test]
async fn body_of_an_answer_that_has_none_is_no_next_answer() {
    for (status, line) in [(204, "No Content"), (304, "Not Modified")] {
        let bytes = format!(
            "HTTP/1.1 {status} {line}\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"
        );
        assert_eq!(answered(bytes).await, Some(status), "{line}");
    }
}
