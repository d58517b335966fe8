//! Matching: one pass over one virtual host, and the choice of a backend.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use lockgate_core::config::resource::{BackendRef, LlmMatch, LlmRoute, LlmRule, StringMatch};
use regex::bytes::Regex;

use crate::binding::{Bound, VirtualHost, counts, covers};
use crate::head::{split_authority, values};
use crate::traffic::Sample;
use crate::world::World;

/// What the evaluation came across, for counting.
pub type Features = BTreeSet<&'static str>;

/// The host that is matched: the client's, or the provider's after the rewrite.
#[derive(Debug, Clone)]
pub struct Target {
    /// Lower case, without port.
    pub host: String,
    /// The port that the authority names, as written.
    pub port: Option<String>,
}

/// A rule that matched.
#[derive(Debug, Clone, Copy)]
pub struct Found<'w> {
    /// Its route.
    pub route: &'w LlmRoute,
    /// Its place in the route.
    pub index: usize,
}

impl<'w> Found<'w> {
    /// The rule.
    #[must_use]
    pub fn rule(&self) -> &'w LlmRule {
        &self.route.rules[self.index]
    }

    /// `namespace/route/rule`; a rule without a name is called `rules[N]`.
    #[must_use]
    pub fn label(&self) -> String {
        let meta = &self.route.meta;
        let rule = match &self.rule().name {
            Some(name) => name.value.clone(),
            None => format!("rules[{}]", self.index),
        };
        format!("{}/{}/{rule}", meta.namespace, *meta.name)
    }
}

/// One way to reach a rule: a match, or none for a rule that has none.
#[derive(Debug, Clone, Copy)]
struct Alternative<'w> {
    found: Found<'w>,
    entry: Option<&'w LlmMatch>,
}

impl Alternative<'_> {
    fn is_catch_all(&self) -> bool {
        self.entry.is_none_or(|entry| entry.headers.is_empty())
    }
}

/// The first rule that matches, of the virtual hosts of the request's port.
pub fn find<'w>(
    world: &World,
    hosts: &[VirtualHost<'w>],
    sample: &Sample,
    target: &Target,
    features: &mut Features,
) -> Option<Found<'w>> {
    let host = choose_host(hosts, &target.host)?;
    features.insert(match host.host.as_str() {
        "*" => "virtual host *",
        host if host.starts_with('*') => "virtual host *.suffix",
        _ => "virtual host exact",
    });
    if host.routes.len() > 1 {
        features.insert("several routes on a virtual host");
    }
    let (mut conditional, mut catch_alls) = (Vec::new(), Vec::new());
    for bound in &host.routes {
        for alternative in alternatives(world, bound) {
            if alternative.is_catch_all() {
                catch_alls.push(alternative);
                break;
            }
            conditional.push(alternative);
        }
    }
    let matched = conditional
        .iter()
        .chain(&catch_alls)
        .find(|alternative| alternative_holds(alternative, sample, target))?;
    note(matched, &catch_alls, features);
    Some(matched.found)
}

fn note(matched: &Alternative<'_>, catch_alls: &[Alternative<'_>], features: &mut Features) {
    if matched.is_catch_all() {
        features.insert("by a catch-all");
        if catch_alls.len() > 1 {
            features.insert("by one of several catch-alls");
        }
    }
    let headers = matched.entry.map_or(&[][..], |entry| &entry.headers);
    for (name, condition) in headers {
        features.insert(match (name.as_str(), &condition.value) {
            ("host", StringMatch::Exact(_)) => "by host exact",
            ("host", StringMatch::Prefix(_)) => "by host prefix",
            ("host", StringMatch::Regex(_)) => "by host regex",
            (_, StringMatch::Exact(_)) => "by header exact",
            (_, StringMatch::Prefix(_)) => "by header prefix",
            (_, StringMatch::Regex(_)) => "by header regex",
            (_, StringMatch::Present) => "by header presence",
        });
    }
    if matched.entry.is_some_and(|entry| !entry.gateways.is_empty()) {
        features.insert("by a match with gateways");
    }
    if matched.entry.is_some_and(|entry| entry.source_labels.is_some()) {
        features.insert("by a match with sourceLabels");
    }
}

/// Exact, else the longest suffix, else `*`; no falling back.
fn choose_host<'v, 'w>(hosts: &'v [VirtualHost<'w>], host: &str) -> Option<&'v VirtualHost<'w>> {
    let mut best: Option<&VirtualHost<'_>> = None;
    for candidate in hosts {
        if candidate.host == host {
            return Some(candidate);
        }
        let longer = best.is_none_or(|best| candidate.host.len() > best.host.len());
        if candidate.host.starts_with('*') && covers(&candidate.host, host) && longer {
            best = Some(candidate);
        }
    }
    best
}

/// The alternatives of a route in the order written.
fn alternatives<'w>(world: &World, bound: &Bound<'w>) -> Vec<Alternative<'w>> {
    let mut alternatives = Vec::new();
    for (index, rule) in bound.route.rules.iter().enumerate() {
        let found = Found {
            route: bound.route,
            index,
        };
        if rule.matches.is_empty() {
            alternatives.push(Alternative { found, entry: None });
        }
        for entry in rule.matches.iter().filter(|entry| counts(world, bound, entry)) {
            alternatives.push(Alternative {
                found,
                entry: Some(entry),
            });
        }
    }
    alternatives
}

fn alternative_holds(alternative: &Alternative<'_>, sample: &Sample, target: &Target) -> bool {
    let headers = alternative.entry.map_or(&[][..], |entry| &entry.headers);
    headers.iter().all(|(name, condition)| {
        if **name == "host" {
            host_holds(condition, target)
        } else {
            values(sample, name).iter().any(|value| value_holds(condition, value))
        }
    })
}

/// Port and case of the request do not count, but for an exact value that names a port.
fn host_holds(condition: &StringMatch, target: &Target) -> bool {
    match condition {
        StringMatch::Exact(value) => match split_authority(value) {
            Some((host, Some(port))) => host == target.host && target.port == Some(port),
            _ => value.to_ascii_lowercase() == target.host,
        },
        StringMatch::Prefix(prefix) => target.host.starts_with(&prefix.to_ascii_lowercase()),
        other => value_holds(other, target.host.as_bytes()),
    }
}

fn value_holds(condition: &StringMatch, value: &[u8]) -> bool {
    match condition {
        StringMatch::Exact(exact) => value == exact.as_bytes(),
        StringMatch::Prefix(prefix) => value.starts_with(prefix.as_bytes()),
        StringMatch::Regex(pattern) => REGEXES.with_borrow_mut(|known| {
            let compiled = || regex(pattern).expect("checked before");
            known.entry(pattern.clone()).or_insert_with(compiled).is_match(value)
        }),
        StringMatch::Present => true,
    }
}

thread_local! {
    /// Compiling one takes longer than everything else; the generator has two dozen.
    static REGEXES: RefCell<BTreeMap<String, Regex>> = const { RefCell::new(BTreeMap::new()) };
}

/// The whole value, as RE2 reads it, byte by byte.
///
/// # Errors
/// The pattern is no regular expression.
pub fn regex(pattern: &str) -> Result<Regex, regex::Error> {
    // On its own first, so that an unbalanced parenthesis cannot close the group.
    Regex::new(&format!("(?-u){pattern}"))?;
    Regex::new(&format!(r"(?-u)\A(?:{pattern})\z"))
}

/// The weights of a rule: one backend takes everything, none given means equal shares.
#[must_use]
pub fn weights(backends: &[BackendRef]) -> Vec<u64> {
    if backends.len() == 1 || backends.iter().all(|backend| backend.weight.is_none()) {
        return vec![1; backends.len()];
    }
    let given = |backend: &BackendRef| backend.weight.as_ref().map_or(0, |weight| u64::from(**weight));
    backends.iter().map(given).collect()
}

/// The upper half of the random number, scaled to the sum of the weights, falls on one of them.
pub fn choose<'w>(rule: &'w LlmRule, entropy: u64, features: &mut Features) -> &'w BackendRef {
    let weights = weights(&rule.backend_refs);
    let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    let mut point = (u128::from(entropy >> 32) * sum) >> 32;
    if weights.len() > 1 {
        features.insert("several backends");
    }
    for (index, (backend, weight)) in rule.backend_refs.iter().zip(&weights).enumerate() {
        if point < u128::from(*weight) {
            if index > 0 {
                features.insert("a backend that is not the first");
            }
            return backend;
        }
        point -= u128::from(*weight);
    }
    panic!("the point lies below the sum")
}
