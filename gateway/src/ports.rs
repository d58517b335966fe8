//! The listening sockets of the ports of Gateways: where each is, and where it comes from.
//!
//! A port has a socket for every worker, between which the kernel spreads
//! clients (`SO_REUSEPORT`). A socket is given by systemd, taken over from an
//! older process, or bound; whoever made it, connections that wait in it are
//! served. Where there are more sockets than workers, one worker serves
//! several: a socket that nobody serves would let its clients wait for ever.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::TcpListener;

use lockgate_core::cidr::canonical;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::limits::{
    CLIENT_KEEPALIVE, CLIENT_KEEPALIVE_EVERY, CLIENT_KEEPALIVE_TRIES, CLIENT_UNSENT_BYTES_MAX, LISTEN_BACKLOG,
};
use crate::live::Live;
use crate::log;
use crate::reload::Refused;
use crate::worker::{Command, Handle};

/// Where logical ports really listen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses(pub(crate) BTreeMap<u16, SocketAddr>);

impl Addresses {
    fn of(&self, port: u16) -> SocketAddr {
        let everywhere = || (Ipv6Addr::UNSPECIFIED, port).into();
        self.0.get(&port).copied().unwrap_or_else(everywhere)
    }

    /// Whether a socket on `bound` is where clients of a port are told to connect to.
    fn are_met(&self, port: u16, bound: SocketAddr) -> bool {
        let Some(wanted) = self.0.get(&port) else {
            return bound.port() == port;
        };
        let is_everywhere = bound.ip().is_unspecified() && wanted.ip().is_unspecified();
        (bound.ip() == wanted.ip() || is_everywhere) && (bound.port() == wanted.port() || wanted.port() == 0)
    }
}

/// Where a socket comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// From systemd, which keeps it, so that it listens even while its port is closed here.
    Systemd,
    /// From the process that ran before this one.
    Predecessor,
    /// Bound here.
    Bound,
}

impl Origin {
    const fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Predecessor => "the process before",
            Self::Bound => "here",
        }
    }
}

/// A socket that systemd gives, with its name there.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) name: String,
    pub(crate) socket: TcpListener,
}

/// The sockets that are open, on all workers.
#[derive(Debug)]
pub(crate) struct Ports {
    addresses: Addresses,
    /// What systemd gives, in use or not.
    given: Vec<Given>,
    /// What an older process had, until the first configuration is served.
    taken: Vec<(u16, TcpListener)>,
    open: BTreeMap<u16, Open>,
}

/// A port in use.
#[derive(Debug)]
struct Open {
    address: SocketAddr,
    /// The workers' sockets once more, for the process that comes after this one.
    sockets: Vec<TcpListener>,
}

/// Sockets for ports that are not open yet.
#[derive(Debug)]
pub(crate) struct Bound(Vec<(u16, Origin, Open)>);

impl Ports {
    /// No port is open; `given` and `taken` are used before others are bound.
    pub(crate) fn new(addresses: Addresses, given: Vec<Given>, taken: Vec<(u16, TcpListener)>) -> Self {
        Self {
            addresses,
            given,
            taken,
            open: BTreeMap::new(),
        }
    }

    /// Gets sockets for the ports of `live` that are not open, for so many workers; for all of them or none. No two ports
    /// share an address: the kernel would give each what is meant for the other.
    pub(crate) fn bind(&self, live: &Live, workers: usize) -> Result<Bound, Refused> {
        let ports = || live.compiled.snapshot.listeners().iter().map(|listener| listener.port);
        let kept = ports().filter_map(|port| Some((port, self.open.get(&port)?.address)));
        let mut taken: Vec<(u16, SocketAddr)> = kept.collect();
        let mut bound = Vec::new();
        for port in ports().filter(|port| !self.open.contains_key(port)) {
            let wanted = self.addresses.of(port);
            let at = self
                .inherited(port)
                .1
                .first()
                .and_then(|socket| socket.local_addr().ok());
            let at = at.unwrap_or(wanted);
            if let Some((other, _)) = taken.iter().find(|(_, taken)| overlap(*taken, at)) {
                return Err(share(*other, port, at));
            }
            let sockets = self.sockets(port, wanted, workers);
            let (origin, sockets) = sockets.map_err(|error| cannot_bind(port, wanted, &error))?;
            let address = sockets.first().and_then(|socket| socket.local_addr().ok());
            let address = address.unwrap_or(wanted);
            taken.push((port, address));
            bound.push((port, origin, Open { address, sockets }));
        }
        Ok(Bound(bound))
    }

    fn sockets(&self, port: u16, wanted: SocketAddr, workers: usize) -> io::Result<(Origin, Vec<TcpListener>)> {
        match self.inherited(port) {
            (Origin::Bound, _) => {
                // Where this process has a socket already, it is not another that listens there.
                let is_alone = !self.held().any(|held| overlap(held, wanted));
                Ok((Origin::Bound, bind(wanted, workers, is_alone)?))
            }
            (origin, there) => Ok((origin, shared(&there, workers)?)),
        }
    }

    /// Where this process has sockets, in use or not.
    fn held(&self) -> impl Iterator<Item = SocketAddr> {
        let taken = self.taken.iter().map(|(_, socket)| socket);
        let given = self.given.iter().map(|given| &given.socket);
        let inherited = taken.chain(given).filter_map(|socket| socket.local_addr().ok());
        inherited.chain(self.open.values().map(|open| open.address))
    }

    /// The sockets for a port that were there before this process, if any.
    fn inherited(&self, port: u16) -> (Origin, Vec<&TcpListener>) {
        let meets = |socket: &TcpListener| socket.local_addr().is_ok_and(|at| self.addresses.are_met(port, at));
        // What the process before had holds what systemd gave it, and there are clients in its queues.
        let taken = self.taken.iter().filter(|(of, socket)| *of == port && meets(socket));
        let taken: Vec<_> = taken.map(|(_, socket)| socket).collect();
        let given = self.given.iter().filter(|given| match given.name.parse::<u16>() {
            Ok(name) => name == port,
            Err(_) => meets(&given.socket),
        });
        let given: Vec<_> = given.map(|given| &given.socket).collect();
        match (taken.is_empty(), given.is_empty()) {
            (true, true) => (Origin::Bound, Vec::new()),
            (true, false) => (Origin::Systemd, given),
            (false, _) => (Origin::Predecessor, taken),
        }
    }

    /// Hands sockets to the workers.
    pub(crate) fn open(&mut self, bound: Bound, workers: &[Handle]) {
        for (port, origin, open) in bound.0 {
            for (socket, worker) in open.sockets.iter().zip(workers.iter().cycle()) {
                match socket.try_clone() {
                    Ok(socket) => {
                        let _ = worker.commands.send(Command::Listen(port, socket));
                    }
                    Err(error) => log::warning("a socket cannot be served", &[("error", &error.to_string())]),
                }
            }
            log::info(
                "listening",
                &[
                    ("port", &port.to_string()),
                    ("address", &open.address.to_string()),
                    ("from", origin.name()),
                ],
            );
            self.open.insert(port, open);
        }
        self.taken.clear();
    }

    /// Closes the ports that `live` does not have.
    pub(crate) fn close_others(&mut self, live: &Live, workers: &[Handle]) {
        let wanted = live.compiled.snapshot.listeners();
        self.open.retain(|port, open| {
            let keep = wanted.iter().any(|listener| listener.port == *port);
            if !keep {
                for worker in workers {
                    let _ = worker.commands.send(Command::Unlisten(*port));
                }
                let address = open.address.to_string();
                log::info(
                    "no longer listening",
                    &[("port", &port.to_string()), ("address", &address)],
                );
            }
            keep
        });
    }

    /// Warns of what is meant for ports that `live` does not have: of sockets from systemd, where clients that connect
    /// wait in vain, and of addresses, beside which the port that was meant listens everywhere.
    pub(crate) fn warn_of_unused(&self, live: &Live) {
        let listeners = live.compiled.snapshot.listeners();
        for given in &self.given {
            let Ok(address) = given.socket.local_addr() else {
                continue;
            };
            let is_for = |port: u16| match given.name.parse::<u16>() {
                Ok(name) => name == port,
                Err(_) => self.addresses.are_met(port, address),
            };
            if !listeners.iter().any(|listener| is_for(listener.port)) {
                log::warning(
                    "a socket from systemd is for no port of a Gateway",
                    &[("name", &given.name), ("address", &address.to_string())],
                );
            }
        }
        if listeners.is_empty() {
            log::warning("no Gateway is for this gateway, so no port is open", &[]);
            return;
        }
        let ports: BTreeSet<u16> = listeners.iter().map(|listener| listener.port).collect();
        for (port, address) in &self.addresses.0 {
            if !ports.contains(port) {
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                log::warning(
                    "`--listen` is for a port that no Gateway has",
                    &[
                        ("port", &port.to_string()),
                        ("address", &address.to_string()),
                        ("ports", &ports.join(", ")),
                    ],
                );
            }
        }
    }

    /// Where a logical port listens.
    pub(crate) fn address(&self, port: u16) -> Option<SocketAddr> {
        self.open.get(&port).map(|open| open.address)
    }

    /// All sockets, with their logical ports.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u16, &TcpListener)> {
        let open = self.open.iter();
        open.flat_map(|(port, open)| open.sockets.iter().map(|socket| (*port, socket)))
    }

    /// Lets go of all sockets: what the workers have are the last.
    pub(crate) fn release(&mut self) {
        self.open.clear();
        self.given.clear();
    }
}

/// Sockets for so many workers at least, all of `there` among them.
fn shared(there: &[&TcpListener], workers: usize) -> io::Result<Vec<TcpListener>> {
    let mut sockets = Vec::with_capacity(workers.max(there.len()));
    for socket in there {
        let socket = socket.try_clone()?;
        prepare(&SockRef::from(&socket))?;
        sockets.push(socket);
    }
    let one_more = |beside: &TcpListener| {
        // Without it, or as another user, there can be no second socket, but workers can share the one.
        let own = match SockRef::from(beside).reuse_port()? {
            true => bind_one(beside.local_addr()?).ok(),
            false => None,
        };
        own.map_or_else(|| beside.try_clone(), Ok)
    };
    for beside in there.iter().cycle().take(workers.saturating_sub(there.len())) {
        sockets.push(one_more(beside)?);
    }
    Ok(sockets)
}

/// Binds `count` sockets to one address; only if nobody listens there, where `is_alone` says so. A port of 0 is chosen by
/// the first.
fn bind(address: SocketAddr, count: usize, is_alone: bool) -> io::Result<Vec<TcpListener>> {
    if is_alone {
        // Else another process of this user that shares its port, as this one does, would share it with this one.
        match unshared(address).and_then(|socket| socket.bind(&address.into())) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            // Whatever else is wrong is seen below.
            _ => {}
        }
    }
    let first = bind_one(address).or_else(|error| match address {
        // A kernel without IPv6 cannot have the dual-stack default.
        SocketAddr::V6(v6) if v6.ip().is_unspecified() && error.kind() != io::ErrorKind::AddrInUse => {
            bind_one((Ipv4Addr::UNSPECIFIED, address.port()).into()).map_err(|_| error)
        }
        _ => Err(error),
    })?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(bind_one(address)?);
    }
    Ok(sockets)
}

fn unshared(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    Ok(socket)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = unshared(address)?;
    socket.set_reuse_port(true)?;
    prepare(&SockRef::from(&socket))?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// What every listening socket has, whoever made it. The connections that are accepted have it too.
fn prepare(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.set_tcp_notsent_lowat(CLIENT_UNSENT_BYTES_MAX)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(CLIENT_KEEPALIVE)
            .with_interval(CLIENT_KEEPALIVE_EVERY)
            .with_retries(CLIENT_KEEPALIVE_TRIES),
    )
}

/// Whether clients of one address may reach a socket at the other. `[::]` is every address, of IPv4 too.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |one: IpAddr, other: IpAddr| match canonical(one) {
        IpAddr::V6(ip) if ip.is_unspecified() => true,
        IpAddr::V4(ip) if ip.is_unspecified() => canonical(other).is_ipv4(),
        ip => ip == canonical(other),
    };
    one.port() == other.port() && one.port() != 0 && (covers(one.ip(), other.ip()) || covers(other.ip(), one.ip()))
}

fn share(port: u16, other: u16, address: SocketAddr) -> Refused {
    let (port, other) = (port.min(other), port.max(other));
    Refused(format!(
        "error: port {port} and port {other} of the Gateways would both listen on {address}\n  give one of them another \
         address with --listen PORT=ADDR:PORT\n"
    ))
}

fn cannot_bind(port: u16, address: SocketAddr, error: &io::Error) -> Refused {
    let mut text = format!("error: cannot listen on {address} for port {port} of the Gateway: {error}\n");
    if error.kind() == io::ErrorKind::PermissionDenied && address.port() < 1024 {
        let high = port.saturating_add(8000);
        text.push_str(&format!(
            "  ports below 1024 need a privilege; to listen elsewhere give\n    --listen {port}=127.0.0.1:{high}\n"
        ));
    } else if error.kind() == io::ErrorKind::AddrInUse {
        text.push_str(&format!(
            "  something else listens there; choose another with --listen {port}=ADDR:PORT\n"
        ));
    }
    Refused(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_overlap_where_clients_of_one_may_reach_the_other() {
        for (one, other, wanted) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("127.0.0.1:80", "[::]:80", true),
            ("127.0.0.1:80", "[::1]:80", false),
            ("127.0.0.1:80", "[::ffff:127.0.0.1]:80", true),
            ("0.0.0.0:80", "[::]:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::]:80", "[::1]:80", true),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(overlap(one, other), wanted, "{one} {other}");
            assert_eq!(overlap(other, one), wanted, "{other} {one}");
        }
    }
}
