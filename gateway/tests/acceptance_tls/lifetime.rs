//! How connections end: idle, and when the gateway drains; and what an idle one costs.

use core::time::Duration;
use std::time::Instant;

use http_body_util::BodyExt as _;

use crate::case::{simple, start};
use crate::support::bed::Bed;
use crate::support::client::post;
use crate::support::https::Tls;
use crate::support::pki::Authority;
use crate::support::upstream::{Answer, Gate};
use crate::support::wire::Part;
use crate::support::{QUESTION, within_patience};

async fn bed() -> (Authority, Bed) {
    let ca = Authority::new();
    let bed = start(simple(&ca.issue("a.test", 1))).await;
    (ca, bed)
}

#[tokio::test]
async fn drain_ends_what_is_idle_at_once_and_the_rest_when_it_is_whole() {
    let (ca, mut bed) = bed().await;
    let tls = Tls::new(&ca);
    let events = ["data: 1\n\n", "data: 2\n\n"];
    let (gate, gate2) = (Gate::new(), Gate::new());
    let mut unused = tls.client(bed.gateway.https, "a.test").await;
    let mut used = tls.client(bed.gateway.https, "a.test").await;
    assert_eq!(used.ask("a.test", QUESTION).await.status, 200);
    let mut idle2 = tls.http2(bed.gateway.https, "a.test").await;
    assert_eq!(idle2.post("a.test", QUESTION).await.expect("an answer").status(), 200);
    bed.upstream.answer(Answer::gated_stream(&events, &gate));
    let mut busy = tls.client(bed.gateway.https, "a.test").await;
    busy.send(post("a.test", &[], QUESTION)).await;
    assert_eq!(busy.head().await.status, 200);
    bed.upstream.answer(Answer::gated_stream(&events, &gate2));
    let mut busy2 = tls.http2(bed.gateway.https, "a.test").await;
    let mut body2 = busy2.post("a.test", QUESTION).await.expect("an answer").into_body();
    within_patience("an event", body2.frame())
        .await
        .expect("an event")
        .expect("a frame");

    let begun = Instant::now();
    bed.gateway.signal("TERM");
    unused.ends().await.expect("an end that is no cut");
    used.ends().await.expect("an end that is no cut");
    within_patience("GOAWAY", idle2.connection)
        .await
        .expect("a task")
        .expect("an orderly end");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());

    for gate in [&gate, &gate2] {
        gate.open();
        gate.open();
    }
    let (rest, end) = (busy.text(18).await, busy.part().await);
    assert_eq!((rest.as_str(), end), ("data: 1\n\ndata: 2\n\n", Part::End));
    busy.ends().await.expect("an end that is no cut");
    let rest = within_patience("the rest", body2.collect()).await.expect("the rest");
    assert_eq!(rest.to_bytes(), "data: 2\n\n");
    within_patience("GOAWAY", busy2.connection)
        .await
        .expect("a task")
        .expect("an orderly end");
    assert_eq!(bed.gateway.ends().await.code(), Some(0));
}

#[tokio::test]
async fn idle_connection_costs_little() {
    const MANY: u32 = 500;
    let (ca, bed) = bed().await;
    let tls = Tls::new(&ca);
    let mut warm = Vec::new();
    for _ in 0..50 {
        let mut client = tls.client(bed.gateway.https, "a.test").await;
        assert_eq!(client.ask("a.test", QUESTION).await.status, 200);
        warm.push(client);
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    let before = bed.gateway.resident();
    let mut clients = Vec::new();
    for _ in 0..MANY {
        let mut client = tls.client(bed.gateway.https, "a.test").await;
        assert_eq!(client.ask("a.test", QUESTION).await.status, 200);
        clients.push(client);
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    let each = bed.gateway.resident().saturating_sub(before) / u64::from(MANY);
    println!("an idle TLS connection: {each} bytes");
    assert!(each < 24 * 1024, "{each} bytes for a connection that rests");
}
