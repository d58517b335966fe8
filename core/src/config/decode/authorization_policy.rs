//! AuthorizationPolicy, with what Istio's validation says about it as a whole.

use alloc::format;
use alloc::vec::Vec;

use super::{each, labels, text};
use crate::config::diagnostic::Diagnostics;
use crate::config::quote::quoted;
use crate::config::resource::{
    Action, AuthorizationPolicy, Labels, Meta, PolicyOperation, PolicyRule, PolicySource, Spanned,
};
use crate::config::tree::{Node, Value};

const DRY_RUN: &str = "istio.io/dry-run";

pub(super) fn decode(document: &Node, meta: Meta, diagnostics: &mut Diagnostics) -> Option<AuthorizationPolicy> {
    dry_run(document, diagnostics);
    let spec = document.get("spec");
    let field = |name: &str| spec.and_then(|spec| spec.get(name));
    let action = match field("action").and_then(Node::text) {
        Some("DENY") => Action::Deny,
        _ => Action::Allow,
    };
    if action == Action::Deny && field("rules").is_none_or(|rules| rules.value == Value::List(Vec::new())) {
        let at = field("action").map_or(meta.at, |action| action.at);
        diagnostics
            .error("deny-without-rules", at, "a DENY policy without rules denies nothing")
            .field("spec.rules")
            .help("to deny everything, write `rules: [{}]`");
    }
    Some(AuthorizationPolicy {
        selector: selector(field("selector"), diagnostics),
        meta,
        action,
        rules: each(spec, "rules", rule),
    })
}

fn selector(node: Option<&Node>, diagnostics: &mut Diagnostics) -> Option<Labels> {
    let node = node?;
    let labels = node.get("matchLabels").map(labels).unwrap_or_default();
    if labels.is_empty() {
        diagnostics
            .warning(
                "empty-selector",
                node.at,
                "the selector names no label, so it selects the whole namespace",
            )
            .field("spec.selector")
            .help("add `matchLabels`, or remove the selector");
    }
    Some(labels)
}

fn rule(node: &Node) -> Option<PolicyRule> {
    Some(PolicyRule {
        at: node.at,
        from: each(Some(node), "from", |from| from.get("source").and_then(source)),
        to: each(Some(node), "to", |to| to.get("operation").and_then(operation)),
    })
}

fn source(node: &Node) -> Option<PolicySource> {
    let blocks = |name: &str| {
        each(Some(node), name, |block| {
            Some(Spanned {
                value: block.text()?.parse().ok()?,
                at: block.at,
            })
        })
    };
    Some(PolicySource {
        at: node.at,
        ip_blocks: blocks("ipBlocks"),
        not_ip_blocks: blocks("notIpBlocks"),
    })
}

fn operation(node: &Node) -> Option<PolicyOperation> {
    let texts = |name: &str| each(Some(node), name, text);
    let ports = |name: &str| each(Some(node), name, port);
    Some(PolicyOperation {
        at: node.at,
        hosts: texts("hosts"),
        not_hosts: texts("notHosts"),
        ports: ports("ports"),
        not_ports: ports("notPorts"),
        methods: texts("methods"),
        not_methods: texts("notMethods"),
        paths: texts("paths"),
        not_paths: texts("notPaths"),
    })
}

/// A port as text or number; the check has seen that it is one.
fn port(node: &Node) -> Option<Spanned<u16>> {
    let value = node.scalar()?.text.parse().ok()?;
    Some(Spanned { value, at: node.at })
}

/// The annotation that makes Istio only log what a policy would do. Enforcing it instead would cut traffic.
fn dry_run(document: &Node, diagnostics: &mut Diagnostics) {
    let Some(annotation) = document
        .get("metadata")
        .and_then(|metadata| metadata.get("annotations"))
        .and_then(|annotations| annotations.get(DRY_RUN))
    else {
        return;
    };
    let value = annotation.scalar().map_or("", |scalar| scalar.text.as_str());
    let field = format!("metadata.annotations[\"{DRY_RUN}\"]");
    match value {
        "0" | "f" | "F" | "FALSE" | "false" | "False" => {}
        "1" | "t" | "T" | "TRUE" | "true" | "True" => {
            diagnostics
                .error(
                    "unsupported-field",
                    annotation.at,
                    format!("`{DRY_RUN}` is not supported yet"),
                )
                .field(field)
                .help("remove the policy, or remove the annotation to enforce it");
        }
        _ => {
            diagnostics
                .error(
                    "wrong-type",
                    annotation.at,
                    format!("`{DRY_RUN}` needs `true` or `false`, found {}", quoted(value)),
                )
                .field(field);
        }
    }
}
