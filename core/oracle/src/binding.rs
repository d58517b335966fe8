//! Which routes stand behind which virtual host of which listener: `semantics/policy.md` §11.

use std::ptr;

use lockgate_core::config::resource::{LlmRoute, Meta, Spanned, VirtualService};

use crate::listening::{Listener, Served, served, server_names};
use crate::routing::alternatives;
use crate::world::{World, oldest_first};

/// A resource that brings rules.
#[derive(Debug, Clone, Copy)]
pub enum Route<'w> {
    /// An LLMRoute.
    Llm(&'w LlmRoute),
    /// A VirtualService.
    Virtual(&'w VirtualService),
}

impl<'w> Route<'w> {
    /// Which resource it is.
    #[must_use]
    pub fn meta(self) -> &'w Meta {
        match self {
            Self::Llm(route) => &route.meta,
            Self::Virtual(service) => &service.meta,
        }
    }

    /// Its Gateways.
    #[must_use]
    pub fn gateways(self) -> &'w [Spanned<String>] {
        match self {
            Self::Llm(route) => &route.gateways,
            Self::Virtual(service) => &service.gateways,
        }
    }

    fn hosts(self) -> Vec<String> {
        match self {
            Self::Llm(route) => vec![route.host.to_ascii_lowercase()],
            Self::Virtual(service) => service.hosts.iter().map(|host| host.value.clone()).collect(),
        }
    }

    /// Whether the gateway's namespace sees it.
    #[must_use]
    pub fn is_exported(self, world: &World) -> bool {
        let Self::Virtual(service) = self else { return true };
        let gateways = &world.settings.namespace;
        let own = || *service.meta.namespace == **gateways;
        let mut to = service.export_to.iter();
        service.export_to.is_empty()
            || to.any(|to| to.value == "*" || to.value == *gateways || to.value == "." && own())
    }

    /// Whether both are one resource.
    #[must_use]
    pub fn is(self, other: Route<'_>) -> bool {
        ptr::eq(self.meta(), other.meta())
    }
}

/// A route on one virtual host, and the gateways that put it there.
#[derive(Debug, Clone)]
pub struct Bound<'w> {
    /// The route.
    pub route: Route<'w>,
    /// The Gateways, as `namespace/name`.
    pub through: Vec<String>,
}

/// A virtual host of a listener: its host (`*`, `*.suffix` or a name, lower case) and its routes in their order.
#[derive(Debug, Clone)]
pub struct VirtualHost<'w> {
    /// The host.
    pub host: String,
    /// The routes.
    pub routes: Vec<Bound<'w>>,
    /// Requests in plain text are sent away to `https`.
    pub tls_only: bool,
}

/// The virtual hosts of a listener. As in Istio, a route of which nothing counts here opens none; a server for TLS only
/// opens its own hosts without any.
#[must_use]
pub fn virtual_hosts(world: &World, listener: Listener) -> Vec<VirtualHost<'_>> {
    let mut hosts = bindings(world, listener);
    for host in &mut hosts {
        host.routes
            .retain(|bound| !alternatives(world, bound, listener.port()).is_empty());
    }
    hosts.retain(|host| !host.routes.is_empty());
    for served in served(world) {
        if served.listener == listener && served.is_for_tls_only() {
            for name in server_names(served.server) {
                let at = named(&mut hosts, name);
                hosts[at].tls_only = true;
            }
        }
    }
    hosts
}

/// What a listener would serve if every match counted.
#[must_use]
pub fn bindings(world: &World, listener: Listener) -> Vec<VirtualHost<'_>> {
    let mut hosts: Vec<VirtualHost<'_>> = Vec::new();
    let served = served(world);
    for route in in_order(world) {
        for gateway in &world.resources.gateways {
            let own = |served: &&Served<'_>| ptr::eq(served.gateway, gateway) && served.listener == listener;
            for served in served.iter().filter(own) {
                for host in hosts_between(world, route, served) {
                    add(&mut hosts, host, route, served);
                }
            }
        }
    }
    hosts
}

/// Nothing tells apart what is of two kinds and undated: that is as loaded.
fn in_order(world: &World) -> Vec<Route<'_>> {
    let resources = &world.resources;
    let llm = resources.llm_routes.iter().map(Route::Llm);
    let all = llm.chain(resources.virtual_services.iter().map(Route::Virtual));
    oldest_first(all, |route| route.meta())
}

/// The place of the virtual host, which is opened where it is not there.
fn named(hosts: &mut Vec<VirtualHost<'_>>, host: String) -> usize {
    hosts.iter().position(|known| known.host == host).unwrap_or_else(|| {
        hosts.push(VirtualHost {
            host,
            routes: Vec::new(),
            tls_only: false,
        });
        hosts.len() - 1
    })
}

fn add<'w>(hosts: &mut Vec<VirtualHost<'w>>, host: String, route: Route<'w>, served: &Served<'_>) {
    let gateway = label(&served.gateway.meta);
    let at = named(hosts, host);
    hosts[at].tls_only |= served.is_for_tls_only();
    let routes = &mut hosts[at].routes;
    match routes.last_mut() {
        Some(bound) if bound.route.is(route) => bound.through.push(gateway),
        _ => routes.push(Bound {
            route,
            through: vec![gateway],
        }),
    }
}

/// The hosts that `route` gets through a server.
fn hosts_between(world: &World, route: Route<'_>, served: &Served<'_>) -> Vec<String> {
    let Served { gateway, server, .. } = *served;
    let meta = route.meta();
    let named = route.gateways().iter().any(|name| names(name, meta, &gateway.meta));
    if !named || !route.is_exported(world) {
        return Vec::new();
    }
    let mut hosts = Vec::new();
    for text in &server.hosts {
        let (namespace, host) = text.split_once('/').unwrap_or(("*", text));
        let admitted = match namespace {
            "*" => true,
            "." => meta.namespace == gateway.meta.namespace,
            namespace => *meta.namespace == *namespace,
        };
        if admitted {
            let own = route.hosts();
            hosts.extend(
                own.iter()
                    .filter_map(|own| intersection(own, &host.to_ascii_lowercase())),
            );
        }
    }
    hosts
}

/// The hosts that two hosts have in common, themselves written as one.
fn intersection(one: &str, other: &str) -> Option<String> {
    if covers(one, other) {
        Some(other.to_owned())
    } else if covers(other, one) {
        Some(one.to_owned())
    } else {
        None
    }
}

/// Whether every host that `narrow` means is one that `wide` means; both lower case.
#[must_use]
pub fn covers(wide: &str, narrow: &str) -> bool {
    match wide.strip_prefix('*') {
        None => wide == narrow,
        Some("") => true,
        // A star stands for at least one character, so `*.b.test` and `x.b.test` lie in `*.b.test`, `.b.test` does not.
        Some(suffix) => narrow.ends_with(suffix) && narrow.len() > suffix.len(),
    }
}

/// Whether the reference `name` of a resource means `gateway`.
#[must_use]
pub fn names(name: &str, from: &Meta, gateway: &Meta) -> bool {
    label(gateway) == absolute(name, from)
}

/// `namespace/name` of a reference.
#[must_use]
pub fn absolute(name: &str, from: &Meta) -> String {
    match name.split_once('/') {
        Some(_) => name.to_owned(),
        None => format!("{}/{name}", from.namespace),
    }
}

fn label(meta: &Meta) -> String {
    format!("{}/{}", meta.namespace, *meta.name)
}
