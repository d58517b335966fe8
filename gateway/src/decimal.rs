//! Numbers and addresses in decimal, for lines that are written for each request: `fmt` takes several times as long.

use core::net::SocketAddr;
use std::io::Write;

/// Appends `value`.
pub(crate) fn write_number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends `value`, filled up with zeros to `width` digits.
pub(crate) fn write_padded(out: &mut Vec<u8>, value: u64, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value).as_bytes();
    out.extend((digits.len()..width).map(|_| b'0'));
    out.extend_from_slice(digits);
}

/// Appends `address` with its port.
pub(crate) fn write_address(out: &mut Vec<u8>, address: SocketAddr) {
    match address {
        SocketAddr::V4(v4) => {
            let mut after = b"...:".iter();
            for octet in v4.ip().octets() {
                write_number(out, u64::from(octet));
                out.extend(after.next());
            }
            write_number(out, u64::from(v4.port()));
        }
        // Writing to a Vec cannot fail.
        SocketAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_they_are_displayed() {
        for text in [
            "127.0.0.1:80",
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

    #[test]
    fn padding_never_cuts() {
        for (value, width, text) in [
            (7, 3, "007"),
            (0, 2, "00"),
            (12345, 2, "12345"),
            (u64::MAX, 0, "18446744073709551615"),
        ] {
            let mut out = Vec::new();
            write_padded(&mut out, value, width);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
