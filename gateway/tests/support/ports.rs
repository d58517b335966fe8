//! Free ports that no other test, in this process or another, is given at the same time.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicU16, Ordering};
use std::net::TcpListener;

use tokio::net::TcpSocket;

/// Below the kernel's range for outgoing connections, so that none of those takes one.
const RANGE: core::ops::Range<u16> = 12_000..32_000;

/// Where a listener holds the lease of a port: nothing else ever binds to this address.
const LEASES: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 1);

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that is ours as long as this lives.
///
/// The gateway shares its port between workers (SO_REUSEPORT), so two of them on
/// one port would both start and steal each other's connections in silence.
#[derive(Debug)]
pub struct Port {
    /// The number.
    pub number: u16,
    _lease: TcpListener,
}

impl Port {
    /// Leases a port on which nobody listens.
    pub fn lease() -> Self {
        let size = RANGE.end - RANGE.start;
        let spread = u16::try_from(std::process::id() % u32::from(size))
            .unwrap_or(0)
            .wrapping_mul(37)
            % size;
        for _ in 0..size {
            let number = RANGE.start + (NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(spread)) % size;
            let Ok(lease) = TcpListener::bind((LEASES, number)) else {
                continue;
            };
            if is_free(number) {
                return Self { number, _lease: lease };
            }
        }
        panic!("no free port in {RANGE:?}");
    }
}

/// Whether nobody listens on a port, found without listening: a process that another thread forks meanwhile has our
/// sockets until it executes its program, and would take connections to one that listens for the gateway to come.
fn is_free(port: u16) -> bool {
    let bind = || {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    };
    bind().is_ok()
}
