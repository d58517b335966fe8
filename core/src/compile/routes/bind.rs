//! Where a route binds: the gateways it names, and where their hosts meet its own.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::compile::listeners::{Listeners, check_host, intersect};
use crate::config::diagnostic::{Diagnostics, Location};
use crate::config::resource::{LlmRoute, Spanned};
use crate::config::suggest::did_you_mean;

/// One place a route binds to.
pub(super) struct Binding {
    /// `namespace/name`.
    pub(super) gateway: String,
    /// Listener and virtual host name; `None` when the gateway opens nothing for it here.
    pub(super) listener: Option<(u32, String)>,
}

pub(super) fn bind(route: &LlmRoute, listeners: &Listeners<'_>, diagnostics: &mut Diagnostics) -> Vec<Binding> {
    let host = route.host.to_ascii_lowercase();
    if !check_host(&host, &route.host, diagnostics) {
        return Vec::new();
    }
    let named: Vec<&Spanned<String>> = route
        .gateways
        .iter()
        .filter(|gateway| gateway.as_str() != "mesh")
        .collect();
    if named.is_empty() {
        warn(
            diagnostics,
            "route-without-gateway",
            route.meta.name.at,
            format!(
                "LLMRoute `{}` names no gateway, so it applies to the mesh only and to nothing here",
                *route.meta.name
            ),
            "add `gateways: [namespace/name]`",
        );
    }
    let mut bindings = Vec::new();
    for reference in named {
        let gateway = qualified(reference, route);
        match listeners.of(&gateway) {
            None if listeners.some_refused() => {}
            None => refuse_unknown_gateway(reference, &gateway, listeners, diagnostics),
            Some(opened) => {
                let in_scope = opened.iter().filter(|server| {
                    server
                        .namespace
                        .is_none_or(|namespace| namespace == &*route.meta.namespace)
                });
                let met: Vec<Binding> = in_scope
                    .filter_map(|server| {
                        let name = intersect(&server.host, &host)?.to_owned();
                        Some(Binding {
                            gateway: gateway.clone(),
                            listener: Some((server.listener, name)),
                        })
                    })
                    .collect();
                if met.is_empty() {
                    warn(
                        diagnostics,
                        "route-not-bound",
                        reference.at,
                        format!("gateway `{gateway}` opens no listener here for host `{}`", *route.host),
                        "its `selector` must select this gateway's labels and one of its server hosts must meet the route's",
                    );
                }
                bindings.push(Binding {
                    gateway,
                    listener: None,
                });
                bindings.extend(met);
            }
        }
    }
    bindings
}

/// `name` means the route's own namespace.
pub(super) fn qualified(reference: &str, route: &LlmRoute) -> String {
    if reference.contains('/') {
        reference.to_owned()
    } else {
        format!("{}/{reference}", route.meta.namespace)
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
    if let Some(help) = did_you_mean(gateway, listeners.names()) {
        finding.help(help);
    }
}

fn warn(diagnostics: &mut Diagnostics, code: &'static str, at: Location, message: String, help: &str) {
    diagnostics.warning(code, at, message).help(help);
}
