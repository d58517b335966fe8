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
use support::bed::{Bed, EDGE, Transport, service_entry};
use support::gateway::{Gateway, Setup};
use support::outputs::field;
use support::upstream::{Answer, COMPLETION, Gate, STREAM_HEAD, Step, Upstream};
use support::wire::chunk;
use support::{KEY, MESSAGES, PROVIDER, QUESTION, within_patience};

type Failed = Box<dyn std::error::Error>;

struct Client {
    sender: SendRequest<Full<Bytes>>,
    connection: tokio::task::JoinHandle<hyper::Result<()>>,
}

impl Client {
    async fn connect(bed: &Bed) -> Result<Self, Failed> {
        Self::to(&bed.gateway).await
    }

    async fn to(gateway: &Gateway) -> Result<Self, Failed> {
        let stream = tokio::net::TcpStream::connect(gateway.http).await?;
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

/// Answers of the gateway's own, with and without a body, and a host.
fn answers(port: u16) -> String {
    let host = service_entry("plain", port);
    format!(
        "{EDGE}{host}apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web, namespace: istio-system}}
spec:
  hosts: [web.test]
  gateways: [edge]
  http:
  - match: [{{uri: {{exact: /direct}}}}]
    directResponse: {{status: 200, body: {{string: here}}}}
  - match: [{{uri: {{exact: /unavailable}}}}]
    directResponse: {{status: 503, body: {{string: not now}}}}
  - match: [{{uri: {{exact: /none}}}}]
    fault: {{abort: {{httpStatus: 204, percentage: {{value: 100}}}}}}
    route: [{{destination: {{host: plain.test}}}}]
  - match: [{{uri: {{exact: /same}}}}]
    fault: {{abort: {{httpStatus: 304, percentage: {{value: 100}}}}}}
    route: [{{destination: {{host: plain.test}}}}]
  - match: [{{uri: {{exact: /there}}}}]
    redirect: {{uri: /direct}}
  - route: [{{destination: {{host: plain.test}}}}]
"
    )
}

#[tokio::test]
async fn an_answer_that_has_no_body_is_its_head_alone() {
    let upstream = Upstream::plain().await;
    let setup = Setup::empty().file("answers.yaml", &answers(upstream.addr.port()));
    let gateway = setup.start().await;
    let mut client = Client::to(&gateway).await.unwrap();
    let head = |status: &str, fields: &str| {
        let bytes = format!("HTTP/1.1 {status}\r\n{fields}\r\n").into_bytes();
        Answer(vec![Step::Send(bytes)])
    };
    for (method, path, host, theirs, status, length) in [
        (Method::HEAD, "/direct", "web.test", None, 200, Some("4")),
        (Method::HEAD, "/unavailable", "web.test", None, 503, Some("7")),
        (Method::HEAD, "/there", "web.test", None, 301, None),
        (Method::HEAD, "/", "other.test", None, 404, None),
        (Method::HEAD, "/%00", "web.test", None, 400, Some("")),
        (Method::HEAD, "/none", "web.test", None, 204, None),
        (Method::GET, "/none", "web.test", None, 204, None),
        (Method::GET, "/same", "web.test", None, 304, Some("18")),
        (
            Method::HEAD,
            "/",
            "web.test",
            Some(head("200 OK", "content-length: 5\r\n")),
            200,
            Some("5"),
        ),
        (Method::GET, "/", "web.test", Some(head("204 No", "")), 204, None),
        (
            Method::GET,
            "/",
            "web.test",
            Some(head("304 No", "content-length: 5\r\n")),
            304,
            Some("5"),
        ),
    ] {
        let what = format!("{method} {host}{path}");
        if let Some(theirs) = theirs {
            upstream.answer(theirs);
        }
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{host}{path}"))
            .body(Full::default())
            .unwrap();
        let answer = within_patience("an answer", client.sender.send_request(request)).await;
        let answer = answer.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(answer.status(), status, "{what}");
        let told = answer
            .headers()
            .get("content-length")
            .map(|value| value.to_str().unwrap());
        match length {
            Some("") => assert!(told.is_some_and(|told| told != "0"), "{what}: {told:?}"),
            length => assert_eq!(told, length, "{what}"),
        }
        let body = within_patience("its end", answer.into_body().collect()).await;
        let body = body.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert!(body.to_bytes().is_empty(), "{what}");
    }
    for line in gateway.log_of(11).await {
        assert_eq!(field(&line, "bytes_sent"), "0", "{line}");
    }
}
