//! LLMRoutes to rules, and per listener and host the order they are tried in.
//!
//! A route binds to a server where their hosts meet; the narrower host names
//! the virtual host. Routes of one virtual host are merged as Istio merges
//! VirtualServices: oldest first, each as written up to its first catch-all,
//! and the catch-alls of all of them last.

mod bind;
mod rules;
mod virtual_hosts;

use alloc::vec::Vec;

use super::Settings;
use super::listeners::Listeners;
use super::providers::Providers;
use super::rows::RowWriter;
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{LlmRoute, Resources};

use bind::bind;
use rules::RouteCompiler;
pub(super) use rules::rule_label;
use virtual_hosts::VirtualHosts;

pub(super) fn compile(
    resources: &Resources,
    settings: &Settings,
    listeners: &Listeners<'_>,
    providers: &mut Providers<'_>,
    rows: &mut RowWriter<'_>,
    diagnostics: &mut Diagnostics,
) {
    let mut order: Vec<&LlmRoute> = resources.llm_routes.iter().collect();
    order.sort_by_key(|route| (route.meta.created.is_none(), route.meta.created));
    let mut hosts = VirtualHosts::default();
    for route in order {
        let bindings = bind(route, listeners, diagnostics);
        let bound_here = bindings.iter().any(|binding| binding.listener.is_some());
        let mut compiler = RouteCompiler {
            route,
            settings,
            providers,
            rows,
            diagnostics,
            bound_here,
        };
        let alternatives = compiler.compile();
        hosts.add(&bindings, &alternatives);
    }
    hosts.write(rows);
}
