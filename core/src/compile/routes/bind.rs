//! Where a route binds: the gateways it names, and where their hosts meet its own.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::compile::listeners::{Listeners, check_host, intersect};
use crate::config::diagnostic::{Diagnostics, Location};
use crate::config::resource::{Meta, Spanned};
use crate::config::suggest::did_you_mean;

/// What of a route says where it binds.
pub(super) struct Anchors<'r> {
    pub(super) meta: &'r Meta,
    /// `*`, `*.suffix` or names, lower case.
    pub(super) hosts: Vec<Spanned<String>>,
    pub(super) gateways: &'r [Spanned<String>],
}

/// One place a route binds to.
pub(super) struct Binding {
    /// `namespace/name`.
    pub(super) gateway: String,
    /// Listener and virtual host name; `None` when the gateway opens nothing for it here.
    pub(super) listener: Option<(u32, String)>,
    /// Requests in plain text are sent away from there to `https`.
    pub(super) tls_only: bool,
}

pub(super) fn bind(route: &Anchors<'_>, listeners: &Listeners<'_>, diagnostics: &mut Diagnostics) -> Vec<Binding> {
    let mut are_hosts = true;
    for host in &route.hosts {
        are_hosts &= check_host(host, host, diagnostics);
    }
    if !are_hosts {
        return Vec::new();
    }
    let named = route.gateways.iter().filter(|gateway| gateway.as_str() != "mesh");
    if named.clone().next().is_none() {
        warn(
            diagnostics,
            "route-without-gateway",
            route.meta.name.at,
            format!(
                "{} `{}` names no gateway, so it applies to the mesh only and to nothing here",
                route.meta.kind, *route.meta.name
            ),
            "add `gateways: [namespace/name]`",
        );
    }
    let mut bindings = Vec::new();
    for reference in named {
        let gateway = qualified(reference, route.meta);
        match listeners.of(&gateway) {
            None if listeners.some_refused() => {}
            None => refuse_unknown_gateway(reference, &gateway, listeners, diagnostics),
            Some(opened) => {
                let in_scope = opened.iter().filter(|server| {
                    server
                        .namespace
                        .is_none_or(|namespace| namespace == &*route.meta.namespace)
                });
                let met = in_scope.flat_map(|server| {
                    let hosts = route.hosts.iter();
                    hosts.filter_map(|host| {
                        Some((
                            (server.listener, intersect(&server.host, host)?.to_owned()),
                            server.tls_only,
                        ))
                    })
                });
                let mut met: Vec<((u32, String), bool)> = met.collect();
                // Of two servers for one host, one for TLS only comes first and stays.
                met.sort_unstable_by(|(a, a_tls), (b, b_tls)| (a, b_tls).cmp(&(b, a_tls)));
                met.dedup_by(|(a, _), (b, _)| a == b);
                if met.is_empty() {
                    let hosts: Vec<String> = route.hosts.iter().map(|host| format!("`{}`", **host)).collect();
                    warn(
                        diagnostics,
                        "route-not-bound",
                        reference.at,
                        format!(
                            "gateway `{gateway}` opens no listener here for host {}",
                            hosts.join(", ")
                        ),
                        "its `selector` must select this gateway's labels and one of its server hosts must meet the route's",
                    );
                }
                let bound = met.into_iter().map(|(listener, tls_only)| (Some(listener), tls_only));
                bindings.extend(bound.chain([(None, false)]).map(|(listener, tls_only)| Binding {
                    gateway: gateway.clone(),
                    listener,
                    tls_only,
                }));
            }
        }
    }
    bindings
}

/// `name` means the route's own namespace.
pub(super) fn qualified(reference: &str, meta: &Meta) -> String {
    if reference.contains('/') {
        reference.to_owned()
    } else {
        format!("{}/{reference}", meta.namespace)
    }
}

fn refuse_unknown_gateway(
    reference: &Spanned<String>,
    gateway: &str,
    listeners: &Listeners<'_>,
    diagnostics: &mut Diagnostics,
) {
    let finding = diagnostics
        .error(
            "unknown-gateway",
            reference.at,
            format!("there is no Gateway `{gateway}`"),
        )
        .field("spec.gateways");
    // Its name alone means one of the route's own namespace.
    let (_, name) = gateway.split_once('/').unwrap_or_default();
    let elsewhere = listeners.names().find(|known| {
        let own = known.strip_suffix(name);
        own.is_some_and(|namespace| namespace.ends_with('/'))
    });
    let help = match elsewhere {
        Some(known) if !reference.contains('/') => {
            Some(format!("write `{known}`: a name alone is in the route's own namespace"))
        }
        Some(known) => Some(format!("did you mean `{known}`?")),
        None => did_you_mean(gateway, listeners.names()),
    };
    if let Some(help) = help {
        finding.help(help);
    }
}

fn warn(diagnostics: &mut Diagnostics, code: &'static str, at: Location, message: String, help: &str) {
    diagnostics.warning(code, at, message).help(help);
}
