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
use crate::config::resource::gateway_api as kube;
use crate::config::resource::{Gateway, Meta, Resources, Server, ServerProtocol, Spanned};
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

/// A server of Istio's Gateways or a listener of Gateway API's.
struct Opening<'c> {
    gateway: &'c Meta,
    /// Its place in the Gateway's list.
    index: usize,
    port: u16,
    /// Where its port and what it speaks are.
    at: Location,
    /// Lower-cased.
    hosts: Vec<Spanned<String>>,
    of: Api<'c>,
}

#[derive(Clone, Copy)]
enum Api<'c> {
    Istio(&'c Server),
    Kube(&'c kube::Listener),
}

impl Opening<'_> {
    fn is_tls(&self) -> bool {
        match self.of {
            Api::Istio(server) => matches!(*server.protocol, ServerProtocol::Https(_)),
            Api::Kube(listener) => listener.certificates.is_some(),
        }
    }

    /// What it is called, its list, and the fields of its port and of its hosts.
    fn words(&self) -> [&'static str; 4] {
        match self.of {
            Api::Istio(_) => ["server", "servers", "port.protocol", "hosts"],
            Api::Kube(_) => ["listener", "listeners", "protocol", "hostname"],
        }
    }
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
    let mut istio: Vec<&Gateway> = resources.gateways.iter().filter(|gateway| selected(gateway)).collect();
    istio.sort_by_key(|gateway| age(&gateway.meta));
    let selected = |gateway: &&kube::Gateway| kube_gateways::is_selected(gateway, resources, settings);
    let mut kube: Vec<&kube::Gateway> = resources.kube_gateways.iter().filter(selected).collect();
    kube.sort_by_key(|gateway| age(&gateway.meta));
    let accepted = accept(
        istio
            .into_iter()
            .flat_map(servers)
            .chain(kube.into_iter().flat_map(sections)),
        diagnostics,
    );
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
    };
    for openings in accepted.chunk_by(|one, next| one.port == next.port) {
        listeners.add_port(openings, &mut tls);
    }
    listeners
}

/// The lesser is the older.
fn age(gateway: &Meta) -> impl Ord + use<> {
    let Location { source, start, .. } = gateway.at;
    (gateway.created.is_none(), gateway.created, source, start)
}

fn servers(gateway: &Gateway) -> impl Iterator<Item = Opening<'_>> {
    let servers = gateway.servers.iter().enumerate();
    servers.map(|(index, server)| Opening {
        gateway: &gateway.meta,
        index,
        port: *server.port,
        at: server.protocol.at,
        hosts: server
            .hosts
            .iter()
            .map(|host| Spanned {
                value: name_of(host),
                at: host.at,
            })
            .collect(),
        of: Api::Istio(server),
    })
}

fn sections(gateway: &kube::Gateway) -> impl Iterator<Item = Opening<'_>> {
    let listeners = gateway.listeners.iter().enumerate();
    listeners.map(|(index, listener)| Opening {
        gateway: &gateway.meta,
        index,
        port: *listener.port,
        at: listener.port.at,
        hosts: Vec::from([Spanned {
            value: kube_gateways::host(listener).into(),
            at: listener.hostname.as_ref().map_or(listener.at, |hostname| hostname.at),
        }]),
        of: Api::Kube(listener),
    })
}

/// Those that can be there together, by port. Istio's Gateways come before Gateway API's.
fn accept<'c>(oldest_first: impl Iterator<Item = Opening<'c>>, diagnostics: &mut Diagnostics) -> Vec<Opening<'c>> {
    let mut accepted: Vec<Opening<'c>> = Vec::new();
    let mut is_tls_port: TextMap<(bool, String)> = TextMap::default();
    let mut tls_names: TextMap<String> = TextMap::default();
    for opening in oldest_first {
        let (port, is_tls) = (opening.port, opening.is_tls());
        let [what, list, port_field, hosts_field] = opening.words();
        let field = |name: &str| format!("spec.{list}[{}].{name}", opening.index);
        let port_key = format!("{port}");
        if let Some((other, first)) = is_tls_port.get(&port_key)
            && *other != is_tls
        {
            let spoken = if *other { "TLS" } else { "plain text" };
            diagnostics
                .warning(
                    "port-conflict",
                    opening.at,
                    format!("port {port} is in {spoken} since Gateway `{first}`: this {what} is left out"),
                )
                .field(field(port_field))
                .help("a port speaks TLS, or it does not; as in Istio the older Gateway stays");
            continue;
        }
        is_tls_port.insert(&port_key, (is_tls, full_name(opening.gateway)));
        if is_tls {
            let key = |host: &Spanned<String>| format!("{port} {}", **host);
            let mut hosts = opening.hosts.iter();
            if let Some((host, first)) = hosts.find_map(|host| Some((host, tls_names.get(&key(host))?))) {
                diagnostics
                    .warning(
                        "duplicate-server-name",
                        host.at,
                        format!(
                            "`{}` is already a host of port {port}, by Gateway `{first}`: this {what} is left out",
                            **host
                        ),
                    )
                    .field(field(hosts_field))
                    .help("a server name has one certificate; as in Istio the older Gateway stays");
                continue;
            }
            for host in &opening.hosts {
                tls_names.insert(&key(host), full_name(opening.gateway));
            }
        }
        accepted.push(opening);
    }
    accepted.sort_by_key(|opening| opening.port);
    accepted
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

fn full_name(gateway: &Meta) -> String {
    format!("{}/{}", gateway.namespace, *gateway.name)
}

fn section_key(gateway: &Meta, section: &str) -> String {
    format!("{}/{} {section}", gateway.namespace, *gateway.name)
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
