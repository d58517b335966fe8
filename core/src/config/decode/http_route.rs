//! HTTPRoute. Beside what single fields show, this refuses what the CRD's own rules (CEL) refuse.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::gateway_api::word;
use super::http_filters::{FiltersOf, filters};
use super::{boxed, each, host, integer, text, unique};
use crate::config::diagnostic::{Diagnostics, Location};
use crate::config::field_path::FieldPath;
use crate::config::quote::quoted;
use crate::config::resource::gateway_api::INFERENCE_GROUP;
use crate::config::resource::http_route::{
    BackendKind, BackendRef, HttpRoute, Match, ParentRef, PathMatch, Rule, Timeouts,
};
use crate::config::resource::{Meta, Seldom, Spanned, StringMatch};
use crate::config::schema::GATEWAY_API;
use crate::config::time::parse_limit_ms;
use crate::config::tree::{Node, Scalar};
use crate::limits::REGEX_BYTES_MAX;
use crate::text_map::TextSet;

pub(super) fn decode(spec: &Node, meta: Meta, diagnostics: &mut Diagnostics) -> Option<HttpRoute> {
    let nodes = spec.get("rules").map(Node::items).unwrap_or_default();
    let mut names = nodes.iter().map(|rule| rule.get("name"));
    let named = |index| format!("spec.rules[{index}].name");
    unique(&mut names, "rules of this HTTPRoute", &named, diagnostics);
    let rules = nodes.iter().enumerate();
    let path = FieldPath::SPEC.field("rules");
    let rules = rules.map(|(index, node)| rule(node, &path.index(index), &meta.namespace, diagnostics));
    let mut rules: Vec<Rule> = rules.collect();
    if spec.get("rules").is_none() {
        // As the CRD's default has it: one rule for everything, with nothing behind it.
        rules.push(Rule {
            at: spec.at,
            name: None,
            matches: Vec::from([everything(spec.at)]),
            filters: Seldom::default(),
            backends: Vec::new(),
            timeouts: Timeouts::default(),
        });
    }
    Some(HttpRoute {
        parents: each(Some(spec), "parentRefs", |node| parent(node, &meta.namespace)),
        hostnames: each(Some(spec), "hostnames", host),
        rules,
        meta,
    })
}

fn parent(node: &Node, namespace: &str) -> Option<ParentRef> {
    Some(ParentRef {
        at: node.at,
        group: word(node, "group").unwrap_or_else(|| GATEWAY_API.into()),
        kind: word(node, "kind").unwrap_or_else(|| "Gateway".into()),
        namespace: word(node, "namespace").unwrap_or_else(|| namespace.into()),
        name: boxed(node.get("name")?)?,
        section: node.get("sectionName").and_then(boxed),
        port: node.get("port").and_then(integer),
    })
}

fn rule(node: &Node, path: &FieldPath<'_>, namespace: &str, diagnostics: &mut Diagnostics) -> Rule {
    let nodes = node.get("matches").map(Node::items).unwrap_or_default();
    let mut matches: Vec<Match> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        matches.extend(request_match(node, &path.field("matches").index(index), diagnostics));
    }
    if nodes.is_empty() {
        matches.push(everything(node.at));
    }
    let mut backends = Vec::new();
    let refs = node.entry("backendRefs");
    for (index, node) in refs
        .map(|refs| refs.value.items())
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        let path = path.field("backendRefs");
        backends.extend(backend(node, &path.index(index), namespace, &matches, diagnostics));
    }
    let filters = filters(
        node.get("filters"),
        &path.field("filters"),
        &matches,
        FiltersOf::Rule { namespace },
        diagnostics,
    );
    if filters.redirect.is_some() {
        let timeouts = node.entry("timeouts").map(|timeouts| (timeouts.key.at, "timeouts"));
        let mirrors = filters
            .mirrors
            .iter()
            .map(|mirror| (mirror.backend.at, mirror.field.as_str()));
        for (at, name) in timeouts.into_iter().chain(mirrors) {
            diagnostics
                .warning("no-effect", at, "this changes nothing beside a redirect")
                .field(format!("{path}.{name}"))
                .help("remove it: nothing is sent upstream");
        }
    }
    if let (Some(_), Some(refs)) = (&filters.redirect, refs.filter(|refs| !refs.value.items().is_empty())) {
        diagnostics
            .error(
                "conflicting-fields",
                refs.key.at,
                "a rule that redirects has no backends",
            )
            .field(format!("{path}.backendRefs"))
            .help("remove `backendRefs`, or the RequestRedirect filter");
    }
    Rule {
        at: node.at,
        name: node.get("name").and_then(boxed),
        matches,
        filters: filters.into(),
        backends,
        timeouts: timeouts(node.get("timeouts"), &path.field("timeouts"), diagnostics),
    }
}

fn timeouts(node: Option<&Node>, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> Timeouts {
    let limit = |name: &str| node.and_then(|node| node.get(name)?.text().and_then(parse_limit_ms));
    let timeouts = Timeouts {
        request_ms: limit("request"),
        backend_request_ms: limit("backendRequest"),
    };
    if let Some(request_ms) = timeouts.request_ms.filter(|request_ms| *request_ms > 0)
        && timeouts.backend_request_ms > Some(request_ms)
        && let Some(longer) = node.and_then(|node| node.get("backendRequest"))
    {
        diagnostics
            .error("out-of-range", longer.at, "`backendRequest` is longer than `request`")
            .field(format!("{path}.backendRequest"))
            .help("what goes to a backend is a part of the request: make it no longer");
    }
    timeouts
}

/// The CRD's default: the prefix `/`.
fn everything(at: Location) -> Match {
    Match {
        at,
        path: Spanned {
            value: PathMatch::Prefix(String::new()),
            at,
        },
        headers: Vec::new(),
        query_params: Vec::new(),
        method: None,
    }
}

fn request_match(node: &Node, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> Option<Match> {
    let mut headers = values(node, "headers", &path.field("headers"), true, diagnostics);
    for (name, _) in &mut headers {
        name.value.make_ascii_lowercase();
    }
    let query_params = values(node, "queryParams", &path.field("queryParams"), false, diagnostics);
    Some(Match {
        at: node.at,
        path: match node.get("path") {
            Some(node) => path_match(node, &path.field("path"), diagnostics)?,
            None => everything(node.at).path,
        },
        headers,
        query_params,
        method: word(node, "method"),
    })
}

fn path_match(node: &Node, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> Option<Spanned<PathMatch>> {
    let value = node.get("value");
    let text = value.map_or("/", |value| value.text().unwrap_or("/"));
    let at = value.map_or(node.at, |value| value.at);
    let form = node.get("type").and_then(Node::text).unwrap_or("PathPrefix");
    let fault = match form {
        "RegularExpression" if text.len() > REGEX_BYTES_MAX => Some("is too long for a regular expression"),
        "RegularExpression" => None,
        _ => path_fault(text),
    };
    if let Some(fault) = fault {
        let shown = value.and_then(Node::scalar).map(Scalar::shown).unwrap_or_default();
        diagnostics
            .error("invalid-path", at, format!("{shown} {fault}"))
            .field(format!("{path}.value"))
            .help("write a path as it is after normalisation, without query");
        return None;
    }
    let value = match form {
        "Exact" => PathMatch::Exact(text.into()),
        "RegularExpression" => PathMatch::Regex(text.into()),
        _ => PathMatch::Prefix(text.strip_suffix('/').unwrap_or(text).into()),
    };
    Some(Spanned { value, at })
}

/// What the CRD refuses in the value of an `Exact` or a `PathPrefix`.
fn path_fault(path: &str) -> Option<&'static str> {
    const LENGTH_MAX: usize = 1024;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@%".contains(&byte);
    let is_escape = |escape: &str| {
        let digits = escape.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !path.starts_with('/') {
        Some("does not begin with `/`")
    } else if path.contains("//") {
        Some("has two slashes in a row, which no path in normal form has")
    } else if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        Some("has a dot segment, which no path in normal form has")
    } else if path.to_ascii_lowercase().contains("%2f") {
        Some("has an escaped slash")
    } else if !path.bytes().all(is_allowed) || !path.split('%').skip(1).all(is_escape) {
        Some("has a character that a path does not have")
    } else if path.len() > LENGTH_MAX {
        Some("is longer than 1024 bytes")
    } else {
        None
    }
}

/// `headers` or `queryParams`. Of two with one name Gateway API counts the first only, so that the second would mean nothing.
fn values(
    node: &Node,
    name: &str,
    path: &FieldPath<'_>,
    ignore_case: bool,
    diagnostics: &mut Diagnostics,
) -> Vec<(Spanned<String>, Spanned<StringMatch>)> {
    let mut seen = TextSet::default();
    let mut read = Vec::new();
    for (index, node) in node.get(name).map(Node::items).unwrap_or_default().iter().enumerate() {
        let (Some(name), Some(value)) = (node.get("name").and_then(text), node.get("value").and_then(text)) else {
            continue;
        };
        let compared = if ignore_case {
            name.to_ascii_lowercase()
        } else {
            name.value.clone()
        };
        if !seen.insert(&compared) {
            diagnostics
                .error("duplicate-name", name.at, format!("{} is matched twice", quoted(&name)))
                .field(format!("{path}[{index}].name"))
                .help("keep one of them; to match any of several values, write several matches");
        }
        let is_regex = node.get("type").and_then(Node::text) == Some("RegularExpression");
        let wanted = if is_regex {
            StringMatch::Regex
        } else {
            StringMatch::Exact
        };
        let at = value.at;
        read.push((
            name,
            Spanned {
                value: wanted(value.value.into()),
                at,
            },
        ));
    }
    read
}

fn backend(
    node: &Node,
    path: &FieldPath<'_>,
    namespace: &str,
    matches: &[Match],
    diagnostics: &mut Diagnostics,
) -> Option<BackendRef> {
    let backend = backend_object(node, path, namespace, diagnostics)?;
    let weight: Option<Spanned<u32>> = node.get("weight").and_then(integer);
    Some(BackendRef {
        weight: weight.map_or(backend.weight, |weight| weight.value),
        filters: filters(
            node.get("filters"),
            &path.field("filters"),
            matches,
            FiltersOf::Backend,
            diagnostics,
        )
        .into(),
        ..backend
    })
}

/// What is referred to, as it is without weight and filters.
pub(super) fn backend_object(
    node: &Node,
    path: &FieldPath<'_>,
    namespace: &str,
    diagnostics: &mut Diagnostics,
) -> Option<BackendRef> {
    let kind = backend_kind(node, path, diagnostics)?;
    let name = host(node.get("name")?)?;
    let port: Option<Spanned<u16>> = node.get("port").and_then(integer);
    let given = node.entry("namespace");
    if let (BackendKind::Hostname, Some(given)) = (kind, given) {
        diagnostics
            .error("conflicting-fields", given.key.at, "a Hostname is of no namespace")
            .field(format!("{path}.namespace"))
            .help("remove it");
    }
    if port.is_none() && kind != BackendKind::InferencePool {
        diagnostics
            .error(
                "missing-port",
                name.at,
                format!("the backend {} has no port", quoted(&name)),
            )
            .field(format!("{path}.port"))
            .help("a Service and a Hostname need one");
    }
    Some(BackendRef {
        at: node.at,
        kind,
        namespace: given.and_then(|given| given.value.text()).unwrap_or(namespace).into(),
        name,
        port,
        weight: 1,
        filters: Seldom::default(),
    })
}

fn backend_kind(node: &Node, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> Option<BackendKind> {
    let group: Box<str> = word(node, "group").unwrap_or_default();
    let kind: Box<str> = word(node, "kind").unwrap_or_else(|| "Service".into());
    match (&*group, &*kind) {
        ("" | "core", "Service") => return Some(BackendKind::Service),
        ("networking.istio.io", "Hostname") => return Some(BackendKind::Hostname),
        (INFERENCE_GROUP, "InferencePool") => return Some(BackendKind::InferencePool),
        _ => {}
    }
    let at = node
        .get("kind")
        .or_else(|| node.get("group"))
        .map_or(node.at, |node| node.at);
    diagnostics
        .error(
            "unsupported-value",
            at,
            format!(
                "a backend of kind {} of group {} is not supported yet",
                quoted(&kind),
                quoted(&group)
            ),
        )
        .field(format!("{path}.kind"))
        .help("use a Service, an InferencePool, or `kind: Hostname` of `group: networking.istio.io` with the host of a ServiceEntry");
    None
}
