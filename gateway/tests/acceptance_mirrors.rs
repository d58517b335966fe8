//! `mirror` and `mirrors` of a VirtualService through real sockets: who gets a copy, and who never notices.

#![allow(clippy::panic, reason = "a helper of tests fails by panicking")]

#[cfg(test)]
mod support;

use core::time::Duration;
use std::time::Instant;

use support::bed::{EDGE, Transport, join, open_with, service_entry};
use support::client::{Client, Response, ask, get, request};
use support::eventually;
use support::gateway::{Gateway, Setup};
use support::outputs::{samples, total};
use support::upstream::{Answer, Gate, Step, Upstream};
use support::wire::chunk;
use tokio::net::TcpListener;

struct Bed {
    upstream: Upstream,
    mirror: Upstream,
    gateway: Gateway,
}

async fn bed(fields: &str) -> Bed {
    let (upstream, mirror) = (Upstream::plain().await, Upstream::plain().await);
    let entry = |name: &str, port: u16| {
        format!(
            "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: istio-system}}
spec:
  hosts: [{name}.test]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]
---
"
        )
    };
    let text = format!(
        "{EDGE}{}{}apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web, namespace: istio-system}}
spec:
  hosts: [web.test]
  gateways: [edge]
  http:
  - match: [{{uri: {{prefix: /here}}}}]
    route: [{{destination: {{host: a.test}}}}]
    headers: {{request: {{set: {{x-by: rule}}}}}}
    rewrite: {{uri: /there}}
    {fields}
",
        entry("a", upstream.addr.port()),
        entry("m", mirror.addr.port())
    );
    let gateway = Setup::empty()
        .file("web.yaml", &text)
        .args(&["--workers", "1"])
        .start()
        .await;
    Bed {
        upstream,
        mirror,
        gateway,
    }
}

async fn send(gateway: &Gateway, bytes: impl AsRef<[u8]>) -> Response {
    let mut client = Client::connect(gateway.http).await;
    client.send(bytes).await;
    client.response().await
}

fn put(body: &str) -> Vec<u8> {
    let fields = [("cookie", "a=b"), ("x-envoy-internal", "true")];
    request("PUT", "/here?q", "web.test:8080", &fields, body)
}

fn fine() -> Answer {
    Answer::whole("200 OK", &[], "mine")
}

async fn count(gateway: &Gateway, name: &str) -> f64 {
    total(&samples(&get(gateway.admin, "/metrics").await.text()), name, &[])
}

#[tokio::test]
async fn a_mirror_gets_what_the_host_gets_and_its_answer_is_dropped() {
    let bed = bed("mirror: {host: m.test}").await;
    let chunked = [
        b"PUT /here?q HTTP/1.1\r\nhost: web.test:8080\r\ncookie: a=b\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
        chunk(b"wh"),
        chunk(b"ole"),
        b"0\r\n\r\n".to_vec(),
    ]
    .concat();
    for bytes in [put("whole"), put(""), chunked] {
        bed.upstream.answer(fine());
        bed.mirror
            .answer(Answer::whole("500 No", &[("x-mirror", "1")], "the mirror's"));
        let answer = send(&bed.gateway, &bytes).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "mine"));
        let (own, copy) = (bed.upstream.request().await, bed.mirror.request().await);
        assert_eq!(own.request_line, "PUT /there?q HTTP/1.1");
        assert_eq!(copy.request_line, own.request_line);
        assert_eq!(
            (own.header("host"), copy.header("host")),
            (Some("web.test:8080"), Some("web.test-shadow:8080"))
        );
        for name in [
            "cookie",
            "x-by",
            "x-request-id",
            "x-forwarded-for",
            "x-envoy-internal",
            "x-envoy-original-path",
        ] {
            assert_eq!(copy.header(name), own.header(name), "{name}");
        }
        assert_eq!(copy.text(), own.text());
    }
    assert_eq!(bed.mirror.connection_count(), 1, "its connection is used again");
    assert_eq!(count(&bed.gateway, "lockgate_mirrors_total").await, 3.0);
}

#[tokio::test]
async fn mirrors_that_hang_delay_nobody_and_are_bounded() {
    let bed = bed("mirrors: [{destination: {host: m.test}}]").await;
    let asked = Instant::now();
    let mut client = Client::connect(bed.gateway.http).await;
    for _ in 0..100 {
        bed.mirror.answer(Answer(vec![Step::Wait(Gate::new())]));
        bed.upstream.answer(fine());
        client.send(put("whole")).await;
        assert_eq!(client.response().await.text(), "mine");
    }
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    let counts = (
        count(&bed.gateway, "lockgate_mirrors_total").await,
        count(&bed.gateway, "lockgate_mirrors_skipped_total").await,
    );
    assert_eq!(counts, (64.0, 36.0));
}

#[tokio::test]
async fn uploads_that_take_long_hold_no_place_of_the_copies_and_are_copied_when_they_are_whole() {
    let bed = bed("mirrors: [{destination: {host: m.test}}]").await;
    let head = b"PUT /here HTTP/1.1\r\nhost: web.test\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut uploads = Vec::new();
    for _ in 0..70 {
        bed.upstream.answer(fine());
        let mut client = Client::connect(bed.gateway.http).await;
        client.send([&head[..], &chunk(b"be")].concat()).await;
        uploads.push(client);
    }
    eventually("seventy uploads", async || {
        let active = count(&bed.gateway, "lockgate_requests_active").await;
        (active >= 70.0).then_some(())
    })
    .await;
    bed.upstream.answer(fine());
    bed.mirror.answer(fine());
    assert_eq!(send(&bed.gateway, &put("quick")).await.status, 200);
    assert_eq!(bed.mirror.request().await.text(), "quick");
    let mut first = uploads.remove(0);
    bed.mirror.answer(fine());
    first.send([&chunk(b"gun")[..], b"0\r\n\r\n"].concat()).await;
    assert_eq!(first.response().await.status, 200);
    assert_eq!(bed.mirror.request().await.text(), "begun");
    drop(uploads.remove(0));
    eventually("one that broke off", async || {
        let skipped = count(&bed.gateway, "lockgate_mirrors_skipped_total").await;
        (skipped == 1.0).then_some(())
    })
    .await;
    assert_eq!(count(&bed.gateway, "lockgate_mirrors_total").await, 2.0);
}

#[tokio::test]
async fn a_mirror_that_does_not_read_holds_no_large_body_of_a_providers_request() {
    // Nobody accepts its connections, so that the kernel's buffers are all that is read.
    let mirror = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let entry = service_entry("m", mirror.local_addr().expect("an address").port());
    let setup = Setup::empty()
        .file("open.yaml", &open_with("mirrors: [{destination: {host: m.test}}]"))
        .file("mirror.yaml", &entry)
        .args(&["--workers", "1"]);
    let (upstream, setup) = join(Transport::Plain, setup).await;
    let gateway = setup.start().await;
    let question = format!(r#"{{"messages":[],"x":"{}"}}"#, "x".repeat(8 * 1024 * 1024));
    for _ in 0..2 {
        assert_eq!(ask(gateway.http, "test.com", &question).await.status, 200);
        assert_eq!(upstream.request().await.body.len(), question.len());
    }
    eventually("nothing of them is held", || async {
        (count(&gateway, "lockgate_buffered_bytes").await == 0.0).then_some(())
    })
    .await;
    let counts = (
        count(&gateway, "lockgate_mirrors_total").await,
        count(&gateway, "lockgate_mirrors_skipped_total").await,
    );
    assert_eq!(counts, (0.0, 2.0));
}

#[tokio::test]
async fn a_body_that_is_too_large_or_breaks_off_is_not_copied() {
    let bed = bed("mirror: {host: m.test}").await;
    bed.upstream.answer(fine());
    assert_eq!(
        send(&bed.gateway, put(&"x".repeat(1024 * 1024 + 1))).await.text(),
        "mine"
    );
    let whole = put("whole");
    let mut client = Client::connect(bed.gateway.http).await;
    client.send(&whole[..whole.len() - 2]).await;
    drop(client);
    bed.gateway.log_of(2).await;
    bed.upstream.answer(fine());
    assert_eq!(send(&bed.gateway, put("this one")).await.text(), "mine");
    assert_eq!(bed.mirror.request().await.text(), "this one");
}

#[tokio::test]
async fn a_percentage_of_none_copies_nothing() {
    let bed = bed("mirror: {host: m.test}\n    mirrorPercentage: {value: 0}").await;
    for _ in 0..20 {
        bed.upstream.answer(fine());
        assert_eq!(send(&bed.gateway, put("whole")).await.text(), "mine");
    }
    assert_eq!(bed.mirror.connection_count(), 0);
}
