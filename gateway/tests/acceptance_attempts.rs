//! `timeout` and `retries` of a VirtualService through real sockets: what is sent again, where to, and how long it may
//! take.

#![allow(clippy::panic, reason = "a helper of tests fails by panicking")]

#[cfg(test)]
mod support;

use core::time::Duration;
use std::time::Instant;

use support::bed::{self, EDGE, Transport, open_with};
use support::client::{Client, Response, get, post, request};
use support::eventually;
use support::gateway::{Gateway, Setup};
use support::outputs::{field, samples, total};
use support::ports::Port;
use support::upstream::{Answer, Gate, Step, Upstream};
use support::wire::{Framing, Part, chunk};

/// A host with two endpoints, of which the first gets the first attempt all but surely.
fn config(ports: [u16; 2], settings: &str) -> String {
    let [first, second] = ports;
    format!(
        "{EDGE}apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: a, namespace: istio-system}}
spec:
  hosts: [a.test]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints:
  - {{address: 127.0.0.1, ports: {{http: {first}}}, weight: 1000000}}
  - {{address: 127.0.0.1, ports: {{http: {second}}}, weight: 1}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web, namespace: istio-system}}
spec:
  hosts: [web.test]
  gateways: [edge]
  http:
  - route: [{{destination: {{host: a.test}}}}]
    {settings}
"
    )
}

/// The two endpoints and a gateway in front of them.
struct Bed {
    first: Upstream,
    second: Upstream,
    gateway: Gateway,
}

async fn bed(settings: &str) -> Bed {
    let (first, second) = (Upstream::plain().await, Upstream::plain().await);
    let text = config([first.addr.port(), second.addr.port()], settings);
    let gateway = Setup::empty().file("web.yaml", &text).start().await;
    Bed { first, second, gateway }
}

/// The first endpoint does not listen.
async fn bed_without_first(settings: &str) -> (Port, Upstream, Gateway) {
    let (port, second) = (Port::lease(), Upstream::plain().await);
    let text = config([port.number, second.addr.port()], settings);
    let gateway = Setup::empty().file("web.yaml", &text).start().await;
    (port, second, gateway)
}

async fn send(gateway: &Gateway, bytes: impl AsRef<[u8]>) -> Response {
    let mut client = Client::connect(gateway.http).await;
    client.send(bytes).await;
    client.response().await
}

fn put(body: &str) -> Vec<u8> {
    request(
        "PUT",
        "/x?y",
        "web.test",
        &[("x-a", "1"), ("content-type", "text/plain")],
        body,
    )
}

async fn retries(gateway: &Gateway) -> f64 {
    total(
        &samples(&get(gateway.admin, "/metrics").await.text()),
        "lockgate_upstream_retries_total",
        &[],
    )
}

fn unavailable() -> Answer {
    Answer::whole("503 Service Unavailable", &[], "first")
}

fn fine() -> Answer {
    Answer::whole("200 OK", &[], "second")
}

fn silence() -> Answer {
    Answer(vec![Step::Wait(Gate::new())])
}

#[tokio::test]
async fn without_retries_a_connection_that_cannot_be_made_is_tried_elsewhere_and_an_answer_stands() {
    let (_port, second, gateway) = bed_without_first("").await;
    second.answer(fine());
    let answer = send(&gateway, put("whole")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "second"));
    assert_eq!(second.request().await.text(), "whole");
    assert!(retries(&gateway).await >= 1.0);

    let bed = bed("").await;
    bed.first.answer(unavailable());
    let answer = send(&bed.gateway, put("whole")).await;
    assert_eq!((answer.status, answer.text().as_str()), (503, "first"));
    assert_eq!(bed.second.request_count(), 0);
}

#[tokio::test]
async fn with_no_attempts_left_nothing_is_tried_again() {
    let (_port, second, gateway) = bed_without_first("retries: {attempts: 0}").await;
    let answer = send(&gateway, put("whole")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!((second.connection_count(), retries(&gateway).await), (0, 0.0));
}

#[tokio::test]
async fn an_answer_that_the_rule_lists_is_not_given_and_the_request_is_sent_again_whole() {
    let bed = bed("retries: {attempts: 1, retryOn: '503'}").await;
    let body = "0123456789".repeat(10_000);
    for chunked in [false, true] {
        bed.first.answer(unavailable());
        bed.second.answer(fine());
        let bytes = if chunked {
            let head = b"PUT /x?y HTTP/1.1\r\nhost: web.test\r\nx-a: 1\r\ntransfer-encoding: chunked\r\n\r\n";
            [
                &head[..],
                &chunk(&body.as_bytes()[..7]),
                &chunk(&body.as_bytes()[7..]),
                b"0\r\n\r\n",
            ]
            .concat()
        } else {
            put(&body)
        };
        let answer = send(&bed.gateway, bytes).await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "second"),
            "chunked: {chunked}"
        );
        for (upstream, is_first) in [(&bed.first, true), (&bed.second, false)] {
            let seen = upstream.request().await;
            assert_eq!(seen.request_line, "PUT /x?y HTTP/1.1");
            assert_eq!((seen.header("host"), seen.header("x-a")), (Some("web.test"), Some("1")));
            assert_eq!(seen.text(), body);
            let is_chunked = chunked && is_first;
            assert_eq!(seen.framing == Framing::Chunked, is_chunked, "chunked: {chunked}");
        }
    }
    assert_eq!(retries(&bed.gateway).await, 2.0);
    let line = bed.gateway.log_of(2).await.remove(1);
    assert_eq!(field(&line, "response_code"), "200", "{line}");
    assert_eq!(field(&line, "bytes_received"), "100000", "counted once: {line}");
}

#[tokio::test]
async fn the_budget_is_one_for_all_and_its_last_answer_is_the_clients() {
    let bed = bed("retries: {attempts: 2, retryOn: gateway-error, backoff: 1ms}").await;
    bed.first.answer(Answer(vec![Step::Cut]));
    for upstream in [&bed.first, &bed.second] {
        for _ in 0..3 {
            upstream.answer(unavailable());
        }
    }
    let answer = send(&bed.gateway, put("")).await;
    assert_eq!((answer.status, answer.text().as_str()), (503, "first"));
    assert_eq!(bed.first.request_count() + bed.second.request_count(), 3);
    assert!(
        bed.second.request_count() >= 1,
        "an endpoint that was not tried comes first"
    );
}

#[tokio::test]
async fn a_body_that_is_too_large_to_keep_is_not_sent_again() {
    let bed = bed("retries: {attempts: 2, retryOn: 5xx, backoff: 1ms}").await;
    bed.first.answer(unavailable());
    let answer = send(&bed.gateway, put(&"x".repeat(1024 * 1024 + 1))).await;
    assert_eq!((answer.status, answer.text().as_str()), (503, "first"));
    bed.first.answer(unavailable());
    bed.second.answer(fine());
    let answer = send(&bed.gateway, put(&"x".repeat(1024 * 1024))).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "second"));
    assert_eq!(bed.second.request().await.body.len(), 1024 * 1024);
}

/// A question of `bytes` bytes.
fn question(bytes: usize) -> String {
    let (begin, end) = (r#"{"messages":[],"x":""#, r#""}"#);
    format!("{begin}{}{end}", "x".repeat(bytes - begin.len() - end.len()))
}

#[tokio::test]
async fn a_providers_request_that_is_too_large_to_keep_is_neither_kept_nor_sent_again() {
    let rule = open_with("retries: {attempts: 2, retryOn: 5xx, backoff: 1ms}");
    let bed = bed::Bed::start(Transport::Plain, Setup::empty().file("open.yaml", &rule)).await;
    let (large, kept) = (question(1024 * 1024 + 1), question(1024 * 1024));
    bed.upstream.answer(unavailable());
    let answer = bed.ask_body("test.com", &large).await;
    assert_eq!((answer.status, answer.text().as_str()), (503, "first"));
    assert_eq!(bed.upstream.request().await.body.len(), large.len());
    bed.upstream.answer(unavailable());
    bed.upstream.answer(fine());
    let answer = bed.ask_body("test.com", &kept).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "second"));
    for _ in 0..2 {
        assert_eq!(bed.upstream.request().await.text(), kept);
    }

    bed.upstream.answer(silence());
    let mut client = Client::connect(bed.http()).await;
    client.send(post("test.com", &[], &large)).await;
    bed.upstream.request().await;
    eventually("nothing of it is held while the provider thinks", || async {
        let held = total(&bed.gateway.metrics().await, "lockgate_buffered_bytes", &[]);
        (held == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn nothing_is_sent_again_after_the_first_byte_of_an_answer() {
    let bed = bed("retries: {attempts: 3, retryOn: '5xx,reset', backoff: 1ms}").await;
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_vec();
    bed.first.answer(Answer(vec![Step::Send(head), Step::Cut]));
    let mut client = Client::connect(bed.gateway.http).await;
    client.send(put("whole")).await;
    let answer = client.response().await;
    assert_eq!((answer.status, answer.end), (200, Part::Cut));
    assert_eq!((bed.second.request_count(), retries(&bed.gateway).await), (0, 0.0));
}

#[tokio::test]
async fn the_time_is_counted_over_all_attempts_and_ends_in_504() {
    let bed =
        bed("timeout: 400ms\n    retries: {attempts: 50, retryOn: 5xx, backoff: 10ms, perTryTimeout: 150ms}").await;
    for upstream in [&bed.first, &bed.second] {
        for _ in 0..20 {
            upstream.answer(silence());
        }
    }
    let asked = Instant::now();
    let answer = send(&bed.gateway, put("whole")).await;
    let took = asked.elapsed();
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (504, "upstream request timeout")
    );
    assert!(
        took >= Duration::from_millis(400) && took < Duration::from_secs(5),
        "{took:?}"
    );
    assert!(bed.second.request_count() >= 1, "the first attempt had 150 ms");
    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "response_flags"), "UT", "{line}");
    assert_eq!(
        field(&line, "response_code_details"),
        "upstream_response_timeout",
        "{line}"
    );
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_let_go_and_another_answers() {
    let bed = bed("retries: {attempts: 1, retryOn: reset, perTryTimeout: 200ms}").await;
    bed.first.answer(silence());
    bed.second.answer(fine());
    let answer = send(&bed.gateway, put("whole")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "second"));
    bed.first.closed(0).await;

    bed.first.answer(silence());
    bed.second.answer(silence());
    let answer = send(&bed.gateway, put("whole")).await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (504, "upstream request timeout")
    );
    let line = bed.gateway.log_of(2).await.remove(1);
    assert_eq!(
        field(&line, "response_code_details"),
        "upstream_per_try_timeout",
        "{line}"
    );
}

#[tokio::test]
async fn the_time_begins_when_the_request_has_ended() {
    let bed = bed("timeout: 300ms\n    retries: {attempts: 0}").await;
    bed.first.answer(fine());
    let whole = put("0123456789");
    let (head, rest) = whole.split_at(whole.len() - 1);
    let mut client = Client::connect(bed.gateway.http).await;
    client.send(head).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    client.send(rest).await;
    assert_eq!(client.response().await.status, 200);
}

#[tokio::test]
async fn an_answer_that_is_not_whole_in_time_is_cut() {
    let bed = bed("timeout: 300ms").await;
    let mut steps = vec![Step::Send(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
    )];
    for _ in 0..200 {
        steps.extend([Step::Send(chunk(b"more")), Step::Pause(Duration::from_millis(20))]);
    }
    bed.first.answer(Answer(steps));
    let asked = Instant::now();
    let answer = send(&bed.gateway, put("whole")).await;
    assert_eq!((answer.status, answer.end), (200, Part::Cut));
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "response_flags"), "UT", "{line}");
    bed.first.closed(0).await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_attempts() {
    let bed = bed("retries: {attempts: 50, retryOn: 5xx, perTryTimeout: 100ms, backoff: 1ms}").await;
    for upstream in [&bed.first, &bed.second] {
        for _ in 0..100 {
            upstream.answer(silence());
        }
    }
    let mut client = Client::connect(bed.gateway.http).await;
    client.send(put("whole")).await;
    bed.first.request().await;
    bed.second.request().await;
    drop(client);
    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "response_flags"), "DC", "{line}");
    let made = retries(&bed.gateway).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(retries(&bed.gateway).await, made);
}
