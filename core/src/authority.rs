//! The authority of a request, `host[:port]`, read in one way only.
//!
//! Policy compares the authority as sent (case aside, port included), routing
//! compares the name alone, lower-cased. Both come from one parse that refuses
//! what two readers could take apart differently: userinfo, an empty port,
//! characters that no DNS name or IP literal has (RFC 9110 §4.2.4, RFC 9112 §3.2).

use crate::decision::BadRequest;
use crate::limits::AUTHORITY_BYTES_MAX;

/// Where the name is lower-cased to.
pub(crate) type AuthorityBuffer = heapless::String<AUTHORITY_BYTES_MAX>;

/// A well-formed authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    /// Lower-cased, port included when one was sent.
    pub folded: &'a str,
    /// Lower-cased name or bracketed IPv6 address, without the port.
    pub host: &'a str,
}

impl<'a> Authority<'a> {
    /// Checks `raw` and lower-cases it into `buffer`.
    ///
    /// # Errors
    /// [`BadRequest::Authority`] when it is no `host[:port]` or too long.
    pub(crate) fn parse(raw: &str, buffer: &'a mut AuthorityBuffer) -> Result<Self, BadRequest> {
        let host_bytes = host_len(raw).ok_or(BadRequest::Authority)?;
        buffer.clear();
        buffer.push_str(raw).map_err(|_| BadRequest::Authority)?;
        buffer.make_ascii_lowercase();
        let folded: &'a str = buffer;
        let host = folded.get(..host_bytes).ok_or(BadRequest::Authority)?;
        Ok(Self { folded, host })
    }
}

/// Length of the host part of a well-formed `host[:port]`; `None` when it is not well formed.
#[must_use]
pub fn host_len(raw: &str) -> Option<usize> {
    let (host, rest) = if raw.starts_with('[') {
        raw.split_at_checked(raw.find(']')?.checked_add(1)?)?
    } else {
        raw.split_at_checked(raw.bytes().position(|byte| byte == b':').unwrap_or(raw.len()))?
    };
    let host_is_valid = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(literal) => literal.parse::<core::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().fold(true, |valid, byte| valid & is_name_byte(byte)),
    };
    let port_is_valid = match rest.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok(),
        None => rest.is_empty(),
    };
    (host_is_valid && port_is_valid).then_some(host.len())
}

/// Bytes of a DNS name as the field writes them, underscore included.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(raw: &str) -> Option<(std::string::String, std::string::String)> {
        let mut buffer = AuthorityBuffer::new();
        let parsed = Authority::parse(raw, &mut buffer).ok()?;
        Some((parsed.folded.into(), parsed.host.into()))
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
