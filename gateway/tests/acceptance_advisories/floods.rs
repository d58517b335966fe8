//! Part F: what costs a client nothing must not cost the gateway much.

use crate::case::Is::{Refused, Sent};
use crate::case::{check, get, head, open};
use crate::support::bed::Bed;
use crate::support::client::{Client, send_raw};
use crate::support::frames::{
    self as h2, CONTINUATION, Connection, DATA, END_HEADERS, END_STREAM, End, GOAWAY, HEADERS, PING, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, frame,
};
use crate::support::upstream::Answer;

const PLAIN: &str = "GET / HTTP/1.1";

/// Memory that a flood may leave behind.
const GROWTH_BYTES_MAX: u64 = 24 * 1024 * 1024;

/// Sends `flood` until the gateway ends the connection, or all of it; whether it did.
async fn flood(bed: &Bed, flood: impl Iterator<Item = Vec<u8>>) -> bool {
    let mut connection = Connection::open(bed.http()).await;
    for bytes in flood {
        if !connection.send(&bytes).await {
            return true;
        }
    }
    // A last request, to see whether anybody still listens.
    let last = frame(HEADERS, END_HEADERS | END_STREAM, 1_999_999, &h2::get(&[]));
    !connection.send(&last).await || connection.end(1_999_999).await == End::GoneAway
}

async fn assert_unharmed(bed: &Bed, before: u64, what: &str) {
    assert_eq!(
        send_raw(bed.http(), get("/", &[])).await.expect("an answer").status,
        200,
        "{what}"
    );
    let grown = bed.gateway.resident().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{what}: grew by {grown} bytes");
}

#[tokio::test]
async fn streams_opened_and_reset_end_the_connection() {
    let bed = open(&[]).await;
    let before = bed.gateway.resident();
    let block = h2::get(&[]);
    let pairs = (0..200_u32).map(|batch| {
        let streams = (0..50).map(|n| 1 + 2 * (batch * 50 + n));
        streams
            .flat_map(|stream| {
                let mut bytes = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
                bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
                bytes
            })
            .collect()
    });
    assert!(
        flood(&bed, pairs).await,
        "rows 78, 79 and 81: ten thousand resets were taken"
    );
    assert_unharmed(&bed, before, "rows 78, 79 and 81").await;
}

#[tokio::test]
async fn a_head_without_end_ends_the_connection() {
    let bed = open(&[]).await;
    let before = bed.gateway.resident();
    let start = std::iter::once(frame(HEADERS, END_STREAM, 1, &h2::get(&[])));
    let with_fields = start.clone().chain((0..10_000).map(|n| {
        let name = format!("x-{n}");
        frame(CONTINUATION, 0, 1, &h2::block(&[(&name, &[b'a'; 1000])]))
    }));
    assert!(
        flood(&bed, with_fields).await,
        "row 80: ten megabytes of fields were taken"
    );
    let empty = start.chain((0..100_000).map(|_| frame(CONTINUATION, 0, 1, &[])));
    assert!(
        flood(&bed, empty).await,
        "row 80: a hundred thousand empty frames were taken"
    );
    assert_unharmed(&bed, before, "row 80").await;
}

#[tokio::test]
async fn small_frames_do_not_become_large_heads() {
    let bed = open(&[]).await;
    let before = bed.gateway.resident();
    // Row 82: one field put into the dynamic table, then named sixteen thousand times by a byte each.
    let mut block = h2::get(&[]);
    let crumb = [b'a'; 100];
    block.extend([0x40, 6]);
    block.extend_from_slice(b"cookie");
    block.push(100);
    block.extend_from_slice(&crumb);
    block.extend(std::iter::repeat_n(0xbe, 15_000));
    let mut connection = Connection::open(bed.http()).await;
    connection
        .send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block))
        .await;
    assert_ne!(connection.end(1).await, End::Answered(200), "row 82");
    bed.assert_no_contact();
    // Row 73: what does fit goes to an HTTP/1.1 upstream whole.
    let mut connection = Connection::open(bed.http()).await;
    let value = vec![b'a'; 14_000];
    let fields = [("x-1", &value[..])];
    connection
        .send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &h2::get(&fields)))
        .await;
    assert_eq!(connection.end(1).await, End::Answered(200), "row 73");
    assert_eq!(bed.upstream.request().await.header("x-1").map(str::len), Some(14_000));
    assert_unharmed(&bed, before, "row 82").await;
}

#[tokio::test]
async fn frames_that_ask_for_answers_cost_no_memory() {
    let bed = open(&[]).await;
    let before = bed.gateway.resident();
    let times = |count: usize, bytes: Vec<u8>| (0..count).map(move |_| bytes.clone());
    let settings: Vec<u8> = (0..2400_u32)
        .flat_map(|n| [0, 4, 0, 0, 0xff, n.to_be_bytes()[3]])
        .collect();
    // Row 85: the answers are never read.
    flood(&bed, times(20_000, frame(PING, 0, 0, &[0; 8]))).await;
    flood(&bed, times(20_000, frame(SETTINGS, 0, 0, &[]))).await;
    flood(&bed, times(1000, frame(SETTINGS, 0, 0, &settings))).await;
    flood(&bed, times(20_000, frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()))).await;
    flood(&bed, times(20_000, frame(2, 0, 1, &[0, 0, 0, 3, 1]))).await;
    let open_stream = frame(HEADERS, END_HEADERS, 1, &h2::get(&[]));
    flood(
        &bed,
        std::iter::once(open_stream).chain(times(20_000, frame(DATA, 0, 1, &[]))),
    )
    .await;
    assert_unharmed(&bed, before, "rows 85 and 86").await;
}

#[tokio::test]
async fn frames_out_of_order_end_their_stream_or_connection() {
    let bed = open(&[]).await;
    let get = h2::get(&[]);
    let trailers = h2::block(&[("x-trailer", b"1")]);
    for (row, frames) in [
        (
            "83: trailers that do not end the stream",
            vec![
                frame(HEADERS, END_HEADERS, 1, &get),
                frame(DATA, 0, 1, b"{}"),
                frame(HEADERS, END_HEADERS, 1, &trailers),
            ],
        ),
        (
            "84: broken HPACK",
            vec![frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            )],
        ),
        (
            "84: an index beyond the table",
            vec![frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xfe])],
        ),
        (
            "84: a stream of the gateway's",
            vec![frame(HEADERS, END_HEADERS | END_STREAM, 2, &get)],
        ),
        ("84: DATA before HEADERS", vec![frame(DATA, END_STREAM, 1, b"{}")]),
        (
            "84: CONTINUATION of another stream",
            vec![
                frame(HEADERS, END_STREAM, 1, &get),
                frame(CONTINUATION, END_HEADERS, 3, &[]),
            ],
        ),
    ] {
        let mut connection = Connection::open(bed.http()).await;
        for bytes in frames {
            connection.send(&bytes).await;
        }
        let end = connection.end(1).await;
        assert!(matches!(end, End::Reset(_) | End::GoneAway), "row {row}: {end:?}");
    }
    // Row 84: a malformed head after the client has said goodbye.
    let mut connection = Connection::open(bed.http()).await;
    connection.send(&frame(GOAWAY, 0, 0, &[0; 8])).await;
    connection.send(&frame(HEADERS, END_HEADERS, 1, &[0xff; 20])).await;
    assert_eq!(connection.end(1).await, End::GoneAway, "row 84");
}

#[tokio::test]
async fn frames_that_nobody_knows_are_ignored() {
    let bed = open(&[]).await;
    let mut connection = Connection::open(bed.http()).await;
    // Row 87: METADATA is 0x4d.
    for kind in [0x4d, 0x10, 0xff] {
        connection.send(&frame(kind, 4, 0, &[])).await;
        connection.send(&frame(kind, 0, 1, &[1, 2, 3])).await;
    }
    let request = frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &h2::get(&[("grpc-timeout", b"99999999H")]),
    );
    connection.send(&request).await;
    // Row 91: the time is not the gateway's to keep.
    assert_eq!(connection.end(1).await, End::Answered(200), "rows 87 and 91");
}

#[tokio::test]
async fn tiny_chunks_cost_as_much_as_their_bytes() {
    let bed = Bed::seed().await;
    assert_eq!(bed.ask("test.com").await.status, 200);
    let before = bed.gateway.resident();
    let mut client = Client::connect(bed.http()).await;
    client
        .send(head(&[
            "POST / HTTP/1.1",
            "host: test.com",
            "transfer-encoding: chunked",
        ]))
        .await;
    // Row 88: a hundred thousand blanks, each in a chunk of its own.
    client.send(b"1\r\n{\r\n").await;
    for _ in 0..100 {
        client.send(b"1\r\n \r\n".repeat(1000)).await;
    }
    client.send(b"1\r\n}\r\n0\r\n\r\n").await;
    assert_eq!(client.response().await.status, 200, "row 88");
    let grown = bed.gateway.peak().saturating_sub(before);
    println!("{grown} bytes for a hundred thousand chunks");
    // An allocation of 64 bytes for each would be more.
    assert!(grown < GROWTH_BYTES_MAX / 3, "row 88: grew by {grown} bytes");
}

#[tokio::test]
async fn one_bad_request_ends_the_connection() {
    let bed = open(&[]).await;
    let before = bed.gateway.resident();
    let mut client = Client::connect(bed.http()).await;
    // Row 89: ten thousand of them, of which none is read.
    let _ = client.try_send(b"GET / HTTP/1.1\r\nx(: 1\r\n\r\n".repeat(10_000)).await;
    assert_eq!(client.response().await.status, 400, "row 89");
    assert!(client.try_head().await.is_none(), "row 89: a second answer");
    assert_unharmed(&bed, before, "row 89").await;
}

#[tokio::test]
async fn bodies_that_would_have_to_be_unpacked_are_refused() {
    let bed = Bed::seed().await;
    for coding in ["gzip", "br", "zstd", "deflate", "gzip, gzip"] {
        let line = format!("content-encoding: {coding}");
        let mut bytes = head(&["POST / HTTP/1.1", "host: test.com", "content-length: 2", &line]);
        bytes.extend_from_slice(b"{}");
        check(&bed, &format!("row 93: {coding}"), bytes, Refused(415)).await;
    }
    let deep = format!("{{\"messages\":{}", "[".repeat(100_000));
    let length = format!("content-length: {}", deep.len());
    let bytes = [
        &head(&["POST / HTTP/1.1", "host: test.com", &length])[..],
        deep.as_bytes(),
    ]
    .concat();
    check(&bed, "row 94", bytes, Refused(400)).await;
}

#[tokio::test]
async fn http3_is_not_offered() {
    let bed = open(&[]).await;
    bed.upstream.answer(Answer::completion());
    let answer = send_raw(bed.http(), get("/", &[])).await.expect("an answer");
    assert_eq!((answer.status, answer.header("alt-svc")), (200, None), "row 101");
    let udp = std::net::UdpSocket::bind(bed.http());
    assert!(udp.is_ok(), "row 101: somebody listens for QUIC");
    check(&bed, "row 101", get("/", &["upgrade: h3"]), Sent(PLAIN)).await;
}
