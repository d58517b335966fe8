//! AuthorizationPolicy, with what Istio's validation says about it as a whole.

mod clause;

use alloc::format;
use alloc::vec::Vec;

use super::{boxed, each, target};
use crate::config::diagnostic::Diagnostics;
use crate::config::field_path::FieldPath;
use crate::config::quote::quoted;
use crate::config::resource::{Action, AuthorizationPolicy, Meta, PolicyKey, PolicyRule};
use crate::config::schema::LOCKGATE;
use crate::config::tree::{Node, Value};

const DRY_RUN: &str = "istio.io/dry-run";

pub(super) fn decode(document: &Node, meta: Meta, diagnostics: &mut Diagnostics) -> Option<AuthorizationPolicy> {
    let spec = document.get("spec");
    let field = |name: &str| spec.and_then(|spec| spec.get(name));
    let action = match field("action").and_then(Node::text) {
        Some("DENY") => Action::Deny,
        Some("AUDIT") => Action::Audit,
        Some("CUSTOM") => Action::Custom,
        _ => Action::Allow,
    };
    let has_rules = field("rules").is_some_and(|rules| rules.value != Value::List(Vec::new()));
    let at = field("action").map_or(meta.at, |action| action.at);
    match action {
        Action::Deny if !has_rules => {
            diagnostics
                .error("deny-without-rules", at, "a DENY policy without rules denies nothing")
                .field("spec.rules")
                .help("to deny everything, write `rules: [{}]`");
        }
        Action::Custom if !has_rules => {
            diagnostics
                .error(
                    "custom-without-rules",
                    at,
                    "a CUSTOM policy without rules asks about nothing",
                )
                .field("spec.rules")
                .help("to ask about everything, write `rules: [{}]`");
        }
        _ => {}
    }
    check_provider(action, field("action"), field("provider"), &meta, diagnostics);
    let is_lockgate = document
        .get("apiVersion")
        .and_then(Node::text)
        .and_then(|version| version.strip_prefix(LOCKGATE))
        .is_some_and(|rest| rest.starts_with('/'));
    let mut index = 0_usize;
    let path = FieldPath::SPEC.field("rules");
    let rules = each(spec, "rules", |node| {
        let path = path.index(index);
        index = index.saturating_add(1);
        let rule = rule(node, &path, is_lockgate, diagnostics);
        if action == Action::Custom {
            refuse_identity(&rule, &path, diagnostics);
        }
        Some(rule)
    });
    Some(AuthorizationPolicy {
        target: target::decode(spec, &meta, diagnostics),
        dry_run: dry_run(document, action, diagnostics),
        meta,
        action,
        provider: field("provider").and_then(|provider| boxed(provider.get("name")?)),
        rules,
    })
}

/// A CUSTOM policy names whom it asks; no other asks anybody.
fn check_provider(
    action: Action,
    action_node: Option<&Node>,
    provider: Option<&Node>,
    meta: &Meta,
    diagnostics: &mut Diagnostics,
) {
    match (action, provider) {
        (Action::Custom, None) => {
            diagnostics
                .error(
                    "missing-field",
                    action_node.map_or(meta.at, |action| action.at),
                    "a CUSTOM policy needs `provider`: it says who is asked",
                )
                .field("spec.provider")
                .help("`provider: {name: …}` names one of MeshConfig's `extensionProviders`");
        }
        (Action::Deny | Action::Allow | Action::Audit, Some(provider)) => {
            diagnostics
                .error(
                    "conflicting-fields",
                    provider.at,
                    format!(
                        "`provider` is for CUSTOM policies only, and this one is {}",
                        action.word()
                    ),
                )
                .field("spec.provider")
                .help("remove it, or write `action: CUSTOM`");
        }
        _ => {}
    }
}

/// Authorizers are asked before tokens and certificates are looked at, as Istio has it.
fn refuse_identity(rule: &PolicyRule, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) {
    let needs_identity = |key: &PolicyKey| {
        matches!(
            key,
            PolicyKey::Principal
                | PolicyKey::Namespace
                | PolicyKey::ServiceAccount
                | PolicyKey::TrustDomain
                | PolicyKey::RequestPrincipal
                | PolicyKey::Audience
                | PolicyKey::Presenter
                | PolicyKey::Claim(_)
        )
    };
    for predicate in rule.predicates() {
        if !needs_identity(&predicate.key) {
            continue;
        }
        diagnostics
            .error(
                "conflicting-fields",
                predicate.at,
                format!(
                    "a CUSTOM policy cannot use `{}`: its authorizer is asked before identities are known",
                    predicate.field
                ),
            )
            .field(path)
            .help("compare it in a DENY or ALLOW policy, which are judged after the authorizer's answer");
    }
}

fn rule(node: &Node, path: &FieldPath<'_>, is_lockgate: bool, diagnostics: &mut Diagnostics) -> PolicyRule {
    let mut clauses = |list: &str, inner: &str, fields| {
        let path = path.field(list);
        let clauses = node.get(list).map(Node::items).unwrap_or_default().iter().enumerate();
        clauses
            .filter_map(|(index, item)| {
                let path = path.index(index);
                Some(clause::decode(
                    item.get(inner)?,
                    fields,
                    &path.field(inner),
                    diagnostics,
                ))
            })
            .collect()
    };
    let from = clauses("from", "source", clause::SOURCE);
    let to = clauses("to", "operation", clause::OPERATION);
    let conditions = node.get("when").map(Node::items).unwrap_or_default().iter().enumerate();
    let when = conditions
        .flat_map(|(index, item)| clause::condition(item, &path.field("when").index(index), is_lockgate, diagnostics))
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
    let field = || format!("metadata.annotations[\"{DRY_RUN}\"]");
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
                .field(field());
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
            .field(field())
            .help("remove the annotation, or the policy");
    }
    is_dry
}
