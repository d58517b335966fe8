//! Gateway API's Gateways and HTTPRoutes.

use lockgate_core::config::resource::gateway_api::{Gateway, Listener, RouteNamespaces};
use lockgate_core::config::resource::http_route::{
    BackendRef, Filters, HttpRoute, Match, ParentRef, PathMatch, PathModifier, Redirect, Rule,
};
use lockgate_core::config::resource::{HeaderChanges, Spanned, StringMatch};
use serde_json::{Map, Value, json};

use super::{resource, texts};

const VERSION: &str = "gateway.networking.k8s.io/v1";

pub(super) fn gateway(gateway: &Gateway) -> Value {
    let spec = json!({
        "gatewayClassName": &*gateway.class.value,
        "listeners": gateway.listeners.iter().map(listener).collect::<Vec<_>>(),
    });
    resource(VERSION, "Gateway", &gateway.meta, spec)
}

fn listener(listener: &Listener) -> Value {
    let namespaces = match &listener.namespaces {
        RouteNamespaces::Same => json!({ "from": "Same" }),
        RouteNamespaces::All => json!({ "from": "All" }),
        RouteNamespaces::None => json!({ "from": "None" }),
        RouteNamespaces::Named(name) => json!({
            "from": "Selector",
            "selector": { "matchLabels": { "kubernetes.io/metadata.name": &**name } },
        }),
    };
    let mut written = json!({
        "name": &*listener.name.value,
        "port": *listener.port,
        "protocol": "HTTP",
        "allowedRoutes": { "namespaces": namespaces },
    });
    if let Some(hostname) = &listener.hostname {
        written["hostname"] = json!(**hostname);
    }
    if !listener.takes_http_routes {
        written["allowedRoutes"]["kinds"] = json!([{ "kind": "GRPCRoute" }]);
    }
    written
}

pub(super) fn route(route: &HttpRoute) -> Value {
    let spec = json!({
        "parentRefs": route.parents.iter().map(parent).collect::<Vec<_>>(),
        "hostnames": texts(&route.hostnames),
        "rules": route.rules.iter().map(rule).collect::<Vec<_>>(),
    });
    resource(VERSION, "HTTPRoute", &route.meta, spec)
}

fn parent(parent: &ParentRef) -> Value {
    let mut written = json!({ "name": &*parent.name.value, "namespace": &*parent.namespace });
    if let Some(section) = &parent.section {
        written["sectionName"] = json!(&*section.value);
    }
    if let Some(port) = &parent.port {
        written["port"] = json!(**port);
    }
    written
}

fn rule(rule: &Rule) -> Value {
    let mut written = json!({ "matches": rule.matches.iter().map(one_match).collect::<Vec<_>>() });
    if let Some(name) = &rule.name {
        written["name"] = json!(&*name.value);
    }
    let filters = filters(&rule.filters);
    if !filters.is_empty() {
        written["filters"] = filters.into();
    }
    if !rule.backends.is_empty() {
        written["backendRefs"] = rule.backends.iter().map(weighted).collect();
    }
    for (name, limit) in [
        ("request", rule.timeouts.request_ms),
        ("backendRequest", rule.timeouts.backend_request_ms),
    ] {
        if let Some(limit) = limit {
            written["timeouts"][name] = json!(format!("{limit}ms"));
        }
    }
    written
}

fn one_match(one: &Match) -> Value {
    let (form, value) = match &one.path.value {
        PathMatch::Exact(path) => ("Exact", path.as_str()),
        PathMatch::Regex(pattern) => ("RegularExpression", pattern.as_str()),
        PathMatch::Prefix(prefix) if prefix.is_empty() => ("PathPrefix", "/"),
        PathMatch::Prefix(prefix) => ("PathPrefix", prefix.as_str()),
    };
    let mut written = json!({ "path": { "type": form, "value": value } });
    for (name, list) in [("headers", &one.headers), ("queryParams", &one.query_params)] {
        if !list.is_empty() {
            written[name] = list.iter().map(value_match).collect();
        }
    }
    if let Some(method) = &one.method {
        written["method"] = json!(&**method);
    }
    written
}

fn value_match((name, wanted): &(Spanned<String>, Spanned<StringMatch>)) -> Value {
    let (form, value) = match &wanted.value {
        StringMatch::Exact(text) => ("Exact", text),
        StringMatch::Regex(pattern) => ("RegularExpression", pattern),
        other => panic!("no match of an HTTPRoute: {other:?}"),
    };
    json!({ "type": form, "name": **name, "value": value })
}

fn backend(backend: &BackendRef) -> Value {
    json!({ "name": *backend.name, "namespace": &*backend.namespace, "port": backend.port.as_ref().map(|port| **port) })
}

fn weighted(to: &BackendRef) -> Value {
    let mut written = backend(to);
    written["weight"] = json!(to.weight);
    let filters = filters(&to.filters);
    if !filters.is_empty() {
        written["filters"] = filters.into();
    }
    written
}

fn filters(filters: &Filters) -> Vec<Value> {
    let mut written = Vec::new();
    let mut add = |form: &str, name: &str, value: Value| written.push(json!({ "type": form, name: value }));
    if !filters.request.is_empty() {
        add(
            "RequestHeaderModifier",
            "requestHeaderModifier",
            changes(&filters.request),
        );
    }
    if !filters.response.is_empty() {
        add(
            "ResponseHeaderModifier",
            "responseHeaderModifier",
            changes(&filters.response),
        );
    }
    let mut rewritten = Map::new();
    if let Some(hostname) = &filters.rewrite.hostname {
        rewritten.insert("hostname".to_owned(), json!(hostname));
    }
    if let Some(path) = &filters.rewrite.path {
        rewritten.insert("path".to_owned(), modifier(path));
    }
    if !rewritten.is_empty() {
        add("URLRewrite", "urlRewrite", rewritten.into());
    }
    if let Some(to) = &filters.redirect {
        add("RequestRedirect", "requestRedirect", redirect(to));
    }
    for mirror in &filters.mirrors {
        let percent = mirror.chance.0 / 10_000;
        let to = json!({ "backendRef": backend(&mirror.backend), "percent": percent });
        add("RequestMirror", "requestMirror", to);
    }
    written
}

fn redirect(to: &Redirect) -> Value {
    let mut written = json!({ "statusCode": to.status });
    if let Some(scheme) = to.scheme {
        written["scheme"] = json!(scheme.as_str());
    }
    if let Some(hostname) = &to.hostname {
        written["hostname"] = json!(hostname);
    }
    if let Some(path) = &to.path {
        written["path"] = modifier(path);
    }
    if let Some(port) = to.port {
        written["port"] = json!(port);
    }
    written
}

fn modifier(modifier: &PathModifier) -> Value {
    match modifier {
        PathModifier::Full(path) => json!({ "type": "ReplaceFullPath", "replaceFullPath": path }),
        PathModifier::Prefix(prefix) => json!({ "type": "ReplacePrefixMatch", "replacePrefixMatch": prefix }),
    }
}

fn changes(changes: &HeaderChanges) -> Value {
    let pairs = |list: &[(String, lockgate_core::config::secret::Secret)]| -> Vec<Value> {
        list.iter()
            .map(|(name, value)| json!({ "name": name, "value": value.expose() }))
            .collect()
    };
    json!({ "set": pairs(&changes.set), "add": pairs(&changes.add), "remove": changes.remove })
}
