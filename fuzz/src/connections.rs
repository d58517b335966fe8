//! What a connection begins with.

use std::net::{IpAddr, SocketAddr};

use lockgate_core::cidr::canonical;
use lockgate_core::limits::{PROXY_BLOCK_BYTES_MAX, PROXY_LINE_BYTES_MAX};
use lockgate_core::proxy_header::{ProxyHeader, read};

/// A PROXY header reads the same however the network cuts it and whatever follows, and in either version.
pub fn proxy_header(input: &[u8]) {
    let whole = read(input);
    let mut told = Ok(None);
    for length in 0..=input.len() {
        let so_far = read(&input[..length]);
        assert!(
            told == Ok(None) || told == so_far,
            "{told:?}, then {so_far:?} at {length}"
        );
        told = so_far;
    }
    assert_eq!(told, whole);
    let Ok(Some(ProxyHeader { bytes, proxied })) = whole else {
        let most = PROXY_LINE_BYTES_MAX.max(16 + PROXY_BLOCK_BYTES_MAX);
        assert!(whole.is_err() || input.len() < most, "waits for ever");
        return;
    };
    assert_eq!(read(&input[..bytes]), whole);
    assert_eq!(
        read(&input[..bytes - 1]),
        Ok(None),
        "the last byte is the one that tells"
    );
    let Some(proxied) = proxied else { return };
    for end in [proxied.source(), proxied.destination()] {
        assert_eq!(end.ip(), canonical(end.ip()));
        assert!(!end.ip().is_unspecified() && !end.ip().is_multicast(), "{end}");
    }
    for again in [
        line(proxied.source(), proxied.destination()),
        binary(proxied.source(), proxied.destination()),
    ] {
        let read = read(&again).expect("a header").expect("the whole of it");
        assert_eq!(
            (read.bytes, read.proxied),
            (again.len(), Some(proxied)),
            "{}",
            again.escape_ascii()
        );
    }
}

/// As version 1 writes it. A client of one family that came to an address of the other is written as v6, if at all.
fn line(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let [from, to] = same_family([source.ip(), destination.ip()]);
    let protocol = if from.is_ipv4() { "TCP4" } else { "TCP6" };
    format!(
        "PROXY {protocol} {from} {to} {} {}\r\n",
        source.port(),
        destination.port()
    )
    .into_bytes()
}

fn binary(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let [from, to] = same_family([source.ip(), destination.ip()]);
    let family = if from.is_ipv4() { 0x11 } else { 0x21 };
    let mut block = Vec::new();
    for address in [from, to] {
        match address {
            IpAddr::V4(address) => block.extend(address.octets()),
            IpAddr::V6(address) => block.extend(address.octets()),
        }
    }
    block.extend(source.port().to_be_bytes());
    block.extend(destination.port().to_be_bytes());
    [
        &b"\r\n\r\n\0\r\nQUIT\n\x21"[..],
        &[family, 0, block.len() as u8],
        &block,
    ]
    .concat()
}

fn same_family(ends: [IpAddr; 2]) -> [IpAddr; 2] {
    let mapped = |end| match end {
        IpAddr::V4(address) => IpAddr::V6(address.to_ipv6_mapped()),
        IpAddr::V6(_) => end,
    };
    if ends.iter().all(IpAddr::is_ipv4) {
        ends
    } else {
        ends.map(mapped)
    }
}
