//! The client's address as far as it can be trusted: Istio's `remote.ip`.
//!
//! With `numTrustedProxies: N` the N-th entry from the right of
//! `X-Forwarded-For` was written by a proxy of ours; all to its left is
//! hearsay. Where there is no such entry, or it is no address, the connection's
//! own client counts. `Forwarded`, `X-Real-IP` and the like are never read.
//! <https://istio.io/latest/docs/ops/configuration/traffic-management/network-topologies/>

use core::net::{IpAddr, Ipv6Addr};

use crate::cidr;
use crate::request::{Connection, Headers};

/// The trusted address of the client behind `trusted_proxies` proxies.
pub(crate) fn address(headers: &dyn Headers, trusted_proxies: u32, connection: &Connection<'_>) -> IpAddr {
    let own = connection.client();
    if trusted_proxies == 0 {
        return own;
    }
    let mut entries = 0_u32;
    each_entry(headers, &mut |_| entries = entries.saturating_add(1));
    let Some(mut before) = entries.checked_sub(trusted_proxies) else {
        return own;
    };
    let mut found = None;
    each_entry(headers, &mut |entry| match before.checked_sub(1) {
        Some(less) => before = less,
        None => found = found.or(Some(entry)),
    });
    found.and_then(bare_address).unwrap_or(own)
}

/// The entries of all lines, in the order received; blank ones are entries too, but a line with nothing at all is none.
fn each_entry<'h>(headers: &'h dyn Headers, visit: &mut dyn FnMut(&'h [u8])) {
    headers.each("x-forwarded-for", &mut |line| {
        if !line.trim_ascii().is_empty() {
            line.split(|byte| *byte == b',')
                .for_each(|entry| visit(entry.trim_ascii()));
        }
    });
}

/// An address without port or brackets. A zone (`fe80::1%eth0`) is left out. A v4 address written as v6 is the v4 one, as
/// it is for a peer and in a PROXY header: a proxy with one socket for both families writes v4 clients so, and a DENY on
/// a v4 block means them.
fn bare_address(entry: &[u8]) -> Option<IpAddr> {
    let text = core::str::from_utf8(entry).ok()?;
    let address = match text.split_once('%') {
        Some((address, zone)) if !zone.is_empty() => IpAddr::V6(address.parse::<Ipv6Addr>().ok()?),
        _ => text.parse().ok()?,
    };
    Some(cidr::canonical(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "192.0.2.1";

    fn remote(trusted: u32, lines: &[&str]) -> std::string::String {
        remote_of(trusted, lines, Connection::plain(PEER.parse().unwrap(), 80))
    }

    fn remote_of(trusted: u32, lines: &[&str], connection: Connection<'_>) -> std::string::String {
        let headers: std::vec::Vec<(&str, &[u8])> =
            lines.iter().map(|line| ("X-Forwarded-For", line.as_bytes())).collect();
        std::string::ToString::to_string(&address(&headers.as_slice(), trusted, &connection))
    }

    #[test]
    fn entries_are_counted_from_the_right_over_all_lines() {
        for (trusted, lines, wanted) in [
            (0, &["10.1.1.1"][..], PEER),
            (1, &["10.1.1.1"], "10.1.1.1"),
            (1, &["10.1.1.1, 10.2.2.2"], "10.2.2.2"),
            (2, &["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
            (2, &["10.1.1.1", "10.2.2.2"], "10.1.1.1"),
            (1, &["10.1.1.1", "10.2.2.2"], "10.2.2.2"),
            (3, &["10.1.1.1, 10.2.2.2"], PEER),
            (u32::MAX, &["10.1.1.1"], PEER),
            (1, &[], PEER),
            (2, &["10.1.1.1,,10.3.3.3"], PEER),
            (3, &["10.1.1.1,,10.3.3.3"], "10.1.1.1"),
            (1, &["10.1.1.1,"], PEER),
            (1, &["10.1.1.1", ""], "10.1.1.1"),
            (2, &[" ", "10.1.1.1"], PEER),
            (1, &["10.1.1.1", ","], PEER),
        ] {
            assert_eq!(remote(trusted, lines), wanted, "{trusted} {lines:?}");
        }
    }

    #[test]
    fn only_a_bare_address_is_one() {
        for (entry, wanted) in [
            ("2001:db8::7", "2001:db8::7"),
            ("fe80::1%eth0", "fe80::1"),
            ("::ffff:10.1.1.1", "10.1.1.1"),
            ("::ffff:a01:101%eth0", "10.1.1.1"),
            ("\t10.1.1.1 ", "10.1.1.1"),
            ("1.2.3.4:99", PEER),
            ("[2001:db8::7]:443", PEER),
            ("[2001:db8::7]", PEER),
            ("010.1.1.1", PEER),
            ("10.1", PEER),
            ("167837953", PEER),
            ("unknown", PEER),
            ("1.2.3.4%eth0", PEER),
            ("fe80::1%", PEER),
            ("", PEER),
        ] {
            assert_eq!(remote(1, &[entry]), wanted, "{entry:?}");
        }
    }

    #[test]
    fn a_proxy_header_names_the_client_unless_a_trusted_proxy_did() {
        let connection = Connection {
            proxied: Some("198.51.100.9".parse().unwrap()),
            ..Connection::plain(PEER.parse().unwrap(), 80)
        };
        assert_eq!(remote_of(0, &["10.1.1.1"], connection), "198.51.100.9");
        assert_eq!(remote_of(1, &["10.1.1.1"], connection), "10.1.1.1");
        assert_eq!(remote_of(1, &["unknown"], connection), "198.51.100.9");
    }
}
