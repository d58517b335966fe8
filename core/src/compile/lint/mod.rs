//! What loads, and probably does not do what was meant.
//!
//! Each lint reads the compiled tables where it can, so that it speaks of what
//! the gateway will really do.

mod paths;
mod policy;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Settings, policies};
use crate::config::diagnostic::{Diagnostics, Location};
use crate::config::resource::{Action, AuthorizationPolicy, PolicyKey, PolicyRule, Resources};
use crate::route;
use crate::snapshot::Snapshot;
use crate::tables::{EntryRow, ProviderId, Subject, Tables, Test};

pub(super) fn check(snapshot: &Snapshot, resources: &Resources, settings: &Settings, diagnostics: &mut Diagnostics) {
    let tables = &snapshot.tables();
    let places = rule_places(resources);
    let reach = reach(tables);
    for ((port, provider), hosts) in &reach {
        warn_about_second_pass(tables, *port, *provider, hosts, &places, diagnostics);
    }
    let mut named: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for ((port, _), hosts) in &reach {
        named.entry(*port).or_default().extend(hosts.keys().flatten());
    }
    for policy in policies::selected(resources, settings).filter(|policy| !policy.dry_run) {
        for rule in &policy.rules {
            warn_about_aliases(policy, rule, &reach, &named, diagnostics);
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

/// A host of a provider that is kept closed while others reach it as well: the seed's own policy has this hole.
fn warn_about_aliases(
    policy: &AuthorizationPolicy,
    rule: &PolicyRule,
    reach: &BTreeMap<(u16, ProviderId), Hosts<'_>>,
    named: &BTreeMap<u16, Vec<&str>>,
    diagnostics: &mut Diagnostics,
) {
    let hosts = rule
        .predicates()
        .filter(|predicate| predicate.key == PolicyKey::Host && policy::guards(policy, predicate));
    let denied: Vec<_> = hosts.flat_map(|predicate| &predicate.values).collect();
    let denies = |host: &str| denied.iter().any(|pattern| host_matches(pattern, host));
    if denied.is_empty() {
        return;
    }
    let mut said = BTreeSet::new();
    for ((port, _), hosts) in reach {
        // What takes every host takes those that no rule of the port names.
        let named = named.get(port).map_or(&[][..], |named| named);
        let takes_any = hosts.contains_key(&None);
        let reaches = |pattern: &str| {
            hosts.keys().flatten().any(|host| host_matches(pattern, host))
                || takes_any && !named.iter().any(|host| host_matches(without_port(pattern), host))
        };
        let Some(alias) = denied.iter().find(|pattern| reaches(pattern)) else {
            continue;
        };
        let open = hosts.keys().flatten().filter(|host| !denies(host));
        let open: Vec<String> = open.map(|host| format!("`{host}`")).collect();
        let any = (takes_any && !denied.iter().any(|pattern| pattern.as_str() == "*")).then_some("any other host");
        let listed = (!open.is_empty()).then(|| format!("host {}", open.join(", ")));
        let ways: Vec<&str> = listed.as_deref().into_iter().chain(any).collect();
        // Once for all ports.
        if ways.is_empty() || !said.insert(ways.join(" or ")) {
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
