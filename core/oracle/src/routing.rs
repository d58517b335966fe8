//! Matching: one pass over one virtual host, and the choice of a backend.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use lockgate_core::config::resource::{
    BackendRef, HeaderKey, HttpMatch, HttpRoute, Labels, LlmMatch, LlmRule, Spanned, StringMatch,
};
use regex::bytes::Regex;

use crate::binding::{Bound, Route, VirtualHost, absolute, covers};
use crate::head::{Head, split_authority, values};
use crate::policy::{BodySeen, is_bodiless, selects};
use crate::traffic::Sample;
use crate::world::World;

/// What the evaluation came across, for counting.
pub type Features = BTreeSet<&'static str>;

/// What is matched: the client's own, or the provider's after the rewrite.
#[derive(Debug, Clone)]
pub struct Target {
    /// As sent.
    pub authority: String,
    /// Lower case, without port.
    pub host: String,
    /// The port that the authority names, as written.
    pub port: Option<String>,
    /// The path.
    pub path: String,
    /// The query without its `?`.
    pub query: Option<String>,
    /// Whether what the token claims counts.
    pub has_claims: bool,
}

impl Target {
    /// What the client asks for.
    #[must_use]
    pub fn of(head: &Head) -> Self {
        Self {
            authority: head.authority.clone(),
            host: head.host.clone(),
            port: head.port.clone(),
            path: head.path.clone(),
            query: head.query.clone(),
            has_claims: true,
        }
    }
}

/// A rule that matched.
#[derive(Debug, Clone, Copy)]
pub struct Found<'w> {
    /// Its route.
    pub route: Route<'w>,
    /// Its place in the route.
    pub index: usize,
    /// The alternative that matched.
    pub entry: Entry<'w>,
    /// Whether the body, which is not known, says if it matches.
    pub depends_on_body: bool,
}

/// One way to reach a rule.
#[derive(Debug, Clone, Copy)]
pub enum Entry<'w> {
    /// The rule has no matches.
    Any,
    /// A match of an LLMRoute.
    Llm(&'w LlmMatch),
    /// A match of a VirtualService.
    Http(&'w HttpMatch),
}

/// A rule of either kind.
#[derive(Debug, Clone, Copy)]
pub enum Rule<'w> {
    /// Of an LLMRoute.
    Llm(&'w LlmRule),
    /// Of a VirtualService.
    Http(&'w HttpRoute),
}

impl<'w> Found<'w> {
    /// The rule.
    #[must_use]
    pub fn rule(&self) -> Rule<'w> {
        match self.route {
            Route::Llm(route) => Rule::Llm(&route.rules[self.index]),
            Route::Virtual(service) => Rule::Http(&service.http[self.index]),
        }
    }

    /// `namespace/route/rule`; a rule without a name is called by its place.
    #[must_use]
    pub fn label(&self) -> String {
        let (name, list) = match self.rule() {
            Rule::Llm(rule) => (&rule.name, "rules"),
            Rule::Http(rule) => (&rule.name, "http"),
        };
        let rule = match name {
            Some(name) => name.value.to_string(),
            None => format!("{list}[{}]", self.index),
        };
        let meta = self.route.meta();
        format!("{}/{}/{rule}", meta.namespace, *meta.name)
    }
}

/// The path's condition: `/` is on every path.
fn path_condition(entry: &HttpMatch) -> Option<&StringMatch> {
    let uri = entry.uri.as_ref().map(|uri| &uri.value);
    uri.filter(|uri| !matches!(uri, StringMatch::Present) && **uri != StringMatch::Prefix("/".into()))
}

impl Entry<'_> {
    /// Whether it takes every request.
    #[must_use]
    pub fn is_catch_all(&self) -> bool {
        match self {
            Self::Any => true,
            Self::Llm(entry) => {
                let asks_of_body = !entry.models.is_empty() || entry.stream.is_some();
                entry.headers.is_empty() && !asks_of_body && Entry::Http(&entry.more).is_catch_all()
            }
            Self::Http(entry) => {
                let also = &entry.also;
                let one = [&also.scheme, &also.method, &also.authority];
                path_condition(entry).is_none()
                    && one.iter().all(|one| one.is_none())
                    && also.headers.is_empty()
                    && also.without_headers.is_empty()
                    && also.query_params.is_empty()
            }
        }
    }

    /// How much of `path` a `rewrite.uri` stands for.
    #[must_use]
    pub fn matched<'p>(&self, path: &'p str) -> &'p str {
        let Self::Http(entry) = self else { return &path[..1] };
        match path_condition(entry) {
            None => &path[..1],
            Some(StringMatch::Prefix(prefix)) => &path[..prefix.len()],
            Some(_) => path,
        }
    }
}

/// The first rule that matches, of the virtual hosts of the request's port.
pub fn find<'w>(
    world: &World,
    hosts: &[VirtualHost<'w>],
    sample: &Sample,
    target: &Target,
    body: BodySeen,
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
    let is_virtual = |bound: &Bound<'_>| matches!(bound.route, Route::Virtual(_));
    if host.routes.iter().any(is_virtual) && !host.routes.iter().all(is_virtual) {
        features.insert("routes of both kinds on a virtual host");
    }
    let (mut conditional, mut catch_alls) = (Vec::new(), Vec::new());
    for bound in &host.routes {
        for found in alternatives(world, bound, sample.port) {
            if found.entry.is_catch_all() {
                catch_alls.push(found);
                break;
            }
            conditional.push(found);
        }
    }
    let many = conditional.len() > 12;
    let matched = conditional.iter().chain(&catch_alls).find_map(|found| {
        let held = holds(found.entry, sample, target, body);
        (held != Some(false)).then(|| Found {
            depends_on_body: held.is_none(),
            ..*found
        })
    })?;
    note(&matched, &catch_alls, features);
    if many {
        features.insert(match matched.entry.is_catch_all() {
            true => "by a catch-all behind many rules",
            false => "by one of many rules",
        });
    }
    Some(matched)
}

fn note(matched: &Found<'_>, catch_alls: &[Found<'_>], features: &mut Features) {
    if matched.entry.is_catch_all() {
        features.insert("by a catch-all");
        if catch_alls.len() > 1 {
            features.insert("by one of several catch-alls");
        }
    }
    match matched.entry {
        Entry::Any => {}
        Entry::Llm(entry) => {
            for (name, condition) in &entry.headers {
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
            if !entry.more.also.gateways.is_empty() {
                features.insert("by a match with gateways");
            }
            if entry.more.also.source_labels.is_some() {
                features.insert("by a match with sourceLabels");
            }
        }
        Entry::Http(entry) => note_http(entry, features),
    }
}

fn note_http(entry: &HttpMatch, features: &mut Features) {
    match path_condition(entry) {
        None => {}
        Some(StringMatch::Exact(_)) => drop(features.insert("by uri exact")),
        Some(StringMatch::Prefix(_)) => drop(features.insert("by uri prefix")),
        Some(_) => drop(features.insert("by uri regex")),
    }
    for (given, what) in [
        (
            path_condition(entry).is_some() && entry.ignore_uri_case,
            "by uri in any case",
        ),
        (entry.also.method.is_some(), "by method"),
        (entry.also.scheme.is_some(), "by scheme"),
        (entry.also.authority.is_some(), "by authority"),
        (entry.also.port.is_some(), "by a match with port"),
        (!entry.also.without_headers.is_empty(), "by the absence of a header"),
        (!entry.also.query_params.is_empty(), "by query parameter"),
        (entry.also.source_namespace.is_some(), "by a match with sourceNamespace"),
        (
            entry
                .also
                .headers
                .iter()
                .any(|(key, _)| matches!(key.value, HeaderKey::Claim(_))),
            "by claim",
        ),
    ] {
        if given {
            features.insert(what);
        }
    }
}

/// Exact, else the longest suffix, else `*`; no falling back.
/// The virtual host that a host belongs to.
#[must_use]
pub fn choose_host<'v, 'w>(hosts: &'v [VirtualHost<'w>], host: &str) -> Option<&'v VirtualHost<'w>> {
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

/// The alternatives of a route that count behind a virtual host of `port`, in the order written.
#[must_use]
pub fn alternatives<'w>(world: &World, bound: &Bound<'w>, port: u16) -> Vec<Found<'w>> {
    let mut all = Vec::new();
    let mut add = |index: usize, entries: Vec<Entry<'w>>| {
        all.extend(entries.into_iter().map(|entry| Found {
            route: bound.route,
            index,
            entry,
            depends_on_body: false,
        }));
    };
    match bound.route {
        Route::Llm(route) => {
            for (index, rule) in route.rules.iter().enumerate() {
                let counted = rule
                    .matches
                    .iter()
                    .filter(|entry| counts_llm(world, bound, entry, port));
                match rule.matches.is_empty() {
                    true => add(index, vec![Entry::Any]),
                    false => add(index, counted.map(Entry::Llm).collect()),
                }
            }
        }
        Route::Virtual(service) => {
            for (index, rule) in service.http.iter().enumerate() {
                let counted = rule
                    .matches
                    .iter()
                    .filter(|entry| counts_http(world, bound, entry, port));
                match rule.matches.is_empty() {
                    true => add(index, vec![Entry::Any]),
                    false => add(index, counted.map(Entry::Http).collect()),
                }
            }
        }
    }
    all
}

fn comes_through(bound: &Bound<'_>, gateways: &[Spanned<String>]) -> bool {
    let through = |name: &String| bound.through.contains(&absolute(name, bound.route.meta()));
    gateways.iter().any(|name| through(name))
}

fn has_labels(world: &World, labels: Option<&Labels>) -> bool {
    labels.is_none_or(|labels| selects(labels, &world.settings))
}

fn counts_llm(world: &World, bound: &Bound<'_>, entry: &LlmMatch, port: u16) -> bool {
    let also = &entry.more.also;
    let here = also.port.is_none_or(|wanted| wanted == port);
    let here = here && (also.gateways.is_empty() || comes_through(bound, &also.gateways));
    here && has_labels(world, also.source_labels.as_ref())
}

/// Labels and namespace count only where no gateways are named.
fn counts_http(world: &World, bound: &Bound<'_>, entry: &HttpMatch, port: u16) -> bool {
    if entry.also.port.is_some_and(|wanted| wanted != port) {
        return false;
    }
    if !entry.also.gateways.is_empty() {
        return comes_through(bound, &entry.also.gateways);
    }
    let namespace = entry.also.source_namespace.as_ref();
    has_labels(world, entry.also.source_labels.as_ref())
        && namespace.is_none_or(|namespace| *namespace == world.settings.namespace)
}

/// `None` when it is up to the body, which is not known.
fn holds(entry: Entry<'_>, sample: &Sample, target: &Target, body: BodySeen) -> Option<bool> {
    match entry {
        Entry::Any => Some(true),
        Entry::Llm(entry) => {
            let by_head = http_holds(&entry.more, sample, target)
                && entry.headers.iter().all(|(name, condition)| {
                    if **name == "host" {
                        host_holds(condition, target)
                    } else {
                        values(sample, name).iter().any(|value| value_holds(condition, value))
                    }
                });
            let asks_of_body = !entry.models.is_empty() || entry.stream.is_some();
            if !by_head || !asks_of_body {
                return Some(by_head);
            }
            let facts = match body {
                _ if is_bodiless(sample) => return Some(false),
                BodySeen::Unread | BodySeen::Read(None) => return None,
                BodySeen::Read(Some(facts)) => facts,
            };
            let is_one = |model: &str| entry.models.iter().any(|wanted| value_holds(wanted, model.as_bytes()));
            let model = entry.models.is_empty() || facts.model.is_some_and(is_one);
            let stream = entry
                .stream
                .is_none_or(|wanted| facts.stream.unwrap_or(false) == wanted);
            Some(model && stream)
        }
        Entry::Http(entry) => Some(http_holds(entry, sample, target)),
    }
}

fn http_holds(entry: &HttpMatch, sample: &Sample, target: &Target) -> bool {
    let one = |wanted: &Option<Spanned<StringMatch>>, value: &str| {
        wanted
            .as_ref()
            .is_none_or(|wanted| value_holds(wanted, value.as_bytes()))
    };
    path_condition(entry).is_none_or(|uri| path_holds(uri, entry.ignore_uri_case, &target.path))
        && one(&entry.also.method, sample.method)
        && one(&entry.also.scheme, sample.told.as_str())
        && one(&entry.also.authority, &target.authority)
        && entry.also.headers.iter().all(|(key, wanted)| {
            let values = values_of(key, sample, target);
            values.iter().any(|value| value_holds(wanted, value))
        })
        && entry.also.without_headers.iter().all(|(key, wanted)| {
            let mut values = values_of(key, sample, target);
            let is_field = matches!(key.value, HeaderKey::Field(_));
            if is_field && values.is_empty() && wanted.value != StringMatch::Present {
                values.push(Vec::new());
            }
            !values.iter().any(|value| value_holds(wanted, value))
        })
        && entry.also.query_params.iter().all(|(name, wanted)| {
            let query = target.query.as_deref().unwrap_or("");
            let pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
            let named = |pair: &&&str| pair.split('=').next() == Some(name.as_str());
            let first = pairs
                .iter()
                .find(named)
                .map(|pair| pair.split_once('=').map_or("", |(_, value)| value));
            first.is_some_and(|value| value_holds(wanted, value.as_bytes()))
        })
}

fn path_holds(uri: &StringMatch, ignore_case: bool, path: &str) -> bool {
    let fold = |text: &str| {
        if ignore_case {
            text.to_ascii_lowercase()
        } else {
            text.to_owned()
        }
    };
    match uri {
        StringMatch::Exact(exact) => fold(path) == fold(exact),
        StringMatch::Prefix(prefix) => fold(path).starts_with(&fold(prefix)),
        other => value_holds(other, path.as_bytes()),
    }
}

fn values_of(key: &HeaderKey, sample: &Sample, target: &Target) -> Vec<Vec<u8>> {
    match key {
        HeaderKey::Field(name) => values(sample, name),
        HeaderKey::Authority => vec![target.authority.clone().into_bytes()],
        HeaderKey::Method => vec![sample.method.into()],
        HeaderKey::Scheme => vec![sample.told.as_str().into()],
        HeaderKey::Claim(names) => {
            let person = sample.person.filter(|_| target.has_claims);
            let claims = person.map_or(&[][..], |person| person.strings).iter();
            let named = claims.filter(|(path, _)| path.iter().eq(names.iter()));
            named
                .flat_map(|(_, values)| values.iter().map(|value| value.as_bytes().to_vec()))
                .collect()
        }
    }
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
            known
                .entry(pattern.to_string())
                .or_insert_with(compiled)
                .is_match(value)
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
pub fn choose<'w, T>(backends: &'w [T], weights: &[u64], entropy: u64, features: &mut Features) -> &'w T {
    let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    let mut point = (u128::from(entropy >> 32) * sum) >> 32;
    if weights.len() > 1 {
        features.insert("several backends");
    }
    for (index, (backend, weight)) in backends.iter().zip(weights).enumerate() {
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
