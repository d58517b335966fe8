//! MeshConfig's `extensionProviders`, as far as they are external authorizers.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::{boxed, each, unique};
use crate::check::{CheckBody, NamePattern};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{ExtAuthzHttp, ExtAuthzProtocol, ExtAuthzProvider, Spanned};
use crate::config::secret::Secret;
use crate::config::time::parse_duration_ms;
use crate::config::tree::{Node, Scalar};

/// Istio's default.
const TIMEOUT_MS: u32 = 600_000;

/// Envoy's default.
const STATUS_ON_ERROR: u16 = 403;

const HTTP: &str = "envoyExtAuthzHttp";
const GRPC: &str = "envoyExtAuthzGrpc";

pub(super) fn decode(mesh: &Node, diagnostics: &mut Diagnostics) -> Vec<ExtAuthzProvider> {
    let items = mesh.get("extensionProviders").map_or(&[][..], Node::items);
    let mut names = items.iter().map(|item| item.get("name"));
    let field = |index: usize| format!("extensionProviders[{index}].name");
    unique(&mut names, "extension providers", &field, diagnostics);
    let decoded = items.iter().enumerate();
    decoded
        .filter_map(|(index, item)| provider(item, &format!("extensionProviders[{index}]"), diagnostics))
        .collect()
}

fn provider(item: &Node, path: &str, diagnostics: &mut Diagnostics) -> Option<ExtAuthzProvider> {
    let name = boxed(item.get("name")?)?;
    let mut kinds: Vec<&str> = item.entries().iter().map(|entry| entry.key.value.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let kinds = kinds.into_iter().filter(|kind| *kind != "name").count();
    if kinds != 1 {
        diagnostics
            .error(
                "conflicting-fields",
                item.at,
                format!(
                    "an extension provider must be of one kind, and `{}` is of {kinds}",
                    *name
                ),
            )
            .field(path)
            .help(format!(
                "give it one of `{HTTP}`, `{GRPC}` and Istio's telemetry backends"
            ));
        return None;
    }
    let (node, kind) = match (item.get(HTTP), item.get(GRPC)) {
        (Some(http), _) => (http, HTTP),
        (None, Some(grpc)) => (grpc, GRPC),
        (None, None) => return None,
    };
    let service = node.get("service")?;
    let host = service.text()?.rsplit('/').next()?;
    let port = node.get("port")?;
    let fail_open = node.get("failOpen").filter(|node| is_true(node));
    Some(ExtAuthzProvider {
        field: format!("{path}.{kind}").into(),
        service: Spanned {
            value: host.to_ascii_lowercase().into(),
            at: service.at,
        },
        port: Spanned {
            value: port.scalar()?.text.parse().ok()?,
            at: port.at,
        },
        timeout_ms: node
            .get("timeout")
            .and_then(Node::text)
            .and_then(parse_duration_ms)
            .unwrap_or(TIMEOUT_MS),
        fail_open: fail_open.map(|node| node.at),
        status_on_error: node
            .get("statusOnError")
            .and_then(Node::text)
            .and_then(|status| status.parse().ok())
            .unwrap_or(STATUS_ON_ERROR),
        clears_route_cache: node.get("clearRouteCache").is_some_and(is_true),
        body: node.get("includeRequestBodyInCheck").and_then(body),
        protocol: match kind {
            HTTP => ExtAuthzProtocol::Http(http(node)),
            _ => ExtAuthzProtocol::Grpc,
        },
        name,
    })
}

fn http(node: &Node) -> ExtAuthzHttp {
    let patterns = |name: &str| each(Some(node), name, |item| Some(NamePattern::parse(item.text()?)));
    let current = patterns("includeRequestHeadersInCheck");
    ExtAuthzHttp {
        path_prefix: node.get("pathPrefix").and_then(Node::text).unwrap_or("").into(),
        sends: match current.is_empty() {
            true => patterns("includeHeadersInCheck"),
            false => current,
        },
        adds: added(node),
        to_upstream: patterns("headersToUpstreamOnAllow"),
        to_client_on_deny: patterns("headersToDownstreamOnDeny"),
        to_client_on_allow: patterns("headersToDownstreamOnAllow"),
    }
}

/// In the order of their names, as Istio has them.
fn added(node: &Node) -> Vec<(Box<str>, Secret)> {
    let fields = node
        .get("includeAdditionalHeadersInCheck")
        .map_or(&[][..], Node::entries);
    let mut added: Vec<(Box<str>, Secret)> = Vec::new();
    for entry in fields {
        let Some(value) = entry.value.text() else { continue };
        let name = entry.key.value.to_ascii_lowercase();
        let place = added.partition_point(|(other, _)| **other <= *name);
        added.insert(place, (name.into(), Secret::new(value.into())));
    }
    added
}

fn body(node: &Node) -> Option<CheckBody> {
    let bytes_max = node.get("maxRequestBytes")?.scalar()?.as_integer()?;
    Some(CheckBody {
        bytes_max: u32::try_from(bytes_max).ok()?,
        partial: node.get("allowPartialMessage").is_some_and(is_true),
        as_bytes: node.get("packAsBytes").is_some_and(is_true),
    })
}

fn is_true(node: &Node) -> bool {
    node.scalar().and_then(Scalar::as_bool) == Some(true)
}
