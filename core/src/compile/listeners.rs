//! Gateways to listeners, and which hosts each gateway opens on which listener.
//!
//! As istiod makes Envoy's listeners: servers in plain text share one listener of
//! their port; each HTTPS server has its own, which the server name that a client
//! asks for leads to. Where two servers cannot both be there, that of the older
//! Gateway stays and the other is left out, which is said.
//! <https://istio.io/latest/docs/reference/config/networking/gateway/#Server>

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::rows::{RowWriter, number};
use super::tls_servers::TlsCompiler;
use super::{Settings, kube_gateways};
use crate::authority;
use crate::config::diagnostic::{Diagnostics, Location};
use crate::config::resource::{Gateway, Resources, Server, ServerProtocol, Spanned};
use crate::index::KeyRow;
use crate::snapshot::Listener;
use crate::tables::{ListenerRow, PortListeners, PortRow, Rows, TlsServerId};
use crate::text_map::TextMap;
use crate::tls::TlsServer;

/// What the loaded Gateways open.
pub(super) struct Listeners<'c> {
    /// Of each listener.
    ports: Vec<u16>,
    open: Vec<Listener>,
    tls_servers: Vec<TlsServer>,
    /// By `namespace/name`; what a Gateway that does not select this proxy opens is empty.
    gateways: TextMap<Vec<Opened<'c>>>,
    some_refused: bool,
}

/// One host that a gateway's server opens on a listener.
pub(super) struct Opened<'c> {
    /// Index of the listener.
    pub(super) listener: u32,
    /// `*`, `*.suffix` or a name, lower-cased.
    pub(super) host: String,
    /// The namespace whose routes may bind; `None` is any.
    pub(super) namespace: Option<&'c str>,
    /// Requests in plain text are sent away to `https`.
    pub(super) tls_only: bool,
}

impl<'c> Listeners<'c> {
    /// The ports, ascending, and the HTTPS servers.
    pub(super) fn finish(self) -> (Vec<Listener>, Vec<TlsServer>) {
        (self.open, self.tls_servers)
    }

    /// The port of a listener.
    pub(super) fn port(&self, listener: u32) -> Option<u16> {
        self.ports.get(listener as usize).copied()
    }

    /// The listener of a port in plain text.
    pub(super) fn plain(&self, port: u16) -> Option<u32> {
        let is_plain = self.open.iter().any(|open| open.port == port && !open.is_tls);
        let listener = self.ports.iter().position(|known| *known == port);
        listener.filter(|_| is_plain).map(number)
    }

    /// What the gateway `namespace/name` opens here; `None` when there is no such Gateway.
    pub(super) fn of(&self, gateway: &str) -> Option<&[Opened<'c>]> {
        self.gateways.get(gateway).map(Vec::as_slice)
    }

    /// All that is opened for TLS only.
    pub(super) fn tls_only(&self) -> impl Iterator<Item = &Opened<'c>> {
        self.gateways.values().flatten().filter(|opened| opened.tls_only)
    }

    /// Whether a gateway that is missing may be one that was refused, and is spoken of already.
    pub(super) fn some_refused(&self) -> bool {
        self.some_refused
    }

    /// The gateways' names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.gateways.keys()
    }
}

/// A server that is there.
struct Accepted<'c> {
    gateway: &'c Gateway,
    /// Its place among the Gateway's servers.
    index: usize,
    server: &'c Server,
}

pub(super) fn compile<'c>(
    resources: &'c Resources,
    settings: &Settings,
    rows: &mut RowWriter<'_>,
    diagnostics: &mut Diagnostics,
) -> Listeners<'c> {
    let selected = |gateway: &Gateway| settings.has_labels(&gateway.selector);
    for gateway in &resources.gateways {
        for host in gateway.servers.iter().flat_map(|server| &server.hosts) {
            check_host(&name_of(host), host, diagnostics);
        }
    }
    let mut oldest_first: Vec<&Gateway> = resources.gateways.iter().filter(|gateway| selected(gateway)).collect();
    oldest_first.sort_by_key(|gateway| {
        let Location { source, start, .. } = gateway.meta.at;
        (gateway.meta.created.is_none(), gateway.meta.created, source, start)
    });
    let accepted = accept(&oldest_first, diagnostics);
    let mut listeners = Listeners {
        ports: Vec::new(),
        open: Vec::new(),
        tls_servers: Vec::new(),
        gateways: TextMap::default(),
        some_refused: !resources.has_all("Gateway"),
    };
    for gateway in &resources.gateways {
        listeners.gateways.insert(&full_name(gateway), Vec::new());
    }
    let mut tls = TlsCompiler {
        resources,
        settings,
        rows,
        diagnostics,
    };
    let mut ports: Vec<u16> = accepted.iter().map(|accepted| *accepted.server.port).collect();
    ports.extend(kube_gateways::ports(resources, settings));
    ports.sort_unstable();
    ports.dedup();
    for port in ports {
        let first = accepted.partition_point(|accepted| *accepted.server.port < port);
        let servers = accepted.get(first..).unwrap_or_default();
        let own = servers.partition_point(|accepted| *accepted.server.port == port);
        listeners.add_port(port, servers.get(..own).unwrap_or_default(), &mut tls);
    }
    listeners
}

/// The servers that can be there together, by port.
fn accept<'c>(oldest_first: &[&'c Gateway], diagnostics: &mut Diagnostics) -> Vec<Accepted<'c>> {
    let mut accepted: Vec<Accepted<'c>> = Vec::new();
    let mut is_tls_port: TextMap<(bool, String)> = TextMap::default();
    let mut tls_names: TextMap<String> = TextMap::default();
    for gateway in oldest_first {
        for (index, server) in gateway.servers.iter().enumerate() {
            let port = *server.port;
            let is_tls = matches!(*server.protocol, ServerProtocol::Https(_));
            let port_key = format!("{port}");
            if let Some((other, first)) = is_tls_port.get(&port_key)
                && *other != is_tls
            {
                let what = if *other { "TLS" } else { "plain text" };
                diagnostics
                    .warning(
                        "port-conflict",
                        server.protocol.at,
                        format!("port {port} is in {what} since Gateway `{first}`: this server is left out"),
                    )
                    .field(format!("spec.servers[{index}].port.protocol"))
                    .help("a port speaks TLS, or it does not; as in Istio the older Gateway stays");
                continue;
            }
            is_tls_port.insert(&port_key, (is_tls, full_name(gateway)));
            if is_tls {
                let key = |host: &Spanned<String>| format!("{port} {}", name_of(host));
                let taken = server
                    .hosts
                    .iter()
                    .find_map(|host| Some((host, tls_names.get(&key(host))?)));
                if let Some((host, first)) = taken {
                    diagnostics
                        .warning(
                            "duplicate-server-name",
                            host.at,
                            format!(
                                "`{}` is already a host of port {port}, by Gateway `{first}`: this server is left out",
                                name_of(host)
                            ),
                        )
                        .field(format!("spec.servers[{index}].hosts"))
                        .help("a server name has one certificate; as in Istio the older Gateway stays");
                    continue;
                }
                for host in &server.hosts {
                    tls_names.insert(&key(host), full_name(gateway));
                }
            }
            accepted.push(Accepted { gateway, index, server });
        }
    }
    accepted.sort_by_key(|accepted| *accepted.server.port);
    accepted
}

impl<'c> Listeners<'c> {
    /// Adds a port with its servers, which all speak TLS or all do not. Without any it is Gateway API's, in plain text.
    fn add_port(&mut self, port: u16, servers: &[Accepted<'c>], tls: &mut TlsCompiler<'_, '_, '_>) {
        let first = servers.first();
        let is_tls = first.is_some_and(|first| matches!(*first.server.protocol, ServerProtocol::Https(_)));
        let listeners = if is_tls {
            self.tls_listeners(port, servers, tls)
        } else {
            let listener = self.add_listener(port, None, tls);
            for accepted in servers {
                self.open_hosts(accepted, listener);
            }
            PortListeners::Plain(listener)
        };
        tls.rows.rows.ports.push(PortRow { port, listeners });
        self.open.push(Listener { port, is_tls });
    }

    /// One listener for each server, and its server names.
    fn tls_listeners(
        &mut self,
        port: u16,
        servers: &[Accepted<'c>],
        tls: &mut TlsCompiler<'_, '_, '_>,
    ) -> PortListeners {
        let scope = number(tls.rows.rows.ports.len());
        let (mut any, mut has_suffixes) = (None, false);
        for accepted in servers {
            let ServerProtocol::Https(settings) = &*accepted.server.protocol else {
                continue;
            };
            let id = TlsServerId(number(self.tls_servers.len()));
            let label = format!("{} servers[{}]", full_name(accepted.gateway), accepted.index);
            let server = tls.compile(settings, label, &format!("spec.servers[{}]", accepted.index));
            self.tls_servers.push(server);
            let listener = self.add_listener(port, Some(id), tls);
            self.open_hosts(accepted, listener);
            let mut names: Vec<String> = accepted.server.hosts.iter().map(|host| name_of(host)).collect();
            names.sort_unstable();
            names.dedup();
            for name in &names {
                let suffix = name.strip_prefix('*');
                if suffix == Some("") {
                    any = Some(listener);
                    continue;
                }
                has_suffixes |= suffix.is_some();
                let name = tls.rows.text(suffix.unwrap_or(name));
                tls.rows.rows.server_names.push(KeyRow {
                    scope,
                    name,
                    rows: Rows {
                        start: listener,
                        len: 1,
                    },
                });
            }
        }
        PortListeners::Tls { any, has_suffixes }
    }

    fn add_listener(&mut self, port: u16, tls: Option<TlsServerId>, into: &mut TlsCompiler<'_, '_, '_>) -> u32 {
        let id = number(self.ports.len());
        self.ports.push(port);
        into.rows.rows.listeners.push(ListenerRow {
            port,
            tls,
            has_tls_only: false,
            any_host: None,
            has_suffixes: false,
        });
        id
    }

    fn open_hosts(&mut self, accepted: &Accepted<'c>, listener: u32) {
        let Accepted { gateway, server, .. } = *accepted;
        let tls_only = matches!(*server.protocol, ServerProtocol::Http { https_redirect: true });
        let opened = server.hosts.iter().map(|host| Opened {
            listener,
            host: name_of(host),
            namespace: match host.split_once('/') {
                None | Some(("*", _)) => None,
                Some((".", _)) => Some(&*gateway.meta.namespace),
                Some((namespace, _)) => Some(namespace),
            },
            tls_only,
        });
        if let Some(all) = self.gateways.get_mut(&full_name(gateway)) {
            all.extend(opened);
        }
    }
}

fn full_name(gateway: &Gateway) -> String {
    format!("{}/{}", gateway.meta.namespace, *gateway.meta.name)
}

/// `[namespace/]host` without its namespace, lower-cased.
fn name_of(host: &str) -> String {
    let name = host.split_once('/').map_or(host, |(_, name)| name);
    name.to_ascii_lowercase()
}

/// Whether `name`, written as or in `place`, is `*`, `*.suffix` or a name without a port.
pub(super) fn check_host(name: &str, place: &Spanned<String>, diagnostics: &mut Diagnostics) -> bool {
    let bare = name.strip_prefix("*.").unwrap_or(name);
    let valid = name == "*" || authority::host_len(bare.as_bytes()) == Some(bare.len());
    if !valid {
        diagnostics
            .error("invalid-host", place.at, format!("`{name}` is not a host"))
            .help("a host is a DNS name such as `test.com`, `*.test.com` or `*`, without scheme, port or path");
    }
    valid
}

/// The hosts that both patterns take: the narrower one, or `None`.
pub(super) fn intersect<'a>(a: &'a str, b: &'a str) -> Option<&'a str> {
    if covers(a, b) {
        Some(b)
    } else if covers(b, a) {
        Some(a)
    } else {
        None
    }
}

/// Whether `wide` takes every host that `narrow` takes.
pub(super) fn covers(wide: &str, narrow: &str) -> bool {
    wide == "*"
        || wide == narrow
        || wide
            .strip_prefix('*')
            .is_some_and(|suffix| narrow.len() > suffix.len() && narrow.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::intersect;

    #[test]
    fn the_narrower_host_remains() {
        for (a, b, both) in [
            ("*", "x.com", Some("x.com")),
            ("*.a.com", "x.a.com", Some("x.a.com")),
            ("*.a.com", "*.b.a.com", Some("*.b.a.com")),
            ("*.a.com", "a.com", None),
            ("x.com", "y.com", None),
            ("*", "*", Some("*")),
            ("*.a.com", "xa.com", None),
        ] {
            assert_eq!(intersect(a, b), both, "{a} {b}");
            assert_eq!(intersect(b, a), both, "{b} {a}");
        }
    }
}
