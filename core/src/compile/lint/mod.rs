//! What loads, and probably does not do what was meant.
//!
//! Each lint reads the compiled tables where it can, so that it speaks of what
//! the gateway will really do.

mod absent_headers;
mod hosts;
mod http_route;
mod paths;
mod policy;
mod shadowed;
mod virtual_service;
mod weights;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::hosts::Hosts;
use super::kube_gateways::CLASSES_TAKEN;
use super::second_pass::{SecondPass, exact_host, providers_of};
use super::targets::Targets;
use super::{Settings, policies};
use crate::config::diagnostic::{Diagnostics, Location};
use crate::config::resource::{Action, AuthorizationPolicy, Meta, PolicyKey, PolicyRule, Resources};
use crate::route;
use crate::snapshot::Snapshot;
use crate::tables::{EntryRow, ProviderId, Tables};
use crate::text_map::TextSet;

/// `places` are those of the origins.
pub(super) fn check(
    snapshot: &Snapshot,
    places: &[Location],
    resources: &Resources,
    settings: &Settings,
    targets: &Targets<'_>,
    hosts: &Hosts<'_>,
    diagnostics: &mut Diagnostics,
) {
    let tables = snapshot.tables();
    let reach = reach(tables);
    let second_pass = SecondPass::new(tables);
    for ways in reach.chunk_by(same_provider) {
        warn_about_second_pass(tables, ways, &second_pass, places, diagnostics);
    }
    for policy in policies::selected(resources, targets).filter(|policy| !policy.dry_run) {
        for rule in &policy.rules {
            warn_about_aliases(policy, rule, &reach, diagnostics);
        }
    }
    for service in &resources.virtual_services {
        virtual_service::check(service, diagnostics);
    }
    virtual_service::warn_about_unused_delegates(resources, diagnostics);
    for route in &resources.llm_routes {
        virtual_service::check_rewrites_of_llm_route(route, diagnostics);
    }
    hosts::check(snapshot, resources, settings, hosts, diagnostics);
    weights::check(resources, diagnostics);
    shadowed::check(tables, places, diagnostics);
    absent_headers::check_routes(tables, places, diagnostics);
    paths::check_routes(tables, places, diagnostics);
    for route in &resources.http_routes {
        http_route::check(route, diagnostics);
    }
    policy::check(tables, resources, settings, targets, diagnostics);
    if snapshot.listeners().is_empty() {
        warn_about_no_listener(resources, settings, diagnostics);
    }
}

/// What to look at where a selector does not select this gateway.
const HOW_LABELS_SELECT: &str = "compare `spec.selector` with `--workload-labels`";

fn warn_about_no_listener(resources: &Resources, settings: &Settings, diagnostics: &mut Diagnostics) {
    let mut warn = |meta: &Meta, why: &str, help: &str| {
        let message = format!(
            "no Gateway selects this gateway, so nothing listens: `{}/{}` {why}",
            meta.namespace, *meta.name
        );
        diagnostics.warning("no-listener", meta.name.at, message).help(help);
    };
    let mut istio = resources.gateways.iter();
    if let Some((meta, why)) = istio.find_map(|gateway| Some((&gateway.meta, settings.unlike(&gateway.selector)?))) {
        warn(meta, &why, HOW_LABELS_SELECT);
    } else if let Some(gateway) = resources.kube_gateways.first() {
        warn(&gateway.meta, "is another gateway's", CLASSES_TAKEN);
    }
}

/// A host by which a provider is reached on a listener.
struct Way<'d> {
    listener: u32,
    provider: ProviderId,
    /// `None` is any host that no rule names.
    host: Option<&'d str>,
    /// The first entry of the three.
    entry: &'d EntryRow,
    /// Its number.
    number: u32,
}

impl<'d> Way<'d> {
    fn key(&self) -> (u32, ProviderId, Option<&'d str>) {
        (self.listener, self.provider, self.host)
    }
}

fn same_provider(a: &Way<'_>, b: &Way<'_>) -> bool {
    same_listener(a, b) && a.provider == b.provider
}

fn same_listener(a: &Way<'_>, b: &Way<'_>) -> bool {
    a.listener == b.listener
}

/// All ways, sorted by listener, provider and host.
fn reach<'d>(tables: &'d Tables) -> Vec<Way<'d>> {
    let mut reach = Vec::new();
    for virtual_host in &tables.virtual_hosts {
        let name = tables.text(virtual_host.name);
        let entries = virtual_host.entries;
        for (entry, number) in entries.of(&tables.entries).iter().zip(entries.numbers()) {
            let host = exact_host(tables, entry).or((!name.starts_with('*')).then_some(name));
            reach.extend(providers_of(tables, entry).map(|provider| Way {
                listener: virtual_host.listener,
                provider,
                host,
                entry,
                number,
            }));
        }
    }
    reach.sort_unstable_by_key(|way| (way.key(), way.number));
    reach.dedup_by_key(|way| way.key());
    reach
}

/// After the rewrite to the provider's host, routes are matched again: without a rule for that host, or with one that
/// does not list the provider, every request of the first rule is refused.
fn warn_about_second_pass(
    tables: &Tables,
    ways: &[Way<'_>],
    second_pass: &SecondPass<'_>,
    places: &[Location],
    diagnostics: &mut Diagnostics,
) {
    let Some(&Way {
        listener,
        provider,
        entry: first,
        ..
    }) = ways.first()
    else {
        return;
    };
    let host = tables.provider_host(provider);
    let second = second_pass.entries(listener, provider);
    let admitted = second
        .iter()
        .any(|entry| providers_of(tables, entry).any(|listed| listed == provider));
    if admitted {
        return;
    }
    let rule = tables.rule_label(first.rule);
    let port = tables.listeners.get(listener as usize).map_or(0, |row| row.port);
    let origin = tables.rule(first.rule).map(|rule| rule.origin.0 as usize);
    let at = origin
        .and_then(|origin| places.get(origin))
        .copied()
        .unwrap_or_default();
    if second.is_empty() {
        diagnostics
            .warning(
                "rewrite-without-route",
                at,
                format!("every request of rule `{rule}` is answered 404: after the rewrite to `{host}` no rule on port {port} matches it"),
            )
            .help(match route::virtual_host(tables, listener, host.as_bytes()) {
                Some(_) => format!(
                    "routes are matched again after the rewrite: let the rule match `{host}` too, and the provider's path"
                ),
                None => format!(
                    "routes are matched again after the rewrite: add `{host}` to the `hosts` of the Gateway's server on port {port}, which are {}, to the route's `host` if it is another, and to what the rule matches",
                    hosts_of(tables, listener)
                ),
            });
    } else {
        let label = second.first().map_or("", |entry| tables.rule_label(entry.rule));
        diagnostics
            .warning(
                "provider-not-admitted",
                at,
                format!("requests of rule `{rule}` are refused with 500: after the rewrite to `{host}` they match rule `{label}`, which does not list that provider"),
            )
            .help(format!("add `providerHost: {host}` to that rule's backendRefs, or match `{host}` in a rule before it"));
    }
}

/// The hosts of a listener that routes stand on.
fn hosts_of(tables: &Tables, listener: u32) -> String {
    let hosts = tables.virtual_hosts.iter().filter(|host| host.listener == listener);
    let named: Vec<String> = hosts
        .map(|host| format!("`{}`", tables.text(host.name)))
        .take(HOSTS_SHOWN_MAX)
        .collect();
    named.join(", ")
}

/// A server has a handful of hosts, and a hint no room for more.
const HOSTS_SHOWN_MAX: usize = 4;

/// A host of a provider that is kept closed while others reach it as well: the seed's own policy has this hole.
fn warn_about_aliases(
    policy: &AuthorizationPolicy,
    rule: &PolicyRule,
    reach: &[Way<'_>],
    diagnostics: &mut Diagnostics,
) {
    let mut denied = Vec::new();
    for predicate in rule.predicates() {
        if predicate.key == PolicyKey::Host && policy::guards(policy, predicate) {
            denied.extend(&predicate.values);
        }
    }
    let denies = |host: &str| denied.iter().any(|pattern| host_matches(pattern, host));
    if denied.is_empty() {
        return;
    }
    let mut said = TextSet::default();
    let providers = reach
        .chunk_by(same_listener)
        .flat_map(|of_listener| of_listener.chunk_by(same_provider).map(move |ways| (of_listener, ways)));
    for (of_listener, ways) in providers {
        let hosts = || ways.iter().filter_map(|way| way.host);
        // What takes every host takes those that no rule of the listener names.
        let named = || of_listener.iter().filter_map(|way| way.host);
        let takes_any = ways.iter().any(|way| way.host.is_none());
        let reaches = |pattern: &str| {
            hosts().any(|host| host_matches(pattern, host))
                || takes_any && !named().any(|host| host_matches(without_port(pattern), host))
        };
        let Some(alias) = denied.iter().find(|pattern| reaches(pattern)) else {
            continue;
        };
        let open = hosts().filter(|host| !denies(host));
        let open: Vec<String> = open.map(|host| format!("`{host}`")).collect();
        let any = (takes_any && !denied.iter().any(|pattern| pattern.as_str() == "*")).then_some("any other host");
        let listed = (!open.is_empty()).then(|| format!("host {}", open.join(", ")));
        let ways: Vec<&str> = listed.as_deref().into_iter().chain(any).collect();
        // Once for all listeners.
        if ways.is_empty() || !said.insert(&ways.join(" or ")) {
            continue;
        }
        diagnostics
            .warning(
                "deny-by-alias",
                alias.at,
                format!(
                    "this {} can be walked around: {} leads to the same provider",
                    match policy.action {
                        Action::Allow => "`notHosts`",
                        action => action.word(),
                    },
                    ways.join(" or ")
                ),
            )
            .help("policies judge the host that the client sent; list the provider's other hosts too");
    }
}

fn without_port(pattern: &str) -> &str {
    pattern.split_once(':').map_or(pattern, |(name, _)| name)
}

fn host_matches(pattern: &str, host: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(suffix), _) => host.ends_with(suffix),
        (None, Some(prefix)) => host.starts_with(prefix),
        (None, None) => host == pattern,
    }
}
