//! Part E, and what `semantics` of HTTP/1 intake ask for: one way to frame a head, or none.

use crate::case::Is::{Refused, Sent};
use crate::case::{check, get, head, open};
use crate::support::QUESTION;
use crate::support::bed::{Bed, assert_none};
use crate::support::client::{Client, post, send_raw};
use crate::support::wire::Part;

const PLAIN: &str = "GET / HTTP/1.1";
const POST: &str = "POST / HTTP/1.1";
const HOST: &str = "host: test.com";
const CHUNKED: &str = "transfer-encoding: chunked";

/// Heads, each with a body of two bytes behind it.
const HEADS: &[(&str, &[&str], u16)] = &[
    ("71: both framings", &[POST, HOST, "content-length: 2", CHUNKED], 400),
    ("71: both framings", &[POST, HOST, CHUNKED, "content-length: 2"], 400),
    (
        "71: a length twice",
        &[POST, HOST, "content-length: 2", "content-length: 2"],
        400,
    ),
    (
        "71: two lengths",
        &[POST, HOST, "content-length: 2", "content-length: 3"],
        400,
    ),
    ("71: a list of lengths", &[POST, HOST, "content-length: 2, 2"], 400),
    ("71: a signed length", &[POST, HOST, "content-length: +2"], 400),
    ("71: a negative length", &[POST, HOST, "content-length: -2"], 400),
    ("71: a length in hex", &[POST, HOST, "content-length: 0x2"], 400),
    ("71: no length at all", &[POST, HOST, "content-length:"], 400),
    (
        "71: a length beyond numbers",
        &[POST, HOST, "content-length: 99999999999999999999"],
        400,
    ),
    (
        "71: an unknown coding",
        &[POST, HOST, "transfer-encoding: xchunked"],
        501,
    ),
    ("71: identity", &[POST, HOST, "transfer-encoding: identity"], 501),
    (
        "71: two codings",
        &[POST, HOST, "transfer-encoding: gzip, chunked"],
        501,
    ),
    (
        "71: chunked twice",
        &[POST, HOST, "transfer-encoding: chunked, chunked"],
        501,
    ),
    ("71: chunked twice", &[POST, HOST, CHUNKED, CHUNKED], 501),
    (
        "71: a coding in quotes",
        &[POST, HOST, "transfer-encoding: \"chunked\""],
        501,
    ),
    (
        "71: a coding behind a control",
        &[POST, HOST, "transfer-encoding: \u{b}chunked"],
        501,
    ),
    (
        "71: blank before a colon",
        &[POST, HOST, "transfer-encoding : chunked"],
        400,
    ),
    ("71: blank before a colon", &[POST, HOST, "content-length : 2"], 400),
    ("71: a folded length", &[POST, HOST, "content-length:", " 2"], 400),
    ("77: a folded header", &[POST, HOST, "x-a: 1", "\t2"], 400),
    ("77: a line without a colon", &[POST, HOST, "x-a"], 400),
    ("77: a header without a name", &[POST, HOST, ": 1"], 400),
    ("77: a bare CR", &[POST, HOST, "x-a: 1\r2"], 400),
    ("a tab in the request line", &["POST\t/ HTTP/1.1", HOST], 400),
    ("a tab in the request line", &["POST /\tHTTP/1.1", HOST], 400),
    ("two blanks in the request line", &["POST  / HTTP/1.1", HOST], 400),
    ("two blanks in the request line", &["POST /  HTTP/1.1", HOST], 400),
    ("a blank after the request line", &["POST / HTTP/1.1 ", HOST], 400),
    ("a raw byte in the target", &["POST /\u{e4} HTTP/1.1", HOST], 400),
    ("a target without a slash", &["POST x HTTP/1.1", HOST], 400),
    ("a method in lower case", &["post / HTTP/1.1", HOST], 400),
    ("an unknown method", &["FETCH / HTTP/1.1", HOST], 400),
    ("a method that is no token", &["PO(ST / HTTP/1.1", HOST], 400),
    ("an asterisk", &["POST * HTTP/1.1", HOST], 400),
    ("a protocol in lower case", &["POST / http/1.1", HOST], 400),
    ("HTTP/1.0", &["POST / HTTP/1.0", HOST], 426),
    ("HTTP/0.9", &["GET /"], 426),
    ("HTTP/0.9 by name", &["GET / HTTP/0.9", HOST], 426),
    ("HTTP/1.2", &["POST / HTTP/1.2", HOST], 426),
    ("HTTP/2.0 as text", &["POST / HTTP/2.0", HOST], 426),
    ("HTTP/3 as text", &["GET / HTTP/3", HOST], 426),
];

#[tokio::test]
async fn a_head_that_can_be_framed_in_two_ways_is_refused() {
    let bed = open(&[]).await;
    for (what, lines, status) in HEADS {
        let mut bytes = head(lines);
        bytes.extend_from_slice(b"{}");
        check(&bed, what, &bytes, Refused(*status)).await;
        // Behind a good request on the same connection, and torn, it is no better.
        let mut client = Client::connect(bed.http()).await;
        client.send([&get("/", &[])[..], &bytes[..9]].concat()).await;
        assert_eq!(client.response().await.status, 200, "{what}");
        bed.upstream.request().await;
        let _ = client.try_send(&bytes[9..]).await;
        assert_eq!(client.response().await.status, *status, "{what}");
    }
}

#[tokio::test]
async fn a_line_ends_with_both_its_bytes() {
    let bed = open(&[]).await;
    for bytes in [
        "GET / HTTP/1.1\nhost: test.com\n\n",
        "GET / HTTP/1.1\r\nhost: test.com\n\r\n",
        "GET / HTTP/1.1\nhost: test.com\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: test.com\r\n\n",
        "\nGET / HTTP/1.1\r\nhost: test.com\r\n\r\n",
        "GET / HTTP/1.1\r\nx: a\nb: c\r\nhost: test.com\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: test.com\r\r\n\r\n",
    ] {
        check(&bed, &format!("{bytes:?}"), bytes, Refused(400)).await;
    }
    let empty_first = [b"\r\n", &get("/", &[])[..]].concat();
    check(&bed, "an empty line before a request", empty_first, Sent(PLAIN)).await;
}

#[tokio::test]
async fn requests_before_a_refused_one_are_answered_and_none_after_it() {
    let bed = open(&[]).await;
    let good = get("/", &[]);
    let bad = b"GET / HTTP/1.1\nhost: test.com\n\n";
    let mut client = Client::connect(bed.http()).await;
    client.send([&good[..], &good, &good, bad, &good].concat()).await;
    for status in [200, 200, 200, 400] {
        assert_eq!(client.response().await.status, status);
    }
    assert!(client.closes().await);
    assert_eq!(bed.upstream.request_count(), 3);
    let lines = bed.gateway.log_of(4).await;
    assert_eq!(lines[3]["response_code"], 400, "{}", lines[3]);
}

#[tokio::test]
async fn a_body_that_is_not_chunked_as_it_says_is_refused() {
    let bed = Bed::seed().await;
    let start = head(&[POST, HOST, CHUNKED]);
    for body in [
        "2\n{}\r\n0\r\n\r\n",
        "2;a\nb\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "10000000000000002\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}xx0\r\n\r\n",
        "2\r\n{}\r\n0\r\nx: 1\n\r\n",
        "2\r\n{}\r\n0\r\n\nGET / HTTP/1.1\r\n\r\n",
        "\r\n{}\r\n0\r\n\r\n",
    ] {
        let bytes = [&start[..], body.as_bytes()].concat();
        check(&bed, &format!("row 71: {body:?}"), bytes, Refused(400)).await;
    }
    let whole = "2;a=b\r\n{}\r\n0\r\nx-trailer: 1\r\n\r\n";
    let answer = send_raw(bed.http(), [&start[..], whole.as_bytes()].concat()).await;
    assert_eq!(answer.expect("an answer").status, 200);
    assert_none(&bed.upstream.request().await, &["x-trailer", "transfer-encoding"]);
}

#[tokio::test]
async fn a_head_of_too_many_fields_or_bytes_is_431() {
    let bed = open(&[]).await;
    let fields = |count: usize| -> Vec<String> { (0..count).map(|n| format!("x-{n}: 1")).collect() };
    for (count, is) in [(99, Sent(PLAIN)), (100, Refused(431)), (5000, Refused(431))] {
        let fields = fields(count);
        let lines: Vec<&str> = fields.iter().map(String::as_str).collect();
        check(&bed, &format!("{count} fields and a host"), get("/", &lines), is).await;
    }
    for bytes in [61_500, 1_000_000] {
        let line = format!("x-a: {}", "a".repeat(bytes));
        check(&bed, &format!("{bytes} bytes"), get("/", &[&line]), Refused(431)).await;
    }
}

#[tokio::test]
async fn an_upgrade_is_not_offered_and_changes_no_framing() {
    let bed = open(&[]).await;
    let upgrade = [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-key: x",
        "sec-websocket-version: 13",
    ];
    let mut client = Client::connect(bed.http()).await;
    // Row 70: a second request in the same segment is one, and no bytes of a tunnel.
    client
        .send([get("/first", &upgrade), get("/second", &[])].concat())
        .await;
    for path in ["/first", "/second"] {
        assert_eq!(client.response().await.status, 200, "row 68");
        let seen = bed.upstream.request().await;
        assert_eq!(seen.request_line, format!("GET {path} HTTP/1.1"), "row 70");
        assert_none(&seen, &["upgrade", "connection"]);
    }
    let mut client = Client::connect(bed.http()).await;
    client
        .send(get(
            "/",
            &[
                "connection: upgrade, http2-settings",
                "upgrade: h2c",
                "http2-settings: AAMAAABk",
            ],
        ))
        .await;
    assert_eq!(client.response().await.status, 200, "no 101 for h2c");
}

#[tokio::test]
async fn a_client_may_leave_at_any_point() {
    let bed = open(&[]).await;
    let bytes = post("test.com", &[], QUESTION);
    let head_bytes = bytes.len() - QUESTION.len();
    for at in [
        1,
        10,
        head_bytes - 1,
        head_bytes,
        head_bytes + 1,
        bytes.len() - 1,
        bytes.len(),
    ] {
        // Rows 74 and 75.
        let mut client = Client::connect(bed.http()).await;
        client.send(&bytes[..at]).await;
        client.reset();
        let mut client = Client::connect(bed.http()).await;
        client.send(&bytes[..at]).await;
        drop(client);
    }
    check(&bed, "rows 74 and 75", get("/after", &[]), Sent("GET /after HTTP/1.1")).await;
}

#[tokio::test]
async fn a_request_has_one_answer() {
    let bed = Bed::seed().await;
    for (lines, body) in [
        (&["GET / HTTP/1.1", HOST][..], ""),
        (&[POST, HOST, "content-length: 2"], "[]"),
        (&[POST, "host: unknown", "content-length: 2"], "{}"),
        (&[POST, HOST, "content-length: 2", "expect: 100-continue"], "[]"),
        (&["HEAD / HTTP/1.1", "host: unknown"], ""),
    ] {
        // Row 76: refused by the gateway, then closed, and nothing between.
        let mut client = Client::connect(bed.http()).await;
        let bytes = [&head(&[lines, &["connection: close"]].concat())[..], body.as_bytes()].concat();
        client.send(bytes).await;
        let answer = client.response().await;
        assert!((400..500).contains(&answer.status), "{lines:?}: {}", answer.status);
        assert_eq!(answer.end, Part::End, "{lines:?}");
        assert!(client.try_head().await.is_none(), "{lines:?}: a second answer");
    }
    bed.assert_no_contact();
}
