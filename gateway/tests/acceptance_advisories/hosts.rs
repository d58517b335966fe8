//! Part B: hosts that policy, routes and the provider could read differently.

use crate::case::Is::{Denied, Refused, Sent};
use crate::case::{check, deny, get, head, open};
use crate::support::bed::{Bed, Transport};
use crate::support::client::send_raw;
use crate::support::frames::{self as h2, Connection, END_HEADERS, END_STREAM, HEADERS};
use crate::support::gateway::Setup;
use crate::support::outputs::field;

const PLAIN: &str = "GET / HTTP/1.1";

#[tokio::test]
async fn hosts_of_a_policy_ignore_case_and_keep_the_port() {
    let bed = open(&[&deny(
        "{to: [{operation: {hosts: [secret.com, 'any.com', 'any.com:*']}}]}",
    )])
    .await;
    for (row, host, is) in [
        ("15", "Secret.com", Denied),
        ("15", "SECRET.COM", Denied),
        ("16", "secret.com:80", Sent(PLAIN)),
        ("16", "any.com:80", Denied),
        ("16", "Any.Com:8080", Denied),
        ("16", "any.com", Denied),
    ] {
        let bytes = head(&[PLAIN, &format!("host: {host}")]);
        check(&bed, &format!("row {row}: {host}"), bytes, is).await;
    }
}

#[tokio::test]
async fn a_request_has_one_host_that_is_one() {
    let bed = open(&[]).await;
    let long = format!("host: {}", "a".repeat(300));
    for (row, lines) in [
        ("18", &[][..]),
        ("18", &["host:"]),
        ("19", &[&*long]),
        ("25", &["host: test.com", "host: evil.com"]),
        ("25", &["host: test.com", "Host: test.com"]),
        ("25", &["host: test.com,evil.com"]),
        ("25", &["host: user@test.com"]),
        ("25", &["host: test.com:"]),
        ("25", &["host: test.com/x"]),
        ("25", &["host: [::1"]),
    ] {
        let bytes = head(&[&[PLAIN], lines].concat());
        check(&bed, &format!("row {row}: {lines:?}"), bytes, Refused(400)).await;
    }
    // A formatter must not mind that there is nothing to print.
    let lines = bed.gateway.log_of(10).await;
    assert_eq!(field(&lines[0], "authority"), "-", "row 24");
}

#[tokio::test]
async fn what_stands_before_a_host_is_not_logged() {
    let bed = open(&[]).await;
    for bytes in [
        head(&[PLAIN, "host: user:hush@test.com"]),
        head(&[PLAIN, "host: a@user:hush@test.com"]),
        get("http://user:hush@test.com/", &[]),
    ] {
        check(&bed, "userinfo", bytes, Refused(400)).await;
    }
    let mut connection = Connection::open(bed.http()).await;
    let fields: [(&str, &[u8]); 4] = [
        (":method", b"GET"),
        (":scheme", b"http"),
        (":authority", b"user:hush@test.com"),
        (":path", b"/"),
    ];
    let block = h2::block(&fields);
    connection
        .send(&h2::frame(HEADERS, END_HEADERS | END_STREAM, 1, &block))
        .await;
    for line in bed.gateway.log_of(4).await {
        assert_eq!(field(&line, "authority"), "test.com");
        assert!(!line.to_string().contains("hush"), "{line}");
    }
}

#[tokio::test]
async fn the_target_names_the_host_and_its_scheme() {
    let bed = open(&[&deny("{to: [{operation: {hosts: [secret.com]}}]}")]).await;
    for (row, target, is) in [
        ("26", "HTTP://test.com/a", Sent("GET /a HTTP/1.1")),
        ("26", "hTtP://secret.com/a", Denied),
        ("26", "https://test.com/a", Refused(400)),
        ("26", "ftp://test.com/a", Refused(400)),
        ("26", "//test.com/a", Sent("GET //test.com/a HTTP/1.1")),
        ("26", "http://user@test.com/", Refused(400)),
    ] {
        check(&bed, &format!("row {row}: {target}"), get(target, &[]), is).await;
    }
    // RFC 9112 §3.2.2: beside an absolute target, `Host` means nothing.
    for (target, host, is) in [
        ("http://secret.com/", "open.com", Denied),
        ("http://open.com/", "secret.com", Sent(PLAIN)),
    ] {
        let bytes = head(&[&format!("GET {target} HTTP/1.1"), &format!("host: {host}")]);
        check(&bed, target, bytes, is).await;
    }
}

async fn ask_h2(bed: &Bed, fields: &[(&str, &[u8])]) -> h2::End {
    let mut connection = Connection::open(bed.http()).await;
    let bytes = h2::frame(HEADERS, END_HEADERS | END_STREAM, 1, &h2::block(fields));
    connection.send(&bytes).await;
    connection.end(1).await
}

#[tokio::test]
async fn http2_has_one_host_and_a_scheme_that_is_one() {
    let bed = open(&[]).await;
    let pseudo = |scheme: &'static [u8], authority: &'static [u8]| -> [(&str, &[u8]); 4] {
        [
            (":method", b"GET"),
            (":path", b"/"),
            (":scheme", scheme),
            (":authority", authority),
        ]
    };
    let plain = pseudo(b"http", b"test.com");
    for (row, fields) in [
        ("25", [&plain[..], &[("host", b"evil.com")]].concat()),
        ("25", [&plain[..], &[("host", b"test.com:80")]].concat()),
        (
            "25",
            [&plain[..], &[("host", b"test.com"), ("host", b"test.com")]].concat(),
        ),
        ("25", pseudo(b"http", b"user@test.com").to_vec()),
        ("25", pseudo(b"http", b"a,b").to_vec()),
        ("26", pseudo(b"ftp", b"test.com").to_vec()),
        ("18", plain[..3].to_vec()),
    ] {
        let end = ask_h2(&bed, &fields).await;
        assert!(end.is_refusal(), "row {row}: {fields:?}: {end:?}");
    }
    bed.assert_no_contact();
    for fields in [
        plain.to_vec(),
        [&plain[..], &[("host", b"TEST.com")]].concat(),
        [&plain[..3], &[("host", b"test.com")]].concat(),
        pseudo(b"HtTp", b"test.com").to_vec(),
    ] {
        let end = ask_h2(&bed, &fields).await;
        assert_eq!(end, h2::End::Answered(200), "{fields:?}");
    }
}

#[tokio::test]
async fn every_byte_of_an_http2_head_counts() {
    let bed = open(&[]).await;
    let mut connection = Connection::open(bed.http()).await;
    let authority = vec![b'a'; 1_000_000];
    let block = h2::block(&[
        (":method", b"GET"),
        (":path", b"/"),
        (":scheme", b"http"),
        (":authority", &authority),
    ]);
    let mut pieces = block.chunks(16_000).peekable();
    let mut kind = HEADERS;
    while let Some(piece) = pieces.next() {
        let flags = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        if !connection
            .send(&h2::frame(kind, flags | u8::from(kind == HEADERS), 1, piece))
            .await
        {
            break;
        }
        kind = h2::CONTINUATION;
    }
    let end = connection.end(1).await;
    assert_ne!(end, h2::End::Answered(200), "row 20");
    bed.assert_no_contact();
    assert_eq!(
        send_raw(bed.http(), get("/", &[])).await.expect("an answer").status,
        200
    );
}

#[tokio::test]
async fn what_a_configuration_means_is_known_or_it_is_refused() {
    let policy = |operation: &str| deny(&format!("{{to: [{{operation: {operation}}}]}}"));
    for (row, text, named) in [
        ("17", policy("{hostz: [test.com]}"), "hostz"),
        ("17", policy("{hosts: {exact: test.com}}"), "hosts"),
    ] {
        let setup = Setup::seed().file("more.yaml", &text);
        let said = setup.refused().await;
        assert_eq!(said.code, 2, "row {row}: {}", said.all());
        assert!(said.stderr.contains(named), "row {row}: {}", said.stderr);
    }
}

#[tokio::test]
async fn a_namespace_takes_only_the_hosts_that_a_gateway_admits_it_to() {
    // Row 22. A Gateway's server says whose routes it takes; without that, as in Istio, anybody's.
    let service = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: evil}\nspec: \
                   {hosts: [api.corp], gateways: [istio-system/ingress-gw], http: [{directResponse: {status: 200}}]}\n";
    for (hosts, status) in [("- '*'", 200), ("- 'default/*'", 404), ("- './*'", 404)] {
        let setup = Setup::seed()
            .file("more.yaml", service)
            .edit("gateway.yaml", "- '*'", hosts);
        let bed = Bed::start(Transport::Plain, setup).await;
        assert_eq!(bed.ask("api.corp").await.status, status, "{hosts}");
    }
}
