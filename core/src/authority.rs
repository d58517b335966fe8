//! The authority of a request, `host[:port]`, read in one way only.
//!
//! Policy compares the authority as sent (case aside, port included), routing
//! compares the name alone, lower-cased. Both come from one parse that refuses
//! what two readers could take apart differently: userinfo, an empty port,
//! characters that no DNS name or IP literal has (RFC 9110 §4.2.4, RFC 9112 §3.2).

use crate::decision::BadRequest;
use crate::limits::AUTHORITY_BYTES_MAX;

/// Where the authority is lower-cased to.
pub(crate) type AuthorityBuffer = heapless::Vec<u8, AUTHORITY_BYTES_MAX>;

/// A well-formed authority. Bytes, because everything it is compared with is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Authority<'a> {
    /// As sent.
    pub(crate) raw: &'a [u8],
    /// Lower-cased, port included when one was sent.
    pub(crate) folded: &'a [u8],
    /// Lower-cased name or bracketed IPv6 address, without the port.
    pub(crate) host: &'a [u8],
}

impl<'a> Authority<'a> {
    /// Checks `raw`, and lower-cases it into `buffer` where that changes it.
    ///
    /// # Errors
    /// [`BadRequest::Authority`] when it is no `host[:port]` or too long.
    pub(crate) fn parse(raw: &'a [u8], buffer: &'a mut AuthorityBuffer) -> Result<Self, BadRequest> {
        if raw.is_empty() || raw.len() > AUTHORITY_BYTES_MAX {
            return Err(BadRequest::Authority);
        }
        let classes = classes(raw);
        let folded: &'a [u8] = match classes & UPPER {
            0 => raw,
            _ => {
                buffer.clear();
                buffer.extend_from_slice(raw).map_err(|_| BadRequest::Authority)?;
                buffer.make_ascii_lowercase();
                buffer
            }
        };
        let host = match classes & OTHER {
            0 => folded,
            _ => {
                let host_bytes = host_len(raw).ok_or(BadRequest::Authority)?;
                folded.get(..host_bytes).ok_or(BadRequest::Authority)?
            }
        };
        Ok(Self { raw, folded, host })
    }
}

/// Length of the host part of a well-formed `host[:port]`; `None` when it is not well formed.
pub(crate) fn host_len(raw: &[u8]) -> Option<usize> {
    let name_bytes = raw.iter().position(|&byte| class(byte) == OTHER).unwrap_or(raw.len());
    let host_bytes = if name_bytes > 0 { name_bytes } else { literal_len(raw)? };
    match raw.get(host_bytes..)? {
        [] => Some(host_bytes),
        [b':', digits @ ..] => is_port(digits).then_some(host_bytes),
        _ => None,
    }
}

/// Length of the bracketed IPv6 address that `raw` starts with.
fn literal_len(raw: &[u8]) -> Option<usize> {
    let close = raw.iter().position(|&byte| byte == b']')?;
    let literal = core::str::from_utf8(raw.get(..close)?.strip_prefix(b"[")?).ok()?;
    literal.parse::<core::net::Ipv6Addr>().ok()?;
    close.checked_add(1)
}

/// 0 to 65535 in at least one digit.
fn is_port(digits: &[u8]) -> bool {
    digits.iter().all(u8::is_ascii_digit)
        && core::str::from_utf8(digits).is_ok_and(|digits| digits.parse::<u16>().is_ok())
}

/// What a byte is in a DNS name as the field writes them, underscore included: one of these, or plain.
const UPPER: u8 = 1;
/// Not of a name.
const OTHER: u8 = 2;

/// The classes of all bytes together. No byte ends it early, so that several are looked up at once.
fn classes(raw: &[u8]) -> u8 {
    raw.iter().fold(0, |classes, &byte| classes | class(byte))
}

#[expect(
    clippy::indexing_slicing,
    reason = "the table is built at compile time, which would fail, and has a place for every byte"
)]
fn class(byte: u8) -> u8 {
    const PLAIN: u8 = 0;
    const CLASSES: [u8; 256] = {
        let mut classes = [OTHER; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            classes[byte as usize] = match byte {
                b'A'..=b'Z' => UPPER,
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => PLAIN,
                _ => OTHER,
            };
            byte += 1;
        }
        classes
    };
    CLASSES[usize::from(byte)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(raw: &str) -> Option<(std::string::String, std::string::String)> {
        let mut buffer = AuthorityBuffer::new();
        let parsed = Authority::parse(raw.as_bytes(), &mut buffer).ok()?;
        let text = |bytes: &[u8]| std::string::String::from_utf8(bytes.to_vec()).unwrap();
        Some((text(parsed.folded), text(parsed.host)))
    }

    #[test]
    fn case_is_folded_and_the_port_split_off() {
        for (raw, folded, host) in [
            ("test.com", "test.com", "test.com"),
            ("TEST.com:8080", "test.com:8080", "test.com"),
            ("[2001:DB8::1]:443", "[2001:db8::1]:443", "[2001:db8::1]"),
            ("127.0.0.1:80", "127.0.0.1:80", "127.0.0.1"),
            ("test.com.", "test.com.", "test.com."),
            ("my_service", "my_service", "my_service"),
        ] {
            assert_eq!(parse(raw), Some((folded.into(), host.into())), "{raw}");
        }
    }

    #[test]
    fn what_two_readers_could_take_apart_differently_is_refused() {
        let long = "a".repeat(AUTHORITY_BYTES_MAX + 1);
        for raw in [
            "",
            ":80",
            "user@test.com",
            "test.com:",
            "test.com:+80",
            "test.com:65536",
            "a,b",
            "a b",
            "[::1",
            "[::1]x",
            "[test.com]",
            "::1",
            "te%73t.com",
            "t\u{e9}st.com",
            "a/b",
            &long,
        ] {
            assert_eq!(parse(raw), None, "{raw}");
        }
    }
}
