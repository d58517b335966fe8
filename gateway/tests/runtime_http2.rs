//! HTTP/2 with prior knowledge on the port that also speaks HTTP/1.1.

#[cfg(test)]
mod support;

use core::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::bed::{Bed, Transport};
use support::gateway::Setup;
use support::outputs::field;
use support::upstream::{Answer, COMPLETION, Gate, STREAM_HEAD, Step};
use support::wire::chunk;
use support::{KEY, MESSAGES, PROVIDER, QUESTION, within_patience};

type Failed = Box<dyn std::error::Error>;

struct Client {
    sender: SendRequest<Full<Bytes>>,
    connection: tokio::task::JoinHandle<hyper::Result<()>>,
}

impl Client {
    async fn connect(bed: &Bed) -> Result<Self, Failed> {
        let stream = tokio::net::TcpStream::connect(bed.http()).await?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        Ok(Self { sender, connection })
    }

    async fn ask(&mut self, host: &str) -> Result<Response<Incoming>, Failed> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{host}/v1/chat/completions"))
            .header("content-type", "application/json")
            .body(Full::from(QUESTION))?;
        Ok(within_patience("an answer", self.sender.send_request(request)).await?)
    }
}

#[tokio::test]
async fn streams_of_one_connection_are_forwarded_refused_and_logged() {
    let bed = Bed::seed().await;
    let mut client = Client::connect(&bed).await.unwrap();
    let answer = client.ask("test.com").await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        COMPLETION.as_bytes()
    );
    let seen = bed.upstream.request().await;
    assert_eq!(seen.header("host"), Some(PROVIDER));
    assert_eq!(seen.header("authorization"), Some(&*format!("Bearer {KEY}")));
    assert!(seen.text().contains(MESSAGES));
    assert_eq!(client.ask("unknown.example.com").await.unwrap().status(), 404);
    let lines = bed.gateway.log_of(2).await;
    assert_eq!(field(&lines[0], "protocol"), "HTTP/2");
    assert_eq!(field(&lines[0], "authority"), "test.com");
}

#[tokio::test]
async fn provider_that_is_cut_resets_the_stream() {
    let bed = Bed::seed().await;
    for last in [Step::Cut, Step::Close] {
        bed.upstream.answer(Answer(vec![
            Step::Send([STREAM_HEAD, &chunk(b"data: half\n\n")].concat()),
            last.clone(),
        ]));
        let mut client = Client::connect(&bed).await.unwrap();
        let mut body = client.ask("test.com").await.unwrap().into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "data: half\n\n");
        let told = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(told.starts_with(b"data: {\"error\":"), "{told:?}");
        let next = within_patience("the end", body.frame()).await;
        assert!(
            matches!(next, Some(Err(_))),
            "{last:?}: half an answer looks whole: {next:?}"
        );
    }
}

#[tokio::test]
async fn stream_that_is_reset_cancels_the_provider_and_not_its_neighbour() {
    let bed = Bed::seed().await;
    let (left, kept) = (Gate::new(), Gate::new());
    bed.upstream
        .answer(Answer::gated_stream(&["data: 1\n\n", "data: 2\n\n"], &left));
    let mut client = Client::connect(&bed).await.unwrap();
    let mut leaving = client.ask("test.com").await.unwrap().into_body();
    leaving.frame().await.unwrap().unwrap();
    bed.upstream
        .answer(Answer::gated_stream(&["data: 1\n\n", "data: 2\n\n"], &kept));
    let mut staying = client.ask("test.com").await.unwrap().into_body();
    staying.frame().await.unwrap().unwrap();
    let left_at = Instant::now();
    drop(leaving);
    let closed = bed.upstream.closed(0).await;
    assert!(closed.saturating_duration_since(left_at) < Duration::from_millis(100));
    kept.open();
    kept.open();
    let rest = within_patience("the neighbour's end", staying.collect()).await.unwrap();
    assert_eq!(rest.to_bytes(), "data: 2\n\n");
}

#[tokio::test]
async fn drain_lets_the_stream_finish_and_then_ends_the_connection() {
    let mut bed = Bed::start(Transport::Plain, Setup::seed()).await;
    let gate = Gate::new();
    bed.upstream
        .answer(Answer::gated_stream(&["data: 1\n\n", "data: 2\n\n"], &gate));
    let mut client = Client::connect(&bed).await.unwrap();
    let mut body = client.ask("test.com").await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    bed.gateway.signal("TERM");
    tokio::time::sleep(Duration::from_millis(300)).await;
    gate.open();
    gate.open();
    let rest = within_patience("the rest", body.collect()).await.unwrap();
    assert_eq!(rest.to_bytes(), "data: 2\n\n");
    assert_eq!(bed.gateway.ends().await.code(), Some(0));
    drop(client.sender);
    within_patience("the connection's end", client.connection)
        .await
        .unwrap()
        .unwrap();
}
