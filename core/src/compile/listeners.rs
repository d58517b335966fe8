//! Gateways to listeners, and which hosts each gateway opens on which port.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::rows::{RowWriter, number};
use super::{Settings, kube_gateways};
use crate::authority;
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{Gateway, Resources, ServerProtocol, Spanned};
use crate::snapshot::Listener;
use crate::tables::ListenerRow;
use crate::text_map::TextMap;

/// What the loaded Gateways open.
pub(super) struct Listeners<'c> {
    ports: Vec<u16>,
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
}

impl<'c> Listeners<'c> {
    /// The ports, ascending.
    pub(super) fn ports(&self) -> Vec<Listener> {
        self.ports.iter().map(|&port| Listener { port }).collect()
    }

    /// The port of a listener.
    pub(super) fn port(&self, listener: u32) -> Option<u16> {
        self.ports.get(listener as usize).copied()
    }

    /// The listener of a port.
    pub(super) fn index(&self, port: u16) -> Option<u32> {
        self.ports.binary_search(&port).ok().map(number)
    }

    /// What the gateway `namespace/name` opens here; `None` when there is no such Gateway.
    pub(super) fn of(&self, gateway: &str) -> Option<&[Opened<'c>]> {
        self.gateways.get(gateway).map(Vec::as_slice)
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
    let selected = |gateway: &Gateway| settings.has_labels(&gateway.selector);
    let mut ports: Vec<u16> = Vec::new();
    for gateway in resources.gateways.iter().filter(|gateway| selected(gateway)) {
        for server in &gateway.servers {
            if let Err(place) = ports.binary_search(&server.port) {
                ports.insert(place, *server.port);
            }
        }
    }
    for port in kube_gateways::ports(resources, settings) {
        if let Err(place) = ports.binary_search(&port) {
            ports.insert(place, port);
        }
    }
    rows.rows.listeners = ports
        .iter()
        .map(|&port| ListenerRow {
            port,
            any_host: None,
            has_suffixes: false,
        })
        .collect();
    let mut gateways = TextMap::default();
    for gateway in &resources.gateways {
        let name = format!("{}/{}", gateway.meta.namespace, *gateway.meta.name);
        let hosts = opened(gateway, &ports, diagnostics);
        gateways.insert(&name, if selected(gateway) { hosts } else { Vec::new() });
    }
    Listeners {
        ports,
        gateways,
        some_refused: !resources.has_all("Gateway"),
    }
}

fn opened<'c>(gateway: &'c Gateway, ports: &[u16], diagnostics: &mut Diagnostics) -> Vec<Opened<'c>> {
    let mut opened = Vec::new();
    for server in &gateway.servers {
        let ServerProtocol::Http = *server.protocol;
        let Ok(listener) = ports.binary_search(&server.port) else {
            continue;
        };
        for host in &server.hosts {
            let (namespace, name) = match host.split_once('/') {
                Some(("*", name)) => (None, name),
                Some((".", name)) => (Some(&*gateway.meta.namespace), name),
                Some((namespace, name)) => (Some(namespace), name),
                None => (None, host.as_str()),
            };
            if check_host(name, host, diagnostics) {
                opened.push(Opened {
                    listener: number(listener),
                    host: name.to_ascii_lowercase(),
                    namespace,
                });
            }
        }
    }
    opened
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
