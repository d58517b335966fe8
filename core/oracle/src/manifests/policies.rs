//! AuthorizationPolicies.

use lockgate_core::config::resource::{AuthorizationPolicy, Clause, PolicyRule, PolicyTarget, Predicate};
use serde_json::{Map, Value, json};

use super::{LOCKGATE, labels, resource, texts};

/// Under Istio's group, if nothing in it is Lockgate's own.
#[must_use]
pub fn authorization_policy(policy: &AuthorizationPolicy) -> Value {
    let mut spec = json!({
        "action": policy.action.word(),
        "rules": policy.rules.iter().map(rule).collect::<Vec<_>>(),
    });
    match &policy.target {
        PolicyTarget::Namespace => {}
        PolicyTarget::Labels(wanted) => spec["selector"] = json!({ "matchLabels": labels(wanted) }),
        PolicyTarget::References(references) => {
            spec["targetRefs"] = references
                .iter()
                .map(|reference| {
                    let group = reference.group.as_deref().unwrap_or_default();
                    json!({ "group": group, "kind": &*reference.kind, "name": &*reference.name.value })
                })
                .collect();
        }
    }
    if let Some(provider) = &policy.provider {
        spec["provider"] = json!({ "name": &*provider.value });
    }
    let mut predicates = policy.rules.iter().flat_map(PolicyRule::predicates);
    let version = match predicates.any(|predicate| predicate.key.is_lockgate()) {
        true => LOCKGATE,
        false => "security.istio.io/v1",
    };
    let mut resource = resource(version, "AuthorizationPolicy", &policy.meta, spec);
    if policy.dry_run {
        resource["metadata"]["annotations"] = json!({ "istio.io/dry-run": "true" });
    }
    resource
}

fn rule(rule: &PolicyRule) -> Value {
    let clauses = |name: &str, clauses: &[Clause]| -> Vec<Value> {
        clauses.iter().map(|clause| json!({ name: fields(clause) })).collect()
    };
    let mut written = Map::new();
    for (name, list) in [
        ("from", clauses("source", &rule.from)),
        ("to", clauses("operation", &rule.to)),
        ("when", rule.when.iter().map(condition).collect()),
    ] {
        if !list.is_empty() {
            written.insert(name.to_owned(), list.into());
        }
    }
    written.into()
}

fn fields(clause: &Clause) -> Value {
    let field = |predicate: &Predicate| {
        let (first, rest) = predicate.field.split_at(1);
        let name = match predicate.negated {
            true => format!("not{}{rest}", first.to_ascii_uppercase()),
            false => predicate.field.to_string(),
        };
        (name, texts(&predicate.values))
    };
    Value::Object(clause.predicates.iter().map(field).collect())
}

fn condition(predicate: &Predicate) -> Value {
    let name = if predicate.negated { "notValues" } else { "values" };
    json!({ "key": predicate.key.condition_name(), name: texts(&predicate.values) })
}
