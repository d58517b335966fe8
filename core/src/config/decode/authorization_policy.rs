//! AuthorizationPolicy, with what Istio's validation says about it as a whole.

mod clause;

use alloc::format;
use alloc::vec::Vec;

use super::{boxed, each, target};
use crate::config::diagnostic::Diagnostics;
use crate::config::quote::quoted;
use crate::config::resource::{Action, AuthorizationPolicy, Meta, PolicyRule};
use crate::config::schema::LOCKGATE;
use crate::config::tree::{Node, Value};

const DRY_RUN: &str = "istio.io/dry-run";

pub(super) fn decode(document: &Node, meta: Meta, diagnostics: &mut Diagnostics) -> Option<AuthorizationPolicy> {
    let spec = document.get("spec");
    let field = |name: &str| spec.and_then(|spec| spec.get(name));
    let action = match field("action").and_then(Node::text) {
        Some("DENY") => Action::Deny,
        Some("AUDIT") => Action::Audit,
        _ => Action::Allow,
    };
    if action == Action::Deny && field("rules").is_none_or(|rules| rules.value == Value::List(Vec::new())) {
        let at = field("action").map_or(meta.at, |action| action.at);
        diagnostics
            .error("deny-without-rules", at, "a DENY policy without rules denies nothing")
            .field("spec.rules")
            .help("to deny everything, write `rules: [{}]`");
    }
    let is_lockgate = document
        .get("apiVersion")
        .and_then(Node::text)
        .and_then(|version| version.strip_prefix(LOCKGATE))
        .is_some_and(|rest| rest.starts_with('/'));
    let mut index = 0_usize;
    let rules = each(spec, "rules", |node| {
        let path = format!("spec.rules[{index}]");
        index = index.saturating_add(1);
        Some(rule(node, &path, is_lockgate, diagnostics))
    });
    Some(AuthorizationPolicy {
        target: target::decode(spec, diagnostics),
        dry_run: dry_run(document, action, diagnostics),
        meta,
        action,
        provider: field("provider").and_then(|provider| boxed(provider.get("name")?)),
        rules,
    })
}

fn rule(node: &Node, path: &str, is_lockgate: bool, diagnostics: &mut Diagnostics) -> PolicyRule {
    let mut clauses = |list: &str, inner: &str, fields| {
        let clauses = node.get(list).map(Node::items).unwrap_or_default().iter().enumerate();
        clauses
            .filter_map(|(index, item)| {
                let path = format!("{path}.{list}[{index}].{inner}");
                Some(clause::decode(item.get(inner)?, fields, &path, diagnostics))
            })
            .collect()
    };
    let from = clauses("from", "source", clause::SOURCE);
    let to = clauses("to", "operation", clause::OPERATION);
    let conditions = node.get("when").map(Node::items).unwrap_or_default().iter().enumerate();
    let when = conditions
        .flat_map(|(index, item)| clause::condition(item, &format!("{path}.when[{index}]"), is_lockgate, diagnostics))
        .collect();
    PolicyRule {
        at: node.at,
        from,
        to,
        when,
    }
}

/// The annotation that makes Istio only log what a policy would do.
fn dry_run(document: &Node, action: Action, diagnostics: &mut Diagnostics) -> bool {
    let Some(annotation) = document
        .get("metadata")
        .and_then(|metadata| metadata.get("annotations"))
        .and_then(|annotations| annotations.get(DRY_RUN))
    else {
        return false;
    };
    let value = annotation.scalar().map_or("", |scalar| scalar.text.as_str());
    let field = format!("metadata.annotations[\"{DRY_RUN}\"]");
    let is_dry = match value {
        "0" | "f" | "F" | "FALSE" | "false" | "False" => false,
        "1" | "t" | "T" | "TRUE" | "true" | "True" => true,
        _ => {
            diagnostics
                .error(
                    "wrong-type",
                    annotation.at,
                    format!("`{DRY_RUN}` needs `true` or `false`, found {}", quoted(value)),
                )
                .field(field);
            return false;
        }
    };
    if is_dry && matches!(action, Action::Audit | Action::Custom) {
        diagnostics
            .error(
                "conflicting-fields",
                annotation.at,
                format!("`{DRY_RUN}` is for ALLOW and DENY only"),
            )
            .field(field)
            .help("remove the annotation, or the policy");
    }
    is_dry
}
