//! Version 1: one line of text, `PROXY TCP4 192.0.2.1 198.51.100.1 51234 443`.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::{FromStr, from_utf8};

use super::{NoProxyHeader, Proxied, ProxyHeader};
use crate::limits::PROXY_LINE_BYTES_MAX;

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

const END: &[u8] = b"\r\n";

/// Reads a line that begins with [`SIGNATURE`] as far as it goes.
pub(super) fn read(bytes: &[u8]) -> Result<Option<ProxyHeader>, NoProxyHeader> {
    let start = bytes.get(..PROXY_LINE_BYTES_MAX).unwrap_or(bytes);
    let end = start.windows(END.len()).position(|pair| pair == END);
    let Some(line) = end.and_then(|end| start.get(..end)) else {
        let may_end_yet = bytes.len() < PROXY_LINE_BYTES_MAX;
        return may_end_yet.then_some(None).ok_or(NoProxyHeader);
    };
    Ok(Some(ProxyHeader {
        bytes: line.len().saturating_add(END.len()),
        proxied: proxied(line).ok_or(NoProxyHeader)?,
    }))
}

/// What the line tells; `None` when it is malformed.
fn proxied(line: &[u8]) -> Option<Option<Proxied>> {
    let mut words = line.split(|byte| *byte == b' ').skip(1);
    let protocol = words.next()?;
    if protocol == b"UNKNOWN" {
        // Whatever follows means nothing.
        return Some(None);
    }
    let [source, destination, source_port, destination_port] =
        [words.next()?, words.next()?, words.next()?, words.next()?];
    let ports = (port(source_port)?, port(destination_port)?);
    let proxied = match protocol {
        b"TCP4" => ends::<Ipv4Addr>((source, destination), ports),
        b"TCP6" => ends::<Ipv6Addr>((source, destination), ports),
        _ => None,
    };
    proxied.filter(|_| words.next().is_none()).map(Some)
}

fn ends<A: FromStr>((source, destination): (&[u8], &[u8]), ports: (u16, u16)) -> Option<Proxied>
where
    (A, u16): Into<SocketAddr>,
{
    let address = |word| from_utf8(word).ok()?.parse::<A>().ok();
    Proxied::new((address(source)?, ports.0), (address(destination)?, ports.1))
}

/// A decimal number in its one spelling: `u16::from_str` would take `+80` and `080`.
fn port(word: &[u8]) -> Option<u16> {
    let is_plain = word == b"0" || !word.starts_with(b"0") && word.iter().all(u8::is_ascii_digit);
    from_utf8(word).ok().filter(|_| is_plain)?.parse().ok()
}
