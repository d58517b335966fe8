//! Which routes stand behind which virtual host of which port: `semantics/policy.md` §11.

use lockgate_core::config::resource::{Gateway, LlmMatch, LlmRoute, Meta};

use crate::policy::selects;
use crate::world::World;

/// A route on one virtual host, and the gateways that put it there.
#[derive(Debug, Clone)]
pub struct Bound<'w> {
    /// The route.
    pub route: &'w LlmRoute,
    /// The Gateways, as `namespace/name`.
    pub through: Vec<String>,
}

/// A virtual host of a port: its host (`*`, `*.suffix` or a name, lower case) and its routes in their order.
#[derive(Debug, Clone)]
pub struct VirtualHost<'w> {
    /// The host.
    pub host: String,
    /// The routes.
    pub routes: Vec<Bound<'w>>,
}

/// The virtual hosts of `port`. As in Istio, a route of which nothing counts here opens none.
#[must_use]
pub fn virtual_hosts(world: &World, port: u16) -> Vec<VirtualHost<'_>> {
    let mut hosts = bindings(world, port);
    for host in &mut hosts {
        host.routes.retain(|bound| has_rules(world, bound));
    }
    hosts.retain(|host| !host.routes.is_empty());
    hosts
}

/// What `port` would serve if every match counted.
#[must_use]
pub fn bindings(world: &World, port: u16) -> Vec<VirtualHost<'_>> {
    let mut hosts: Vec<VirtualHost<'_>> = Vec::new();
    for route in in_order(world) {
        for gateway in &world.resources.gateways {
            for host in hosts_between(world, route, gateway, port) {
                add(&mut hosts, host, route, &label(&gateway.meta));
            }
        }
    }
    hosts
}

fn has_rules(world: &World, bound: &Bound<'_>) -> bool {
    let rules = &bound.route.rules;
    rules
        .iter()
        .any(|rule| rule.matches.is_empty() || rule.matches.iter().any(|entry| counts(world, bound, entry)))
}

/// Those with a creation time first, oldest first; then as loaded.
fn in_order(world: &World) -> Vec<&LlmRoute> {
    let mut dated: Vec<&LlmRoute> = Vec::new();
    let mut undated = Vec::new();
    for route in &world.resources.llm_routes {
        let Some(created) = route.meta.created else {
            undated.push(route);
            continue;
        };
        let earlier = dated.iter().filter(|other| other.meta.created <= Some(created)).count();
        dated.insert(earlier, route);
    }
    dated.extend(undated);
    dated
}

fn add<'w>(hosts: &mut Vec<VirtualHost<'w>>, host: String, route: &'w LlmRoute, gateway: &str) {
    let at = hosts.iter().position(|known| known.host == host).unwrap_or_else(|| {
        let routes = Vec::new();
        hosts.push(VirtualHost { host, routes });
        hosts.len() - 1
    });
    let routes = &mut hosts[at].routes;
    match routes.last_mut() {
        Some(bound) if std::ptr::eq(bound.route, route) => bound.through.push(gateway.to_owned()),
        _ => routes.push(Bound {
            route,
            through: vec![gateway.to_owned()],
        }),
    }
}

/// The hosts that `route` gets on `port` through `gateway`.
fn hosts_between(world: &World, route: &LlmRoute, gateway: &Gateway, port: u16) -> Vec<String> {
    let named = route
        .gateways
        .iter()
        .any(|name| names(name, &route.meta, &gateway.meta));
    if !named || !selects(&gateway.selector, &world.settings) {
        return Vec::new();
    }
    let mut hosts = Vec::new();
    for server in &gateway.servers {
        for text in &server.hosts {
            let (namespace, host) = text.split_once('/').unwrap_or(("*", text));
            let admitted = match namespace {
                "*" => true,
                "." => route.meta.namespace == gateway.meta.namespace,
                namespace => *route.meta.namespace == *namespace,
            };
            if *server.port == port && admitted {
                hosts.extend(intersection(
                    &route.host.to_ascii_lowercase(),
                    &host.to_ascii_lowercase(),
                ));
            }
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

/// Whether a match counts on the virtual host that `bound` stands behind.
#[must_use]
pub fn counts(world: &World, bound: &Bound<'_>, entry: &LlmMatch) -> bool {
    let through = |name: &String| bound.through.contains(&absolute(name, &bound.route.meta));
    let here = entry.gateways.is_empty() || entry.gateways.iter().any(|name| through(name));
    here && entry
        .source_labels
        .as_ref()
        .is_none_or(|labels| selects(labels, &world.settings))
}
