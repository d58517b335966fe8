//! Clocks: what the gateway waits for, and for how long.

#[cfg(test)]
mod support;

use core::time::Duration;
use std::time::Instant;

use support::bed::{Bed, Transport};
use support::client::{Client, post, request};
use support::gateway::Setup;
use support::outputs::field;
use support::upstream::{Answer, Gate, STREAM_HEAD, Step};
use support::wire::{Part, chunk};
use support::{PROVIDER, QUESTION, within_patience};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

/// A bed whose gateway is as impatient as `args` say.
async fn impatient(args: &[&str]) -> Bed {
    Bed::start(Transport::Plain, Setup::seed().args(args)).await
}

#[tokio::test]
async fn provider_that_does_not_answer_in_time_is_504_and_let_go() {
    let bed = impatient(&["--first-byte-timeout", "300ms"]).await;
    bed.upstream.answer(Answer(vec![Step::Wait(Gate::new())]));
    let asked = Instant::now();
    let answer = bed.ask("test.com").await;
    assert!(asked.elapsed() >= Duration::from_millis(300), "{:?}", asked.elapsed());
    assert_eq!(answer.openai_error(504)["code"], "upstream_timeout");
    bed.upstream.closed(0).await;
    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "response_flags"), "UT", "{line}");
}

#[tokio::test]
async fn answer_that_stands_still_is_cut_and_one_that_drips_is_not() {
    let bed = impatient(&["--stream-idle-timeout", "400ms"]).await;
    let pieces = |last| {
        let mut steps = vec![Step::Send(STREAM_HEAD.to_vec())];
        for _ in 0..6 {
            steps.push(Step::Send(chunk(b"data: {}\n\n")));
            steps.push(Step::Pause(Duration::from_millis(150)));
        }
        steps.push(last);
        Answer(steps)
    };
    bed.upstream.answer(pieces(Step::Send(b"0\r\n\r\n".to_vec())));
    assert_eq!(
        bed.ask("test.com").await.end,
        Part::End,
        "900 ms in all, never 400 ms without a byte"
    );
    bed.upstream.answer(pieces(Step::Wait(Gate::new())));
    let answer = bed.ask("test.com").await;
    assert_eq!((answer.text().matches("data: {}").count(), answer.end), (6, Part::Cut));
    let line = bed.gateway.log_of(2).await.remove(1);
    assert_eq!(field(&line, "response_flags"), "SI", "{line}");
}

#[tokio::test]
async fn who_takes_an_answer_slowly_but_steadily_is_not_cut() {
    let bed = impatient(&["--stream-idle-timeout", "2500ms"]).await;
    bed.upstream
        .answer(Answer::whole("200 OK", &[], &"x".repeat(6_000_000)));
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut client = socket.connect(bed.http()).await.expect("a connection");
    client
        .write_all(&post("test.com", &[], QUESTION))
        .await
        .expect("asking");
    let begun = Instant::now();
    let mut piece = [0; 4096];
    while begun.elapsed() < Duration::from_secs(8) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let bytes = within_patience("a piece", client.read(&mut piece)).await;
        assert!(bytes.is_ok_and(|bytes| bytes > 0), "cut after {:?}", begun.elapsed());
    }
    assert_eq!(bed.gateway.log(), [0; 0], "the answer is under way");
}

#[tokio::test]
async fn connection_that_fell_idle_answers_the_next_request() {
    let bed = Bed::seed().await;
    let mut client = Client::connect(bed.http()).await;
    for pause in [0, 500, 1500] {
        // Long enough for the connection to be taken apart.
        tokio::time::sleep(Duration::from_millis(pause)).await;
        assert_eq!(client.ask("test.com", QUESTION).await.status, 200, "after {pause} ms");
    }
}

#[tokio::test]
async fn head_in_two_halves_is_put_together_however_long_between() {
    let bed = Bed::seed().await;
    let whole = request("POST", "/", "test.com", &[], QUESTION);
    let mut client = Client::connect(bed.http()).await;
    for cut in [1, 3, 20, whole.len() - 3] {
        let (first, second) = whole.split_at(cut);
        client.send(first).await;
        tokio::time::sleep(Duration::from_millis(350)).await;
        client.send(second).await;
        assert_eq!(client.response().await.status, 200, "cut at {cut}");
    }
    assert_eq!(bed.upstream.request().await.header("host"), Some(PROVIDER));
}

#[tokio::test]
async fn pipelined_half_of_a_head_survives_the_wait() {
    let bed = Bed::seed().await;
    let whole = post("test.com", &[], QUESTION);
    let mut client = Client::connect(bed.http()).await;
    client.send([&whole[..], &whole[..10]].concat()).await;
    assert_eq!(client.response().await.status, 200);
    tokio::time::sleep(Duration::from_millis(700)).await;
    client.send(&whole[10..]).await;
    assert_eq!(client.response().await.status, 200);
}
