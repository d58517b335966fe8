//! What makes well-formed resources wrong together, each by the words the design has for it.

use std::collections::BTreeSet;

use lockgate_core::config::resource::{
    AuthorizationPolicy, BackendRef, HttpAction, LlmProvider, LlmRoute, LlmRule, Meta, PolicyTarget, StringMatch,
    UriRewrite, VirtualService,
};
use lockgate_core::limits::REGEX_BYTES_MAX;

use crate::binding::{Route, absolute, bindings, names};
use crate::listening::{Listener, served};
use crate::policy::{applies, selects};
use crate::routing::{regex, weights};
use crate::world::World;

/// Why a configuration is refused.
pub type Reasons = BTreeSet<&'static str>;

/// The reasons to refuse `world`; none when it is served.
#[must_use]
pub fn reasons(world: &World) -> Reasons {
    let mut reasons = Reasons::new();
    if has_duplicates(metas(world).map(|meta| (meta.kind, &meta.namespace, &**meta.name))) {
        reasons.insert("two resources of one kind and name");
    }
    if has_duplicates(visible_providers(world).map(|provider| provider.host.to_ascii_lowercase())) {
        reasons.insert("two visible providers with one host");
    }
    for route in &world.resources.llm_routes {
        if names_an_absent_gateway(world, Route::Llm(route)) {
            reasons.insert("a Gateway that is not there");
        }
        check_route(world, route, &mut reasons);
    }
    for service in &world.resources.virtual_services {
        if names_an_absent_gateway(world, Route::Virtual(service)) {
            reasons.insert("a Gateway that is not there");
        }
        check_service(world, service, &mut reasons);
    }
    if world
        .resources
        .authorization_policies
        .iter()
        .any(|policy| names_some(policy, world))
    {
        reasons.insert("a policy for some of the Gateways");
    }
    if !policies_know_their_authorizers(world) {
        reasons.insert("an authorizer that is not there");
    }
    reasons
}

/// Whether a policy of this gateway refers to Gateways, and one that it does not refer to is this gateway's too.
fn names_some(policy: &AuthorizationPolicy, world: &World) -> bool {
    let PolicyTarget::References(references) = &policy.target else {
        return false;
    };
    let mut ours = world.resources.gateways.iter();
    applies(policy, world)
        && ours.any(|gateway| {
            let is_meant = gateway.meta.namespace == policy.meta.namespace
                && references
                    .iter()
                    .any(|reference| *reference.kind == *"Gateway" && *reference.name == *gateway.meta.name);
            selects(&gateway.selector, &world.settings) && !is_meant
        })
}

fn policies_know_their_authorizers(world: &World) -> bool {
    let meshes = || world.resources.mesh_configs.iter();
    let known: BTreeSet<&str> = meshes()
        .flat_map(|mesh| &mesh.authorizers)
        .map(|authorizer| &*authorizer.name.value)
        .collect();
    let policies = world.resources.authorization_policies.iter();
    let mut asked = policies
        .filter(|policy| !policy.dry_run && applies(policy, world))
        .filter_map(|policy| policy.provider.as_ref());
    asked.all(|provider| known.contains(&*provider.value))
}

fn metas(world: &World) -> impl Iterator<Item = &Meta> {
    let resources = &world.resources;
    let gateways = resources.gateways.iter().map(|gateway| &gateway.meta);
    let policies = resources.authorization_policies.iter().map(|policy| &policy.meta);
    let providers = resources.llm_providers.iter().map(|provider| &provider.meta);
    let routes = resources.llm_routes.iter().map(|route| &route.meta);
    let services = resources.virtual_services.iter().map(|service| &service.meta);
    gateways.chain(policies).chain(providers).chain(routes).chain(services)
}

fn has_duplicates<T: Ord>(things: impl Iterator<Item = T>) -> bool {
    let mut seen = BTreeSet::new();
    !things.into_iter().all(|thing| seen.insert(thing))
}

/// The providers that exist for this gateway.
pub fn visible_providers(world: &World) -> impl Iterator<Item = &LlmProvider> {
    let settings = &world.settings;
    world.resources.llm_providers.iter().filter(|provider| {
        let namespace = &*provider.meta.namespace;
        let labels = provider.workload_selector.as_ref();
        (namespace == settings.root_namespace || namespace == settings.namespace)
            && labels.is_none_or(|labels| selects(labels, settings))
    })
}

fn names_an_absent_gateway(world: &World, route: Route<'_>) -> bool {
    let is_there = |name: &str| {
        let mut gateways = world.resources.gateways.iter();
        name == "mesh" || gateways.any(|gateway| names(name, route.meta(), &gateway.meta))
    };
    route.is_exported(world) && !route.gateways().iter().all(|name| is_there(name))
}

fn check_service(world: &World, service: &VirtualService, reasons: &mut Reasons) {
    let served = is_served(world, Route::Virtual(service));
    for entry in service.http.iter().flat_map(|rule| &rule.matches) {
        let also = &entry.also;
        let one = [&entry.uri, &also.scheme, &also.method, &also.authority];
        let keyed = also
            .headers
            .iter()
            .chain(&also.without_headers)
            .map(|(_, wanted)| wanted);
        let params = also.query_params.iter().map(|(_, wanted)| wanted);
        for wanted in one.into_iter().flatten().chain(keyed).chain(params) {
            if let StringMatch::Regex(text) = &wanted.value {
                check_pattern(text, &regex(text), reasons);
            }
        }
    }
    for rule in &service.http {
        let HttpAction::Route { destinations, rewrite } = &rule.action else {
            continue;
        };
        if let Some(UriRewrite::Regex { pattern: text, .. }) = &rewrite.uri {
            check_pattern(text, &regex::bytes::Regex::new(text), reasons);
        }
        for destination in destinations.iter().filter(|_| served) {
            let mut entries = world.resources.service_entries.iter();
            let Some(entry) = entries.find(|entry| entry.hosts.iter().any(|host| **host == **destination.host)) else {
                reasons.insert("a destination that is not there");
                continue;
            };
            match &destination.port {
                None if entry.ports.len() == 1 => {}
                None => drop(reasons.insert("a port that is not named")),
                Some(port) if entry.ports.iter().any(|own| *own.number == **port) => {}
                Some(_) => drop(reasons.insert("a port that is not there")),
            }
        }
        let weights = destinations
            .iter()
            .map(|one| one.weight.as_ref().map_or(0, |weight| u64::from(**weight)));
        let sum: u64 = weights.sum();
        if destinations.len() > 1 && sum == 0 {
            reasons.insert("all weights are zero");
        }
        if destinations.len() > 1 && sum > u64::from(u32::MAX) {
            reasons.insert("weights that add up to more than 32 bits");
        }
    }
}

fn check_pattern(text: &str, compiled: &Result<regex::bytes::Regex, regex::Error>, reasons: &mut Reasons) {
    if text.len() > REGEX_BYTES_MAX || compiled.is_err() {
        reasons.insert("no regular expression");
    }
}

fn check_route(world: &World, route: &LlmRoute, reasons: &mut Reasons) {
    for name in route
        .rules
        .iter()
        .flat_map(|rule| &rule.matches)
        .flat_map(|entry| &entry.more.also.gateways)
    {
        let same = |other: &str| absolute(name, &route.meta) == absolute(other, &route.meta);
        if !route.gateways.iter().any(|other| same(other)) {
            reasons.insert("a match that widens the route's gateways");
        }
    }
    if has_duplicates(route.rules.iter().filter_map(|rule| rule.name.as_deref())) {
        reasons.insert("two rules with one name");
    }
    let served = is_served(world, Route::Llm(route));
    for rule in &route.rules {
        check_matches(rule, reasons);
        check_weights(&rule.backend_refs, reasons);
        check_providers(world, served, &rule.backend_refs, reasons);
    }
}

fn check_matches(rule: &LlmRule, reasons: &mut Reasons) {
    for (_, condition) in rule.matches.iter().flat_map(|entry| &entry.headers) {
        if let StringMatch::Regex(pattern) = &condition.value
            && (pattern.len() > REGEX_BYTES_MAX || regex(pattern).is_err())
        {
            reasons.insert("no regular expression");
        }
    }
}

/// Whether what a route sends to has to be there: it stands behind something here, or might if the Gateways that it names
/// were there.
#[must_use]
pub fn is_served(world: &World, route: Route<'_>) -> bool {
    names_an_absent_gateway(world, route) || is_bound(world, route)
}

/// Whether a route stands behind anything here.
fn is_bound(world: &World, route: Route<'_>) -> bool {
    let listeners: BTreeSet<Listener> = served(world).iter().map(|served| served.listener).collect();
    listeners.into_iter().any(|listener| {
        let hosts = bindings(world, listener);
        hosts
            .iter()
            .flat_map(|host| &host.routes)
            .any(|bound| bound.route.is(route))
    })
}

fn check_providers(world: &World, served: bool, backends: &[BackendRef], reasons: &mut Reasons) {
    for backend in backends {
        let named = |provider: &&LlmProvider| provider.host.eq_ignore_ascii_case(&backend.provider_host);
        if !world.resources.llm_providers.iter().any(|provider| named(&provider)) {
            reasons.insert("a provider that is not there");
        } else if served && !visible_providers(world).any(|provider| named(&provider)) {
            // A route that stands behind nothing here may well mean another gateway's providers.
            reasons.insert("a provider that is not for this gateway");
        }
    }
}

fn check_weights(backends: &[BackendRef], reasons: &mut Reasons) {
    let given = backends.iter().filter(|backend| backend.weight.is_some()).count();
    if backends.len() > 1 {
        if given != 0 && given != backends.len() {
            reasons.insert("some weights are missing");
        }
        // A weight that is missing is taken for 0, so that all faults of a rule are told at once.
        if weights(backends).iter().all(|weight| *weight == 0) {
            reasons.insert("all weights are zero");
        }
        let sum: u64 = weights(backends).into_iter().sum();
        // Envoy's own bound, and what keeps the choice within 64 bits.
        if sum > u64::from(u32::MAX) {
            reasons.insert("weights that add up to more than 32 bits");
        }
    }
}
