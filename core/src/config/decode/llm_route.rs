//! LLMRoute.

use alloc::format;

use super::string_match::by_header;
use super::{each, host, integer, labels, text};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{BackendRef, LlmMatch, LlmRoute, LlmRule, Meta};
use crate::config::tree::Node;

pub(super) fn decode(spec: &Node, meta: Meta, diagnostics: &mut Diagnostics) -> Option<LlmRoute> {
    let rules = spec.get("rules").map(Node::items).unwrap_or_default();
    let rules = rules
        .iter()
        .enumerate()
        .map(|(index, node)| rule(node, index, diagnostics))
        .collect();
    Some(LlmRoute {
        meta,
        host: host(spec.get("host")?)?,
        gateways: each(Some(spec), "gateways", text),
        rules,
    })
}

fn rule(node: &Node, index: usize, diagnostics: &mut Diagnostics) -> LlmRule {
    let matches = node.get("matches").map(Node::items).unwrap_or_default();
    let matches = matches
        .iter()
        .enumerate()
        .map(|(at, node)| request_match(node, &format!("spec.rules[{index}].matches[{at}].headers"), diagnostics))
        .collect();
    LlmRule {
        at: node.at,
        name: node.get("name").and_then(text),
        matches,
        backend_refs: each(Some(node), "backendRefs", backend_ref),
    }
}

fn request_match(node: &Node, field: &str, diagnostics: &mut Diagnostics) -> LlmMatch {
    LlmMatch {
        at: node.at,
        headers: by_header(node.get("headers"), field, diagnostics),
        gateways: each(Some(node), "gateways", text),
        source_labels: node.get("sourceLabels").map(labels),
    }
}

fn backend_ref(node: &Node) -> Option<BackendRef> {
    Some(BackendRef {
        at: node.at,
        provider_host: host(node.get("providerHost")?)?,
        weight: node.get("weight").and_then(integer),
        host_rewrite: node.get("hostRewrite").and_then(text),
    })
}
