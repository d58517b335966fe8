//! What Gateways and HTTPRoutes do with a request, read from `docs/gateway-api.md`: linear, and one sentence at a time.

use lockgate_core::config::resource::gateway_api::{Gateway, Listener, RouteNamespaces};
use lockgate_core::config::resource::http_route::{
    BackendRef, Filters, HttpRoute, Match, PathMatch, PathModifier, Redirect, Rule,
};
use lockgate_core::config::resource::{HeaderChanges, Resources, Spanned, StringMatch};
use lockgate_core::request::Scheme;
use regex::Regex;

use crate::http_routes::Asked;

/// What comes of a request, in words that the engine's explanation can be put into as well.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// No rule takes it.
    NoRoute,
    /// A rule without backends: its name, and the changes of the answer.
    NoBackend(String, Vec<String>),
    /// The rule, the status, the place and the changes of the answer.
    Redirect(String, u16, String, Vec<String>),
    /// The rule, the host it goes to, the Host, the path with its query, the changes of the request and of the answer,
    /// the milliseconds it may take, and the hosts that get copies.
    Forward(
        String,
        String,
        String,
        String,
        Vec<String>,
        Vec<String>,
        Option<u32>,
        Vec<String>,
    ),
}

/// What comes of the request.
#[must_use]
pub fn outcome(resources: &Resources, asked: &Asked) -> Outcome {
    let host = asked.host.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let Some(hostname) = narrowest(
        listeners(resources, asked.port).map(|(_, listener)| hostname(listener)),
        &host,
    ) else {
        return Outcome::NoRoute;
    };
    // Every route attached to a listener of that hostname, with each of its hostnames that takes the host.
    let mut attached: Vec<(&HttpRoute, &str)> = Vec::new();
    for route in &resources.http_routes {
        for (gateway, listener) in listeners(resources, asked.port) {
            if self::hostname(listener) != hostname || !is_attached(route, gateway, listener) {
                continue;
            }
            let own = route.hostnames.iter().map(|own| own.as_str());
            let any = route.hostnames.is_empty().then_some("*");
            for own in own.chain(any).filter(|own| takes(own, &host)) {
                let narrower = if specificity(own) > specificity(hostname) {
                    own
                } else {
                    hostname
                };
                attached.push((route, narrower));
            }
        }
    }
    let Some(effective) = narrowest(attached.iter().map(|(_, hostname)| *hostname), &host) else {
        return Outcome::NoRoute;
    };
    let mut matching: Vec<(&HttpRoute, usize, &Match)> = Vec::new();
    for (route, _) in attached.iter().filter(|(_, hostname)| *hostname == effective) {
        for (index, rule) in route.rules.iter().enumerate() {
            for one in rule.matches.iter().filter(|one| holds(one, asked)) {
                matching.push((route, index, one));
            }
        }
    }
    // The first of the most specific ones; the sort is stable, so rules keep their order.
    matching.sort_by_key(|(route, _, one)| precedence(route, one));
    let Some((route, index, one)) = matching.first() else {
        return Outcome::NoRoute;
    };
    act(route, *index, one, asked)
}

fn listeners(resources: &Resources, port: u16) -> impl Iterator<Item = (&Gateway, &Listener)> {
    let served = resources
        .kube_gateways
        .iter()
        .filter(|gateway| matches!(&**gateway.class, "istio" | "lockgate"));
    let all = served.flat_map(|gateway| gateway.listeners.iter().map(move |listener| (gateway, listener)));
    all.filter(move |(_, listener)| *listener.port == port)
}

fn hostname(listener: &Listener) -> &str {
    listener.hostname.as_ref().map_or("*", |hostname| hostname.as_str())
}

fn takes(hostname: &str, host: &str) -> bool {
    match hostname.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => hostname == host,
    }
}

/// Names before suffixes, longer ones before shorter.
fn specificity(hostname: &str) -> (bool, usize) {
    (!hostname.starts_with('*'), hostname.len())
}

fn narrowest<'h>(hostnames: impl Iterator<Item = &'h str>, host: &str) -> Option<&'h str> {
    hostnames
        .filter(|hostname| takes(hostname, host))
        .max_by_key(|hostname| specificity(hostname))
}

fn is_attached(route: &HttpRoute, gateway: &Gateway, listener: &Listener) -> bool {
    let allows = match &listener.namespaces {
        RouteNamespaces::All => true,
        RouteNamespaces::None => false,
        RouteNamespaces::Same => gateway.meta.namespace == route.meta.namespace,
        RouteNamespaces::Named(name) => *name == route.meta.namespace,
    };
    let names = route.parents.iter().any(|parent| {
        parent.name.value == gateway.meta.name.value
            && parent.namespace == gateway.meta.namespace
            && parent
                .section
                .as_ref()
                .is_none_or(|section| section.value == listener.name.value)
            && parent
                .port
                .as_ref()
                .is_none_or(|port| port.value == listener.port.value)
    });
    allows && names && listener.takes_http_routes
}

fn holds(one: &Match, asked: &Asked) -> bool {
    let path = match &one.path.value {
        PathMatch::Exact(path) => path == asked.path,
        PathMatch::Regex(pattern) => whole(pattern, asked.path),
        // Segment by segment.
        PathMatch::Prefix(prefix) => {
            let segments: Vec<&str> = asked.path.split('/').collect();
            let wanted: Vec<&str> = prefix.split('/').collect();
            segments.starts_with(&wanted)
        }
    };
    let method = one.method.as_ref().is_none_or(|method| **method == *asked.method);
    let headers = one.headers.iter().all(|(name, wanted)| {
        let mut values = asked.headers.iter().filter(|(own, _)| *own == name.value);
        values.any(|(_, value)| is_value(wanted, value))
    });
    let params = one.query_params.iter().all(|(name, wanted)| {
        let mut pairs = asked
            .query
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(own, _)| *own == name.value)
            .is_some_and(|(_, value)| is_value(wanted, value))
    });
    path && method && headers && params
}

fn is_value(wanted: &Spanned<StringMatch>, value: &str) -> bool {
    match &wanted.value {
        StringMatch::Exact(exact) => **exact == *value,
        StringMatch::Regex(pattern) => whole(pattern, value),
        other => panic!("no match of an HTTPRoute: {other:?}"),
    }
}

fn whole(pattern: &str, value: &str) -> bool {
    Regex::new(&format!("^(?:{pattern})$"))
        .expect("a pattern of ours")
        .is_match(value)
}

/// The lesser comes first: catch-alls last, then the form and length of the path, and so on down to the name.
fn precedence(route: &HttpRoute, one: &Match) -> impl Ord + use<> {
    let (form, length) = match &one.path.value {
        PathMatch::Exact(path) => (0, path.len()),
        PathMatch::Prefix(path) => (1, path.len()),
        PathMatch::Regex(path) => (2, path.len()),
    };
    let more = |count: usize| usize::MAX - count;
    let is_catch_all = matches!(&one.path.value, PathMatch::Prefix(prefix) if prefix.is_empty())
        && one.method.is_none()
        && one.headers.is_empty()
        && one.query_params.is_empty();
    let name = format!("{}/{}", route.meta.namespace, *route.meta.name);
    (
        (is_catch_all, form, more(length), one.method.is_none()),
        (more(one.headers.len()), more(one.query_params.len())),
        (route.meta.created.unwrap_or(i64::MAX), name),
    )
}

fn act(route: &HttpRoute, index: usize, one: &Match, asked: &Asked) -> Outcome {
    let rule = &route.rules[index];
    let name = match &rule.name {
        Some(name) => format!("{}/{}/{}", route.meta.namespace, *route.meta.name, **name),
        None => format!("{}/{}/rules[{index}]", route.meta.namespace, *route.meta.name),
    };
    let answer = words(&rule.filters.response);
    if let Some(redirect) = &rule.filters.redirect {
        return Outcome::Redirect(name, redirect.status, place(redirect, one, asked), answer);
    }
    let Some(backend) = chosen(rule, asked.entropy) else {
        return Outcome::NoBackend(name, answer);
    };
    let (rules, own): (&Filters, &Filters) = (&rule.filters, &backend.filters);
    let modifier = own.rewrite.path.as_ref().or(rules.rewrite.path.as_ref());
    let hostname = own.rewrite.hostname.as_ref().or(rules.rewrite.hostname.as_ref());
    let both = |a: &HeaderChanges, b: &HeaderChanges| [words(a), words(b)].concat();
    let service = |to: &BackendRef| format!("{}.{}.svc.cluster.local", *to.name, to.namespace);
    let copies = rules.mirrors.iter().filter(|mirror| mirror.chance.0 != 0);
    Outcome::Forward(
        name,
        service(backend),
        hostname.map_or(asked.host, |hostname| hostname).to_owned(),
        with_query(modified(modifier, one, asked.path), asked),
        both(&rules.request, &own.request),
        both(&rules.response, &own.response),
        [rule.timeouts.backend_request_ms, rule.timeouts.request_ms]
            .into_iter()
            .flatten()
            .find(|limit| *limit != 0),
        copies.map(|mirror| service(&mirror.backend)).collect(),
    )
}

/// The backend on whose share the upper half of the entropy falls.
fn chosen(rule: &Rule, entropy: u64) -> Option<&BackendRef> {
    let sum: u64 = rule.backends.iter().map(|backend| u64::from(backend.weight)).sum();
    let mut at = ((entropy >> 32) * sum) >> 32;
    rule.backends.iter().find(|backend| {
        let weight = u64::from(backend.weight);
        let is_here = at < weight;
        at = at.saturating_sub(weight);
        is_here
    })
}

fn modified(modifier: Option<&PathModifier>, one: &Match, path: &str) -> String {
    match modifier {
        None => path.to_owned(),
        Some(PathModifier::Full(full)) => full.clone(),
        Some(PathModifier::Prefix(with)) => {
            let PathMatch::Prefix(prefix) = &one.path.value else {
                panic!("a prefix is replaced where none was matched");
            };
            let new = format!("{with}{}", &path[prefix.len()..]);
            if new.is_empty() { "/".into() } else { new }
        }
    }
}

fn with_query(path: String, asked: &Asked) -> String {
    match asked.query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    }
}

fn place(redirect: &Redirect, one: &Match, asked: &Asked) -> String {
    // All of these requests come in plain text.
    let scheme = redirect.scheme.unwrap_or(Scheme::Http);
    let default = if scheme == Scheme::Https { 443 } else { 80 };
    let port = match (redirect.port, redirect.scheme) {
        (Some(port), _) => port,
        (None, Some(_)) => default,
        (None, None) => asked.port,
    };
    let host = redirect
        .hostname
        .as_deref()
        .or(asked.host.split(':').next())
        .unwrap_or_default();
    let port = if port == default {
        String::new()
    } else {
        format!(":{port}")
    };
    let path = with_query(modified(redirect.path.as_ref(), one, asked.path), asked);
    format!("{}://{host}{port}{path}", scheme.as_str())
}

/// Changes in the order in which they are made.
fn words(changes: &HeaderChanges) -> Vec<String> {
    let removed = changes.remove.iter().map(|name| format!("-{name}"));
    let set = changes
        .set
        .iter()
        .map(|(name, value)| format!("{name}={}", value.expose()));
    let added = changes
        .add
        .iter()
        .map(|(name, value)| format!("{name}+{}", value.expose()));
    removed.chain(set).chain(added).collect()
}
