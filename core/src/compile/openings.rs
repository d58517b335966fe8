//! What the Gateways of both APIs open, and what of it can be there together.
//!
//! As istiod has it, of two servers that cannot both be there that of the older
//! Gateway stays, and the other is left out, which is said.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::rows::RowWriter;
use super::{Settings, by_age, kube_gateways};
use crate::config::diagnostic::{Diagnostics, Location};
use crate::config::resource::gateway_api as kube;
use crate::config::resource::{Gateway, Meta, Resources, Server, ServerProtocol, Spanned};
use crate::text_map::TextMap;

/// A server of Istio's Gateways or a listener of Gateway API's.
pub(super) struct Opening<'c> {
    pub(super) gateway: &'c Meta,
    /// Its place in the Gateway's list.
    pub(super) index: usize,
    pub(super) port: u16,
    /// Where its port and what it speaks are.
    at: Location,
    /// Lower-cased.
    pub(super) hosts: Vec<Spanned<String>>,
    pub(super) of: Api<'c>,
}

#[derive(Clone, Copy)]
pub(super) enum Api<'c> {
    Istio(&'c Server),
    Kube(&'c kube::Listener),
}

impl Opening<'_> {
    pub(super) fn is_tls(&self) -> bool {
        match self.of {
            Api::Istio(server) => matches!(*server.protocol, ServerProtocol::Https(_)),
            Api::Kube(listener) => listener.certificates.is_some(),
        }
    }

    /// What it is called, its list, and the fields of its port and of its hosts.
    pub(super) fn words(&self) -> [&'static str; 4] {
        match self.of {
            Api::Istio(_) => ["server", "servers", "port.protocol", "hosts"],
            Api::Kube(_) => ["listener", "listeners", "protocol", "hostname"],
        }
    }
}

/// What this gateway's Gateways open together, by port.
pub(super) fn accepted<'c>(
    resources: &'c Resources,
    settings: &Settings,
    rows: &RowWriter<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Opening<'c>> {
    let selected = |gateway: &&Gateway| settings.has_labels(&gateway.selector);
    let mut istio: Vec<&Gateway> = resources.gateways.iter().filter(selected).collect();
    istio.sort_unstable_by(|a, b| oldest_first(&a.meta, &b.meta, rows));
    let selected = |gateway: &&kube::Gateway| kube_gateways::is_selected(gateway, resources, settings);
    let mut kube: Vec<&kube::Gateway> = resources.kube_gateways.iter().filter(selected).collect();
    kube.sort_unstable_by(|a, b| oldest_first(&a.meta, &b.meta, rows));
    accept(
        istio
            .into_iter()
            .flat_map(servers)
            .chain(kube.into_iter().flat_map(sections)),
        rows,
        diagnostics,
    )
}

fn oldest_first(a: &Meta, b: &Meta, rows: &RowWriter<'_>) -> Ordering {
    by_age(a, b).then_with(|| rows.order(a.at).cmp(&rows.order(b.at)))
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
fn accept<'c>(
    oldest_first: impl Iterator<Item = Opening<'c>>,
    rows: &RowWriter<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Opening<'c>> {
    let of = |gateway: &Meta, at| format!("Gateway `{}` ({})", full_name(gateway), rows.place(at));
    let mut accepted: Vec<Opening<'c>> = Vec::new();
    let mut is_tls_port: TextMap<(bool, &Meta, Location)> = TextMap::default();
    let mut tls_names: TextMap<(&Meta, Location)> = TextMap::default();
    for opening in oldest_first {
        let (port, is_tls) = (opening.port, opening.is_tls());
        let [what, list, port_field, hosts_field] = opening.words();
        let field = |name: &str| format!("spec.{list}[{}].{name}", opening.index);
        let port_key = format!("{port}");
        if let Some((other, gateway, at)) = is_tls_port.get(&port_key)
            && *other != is_tls
        {
            let spoken = if *other { "TLS" } else { "plain text" };
            diagnostics
                .warning(
                    "port-conflict",
                    opening.at,
                    format!(
                        "port {port} is in {spoken} since {}: this {what} is left out",
                        of(gateway, *at)
                    ),
                )
                .field(field(port_field))
                .help("a port speaks TLS, or it does not; as in Istio the older Gateway stays");
            continue;
        }
        if is_tls_port.get(&port_key).is_none() {
            is_tls_port.insert(&port_key, (is_tls, opening.gateway, opening.at));
        }
        if is_tls {
            let key = |host: &Spanned<String>| format!("{port} {}", **host);
            let mut hosts = opening.hosts.iter();
            if let Some((host, (gateway, at))) = hosts.find_map(|host| Some((host, *tls_names.get(&key(host))?))) {
                diagnostics
                    .warning(
                        "duplicate-server-name",
                        host.at,
                        format!(
                            "`{}` is already a host of port {port}, by {}: this {what} is left out",
                            **host,
                            of(gateway, at)
                        ),
                    )
                    .field(field(hosts_field))
                    .help("a server name has one certificate; as in Istio the older Gateway stays");
                continue;
            }
            for host in &opening.hosts {
                tls_names.insert(&key(host), (opening.gateway, host.at));
            }
        }
        accepted.push(opening);
    }
    accepted.sort_by_key(|opening| opening.port);
    accepted
}

pub(super) fn full_name(gateway: &Meta) -> String {
    format!("{}/{}", gateway.namespace, *gateway.name)
}

/// `[namespace/]host` without its namespace, lower-cased.
pub(super) fn name_of(host: &str) -> String {
    let name = host.split_once('/').map_or(host, |(_, name)| name);
    name.to_ascii_lowercase()
}
