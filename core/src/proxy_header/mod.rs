//! The PROXY protocol header, version 1 or 2, that a balancer sends before the bytes of the connection that it passes
//! on.
//!
//! In goes what has arrived of a connection so far, out comes the header, the
//! wish for more, or that there is none; how the network cut the bytes makes no
//! difference. Reading as Envoy's listener filter does, and stricter where
//! [HAProxy's specification](https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt)
//! is: `docs/paths-and-addresses.md` says where. Additional fields (TLVs) of
//! version 2 must be whole and are not read.

mod v1;
mod v2;

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use crate::cidr::canonical;

/// A header at the beginning of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyHeader {
    /// How long it is; the next byte is the connection's own.
    pub bytes: usize,
    /// The connection it tells of. `None` when it tells of none (`UNKNOWN`, LOCAL): the socket's addresses count.
    pub proxied: Option<Proxied>,
}

/// The ends of the connection that the balancer has with the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proxied {
    source: SocketAddr,
    destination: SocketAddr,
}

/// What a connection begins with is no PROXY protocol header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoProxyHeader;

impl fmt::Display for NoProxyHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no PROXY protocol header, or a malformed one")
    }
}

impl core::error::Error for NoProxyHeader {}

/// Reads the header that `bytes` begin with; `None` while more of them are needed to tell.
///
/// # Errors
/// They do not begin with one, whatever follows.
pub fn read(bytes: &[u8]) -> Result<Option<ProxyHeader>, NoProxyHeader> {
    if may_begin_with(bytes, v2::SIGNATURE) {
        v2::read(bytes)
    } else if may_begin_with(bytes, v1::SIGNATURE) {
        v1::read(bytes)
    } else {
        Err(NoProxyHeader)
    }
}

fn may_begin_with(bytes: &[u8], signature: &[u8]) -> bool {
    bytes.iter().zip(signature).all(|(byte, wanted)| byte == wanted)
}

impl Proxied {
    /// `None` for addresses that no end of a TCP connection has.
    fn new(source: impl Into<SocketAddr>, destination: impl Into<SocketAddr>) -> Option<Self> {
        Some(Self {
            source: unicast(source.into())?,
            destination: unicast(destination.into())?,
        })
    }

    /// The client.
    #[must_use]
    pub const fn source(&self) -> SocketAddr {
        self.source
    }

    /// What the client connected to.
    #[must_use]
    pub const fn destination(&self) -> SocketAddr {
        self.destination
    }
}

/// The address as policies compare it: a balancer with a dual-stack socket writes v4 clients as `::ffff:a.b.c.d`, and
/// v4 blocks must hold them.
fn unicast(address: SocketAddr) -> Option<SocketAddr> {
    let ip = canonical(address.ip());
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    let is_unicast = !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast;
    is_unicast.then(|| SocketAddr::new(ip, address.port()))
}
