//! VirtualService.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;

use super::string_match::{Named, by_name, of_field, unique_fields};
use super::{boxed, each, exactly, host, integer, labels, route_settings, text};
use crate::authority::host_len;
use crate::config::diagnostic::{Diagnostics, Location};
use crate::config::field_path::FieldPath;
use crate::config::resource::{
    Delegate, FurtherConditions, HeaderChanges, HeaderKey, HeaderOperations, HttpAction, HttpDirectResponse, HttpMatch,
    HttpRedirect, HttpRewrite, HttpRoute, Meta, RedirectPort, RouteDestination, Seldom, Spanned, StringMatch,
    UriRewrite, VirtualService,
};
use crate::config::secret::Secret;
use crate::config::tree::{Node, Scalar};
use crate::limits::DIRECT_RESPONSE_BYTES_MAX;
use crate::request::Scheme;

pub(super) fn decode(spec: &Node, meta: Meta, diagnostics: &mut Diagnostics) -> Option<VirtualService> {
    let hosts = each(Some(spec), "hosts", host);
    refuse_equal_hosts(&hosts, diagnostics);
    if spec.get("hosts").is_none() {
        refuse_fields_of_a_root(spec, diagnostics);
    }
    let path = FieldPath::SPEC.field("http");
    let http = spec.get("http").map(Node::items).unwrap_or_default().iter().enumerate();
    Some(VirtualService {
        meta,
        hosts,
        gateways: each(Some(spec), "gateways", text),
        export_to: each(Some(spec), "exportTo", text),
        http: exactly(http.filter_map(|(index, node)| route(node, &path.index(index), diagnostics))),
    })
}

fn refuse_equal_hosts(hosts: &[Spanned<String>], diagnostics: &mut Diagnostics) {
    for (index, host) in hosts.iter().enumerate() {
        if hosts.iter().take(index).any(|before| before.value == host.value) {
            diagnostics
                .error(
                    "duplicate-name",
                    host.at,
                    format!("the host `{}` is listed twice", **host),
                )
                .field(format!("spec.hosts[{index}]"));
        }
    }
}

/// What others delegate to is bound where they are, and its rules stand by themselves.
fn refuse_fields_of_a_root(spec: &Node, diagnostics: &mut Diagnostics) {
    let mut refuse = |at, field: &str, message: &str| {
        diagnostics
            .error("conflicting-fields", at, message)
            .field(field)
            .help("a VirtualService without `hosts` is one that others delegate to; give it `hosts` if it is none");
    };
    if let Some(gateways) = spec.entry("gateways") {
        refuse(gateways.key.at, "spec.gateways", "there are `gateways` and no `hosts`");
    }
    for (index, rule) in spec.get("http").map(Node::items).unwrap_or_default().iter().enumerate() {
        if let Some(delegate) = rule.entry("delegate") {
            let field = format!("spec.http[{index}].delegate");
            refuse(delegate.key.at, &field, "a rule that is delegated to delegates itself");
        }
    }
}

fn route(node: &Node, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> Option<HttpRoute> {
    let matches = node
        .get("match")
        .map(Node::items)
        .unwrap_or_default()
        .iter()
        .enumerate();
    let matches = matches
        .map(|(index, node)| request_match(node, &path.field("match").index(index), diagnostics))
        .collect();
    let headers = operations(node.get("headers"), &path.field("headers"), diagnostics);
    let route = HttpRoute {
        at: node.at,
        name: node.get("name").and_then(boxed),
        matches,
        action: action(node, path, diagnostics)?,
        headers,
        settings: route_settings::decode(node, path, diagnostics),
    };
    if let HttpAction::Route { rewrite, .. } | HttpAction::Delegate { rewrite, .. } = &route.action {
        refuse_two_hosts(rewrite, &route.headers, path, diagnostics);
    }
    Some(route)
}

pub(super) fn refuse_two_hosts(
    rewrite: &HttpRewrite,
    headers: &HeaderOperations,
    path: &FieldPath<'_>,
    diagnostics: &mut Diagnostics,
) {
    if let (Some(_), Some(header)) = (&rewrite.authority, &headers.request.authority) {
        diagnostics
            .error("conflicting-fields", header.at, "the Host that is sent is given twice")
            .field(format!("{path}.headers.request"))
            .help("keep either `rewrite.authority` or the header");
    }
}

fn request_match(node: &Node, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> HttpMatch {
    let headers = keyed(node, "headers", path, diagnostics);
    conditions(node, headers, path, diagnostics)
}

/// What LLMRoutes of `lockgate.dev` match alike: all but `headers`.
pub(super) fn conditions(
    node: &Node,
    headers: Keyed,
    path: &FieldPath<'_>,
    diagnostics: &mut Diagnostics,
) -> HttpMatch {
    let mut one = |name: &str| of_field(node, name, &path.field(name), diagnostics);
    let (uri, scheme, method, authority) = (one("uri"), one("scheme"), one("method"), one("authority"));
    let also = FurtherConditions {
        scheme,
        method,
        authority,
        port: node.get("port").and_then(integer).map(|port| port.value),
        headers,
        without_headers: keyed(node, "withoutHeaders", path, diagnostics),
        query_params: by_name(node.get("queryParams"), &path.field("queryParams"), diagnostics),
        gateways: each(Some(node), "gateways", text),
        source_labels: node.get("sourceLabels").map(labels),
        source_namespace: node.get("sourceNamespace").and_then(Node::text).map(String::from),
    };
    HttpMatch {
        at: node.at,
        uri,
        ignore_uri_case: node
            .get("ignoreUriCase")
            .and_then(Node::scalar)
            .and_then(Scalar::as_bool)
            == Some(true),
        also: also.into(),
    }
}

fn keyed(node: &Node, name: &str, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> Keyed {
    let path = path.field(name);
    unique_fields(node.get(name), &path, diagnostics);
    by_key(by_name(node.get(name), &path, diagnostics))
}

/// Matches by what their keys mean.
pub(super) type Keyed = Vec<(Spanned<HeaderKey>, Spanned<StringMatch>)>;

pub(super) fn by_key(named: Named) -> Keyed {
    let keyed = named.into_iter().filter_map(|(name, wanted)| {
        let key = Spanned {
            value: HeaderKey::of(&name.value)?,
            at: name.at,
        };
        // Istio's metacharacter for presence, which RE2 would not take.
        let is_star = matches!(&wanted.value, StringMatch::Regex(pattern) if **pattern == *"*");
        let wanted = Spanned {
            value: if is_star { StringMatch::Present } else { wanted.value },
            at: wanted.at,
        };
        Some((key, wanted))
    });
    exactly(keyed)
}

/// Exactly one of the four; `rewrite` and `fault` with what sends requests on.
fn action(node: &Node, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> Option<HttpAction> {
    const ACTIONS: [&str; 4] = ["route", "redirect", "directResponse", "delegate"];
    let given: Vec<&str> = ACTIONS.into_iter().filter(|name| node.get(name).is_some()).collect();
    // As in istiod, what changes a request or its fate goes with `route`.
    let misplaced = ["rewrite", "fault"].into_iter().find_map(|name| node.entry(name));
    match (given.as_slice(), misplaced) {
        ([], _) => {
            diagnostics
                .error(
                    "missing-field",
                    node.at,
                    "a rule has none of `route`, `redirect`, `directResponse` and `delegate`",
                )
                .field(path)
                .help("give it one of them");
            return None;
        }
        ([_], None) | (["route" | "delegate"], Some(_)) => {}
        ([one], Some(misplaced)) => {
            let name = &misplaced.key.value;
            diagnostics
                .error(
                    "conflicting-fields",
                    misplaced.key.at,
                    format!("`{name}` changes nothing beside `{one}`"),
                )
                .field(format!("{path}.{name}"))
                .help("it goes with `route`");
            return None;
        }
        (several, _) => {
            let second = several.get(1).and_then(|name| node.entry(name));
            diagnostics
                .error(
                    "conflicting-fields",
                    second.map_or(node.at, |entry| entry.key.at),
                    format!("a rule has `{}` at once", several.join("` and `")),
                )
                .field(path)
                .help("keep one of them");
            return None;
        }
    }
    warn_about_settings(node, &given, path, diagnostics);
    if let Some(redirect) = node.get("redirect") {
        return redirect_of(redirect, &path.field("redirect"), diagnostics)
            .map(|to| HttpAction::Redirect(Box::new(to)));
    }
    if let Some(response) = node.get("directResponse") {
        return direct_response(response, &path.field("directResponse"), diagnostics)
            .map(|answer| HttpAction::DirectResponse(Box::new(answer)));
    }
    let rewrite = match node.get("rewrite") {
        Some(rewrite) => rewrite_of(rewrite, &path.field("rewrite"), diagnostics)?.into(),
        None => Seldom::default(),
    };
    if let Some(delegate) = node.get("delegate") {
        return Some(HttpAction::Delegate {
            to: Box::new(Delegate {
                name: text(delegate.get("name")?)?,
                namespace: delegate.get("namespace").and_then(Node::text).map(String::from),
            }),
            rewrite,
        });
    }
    let destinations = node
        .get("route")
        .map(Node::items)
        .unwrap_or_default()
        .iter()
        .enumerate();
    Some(HttpAction::Route {
        destinations: exactly(
            destinations.filter_map(|(index, node)| destination(node, &path.field("route").index(index), diagnostics)),
        ),
        rewrite,
    })
}

/// As in Istio, what is about upstreams has no effect where there is none.
fn warn_about_settings(node: &Node, given: &[&str], path: &FieldPath<'_>, diagnostics: &mut Diagnostics) {
    let [action @ ("redirect" | "directResponse")] = given else {
        return;
    };
    for entry in ["timeout", "retries", "corsPolicy", "mirror", "mirrors"]
        .into_iter()
        .filter_map(|name| node.entry(name))
    {
        diagnostics
            .warning(
                "no-effect",
                entry.key.at,
                format!("`{}` changes nothing beside `{action}`", entry.key.value),
            )
            .field(format!("{path}.{}", entry.key.value))
            .help("remove it: nothing is sent upstream");
    }
}

fn destination(node: &Node, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> Option<RouteDestination> {
    Some(RouteDestination {
        weight: node.get("weight").and_then(integer),
        headers: operations(node.get("headers"), &path.field("headers"), diagnostics),
        ..host_of(node.get("destination")?, node.at)?
    })
}

/// A destination that is no more than a host.
pub(super) fn host_of(to: &Node, at: Location) -> Option<RouteDestination> {
    Some(RouteDestination {
        at,
        host: host(to.get("host")?)?,
        port: to.get("port").and_then(|port| port.get("number")).and_then(integer),
        subset: to.get("subset").and_then(text).map(Box::new),
        weight: None,
        headers: HeaderOperations::default(),
    })
}

pub(super) fn rewrite_of(node: &Node, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> Option<HttpRewrite> {
    let uri = node.get("uri").and_then(text);
    let authority = node.get("authority").and_then(text);
    let regex = node.entry("uriRegexRewrite");
    let uri = match (uri, regex) {
        (Some(_), Some(regex)) => {
            diagnostics
                .error(
                    "conflicting-fields",
                    regex.key.at,
                    "`uri` and `uriRegexRewrite` exclude each other",
                )
                .field(path)
                .help("keep one of them");
            return None;
        }
        (Some(uri), None) => Some(UriRewrite::Matched(uri)),
        (None, Some(regex)) => Some(UriRewrite::Regex {
            pattern: text(regex.value.get("match")?)?,
            substitution: text(regex.value.get("rewrite")?)?,
        }),
        (None, None) => None,
    };
    if uri.is_none() && authority.is_none() {
        nothing_to_do(
            "rewrite",
            "`uri`, `uriRegexRewrite` or `authority`",
            node.at,
            path,
            diagnostics,
        );
    }
    Some(HttpRewrite { uri, authority })
}

fn nothing_to_do(name: &str, fields: &str, at: Location, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) {
    diagnostics
        .error("empty-object", at, format!("`{name}` says nothing"))
        .field(path)
        .help(format!("give it {fields}"));
}

fn redirect_of(node: &Node, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> Option<HttpRedirect> {
    let port = node.get("port").and_then(integer::<u16>);
    let derived = node.entry("derivePort");
    if let (Some(_), Some(derived)) = (&port, derived) {
        diagnostics
            .error(
                "conflicting-fields",
                derived.key.at,
                "`port` and `derivePort` exclude each other",
            )
            .field(path)
            .help("keep one of them");
    }
    let scheme = match node.get("scheme").and_then(Node::text) {
        Some("https") => Some(Scheme::Https),
        Some(_) => Some(Scheme::Http),
        None => None,
    };
    let authority = node.get("authority").and_then(|node| Some((node.at, node.text()?)));
    let named_port = authority.filter(|(_, text)| host_len(text.as_bytes()).is_some_and(|len| len < text.len()));
    if let (Some((at, _)), true) = (named_port, port.is_some() || derived.is_some()) {
        diagnostics
            .error("conflicting-fields", at, "`authority` has a port, and there is another")
            .field(path)
            .help("keep one of them");
    }
    let redirect = HttpRedirect {
        uri: node.get("uri").and_then(Node::text).map(String::from),
        authority: node.get("authority").and_then(Node::text).map(String::from),
        port: match (port, derived.and_then(|entry| entry.value.text())) {
            (Some(port), _) => Some(RedirectPort::Number(port.value)),
            (None, Some("FROM_REQUEST_PORT")) => Some(RedirectPort::OfListener),
            (None, Some(_)) => Some(RedirectPort::OfProtocol),
            (None, None) => None,
        },
        scheme,
        code: code(node, path, diagnostics),
    };
    if redirect.uri.is_none() && redirect.authority.is_none() && redirect.port.is_none() && scheme.is_none() {
        nothing_to_do(
            "redirect",
            "`uri`, `authority`, `scheme` or a port",
            node.at,
            path,
            diagnostics,
        );
    }
    Some(redirect)
}

fn code(node: &Node, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> u16 {
    const MOVED_PERMANENTLY: u16 = 301;
    let Some(code) = node.get("redirectCode").and_then(integer::<u16>) else {
        return MOVED_PERMANENTLY;
    };
    // Those outside of Istio's own bounds have been reported.
    if (300..400).contains(&code.value) && !matches!(code.value, 301 | 302 | 303 | 307 | 308) {
        diagnostics
            .error(
                "unknown-value",
                code.at,
                format!("`{}` is not the status of a redirect", code.value),
            )
            .field(format!("{path}.redirectCode"))
            .help("use `301`, `302`, `303`, `307` or `308`");
    }
    code.value
}

fn direct_response(node: &Node, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> Option<HttpDirectResponse> {
    let status = integer::<u16>(node.get("status")?)?;
    let body = node.get("body");
    let string = body.and_then(|body| body.get("string")).and_then(Node::text);
    let bytes = body.and_then(|body| body.entry("bytes"));
    let path = path.field("body");
    if let (Some(_), Some(bytes)) = (string, bytes) {
        diagnostics
            .error(
                "conflicting-fields",
                bytes.key.at,
                "`string` and `bytes` exclude each other",
            )
            .field(&path)
            .help("keep one of them");
    }
    let decoded = bytes.and_then(|bytes| {
        let text = bytes.value.text()?;
        base64::engine::general_purpose::STANDARD.decode(text).ok()
    });
    let content = string.map_or_else(|| decoded.unwrap_or_default(), |string| string.as_bytes().to_vec());
    let at = body.map_or(node.at, |body| body.at);
    if content.len() > DIRECT_RESPONSE_BYTES_MAX {
        diagnostics
            .error("out-of-range", at, format!("the body has {} bytes", content.len()))
            .field(&path)
            .help(format!("at most {DIRECT_RESPONSE_BYTES_MAX} are allowed"));
    }
    if matches!(status.value, 204 | 205 | 304) && !content.is_empty() {
        diagnostics
            .error(
                "conflicting-fields",
                at,
                format!("an answer with status {} has no body", status.value),
            )
            .field(&path)
            .help("remove the body, or use another status");
    }
    Some(HttpDirectResponse {
        status: status.value,
        body: content,
    })
}

pub(super) fn operations(node: Option<&Node>, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> HeaderOperations {
    let mut of = |name: &str| -> Option<Seldom<HeaderChanges>> {
        let changed = node.and_then(|node| node.get(name))?;
        Some(changes(changed, &path.field(name), diagnostics).into())
    };
    HeaderOperations {
        request: of("request").unwrap_or_default(),
        response: of("response").unwrap_or_default(),
    }
}

fn changes(node: &Node, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> HeaderChanges {
    let mut changes = HeaderChanges {
        remove: each(Some(node), "remove", |name| name.text().map(str::to_ascii_lowercase)),
        ..HeaderChanges::default()
    };
    for name in ["set", "add"] {
        let values = node.get(name);
        unique_fields(values, &path.field(name), diagnostics);
        for entry in values.map(Node::entries).unwrap_or_default() {
            let Some(value) = entry.value.text().filter(|value| !value.is_empty()) else {
                continue;
            };
            // A `%` is written twice, since one begins a command of Envoy's.
            let value = value.replace("%%", "%");
            let header = entry.key.value.to_ascii_lowercase();
            if matches!(&*header, "host" | ":authority") {
                let at = entry.value.at;
                authority(&mut changes, Spanned { value, at }, &path.field(name), diagnostics);
            } else if name == "set" {
                changes.set.push((header, Secret::new(value)));
            } else {
                changes.add.push((header, Secret::new(value)));
            }
        }
    }
    // As istiod sorts them, so that the order of a map does not matter.
    changes.set.sort_by(|one, other| one.0.cmp(&other.0));
    changes.add.sort_by(|one, other| one.0.cmp(&other.0));
    changes
}

fn authority(changes: &mut HeaderChanges, value: Spanned<String>, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) {
    if host_len(value.as_bytes()).is_none() {
        diagnostics
            .error(
                "invalid-host",
                value.at,
                format!("`{}` is not a host with an optional port", *value),
            )
            .field(path)
            .help("write `host` or `host:port`");
    } else if changes.authority.is_some() {
        diagnostics
            .error("conflicting-fields", value.at, "the Host that is sent is given twice")
            .field(path)
            .help("keep one of them");
    } else {
        changes.authority = Some(value);
    }
}
