//! Version 2: a signature, four bytes, and a block of addresses and additional fields.

use core::net::IpAddr;

use super::{NoProxyHeader, Proxied, ProxyHeader};
use crate::limits::PROXY_BLOCK_BYTES_MAX;

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The signature, version and command, family and transport, and how long the block is.
const FIXED_BYTES: usize = 16;

/// Version 2, and the balancer speaks for itself, as in a health check.
const LOCAL: u8 = 0x20;
/// Version 2, and the balancer speaks for a client.
const PROXY: u8 = 0x21;

const TCP_V4: u8 = 0x11;
const UDP_V4: u8 = 0x12;
const TCP_V6: u8 = 0x21;
const UDP_V6: u8 = 0x22;

/// What a block begins with.
enum Named {
    Nothing,
    V4,
    V6,
}

/// Reads a header that begins with [`SIGNATURE`] as far as it goes.
pub(super) fn read(bytes: &[u8]) -> Result<Option<ProxyHeader>, NoProxyHeader> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_BYTES>() else {
        return Ok(None);
    };
    let [.., command, family, high, low] = *fixed;
    let named = match (command, family) {
        // Whatever family it gives.
        (LOCAL, _) => Named::Nothing,
        // Nothing is told of the transport, and it is TCP whatever the balancer says.
        (PROXY, TCP_V4 | UDP_V4) => Named::V4,
        (PROXY, TCP_V6 | UDP_V6) => Named::V6,
        _ => return Err(NoProxyHeader),
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > PROXY_BLOCK_BYTES_MAX {
        return Err(NoProxyHeader);
    }
    let Some(block) = rest.get(..length) else {
        return Ok(None);
    };
    let proxied = match named {
        Named::Nothing => Some(None),
        Named::V4 => proxied::<4>(block).map(Some),
        Named::V6 => proxied::<16>(block).map(Some),
    };
    Ok(Some(ProxyHeader {
        bytes: FIXED_BYTES.saturating_add(length),
        proxied: proxied.ok_or(NoProxyHeader)?,
    }))
}

/// Two addresses of so many bytes, two ports, whole additional fields.
fn proxied<const BYTES: usize>(block: &[u8]) -> Option<Proxied>
where
    IpAddr: From<[u8; BYTES]>,
{
    let (source, rest) = block.split_first_chunk::<BYTES>()?;
    let (destination, rest) = rest.split_first_chunk::<BYTES>()?;
    let (&[high, low], rest) = rest.split_first_chunk::<2>()?;
    let source = (IpAddr::from(*source), u16::from_be_bytes([high, low]));
    let (&[high, low], fields) = rest.split_first_chunk::<2>()?;
    let destination = (IpAddr::from(*destination), u16::from_be_bytes([high, low]));
    Proxied::new(source, destination).filter(|_| are_whole(fields))
}

/// Whether each field (a type, the length in two bytes, so many bytes) ends where the next begins, and the last where
/// the block does.
fn are_whole(mut fields: &[u8]) -> bool {
    while !fields.is_empty() {
        let whole = fields
            .split_first_chunk::<3>()
            .and_then(|(&[_, high, low], rest)| rest.get(usize::from(u16::from_be_bytes([high, low]))..));
        let Some(rest) = whole else {
            return false;
        };
        fields = rest;
    }
    true
}
