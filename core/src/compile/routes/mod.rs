//! LLMRoutes, VirtualServices and HTTPRoutes to rules, and per listener and host the order they are tried in.
//!
//! A route binds to a server where their hosts meet; the narrower host names
//! the virtual host. Routes of one virtual host, of Istio's and ASM's kinds, are
//! merged as Istio merges VirtualServices: oldest first, each as written up to its
//! first catch-all, and the catch-alls of all of them last. Those of one
//! `creationTimestamp` are in the order of their names; those without one come
//! last, in the order they are loaded.
//! HTTPRoutes are merged by how specific their matches are, and only then like
//! that. Since the one order is not the other, a virtual host has routes of the
//! one world or of the other.

mod attach;
mod attempts;
mod backends;
mod bind;
mod conditions;
mod cors;
mod delegate;
mod fault;
mod header_changes;
mod http_match;
mod http_route;
mod llm_route;
mod mirrors;
mod rewrites;
mod virtual_hosts;
mod virtual_service;
mod weights;

use alloc::format;
use alloc::vec::Vec;

use super::destinations::Destinations;
use super::listeners::Listeners;
use super::providers::Providers;
use super::rows::RowWriter;
use super::{Settings, by_age, kube_gateways};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::http_route::HttpRoute;
use crate::config::resource::{LlmRoute, Meta, Resources, Spanned, VirtualService};

use crate::text_map::TextMap;
use bind::{Anchors, Binding, bind};
use delegate::Delegates;
use http_route::HttpRouteCompiler;
use llm_route::RouteCompiler;
use virtual_hosts::VirtualHosts;
use virtual_service::ServiceCompiler;

/// A resource that brings rules.
enum Route<'c> {
    Llm(&'c LlmRoute),
    Virtual(&'c VirtualService),
    Http(&'c HttpRoute),
}

impl<'c> Route<'c> {
    fn meta(&self) -> &'c Meta {
        match self {
            Self::Llm(route) => &route.meta,
            Self::Virtual(service) => &service.meta,
            Self::Http(route) => &route.meta,
        }
    }
}

pub(super) fn compile(
    resources: &Resources,
    settings: &Settings,
    listeners: &Listeners<'_>,
    providers: &mut Providers<'_>,
    mut destinations: Destinations<'_>,
    rows: &mut RowWriter<'_>,
    diagnostics: &mut Diagnostics,
) {
    let mesh = resources.mesh_configs.first();
    let default_retries = mesh.and_then(|mesh| mesh.default_retries.as_ref());
    let gateways = &kube_gateways::compile(resources, listeners);
    let delegates = Delegates::new(resources);
    let of_llm_routes = resources.llm_routes.iter().map(|route| route.rules.len());
    let of_services = resources.virtual_services.iter().map(|service| service.http.len());
    let of_http_routes = resources.http_routes.iter().map(|route| route.rules.len());
    let rules = of_llm_routes.chain(of_services).chain(of_http_routes).sum();
    rows.expect_rules(rules);
    let mut hosts = VirtualHosts::with_room(rules);
    let mut worlds = Worlds::default();
    for (listener, host) in gateways.opened() {
        hosts.open(listener, &host, false);
    }
    for route in in_order(resources, rows) {
        // What a route sends to must be there if a listener here serves it, or might if what it names were right.
        let errors = diagnostics.error_count();
        let (bindings, alternatives) = match route {
            Route::Llm(route) => {
                let anchors = Anchors {
                    meta: &route.meta,
                    hosts: Vec::from([Spanned {
                        value: route.host.to_ascii_lowercase(),
                        at: route.host.at,
                    }]),
                    gateways: &route.gateways,
                };
                let bindings = bind(&anchors, listeners, diagnostics);
                let is_served = is_bound(&bindings) || diagnostics.error_count() > errors;
                let mut compiler = RouteCompiler {
                    route,
                    settings,
                    providers,
                    rows,
                    diagnostics,
                    destinations: is_served.then_some(&mut destinations),
                };
                let alternatives = compiler.compile();
                (bindings, alternatives)
            }
            Route::Virtual(service) => {
                let bindings = virtual_service::bindings(service, settings, listeners, diagnostics);
                let is_served = is_bound(&bindings) || diagnostics.error_count() > errors;
                let rules = delegates.rules(service, is_served, rows, diagnostics);
                let mut compiler = ServiceCompiler {
                    service,
                    rules: &rules,
                    settings,
                    destinations: is_served.then_some(&mut destinations),
                    default_retries,
                    rows,
                    conditions: Vec::new(),
                    diagnostics,
                };
                let alternatives = compiler.compile();
                (bindings, alternatives)
            }
            Route::Http(route) => {
                let bindings = attach::attach(route, resources, gateways, diagnostics);
                let is_served = is_bound(&bindings) || diagnostics.error_count() > errors;
                let mut compiler = HttpRouteCompiler {
                    route,
                    resources,
                    destinations: is_served.then_some(&mut destinations),
                    default_retries,
                    rows,
                    diagnostics,
                };
                let alternatives = compiler.compile();
                worlds.add(true, &route.meta, &bindings, diagnostics);
                for alternative in alternatives {
                    // One by one: a catch-all ends the rules of Istio's kinds, of which the first that matches decides.
                    hosts.add(&bindings, core::slice::from_ref(&alternative), listeners);
                }
                continue;
            }
        };
        worlds.add(false, route.meta(), &bindings, diagnostics);
        hosts.add(&bindings, &alternatives, listeners);
    }
    hosts.write(listeners, rows);
}

/// Whether any listener here serves a route with these bindings.
fn is_bound(bindings: &[Binding]) -> bool {
    bindings.iter().any(|binding| binding.listener.is_some())
}

/// Which kinds of routes the virtual hosts have.
#[derive(Default)]
struct Worlds<'c> {
    /// By listener and host: the first route, and whether it is an HTTPRoute.
    first: TextMap<(bool, &'c Meta)>,
}

impl<'c> Worlds<'c> {
    /// Refuses a route for a virtual host that has routes of the other world.
    fn add(&mut self, is_http_route: bool, meta: &'c Meta, bindings: &[Binding], diagnostics: &mut Diagnostics) {
        let mut refused = false;
        for (listener, host) in bindings.iter().filter_map(|binding| binding.listener.as_ref()) {
            let key = format!("{listener}/{host}");
            match self.first.get(&key) {
                None => {
                    self.first.insert(&key, (is_http_route, meta));
                }
                Some((other, first)) if *other != is_http_route && !refused => {
                    refused = true;
                    diagnostics
                        .error(
                            "host-of-two-apis",
                            meta.name.at,
                            format!(
                                "{} `{}/{}` is for host `{host}` on the same port as {} `{}/{}`, and their kinds order rules differently",
                                meta.kind, meta.namespace, *meta.name, first.kind, first.namespace, *first.name
                            ),
                        )
                        .help("give each host of a port either HTTPRoutes or Istio's kinds of routes");
                }
                Some(_) => {}
            }
        }
    }
}

fn in_order<'c>(resources: &'c Resources, rows: &RowWriter<'_>) -> Vec<Route<'c>> {
    let llm = resources.llm_routes.iter().map(Route::Llm);
    let services = resources.virtual_services.iter();
    // Those without hosts are rules of others.
    let services = services.filter(|service| !service.hosts.is_empty());
    let mut order: Vec<Route<'_>> = llm
        .chain(services.map(Route::Virtual))
        .chain(resources.http_routes.iter().map(Route::Http))
        .collect();
    let created = |meta: &Meta| (meta.created.is_none(), meta.created);
    let name = |meta: &Meta| format!("{}/{}", meta.namespace, *meta.name);
    order.sort_unstable_by(|a, b| {
        let is_http_route = |route: &Route<'_>| matches!(route, Route::Http(_));
        let kind = is_http_route(a).cmp(&is_http_route(b));
        let (is_http_route, a, b) = (is_http_route(a), a.meta(), b.meta());
        kind.then_with(|| match is_http_route {
            true => created(a).cmp(&created(b)).then_with(|| name(a).cmp(&name(b))),
            false => by_age(a, b).then_with(|| rows.order(a.at).cmp(&rows.order(b.at))),
        })
    });
    order
}
