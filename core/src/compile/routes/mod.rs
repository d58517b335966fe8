//! LLMRoutes and VirtualServices to rules, and per listener and host the order they are tried in.
//!
//! A route binds to a server where their hosts meet; the narrower host names
//! the virtual host. Routes of one virtual host, of both kinds, are merged as
//! Istio merges VirtualServices: oldest first, each as written up to its first
//! catch-all, and the catch-alls of all of them last. Those without a
//! `creationTimestamp` come after those with one, in the order they are loaded.

mod attempts;
mod bind;
mod conditions;
mod cors;
mod fault;
mod llm_route;
mod virtual_hosts;
mod virtual_service;
mod weights;

use alloc::vec::Vec;

use super::Settings;
use super::destinations::Destinations;
use super::listeners::Listeners;
use super::providers::Providers;
use super::rows::RowWriter;
use crate::config::diagnostic::{Diagnostics, Location};
use crate::config::resource::{LlmRoute, Meta, Resources, Spanned, VirtualService};

use bind::{Anchors, Binding, bind};
use llm_route::RouteCompiler;
pub(super) use llm_route::rule_label as llm_rule_label;
use virtual_hosts::VirtualHosts;
use virtual_service::ServiceCompiler;

/// A resource that brings rules.
enum Route<'c> {
    Llm(&'c LlmRoute),
    Virtual(&'c VirtualService),
}

impl<'c> Route<'c> {
    fn meta(&self) -> &'c Meta {
        match self {
            Self::Llm(route) => &route.meta,
            Self::Virtual(service) => &service.meta,
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
    let mut hosts = VirtualHosts::default();
    for route in in_order(resources) {
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
                let mut compiler = RouteCompiler {
                    route,
                    settings,
                    providers,
                    rows,
                    diagnostics,
                    bound_here: is_bound(&bindings),
                };
                let alternatives = compiler.compile();
                (bindings, alternatives)
            }
            Route::Virtual(service) => {
                let bindings = virtual_service::bindings(service, settings, listeners, diagnostics);
                let mut compiler = ServiceCompiler {
                    service,
                    settings,
                    destinations: is_bound(&bindings).then_some(&mut destinations),
                    default_retries,
                    rows,
                    diagnostics,
                };
                let alternatives = compiler.compile();
                (bindings, alternatives)
            }
        };
        hosts.add(&bindings, &alternatives, listeners);
    }
    hosts.write(rows);
}

/// Whether any listener here serves a route with these bindings.
fn is_bound(bindings: &[Binding]) -> bool {
    bindings.iter().any(|binding| binding.listener.is_some())
}

fn in_order(resources: &Resources) -> Vec<Route<'_>> {
    let llm = resources.llm_routes.iter().map(Route::Llm);
    let mut order: Vec<Route<'_>> = llm
        .chain(resources.virtual_services.iter().map(Route::Virtual))
        .collect();
    let loaded = |at: Location| (at.source, at.start);
    order.sort_by_key(|route| {
        let meta = route.meta();
        (meta.created.is_none(), meta.created, loaded(meta.at))
    });
    order
}
