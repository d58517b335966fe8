//! Random PROXY protocol headers, most of them good.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::bytes::Bytes;

/// The first bytes of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What a balancer sends before a request.
pub fn header(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let mut header = match bytes.below(16) {
        0 => Vec::new(),
        1 => unknown(bytes),
        2 => version_2(bytes, 0x20),
        3 => odd_line(bytes),
        4 => version_2_of_any_kind(bytes),
        5..10 => line(bytes),
        _ => version_2(bytes, 0x21),
    };
    if bytes.one_in(6) && !header.is_empty() {
        spoil(bytes, &mut header);
    }
    header
}

/// The two addresses, of one family.
fn addresses(bytes: &mut Bytes<'_>) -> [IpAddr; 2] {
    const V4: [Ipv4Addr; 8] = [
        Ipv4Addr::new(127, 0, 0, 1),
        Ipv4Addr::new(127, 0, 0, 3),
        Ipv4Addr::new(127, 1, 2, 3),
        Ipv4Addr::new(192, 168, 200, 1),
        Ipv4Addr::new(203, 0, 113, 9),
        Ipv4Addr::new(0, 0, 0, 0),
        Ipv4Addr::new(255, 255, 255, 255),
        Ipv4Addr::new(224, 0, 0, 1),
    ];
    const V6: [Ipv6Addr; 6] = [
        Ipv6Addr::LOCALHOST,
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7),
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1),
        Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0x7f00, 1),
        Ipv6Addr::UNSPECIFIED,
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
    ];
    let is_v6 = bytes.one_in(3);
    // The last of them cannot be the ends of a connection, and every other header should be good.
    let odd = bytes.one_in(8);
    let mut one = || {
        let count = if odd { 256 } else { 4 };
        match is_v6 {
            true => IpAddr::V6(V6[bytes.below(count) % V6.len()]),
            false => IpAddr::V4(V4[bytes.below(count) % V4.len()]),
        }
    };
    [one(), one()]
}

fn ports(bytes: &mut Bytes<'_>) -> [u16; 2] {
    [
        bytes.pick(&[51_234, 1, 0, 65_535]),
        bytes.pick(&[80, 80, 8080, 443, 9999, 0]),
    ]
}

fn words(bytes: &mut Bytes<'_>) -> [String; 6] {
    let [source, destination] = addresses(bytes);
    let [source_port, destination_port] = ports(bytes);
    let protocol = if source.is_ipv6() { "TCP6" } else { "TCP4" };
    [
        "PROXY".to_owned(),
        protocol.to_owned(),
        source.to_string(),
        destination.to_string(),
        source_port.to_string(),
        destination_port.to_string(),
    ]
}

fn line(bytes: &mut Bytes<'_>) -> Vec<u8> {
    format!("{}\r\n", words(bytes).join(" ")).into_bytes()
}

fn unknown(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let rest = bytes.pick(&[
        "",
        " ",
        " 127.0.0.3 127.0.0.1 51234 80",
        " a b c d e f g",
        " ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
        "X",
        "\tx",
        " \n",
        " \u{e9}\0",
    ]);
    format!("PROXY UNKNOWN{rest}\r\n").into_bytes()
}

/// A line with one of its words written in a way that some readers take.
fn odd_line(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let mut words = words(bytes);
    let index = bytes.below(words.len());
    let word = &words[index];
    words[index] = match bytes.below(12) {
        0 => format!("0{word}"),
        1 => format!("+{word}"),
        2 => format!("{word} "),
        3 => format!(" {word}"),
        4 => format!("\t{word}"),
        5 => format!("{word}\t"),
        6 => word.to_ascii_lowercase(),
        7 => String::new(),
        8 => format!("{word}%1"),
        9 => format!("[{word}]"),
        10 => format!("{word}\r"),
        _ => bytes
            .pick(&[
                "TCP4",
                "TCP6",
                "UDP4",
                "1",
                "65536",
                "127.1",
                "::1",
                "0x50",
                "127.0.0.1",
            ])
            .to_owned(),
    };
    let end = bytes.pick(&["\r\n", "\r\n", "\r\n", "\n", " \r\n", "\r\r\n"]);
    let filler = if bytes.one_in(16) {
        " ".repeat(60)
    } else {
        String::new()
    };
    format!("{}{filler}{end}", words.join(" ")).into_bytes()
}

fn block(bytes: &mut Bytes<'_>) -> (u8, Vec<u8>) {
    let [source, destination] = addresses(bytes);
    let [source_port, destination_port] = ports(bytes);
    let mut block = Vec::new();
    for address in [source, destination] {
        match address {
            IpAddr::V4(address) => block.extend(address.octets()),
            IpAddr::V6(address) => block.extend(address.octets()),
        }
    }
    block.extend(source_port.to_be_bytes());
    block.extend(destination_port.to_be_bytes());
    for _ in 0..bytes.pick(&[0, 0, 1, 3]) {
        let value = match bytes.below(16) {
            0 => vec![0xff; 9_000],
            1 => vec![0; 4_000],
            length => bytes.some(length, length, |bytes, _| bytes.byte()),
        };
        block.push(bytes.pick(&[1, 2, 3, 4, 0x20, 0x30, 0xea, 0xff]));
        block.extend(u16::try_from(value.len()).expect("a short value").to_be_bytes());
        block.extend(value);
    }
    let family = if source.is_ipv6() { 0x20 } else { 0x10 };
    (family | bytes.pick(&[1, 1, 1, 2]), block)
}

fn assemble(command: u8, family: u8, length: usize, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(length)
        .expect("a block that can be announced")
        .to_be_bytes();
    [SIGNATURE, &[command, family], &length, block].concat()
}

fn version_2(bytes: &mut Bytes<'_>, command: u8) -> Vec<u8> {
    let (family, block) = block(bytes);
    assemble(command, family, block.len(), &block)
}

fn version_2_of_any_kind(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let (family, mut block) = block(bytes);
    let command = bytes.pick(&[0x20, 0x21, 0x21, 0x21, 0x11, 0x22, 0x2f]);
    let family = bytes.pick(&[
        family, family, 0x00, 0x01, 0x10, 0x11, 0x13, 0x20, 0x21, 0x31, 0x32, 0x41, 0xff,
    ]);
    if bytes.one_in(2) {
        block.extend(bytes.some(1, 6, |bytes, _| bytes.byte()));
    }
    let length = block.len();
    let announced = bytes.pick(&[length, length, length + 1, length - 1, 11, 0, 12, 36, 300, 65_535]);
    assemble(command, family, announced, &block)
}

/// Makes one change somewhere.
fn spoil(bytes: &mut Bytes<'_>, header: &mut Vec<u8>) {
    let at = usize::from(bytes.byte()) * 256 + usize::from(bytes.byte());
    let at = at % header.len();
    match bytes.below(6) {
        0 => header.truncate(at),
        1 => header[at] ^= 1 << bytes.below(8),
        2 => header.insert(at, bytes.byte()),
        3 => {
            header.remove(at);
        }
        4 => header.extend_from_within(..),
        _ => header[at] = bytes.byte(),
    }
}
