//! Gateway API's Gateway, GatewayClass and ReferenceGrant, and the InferencePool.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::{boxed, each, host, integer, unique};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::Meta;
use crate::config::resource::gateway_api::{
    CertificateRef, Gateway, GatewayClass, GrantFrom, GrantTo, InferencePool, Listener, ReferenceGrant, RouteNamespaces,
};
use crate::config::schema::GATEWAY_API;
use crate::config::tree::Node;

/// The label that Kubernetes gives every namespace: its own name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

pub(super) fn gateway(spec: &Node, meta: Meta, diagnostics: &mut Diagnostics) -> Option<Gateway> {
    let nodes = spec.get("listeners").map(Node::items).unwrap_or_default();
    let mut names = nodes.iter().map(|listener| listener.get("name"));
    let field = |index| format!("spec.listeners[{index}].name");
    unique(&mut names, "listeners of this Gateway", &field, diagnostics);
    let mut listeners: Vec<Listener> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let field = format!("spec.listeners[{index}]");
        let Some(listener) = listener(node, &field, &meta.namespace, diagnostics) else {
            continue;
        };
        let hostname = |one: &Listener| one.hostname.as_ref().map(|hostname| hostname.value.clone());
        let is_same = |other: &Listener| *other.port == *listener.port && hostname(other) == hostname(&listener);
        if listeners.iter().any(is_same) {
            diagnostics
                .error(
                    "duplicate-name",
                    listener.at,
                    "two listeners have the same port and hostname",
                )
                .field(field)
                .help("each listener of a port needs a hostname of its own");
        }
        listeners.push(listener);
    }
    Some(Gateway {
        meta,
        class: boxed(spec.get("gatewayClassName")?)?,
        listeners,
    })
}

fn listener(node: &Node, field: &str, namespace: &str, diagnostics: &mut Diagnostics) -> Option<Listener> {
    let allowed = node.get("allowedRoutes");
    let namespaces = allowed.and_then(|allowed| allowed.get("namespaces"));
    let kinds = allowed.and_then(|allowed| allowed.get("kinds")).map(Node::items);
    let kinds = kinds.unwrap_or_default();
    Some(Listener {
        at: node.at,
        name: boxed(node.get("name")?)?,
        hostname: node.get("hostname").and_then(host),
        port: integer(node.get("port")?)?,
        namespaces: namespaces.map_or(Some(RouteNamespaces::Same), |node| {
            self::namespaces(node, &format!("{field}.allowedRoutes.namespaces"), diagnostics)
        })?,
        takes_http_routes: kinds.is_empty() || kinds.iter().any(is_http_route),
        certificates: match node.get("protocol").and_then(Node::text) {
            Some("HTTPS") => Some(certificates(node, field, namespace, diagnostics)?),
            _ => {
                refuse_tls(node, field, diagnostics);
                None
            }
        },
    })
}

fn refuse_tls(node: &Node, field: &str, diagnostics: &mut Diagnostics) {
    if let Some(tls) = node.entry("tls") {
        diagnostics
            .error(
                "conflicting-fields",
                tls.key.at,
                "`tls` is not of a listener in plain text",
            )
            .field(format!("{field}.tls"))
            .help("use protocol `HTTPS`, or remove it");
    }
}

fn certificates(
    node: &Node,
    field: &str,
    namespace: &str,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<CertificateRef>> {
    let Some(refs) = node.get("tls").and_then(|tls| tls.get("certificateRefs")) else {
        diagnostics
            .error("missing-field", node.at, "an HTTPS listener has no certificate")
            .field(format!("{field}.tls.certificateRefs"))
            .help("name a Secret, such as `tls: {certificateRefs: [{name: NAME}]}`");
        return None;
    };
    let mut read = Vec::new();
    for (index, node) in refs.items().iter().enumerate() {
        let (group, kind) = (word(node, "group"), word(node, "kind"));
        let is_secret =
            matches!(group.as_deref(), None | Some("" | "core")) && matches!(kind.as_deref(), None | Some("Secret"));
        if !is_secret {
            diagnostics
                .error(
                    "unsupported-value",
                    node.at,
                    "a certificate that is no Secret is not supported",
                )
                .field(format!("{field}.tls.certificateRefs[{index}]"))
                .help("leave `group` and `kind` out");
        }
        read.push(CertificateRef {
            namespace: word(node, "namespace").unwrap_or_else(|| namespace.into()),
            name: boxed(node.get("name")?)?,
        });
    }
    Some(read)
}

fn is_http_route(kind: &Node) -> bool {
    let text = |name: &str| kind.get(name).and_then(Node::text);
    text("group").is_none_or(|group| group == GATEWAY_API) && text("kind") == Some("HTTPRoute")
}

/// What labels a namespace has nobody says here, but for its name, which is one.
fn namespaces(node: &Node, field: &str, diagnostics: &mut Diagnostics) -> Option<RouteNamespaces> {
    let selector = node.entry("selector");
    match node.get("from").and_then(Node::text) {
        Some("Selector") => {}
        from => {
            if let Some(selector) = selector {
                diagnostics
                    .error(
                        "conflicting-fields",
                        selector.key.at,
                        "`selector` means nothing without `from: Selector`",
                    )
                    .field(field)
                    .help("remove it, or write `from: Selector`");
            }
            return Some(match from {
                Some("All") => RouteNamespaces::All,
                Some("None") => RouteNamespaces::None,
                _ => RouteNamespaces::Same,
            });
        }
    }
    let labels = selector.and_then(|selector| selector.value.get("matchLabels"));
    let labels = labels.map(Node::entries).unwrap_or_default();
    if let [only] = labels
        && only.key.value == NAMESPACE_NAME
        && let Some(name) = only.value.text()
    {
        return Some(RouteNamespaces::Named(name.into()));
    }
    let foreign = labels.iter().find(|label| label.key.value != NAMESPACE_NAME);
    diagnostics
        .error(
            "unsupported-value",
            foreign.map_or(node.at, |label| label.key.at),
            "namespaces are selected by their name only: no other label of theirs is known here",
        )
        .field(format!("{field}.selector"))
        .help(format!(
            "write `matchLabels: {{{NAMESPACE_NAME}: NAME}}`, or `from: All`"
        ));
    None
}

pub(super) fn class(spec: &Node, meta: Meta) -> Option<GatewayClass> {
    Some(GatewayClass {
        meta,
        controller: spec.get("controllerName")?.text()?.into(),
    })
}

pub(super) fn grant(spec: &Node, meta: Meta) -> ReferenceGrant {
    ReferenceGrant {
        meta,
        from: each(Some(spec), "from", |node| {
            Some(GrantFrom {
                group: word(node, "group")?,
                kind: word(node, "kind")?,
                namespace: word(node, "namespace")?,
            })
        }),
        to: each(Some(spec), "to", |node| {
            Some(GrantTo {
                group: word(node, "group")?,
                kind: word(node, "kind")?,
                name: word(node, "name"),
            })
        }),
    }
}

pub(super) fn pool(spec: &Node, meta: Meta, diagnostics: &mut Diagnostics) -> Option<InferencePool> {
    if let Some(picker) = spec.entry("endpointPickerRef") {
        diagnostics
            .warning(
                "endpoint-picker-not-asked",
                picker.key.at,
                "no endpoint picker is asked: requests are spread over the endpoints of the pool's ServiceEntry",
            )
            .field("spec.endpointPickerRef");
    }
    let ports = spec.get("targetPorts")?.items();
    if let [_, second, ..] = ports {
        diagnostics
            .error(
                "unsupported-value",
                second.at,
                "a pool with several ports is not supported yet",
            )
            .field("spec.targetPorts[1]")
            .help("list each port as an endpoint of the pool's ServiceEntry");
    }
    Some(InferencePool {
        meta,
        port: integer(ports.first()?.get("number")?)?,
    })
}

/// A text field.
pub(super) fn word(node: &Node, name: &str) -> Option<Box<str>> {
    node.get(name)?.text().map(Box::from)
}
