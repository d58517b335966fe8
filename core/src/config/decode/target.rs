//! What a policy applies to: `selector`, `targetRef` or `targetRefs`.

use alloc::vec::Vec;

use super::{boxed, labels};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{Meta, PolicyTarget, TargetReference};
use crate::config::tree::Node;

pub(super) fn decode(spec: Option<&Node>, meta: &Meta, diagnostics: &mut Diagnostics) -> PolicyTarget {
    let given = |name: &str| spec.and_then(|spec| spec.entry(name));
    let mut ways = ["selector", "targetRef", "targetRefs"].into_iter().filter_map(given);
    if let Some(second) = ways.nth(1) {
        diagnostics
            .error(
                "conflicting-fields",
                second.key.at,
                "a policy has one of `selector`, `targetRef` and `targetRefs`",
            )
            .field("spec")
            .help("keep one of them");
    }
    if let Some(selector) = given("selector") {
        return selected(&selector.value, diagnostics);
    }
    let one = given("targetRef").map(|entry| &entry.value);
    let several = given("targetRefs").map_or(&[][..], |entry| entry.value.items());
    if one.is_none() && several.is_empty() {
        return PolicyTarget::Namespace;
    }
    let mut references = Vec::new();
    for node in one.into_iter().chain(several) {
        references.extend(reference(node, meta, diagnostics));
    }
    PolicyTarget::References(references)
}

fn selected(node: &Node, diagnostics: &mut Diagnostics) -> PolicyTarget {
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
    PolicyTarget::Labels(labels)
}

fn reference(node: &Node, meta: &Meta, diagnostics: &mut Diagnostics) -> Option<TargetReference> {
    if let Some(namespace) = node.get("namespace")
        && namespace.text().is_some_and(|namespace| *namespace != *meta.namespace)
    {
        diagnostics.error(
            "invalid-target",
            namespace.at,
            "a policy refers to its own namespace only: leave `namespace` out",
        );
    }
    Some(TargetReference {
        at: node.at,
        kind: node.get("kind")?.text()?.into(),
        group: node.get("group").and_then(Node::text).map(Into::into),
        name: boxed(node.get("name")?)?,
    })
}
