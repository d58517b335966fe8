//! Gateways to listeners, and which hosts each gateway opens on which listener.
//!
//! As istiod makes Envoy's listeners: servers in plain text share one listener of
//! their port; each HTTPS server has its own, which the server name that a client
//! asks for leads to. Gateway API's listeners are servers like Istio's.
//! <https://istio.io/latest/docs/reference/config/networking/gateway/#Server>

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Settings;
use super::openings::{self, Api, Opening, full_name, name_of};
use super::rows::{RowWriter, number};
use super::tls_servers::TlsCompiler;
use crate::authority;
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{Meta, Resources, Server, ServerProtocol, Spanned};
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
    /// Of each section of Gateway API's Gateways that is here, by [`section_key`].
    sections: TextMap<u32>,
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

    /// The listener of a section of one of Gateway API's Gateways, if it is here.
    pub(super) fn section(&self, gateway: &Meta, name: &str) -> Option<u32> {
        self.sections.get(&section_key(gateway, name)).copied()
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

pub(super) fn compile<'c>(
    resources: &'c Resources,
    settings: &Settings,
    rows: &mut RowWriter<'_>,
    diagnostics: &mut Diagnostics,
) -> Listeners<'c> {
    for gateway in &resources.gateways {
        for host in gateway.servers.iter().flat_map(|server| &server.hosts) {
            check_host(&name_of(host), host, diagnostics);
        }
    }
    let openings = openings::accepted(resources, settings, rows, diagnostics);
    let mut listeners = Listeners {
        ports: Vec::new(),
        open: Vec::new(),
        tls_servers: Vec::new(),
        gateways: TextMap::default(),
        sections: TextMap::default(),
        some_refused: !resources.has_all("Gateway"),
    };
    for gateway in &resources.gateways {
        listeners.gateways.insert(&full_name(&gateway.meta), Vec::new());
    }
    let mut tls = TlsCompiler {
        resources,
        settings,
        rows,
        diagnostics,
        of: Box::default(),
    };
    for openings in openings.chunk_by(|one, next| one.port == next.port) {
        listeners.add_port(openings, &mut tls);
    }
    listeners
}

impl<'c> Listeners<'c> {
    /// Adds the port of what is opened there, which all speaks TLS or all does not.
    fn add_port(&mut self, openings: &[Opening<'c>], tls: &mut TlsCompiler<'_, '_, '_>) {
        let Some(first) = openings.first() else { return };
        let (port, is_tls) = (first.port, first.is_tls());
        let listeners = if is_tls {
            self.tls_listeners(port, openings, tls)
        } else {
            let listener = self.add_listener(port, None, tls);
            for opening in openings {
                self.open_hosts(opening, listener);
            }
            PortListeners::Plain(listener)
        };
        tls.rows.rows.ports.push(PortRow { port, listeners });
        self.open.push(Listener { port, is_tls });
    }

    /// One listener for each, and its server names.
    fn tls_listeners(
        &mut self,
        port: u16,
        openings: &[Opening<'c>],
        tls: &mut TlsCompiler<'_, '_, '_>,
    ) -> PortListeners {
        let scope = number(tls.rows.rows.ports.len());
        let (mut any, mut has_suffixes) = (None, false);
        for opening in openings {
            let [_, list, ..] = opening.words();
            let label = format!("{} {list}[{}]", full_name(opening.gateway), opening.index);
            let field = format!("spec.{list}[{}]", opening.index);
            let server = match opening.of {
                Api::Istio(Server { protocol, .. }) => match &**protocol {
                    ServerProtocol::Https(settings) => tls.compile(settings, label, &field),
                    ServerProtocol::Http { .. } => continue,
                },
                Api::Kube(listener) => {
                    let refs = listener.certificates.as_deref().unwrap_or_default();
                    tls.listener(refs, opening.gateway, label, &field)
                }
            };
            let id = TlsServerId(number(self.tls_servers.len()));
            self.tls_servers.push(server);
            let listener = self.add_listener(port, Some(id), tls);
            self.open_hosts(opening, listener);
            let mut names: Vec<&str> = opening.hosts.iter().map(|host| host.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
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

    fn open_hosts(&mut self, opening: &Opening<'c>, listener: u32) {
        let gateway = opening.gateway;
        let server = match opening.of {
            Api::Istio(server) => server,
            Api::Kube(section) => {
                self.sections.insert(&section_key(gateway, &section.name), listener);
                return;
            }
        };
        let tls_only = matches!(*server.protocol, ServerProtocol::Http { https_redirect: true });
        let opened = server.hosts.iter().map(|host| Opened {
            listener,
            host: name_of(host),
            namespace: match host.split_once('/') {
                None | Some(("*", _)) => None,
                Some((".", _)) => Some(&*gateway.namespace),
                Some((namespace, _)) => Some(namespace),
            },
            tls_only,
        });
        if let Some(all) = self.gateways.get_mut(&full_name(gateway)) {
            all.extend(opened);
        }
    }
}

fn section_key(gateway: &Meta, section: &str) -> String {
    format!("{}/{} {section}", gateway.namespace, *gateway.name)
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
