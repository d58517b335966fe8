//! LLMRoute.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{each, host, integer, labels, text};
use crate::config::diagnostic::Diagnostics;
use crate::config::quote::quoted;
use crate::config::resource::{BackendRef, LlmMatch, LlmRoute, LlmRule, Meta, Spanned, StringMatch};
use crate::config::tree::{Entry, Node, Value};
use crate::text_map::TextMap;

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
        headers: headers(node.get("headers"), field, diagnostics),
        gateways: each(Some(node), "gateways", text),
        source_labels: node.get("sourceLabels").map(labels),
    }
}

fn headers(
    node: Option<&Node>,
    field: &str,
    diagnostics: &mut Diagnostics,
) -> Vec<(Spanned<String>, Spanned<StringMatch>)> {
    let entries = node.map(Node::entries).unwrap_or_default();
    let mut seen: TextMap<&String> = TextMap::default();
    let mut headers: Vec<(Spanned<String>, Spanned<StringMatch>)> = Vec::new();
    for entry in entries {
        let name = Spanned {
            value: entry.key.value.to_ascii_lowercase(),
            at: entry.key.at,
        };
        let first = seen.get(&name.value).copied();
        if first.is_none() {
            seen.insert(&name.value, &entry.key.value);
        }
        // Names that are equal to the byte have been reported as equal keys.
        if first.is_some_and(|first| *first != entry.key.value) {
            diagnostics
                .error(
                    "duplicate-key",
                    name.at,
                    format!("the header {} is given twice", quoted(&name.value)),
                )
                .field(field)
                .help("header names are compared without regard to case; keep one of them");
        }
        if let Some(value) = string_match(entry, field, diagnostics) {
            let at = entry.value.at;
            headers.push((name, Spanned { value, at }));
        }
    }
    headers
}

fn string_match(header: &Entry, field: &str, diagnostics: &mut Diagnostics) -> Option<StringMatch> {
    let Value::Map(forms) = &header.value.value else {
        return None;
    };
    let [form] = forms.as_slice() else {
        if forms.is_empty() {
            return Some(StringMatch::Present);
        }
        diagnostics
            .error(
                "conflicting-fields",
                header.key.at,
                "a header match has more than one of `exact`, `prefix` and `regex`",
            )
            .field(field)
            .help("keep one; to match any of several values, write several `matches`");
        return None;
    };
    let value = String::from(form.value.text()?);
    match form.key.value.as_str() {
        "exact" => Some(StringMatch::Exact(value)),
        "prefix" => Some(StringMatch::Prefix(value)),
        "regex" => Some(StringMatch::Regex(value)),
        _ => None,
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
