//! Which servers are there, and which of them a connection reaches: `semantics/policy.md` §11.

use std::cmp::Reverse;

use lockgate_core::config::resource::{Gateway, Server, ServerProtocol};

use crate::binding::covers;
use crate::policy::selects;
use crate::world::{World, oldest_first};

/// What connections reach: a port in plain text, or one HTTPS server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Listener {
    /// All servers of a port.
    Plain(u16),
    /// A server by the places of it and of its Gateway.
    Tls {
        /// Its port.
        port: u16,
        /// The Gateway's place.
        gateway: usize,
        /// The server's place in it.
        server: usize,
    },
}

impl Listener {
    /// The port.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Plain(port) | Self::Tls { port, .. } => port,
        }
    }
}

/// A server that is there.
#[derive(Debug, Clone, Copy)]
pub struct Served<'w> {
    /// Its Gateway.
    pub gateway: &'w Gateway,
    /// The server.
    pub server: &'w Server,
    /// Where it listens.
    pub listener: Listener,
}

impl Served<'_> {
    /// Whether it sends everything away to `https`.
    #[must_use]
    pub fn is_for_tls_only(&self) -> bool {
        matches!(*self.server.protocol, ServerProtocol::Http { https_redirect: true })
    }
}

/// The servers that are there. Of two that cannot both be, that of the Gateway that comes first is.
#[must_use]
pub fn served(world: &World) -> Vec<Served<'_>> {
    let gateways = world.resources.gateways.iter().enumerate();
    let selected = gateways.filter(|(_, gateway)| selects(&gateway.selector, &world.settings));
    let mut served: Vec<Served<'_>> = Vec::new();
    for (place, gateway) in oldest_first(selected, |(_, gateway)| &gateway.meta) {
        for (index, server) in gateway.servers.iter().enumerate() {
            let port = *server.port;
            let listener = match *server.protocol {
                ServerProtocol::Http { .. } => Listener::Plain(port),
                ServerProtocol::Https(_) => Listener::Tls {
                    port,
                    gateway: place,
                    server: index,
                },
            };
            let collides = served.iter().any(|before| match (before.listener, listener) {
                (before, _) if before.port() != port => false,
                (Listener::Plain(_), Listener::Plain(_)) => false,
                (Listener::Tls { .. }, Listener::Tls { .. }) => {
                    server_names(before.server).any(|name| server_names(server).any(|own| own == name))
                }
                _ => true,
            });
            if !collides {
                served.push(Served {
                    gateway,
                    server,
                    listener,
                });
            }
        }
    }
    served
}

/// The names of a server, lower case and without namespaces.
pub fn server_names(server: &Server) -> impl Iterator<Item = String> {
    server.hosts.iter().map(|text| {
        let (_, host) = text.split_once('/').unwrap_or(("*", text));
        host.to_ascii_lowercase()
    })
}

/// What a connection to `port` reaches that asks for `name`, which may be empty.
#[must_use]
pub fn reached(served: &[Served<'_>], port: u16, name: &str) -> Option<Listener> {
    let here = || served.iter().filter(|served| served.listener.port() == port);
    if let Some(plain) = here().find(|served| served.listener == Listener::Plain(port)) {
        return Some(plain.listener);
    }
    let named = here().flat_map(|served| server_names(served.server).map(|own| (own, served.listener)));
    let taking = named.filter(|(own, _)| own == "*" || !name.is_empty() && covers(own, name));
    // The name itself, then the longest suffix; `*` is the shortest.
    let best = taking.min_by_key(|(own, _)| (own.starts_with('*'), Reverse(own.len())));
    best.map(|(_, listener)| listener)
}
