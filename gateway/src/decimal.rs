//! Numbers and addresses in decimal, for lines that are written for each request: `fmt` takes several times as long.

use core::net::SocketAddr;
use std::io::Write;

/// Appends `value`.
pub(crate) fn write_number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends `address` with its port.
pub(crate) fn write_address(out: &mut Vec<u8>, address: SocketAddr) {
    match address {
        SocketAddr::V4(v4) => {
            for (octet, after) in v4.ip().octets().into_iter().zip(*b"...:") {
                write_octet(out, octet);
                out.push(after);
            }
            write_number(out, u64::from(v4.port()));
        }
        // Writing to a Vec cannot fail.
        SocketAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

fn write_octet(out: &mut Vec<u8>, octet: u8) {
    if octet >= 100 {
        out.push(b'0' + octet / 100);
    }
    if octet >= 10 {
        out.push(b'0' + octet / 10 % 10);
    }
    out.push(b'0' + octet % 10);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_they_are_displayed() {
        for text in [
            "127.0.0.1:80",
            "9.10.99.100:7",
            "0.0.0.0:0",
            "255.255.255.255:65535",
            "[::1]:8080",
            "[2001:db8::ff]:1",
        ] {
            let mut out = Vec::new();
            write_address(&mut out, text.parse().unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
