//! What loads, and probably does not do what was meant.
//!
//! Each lint reads the compiled tables where it can, so that it speaks of what
//! the gateway will really do.

mod paths;
mod policy;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Settings, policies};
use crate::config::diagnostic::{Diagnostics, Location};
use crate::config::resource::{AuthorizationPolicy, PolicyKey, PolicyRule, Resources};
use crate::route;
use crate::snapshot::Snapshot;
use crate::tables::{Action, EntryRow, ProviderId, Subject, Tables, Test};

pub(super) fn check(snapshot: &Snapshot, resources: &Resources, settings: &Settings, diagnostics: &mut Diagnostics) {
    let tables = &snapshot.tables();
    let places = rule_places(resources);
    let reach = reach(tables);
    for ((port, provider), hosts) in &reach {
        warn_about_second_pass(tables, *port, *provider, hosts, &places, diagnostics);
    }
    let guards = |policy: &&AuthorizationPolicy| matches!(policy.action, Action::Deny | Action::Custom);
    for policy in policies::selected(resources, settings).filter(|policy| guards(policy) && !policy.dry_run) {
        for rule in &policy.rules {
            warn_about_aliases(policy.action, rule, &reach, diagnostics);
        }
    }
    policy::check(tables, resources, settings, diagnostics);
    if snapshot.listeners().is_empty() && !resources.gateways.is_empty() {
        diagnostics
            .warning(
                "no-listener",
                Location::default(),
                "no Gateway selects this gateway's labels, so nothing listens",
            )
            .help("compare the Gateways' `spec.selector` with `--workload-labels`");
    }
}

/// The hosts by which a provider is reached on a port; `None` is any host that no rule names.
type Hosts<'d> = BTreeMap<Option<&'d str>, &'d EntryRow>;

fn reach<'d>(tables: &Tables<'d>) -> BTreeMap<(u16, ProviderId), Hosts<'d>> {
    let mut reach: BTreeMap<(u16, ProviderId), Hosts<'d>> = BTreeMap::new();
    for virtual_host in tables.virtual_hosts {
        let Some(listener) = tables.listeners.get(virtual_host.listener as usize) else {
            continue;
        };
        let name = tables.text(virtual_host.name);
        for entry in virtual_host.entries.of(tables.entries) {
            let host = exact_host(tables, entry).or((!name.starts_with('*')).then_some(name));
            for provider in providers_of(tables, entry) {
                reach
                    .entry((listener.port, provider))
                    .or_default()
                    .entry(host)
                    .or_insert(entry);
            }
        }
    }
    reach
}

fn exact_host<'d>(tables: &Tables<'d>, entry: &EntryRow) -> Option<&'d str> {
    entry
        .conditions
        .of(tables.conditions)
        .iter()
        .find_map(|condition| match (condition.subject, condition.test) {
            (Subject::Host | Subject::Authority, Test::Exact(host)) => Some(tables.text(host)),
            _ => None,
        })
}

/// The providers that take traffic of the entry's rule.
fn providers_of<'d>(tables: &Tables<'d>, entry: &EntryRow) -> impl Iterator<Item = ProviderId> + use<'d> {
    let backends = tables
        .rule(entry.rule)
        .map_or(&[][..], |rule| rule.backends.of(tables.backends));
    backends
        .iter()
        .filter(|backend| backend.weight > 0)
        .map(|backend| backend.provider)
}

/// After the rewrite to the provider's host, routes are matched again: without a rule for that host, or with one that
/// does not list the provider, every request of the first rule is refused.
fn warn_about_second_pass(
    tables: &Tables<'_>,
    port: u16,
    provider: ProviderId,
    hosts: &Hosts<'_>,
    places: &BTreeMap<String, Location>,
    diagnostics: &mut Diagnostics,
) {
    let host = tables.provider_host(provider);
    let second: Vec<&EntryRow> = route::candidates(tables, port, host.as_bytes())
        .filter(|entry| takes_host(tables, entry, host))
        .collect();
    let admitted = second
        .iter()
        .any(|entry| providers_of(tables, entry).any(|listed| listed == provider));
    let Some(first) = hosts.values().next().filter(|_| !admitted) else {
        return;
    };
    let rule = tables.rule_label(first.rule);
    let at = places.get(rule).copied().unwrap_or_default();
    if second.is_empty() {
        diagnostics
            .warning(
                "rewrite-without-route",
                at,
                format!("every request of rule `{rule}` is answered 404: after the rewrite to `{host}` no rule on port {port} matches it"),
            )
            .help(format!("routes are matched again after the rewrite; add a match `headers: {{host: {{exact: {host}}}}}` to the rule"));
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

/// Whether the entry's conditions on the host hold for `host`; others may or may not.
fn takes_host(tables: &Tables<'_>, entry: &EntryRow, host: &str) -> bool {
    entry
        .conditions
        .of(tables.conditions)
        .iter()
        .all(|condition| match condition.subject {
            Subject::Host | Subject::Authority => route::passes(tables, condition.test, host.as_bytes()),
            Subject::Header(_) => true,
        })
}

/// A DENY (or a CUSTOM) on one host of a provider that other hosts reach as well: the seed's own policy has this hole.
fn warn_about_aliases(
    action: Action,
    rule: &PolicyRule,
    reach: &BTreeMap<(u16, ProviderId), Hosts<'_>>,
    diagnostics: &mut Diagnostics,
) {
    let hosts = rule
        .predicates()
        .filter(|predicate| predicate.key == PolicyKey::Host && !predicate.negated);
    let denied: Vec<_> = hosts.flat_map(|predicate| &predicate.values).collect();
    let denies = |host: &str| denied.iter().any(|pattern| host_matches(pattern, host));
    for hosts in reach.values() {
        let Some(alias) = denied
            .iter()
            .find(|pattern| hosts.keys().flatten().any(|host| host_matches(pattern, host)))
        else {
            continue;
        };
        let open: Vec<&str> = hosts.keys().flatten().copied().filter(|host| !denies(host)).collect();
        if open.is_empty() {
            continue;
        }
        let open: Vec<String> = open.into_iter().map(|host| format!("`{host}`")).collect();
        diagnostics
            .warning(
                "deny-by-alias",
                alias.at,
                format!(
                    "this {} can be walked around: host {} leads to the same provider",
                    action.word(),
                    open.join(", ")
                ),
            )
            .help("policies judge the host that the client sent; list the provider's other hosts too");
    }
}

fn host_matches(pattern: &str, host: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(suffix), _) => host.ends_with(suffix),
        (None, Some(prefix)) => host.starts_with(prefix),
        (None, None) => host == pattern,
    }
}

/// Where each rule stands, by label.
fn rule_places(resources: &Resources) -> BTreeMap<String, Location> {
    let mut places = BTreeMap::new();
    for route in &resources.llm_routes {
        for (index, rule) in route.rules.iter().enumerate() {
            places.insert(super::routes::rule_label(route, rule, index), rule.at);
        }
    }
    places
}
