//! `fault` of a VirtualService through real sockets: requests that are held up, and answers in place of the upstream's.

#![allow(clippy::panic, reason = "a helper of tests fails by panicking")]

#[cfg(test)]
mod support;

use core::time::Duration;
use std::time::Instant;

use support::bed::{EDGE, service_entry};
use support::client::{Client, Response, request};
use support::gateway::{Gateway, Setup};
use support::outputs::field;
use support::upstream::{Answer, Upstream};

struct Bed {
    upstream: Upstream,
    gateway: Gateway,
}

async fn bed(fields: &str) -> Bed {
    let upstream = Upstream::plain().await;
    let port = upstream.addr.port();
    let entry = service_entry("a", port);
    let text = format!(
        "{EDGE}{entry}apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web, namespace: istio-system}}
spec:
  hosts: [web.test]
  gateways: [edge]
  http:
  - route: [{{destination: {{host: a.test}}}}]
    {fields}
"
    );
    let gateway = Setup::empty().file("web.yaml", &text).start().await;
    Bed { upstream, gateway }
}

async fn put(gateway: &Gateway, fields: &[(&str, &str)]) -> Response {
    let mut client = Client::connect(gateway.http).await;
    client.send(request("PUT", "/x", "web.test", fields, "whole")).await;
    client.response().await
}

#[tokio::test]
async fn an_abort_answers_in_envoys_words_and_sends_nothing() {
    let bed = bed(
        "headers: {response: {set: {x-by: rule}}}\n    fault: {abort: {httpStatus: 418, percentage: {value: 100}}}",
    )
    .await;
    let answer = put(&bed.gateway, &[]).await;
    assert_eq!((answer.status, answer.text().as_str()), (418, "fault filter abort"));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(answer.header("x-by"), Some("rule"), "as Envoy has it");
    let answer = put(&bed.gateway, &[("content-type", "application/grpc")]).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    assert_eq!(answer.header("content-type"), Some("application/grpc"));
    assert_eq!(answer.header("grpc-status"), Some("2"));
    assert_eq!(answer.header("grpc-message"), Some("fault filter abort"));
    assert_eq!(bed.upstream.connection_count(), 0);
    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "response_flags"), "FI", "{line}");
    assert_eq!(field(&line, "response_code_details"), "fault_filter_abort", "{line}");
}

#[tokio::test]
async fn a_delay_holds_up_the_request_and_not_its_time() {
    let bed = bed("timeout: 300ms\n    fault: {delay: {fixedDelay: 600ms, percentage: {value: 100}}}").await;
    bed.upstream.answer(Answer::whole("200 OK", &[], "late"));
    let asked = Instant::now();
    let answer = put(&bed.gateway, &[]).await;
    assert!(asked.elapsed() >= Duration::from_millis(600), "{:?}", asked.elapsed());
    assert_eq!((answer.status, answer.text().as_str()), (200, "late"));
    assert_eq!(bed.upstream.request().await.text(), "whole");
    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "response_flags"), "DI", "{line}");
}

#[tokio::test]
async fn an_abort_comes_after_its_delay() {
    let bed = bed(
        "fault: {delay: {fixedDelay: 300ms, percentage: {value: 100}}, abort: {httpStatus: 503, percentage: {value: 100}}}",
    )
    .await;
    let asked = Instant::now();
    let answer = put(&bed.gateway, &[]).await;
    assert!(asked.elapsed() >= Duration::from_millis(300), "{:?}", asked.elapsed());
    assert_eq!((answer.status, answer.text().as_str()), (503, "fault filter abort"));
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_delay() {
    let bed = bed("fault: {delay: {fixedDelay: 10m, percentage: {value: 100}}}").await;
    let mut client = Client::connect(bed.gateway.http).await;
    client.send(request("GET", "/x", "web.test", &[], "")).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(client);
    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "response_flags"), "DC", "{line}");
    assert_eq!(bed.upstream.connection_count(), 0);
}

#[tokio::test]
async fn about_as_many_are_aborted_as_the_rule_says() {
    let bed = bed("fault: {abort: {httpStatus: 503, percentage: {value: 30}}}").await;
    let mut client = Client::connect(bed.gateway.http).await;
    let mut aborted = 0;
    for _ in 0..500 {
        client.send(request("GET", "/x", "web.test", &[], "")).await;
        aborted += usize::from(client.response().await.status == 503);
    }
    assert!((90..210).contains(&aborted), "{aborted} of 500");
}
