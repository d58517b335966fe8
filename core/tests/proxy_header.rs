//! PROXY protocol headers: what is one, what it tells, and that it does not matter how the network cuts it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use lockgate_core::limits::{PROXY_BLOCK_BYTES_MAX, PROXY_LINE_BYTES_MAX};
use lockgate_core::proxy_header::{NoProxyHeader, ProxyHeader, read};

const REQUEST: &[u8] = b"POST / HTTP/1.1\r\n\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const V4: u8 = 0x11;
const V6: u8 = 0x21;

/// Source and destination, `-` for a header that tells of none, `no header`, or `more` when it is cut short.
fn told(bytes: &[u8]) -> String {
    match read(bytes) {
        Err(NoProxyHeader) => "no header".to_owned(),
        Ok(None) => "more".to_owned(),
        Ok(Some(ProxyHeader { proxied: None, .. })) => "-".to_owned(),
        Ok(Some(ProxyHeader {
            proxied: Some(proxied), ..
        })) => {
            format!("{} {}", proxied.source(), proxied.destination())
        }
    }
}

/// The same, asked about every prefix: the whole header, and nothing before it, tells.
fn told_in_any_cut(header: &[u8]) -> String {
    let with_request = [header, REQUEST].concat();
    let whole = told(&with_request);
    for length in 0..=with_request.len() {
        let so_far = read(&with_request[..length]);
        match so_far {
            Ok(None) => assert!(
                length < header.len() || whole == "no header",
                "{length} of {}",
                header.escape_ascii()
            ),
            Ok(Some(ProxyHeader { bytes, .. })) => {
                assert_eq!(
                    (bytes, length >= bytes),
                    (header.len(), true),
                    "{}",
                    header.escape_ascii()
                );
                assert_eq!(so_far, read(&with_request), "{length} of {}", header.escape_ascii());
            }
            Err(NoProxyHeader) => assert_eq!(whole, "no header", "{length} of {}", header.escape_ascii()),
        }
    }
    whole
}

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, block].concat()
}

fn block_v4(source: [u8; 4], destination: [u8; 4], fields: &[u8]) -> Vec<u8> {
    [
        &source[..],
        &destination,
        &51_234_u16.to_be_bytes(),
        &443_u16.to_be_bytes(),
        fields,
    ]
    .concat()
}

fn block_v6(source: &str, destination: &str) -> Vec<u8> {
    let octets = |address: &str| address.parse::<core::net::Ipv6Addr>().unwrap().octets();
    [
        &octets(source)[..],
        &octets(destination),
        &51_234_u16.to_be_bytes(),
        &443_u16.to_be_bytes(),
    ]
    .concat()
}

fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}

const CLIENT: [u8; 4] = [192, 0, 2, 1];
const BALANCER: [u8; 4] = [198, 51, 100, 1];
const ENDS: &str = "192.0.2.1:51234 198.51.100.1:443";

#[test]
fn version_1_in_its_one_spelling() {
    for (line, wanted) in [
        ("PROXY TCP4 192.0.2.1 198.51.100.1 51234 443", ENDS),
        (
            "PROXY TCP4 192.0.2.1 198.51.100.1 0 65535",
            "192.0.2.1:0 198.51.100.1:65535",
        ),
        (
            "PROXY TCP6 2001:db8::1 2001:db8::2 51234 443",
            "[2001:db8::1]:51234 [2001:db8::2]:443",
        ),
        // What a dual-stack socket of a balancer shows.
        ("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.1 51234 443", ENDS),
        ("PROXY UNKNOWN", "-"),
        ("PROXY UNKNOWN ", "-"),
        ("PROXY UNKNOWN 192.0.2.1 198.51.100.1 51234 443", "-"),
        ("PROXY UNKNOWN a b c d e f g", "-"),
        ("PROXY UNKNOWN \n\r", "-"),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 51234", "no header"),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 51234 443 ", "no header"),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 51234 443 1", "no header"),
        ("PROXY TCP4  192.0.2.1 198.51.100.1 51234 443", "no header"),
        ("PROXY  TCP4 192.0.2.1 198.51.100.1 51234 443", "no header"),
        ("PROXY\tTCP4 192.0.2.1 198.51.100.1 51234 443", "no header"),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 51234 443\r", "no header"),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 51234 443\n", "no header"),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 051234 443", "no header"),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 00 443", "no header"),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 +5 443", "no header"),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 -5 443", "no header"),
        ("PROXY TCP4 192.0.2.1 198.51.100.1  443", "no header"),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 65536 443", "no header"),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 51234 0x1bb", "no header"),
        ("PROXY TCP4 192.0.2.01 198.51.100.1 51234 443", "no header"),
        ("PROXY TCP4 192.0.2 198.51.100.1 51234 443", "no header"),
        ("PROXY TCP4 192.0.2.256 198.51.100.1 51234 443", "no header"),
        ("PROXY TCP4 localhost 198.51.100.1 51234 443", "no header"),
        ("PROXY TCP4 2001:db8::1 2001:db8::2 51234 443", "no header"),
        ("PROXY TCP4 ::ffff:192.0.2.1 198.51.100.1 51234 443", "no header"),
        ("PROXY TCP6 192.0.2.1 198.51.100.1 51234 443", "no header"),
        ("PROXY TCP6 2001:db8::1 198.51.100.1 51234 443", "no header"),
        ("PROXY TCP6 [2001:db8::1] [2001:db8::2] 51234 443", "no header"),
        ("PROXY TCP6 fe80::1%eth0 2001:db8::2 51234 443", "no header"),
        ("PROXY TCP6 2001:db8:::1 2001:db8::2 51234 443", "no header"),
        ("PROXY TCP 192.0.2.1 198.51.100.1 51234 443", "no header"),
        ("PROXY UDP4 192.0.2.1 198.51.100.1 51234 443", "no header"),
        ("PROXY tcp4 192.0.2.1 198.51.100.1 51234 443", "no header"),
        ("PROXY UNKNOWNX", "no header"),
        ("PROXY unknown", "no header"),
        ("PROXY ", "no header"),
        ("PROXY", "no header"),
        ("proxy UNKNOWN", "no header"),
        (" PROXY UNKNOWN", "no header"),
        ("", "no header"),
    ] {
        assert_eq!(told_in_any_cut(format!("{line}\r\n").as_bytes()), wanted, "{line:?}");
    }
    assert_eq!(told_in_any_cut(b"PROXY UNKNOWN \xff\0\r\n"), "-");
    assert_eq!(
        told_in_any_cut(b"PROXY TCP4 \xff 198.51.100.1 51234 443\r\n"),
        "no header"
    );
}

#[test]
fn version_1_is_a_short_line() {
    let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16)).into_bytes();
    assert_eq!(told_in_any_cut(&line(PROXY_LINE_BYTES_MAX)), "-");
    assert_eq!(told_in_any_cut(&line(PROXY_LINE_BYTES_MAX + 1)), "no header");
    let endless = [b'x'; PROXY_LINE_BYTES_MAX];
    let endless = [b"PROXY UNKNOWN ", &endless[..]].concat();
    assert_eq!(told(&endless[..PROXY_LINE_BYTES_MAX - 1]), "more");
    assert_eq!(
        told(&endless[..PROXY_LINE_BYTES_MAX]),
        "no header",
        "without waiting for more"
    );
    // The longest that version 1 can need.
    let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let unknown = format!("PROXY UNKNOWN {longest} {longest} 65535 65535\r\n");
    assert_eq!(
        (unknown.len(), told(unknown.as_bytes())),
        (PROXY_LINE_BYTES_MAX, "-".to_owned())
    );
}

#[test]
fn version_2_names_the_ends_of_either_family() {
    for family in [V4, 0x12] {
        let header = v2(PROXY, family, &block_v4(CLIENT, BALANCER, &[]));
        assert_eq!(told_in_any_cut(&header), ENDS, "{family:x}");
    }
    for family in [V6, 0x22] {
        for (source, destination, wanted) in [
            ("2001:db8::1", "2001:db8::2", "[2001:db8::1]:51234 [2001:db8::2]:443"),
            ("::ffff:192.0.2.1", "::ffff:198.51.100.1", ENDS),
        ] {
            let header = v2(PROXY, family, &block_v6(source, destination));
            assert_eq!(told_in_any_cut(&header), wanted, "{family:x}");
        }
    }
}

#[test]
fn a_balancer_that_speaks_for_itself_leaves_the_addresses_of_the_socket() {
    let whatever = [0xff; 300];
    for (family, block) in [
        (0, &[][..]),
        (V4, &block_v4(CLIENT, BALANCER, &[])),
        (V6, &[1, 2, 3]),
        (0x31, &whatever),
        (0xff, &whatever),
    ] {
        assert_eq!(told_in_any_cut(&v2(LOCAL, family, block)), "-", "{family:x}");
    }
}

#[test]
fn version_2_that_is_not_understood_is_no_header() {
    let block = block_v4(CLIENT, BALANCER, &[]);
    for (command, family, what) in [
        (0x11, V4, "version 1"),
        (0x31, V4, "version 3"),
        (0x22, V4, "an unknown command"),
        (0x2f, V4, "an unknown command"),
        (PROXY, 0x00, "an unspecified family for a client"),
        (PROXY, 0x01, "an unspecified family for a client"),
        (PROXY, 0x10, "an unspecified transport"),
        (PROXY, 0x13, "an unknown transport"),
        (PROXY, 0x20, "an unspecified transport"),
        (PROXY, 0x31, "unix sockets"),
        (PROXY, 0x41, "an unknown family"),
        (PROXY, V6, "a block too short for the family"),
    ] {
        assert_eq!(told_in_any_cut(&v2(command, family, &block)), "no header", "{what}");
    }
    assert_eq!(told_in_any_cut(&v2(PROXY, V4, &block[..11])), "no header");
    assert_eq!(told_in_any_cut(&v2(PROXY, V4, &[])), "no header");
    assert_eq!(told_in_any_cut(b"\r\n\r\n\0\r\nQUIP\n"), "no header");
    assert_eq!(told_in_any_cut(b"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"), "no header");
    assert_eq!(told_in_any_cut(&v2(PROXY, V4, &block)[1..]), "no header");
}

#[test]
fn addresses_that_no_client_has_are_refused() {
    for address in [[0, 0, 0, 0], [255, 255, 255, 255], [224, 0, 0, 1], [239, 1, 2, 3]] {
        assert_eq!(
            told(&v2(PROXY, V4, &block_v4(address, BALANCER, &[]))),
            "no header",
            "{address:?}"
        );
        assert_eq!(
            told(&v2(PROXY, V4, &block_v4(CLIENT, address, &[]))),
            "no header",
            "{address:?}"
        );
    }
    for address in ["::", "ff02::1", "::ffff:0.0.0.0", "::ffff:224.0.0.1"] {
        assert_eq!(
            told(&v2(PROXY, V6, &block_v6(address, "2001:db8::2"))),
            "no header",
            "{address}"
        );
        assert_eq!(
            told(&v2(PROXY, V6, &block_v6("2001:db8::2", address))),
            "no header",
            "{address}"
        );
    }
    for line in ["PROXY TCP4 0.0.0.0 192.0.2.1 1 1\r\n", "PROXY TCP6 ff02::1 ::1 1 1\r\n"] {
        assert_eq!(told(line.as_bytes()), "no header", "{line}");
    }
}

/// Advisories CVE-2024-23324 (bytes that are no text) and CVE-2026-47692 (lengths beyond the header).
#[test]
fn additional_fields_must_be_whole_and_mean_nothing() {
    let with = |fields: &[u8]| told_in_any_cut(&v2(PROXY, V4, &block_v4(CLIENT, BALANCER, fields)));
    for fields in [
        field(0x01, b"h2"),
        field(0x02, b"\xff\xfe"),
        field(0x03, &[0, 0, 0, 0]),
        field(0x04, &[0; 1000]),
        field(0x20, &[0xff; 5]),
        field(0xea, b""),
        field(0xff, b"\0\r\nGET / HTTP/1.1\r\n\r\n"),
        [field(0x02, b"a"), field(0x02, b"b"), field(0x04, b"")].concat(),
    ] {
        assert_eq!(with(&fields), ENDS, "{}", fields.escape_ascii());
    }
    for broken in [
        &[1][..],
        &[1, 0],
        &[1, 0, 1],
        &[1, 0xff, 0xff],
        &[1, 0xff, 0xff, 1, 2, 3],
        &[1, 0, 0, 1],
        &[1, 0, 1, 7, 1, 0, 2, 7],
    ] {
        assert_eq!(with(broken), "no header", "{}", broken.escape_ascii());
    }
}

#[test]
fn a_block_beyond_the_bound_is_refused_before_it_arrives() {
    let most = PROXY_BLOCK_BYTES_MAX - 12 - 3;
    let largest = v2(PROXY, V4, &block_v4(CLIENT, BALANCER, &field(4, &vec![7; most])));
    assert_eq!(told(&largest[..largest.len() - 1]), "more");
    assert_eq!(told(&largest), ENDS);
    for command in [PROXY, LOCAL] {
        let beyond = v2(command, V4, &block_v4(CLIENT, BALANCER, &field(4, &vec![7; most + 1])));
        assert_eq!(told(&beyond[..16]), "no header");
    }
    assert_eq!(told(&[SIGNATURE, &[LOCAL, 0, 0xff, 0xff]].concat()), "no header");
}

#[test]
fn a_second_header_is_the_connections_own_bytes() {
    let one = b"PROXY TCP4 192.0.2.1 198.51.100.1 51234 443\r\n";
    let other = v2(PROXY, V4, &block_v4([203, 0, 113, 7], BALANCER, &[]));
    for (first, second) in [(&one[..], &other[..]), (&other, one), (one, one)] {
        let both = [first, second].concat();
        assert_eq!(read(&both), read(first));
        assert_eq!(read(&both).unwrap().unwrap().bytes, first.len());
    }
}
