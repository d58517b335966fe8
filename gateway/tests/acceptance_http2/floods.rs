//! Each way to make a server work for nothing: it ends, costs little, and others notice nothing.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::case::open;
use crate::support::bed::Bed;
use crate::support::client::{Client, Response, request};
use crate::support::frames::{
    CONTINUATION, Connection, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, End, GOAWAY, HEADERS, PING, PRIORITY,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, get, settings,
};
use crate::support::outputs::field;

/// Memory that a flood may take.
const GROWTH_BYTES_MAX: u64 = 24 * 1024 * 1024;

/// Processor time that a flood may take, in a build that is not optimized, on a machine that does other things.
const CPU_MAX: Duration = Duration::from_secs(3);

/// Asks again and again on a connection of its own until told to stop; how long the slowest of a hundred took.
async fn bystander(to: core::net::SocketAddr, stop: Arc<AtomicBool>) -> Duration {
    let mut client = Client::connect(to).await;
    let mut took = Vec::new();
    while !stop.load(Ordering::Relaxed) || took.len() < 20 {
        let begun = Instant::now();
        client.send(request("GET", "/", "test.com", &[], "")).await;
        let Response { status, .. } = client.response().await;
        assert_eq!(status, 200, "a bystander's request");
        took.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

/// Sends pieces until the gateway ends the connection; how many bytes that took, `None` when it takes all.
async fn send(bed: &Bed, pieces: impl Iterator<Item = Vec<u8>>) -> Option<usize> {
    let mut connection = Connection::open(bed.http()).await;
    let mut sent = 0;
    for piece in pieces {
        sent += piece.len();
        if !connection.send(&piece).await {
            return Some(sent);
        }
    }
    // All of it may be on its way when the connection ends.
    let ended = tokio::time::timeout(Duration::from_secs(5), connection.closes()).await;
    ended.is_ok().then_some(sent)
}

async fn assert_floods(bed: &Bed, what: &str, pieces: impl Iterator<Item = Vec<u8>>) {
    let stop = Arc::new(AtomicBool::new(false));
    let other = tokio::spawn(bystander(bed.http(), Arc::clone(&stop)));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (memory, cpu) = (bed.gateway.resident(), bed.gateway.cpu());
    let sent = send(bed, pieces).await;
    let (memory, cpu) = (
        bed.gateway.resident().saturating_sub(memory),
        bed.gateway.cpu().saturating_sub(cpu),
    );
    stop.store(true, Ordering::Relaxed);
    let slowest = other.await.expect("a bystander that is answered");
    println!("{what}: {sent:?} bytes sent, {memory} kept, {cpu:?} of CPU, bystander {slowest:?}");
    assert!(sent.is_some(), "{what}: all of it was taken");
    assert!(memory < GROWTH_BYTES_MAX, "{what}: grew by {memory} bytes");
    assert!(cpu < CPU_MAX, "{what}: took {cpu:?}");
    assert!(slowest < Duration::from_secs(2), "{what}: bystander {slowest:?}");
}

/// So many pieces of a thousand copies of `bytes`.
fn times(thousands: usize, bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + use<> {
    let piece = bytes.repeat(1000);
    (0..thousands).map(move |_| piece.clone())
}

/// The streams of a client, numbered as it must.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|n| 1 + 2 * n)
}

#[tokio::test]
async fn frames_that_carry_nothing_are_paid_for() {
    let bed = open(&[]).await;
    let tiny = settings(&[(4, 65_535)]);
    let large = settings(&[(4, 65_535); 2400]);
    let opened = frame(HEADERS, END_HEADERS, 1, &get(&[]));
    let once = |bytes: &[u8]| std::iter::once(bytes.to_vec());
    assert_floods(&bed, "PING", times(500, &frame(PING, 0, 0, &[0; 8]))).await;
    assert_floods(&bed, "PING that answers", times(500, &frame(PING, 1, 0, &[0; 8]))).await;
    assert_floods(&bed, "SETTINGS", times(500, &tiny)).await;
    assert_floods(&bed, "SETTINGS of many values", (0..1000).map(|_| large.clone())).await;
    assert_floods(&bed, "SETTINGS that answer", times(500, &frame(SETTINGS, 1, 0, &[]))).await;
    assert_floods(&bed, "PRIORITY", times(500, &frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]))).await;
    let window = frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes());
    assert_floods(&bed, "WINDOW_UPDATE", times(500, &window)).await;
    let window = frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes());
    let of_stream = once(&opened).chain(times(500, &window));
    assert_floods(&bed, "WINDOW_UPDATE of a stream", of_stream).await;
    assert_floods(&bed, "unknown", times(500, &frame(0x4d, 0, 0, &[0; 20]))).await;
    assert_floods(&bed, "GOAWAY", times(500, &frame(GOAWAY, 0, 0, &[0; 8]))).await;
    let empty = once(&opened).chain(times(500, &frame(DATA, 0, 1, &[])));
    assert_floods(&bed, "empty DATA", empty).await;
    let tiny = once(&opened).chain(times(500, &frame(DATA, 0, 1, b" ")));
    assert_floods(&bed, "DATA of one byte", tiny).await;
    let padded = once(&opened).chain(times(500, &frame(DATA, 8, 1, &[20; 21])));
    assert_floods(&bed, "DATA of padding", padded).await;
}

#[tokio::test]
async fn heads_that_never_end_and_heads_that_grow_are_paid_for() {
    let bed = open(&[]).await;
    let begun = || std::iter::once(frame(HEADERS, END_STREAM, 1, &get(&[])));
    let empty = begun().chain(times(100, &frame(CONTINUATION, 0, 1, &[])));
    assert_floods(&bed, "empty CONTINUATION", empty).await;
    let full = begun().chain((0..10_000).map(|n| {
        let name = format!("x-{n}");
        frame(CONTINUATION, 0, 1, &block(&[(&name, &[b'a'; 4000])]))
    }));
    assert_floods(&bed, "CONTINUATION", full).await;
    // A field of 4,000 bytes, put into the table once and then named 16,000 times by one byte each.
    let bomb = streams(10_000).map(|stream| {
        let mut bytes = get(&[]);
        if stream == 1 {
            bytes.extend([0x40, 3]);
            bytes.extend_from_slice(b"x-a\x7f\xa1\x1e");
            bytes.extend([b'a'; 4000]);
        }
        bytes.extend(core::iter::repeat_n(0xbe, 12_000));
        frame(HEADERS, END_HEADERS | END_STREAM, stream, &bytes)
    });
    assert_floods(&bed, "HPACK bomb", bomb).await;
    // The table changes its size with each head.
    let resize = times(
        500,
        &frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            1,
            &[0x3f, 0xe1, 0x1f, 0x20].repeat(100),
        ),
    );
    assert_floods(&bed, "HPACK sizes", resize).await;
}

#[tokio::test]
async fn streams_that_are_reset_at_once_are_paid_for() {
    let bed = open(&[]).await;
    let before = bed.upstream.request_count();
    let whole = get(&[]);
    let reset = |stream: u32| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    let at_once = streams(100_000).map(|stream| {
        let mut bytes = frame(HEADERS, END_HEADERS | END_STREAM, stream, &whole);
        bytes.extend(reset(stream));
        bytes
    });
    assert_floods(&bed, "rapid reset", at_once).await;
    // Whole segments of them, so that many are there before any is looked at.
    let segments = (0..1000_u32).map(|n| {
        let streams = (0..50).map(|m| 1 + 2 * (n * 50 + m));
        streams
            .flat_map(|stream| [frame(HEADERS, END_HEADERS, stream, &whole), reset(stream)].concat())
            .collect()
    });
    assert_floods(&bed, "rapid reset in segments", segments).await;
    // Made you reset: the client's mistakes make the gateway reset its streams.
    for (what, mistake) in [
        ("a window of nothing", frame(WINDOW_UPDATE, 0, 1, &[0; 4])),
        (
            "a window too large",
            frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]),
        ),
        (
            "a stream that depends on itself",
            frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 1]),
        ),
        ("DATA after the end", frame(DATA, 0, 1, b"{}")),
        (
            "HEADERS after the end",
            frame(HEADERS, END_HEADERS, 1, &block(&[("x", b"1")])),
        ),
    ] {
        let made = streams(100_000).map(|stream| {
            let mut mistake = mistake.clone();
            mistake[5..9].copy_from_slice(&stream.to_be_bytes());
            if mistake[3] == PRIORITY {
                mistake[9..13].copy_from_slice(&stream.to_be_bytes());
            }
            [frame(HEADERS, END_HEADERS | END_STREAM, stream, &whole), mistake].concat()
        });
        assert_floods(&bed, &format!("made you reset: {what}"), made).await;
    }
    let bad_head = get(&[("Upper", b"1")]);
    let malformed = streams(100_000).map(|stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &bad_head));
    assert_floods(&bed, "made you reset: malformed heads", malformed).await;
    println!(
        "{} requests reached the provider",
        bed.upstream.request_count() - before
    );
}

#[tokio::test]
async fn who_is_sent_away_is_told_why_and_logged() {
    let bed = open(&[]).await;
    let mut connection = Connection::open(bed.http()).await;
    connection
        .send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get(&[])))
        .await;
    bed.gateway.log_of(1).await;
    assert!(connection.send(&frame(PING, 0, 0, &[0; 8]).repeat(1500)).await);
    connection.closes().await;
    assert_eq!(connection.goaway, Some(ENHANCE_YOUR_CALM));
    let lines = bed.gateway.log_of(2).await;
    let flood = lines.iter().find(|line| field(line, "method") == "-").expect("a line");
    assert_eq!(field(flood, "protocol"), "HTTP/2");
    assert_eq!(field(flood, "response_flags"), "DPE");
    assert_eq!(field(flood, "response_code_details"), "http2.inbound_frames_flood");
}

#[tokio::test]
async fn who_is_sent_much_may_say_much() {
    let bed = open(&[]).await;
    let mut connection = Connection::open(bed.http()).await;
    // Two windows for each answer, a ping, and the priorities of a browser.
    for stream in streams(400) {
        let mut bytes = frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 1]).repeat(3);
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &get(&[])));
        bytes.extend(frame(PING, 0, 0, &[0; 8]));
        assert!(connection.send(&bytes).await);
        loop {
            let (kind, flags, on, payload) = connection.next().await.expect("a frame");
            if kind == DATA && !payload.is_empty() {
                let window = u32::try_from(payload.len()).expect("small").to_be_bytes();
                connection.send(&frame(WINDOW_UPDATE, 0, 0, &window)).await;
                connection.send(&frame(WINDOW_UPDATE, 0, on, &window)).await;
            }
            if kind == DATA && on == stream && flags & END_STREAM != 0 {
                break;
            }
        }
    }
}

#[tokio::test]
async fn empty_frames_end_no_connection_as_long_as_they_are_few_at_a_time() {
    let bed = open(&[]).await;
    let mut connection = Connection::open(bed.http()).await;
    assert!(connection.send(&frame(WINDOW_UPDATE, 0, 0, &[0x10, 0, 0, 0])).await);
    for stream in streams(300) {
        let upload = [
            frame(HEADERS, END_HEADERS, stream, &get(&[])),
            frame(DATA, 0, stream, b""),
            frame(DATA, 0, stream, b"{}"),
            frame(DATA, END_STREAM, stream, b""),
        ];
        assert!(connection.send(&upload.concat()).await);
        assert_eq!(connection.end(stream).await, End::Answered(200), "stream {stream}");
    }
}

#[tokio::test]
async fn a_head_has_as_many_fields_as_over_http1_and_a_cookie_is_one() {
    let bed = open(&[]).await;
    let names: Vec<String> = (0..101).map(|n| format!("x-{n}")).collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"1"[..])).collect();
    let mut connection = Connection::open(bed.http()).await;
    connection
        .send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get(&many)))
        .await;
    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "response_code"), "431");
    bed.assert_no_contact();
    // A hundred crumbs of a cookie are one field.
    let crumbs = [("cookie", &b"a=1"[..]); 101];
    connection
        .send(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &get(&crumbs)))
        .await;
    let line = bed.gateway.log_of(2).await.remove(1);
    assert_eq!(field(&line, "response_code"), "200");
}
