//! Where an HTTPRoute attaches: the listeners that its parents name and that allow it, and where their hosts meet its own.
//!
//! As Gateway API has it, a request belongs to the listener of its port with the
//! narrowest host that takes it, and only routes attached there can match. So a
//! route binds to no host that another listener takes from the one it is attached to.
//! <https://gateway-api.sigs.k8s.io/reference/spec/#listener>

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::bind::Binding;
use crate::compile::kube_gateways::{CLASSES_TAKEN, KubeGateways, Section};
use crate::compile::listeners::intersect;
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::Resources;
use crate::config::resource::gateway_api::{GROUP, RouteNamespaces};
use crate::config::resource::http_route::{HttpRoute, ParentRef};
use crate::config::suggest::did_you_mean;

pub(super) fn attach(
    route: &HttpRoute,
    resources: &Resources,
    gateways: &KubeGateways<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Binding> {
    let mut bindings = Vec::new();
    for (index, parent) in route.parents.iter().enumerate() {
        let field = format!("spec.parentRefs[{index}]");
        let Some(gateway) = gateway_name(parent, &field, diagnostics) else {
            continue;
        };
        let Some(sections) = gateways.of(&gateway) else {
            if resources.has_all("Gateway") {
                refuse_unknown_gateway(parent, &gateway, &field, gateways, diagnostics);
            }
            continue;
        };
        let Some(sections) = meant(parent, sections, &gateway, &field, diagnostics) else {
            continue;
        };
        let met = hosts(route, &sections, gateways);
        if met.is_empty() {
            diagnostics
                .warning(
                    "route-not-bound",
                    parent.at,
                    format!(
                        "gateway `{gateway}` opens no listener here for HTTPRoute `{}`",
                        *route.meta.name
                    ),
                )
                .field(field)
                .help(why_not(route, &sections));
        }
        bindings.extend(met.into_iter().map(|met| Binding {
            gateway: gateway.clone(),
            listener: Some(met),
            tls_only: false,
        }));
    }
    if route.parents.iter().all(is_of_mesh) {
        diagnostics
            .warning(
                "route-without-gateway",
                route.meta.name.at,
                format!(
                    "HTTPRoute `{}` is attached to no Gateway, so it applies to nothing here",
                    *route.meta.name
                ),
            )
            .help("add `parentRefs: [{name: GATEWAY}]`");
    }
    bindings
}

/// `namespace/name` of the Gateway that a parent is; `None` when it is none.
fn gateway_name(parent: &ParentRef, field: &str, diagnostics: &mut Diagnostics) -> Option<String> {
    match (&*parent.group, &*parent.kind) {
        (GROUP, "Gateway") => return Some(format!("{}/{}", parent.namespace, *parent.name)),
        _ if is_of_mesh(parent) => return None,
        _ => {}
    }
    diagnostics
        .error(
            "unsupported-value",
            parent.at,
            format!(
                "a parent of kind `{}` of group `{}` is not supported",
                parent.kind, parent.group
            ),
        )
        .field(field)
        .help(format!(
            "an HTTPRoute attaches to a Gateway of `{GROUP}`; to one of Istio's a VirtualService binds"
        ));
    None
}

/// Whether a parent makes the route one of the mesh, which is for sidecars.
fn is_of_mesh(parent: &ParentRef) -> bool {
    matches!((&*parent.group, &*parent.kind), ("" | "core", "Service"))
}

/// The listeners that a parent means; `None` when it names one that is not there.
fn meant<'s, 'c>(
    parent: &ParentRef,
    sections: &'s [Section<'c>],
    gateway: &str,
    field: &str,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<&'s Section<'c>>> {
    let name = |section: &&Section<'_>| {
        parent
            .section
            .as_ref()
            .is_none_or(|name| name.value == section.listener.name.value)
    };
    let port = |section: &&Section<'_>| parent.port.as_ref().is_none_or(|port| **port == *section.listener.port);
    let meant: Vec<&Section<'_>> = sections.iter().filter(name).filter(port).collect();
    if !meant.is_empty() {
        return Some(meant);
    }
    let known = sections.iter().map(|section| &**section.listener.name);
    let named = |name: &str| sections.iter().find(|section| *section.listener.name.value == *name);
    let (at, what, help) = match (&parent.section, &parent.port) {
        (Some(name), Some(port)) if let Some(section) = named(name) => (
            port.at,
            format!("called `{}` on port {}", **name, **port),
            Some(format!("that one is on port {}", *section.listener.port)),
        ),
        (Some(name), _) => (name.at, format!("called `{}`", **name), did_you_mean(name, known)),
        (None, Some(port)) => (port.at, format!("on port {}", **port), None),
        (None, None) => return Some(meant),
    };
    let finding = diagnostics
        .error(
            "unknown-listener",
            at,
            format!("Gateway `{gateway}` has no listener {what}"),
        )
        .field(field);
    if let Some(help) = help {
        finding.help(help);
    }
    None
}

/// Listener and host of each place where the route is served.
fn hosts(route: &HttpRoute, sections: &[&Section<'_>], gateways: &KubeGateways<'_>) -> Vec<(u32, String)> {
    let mut met = Vec::new();
    for section in sections.iter().filter(|section| allows(section, route)) {
        let Some(index) = section.index else { continue };
        let own = route.hostnames.iter().map(|hostname| hostname.as_str());
        let every = route.hostnames.is_empty().then_some("*");
        for host in own.chain(every).filter_map(|host| intersect(section.host(), host)) {
            let place = (index, host.to_owned());
            if !gateways.is_taken_from(section, host) && !met.contains(&place) {
                met.push(place);
            }
        }
    }
    met
}

fn allows(section: &Section<'_>, route: &HttpRoute) -> bool {
    let namespace = &*route.meta.namespace;
    section.listener.takes_http_routes
        && match &section.listener.namespaces {
            RouteNamespaces::Same => section.namespace == namespace,
            RouteNamespaces::All => true,
            RouteNamespaces::None => false,
            RouteNamespaces::Named(name) => **name == *namespace,
        }
}

fn why_not(route: &HttpRoute, sections: &[&Section<'_>]) -> &'static str {
    if sections.iter().all(|section| section.index.is_none()) {
        CLASSES_TAKEN
    } else if !sections.iter().any(|section| allows(section, route)) {
        "`allowedRoutes` of its listeners does not allow the route's namespace or kind; without it, only the Gateway's own namespace is allowed"
    } else {
        "none of the route's `hostnames` is one of its listeners' `hostname`, or another listener takes it"
    }
}

fn refuse_unknown_gateway(
    parent: &ParentRef,
    gateway: &str,
    field: &str,
    gateways: &KubeGateways<'_>,
    diagnostics: &mut Diagnostics,
) {
    let finding = diagnostics
        .error(
            "unknown-gateway",
            parent.name.at,
            format!("there is no Gateway `{gateway}` of Gateway API"),
        )
        .field(field);
    if let Some(help) = did_you_mean(gateway, gateways.names()) {
        finding.help(help);
    }
}
